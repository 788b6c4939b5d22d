"""The Student-t fit behind :mod:`perpkit.tailindex`: likelihood, its derivatives, its maximum; and Hill's estimate of the same tail.

Parameters are (location, log scale, log degrees of freedom) throughout, where the likelihood is nearest to a parabola.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, special, stats

_MOST_FREEDOM = 200.0  # as in gaps.fit: beyond it a t is a Normal, and log df has no maximum to find


def hill(gaps: np.ndarray, share: float) -> tuple[float, float]:
    """Hill's tail index of ``|gaps|`` above their quantile ``1 - share``, and its asymptotic standard error, index over root k.

    k is the number of gaps used, ``share`` of all rounded down; gaps are taken about 0 and as independent. Under a t the estimate
    approaches the degrees of freedom only as share goes to 0. Source: Hill 1975.

    Raises
    ------
    ValueError
        If share is not in (0, 1), it leaves fewer than two gaps, or the gaps beyond do not vary.
    """
    size = np.sort(np.abs(np.asarray(gaps, dtype=float)))[::-1]
    if not 0.0 < share < 1.0:
        raise ValueError(f"share is the part of the gaps taken for the tail, between 0 and 1; got {share!r}")
    k = int(share * len(size) + 1e-9)
    if k < 2 or not size[0] > size[k] > 0.0:
        raise ValueError(f"the largest {k} of {len(size)} gaps are too few or too alike for a tail index; take a larger share")
    index = float(1.0 / np.log(size[:k] / size[k]).mean())
    return index, index / math.sqrt(k)


def hill_of_t(df: float, share: float) -> float:
    """Limit of Hill's estimate under a t: one over the mean log excess above the quantile, integrated over the tail's probability."""
    edge = stats.t.isf(share / 2.0, df)
    # The mean log excess is the integral of the survival function over log x, relative to that at the edge.
    decades = np.linspace(0.0, 60.0 / df, 4001)
    tail = stats.t.sf(edge * np.exp(decades), df) / (share / 2.0)
    return float(1.0 / np.trapezoid(tail, decades))


def log_likelihood(theta: np.ndarray, gaps: np.ndarray) -> float:
    """Log likelihood of ``gaps``, shape (n,), at (location, log scale, log df)."""
    return float(stats.t.logpdf(gaps, math.exp(theta[2]), theta[0], math.exp(theta[1])).sum())


def derivatives(theta: np.ndarray, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score of each gap, shape (n, 3), and Hessian of the log likelihood of all, shape (3, 3). Own differentiation."""
    scale, df = math.exp(theta[1]), math.exp(theta[2])
    z = (gaps - theta[0]) / scale
    square, root = z * z, df + z * z
    weight = (df + 1.0) / root
    steep = (square - 1.0) / root**2  # of the weight in df
    slope = 0.5 * (special.digamma((df + 1) / 2) - special.digamma(df / 2) - 1 / df - np.log1p(square / df) + weight * square / df)
    score = np.column_stack([weight * z / scale, weight * square - 1.0, df * slope])

    bend = 0.25 * (special.polygamma(1, (df + 1) / 2) - special.polygamma(1, df / 2)) + 0.5 / df**2
    bend = bend + 0.5 * square / (df * root) + 0.5 * square * (steep / df - weight / df**2)
    inner = weight * (df - square) / root  # of weight * z in z
    hessian = np.empty((3, 3))
    hessian[0, 0] = -inner.sum() / scale**2
    hessian[0, 1] = -(z * (inner + weight)).sum() / scale
    hessian[1, 1] = -2.0 * df * (weight * square / root).sum()
    hessian[0, 2] = df * (steep * z).sum() / scale
    hessian[1, 2] = df * (steep * square).sum()
    hessian[2, 2] = (df * slope + df**2 * bend).sum()
    lower = np.tril_indices(3, -1)
    hessian[lower] = hessian.T[lower]
    return score, hessian


def maximum(symbol: str, gaps: np.ndarray, held: float | None = None) -> np.ndarray:
    """Location, log scale and log df of the best t for ``gaps``, shape (n,); with ``held``, log df stays there.

    Raises
    ------
    ValueError
        If half of the gaps are alike, or the likelihood rises with the degrees of freedom without end. ``symbol`` is for the message.
    """
    centre, width = float(np.median(gaps)), float(np.subtract(*np.quantile(gaps, [0.75, 0.25])))
    if not width > 0.0:
        raise ValueError(f"half of the gaps of {symbol} are alike; a t cannot be fitted")
    unit = (gaps - centre) / width
    free = slice(0, 3 if held is None else 2)

    def whole(point: np.ndarray) -> np.ndarray:
        return point if held is None else np.append(point, held)

    def descend(point: np.ndarray) -> tuple[float, np.ndarray]:
        return -log_likelihood(whole(point), unit), -derivatives(whole(point), unit)[0].sum(axis=0)[free]

    start = np.array([0.0, math.log(0.6), math.log(3.0)])[free]
    bounds = [(-5.0, 5.0), (-8.0, 5.0), (math.log(0.1), math.log(_MOST_FREEDOM))][free]
    point = optimize.minimize(descend, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    for _ in range(4):  # Newton, from close by: to the last digits
        score, hessian = derivatives(whole(point), unit)
        point = point - np.linalg.solve(hessian[free, free], score.sum(axis=0)[free])
        if not np.abs(point).max() < math.log(_MOST_FREEDOM):
            break
    best = whole(np.clip(point, -10.0, 10.0))
    score, hessian = derivatives(best, unit)
    settled = np.abs(score.sum(axis=0)[free]).max() < 1e-6 * len(gaps) and np.linalg.eigvalsh(hessian[free, free])[-1] < 0.0
    if not settled or (held is None and best[2] > math.log(_MOST_FREEDOM)):
        raise ValueError(f"the {len(gaps)} gaps of {symbol} have no best t: they prefer ever more degrees of freedom, or too few; leave {symbol} out")
    return np.array([centre + width * best[0], best[1] + math.log(width), best[2]])
