"""Kou's law with one jump at most: density, tails, quantiles, and the option on it."""

from __future__ import annotations

import numpy as np
from scipy import special, stats

from perpkit._tails import by_shape, invert


def kou_logpdf(z: np.ndarray, chance: np.ndarray, upward: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Log density of ``kou`` at ``z``, all arguments broadcast; see there for the shapes."""
    z = np.asarray(z, dtype=float)
    rise, fall = 1.0 / np.asarray(up, dtype=float), 1.0 / np.asarray(down, dtype=float)
    # All three parts share the factor exp(-z^2/2): what is left is of order one where the Normal counts, and overflows where only jumps do.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        ups = chance * upward * rise / 2.0 * special.erfcx((rise - z) / np.sqrt(2.0))
        downs = chance * (1.0 - upward) * fall / 2.0 * special.erfcx((fall + z) / np.sqrt(2.0))
        near = np.log((1.0 - chance) / np.sqrt(2.0 * np.pi) + ups + downs) - z**2 / 2.0
    far = ~np.isfinite(near)
    if far.any():
        near = np.asarray(near)
        near[far] = _kou_far(*(x[far] for x in np.broadcast_arrays(z, chance, upward, rise, fall)))
    return near


def _kou_far(z, chance, upward, rise, fall):
    """The same where exp(z^2/2) overflows: logarithm by logarithm."""
    with np.errstate(divide="ignore", over="ignore"):
        normal = np.log1p(-chance) - z**2 / 2.0 - np.log(2.0 * np.pi) / 2.0
        ups = np.log(chance * upward) + _log_jump(z, rise)
        downs = np.log(chance * (1.0 - upward)) + _log_jump(-z, fall)
    return np.logaddexp(normal, np.logaddexp(ups, downs))


def _log_jump(z, rate):
    """Log density at ``z`` of a standard Normal plus an exponential jump of the given rate."""
    reach = rate - z
    with np.errstate(over="ignore"):
        behind = np.log(special.erfcx(np.maximum(reach, 0.0) / np.sqrt(2.0)) / 2.0) - z**2 / 2.0
    return np.log(rate) + np.where(reach > 0.0, behind, rate * (rate / 2.0 - z) + special.log_ndtr(-reach))


class _Kou(stats.rv_continuous):
    """Normal that may jump once: ``x = loc + scale (Z + J)``, Z standard Normal, J zero but with probability ``chance``.

    Shapes: ``chance`` in [0, 1], probability of a jump; ``upward`` in [0, 1], share of the jumps that go up; ``up`` and ``down`` > 0, mean
    sizes of the exponential jumps, in units of scale. E[exp(x)] exists while ``up * scale`` is below 1. After Kou 2002, whose jumps come at
    Poisson times: here a closure has one at most.
    """

    def _argcheck(self, chance, upward, up, down):
        shares = (chance >= 0.0) & (chance <= 1.0) & (upward >= 0.0) & (upward <= 1.0)
        return shares & (up > 0.0) & (down > 0.0) & np.isfinite(up) & np.isfinite(down)

    def _logpdf(self, x, chance, upward, up, down):
        return kou_logpdf(x, chance, upward, up, down)

    def _pdf(self, x, chance, upward, up, down):
        return np.exp(kou_logpdf(x, chance, upward, up, down))

    def _sf(self, x, chance, upward, up, down):
        return np.exp(_kou_logsf(x, chance, upward, up, down))

    def _logsf(self, x, chance, upward, up, down):
        return _kou_logsf(x, chance, upward, up, down)

    def _cdf(self, x, chance, upward, up, down):
        return np.exp(_kou_logsf(-x, chance, 1.0 - upward, down, up))

    def _logcdf(self, x, chance, upward, up, down):
        return _kou_logsf(-x, chance, 1.0 - upward, down, up)

    def _isf(self, q, *shapes):
        return by_shape(_kou_isf, q, *shapes)

    def _ppf(self, q, chance, upward, up, down):
        return -self._isf(q, chance, 1.0 - upward, down, up)

    def _munp(self, n, chance, upward, up, down):
        normal = [stats.norm.moment(k) for k in range(n + 1)]
        jump = [1.0 + 0.0 * chance] + [chance * special.factorial(k) * (upward * up**k + (1.0 - upward) * (-down) ** k) for k in range(1, n + 1)]
        return sum(special.comb(n, k) * normal[n - k] * jump[k] for k in range(n + 1))


def _kou_logsf(z, chance, upward, up, down):
    """By parts, P(Z + up jump > z) = P(Z > z) + up f(z) and P(Z - down jump > z) = P(Z > z) - down f(z), f the density of that sum."""
    with np.errstate(divide="ignore"):
        normal = special.log_ndtr(-z)
        ups = np.log(chance * upward * up) + _log_jump(z, 1.0 / up)
        # What the fall takes away, never more than the Normal's own tail.
        falls = np.minimum(np.log(down) + _log_jump(-z, 1.0 / down) - normal, 0.0)
        kept = np.log1p(-np.minimum(chance * (1.0 - upward) * np.exp(falls), 1.0))
    return np.minimum(np.logaddexp(normal + kept, ups), 0.0)


def _kou_isf(q, chance, upward, up, down):
    def upper(q, upward, up, down):
        return invert(lambda x: _kou_logsf(x, chance, upward, up, down), lambda x: kou_logpdf(x, chance, upward, up, down), q, -down - 1.0)

    high = q <= 0.5
    out = np.empty_like(q)
    out[high] = upper(q[high], upward, up, down)
    out[~high] = -upper(1.0 - q[~high], 1.0 - upward, down, up)
    return out


def kou_option(strike: float, sign: float, chance: float, upward: float, up: float, down: float, loc: float, scale: float) -> float:
    """E[(sign (exp(x) - strike))+] for x under ``kou``: the undiscounted call (sign 1, a short's loss) or put (sign -1, a long's).

    By parts from the tail probabilities, with m the mean log jump, d = (ln strike - loc) / scale and F = exp(loc + scale^2 / 2): the Normal's
    own option, and for jumps of mean m (negative downwards) F / (1 - m) in place of F, plus ``strike m / (1 - m)`` times ``m`` times the
    density of Normal plus jump at the strike. A call needs ``up * scale < 1``; a put with an upward mean of exactly 1 is its limit.
    """
    d = (np.log(strike) - loc) / scale
    forward = np.exp(loc + scale**2 / 2.0 + special.log_ndtr(-sign * (d - scale)))
    at_strike = strike * special.ndtr(-sign * d)
    value = (1.0 - chance) * sign * (forward - at_strike)
    for weight, mean, side in ((chance * upward, up, 1.0), (chance * (1.0 - upward), down, -1.0)):
        jump = side * mean * scale
        crossing = mean * np.exp(_log_jump(side * d, 1.0 / mean))
        if weight:
            value += weight * (sign * (forward / (1.0 - jump) - at_strike) + abs(jump) * strike * crossing / (1.0 - jump))
    return float(value)


kou = _Kou(name="kou", shapes="chance, upward, up, down")
