"""Sensitivity: which input decides an outcome, alone and together with which other.

Variance-based indices after Sobol: the share of an outcome's variance over the inputs' ranges that goes away when one input is known (first
order), that stays when all others are known (total), and that belongs to a pair beyond its two single shares. Runs share their random
numbers, so that the outcome is a function of the inputs and not of luck.

Two ways. Many inputs: Saltelli's design, estimated by SALib, whose pairs are noisy where an outcome is rare and large. The few that matter:
every combination on a grid (Gauss's nodes over a range), where variances are sums and need no sampling of the inputs. ``slices`` shows the
same without any index: means of the outcome at fixed values of one or two inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from SALib.analyze import sobol as _analyse
from SALib.sample import sobol as _sample
from scipy import stats

from perpkit._checks import between, typed

RESAMPLES = 200


@dataclass(frozen=True)
class Factor:
    """One uncertain input, uniform over its range or its levels.

    Parameters
    ----------
    name : what a function is given it as.
    low, high : range.
    log : uniform in the logarithm.
    levels : values to choose from with equal chances; replaces the range.
    label : in words, for tables and axes.

    Raises
    ------
    ValueError
        If the range is empty or not finite, or not positive where ``log``, or there is a range and levels, or fewer than two levels.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    levels: tuple = ()
    label: str = ""

    def __post_init__(self) -> None:
        typed(self)
        if self.levels:
            if len(self.levels) < 2 or self.low or self.high or self.log:
                raise ValueError(f"{self.name}: give two levels or more and no range; got {self.levels!r} and ({self.low!r}, {self.high!r})")
        elif not -math.inf < self.low < self.high < math.inf or (self.log and self.low <= 0.0):
            raise ValueError(f"{self.name}: low is below high, both finite, and above 0 in the logarithm; got ({self.low!r}, {self.high!r})")

    def nodes(self, count: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the range at which to look, and their weights, sum 1: Gauss-Legendre over a range, all levels alike."""
        if self.levels:
            count = len(self.levels)
            return (np.arange(count) + 0.5) / count, np.full(count, 1.0 / count)
        if int(count) != count or count < 2:
            raise ValueError(f"{self.name} is a range: count is its number of nodes, 2 or more; got {count!r}")
        x, w = np.polynomial.legendre.leggauss(int(count))
        return (x + 1.0) / 2.0, w / 2.0

    def at(self, share: float):
        """Value below which the share ``share`` of the range lies; of levels, the one whose turn it is."""
        if self.levels:
            return self.levels[min(int(share * len(self.levels)), len(self.levels) - 1)]
        if self.log:
            return math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True, eq=False)
class Design:
    """Saltelli's design: ``shares`` of shape (n (2 d + 2), d), one row a run, each column uniform on [0, 1)."""

    factors: tuple[Factor, ...]
    n: int
    shares: np.ndarray

    def rows(self) -> list[dict]:
        """The inputs of each run by name."""
        return [{factor.name: factor.at(u) for factor, u in zip(self.factors, row, strict=True)} for row in self.shares]

    @property
    def independent(self) -> np.ndarray:
        """Rows drawn independently of each other, shape (2 n,): the first and the last of each block. The others repeat their values."""
        size = 2 * len(self.factors) + 2
        starts = np.arange(self.n) * size
        return np.sort(np.concatenate((starts, starts + size - 1)))


def design(factors: Sequence[Factor], n: int, rng: int) -> Design:
    """Runs for first, total and pairwise indices: two scrambled Sobol points and their mixtures, ``n`` times.

    Raises
    ------
    ValueError
        If there are fewer than two factors, two of one name, ``n`` is no power of two, or ``rng`` is no whole number above 0.
    """
    given = _named(factors)
    if int(n) != n or n < 2 or n & (n - 1):
        raise ValueError(f"n is a power of two, 2 or more, which Sobol points need; got {n!r}")
    return Design(given, int(n), _sample.sample(_problem(given), int(n), seed=_seed(rng)))


def indices(plan: Design, outcome: np.ndarray, rng: int = 1, level: float = 0.9) -> pd.DataFrame:
    """First, total and pairwise indices of one outcome.

    Parameters
    ----------
    plan : the design.
    outcome : one number for each of its rows.
    rng : seed of the resampling behind the intervals.
    level : their coverage. They are Normal, from resampled blocks: an index near 0 may have an interval that reaches below.

    Returns
    -------
    DataFrame, one row an index: ``kind`` ("first", "total", "pair"), ``factor``, ``other`` (empty but for pairs), ``value``, ``low``,
    ``high``.

    Raises
    ------
    ValueError
        If the outcome has not one finite number a row, or does not vary.
    """
    y = np.asarray(outcome, dtype=float)
    if y.shape != (len(plan.shares),) or not np.isfinite(y).all():
        raise ValueError(f"the outcome has one finite number for each of the {len(plan.shares)} runs; got shape {y.shape}")
    if not np.ptp(y) > 0.0:
        raise ValueError(f"the outcome is {y[0]!r} in every run: there is no variance to share out")
    between("level", level, "a coverage")
    found = _analyse.analyze(_problem(plan.factors), y, num_resamples=RESAMPLES, conf_level=level, seed=_seed(rng))
    names = [factor.name for factor in plan.factors]
    rows = [(kind, name, "", found[key][j], found[f"{key}_conf"][j]) for kind, key in (("first", "S1"), ("total", "ST")) for j, name in enumerate(names)]
    rows += [("pair", names[j], names[k], found["S2"][j, k], found["S2_conf"][j, k]) for j, k in combinations(range(len(names)), 2)]
    table = pd.DataFrame(rows, columns=["kind", "factor", "other", "value", "half"])
    return table.assign(low=table["value"] - table["half"], high=table["value"] + table["half"]).drop(columns="half")


@dataclass(frozen=True, eq=False)
class Grid:
    """Every combination of the nodes of some factors: ``shares`` of shape (runs, d), the last factor fastest; ``shape``, nodes of each;
    ``weights`` of the nodes of each."""

    factors: tuple[Factor, ...]
    shape: tuple[int, ...]
    shares: np.ndarray
    weights: tuple[np.ndarray, ...]

    def rows(self) -> list[dict]:
        """The inputs of each run by name."""
        return [{factor.name: factor.at(u) for factor, u in zip(self.factors, row, strict=True)} for row in self.shares]

    def closed(self, outcome: np.ndarray, of: Sequence[str]) -> np.ndarray:
        """Mean of the outcome over all factors but those named, at each combination of their nodes, in the grid's order."""
        unknown = set(of) - {factor.name for factor in self.factors}
        if unknown:
            raise ValueError(f"of names factors of the grid, {', '.join(factor.name for factor in self.factors)}; got {sorted(unknown)}")
        y = self._shaped(outcome)
        for axis in reversed(range(len(self.factors))):
            if self.factors[axis].name not in of:
                y = np.tensordot(y, self.weights[axis], (axis, 0))
        return y

    def _shaped(self, outcome: np.ndarray) -> np.ndarray:
        y = np.asarray(outcome, dtype=float)
        if y.shape != (len(self.shares),) or not np.isfinite(y).all():
            raise ValueError(f"the outcome has one finite number for each of the {len(self.shares)} runs; got shape {y.shape}")
        return y.reshape(self.shape)

    def variance(self, outcome: np.ndarray, of: Sequence[str]) -> float:
        """Variance of :meth:`closed` over the factors named."""
        y = self.closed(outcome, of)
        held = [w for factor, w in zip(self.factors, self.weights, strict=True) if factor.name in of]
        mean, square = y, y**2
        for w in reversed(held):
            mean, square = mean @ w, square @ w
        return float(square - mean**2)


def grid(factors: Sequence[Factor], nodes: int | Mapping[str, int] = 4) -> Grid:
    """Every combination of Gauss nodes of each range, ``nodes`` of them or as many as it says for a factor, and all levels.

    Raises
    ------
    ValueError
        If there are fewer than two factors or two of one name, or a range has no number of nodes, or fewer than 2.
    """
    given = _named(factors)
    count = nodes if isinstance(nodes, Mapping) else {factor.name: nodes for factor in given}
    points = [factor.nodes(count.get(factor.name, 0)) for factor in given]
    mesh = np.meshgrid(*(x for x, _ in points), indexing="ij")
    shape = tuple(len(x) for x, _ in points)
    return Grid(given, shape, np.stack([axis.ravel() for axis in mesh], axis=1), tuple(w for _, w in points))


def grid_indices(plan: Grid, outcomes: np.ndarray, level: float = 0.9) -> pd.DataFrame:
    """First, total and pairwise indices on a grid.

    Variances come from products of different repetitions, so that random numbers that make the outcome rougher than it is add nothing to
    them; of a single repetition they do, as interaction.

    Parameters
    ----------
    outcomes : one row of outcomes for each repetition with random numbers of its own, shape (repetitions, runs).
    level : coverage of the interval, by the jackknife over three repetitions or more and Student's t; nan for fewer. What the grid itself
        leaves out between its nodes is not in it.

    Returns
    -------
    DataFrame as :func:`indices` gives it.

    Raises
    ------
    ValueError
        If the outcome has not one finite number a run, or does not vary, or ``level`` is not between 0 and 1.
    """
    between("level", level, "a coverage")
    names = [factor.name for factor in plan.factors]
    table = [(kind, a, b) for kind in ("first", "total") for a, b in zip(names, [""] * len(names), strict=True)]
    table += [("pair", a, b) for a, b in combinations(names, 2)]
    y = np.atleast_2d(np.asarray(outcomes, dtype=float))
    value, half, count = _on_grid(plan, y, table), np.full(len(table), np.nan), len(y)
    if count > 2:
        left_out = np.array([_on_grid(plan, np.delete(y, k, axis=0), table) for k in range(count)])
        error = np.sqrt((count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
        half = stats.t.ppf(0.5 + level / 2.0, count - 1) * error
    return pd.DataFrame(table, columns=["kind", "factor", "other"]).assign(value=value, low=value - half, high=value + half)


def _on_grid(plan: Grid, y: np.ndarray, table: list[tuple[str, str, str]]) -> np.ndarray:
    names, count = [factor.name for factor in plan.factors], len(y)

    def part(of: Sequence[str]) -> float:
        """Mean covariance of two repetitions, over the factors ``of``: what is left of their sum's variance without each one's own."""
        if count == 1:
            return plan.variance(y[0], of)
        return (plan.variance(y.sum(axis=0), of) - sum(plan.variance(row, of) for row in y)) / (count * (count - 1))

    whole = part(names)
    if not whole > 0.0:
        raise ValueError("the outcome is the same in every run, or differs by chance alone: there is no variance to share out")
    one = {name: part([name]) for name in names}
    found = []
    for kind, a, b in table:
        if kind == "first":
            found.append(one[a])
        elif kind == "total":
            found.append(whole - part([name for name in names if name != a]))
        else:
            found.append(part([a, b]) - one[a] - one[b])
    return np.array(found) / whole


def strongest_pair(table: pd.DataFrame) -> pd.Series:
    """The pair with the largest index in a table of :func:`indices`, with its rival: ``decided`` says whether its interval lies above the
    value of every other pair."""
    pairs = table[table["kind"] == "pair"].sort_values("value", ascending=False)
    first, rest = pairs.iloc[0], pairs["value"].iloc[1:]
    return first.drop("kind").rename("strongest pair").to_frame().T.assign(decided=bool(rest.empty or first["low"] > rest.max())).iloc[0]


def slices(plan: Design, outcome: np.ndarray, by: Sequence[str], bins: int = 4) -> pd.DataFrame:
    """Mean of the outcome where one or two inputs are held to a part of their range, all others free: no index, no surrogate.

    Parameters
    ----------
    by : names of one or two factors.
    bins : parts of equal width in which a range is cut; levels are their own parts.

    Returns
    -------
    DataFrame indexed by the inputs' values in the middle of each part: ``mean``, ``se`` and ``n``, over the independent rows of the design.

    Raises
    ------
    ValueError
        If a name is unknown, or there are not one or two.
    """
    names = [factor.name for factor in plan.factors]
    if not 1 <= len(by) <= 2 or any(name not in names for name in by):
        raise ValueError(f"by names one or two of {', '.join(names)}; got {list(by)!r}")
    keep = plan.independent
    y = np.asarray(outcome, dtype=float)[keep]
    parts = {}
    for name in by:
        factor = plan.factors[names.index(name)]
        count = len(factor.levels) or bins
        part = np.minimum((plan.shares[keep, names.index(name)] * count).astype(int), count - 1)
        middles = [factor.at((k + 0.5) / count) for k in range(count)]
        parts[name] = pd.Categorical.from_codes(part, middles, ordered=True)
    groups = pd.DataFrame(parts | {"y": y}).groupby(list(by), observed=True)["y"]
    return pd.DataFrame({"mean": groups.mean(), "se": groups.sem(), "n": groups.size()})


def _named(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    given = tuple(factors)
    names = [factor.name for factor in given]
    if len(given) < 2 or len(set(names)) < len(names):
        raise ValueError(f"factors are two or more, each with a name of its own; got {names}")
    return given


def _problem(factors: Sequence[Factor]) -> dict:
    return {"num_vars": len(factors), "names": [factor.name for factor in factors], "bounds": [[0.0, 1.0]] * len(factors)}


def _seed(rng: int) -> int:
    """SALib takes a seed of 0 for none at all."""
    if not isinstance(rng, (int, np.integer)) or isinstance(rng, bool) or rng < 1:
        raise ValueError(f"rng is a whole number of 1 or more; got {rng!r}")
    return int(rng)
