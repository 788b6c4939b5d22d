"""Families of distributions that scipy lacks: a tempered Student-t, a Normal that may jump once (Kou), a skew t with sound tails.

All are ``scipy.stats.rv_continuous``, to be frozen with ``loc`` and ``scale``. The first two let a short's mean loss exist, which no
Student-t log gap does, tempered apart. Tail probabilities keep their relative accuracy as far out as a float goes, because a shortfall is made of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special, stats

# Nodes and weights, in y / scale, of a trapezoid sum over the half line. y = exp(sinh(u c) / c - exp(-u)) dies out doubly exponentially at
# 0, and its slow growth at the other end follows a power tail as far as the tempering lets it go. Relative error below 1e-12 for df from 1
# to 200 and any rate (tests/test_laws.py).
_STEP, _BEND = 0.15, 0.15
_U = np.arange(-25, 134) * _STEP
_Y = np.exp(np.sinh(_BEND * _U) / _BEND - np.exp(-_U))
_LOG_W = np.log(_STEP * (np.cosh(_BEND * _U) + np.exp(-_U)) * _Y)
_ROWS = 4096
_CELLS = 600


def tempered_t_logpdf(z: np.ndarray, df: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Log density of ``tempered_t`` at ``z``, all arguments broadcast; the constant is computed once for each (df, rate) as given."""
    z, df, rate = (np.asarray(x, dtype=float) for x in (z, df, rate))
    return _log_kernel(z, df, rate) - _log_mass(df, rate)


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


def skew_t_logpdf(z: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Log density of ``scipy.stats.jf_skew_t`` at ``z``, all arguments broadcast, where scipy's own overflows or cancels.

    The lower tail falls like ``abs(z) ** (-2 a - 1)``, the upper like ``z ** (-2 b - 1)``; a = b is the Student-t with 2 a degrees of
    freedom. Source: Jones and Faddy 2003.
    """
    z, a, b = (np.asarray(x, dtype=float) for x in (z, a, b))
    root = np.sqrt(a + b + z**2)
    # 1 + z / root and 1 - z / root: the small one of the two is (a + b) / (root (root + |z|)).
    small, big = np.log((a + b) / (root * (root + np.abs(z)))), np.log1p(np.abs(z) / root)
    constant = (a + b - 1.0) * np.log(2.0) + special.betaln(a, b) + np.log(a + b) / 2.0
    return (a + 0.5) * np.where(z > 0.0, big, small) + (b + 0.5) * np.where(z > 0.0, small, big) - constant


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


def _log_kernel(z, df, rate):
    return -(df + 1.0) / 2.0 * np.log1p(z**2 / df) - rate * np.abs(z)


def _log_mass(df: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Log of the integral of the kernel over the line."""
    plain = special.gammaln(df / 2.0) - special.gammaln((df + 1.0) / 2.0) + np.log(df * np.pi) / 2.0
    return np.where(rate > 0.0, np.log(2.0) + _log_half(np.zeros(()), df, rate), plain)


def _log_half(a: np.ndarray, df: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Log of the integral of kernel(a + y) / kernel(a) over y > 0, for a >= 0."""
    a, df, rate = (x[..., None] for x in np.broadcast_arrays(a, df, rate))
    square = df + a**2
    scale = 1.0 / (rate + (df + 1.0) * a / square + 1.0 / (1.0 + a))
    y = scale * _Y
    power = np.exp(_LOG_W - (df + 1.0) / 2.0 * np.log1p(y / square * (2.0 * a + y)) - rate * y)
    return np.log(scale[..., 0] * power.sum(axis=-1))


class _TemperedT(stats.rv_continuous):
    """Student-t whose tails are tempered: density ``c t_df(z) exp(-rate |z|)``, z = (x - loc) / scale. Symmetric about loc.

    Shapes: ``df`` > 0, degrees of freedom before tempering; ``rate`` >= 0, per unit of scale, and ``rate = 0`` the Student-t itself. E[exp(x)]
    exists where ``rate / scale``, the tempering per unit of x, is above 1. After Koponen 1995, who tempers power laws this way.
    """

    def _argcheck(self, df, rate):
        return (df > 0.0) & np.isfinite(df) & (rate >= 0.0) & np.isfinite(rate)

    def _logpdf(self, x, df, rate):
        return _by_shape(tempered_t_logpdf, x, df, rate)

    def _pdf(self, x, df, rate):
        return np.exp(self._logpdf(x, df, rate))

    def _logsf(self, x, df, rate):
        return _by_shape(_tempered_t_logsf, x, df, rate)

    def _logcdf(self, x, df, rate):
        return self._logsf(-x, df, rate)

    def _sf(self, x, df, rate):
        return np.exp(self._logsf(x, df, rate))

    def _cdf(self, x, df, rate):
        return np.exp(self._logsf(-x, df, rate))

    def _isf(self, q, df, rate):
        return _by_shape(_tempered_t_isf, q, df, rate)

    def _ppf(self, q, df, rate):
        return -self._isf(q, df, rate)

    def _munp(self, n, df, rate):
        return np.zeros_like(df) if n % 2 else np.vectorize(_tempered_t_moment)(n, df, rate)

    def _stats(self, df, rate):
        second, fourth = self._munp(2, df, rate), self._munp(4, df, rate)
        with np.errstate(invalid="ignore"):
            return np.zeros_like(df), second, np.zeros_like(df), fourth / second**2 - 3.0


def _tempered_t_logsf(x, df, rate):
    if rate == 0.0:
        half = _log_of(special.betainc(df / 2.0, 0.5, df / (df + x**2)) / 2.0)
        return np.where(x >= 0.0, half, np.log1p(-np.exp(half)))
    half = np.empty_like(x)
    size = np.abs(x)
    for rows in range(0, x.size, _ROWS):
        part = size[rows : rows + _ROWS]
        half[rows : rows + _ROWS] = _log_kernel(part, df, rate) + _log_half(part, df, rate)
    half -= _log_mass(df, rate)
    return np.where(x >= 0.0, half, np.log1p(-np.exp(np.minimum(half, -np.log(2.0)))))


def _tempered_t_isf(q, df, rate):
    low = _invert(lambda x: _tempered_t_logsf(x, df, rate), lambda x: tempered_t_logpdf(x, df, rate), np.minimum(q, 1.0 - q), 0.0)
    return np.where(q <= 0.5, low, -low)


def _tempered_t_moment(n, df, rate):
    if rate == 0.0:
        return stats.t(df).moment(n) if n < df else np.inf
    scale = 1.0 / (rate + 1.0)
    y = scale * _Y
    return float(2.0 * scale * np.sum(np.exp(_LOG_W + n * np.log(y) + _log_kernel(y, df, rate) - _log_mass(df, rate))))


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
        return _by_shape(_kou_isf, q, *shapes)

    def _ppf(self, q, chance, upward, up, down):
        return -self._isf(q, chance, 1.0 - upward, down, up)

    def _munp(self, n, chance, upward, up, down):
        normal = [stats.norm.moment(k) for k in range(n + 1)]
        jump = [1.0 + 0.0 * chance] + [chance * special.factorial(k) * (upward * up**k + (1.0 - upward) * (-down) ** k) for k in range(1, n + 1)]
        return sum(special.comb(n, k) * normal[n - k] * jump[k] for k in range(n + 1))


class _SkewT(type(stats.jf_skew_t)):
    """``scipy.stats.jf_skew_t`` with tails that do not cancel: scipy's upper tail is one less a number near one. Shapes a, b > 0."""

    def _logpdf(self, x, a, b):
        return skew_t_logpdf(x, a, b)

    def _pdf(self, x, a, b):
        return np.exp(skew_t_logpdf(x, a, b))

    def _sf(self, x, a, b):
        root = np.sqrt(a + b + x**2)
        upper = (a + b) / (2.0 * root * (root + np.abs(x)))
        return np.where(x >= 0.0, special.betainc(b, a, upper), special.betaincc(a, b, upper))

    def _cdf(self, x, a, b):
        return self._sf(-x, b, a)

    def _isf(self, q, a, b):
        return -self._ppf(q, b, a)

    def _ppf(self, q, a, b):
        low, high = special.betaincinv(a, b, q), special.betainccinv(b, a, q)
        with np.errstate(divide="ignore"):
            return (low - high) * np.sqrt(a + b) / (2.0 * np.sqrt(low * high))


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
        return _invert(lambda x: _kou_logsf(x, chance, upward, up, down), lambda x: kou_logpdf(x, chance, upward, up, down), q, -down - 1.0)

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


def _by_shape(function: Callable, x: np.ndarray, *shapes: np.ndarray) -> np.ndarray:
    """``function(x, *shapes)`` with scalar shapes, once for each different set of them."""
    x, *shapes = np.broadcast_arrays(np.asarray(x, dtype=float), *shapes)
    if not x.size:
        return np.empty(x.shape)
    if all((shape == shape.flat[0]).all() for shape in shapes):
        return function(x.ravel(), *(shape.flat[0] for shape in shapes)).reshape(x.shape)
    sets, which = np.unique(np.array([shape.ravel() for shape in shapes]), axis=1, return_inverse=True)
    out = np.empty(x.size)
    for k, row in enumerate(sets.T):
        mine = np.ravel(which) == k
        out[mine] = function(x.ravel()[mine], *row)
    return out.reshape(x.shape)


def _invert(log_tail: Callable, log_pdf: Callable, q: np.ndarray, floor: float) -> np.ndarray:
    """Points x above ``floor`` with upper tail probability ``q``: a table, then Newton in the logarithm, kept within the table's cell."""
    target = _log_of(q)
    out = np.where(q <= 0.0, np.inf, floor)
    seek = np.isfinite(target)
    if not seek.any():
        return out
    wanted = target[seek]
    while log_tail(np.array([floor]))[0] < wanted.max():
        floor -= 1.0 + abs(floor)
    width = 1.0
    while log_tail(np.array([floor + width]))[0] > wanted.min():
        width *= 2.0
    grid = floor + np.sinh(np.linspace(0.0, np.arcsinh(width), _CELLS + 1))
    table = log_tail(grid)
    cell = np.clip(np.searchsorted(-table, -wanted), 1, _CELLS)
    low, high = grid[cell - 1], grid[cell]
    x = np.interp(-wanted, -table, grid)
    for _ in range(60):
        miss = log_tail(x) - wanted
        low, high = np.where(miss >= 0.0, x, low), np.where(miss < 0.0, x, high)
        step = x + miss * np.exp(miss + wanted - log_pdf(x))
        x = np.where((step >= low) & (step <= high), step, (low + high) / 2.0)
        if (np.abs(miss) < 1e-9).all():  # and one quadratic step further
            break
    out[seek] = x
    return out


def _log_of(p):
    with np.errstate(divide="ignore"):
        return np.log(p)


tempered_t = _TemperedT(name="tempered_t", shapes="df, rate")
skew_t = _SkewT(name="jf_skew_t")
kou = _Kou(name="kou", shapes="chance, upward, up, down")
