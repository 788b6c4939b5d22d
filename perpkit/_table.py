"""The distribution function of a smooth density, tabulated once and then read both ways at the cost of a polynomial.

A mixture of some hundred laws has a cheap density, a dear distribution function and no quantile. Each tail is integrated from its far end
inwards, so that a probability of 1e-200 keeps its leading digits, in cells that are halved until the polynomial in each reproduces the
integral of the density.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import chebyshev, legendre
from scipy import optimize

_ORDER = 10
_NODES, _WEIGHTS = legendre.leggauss(_ORDER)
# From densities at the nodes to Chebyshev coefficients of their integral from the left end of [-1, 1].
_PRIMITIVE = chebyshev.chebint(np.linalg.inv(chebyshev.chebvander(_NODES, _ORDER - 1)), lbnd=-1.0)
_RELATIVE = 3e-11  # of the smaller tail, at the middle of a cell
_HALVINGS = 40
_FLOOR = -460.0  # log density at which the table ends and is carried on log-linearly: 1e-200
_REACH = 340.0  # asinh of the widest standardised gap whose square a float holds


@dataclass(frozen=True, eq=False)
class TailTable:
    """P(V <= v) for v <= 0 of a density over the line, v = asinh((x - centre) / width) or its mirror image.

    Parameters
    ----------
    log_density : log density of V, of an array.
    """

    log_density: Callable[[np.ndarray], np.ndarray]

    @cached_property
    def _cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Edges (increasing, to 0), probability below each, coefficients of the integral within each cell, log slope at the far end."""
        scan = -np.concatenate((np.arange(0.0, 8.0, 0.25), np.arange(8.0, _REACH + 1.0)))
        k = int(np.argmax(self.log_density(scan) < _FLOOR))
        end = optimize.brentq(lambda v: self.log_density(np.array([v]))[0] - _FLOOR, scan[k], scan[k - 1], xtol=1e-6) if k else scan[-1]
        near = self.log_density(np.array([end, end + 1e-4]))
        slope = max((near[1] - near[0]) / 1e-4, 1e-8)
        beyond = np.exp(near[0]) / slope

        edges = np.unique(np.concatenate((np.arange(end, -8.0, 1.0), np.arange(max(end, -8.0), 0.0, 0.25), [0.0])))
        done: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        left, right = edges[:-1], edges[1:]
        whole = self._at_nodes(left, right)
        # Probability below, from a first pass: what the error of a cell is measured against.
        below = beyond + np.cumsum(_integral(whole))
        for _ in range(_HALVINGS):
            middle = (left + right) / 2.0
            halves = self._at_nodes(left, middle), self._at_nodes(middle, right)
            first, second = (_integral(half) for half in halves)
            coarse = chebyshev.chebval(0.0, _PRIMITIVE @ whole)
            # Both are lower bounds of what lies below: the first pass may have missed a steep cell's mass, never its successors'.
            base = np.maximum(below - second, first)
            missed = np.abs(_integral(whole) - first - second)
            good = (np.abs(coarse - first) <= _RELATIVE * base) & (missed <= _RELATIVE * np.maximum(below, first + second))
            done.append((left[good], right[good], whole[:, good]))
            if good.all():
                break
            bad = ~good
            left, right = np.concatenate((left[bad], middle[bad])), np.concatenate((middle[bad], right[bad]))
            whole, below = np.hstack([half[:, bad] for half in halves]), np.concatenate((base[bad], below[bad]))
        else:
            raise ValueError(f"the density has a jump near v = {left[0]:.6g}; a tabulated law needs a continuous one")
        left, right, whole = (np.concatenate(parts, axis=-1) for parts in zip(*done))
        order = np.argsort(left)
        coefficients = _PRIMITIVE @ whole[:, order]
        share = np.concatenate(([beyond], beyond + np.cumsum(_integral(whole[:, order]))))
        return np.append(left[order], 0.0), share, coefficients, slope

    def _at_nodes(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Density times half the cell's width at the nodes of each cell, shape (_ORDER, cells)."""
        half = (right - left) / 2.0
        points = (left + right) / 2.0 + half * _NODES[:, None]
        return np.exp(self.log_density(points.ravel())).reshape(points.shape) * half

    @property
    def total(self) -> float:
        """Probability at or below 0."""
        return float(self._cells[1][-1])

    def log_share(self, v: np.ndarray) -> np.ndarray:
        """Log of the probability at or below ``v``, for v <= 0."""
        edges, share, coefficients, slope = self._cells
        cell = np.clip(np.searchsorted(edges, v, side="right") - 1, 0, len(edges) - 2)
        inside = share[cell] + chebyshev.chebval(self._place(v, cell), coefficients[:, cell], tensor=False)
        outside = np.log(share[0]) + slope * (np.minimum(v, edges[0]) - edges[0])
        return np.where(v < edges[0], outside, np.log(np.maximum(inside, share[0])))

    def point(self, p: np.ndarray) -> np.ndarray:
        """The v with probability ``p`` at or below it, for p up to ``total``: Newton within a cell, bisection where it would leave it."""
        edges, share, coefficients, slope = self._cells
        cell = np.clip(np.searchsorted(share, p, side="right") - 1, 0, len(edges) - 2)
        c, want = coefficients[:, cell], p - share[cell]
        density = chebyshev.chebder(c)
        low, high = np.full(p.shape, -1.0), np.ones(p.shape)
        s = np.clip(2.0 * want / (share[cell + 1] - share[cell]) - 1.0, -1.0, 1.0)
        for _ in range(60):
            miss = chebyshev.chebval(s, c, tensor=False) - want
            low, high = np.where(miss < 0.0, s, low), np.where(miss < 0.0, high, s)
            with np.errstate(divide="ignore", invalid="ignore"):
                new = s - miss / chebyshev.chebval(s, density, tensor=False)
            new = np.where((new >= low) & (new <= high), new, (low + high) / 2.0)
            moved, s = np.abs(new - s), new
            if (moved <= 4e-15).all():
                break
        half = (edges[cell + 1] - edges[cell]) / 2.0
        inside = edges[cell] + half * (1.0 + s)
        with np.errstate(divide="ignore"):
            outside = edges[0] + (np.log(p) - np.log(share[0])) / slope
        return np.where(p < share[0], outside, np.minimum(inside, 0.0))

    def _place(self, v: np.ndarray, cell: np.ndarray) -> np.ndarray:
        edges = self._cells[0]
        return np.clip(2.0 * (v - edges[cell]) / (edges[cell + 1] - edges[cell]) - 1.0, -1.0, 1.0)


def _integral(at_nodes: np.ndarray) -> np.ndarray:
    return _WEIGHTS @ at_nodes
