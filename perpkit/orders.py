"""Orders from outside: what somebody who is no account of the venue trades, and prints that are not so.

A trader from outside sends signed orders on a schedule. They meet the book as forced orders do, after an update and at the same depth,
spread and limit, and the minute that follows is stepped at the update cadence. One thing is finer: a forced order's impact is reckoned at
the price before it, which for large orders would let a trader who can choose both directions gain from going there and back; his own
orders walk the book exactly. What he holds and what he paid stand in a pocket of their
own. He pays funding like everybody else and is taken to be fully collateralised: nobody liquidates him.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from perpkit._checks import numbers, positive, share, typed
from perpkit._compile import compiled
from perpkit.clock import Closure
from perpkit.ledger import ANCHOR, ATTACKER_CASH, ATTACKER_SIZE, IMPACT, MAKER_CASH, MAKER_SIZE, credit, log_event
from perpkit.liquidation import ORDER

TRADE, CLOSE = 0, 1
"""Columns of a schedule: USD to trade after the step, and the share of what is held to close with it."""


@dataclass(frozen=True)
class Orders:
    """One trader's schedule, open and closed. Empty, and so without effect, by default.

    Parameters
    ----------
    hours, notional : when, hours since the close, and how much, USD before the spread, positive to buy. An order waits for the first step
        that ends at or after its hour and trades behind that step's liquidations and funding.
    close_hours : when to close what is held, in as many equal parts as there are hours; before any other order of the same step.
    position : USD at the last print held from the start, positive for long; bought from the makers.
    entry : price it was bought at, USD; None is the last print.

    Raises
    ------
    ValueError
        If lists do not match, or a number is not finite or out of range.
    """

    hours: tuple[float, ...] = ()
    notional: tuple[float, ...] = ()
    close_hours: tuple[float, ...] = ()
    position: float = 0.0
    entry: float | None = None

    def __post_init__(self) -> None:
        typed(self)
        for name in ("hours", "notional", "close_hours"):
            object.__setattr__(self, name, numbers(name, getattr(self, name)))
        if len(self.hours) != len(self.notional):
            raise ValueError(f"hours and notional are lists of one length; got {len(self.hours)} hours and {len(self.notional)} sizes")
        for name in ("hours", "close_hours"):
            bad = [h for h in getattr(self, name) if not 0.0 <= h < math.inf]
            if bad:
                raise ValueError(f"{name} are hours since the close, finite and 0 or more; got {bad[0]!r}")
        bad = [x for x in (*self.notional, self.position) if not math.isfinite(x)]
        if bad:
            raise ValueError(f"notional and position are finite USD, positive to buy; got {bad[0]!r}")
        if self.entry is not None:
            positive("entry", self.entry, "the price of the position in USD")

    def __bool__(self) -> bool:
        return bool(self.hours or self.close_hours or self.position)


@dataclass(frozen=True)
class Misprint:
    """A reference print that is off, while the reference is open.

    Parameters
    ----------
    start, end : hours since the close between which it is the newest print.
    size : its log distance from the value.
    followed : share of it that the traded price follows, 0 to 1: makers who quote around the oracle.

    Raises
    ------
    ValueError
        If it ends before it starts, is not finite, or ``followed`` lies outside [0, 1].
    """

    start: float
    end: float
    size: float
    followed: float = 0.0

    def __post_init__(self) -> None:
        typed(self)
        if not 0.0 <= self.start < self.end < math.inf:
            raise ValueError(f"a misprint lasts from start to a later end, hours since the close; got {self.start!r} to {self.end!r}")
        if not math.isfinite(self.size):
            raise ValueError(f"size is a finite log distance from the value; got {self.size!r}")
        share("followed", self.followed, "the share of the misprint that the traded price follows")


def listed(misprints: Sequence[Misprint]) -> tuple[Misprint, ...]:
    """Several misprints, as a tuple."""
    if not isinstance(misprints, Sequence) or not all(isinstance(bad, Misprint) for bad in misprints):
        raise ValueError(f"misprints is a list of perpkit Misprints; got {misprints!r}")
    return tuple(misprints)


class Script(NamedTuple):
    """What the kernel is told of all this; arrays without rows where nothing happens."""

    orders: np.ndarray
    """USD to trade and share to close after each step, shape (steps, 2)."""
    prints: np.ndarray
    """Log distance of the print from the value at each open step, shape (open steps,)."""
    shares: float
    entry: float


def script(orders: Orders | None, misprints: Sequence[Misprint], closure: Closure, price: float) -> tuple[Script, np.ndarray]:
    """A schedule and misprints on the steps of a closure, and the log shift of the traded price by open step.

    Raises
    ------
    ValueError
        If an order falls behind the window, or a misprint into the closure or behind the window.
    """
    if orders is not None and not isinstance(orders, Orders):
        raise ValueError(f"orders is a perpkit Orders; got {orders!r}")
    asked = orders or Orders()
    steps = np.zeros((0, 2))
    if asked.hours or asked.close_hours:
        steps = np.zeros((closure.closed_steps + closure.open_steps, 2))
        np.add.at(steps[:, TRADE], _step(asked.hours, closure), asked.notional)
        closing = sorted(asked.close_hours)
        for k, at in enumerate(_step(closing, closure)):
            # Of n equal parts the k-th is one of the n - k still there.
            steps[at, CLOSE] = 1.0 - (1.0 - steps[at, CLOSE]) * (1.0 - 1.0 / (len(closing) - k))
    off, shift = np.zeros(0), np.zeros(0)
    if misprints:
        times = closure.times[closure.closed_steps :]
        off, shift = np.zeros((2, closure.open_steps))
        for bad in listed(misprints):
            if bad.start < closure.hours - 1e-9 or bad.end > times[-1] + 1e-9:
                raise ValueError(
                    f"a misprint falls between the reopening at {closure.hours:g} h and the window's end at {times[-1]:g} h; "
                    f"got {bad.start!r} to {bad.end!r}"
                )
            during = (times > bad.start + 1e-9) & (times <= bad.end + 1e-9)
            off[during] += bad.size
            shift[during] += bad.followed * bad.size
    entry = price if asked.entry is None else asked.entry
    return Script(steps, off, float(asked.position) / price, float(entry)), shift


def _step(hours: Sequence[float], closure: Closure) -> np.ndarray:
    """Step behind which an order of each hour trades."""
    times = closure.times
    late = [h for h in hours if h > times[-1] + 1e-9]
    if late:
        raise ValueError(f"an order at {late[0]:g} h comes after the window, which ends at {times[-1]:g} h; send it earlier or lengthen the window")
    return np.searchsorted(times, np.asarray(hours, dtype=float) - 1e-9)


@compiled
def walk(sign: float, shares: float, notional: float, price: float, depth: float, room: float) -> tuple[float, float, float]:
    """Log move, shares and USD of an order that walks up (``sign`` 1) or down (-1) a book that moves by USD traded over ``depth``.

    The order is of ``shares`` if that is above 0, of ``notional`` USD else. Exact for any size: ``d log p = p dq / D`` is integrated, so an
    order sold and bought back costs nothing but spread and what refilled, in however many parts. Beyond ``room`` any size is taken at the
    last price.
    """
    room = max(room, 0.0)
    if depth == math.inf:
        size = shares if shares > 0.0 else notional / price
        return 0.0, size, size * price
    at_hand = -sign * depth / price * math.expm1(-sign * room)
    edge = price * math.exp(sign * room)
    if shares > 0.0:
        if shares >= at_hand:
            return room, shares, depth * room + (shares - at_hand) * edge
        move = -sign * math.log1p(-sign * shares * price / depth)
        return move, shares, depth * move
    move = notional / depth
    if move >= room:
        return room, at_hand + (notional - depth * room) / edge, notional
    return move, -sign * depth / price * math.expm1(-sign * move), notional


@compiled
def send(st, rules, notional, closing, traded, depth, half_spread, hours, events):
    """Close the share ``closing`` of what the attacker holds, then trade ``notional`` USD, against the makers; the traded price afterwards.

    Mutates the state vector ``st`` and ``events``.
    """
    for part in range(2):
        shares = abs(closing * st[ATTACKER_SIZE]) if part == 0 else 0.0
        usd = 0.0 if part == 0 else abs(notional)
        if shares == 0.0 and usd == 0.0:
            continue
        sign = 1.0 if (notional if part == 1 else -st[ATTACKER_SIZE]) > 0.0 else -1.0
        move, size, paid = walk(sign, shares, usd, traded, depth, rules.push_limit - sign * (st[IMPACT] + st[ANCHOR]))
        paid *= math.exp(sign * half_spread)
        credit(st, ATTACKER_CASH, -sign * paid)
        credit(st, MAKER_CASH, sign * paid)
        st[ATTACKER_SIZE] += sign * size
        st[MAKER_SIZE] -= sign * size
        st[IMPACT] += sign * (1.0 - rules.permanent) * move
        st[ANCHOR] += sign * rules.permanent * move
        log_event(events, st, hours, ORDER, sign, 0, size, paid / size, 0.0)
        traded *= math.exp(sign * move)
    return traded
