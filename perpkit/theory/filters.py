"""How each guard of a mark gives way: the median to holding, the clamp to persistence, the bound to patience.

A price held ``push`` away from fair value moves a filtered mark as closed forms say here; :func:`mark_drag` turns the response of any
mark to a held price into the cheapest hold that lifts it, on the linear book of ``manipulation``. Moves are log returns over the start, up
(the other side is the mirror image); the price starts at the oracle with no basis. Derived for this project.

Median of three (trade.xyz; Hyperliquid core with another oracle in the first place): oracle O, ``O + B`` with B the average of ``P - O``
over a memory, and the book P itself. Two of the three listen to the book. A touch moves P alone, and the mark stays between the two honest
inputs; a hold moves both, and the mark is ``min(O + B, P)``, an average of memory 150 s. When the book returns, P and O outvote the basis,
and so does the mark: to keep it up, the price must be kept up.

Lighter: the impact price, the index plus an average (8 min) of the basis clamped at 0.5 %, and a third price. An honest third input limits
the lie to the clamp and what the index follows; a third that averages the same book does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import exprel

from perpkit.theory._check import checked, count, inside, memory, not_negative, plain, positive
from perpkit.theory.manipulation import drag_cost, refill_share, schedule_cost

BASIS_HOURS = 150.0 / 3600.0
"""Memory of the basis in the median of three, hours. Source: trade.xyz mark price page (2025-12); Hyperliquid robust price indices."""

LIGHTER_CLAMP = 0.005
"""Largest basis Lighter's average counts. Source: docs.lighter.xyz, fair price marking (2026-04)."""

LIGHTER_HOURS = 8.0 / 60.0
"""Memory of that average, hours; same source."""


def median_rise(push, hours, tau=np.inf, basis=BASIS_HOURS):
    """Rise of the median-of-three mark after a price has been held at ``push`` for ``hours``: ``min(O + B, push)``.

    ``O = push (1 - e^{-t/tau})``; ``B = push (e^{-t/tau} - e^{-t/theta}) / (1 - theta/tau)``, theta the memory ``basis`` of the basis in
    hours. With an oracle that does not listen (tau inf) it is ``push (1 - e^{-t/theta})``: what a price away for t cannot exceed however far
    it goes. Arguments broadcast; push 0 or more.
    """
    held = not_negative("push", push, "a log return")
    time = not_negative("hours", hours, "for how long")
    slow = 1.0 / memory("tau", tau)
    fast = 1.0 / positive("basis", basis, "the memory of the basis in hours")
    oracle = -held * np.expm1(-slow * time)
    return plain(np.minimum(oracle + held * _average(time, fast, slow), held))


def median_push(rise, hours, tau=np.inf, basis=BASIS_HOURS):
    """Smallest push that has lifted the median-of-three mark by ``rise`` after ``hours`` (above 0); one update of 3 s asks for fifty times
    the rise."""
    goal = positive("rise", rise, "a log return")
    return plain(goal / median_rise(1.0, positive("hours", hours, "for how long"), tau, basis))


def clamped_median_rise(push, hours, clamp=LIGHTER_CLAMP, basis=LIGHTER_HOURS, tau=np.inf, third="honest"):
    """Rise of Lighter's mark after a price has been held at ``push`` for ``hours``: median of the push, ``I + B`` and a third input.

    The index I averages the book with time constant tau (inf: it does not listen); B averages ``min(P - I, clamp)`` over ``basis`` hours:
    flat at the clamp until ``tau ln(push / clamp)``, decaying with the index's lag after. ``third`` is ``"honest"`` (stays at fair value:
    outside marks) or the memory in hours of an average of the same book (``numpy.inf`` is honest too). Arguments broadcast.
    """
    held = not_negative("push", push, "a log return")
    time = not_negative("hours", hours, "for how long")
    limit = positive("clamp", clamp, "the largest basis counted")
    slow = 1.0 / memory("tau", tau)
    fast = 1.0 / positive("basis", basis, "the memory of the basis in hours")
    honest = isinstance(third, str) and third == "honest"
    rule = 'is "honest" or the memory in hours of an average of the same book, above 0'
    other = 0.0 if honest else 1.0 / checked("third", third, lambda x: x > 0, rule)
    index = -held * np.expm1(-slow * time)
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(held > limit, np.log(np.maximum(held / limit, 1.0)) / slow, 0.0)  # hours until the lag is within the clamp
    bound = np.minimum(time, free)
    after = time - bound
    basis_now = -np.minimum(held, limit) * np.expm1(-fast * bound) * np.exp(-fast * after) + np.minimum(held, limit) * _average(after, fast, slow)
    inputs = np.broadcast_arrays(held, index + basis_now, -held * np.expm1(-other * time))
    return plain(np.median(inputs, axis=0))


def step_clamp_rise(push, hours, clamp, update):
    """Rise of a mark that may move by the share ``clamp`` at most in each ``update`` (hours): ``min(push, n ln(1 + clamp))``, n the updates made.

    A touch shorter than an update moves it by one clamp at most; a price that persists is reached after ``push / ln(1 + clamp)`` updates. Log
    returns, up; arguments broadcast.
    """
    held = not_negative("push", push, "a log return")
    made = np.floor(not_negative("hours", hours, "for how long") / positive("update", update, "hours between updates") * (1.0 + 1e-12))
    return plain(np.minimum(held, made * np.log1p(inside("clamp", clamp, "the largest relative move an update"))))


def _average(time, fast, slow):
    """``int_0^t fast e^{-fast (t - s)} e^{-slow s} ds``: an average with rate ``fast`` of a signal that decays at ``slow``."""
    return fast * time * np.exp(-np.minimum(fast, slow) * time) * exprel(-np.abs(fast - slow) * time)


class MarkDrag(NamedTuple):
    """The cheapest constant push that lifts a mark and keeps it up."""

    cost: float
    """USD: trading and funding, less what unwinding gives back."""
    push: float
    """Log return at which the price is held."""
    hours: float
    """From the first order to the end of the hold."""
    reach: float
    """Hours until the mark is up."""
    position: float
    """USD held at the end: the capital needed is this over the leverage the venue gives."""


def mark_drag(
    response: Callable[[float, float], float],
    rise,
    keep,
    depth,
    refill,
    kappa,
    tau,
    book: str = "relist",
    unwind: str = "fair",
    limit=48.0,
) -> MarkDrag:
    """Cheapest constant push that lifts a mark by ``rise`` and then keeps it there for ``keep`` hours.

    Parameters
    ----------
    response
        Rise of the mark after a price has been held: ``response(push, hours)``, both numbers, not falling in either; for example
        ``lambda push, hours: median_rise(push, hours, tau)``.
    rise
        Log return asked of the mark.
    keep
        Hours for which it must stand; 0 for a touch.
    depth, refill, kappa, book, unwind
        As in :func:`hold_cost`.
    tau
        Time constant of the oracle that funding is charged against, hours (inf if it does not listen).
    limit
        Longest time to wait for the mark, hours.

    Raises
    ------
    ValueError
        If a number is out of range, a name unknown, or no push up to a thousand times the rise lifts the mark in time: two honest inputs
        bound it.
    """
    refill_share(book, unwind)
    goal = float(positive("rise", rise, "a log return"))
    stay = float(not_negative("keep", keep, "hours for which the mark must stand"))
    most = float(positive("limit", limit, "the longest time to wait, hours"))

    def reach(push: float) -> float:
        if response(push, most) < goal:
            return np.inf
        return float(brentq(lambda hours: response(push, hours) - goal, 0.0, most, xtol=1e-9)) if response(push, 0.0) < goal else 0.0

    def paid(excess: float) -> float:
        push = goal * (1.0 + np.exp(excess))
        time = reach(push)
        return schedule_cost([push], [time + stay], depth, refill, kappa, tau, book, unwind).cost if np.isfinite(time) else np.inf

    # A coarse look finds the valley: outside it no push works, or works at absurd cost.
    scan = np.linspace(-12.0, np.log(1e3), 81)
    costs = np.array([paid(excess) for excess in scan])
    if not np.isfinite(costs).any():
        raise ValueError(f"rise of {goal:g} is out of reach of this mark within {most:g} hours at any push: honest inputs bound it; ask for less")
    least = int(np.argmin(costs))
    low, high = scan[max(least - 1, 0)], scan[min(least + 1, scan.size - 1)]
    found = minimize_scalar(paid, bounds=(low, high), method="bounded", options={"xatol": 1e-8})
    excess = float(found.x) if found.fun < costs[least] else float(scan[least])
    push = float(goal * (1.0 + np.exp(excess)))
    time = reach(push)
    schedule = schedule_cost([push], [time + stay], depth, refill, kappa, tau, book, unwind)
    return MarkDrag(schedule.cost, push, time + stay, time, schedule.position)


class RatchetDrag(NamedTuple):
    """What it costs to walk a ratchet band through all its resets."""

    cost: float
    """USD."""
    hours: float
    """Until the oracle passes the last trigger."""
    pushes: tuple[float, ...]
    """Log return held, window by window (one if orders are not bound)."""
    stages: tuple[float, ...]
    """Hours spent at each."""
    target: float
    """Log return of the oracle at the last trigger."""
    ceiling: float
    """Log return of the furthest mark the band then allows."""


def ratchet_drag(
    width,
    trigger,
    resets,
    depth,
    refill,
    kappa,
    tau,
    side: str = "up",
    bound_orders: bool = False,
    book: str = "relist",
    unwind: str = "fair",
) -> RatchetDrag:
    """Cost of exhausting a ratchet band's resets by dragging the oracle through every trigger, pushes constant window by window.

    The k-th trigger is the oracle at ``(1 +- width)^{k-1} (1 +- trigger width)``. Where only the mark is bound, one push drags the oracle to
    the last trigger and the cost is :func:`drag_cost` of it: the windows between cost nothing. With ``bound_orders`` the price too must stay
    inside the open window, so each window takes ``tau ln((push - O_before) / (push - O_trigger))`` at a push of at most its edge, and the
    cheapest pushes are searched.

    Parameters
    ----------
    width, trigger, resets
        As in :func:`ratchet_range`; at least one reset.
    depth, refill, kappa, tau, book, unwind
        As in :func:`hold_cost`.
    side
        ``"up"`` or ``"down"``; returned moves are positive on both.
    bound_orders
        Whether orders outside the band are refused.

    Raises
    ------
    ValueError
        If a number is out of range, a name unknown, or the trigger is 1 with orders bound (the oracle never gets to the edge).
    """
    refill_share(book, unwind)
    band = float(inside("width", width, "a share of the anchor"))
    share = float(checked("trigger", trigger, lambda x: (x > 0) & (x <= 1), "is the share of the way to the edge, in (0, 1]"))
    times = int(count("resets", resets, "re-anchors a side; a band without any cannot be walked", least=1))
    if side not in ("up", "down"):
        raise ValueError(f'side is "up" or "down"; got {side!r}')
    sign = 1.0 if side == "up" else -1.0
    step = abs(np.log1p(sign * band))
    edges = step * np.arange(1, times + 2)
    triggers = edges[:-1] - step + abs(np.log1p(sign * band * share))
    if not bound_orders:
        one = drag_cost(depth, refill, kappa, tau, triggers[-1], book, unwind)
        return RatchetDrag(one.cost, one.hours, (one.push,), (one.hours,), float(triggers[-1]), float(edges[-1]))
    if share == 1:
        raise ValueError("trigger must stay below 1 where orders are bound: held at the edge, the oracle never gets there; got 1")
    lag = float(positive("tau", tau, "the oracle's time constant in hours; a frozen oracle cannot be dragged"))
    before = np.concatenate([[0.0], triggers[:-1]])

    def staircase(part) -> tuple[np.ndarray, np.ndarray]:
        pushes = triggers + (edges[:-1] - triggers) * np.exp(np.minimum(part, 0.0))
        return pushes, lag * np.log((pushes - before) / (pushes - triggers))

    def paid(part) -> float:
        return schedule_cost(*staircase(part), depth, refill, kappa, lag, book, unwind).cost

    # Costs are scaled by the start's so that the search's tolerances mean the same at any depth.
    start = np.full(times, -0.5)
    unit = abs(paid(start))
    found = minimize(lambda part: paid(part) / unit, start, method="L-BFGS-B", bounds=[(-25.0, 0.0)] * times, options={"ftol": 1e-14, "gtol": 1e-10})
    pushes, stages = staircase(found.x)
    steps, times = tuple(map(float, pushes)), tuple(map(float, stages))
    return RatchetDrag(paid(found.x), float(stages.sum()), steps, times, float(triggers[-1]), float(edges[-1]))
