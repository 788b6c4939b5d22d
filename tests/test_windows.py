"""Windows and hours: the notes' ladder, bounds that hold where the truth is known, and a wrong argument that is caught."""

import numpy as np
import pandas as pd
import pytest

from perpkit import data, gaps, hours, sessions, windows

RNG = np.random.default_rng(0)
CLOSED = windows.CLOSED


@pytest.fixture(scope="module")
def ladder() -> pd.DataFrame:
    return windows.ladder(np.random.default_rng(1)).set_index(["symbol", "proxy"])


@pytest.fixture(scope="module")
def shares() -> dict[str, pd.DataFrame]:
    return {symbol: windows.variance_shares(symbol, np.random.default_rng(1)).set_index("window") for symbol in windows.SYMBOLS}


# -- the ladder

PUBLISHED = {  # R2 to two decimals and residual deviation in basis points, of the research notes (3a), at the three times
    "TSLA": ((0.29, 253), (0.33, 246), (0.53, 205)),
    "NVDA": ((0.28, 246), (0.39, 225), (0.75, 144)),
    "QQQ": ((0.41, 90), (0.56, 77), (0.97, 19)),
    "SPY": ((0.46, 65), (0.61, 55), (0.93, 24)),
}


@pytest.mark.parametrize("symbol", PUBLISHED)
def test_the_ladder_of_the_research_notes(symbol, ladder):
    """The stocks to the last digit. For the funds the notes had 12 more weekends, to August 2026."""
    for time, (r2, residual) in zip(windows.TIMES, PUBLISHED[symbol]):
        row = ladder.loc[(symbol, time)]
        stock = symbol in ("TSLA", "NVDA")
        assert row["r2"] == pytest.approx(r2, abs=0.006 if stock else 0.02)
        assert row["residual_sd"] * 1e4 == pytest.approx(residual, abs=0.9 if stock else 2.5)
        assert row["n"] == 90
    if symbol in ("TSLA", "NVDA"):
        assert ladder.loc[(symbol, windows.TIMES[0]), "beta"] == pytest.approx({"TSLA": 2.8, "NVDA": 2.6}[symbol], abs=0.05)


def test_the_ladder_is_that_of_a_plain_regression(ladder):
    rows = data.load("weekend_proxy_returns").dropna()
    move = {
        "Sunday 20:00": rows["nq_two_hours_later"],
        "Sunday 20:00 to Monday 09:00": rows["nq_monday_0900"] - rows["nq_two_hours_later"],
    }
    for proxy, x in move.items():
        y = rows["tsla_gap"]
        slope, level = np.polyfit(x, y, 1)
        left = y - slope * x - level
        row = ladder.loc[("TSLA", proxy)]
        assert (row["beta"], row["r2"]) == (pytest.approx(slope), pytest.approx(1.0 - (left**2).sum() / ((y - y.mean()) ** 2).sum()))
        assert row["residual_sd"] == pytest.approx(np.sqrt((left**2).sum() / 88))


def test_intervals_hold_their_estimates_and_draws_repeat(ladder, shares):
    assert ((ladder["r2_from"] < ladder["r2"]) & (ladder["r2"] < ladder["r2_to"])).all()
    assert ((ladder["beta_from"] < ladder["beta"]) & (ladder["beta"] < ladder["beta_to"])).all()
    pd.testing.assert_frame_equal(ladder.reset_index(), windows.ladder(np.random.default_rng(1)))
    pd.testing.assert_frame_equal(shares["TSLA"].reset_index(), windows.variance_shares("TSLA", np.random.default_rng(1)))
    assert not windows.ladder(np.random.default_rng(2)).equals(ladder.reset_index())


# -- the shares


@pytest.mark.parametrize("symbol", windows.SYMBOLS)
def test_the_parts_make_the_whole(symbol, shares):
    table = shares[symbol]
    parts = table.iloc[:3]
    assert table["hours"].iloc[:3].sum() == 65.5
    assert parts["middle"].sum() == pytest.approx(1.0)
    assert table["middle"].iloc[3] == pytest.approx(parts["middle"].iloc[:2].sum())
    assert parts["low"].sum() < 1.0 < parts["high"].sum()
    # A middle is a ratio of two R2 and no bound knows of it: SPY's lies on its end, to the third decimal.
    assert ((table["low"] < table["middle"] + 0.001) & (table["middle"] < table["high"] + 0.001)).all()
    # What came after Sunday 20:00 is what had not come by then.
    assert table["low"].iloc[3] == pytest.approx(1.0 - table["high"].iloc[2])
    assert table["high"].iloc[3] == pytest.approx(1.0 - table["low"].iloc[2])
    for column in ("low", "middle", "high"):
        assert ((table[f"{column}_from"] <= table[column]) & (table[column] <= table[f"{column}_to"])).all()
    assert windows.closed_share(symbol) == tuple(table.loc[CLOSED, ["low", "middle", "high"]])
    assert np.square(windows.scale_factors(symbol)) == pytest.approx(windows.closed_share(symbol))


def test_the_ranges_that_the_book_uses(shares):
    """Recorded, so that a change of data or method is seen."""
    assert windows.closed_share("TSLA") == pytest.approx((0.26, 0.48, 0.78), abs=0.005)
    assert windows.closed_share("NVDA") == pytest.approx((0.32, 0.48, 0.63), abs=0.005)
    assert [shares[symbol].loc[CLOSED, "difference"] for symbol in windows.SYMBOLS] == pytest.approx([0.456, 0.456, 0.370, 0.441], abs=0.001)


@pytest.mark.parametrize("symbol", ["TSLA", "NVDA"])
def test_two_arguments_that_share_no_data_agree(symbol, shares):
    """The index's clock on 82 weekends of a future; the stock's own nights and weekends over 16 years."""
    row = shares[symbol].loc[CLOSED]
    assert abs(row["middle"] - row["difference"]) < 0.05
    assert row["low"] < row["difference"] < row["high"]
    assert 0.0 < row["difference_from"] < row["difference"] < row["difference_to"] < 1.0


def test_sunday_nights_are_not_calmer_than_week_nights():
    """What the difference assumes and the future can test: 13 hours from Sunday 20:00 vary as much as a whole week night of 17.5."""
    _, _, moves, nights = windows._sample("TSLA")
    ratio = moves[windows.STRETCHES[1]].var() / nights.var()
    assert ratio == pytest.approx(1.11, abs=0.01)


def test_the_future_is_near_a_martingale():
    """Its moves before and after Sunday 20:00 are uncorrelated, on which the high end rests. 82 weekends: the error of a correlation is 0.11."""
    _, _, moves, _ = windows._sample("TSLA")
    assert abs(np.corrcoef(moves["Sunday 20:00"], moves["Sunday 20:00 to Monday 09:00"])[0, 1]) < 0.22


def made(rng: np.random.Generator, n: int, own_clock: float, carried: float = 0.0, noise: float = 0.1):
    """Bounds of a made stock, twice the market plus news of its own, and the true share of its closed window.

    Both move on Friday evening, in the closed window and after it. Variances of the market are 0.1, 0.5 and 0.4; of the stock's own news 0.1,
    ``own_clock`` and 0.9 - ``own_clock``, times 4. After the closed window the market moves by ``carried`` of its move in it once more.
    """
    market = rng.standard_normal((3, n)) * np.sqrt([[0.1], [0.5], [0.4]])
    market[2] += carried * market[1]
    own = rng.standard_normal((3, n)) * np.sqrt(4.0 * np.array([[0.1], [own_clock], [0.9 - own_clock]]))
    seen = market[:2].sum(axis=0) + noise * rng.standard_normal(n)
    by_monday = market.sum(axis=0) + noise * rng.standard_normal(n)
    moves = {"Sunday 20:00": seen, "Monday 09:00": by_monday, "Sunday 20:00 to Monday 09:00": by_monday - seen}
    gap = 2.0 * market.sum(axis=0) + own.sum(axis=0)
    night = 0.1 * 17.5 / 4.0  # of the market: 0.1 in four hours
    bounds = windows._bounds(gap, market.sum(axis=0), moves, night)[CLOSED]
    return *(float(bounds[name]) for name in ("low", "middle", "high")), 4.0 * (0.5 * (1.0 + carried) ** 2 + own_clock) / gap.var()


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_bounds_hold_the_truth_and_are_met(noise):
    """200,000 weekends. The ends hold the truth whatever the stock's own clock; the low end is met when none of its news comes in the closed
    window, the high end, but for Friday evening, when all does, and the middle when its news keeps the market's clock. Noise of the future
    of 1 % of the market's variance moves each by less than 0.02."""
    rng = np.random.default_rng(4)
    low, _, high, truth = made(rng, 200_000, own_clock=0.0, noise=noise)
    assert truth - 0.02 < low < truth + 0.005 and truth < high
    low, middle, high, truth = made(rng, 200_000, own_clock=0.5, noise=noise)
    assert low + 0.1 < truth < high - 0.1
    assert middle == pytest.approx(truth, abs=0.01)
    low, _, high, truth = made(rng, 200_000, own_clock=0.9, noise=noise)
    assert low < truth and high - 0.1 == pytest.approx(truth, abs=0.015)


def test_the_high_end_needs_a_martingale():
    """A market that goes on after Sunday as it began: its later move is foreseen, and taken for news. The bound fails by far."""
    _, _, high, truth = made(np.random.default_rng(4), 200_000, own_clock=0.9, carried=0.5, noise=0.0)
    assert truth > high + 0.1


# -- tails


def test_scaling_keeps_the_tail_of_tesla_and_loses_that_of_nvidia():
    tesla, nvidia = (windows.tails(symbol, np.random.default_rng(1)).set_index("level") for symbol in ("TSLA", "NVDA"))
    for level in (0.03, 0.05, 0.08):
        assert tesla.loc[level, "closed_from"] < tesla.loc[level, "scaled"] < tesla.loc[level, "closed_to"]
    assert nvidia.loc[0.01, "scaled"] > 4.0 * nvidia.loc[0.01, "closed"], "the body is too wide"
    far = windows.tails("NVDA", np.random.default_rng(1), levels=(0.10,)).iloc[0]
    assert far["nights"] == 0.0 and far["seen"] == 5 and far["scaled"] < 0.5 * far["closed"], "and the tail too thin"


def test_exceedances_by_hand():
    row = windows.tails("TSLA", np.random.default_rng(1), levels=(0.05,)).iloc[0]
    weekend, night = gaps.empirical("TSLA"), gaps.empirical("TSLA", "overnight")
    assert row["weekends"] == (np.abs(weekend.gaps) > 0.05).mean() and row["seen"] == 33
    assert row["nights"] == (np.abs(night.gaps) > 0.05).mean()
    assert row["closed"] == pytest.approx(row["weekends"] - row["nights"])
    assert row["scaled"] == (np.abs(weekend.gaps) > 0.05 / windows.scale_factors("TSLA")[1]).mean()
    assert row["closed_from"] < row["closed"] < row["closed_to"]


def test_exceedances_of_power_tails_add_far_out():
    """A closed window of 0.7 of a night's scale, both t of 2.5 degrees of freedom, two million draws: weekends less nights are the closed
    window's within 10 % where one in a thousand exceeds, and are far off in the body."""
    rng = np.random.default_rng(3)
    night, window = rng.standard_t(2.5, 2_000_000), 0.7 * rng.standard_t(2.5, 2_000_000)
    for level, near in ((14.0, True), (1.0, False)):
        added = (np.abs(night + window) > level).mean() - (np.abs(night) > level).mean()
        assert (added == pytest.approx((np.abs(window) > level).mean(), rel=0.2)) == near


# -- hours


def test_hours_come_from_the_calendar():
    mean = hours.mean_hours()
    assert mean["overnight"] == pytest.approx(17.5, abs=0.01)
    assert mean["weekend"] - mean["closed"] == pytest.approx(mean["overnight"], abs=0.01), "a weekend without its middle is a night"
    ordinary = sessions.closures("24/5", "2025-05-05", "2025-05-12")
    assert ordinary.loc[ordinary["kind"] == "weekend", "hours"].tolist() == [48.0]
    assert 48.0 < mean["closed"] < 53.0 and 6.4 < mean["session"] < 6.5


@pytest.mark.parametrize("symbol", hours.SYMBOLS)
def test_a_weekend_hour_is_slow_and_a_closed_one_slower(symbol):
    table = hours.hourly(symbol, np.random.default_rng(1)).set_index("window")
    rate = table["per_hour"]
    assert rate["session"] == 1.0 > rate["week night"] > rate["weekend"] > rate["closed window"] > 0.0
    assert ((table["per_hour_from"] <= rate) & (rate <= table["per_hour_to"])).all()
    assert (rate["week night"] * 17.5 + rate["closed window"] * table.loc["closed window", "hours"]) / rate["weekend"] == pytest.approx(
        table.loc["weekend", "hours"], rel=1e-3
    )
    night, weekend = gaps.empirical(symbol, "overnight").gaps, gaps.empirical(symbol).gaps
    assert table.loc["week night", "sd"] == pytest.approx(night.std(), rel=6e-3), "NVDA's night of the flag that is mended"
    assert table.loc["weekend", "sd"] == pytest.approx(weekend.std(), rel=1e-9)
    assert table["n"].iloc[2:].tolist() == [828, 828]


def test_research_notes_on_the_ratio_of_deviations():
    """A weekend's standard deviation is about 1.35 of a week night's, not the 1.9 of its hours."""
    ratio = {symbol: 1.0 / np.sqrt(1.0 - hours.closed_difference(symbol, RNG).value) for symbol in ("TSLA", "NVDA", "SPY")}
    assert list(ratio.values()) == pytest.approx([1.35] * 3, abs=0.03)


def test_french_and_roll():
    """Their weekend has 1.107 of the variance of one trading day. The two funds do not differ from that; TSLA does."""
    for symbol in ("SPY", "QQQ"):
        low, high = hours.french_roll(symbol, np.random.default_rng(1)).interval()
        assert low < 1.107 < high
    assert hours.french_roll("SPY", RNG).value == pytest.approx(1.10, abs=0.01)
    assert hours.french_roll("TSLA", np.random.default_rng(1)).interval()[0] > 1.107


def test_close_to_close_by_hand():
    table = data.closures("QQQ")
    table["move"] = table["gap"] + table["intraday"]
    var = table.groupby("kind")["move"].var(ddof=0)
    assert hours.french_roll("QQQ", RNG).value == pytest.approx(var["weekend"] / var["overnight"])


def test_years_are_resampled_whole_and_together():
    """The error of a mean over years that differ and hold alike within: sd over root of their number, within five errors of that estimate."""
    dates = pd.to_datetime([f"{2000 + year}-06-{day:02d}" for year in range(10) for day in range(1, 21)])
    moves = pd.Series(np.repeat(np.arange(10.0), 20), dates)
    drawn = hours.resampled({"a": hours.by_year(moves), "b": 2.0 * hours.by_year(moves)}, np.random.default_rng(6))
    mean = drawn["a"][:, 1] / drawn["a"][:, 0]
    assert mean.std() == pytest.approx(np.arange(10.0).std() / np.sqrt(10), rel=5 / np.sqrt(2 * hours.RESAMPLES))
    assert np.array_equal(2.0 * drawn["a"], drawn["b"])


# -- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: windows.ladder(1), "rng is a numpy.random.Generator.*got 1"),
        (lambda: windows.variance_shares("AAPL", RNG), "no weekends of 'AAPL' beside a future; choose one of 'TSLA', 'NVDA', 'QQQ', 'SPY'"),
        (lambda: windows.variance_shares("TSLA", 3), "rng is a numpy.random.Generator.*got 3"),
        (lambda: windows.closed_share("AAPL"), "no weekends of 'AAPL'"),
        (lambda: windows.scale_factors("tsla"), "no weekends of 'tsla'"),
        (lambda: windows.tails("TSLA", RNG, levels=(0.0,)), "a level is an absolute log return above 0; got 0.0"),
        (lambda: hours.hourly("GME", RNG), "no weekends of 'GME'"),
        (lambda: hours.french_roll("TSLA", None), "rng is a numpy.random.Generator.*got None"),
        (lambda: hours.closed_difference("TSLA", 1), "rng is a numpy.random.Generator"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
