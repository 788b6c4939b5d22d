"""Kernel: weekends one after another through one pool, compiled.

The oracle's path is known before anybody acts, since nobody can move it; what a print does is told by two prices, beyond which the next
account leaves. So the loop walks along the path and stops where something happens. Steps, hot minutes and hours are those of the book's
kernel, so that both architectures look at the same weekend at the same moments.
"""

from __future__ import annotations

import math

import numpy as np

from perpkit._compile import compiled
from perpkit.kernel import OUTCOMES as BOOK_OUTCOMES
from perpkit.pool.carry import hourly_carry
from perpkit.pool.exits import CLOSED_QUEUE, OPEN_QUEUE, QUEUES, deleverage, exits, hidden, limits, wind_up
from perpkit.pool.informed import come, trade
from perpkit.pool.ledger import (
    ADL_NEEDED,
    ADL_SIZE,
    ALL_TOUCHED,
    BREACHED,
    CARRY,
    EVENTS,
    EVERY_POCKET,
    EXHAUSTED_AT,
    GUARANTEED,
    HELD,
    HELD_BETA,
    INFORMED_SIZE,
    LIQUIDATED_CLOSED,
    LIQUIDATED_OPEN,
    PREMATURE,
    RATE,
    SHORTFALL,
    STATE,
    STEPS,
    STOPPED,
    TIMED,
    TOUCHED,
    charge_carry,
    divide,
    imbalance,
    open_pool,
    pool_result,
    settle_up,
    trade_hedge,
    worse,
)
from perpkit.pool.parts import NO_PRICE

WRITTEN = (
    *EVERY_POCKET,
    "shortfall",
    "shortfall_long",
    "shortfall_short",
    "exhausted",
    "exhausted_hours",
    "adl_needed",
    "adl_size",
    "premature",
    "liquidated_closed",
    "liquidated_open",
    "phantom",
    "phantom_size",
    "phantom_hours",
    "dislocation",
    "generations",
    "cascade",
    "funding_closed",
    "imbalance",
    "guaranteed",
    "stopped",
    "timed",
    "hedge_due",
)
"""What a weekend is measured by, in the order in which the kernel writes it. The last four only a pool has: what guaranteed fills paid over the
market's; what stops closed; what was liquidated that Friday's margin would have spared at the same price without the closure's carry; the
hedge's result, still to be settled."""
OUTCOMES = (*BOOK_OUTCOMES, *(name for name in WRITTEN if name not in BOOK_OUTCOMES))


@compiled
def _walk(k: int, stop: int, oracle, value, low: float, high: float, v_low: float, v_high: float, deepest: float) -> tuple[int, float]:
    """First step from ``k`` whose oracle leaves (``low``, ``high``) or whose value leaves (``v_low``, ``v_high``), or the last before
    ``stop``; the deepest distance of the two on the way. Log prices."""
    while True:
        o, v = oracle[k], value[k]
        deepest = max(deepest, abs(o - v))
        if o < low or o > high or v < v_low or v > v_high or k + 1 == stop:
            return k, deepest
        k += 1


@compiled
def _watch_tranche(st, rules, price: float, hours: float) -> None:
    """Note when the tranche that loses first (the whole pool, without one) could no longer cover its part of the pool's loss."""
    if st[BREACHED] == 0.0 and pool_result(st, price) < -rules.first_loss - rules.dust:
        st[BREACHED], st[EXHAUSTED_AT] = 1.0, hours


@compiled
def _restore(accounts, held, touched, st) -> None:
    """Give every account its size back; only those that changed are visited."""
    for me in range(2):
        if st[ALL_TOUCHED + me] > 0.0:
            for j in range(accounts.shape[2]):
                held[me, j] = accounts[me, 1, j]
        for k in range(int(st[TOUCHED + me])):
            j = touched[me, k]
            held[me, j] = accounts[me, 1, j]


@compiled
def _recount(accounts, held, touched, whole, st) -> float:
    """Distance of the running sums of what is held from the accounts themselves, shares and USD. Only accounts that changed are visited."""
    error = 0.0
    for me in range(2):
        size, weighted = whole[me, 0], whole[me, 1]
        if st[ALL_TOUCHED + me] > 0.0:
            size = weighted = 0.0
            for j in range(accounts.shape[2]):
                size += held[me, j]
                weighted += held[me, j] * accounts[me, 0, j] if held[me, j] > 0.0 else 0.0
        else:
            for k in range(int(st[TOUCHED + me])):
                j = touched[me, k]
                gone = accounts[me, 1, j] - held[me, j]
                size -= gone
                weighted -= gone * accounts[me, 0, j]
        error += abs(size - st[HELD + me]) + abs(weighted - st[HELD_BETA + me])
    return error


@compiled
def _liquidated(st) -> float:
    """Shares liquidated so far, both sides."""
    return st[LIQUIDATED_CLOSED] + st[LIQUIDATED_CLOSED + 1] + st[LIQUIDATED_OPEN] + st[LIQUIDATED_OPEN + 1]


@compiled
def run_pool(
    rules, updates, updates_an_hour, step_h, update_h, accounts, keys, who, prefix, whole, gains, held, touched, batch,
    gaps, values, oracles, n_closed, columns, out, trace, events,
):  # fmt: skip
    """Run ``len(gaps)`` weekends and write one row of outcomes each to ``out``, per unit of open interest.

    ``values`` and ``oracles`` hold log value and log oracle at the end of each step, shape (weekends, steps); the oracle of a feed without a
    price is not looked at. ``columns`` has the column of ``out`` of each name of ``WRITTEN``; the others are set to 0. ``trace`` (steps,
    len(TRACE)), which has no price where there is none, and ``events`` record the last weekend, and nothing when they have no rows. Money
    that appears or vanishes is reported in ``imbalance``; the caller raises.
    """
    n_steps = values.shape[1]
    st = np.zeros(STATE)
    money = np.zeros(len(EVERY_POCKET))
    places = np.zeros((QUEUES, 2), np.int64)
    price = rules.price
    a_unit, to_interest = 1.0 / rules.open_interest, price / rules.open_interest
    priced = rules.feed != NO_PRICE
    hedge_lag = int(rules.hedge_steps)
    first_open = n_closed + int(rules.delay_steps)
    tracing = len(trace) > 0
    for w in range(len(gaps)):
        out[w] = 0.0
        open_pool(st, whole, price, rules.hedge, rules.start_rate)
        places[:] = 0
        value, oracle = values[w], oracles[w]
        reopen_value = price * math.exp(gaps[w])
        v = o = 0.0
        hot = False
        tick, last_tick, run_length, run_size, run_first = 0, -2, 0, 0.0, 0.0
        best_length, best_size, best_first = 0, 0.0, 0.0
        phantom, phantom_size, phantom_hours, deepest, carried, error = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        hedge_at = n_steps  # open step in which the hedge is due to trade
        low = high = v_low = v_high = 0.0
        stale = True  # the limits have to be read again
        s = 0
        while s < n_steps:
            closed = s < n_closed
            acting = priced if closed else s >= first_open
            queue = CLOSED_QUEUE if closed else OPEN_QUEUE
            maintenance = rules.maintenance_closed if closed else rules.maintenance_open
            half_spread = rules.half_spread_closed if closed else rules.half_spread_open
            elapsed = s * updates if closed else n_closed * updates + s - n_closed
            to_hour = updates_an_hour - elapsed % updates_an_hour
            if s == 0 or s == n_closed or s == first_open:
                stale = True
            if stale:
                low, high, v_low, v_high = limits(keys, who, held, places, st, rules, queue, maintenance, half_spread)
                if not acting:
                    low, high = -math.inf, math.inf
                stale = False

            # How far it may walk before something is due by the clock.
            if closed:
                stop = s + min(to_hour // updates, n_closed - s)
            else:
                stop = min(s + to_hour, n_steps)
                if s < first_open < stop:
                    stop = first_open
                if s <= hedge_at < stop:
                    stop = hedge_at + 1
            parts = updates if closed and hot else 1
            if tracing or parts > 1:
                stop = s + 1
            hot = False
            for part in range(1, parts + 1):
                if parts == 1:
                    k, far = _walk(s, stop, oracle, value, low, high, v_low, v_high, deepest)
                    if acting:
                        deepest = far
                    tick += k - s + 1
                    s, o_now, v_now = k, oracle[k], value[k]
                    hours = (s + 1) * step_h if closed else n_closed * step_h + (s + 1 - n_closed) * update_h
                else:
                    tick += 1
                    share = part / parts
                    o_now = oracle[s] if part == parts else o + (oracle[s] - o) * share
                    v_now = value[s] if part == parts else v + (value[s] - v) * share
                    deepest = max(deepest, abs(o_now - v_now))
                    hours = s * step_h + part * update_h
                if o_now < low or o_now > high:
                    print_price = price * math.exp(o_now)
                    st[STEPS] = run_length if tick == last_tick + 1 else 0.0
                    events_before = st[EVENTS]
                    gone = 0.0
                    first = 0 if st[HELD] >= st[HELD + 1] else 1
                    for turn in range(2):
                        me = first if turn == 0 else 1 - first
                        gone += exits(
                            me, accounts, keys, who, held, places, touched, batch, st, rules, queue, print_price, maintenance, half_spread,
                            reopen_value, hours, closed, events,
                        )  # fmt: skip
                    if gone > 0.0:
                        hot = True
                        run_length, run_size = (run_length + 1, run_size + gone) if tick == last_tick + 1 else (1, gone)
                        if run_length == 1:
                            run_first = gone
                        last_tick = tick
                        best_length = max(best_length, run_length)
                        if run_size > best_size * (1.0 + 1e-9):
                            best_size, best_first = run_size, run_first
                    if st[EVENTS] > events_before:
                        error = worse(error, imbalance(st, price))
                        if hedge_at >= n_steps:
                            hedge_at = max(s, n_closed) + hedge_lag
                        _watch_tranche(st, rules, print_price, hours)
                    low, high, v_low, v_high = limits(keys, who, held, places, st, rules, queue, maintenance, half_spread)
            o, v = oracle[s], value[s]
            here = price * math.exp(o) if acting or not closed else price
            if acting and rules.adl_above < math.inf:
                events_before = st[EVENTS]
                for me in range(2):
                    deleverage(me, accounts, held, st, rules, here, hours, events)
                if st[EVENTS] > events_before:
                    error = worse(error, imbalance(st, price))
                    stale = True
                    if hedge_at >= n_steps:
                        hedge_at = max(s, n_closed) + hedge_lag
            if v < v_low or v > v_high:
                loss, size = hidden(accounts, keys, who, held, places, prefix, st, price * math.exp(v))
                if loss > rules.dust:
                    phantom, phantom_size = max(phantom, loss), max(phantom_size, size)
                    phantom_hours += step_h if closed else update_h

            # What comes for a stale price, and the hedge.
            if rules.informed > 0.0:
                if s == n_closed - 1:
                    come(st, rules, here, price * math.exp(v))
                elif s == first_open:
                    sign = 1.0 if st[INFORMED_SIZE] > 0.0 else -1.0
                    trade(st, rules, -st[INFORMED_SIZE], here * math.exp(-sign * rules.half_spread_open), rules.fee_close)
                if s == n_closed - 1 or s == first_open:
                    error = worse(error, imbalance(st, price))
            if not closed and s >= hedge_at:
                trade_hedge(st, rules.hedge * (st[HELD] - st[HELD + 1]), price * math.exp(v))
                error = worse(error, imbalance(st, price))
                hedge_at = n_steps
            s += 1

            # On the hour.
            elapsed = s * updates if s <= n_closed else n_closed * updates + s - n_closed
            rate = 0.0
            if elapsed % updates_an_hour == 0:
                longs, shorts = st[HELD] * here, st[HELD + 1] * here
                rate, short_rate, protocol, st[RATE] = hourly_carry(rules, st[RATE], longs, shorts, closed)
                if rate != 0.0 or short_rate != 0.0:
                    charge_carry(st, rate * here, short_rate * here, protocol)
                    if closed:
                        carried += max(abs(rate), abs(short_rate)) * here
                    error = worse(error, imbalance(st, price))
                    stale = True
                if acting:
                    _watch_tranche(st, rules, here, elapsed * update_h)
            if tracing and w == len(gaps) - 1:
                row = trace[s - 1]
                shown = here if acting else math.nan
                row[0], row[1], row[2], row[3], row[4] = price * math.exp(v), shown, shown, shown, rate
                row[5], row[6] = shown * math.exp(-half_spread), shown * math.exp(half_spread)
                lost = divide(min(pool_result(st, here), 0.0), rules.junior, rules.pool_value - rules.junior, rules.split)
                left = rules.junior + lost[0] if rules.junior > 0.0 else max(rules.pool_value + lost[1], 0.0)
                row[7], row[8] = _liquidated(st) * to_interest, left
                loss, size = hidden(accounts, keys, who, held, places, prefix, st, price * math.exp(v))
                row[9], row[10], row[11], row[12] = loss * a_unit, size * to_interest, st[CARRY], imbalance(st, price)

        # Whoever is still open without equity at the value is closed now: bad debt must not outlive the window.
        worth = price * math.exp(v)
        hours = n_closed * step_h + (n_steps - n_closed) * update_h
        for me in range(2):
            wind_up(me, accounts, keys, who, held, places, touched, st, worth, hours, events)
        _watch_tranche(st, rules, worth, hours)
        error = worse(worse(error, imbalance(st, price)), _recount(accounts, held, touched, whole, st) * (1.0 + price))
        due = settle_up(accounts, held, whole, gains, st, rules, price, worth, money)
        error = worse(error, abs(money.sum()))
        found = (
            (st[SHORTFALL] + st[SHORTFALL + 1]) * a_unit, st[SHORTFALL] * a_unit, st[SHORTFALL + 1] * a_unit, st[BREACHED], st[EXHAUSTED_AT],
            st[ADL_NEEDED] * a_unit, (st[ADL_SIZE] + st[ADL_SIZE + 1]) * to_interest, (st[PREMATURE] + st[PREMATURE + 1]) * to_interest,
            (st[LIQUIDATED_CLOSED] + st[LIQUIDATED_CLOSED + 1]) * to_interest, (st[LIQUIDATED_OPEN] + st[LIQUIDATED_OPEN + 1]) * to_interest,
            phantom * a_unit, phantom_size * to_interest, phantom_hours, deepest, float(best_length),
            best_size / best_first if best_first > 0.0 else 0.0, carried / price, error * a_unit,
            st[GUARANTEED] * a_unit, st[STOPPED] * to_interest, st[TIMED] * to_interest, due * a_unit,
        )  # fmt: skip
        for p in range(len(money)):
            out[w, columns[p]] = money[p] * a_unit
        for p in range(len(found)):
            out[w, columns[len(money) + p]] = found[p]
        _restore(accounts, held, touched, st)
    return int(st[EVENTS])
