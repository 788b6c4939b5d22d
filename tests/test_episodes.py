"""Episodes: the cases are what they say, and the range that fits them is neither everything nor a point of tuning."""

from __future__ import annotations

import math

import pytest

import perpkit as pk
from perpkit import data
from perpkit.attack import unlevered
from perpkit.episodes import SKHX, XYZ100, scan_skhx, scan_xyz100, seen_skhx, seen_xyz100, skhx, xyz100


def test_the_two_large_longs_are_called_where_they_should_be():
    machine, people, _, orders = xyz100(0.5, 0.05, 0.004)
    m = machine.margin.maintenance
    called = 1.0 - people.bankruptcy[-2:] / (1.0 - m) / people.price
    assert called == pytest.approx([0.004, 0.004])
    assert people.open_interest == pytest.approx(100e6)
    assert sum(orders.notional) == pytest.approx(-10e6) and len(orders.hours) == 360
    assert people.size[-2:].sum() * people.price == pytest.approx(10.1e6)


def test_some_of_the_range_fits_and_most_of_it_does_not():
    found = scan_xyz100(depths=(0.5, 1.0, 6.0), half_lives=(3 / 60, 8.0), distances=(None, 0.002))
    assert 1 <= found["all"].sum() <= 3
    assert found[found["all"]]["depth"].max() < 6.0
    assert not found[found["distance"].isna()]["all"].any()


def test_funding_does_not_decide_the_episode():
    fits = scan_xyz100(depths=(0.5,), half_lives=(3 / 60,), distances=(0.002,), kappas=(0.0, 1 / 16, 1 / 8))
    assert fits["all"].all() and fits["fall"].std() < 1e-3


def test_a_bad_print_alone_moves_the_mark_half_way():
    """Makers who do not follow it hold the price: with an unlevered market the mark follows the basis average, and nobody's money moves."""
    machine, people, closure, bad = skhx(2.0, 2 / 60, 0.0, 2.0)
    seen = seen_skhx(pk.simulate(machine, unlevered(people), closure, 0.0, misprints=bad), people)
    assert -0.17 < seen["mark"] < -0.05
    assert seen["price"] == seen["liquidated"] == 0.0


def test_a_print_of_the_right_size_fits_where_makers_follow_and_not_where_they_do_not():
    found = scan_skhx(depths=(2.0, 4.0), half_lives=(0.5 / 60, 2 / 60), followed=(0.0, 0.7), minutes=(3.0,), interests=(150e6,))
    assert found[found["followed"] == 0.7]["all"].any()
    assert not found[found["followed"] == 0.0]["all"].any()


def test_facts_are_intervals_round_what_was_said():
    for fact in (*XYZ100.values(), *SKHX.values()):
        assert fact.low < fact.high
        assert math.isnan(fact.said) or fact.low <= fact.said <= fact.high


def test_seen_counts_the_same_things_as_the_run():
    machine, people, closure, orders = xyz100(0.5, 3 / 60, 0.002)
    run = pk.simulate(machine, people, closure, 0.0, orders=orders)
    seen = seen_xyz100(run, people)
    assert seen["fall"] == pytest.approx(1.0 - float(run.path["P"].min()) / people.price)
    assert seen["liquidated"] == pytest.approx(run.outcome["liquidated_closed"] * people.open_interest)


def test_the_table_of_episodes():
    table = data.load("episodes")
    assert list(table["market"]) == ["JELLY", "XPL", "POPCAT", "XYZ100", "SKHX"]
    for low, high in (("liquidated_low", "liquidated_high"), ("attacker_low", "attacker_high"), ("paid_low", "paid_high")):
        assert (table[low].isna() == table[high].isna()).all() and (table[low].dropna() <= table[high].dropna()).all()
    assert table[["source", "payer", "moved"]].notna().all().all()
