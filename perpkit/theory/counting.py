"""The reproduction number from what was seen: generations counted, sizes scattered, and a law put to the test.

Counting offspring over parents needs the event log of a run and is the sharp way; the scatter of sizes needs only totals and is the blunt
one. Both are held against ``reproduction`` in the tests and in the book.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

from perpkit.theory._check import checked, count, inside, not_negative, plain, positive


def dispersion_reproduction(mean, variance, size_cv=0.0):
    """n from the mean and variance of cascade sizes with a Poisson first generation: ``1 - sqrt((1 + c^2) mean / variance)``.

    Sizes as in :func:`mixed_variance`. Negative for a sample less scattered than a Poisson law. It reads the tail, so it is far noisier than
    :func:`estimate_reproduction`.
    """
    centre = checked("mean", mean, lambda x: (x > 0) & np.isfinite(x), "is the mean size, above 0")
    scatter = checked("variance", variance, lambda x: (x > 0) & np.isfinite(x), "is the variance of sizes, above 0")
    return plain(1.0 - np.sqrt((1.0 + not_negative("size_cv", size_cv, "sd over mean of sizes") ** 2) * centre / scatter))


class ReproductionEstimate(NamedTuple):
    """n from observed generations."""

    value: float
    """Offspring over parents, the maximum of the likelihood for Poisson offspring."""
    se: float
    """Its standard error for Poisson offspring, ``sqrt(n / parents)``."""
    robust_se: float
    """The same from the scatter between cascades, whatever the offspring law; NaN for fewer than two."""
    parents: float
    """Members whose offspring were seen."""
    offspring: float
    """Members triggered by others."""


def estimate_reproduction(generations, complete: bool = True) -> ReproductionEstimate:
    """n from the sizes of successive generations of one or more cascades.

    Parameters
    ----------
    generations
        A list with one array a cascade, the shock's own generation first. Counts, or notional over the mean account.
    complete
        Whether each cascade was seen to stop by itself: then its last generation are parents without offspring. Otherwise their
        offspring are unknown, and the last generation only counts as offspring.

    Notes
    -----
    Of cascades seen to their end with k ancestors in all, the estimate is ``1 - k / N``; its mean is ``n k / (k + 1)`` (by the
    Borel-Tanner law), so the bias is negligible beyond a few dozen ancestors.

    Raises
    ------
    ValueError
        If there is nobody whose offspring could be seen, or a size is negative.
    """
    parents, offspring = [], []
    for sizes in generations:
        seen = not_negative("generations", np.atleast_1d(np.asarray(sizes, dtype=float)), "an array of sizes a cascade")
        parents.append(seen.sum() if complete else seen[:-1].sum())
        offspring.append(seen[1:].sum())
    total, children = float(np.sum(parents)), float(np.sum(offspring))
    if total == 0:
        raise ValueError("generations holds no member whose offspring were seen; give at least one cascade that started")
    value = children / total
    left = np.asarray(offspring) - value * np.asarray(parents)
    several = len(parents)
    robust = float(np.sqrt(several / (several - 1) * np.sum(left**2)) / total) if several > 1 else float("nan")
    return ReproductionEstimate(value, float(np.sqrt(value / total)), robust, total, children)


class EpisodeReading(NamedTuple):
    """One episode as the linear book reads it; numbers or arrays."""

    reproduction: np.ndarray
    """Share of all sales that were forced: n, if the mark took in the whole move."""
    depth: np.ndarray
    """USD per unit log return, net of what refilled meanwhile."""
    density: np.ndarray
    """USD liquidated per unit of log price: liquidatable notional."""


def read_episode(sold, forced, move) -> EpisodeReading:
    """n, depth and liquidatable notional from an episode's three published numbers.

    Somebody sold ``sold`` USD, that liquidated ``forced`` USD, and the price moved by the log ``move``: ``n = forced / (sold + forced)``,
    depth ``(sold + forced) / |move|``, density ``forced / |move|``. First generation the sale itself, which the chain ``sold / (1 - n)``
    adds up to all sales. Bought and squeezed alike. Derived here; arguments broadcast.
    """
    start, caused = positive("sold", sold, "USD"), not_negative("forced", forced, "USD")
    size = np.abs(checked("move", move, lambda x: (x != 0) & np.isfinite(x), "is a log move, not 0"))
    return EpisodeReading(plain(caused / (start + caused)), plain((start + caused) / size), plain(caused / size))


class SizeTest(NamedTuple):
    """Chi-square test of cascade sizes against a law."""

    statistic: float
    pvalue: float
    cells: int
    """Cells compared, the rest of the law among them; degrees of freedom are one fewer."""
    rejected: bool
    """Whether the p-value is below the level."""


def size_test(sizes, law, first: int = 0, cells: int = 10, level: float = 1e-3) -> SizeTest:
    """Whether observed sizes follow ``law`` (a :class:`Cascade` or a :func:`borel_tanner`) on its probabilities from ``first`` on, and the rest.

    Pearson's statistic over ``cells`` sizes and all larger ones; neighbours are merged until each cell expects at least five. A true
    law is refused with probability ``level``, nearly: the statistic is chi-square only in large samples.

    Raises
    ------
    ValueError
        If a size lies below ``first``, or there are too few sizes for two cells.
    """
    seen = count("sizes", sizes, "a number of liquidations").ravel().astype(int)
    start, width = int(count("first", first, "the smallest size")), int(count("cells", cells, "a number of cells", least=1))
    limit = float(inside("level", level, "the chance of refusing a true law"))
    if seen.min() < start:
        raise ValueError(f"sizes must not lie below first, {start}; got {seen.min()}")
    chances = np.asarray(law.pmf(np.arange(start, start + width)), dtype=float)
    expected = np.append(chances, max(0.0, 1.0 - chances.sum())) * seen.size
    observed = np.bincount(np.minimum(seen - start, width), minlength=width + 1).astype(float)
    merged: list[list[float]] = []
    waiting = np.zeros(2)
    for pair in zip(expected, observed, strict=True):
        waiting = waiting + pair
        if waiting[0] >= 5.0:
            merged.append(list(waiting))
            waiting = np.zeros(2)
    if merged:
        merged[-1] = list(np.add(merged[-1], waiting))
    if len(merged) < 2:
        raise ValueError(f"sizes are too few for two cells that expect five each; got {seen.size}: give more, or fewer cells")
    wanted, got = np.array(merged).T
    statistic = float(np.sum((got - wanted) ** 2 / wanted))
    pvalue = float(chi2.sf(statistic, len(merged) - 1))
    return SizeTest(statistic, pvalue, len(merged), bool(pvalue < limit))
