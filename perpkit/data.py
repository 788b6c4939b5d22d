"""Data: the tables of ``data/``, and the same table from a reader's own prices.

Every row of ``closures`` is one closure of the cash market: the log return from a close to the next open, and from that open to its
close. ``data/README.md`` gives source, formula, defects and licence of each file.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from perpkit.sessions import span_kind, timestamp, trading_calendar

KINDS = ("overnight", "weekend", "holiday")

# Largest log move taken for real, between a close and the next open or within a day: -39 % or +65 %. The widest in the tables, and in
# NVDA since 1999, is 0.365 (2004-08-06); the smallest split that hides in no market move, 2 for 1, is 0.693.
LARGEST_MOVE = 0.5
_SPLITS = np.array([2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50])
_SPLIT_SLACK = 0.2  # a split day's own move, log

_FLAGS = {"earnings", "contract_roll"}


def folder() -> Path:
    """Where the tables are: inside the package when it was installed from a wheel, beside it in a checkout."""
    packed = Path(__file__).parent / "_data"
    return packed if packed.is_dir() else Path(__file__).parents[1] / "data"


def load(name: str) -> pd.DataFrame:
    """One table of ``data/``: dates as timestamps, ``time_utc`` aware, flags as booleans, the rest as read. Yours to change: a copy.

    Raises
    ------
    ValueError
        If there is no table of that name.
    """
    choices = sorted(path.stem for path in folder().glob("*.csv"))
    if name not in choices:
        raise ValueError(f"no table {name!r} in data/; choose one of {', '.join(map(repr, choices))}")
    return _read(folder() / f"{name}.csv").copy()


@lru_cache(maxsize=None)
def _read(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path)
    for column in frame:
        if column.endswith("_date"):
            frame[column] = pd.to_datetime(frame[column], format="%Y-%m-%d").astype("datetime64[ns]")
        elif column == "time_utc":
            frame[column] = pd.to_datetime(frame[column], format="%Y-%m-%dT%H:%M:%SZ", utc=True)
        elif column in _FLAGS:
            if not frame[column].isin([0, 1]).all():
                raise ValueError(f"{column} of {path.name} is 0 or 1; row {int((~frame[column].isin([0, 1])).idxmax())} is not")
            frame[column] = frame[column] == 1
    return frame


def closures(symbol: str, kind: str | None = None, earnings: bool | None = None) -> pd.DataFrame:
    """The closures of one stock, in date order.

    Parameters
    ----------
    symbol : ``"TSLA"``, ``"NVDA"``, ``"SPY"`` or ``"QQQ"``.
    kind : ``"overnight"`` (1 calendar day to the next session), ``"holiday"`` (2) or ``"weekend"`` (3 or more); all by default.
    earnings : only closures with (True) or without (False) an earnings report; both by default.

    Returns
    -------
    DataFrame with ``symbol, close_date, open_date, calendar_days, kind, earnings, gap, intraday``; the last two are log returns.

    Raises
    ------
    ValueError
        If symbol or kind is unknown.
    """
    table = load("closures")
    symbols = list(table["symbol"].unique())
    if symbol not in symbols:
        raise ValueError(
            f"closures.csv has no {symbol!r}; choose one of {', '.join(map(repr, symbols))}, "
            f"or make a table from daily bars with pk.data.closures_from_ohlc, which gaps.empirical takes as table="
        )
    if kind is not None and kind not in KINDS:
        raise ValueError(f"no kind {kind!r} of closure; choose one of {', '.join(map(repr, KINDS))}, or None for all")
    keep = table["symbol"] == symbol
    if kind is not None:
        keep &= table["kind"] == kind
    if earnings is not None:
        keep &= table["earnings"] == earnings
    return table[keep].reset_index(drop=True)


def closures_from_ohlc(
    frame: pd.DataFrame,
    calendar: str = "XNYS",
    symbol: str | None = None,
    earnings: Iterable | Mapping[str, Iterable] = (),
    genuine: Iterable = (),
) -> pd.DataFrame:
    """The table of :func:`closures` from daily bars.

    Parameters
    ----------
    frame : one row a session, in date order, split-adjusted; dates in a DatetimeIndex or a ``date`` column, prices in ``open`` and
        ``close``
        (any case). Several stocks as a ``symbol`` or ``ticker`` column, or as a second column level the way ``yfinance.download`` gives
        them; in that wide form the empty rows before a later listing are passed over. A 3 for 2 split left in the prices (0.405) is
        not told from a market move.
    calendar : name known to ``exchange_calendars``, against which sessions are counted.
    symbol : name for the ``symbol`` column where the frame has none; without it the column is left out.
    earnings : report dates. A date marks the closure it falls in: that session's evening, or the weekend. A report before the open
        belongs to the day before. With several stocks, a mapping from symbol to dates.
    genuine : opening dates of moves beyond ``LARGEST_MOVE`` that really happened.

    Returns
    -------
    DataFrame with the columns of :func:`closures`, unrounded; one row fewer per stock than sessions.

    Raises
    ------
    ValueError
        For a missing column; unsorted or duplicate dates; a session of the calendar without a row, or a row without a session; a price
        missing or not above 0; a move that only a split or a bad print explains; an earnings date outside of the bars.
    """
    accepted = _days("genuine", genuine)
    stocks = _by_symbol(frame, symbol)
    if not isinstance(earnings, Mapping):
        dates = _days("earnings", earnings)
        if len(dates) and len(stocks) > 1:
            raise ValueError(f"earnings of {len(stocks)} stocks come as a mapping from symbol to dates; got one list of {len(dates)}")
        earnings = dict.fromkeys(stocks, dates)
    if unknown := set(earnings) - set(stocks):
        raise ValueError(f"earnings name {sorted(map(str, unknown))}, but the frame holds {sorted(map(str, stocks))}")
    tables = [_table(name, bars, calendar, _days("earnings", earnings.get(name, ())), accepted) for name, bars in stocks.items()]
    return pd.concat(tables, ignore_index=True)


def day(name: str, value: str | datetime.date) -> pd.Timestamp:
    """The date of ``value`` on its own clock, without a time zone. Raises ValueError, naming ``name``, if it is no date, or one in words or
    in an order that would have to be guessed."""
    moment = timestamp(value)
    if moment is pd.NaT:
        raise ValueError(f"{name}: {value!r} is no date; write it as '2025-12-19'")
    return moment.tz_localize(None).normalize()


def _by_symbol(frame: pd.DataFrame, symbol: str | None) -> dict[str | None, pd.DataFrame]:
    """Bars of each stock with columns ``open`` and ``close`` and a plain date index."""
    if not isinstance(frame, pd.DataFrame) or frame.empty:
        raise ValueError(f"bars come as a DataFrame with rows; got {type(frame).__name__} of shape {np.shape(frame)}")
    columns = frame.columns
    if columns.nlevels == 2:
        lower = [{str(label).lower() for label in columns.get_level_values(level)} for level in (0, 1)]
        price = next((level for level in (0, 1) if {"open", "close"} <= lower[level]), None)
        if price is None:
            raise ValueError(f"neither level of the columns holds 'open' and 'close'; got {list(columns)[:6]}")
        names = list(dict.fromkeys(columns.get_level_values(1 - price)))
        wide = {name: _bars(name, frame.xs(name, axis=1, level=1 - price)) for name in names}
        return {name: bars.loc[bars.notna().any(axis=1).idxmax() :] for name, bars in wide.items()}
    labels = {str(label).lower(): label for label in columns}
    group = next((labels[word] for word in ("symbol", "ticker") if word in labels), None)
    if group is None:
        return {symbol: _bars(symbol, frame)}
    if frame[group].isna().any():
        raise ValueError(f"column {group!r} is empty in {int(frame[group].isna().sum())} rows; name the stock of every row")
    return {name: _bars(name, bars) for name, bars in frame.groupby(group, sort=False)}


def _bars(name: str | None, frame: pd.DataFrame) -> pd.DataFrame:
    labels = [str(label).lower() for label in frame.columns]
    for word in ("open", "close"):
        if labels.count(word) != 1:
            raise ValueError(f"{_of(name)} needs one column {word!r}, upper or lower case; the columns are {list(frame.columns)}")
    if isinstance(frame.index, pd.DatetimeIndex):
        dates = frame.index
    elif labels.count("date") == 1:
        dates = _days(f"date of {_of(name)}", frame.iloc[:, labels.index("date")])
    else:
        raise ValueError(f"{_of(name)} has no dates; give a DatetimeIndex or a column 'date' (the index is {type(frame.index).__name__})")
    prices = {word: pd.to_numeric(frame.iloc[:, labels.index(word)], errors="coerce").to_numpy(float) for word in ("open", "close")}
    # A bar's date is the one on its own clock: midnight in New York stays that day, whatever day it is in UTC.
    return pd.DataFrame(prices, index=dates.tz_localize(None).normalize().as_unit("ns").rename("date"))


def _table(name: str | None, bars: pd.DataFrame, calendar: str, reports: pd.DatetimeIndex, genuine: pd.DatetimeIndex) -> pd.DataFrame:
    _check(name, bars, calendar)
    days, opened, closed = bars.index, bars["open"].to_numpy(), bars["close"].to_numpy()
    gap, intraday = np.log(opened[1:] / closed[:-1]), np.log(closed / opened)
    _check_splits(name, days[1:], gap, "from the close before to the open of", genuine)
    _check_splits(name, days, intraday, "from open to close of", genuine)

    outside = reports[(reports < days[0]) | (reports >= days[-1])]
    if len(outside):
        raise ValueError(f"{_of(name)} runs from {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}; no closure holds a report of {_list(outside)}")
    reported = np.zeros(len(gap), dtype=bool)
    reported[days.searchsorted(reports, side="right") - 1] = True
    between = (days[1:] - days[:-1]).days.to_numpy()
    table = pd.DataFrame(
        {
            "symbol": name,
            "close_date": days[:-1],
            "open_date": days[1:],
            "calendar_days": between,
            "kind": span_kind(between),
            "earnings": reported,
            "gap": gap,
            "intraday": intraday[1:],
        }
    )
    return table if name is not None else table.drop(columns="symbol")


def _check(name: str | None, bars: pd.DataFrame, calendar: str) -> None:
    days = bars.index
    if days.isna().any():
        raise ValueError(f"{_of(name)} has {int(days.isna().sum())} rows without a date; drop or date them")
    if days.has_duplicates:
        twice = days[days.duplicated()].unique()
        raise ValueError(f"{_of(name)} has more than one row for {_list(twice)}; keep one bar a session")
    if not days.is_monotonic_increasing:
        late = int(np.flatnonzero(days[1:] < days[:-1])[0]) + 1
        raise ValueError(f"{_of(name)} is not in date order: {days[late]:%Y-%m-%d} follows {days[late - 1]:%Y-%m-%d}; sort it by date")
    if len(days) < 2:
        raise ValueError(f"{_of(name)} has {len(days)} row; a closure lies between two sessions")

    sessions = trading_calendar(calendar)
    low, high = sessions.first_session, sessions.last_session
    if days[0] < low or days[-1] > high:
        raise ValueError(f"{calendar!r} covers {low:%Y-%m-%d} to {high:%Y-%m-%d}, {_of(name)} {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}; cut it")
    due = sessions.sessions_in_range(days[0], days[-1])
    if len(extra := days.difference(due)):
        raise ValueError(f"{_of(name)} has rows on days that are no {calendar!r} session: {_list(extra)}; drop them or name another calendar")
    if len(missing := due.difference(days)):
        raise ValueError(f"{_of(name)} lacks {calendar!r} sessions: {_list(missing)}; add the rows, or a gap would span them")
    for word in ("open", "close"):
        price = bars[word].to_numpy()
        bad = ~(np.isfinite(price) & (price > 0.0))
        if bad.any():
            raise ValueError(f"{word} of {_of(name)} is not a price above 0 on {_list(days[bad])} (first: {price[bad][0]!r}); mend or cut those rows")


def _check_splits(name: str | None, days: pd.DatetimeIndex, move: np.ndarray, where: str, genuine: pd.DatetimeIndex) -> None:
    wide = (np.abs(move) > LARGEST_MOVE) & ~days.isin(genuine)
    if not wide.any():
        return
    first = int(np.flatnonzero(wide)[0])
    day, size = days[first], move[first]
    away = np.abs(np.abs(size) - np.log(_SPLITS))
    split = f"{_SPLITS[away.argmin()]} for 1" if size < 0.0 else f"1 for {_SPLITS[away.argmin()]}"
    cause = f"a split of {split} left in the prices" if away.min() < _SPLIT_SLACK else "a bad print"
    more = f", and {int(wide.sum()) - 1} more like it" if wide.sum() > 1 else ""
    raise ValueError(
        f"{_of(name)} moves by {np.expm1(size):+.1%} {where} {day:%Y-%m-%d}{more}, which looks like {cause}; "
        f"use split-adjusted opens and closes, or name the date in genuine=['{day:%Y-%m-%d}'] if it happened"
    )


def _days(name: str, values: Iterable) -> pd.DatetimeIndex:
    # One by one, because offsets change with the season.
    return pd.DatetimeIndex([day(name, value) for value in ([values] if isinstance(values, str) else values)], dtype="datetime64[ns]")


def _of(name: str | None) -> str:
    return "the frame" if name is None else str(name)


def _list(days: pd.DatetimeIndex) -> str:
    shown = ", ".join(f"{day:%Y-%m-%d}" for day in days[:3])
    return shown if len(days) <= 3 else f"{shown} and {len(days) - 3} more"
