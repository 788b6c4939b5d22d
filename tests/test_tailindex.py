"""Tail index: the fit is the maximum, the errors are those of a bootstrap, and pooling that forgets what falls together is caught."""

import os
import subprocess
import sys
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

from perpkit import _student, data, gaps, tailindex

ALL = data.load("weekend_gaps_megacaps")


@pytest.fixture(scope="module")
def fits() -> pd.DataFrame:
    return tailindex.fits()


@lru_cache
def pooled(cluster: str) -> tailindex.Pooled:
    return tailindex.pooled(np.random.default_rng(1), cluster)


@pytest.fixture(params=tailindex.CLUSTERS)
def posterior(request) -> tailindex.Pooled:
    return pooled(request.param)


def own(symbol: str) -> np.ndarray:
    return ALL.loc[ALL["symbol"] == symbol, "gap"].to_numpy()


def by_quadrature(centre, joint):
    """Posterior of (m, tau) on a grid, from the density of a multivariate Normal: no eigenbasis, no sampler. Grids and their weights."""
    m, tau = np.linspace(centre.mean() - 1.2, centre.mean() + 1.2, 481), np.linspace(5e-4, 0.6, 240)
    log_density = np.empty((len(tau), len(m)))
    for i, t in enumerate(tau):
        inverse = np.linalg.inv(joint + t**2 * np.eye(len(centre)))
        away = centre[:, None] - m
        log_density[i] = 0.5 * np.linalg.slogdet(inverse)[1] - 0.5 * np.einsum("jk,ji,ki->i", inverse, away, away)
        log_density[i] += stats.norm.logpdf(m, tailindex.PRIOR_CENTRE, tailindex.PRIOR_SD) + stats.halfnorm.logpdf(t, scale=tailindex.PRIOR_TAU)
    weight = np.exp(log_density - log_density.max())
    return m, tau, weight / weight.sum()


# -- the fit of one stock


@pytest.mark.parametrize("theta", [(0.001, np.log(0.01), np.log(2.4)), (-0.002, np.log(0.02), np.log(11.0))])
def test_score_and_hessian_are_derivatives(theta):
    theta, sample, step = np.array(theta), own("TSLA")[:200], np.array([1e-6, 1e-5, 1e-5])
    score, hessian = _student.derivatives(theta, sample)
    for k in range(3):
        up, down = theta + step * (np.arange(3) == k), theta - step * (np.arange(3) == k)
        each = [stats.t.logpdf(sample, np.exp(one[2]), one[0], np.exp(one[1])) for one in (up, down)]
        assert score[:, k] == pytest.approx((each[0] - each[1]) / (2 * step[k]), rel=1e-5, abs=1e-5)
        slopes = [_student.derivatives(one, sample)[0].sum(axis=0) for one in (up, down)]
        assert hessian[k] == pytest.approx((slopes[0] - slopes[1]) / (2 * step[k]), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("df", [1.5, 2.5, 6.0])
def test_information_is_the_published_one(df):
    """Expected information of the t in (location, log scale, log df), from Lange, Little and Taylor 1989, on a sample of its quantiles."""
    n = 400_000
    sample = stats.t.ppf((np.arange(n) + 0.5) / n, df)
    _, hessian = _student.derivatives(np.array([0.0, 0.0, np.log(df)]), sample)
    curve = 0.25 * (special.polygamma(1, df / 2) - special.polygamma(1, (df + 1) / 2)) - (df + 5) / (2 * df * (df + 1) * (df + 3))
    expected = np.diag([(df + 1) / (df + 3), 2 * df / (df + 3), df**2 * curve])
    expected[1, 2] = expected[2, 1] = -2 * df / ((df + 1) * (df + 3))
    assert -hessian / n == pytest.approx(expected, rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("symbol", ["TSLA", "NVDA", "IBM", "INTC"])
def test_a_fit_is_the_maximum_and_that_of_scipy(symbol, fits):
    sample, row = own(symbol), fits.loc[symbol]
    unit = (sample - np.median(sample)) / sample.std()
    other = stats.t.fit(unit)
    assert row["df"] == pytest.approx(other[0], rel=1e-3)
    ours = stats.t.logpdf(sample, row["df"], row["loc"], row["scale"]).sum() + len(sample) * np.log(sample.std())
    assert ours >= stats.t.logpdf(unit, *other).sum()
    score, hessian = _student.derivatives(np.array([row["loc"], np.log(row["scale"]), row["log_df"]]), sample)
    assert np.abs(score.sum(axis=0) * np.sqrt(np.diag(np.linalg.inv(-hessian)))).max() < 1e-6
    assert (np.linalg.eigvalsh(hessian) < 0.0).all()


def test_the_fit_of_the_gap_module_is_this_one(fits):
    assert gaps.fit("TSLA", end="2022-12-27").dist.args[0] == pytest.approx(fits.loc["TSLA", "df"], rel=1e-3)
    assert gaps.fit("NVDA", end="2022-12-27", start="2010-01-01").dist.args[0] == pytest.approx(
        tailindex.fits(ALL[ALL["open_date"] >= "2010-06-30"]).loc["NVDA", "df"], rel=1e-3
    )


def test_what_the_research_notes_say_of_these_stocks(fits):
    """Standardised and pooled 2.53; single stocks between 2.0 and 3.2."""
    standard = ALL.groupby("symbol")["gap"].transform(lambda gap: (gap - gap.mean()) / gap.std(ddof=0))
    assert np.exp(_student.maximum("all", standard.to_numpy())[2]) == pytest.approx(2.53, abs=0.005)
    assert len(fits) == 14 and fits["n"].sum() == 9334
    assert (fits["df"].min(), fits["df"].idxmin()) == (pytest.approx(2.15, abs=0.005), "TSLA")
    assert (fits["df"].max(), fits["df"].idxmax()) == (pytest.approx(3.16, abs=0.005), "INTC")
    assert ALL.loc[ALL.groupby("symbol")["gap"].idxmin(), "open_date"].eq("2020-03-16").sum() == 11


@pytest.mark.parametrize("symbol", ["TSLA", "NVDA"])
def test_the_profile_likelihood_is_nearly_gaussian(symbol, fits):
    """Within 0.2 of the parabola out to two standard errors. A sample of 60 is not: the profile of log df leans to the right."""
    row = fits.loc[symbol]
    steps = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    table = tailindex.profile(symbol, row["log_df"] + steps * row["se_information"])
    assert table["gaussian"].to_numpy() == pytest.approx(-0.5 * steps**2)
    assert np.abs(table["profile"] - table["gaussian"]).max() < 0.2
    assert table["profile"].iloc[2] == pytest.approx(0.0, abs=1e-9)
    grid = table.index[1]
    free = [stats.t.logpdf(own(symbol), np.exp(grid), row["loc"] * a, row["scale"] * b).sum() for a in (0.8, 1.2) for b in (0.95, 1.0)]
    top = stats.t.logpdf(own(symbol), row["df"], row["loc"], row["scale"]).sum()
    assert max(free) - top < table["profile"].iloc[1]

    short = ALL[ALL["symbol"] == symbol].iloc[:60]
    row = tailindex.fits(short).loc[symbol]
    lean = tailindex.profile(symbol, row["log_df"] + steps * row["se_information"], short)
    assert np.abs(lean["profile"] - lean["gaussian"]).max() > 0.4


# -- Hill


def test_hill_by_hand_and_on_a_pareto():
    assert tailindex.hill(np.array([-8.0, 4.0, 2.0, 1.0, 0.5, 0.1, 0.1, 0.1]), 0.25)[0] == pytest.approx(2.0 / np.log(8.0 / 2.0 * 4.0 / 2.0))
    n = 100_000
    sample = stats.pareto.ppf((np.arange(n) + 0.5) / n, 2.7)
    assert tailindex.hill(sample, 0.1) == (pytest.approx(2.7, rel=2e-3), pytest.approx(2.7 / np.sqrt(n / 10), rel=2e-3))


@pytest.mark.parametrize(("df", "share"), [(2.4, 0.05), (2.4, 0.10), (4.0, 0.01)])
def test_hill_of_a_t_is_below_its_degrees_of_freedom(df, share):
    edge = stats.t.isf(share / 2, df)
    mean = integrate.quad(lambda x: np.log(x / edge) * stats.t.pdf(x, df), edge, np.inf, epsabs=0.0, epsrel=1e-8)[0] / (share / 2)
    assert _student.hill_of_t(df, share) == pytest.approx(1.0 / mean, rel=1e-4)
    assert _student.hill_of_t(df, share) < df
    n = 400_000
    assert tailindex.hill(stats.t.ppf((np.arange(n) + 0.5) / n, df), share)[0] == pytest.approx(1.0 / mean, rel=5e-3)


def test_hill_and_the_fit_agree_here_and_differ_where_the_tail_is_another(fits):
    """At 5 % no stock's Hill estimate is even one error off. The quantiles of a Laplace law have no t's tail, and are caught."""
    assert not fits["hill_off"].any()
    assert ((fits["hill"] - fits["hill_if_t"]) / fits["hill_se"]).abs().max() < 1.0
    wrong = stats.laplace.ppf((np.arange(8000) + 0.5) / 8000, 0.001, 0.01)
    table = pd.DataFrame({"symbol": "EXP", "open_date": pd.date_range("1870-01-03", periods=8000, freq="7D"), "gap": wrong})
    row = tailindex.fits(table).loc["EXP"]
    assert row["hill_off"] and row["hill"] > row["hill_if_t"] + 2.0 * row["hill_se"]


def test_hill_estimates_of_the_research_notes():
    """828 weekends, largest 5 and 10 %, two decimals."""
    for symbol, expected in (("TSLA", (2.22, 2.42)), ("NVDA", (2.09, 2.34)), ("SPY", (2.39, 2.34)), ("QQQ", (2.28, 2.40))):
        got = [tailindex.hill(gaps.empirical(symbol).gaps, share)[0] for share in (0.05, 0.10)]
        assert got == pytest.approx(expected, abs=0.02 if symbol in ("TSLA", "NVDA") else 0.1), "SPY and QQQ: the notes had 14 weekends more"


# -- the joint covariance


def test_errors_are_those_of_a_joint_bootstrap_by_date():
    """250 resamples of whole weekends. The error of a standard deviation is 4.5 % and that of a correlation near 0.5 about 0.05: four of each."""
    names = ["TSLA", "NVDA", "MSFT"]
    wide = ALL[ALL["symbol"].isin(names)].pivot(index="open_date", columns="symbol", values="gap").dropna()[names]
    table = wide.stack().rename("gap").reset_index()
    centre, joint = tailindex.covariance("date", table, exchangeable=False)
    rng, draws = np.random.default_rng(12), []
    for _ in range(250):
        rows = wide.to_numpy()[rng.integers(len(wide), size=len(wide))]
        draws.append([_student.maximum(name, rows[:, j])[2] for j, name in enumerate(names)])
    spread = np.cov(np.array(draws).T)
    sd, other = (np.sqrt(np.diag(one)) for one in (joint.loc[names, names].to_numpy(), spread))
    assert sd == pytest.approx(other, rel=0.18)
    pairs = np.triu_indices(3, 1)
    assert (joint.loc[names, names].to_numpy() / np.outer(sd, sd))[pairs] == pytest.approx((spread / np.outer(other, other))[pairs], abs=0.2)
    assert ((spread / np.outer(other, other))[pairs] > 0.1).all(), "the stocks do hang together"


@pytest.mark.parametrize("cluster", tailindex.CLUSTERS)
def test_the_exchangeable_covariance_keeps_what_it_says(cluster):
    centre, plain = tailindex.covariance(cluster, exchangeable=False)
    same, joint = tailindex.covariance(cluster)
    pd.testing.assert_series_equal(centre, same)
    counts = ALL.groupby("symbol").size()[joint.index].to_numpy()
    assert (counts * np.diag(joint)).mean() == pytest.approx((counts * np.diag(plain)).mean())
    assert np.ptp(counts * np.diag(joint)) == pytest.approx(0.0, abs=1e-9)
    off = ~np.eye(14, dtype=bool)
    assert joint.to_numpy()[off].sum() == pytest.approx(plain.to_numpy()[off].sum(), abs=1e-12)
    # TSLA's 652 weekends are among the 677 of MSFT, so that its error holds MSFT's as IBM's does.
    assert joint.loc["TSLA", "MSFT"] == pytest.approx(joint.loc["IBM", "MSFT"])
    assert np.diag(tailindex.covariance("none")[1]) == pytest.approx(np.diag(tailindex.covariance("date")[1]), rel=1e-12)
    assert np.linalg.eigvalsh(joint)[0] > 1e-3
    assert (np.linalg.eigvalsh(plain)[0] < 1e-12) == (cluster == "year"), "14 years leave no covariance of 14 stocks"


def test_why_not_every_entry():
    """Peelle's puzzle on these stocks: weighted by its own inverse, the plain covariance puts the common index below 13 of the 14 fits."""
    centre, plain = tailindex.covariance(exchangeable=False)
    weights = np.linalg.solve(plain, np.ones(14))
    common = weights @ centre / weights.sum()
    assert (centre < common).sum() == 1 and weights.min() < 0.0
    assert np.corrcoef(centre, np.diag(plain))[0, 1] > 0.7
    _, joint = tailindex.covariance()
    weights = np.linalg.solve(joint, np.ones(14))
    assert 4 <= (centre < weights @ centre / weights.sum()).sum() <= 10 and weights.min() > 0.0


# -- the posterior


def test_the_sampler_agrees_with_quadrature(posterior):
    """Mean and deviation within five Monte Carlo errors as ArviZ states them; a false alarm in a million seeds for each of twelve numbers."""
    centre, joint = tailindex.covariance(posterior.cluster)
    m, tau, weight = by_quadrature(centre.to_numpy(), joint.to_numpy())
    table = posterior.require().summary()
    for name, grid, marginal in (("m", m, weight.sum(axis=0)), ("tau", tau, weight.sum(axis=1))):
        mean = (grid * marginal).sum()
        sd = np.sqrt(((grid - mean) ** 2 * marginal).sum())
        assert table.loc[name, "mean"] == pytest.approx(mean, abs=5 * table.loc[name, "mcse_mean"])
        assert table.loc[name, "sd"] == pytest.approx(sd, abs=5 * table.loc[name, "mcse_sd"])
        assert table.loc[name, "mcse_mean"] < 0.04 * sd
        low, high = np.interp([0.025, 0.975], marginal.cumsum(), grid)
        assert posterior.interval(name) == pytest.approx((low, high), abs=0.15 * sd)


def test_the_stocks_are_drawn_from_their_conditional_law(posterior):
    """Against the conditional of a joint Normal solved draw by draw, averaged: equal up to the noise of the 16,800 draws."""
    centre, joint = tailindex.covariance(posterior.cluster)
    draws = posterior.idata.posterior.stack(sample=("chain", "draw"))
    eta = np.log(draws["df"].transpose("sample", "symbol").to_numpy())
    means, spreads = [], []
    for m, tau in zip(draws["m"].to_numpy()[::40], draws["tau"].to_numpy()[::40]):
        gain = tau**2 * np.linalg.inv(joint.to_numpy() + tau**2 * np.eye(14))
        means.append(m + gain @ (centre.to_numpy() - m))
        spreads.append(tau**2 * np.eye(14) - gain * tau**2)
    total = np.mean(spreads, axis=0) + np.cov(np.array(means).T)
    assert eta.mean(axis=0) == pytest.approx(np.mean(means, axis=0), abs=0.012)
    assert np.cov(eta.T) == pytest.approx(total, abs=0.12 * total.max())
    assert (posterior.names["mean"] - np.exp(eta).mean(axis=0)).abs().max() < 1e-9
    drawn = posterior.names["mean"].sub(posterior.names["mean"].mean()).abs()
    assert drawn.mean() < 0.7 * centre.pipe(np.exp).sub(np.exp(centre).mean()).abs().mean(), "pulled towards each other"


def test_pooling_as_if_independent_overstates():
    """The index is known 2.5 times worse than the naive pooling says, and by years nearly four times; 14 stocks are worth about two."""
    each = {cluster: pooled(cluster) for cluster in tailindex.CLUSTERS}
    sd = {cluster: float(one.idata.posterior["m"].std()) for cluster, one in each.items()}
    assert sd["date"] / sd["none"] == pytest.approx(2.5, abs=0.2)
    assert sd["year"] / sd["none"] == pytest.approx(3.8, abs=0.3)
    assert each["none"].worth == pytest.approx(14.0) and 1.2 < each["year"].worth < each["date"].worth < 2.0
    low, high = each["date"].interval()
    assert low < each["none"].interval()[0] < 2.53 < each["none"].interval()[1] < high
    assert each["date"].interval("df_new")[0] < low


def test_same_generator_same_posterior_bit_for_bit():
    np.random.seed(3)
    first = tailindex.pooled(np.random.default_rng(9), steps=200)
    np.random.seed(4)
    again, other = (tailindex.pooled(np.random.default_rng(seed), steps=200) for seed in (9, 10))
    for name in first.idata.posterior:
        assert np.array_equal(first.idata.posterior[name], again.idata.posterior[name])
        assert not np.array_equal(first.idata.posterior[name], other.idata.posterior[name])


def test_a_short_run_does_not_pass():
    with pytest.raises(ValueError, match=r"the tail index \(date\) has not settled: m R-hat 1\.\d+, ESS \d+ bulk, \d+ tail; .*run more steps"):
        tailindex.pooled(np.random.default_rng(9), steps=100).require()


# -- known degrees of freedom, strong dependence


def falling_together(rng: np.random.Generator, df: float = 2.5, stocks: int = 8, weekends: int = 350, share: float = 0.8) -> pd.DataFrame:
    """Weekends that are independent, each a draw of a multivariate t: margins are t, and a bad weekend is bad for all."""
    common = rng.standard_normal((weekends, 1))
    normal = np.sqrt(share) * common + np.sqrt(1.0 - share) * rng.standard_normal((weekends, stocks))
    move = normal * np.sqrt(df / rng.chisquare(df, (weekends, 1))) * np.linspace(0.004, 0.012, stocks)
    dates = pd.date_range("2010-01-04", periods=weekends, freq="7D")
    return pd.DataFrame(move, index=dates, columns=[f"S{j}" for j in range(stocks)]).rename_axis("open_date").stack().rename_axis(
        ["open_date", "symbol"]
    ).rename("gap").reset_index()


def test_the_interval_covers_at_its_rate_and_the_naive_one_does_not():
    """80 tables of known index. The number of 95 % intervals that hold it is below 68 once in 6,000 seeds and at 64 or below once in 500,000;
    of intervals that cover two times in three it is above 64 once in 300. Intervals by quadrature, which the sampler was held to above."""
    rng, covered = np.random.default_rng(2026), {"date": 0, "none": 0}
    for _ in range(80):
        centre, joint = tailindex.covariance("date", falling_together(rng))
        # "none" is the diagonal, as the test of the exchangeable covariance has it.
        for cluster, errors in (("date", joint.to_numpy()), ("none", np.diag(np.diag(joint)))):
            m, _, weight = by_quadrature(centre.to_numpy(), errors)
            low, high = np.interp([0.025, 0.975], weight.sum(axis=0).cumsum(), m)
            covered[cluster] += low < np.log(2.5) < high
    assert covered["date"] >= 68
    assert covered["none"] <= 64


def test_years_that_hang_together_widen_the_interval():
    """One factor a year multiplies its gaps, so that weekends of one year tell the same about the tail. Without it the two clusterings
    agree up to the chi-square of 11 years: a ratio beyond 2.6 once in 400 seeds."""
    rng = np.random.default_rng(7)
    ratios = []
    for spread in (0.0, 0.8):
        table = falling_together(rng, df=4.0, stocks=4, weekends=600)
        years = table["open_date"].dt.year
        table["gap"] *= years.map(dict(zip(years.unique(), np.exp(spread * rng.standard_normal(years.nunique())))))
        total = {cluster: tailindex.covariance(cluster, table)[1].to_numpy().sum() for cluster in ("date", "year")}
        ratios.append(total["year"] / total["date"])
    assert ratios[0] < 2.6 < 3.0 < ratios[1]


# -- no noise, and bad input


def test_the_notice_of_arviz_stays_out_of_the_book(tmp_path):
    """ArviZ prints a FutureWarning at its first import of a day, which the stamp of a fresh cache folder stands for."""
    home = os.environ | {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    code = "from perpkit import tailindex; import perpkit._arviz; import warnings; warnings.warn('mine', FutureWarning)"
    run = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, env=home, check=True)
    assert "ArviZ" not in run.stderr and "mine" in run.stderr


RNG = np.random.default_rng(0)
NORMAL = pd.DataFrame(
    {
        "symbol": np.repeat(["A", "B", "C"], 100),
        "open_date": np.tile(pd.date_range("2020-01-06", periods=100, freq="7D"), 3),
        "gap": np.tile(stats.norm.ppf((np.arange(100) + 0.5) / 100), 3),
    }
)
ONE_YEAR = ALL[ALL["symbol"] == "TSLA"].iloc[:300].assign(open_date=pd.date_range("2020-01-01", periods=300))
BROKEN = ALL.copy()
BROKEN.loc[3, "gap"] = np.nan


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tailindex.fits(ALL.drop(columns=["gap"])), "the table lacks gap; give columns symbol, open_date and gap"),
        (lambda: tailindex.fits(pd.concat([ALL, ALL.iloc[:1]])), "AAPL has 2010-01-11 more than once"),
        (lambda: tailindex.fits(BROKEN), "AAPL has 1 gaps that are not finite"),
        (lambda: tailindex.fits(ALL.iloc[:49]), "AAPL has 49 gaps; fewer than 50 fit no tail"),
        (lambda: tailindex.fits(ALL.iloc[:0]), "the table has no rows"),
        (lambda: tailindex.fits(NORMAL), "the 100 gaps of A have no best t: they prefer ever more degrees of freedom"),
        (lambda: tailindex.fits(NORMAL.assign(gap=0.0)), "half of the gaps of A are alike"),
        (lambda: tailindex.covariance("month"), "no cluster 'month'; choose one of 'date', 'year', 'none'"),
        (lambda: tailindex.covariance("year", ONE_YEAR), "all gaps fall into one year; use cluster 'date'"),
        (lambda: tailindex.pooled(7), "rng is a numpy.random.Generator.*got 7"),
        (lambda: tailindex.pooled(RNG, steps=50), "steps is a whole number of 100 or more; got 50"),
        (lambda: tailindex.pooled(RNG, table=ALL[ALL["symbol"].isin(["TSLA", "NVDA"])]), "a spread between stocks needs three of them; got 2"),
        (lambda: tailindex.profile("GME", np.array([1.0])), "the table has no stock 'GME'"),
        (lambda: tailindex.hill(np.ones(100), 0.1), "the largest 10 of 100 gaps are too few or too alike"),
        (lambda: tailindex.hill(np.arange(20.0), 0.05), "the largest 1 of 20 gaps"),
        (lambda: tailindex.hill(np.arange(20.0), 5), "share is the part of the gaps taken for the tail.*got 5"),
        (lambda: pooled("date").interval("df"), "no quantity 'df'; choose one of 'm', 'tau', 'index', 'df_new'"),
        (lambda: pooled("date").interval("m", 95), "level is a share between 0 and 1; got 95"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
