"""Predictive: the law of the next gap when its parameters are known only as draws of a posterior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.polynomial import legendre
from scipy import stats

from perpkit._likelihood import LIKELIHOODS, Likelihood
from perpkit._parts import check_factor, scaled_record
from perpkit._table import TailTable
from perpkit.laws import Law

_CELLS = 300_000  # densities evaluated at a time
_MOST_COMPONENTS = 20_000

# Trapezoid nodes over a half line (Takahasi and Mori 1974): doubly exponential towards 0, geometric outwards, for power and thin tails alike.
_U = np.arange(-24, 134) * 0.15
_Y = np.exp(np.sinh(0.15 * _U) / 0.15 - np.exp(-_U))
_W = 0.15 * (np.cosh(0.15 * _U) + np.exp(-_U)) * _Y
# Panels over a stretch that ends at the law's centre: narrow there, each three times as wide as the one before.
_STOPS = np.concatenate(([0.0], 3.0 ** np.arange(-6, 1)))
_GAUSS, _GAUSS_W = legendre.leggauss(20)
_STRETCH = (_STOPS[:-1, None] + np.diff(_STOPS)[:, None] * (1.0 + _GAUSS) / 2.0).ravel()
_STRETCH_W = (np.diff(_STOPS)[:, None] * _GAUSS_W / 2.0).ravel()


@dataclass(frozen=True, eq=False)
class Predictive(Law):
    """Equal mixture of one family over posterior draws. A member is one draw, and where volatility is not given its mixture over volatilities.

    Parameters
    ----------
    name : for legends and messages.
    law : the family, a name in ``priors.LAWS``.
    parameters : those of the family of ``scipy.stats``, loc and scale last, each of shape (draws, volatilities): log-gap units.
    record : lowest and highest log gap observed, or None.

    Raises
    ------
    ValueError
        If the family is unknown, the parameters do not fit it or each other, or there are over 20,000 components.
    """

    name: str
    law: str
    parameters: tuple[np.ndarray, ...]
    record: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.law not in LIKELIHOODS:
            raise ValueError(f"no family {self.law!r}; choose one of {', '.join(map(repr, LIKELIHOODS))}")
        names, arrays = self._family.names, tuple(np.array(values, dtype=float) for values in self.parameters)
        if len(arrays) != len(names) or any(values.shape != arrays[0].shape or values.ndim != 2 or not values.size for values in arrays):
            raise ValueError(f"parameters are {', '.join(names)}, each of shape (draws, volatilities); got shapes {[a.shape for a in arrays]}")
        if arrays[0].size > _MOST_COMPONENTS:
            draws, volatilities = arrays[0].shape
            raise ValueError(f"{draws} draws at {volatilities} volatilities are too many; give fewer draws, or quantiles of the volatility")
        if not all(np.isfinite(values).all() for values in arrays) or not (arrays[-1] > 0.0).all():
            raise ValueError(f"parameters of {self.name} are finite, and scale above 0")
        for values in arrays:
            values.setflags(write=False)
        object.__setattr__(self, "parameters", arrays)

    def __len__(self) -> int:
        return len(self.parameters[0])

    @property
    def _family(self) -> Likelihood:
        return LIKELIHOODS[self.law]

    @property
    def members(self) -> list[stats.distributions.rv_frozen]:
        """The components, frozen: one a draw, or one a draw and volatility, a draw's side by side."""
        return [self._family.dist(*row[:-2], loc=row[-2], scale=row[-1]) for row in zip(*(p.ravel().tolist() for p in self.parameters))]

    def logpdf(self, x: float | np.ndarray) -> float | np.ndarray:
        """Log density at the log gap ``x``."""
        points = np.asarray(x, dtype=float)
        out = self._in_parts(points.ravel(), lambda part: _log_mean(part, 0))
        return float(out[0]) if points.ndim == 0 else out.reshape(points.shape)

    def members_logpdf(self, x: np.ndarray) -> np.ndarray:
        """Log density at the log gaps ``x`` under each draw, shape (draws, len(x))."""
        x = np.atleast_1d(np.asarray(x, dtype=float))
        draws, volatilities = self.parameters[0].shape
        out = np.empty((draws, x.size))
        at = 0
        for part in self._parts(x):
            stop = at + part.shape[1]
            out[:, at:stop] = part if volatilities == 1 else _log_mean(part.reshape(draws, volatilities, -1), 1)
            at = stop
        return out

    def members_shortfall(self, margin: float, side: str = "long") -> np.ndarray:
        """``shortfall`` under each draw, shape (draws,). Errors as there."""
        if not (np.isfinite(margin) and margin >= 0.0):
            raise ValueError(f"margin is collateral as a share of notional, a finite number of 0 or more; got {margin!r}")
        return self._members_shortfall(float(margin), self._sign(side))

    def scaled(self, factor: float) -> Predictive:
        """The same mixture with every loc and scale times ``factor``."""
        check_factor(factor)
        *shapes, loc, scale = self.parameters
        record = scaled_record(self.record, factor)
        return replace(self, name=f"{self.name}, scaled by {factor:.4g}", parameters=(*shapes, factor * loc, factor * scale), record=record)

    def _parts(self, x: np.ndarray):
        """Log densities of all components, shape (components, some of x), a cache's worth at a time."""
        columns = tuple(values.reshape(-1, 1) for values in self.parameters)
        step = max(_CELLS // len(columns[0]), 1)
        for start in range(0, x.size, step):
            yield self._family.logpdf(x[start : start + step], columns)

    def _in_parts(self, x: np.ndarray, reduce) -> np.ndarray:
        return np.concatenate([reduce(part) for part in self._parts(x)])

    @cached_property
    def _middle(self) -> tuple[float, float]:
        *_, loc, scale = self.parameters
        return float(np.median(loc)), float(np.median(scale))

    @cached_property
    def _tails(self) -> tuple[TailTable, TailTable]:
        """Lower and upper tail, each a table over v = -asinh of the distance from the middle."""
        centre, width = self._middle
        tails = tuple(
            TailTable(lambda v, side=side: self.logpdf(centre + side * width * np.sinh(-v)) + np.log(width) + np.log(np.cosh(v))) for side in (-1.0, 1.0)
        )
        if abs(tails[0].total + tails[1].total - 1.0) > 1e-9:
            raise ValueError(f"the density of {self.name} integrates to {tails[0].total + tails[1].total!r}; give parameters of a proper law")
        return tails

    def _log_tail(self, x: np.ndarray, sign: float) -> np.ndarray:
        centre, width = self._middle
        v = -np.arcsinh(np.abs(x - centre) / width)
        beyond = sign * (x - centre) >= 0.0
        out = np.empty(np.shape(x))
        own, other = self._tails[:: 1 if sign < 0.0 else -1]
        out[beyond] = own.log_share(v[beyond])
        out[~beyond] = np.log1p(-np.exp(other.log_share(v[~beyond])))
        return out

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return np.exp(self._log_tail(x, -1.0))

    def _quantile(self, p: np.ndarray) -> np.ndarray:
        return self._beyond(p, 1.0 - p)

    def _isf(self, p: np.ndarray) -> np.ndarray:
        return self._beyond(1.0 - p, p)

    def _beyond(self, below: np.ndarray, above: np.ndarray) -> np.ndarray:
        """The gap with these shares on either side of it, each as exact as the caller has it."""
        centre, width = self._middle
        lower, upper = self._tails
        low = below <= lower.total
        out = np.empty(np.shape(below))
        out[low] = centre - width * np.sinh(-lower.point(below[low]))
        out[~low] = centre + width * np.sinh(-upper.point(np.minimum(above[~low], upper.total)))
        return out

    def _has_mean(self, power: float) -> bool:
        *shapes, _, scale = self.parameters
        return bool((self._family.tail(*shapes) > power * scale).all())

    def _shortfall(self, margin: float, sign: float) -> float:
        return float(self._members_shortfall(margin, sign).mean())

    def _members_shortfall(self, margin: float, sign: float) -> np.ndarray:
        """Integral of the loss over the density beyond the strike: over the half line beyond the law's centre or the strike, whichever is
        farther, and over the stretch between the two where the strike is nearer."""
        strike = 1.0 + sign * margin
        if strike <= 0.0:  # nothing to lose, or by parity at a strike of 1
            return np.zeros(len(self)) if sign < 0.0 else self._members_shortfall(0.0, 1.0) - self._members_shortfall(0.0, -1.0) + 1.0 - strike
        *shapes, loc, scale = (values.reshape(-1, 1) for values in self.parameters)
        edge = np.log(strike)
        inner = np.maximum(sign * (loc - edge), 0.0)
        distance = np.maximum(sign * (edge - loc), 0.0) / scale
        size = scale / (1.0 + distance)
        total = np.zeros(len(loc))
        for start, y, weight in ((inner, size * _Y, size * _W), (0.0, inner * (1.0 - _STRETCH), inner * _STRETCH_W)):
            y = start + y
            density = self._family.logpdf(edge + sign * y, (*shapes, loc, scale))
            # exp(y) - 1 for a short and 1 - exp(-y) for a long, with y up to 1e27 scales.
            loss = np.log(-np.expm1(-np.maximum(y, 1e-300))) + (y if sign > 0.0 else 0.0)
            total += (np.exp(np.minimum(loss + density, 700.0)) * weight).sum(axis=1)
        return strike * total.reshape(self.parameters[0].shape).mean(axis=1)


def _log_mean(logs: np.ndarray, axis: int) -> np.ndarray:
    """Log of the mean of exp(logs) along an axis."""
    top = np.maximum(logs.max(axis=axis, keepdims=True), -1e300)
    return np.squeeze(top, axis) + np.log(np.exp(logs - top).mean(axis=axis))
