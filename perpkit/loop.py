"""The article's loop, one update after another, as long as nothing needs attention.

Given the traded price of the next updates, ``advance`` publishes the oracle, samples the premium, computes the mark and asks whether it
condemns anybody. It is the one place where oracle, funding and mark rules act, open and closed.
"""

from __future__ import annotations

import math

from perpkit._compile import compiled
from perpkit.band import anchor_after, within
from perpkit.funding import premium
from perpkit.ledger import log_event
from perpkit.liquidation import REANCHOR
from perpkit.mark import Quotes, State, target_mark
from perpkit.oracle import IMPACT_EMA, NONE, impact_difference, step_towards

CLOSED, HOT, OPEN = 0, 1, 2
"""Rows of the pace table: a closed step, an update inside a closed step after forced orders, an update after reopening."""

HOURS, SECONDS, KEEP_ANCHOR, NOISE, KEEP_IMPACT, BID, ASK, IMPACT_BID, IMPACT_ASK, DEPTH, HALF_SPREAD = range(11)
ORACLE_GAIN, ORACLE_DOWN, ORACLE_UP, BASIS_GAIN, MARK_DOWN, MARK_UP = range(11, 17)
PACE = 17
"""Columns of the pace table: everything that depends on the length of a step and on whether the reference is open."""


@compiled
def advance(
    k, stop, logs, prices, values, pace, open_market, rules, params, memory, custom,
    oracle, basis, mark, premium_sum, anchor, ups, downs, lowest, highest, v_low, v_high, dislocation, hours, events, st,
):  # fmt: skip
    """Run updates ``k`` to ``stop - 1`` of a segment; stop after the first that needs attention.

    Attention is due when the mark leaves (``lowest``, ``highest``), where the next account of either side is condemned, when the log value
    leaves (``v_low``, ``v_high``), where an open account is worth less than nothing.

    Parameters
    ----------
    logs, prices, values : log price relative to the last print, price (USD) and log value at each update, as they will be if nobody is
        forced.
    pace : one row of the pace table.
    custom : a reader's rule, or None for a built-in one.
    open_market : whether the reference prints.
    hours : time of the segment's start, for the log.

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
    rule, premium_rule, price = int(rules.mark), int(rules.premium), rules.price
    while True:
        traded, v = prices[k], values[k]
        impact_bid, impact_ask = traded * impact_bid_factor, traded * impact_ask_factor
        if open_market:
            oracle = step_towards(oracle, price * math.exp(v), oracle_down, oracle_up)
        elif average:
            moved = oracle + oracle_gain * impact_difference(oracle, impact_bid, impact_ask)
            oracle = step_towards(oracle, moved, oracle_down, oracle_up)
        premium_sum += premium(premium_rule, oracle, impact_bid, impact_ask) * length
        dislocation = max(dislocation, abs(logs[k] - v))
        if marked:
            basis += basis_gain * (traded - oracle - basis)
            if custom is None:  # Numba drops the other branch: without a foreign call in it the loop stays in registers
                wanted = target_mark(rule, traded, traded * bid_factor, traded * ask_factor, oracle, basis, params)
            else:
                quotes = Quotes(traded * bid_factor, traded * ask_factor, traded, traded, impact_bid, impact_ask)
                wanted = custom(quotes, oracle, State(mark, basis, seconds, 0.0 if open_market else 1.0, memory), params)
            mark = step_towards(mark, wanted, mark_down, mark_up)
            if banded:
                if rules.band_resets > 0.0:
                    before = anchor
                    anchor, ups, downs = anchor_after(anchor, ups, downs, oracle, rules.band_width, rules.band_trigger, rules.band_resets)
                    if anchor != before:
                        log_event(events, st, hours + (k + 1) * length, REANCHOR, 1.0 if anchor > before else -1.0, 0, 0.0, anchor, 0.0)
                mark = within(mark, anchor, rules.band_width)
            if mark < lowest or mark > highest:
                break
        if v < v_low or v > v_high or k + 1 == stop:
            break
        k += 1
    return k, oracle, basis, mark, premium_sum, anchor, ups, downs, dislocation
