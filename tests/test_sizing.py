"""Sizing and the experiment: funds against quantiles that are known, ruin against Cramer and Lundberg, changes against fresh weekends."""

from __future__ import annotations

import math

import numpy as np
import pytest

import perpkit as pk
from perpkit import changes, experiment, sensitivity, sizing
from perpkit.experiment import Comparison
from perpkit.strata import Strata, tail_strata

SHORT = pk.Closure(hours=4.0, reopen_minutes=5.0, value=pk.base.value())
PEOPLE = experiment.population(20.0, n=400)


def law() -> pk.gaps.Law:
    return pk.gaps.fit("TSLA", "tempered-t")


def strata(n: int = 256, seed: int = 1, tails: float = 1.0) -> Strata:
    return tail_strata(law(), n, np.random.default_rng(seed), tails)


def machine(**fields) -> pk.Machine:
    base = pk.base_case().machine
    return pk.replace(base, **{"funding": pk.Funding(when_closed=False), "backstop": pk.Backstop(0.0), "name": "m"} | fields)


def deep(**fields) -> pk.Machine:
    """Nobody moves the price, the mark is the frozen oracle: what is lost beyond collateral has a closed form."""
    inf = math.inf
    book = pk.Book(depth_open=inf, depth_closed=inf, half_spread_open=0.0, half_spread_closed=0.0, follow_open=inf, follow_closed=0.0)
    return machine(**{"book": book, "oracle": pk.frozen_oracle(), "mark": pk.OracleMark(), "mark_step": inf, "band": pk.no_band(),
                      "insurance": 0.01} | fields)  # fmt: skip


CALM = pk.replace(SHORT, value=pk.Value(sd=pk.base.value().sd, open_vol=0.0))


def test_the_demand_of_a_deep_book_is_the_shortfall_at_the_gap():
    some = strata(64)
    asked = sizing.demand({"m": deep()}, PEOPLE, CALM, some).sel(machine="m").values
    equity = PEOPLE.collateral + PEOPLE.side * PEOPLE.size * (PEOPLE.price * np.exp(some.gaps)[:, None] - PEOPLE.entry)
    lost = np.maximum(-equity, 0.0).sum(axis=1) / PEOPLE.open_interest
    fees = machine().liquidation.fee
    assert fees == 0.0
    np.testing.assert_allclose(asked, lost, atol=1e-12)


def test_a_breach_is_a_demand_above_the_fund():
    """A run with the fund in place breaches where the demand says so, cascades among them."""
    some, thin = strata(128), machine(insurance=0.01)
    asked = sizing.demand({"m": thin}, PEOPLE, SHORT, some).sel(machine="m").values
    run = experiment.weekends({"m": thin}, PEOPLE, SHORT, some, outcomes=("exhausted",))
    ran_dry = run["exhausted"].sel(machine="m").values > 0.0
    assert 0 < ran_dry.sum() < len(some)
    # A fund that recovers by fees is the one difference, and this machine charges none.
    np.testing.assert_array_equal(ran_dry, asked > 0.01)
    assert sizing.breach(some, asked, 0.01)["value"] == some.mean(ran_dry.astype(float)).value


def test_a_fund_is_the_quantile_of_the_demand():
    """Demand that is the loss itself: the fund for a breach in so many years is the law's own quantile."""
    some = strata(4096)
    loss = np.maximum(-np.expm1(some.gaps), 0.0)
    table = sizing.fund(some, loss, years=(1.0, 10.0, 50.0))
    for years, row in table.iterrows():
        exact = -math.expm1(law().quantile(1.0 / (years * sizing.WEEKENDS_A_YEAR)))
        assert row["fund"] == pytest.approx(exact, rel=0.01) and 0.0 < row["se"] < 0.02 * exact
    assert list(table["tail_share"]) == sorted(table["tail_share"]) and table["tail_share"].iloc[-1] == pytest.approx(1.0, abs=0.01)
    assert table["low"].isna().all()


def test_the_credible_interval_is_that_of_the_draws():
    predictive = pk.gaps.posterior("TSLA", "t").predictive(100)
    some = tail_strata(predictive, 2048, np.random.default_rng(1), tails=1.0)
    loss = np.maximum(-np.expm1(some.gaps), 0.0)
    row = sizing.fund(some, loss, years=(10.0,)).loc[10.0]
    from scipy import stats

    p = 1.0 / (10.0 * sizing.WEEKENDS_A_YEAR)
    exact = [-math.expm1(stats.t(*(float(q[k, 0]) for q in predictive.parameters)).ppf(p)) for k in range(100)]
    assert row["low"] == pytest.approx(np.quantile(exact, 0.05), rel=0.03) and row["high"] == pytest.approx(np.quantile(exact, 0.95), rel=0.03)


def test_the_newsvendors_fund_is_the_theorys():
    rng = np.random.default_rng(1)
    asked = rng.exponential(0.01, 4000)
    even = Strata(np.zeros(4000), np.full(4000, 1 / 4000))
    found = sizing.carried(even, asked, holding=0.5, shortage=1.0)
    assert found["fund"] == pytest.approx(pk.theory.newsvendor_fund(asked, 0.5 / sizing.WEEKENDS_A_YEAR, 1.0), rel=1e-2)
    costs = [sizing.carried(even, asked, 0.5, 1.0)["cost"]] + [
        0.5 * size + np.maximum(asked - size, 0.0).mean() * sizing.WEEKENDS_A_YEAR for size in found["fund"] * np.array([0.9, 1.1])
    ]
    assert costs[0] == min(costs)


def test_ruin_is_cramer_and_lundbergs():
    """Rare exponential demands against a steady inflow, over a time long enough to be for ever; a discrete week changes it by order 1 %."""
    rng = np.random.default_rng(2)
    count, mean, chance, loading = 4000, 0.02, 0.02, 0.5
    asked = np.concatenate(([0.0], mean * -np.log1p(-(np.arange(count) + 0.5) / count)))
    some = Strata(np.zeros(count + 1), np.concatenate(([1.0 - chance], np.full(count, chance / count))))
    drawn = sizing.drawdowns(some, asked, inflow=(1.0 + loading) * chance * mean, years=60.0, n=4000, rng=rng)
    for size in (0.0, 0.02, 0.06):
        ruin, se = drawn.ruin(size)
        assert abs(ruin - pk.theory.ruin_probability(size, mean, loading)) < 4.5 * se + 0.01
    short = sizing.drawdowns(some, asked, inflow=0.9 * chance * mean, years=200.0, n=500, rng=rng)
    assert short.ruin(0.06)[0] > 0.8  # with less coming in than going out the end is certain


def test_cover_two_is_a_sort():
    accounts = pk.Accounts([1, 1, 1, -1], [1.0, 2.0, 3.0, 6.0], [250.0] * 4, [25.0, 50.0, 75.0, 600.0])
    owed = np.sort([max(250.0 * q * (1 - math.exp(-0.2)) - c, 0.0) for q, c in ((1, 25), (2, 50), (3, 75))])
    assert sizing.stressed(accounts, -0.2) == pytest.approx(owed[-2:].sum() / accounts.open_interest)
    assert sizing.stressed(accounts, 0.0) == 0.0


def test_a_pools_buffer_is_its_first_tranche():
    pool = pk.Pool(name="p", tranches=pk.pool.Tranches(junior=0.05, senior=0.5))
    assert sizing.buffer(pool) == 0.05 and sizing.buffer(pk.replace(pool, tranches=pk.pool.Tranches(senior=0.7))) == 0.7
    assert sizing.buffer(machine(insurance=0.02)) == 0.02
    some = strata(64)
    run = sizing.demand({"p": pool, "m": machine()}, PEOPLE, SHORT, some)
    assert (run >= 0.0).all() and float(run.sel(machine="p").max()) > 0.05


def test_a_comparison_counts_at_five_errors():
    assert Comparison("a", "b", "x", -1.0, 0.2, 10).verdict == "a" and Comparison("a", "b", "x", 1.0, 0.2, 10).verdict == "b"
    assert Comparison("a", "b", "x", 1.0, 0.21, 10).verdict == "undecided" and Comparison("a", "a", "x", 0.0, 0.0, 10).verdict == "undecided"


def test_batches_do_not_change_a_weekend(monkeypatch):
    some = strata(64)
    machines = {str(k): machine(insurance=0.01 * k) for k in range(1, 6)}
    whole = experiment.weekends(machines, PEOPLE, SHORT, some)
    monkeypatch.setattr(experiment, "BATCH", 2)
    parts = experiment.weekends(machines, PEOPLE, SHORT, some)
    for name in ("exhausted", "shortfall", "premature"):
        np.testing.assert_array_equal(whole[name], parts[name])
    assert float(parts["weight"].sum()) == pytest.approx(1.0)
    found = experiment.compare(whole, some, "exhausted", "5", "1")
    assert found.value <= 0.0 and found.n == 64


def test_the_screen_runs_what_the_rows_say(monkeypatch):
    monkeypatch.setattr(experiment, "population", lambda cap, **options: pk.Accounts.sample(200, max_leverage=cap))
    case = experiment.base_case()
    monkeypatch.setattr(experiment, "base_case", lambda: type(case)(case.machine, case.accounts, SHORT, case.gaps))
    factors = [sensitivity.Factor("weight", 0.0, 1.0), sensitivity.Factor("hours", levels=(2.0, 3.0)), sensitivity.Factor("reference", levels=experiment.REFERENCES)]
    plan = sensitivity.grid(factors, nodes=2)
    some = strata(16)
    table = experiment.screen(plan, some, rng=3)
    for k in (0, 5, len(plan.shares) - 1):
        row = experiment.setting(**plan.rows()[k])
        run = pk.ensemble(row.machine, row.accounts, row.closure, some.gaps, rng=3)
        for name in table:
            assert table[name][k] == pytest.approx(float(run[name].values[0] @ some.weights), abs=1e-15)
    with pytest.raises(ValueError, match="reference is one of"):
        experiment.setting(reference="tea leaves")


def test_changes_are_single_and_halve_on_fresh_weekends():
    old, some = deep(insurance=0.002), strata(256)
    tried = changes.candidates(old, PEOPLE)
    assert {change.knob for change in tried} >= {"insurance", "leverage while closed", "size of an account", "clamp on the mark", "band"}
    for change in tried:
        assert (change.machine != old) or not np.array_equal(change.accounts.collateral, PEOPLE.collateral)
    table = changes.evaluate(tried, old, PEOPLE, CALM, some)
    best = changes.cheapest(table)
    assert set(best["knob"]) >= {"insurance", "leverage while closed"} and "clamp on the mark" not in set(best["knob"])
    assert (best["after"] <= best["before"] / 2.0).all() and best["cost"].is_monotonic_increasing
    chosen = [tried[k] for k in best.index]
    fresh = changes.evaluate(chosen, old, PEOPLE, CALM, strata(1024, seed=9), rng=9)
    assert fresh["halved"].all()


def test_a_change_of_size_keeps_the_fund_in_dollars():
    old = deep(insurance=0.01)
    for change in changes.candidates(old, PEOPLE):
        if change.knob == "size of an account":
            assert change.machine.insurance * change.accounts.open_interest == pytest.approx(0.01 * PEOPLE.open_interest)
            assert change.away == pytest.approx(1.0 - change.accounts.open_interest / PEOPLE.open_interest) and change.away > 0.0
            np.testing.assert_allclose(change.accounts.leverage, PEOPLE.leverage)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sizing.fund(strata(8), np.zeros(8), years=(0.01,)), "more than one weekend"),
        (lambda: sizing.fund(strata(8), np.zeros(8), level=1.0), "between 0 and 1"),
        (lambda: sizing.breach(strata(8), np.zeros(8), -0.1), "size is a fund"),
        (lambda: sizing.carried(strata(8), np.zeros(8), 0.0, 1.0), "holding is"),
        (lambda: sizing.drawdowns(strata(8), np.zeros(8), -1.0, 1.0, 10, np.random.default_rng(1)), "inflow is"),
        (lambda: sizing.drawdowns(strata(8), np.zeros(8), 0.0, 1.0, 10, 1), "numpy.random.Generator"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_counts_foreseen_hold_what_they_say():
    """Weekends of one draw of the posterior: their number of large gaps lies inside the interval for nine draws in ten; fewer than 150 of 200
    would happen to a right interval with a chance below 1e-6."""
    predictive = pk.gaps.posterior("TSLA", "t").predictive(200)
    some = tail_strata(predictive, 1024, np.random.default_rng(1))
    large = (np.abs(some.gaps) > 0.06).astype(float)
    low, high = sizing.count_interval(some, large, 828, np.random.default_rng(2))
    rng = np.random.default_rng(3)
    inside = [low <= rng.binomial(828, chance) <= high for chance in some.draws(large)]
    assert 150 < sum(inside) <= 200
    seen = int((np.abs(pk.gaps.empirical("TSLA").gaps) > 0.06).sum())
    assert low <= seen <= high
    with pytest.raises(ValueError, match="not from a posterior"):
        sizing.count_interval(strata(8), np.zeros(8), 10, rng)
    with pytest.raises(ValueError, match="number of weekends"):
        sizing.count_interval(some, large, 0, rng)
