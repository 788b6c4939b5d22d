"""Dragging: an oracle pulled along by a price that somebody holds, played out on the engine.

The closed forms of ``theory.manipulation``, ``theory.drag`` and ``theory.frontier`` say what it should cost in a linear book. Here the same
pushes meet the engine's book, oracle and funding, in a market without accounts to liquidate, and an optimiser looks for cheaper ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, differential_evolution

from perpkit.accounts import Accounts
from perpkit.attack import STILL, Rehearsal, push_orders
from perpkit.book import Book
from perpkit.clock import Closure
from perpkit.engine import simulate
from perpkit.funding import Funding
from perpkit.machine import Machine, replace
from perpkit.mark import OracleMark
from perpkit.oracle import impact_oracle
from perpkit.orders import Orders


def linear_machine(depth: float, refill: float, kappa: float, tau: float) -> Machine:
    """A machine under which the closed forms of ``theory.drag`` should hold: no spread, no clamp, no noise, funding linear in the premium."""
    still = {"half_spread_open": 0.0, "half_spread_closed": 0.0, "follow_closed": 0.0, "limit": 50.0}
    return Machine(
        name="linear",
        oracle=impact_oracle(tau, cap=1.0),
        mark=OracleMark(),
        funding=Funding(interest_8h=0.0, clamp_8h=0.0, multiplier=8.0 * kappa, cap_per_hour=1e3),
        impact_notional=1e-9 * depth,
        book=Book(depth_open=math.inf, depth_closed=depth, refill_open=math.inf, refill_closed=refill, **still),
    )


NOBODY = Accounts([1, -1], [1.0, 1.0], [250.0, 250.0], [25_000.0, 25_000.0])
"""A long and a short of one share, whom nothing liquidates: a market for the attacker alone."""


class Drag(NamedTuple):
    """A push played out on the engine until it is over."""

    cost: float
    """USD: what was bought at fair value is worth, less what it cost, with a minus. Unwinding at fair value is free."""
    funding: float
    """USD of it paid in funding."""
    oracle: float
    """Log move of the oracle when the push ends."""
    position: float
    """USD held then, at fair value."""


def drag(machine: Machine, pushes: Sequence[float], closed_step_s: float = 60.0) -> Drag:
    """Put the price at each of ``pushes`` (log) in turn, a closed step each, in a market for the attacker alone.

    Funding is paid on the hour on what is held then: a push that ends before the stroke owes nothing for the part of the hour.
    """
    step = closed_step_s / 3600.0
    hours = math.ceil(len(pushes) * step + 1.0 + step)
    closure = Closure(float(hours), closed_step_s, min(3.0, closed_step_s), 1.0, STILL)
    at, notional = push_orders(pushes, machine, closure)
    run = simulate(machine, NOBODY, closure, 0.0, orders=Orders(tuple(at), tuple(notional)))
    end = len(pushes) + 1  # an order stands behind its step, so the last push holds through the step after it
    size, cash = float(run.path["attacker_size"][end]), float(run.path["attacker_cash"][end])
    sent = run.events[run.events["kind"] == "order"]
    traded = float((np.where(sent["side"] == "long", 1.0, -1.0) * sent["size"] * sent["price"]).sum())
    return Drag(-cash - size * NOBODY.price, -cash - traded, math.log(float(run.path["O"][end]) / NOBODY.price), size * NOBODY.price)


def cheapest_drag(
    machine: Machine,
    target: float,
    hours: float,
    legs: int = 5,
    rng: int = 1,
    rounds: int = 60,
    crowd: int = 8,
) -> tuple[float, np.ndarray]:
    """Least cost (USD) at which differential evolution moves the oracle by ``target`` in a closure of ``hours``, and its parameters.

    Free are the pushes of ``legs`` stages of equal length, their common length, and how long he takes to sell everything after.
    """
    closure = Closure(hours, 60.0, 3.0, 1.0, STILL)
    stage = Rehearsal(machine, NOBODY, closure)
    unit = machine.book.depth_closed * target**2

    def orders(x: np.ndarray) -> Orders:
        count = max(round(math.exp(x[legs]) * 60 / legs), 1)
        at, notional = push_orders(np.repeat(target * x[:legs], count), stage.machine, stage.closure)
        parts = max(round(math.exp(x[legs + 1]) * 60), 1)
        return Orders(tuple(at), tuple(notional), tuple(at[-1] + np.arange(1, parts + 1) / 60))

    def paid(x: np.ndarray) -> float:
        profit, path = stage.played(orders(x))
        # By the square of the target, as costs go: a push that falls short is scaled up.
        reached = max(math.log(path["O"].max() / NOBODY.price) / target, 0.05)
        return -profit / unit / reached**2

    most = math.log(hours - 1.0)
    bounds = [(0.0, 4.0)] * legs + [(math.log(0.1), most - math.log(2.0)), (math.log(1 / 60), most - math.log(2.0))]
    found = differential_evolution(paid, bounds, maxiter=rounds, popsize=crowd, init="sobol", polish=False, seed=rng)
    return float(found.fun * unit), found.x


class Hold(NamedTuple):
    """The smallest push that carries a mark, held at a constant price."""

    push: float
    """Log distance from fair value; nan if nothing up to the search's limit does it."""
    position: float
    """USD held at the end, at fair value."""
    cost: float
    """USD, unwinding at fair value free."""


def mark_hold(machine: Machine, move: float, hours: float, most: float = 1.0) -> Hold:
    """Smallest hold that has moved a machine's mark by ``move`` (log, signed) after ``hours``, without accounts in the way.

    The mark is the machine's own, clamps, bands and all, on its own book without noise. ``most`` limits the push searched, log.
    """
    closure = Closure(float(math.ceil(hours + 1.0)), 60.0, 3.0, 1.0, STILL)
    stage = Rehearsal(replace(machine, book=replace(machine.book, limit=2.0 * most, follow_closed=0.0)), NOBODY, closure)
    count = max(round(60.0 * hours), 1)

    def play(push: float) -> dict[str, np.ndarray]:
        at, notional = push_orders(np.full(count, math.copysign(push, move)), stage.machine, stage.closure)
        return stage.played(Orders(tuple(at), tuple(notional)))[1]

    def missing(push: float) -> float:
        return abs(move) - abs(math.log(play(push)["M"][count] / NOBODY.price))

    if missing(most) > 0.0:
        return Hold(math.nan, math.nan, math.nan)
    least = 0.5 * abs(move)
    push = float(brentq(missing, least, most, xtol=1e-5)) if missing(least) > 0.0 else least
    path = play(push)
    size, cash = float(path["attacker_size"][count]), float(path["attacker_cash"][count])
    return Hold(math.copysign(push, move), size * NOBODY.price, -cash - size * NOBODY.price)


class Wandering(NamedTuple):
    """Mean square of a log distance, over weekends, with its standard error."""

    value: float
    se: float
    n: int


def basis_wandering(machine: Machine, noise: float, weekends: int = 32, hours: float = 24.0, rng: int = 1) -> Wandering:
    """Variance of log P over O in the second half of closures without news, the price moved by ``noise`` per square root of an hour alone."""
    loud = replace(machine, book=replace(machine.book, noise_closed=noise))
    closure = Closure(hours, 60.0, 3.0, 1.0, STILL)
    squares = []
    for weekend in range(weekends):
        path = simulate(loud, NOBODY, closure, 0.0, rng=rng, weekend=weekend).path
        late = slice(closure.closed_steps // 2, closure.closed_steps + 1)
        squares.append(float(np.mean(np.log(path["P"].values[late] / path["O"].values[late]) ** 2)))
    return Wandering(float(np.mean(squares)), float(np.std(squares, ddof=1) / math.sqrt(weekends)), weekends)
