"""The pool engine against venues' worked examples, closed forms, and the book engine in the limit where both must say the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slow_pool import random_pool_case, replay, two_pools
from test_ledger import interpreted

import perpkit as pk
from perpkit import pool, validation
from perpkit.outcomes import MEANING
from perpkit.pool import carry, impact, kernel

DEEP = pk.Book(depth_open=math.inf, depth_closed=math.inf, half_spread_open=0.0, half_spread_closed=0.0, follow_open=math.inf, follow_closed=math.inf)
FREE = pool.Feed("live", half_spread_open=0.0, half_spread_closed=0.0)
SHORT = pk.Closure(hours=2.0, reopen_minutes=3.0)


def one(side: int = 1, leverage: float = 10.0, price: float = 250.0) -> pk.Accounts:
    return pk.Accounts([side], [1.0], [price], [price / leverage], price)


def traders(ens) -> np.ndarray:
    """What both sides made and did not get as shown: shape (machine, weekend)."""
    return sum(ens[name].values for name in ("longs", "shorts", "adl", "socialised", "capped", "frozen"))


# --- worked examples ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("leverage", "distance"), [(10, 0.0975), (100, 0.0075), (50, 0.0175)])
def test_ostium_liquidates_at_the_documented_distance(side, leverage, distance):
    """theta 25 %, pair maximum 100x: a 10x overnight long goes at -9.75 %, whatever the leverage 0.25 % of notional before its end."""
    machine = pk.Pool(margin=pool.share_of_maximum(0.25, 100.0))
    for move, gone in ((distance - 1e-6, 0.0), (distance + 1e-6, 1.0)):
        run = pk.simulate(machine, one(side, leverage), SHORT, gap=math.log(1 - side * move), rng=1)
        assert run.outcome["liquidated_open"] == pytest.approx(gone)
        assert run.outcome["shortfall"] == 0.0


def test_nothing_happens_without_a_price():
    """Ostium, gTrade, Avantis: the value falls by 40 % on Saturday and is back on Sunday evening; nobody is closed, some were bankrupt."""
    closure = pk.Closure(hours=4.0, reopen_minutes=3.0, value=pk.Value(news_share=1.0, news_count=2, news_hours=(1.0, 2.0)))
    run = pk.simulate(pk.Pool(), one(1, 10), closure, gap=-0.05, rng=1)
    assert not len(run.events)
    assert run.outcome["liquidated_closed"] == 0.0
    live = pk.simulate(pk.Pool(feed=pool.Feed("live")), one(1, 100), closure, gap=-0.05, rng=1)
    assert live.outcome["liquidated_closed"] == pytest.approx(1.0)


# --- the frictionless limit --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maintenance", [1e-12, 0.025])
def test_without_friction_a_pool_is_a_book(maintenance):
    """Live oracle, no spread, no fee, infinite depth, batches of no length: the same traders make the same money, liquidations included, in all
    three architectures on common shocks."""
    accounts = pk.Accounts.sample(n=200, rng=5, leverage_median=8.0)
    book = pk.Machine(name="book", mark=pk.Mid(), book=DEEP, funding=pk.Funding(when_closed=False), margin=pk.Margin(20.0, maintenance), adl="none")
    machine = pk.Pool(feed=FREE, margin=pool.PoolMargin(20.0, maintenance=maintenance))
    verifiable = pk.replace(book, batch=pk.Batch(0.0))
    closure = pk.Closure(hours=3.0, reopen_minutes=3.0, value=pk.Value(sd=0.05, open_vol=0.02))
    gaps = np.random.default_rng(3).normal(0.0, 0.06, 200)
    ens = pk.ensemble({"book": book, "pool": machine, "verifiable": verifiable}, accounts, closure, gaps, rng=4)
    for name in ("longs", "shorts", "shortfall", "shortfall_long", "premature", "liquidated_closed", "liquidated_open", "phantom", "generations"):
        a, b = ens[name].sel(machine="book").values, ens[name].sel(machine="pool").values
        np.testing.assert_allclose(a, b, rtol=0.0, atol=1e-11, err_msg=name)
        np.testing.assert_array_equal(a, ens[name].sel(machine="verifiable").values, err_msg=name)
    assert (ens["liquidated_closed"].values > 0.01).sum() > 50
    owners = ens["junior"].values + ens["senior"].values
    np.testing.assert_allclose(owners[1], -traders(ens)[1], rtol=0.0, atol=1e-12)


def test_the_pool_is_minus_its_traders_and_fees():
    accounts = pk.Accounts.sample(n=200, rng=5, leverage_median=8.0)
    machine = pk.Pool(
        feed=pool.Feed("live", half_spread_closed=0.002), margin=pool.share_of_notional(0.01, 20.0),
        fees=pool.Fees(close=0.001, liquidation=0.003, to_pool=0.6),
        tranches=pool.Tranches(0.02, 0.3), carry=pool.Carry(rollover=2e-5, base=5e-5, top=1e-4, protocol=0.37), hedge=pool.Hedge(0.5),
    )  # fmt: skip
    ens = pk.ensemble({"pool": machine}, accounts, SHORT, np.random.default_rng(3).normal(0.0, 0.06, 200), rng=4)
    owners = ens["junior"].values + ens["senior"].values
    fees = ens["protocol"].values
    assert fees.max() > 0.0
    np.testing.assert_allclose(owners, -traders(ens) - fees - ens["hedge"].values, rtol=0.0, atol=1e-12)


# --- the slow twin, the ledger, and changes that must not matter -------------------------------------------------------------------------


def test_the_slow_twin_agrees_on_random_weekends():
    """Every rule drawn at random: 300 weekends of a dict-of-accounts engine that shares no rule with this one, to 1e-9 of open interest."""
    names = ("liquidated_closed", "liquidated_open", "stopped", "guaranteed", "adl_size", "capped", "frozen", "socialised", "informed")
    seen = dict.fromkeys(names, 0)
    for seed in range(300):
        machine, accounts, closure, gap = random_pool_case(seed)
        fast, slow = pk.simulate(machine, accounts, closure, gap, rng=seed), replay(machine, accounts, closure, gap, seed=seed)
        expected = [slow.outcome[name] for name in kernel.WRITTEN if name != "imbalance"]
        got = [fast.outcome[name] for name in kernel.WRITTEN if name != "imbalance"]
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9, err_msg=f"seed {seed}")
        assert slow.worst <= 1e-9 * accounts.open_interest
        assert abs(fast.ledger.sum()) <= 1e-9 * accounts.open_interest
        assert float(fast.path["imbalance"].max()) <= 1e-9 * accounts.open_interest
        for name in seen:
            seen[name] += abs(fast.outcome[name]) > 1e-6
    assert min(seen.values()) >= 10, seen  # otherwise too little happened to disagree


WRONG = {
    "spread": lambda m: {"feed": pk.replace(m.feed, half_spread_open=m.feed.half_spread_open + 1e-3)},
    "delay": lambda m: {"feed": pk.replace(m.feed, delay_minutes=m.feed.delay_minutes + 0.5)},
    "trigger": lambda m: {"feed": pk.replace(m.feed, trigger="mid" if m.feed.trigger == "fill" else "fill")},
    "impact": lambda m: {"impact": pool.no_impact()},
    "cushion": lambda m: {"margin": pk.replace(m.margin, cushion=0.5 * m.margin.cushion + 0.001)},
    "allowed loss": lambda m: {"margin": pk.replace(m.margin, loss=1.0, loss_high=1.0)},
    "who keeps the rest": lambda m: {"margin": pk.replace(m.margin, forfeits=not m.margin.forfeits)},
    "the closed rule": lambda m: {"margin_closed": None},
    "borrowing": lambda m: {"carry": pk.replace(m.carry, base=m.carry.base + 1e-4)},
    "the funding rate": lambda m: {"carry": pk.replace(m.carry, velocity=0.0)},
    "who is charged": lambda m: {"carry": pk.replace(m.carry, larger_only=not m.carry.larger_only)},
    "closing fee": lambda m: {"fees": pk.replace(m.fees, close=m.fees.close + 1e-3)},
    "whose fees": lambda m: {"fees": pk.replace(m.fees, to_pool=1.0 - m.fees.to_pool)},
    "guarantee": lambda m: {"stop": None if m.stop is None else pk.replace(m.stop, guaranteed=not m.stop.guaranteed)},
    "tranches": lambda m: {"tranches": pk.replace(m.tranches, junior=0.5 * m.tranches.junior)},
    "hedge": lambda m: {"hedge": pk.replace(m.hedge, share=0.0)},
    "the hedge's delay": lambda m: {"hedge": pk.replace(m.hedge, delay_minutes=m.hedge.delay_minutes + 1.0)},
    "largest gain": lambda m: {"payouts": pk.replace(m.payouts, max_gain=2.0 * m.payouts.max_gain)},
    "daily brake": lambda m: {"payouts": pk.replace(m.payouts, daily=math.inf)},
    "deleveraging": lambda m: {"payouts": pk.replace(m.payouts, adl_above=math.inf, adl_to=None)},
    "haircut": lambda m: {"payouts": pk.replace(m.payouts, paid_up_to=math.inf)},
    "forced cut": lambda m: {"overnight_leverage": math.inf},
    "how it is cut": lambda m: {"overnight": "close" if m.overnight == "reduce" else "reduce"},
    "refund": lambda m: {"refund": 0.0},
    "informed flow": lambda m: {"informed": 0.5 * m.informed},
}


@pytest.mark.parametrize("name", WRONG)
def test_the_twin_notices_a_wrong_rule(name):
    """One rule of the twin is another: somewhere in 150 weekends it shows."""
    for seed in range(150):
        machine, accounts, closure, gap = random_pool_case(seed)
        other = pk.replace(machine, **WRONG[name](machine))
        if other == machine:
            continue
        fast = pk.simulate(machine, accounts, closure, gap, rng=seed).outcome
        slow = replay(other, accounts, closure, gap, seed=seed).outcome
        if any(abs(slow[key] - fast[key]) > 1e-6 for key in kernel.WRITTEN if key != "imbalance"):
            return
    raise AssertionError("150 weekends are the same with another rule")


def test_gaps_and_sizes_of_the_validation_page_are_drawn_apart(monkeypatch):
    seen = {}

    def caught(machines, people, closure, gaps, rng):
        seen.update(sizes=np.log(people.size[:100]), gaps=gaps)
        return pk.ensemble(machines, people, closure, gaps, rng=rng)

    monkeypatch.setattr(validation, "ensemble", caught)
    validation.pool_and_book(100, 4)
    assert abs(np.corrcoef(seen["sizes"], seen["gaps"])[0, 1]) < 0.3


def test_the_validation_pages_measures():
    found = validation.pool_and_book(64, 4)
    assert found.pop("liquidated") > 0.05
    assert max(found.values()) < 1e-9
    assert validation.pool_trigger(pool.share_of_maximum(0.25, 100.0), 10.0) == pytest.approx(0.0975, abs=1e-8)
    assert validation.pool_trigger(pool.loss_of_collateral(0.85, 25.0), 25.0, "short") == pytest.approx(0.034, abs=1e-8)
    assert two_pools(range(5)) < 1e-9


def test_five_thousand_random_weekends_balance():
    weekends = 0
    for group in range(100):
        machine, accounts, closure, _ = random_pool_case(10_000 + group)
        gaps = np.random.default_rng(group).normal(0.0, 0.1, 50)
        ens = pk.ensemble(machine, accounts, closure, gaps, rng=group)
        assert ens["imbalance"].values.max() <= 1e-9
        assert np.abs(sum(ens[name].values for name in pool.EVERY_POCKET)).max() <= 1e-9
        weekends += ens.sizes["weekend"]
    assert weekends == 5_000


def test_books_and_pools_in_one_call_live_through_the_same_weekends():
    case = pk.base_case()
    accounts = pk.Accounts.sample(n=200, rng=5, max_leverage=10)
    both = pk.ensemble({"book": case.machine, "pool": pk.Pool()}, accounts, SHORT, case.gaps, n=130, rng=3)
    alone = pk.ensemble({"pool": pk.Pool()}, accounts, SHORT, case.gaps, n=130, rng=3)
    book = pk.ensemble({"book": case.machine}, accounts, SHORT, case.gaps, n=130, rng=3)
    for name in pool.OUTCOMES:
        np.testing.assert_array_equal(both[name].sel(machine="pool"), alone[name].isel(machine=0), err_msg=name)
    for name in pk.OUTCOMES:
        np.testing.assert_array_equal(both[name].sel(machine="book"), book[name].isel(machine=0), err_msg=name)
    assert set(book.data_vars) == set(pk.OUTCOMES)
    assert tuple(MEANING) == pool.OUTCOMES and {(x.long_name, x.units) for x in both.values()} == set(MEANING.values())
    assert not np.abs(both["junior"].sel(machine="book").values).any()
    weekend = 77
    run = pk.simulate(pk.Pool(), accounts, SHORT, gap=float(both["gap"][weekend]), rng=3, weekend=weekend)
    got = np.array([both[name].values[1, weekend] for name in pool.OUTCOMES])
    np.testing.assert_allclose(run.outcome.values, got, rtol=1e-12, atol=1e-12)


def test_a_run_with_pools_can_be_stored(tmp_path):
    """A store tells pools apart by their rules, and a second call reads what the first one wrote."""
    gaps, many = np.linspace(-0.1, 0.1, 130), {"pool": pk.Pool(), "other": pk.Pool(hedge=pool.Hedge(0.5))}
    options = {"rng": 1, "store": tmp_path / "run", "outcomes": ("junior", "longs")}
    first, again = (pk.ensemble(many, twins(), SHORT, gaps, **options) for _ in range(2))
    assert set(first.data_vars) == {"junior", "longs"}
    np.testing.assert_array_equal(first["junior"], again["junior"])
    with pytest.raises(ValueError, match="another run"):
        pk.ensemble(many | {"other": pk.Pool(hedge=pool.Hedge(0.6))}, twins(), SHORT, gaps, **options)


def test_twice_the_money_changes_nothing():
    """Everything is per unit of open interest: doubling sizes, collateral and the USD in the rules leaves every outcome where it was."""
    for seed in range(40):
        machine, accounts, closure, gap = random_pool_case(seed)
        impact = machine.impact
        worsen, improve = impact.worsen / 2 ** (impact.power_worsen - 1), impact.improve / 2 ** (impact.power_improve - 1)
        rescaled = {"scale": 2 * impact.scale, "worsen": worsen, "improve": improve}
        if rescaled["improve"] > rescaled["worsen"]:
            continue
        double = pk.replace(machine, impact=pk.replace(impact, **rescaled))
        twice = pk.Accounts(accounts.side, 2 * accounts.size, accounts.entry, 2 * accounts.collateral, accounts.price)
        one, two = pk.simulate(machine, accounts, closure, gap, rng=seed), pk.simulate(double, twice, closure, gap, rng=seed)
        np.testing.assert_allclose(two.outcome.drop("imbalance"), one.outcome.drop("imbalance"), rtol=1e-8, atol=1e-10, err_msg=str(seed))


@pytest.mark.parametrize("guaranteed", [False, True])
def test_a_mirrored_side_pays_the_same(guaranteed):
    """A long after a fall to 250 - x and a short after a rise to 250 + x, by every rule that does not look at a logarithm."""
    machine = pk.Pool(
        feed=FREE, margin=pool.loss_of_collateral(0.85, 25.0), stop=pool.Stop(0.5, 0.4, guaranteed), tranches=pool.Tranches(0.01, 0.5),
        hedge=pool.Hedge(0.7), payouts=pool.Payouts(max_gain=2.0, daily=0.05, adl_above=0.3, paid_up_to=0.4),
    )  # fmt: skip
    closure = pk.Closure(1.0, reopen_minutes=3.0, value=pk.Value(news_share=1.0, news_hours=(0.5,)))
    for move in (3.0, 8.0, 20.0, 60.0):
        for lean in (1.0, -1.0):  # the same side heavier than the other, or lighter
            runs = []
            for s in (1, -1):
                heavy = np.array([2.0, 1.0]) if lean > 0 else np.array([1.0, 2.0])
                accounts = pk.Accounts([s, -s], heavy, [250.0, 250.0], heavy * 250.0 / 10.0)
                runs.append(pk.simulate(machine, accounts, closure, gap=math.log(1 - s * move / 250), rng=1).outcome)
            pairs = {"longs": "shorts", "shortfall_long": "shortfall_short"}
            mirrored = runs[1].rename(pairs | {b: a for a, b in pairs.items()})
            ignored = ["imbalance", "dislocation"]
            np.testing.assert_allclose(mirrored[runs[0].index].drop(ignored), runs[0].drop(ignored), rtol=1e-9, atol=1e-11)


LEAK = """
import json, math
import numpy as np
import perpkit as pk
from perpkit import pool
from perpkit.pool import exits, informed, ledger

machine = pool.Pool(
    feed=pool.Feed("perp", 0.0002, 0.001), margin=pool.share_of_notional(0.01, 10.0), fees=pool.Fees(1e-3, 1e-3, 2e-3, 0.5), refund=0.5,
    stop=pool.Stop(0.5, 0.5, True), tranches=pool.Tranches(0.01, 0.3), hedge=pool.Hedge(0.5), informed=0.1,
    carry=pool.Carry(rollover=1e-4, base=1e-4, top=1e-3, protocol=0.4), payouts=pool.Payouts(max_gain=1.0, adl_above=0.2, paid_up_to=0.25),
    book=pk.Book(follow_closed=0.2, noise_closed=0.03),
)
base = pk.Accounts.sample(n=12, rng=2, leverage_median=6.0, max_leverage=10, open_interest=1e5)
accounts = pk.Accounts(base.side, np.where(base.side > 0, 1.5, 1.0) * base.size, base.entry, np.where(base.side > 0, 1.5, 1.0) * base.collateral)
closure = pk.Closure(hours=2.0, update_s=10.0, reopen_minutes=2.0)
honest, state = ledger.credit, {"calls": 0, "leak": 0}

def credit(st, pocket, amount):
    state["calls"] += 1
    honest(st, pocket, amount - 0.01 if state["calls"] == state["leak"] else amount)

def weekend(leak):
    state.update(calls=0, leak=leak)
    return pk.simulate(machine, accounts, closure, gap=-0.15, rng=4)

ledger.credit = exits.credit = informed.credit = credit
run = weekend(0)
payments = state["calls"]
noticed = 0
for leak in range(1, payments + 1):
    try:
        weekend(leak)
    except pk.LedgerError:
        noticed += 1
print(json.dumps({"payments": payments, "noticed": noticed, "kinds": sorted(set(run.events.kind)), "balance": float(run.ledger.sum())}))
"""


def test_one_cent_lost_in_any_payment_is_noticed():
    found = interpreted(LEAK)
    assert found["payments"] > 50
    assert {"liquidation", "guaranteed stop", "max gain"} <= set(found["kinds"])
    assert abs(found["balance"]) < 1e-4  # the same weekend without a leak is in order
    assert found["noticed"] == found["payments"]


# --- one rule at a time ------------------------------------------------------------------------------------------------------------------

AT_ONCE = pk.Closure(1.0, reopen_minutes=3.0, value=pk.Value(news_share=1.0, news_hours=(0.0,)))
SHUT = pool.Feed("none", half_spread_open=0.0)


def twins(leverage: float = 10.0, longs: float = 1.0, shorts: float = 1.0) -> pk.Accounts:
    return pk.Accounts([1, -1], [longs, shorts], [250.0, 250.0], [longs * 250.0 / leverage, shorts * 250.0 / leverage])


def outcome(machine: pk.Pool, accounts: pk.Accounts, move: float) -> dict[str, float]:
    """Ledger in USD of a weekend in which the value moves by the simple return ``move``."""
    run = pk.simulate(machine, accounts, AT_ONCE, gap=math.log1p(move), rng=1)
    return dict(run.outcome) | dict(run.ledger)


def test_the_pool_pays_what_the_loser_cannot():
    """10x pair, -12 %: the long loses 25 of 30, the short is paid 30, the pool pays 5: its junior first, and in full."""
    got = outcome(pk.Pool(feed=SHUT, tranches=pool.Tranches(0.016, 1.0)), twins(), -0.12)
    assert [got[name] for name in ("longs", "shorts", "junior", "senior")] == pytest.approx([-25.0, 30.0, -4.0, -1.0])
    assert got["exhausted"] == 1.0 and got["shortfall"] * 250 == pytest.approx(5.0)
    shared = outcome(pk.Pool(feed=SHUT, tranches=pool.Tranches(0.5, 0.5, split=0.65)), twins(), -0.12)
    assert [shared["junior"], shared["senior"]] == pytest.approx([-3.25, -1.75])
    poor = outcome(pk.Pool(feed=SHUT, tranches=pool.Tranches(0.004, 0.008)), twins(), -0.12)
    assert [poor["junior"], poor["senior"], poor["socialised"], poor["shorts"]] == pytest.approx([-1.0, -2.0, -2.0, 30.0])


@pytest.mark.parametrize(("junior", "senior", "split", "breached"), [
    (0.016, 1.0, None, 1.0), (0.016, 1.0, 0.65, 0.0), (0.0129, 1.0, 0.65, 1.0), (0.0131, 1.0, 0.65, 0.0),
    (0.016, 0.002, 0.65, 1.0), (0.016, 0.0041, 0.65, 0.0), (0.001, 0.02, 0.0, 0.0), (0.0, 0.021, 0.65, 0.0), (0.0, 0.019, 0.65, 1.0),
])  # fmt: skip
def test_a_breach_empties_the_tranche_that_loses_first(junior, senior, split, breached):
    """The pool loses 0.02 of open interest; with a split, a breach is a junior without anything left and more asked of it."""
    got = outcome(pk.Pool(feed=SHUT, tranches=pool.Tranches(junior, senior, split)), twins(), -0.12)
    assert got["exhausted"] == breached
    assert breached == 0.0 or (got["junior"] if junior else got["senior"]) == pytest.approx(-250.0 * (junior or senior))


@pytest.mark.parametrize(("tranches", "start", "end"), [
    (pool.Tranches(0.05, 1.0), 12.5, 7.5), (pool.Tranches(0.016, 1.0), 4.0, 0.0), (pool.Tranches(0.0, 0.5), 125.0, 120.0),
    (pool.Tranches(0.5, 0.5, 0.65), 125.0, 121.75), (pool.Tranches(0.0, 0.01), 2.5, 0.0),
])  # fmt: skip
def test_the_path_shows_what_is_left_of_the_first_tranche(tranches, start, end):
    """The pool loses 5 USD at the first print."""
    fund = pk.simulate(pk.Pool(feed=SHUT, tranches=tranches), twins(), AT_ONCE, gap=math.log1p(-0.12), rng=1).path["fund"].values
    assert (fund[0], fund[-1]) == pytest.approx((start, end)) and (fund >= 0.0).all()


@pytest.mark.parametrize("delay", [3.0, 5.0])
def test_a_delay_as_long_as_the_window_is_refused(delay):
    late = pk.Pool(feed=pk.replace(SHUT, delay_minutes=delay))
    for run in (lambda: pk.simulate(late, twins(), AT_ONCE, gap=-0.1), lambda: pk.ensemble(late, twins(), AT_ONCE, [-0.1])):
        with pytest.raises(ValueError, match="give a longer reopen_minutes"):
            run()


@pytest.mark.parametrize(("move", "pool_gets"), [(-0.12, -5.0), (0.12, 0.0)])
def test_a_hedge_loses_the_full_move_where_the_pool_collects_collateral(move, pool_gets):
    """One 10x long against the pool, fully hedged. Down 12 %: the hedge loses 30, the trader pays 25. Up: the hedge makes what he is paid."""
    got = outcome(pk.Pool(feed=SHUT, hedge=pool.Hedge(1.0)), one(), move)
    assert got["junior"] + got["senior"] == pytest.approx(pool_gets)
    assert got["hedge"] == pytest.approx(-250.0 * move)
    assert got["hedge_due"] * 250 == pytest.approx(250.0 * move)
    bare = outcome(pk.Pool(feed=SHUT), one(), move)
    assert bare["junior"] + bare["senior"] == pytest.approx(25.0 if move < 0 else -30.0)


def test_a_late_hedge_follows_the_stock():
    """The long is gone at the first print; the hedge is sold when it may, and what the stock does until then is the pool's."""
    closure = pk.Closure(1.0, reopen_minutes=6.0, value=pk.Value(news_share=1.0, news_hours=(0.0,), open_vol=0.2))
    results = {}
    for minutes in (0.0, 2.0, 100.0):
        run = pk.simulate(pk.Pool(feed=SHUT, hedge=pool.Hedge(1.0, minutes)), one(), closure, gap=-0.12, rng=5)
        results[minutes] = run.ledger["junior"] + run.ledger["senior"]
    path = run.path["V"].values
    first, later, last = path[61], path[61 + 40], path[-1]
    for minutes, sold in ((0.0, first), (2.0, later), (100.0, last)):
        assert results[minutes] == pytest.approx(25.0 + sold - 250.0, abs=1e-9)


def test_a_guaranteed_stop_is_the_pools_gap():
    """10x long with a stop at half its collateral, -12 %. Guaranteed: he leaves with 12.50 and the pool collects 12.50. Not: all 25 are lost."""
    plain = outcome(pk.Pool(feed=SHUT, stop=pool.Stop(0.5)), one(), -0.12)
    sure = outcome(pk.Pool(feed=SHUT, stop=pool.Stop(0.5, guaranteed=True)), one(), -0.12)
    assert (plain["longs"], sure["longs"]) == pytest.approx((-25.0, -12.5))
    assert (plain["shortfall"] * 250, sure["shortfall"]) == pytest.approx((5.0, 0.0))
    assert sure["guaranteed"] * 250 == pytest.approx(12.5)
    against = sum(sure[name] for name in ("junior", "senior")) - (0.12 * 250)  # had it been hedged by a short that is paid in full
    assert -against / 250 == pytest.approx(pk.theory.uncovered(0.12, 10.0, stop=0.5))
    half = outcome(pk.Pool(feed=SHUT, stop=pool.Stop(0.5, share=0.25, guaranteed=True)), one(), -0.12)
    assert half["longs"] == pytest.approx(0.25 * -12.5 + 0.75 * -25.0)


def test_a_gain_is_capped_at_its_own_level():
    """100x long, +12 %: 900 % of 2.50 is 22.50; the rest of the 30 is shown as capped."""
    got = outcome(pk.Pool(feed=SHUT, payouts=pool.Payouts(max_gain=9.0)), one(1, 100.0), 0.12)
    assert got["capped"] == pytest.approx(-7.5)
    assert got["longs"] + got["capped"] == pytest.approx(22.5)
    assert got["junior"] + got["senior"] == pytest.approx(-22.5)


def test_a_daily_brake_freezes_winning_closes_and_nothing_else():
    """-12 % on a 10x pair: 25 collected, a limit of 1 % of a pool of 250: the short may take 27.50 of 30 and is owed 2.50."""
    got = outcome(pk.Pool(feed=SHUT, payouts=pool.Payouts(daily=0.01)), twins(), -0.12)
    assert got["frozen"] == pytest.approx(2.5)
    assert got["shorts"] == pytest.approx(27.5)
    assert got["junior"] + got["senior"] == pytest.approx(-5.0)  # owed is lost, if later
    assert outcome(pk.Pool(feed=SHUT, payouts=pool.Payouts(daily=0.021)), twins(), -0.12)["frozen"] == 0.0


def test_a_hedged_pool_may_owe_more_than_it_has():
    """A 2x long of 250 against a pool of 10, fully hedged, +12 %: 30 are owed and 10 are there; the hedge's 30 come with the next settlement."""
    small = pool.Tranches(0.0, 0.04)
    got = outcome(pk.Pool(feed=SHUT, tranches=small, hedge=pool.Hedge(1.0)), one(1, 2.0), 0.12)
    assert (got["longs"], got["frozen"], got["senior"], got["socialised"]) == pytest.approx((10.0, 20.0, 0.0, 0.0))
    bare = outcome(pk.Pool(feed=SHUT, tranches=small), one(1, 2.0), 0.12)  # without it they are lost
    assert (bare["longs"], bare["frozen"], bare["senior"], bare["socialised"]) == pytest.approx((30.0, 0.0, -10.0, -20.0))


def test_a_haircut_pays_every_winner_the_same_share():
    """One-sided shorts of 2 shares, -12 %: profit 60 against 0.2 * 125 = 25 behind the side: 25 are paid, 35 are cut."""
    got = outcome(pk.Pool(feed=SHUT, tranches=pool.Tranches(0.0, 0.5), payouts=pool.Payouts(paid_up_to=0.2)), one(-1, 2.0), -0.12)
    assert got["shorts"] == pytest.approx(30.0)
    assert got["socialised"] == pytest.approx(-(30.0 - 0.2 * 0.5 * 125.0))
    assert got["senior"] == pytest.approx(-12.5)


def test_profit_above_a_share_of_the_pool_closes_winners():
    """GMX v2: a 10 % gap at 120 % use is 12 % of the pool behind the side, far below 55 to 65 %: nobody is closed. At 50 % they are, down to
    the second threshold, and what they miss of the rest of the move is theirs."""
    behind = pool.Tranches(0.0, 2.0 / 1.2)  # open interest is 1.2 times half the pool
    for move, done in ((-0.10, False), (-0.50, True)):
        got = outcome(pk.Pool(feed=SHUT, tranches=behind, payouts=pool.Payouts(adl_above=0.55, adl_to=0.50)), one(-1, 2.0), move)
        assert got["adl_needed"] * 250 == pytest.approx(max(-move * 250 - 0.50 / 1.2 * 250, 0.0) if done else 0.0)
        assert got["adl_size"] == pytest.approx(1.0 - 0.50 / (0.5 * 1.2) if done else 0.0)
        assert got["shorts"] == pytest.approx(-move * 250)


def test_the_clock_alone_liquidates():
    """GMX gold: maintenance 0.5 % in hours, 1 % off hours, closing fee 6 bp. At the switch whoever is above about 94x goes, at an unchanged
    price; 93x stays."""
    fee, still = 6e-4, pk.Closure(1.0, reopen_minutes=3.0, value=pk.Value(news_share=1.0, news_hours=(0.5,)))
    machine = pk.Pool(
        feed=pool.Feed("live", 0.0, 0.0), margin=pool.share_of_notional(0.005 + fee, 100.0), margin_closed=pool.share_of_notional(0.01 + fee, 100.0)
    )
    for leverage, gone in ((94.4, 1.0), (94.3, 0.0)):
        run = pk.simulate(machine, one(1, leverage), still, gap=0.0, rng=1)
        assert run.outcome["liquidated_closed"] == run.outcome["timed"] == pytest.approx(gone)
    assert 1.0 / (0.01 + fee) == pytest.approx(94.34, abs=0.01)


def test_carry_alone_liquidates():
    """A 10x long pays 0.1 % an hour and has 2.45 % to its liquidation: it goes at the 25th hour."""
    machine = pk.Pool(feed=pool.Feed("live", 0.0, 0.0), margin=pool.share_of_notional(0.0755, 100.0), carry=pool.Carry(rollover=1e-3))
    run = pk.simulate(machine, one(), pk.Closure(30.0, value=pk.Value(news_share=1.0, news_hours=(29.9,))), gap=0.0, rng=1)
    assert run.outcome["timed"] == pytest.approx(1.0)
    assert math.ceil(run.events.time[0]) == 26  # the first look after the 25th payment
    assert run.ledger["longs"] == pytest.approx(-25 * 0.25)


def test_forced_cuts_before_the_close():
    """100x to 10x at 15:45: cut to size, or closed."""
    accounts = pk.Accounts([1, -1, 1], [4.0, 1.0, 1.0], [250.0, 250.0, 240.0], [10.0, 50.0, 15.0])
    cut = pk.cut_leverage(accounts, 10.0)
    equity = cut.collateral + cut.side * cut.size * (cut.price - cut.entry)
    assert cut.size == pytest.approx([0.4, 1.0, 1.0])
    assert equity == pytest.approx([10.0, 50.0, 25.0])
    assert pk.cut_leverage(accounts, 10.0, "close").size == pytest.approx([1.0, 1.0])
    winner = pk.cut_leverage(pk.Accounts([1], [1.0], [200.0], [1.0]), 2.0)
    assert winner.size == pytest.approx([2 * 51.0 / 250.0])
    assert winner.collateral + winner.size * 50.0 == pytest.approx([51.0])
    day = pk.Pool(feed=SHUT, overnight_leverage=10.0)
    got = outcome(day, pk.Accounts([1], [1.0], [250.0], [2.5]), -0.12)
    assert got["longs"] == pytest.approx(-2.5)
    assert got["shortfall"] * 250 == pytest.approx(0.1 * (0.12 - 0.10) * 250)


def test_a_refund_is_the_venues():
    """A long is liquidated on a wick that is gone by the reopening; the venue pays back half of what it cost him."""
    closure = pk.Closure(2.0, reopen_minutes=3.0, value=pk.Value(sd=0.2, news_share=0.0))
    machine = pk.Pool(feed=FREE, margin=pool.share_of_maximum(), refund=0.5)
    for seed in range(20):
        got = pk.simulate(machine, one(), closure, gap=0.0, rng=seed)
        if got.outcome["premature"]:
            assert got.ledger["venue"] == pytest.approx(-12.5)
            assert got.ledger["longs"] == pytest.approx(-12.5)
            return
    raise AssertionError("no premature liquidation in 20 weekends")


def test_what_informed_flow_takes_from_a_stale_pool():
    """Notes 4.D5 on simple losses: 1.512, 1.464, 1.138 % of notional at fees of 5, 10, 50 bp over TSLA's weekends. (The note's 1.545, 1.497 and
    1.162 read log gaps as losses.) A pool without a closed price, or one with the right price, loses nothing to them."""
    gaps = pk.gaps.empirical("TSLA").gaps
    fees = (5e-4, 1e-3, 5e-3)
    stale = pool.Feed("frozen", half_spread_open=0.0, half_spread_closed=0.0)
    machines = {str(fee): pk.Pool(feed=stale, fees=pool.Fees(open=fee), informed=1.0, margin=pool.PoolMargin(1.0)) for fee in fees}
    ens = pk.ensemble(machines, twins(1.01), pk.Closure(1.0, reopen_minutes=1.0), gaps, rng=1)
    taken = ens["informed"].mean("weekend").values
    assert taken == pytest.approx([0.01512, 0.01464, 0.01138], abs=6e-6)
    assert taken == pytest.approx(pk.theory.stale_option(gaps, np.array(fees), of="log"), rel=1e-9)
    assert (ens["informed"].values >= 0.0).all()
    run = pk.simulate(pk.replace(machines["0.005"], fees=pool.Fees(open=0.001, close=0.001)), twins(1.01), AT_ONCE, gap=0.03, rng=1)
    assert run.outcome["informed"] == pytest.approx(pk.theory.pool_capture(0.03, 0.001))


# --- prices of size and of time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("worsen", "size", "cost"), [(9e-11, 1e6, 0.9e-4), (9.29e-9, 1e6, 50e-4), (3e-9, 1e6, 30e-4), (2e-8, 0.25e6, 50e-4)],
    ids=["ETH", "XAUt0, capped", "GOLD off hours", "NATGAS off hours"],
)  # fmt: skip
def test_gmx_impact_from_balance(worsen, size, cost):
    """Configuration of 2026-03: the average cost of a trade of S from balance is f S, up to 50 bp."""
    rule = pool.imbalance_impact(worsen, 0.5 * worsen)
    args = (rule.kind, rule.scale, rule.worsen, rule.improve, rule.power_worsen, rule.power_improve, rule.most_paid, rule.most_got)
    assert impact.closing_cost(*args, 1e7, 1e7, 1.0, size) == pytest.approx(cost)
    assert impact.closing_cost(*args, 1e7 + size, 1e7, 1.0, size) == pytest.approx(-min(0.5 * worsen * size, 0.004))
    across = impact.closing_cost(*args, 1e7 + size, 1e7, 1.0, 2 * size) * 2 * size  # half of it improves, half worsens
    assert across == pytest.approx(min(0.5 * worsen * size**2, 0.005 * 2 * size), rel=1e-9)


def test_synthetix_fill():
    """``P (1 + (2 K + n) / (2 Q))``: closing 1m of longs out of a skew of 3m, scale 100m, sells 2.5 % above."""
    rule = pool.skew_impact(1e8)
    args = (rule.kind, rule.scale, 0.0, 0.0, 2.0, 2.0, 1.0, 1.0)
    assert impact.closing_cost(*args, 5e6, 2e6, 1.0, 1e6) == pytest.approx(-0.025)
    assert impact.closing_cost(*args, 2e6, 5e6, -1.0, 1e6) == pytest.approx(-0.025)


@pytest.mark.parametrize(
    ("base", "top", "kink", "rate"), [(45, 100, 0.75, 73.5), (50, 100, 0.75, 75), (50, 130, 0.75, 93), (55, 130, 0.75, 94.5), (45, 90, 0.85, 55.5)]
)
def test_kinked_borrowing_at_nine_tenths(base, top, kink, rate):
    assert carry.borrowing(0.9, base, top, kink) == pytest.approx(rate)


def test_adaptive_funding_takes_fifteen_hours():
    """GMX v2's default: 90 % a year in three hours at full skew; 15 hours at a fifth, 30 at a tenth."""
    most = 0.9 / 8760
    for skew, hours in ((0.2, 15), (0.1, 30), (-0.2, 15)):
        rate, count = 0.0, 0
        while abs(rate) < most * (1.0 - 1e-9):
            rate, count = carry.next_rate(rate, skew, most / 3.0, 0.04, most, 0.0), count + 1
        assert count == hours == pytest.approx(pk.theory.skew_hours(most, most / 3.0, abs(skew)))
    assert carry.next_rate(1e-6, 0.03, 1e-5, 0.04, most, 0.0) == 1e-6  # skew below the threshold: it rests
    assert carry.next_rate(1e-6, -0.03, 1e-5, 0.04, most, 0.0) < 1e-6  # but not against it


def test_larger_side_pays_the_smaller():
    """Longs 2, shorts 1 at 10x: what longs pay in funding shorts are paid, whole; borrowing is the pool's and the protocol's."""
    funding = pool.Carry(velocity=1e-3, threshold=0.04)
    still = pk.Closure(10.0, reopen_minutes=3.0, value=pk.Value(news_share=1.0, news_hours=(9.99,)))
    run = pk.simulate(pk.Pool(feed=FREE, carry=funding), twins(10.0, 2.0, 1.0), still, gap=0.0, rng=1)
    assert run.ledger["longs"] == pytest.approx(-500.0 * sum((k + 0.5) * 1e-3 / 3 for k in range(10)))
    assert run.ledger["longs"] + run.ledger["shorts"] == pytest.approx(0.0, abs=1e-12)
    borrow = pool.Carry(base=1e-3, top=1e-3, kink=0.0, reserve=1.0, protocol=0.37)
    run = pk.simulate(pk.Pool(feed=FREE, carry=borrow, tranches=pool.Tranches(0.0, 4.0)), twins(10.0, 2.0, 1.0), still, gap=0.0, rng=1)
    assert run.ledger["longs"] == pytest.approx(-10 * 1e-3 * 0.5 * 500.0) and run.ledger["shorts"] == 0.0
    assert run.ledger["protocol"] == pytest.approx(-0.37 * run.ledger["longs"])


# --- bad input, by name ------------------------------------------------------------------------------------------------------------------

BAD = [
    (lambda: pool.Feed("chainlink"), "closed"), (lambda: pool.Feed(trigger="mark"), "trigger"),
    (lambda: pool.Feed(delay_minutes=-1.0), "delay_minutes"),
    (lambda: pool.Feed(half_spread_open=math.nan), "half_spread_open"), (lambda: pool.share_of_maximum(0.6), "theta"),
    (lambda: pool.share_of_maximum(0.2, 0.5), "max_leverage"), (lambda: pool.loss_of_collateral(1.2), "loss"),
    (lambda: pool.PoolMargin(leverage_low=5.0, leverage_high=2.0), "leverage_low"), (lambda: pool.share_of_notional(1.0), "cushion"),
    (lambda: pool.Fees(close=-0.1), "close"), (lambda: pool.Stop(1.0), "loss"), (lambda: pool.Stop(0.5, 0.0), "share"),
    (lambda: pool.Tranches(-0.1), "junior"), (lambda: pool.Tranches(0.1, 0.0), "senior"), (lambda: pool.Tranches(split=2.0), "split"),
    (lambda: pool.Hedge(1.1), "share"), (lambda: pool.Payouts(max_gain=0.0), "max_gain"), (lambda: pool.Payouts(adl_above=0.5, adl_to=0.6), "adl_to"),
    (lambda: pool.Payouts(side=0.0), "side"), (lambda: pool.Carry(kink=1.0), "kink"), (lambda: pool.Carry(cap=1e-5, floor=1e-4), "floor"),
    (lambda: pool.Carry(skew_scale=0.0), "skew_scale"), (lambda: pool.Carry(start=1.0, cap=0.5), "start"), (lambda: pool.skew_impact(0.0), "scale"),
    (lambda: pool.imbalance_impact(1e-9, 2e-9), "improve"), (lambda: pk.Pool(margin=pk.Margin()), "margin"), (lambda: pk.Pool(stop=0.5), "stop"),
    (lambda: pk.Pool(overnight="cut"), "overnight"), (lambda: pk.Pool(overnight_leverage=0.5), "overnight_leverage"),
    (lambda: pk.Pool(informed=0.5), "informed"), (lambda: pk.Pool(refund=2.0), "refund"), (lambda: pk.replace(pk.Pool(), feeds=1), "feeds"),
    (lambda: pk.cut_leverage(one(), 0.5), "max_leverage"), (lambda: pk.cut_leverage(one(), 5.0, "halve"), "how"),
    (lambda: pk.cut_leverage(one(), 5.0, "close"), "every account"),
    (lambda: pk.simulate(pk.Pool(), one(1, 500.0), SHORT, gap=0.0), "account 0"),
    (lambda: pk.simulate(pk.Pool(payouts=pool.Payouts(max_gain=0.5)), pk.Accounts([1], [1.0], [200.0], [50.0]), SHORT, gap=0.0), "already gained"),
    (lambda: pk.ensemble({"a": "pool"}, one(), SHORT, [0.0]), "Machine or Pool"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "name"), BAD, ids=[f"{k}-{name}" for k, (_, name) in enumerate(BAD)])
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
