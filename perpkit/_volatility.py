"""Volatility known at the close: what a volatility model divides the gap by."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perpkit import data, gaps
from perpkit.laws import Empirical


MEASURES = ("days", "nights")
"""Volatilities known at the close: of the daily returns before it, or of the closures alone."""


def measure(volatility: bool | str) -> str | None:
    """The measure a ``volatility`` argument names: None for False, ``"days"`` for True.

    Raises
    ------
    ValueError
        If it is neither a boolean nor a name in ``MEASURES``.
    """
    if isinstance(volatility, (bool, np.bool_)):
        return "days" if volatility else None
    if volatility not in MEASURES:
        raise ValueError(f"volatility is False, True or one of {', '.join(map(repr, MEASURES))}; got {volatility!r}")
    return volatility


def trailing_volatility(symbol: str, days: int = 20, table: pd.DataFrame | None = None, of: str = "days") -> pd.Series:
    """How much the stock has moved lately, known at the close before each closure.

    Of ``"days"``: standard deviation of the last ``days`` daily log returns, close to close; a day's return is the gap into it plus its
    intraday move, over nights, holidays and weekends alike. Of ``"nights"``: mean absolute gap of the last ``days`` closures, those with an
    earnings report left out. The value at an opening date uses what was known at the close before that opening, and nothing of the closure
    itself.

    Parameters
    ----------
    symbol : a stock of ``closures.csv``, or of ``table``.
    days : number of returns or closures, 2 or more.
    table : closures of every kind to use instead, as :func:`perpkit.data.closures_from_ohlc` makes them.

    Returns
    -------
    Series over ``open_date`` of the closures with that much history, per day or per closure, not annualised.

    Raises
    ------
    ValueError
        If the symbol or ``of`` is unknown, ``days`` is below 2, or the table lacks a column, has a closure missing, or is too short.
    """
    if of not in MEASURES:
        raise ValueError(f"of is one of {', '.join(map(repr, MEASURES))}; got {of!r}")
    if isinstance(days, bool) or not isinstance(days, (int, np.integer)) or days < 2:
        raise ValueError(f"days is the number of daily returns, a whole number of 2 or more; got {days!r}")
    rows = data.closures(symbol) if table is None else table
    if lacking := {"close_date", "open_date", "gap", "intraday", "earnings"} - set(rows):
        raise ValueError(f"the table lacks {', '.join(sorted(lacking))}; make it with pk.data.closures_from_ohlc")
    if "symbol" in rows:
        rows = rows[rows["symbol"] == symbol]
    opened, closed = rows["open_date"].to_numpy(), rows["close_date"].to_numpy()
    if len(rows) <= days:
        raise ValueError(f"{len(rows)} closures of {symbol!r} are too few for a volatility over {days} days")
    if (torn := np.flatnonzero(opened[:-1] != closed[1:])).size:
        day = pd.Timestamp(opened[torn[0]])
        raise ValueError(f"the closures of {symbol!r} are not without a break: none follows the session of {day:%Y-%m-%d}; give every kind of closure")
    dates = pd.DatetimeIndex(opened, name="open_date")
    if of == "nights":
        quiet = rows["gap"].abs().where(~rows["earnings"].astype(bool))
        # A report every quarter leaves at least half of any stretch of closures.
        return pd.Series(quiet.to_numpy(), dates).rolling(days, min_periods=(days + 1) // 2).mean().shift(1).iloc[days:].rename("volatility")
    daily = pd.Series((rows["gap"] + rows["intraday"]).to_numpy(), dates)
    return daily.rolling(days).std().shift(1).iloc[days:].rename("volatility")


def with_history(
    symbol: str, kind: str, start: str | None, end: str | None, table: pd.DataFrame | None, of: str = "days"
) -> tuple[Empirical, np.ndarray]:
    """The gaps of :func:`perpkit.gaps.empirical` that have a trailing volatility, and it, shape (n,)."""
    sample = gaps.empirical(symbol, kind, start, end, table)
    volatility = trailing_volatility(symbol, table=table, of=of).reindex(sample.dates).to_numpy()
    known = np.isfinite(volatility)
    if not known.any():
        raise ValueError(f"no gap of {sample.name} has 20 daily returns before it; widen the choice")
    if (volatility[known] <= 0.0).any():
        raise ValueError(f"{sample.name} has 20 days without a move before {sample.dates[known][volatility[known] <= 0.0][0]:%Y-%m-%d}; mend its prices")
    return Empirical(sample.name, sample.gaps[known], sample.dates[known]), volatility[known]
