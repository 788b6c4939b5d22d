"""Laws of the log gap: what the next closure may do to the price.

A gap is ln(open / previous close) over a closure of the cash market. A venue on a 24/5 feed is closed for less of it, so for such a
venue these gaps are an upper bound. Per unit of notional at the close, a long loses ``1 - exp(gap)`` and a short ``exp(gap) - 1``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import integrate, stats

from perpkit import data

KINDS = ("weekend", "overnight", "holiday", "earnings")
LAWS = {"t": stats.t, "normal": stats.norm}

# Beyond this no sample here tells a t from a Normal, and the likelihood has no maximum to find.
_MOST_FREEDOM = 200.0


class Law(ABC):
    """A law of the log gap. All draws go through the quantile, so that two laws fed the same uniforms see the same weekends.

    Every law has a ``name`` for legends and messages, and a ``record``: lowest and highest log gap observed, None where nothing was.
    """

    name: str
    record: tuple[float, float] | None

    @abstractmethod
    def _quantile(self, p: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _cdf(self, x: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _shortfall(self, margin: float, sign: float) -> float: ...

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` independent gaps, shape (n,)."""
        _check_draw(n, rng)
        return self._quantile(np.maximum(rng.random(n), np.finfo(float).tiny))

    def stratified(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """One gap from each of ``n`` strata of equal probability, lowest first, shape (n,)."""
        _check_draw(n, rng)
        return self._quantile(np.clip((np.arange(n) + rng.random(n)) / n, np.finfo(float).tiny, np.nextafter(1.0, 0.0)))

    def quantile(self, p: float | np.ndarray) -> float | np.ndarray:
        """Lowest gap that at least the share ``p`` of the law lies at or below; in a sample, a gap on record, not interpolated."""
        shares = np.asarray(p, dtype=float)
        if not ((shares >= 0.0) & (shares <= 1.0)).all():
            raise ValueError(f"p is a probability, from 0 to 1; got {p!r}")
        return _like(p, self._quantile(shares))

    def cdf(self, x: float | np.ndarray) -> float | np.ndarray:
        """Share of the law at or below the log gap ``x``."""
        gaps = np.asarray(x, dtype=float)
        if np.isnan(gaps).any():
            raise ValueError(f"x is a log gap; got {x!r}")
        return _like(x, self._cdf(gaps))

    def shortfall(self, margin: float | np.ndarray, side: str = "long") -> float | np.ndarray:
        """Mean loss beyond ``margin`` per unit of notional at the close, E[(L - margin)+].

        Parameters
        ----------
        margin : collateral as a share of notional, 0 or more; 0.1 is a position opened at 10x.
        side : ``"long"``, L = 1 - exp(gap), or ``"short"``, L = exp(gap) - 1.

        Raises
        ------
        ValueError
            If margin or side is none of these, or the mean is infinite: a short's is under any law whose upper tail falls slower than
            exp(-gap), a Student-t among them.
        """
        margins = np.asarray(margin, dtype=float)
        if not (np.isfinite(margins) & (margins >= 0.0)).all():
            raise ValueError(f"margin is collateral as a share of notional, a finite number of 0 or more; got {margin!r}")
        if side not in ("long", "short"):
            raise ValueError(f"side is 'long' or 'short'; got {side!r}")
        sign = -1.0 if side == "long" else 1.0
        return _like(margin, np.array([self._shortfall(m, sign) for m in margins.ravel()]).reshape(margins.shape))


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

    def _shortfall(self, margin: float, sign: float) -> float:
        return float(np.maximum(sign * np.expm1(self.gaps) - margin, 0.0).mean())

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
        _check_draw(n, rng)
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


@dataclass(frozen=True, eq=False)
class Parametric(Law):
    """A frozen ``scipy.stats`` distribution of the log gap, such as ``scipy.stats.norm(0.0, 0.02)``.

    Its shortfall is in closed form for the Normal and by quadrature otherwise. ``record`` is that of the sample behind it, if any.
    """

    name: str
    dist: stats.distributions.rv_frozen
    record: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.dist, stats.distributions.rv_frozen):
            raise ValueError(f"dist is a frozen scipy.stats distribution, such as scipy.stats.t(2.4, 0.0, 0.01); got {self.dist!r}")

    def _quantile(self, p: np.ndarray) -> np.ndarray:
        return self.dist.ppf(p)

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return self.dist.cdf(x)

    def _shortfall(self, margin: float, sign: float) -> float:
        # P(gap > x) exp(x) dies out under every tail lighter than exp(-x); 700 is about the largest x whose exponential a float holds.
        if sign > 0.0 and self.dist.logsf(700.0) + 700.0 > 0.0:
            raise ValueError(
                f"a short's mean shortfall under {self.name} is infinite: the upper tail falls slower than exp(-gap), so E[exp(gap)] does not "
                "exist. Use gaps.empirical, law='normal' (which understates the tail), or a Parametric whose upper tail is bounded or tempered"
            )
        strike = 1.0 + sign * margin
        if strike <= 0.0:
            return 0.0
        return (_black_scholes if self.dist.dist.name == "norm" else _quadrature)(self.dist, strike, sign)


def empirical(
    symbol: str, kind: str = "weekend", start: str | None = None, end: str | None = None, table: pd.DataFrame | None = None
) -> Empirical:
    """The gaps of one stock, in date order.

    Parameters
    ----------
    symbol : a stock of ``closures.csv``, or of ``table``.
    kind : ``"weekend"`` and ``"holiday"`` as in :func:`perpkit.data.closures`; ``"overnight"``, one night without an earnings report;
        ``"earnings"``, any closure with one.
    start, end : first and last opening date, both included; the whole table by default.
    table : closures to use instead, as :func:`perpkit.data.closures_from_ohlc` makes them.

    Raises
    ------
    ValueError
        If symbol, kind or a date is unknown, the table lacks a column, or no gap is left.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind {kind!r} of gap; choose one of {', '.join(map(repr, KINDS))}")
    rows = data.closures(symbol) if table is None else table
    if lacking := {"open_date", "kind", "earnings", "gap"} - set(rows):
        raise ValueError(f"the table lacks {', '.join(sorted(lacking))}; make it with data.closures_from_ohlc")
    keep = rows["earnings"].astype(bool) if kind == "earnings" else rows["kind"] == kind
    if "symbol" in rows:
        keep &= rows["symbol"] == symbol
    if kind == "overnight":
        keep &= ~rows["earnings"].astype(bool)
    if start is not None:
        keep &= rows["open_date"] >= data.day("start", start)
    if end is not None:
        keep &= rows["open_date"] <= data.day("end", end)
    rows = rows[keep]
    if rows.empty:
        raise ValueError(f"no {kind} gap of {symbol!r} opened from {start or 'the first'} to {end or 'the last'} date; widen the choice")
    return Empirical(f"{symbol} {kind}", rows["gap"].to_numpy(), pd.DatetimeIndex(rows["open_date"]))


def fit(
    symbol: str, law: str = "t", kind: str = "weekend", start: str | None = None, end: str | None = None, table: pd.DataFrame | None = None
) -> Parametric:
    """Maximum likelihood fit of ``"t"`` (Student-t) or ``"normal"`` to the gaps of :func:`empirical`.

    Raises
    ------
    ValueError
        As :func:`empirical`; if ``law`` is unknown; if the gaps do not vary; or if a t has no finite best degrees of freedom.
    """
    if law not in LAWS:
        raise ValueError(f"no law {law!r}; choose one of {', '.join(map(repr, LAWS))}")
    sample = empirical(symbol, kind, start, end, table)
    centre, spread = float(np.median(sample.gaps)), float(np.std(sample.gaps))
    if not spread > 0.0:
        raise ValueError(f"{sample.name} has no gaps that differ ({len(sample)} in all); widen the choice")
    # In units of the sample: scipy's search stops early on gaps of half a percent (SPY: 1.87 degrees of freedom instead of 2.36).
    *shape, loc, scale = (float(value) for value in LAWS[law].fit((sample.gaps - centre) / spread))
    if law == "t" and shape[0] > _MOST_FREEDOM:
        raise ValueError(f"the {len(sample)} gaps of {sample.name} prefer ever more degrees of freedom: no t fits better than law='normal'")
    return Parametric(f"{sample.name}, {law}", LAWS[law](*shape, loc=centre + spread * loc, scale=spread * scale), sample.record)


def _black_scholes(dist: stats.distributions.rv_frozen, strike: float, sign: float) -> float:
    """E[(sign (e^g - strike))+] for a Normal g: the undiscounted put (longs) or call (shorts). Source: Black and Scholes 1973."""
    mean, sd = dist.mean(), dist.std()
    d = (np.log(strike) - mean) / sd
    return float(sign * (np.exp(mean + sd**2 / 2.0) * stats.norm.cdf(sign * (sd - d)) - strike * stats.norm.cdf(-sign * d)))


def _quadrature(dist: stats.distributions.rv_frozen, strike: float, sign: float) -> float:
    """The same for any law, as the tail probability integrated over the price beyond the strike, in stretches of the law's own width."""
    tail = dist.logsf if sign > 0.0 else dist.logcdf
    width = dist.ppf(0.75) - dist.ppf(0.25)
    stops = np.log(strike) + sign * width * np.array([0.0, 1.0, 10.0, 100.0, np.inf])
    pieces = [integrate.quad(lambda g: np.exp(tail(g) + g), a, b, epsabs=0.0, epsrel=1e-10)[0] for a, b in zip(stops, stops[1:])]
    return float(sign * sum(pieces))


def _check_draw(n: int, rng: np.random.Generator) -> None:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n is the number of draws, a whole number of 1 or more; got {n!r}")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is a numpy.random.Generator, from numpy.random.default_rng(seed); got {rng!r}")


def _like(argument: float | np.ndarray, result: np.ndarray) -> float | np.ndarray:
    """A float for a scalar argument, an array of its shape otherwise."""
    return float(result) if np.ndim(argument) == 0 else result
