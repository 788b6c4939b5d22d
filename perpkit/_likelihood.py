"""What the sampler needs of a law: its log density and its draws, broadcast over parameters, and the way from a prior's parameters to scipy's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from perpkit.families import kou, kou_logpdf, skew_t, skew_t_logpdf, tempered_t, tempered_t_logpdf


@dataclass(frozen=True)
class Likelihood:
    """A family in standard form, ``z = (x - loc) / scale``.

    Parameters
    ----------
    dist : the family of ``scipy.stats`` or :mod:`perpkit.families`.
    names : its parameters, shapes first, then loc and scale.
    native : function from the parameters of the prior to those, in that order.
    standard : log density at z, of (z, \\*shapes).
    draw : draws of z, of (rng, size, \\*shapes).
    tail : rate at which the upper tail falls per unit of z, of (\\*shapes); 0 for a power law.
    """

    dist: stats.rv_continuous
    names: tuple[str, ...]
    native: Callable[..., tuple[np.ndarray, ...]]
    standard: Callable[..., np.ndarray]
    draw: Callable[..., np.ndarray]
    tail: Callable[..., np.ndarray]

    def logpdf(self, x: np.ndarray, parameters: tuple[np.ndarray, ...]) -> np.ndarray:
        """Log density at ``x``; ``x`` and the parameters broadcast."""
        *shapes, loc, scale = parameters
        return self.standard((x - loc) / scale, *shapes) - np.log(scale)

    def sample(self, rng: np.random.Generator, size: tuple[int, ...], parameters: tuple[np.ndarray, ...]) -> np.ndarray:
        """Independent draws of shape ``size``, to which the parameters broadcast."""
        *shapes, loc, scale = parameters
        return loc + scale * self.draw(rng, size, *shapes)


def _normal(z):
    return -(z**2) / 2.0 - np.log(2.0 * np.pi) / 2.0


def _t(z, df):
    constant = special.gammaln((df + 1.0) / 2.0) - special.gammaln(df / 2.0) - np.log(df * np.pi) / 2.0
    return constant - (df + 1.0) / 2.0 * np.log1p(z**2 / df)


def _laplace(z, kappa):
    return -np.log(kappa + 1.0 / kappa) - np.where(z >= 0.0, z * kappa, -z / kappa)


def _draw_skew_t(rng, size, a, b):
    # Of two Gammas, and not of the Beta share between them, which rounds to 0 or 1 where a tail is fat.
    up, down = rng.standard_gamma(a, size), rng.standard_gamma(b, size)
    return np.sqrt(a + b) * (up - down) / (2.0 * np.sqrt(up) * np.sqrt(down))


def _draw_laplace(rng, size, kappa):
    return rng.standard_exponential(size) / kappa - rng.standard_exponential(size) * kappa


def _draw_kou(rng, size, chance, upward, up, down):
    jump = np.where(rng.random(size) < upward, up, -down) * rng.standard_exponential(size)
    return rng.standard_normal(size) + np.where(rng.random(size) < chance, jump, 0.0)


def _draw_tempered_t(rng, size, df, rate):
    """By rejection: from the t where the tempering is mild, else from the tempering."""
    df, rate = (np.broadcast_to(shape, size).ravel() for shape in (df, rate))
    out, todo = np.empty(df.size), np.arange(df.size)
    while todo.size:
        nu, fall = df[todo], rate[todo]
        mild = fall < 1.0
        z = np.where(mild, rng.standard_t(nu), rng.laplace(size=nu.size) / np.maximum(fall, 1.0))
        kept = np.log(rng.random(nu.size)) < np.where(mild, -fall * np.abs(z), -(nu + 1.0) / 2.0 * np.log1p(z**2 / nu))
        out[todo[kept]] = z[kept]
        todo = todo[~kept]
    return out.reshape(size)


LIKELIHOODS = {
    "normal": Likelihood(
        dist=stats.norm,
        names=("loc", "scale"),
        native=lambda loc, scale: (loc, scale),
        standard=_normal,
        draw=lambda rng, size: rng.standard_normal(size),
        tail=lambda: np.inf,
    ),
    "t": Likelihood(
        dist=stats.t,
        names=("df", "loc", "scale"),
        native=lambda df, loc, scale: (df, loc, scale),
        standard=_t,
        draw=lambda rng, size, df: rng.standard_t(df, size),
        tail=lambda df: 0.0 * df,
    ),
    "skew-t": Likelihood(
        dist=skew_t,
        names=("a", "b", "loc", "scale"),
        native=lambda a, b, loc, scale: (a, b, loc, scale),
        standard=skew_t_logpdf,
        draw=_draw_skew_t,
        tail=lambda a, b: 0.0 * a,
    ),
    "laplace": Likelihood(
        dist=stats.laplace_asymmetric,
        names=("kappa", "loc", "scale"),
        native=lambda fall, rise, loc: (np.sqrt(fall / rise), loc, np.sqrt(fall * rise)),
        standard=_laplace,
        draw=_draw_laplace,
        tail=lambda kappa: kappa,
    ),
    "kou": Likelihood(
        dist=kou,
        names=("chance", "upward", "up", "down", "loc", "scale"),
        native=lambda chance, upward, fall, rise, loc, scale: (chance, upward, rise / scale, fall / scale, loc, scale),
        standard=kou_logpdf,
        draw=_draw_kou,
        tail=lambda chance, upward, up, down: 1.0 / up,
    ),
    "tempered-t": Likelihood(
        dist=tempered_t,
        names=("df", "rate", "loc", "scale"),
        native=lambda reach, df, loc, scale: (df, scale / reach, loc, scale),
        standard=tempered_t_logpdf,
        draw=_draw_tempered_t,
        tail=lambda df, rate: rate,
    ),
}
