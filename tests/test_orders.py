"""Orders from outside: cents by hand, laws of the book they meet, and what they may not be. The slow engine checks the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest

import perpkit as pk

DEPTH = 20e6


def still(**book) -> pk.Machine:
    """A book that nobody but the trader moves, and no rule that acts on it."""
    calm = {"depth_closed": DEPTH, "depth_open": DEPTH, "refill_closed": 0.0, "refill_open": 0.0} | book
    free = {"half_spread_closed": 0.0, "half_spread_open": 0.0, "follow_closed": 0.0}
    return pk.Machine(oracle=pk.frozen_oracle(), mark=pk.OracleMark(), funding=pk.Funding(when_closed=False), book=pk.Book(**free | calm))


PAIR = pk.Accounts([1, -1], [1.0, 1.0], [250.0, 250.0], [250.0, 250.0])
DAY = pk.Closure(2.0, reopen_minutes=5.0, value=pk.Value(news_share=1.0, news_hours=(0.0,)))


def ledger(orders: pk.Orders, machine: pk.Machine | None = None, gap: float = 0.0, **more):
    return pk.simulate(machine or still(), PAIR, DAY, gap, orders=orders, **more).ledger


def test_one_purchase_by_hand():
    """A million into 20 million a log unit: up 5 %, filled at the mean on the way, worth the last print at the end; makers have the difference."""
    run = pk.simulate(still(), PAIR, DAY, 0.0, orders=pk.Orders((0.5,), (1e6,)))
    shares = DEPTH / 250.0 * (1.0 - math.exp(-0.05))  # the integral of dN / p
    fill = 1e6 / shares
    assert run.ledger["attacker"] == pytest.approx(shares * (250.0 - fill), rel=1e-12)
    assert run.ledger["makers"] == pytest.approx(-run.ledger["attacker"], rel=1e-12)
    before, after = (float(run.path["P"].sel(time=h, method="nearest")) for h in (29 / 60, 31 / 60))
    assert before == 250.0 and after == pytest.approx(250.0 * math.exp(0.05), rel=1e-12)
    event = run.events.iloc[0]
    assert (event["kind"], event["side"]) == ("order", "long") and event["time"] == pytest.approx(0.5)
    assert event["size"] == pytest.approx(shares) and event["price"] == pytest.approx(fill)


def test_a_round_trip_without_refill_costs_the_spread_alone():
    """In a linear book that forgets nothing the way back is the way out: closing at once gives everything back but the spread."""
    for size in (1e6, -1e6, 1e7, -1e7):
        for parts in ((0.6,), (0.6, 0.7, 0.8, 1.9)):
            free = ledger(pk.Orders((0.4, 0.5), (0.3 * size, 0.7 * size), parts))["attacker"]
            wide = ledger(pk.Orders((0.4, 0.5), (0.3 * size, 0.7 * size), parts), still(half_spread_closed=0.001))["attacker"]
            assert abs(free) < 1e-6
            assert wide == pytest.approx(-2.0 * abs(size) * math.sinh(0.001), rel=1e-9)


def test_beyond_the_limit_any_size_trades_at_the_last_price():
    machine = still(limit=0.1)
    run = pk.simulate(machine, PAIR, DAY, 0.0, orders=pk.Orders((0.5,), (5e6,)))
    edge = 250.0 * math.exp(0.1)
    shares = DEPTH / 250.0 * (1.0 - math.exp(-0.1)) + (5e6 - 0.1 * DEPTH) / edge
    assert float(run.path["P"].sel(time=0.6, method="nearest")) == pytest.approx(edge)
    assert float(run.path["attacker_size"][-1]) == pytest.approx(shares)


def test_closing_in_parts_ends_flat():
    run = pk.simulate(still(), PAIR, DAY, 0.0, orders=pk.Orders((0.2, 0.3), (1e6, -3e5), (0.7, 0.9, 0.9, 2.01), position=5e5))
    held = run.path["attacker_size"]
    whole = float(held.sel(time=0.5, method="nearest"))
    assert float(held.sel(time=0.8, method="nearest")) == pytest.approx(0.75 * whole, rel=1e-12)
    assert float(held.sel(time=1.5, method="nearest")) == pytest.approx(0.25 * whole, rel=1e-12)
    assert float(held[-1]) == 0.0
    assert float(held[0]) == pytest.approx(5e5 / 250.0)


def test_a_position_from_before_is_paid_at_its_price():
    """Half a million bought at 255 and worth 250 at a gap of nothing: 2 % lost to those who sold it."""
    assert ledger(pk.Orders(position=5e5, entry=255.0))["attacker"] == pytest.approx(2_000 * (250.0 - 255.0), rel=1e-12)
    assert ledger(pk.Orders(position=-5e5), gap=-0.1)["attacker"] == pytest.approx(-2_000 * 250.0 * math.expm1(-0.1), rel=1e-9)


def test_he_pays_funding_like_an_account():
    """A premium held by the orders themselves; one long account of the same size pays the same."""
    machine = pk.replace(still(), funding=pk.Funding(interest_8h=0.0, clamp_8h=0.0))
    people = pk.Accounts([1, -1], [4_000.0, 4_000.0], [250.0, 250.0], [1e6, 1e6])
    run = pk.simulate(machine, people, DAY, 0.0, orders=pk.Orders((0.0,), (1e6,)))
    paid = float(run.path["funding_paid"].sel(time=2.0, method="nearest"))
    assert paid > 0.0
    cash = float(run.path["attacker_cash"].sel(time=2.0, method="nearest"))
    assert cash == pytest.approx(-1e6 - float(run.path["attacker_size"][-1]) * paid, rel=1e-12)


def test_no_orders_change_nothing():
    machine = pk.replace(pk.base_case().machine, insurance=0.001)
    accounts = pk.Accounts.sample(200, rng=3)
    gaps = np.linspace(-0.2, 0.2, 70)
    bare = pk.ensemble(machine, accounts, pk.Closure(6.0), gaps, rng=4)
    for orders in (pk.Orders(), pk.Orders((0.5,), (0.0,))):
        assert bare.identical(pk.ensemble(machine, accounts, pk.Closure(6.0), gaps, rng=4, orders=orders))


def test_mirror_symmetry():
    """What a buyer does to shorts a seller does to longs: with the log price turned round everything else is the same to the first order."""
    gains = []
    for sign in (1.0, -1.0):
        size = 1e3  # small: shares bought and shares sold differ in the second order
        run = pk.simulate(still(refill_closed=2.0), PAIR, DAY, 0.0, orders=pk.Orders((0.2, 0.6), (sign * size, sign * size), (1.5,)))
        gains.append(run.ledger["attacker"])
    assert gains[0] == pytest.approx(gains[1], rel=1e-3)
    assert gains[0] < 0.0


def test_an_infinite_book_asks_the_spread_and_no_more():
    deep = still(depth_closed=math.inf, depth_open=math.inf)
    assert ledger(pk.Orders((0.5,), (1e9,), (1.0,)), deep)["attacker"] == 0.0


def test_a_misprint_moves_oracle_and_mark_and_not_the_value():
    bad = pk.Misprint(2.0 + 1 / 60, 2.0 + 2 / 60, -0.1)
    run = pk.simulate(still(), PAIR, DAY, 0.0, misprints=[bad])
    at = lambda name, minute: float(run.path[name].sel(time=2.0 + minute / 60, method="nearest"))  # noqa: E731
    assert at("O", 1.5) == pytest.approx(250.0 * math.exp(-0.1)) == at("M", 1.5)
    assert at("V", 1.5) == at("P", 1.5) == at("O", 0.5) == at("O", 2.5) == 250.0
    followed = pk.simulate(still(), PAIR, DAY, 0.0, misprints=[pk.replace(bad, followed=0.5)])
    assert float(followed.path["P"].sel(time=2.0 + 1.5 / 60, method="nearest")) == pytest.approx(250.0 * math.exp(-0.05))


@pytest.mark.parametrize(
    ("names", "make"),
    [
        ("hours and notional", lambda: pk.Orders((1.0,), ())),
        ("hours", lambda: pk.Orders((-1.0,), (1.0,))),
        ("close_hours", lambda: pk.Orders(close_hours=(math.nan,))),
        ("notional", lambda: pk.Orders((1.0,), (math.inf,))),
        ("position", lambda: pk.Orders(position=math.nan)),
        ("entry", lambda: pk.Orders(position=1.0, entry=0.0)),
        ("later end", lambda: pk.Misprint(2.0, 2.0, 0.1)),
        ("log distance", lambda: pk.Misprint(2.0, 2.1, math.nan)),
        ("followed", lambda: pk.Misprint(2.0, 2.1, 0.1, 1.5)),
        ("after the window", lambda: ledger(pk.Orders((3.0,), (1.0,)))),
        ("after the window", lambda: ledger(pk.Orders(close_hours=(3.0,)))),
        ("between the reopening", lambda: ledger(pk.Orders(), misprints=[pk.Misprint(1.0, 1.1, 0.1)])),
        ("between the reopening", lambda: ledger(pk.Orders(), misprints=[pk.Misprint(2.0, 2.5, 0.1)])),
        ("perpkit Orders", lambda: ledger(((1.0,), (1.0,)))),
        ("perpkit Misprints", lambda: ledger(pk.Orders(), misprints=[0.1])),
        ("same names", lambda: pk.ensemble({"a": still()}, PAIR, DAY, [0.0], orders={"b": pk.Orders()})),
    ],
)
def test_bad_input_is_named(names, make):
    with pytest.raises(ValueError, match=names):
        make()
