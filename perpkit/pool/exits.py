"""Exits: which accounts one print closes, at what price, and what each is paid.

Accounts wait in queues, one a reason: liquidation, stop, and the gain at which they are closed. A queue is sorted once by the level in its own
coordinate, highest first, so a print reads each queue from the front until it no longer reaches the next account. Every account is closed
whole and once, so a weekend visits nobody twice. (Auto-deleveraging takes a share of every winner instead; it leaves every order as it was.)
"""

from __future__ import annotations

import math

from perpkit._compile import compiled
from perpkit.ledger import credit
from perpkit.pool.impact import closing_cost
from perpkit.pool.ledger import (
    ADL_NEEDED,
    ADL_SIZE,
    ADL_Y,
    ALL_TOUCHED,
    CARRY,
    GAIN_CUT,
    GUARANTEED,
    HELD,
    HELD_COST,
    LIQUIDATED_CLOSED,
    LIQUIDATED_OPEN,
    VENUE_CASH,
    PREMATURE,
    PROFIT_CUT,
    SHORTFALL,
    STOPPED,
    TIMED,
    TOUCHED,
    WALLET,
    close_account,
    note,
    side_profit,
    winners_claims,
)

BETA, SIZE, ENTRY, KEY, STOP, CAP = range(6)
"""Rows of a side's table: beta and size as in ``margin.py``; entry price, USD; the y below which the account is liquidated while the reference
prints; levels of its stop and of its largest gain as ``s`` times a price."""
ROWS = 6
OPEN_QUEUE, CLOSED_QUEUE, STOP_QUEUE, GAIN_QUEUE, WORTH_QUEUE = range(5)
"""Liquidation while the reference prints and while it does not, stops, gains, and bankruptcy."""
QUEUES = 5
LIQUIDATION, STOPPED_OUT, GUARANTEE, TAKEN, DELEVERAGE, UNCOVERED = range(6)
KINDS = ("liquidation", "stop", "guaranteed stop", "max gain", "adl", "pool")


@compiled
def front(keys, who, held, places, queue: int, me: int) -> float:
    """Key of the first account of a queue that is still open; the queue's place moves up to it."""
    k = places[queue, me]
    while keys[queue, me, k] > -math.inf and held[me, who[queue, me, k]] <= 0.0:
        k += 1
    places[queue, me] = k
    return keys[queue, me, k]


@compiled
def trigger_price(sign: float, price: float, half_spread: float, rules) -> float:
    """Price that condemns an account of the side of ``sign``."""
    return price * math.exp(-sign * half_spread) if rules.trigger_fill > 0.0 else price


@compiled
def limits(keys, who, held, places, st, rules, queue: int, maintenance: float, half_spread: float):
    """Log prices beyond which the next account is closed, and log values beyond which the next is worth less than nothing."""
    low, high, v_low, v_high = 0.0, math.inf, 0.0, math.inf
    for me in range(2):
        sign = 1.0 - 2.0 * me
        shift = math.exp(-sign * half_spread) if rules.trigger_fill > 0.0 else 1.0
        worth = sign * (front(keys, who, held, places, WORTH_QUEUE, me) + st[CARRY + me])
        lose = sign * (front(keys, who, held, places, queue, me) + st[CARRY + me]) / ((1.0 - sign * maintenance) * shift)
        stop = sign * front(keys, who, held, places, STOP_QUEUE, me) / shift
        gain = -sign * front(keys, who, held, places, GAIN_QUEUE, me) / shift
        if rules.adl_above < math.inf and st[HELD + me] > 0.0:
            paid = (st[HELD_COST + me] + sign * rules.adl_above * rules.side_value) / st[HELD + me]
            gain = min(gain, paid) if me == 0 else max(gain, paid)
        if me == 0:
            low, v_low, high = max(lose, stop), worth, min(high, gain)
        else:
            low, high, v_high = max(low, gain), min(high, lose, stop), worth
    return (
        math.log(max(low, 1e-300) / rules.price),
        math.log(max(high, 1e-300) / rules.price),
        math.log(max(v_low, 1e-300) / rules.price),
        math.log(max(v_high, 1e-300) / rules.price),
    )


@compiled
def _touch(touched, st, me: int, j: int) -> None:
    touched[me, int(st[TOUCHED + me])] = j
    st[TOUCHED + me] += 1.0


@compiled
def _paid_share(st, rules, me: int, price: float) -> float:
    """Share of its profit that a winner of the side is paid at this price."""
    gained, limit = side_profit(st, me, price), rules.paid_up_to * rules.side_value
    return limit / gained if gained > limit else 1.0


@compiled
def _fees(rules, size: float, fill: float, equity: float, rate: float) -> tuple[float, float]:
    """Fee taken from ``equity`` and the protocol's part of it, USD."""
    fee = min(rate * size * fill, max(equity, 0.0))
    return fee, (1.0 - rules.fee_to_pool) * fee


@compiled
def exits(
    me, accounts, keys, who, held, places, touched, batch, st, rules, queue, price, maintenance, half_spread, reopen_value, hours, closed, events
):  # fmt: skip
    """Close what a print at ``price`` closes on side ``me`` (0 longs, 1 shorts); the shares liquidated.

    Stops come before liquidations, as their levels do; gains are taken at their own level; what is left is sold in one order and shares its
    fill. Mutates ``held``, ``places``, ``touched``, ``st`` and ``events``; ``batch`` is work space.
    """
    sign = 1.0 - 2.0 * me
    carry = st[CARRY + me]
    mine = accounts[me]
    trigger = trigger_price(sign, price, half_spread, rules)
    share_paid = _paid_share(st, rules, me, price)

    waiting, stops, sold = 0, 0, 0.0
    count, size = 0, 0.0
    while front(keys, who, held, places, STOP_QUEUE, me) > sign * trigger:
        j = who[STOP_QUEUE, me, places[STOP_QUEUE, me]]
        q, beta = held[me, j], mine[BETA, j]
        held[me, j] = 0.0
        _touch(touched, st, me, j)
        if rules.guaranteed > 0.0:
            y = mine[STOP, j] - carry
            equity = max(q * (y - beta), 0.0)
            fee, protocol = _fees(rules, q, sign * mine[STOP, j], equity, rules.fee_close)
            at_market = sign * price * math.exp(-sign * half_spread) - carry
            st[GUARANTEED] += equity - max(q * (at_market - beta), 0.0)
            close_account(st, me, q, beta, mine[ENTRY, j], equity - fee, protocol)
            st[STOPPED] += q
            count += 1
            size += q
        else:
            batch[waiting, 0], batch[waiting, 1] = j, q
            waiting += 1
            sold += q
    if count > 0:
        note(events, st, hours, GUARANTEE, sign, count, size, price, 0.0)
    stops = waiting

    count, size = 0, 0.0
    while front(keys, who, held, places, GAIN_QUEUE, me) > -sign * trigger:
        j = who[GAIN_QUEUE, me, places[GAIN_QUEUE, me]]
        q, beta, entry = held[me, j], mine[BETA, j], mine[ENTRY, j]
        held[me, j] = 0.0
        _touch(touched, st, me, j)
        lost = (1.0 - share_paid) * q * (mine[CAP, j] - sign * entry)
        equity = max(q * (mine[CAP, j] - carry - beta) - lost, 0.0)
        fee, protocol = _fees(rules, q, sign * mine[CAP, j], equity, rules.fee_close)
        close_account(st, me, q, beta, entry, equity - fee, protocol)
        st[PROFIT_CUT + me] += lost
        st[GAIN_CUT + me] += q * (sign * trigger - mine[CAP, j])
        count += 1
        size += q
    if count > 0:
        note(events, st, hours, TAKEN, sign, count, size, price, 0.0)

    level = sign * trigger - carry - maintenance * trigger
    while front(keys, who, held, places, queue, me) > level:
        j = who[queue, me, places[queue, me]]
        batch[waiting, 0], batch[waiting, 1] = j, held[me, j]
        waiting += 1
        sold += held[me, j]
        held[me, j] = 0.0
        _touch(touched, st, me, j)
    if waiting == 0:
        return 0.0

    cost = closing_cost(
        rules.impact, rules.impact_scale, rules.worsen, rules.improve, rules.power_worsen, rules.power_improve, rules.most_paid, rules.most_got,
        st[HELD] * price, st[HELD + 1] * price, sign, sold * price,
    )  # fmt: skip
    fill = max(price * (math.exp(-sign * half_spread) - sign * cost), 0.0)
    y, y_reopen = sign * fill - carry, sign * reopen_value - carry
    y_friday = sign * trigger - rules.maintenance_open * trigger  # under Friday's margin and without the weekend's carry
    gone, beyond = 0.0, 0.0
    for k in range(waiting):
        j, q = int(batch[k, 0]), batch[k, 1]
        beta = mine[BETA, j]
        equity = q * (y - beta)
        liquidated = k >= stops
        rate = rules.fee_close + (rules.fee_liquidation if liquidated else 0.0)
        fee, protocol = _fees(rules, q, fill, equity, rate)
        paid = 0.0 if (liquidated and rules.forfeits > 0.0) else max(equity, 0.0) - fee
        beyond += max(-equity, 0.0)
        close_account(st, me, q, beta, mine[ENTRY, j], paid, protocol)
        if not liquidated:
            st[STOPPED] += q
            continue
        gone += q
        if mine[KEY, j] <= y_friday:
            st[TIMED] += q
        if closed and beta < y_reopen:
            st[PREMATURE + me] += q
            refund = rules.refund * max(q * (y_reopen - beta) - paid, 0.0)
            credit(st, VENUE_CASH, -refund)
            credit(st, WALLET + me, refund)
    st[(LIQUIDATED_CLOSED if closed else LIQUIDATED_OPEN) + me] += gone
    st[SHORTFALL + me] += beyond
    if stops > 0:
        note(events, st, hours, STOPPED_OUT, sign, stops, sold - gone, fill, beyond if stops == waiting else 0.0)
    if waiting > stops:
        note(events, st, hours, LIQUIDATION, sign, waiting - stops, gone, fill, beyond)
    return gone


@compiled
def deleverage(me, accounts, held, st, rules, price, hours, events) -> None:
    """Close winners of a side pro rata at ``price`` once the side's profit is above ``adl_above`` of the pool's part behind it."""
    gained = side_profit(st, me, price)
    if gained <= rules.adl_above * rules.side_value:
        return
    sign = 1.0 - 2.0 * me
    carry = st[CARRY + me]
    profit, _ = winners_claims(accounts, held, st, me, price)
    excess = gained - rules.adl_to * rules.side_value
    part = min(excess / profit, 1.0)
    share_paid = _paid_share(st, rules, me, price)
    y = sign * price - carry
    count, size = 0, 0.0
    for j in range(accounts.shape[2]):
        gain = sign * (price - accounts[me, ENTRY, j])
        q = part * held[me, j]
        if gain <= 0.0 or q <= 0.0:
            continue
        beta = accounts[me, BETA, j]
        lost = (1.0 - share_paid) * q * gain
        paid = max(q * (y - beta) - lost, 0.0)
        held[me, j] -= q
        close_account(st, me, q, beta, accounts[me, ENTRY, j], paid, 0.0)
        st[PROFIT_CUT + me] += lost
        st[ADL_SIZE + me] += q
        st[ADL_Y + me] += q * y
        count += 1
        size += q
    st[ADL_NEEDED] += excess
    st[ALL_TOUCHED + me] = 1.0
    note(events, st, hours, DELEVERAGE, sign, count, size, price, 0.0)


@compiled
def wind_up(me, accounts, keys, who, held, places, touched, st, price, hours, events) -> None:
    """At the end of the window, close the accounts of a side that are worth less than nothing at ``price``: the pool takes the loss."""
    sign = 1.0 - 2.0 * me
    y = sign * price - st[CARRY + me]
    count, size, beyond = 0, 0.0, 0.0
    while front(keys, who, held, places, WORTH_QUEUE, me) > y:
        j = who[WORTH_QUEUE, me, places[WORTH_QUEUE, me]]
        q, beta = held[me, j], accounts[me, BETA, j]
        held[me, j] = 0.0
        _touch(touched, st, me, j)
        beyond += q * (beta - y)
        close_account(st, me, q, beta, accounts[me, ENTRY, j], 0.0, 0.0)
        count += 1
        size += q
    if count > 0:
        st[LIQUIDATED_OPEN + me] += size
        st[SHORTFALL + me] += beyond
        note(events, st, hours, UNCOVERED, sign, count, size, price, beyond)


@compiled
def hidden(accounts, keys, who, held, places, prefix, st, worth: float) -> tuple[float, float]:
    """Equity below zero (USD), at ``worth`` a share, of the accounts still open, and their size (shares)."""
    loss, size = 0.0, 0.0
    for me in range(2):
        y = (1.0 - 2.0 * me) * worth - st[CARRY + me]
        k = places[WORTH_QUEUE, me]
        if st[TOUCHED + me] == 0.0 and st[ALL_TOUCHED + me] == 0.0:  # everybody is there: sums of the first so many
            low, high = 0, keys.shape[2] - 1
            while low < high:
                middle = (low + high) // 2
                if keys[WORTH_QUEUE, me, middle] > y:
                    low = middle + 1
                else:
                    high = middle
            size += prefix[me, 0, low]
            loss += prefix[me, 1, low] - y * prefix[me, 0, low]
            continue
        while keys[WORTH_QUEUE, me, k] > y:
            j = who[WORTH_QUEUE, me, k]
            loss += held[me, j] * (accounts[me, BETA, j] - y)
            size += held[me, j]
            k += 1
    return loss, size
