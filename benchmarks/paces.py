"""Coefficients of one step, for the two rivals of the engine: everything that depends on its length and on whether the reference is open."""

from __future__ import annotations

import math
from typing import NamedTuple

from perpkit.clock import Closure
from perpkit.machine import Machine
from perpkit.oracle import gain


class Pace(NamedTuple):
    """Hours of the step; shares kept by anchor and impact, and the anchor's noise; spreads as factors; depth (USD); averages and clamps."""

    shut: bool
    hours: float
    keep_anchor: float
    keep_impact: float
    noise: float
    half_spread: float
    bid: float
    ask: float
    impact_bid: float
    impact_ask: float
    depth: float
    oracle_gain: float
    oracle_down: float
    oracle_up: float
    basis_gain: float
    mark_down: float
    mark_up: float


def paces(machine: Machine, closure: Closure) -> tuple[Pace, Pace, Pace]:
    """A closed step, an update inside a closed step, an update after reopening."""
    coarse = _pace(machine, closure.closed_step_s, closure.updates, closure.update_s, True)
    return coarse, _pace(machine, closure.update_s, 1, closure.update_s, True), _pace(machine, closure.update_s, 1, closure.update_s, False)


def _pace(machine: Machine, seconds: float, updates: int, update_s: float, shut: bool) -> Pace:
    when, hours = "closed" if shut else "open", seconds / 3600.0
    follow, noise, refill, half_spread, depth = (
        float(getattr(machine.book, f"{name}_{when}")) for name in ("follow", "noise", "refill", "half_spread", "depth")
    )
    wide = half_spread + machine.impact_notional / depth
    deviation = noise * math.sqrt(hours if follow * hours < 1e-12 else -math.expm1(-2.0 * follow * hours) / (2.0 * follow))
    return Pace(
        shut, hours, math.exp(-follow * hours), math.exp(-refill * hours), deviation, half_spread, math.exp(-half_spread), math.exp(half_spread),
        math.exp(-wide), math.exp(wide), depth, gain(machine.oracle, update_s, updates), *_reach(machine.oracle.step, updates),
        -math.expm1(-seconds / machine.mark.basis_s), *_reach(machine.mark_step, updates),
    )  # fmt: skip


def _reach(step: float, updates: int) -> tuple[float, float]:
    """Lowest and highest factor a price clamped to ``step`` an update can move by."""
    return (0.0, math.inf) if math.isinf(step) else ((1.0 - step) ** updates, (1.0 + step) ** updates)
