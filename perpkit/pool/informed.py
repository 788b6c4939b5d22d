"""Informed flow: whoever knows the value trades with a pool that still shows an old price."""

from __future__ import annotations

import math

from perpkit._compile import compiled
from perpkit.ledger import credit
from perpkit.pool.ledger import INFORMED_CASH, INFORMED_SIZE, POOL_CASH, POOL_SIZE, PROTOCOL_CASH


@compiled
def come(st, rules, oracle: float, worth: float) -> None:
    """Traders who know ``worth`` take all they may at the stale price, if the trip to the first print pays."""
    size = rules.informed * rules.open_interest / oracle
    for sign in (1.0, -1.0):
        paid = oracle * math.exp(sign * rules.half_spread_closed)
        got = worth * math.exp(-sign * rules.half_spread_open)
        if sign * (got - paid) - rules.fee_open * paid - rules.fee_close * got > 0.0:
            trade(st, rules, sign * size, paid, rules.fee_open)
            return


@compiled
def trade(st, rules, size: float, price: float, rate: float) -> None:
    """They buy ``size`` shares (sell, below 0) from the pool at ``price`` and pay a fee."""
    fee = rate * abs(size) * price
    st[INFORMED_SIZE] += size
    st[POOL_SIZE] -= size
    credit(st, INFORMED_CASH, -size * price - fee)
    credit(st, POOL_CASH, size * price + rules.fee_to_pool * fee)
    credit(st, PROTOCOL_CASH, (1.0 - rules.fee_to_pool) * fee)
