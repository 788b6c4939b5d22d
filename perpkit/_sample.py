"""A sample of gaps as a law, and its bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from perpkit._law import Law
from perpkit._parts import check_draw, check_factor


@dataclass(frozen=True, eq=False)
class Empirical(Law):
    """Gaps as they were, each as likely as the next.

    Parameters
    ----------
    name : for legends and messages.
    gaps : log gaps, shape (n,).
    dates : dates of the opening at which each gap was seen, shape (n,).

    Raises
    ------
    ValueError
        If there is no gap, one is not finite, or gaps and dates differ in number.
    """

    name: str
    gaps: np.ndarray
    dates: pd.DatetimeIndex

    def __post_init__(self) -> None:
        gaps, dates = np.array(self.gaps, dtype=float), pd.DatetimeIndex(self.dates)
        if gaps.ndim != 1 or not gaps.size or len(dates) != gaps.size:
            raise ValueError(f"{self.name}: one date to each gap, and at least one gap; got shape {gaps.shape} and {len(dates)} dates")
        if not np.isfinite(gaps).all():
            bad = int(np.flatnonzero(~np.isfinite(gaps))[0])
            raise ValueError(f"{self.name}: gap {bad} ({dates[bad]:%Y-%m-%d}) is {gaps[bad]!r}; drop it or mend its prices")
        gaps.setflags(write=False)
        object.__setattr__(self, "gaps", gaps)
        object.__setattr__(self, "dates", dates)

    def __len__(self) -> int:
        return self.gaps.size

    @cached_property
    def _ordered(self) -> np.ndarray:
        return np.sort(self.gaps)

    @property
    def record(self) -> tuple[float, float]:
        """Lowest and highest log gap on record."""
        return float(self._ordered[0]), float(self._ordered[-1])

    def _quantile(self, p: np.ndarray) -> np.ndarray:
        steps = np.arange(1, len(self) + 1) / len(self)
        return self._ordered[np.searchsorted(steps, p)]

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._ordered, x, side="right") / len(self)

    def _by_parts(self, low: float, high: float, sign: float, power: float) -> float:
        return steps(self.gaps, low, high, sign, power).sum() / len(self)

    def _shortfall(self, margin: float, sign: float) -> float:
        return float(np.maximum(sign * np.expm1(self.gaps) - margin, 0.0).mean())

    def _has_mean(self, power: float) -> bool:
        return True

    def tail_share(self, margin: float, side: str = "long") -> float:
        """0: a sample has nothing beyond its record. Errors of ``shortfall``."""
        self.shortfall(margin, side)
        return 0.0

    def scaled(self, factor: float) -> Empirical:
        """The same dates with ``factor`` times their gaps."""
        return replace(self, gaps=check_factor(factor) * self.gaps)

    def bootstrap(self, statistic: Callable[[Empirical], float], n: int, rng: np.random.Generator, by: str = "weekend") -> Bootstrap:
        """``statistic`` of this law, and of ``n`` laws resampled from it with replacement.

        Parameters
        ----------
        statistic : function of an :class:`Empirical`, such as ``lambda law: law.shortfall(0.1)``.
        by : ``"weekend"`` redraws closures one by one, which takes them for independent; ``"year"`` redraws whole calendar years, which
            keeps a crisis together, and as many gaps as the years drawn hold.

        Raises
        ------
        ValueError
            If ``n`` is below 2 or ``by`` is unknown.
        """
        check_draw(n, rng)
        if n < 2:
            raise ValueError(f"n is the number of resamples, 2 or more; got {n!r}")
        if by not in ("weekend", "year"):
            raise ValueError(f"by is 'weekend' or 'year'; got {by!r}")
        years = [np.flatnonzero(self.dates.year == year) for year in self.dates.year.unique()]
        draws = np.empty(n)
        for i in range(n):
            if by == "weekend":
                rows = rng.integers(len(self), size=len(self))
            else:
                rows = np.concatenate([years[year] for year in rng.integers(len(years), size=len(years))])
            draws[i] = statistic(Empirical(self.name, self.gaps[rows], self.dates[rows]))
        return Bootstrap(float(statistic(self)), draws)


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """A statistic of a sample, and ``draws``: the same on resamples, shape (n,)."""

    value: float
    draws: np.ndarray

    @property
    def se(self) -> float:
        """Standard deviation over the resamples."""
        return float(np.std(self.draws, ddof=1))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval that holds the share ``level`` of the resamples."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"level is a share between 0 and 1; got {level!r}")
        low, high = np.quantile(self.draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        return float(low), float(high)


def steps(gaps: np.ndarray, low: float, high: float, sign: float, power: float) -> np.ndarray:
    """``Law._by_parts`` of a single gap, for each of several."""
    if sign > 0.0:
        return np.maximum(np.exp(power * np.minimum(gaps, high)) - np.exp(power * low), 0.0)
    return np.maximum(np.exp(power * high) - np.exp(power * np.maximum(gaps, low)), 0.0)
