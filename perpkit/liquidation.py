"""Liquidation: what happens at one mark update to the accounts it condemns, to the cent.

All accounts of a side condemned by one update are sold in one order and share its average fill. Sums over them come from prefix sums; only
accounts large enough to be sold in part are visited one by one. Everything is written in the coordinate ``y = s (price - F)`` of
``margin.py``.
"""

from __future__ import annotations

import math

import numpy as np

from perpkit._compile import compiled
from perpkit.book import push
from perpkit.ledger import (
    ADL_NEEDED,
    ADL_SIZE,
    ADL_Y,
    ANCHOR,
    BACKSTOP_CASH,
    BACKSTOP_SIZE,
    BACKSTOP_USED,
    BREACHED,
    DIRTY,
    EXHAUSTED_AT,
    FIRST_ALIVE,
    FUND,
    IMPACT,
    LIQUIDATED_CLOSED,
    LIQUIDATED_OPEN,
    MAKER_CASH,
    MAKER_SIZE,
    NEXT_LARGE,
    PENDING,
    PREMATURE,
    SHORTFALL,
    SOCIALISED,
    TRADER_CASH,
    credit,
    log_event,
)
from perpkit.margin import (
    ALL_Q,
    ALL_QB,
    BETA,
    ENTRY,
    SIZE,
    SMALL_Q,
    SMALL_QB,
    first_not_above,
    maintenance_level,
    prefix_sums,
)
from perpkit.waterfall import NO_ADL, QUEUE, adl_index, adl_pro_rata, adl_queue

LIQUIDATION, PARTIAL, TAKEOVER, DELEVERAGE, INSURANCE, SOCIAL, REANCHOR, ORDER = 0, 1, 2, 3, 4, 5, 6, 7
KINDS = ("liquidation", "partial", "backstop", "adl", "insurance", "socialised", "re-anchor", "order")


@compiled
def _above(beta, quantity, weighted, start, stop, level):
    """End of the accounts of [start, stop) with a beta above ``level``, their size and their size times beta."""
    end = min(first_not_above(beta, start, level), stop)
    return end, quantity[end] - quantity[start], weighted[end] - weighted[start]


@compiled
def _deleverage(side, work, dirty, first, sign, mark, funding, y_exit, rule, amount):
    """Close up to ``amount`` shares of the winners of a side, in ``work``; the shares taken and their size times beta.

    Winners are in profit at the mark and still hold equity at the exit ``y_exit``, so nobody is made bankrupt by winning. A winner gives a
    slice together with its share of the margin, so the rest of the account keeps its leverage and its place in the order.
    """
    if not dirty:
        for r in range(side.shape[0]):  # a slice assignment would take Numba seconds to compile
            for j in range(side.shape[1]):
                work[r, j] = side[r, j]
    beta = side[BETA, first:]
    n = len(beta)
    leverage, profit, capacity = np.empty(n), np.empty(n), np.zeros(n)
    for j in range(n):
        entry = side[ENTRY, first + j]
        profit[j] = sign * (mark - entry) / entry
        leverage[j] = mark / max(sign * (mark - funding) - beta[j], 1e-12 * mark)
        if profit[j] > 0.0 and beta[j] <= y_exit:
            capacity[j] = work[SIZE, first + j]
    if rule == QUEUE:
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
def liquidate(
    me, sides, works, large, pending, single, st, rules, price, mark, funding, maintenance, depth, half_spread, reopen_value, hours, closed, final, events
):  # fmt: skip
    """Sell the accounts of side ``me`` (0 longs, 1 shorts) that ``mark`` condemns; the traded price afterwards.

    Mutates the state vector ``st`` (``ledger.py``), the rows of ``pending`` (size, beta, hours of the last slice) and ``events``.
    ``final`` closes only accounts without equity, whole, at the end of the window.
    """
    sign = 1.0 - 2.0 * me
    them = 1 - me
    side = works[me] if st[DIRTY + me] > 0.0 else sides[me]
    beta = side[BETA]
    trigger = maintenance_level(sign, mark, funding, maintenance)
    y_mark = sign * (mark - funding)
    first = int(st[FIRST_ALIVE + me])
    last = first_not_above(beta, first, trigger)

    # Accounts between no equity and the vault's threshold go to the vault, as far as it reaches.
    room = 0.0 if final else _room(st, rules)
    vault_level = y_mark - rules.backstop_threshold * maintenance * mark
    lo = hi = last
    kept = 1.0
    if room > 0.0:
        lo = min(first_not_above(beta, first, y_mark), last)
        hi = min(first_not_above(beta, first, vault_level), last)
        zone = side[ALL_Q, hi] - side[ALL_Q, lo]
        if zone > 0.0:
            taken = min(1.0, room / zone)
            kept = 1.0 - taken
            _take_over(st, sign, funding, taken * zone, taken * (side[ALL_QB, hi] - side[ALL_QB, lo]))
            _count(st, me, closed, taken, beta, side[ALL_Q], side[ALL_QB], lo, hi, sign * (reopen_value - funding))
            log_event(events, st, hours, TAKEOVER, sign, hi - lo, taken * zone, mark, 0.0)
    else:
        hi = lo = first

    # Whole accounts: without equity at the mark [first, lo), left by the vault [lo, hi), the small rest [hi, last). Then the large ones.
    sold = side[ALL_Q, lo] - side[ALL_Q, first] + kept * (side[ALL_Q, hi] - side[ALL_Q, lo]) + side[SMALL_Q, last] - side[SMALL_Q, hi]
    singles = 0
    n_pending = int(st[PENDING + me])
    rows = pending[me]
    next_large = int(st[NEXT_LARGE + me])
    while large[me, next_large] < last:
        j = large[me, next_large]
        if j >= hi:
            rows[n_pending, 0] = side[SIZE, j]
            rows[n_pending, 1] = beta[j]
            rows[n_pending, 2] = -math.inf  # never sliced yet
            n_pending += 1
        next_large += 1
    sliced = 0.0
    kept_rows = 0
    for p in range(n_pending):
        size, b, since = rows[p, 0], rows[p, 1], rows[p, 2]
        slice_size = 0.0
        if b > trigger:
            room = 0.0 if final else _room(st, rules)
            if since > -math.inf and vault_level < b <= y_mark and size <= room:
                _take_over(st, sign, funding, size, size * b)
                _count_one(st, me, closed, size, b < sign * (reopen_value - funding))
                log_event(events, st, hours, TAKEOVER, sign, 1, size, mark, 0.0)
                continue
            whole = final or b > y_mark or rules.partial_share >= 1.0
            whole = whole or hours - since <= rules.cooldown_h + 1e-9 or (since > -math.inf and size * rules.price <= rules.partial_threshold)
            if whole:
                single[singles, 0] = size
                single[singles, 1] = b
                singles += 1
                sold += size
                continue
            slice_size = rules.partial_share * size
            sliced += slice_size
        rows[kept_rows, 0] = size
        rows[kept_rows, 1] = b
        rows[kept_rows, 2] = since
        rows[kept_rows, 3] = slice_size
        kept_rows += 1
    st[FIRST_ALIVE + me] = last
    st[NEXT_LARGE + me] = next_large
    st[PENDING + me] = kept_rows
    if sold + sliced <= 0.0:
        return price

    # The fill of the whole order, and the losses beyond collateral it would leave.
    room = rules.push_limit + sign * (st[IMPACT] + st[ANCHOR])
    _, average = push((sold + sliced) * price, depth, room)
    y_first = sign * (price * math.exp(-sign * (half_spread + average)) - funding)
    loss, loss_q, loss_qb = _losses(side, first, lo, hi, last, kept, single, singles, y_first)
    fund = max(st[FUND], 0.0)
    spared = 0.0
    if loss > fund + rules.dust:
        if st[BREACHED] == 0.0:
            st[BREACHED] = 1.0
            st[EXHAUSTED_AT] = hours
        if rules.adl != NO_ADL:
            # What the fund cannot cover is not sold but handed to winners at each account's bankruptcy price.
            st[ADL_NEEDED] += loss - fund
            wanted = (1.0 - fund / loss) * loss_q
            winners = int(st[FIRST_ALIVE + them])
            y_mean = loss_qb / loss_q
            got, got_qb = _deleverage(
                sides[them], works[them], st[DIRTY + them] > 0.0, winners, -sign, mark, funding, -y_mean, rules.adl, wanted
            )
            if got > 0.0:
                st[DIRTY + them] = 1.0
                spared = got / loss_q
                credit(st, TRADER_CASH + them, -y_mean * got - got_qb)
                st[ADL_SIZE + them] += got
                st[ADL_Y + them] -= y_mean * got
                log_event(events, st, hours, DELEVERAGE, sign, 0, got, sign * y_mean + funding, loss - fund)
    order = sold + sliced - spared * loss_q
    move, average = push(order * price, depth, room)
    fill = price * math.exp(-sign * (half_spread + average))
    y = sign * (fill - funding)
    fee = rules.fee * fill
    gross, net, beyond = _proceeds(side, first, lo, hi, last, kept, single, singles, y_first, y, fee, 1.0 - spared)
    paid = min(max(st[FUND], 0.0), beyond)
    credit(st, FUND, -paid)
    credit(st, SOCIALISED, -(beyond - paid))
    credit(st, TRADER_CASH + me, net)
    credit(st, FUND, gross - net)
    for p in range(kept_rows):
        part = rows[p, 3]
        if part > 0.0:
            size, b = rows[p, 0], rows[p, 1]
            cost = min(fee * part, max(size * (y - b), 0.0))
            credit(st, FUND, cost)
            rows[p, 1] = (size * b - part * y + cost) / (size - part)
            rows[p, 0] = size - part
            rows[p, 2] = hours
            _count_one(st, me, closed, part, b < sign * (reopen_value - funding))
    credit(st, MAKER_CASH, -sign * order * fill)
    st[MAKER_SIZE] += sign * order
    st[IMPACT] -= sign * (1.0 - rules.permanent) * move
    st[ANCHOR] -= sign * rules.permanent * move
    st[SHORTFALL + me] += loss
    y_reopen = sign * (reopen_value - funding)
    _count(st, me, closed, 1.0, beta, side[ALL_Q], side[ALL_QB], first, lo, y_reopen)
    _count(st, me, closed, kept, beta, side[ALL_Q], side[ALL_QB], lo, hi, y_reopen)
    _count(st, me, closed, 1.0, beta, side[SMALL_Q], side[SMALL_QB], hi, last, y_reopen)
    for p in range(singles):
        _count_one(st, me, closed, single[p, 0], single[p, 1] < y_reopen)
    if sold - spared * loss_q > 0.0:
        log_event(events, st, hours, LIQUIDATION, sign, last - first, sold - spared * loss_q, fill, beyond)
    if sliced > 0.0:
        log_event(events, st, hours, PARTIAL, sign, 0, sliced, fill, 0.0)
    if paid > 0.0:
        log_event(events, st, hours, INSURANCE, sign, 0, 0.0, fill, paid)
    if beyond > paid + rules.dust:
        log_event(events, st, hours, SOCIAL, sign, 0, 0.0, fill, beyond - paid)
    return price * math.exp(-sign * move)


@compiled
def _room(st, rules) -> float:
    """Shares the vault can still take. What rounding leaves of its capacity is none: it would decide how large accounts are sold."""
    room = rules.backstop_shares - st[BACKSTOP_USED]
    return room if room > 1e-9 * rules.backstop_shares else 0.0


@compiled
def _take_over(st, sign, funding, size, size_beta):
    """The vault takes ``size`` shares with their margin: it will own ``size * y - size_beta``."""
    st[BACKSTOP_USED] += size
    st[BACKSTOP_SIZE] += sign * size
    credit(st, BACKSTOP_CASH, -(sign * funding * size + size_beta))


@compiled
def _losses(side, first, lo, hi, last, kept, single, singles, y):
    """Loss beyond collateral at a fill of ``y``, and the size and size times beta of the accounts that have one."""
    _, q1, qb1 = _above(side[BETA], side[ALL_Q], side[ALL_QB], first, lo, y)
    _, q2, qb2 = _above(side[BETA], side[ALL_Q], side[ALL_QB], lo, hi, y)
    _, q3, qb3 = _above(side[BETA], side[SMALL_Q], side[SMALL_QB], hi, last, y)
    q, qb = q1 + kept * q2 + q3, qb1 + kept * qb2 + qb3
    for p in range(singles):
        if single[p, 1] > y:
            q += single[p, 0]
            qb += single[p, 0] * single[p, 1]
    return max(qb - y * q, 0.0), q, qb


@compiled
def _range(beta, quantity, weighted, start, stop, y_first, y, fee, weight):
    """Of accounts [start, stop): equity at ``y``, equity after the fee, loss beyond collateral; ``weight`` scales those above
    ``y_first``."""
    split, dq, dqb = _above(beta, quantity, weighted, start, stop, y_first)
    _, bq, bqb = _above(beta, quantity, weighted, start, split, y)
    beyond = weight * max(bqb - y * bq, 0.0)
    gross = weight * (y * (dq - bq) - (dqb - bqb)) + y * (quantity[stop] - quantity[split]) - (weighted[stop] - weighted[split])
    y_fee = y - fee
    end, fq, fqb = _above(beta, quantity, weighted, start, stop, y_fee)
    if end < split:
        net = weight * (y_fee * (dq - fq) - (dqb - fqb))
        net += y_fee * (quantity[stop] - quantity[split]) - (weighted[stop] - weighted[split])
    else:
        net = y_fee * (quantity[stop] - quantity[end]) - (weighted[stop] - weighted[end])
    return gross, net, beyond


@compiled
def _proceeds(side, first, lo, hi, last, kept, single, singles, y_first, y, fee, weight):
    """What the accounts sold whole are left with, before and after the fee, and their losses beyond collateral. USD."""
    g1, n1, b1 = _range(side[BETA], side[ALL_Q], side[ALL_QB], first, lo, y_first, y, fee, weight)
    g2, n2, b2 = _range(side[BETA], side[ALL_Q], side[ALL_QB], lo, hi, y_first, y, fee, weight)
    g3, n3, b3 = _range(side[BETA], side[SMALL_Q], side[SMALL_QB], hi, last, y_first, y, fee, weight)
    gross, net, beyond = g1 + kept * g2 + g3, n1 + kept * n2 + n3, b1 + kept * b2 + b3
    for p in range(singles):
        size, b = single[p, 0], single[p, 1]
        part = weight * size if b > y_first else size
        gross += part * max(y - b, 0.0)
        net += part * max(y - fee - b, 0.0)
        beyond += part * max(b - y, 0.0)
    return gross, net, beyond


@compiled
def _count(st, me, closed, weight, beta, quantity, weighted, start, stop, y_reopen):
    """Add accounts [start, stop) to the sizes liquidated, and to the premature ones where the reopening value leaves them equity."""
    size = weight * (quantity[stop] - quantity[start])
    if closed:
        st[LIQUIDATED_CLOSED + me] += size
        _, gone, _ = _above(beta, quantity, weighted, start, stop, y_reopen)
        st[PREMATURE + me] += size - weight * gone
    else:
        st[LIQUIDATED_OPEN + me] += size


@compiled
def _count_one(st, me, closed, size, solvent):
    if closed:
        st[LIQUIDATED_CLOSED + me] += size
        if solvent:
            st[PREMATURE + me] += size
    else:
        st[LIQUIDATED_OPEN + me] += size
