"""Laws of the log gap: a sample, a distribution of ``scipy.stats`` form, and a sample with fitted tails.

A law draws gaps, gives quantiles and probabilities, and the mean loss beyond a margin of a long, ``1 - exp(gap)`` per unit of notional at the
close, or a short, ``exp(gap) - 1``. Closed forms where there are any, quadrature elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from perpkit._law import Capped, Law, Scaled
from perpkit._parts import check_factor, scaled_record
from perpkit._sample import Bootstrap, Empirical
from perpkit._splice import Spliced, Tail
from perpkit.families import kou_option

__all__ = ["Bootstrap", "Capped", "Empirical", "Law", "Parametric", "Scaled", "Spliced", "Tail"]


@dataclass(frozen=True, eq=False)
class Parametric(Law):
    """A frozen ``scipy.stats`` distribution of the log gap, such as ``scipy.stats.norm(0.0, 0.02)``.

    Its shortfall is in closed form for the Normal, the Laplace laws and ``families.kou``, by quadrature otherwise. ``record`` is that of the
    sample behind it, if any.
    """

    name: str
    dist: stats.distributions.rv_frozen
    record: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.dist, stats.distributions.rv_frozen):
            raise ValueError(f"dist is a frozen scipy.stats distribution, such as scipy.stats.t(2.4, 0.0, 0.01); got {self.dist!r}")

    @property
    def parameters(self) -> tuple[tuple[float, ...], float, float]:
        """Shapes, loc and scale."""
        return self.dist.dist._parse_args(*self.dist.args, **self.dist.kwds)

    def logpdf(self, x: float | np.ndarray) -> float | np.ndarray:
        """Log density at the log gap ``x``."""
        return self.dist.logpdf(x)

    def _quantile(self, p: np.ndarray) -> np.ndarray:
        return self.dist.ppf(p)

    def _isf(self, p: np.ndarray) -> np.ndarray:
        return self.dist.isf(p)

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return self.dist.cdf(x)

    def _log_tail(self, x: np.ndarray, sign: float) -> np.ndarray:
        return self.dist.logsf(x) if sign > 0.0 else self.dist.logcdf(x)

    def _has_mean(self, power: float) -> bool:
        shapes, _, scale = self.parameters
        known = _TAIL_RATE.get(self.dist.dist.name)
        return super()._has_mean(power) if known is None else known(*shapes) > power * scale

    def _shortfall(self, margin: float, sign: float) -> float:
        strike, (shapes, loc, scale) = 1.0 + sign * margin, self.parameters
        closed = _OPTION.get(self.dist.dist.name)
        return super()._shortfall(margin, sign) if closed is None or strike <= 0.0 else closed(strike, sign, *shapes, loc, scale)

    def scaled(self, factor: float) -> Parametric:
        """The same family with loc and scale times ``factor``."""
        shapes, loc, scale = self.parameters
        return replace(
            self,
            name=f"{self.name}, scaled by {check_factor(factor):.4g}",
            dist=self.dist.dist(*shapes, loc=factor * loc, scale=factor * scale),
            record=scaled_record(self.record, factor),
        )


def _black_scholes(strike: float, sign: float, loc: float, scale: float) -> float:
    """E[(sign (exp(g) - strike))+] for a Normal g: the undiscounted put (longs) or call (shorts). Source: Black and Scholes 1973."""
    d = (np.log(strike) - loc) / scale
    return float(sign * (np.exp(loc + scale**2 / 2.0) * stats.norm.cdf(sign * (scale - d)) - strike * stats.norm.cdf(-sign * d)))


def _laplace_option(strike: float, sign: float, kappa: float, loc: float, scale: float) -> float:
    """The same for an asymmetric Laplace g: an exponential tail beyond the strike, or parity where the strike is on its far side."""
    law, x = stats.laplace_asymmetric(kappa, loc, scale), np.log(strike)
    up, down = kappa / scale, 1.0 / (kappa * scale)
    if x >= loc and sign > 0.0:
        return float(strike * law.sf(x) / (up - 1.0))
    if x <= loc and sign < 0.0:
        return float(strike * law.cdf(x) / (down + 1.0))
    mean = np.exp(loc) * up * down / ((up - 1.0) * (down + 1.0)) if up > 1.0 else np.inf
    return float(sign * (mean - strike) + _laplace_option(strike, -sign, kappa, loc, scale))


_OPTION = {
    "norm": _black_scholes,
    "kou": lambda strike, sign, *parameters: kou_option(strike, sign, *parameters),
    "laplace_asymmetric": _laplace_option,
    "laplace": lambda strike, sign, loc, scale: _laplace_option(strike, sign, 1.0, loc, scale),
}
# Exponential rate at which the upper tail falls, per unit of scale, where it is known from the shapes.
_TAIL_RATE = {
    "t": lambda df: 0.0,
    "jf_skew_t": lambda a, b: 0.0,
    "tempered_t": lambda df, rate: rate,
    "kou": lambda chance, upward, up, down: 1.0 / up if chance * upward > 0.0 else np.inf,
    "laplace": lambda: 1.0,
    "laplace_asymmetric": lambda kappa: kappa,
}
