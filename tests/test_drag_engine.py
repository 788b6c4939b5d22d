"""Dragging the oracle on the engine: the closed forms of the drag, the frontier and the wandering basis, each against what the machine does."""

from __future__ import annotations

import math

import numpy as np
import pytest

import perpkit as pk
from perpkit import theory
from perpkit.drag import basis_wandering, cheapest_drag, drag, linear_machine, mark_hold

DEPTH = 20e6
GRID = [(1 / 8, 8.0), (1 / 8, 1.0), (1 / 16, 1.0), (1 / 16, 2.0), (1 / 16, 4.0), (1 / 32, 1.0), (1 / 64, 2.0), (0.0, 1.0)]
SMALL = 0.005
"""A log move at which the curvature of USD against log returns is below the tolerance."""


def held(refill: float, kappa: float, tau: float, target: float):
    """The best constant push of the closed form, rounded to whole steps, and the engine's cost of it at the oracle's own move.

    Between two orders a fast book forgets more than the tolerance in a minute, so it gets shorter steps.
    """
    seconds = 60.0 if refill <= 1.0 else 12.0
    steps = round(3600 / seconds * theory.drag_cost(DEPTH, refill, kappa, tau, target, book="revert").hours)
    push = target / -math.expm1(-steps * seconds / 3600 / tau)
    closed = theory.hold_cost(push, DEPTH, refill, kappa, tau, target * (1 - 1e-12), book="revert")
    found = drag(linear_machine(DEPTH, refill, kappa, tau), np.full(steps, push), seconds)
    return found, found.cost * (target / found.oracle) ** 2, closed


@pytest.mark.parametrize("refill", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(("kappa", "tau"), GRID)
def test_the_cost_of_a_hold_is_the_closed_forms(kappa, tau, refill):
    found, cost, closed = held(refill, kappa, tau, SMALL)
    assert found.oracle == pytest.approx(SMALL, rel=0.012)
    assert cost == pytest.approx(closed[0], rel=0.05)


@pytest.mark.parametrize(("kappa", "tau"), GRID[:5])
def test_the_cheapest_ramp_costs_what_the_calculus_says(kappa, tau):
    best = theory.best_drag(DEPTH, 1.0, kappa, tau, SMALL, 48.0, book="revert")
    minutes = math.ceil(60 * best.hours[-1])
    middle = best.hours[-1] - (minutes - np.arange(minutes)) / 60 + 1 / 120
    found = drag(linear_machine(DEPTH, 1.0, kappa, tau), np.interp(middle, best.hours, best.push, left=0.0))
    assert found.cost * (SMALL / found.oracle) ** 2 == pytest.approx(best.cost, rel=0.05)


def test_funding_is_paid_for_by_the_premium_held_at_the_stroke():
    """Long drags pay what the integral says; a push between two strokes pays nothing."""
    found, _, closed = held(1.0, 1 / 8, 8.0, SMALL)
    assert found.funding == pytest.approx(closed[3], rel=0.1)
    assert drag(linear_machine(DEPTH, 1.0, 1 / 8, 0.5), np.full(55, 0.01)).funding == pytest.approx(0.0, abs=1e-6)


def test_a_large_move_costs_less_by_the_curvature_of_a_log_price():
    """Fair value is worth e^-x of a price x above it: at 4.5 % the linear form is 2 to 6 % too high, and a third of that at 1.5 %."""
    gaps = []
    for target in (0.015, 0.045):
        _, cost, closed = held(1.0, 1 / 16, 2.0, target)
        gaps.append(1.0 - cost / closed[0])
    assert 0.02 < gaps[1] < 0.06 and gaps[0] < 0.6 * gaps[1]


def test_equal_fairness_the_shorter_memory_is_cheaper_to_drag():
    """kappa tau = 1/32 three ways: cost rises with tau, on the engine as on paper."""
    costs = [held(1.0, 1 / (32 * tau), tau, SMALL)[1] for tau in (0.5, 1.0, 2.0)]
    assert costs[0] < 0.75 * costs[1] < 0.75 * 0.75 * costs[2]


def test_a_wrong_form_fails_the_comparison():
    """The other book's cost, and a push priced without refill, are further off than the tolerance."""
    _, cost, _ = held(1.0, 1 / 16, 1.0, SMALL)
    relist = theory.drag_cost(DEPTH, 1.0, 1 / 16, 1.0, SMALL, book="relist").cost
    assert abs(cost / relist - 1.0) > 0.2


@pytest.mark.parametrize(("kappa", "tau", "hours"), [(1 / 16, 1.0, 12.0), (1 / 8, 1.0, 12.0)])
def test_no_drag_an_optimiser_finds_beats_the_frontier(kappa, tau, hours):
    cost, _ = cheapest_drag(linear_machine(DEPTH, 1.0, kappa, tau), SMALL, hours, rounds=40)
    bound = theory.drag_frontier(DEPTH, 1.0, kappa, tau, SMALL, hours).cost
    assert 0.98 * bound < cost < 1.4 * bound


def test_a_planted_free_drag_is_found():
    """Nothing refills and nothing is charged: what is pushed comes back in full, and the optimiser must see it; with refill it does not."""
    unit = DEPTH * SMALL**2
    free, _ = cheapest_drag(linear_machine(DEPTH, 0.0, 0.0, 1.0), SMALL, 12.0, rounds=20)
    assert abs(free) < 1e-3 * unit
    dear, _ = cheapest_drag(linear_machine(DEPTH, 1.0, 0.0, 1.0), SMALL, 12.0, rounds=20)
    assert dear > 1.5 * unit


def test_the_anchor_that_is_lost():
    """Noise alone: the variance of P over O is sigma^2 tau / 2 whatever kappa, so at equal kappa tau the longer memory lets go of the oracle."""
    found = {(kappa, tau): basis_wandering(linear_machine(DEPTH, 1.0, kappa, tau), 0.003, 48) for kappa, tau in ((1 / 16, 0.5), (1 / 64, 2.0), (1 / 8, 2.0))}
    for (_, tau), seen in found.items():
        assert seen.value == pytest.approx(theory.basis_variance(0.0, 0.003, tau), abs=4 * seen.se)
    assert found[1 / 64, 2.0].value == pytest.approx(found[1 / 8, 2.0].value, rel=1e-9)


def test_holding_beats_the_median_and_a_touch_does_not():
    machine = pk.venue("trade-xyz", "TSLA", "2026-10-31")
    touch, hold = mark_hold(machine, -0.025, 1 / 60), mark_hold(machine, -0.025, 0.25)
    assert touch.push < 2.0 * hold.push < 0.0
    assert hold.push == pytest.approx(-0.025, rel=0.03)
    assert math.isnan(mark_hold(pk.replace(machine, band=pk.static_band(0.02)), -0.025, 0.25).push)
    closed = theory.median_push(0.025, 0.05, machine.oracle.tau)
    assert mark_hold(machine, 0.025, 0.05).push == pytest.approx(closed, rel=0.1)
