"""Kernel: weekends one after another through one machine, compiled.

A weekend is cut into segments: closed minutes up to the next hour, the updates of a hot minute (one that follows forced orders), or updates
after reopening. The traded price of a segment is known in advance as long as nobody is forced to trade; ``loop.advance`` runs along it and
returns when somebody is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from perpkit._compile import borrowed, compiled
from perpkit.arbitrage import quote
from perpkit.batch import batch_ends
from perpkit.funding import hourly_rate
from perpkit.ledger import (
    ADL_NEEDED,
    ADL_SIZE,
    ANCHOR,
    ATTACKER_CASH,
    ATTACKER_SIZE,
    BATCH_USED,
    BREACHED,
    DIRTY,
    EVENTS,
    EXHAUSTED_AT,
    FIRST_ALIVE,
    FUND,
    GENERATION,
    IMPACT,
    LIQUIDATED_CLOSED,
    LIQUIDATED_OPEN,
    PENDING,
    POCKETS,
    PREMATURE,
    SHORTFALL,
    STATE,
    imbalance,
    log_event,
    open_books,
    pay_funding,
    pockets,
)
from perpkit.limited import liquidate_one_by_one, settle_fund
from perpkit.liquidation import REANCHOR, liquidate
from perpkit.loop import (
    AVERAGE,
    CLOSED,
    DEPTH,
    HALF_SPREAD,
    HOT,
    HOURS,
    IMPACT_ASK,
    IMPACT_BID,
    INNER,
    INTERNAL,
    KEEP_ANCHOR,
    KEEP_IMPACT,
    NOISE,
    OPEN,
    RATE,
    REFUSED,
    advance,
)
from perpkit.margin import ALL_Q, ALL_QB, BETA, first_not_above
from perpkit.mark import CUSTOM
from perpkit.oracle import NONE, PROXY
from perpkit.orders import CLOSE, TRADE, send
from perpkit.refund import pay_refunds
from perpkit.waterfall import MARKET

OUTCOMES = (
    *POCKETS,
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
)
"""What a weekend is measured by, in the order in which the kernel writes it: ``outcomes.MEANING`` has a line on each."""
TRACE = (
    *("V", "P", "O", "M", "f", "impact_bid", "impact_ask", "liquidated", "fund", "phantom", "phantom_size", "funding_paid", "imbalance"),
    *("attacker_size", "attacker_cash"),
)
ROOM = 7
"""Rows of work space: log price, price, value, undisturbed log price and price, proxy and print at each update of a segment."""
NEGLIGIBLE = 1e-15
"""Log price below which the remains of an order are forgotten."""


class Rules(NamedTuple):
    """Scalars of one machine, fund and vault already in USD and shares. Codes are floats so that the tuple has one type."""

    price: float
    open_interest: float
    maintenance: float
    partial_threshold: float
    partial_share: float
    cooldown_h: float
    fee: float
    backstop_threshold: float
    backstop_shares: float
    fund: float
    adl: float
    permanent: float
    push_limit: float
    oracle: float
    mark: float
    band_width: float
    band_trigger: float
    band_resets: float
    premium: float
    interest_8h: float
    clamp_8h: float
    multiplier: float
    cap_per_hour: float
    funding_when_closed: float
    wall: float
    weight_tau: float
    band_follows: float
    averaged: float
    orders: float
    order_band: float
    backstop_equity: float
    backstop_margin: float
    refund: float
    batch_h: float
    batch_cap: float
    halt_from: float
    halt_to: float
    carried: float
    dust: float


@compiled
def _limits(sides, pending, st, funding: float, maintenance: float, price: float):
    """Marks beyond which the next long and the next short are condemned, and log values beyond which they are worth less than nothing.

    Accounts sold in part are watched with the rest.
    """
    long, short = sides[0, BETA, int(st[FIRST_ALIVE])], sides[1, BETA, int(st[FIRST_ALIVE + 1])]
    for p in range(int(st[PENDING])):
        long = max(long, pending[0, p, 1])
    for p in range(int(st[PENDING + 1])):
        short = max(short, pending[1, p, 1])
    low = math.log(max(long + funding, 1e-300) / price)
    high = math.log(max(funding - short, 1e-300) / price)
    return (long + funding) / (1.0 - maintenance), (funding - short) / (1.0 + maintenance), low, high


@compiled
def _hidden(sides, works, pending, st, worth: float) -> tuple[float, float]:
    """Equity below zero (USD), at ``worth`` a share after funding, of the accounts nobody has liquidated yet, and their size (shares)."""
    loss, size = 0.0, 0.0
    for me in range(2):
        side = works[me] if st[DIRTY + me] > 0.0 else sides[me]
        y = (1.0 - 2.0 * me) * worth
        first = int(st[FIRST_ALIVE + me])
        end = first_not_above(side[BETA], first, y)
        held = side[ALL_Q, end] - side[ALL_Q, first]
        loss += side[ALL_QB, end] - side[ALL_QB, first] - y * held
        size += held
        for p in range(int(st[PENDING + me])):
            if pending[me, p, 1] > y:
                loss += pending[me, p, 0] * (pending[me, p, 1] - y)
                size += pending[me, p, 0]
    return loss, size


@compiled
def _liquidated(st) -> float:
    """Shares liquidated so far, both sides."""
    return st[LIQUIDATED_CLOSED] + st[LIQUIDATED_CLOSED + 1] + st[LIQUIDATED_OPEN] + st[LIQUIDATED_OPEN + 1]


@compiled
def _worst(error: float, found: float) -> float:
    """The larger of the two; a NaN found is kept, where ``max`` would drop it."""
    return error if found <= error else found


@compiled
def _fade(left: float, keep: float) -> float:
    """What is left of a past order's effect after one more update; forgotten once negligible, so that a weekend can become quiet again."""
    left *= keep
    return left if abs(left) > NEGLIGIBLE else 0.0


@compiled
def _disturbed(logs, prices, free, free_prices, start, stop, keep_anchor, keep_impact, impact, shift) -> None:
    """Log prices and prices of entries ``start`` to ``stop - 1``: the undisturbed ones moved by what is left of past orders."""
    for k in range(start, stop):
        impact, shift = _fade(impact, keep_impact), _fade(shift, keep_anchor)
        moved = impact + shift
        logs[k] = free[k] + moved
        prices[k] = free_prices[k] * math.exp(moved) if moved != 0.0 else free_prices[k]


@compiled
def run_block(
    custom, params, memory, room, rules, paces, updates, updates_an_hour, sides, works, large, pending, single,
    gaps, values, anchors, free_prices, normals, proxies, worths, due, shares, distance, script, n_closed, out, trace, events,
):  # fmt: skip
    """Run ``len(gaps)`` weekends and write one row of ``OUTCOMES`` each to ``out``, per unit of open interest.

    ``values``, ``anchors`` and ``free_prices`` hold log value, log anchor and anchor price (USD) at the end of each step, shape (weekends,
    steps), as they are when nobody is forced; with ``rules.carried`` the closed anchor depends on the oracle and is computed here from
    ``normals`` and what informed flow expects, ``worths``, ``due`` and ``shares`` by hour (see ``arbitrage.py``). ``proxies`` is the log
    price of the oracle's proxy at the end of each closed step, where there is one. ``paces`` holds one pace table for each hour since the
    close, the last of which serves all later hours. ``memory`` is a reader's rule's own, and ``room`` (ROOM, updates of an hour or of a closed
    step, whichever are more) is for a segment. ``script`` holds what comes from outside (``orders.Script``). ``trace`` (steps,
    len(TRACE)) and ``events`` record the last weekend, and nothing when they have no rows. Money that appears or vanishes is reported in
    ``imbalance``, and -1 in its place where a reader's mark rule returned no price; the caller raises.
    """
    params, memory, room, paces = borrowed(params), borrowed(memory), borrowed(room), borrowed(paces)
    values, anchors, free_prices = borrowed(values), borrowed(anchors), borrowed(free_prices)
    n_steps = values.shape[1]
    st = np.zeros(STATE)
    money = np.zeros(len(POCKETS))
    logs, prices, hot_values, hot_free, hot_prices, hot_proxy, prints = room[0], room[1], room[2], room[3], room[4], room[5], room[6]
    inner = np.zeros(INNER)
    m, price = rules.maintenance, rules.price
    pools = 1.0 / rules.open_interest
    to_interest = price / rules.open_interest
    closed_charged = rules.funding_when_closed > 0.0 and rules.oracle != NONE
    prompt = rules.batch_h == 0.0 and rules.halt_to <= rules.halt_from
    tracing = len(trace) > 0
    ordered, misprinted = len(script.orders) > 0, len(script.prints) > 0
    last_hour = len(paces) - 1
    closed_length, open_length, update_length = paces[0, CLOSED, HOURS], paces[0, OPEN, HOURS], paces[0, HOT, HOURS]
    for w in range(len(gaps)):
        open_books(sides, works, pending, st, price, rules.fund, script.shares, script.entry)
        memory[:] = 0.0
        inner[:] = 0.0
        inner[INTERNAL] = inner[AVERAGE] = price
        guess = 0.0
        reopen_value = price * math.exp(gaps[w])
        oracle = mark = traded = anchor = quoted = price
        basis = funding = premium_sum = rate = ups = downs = impact = shift = a = v = 0.0
        hot = False
        tick, last_tick, run_length, run_size, run_first = 0, -2, 0, 0.0, 0.0
        best_length, best_size, best_first = 0, 0.0, 0.0
        phantom, phantom_size, phantom_hours, dislocation, funding_closed, error = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        lowest, highest, v_low, v_high = _limits(sides, pending, st, funding, m, price)
        s = 0
        while s < n_steps:
            closed = s < n_closed
            elapsed = s * updates if closed else n_closed * updates + s - n_closed
            to_hour = updates_an_hour - elapsed % updates_an_hour
            carried = closed and rules.carried > 0.0
            pace = paces[min(elapsed // updates_an_hour, last_hour)]

            # The segment: which updates come next, and what they trade at if nobody is forced.
            quiet = impact == 0.0 and shift == 0.0
            if closed and hot:
                row, count = HOT, updates
            elif closed:
                row, count = CLOSED, min(to_hour // updates, n_closed - s)
            else:
                row, count = OPEN, min(to_hour, n_steps - s)
            if tracing or carried:
                count = updates if row == HOT else 1
            if ordered and row != HOT:
                for ahead in range(count):
                    if script.orders[s + ahead, TRADE] != 0.0 or script.orders[s + ahead, CLOSE] != 0.0:
                        count = ahead + 1
                        break
            steps = 1 if row == HOT else count
            a_end, v_end = anchors[w, s + steps - 1], values[w, s + steps - 1]
            if carried:
                hour = elapsed // updates_an_hour
                quoted = quote(
                    quoted, oracle, price * math.exp(v_end), premium_sum, min(to_hour // updates, n_closed - s), due[hour], shares[hour],
                    worths[hour], distance, rules, pace[CLOSED],
                )  # fmt: skip
                known = math.log(quoted / price)
                a_end = known + (a - known) * pace[CLOSED, KEEP_ANCHOR] + pace[CLOSED, NOISE] * normals[w, s, 1]
            if row == HOT or carried:
                for k in range(count):
                    part = (k + 1.0) / count
                    hot_values[k] = v_end if k + 1 == count else v + (v_end - v) * part
                    hot_free[k] = a_end if k + 1 == count else a + (a_end - a) * part
                    hot_prices[k] = price * math.exp(hot_free[k])
                seg_values, free, free_price = hot_values[:count], hot_free[:count], hot_prices[:count]
            else:
                seg_values, free, free_price = values[w, s : s + count], anchors[w, s : s + count], free_prices[w, s : s + count]
            seg_proxy = hot_proxy[:count]
            if closed and rules.oracle == PROXY:
                guess_end = proxies[w, s + steps - 1]
                if row == HOT:
                    for k in range(count):
                        hot_proxy[k] = guess_end if k + 1 == count else guess + (guess_end - guess) * ((k + 1.0) / count)
                else:
                    seg_proxy = proxies[w, s : s + count]
            if quiet:
                seg_logs, seg_prices = free, free_price
            else:
                _disturbed(logs, prices, free, free_price, 0, count, pace[row, KEEP_ANCHOR], pace[row, KEEP_IMPACT], impact, shift)
                seg_logs, seg_prices = logs[:count], prices[:count]
            if not closed:
                for k in range(count):
                    prints[k] = price * math.exp(seg_values[k] + script.prints[s - n_closed + k] if misprinted else seg_values[k])

            # Along the segment.
            ticks = updates if row == CLOSED else 1
            hot = False
            k = 0
            while k < count:
                before, anchored = k, anchor
                if rules.mark == CUSTOM:
                    k, oracle, basis, mark, premium_sum, anchor, ups, downs, dislocation = advance(
                        k, count, seg_logs, seg_prices, seg_values, prints, pace[row], not closed, rules, params, memory, custom, inner,
                        seg_proxy, oracle, basis, mark, premium_sum, anchor, ups, downs, lowest, highest, v_low, v_high, dislocation,
                        elapsed * update_length,
                    )  # fmt: skip
                    if inner[REFUSED] > 0.0:
                        break
                elif rules.averaged > 0.0:
                    k, oracle, basis, mark, premium_sum, anchor, ups, downs, dislocation = advance(
                        k, count, seg_logs, seg_prices, seg_values, prints, pace[row], not closed, rules, params, memory, None, inner, seg_proxy,
                        oracle, basis, mark, premium_sum, anchor, ups, downs, lowest, highest, v_low, v_high, dislocation,
                        elapsed * update_length,
                    )  # fmt: skip
                else:
                    k, oracle, basis, mark, premium_sum, anchor, ups, downs, dislocation = advance(
                        k, count, seg_logs, seg_prices, seg_values, prints, pace[row], not closed, rules, params, memory, None, None, None,
                        oracle, basis, mark, premium_sum, anchor, ups, downs, lowest, highest, v_low, v_high, dislocation,
                        elapsed * update_length,
                    )  # fmt: skip
                passed = k - before + 1
                tick += passed
                if not quiet:
                    for _ in range(passed):
                        impact, shift = _fade(impact, pace[row, KEEP_IMPACT]), _fade(shift, pace[row, KEEP_ANCHOR])
                if anchor != anchored:
                    log_event(
                        events, st, elapsed * update_length + (k + 1) * pace[row, HOURS], REANCHOR, 1.0 if anchor > anchored else -1.0, 0, 0.0,
                        anchor, 0.0,
                    )  # fmt: skip
                traded, v = seg_prices[k], seg_values[k]
                hours = (elapsed + (k + 1) * ticks) * update_length
                condemned = (mark < lowest or mark > highest) and (not closed or rules.oracle != NONE)
                if condemned and not prompt:
                    condemned = batch_ends(hours, pace[row, HOURS], rules.batch_h, rules.halt_from, rules.halt_to)
                if condemned:
                    st[IMPACT], st[ANCHOR], st[BATCH_USED] = impact, shift, 0.0
                    st[GENERATION] = run_length if tick == last_tick + 1 else 0.0
                    gone = _liquidated(st)
                    for me in range(2):
                        if rules.orders == MARKET:
                            traded = liquidate(
                                me, sides, works, large, pending, single, st, rules, traded, mark, funding, m,
                                pace[row, DEPTH], pace[row, HALF_SPREAD], reopen_value, hours, closed, False, events,
                            )  # fmt: skip
                        else:
                            traded = liquidate_one_by_one(
                                me, sides, works, pending, st, rules, traded, mark, funding, m,
                                pace[row, DEPTH], pace[row, HALF_SPREAD], reopen_value, hours, closed, False, events,
                            )  # fmt: skip
                    lowest, highest, v_low, v_high = _limits(sides, pending, st, funding, m, price)
                    gone = _liquidated(st) - gone
                    if gone > 0.0:
                        error = _worst(error, imbalance(sides, works, pending, st, funding, price))
                        hot = True
                        run_length, run_size = (run_length + 1, run_size + gone) if tick == last_tick + 1 else (1, gone)
                        if run_length == 1:
                            run_first = gone
                        last_tick = tick
                        best_length = max(best_length, run_length)
                        if run_size > best_size * (1.0 + 1e-9):  # of twins on both sides the first run counts, not the luckier rounding
                            best_size, best_first = run_size, run_first
                        dislocation = max(dislocation, abs(math.log(traded / price) - v))
                        if impact != st[IMPACT] or shift != st[ANCHOR]:
                            impact, shift, quiet = st[IMPACT], st[ANCHOR], False
                            if k + 1 < count:
                                _disturbed(
                                    logs, prices, free, free_price, k + 1, count, pace[row, KEEP_ANCHOR], pace[row, KEEP_IMPACT], impact, shift
                                )
                                seg_logs, seg_prices = logs[:count], prices[:count]
                at_step = row != HOT or k + 1 == count
                if at_step and (v < v_low or v > v_high):
                    hidden, held = _hidden(sides, works, pending, st, price * math.exp(v) - funding)
                    if hidden > rules.dust:
                        phantom, phantom_size = max(phantom, hidden), max(phantom_size, held)
                        phantom_hours += closed_length if closed else open_length
                k += 1
                if hot and row == CLOSED:
                    break  # the next minute is run at the update cadence
            if inner[REFUSED] > 0.0:
                break
            done = 1 if row == HOT else k
            a = (a_end if carried else anchors[w, s + done - 1]) if closed else a
            if closed and rules.oracle == PROXY:
                guess = proxies[w, s + done - 1]
            s += done

            # On the hour.
            elapsed = s * updates if s <= n_closed else n_closed * updates + s - n_closed
            if elapsed % updates_an_hour == 0:
                rate = 0.0
                if closed_charged or not closed:
                    rate = hourly_rate(premium_sum, rules.interest_8h, rules.clamp_8h, rules.multiplier, rules.cap_per_hour)
                premium_sum = 0.0
                inner[RATE] = rate
                if rate != 0.0:
                    pay_funding(st, rate * oracle)
                    funding += rate * oracle
                    if closed:
                        funding_closed += abs(rate) * oracle
                    error = _worst(error, imbalance(sides, works, pending, st, funding, price))
                    lowest, highest, v_low, v_high = _limits(sides, pending, st, funding, m, price)
            if ordered and (script.orders[s - 1, TRADE] != 0.0 or script.orders[s - 1, CLOSE] != 0.0):
                st[IMPACT], st[ANCHOR] = impact, shift
                traded = send(
                    st, rules, script.orders[s - 1, TRADE], script.orders[s - 1, CLOSE], traded, pace[row, DEPTH], pace[row, HALF_SPREAD],
                    elapsed * update_length, events,
                )  # fmt: skip
                impact, shift, hot = st[IMPACT], st[ANCHOR], True
                dislocation = max(dislocation, abs(math.log(traded / price) - v))
                error = _worst(error, imbalance(sides, works, pending, st, funding, price))
            if tracing and w == len(gaps) - 1:
                trace[s - 1, 0], trace[s - 1, 1], trace[s - 1, 2], trace[s - 1, 3] = price * math.exp(v), traded, oracle, mark
                trace[s - 1, 4], trace[s - 1, 5], trace[s - 1, 6] = rate, traded * pace[row, IMPACT_BID], traded * pace[row, IMPACT_ASK]
                trace[s - 1, 7], trace[s - 1, 8] = _liquidated(st) * to_interest, st[FUND]
                hidden, held = _hidden(sides, works, pending, st, price * math.exp(v) - funding)
                trace[s - 1, 9], trace[s - 1, 10] = hidden * pools, held * to_interest
                trace[s - 1, 11], trace[s - 1, 12] = funding, imbalance(sides, works, pending, st, funding, price)
                trace[s - 1, 13], trace[s - 1, 14] = st[ATTACKER_SIZE], st[ATTACKER_CASH]

        if inner[REFUSED] > 0.0:
            out[w] = np.nan
            out[w, len(OUTCOMES) - 1] = -1.0
            continue

        # Whoever is still open without equity at the value is closed now: bad debt must not outlive the window.
        worth = price * math.exp(v)
        st[IMPACT], st[ANCHOR], st[GENERATION] = impact, shift, 0.0
        end_h = n_closed * closed_length + (n_steps - n_closed) * open_length
        for me in range(2):
            if rules.orders == MARKET:
                traded = liquidate(
                    me, sides, works, large, pending, single, st, rules, traded, worth, funding, 0.0,
                    paces[0, OPEN, DEPTH], paces[0, OPEN, HALF_SPREAD], reopen_value, end_h, False, True, events,
                )  # fmt: skip
            else:
                traded = liquidate_one_by_one(
                    me, sides, works, pending, st, rules, traded, worth, funding, 0.0,
                    paces[0, OPEN, DEPTH], paces[0, OPEN, HALF_SPREAD], reopen_value, end_h, False, True, events,
                )  # fmt: skip
        settle_fund(st, rules, worth)
        if rules.refund > 0.0:
            pay_refunds(st, rules.refund)
        error = _worst(error, imbalance(sides, works, pending, st, funding, price))
        pockets(sides, works, pending, st, funding, price, worth, rules.fund, money)
        for p in range(len(POCKETS)):
            out[w, p] = money[p] * pools
        n = len(POCKETS)
        out[w, n] = (st[SHORTFALL] + st[SHORTFALL + 1]) * pools
        out[w, n + 1] = st[SHORTFALL] * pools
        out[w, n + 2] = st[SHORTFALL + 1] * pools
        out[w, n + 3] = st[BREACHED]
        out[w, n + 4] = st[EXHAUSTED_AT]
        out[w, n + 5] = st[ADL_NEEDED] * pools
        out[w, n + 6] = (st[ADL_SIZE] + st[ADL_SIZE + 1]) * to_interest
        out[w, n + 7] = (st[PREMATURE] + st[PREMATURE + 1]) * to_interest
        out[w, n + 8] = (st[LIQUIDATED_CLOSED] + st[LIQUIDATED_CLOSED + 1]) * to_interest
        out[w, n + 9] = (st[LIQUIDATED_OPEN] + st[LIQUIDATED_OPEN + 1]) * to_interest
        out[w, n + 10] = phantom * pools
        out[w, n + 11] = phantom_size * to_interest
        out[w, n + 12] = phantom_hours
        out[w, n + 13] = dislocation
        out[w, n + 14] = best_length
        out[w, n + 15] = best_size / best_first if best_first > 0.0 else 0.0
        out[w, n + 16] = funding_closed / price
        out[w, n + 17] = error * pools
    return int(st[EVENTS])
