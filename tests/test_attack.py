"""Attack: where a plan's money comes from, what the optimiser finds, and what it must not find."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest

import perpkit as pk
from perpkit.attack import Attack, Rehearsal, assess, best_attack, capital_needed, frontier, plan, profit_bound, quiet, unlevered, within_reach
from perpkit.theory import harvest_frontier

CLOSURE = pk.Closure(6.0, reopen_minutes=3.0, value=pk.Value(news_share=1.0, news_hours=(0.0,)))
PEOPLE = pk.Accounts.sample(1_000, rng=1, max_leverage=20.0)
INTEREST = PEOPLE.open_interest


@lru_cache(maxsize=None)
def machine(ratio: float = 0.8, band: pk.Band | None = None) -> pk.Machine:
    found = quiet(pk.studies.eras()["today"])
    book = pk.replace(found.book, depth_closed=ratio * INTEREST)
    return pk.replace(found, book=book, band=band or found.band)


PLAN = Attack(-0.08, 0.5, pause=0.05, close_hours=0.2, position=-1e6)


def test_the_parts_of_a_profit_add_up_and_the_ledger_agrees():
    orders = plan(PLAN, machine(), CLOSURE, PEOPLE.price)
    parts = assess(machine(), PEOPLE, CLOSURE, orders)
    run = pk.simulate(machine(), PEOPLE, CLOSURE, 0.0, orders=orders)
    assert parts["profit"] == pytest.approx(run.ledger["attacker"])
    assert parts[["pushing", "unwinding", "funding", "position"]].sum() == pytest.approx(parts["profit"], abs=1e-6 * INTEREST)
    assert parts["pushing"] < 0.0 < parts["unwinding"] and parts["liquidated"] > 0.0
    assert parts["harvest"] > 0.0 > parts["profit"] - parts["harvest"]
    assert abs(run.ledger.sum()) < 1e-9 * INTEREST
    assert parts["capital"] == capital_needed(run, machine()) > 0.0


def test_a_news_gap_is_the_positions_not_the_pushs():
    """Short a million into a fall of 5 %: worth that, less what building it cost; the pushing is measured against the new value."""
    still = pk.replace(machine(), book=pk.replace(machine().book, depth_open=math.inf, half_spread_open=0.0))
    parts = assess(still, unlevered(PEOPLE), CLOSURE, plan(Attack(-1e-3, 1 / 60, cap=0.0, position=-1e6), still, CLOSURE, PEOPLE.price), gap=-0.05)
    assert parts["position"] == pytest.approx(-1e6 * math.expm1(-0.05), rel=1e-9)
    assert parts["pushing"] == parts["unwinding"] == 0.0 and parts["harvest"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("shape", ["hold", "twap", "burst"])
def test_every_shape_reaches_its_push(shape):
    alone = Rehearsal(machine(), unlevered(PEOPLE), CLOSURE)
    _, path = alone.played(plan(Attack(-0.04, 1.0, shape), alone.machine, CLOSURE, PEOPLE.price))
    assert np.log(path["P"].min() / PEOPLE.price) == pytest.approx(-0.04, rel=1e-3)


def test_the_cap_is_kept():
    run = pk.simulate(machine(), PEOPLE, CLOSURE, 0.0, orders=plan(Attack(-0.3, 2.0, cap=2e6), machine(), CLOSURE, PEOPLE.price))
    sent = run.events[run.events["kind"] == "order"]
    assert (sent["size"] * sent["price"]).sum() == pytest.approx(2e6, rel=2e-3)  # the cap is on USD before the spread


def test_nothing_to_gain_in_an_infinite_book_or_from_nothing():
    deep = pk.replace(machine(), book=pk.replace(machine().book, depth_closed=math.inf, depth_open=math.inf, half_spread_closed=0.0))
    sent = pk.Orders((0.5,), (-1e7,), (0.9,))  # out before funding, of which a short gets the interest
    assert pk.simulate(quiet(deep), PEOPLE, CLOSURE, 0.0, orders=sent).ledger["attacker"] == 0.0
    assert pk.simulate(machine(), PEOPLE, CLOSURE, 0.0, orders=pk.Orders()).ledger["attacker"] == 0.0
    assert best_attack(machine(), unlevered(PEOPLE), CLOSURE, 0.25 * INTEREST, rounds=4).profit == 0.0


def test_mirror_symmetry():
    """Small, and with nobody liquidated, up costs what down costs; a long at 20x stands further off than a short, so large pushes differ."""
    gains = {}
    for size, people in ((0.004, unlevered(PEOPLE)), (0.004, PEOPLE), (0.06, PEOPLE)):
        for sign in (1.0, -1.0):
            orders = plan(Attack(sign * size, 0.4, pause=0.05, close_hours=0.1), machine(), CLOSURE, PEOPLE.price)
            gains[size, people is PEOPLE, sign] = assess(machine(), people, CLOSURE, orders)["profit"]
    for held in (False, True):
        assert gains[0.004, held, 1.0] == pytest.approx(gains[0.004, held, -1.0], rel=0.01)
    assert gains[0.06, True, 1.0] > gains[0.06, True, -1.0]


def harvested() -> tuple[float, float]:
    """Profit of a block sold through one large long in a book that forgets nothing, and the closed form for what that long was made to sell."""
    depth, price, block = 20e6, 250.0, 1e6
    book = pk.Book(depth, depth, 0.0, 0.0, half_spread_open=0.0, half_spread_closed=0.0, follow_closed=0.0)
    alone = pk.Machine(
        oracle=pk.frozen_oracle(), mark=pk.Mid(), margin=pk.Margin(20.0), funding=pk.Funding(when_closed=False), adl="none", insurance=1.0, book=book
    )
    size = 2e6 / price  # called at -4.2 %, sold at -5 %
    people = pk.Accounts([1.0, -1.0], [size, size], [price, price], [0.066 * size * price, size * price], price)
    run = pk.simulate(alone, people, CLOSURE, 0.0, orders=pk.Orders((0.5,), (-block,), (1.0,)))
    sold = run.path["attacker_size"].sel(time=0.75, method="nearest")
    assert run.outcome["liquidated_closed"] == pytest.approx(1.0)
    forced = size * price * math.exp(-block / depth)
    return float(run.ledger["attacker"]), harvest_frontier(depth, -float(sold) * price, forced)


def test_a_harvest_in_one_go_earns_what_the_closed_form_says():
    profit, bound = harvested()
    assert profit == pytest.approx(bound, rel=1e-9) and profit > 0.0


def random_orders(rng: np.random.Generator) -> pk.Orders:
    """Sales in any rhythm, then purchases of what is held; every third time a push, its end and another."""
    hours, sold, closing = [], [], []
    for begin in (0.0, 2.8)[: int(rng.integers(1, 4)) // 3 + 1]:
        count = int(rng.integers(1, 7))
        start = begin + np.sort(rng.uniform(0.0, 1.5, count))
        hours += [*start]
        sold += [*(-rng.dirichlet(np.ones(count)) * 0.25 * INTEREST * rng.uniform(0.1, 1.0))]
        closing += [*rng.uniform(start[-1] + 0.02, start[-1] + rng.uniform(0.05, 1.2), int(rng.integers(1, 20)))]
    return pk.Orders(tuple(hours), tuple(sold), tuple(closing))


@pytest.mark.parametrize("ratio", [0.2, 0.8, 2.0])
@pytest.mark.parametrize("band", [pk.no_band(), pk.static_band(0.05), None])
def test_no_attack_beats_the_printed_frontier(ratio, band):
    """Neither the optimiser's best plan nor 150 schedules at random, of one push or two, earn more than the closed form allows."""
    there = machine(ratio, band)
    bound = profit_bound(there, PEOPLE, 0.25 * INTEREST)
    best = best_attack(there, PEOPLE, CLOSURE, 0.25 * INTEREST, "twap", rounds=20)
    stage, rng = Rehearsal(there, PEOPLE, CLOSURE), np.random.default_rng(3)
    most = max(stage.profit(random_orders(rng)) for _ in range(150))
    assert max(best.profit, most) <= bound
    assert best.profit >= 0.9 * most, "schedules at random find what the optimiser misses"


def test_the_optimiser_finds_a_planted_harvest():
    """A third of the longs stand one tick from liquidation over a thin book: earning on them is easy, and a population without them leaves nothing."""
    size = 0.3 * INTEREST / PEOPLE.price
    m = machine().margin.maintenance
    planted = pk.Accounts(
        np.append(PEOPLE.side, 1.0), np.append(PEOPLE.size, size), np.append(PEOPLE.entry, PEOPLE.price),
        np.append(unlevered(PEOPLE).collateral, size * PEOPLE.price * (1.0 - 0.99 * (1.0 - m))), PEOPLE.price,
    )  # fmt: skip
    best = best_attack(machine(), planted, CLOSURE, 0.25 * INTEREST, rounds=6)
    assert best.profit > 0.005 * INTEREST
    assert assess(machine(), planted, CLOSURE, plan(best.attack, machine(), CLOSURE, PEOPLE.price))["profit"] == pytest.approx(best.profit, rel=1e-6)


def test_frontier_is_labelled_and_bounded():
    there = {"static": machine(0.8, pk.static_band(0.05)), "ratchet": machine()}
    found = frontier(there, dict.fromkeys(there, PEOPLE), CLOSURE, (0.4, 3.2), (0.25,), rounds=4)
    assert found["profit"].dims == ("machine", "ratio", "cap")
    assert (found["profit"] <= found["bound"]).all() and (found["profit"] >= 0.0).all()
    assert float(found["profit"].sel(ratio=3.2).max()) <= float(found["profit"].sel(ratio=0.4).max())


def test_within_reach_by_hand():
    """At 20x and a maintenance of 2.5 % a static 5 % band reaches longs above 13.56x; without a band it reaches all."""
    called = PEOPLE.leverage > 1.0 / (1.0 - 0.95 * 0.975)
    wanted = (PEOPLE.size * PEOPLE.price)[called & (PEOPLE.side > 0.0)].sum()
    assert within_reach(machine(0.8, pk.static_band(0.05)), PEOPLE) == pytest.approx(wanted)
    assert within_reach(machine(0.8, pk.no_band()), PEOPLE) == pytest.approx(INTEREST, rel=0.05)


@pytest.mark.parametrize(
    ("names", "make"),
    [
        ("push", lambda: Attack(-1.5, 1.0)),
        ("hours", lambda: Attack(-0.1, 0.0)),
        ("shape", lambda: Attack(-0.1, 1.0, "spoof")),
        ("start", lambda: Attack(-0.1, 1.0, start=-1.0)),
        ("pause", lambda: Attack(-0.1, 1.0, pause=math.nan)),
        ("close_hours", lambda: Attack(-0.1, 1.0, close_hours=0.0)),
        ("cap", lambda: best_attack(machine(), PEOPLE, CLOSURE, 0.0)),
    ],
)
def test_bad_input_is_named(names, make):
    with pytest.raises(ValueError, match=names):
        make()
