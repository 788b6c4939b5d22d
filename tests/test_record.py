"""The record through every machine: breaches counted, foreseen, and paid for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import perpkit as pk
from perpkit import compare, sizing
from perpkit import replay as record
from perpkit.strata import tail_strata

SHORT = pk.Closure(hours=4.0, reopen_minutes=5.0, value=pk.base.value())
PEOPLE = pk.population(20.0, n=400)
GAPS = np.array([-0.12, 0.01, 0.15, -0.02, 0.07, 0.0])


def machine(**fields) -> pk.Machine:
    return pk.replace(pk.base_case().machine, **{"funding": pk.Funding(when_closed=False), "backstop": pk.Backstop(0.0), "name": "m"} | fields)


def test_each_weekend_is_run_on_several_paths():
    pool = pk.Pool(name="p", tranches=pk.pool.Tranches(junior=0.005))
    seen = record.breaches({"m": machine(), "p": pool}, PEOPLE, SHORT, GAPS, paths=3, rng=4)
    assert seen.dims == ("machine", "path", "weekend") and seen.shape == (2, 3, 6) and set(np.unique(seen)) == {0.0, 1.0}
    run = pk.ensemble({"m": machine(), "p": pool}, PEOPLE, SHORT, GAPS, n=18, rng=4)
    np.testing.assert_array_equal(seen.values.reshape(2, 18), run["exhausted"].values)
    with pytest.raises(ValueError, match="paths is how often"):
        record.breaches({"m": machine()}, PEOPLE, SHORT, GAPS, paths=0)


def test_the_value_moves_as_the_record_does():
    assert SHORT.of(GAPS).value.sd == pytest.approx(np.std(GAPS, ddof=1))
    assert SHORT.of(pk.gaps.empirical("TSLA").gaps).value.sd == pytest.approx(pk.base.value().sd)


def test_a_law_is_held_out_from_what_it_foresees():
    """Fitted to the weekends before the split only, and mixed over the volatility of those after it: calmer years foresee a calmer law."""
    plain, nights = (record.held_out_laws(["TSLA"], "2018-01-01", nights=known, n=50)["TSLA"] for known in (False, True))
    post = pk.posterior.posteriors(["TSLA"], ["skew-t"], 7, end="2017-12-31")["TSLA", "skew-t"]
    x = np.linspace(-0.1, 0.1, 5)
    np.testing.assert_allclose(plain.logpdf(x), post.predictive(50).logpdf(x))
    assert plain.record == nights.record == pk.gaps.empirical("TSLA").record and post.sample.dates[-1] < pd.Timestamp("2018-01-01")
    assert len(nights) == 50 and nights.parameters[0].shape == (50, 12)
    assert 1.0 - nights.cdf(0.06) > 1.0 - plain.cdf(0.06)


def test_a_tally_sets_what_was_seen_beside_what_was_foreseen():
    """Breaches that are the large gaps of the record, where the law has as many, and a machine that is never breached."""
    predictive, gaps = pk.gaps.posterior("TSLA", "t").predictive(100), pk.gaps.empirical("TSLA").gaps
    some = tail_strata(predictive, 1024, np.random.default_rng(1))
    large = (np.abs(some.gaps) > 0.06).astype(float)
    foreseen = record.xr.DataArray(np.array([large, 0.0 * large, 1.0 - large]), {"machine": ["a", "b", "c"]}, ("machine", "weekend"))
    one = (np.abs(gaps) > 0.06).astype(float)
    seen = record.xr.DataArray(np.array([[one, one], [0 * one, 0 * one], [one, one]]), {"machine": ["a", "b", "c"]}, ("machine", "path", "weekend"))
    table = record.tally(seen, some, foreseen, np.random.default_rng(2))
    assert table["breaches"].tolist() == [one.sum(), 0.0, one.sum()] and table["inside"].tolist() == [True, True, False]
    assert table.loc["a", "years"] == pytest.approx(len(gaps) / sizing.WEEKENDS_A_YEAR / one.sum()) and np.isinf(table.loc["b", "years"])
    assert table.loc["a", "low"] < table.loc["a", "expected"] < table.loc["a", "high"] and table.loc["b", "high"] == 0.0


def test_the_worst_weekends_breach_the_most_machines():
    days = pd.DatetimeIndex(["2020-01-06", "2020-01-13", "2020-01-21"])
    hits = {"A": [[1, 0, 1], [1, 0, 0]], "B": [[0, 0, 1], [0, 0, 1]]}
    gaps = {"A": [-0.1, 0.0, 0.05], "B": [0.0, 0.01, -0.2]}
    seen = {
        k: record.xr.DataArray(np.array(v, float)[:, None, :], {"machine": ["x", "y"], "gap": ("weekend", gaps[k])}, ("machine", "path", "weekend"))
        for k, v in hits.items()
    }
    table = record.worst(seen, {"A": days, "B": days}, count=3)
    assert table["symbol"].tolist() == ["B", "A", "A"] and table["gap"].tolist() == [-0.2, -0.1, 0.05] and table["share"].tolist() == [1.0, 1.0, 0.5]


def test_what_some_pay_others_gain():
    table = record.payers(machine(insurance=0.003), PEOPLE, SHORT, GAPS[[0, 2]], paths=4, rng=2)
    assert list(table.columns) == [*compare.GROUPS, "se"] and len(table) == 2
    np.testing.assert_allclose(table[list(compare.GROUPS)].sum(axis=1), 0.0, atol=1e-9)
    assert (table["insurance"] < 0.0).all() and (table["insurance"] >= -0.003 - 1e-12).all()
    with pytest.raises(ValueError, match="2 or more"):
        record.payers(machine(), PEOPLE, SHORT, GAPS, paths=1)


def test_counts_foreseen_hold_what_they_say():
    """Weekends of one draw of the posterior: their number of large gaps lies inside the interval for nine draws in ten; fewer than 150 of 200
    would happen to a right interval with a chance below 1e-6."""
    predictive = pk.gaps.posterior("TSLA", "t").predictive(200)
    some = tail_strata(predictive, 1024, np.random.default_rng(1))
    large = (np.abs(some.gaps) > 0.06).astype(float)
    low, high = record.count_interval(some, large, 828, np.random.default_rng(2))
    rng = np.random.default_rng(3)
    plain = tail_strata(pk.gaps.fit("TSLA", "tempered-t"), 8, np.random.default_rng(1))
    inside = [low <= rng.binomial(828, chance) <= high for chance in some.draws(large)]
    assert 150 < sum(inside) <= 200
    seen = int((np.abs(pk.gaps.empirical("TSLA").gaps) > 0.06).sum())
    assert low <= seen <= high
    with pytest.raises(ValueError, match="not from a posterior"):
        record.count_interval(plain, np.zeros(8), 10, rng)
    with pytest.raises(ValueError, match="number of weekends"):
        record.count_interval(some, large, 0, rng)
