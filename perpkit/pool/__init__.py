"""Pool: the oracle-first architecture. Everybody trades against one pool at the oracle's price, and nobody against each other.

``machine`` holds a venue's rules, ``parts``, ``impact`` and ``carry`` what they are made of; ``exits``, ``ledger`` and ``kernel`` run a weekend;
``engine`` joins them to :func:`perpkit.engine.simulate` and :func:`perpkit.ensemble`, on the same shocks as any machine with a book.
"""

from perpkit.pool.carry import Carry, borrowing, next_rate
from perpkit.pool.engine import PoolTables
from perpkit.pool.impact import Impact, closing_cost, imbalance_impact, no_impact, skew_impact
from perpkit.pool.kernel import OUTCOMES
from perpkit.pool.ledger import EVERY_POCKET, POOL_POCKETS
from perpkit.pool.machine import Pool
from perpkit.pool.parts import (
    Feed,
    Fees,
    Hedge,
    Payouts,
    PoolMargin,
    Stop,
    Tranches,
    loss_of_collateral,
    share_of_maximum,
    share_of_notional,
)

__all__ = [
    "Carry", "EVERY_POCKET", "Feed", "Fees", "Hedge", "Impact", "OUTCOMES", "POOL_POCKETS", "Payouts", "Pool", "PoolMargin", "PoolTables",
    "Stop", "Tranches", "borrowing", "closing_cost", "imbalance_impact", "loss_of_collateral", "next_rate", "no_impact", "share_of_maximum",
    "share_of_notional", "skew_impact",
]  # fmt: skip
