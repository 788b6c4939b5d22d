"""Liquidation: what happens at one mark update to the accounts it condemns, to the cent.

All accounts of a side condemned by one update are sold in one order and share its average fill. Sums over them come from prefix sums; only
accounts large enough to be sold in part are visited one by one. Everything is written in the coordinate ``y = s (price - F)`` of
``margin.py``.
"""

from __future__ import annotations

import math

from perpkit._compile import compiled
from perpkit.book import push
from perpkit.deleverage import close_winners, spared_share
from perpkit.ledger import (
    ADL_NEEDED,
    ADL_SIZE,
    ADL_Y,
    ANCHOR,
    BACKSTOP_CASH,
    BACKSTOP_SIZE,
    BACKSTOP_USED,
    BATCH_USED,
    BREACHED,
    DIRTY,
    EXHAUSTED_AT,
    FIRST_ALIVE,
    FUND,
    HARM,
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
    SIZE,
    SMALL_Q,
    SMALL_QB,
    first_not_above,
    maintenance_level,
)
from perpkit.refund import harm, harm_of
from perpkit.settlement import above, losses, proceeds
from perpkit.waterfall import NO_ADL

LIQUIDATION, PARTIAL, TAKEOVER, DELEVERAGE, INSURANCE, SOCIAL, REANCHOR, ORDER = 0, 1, 2, 3, 4, 5, 6, 7
KINDS = ("liquidation", "partial", "backstop", "adl", "insurance", "socialised", "re-anchor", "order")


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
    y_mark, y_reopen = sign * (mark - funding), sign * (reopen_value - funding)
    refunding = closed and rules.refund > 0.0
    first = int(st[FIRST_ALIVE + me])
    last = first_not_above(beta, first, trigger)
    capped = rules.batch_cap < math.inf and not final
    if capped:
        last = _within_cap(side[SIZE], first, last, st, rules.batch_cap)

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
            take_over(st, sign, funding, taken * zone, taken * (side[ALL_QB, hi] - side[ALL_QB, lo]))
            _count(st, me, closed, taken, beta, side[ALL_Q], side[ALL_QB], lo, hi, y_reopen)
            if refunding:
                st[HARM + me] += taken * harm(beta, side[ALL_Q], side[ALL_QB], lo, hi, y_reopen, -math.inf)
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
        if b > trigger and not (capped and since > -math.inf and _no_turn(st, rules.batch_cap)):
            room = 0.0 if final else _room(st, rules)
            if since > -math.inf and vault_level < b <= y_mark and size <= room:
                take_over(st, sign, funding, size, size * b)
                count_one(st, me, closed, size, b, y_reopen, -math.inf)
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
    loss, loss_q, loss_qb = losses(side, first, lo, hi, last, kept, single, singles, y_first)
    fund = max(st[FUND], 0.0)
    spared = 0.0
    if loss > fund + rules.dust:
        if st[BREACHED] == 0.0:
            st[BREACHED] = 1.0
            st[EXHAUSTED_AT] = hours
        if rules.adl != NO_ADL:
            # What the fund cannot cover is not sold but handed to winners at each account's bankruptcy price.
            st[ADL_NEEDED] += loss - fund
            wanted = loss_q * spared_share(
                side, first, lo, hi, last, kept, single, singles, sold + sliced, loss_q, price, sign, funding, depth, half_spread, room,
                fund + rules.dust,
            )  # fmt: skip
            winners = int(st[FIRST_ALIVE + them])
            y_mean = loss_qb / loss_q
            got, got_qb = close_winners(
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
    gross, net, beyond = proceeds(side, first, lo, hi, last, kept, single, singles, y_first, y, fee, 1.0 - spared)
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
            count_one(st, me, closed, part, b, y_reopen, y)
    credit(st, MAKER_CASH, -sign * order * fill)
    st[MAKER_SIZE] += sign * order
    st[IMPACT] -= sign * (1.0 - rules.permanent) * move
    st[ANCHOR] -= sign * rules.permanent * move
    st[SHORTFALL + me] += loss
    _count(st, me, closed, 1.0, beta, side[ALL_Q], side[ALL_QB], first, lo, y_reopen)
    _count(st, me, closed, kept, beta, side[ALL_Q], side[ALL_QB], lo, hi, y_reopen)
    _count(st, me, closed, 1.0, beta, side[SMALL_Q], side[SMALL_QB], hi, last, y_reopen)
    for p in range(singles):
        count_one(st, me, closed, single[p, 0], single[p, 1], y_reopen, y)
    if refunding:
        st[HARM + me] += _harms(side, first, lo, hi, last, kept, y_reopen, y_first, y, 1.0 - spared)
        for p in range(singles):
            if single[p, 1] > y_first:  # the part closed against winners left with nothing
                gap = harm_of(single[p, 1], y_reopen, -math.inf) - harm_of(single[p, 1], y_reopen, y)
                st[HARM + me] += spared * single[p, 0] * gap
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
def take_over(st, sign, funding, size, size_beta):
    """The vault takes ``size`` shares with their margin: it will own ``size * y - size_beta``."""
    st[BACKSTOP_USED] += size
    st[BACKSTOP_SIZE] += sign * size
    credit(st, BACKSTOP_CASH, -(sign * funding * size + size_beta))


@compiled
def _count(st, me, closed, weight, beta, quantity, weighted, start, stop, y_reopen):
    """Add accounts [start, stop) to the sizes liquidated, and to the premature ones where the reopening value leaves them equity."""
    size = weight * (quantity[stop] - quantity[start])
    if closed:
        st[LIQUIDATED_CLOSED + me] += size
        _, gone, _ = above(beta, quantity, weighted, start, stop, y_reopen)
        st[PREMATURE + me] += size - weight * gone
    else:
        st[LIQUIDATED_OPEN + me] += size


@compiled
def count_one(st, me, closed, size, b, y_reopen, y):
    """Add ``size`` shares of one account to those counts, and what leaving at ``y`` has cost it by then to the claims for a refund."""
    if closed:
        st[LIQUIDATED_CLOSED + me] += size
        if b < y_reopen:
            st[PREMATURE + me] += size
            st[HARM + me] += size * harm_of(b, y_reopen, y)
    else:
        st[LIQUIDATED_OPEN + me] += size


@compiled
def _harms(side, first, lo, hi, last, kept, y_reopen, y_first, y, weight):
    """What :func:`perpkit.refund.harm` finds for the accounts sold whole, of whom those that lose at ``y_first`` sell the share ``weight``
    and leave the rest with nothing."""
    total = _split_harm(side[BETA], side[ALL_Q], side[ALL_QB], first, lo, y_reopen, y_first, y, weight)
    total += kept * _split_harm(side[BETA], side[ALL_Q], side[ALL_QB], lo, hi, y_reopen, y_first, y, weight)
    return total + _split_harm(side[BETA], side[SMALL_Q], side[SMALL_QB], hi, last, y_reopen, y_first, y, weight)


@compiled
def _split_harm(beta, quantity, weighted, start, stop, y_reopen, y_first, y, weight):
    split, _, _ = above(beta, quantity, weighted, start, stop, y_first)
    lost = weight * harm(beta, quantity, weighted, start, split, y_reopen, y)
    lost += (1.0 - weight) * harm(beta, quantity, weighted, start, split, y_reopen, -math.inf)
    return lost + harm(beta, quantity, weighted, split, stop, y_reopen, y)


@compiled
def _within_cap(sizes, first, stop, st, cap):
    """End of the accounts of [first, stop) that may be liquidated in this batch; those that are count against its cap."""
    k = first
    while k < stop:
        if sizes[k] > 0.0:
            if st[BATCH_USED] >= cap:
                break
            st[BATCH_USED] += 1.0
        k += 1
    return k


@compiled
def _no_turn(st, cap):
    """Whether the batch is full; if not, one more has its turn."""
    if st[BATCH_USED] >= cap:
        return True
    st[BATCH_USED] += 1.0
    return False
