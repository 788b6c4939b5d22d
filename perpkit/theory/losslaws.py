"""Expected loss beyond a buffer, ``E[(L - m)+]``, for laws with a closed form.

``L`` is a position's loss as a share of its notional, ``m`` (``margin``) its buffer to bankruptcy as the same share: one over leverage at
entry. Here the law is that of the **linear** loss unless a function says log. Sources: McNeil, Frey and Embrechts, Quantitative Risk
Management, 2nd ed. (t, generalised Pareto); Merton 1976; Kou 2002; each checked in the tests by quadrature.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm, poisson, t

from perpkit.theory._check import checked, finite, inside, not_negative, plain, positive, sign_of


def _buffer(margin) -> np.ndarray:
    return not_negative("margin", margin, "the buffer to bankruptcy as a share of notional")


def normal_shortfall(margin, mean, sd):
    """Loss Normal: ``sd (phi(z) - z (1 - Phi(z)))`` with ``z = (margin - mean) / sd``."""
    scale = positive("sd", sd, "the standard deviation of the loss")
    z = (_buffer(margin) - finite("mean", mean, "the mean loss")) / scale
    return plain(scale * (norm.pdf(z) - z * norm.sf(z)))


def t_shortfall(margin, df, loc, scale):
    """Loss ``loc + scale T``, T Student with ``df > 1`` degrees of freedom: ``scale (f(z)(df + z^2)/(df - 1) - z (1 - F(z)))``."""
    freedom = checked("df", df, lambda x: (x > 1) & np.isfinite(x), "is degrees of freedom, above 1 (the mean loss is infinite otherwise)")
    width = positive("scale", scale, "the scale of the loss")
    z = (_buffer(margin) - finite("loc", loc, "the centre of the loss")) / width
    return plain(width * (t.pdf(z, freedom) * (freedom + z**2) / (freedom - 1.0) - z * t.sf(z, freedom)))


def laplace_shortfall(margin, scale):
    """Loss Laplace about zero: ``(scale / 2) e^{-margin / scale}``."""
    width = positive("scale", scale, "the scale of the loss")
    return plain(0.5 * width * np.exp(-_buffer(margin) / width))


def kou_shortfall(margin, probability, rate, side: str = "long", of: str = "log"):
    """One double-exponential jump against the position, with the given probability and ``rate`` (one over its mean size).

    ``of="log"`` takes the jump in the log price: ``q (1 - m)^{rate + 1} / (rate + 1)`` for a long, ``q (1 + m)^{1 - rate} / (rate - 1)``
    for a short (rate above 1). ``of="loss"`` takes it in the loss itself: ``q e^{-rate m} / rate``.
    """
    sign, buffer = sign_of(side), _buffer(margin)
    chance = checked("probability", probability, lambda x: (x >= 0) & (x <= 1), "is the chance of an adverse jump, in [0, 1]")
    decay = positive("rate", rate, "one over the mean jump")
    if of == "loss":
        return plain(chance * np.exp(-decay * buffer) / decay)
    if of != "log":
        raise ValueError(f'of is "log" or "loss"; got {of!r}')
    if sign < 0:
        checked("rate", decay, lambda x: x > 1, "must exceed 1 for a short: E[e^jump] is infinite otherwise")
    return plain(chance * np.maximum(0.0, 1.0 - sign * buffer) ** (sign * decay + 1.0) / (decay + sign))


def lognormal_shortfall(margin, mean, sd, side: str = "long"):
    """Log gap Normal(mean, sd): for a long a put on the price relative struck at ``1 - margin``, for a short a call at ``1 + margin``."""
    sign, centre = sign_of(side), finite("mean", mean, "the mean log gap")
    return plain(_option(1.0 - sign * _buffer(margin), centre, positive("sd", sd, "the sd of the log gap"), sign))


def _option(strike, mean, sd, sign: int):
    """``E[(sign (strike - e^G))+]`` for G Normal; ``sd`` may be 0."""
    forward = np.exp(mean + 0.5 * sd**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = (np.log(np.maximum(strike, 0.0)) - mean) / sd
    value = sign * (strike * ndtr(sign * d) - forward * ndtr(sign * (d - sd)))
    return np.where(strike <= 0, 0.0, np.where(sd > 0, np.maximum(value, 0.0), np.maximum(sign * (strike - forward), 0.0)))


def merton_shortfall(margin, intensity, jump_mean, jump_sd, side: str = "long", drift=0.0, diffusion_sd=0.0):
    """Log gap ``Normal(drift, diffusion_sd)`` plus a Poisson number of Normal jumps: a Poisson mixture of options.

    ``intensity`` is the mean number of jumps in the closure; ``drift`` and ``diffusion_sd`` are for the whole closure. Numbers only.
    """
    sign, buffer = sign_of(side), float(_buffer(margin))
    rate = float(positive("intensity", intensity, "the mean number of jumps"))
    mean, sd = float(finite("jump_mean", jump_mean, "a log jump")), float(not_negative("jump_sd", jump_sd, "sd of a log jump"))
    start, noise = float(finite("drift", drift, "a log return")), float(not_negative("diffusion_sd", diffusion_sd, "a log return"))
    # A short's payoff weighs j jumps by e^{j(mean + sd^2/2)}: sum far enough for the heavier of the two Poisson laws.
    heaviest = rate * max(1.0, np.exp(mean + 0.5 * sd**2))
    jumps = np.arange(int(heaviest + 12.0 * np.sqrt(heaviest)) + 40)
    spread = np.sqrt(noise**2 + jumps * sd**2)
    return float(np.sum(poisson.pmf(jumps, rate) * _option(1.0 - sign * buffer, start + jumps * mean, spread, sign)))


def gpd_shortfall(margin, threshold, tail_probability, shape, scale):
    """Loss with a generalised Pareto tail: ``P(L > x) = zeta (1 + xi (x - u) / beta)^{-1/xi}`` above the threshold u, ``xi < 1``.

    ``zeta (beta + xi (m - u)) / (1 - xi) (1 + xi (m - u) / beta)^{-1/xi}`` for a margin at or above the threshold; 0 past a bounded tail's
    end.
    """
    over = _buffer(margin) - finite("threshold", threshold, "a loss")
    checked("margin", over, lambda x: x >= 0, "must be at or above the threshold, where the tail law holds; margin - threshold")
    zeta = checked("tail_probability", tail_probability, lambda x: (x >= 0) & (x <= 1), "is the chance to exceed the threshold, in [0, 1]")
    xi = checked("shape", shape, lambda x: (x < 1) & np.isfinite(x), "is the tail shape, below 1 (the mean loss is infinite otherwise)")
    beta = positive("scale", scale, "the scale of the excess")
    grown = np.maximum(0.0, 1.0 + xi * over / beta)
    with np.errstate(divide="ignore"):
        log_tail = np.where(np.abs(xi) < 1e-12, -over / beta, -np.log(grown) / np.where(np.abs(xi) < 1e-12, 1.0, xi))
    return plain(np.where(grown > 0, zeta * beta * grown / (1.0 - xi) * np.exp(np.where(grown > 0, log_tail, 0.0)), 0.0))


def t_expected_shortfall(level, df, loc, scale):
    """Mean loss in the worst share ``1 - level`` of a Student-t loss: ``loc + scale f(q)/(1 - level) (df + q^2)/(df - 1)``."""
    mass = inside("level", level, "a confidence level")
    freedom = checked("df", df, lambda x: (x > 1) & np.isfinite(x), "is degrees of freedom, above 1 (the mean loss is infinite otherwise)")
    quantile = t.ppf(mass, freedom)
    factor = t.pdf(quantile, freedom) / (1.0 - mass) * (freedom + quantile**2) / (freedom - 1.0)
    return plain(finite("loc", loc, "the centre of the loss") + positive("scale", scale, "the scale of the loss") * factor)
