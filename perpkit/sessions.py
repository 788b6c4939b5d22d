"""Sessions: when the reference prints and when it does not.

Hours come from the ``exchange_calendars`` package, with its holidays, half days and days of mourning; nothing here lists a date. Two
feeds matter to a perp, and differ by a factor of nearly three in the hours they are closed each week.
"""

from __future__ import annotations

import datetime
import re
import warnings
from functools import lru_cache

import exchange_calendars as xc
import numpy as np
import pandas as pd

FEEDS = ("24/5", "cash")

# NYSE moved its opening to 09:30 on 1985-09-30. Earlier, exchange_calendars 4.13 still says 09:30 to 16:00, and takes Christmas 1962,
# 1963, 1964 and 1969 for sessions.
_EARLIEST = pd.Timestamp("1985-10-01")
_NEW_YORK = "America/New_York"
_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T].*)?")


@lru_cache(maxsize=8)
def trading_calendar(name: str = "XNYS") -> xc.ExchangeCalendar:
    """Sessions of one exchange, from October 1985, or as far back as the package knows it, to a year from today.

    Raises
    ------
    ValueError
        If ``exchange_calendars`` has no calendar of that name.
    """
    with warnings.catch_warnings():
        # exchange_calendars 4.13 uses what pandas 3.1 deprecates; nothing a reader of this package could act on.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            recent = xc.get_calendar(name)
        except xc.errors.InvalidCalendarName as error:
            raise ValueError(
                f"no exchange calendar {name!r}; use a code of exchange_calendars.get_calendar_names(), 'XNYS' for New York"
            ) from error
        bound = recent.bound_min()
        try:
            return xc.get_calendar(name, start=_EARLIEST if bound is None else max(_EARLIEST, bound))
        except ValueError:  # a calendar whose special days do not hold that far back (Tel Aviv): its own default, twenty years
            return recent


def span_kind(calendar_days: np.ndarray) -> np.ndarray:
    """Name the closure between two sessions by the calendar days from one to the other, shape (n,).

    1 is ``overnight``; 2 is ``holiday``, one weekday without a session; 3 or more is ``weekend``, two or more days without one, which
    takes in long weekends, September 2001 and the 2012 storm.
    """
    return np.select([calendar_days == 1, calendar_days == 2], ["overnight", "holiday"], "weekend")


def closures(feed: str, start: str | pd.Timestamp, end: str | pd.Timestamp, calendar: str = "XNYS") -> pd.DataFrame:
    """Every closure of a feed that begins from ``start`` up to, not including, ``end``.

    Parameters
    ----------
    feed : ``"cash"``, open in the exchange's regular session only; or ``"24/5"``, in which session D runs from 20:00 New York on the day
        before to 20:00 on D (session dating: Blue Ocean ATS help page on ex-dividend dates, read 2026-10; the same hours as trade.xyz's
        external pricing, docs.trade.xyz US stocks page, read 2026-10). On a half day the late session ends at 17:00 (NYSE Group
        holiday announcement of 2021-12-27; in 2018 a copy of the list still said 16:00).
    start, end : dates or times. Without a time zone they are New York time, and a bare date is its midnight.
    calendar : name known to ``exchange_calendars``. ``"24/5"`` needs a New York exchange.

    Returns
    -------
    DataFrame, one row a closure, in order of time:
        ``start``, ``end`` (America/New_York), ``hours`` (elapsed, so 47 or 49 where the clocks change), ``kind`` (``weekend`` and
        ``holiday`` as in :func:`span_kind`; between sessions on consecutive days ``early close`` after a half day and ``weeknight``
        otherwise), ``early_close`` (the session that ends is a half day, whatever the kind), ``next_session`` (date).

    Raises
    ------
    ValueError
        If the feed or calendar is unknown, ``start`` is not before ``end``, either is no date, or they leave the calendar's range.
    """
    if feed not in FEEDS:
        raise ValueError(f"no feed {feed!r}; choose one of {', '.join(map(repr, FEEDS))}")
    hours_of = trading_calendar(calendar)
    zone = str(hours_of.tz)
    if feed == "24/5" and zone != _NEW_YORK:
        raise ValueError(f"the 24/5 feed keeps New York hours, and {calendar!r} is in {zone}; use a New York calendar or feed 'cash'")
    first, last = _moment("start", start), _moment("end", end)
    if not first < last:
        raise ValueError(f"start must come before end; got {start!r} and {end!r}")
    low, high = hours_of.first_session.tz_localize(_NEW_YORK), hours_of.last_session.tz_localize(_NEW_YORK)
    if first < low or last > high:
        raise ValueError(f"{calendar!r} covers {low:%Y-%m-%d} to {high:%Y-%m-%d}; got {first:%Y-%m-%d} to {last:%Y-%m-%d}")

    days = hours_of.sessions
    half_day = days.isin(hours_of.early_closes)
    if feed == "cash":
        opens, closes = pd.DatetimeIndex(hours_of.opens), pd.DatetimeIndex(hours_of.closes)
    else:
        opens = (days + pd.Timedelta(hours=20 - 24)).tz_localize(_NEW_YORK)
        closes = (days + pd.to_timedelta(np.where(half_day, 17, 20), unit="h")).tz_localize(_NEW_YORK)

    begins, finishes = closes[:-1].tz_convert(_NEW_YORK), opens[1:].tz_convert(_NEW_YORK)
    kind = span_kind((days[1:] - days[:-1]).days.to_numpy())
    next_day = np.where(half_day[:-1], "early close", "weeknight")
    table = pd.DataFrame(
        {
            "start": begins,
            "end": finishes,
            "hours": (finishes - begins) / pd.Timedelta(hours=1),
            "kind": np.where(kind == "overnight", next_day, kind),
            "early_close": half_day[:-1],
            "next_session": days[1:],
        }
    )
    inside = (begins >= first) & (begins < last) & (finishes > begins)
    return table[inside].reset_index(drop=True)


def timestamp(value: str | datetime.date) -> pd.Timestamp:
    """A date or a time, as a string that begins with year-month-day; NaT for anything else, which Pandas would guess at: 05/03/2026 is the
    third of May there, and 2026 two microseconds after 1970."""
    if not isinstance(value, (datetime.date, np.datetime64)) and not (isinstance(value, str) and _ISO.fullmatch(value)):
        return pd.NaT
    try:
        return pd.Timestamp(value)
    except ValueError:
        return pd.NaT


def _moment(name: str, value: str | datetime.date) -> pd.Timestamp:
    moment = timestamp(value)
    if moment is pd.NaT:
        raise ValueError(f"{name} is a date or a time such as '2025-12-19' or '2025-12-19 16:00'; got {value!r}")
    return moment.tz_localize(_NEW_YORK) if moment.tzinfo is None else moment.tz_convert(_NEW_YORK)
