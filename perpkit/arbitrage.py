"""Arbitrage: the closed price at which nobody gains by waiting for the reference.

Flow that knows the value V can buy the perpetual, pay funding until the reference returns, and receive V. It quotes the price at which that
is worth nothing, and finds it by backward induction on the rules the engine itself runs: the oracle's update with its cap, dead zone and step
clamp, the premium sampled at every step, the rate of the hour with interest, clamp, multiplier and cap, and the payment on the stroke of the
hour by whoever holds then. There is no formula for the result in here; ``theory.pass_through`` is one, and the two can judge each other.

Within an hour nothing is paid, so the price of somebody who expects no more news in it stands still, and jumps by the payment on the stroke. The price
after the stroke depends only on how far V stands from O. So the induction goes from hour to hour over that distance, and inside the hour the
price solves one equation: worth of what is held if the price stays = price. All prices scale together; tables hold worth over oracle.

Limited flow holds ``capacity`` USD for each unit of log return it expects, against traders who take the oracle for the price and whose
impact is that of the book: the price is then the share ``capacity / (capacity + depth)`` of the way from the oracle to the worth. That worth is
reckoned along the limited price, so the expectation is right.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from perpkit._compile import compiled
from perpkit.clock import Closure
from perpkit.funding import hourly_rate, premium
from perpkit.loop import DEPTH, HOURS, IMPACT_ASK, IMPACT_BID, ORACLE_DOWN, ORACLE_GAIN, ORACLE_UP
from perpkit.oracle import DECAYING, LEVEL, closed_target, step_towards

_NEAR, _BELOW, _ABOVE, _SIDE = 1e-4, 0.95, 3.0, 241
DISTANCE = np.concatenate([-np.geomspace(_BELOW, _NEAR, _SIDE), [0.0], np.geomspace(_NEAR, _ABOVE, _SIDE)])
"""Value over oracle, less 1, at which worth is tabulated: fine where clamp and dead zone have corners, coarse where everything is straight."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
_EXACT = 1e-14  # of the oracle


class Expectation(NamedTuple):
    """What informed flow reckons with, by hour of the closure."""

    ahead: np.ndarray
    """Worth of a long when the hour ends, over the oracle, on :data:`DISTANCE`; shape (hours, points)."""
    due: np.ndarray
    """1 if the rate of that hour is charged, else 0; shape (hours,)."""
    share: np.ndarray
    """Part of the way from the oracle to the worth that the price goes, 1 for deep pockets; shape (hours,)."""


def share(capacity: float, depth: float) -> float:
    """Part of the way from the oracle to the worth that flow of ``capacity`` carries the price in a book of ``depth``, both USD per unit log."""
    return 1.0 if math.isinf(capacity) else capacity / (capacity + depth)


def expectation(rules, rows: np.ndarray, closure: Closure, capacity: float = math.inf, later: float = 0.0) -> Expectation:
    """Backward induction from the return of the reference, at which a long is worth V.

    Leaves out what is not a matter of V over O: the wall round the last print, and a proxy's own news, which flow takes the oracle to keep
    still for. A last print whose weight decays is taken as gone.

    Parameters
    ----------
    rules : the kernel's scalars.
    rows : the pace of a closed step in each hour since the close, the last of which serves all later hours; shape (n, PACE).
    closure : clock. The last hour, if cut short, is charged whole, provided the window reaches its end.
    capacity : USD held for each unit of log return expected.
    later : standard deviation of the news still expected over the whole closure, log units; it is taken to arrive on the strokes of the hour.
    """
    return _induced(rules, tuple(map(tuple, rows)), closure, float(capacity), float(later))


@lru_cache(maxsize=32)
def _induced(rules, rows: tuple[tuple[float, ...], ...], closure: Closure, capacity: float, later: float) -> Expectation:
    """Kept, because every block of an ensemble and every weekend of a seed asks for the same."""
    an_hour = round(3600.0 / closure.closed_step_s)
    hours = -(-closure.closed_steps // an_hour)
    due = np.full(hours, float(rules.funding_when_closed > 0.0))
    if closure.closed_steps % an_hour:
        due[-1] = float(hours <= closure.hours + closure.reopen_minutes / 60.0)
    ahead, parts = np.empty((hours, len(DISTANCE))), np.empty(hours)
    worth = 1.0 + DISTANCE
    for h in range(hours - 1, -1, -1):
        steps = min(an_hour, closure.closed_steps - h * an_hour)
        row = np.array(rows[min(h, len(rows) - 1)])
        parts[h] = share(capacity, row[DEPTH])
        ahead[h] = _expected(worth, later * math.sqrt(steps / closure.closed_steps)) if h + 1 < hours else worth
        worth = _worths(steps, due[h], parts[h], ahead[h], DISTANCE, rules, row)
    return Expectation(ahead, due, parts)


def _expected(worth: np.ndarray, sd: float) -> np.ndarray:
    """Mean worth over the next hour's news, a martingale in the value."""
    if sd == 0.0:
        return worth
    moves = np.exp(sd * _NODES - 0.5 * sd**2)
    reached = (1.0 + DISTANCE)[:, None] * moves - 1.0
    return np.reshape([between(x, DISTANCE, worth) for x in reached.ravel()], reached.shape) @ (_WEIGHTS / _WEIGHTS.sum())


@compiled
def between(x: float, at: np.ndarray, table: np.ndarray) -> float:
    """``table`` over ``at``, linear between the points and beyond the ends."""
    low, high = 0, len(at) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if x >= at[middle]:
            low = middle
        else:
            high = middle
    return table[low] + (x - at[low]) / (at[high] - at[low]) * (table[high] - table[low])


@compiled
def worth_if_held(price: float, oracle: float, value: float, premium_sum: float, steps: int, due: float, ahead, at, rules, row) -> float:
    """USD that a long is worth now, if the price stays at ``price`` for the ``steps`` left of the hour.

    ``premium_sum`` is the premium sampled so far in this hour times its time: whoever holds on the stroke pays for all of it.
    """
    bid, ask = price * row[IMPACT_BID], price * row[IMPACT_ASK]
    follows, kind = LEVEL if rules.oracle == DECAYING else int(rules.oracle), int(rules.premium)
    for _ in range(steps):
        moved = closed_target(follows, oracle, row[ORACLE_GAIN], bid, ask, price, oracle, oracle, 0.0, oracle)
        oracle = step_towards(oracle, moved, row[ORACLE_DOWN], row[ORACLE_UP])
        premium_sum += premium(kind, oracle, bid, ask) * row[HOURS]
    rate = due * hourly_rate(premium_sum, rules.interest_8h, rules.clamp_8h, rules.multiplier, rules.cap_per_hour)
    return oracle * (between(value / oracle - 1.0, at, ahead) - rate)


@compiled
def quote(guess: float, oracle: float, value: float, premium_sum: float, steps: int, due: float, part: float, ahead, at, rules, row) -> float:
    """The price, USD, that stands ``part`` of the way from the oracle to what a long is then worth: with 1 the price that leaves no profit.

    Price less that target rises with the price, so there is one; found between two prices on either side of it (regula falsi, Illinois form).
    """
    low = guess
    off = low - oracle - part * (worth_if_held(low, oracle, value, premium_sum, steps, due, ahead, at, rules, row) - oracle)
    high, beyond, reach = low, off, off
    while beyond * off > 0.0:
        low, off = high, beyond
        reach *= 2.0
        high = max(low - reach, 1e-3 * min(low, oracle))
        beyond = high - oracle - part * (worth_if_held(high, oracle, value, premium_sum, steps, due, ahead, at, rules, row) - oracle)
    while abs(off) > _EXACT * oracle and abs(high - low) > _EXACT * oracle:
        middle = high - beyond * (high - low) / (beyond - off)
        here = middle - oracle - part * (worth_if_held(middle, oracle, value, premium_sum, steps, due, ahead, at, rules, row) - oracle)
        if here * beyond < 0.0:
            low, off = high, beyond
        else:
            off *= 0.5
        high, beyond = middle, here
        if abs(beyond) <= _EXACT * oracle:
            break
    return high if abs(beyond) <= abs(off) else low


@compiled
def _worths(steps: int, due: float, part: float, ahead, at, rules, row) -> np.ndarray:
    """Worth at the start of an hour over the oracle, on ``at``; the price starts where it was a point before."""
    found = np.empty(len(at))
    price = 1.0
    for k in range(len(at)):
        price = quote(price, 1.0, 1.0 + at[k], 0.0, steps, due, part, ahead, at, rules, row)
        found[k] = worth_if_held(price, 1.0, 1.0 + at[k], 0.0, steps, due, ahead, at, rules, row)
    return found
