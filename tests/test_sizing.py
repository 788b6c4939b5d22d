"""Sizing and the experiment: funds against quantiles that are known, ruin against Cramer and Lundberg, changes against fresh weekends."""

from __future__ import annotations

import math

import numpy as np
import pytest

import perpkit as pk
from perpkit import changes, experiment, sizing
from perpkit.experiment import Comparison
from perpkit.strata import Strata, reweighted, tail_strata

SHORT = pk.Closure(hours=4.0, reopen_minutes=5.0, value=pk.base.value())
PEOPLE = pk.population(20.0, n=400)


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


def test_a_split_pools_buffer_is_what_empties_its_junior():
    """A demand above the buffer is a breach of the pool as it is; a buffer asked for is a buffer had, and costs both tranches."""
    some, lean = strata(64), pk.Accounts([1], [1e5], [250.0], [250.0 * 1e5 / 10.0])
    for split, junior, empty in ((0.65, 0.02, 0.02 / 0.65), (0.5, 0.4, 0.45), (0.0, 0.02, 0.07), (1.0, 0.02, 0.02)):
        pool = pk.Pool(name="p", tranches=pk.pool.Tranches(junior, 0.05, split))
        assert sizing.buffer(pool) == pytest.approx(empty) and sizing.buffer(sizing.with_buffer(pool, 0.3)) == pytest.approx(0.3)
        asked = sizing.demand({"p": pool}, lean, SHORT, some).sel(machine="p").values
        breached = experiment.weekends({"p": pool}, lean, SHORT, some, outcomes=("exhausted",))["exhausted"].sel(machine="p").values
        np.testing.assert_array_equal(asked > sizing.buffer(pool), breached > 0.0)
        assert 0 < breached.sum() < len(some)
        for change in changes.candidates(pool, PEOPLE)[:3]:
            assert change.fund == pytest.approx(sum(change.machine.tranches.__dict__[k] for k in ("junior", "senior")) - junior - 0.05)


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


def test_batches_agree_about_what_only_a_pool_has():
    some, books = strata(16), {f"b{k}": machine(insurance=0.01) for k in range(17)}
    pool = {"p": pk.Pool(name="p", tranches=pk.pool.Tranches(0.01))}
    for machines in (books | pool, pool | books):
        for outcomes in (None, ("junior",)):
            run = experiment.weekends(machines, PEOPLE, SHORT, some, outcomes=outcomes)
            assert (run["junior"].sel(machine=list(books)) == 0.0).all() and (run["junior"].sel(machine="p") != 0.0).any()
    with pytest.raises(ValueError, match="outcomes are one or more of"):
        experiment.weekends(books, PEOPLE, SHORT, some, outcomes=("seniority",))


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


@pytest.mark.parametrize("name", ["deep", "lighter", "trade-xyz", "gtrade", "avantis"])
def test_a_change_of_size_keeps_fund_and_vault_in_dollars(name):
    old = deep(insurance=0.01) if name == "deep" else pk.replace(pk.venue(*{"avantis": ("avantis", "TSLA", "2024-05-31")}.get(name, (name,))), name=name)

    def owned(machine):
        if isinstance(machine, pk.Pool):
            return np.array([machine.tranches.junior, machine.tranches.senior])
        return np.array([machine.insurance, machine.backstop.capacity, machine.backstop.equity])

    assert (owned(old)[np.isfinite(owned(old))] > 0.0).any()
    for change in changes.candidates(old, PEOPLE):
        if change.knob == "size of an account":
            np.testing.assert_allclose(owned(change.machine) * change.accounts.open_interest, owned(old) * PEOPLE.open_interest, rtol=1e-12)
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


def test_weekends_serve_another_law():
    """Reweighted strata give the other law's tail, and refuse a law that lives elsewhere."""
    some, half = strata(2048, tails=0.5), law().scaled(0.7)
    under = reweighted(some, law(), half)
    assert under.weights.sum() == pytest.approx(1.0, abs=1e-12) and under.record == half.record
    for level in (0.01, 0.03, 0.06):
        exact = half.cdf(-level) + 1.0 - half.cdf(level)
        assert under.mean((np.abs(some.gaps) > level).astype(float)).value == pytest.approx(exact, rel=0.03)
    with pytest.raises(ValueError, match="lives on other gaps"):
        reweighted(some, law(), law().scaled(0.0002))


def test_other_weekends_are_neighbours():
    predictive = pk.gaps.posterior("TSLA", "t").predictive(100)
    some = tail_strata(predictive, 512, np.random.default_rng(1), tails=1.0)
    rank = np.arange(512.0)
    moved = some.others(rank, 50, np.random.default_rng(2)) - rank
    assert set(np.unique(moved)) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    noisy = (np.random.default_rng(3).random(512) < 0.5).astype(float)
    plain, wide = some.draws(noisy), some.draws(noisy, np.random.default_rng(4))
    assert wide.std() == pytest.approx(math.hypot(plain.std(), some.mean(noisy).se), rel=0.25)
    assert wide.mean() == pytest.approx(plain.mean(), abs=4 * some.mean(noisy).se)


def guarded(**fields) -> pk.Machine:
    book = pk.Book(depth_closed=4e6, depth_open=2e7, noise_closed=0.004, follow_closed=2.0)
    rules = {"liquidation": pk.zero_price(), "backstop": pk.lp_fund(0.02, 0.1, 2.0 / 3.0), "adl": "crossing", "insurance": 0.0, "book": book}
    return machine(**rules | fields)


def test_a_fund_with_a_margin_of_its_own_is_tried_in_steps():
    """Its demand is the smallest rung without a breach: the machine at that rung has none, and at the one below it has."""
    some = strata(32)
    asked = sizing.demand({"g": guarded()}, PEOPLE, SHORT, some).sel(machine="g").values
    assert sizing.buffer(guarded()) == 0.02 and set(asked) <= {*sizing.RUNGS, sizing.ENOUGH} and len(set(asked)) > 2
    for below, rung in zip(sizing.RUNGS, sizing.RUNGS[1:]):
        run = experiment.weekends({str(q): sizing.with_buffer(guarded(), q) for q in (below, rung)}, PEOPLE, SHORT, some, outcomes=("exhausted",))
        at = asked == rung
        assert (run["exhausted"].sel(machine=str(rung)).values[at] == 0.0).all() and (run["exhausted"].sel(machine=str(below)).values[at] == 1.0).all()


def test_no_fund_helps_where_orders_may_not_fill():
    """Forced orders that are refused beyond a band leave accounts to the winners, whatever the fund owns."""
    held, some = machine(liquidation=pk.limit_only(0.02), insurance=0.01), strata(64)
    asked = sizing.demand({"m": held}, PEOPLE, SHORT, some).sel(machine="m").values
    run = experiment.weekends({"m": pk.replace(held, insurance=1.0)}, PEOPLE, SHORT, some, outcomes=("exhausted",))
    np.testing.assert_array_equal(asked == sizing.ENOUGH, run["exhausted"].sel(machine="m") > 0.0)
    assert 0 < (asked == sizing.ENOUGH).sum() < len(some)


def test_deleveraging_changes_no_breach():
    some = strata(64)
    for held in (machine(insurance=0.01), guarded()):
        run = experiment.weekends({"with": held, "without": sizing.without_adl(held)}, PEOPLE, SHORT, some, outcomes=("exhausted", "adl_size"))
        np.testing.assert_array_equal(*(run["exhausted"].sel(machine=k).values for k in ("with", "without")))
        assert float(run["adl_size"].sel(machine="with").max()) > 0.0


def test_a_cap_keeps_the_part_of_maintenance(monkeypatch):
    old = machine(margin=pk.Margin(10.0, 0.06))
    assert sizing.capped(old, 20.0).margin == pk.Margin(20.0, 0.03)
    pool = pk.Pool(name="p", margin=pk.pool.PoolMargin(50.0, loss=0.9))
    assert sizing.capped(pool, 5.0).margin == pk.pool.PoolMargin(5.0, loss=0.9)
    with pytest.raises(ValueError, match="cap is"):
        sizing.capped(old, 0.0)
    monkeypatch.setattr(sizing, "population", lambda cap: pk.Accounts.sample(200, max_leverage=cap))
    some = strata(16)
    found = sizing.by_cap({"m": old, "p": pool}, (20.0, 5.0), SHORT, some)
    assert found.dims == ("machine", "cap", "weekend") and found.shape == (2, 2, 16) and found["posted"][1] > found["posted"][0]
    alone = sizing.demand({"m": sizing.capped(old, 5.0)}, pk.Accounts.sample(200, max_leverage=5.0), SHORT, some)
    np.testing.assert_array_equal(found.sel(machine="m", cap=5.0), alone.sel(machine="m"))


def test_a_search_ends_with_what_holds_on_other_weekends():
    old = deep(insurance=0.002)
    found = changes.search(old, PEOPLE, CALM, strata(128), strata(512, seed=9), rng=3)
    ranked = changes.cheapest(found.tried)
    assert len(found.finalists) == min(3, len(ranked)) and found.finalists["cost"].is_monotonic_increasing
    assert found.verdict == "halved" and found.best["after"] <= found.best["before"] / 2.0
    assert found.best["cost"] == found.finalists[found.finalists["halved"]]["cost"].min()
    safe = changes.search(deep(insurance=1.0), PEOPLE, CALM, strata(32), strata(32, seed=9))
    assert safe.verdict == "nothing" and safe.best is None and safe.finalists.empty


def test_prices_price_a_table_again():
    table = changes.evaluate(changes.candidates(deep(insurance=0.002), PEOPLE), deep(insurance=0.002), PEOPLE, CALM, strata(16))
    assert (changes.priced(table, changes.Prices(0.0, 0.0, 0.0))["cost"] == 0.0).all()
    cap = table[table["knob"] == "leverage while closed"].iloc[-1]
    posted = np.maximum(PEOPLE.collateral, PEOPLE.size * PEOPLE.entry / 3.0) - PEOPLE.collateral
    assert cap["posted"] == pytest.approx(posted.sum() / PEOPLE.open_interest * 4.0 / 168.0)
    assert changes.priced(table, changes.Prices(1.0, 0.0, 0.0)).loc[cap.name, "cost"] == pytest.approx(cap["posted"])
