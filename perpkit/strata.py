"""Strata: gaps placed where they decide, with the weights that undo it.

A fund is breached in the tails, but not only there: a book that cascades by itself does so on calm weekends. Gaps of equal probability put
one weekend in a thousand where one in a thousand lies; gaps at equal steps of the log odds put as many between one in a thousand and one in
ten thousand as between one in a hundred and one in a thousand. Strata of both kinds together serve both. A mean is then a weighted sum, and
so is the law of a loss: its quantiles, once in so many years, come from weekends that were run and not from a fitted curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from perpkit._checks import between, is_number, needs_generator, whole
from perpkit.estimate import Estimate
from perpkit.laws import Law

_GRID = 20_001
_NEIGHBOURS = 2
"""Strata on either side whose weekends could have been this one's."""


@dataclass(frozen=True, eq=False)
class Strata:
    """One gap from each stratum of a law, lowest first.

    Parameters
    ----------
    gaps : log gaps, shape (n,).
    weights : probability of each stratum, shape (n,), sum 1.
    record : lowest and highest log gap observed, or None.
    members : ratio of each posterior draw's density at each gap to the law's, shape (draws, n); empty for a law that is no posterior's.
    """

    gaps: np.ndarray
    weights: np.ndarray
    record: tuple[float, float] | None = None
    members: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False)

    def __len__(self) -> int:
        return len(self.gaps)

    @property
    def beyond(self) -> np.ndarray:
        """Which gaps lie beyond the worst or best on record, shape (n,); none where nothing was observed."""
        low, high = self.record or (-math.inf, math.inf)
        return (self.gaps < low) | (self.gaps > high)

    def mean(self, outcome: np.ndarray) -> Estimate:
        """Weighted mean of an outcome, shape (n,), with its standard error and the share of it from beyond the record.

        The error takes the spread inside a stratum to be that between neighbours, which is too much where the outcome changes with the gap:
        it errs on the safe side.
        """
        x = self._checked(outcome)
        terms = self.weights * x
        total = float(terms.sum())
        between = np.diff(x) ** 2 / 2.0
        spread = (np.append(between[:1], between) + np.append(between, between[-1:])) / 2.0
        share = float(terms[self.beyond].sum() / total) if total and self.record else math.nan
        return Estimate(total, math.sqrt(float((self.weights**2 * spread).sum())), len(x), share)

    def draws(self, outcome: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Mean of an outcome under each posterior draw, shape (draws,): the same weekends, reweighted; with ``rng`` those of :meth:`others`, so
        that the draws carry the error of the simulation too."""
        x = self._checked(outcome)
        if not len(self.members):
            return np.empty(0)
        weights = self.members * self.weights
        values = x if rng is None else self.others(x, len(weights), rng)
        return (weights * values).sum(axis=1) / weights.sum(axis=1)

    def others(self, outcome: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """What other weekends might have given, shape (count, n): each stratum's outcome replaced by one of its own and its neighbours', two on
        either side."""
        x = self._checked(outcome)
        moved = np.arange(len(x)) + rng.integers(-_NEIGHBOURS, _NEIGHBOURS + 1, (count, len(x)))
        return x[np.clip(moved, 0, len(x) - 1)]

    def exceed(self, outcome: np.ndarray, level: float | np.ndarray) -> float | np.ndarray:
        """Probability that an outcome exceeds ``level``, of the shape of ``level``."""
        x = self._checked(outcome)
        order = np.argsort(x)
        above = np.append(np.cumsum(self.weights[order][::-1])[::-1], 0.0)
        found = above[np.searchsorted(x[order], level, side="right")]
        return float(found) if np.ndim(level) == 0 else found

    def quantile(self, outcome: np.ndarray, exceeded: float, weights: np.ndarray | None = None) -> float:
        """Smallest level that an outcome exceeds with probability ``exceeded`` at most; ``weights`` other than the law's, if given."""
        between("exceeded", exceeded, "a probability")
        x = self._checked(outcome)
        order = np.argsort(x)
        w = (self.weights if weights is None else weights)[order]
        above = 1.0 - np.cumsum(w) / w.sum()
        return float(x[order][min(np.searchsorted(-above, -exceeded), len(x) - 1)])

    def quantile_draws(self, outcome: np.ndarray, exceeded: float, rng: np.random.Generator | None = None) -> np.ndarray:
        """:meth:`quantile` under each posterior draw, shape (draws,); with ``rng`` as in :meth:`draws`."""
        values = [outcome] * len(self.members) if rng is None else self.others(outcome, len(self.members), rng)
        return np.array([self.quantile(x, exceeded, member * self.weights) for x, member in zip(values, self.members, strict=True)])

    def _checked(self, outcome: np.ndarray) -> np.ndarray:
        x = np.asarray(outcome, dtype=float)
        if x.shape != self.gaps.shape or not np.isfinite(x).all():
            raise ValueError(f"an outcome has one finite number for each of the {len(self)} gaps; got shape {x.shape}, {np.isnan(x).sum()} of them nan")
        return x


def tail_strata(law: Law, n: int, rng: np.random.Generator, tails: float = 0.25, deepest: float = 1e-6) -> Strata:
    """Gaps of a law in ``n`` strata, one drawn in each: a share ``tails`` of them at equal steps of the log odds, the rest of equal
    probability.

    The outermost two strata hold everything beyond the probability ``deepest``. With a ``Predictive`` law the strata carry what
    reweights a run to every posterior draw.

    Raises
    ------
    ValueError
        If ``n`` is below 4 or odd, ``deepest`` is no probability below a half, ``tails`` is not above 0 and at most 1, or ``rng`` is no
        generator.
    """
    if whole("n", n, "an even number of strata", 4) % 2:
        raise ValueError(f"n is an even number of strata, 4 or more; got {n!r}")
    if not (is_number(deepest) and 0.0 < deepest < 0.5):
        raise ValueError(f"deepest is a probability, above 0 and below 0.5; got {deepest!r}")
    if not (is_number(tails) and 0.0 < tails <= 1.0):
        raise ValueError(f"tails is a share of the strata, above 0 and at most 1; got {tails!r}")
    needs_generator(rng)
    if not isinstance(law, Law):
        raise ValueError(f"law is a perpkit Law, such as perpkit.gaps.empirical('TSLA'); got {law!r}")
    # Half of the strata, as probabilities from the outside in; the other half is their mirror image, so that neither tail is rounded.
    odds = np.linspace(math.log(1.0 / deepest - 1.0), 0.0, _GRID)
    p = 1.0 / (1.0 + np.exp(odds))
    place = tails * (1.0 - odds / odds[0]) + (1.0 - tails) * 2.0 * (p - deepest) / (1.0 - 2.0 * deepest)
    edges = np.concatenate(([0.0], np.exp(np.interp(np.linspace(0.0, 1.0, n // 2), place, np.log(p)))))
    width = np.diff(edges)
    low, high = (edges[:-1] + width * rng.random(n // 2) for _ in range(2))
    tiny = np.nextafter(0.0, 1.0)
    gaps = np.concatenate((law.quantile(np.maximum(low, tiny)), law.isf(np.maximum(high, tiny))[::-1]))
    weights = np.concatenate((width, width[::-1]))
    members = np.zeros((0, 0))
    if hasattr(law, "members_logpdf"):
        members = np.exp(law.members_logpdf(gaps) - law.logpdf(gaps))
    return Strata(gaps, weights, law.record, members)


def reweighted(strata: Strata, old: Law, new: Law, tolerance: float = 0.05) -> Strata:
    """The same gaps under another law: what was run once serves both.

    Parameters
    ----------
    strata : of ``old``, by :func:`tail_strata`.
    new : law whose probabilities the weights become; a ``Predictive`` one brings its draws.
    tolerance : most by which the new weights may miss a sum of 1 before they are scaled to it.

    Raises
    ------
    ValueError
        If they miss it by more: then the gaps do not cover the new law.
    """
    weights = strata.weights * np.exp(new.logpdf(strata.gaps) - old.logpdf(strata.gaps))
    total = float(weights.sum())
    if not abs(total - 1.0) <= tolerance:
        raise ValueError(f"the weights of the new law add up to {total:.3f}, not 1: it lives on other gaps; draw strata of its own")
    members = np.zeros((0, 0))
    if hasattr(new, "members_logpdf"):
        members = np.exp(new.members_logpdf(strata.gaps) - new.logpdf(strata.gaps))
    return Strata(strata.gaps, weights / total, new.record, members)
