"""Waterfall: who pays when an account cannot.

The order is: the trader's collateral, the backstop vault (which takes positions over while they still have margin), the insurance fund,
winners by auto-deleveraging, and last everybody (socialised). This file holds the rules; ``liquidation.py`` carries them out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perpkit._checks import not_negative, share, typed
from perpkit._compile import compiled

NO_ADL, QUEUE, PRO_RATA, CROSSING = range(4)
ADL = {"none": NO_ADL, "queue": QUEUE, "pro-rata": PRO_RATA, "crossing": CROSSING}
MARKET, LIMIT, ZERO_PRICE = range(3)
ORDERS = {"market": MARKET, "limit": LIMIT, "zero-price": ZERO_PRICE}


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
    fee : share of the notional sold that goes to the insurance fund, out of what the trader has left; with limits, to the vault.
    orders : ``"market"``: all accounts a side condemned at one update, in one order. ``"limit"`` and ``"zero-price"``: one account after
        another, immediate or cancel, no worse than ``order_band`` while closed, and with ``"zero-price"`` no worse than the account's zero
        price; what does not fill waits for the next update. Accounts are then never sliced.
    order_band : largest relative distance of an order from the last external print while closed, or infinity.
    """

    partial_threshold: float = math.inf
    partial_share: float = 0.2
    cooldown_s: float = 30.0
    fee: float = 0.0
    orders: str = "market"
    order_band: float = math.inf

    def __post_init__(self) -> None:
        typed(self)
        if self.orders not in ORDERS:
            raise ValueError(f"orders is one of {', '.join(map(repr, ORDERS))}; got {self.orders!r}")
        if not self.order_band > 0.0 or 1.0 <= self.order_band < math.inf:
            raise ValueError(f"order_band is a fraction of the last external print, in (0, 1), or infinity for none; got {self.order_band!r}")
        if self.orders == "market" and (self.order_band < math.inf):
            raise ValueError(f"order_band of {self.order_band!r} needs orders one by one; use orders='limit' or 'zero-price'")
        if self.orders != "market" and self.partial_threshold < math.inf:
            raise ValueError(f"partial_threshold of {self.partial_threshold!r} slices market orders; leave it infinite with orders={self.orders!r}")
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
    equity : what it owns at the close, as a share of open interest; infinity for a vault nobody has seen the bottom of.
    margin : it takes an account only if it then still owns this share of the notional it holds, long less short. An :func:`lp_fund` takes
        accounts without equity too, as long as it can. Beyond its equity it pays nothing; the rest is everybody's.
    """

    capacity: float = 0.0
    threshold: float = 2.0 / 3.0
    equity: float = math.inf
    margin: float = 0.0

    def __post_init__(self) -> None:
        typed(self)
        if not self.capacity >= 0.0:
            raise ValueError(f"capacity is a share of open interest, 0 or more (infinity for no limit but its margin); got {self.capacity!r}")
        share("threshold", self.threshold, "a share of maintenance margin")
        if not self.equity >= 0.0:
            raise ValueError(f"equity is a share of open interest, 0 or more, or infinity; got {self.equity!r}")
        share("margin", self.margin, "the fund's own initial margin as a share of what it holds")

    @property
    def guarded(self) -> bool:
        """Whether the vault is a fund with a margin of its own."""
        return self.equity < math.inf or self.margin > 0.0 or math.isinf(self.capacity)


def zero_price(fee: float = 0.0, order_band: float = math.inf) -> Liquidation:
    """Below maintenance, an immediate-or-cancel order no worse than the zero price (Lighter, liquidations page, read 2026-10).

    The zero price of a long is ``M (1 - m TAV / MMR)``, of a short ``M (1 + m TAV / MMR)``: a trade there leaves equity over maintenance, TAV /
    MMR, as it was. An isolated account has one position and MMR is ``m`` times its notional, so its zero price is its bankruptcy price: no
    order leaves a loss. What the book does not take waits, for the fund or for winners. Fee: up to 1 % there.
    """
    return Liquidation(fee=fee, orders="zero-price", order_band=order_band)


def limit_only(order_band: float, fee: float = 0.0) -> Liquidation:
    """Orders outside ``order_band`` of the last print are rejected while closed, so forced ones fill no worse and the remainder waits.

    edgeX, stock perpetuals page (read 2026-10): market orders are rejected and limits capped at one over the market's leverage.
    """
    return Liquidation(fee=fee, orders="limit", order_band=order_band)


def lp_fund(size: float, margin: float, close_out: float, shard: float = 1.0) -> Backstop:
    """Fund of liquidity providers that takes over what the book does not, as long as it keeps its own initial margin.

    Lighter, liquidations and LLP page (read 2026-10): ``close_out`` is the third margin level as a share of maintenance (0.4 over 0.6 of
    initial), ``margin`` the initial margin that the fund itself must keep. Its collateral is sharded by strategy: only ``shard`` of its
    ``size`` (a share of open interest; not published) stands behind this market, and a depleted shard alone goes to deleveraging.
    """
    share("shard", shard, "the part of the fund that stands behind this market")
    not_negative("size", size, "the fund's equity as a share of open interest")
    return Backstop(capacity=math.inf, threshold=close_out, equity=size * shard, margin=margin)


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
