"""Posterior: the chains agree, the draws are those of an independent calculation, the future stays unseen, and a wrong model is caught."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import perpkit as pk
from perpkit import posterior, priors, rivals


@pytest.fixture(scope="module")
def tesla():
    return pk.gaps.posterior("TSLA", law="t", rng=1)


def test_chains_agree_and_do_not_depend_on_threads():
    found = posterior.posteriors(["NVDA"], priors.LAWS, seed=2)
    assert list(found) == [("NVDA", law) for law in priors.LAWS]
    for post in found.values():
        frame = post.summary()
        assert frame["r_hat"].max() <= 1.01 and frame[["ess_bulk", "ess_tail"]].min().min() > 1000
    for law in ("normal", "skew-t"):
        alone = pk.gaps.posterior("NVDA", law=law, rng=2).idata.posterior["loc"].values
        assert np.array_equal(alone, found["NVDA", law].idata.posterior["loc"].values)


def test_require_names_what_fails(tesla):
    with pytest.raises(ValueError, match="df: ess_bulk"):
        tesla.require(ess=1e6)


def by_grid() -> dict[str, tuple[float, float]]:
    """Mean and sd of each parameter of TSLA's t under the default prior, by brute force on a grid of (df, loc, scale); nothing of the package's
    densities or priors enters."""
    gaps = pk.gaps.empirical("TSLA").gaps
    df, loc, scale = np.linspace(1.6, 4.6, 61), np.linspace(0.0003, 0.0045, 41), np.linspace(0.0108, 0.0152, 45)
    log = np.empty((df.size, loc.size, scale.size))
    for i, d in enumerate(df):
        for j, m in enumerate(loc):
            z = (gaps[:, None] - m) / scale
            log[i, j] = (-(d + 1) / 2 * np.log1p(z**2 / d)).sum(axis=0) - gaps.size * np.log(scale)
        log[i] += gaps.size * (special.gammaln((d + 1) / 2) - special.gammaln(d / 2) - np.log(d * np.pi) / 2)
    log += stats.gamma(2.0, scale=10.0).logpdf(df)[:, None, None] + stats.norm(0.0, 0.01).logpdf(loc)[:, None]
    log += stats.lognorm(1.0, scale=0.01).logpdf(scale)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    found = {}
    for axis, (name, grid) in enumerate((("df", df), ("loc", loc), ("scale", scale))):
        marginal = weight.sum(axis=tuple(k for k in range(3) if k != axis))
        mean = float((grid * marginal).sum())
        found[name] = mean, float(np.sqrt((grid**2 * marginal).sum() - mean**2))
    return found


def test_moments_against_a_grid(tesla):
    """Mean and sd within five Monte Carlo errors and the grid's own."""
    frame, found = tesla.summary(), by_grid()
    assert set(priors.prior("t").names) == set(found)
    for name, (mean, sd) in found.items():
        assert frame.loc[name, "mean"] == pytest.approx(mean, abs=5 * frame.loc[name, "mcse_mean"])
        assert frame.loc[name, "sd"] == pytest.approx(sd, rel=0.05)


def test_the_same_seed_gives_the_same_draws_and_leaves_numpy_alone():
    before = np.random.get_state()[1].copy()
    one, two = (pk.gaps.posterior("TSLA", law="normal", rng=5).idata.posterior["scale"].values for _ in range(2))
    assert np.array_equal(one, two) and np.array_equal(before, np.random.get_state()[1])


def test_predictive_is_the_mean_of_its_members(tesla):
    law = tesla.predictive(50)
    x = np.array([-0.3, -0.1, -0.01, 0.0, 0.02, 0.2])
    members = np.array([one.cdf(x) for one in law.members])
    assert law.cdf(x) == pytest.approx(members.mean(axis=0), rel=1e-7)
    assert law.cdf(law.quantile(np.array([1e-6, 0.01, 0.5, 0.99]))) == pytest.approx([1e-6, 0.01, 0.5, 0.99], rel=1e-7)
    assert np.exp(law.members_logpdf(x)).mean(axis=0) == pytest.approx(np.exp(law.logpdf(x)), rel=1e-10)
    each = [pk.theory.shortfall(one, 0.1) for one in law.members[:8]]
    assert law.members_shortfall(0.1)[:8] == pytest.approx(each, rel=1e-6)
    with pytest.raises(ValueError, match="infinite"):
        law.shortfall(0.1, "short")


def test_one_run_reweighted_gives_the_members_shortfalls(tesla):
    """``credible`` on the engine in its frozen limit against the closed form of every posterior draw."""
    law = tesla.predictive(60)
    machine = pk.limits.frozen_machine(0.05)
    accounts = pk.Accounts([1, -1], [1.0, 1.0], [250.0, 250.0], [12.5, 12.5])
    run = pk.ensemble(machine, accounts, pk.Closure(hours=2.0, closed_step_s=3600.0, reopen_minutes=0.1), law, n=16_384, rng=3)
    result = pk.credible(run["shortfall_long"].isel(machine=0), law)
    assert result.draws == pytest.approx(law.members_shortfall(0.05), rel=0.06)
    assert result.low < law.shortfall(0.05) < result.high


@pytest.mark.parametrize("of", ["days", "nights"])
def test_trailing_volatility_never_looks_ahead(of):
    table = pk.data.closures("TSLA")
    before = posterior.trailing_volatility("TSLA", of=of)
    changed = table.copy()
    changed.loc[2000:, ["gap", "intraday"]] *= 3.0
    after = posterior.trailing_volatility("TSLA", table=changed, of=of)
    day = table["open_date"][2000]
    assert np.allclose(before[:day], after[:day], rtol=1e-9) and not np.allclose(before[day:][1:40], after[day:][1:40], rtol=1e-3)
    row = table.iloc[1980:2000]
    by_hand = (row["gap"] + row["intraday"]).std() if of == "days" else row["gap"].abs()[~row["earnings"]].mean()
    assert before[day] == pytest.approx(by_hand)


def test_rolling_forecasts_know_nothing_later():
    table = pk.data.closures("NVDA")
    changed = table.copy()
    changed.loc[changed["open_date"] >= "2022-01-01", "gap"] *= 2.0
    one, two = (posterior.rolling("NVDA", law="normal", first="2021-01-01", rng=1, table=each) for each in (table, changed))
    early = one["open_date"] < "2022-01-01"
    assert np.array_equal(one.loc[early, "pit"], two.loc[early, "pit"]) and not np.allclose(one.loc[~early, "pit"], two.loc[~early, "pit"])
    short = posterior.rolling("NVDA", law="normal", first="2021-01-01", rng=1, years=3)
    assert short["n_fit"].max() < 165 < one["n_fit"].min()


def test_short_walks_forecast_as_long_ones():
    """A rolling forecast goes on from the walk of the year before. Whole walks from the prior, six times as long, give the same shares to 0.005."""
    how = {"law": "skew-t", "volatility": "nights", "years": 5}
    short = posterior.rolling("TSLA", first="2023-01-01", rng=3, **how)
    long = posterior.rolling("TSLA", first="2023-01-01", rng=4, schedule=posterior.Schedule(ensembles=1, burn=400, steps=720, keep=180), **how)
    assert np.abs(short["pit"] - long["pit"]).max() < 0.005


def test_calibration_passes_uniform_shares_and_fails_others():
    rng = np.random.default_rng(8)
    good, narrow = posterior.calibration(rng.random(500)), posterior.calibration(stats.norm.cdf(1.5 * rng.standard_normal(500)))
    assert good["p"].min() > 0.001
    assert narrow.loc["Kolmogorov-Smirnov distance", "p"] < 0.001 and narrow.loc["lowest 1%", "p"] < 0.001


def test_the_volatility_model_foresees_better_and_the_normal_worse(tesla):
    over = pk.gaps.posterior("TSLA", volatility="days", rng=1)
    start = f"{over.sample.dates[0]:%Y-%m-%d}"
    posts = {"t": pk.gaps.posterior("TSLA", rng=1, start=start), "normal": pk.gaps.posterior("TSLA", law="normal", rng=1, start=start), "days": over}
    table = rivals.compare(posts)
    assert list(table.index) == ["days", "t", "normal"]
    assert table.loc["t", "elpd_diff"] > 3 * table.loc["t", "dse"] and table.loc["t", "pareto_k"] < 0.7
    exact = stats.t.logpdf(over.sample.gaps, 2.42, 0.0024, 0.0128).sum()
    assert table.loc["t", "elpd_loo"] == pytest.approx(exact, abs=6.0)


def test_ranks_are_uniform_and_a_wrong_model_is_caught():
    """Simulation-based calibration at the level 0.001, Bonferroni over parameters; gaps a third too wide must fail."""
    tight = priors.StudentT(priors.Gamma(8.0, 2.0), priors.Normal(0.0, 0.01), priors.LogNormal(0.01, 0.5))
    right = posterior.rank_test(posterior.rank_statistics("t", 60, 60, np.random.default_rng(4), prior=tight))
    assert right["p"].min() * len(right) > 0.001
    wrong = posterior.rank_test(posterior.rank_statistics("t", 60, 60, np.random.default_rng(4), prior=tight, distort=lambda g: 1.5 * g))
    assert wrong["p"].min() * len(wrong) < 0.001


@pytest.mark.parametrize("law", ["skew-t", "tempered-t"])
def test_ranks_are_uniform_from_the_priors_as_they_stand(law):
    """The same under the default prior, whose draws lie far apart, for the two laws with a ridge. Level 0.001, Bonferroni."""
    test = posterior.rank_test(posterior.rank_statistics(law, 60, 60, np.random.default_rng(4)))
    assert test["p"].min() * len(test) > 0.001


def test_another_prior_moves_what_power_scaling_says_it_informs():
    """The t's answer hangs on the record; the reach of a tempered t on its prior too, which power scaling sees without another walk."""
    plain, tempered = (rivals.sensitivity("TSLA", law, rng=1) for law in ("t", "tempered-t"))
    assert list(plain.index) == list(priors.NAMES) and tempered["chains", "r_hat"].max() < 1.02
    assert tempered.loc["heavier", ("reach", "mean")] > 1.5 * tempered.loc["default", ("reach", "mean")]
    assert tempered.loc["lighter", ("long", "mean")] < tempered.loc["default", ("long", "mean")] < tempered.loc["heavier", ("long", "mean")]
    for side in ("long", "short"):
        assert (tempered[side, "low"] < tempered[side, "mean"]).all() and (tempered[side, "mean"] < tempered[side, "high"]).all()
        assert tempered[side, "unseen"].between(0.4, 0.9).all()
    assert np.isinf(plain["short", "mean"]).all() and plain["short", "unseen"].isna().all()
    moved = rivals.power_scaling(pk.gaps.posterior("TSLA", "tempered-t", rng=1))
    t = rivals.power_scaling(pk.gaps.posterior("TSLA", "t", rng=1))
    assert moved.loc["reach", "prior"] > 0.05 > t.loc["df", "prior"] and (t["likelihood"] > 0.05).all()
    assert {"long", "short"} <= set(moved.index) and "short" not in t.index


def test_bad_requests_say_what_to_do():
    with pytest.raises(ValueError, match="seed is a whole number of 0 or more: every posterior starts with it"):
        posterior.posteriors(["TSLA"], ["t"], seed=np.random.default_rng(1))
    with pytest.raises(ValueError, match="compare takes two posteriors or more with a name each"):
        rivals.compare({})
    with pytest.raises(ValueError, match="sensitivity needs at least one prior"):
        rivals.sensitivity("TSLA", rivals=[])
    with pytest.raises(ValueError, match="volatility is False, True or one of 'days', 'nights'"):
        pk.gaps.posterior("TSLA", volatility="weeks")
    with pytest.raises(ValueError, match="years is a whole number"):
        posterior.rolling("TSLA", years=0)
    with pytest.raises(ValueError, match="no law 'cauchy'"):
        pk.gaps.posterior("TSLA", law="cauchy")
    with pytest.raises(ValueError, match="calibration takes 100"):
        posterior.calibration(pd.Series([0.5] * 10))
