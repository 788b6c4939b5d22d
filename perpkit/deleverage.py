"""Deleveraging: how much of an order nobody can pay for, and which winners are closed against it."""

from __future__ import annotations

import math

import numpy as np

from perpkit._compile import compiled
from perpkit.book import push
from perpkit.margin import BETA, ENTRY, SIZE, prefix_sums
from perpkit.settlement import losses
from perpkit.waterfall import CROSSING, PRO_RATA, adl_index, adl_pro_rata, adl_queue

HALVINGS = 60
"""Of the bracket of the share that is spared: to the last bit of a number below 1."""


@compiled
def copy_table(side: np.ndarray, work: np.ndarray) -> None:
    """``work`` becomes ``side``. A slice assignment would take Numba seconds to compile."""
    for r in range(side.shape[0]):
        for j in range(side.shape[1]):
            work[r, j] = side[r, j]


@compiled
def spared_share(
    side, first, lo, hi, last, kept, single, singles, size, lost, price, sign, funding, depth, half_spread, room, fund
) -> float:  # fmt: skip
    """Smallest share of the accounts that lose which must be kept from the order, so that the fund covers what the rest of them owe.

    Without them the order of ``size`` shares, ``lost`` of which belong to accounts that lose at its fill, is smaller and fills better. So the
    loss left falls as the share rises, for two reasons, from more than ``fund`` at 0 to nothing at 1: the root is one, and bracketed.
    """
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        part = 0.5 * (low + high)
        _, average = push((size - part * lost) * price, depth, room)
        y = sign * (price * math.exp(-sign * (half_spread + average)) - funding)
        loss, _, _ = losses(side, first, lo, hi, last, kept, single, singles, y)
        if (1.0 - part) * loss <= fund:
            high = part
        else:
            low = part
    return high


@compiled
def close_winners(side, work, dirty, first, sign, mark, funding, y_exit, rule, amount):
    """Close up to ``amount`` shares of the winners of a side, in ``work``; the shares taken and their size times beta.

    Winners are in profit at the mark and still hold equity at the exit ``y_exit``, so nobody is made bankrupt by winning; where zero prices
    need only cross, a profit is not asked for. A winner gives a slice together with its share of the margin, so the rest of the account
    keeps its leverage and its place in the order.
    """
    if not dirty:
        copy_table(side, work)
    beta = side[BETA, first:]
    n = len(beta)
    leverage, profit, capacity = np.empty(n), np.empty(n), np.zeros(n)
    for j in range(n):
        entry = side[ENTRY, first + j]
        profit[j] = sign * (mark - entry) / entry
        leverage[j] = mark / max(sign * (mark - funding) - beta[j], 1e-12 * mark)
        if (profit[j] > 0.0 or rule == CROSSING) and beta[j] <= y_exit:
            capacity[j] = work[SIZE, first + j]
    if rule != PRO_RATA:
        taken = adl_queue(adl_index(leverage, profit), capacity, amount)
    else:
        taken = adl_pro_rata(capacity, amount)
    closed, closed_beta = 0.0, 0.0
    for j in range(n):
        if taken[j] > 0.0:
            work[SIZE, first + j] -= taken[j]
            closed += taken[j]
            closed_beta += taken[j] * beta[j]
    prefix_sums(work)
    return closed, closed_beta


@compiled
def ranking(table, first, sign, mark, funding, rule):
    """Places of a side from ``first`` on that may be closed as winners, the first to give first.

    In profit at the mark, unless zero prices need only cross; ordered as in the queue, also where they give pro rata.
    """
    n = table.shape[1] - 1 - first
    leverage, profit = np.empty(n), np.empty(n)
    for j in range(n):
        entry = table[ENTRY, first + j]
        profit[j] = sign * (mark - entry) / entry
        leverage[j] = mark / max(sign * (mark - funding) - table[BETA, first + j], 1e-12 * mark)
    order = np.argsort(-adl_index(leverage, profit), kind="mergesort")
    places, count = np.empty(n, np.int64), 0
    for j in order:
        if table[SIZE, first + j] > 0.0 and (profit[j] > 0.0 or rule == CROSSING):
            places[count] = first + j
            count += 1
    return places[:count]


@compiled
def cross(table, places, y_exit, rule, amount):
    """Close up to ``amount`` shares of those of ``places`` whose zero price the exit ``y_exit`` does not pass; the shares taken and their size
    times beta. Changes sizes in ``table`` and leaves its prefix sums to the caller."""
    room = 0.0
    if rule == PRO_RATA:
        for j in places:
            if table[BETA, j] <= y_exit:
                room += table[SIZE, j]
    part = min(amount / room, 1.0) if room > 0.0 else 0.0
    got, got_beta = 0.0, 0.0
    for j in places:
        if table[BETA, j] <= y_exit:
            slice_ = part * table[SIZE, j] if rule == PRO_RATA else min(amount - got, table[SIZE, j])
            if slice_ > 0.0:
                table[SIZE, j] -= slice_
                got += slice_
                got_beta += slice_ * table[BETA, j]
    return got, got_beta
