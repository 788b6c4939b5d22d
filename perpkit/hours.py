"""Hours: how fast a stock moves in session, on a week night and over a weekend, from closes and opens since 2010.

A week night (16:00 to 09:30, 17.5 hours) is a weekend without its middle: Friday evening and the hours from Sunday 20:00 are a night cut in
two. If they are as volatile as one, the variance of a weekend less that of a night belongs to the hours between, in which a 24/5 feed is
closed. French and Roll 1986 made such comparisons from close to close. Week nights and sessions here have no earnings report just before.

Intervals resample calendar years, which keeps a crisis together. There are 17; and with a tail index near 2.5 a variance has no finite
error, so that these numbers describe the years on record better than they predict others.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from perpkit import data, nights, sessions
from perpkit._checks import needs_generator
from perpkit.gaps import Bootstrap

SYMBOLS = ("TSLA", "NVDA", "QQQ", "SPY")
LEVEL = (0.025, 0.975)
RESAMPLES = 2000


def hourly(symbol: str, rng: np.random.Generator) -> pd.DataFrame:
    """Variance per hour of the session, the week night, the weekend and, as the difference of the last two, the closed window of a weekend.

    Parameters
    ----------
    symbol : ``"TSLA"``, ``"NVDA"``, ``"QQQ"`` or ``"SPY"``.

    Returns
    -------
    DataFrame with ``window``, ``hours`` (mean over the record, from the exchange's calendar), ``n``, ``sd`` (log return over the
        window) and ``per_hour``, the variance per hour over that of the session, with its 95 % interval (``per_hour_from``,
        ``per_hour_to``).

    Raises
    ------
    ValueError
        If the symbol is unknown or rng is no Generator.
    """
    check(symbol, rng)
    names = {"session": "session", "overnight": "week night", "weekend": "weekend"}
    each = {kind: record(symbol, kind) for kind in names}
    sums = {kind: by_year(moves) for kind, moves in each.items()}
    hours = np.array([mean_hours()[kind] for kind in (*names, "closed")])

    def rates(sums: dict[str, np.ndarray]) -> np.ndarray:
        session, night, weekend = (_variance(sums[kind]) for kind in names)
        return np.moveaxis(np.array([session, night, weekend, weekend - night]), 0, -1) / hours

    point = rates({kind: total.sum(axis=0) for kind, total in sums.items()})
    drawn = rates(resampled(sums, rng))
    low, high = np.quantile(drawn / drawn[:, :1], LEVEL, axis=0)
    counts = [len(moves) for moves in each.values()]
    return pd.DataFrame(
        {
            "window": [*names.values(), "closed window"],
            "hours": hours,
            "n": [*counts, counts[-1]],
            "sd": np.sqrt(np.maximum(point * hours, 0.0)),
            "per_hour": point / point[0],
            "per_hour_from": low,
            "per_hour_to": high,
        }
    )


def french_roll(symbol: str, rng: np.random.Generator) -> Bootstrap:
    """Variance from close to close over a weekend, over that from close to close over one night.

    French and Roll 1986 find a weekend 10.7 % above a single trading day, for US stocks from 1963 to 1982. Raises as :func:`hourly`.
    """
    check(symbol, rng)
    return _against(symbol, rng, lambda night, weekend: weekend / night, to_close=True)


def closed_difference(symbol: str, rng: np.random.Generator) -> Bootstrap:
    """One less the variance of a week night over that of a weekend, from close to open.

    The share of the weekend gap's variance that falls into the hours a 24/5 feed is closed, if the ends of a weekend are together an
    ordinary night. Raises as :func:`hourly`.
    """
    check(symbol, rng)
    return _against(symbol, rng, lambda night, weekend: 1.0 - night / weekend)


def record(symbol: str, kind: str, to_close: bool = False) -> pd.Series:
    """Log returns of one kind since 2010, indexed by opening date.

    ``kind`` is ``"weekend"``, all of them; or ``"overnight"`` or ``"session"``, those without an earnings report just before (NVDA's one
    false flag mended). Closures run to the open, or with ``to_close`` to the close after it.
    """
    rows = nights.closures(symbol)
    rows = rows[rows["kind"] == kind] if kind == "weekend" else rows[~rows["earnings"] & ((rows["kind"] == kind) | (kind == "session"))]
    if kind == "session":
        moves = rows["intraday"]
    else:
        moves = rows["gap"] + rows["intraday"] if to_close else rows["gap"]
    return moves.set_axis(pd.DatetimeIndex(rows["open_date"]))


def by_year(moves: pd.Series) -> np.ndarray:
    """Number, sum and sum of squares of each calendar year, shape (years, 3)."""
    values = moves.astype(float)
    parts = pd.DataFrame({"n": 1.0, "sum": values, "square": values**2})
    return parts.groupby(parts.index.year).sum().to_numpy()


def resampled(sums: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Totals of :func:`by_year` over as many years drawn with replacement, the same years for every key, each of shape (RESAMPLES, 3)."""
    years = len(next(iter(sums.values())))
    times = rng.multinomial(years, np.full(years, 1.0 / years), size=RESAMPLES)
    return {key: times @ each for key, each in sums.items()}


@lru_cache(maxsize=1)
def mean_hours() -> dict[str, float]:
    """Mean hours of a session, a week night and a weekend in ``closures.csv``, and of the part of that weekend a 24/5 feed is closed."""
    rows = data.closures("QQQ").set_index("open_date")
    start, end = rows["close_date"].min(), rows.index.max() + pd.Timedelta(days=1)
    cash, late = (sessions.closures(feed, start, end).set_index("next_session")["hours"].reindex(rows.index) for feed in ("cash", "24/5"))
    calendar = sessions.trading_calendar()
    opened = (calendar.closes[rows.index] - calendar.opens[rows.index]) / pd.Timedelta(hours=1)
    night, weekend = rows["kind"] == "overnight", rows["kind"] == "weekend"
    lengths = {"session": opened, "overnight": cash[night], "weekend": cash[weekend], "closed": late[weekend]}
    return {name: float(each.mean()) for name, each in lengths.items()}


def known(symbol: str) -> None:
    """Raise unless the symbol is one of ``SYMBOLS``."""
    if symbol not in SYMBOLS:
        raise ValueError(f"no weekends of {symbol!r} beside a future; choose one of {', '.join(map(repr, SYMBOLS))}")


def check(symbol: str, rng: np.random.Generator) -> None:
    """Raise unless the symbol is known and rng a Generator."""
    known(symbol)
    needs_generator(rng)


def _against(symbol: str, rng: np.random.Generator, ratio, to_close: bool = False) -> Bootstrap:
    """``ratio`` of the variances of nights and weekends, over the record and over resampled years."""
    sums = {kind: by_year(record(symbol, kind, to_close)) for kind in ("overnight", "weekend")}
    point = ratio(*(_variance(total.sum(axis=0)) for total in sums.values()))
    return Bootstrap(float(point), ratio(*(_variance(total) for total in resampled(sums, rng).values())))


def _variance(sums: np.ndarray) -> np.ndarray:
    n, total, square = np.moveaxis(sums, -1, 0)
    return square / n - (total / n) ** 2
