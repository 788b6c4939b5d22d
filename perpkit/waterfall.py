"""Waterfall: who pays when an account cannot.

The order is: the trader's collateral, the backstop vault (which takes positions over while they still have margin), the insurance fund,
winners by auto-deleveraging, and last everybody (socialised). This file holds the rules; ``liquidation.py`` carries them out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perpkit._checks import not_negative, share
from perpkit._compile import compiled

NO_ADL, QUEUE, PRO_RATA = 0, 1, 2
ADL = {"none": NO_ADL, "queue": QUEUE, "pro-rata": PRO_RATA}


@dataclass(frozen=True)
class Liquidation:
    """How a condemned account is sold to the book.

    Accounts larger than ``partial_threshold`` USD at the last reference print first sell ``partial_share`` of their size. If they are still
    below maintenance within ``cooldown_s`` seconds the rest follows; after that a slice again. Source: Hyperliquid liquidations page, read
    2026-10 (20 %, 100,000 USDC, 30 s).

    Parameters
    ----------
    partial_threshold : USD; infinity sells every account whole.
    partial_share : share of the position in a first order, above 0 to 1.
    cooldown_s : seconds.
    fee : share of the notional sold that goes to the insurance fund, out of what the trader has left.
    """

    partial_threshold: float = math.inf
    partial_share: float = 0.2
    cooldown_s: float = 30.0
    fee: float = 0.0

    def __post_init__(self) -> None:
        if not self.partial_threshold > 0.0:
            raise ValueError(f"partial_threshold is USD above 0 (infinity to sell every account whole); got {self.partial_threshold!r}")
        if not 0.0 < self.partial_share <= 1.0:
            raise ValueError(f"partial_share is above 0 and at most 1; got {self.partial_share!r}")
        not_negative("cooldown_s", self.cooldown_s, "a time in seconds")
        share("fee", self.fee, "a share of the notional sold")


@dataclass(frozen=True)
class Backstop:
    """Vault that takes over a position with its remaining margin, at the bankruptcy price, and holds it to the end of the window.

    Parameters
    ----------
    capacity : largest notional it takes over in a weekend, as a share of open interest; 0 is no vault.
    threshold : it steps in once equity is below this share of maintenance (2/3 at Hyperliquid, liquidations page, read 2026-10) and not yet
        negative.
    """

    capacity: float = 0.0
    threshold: float = 2.0 / 3.0

    def __post_init__(self) -> None:
        not_negative("capacity", self.capacity, "a share of open interest")
        share("threshold", self.threshold, "a share of maintenance margin")


@compiled
def adl_index(leverage: np.ndarray, profit: np.ndarray) -> np.ndarray:
    """Rank of winners, highest closed first: leverage times profit over entry notional, floored at zero.

    The form in Hyperliquid's documents, mark over entry, ranks winning shorts last; this is the side-aware form its node uses
    (OtterSec, 2026-06-22).
    """
    index = np.empty(len(leverage))
    for j in range(len(leverage)):
        index[j] = leverage[j] * max(profit[j], 0.0)
    return index


@compiled
def adl_queue(index: np.ndarray, capacity: np.ndarray, amount: float) -> np.ndarray:
    """What each winner gives when the highest index gives all it can before the next gives anything; shape and unit of ``capacity``.

    Ties give in the order they stand. Gives ``min(amount, capacity.sum())`` in all.
    """
    taken = np.zeros(len(capacity))
    left = amount
    for j in np.argsort(-index, kind="mergesort"):
        if left <= 0.0:
            break
        taken[j] = min(left, capacity[j])
        left -= taken[j]
    return taken


@compiled
def adl_pro_rata(capacity: np.ndarray, amount: float) -> np.ndarray:
    """What each winner gives when all give the same share of their capacity, at most all of it."""
    total = capacity.sum()
    part = min(amount / total, 1.0) if total > 0.0 else 0.0
    taken = np.empty(len(capacity))
    for j in range(len(capacity)):
        taken[j] = part * capacity[j]
    return taken
