"""Sessions: closures of the two feeds against the calendar, the clock and the venues' arithmetic."""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from perpkit import data, sessions

NEW_YORK = ZoneInfo("America/New_York")


def days(frame: pd.DataFrame) -> list[str]:
    return frame["next_session"].dt.strftime("%Y-%m-%d").tolist()


def test_an_ordinary_week_is_closed_48_hours_on_24_5_and_135_5_on_cash_hours():
    assert sessions.closures("24/5", "2025-06-02", "2025-06-09")["hours"].tolist() == [48.0]
    cash = sessions.closures("cash", "2025-06-02", "2025-06-09")
    assert cash["hours"].tolist() == [17.5] * 4 + [65.5]
    assert cash["kind"].tolist() == ["weeknight"] * 4 + ["weekend"]
    assert cash["hours"].sum() == 135.5


def test_only_named_exceptions_leave_48_and_65_5_hours():
    """Every weekend since 2010 has the ordinary length, moved by a clock change, a holiday or a half day."""
    lengths = sessions.closures("24/5", "2010-01-01", "2026-10-01").groupby("kind")["hours"].value_counts()
    assert lengths["weekend"].to_dict() == {48.0: 709, 72.0: 110, 47.0: 17, 49.0: 16, 51.0: 16, 75.0: 4, 96.0: 1}
    assert lengths["holiday"].to_dict() == {24.0: 27, 27.0: 14}
    cash = sessions.closures("cash", "2010-01-01", "2026-10-01").groupby("kind")["hours"].value_counts()
    assert cash["weekend"].to_dict() == {hours + 17.5: count for hours, count in {48.0: 709, 72.0: 110, 47.0: 17, 49.0: 16, 96.0: 1}.items()} | {
        68.5: 16,
        92.5: 4,
    }
    assert cash["holiday"].to_dict() == {41.5: 27, 44.5: 14}
    assert cash["weeknight"].to_dict() == {17.5: 3297}


def test_weekends_of_47_and_49_hours_are_those_on_which_new_york_changes_its_clocks():
    table = sessions.closures("24/5", "2010-01-01", "2026-10-01")
    moved = table[table["hours"].isin([47.0, 49.0])]
    by_clock = {}
    sunday = datetime(2010, 1, 3)
    while sunday < datetime(2026, 10, 1):
        before, after = ((sunday + timedelta(hours=h)).replace(tzinfo=NEW_YORK).utcoffset() for h in (-12, 12))
        if before != after:
            by_clock[(sunday + timedelta(days=1)).strftime("%Y-%m-%d")] = 48.0 + (before - after) / timedelta(hours=1)
        sunday += timedelta(days=7)
    assert dict(zip(days(moved), moved["hours"])) == by_clock


def test_the_longest_closures_since_2010():
    """The storm of 2012, then the four Independence and Christmas weekends that a half day lengthened."""
    half = ["2014-07-07", "2015-12-28", "2020-12-28", "2025-07-07"]
    for feed, storm, next_longest in (("24/5", 96.0, 75.0), ("cash", 113.5, 92.5)):
        top = sessions.closures(feed, "2010-01-01", "2026-10-01").nlargest(6, "hours")
        assert days(top)[:5] == ["2012-10-31", *half]
        assert top["hours"].tolist() == [storm] + [next_longest] * 4 + [next_longest - 3.0]


def test_thanksgiving_and_christmas_2025_on_24_5():
    table = sessions.closures("24/5", "2025-11-24", "2026-01-01")
    got = list(zip(table["start"].dt.strftime("%a %d %H:%M"), table["end"].dt.strftime("%a %d %H:%M"), table["hours"], table["kind"]))
    assert got == [
        ("Wed 26 20:00", "Thu 27 20:00", 24.0, "holiday"),
        ("Fri 28 17:00", "Sun 30 20:00", 51.0, "weekend"),
        ("Fri 05 20:00", "Sun 07 20:00", 48.0, "weekend"),
        ("Fri 12 20:00", "Sun 14 20:00", 48.0, "weekend"),
        ("Fri 19 20:00", "Sun 21 20:00", 48.0, "weekend"),
        ("Wed 24 17:00", "Thu 25 20:00", 27.0, "holiday"),
        ("Fri 26 20:00", "Sun 28 20:00", 48.0, "weekend"),
        ("Wed 31 20:00", "Thu 01 20:00", 24.0, "holiday"),
    ]
    assert table["early_close"].tolist() == [False, True, False, False, False, True, False, False]


def test_the_24_5_table_agrees_with_the_rule_asked_minute_by_minute():
    """The same feed stated from the other end: which session does this moment belong to, and does it exist?"""
    table = sessions.closures("24/5", "2012-01-01", "2026-01-01")
    calendar = sessions.trading_calendar()
    real = {day.date() for day in calendar.sessions}
    half = {day.date() for day in calendar.early_closes}
    low, high = datetime(2012, 1, 10, tzinfo=timezone.utc), datetime(2025, 12, 20, tzinfo=timezone.utc)
    starts, ends = (table[c].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy() for c in ("start", "end"))
    minutes = np.random.default_rng(5).integers(0, int((high - low).total_seconds() // 60), size=20_000)
    shut = 0
    for minute in minutes.tolist():
        moment = low + timedelta(minutes=minute)
        local = moment.astimezone(NEW_YORK)
        session = (local + timedelta(hours=4)).date() if local.hour >= 20 else local.date()
        closed_late = session in half and local.date() == session and local.hour >= 17
        closed = session not in real or closed_late
        row = np.searchsorted(starts, np.datetime64(moment.replace(tzinfo=None)), side="right") - 1
        assert closed == (np.datetime64(moment.replace(tzinfo=None)) < ends[row]), moment
        shut += closed
    # 48 h of 168, somewhat more with holidays: the check saw both answers.
    assert 0.28 < shut / len(minutes) < 0.33


def test_cash_closures_and_sessions_fill_all_time():
    calendar = sessions.trading_calendar()
    table = sessions.closures("cash", "2001-01-01", "2026-01-01")
    first, last = table["start"].iloc[0], table["end"].iloc[-1]
    opens, closes = calendar.opens, calendar.closes
    inside = (opens >= first) & (closes <= last)
    open_hours = ((closes - opens)[inside] / pd.Timedelta(hours=1)).sum()
    assert open_hours + table["hours"].sum() == pytest.approx((last - first) / pd.Timedelta(hours=1), abs=1e-6)
    assert (table["start"].to_numpy()[1:] > table["end"].to_numpy()[:-1]).all()


def test_kinds_are_those_of_the_gap_table():
    table = sessions.closures("cash", "2010-06-29", "2026-05-15")
    gaps = data.closures("NVDA")
    both = table.merge(gaps, left_on="next_session", right_on="open_date", how="outer", suffixes=("", "_gap"), indicator=True)
    assert (both["_merge"] == "both").all() and len(both) == 3994
    assert both["kind"].replace("weeknight", "overnight").eq(both["kind_gap"]).all()


def test_early_close_is_a_kind_only_where_the_next_session_is_tomorrow():
    """No half day in New York has been followed by a session the next day since 1985; the futures calendar has some."""
    assert "early close" not in set(sessions.closures("cash", "1985-10-01", "2026-10-01")["kind"])
    futures = sessions.closures("cash", "2015-01-19", "2015-01-20", "CMES")
    assert futures[["kind", "early_close", "hours"]].to_numpy().tolist() == [["early close", True, 5.0]]


def test_september_2001_is_one_closure():
    table = sessions.closures("cash", "2001-09-10", "2001-09-17")
    assert table[["kind", "hours"]].to_numpy().tolist() == [["weekend", 6 * 24 + 17.5]]


def test_windows_tile_and_time_zones_agree():
    parts = [sessions.closures("24/5", a, b) for a, b in (("2024-01-01", "2024-11-01 20:00"), ("2024-11-01 20:00", "2026-01-01"))]
    whole = sessions.closures("24/5", "2024-01-01", "2026-01-01")
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)
    assert parts[1]["start"].iloc[0] == pd.Timestamp("2024-11-01 20:00", tz="America/New_York")
    aware = sessions.closures("24/5", pd.Timestamp("2024-01-01 05:00", tz="UTC"), pd.Timestamp("2025-12-31 21:00", tz="America/Los_Angeles"))
    pd.testing.assert_frame_equal(aware, whole)
    assert str(whole["start"].dt.tz) == str(whole["end"].dt.tz) == "America/New_York"


def test_span_kind_counts_days_without_a_session():
    assert sessions.span_kind(np.array([1, 2, 3, 4, 5, 7])).tolist() == ["overnight", "holiday"] + ["weekend"] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("24/7", "2024-01-01", "2025-01-01"), r"no feed '24/7'; choose one of '24/5', 'cash'"),
        (("24/5", "2025-01-01", "2024-01-01"), r"start must come before end; got '2025-01-01' and '2024-01-01'"),
        (("24/5", "2025-01-01", "2025-01-01"), "start must come before end"),
        (("24/5", "1970-01-01", "2025-01-01"), r"'XNYS' covers 1985-10-01 to 20\d\d-\d\d-\d\d; got 1970-01-01 to 2025-01-01"),
        (("cash", "2025-01-01", "2125-01-01"), r"'XNYS' covers .* got 2025-01-01 to 2125-01-01"),
        (("cash", "Friday week", "2025-01-01"), r"start is a date .* got 'Friday week'"),
        (("cash", "2025-01-01", None), r"end is a date .* got None"),
        (("cash", "2025-01-01", "2025-02-01", "NYSEX"), r"no exchange calendar 'NYSEX'.*'XNYS' for New York"),
        (("24/5", "2025-01-01", "2025-02-01", "XLON"), r"24/5 feed keeps New York hours, and 'XLON' is in Europe/London"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        sessions.closures(*arguments)
