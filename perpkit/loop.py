"""The article's loop, one update after another, as long as nothing needs attention.

Given the traded price of the next updates, ``advance`` publishes the oracle, samples the premium, computes the mark and asks whether it
condemns anybody. It is the one place where oracle, funding and mark rules act, open and closed.
"""

from __future__ import annotations

import math

from perpkit._compile import compiled
from perpkit.band import anchor_after, within
from perpkit.funding import premium
from perpkit.mark import IMPACT_MEDIAN, LOCAL_MEDIAN, Quotes, State, averaged_mark, clamped_basis, target_mark
from perpkit.oracle import DECAYING, IMPACT_EMA, NONE, PROXY, closed_target, impact_difference, step_towards

CLOSED, HOT, OPEN = 0, 1, 2
"""Rows of the pace table: a closed step, an update inside a closed step after forced orders, an update after reopening."""

HOURS, SECONDS, KEEP_ANCHOR, NOISE, KEEP_IMPACT, BID, ASK, IMPACT_BID, IMPACT_ASK, DEPTH, HALF_SPREAD = range(11)
ORACLE_GAIN, ORACLE_DOWN, ORACLE_UP, BASIS_GAIN, MARK_DOWN, MARK_UP, AVERAGE_GAIN = range(11, 18)
PACE = 18
"""Columns of the pace table: everything that depends on the length of a step and on whether the reference is open."""

INTERNAL, AVERAGE, RATE, REFUSED = 0, 1, 2, 3
INNER = 4
"""What the rules that need more than oracle, basis and mark remember through a weekend: the oracle's average of the own book and the mark's
own average (USD), the last funding rate per hour, and whether a reader's rule returned what is no price."""


@compiled
def advance(
    k, stop, logs, prices, values, prints, pace, open_market, rules, params, memory, custom, inner, proxy,
    oracle, basis, mark, premium_sum, anchor, ups, downs, lowest, highest, v_low, v_high, dislocation, hours,
):  # fmt: skip
    """Run updates ``k`` to ``stop - 1`` of a segment; stop after the first that needs attention.

    Attention is due when the mark leaves (``lowest``, ``highest``), where the next account of either side is condemned, when the log value
    leaves (``v_low``, ``v_high``), where an open account is worth less than nothing, or when the band's anchor moves. Nothing else is called
    from the loop of a machine without memory, neither ``exp`` nor the log: a call would take the prices out of the registers.

    Parameters
    ----------
    logs, prices, values : log price relative to the last print, price (USD) and log value at each update, as they will be if nobody is
        forced.
    prints : what the reference prints at each update (USD), read once it is open.
    pace : one row of the pace table.
    custom : a reader's rule, or None for a built-in one.
    inner : memory of the rules that need some (``INNER`` floats), or None for those that do not. A reader's rule has it too.
    proxy : log price of the oracle's proxy at each update, where the rule is one.
    open_market : whether the reference prints.
    hours : time of the segment's start.

    Returns
    -------
    The index of the last update run and the new oracle, basis, mark, premium sum, band anchor, its two counters and the deepest
    dislocation.
    """
    length = pace[HOURS]
    marked = open_market or rules.oracle != NONE
    average = rules.oracle == IMPACT_EMA and not open_market
    banded = rules.band_width < math.inf and not open_market
    bid_factor, ask_factor, impact_bid_factor, impact_ask_factor = pace[BID], pace[ASK], pace[IMPACT_BID], pace[IMPACT_ASK]
    oracle_gain, oracle_down, oracle_up = pace[ORACLE_GAIN], pace[ORACLE_DOWN], pace[ORACLE_UP]
    basis_gain, mark_down, mark_up, seconds = pace[BASIS_GAIN], pace[MARK_DOWN], pace[MARK_UP], pace[SECONDS]
    average_gain = pace[AVERAGE_GAIN]
    rule, premium_rule, price = int(rules.mark), int(rules.premium), rules.price
    anchored = anchor
    while True:
        traded, v = prices[k], values[k]
        impact_bid, impact_ask = traded * impact_bid_factor, traded * impact_ask_factor
        if open_market:
            oracle = step_towards(oracle, prints[k], oracle_down, oracle_up)
        elif inner is None:  # Numba drops the other branch, here and below
            if average:
                moved = oracle + oracle_gain * impact_difference(oracle, impact_bid, impact_ask)
                oracle = step_towards(oracle, moved, oracle_down, oracle_up)
        else:
            inner[INTERNAL] += oracle_gain * (0.5 * (impact_bid + impact_ask) - inner[INTERNAL])
            weight = math.exp(-(hours + (k + 1) * length) / rules.weight_tau) if rules.oracle == DECAYING else 0.0
            guess = price * math.exp(proxy[k]) if rules.oracle == PROXY else 0.0
            moved = closed_target(rules.oracle, oracle, oracle_gain, impact_bid, impact_ask, traded, price, inner[INTERNAL], weight, guess)
            oracle = step_towards(oracle, within(moved, price, rules.wall), oracle_down, oracle_up)
        premium_sum += premium(premium_rule, oracle, impact_bid, impact_ask) * length
        dislocation = max(dislocation, abs(logs[k] - v))
        if marked:
            if inner is None:
                basis += basis_gain * (traded - oracle - basis)
            else:
                impact = 0.5 * (impact_bid + impact_ask)
                basis += basis_gain * ((clamped_basis(impact, oracle, params[0]) if rule == IMPACT_MEDIAN else traded - oracle) - basis)
                inner[AVERAGE] += average_gain * ((impact if rule == IMPACT_MEDIAN else traded) - inner[AVERAGE])
            if custom is None:  # without a foreign call in it the loop stays in registers
                if inner is None:
                    wanted = target_mark(rule, traded, traded * bid_factor, traded * ask_factor, oracle, basis, params)
                elif rule >= LOCAL_MEDIAN:
                    wanted = averaged_mark(
                        rule, traded, traded * bid_factor, traded * ask_factor, impact, oracle, basis, inner[AVERAGE], price,
                        hours + (k + 1) * length, inner[RATE], not open_market, params,
                    )  # fmt: skip
                else:
                    wanted = target_mark(rule, traded, traded * bid_factor, traded * ask_factor, oracle, basis, params)
            else:
                quotes = Quotes(traded * bid_factor, traded * ask_factor, traded, traded, impact_bid, impact_ask)
                wanted = custom(quotes, oracle, State(mark, basis, seconds, 0.0 if open_market else 1.0, memory), params)
                if not 0.0 < wanted < math.inf:
                    inner[REFUSED] = 1.0
                    break
            mark = step_towards(mark, wanted, mark_down, mark_up)
            if banded:
                if rules.band_resets > 0.0:
                    anchor, ups, downs = anchor_after(anchor, ups, downs, oracle, rules.band_width, rules.band_trigger, rules.band_resets)
                if inner is None:
                    mark = within(mark, anchor, rules.band_width)
                else:
                    mark = within(mark, oracle if rules.band_follows > 0.0 else anchor, rules.band_width)
            if mark < lowest or mark > highest or anchor != anchored:
                break
        if v < v_low or v > v_high or k + 1 == stop:
            break
        k += 1
    return k, oracle, basis, mark, premium_sum, anchor, ups, downs, dislocation
