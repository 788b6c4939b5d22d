"""Limited: forced orders with a limit, one account after another, and what happens to the rest.

Where a venue sends an immediate-or-cancel order no worse than a limit, the book may take only a part. The remainder stays open: a fund takes
it over if its own margin allows, winners take it where zero prices cross, or it waits for the next update. Accounts are treated one by one,
those condemned earlier first and within one update the nearest to bankruptcy first; each order meets the book the last one left. Written
in the coordinate ``y = s (price - F)`` of ``margin.py``; an account's zero price is its beta.
"""

from __future__ import annotations

import math

import numpy as np

from perpkit._compile import compiled
from perpkit.book import push
from perpkit.deleverage import copy_table, cross, ranking
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
    IMPACT,
    MAKER_CASH,
    MAKER_SIZE,
    PENDING,
    SHORTFALL,
    SOCIALISED,
    TRADER_CASH,
    credit,
    log_event,
)
from perpkit.liquidation import DELEVERAGE, INSURANCE, LIQUIDATION, SOCIAL, TAKEOVER, count_one, take_over
from perpkit.margin import BETA, SIZE, first_not_above, maintenance_level, prefix_sums
from perpkit.waterfall import NO_ADL, ZERO_PRICE

LEAST = 1e-9
"""Share of a position below which a fill is none, and a remainder is nothing."""


@compiled
def fillable(size: float, price: float, worst: float, sign: float, depth: float, half_spread: float, room: float) -> float:
    """Shares of an order of ``size`` that fill before the marginal price passes ``worst``, USD; selling for ``sign`` +1."""
    if sign > 0.0 and worst <= 0.0:
        return size
    far = sign * math.log(price / worst) - half_spread if worst > 0.0 else -1.0  # a short never buys at nothing
    if far < 0.0:
        return 0.0
    if far >= room or depth == math.inf:
        return size  # from the limit of the push on, any size is taken at one price
    part = min(size, far * depth / price)
    if part >= (1.0 - LEAST) * size:
        return size
    return part if part > LEAST * size else 0.0


@compiled
def fund_can(st, rules, sign: float, size: float, beta: float, mark: float, funding: float) -> bool:
    """Whether the fund still has its own margin after taking ``size`` shares with their bankruptcy price."""
    if size > rules.backstop_shares - st[BACKSTOP_USED]:
        return False
    held = st[BACKSTOP_SIZE] + sign * size
    cash = st[BACKSTOP_CASH] - (sign * funding * size + size * beta)
    return rules.backstop_equity + cash + held * mark >= rules.backstop_margin * abs(held) * mark


@compiled
def _breach(st, hours: float) -> None:
    """A loss that the fund does not cover; the first one sets the time."""
    if st[BREACHED] == 0.0:
        st[BREACHED] = 1.0
        st[EXHAUSTED_AT] = hours


@compiled
def settle_fund(st, rules, worth: float) -> None:
    """At the end of the window a fund below zero is made whole by everybody: it owes no more than it owns."""
    owes = -(rules.backstop_equity + st[BACKSTOP_CASH] + st[BACKSTOP_SIZE] * worth)
    if owes > 0.0:
        credit(st, BACKSTOP_CASH, owes)
        credit(st, SOCIALISED, -owes)


@compiled
def liquidate_one_by_one(
    me, sides, works, pending, st, rules, price, mark, funding, maintenance, depth, half_spread, reopen_value, hours, closed, final, events
):  # fmt: skip
    """Treat the accounts of side ``me`` that ``mark`` condemns, and those whose remainder waits; the traded price afterwards.

    Arguments as :func:`perpkit.liquidation.liquidate`. In the ``final`` pass nothing waits: after fund and winners the rest goes to the book at
    any price.
    """
    sign = 1.0 - 2.0 * me
    them = 1 - me
    trigger = maintenance_level(sign, mark, funding, maintenance)
    y_mark, y_reopen = sign * (mark - funding), sign * (reopen_value - funding)
    vault_level = y_mark - rules.backstop_threshold * maintenance * mark
    cap = math.inf if final else rules.batch_cap
    rows, waiting = pending[me], int(st[PENDING + me])
    n = _admit(works[me] if st[DIRTY + me] > 0.0 else sides[me], rows, st, me, trigger, cap)
    edge = -math.inf  # worst price of an order, in the common coordinate
    if closed and rules.order_band < math.inf:
        edge = sign * (rules.price * (1.0 - sign * rules.order_band) - funding)
    winners = np.zeros(0, np.int64)
    ranked = False
    sold, sold_usd, sales, taken, takes, handed, handed_usd, handed_loss = 0.0, 0.0, 0, 0.0, 0, 0.0, 0.0, 0.0
    fund, everybody = st[FUND], st[SOCIALISED]
    kept = 0
    for p in range(n):
        size, b = rows[p, 0], rows[p, 1]
        turn = b > trigger and (p >= waiting or st[BATCH_USED] < cap)
        if turn and p < waiting:
            st[BATCH_USED] += 1.0
        y_loss, refused = y_mark, False
        if turn and not final:
            worst = max(edge, b) if rules.orders == ZERO_PRICE else edge
            part = fillable(size, price, sign * worst + funding, sign, depth, half_spread, rules.push_limit + sign * (st[IMPACT] + st[ANCHOR]))
            if part > 0.0:
                y = sign * (_fill(st, rules, part, price, sign, depth, half_spread)[1] - funding)
                refused = part >= size and rules.adl != NO_ADL and size * (b - y) > max(st[FUND], 0.0) + rules.dust
                if refused:
                    y_loss = y
                else:
                    price, fill, b = _sell(me, st, rules, size, b, part, price, sign, funding, depth, half_spread, y_reopen, hours, closed)
                    size = size - part if part < size else 0.0
                    sold, sold_usd, sales = sold + part, sold_usd + part * fill, sales + 1
        if turn and size > 0.0 and b > vault_level and fund_can(st, rules, sign, size, b, mark, funding):
            take_over(st, sign, funding, size, size * b)
            count_one(st, me, closed, size, b, y_reopen, -math.inf)
            st[SHORTFALL + me] += size * max(b - y_mark, 0.0)
            taken, takes, size = taken + size, takes + 1, 0.0
        if turn and size > 0.0 and (refused or b > y_mark) and not (final and size * (b - y_mark) <= max(st[FUND], 0.0) + rules.dust):
            _breach(st, hours)
            if rules.adl != NO_ADL:
                if not ranked:
                    if st[DIRTY + them] == 0.0:
                        copy_table(sides[them], works[them])
                        st[DIRTY + them] = 1.0
                    winners, ranked = ranking(works[them], int(st[FIRST_ALIVE + them]), -sign, mark, funding, rules.adl), True
                got, got_beta = cross(works[them], winners, -b, rules.adl, size)
                if got > 0.0:
                    credit(st, TRADER_CASH + them, -b * got - got_beta)
                    st[ADL_SIZE + them] += got
                    st[ADL_Y + them] -= b * got
                    st[ADL_NEEDED] += got * (b - y_loss)
                    st[SHORTFALL + me] += got * (b - y_loss)
                    count_one(st, me, closed, got, b, y_reopen, -math.inf)
                    handed, handed_usd, handed_loss = handed + got, handed_usd + got * (sign * b + funding), handed_loss + got * (b - y_loss)
                    size = size - got if got < (1.0 - LEAST) * size else 0.0
        if turn and size > 0.0 and final:
            price, fill, b = _sell(me, st, rules, size, b, size, price, sign, funding, depth, half_spread, y_reopen, hours, closed)
            sold, sold_usd, sales, size = sold + size, sold_usd + size * fill, sales + 1, 0.0
        if size > 0.0:
            rows[kept, 0], rows[kept, 1] = size, b
            kept += 1
    st[PENDING + me] = kept
    if handed > 0.0:
        prefix_sums(works[them])
        log_event(events, st, hours, DELEVERAGE, sign, 0, handed, handed_usd / handed, handed_loss)
    if taken > 0.0:
        log_event(events, st, hours, TAKEOVER, sign, takes, taken, mark, 0.0)
    paid, beyond = fund - st[FUND], everybody - st[SOCIALISED]
    if sold > 0.0:
        log_event(events, st, hours, LIQUIDATION, sign, sales, sold, sold_usd / sold, paid + beyond)
    if paid > 0.0:
        log_event(events, st, hours, INSURANCE, sign, 0, 0.0, price, paid)
    if beyond > rules.dust:
        log_event(events, st, hours, SOCIAL, sign, 0, 0.0, price, beyond)
    return price


@compiled
def _admit(side, rows, st, me, trigger, cap) -> int:
    """Put the newly condemned of a side behind those that wait, as far as the batch has room; the number of rows."""
    n, j = int(st[PENDING + me]), int(st[FIRST_ALIVE + me])
    last = first_not_above(side[BETA], j, trigger)
    while j < last:
        if side[SIZE, j] > 0.0:
            if st[BATCH_USED] >= cap:
                break
            st[BATCH_USED] += 1.0
            rows[n, 0], rows[n, 1] = side[SIZE, j], side[BETA, j]
            n += 1
        j += 1
    st[FIRST_ALIVE + me] = j
    return n


@compiled
def _fill(st, rules, part, price, sign, depth, half_spread):
    """Log move of an order and its average fill, USD."""
    move, average = push(part * price, depth, rules.push_limit + sign * (st[IMPACT] + st[ANCHOR]))
    return move, price * math.exp(-sign * (half_spread + average))


@compiled
def _sell(me, st, rules, size, b, part, price, sign, funding, depth, half_spread, y_reopen, hours, closed):
    """Sell ``part`` of an account of ``size`` shares; the traded price afterwards, the fill, and the beta of what is left of it.

    A whole sale is settled: the owner keeps what is left after the fee, the insurance fund and then everybody pay what is missing.
    """
    move, fill = _fill(st, rules, part, price, sign, depth, half_spread)
    y = sign * (fill - funding)
    cost = min(rules.fee * fill * part, max(size * (y - b), 0.0))
    count_one(st, me, closed, part, b, y_reopen, y)
    if part >= size:
        loss = max(size * (b - y), 0.0)
        paid = min(max(st[FUND], 0.0), loss)
        if loss > paid + rules.dust:
            _breach(st, hours)
        credit(st, FUND, -paid)
        credit(st, SOCIALISED, -(loss - paid))
        credit(st, TRADER_CASH + me, max(size * (y - b), 0.0) - cost)
        st[SHORTFALL + me] += loss
    else:
        b = (size * b - part * y + cost) / (size - part)
    credit(st, BACKSTOP_CASH, cost)
    credit(st, MAKER_CASH, -sign * part * fill)
    st[MAKER_SIZE] += sign * part
    st[IMPACT] -= sign * (1.0 - rules.permanent) * move
    st[ANCHOR] -= sign * rules.permanent * move
    return price * math.exp(-sign * move), fill, b
