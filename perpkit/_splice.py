"""A sample whose tails are generalised Pareto."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from perpkit._law import Law
from perpkit._parts import by_parts
from perpkit._sample import Empirical, steps


@dataclass(frozen=True)
class Tail:
    """A generalised Pareto tail: excess over ``threshold`` with ``P(excess > y) = (1 + shape y / scale)^(-1 / shape)``."""

    threshold: float
    shape: float
    scale: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.threshold, self.shape]).all() and 0.0 < self.scale < np.inf):
            raise ValueError(f"a tail needs a finite threshold and shape, and a scale above 0; got {self!r}")

    @property
    def excess(self) -> stats.distributions.rv_frozen:
        return stats.genpareto(self.shape, scale=self.scale)


@dataclass(frozen=True, eq=False)
class Spliced(Law):
    """A sample whose tails are generalised Pareto: the sample's own gaps between two thresholds, fitted excesses beyond them.

    The lower tail is one of the log gap, so that a long, who loses ``1 - exp(gap)``, loses less than everything however heavy the tail. The
    upper tail is one of the simple return ``exp(gap) - 1``, which is what a short loses: its mean exists whenever the shape is below 1,
    while a generalised Pareto log gap of any positive shape has an infinite E[exp(gap)].

    Parameters
    ----------
    name : for legends and messages.
    body : the gaps. The share of them strictly beyond a threshold is that tail's weight.
    lower : tail of ``-gap``, threshold ``-gap`` too.
    upper : tail of ``exp(gap) - 1``, threshold in the same units.

    Raises
    ------
    ValueError
        If no gap lies beyond a threshold, or the thresholds cross.
    """

    name: str
    body: Empirical
    lower: Tail
    upper: Tail

    def __post_init__(self) -> None:
        low, high = self._edges
        below, above = self.weights
        if not low < high or not below > 0.0 or not above > 0.0:
            raise ValueError(f"{self.name}: thresholds {low:.6g} and {high:.6g} need gaps beyond and between them; move them inward")

    @property
    def record(self) -> tuple[float, float]:
        """Lowest and highest log gap of the sample."""
        return self.body.record

    @property
    def weights(self) -> tuple[float, float]:
        """Probability of the lower and of the upper tail."""
        low, high = self._edges
        return float((self.body.gaps < low).mean()), float((self.body.gaps > high).mean())

    @property
    def _edges(self) -> tuple[float, float]:
        return -self.lower.threshold, float(np.log1p(self.upper.threshold))

    def _log_tail(self, x: np.ndarray, sign: float) -> np.ndarray:
        own, other = self._log_excess(x, sign), self._log_excess(x, -sign)
        counted = self.body._cdf(x)
        with np.errstate(divide="ignore"):
            middle = np.log1p(-counted) if sign > 0.0 else np.log(counted)
        low, high = self._edges
        # Beyond the own threshold the tail, beyond the other one all but the other tail.
        beyond, opposite = (x >= high, x < low) if sign > 0.0 else (x < low, x >= high)
        return np.where(beyond, own, np.where(opposite, np.log1p(-np.exp(other)), middle))

    def _log_excess(self, x: np.ndarray, sign: float) -> np.ndarray:
        """Log of P(G > x) (sign 1) above the upper threshold, of P(G <= x) below the lower one; the weight of the tail on its near side."""
        low, high = self._edges
        if sign < 0.0:
            return np.log(self.weights[0]) + self.lower.excess.logsf(np.maximum(low - x, 0.0))
        with np.errstate(over="ignore"):
            return np.log(self.weights[1]) + self.upper.excess.logsf(np.expm1(np.maximum(x, high)) - self.upper.threshold)

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return np.exp(self._log_tail(x, -1.0))

    def _quantile(self, p: np.ndarray) -> np.ndarray:
        below, above = self.weights
        low, high = self._edges
        inner = self.body._quantile(p)
        down = low - self.lower.excess.isf(np.minimum(p / below, 1.0))
        return np.where(p < below, down, np.where(p > 1.0 - above, self._up((1.0 - p) / above), np.clip(inner, low, high)))

    def _isf(self, p: np.ndarray) -> np.ndarray:
        above = self.weights[1]
        return np.where(p < above, self._up(p / above), self._quantile(1.0 - p))

    def _up(self, q: np.ndarray) -> np.ndarray:
        return np.log1p(self.upper.threshold + self.upper.excess.isf(np.minimum(q, 1.0)))

    def _by_parts(self, low: float, high: float, sign: float, power: float) -> float:
        edges = self._edges
        inner = self.body.gaps[(self.body.gaps >= edges[0]) & (self.body.gaps <= edges[1])]
        value = steps(inner, low, high, sign, power).sum() / len(self.body)
        for side, edge, weight in zip((-1.0, 1.0), edges, self.weights):
            # A tail is a step at its threshold, and its excess on the far side adds to what a short pays there, or takes from a long.
            start, end = (low, min(high, edge)) if side < 0.0 else (max(low, edge), high)
            excess = self._excess(start, end, side, power) if start < end else 0.0
            value += weight * float(steps(np.array([edge]), low, high, sign, power)[0]) + (excess if side == sign else -excess)
        return float(value)

    def _excess(self, low: float, high: float, sign: float, power: float) -> float:
        """``_by_parts`` of one tail alone, beyond its threshold."""
        tail, weight = (self.upper, self.weights[1]) if sign > 0.0 else (self.lower, self.weights[0])
        if sign > 0.0 and power == 1.0 and tail.shape < 1.0:
            return weight * (_mean_excess(tail, np.expm1(low)) - _mean_excess(tail, np.expm1(high)))
        edge = self._edges[1 if sign > 0.0 else 0]
        return by_parts(lambda x: self._log_excess(x, sign), low, high, sign, power, edge, tail.scale, self.name)

    def _has_mean(self, power: float) -> bool:
        return self.upper.shape * power < 1.0


def _mean_excess(tail: Tail, loss: float) -> float:
    """E[(L - loss)+] given an excess, for a loss at or above the threshold. Source: McNeil, Frey and Embrechts 2015, section 5.2."""
    over = loss - tail.threshold
    chance = float(tail.excess.sf(over))
    return (tail.scale + tail.shape * over) / (1.0 - tail.shape) * chance if chance > 0.0 else 0.0
