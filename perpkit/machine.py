"""Machine: one venue's rules for one market, and the book it stands on."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from perpkit._checks import not_negative, positive, share, typed
from perpkit.band import Band, no_band
from perpkit.batch import Batch
from perpkit.book import Book
from perpkit.funding import Funding
from perpkit.margin import Margin
from perpkit.mark import Mark, Median
from perpkit.oracle import Oracle, frozen_oracle
from perpkit.waterfall import ADL, Backstop, Liquidation


@dataclass(frozen=True)
class Machine:
    """Every rule the engine needs. Frozen; change a field with :func:`replace`, which checks it again.

    The default book is not the one venues are compared on: a machine that is to stand beside those of :func:`perpkit.venues.venue` needs
    ``book=perpkit.base.book()``.

    Parameters
    ----------
    name, market, asof : what this is; labels only.
    oracle : reference price, closed and open.
    mark : mark rule.
    mark_step : largest relative move of the mark in one update, or infinity.
    band : limits of the mark while closed.
    funding : funding rule.
    margin : leverage cap and maintenance.
    liquidation : how a condemned account is sold.
    backstop : vault that takes over accounts before they are bankrupt.
    insurance : fund at the close, as a share of open interest.
    adl : ``"queue"``, ``"pro-rata"``, ``"crossing"`` (the queue, profit not asked for, wherever zero prices cross: Lighter) or ``"none"``.
    batch : when margins are looked at.
    refund : share that the venue pays back, in hindsight, of what liquidation while closed has cost accounts that were solvent at the
        reopening value.
    impact_notional : USD behind the impact prices.
    book : liquidity and informed flow.
    """

    name: str = "machine"
    market: str = ""
    asof: str = ""
    oracle: Oracle = field(default_factory=frozen_oracle)
    mark: Mark = field(default_factory=Median)
    mark_step: float = math.inf
    band: Band = field(default_factory=no_band)
    funding: Funding = field(default_factory=Funding)
    margin: Margin = field(default_factory=Margin)
    liquidation: Liquidation = field(default_factory=Liquidation)
    backstop: Backstop = field(default_factory=Backstop)
    insurance: float = 0.0
    adl: str = "queue"
    batch: Batch = field(default_factory=Batch)
    refund: float = 0.0
    impact_notional: float = 6_000.0
    book: Book = field(default_factory=Book)

    def __post_init__(self) -> None:
        typed(self)
        if not self.mark_step > 0.0 or 1.0 <= self.mark_step < math.inf:
            raise ValueError(f"mark_step is the largest relative move of one update, in (0, 1), or infinity; got {self.mark_step!r}")
        not_negative("insurance", self.insurance, "a share of open interest")
        share("insurance", self.insurance, "a share of open interest")
        positive("impact_notional", self.impact_notional, "USD behind the impact prices")
        share("refund", self.refund, "the share of premature losses that the venue pays back")
        if self.backstop.guarded and self.liquidation.orders == "market":
            raise ValueError("a fund with equity or margin of its own takes accounts one by one; use liquidation orders='limit' or 'zero-price'")
        if self.adl not in ADL:
            raise ValueError(f"adl is one of {sorted(ADL)}; got {self.adl!r}")


def replace(thing, **changes):
    """``thing`` (a machine or any of its frozen parts) with fields changed and checked again.

    Raises
    ------
    ValueError
        If ``thing`` is no such part, a field does not exist, or its value fails the checks of its class.
    """
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        raise ValueError(f"replace changes a perpkit Machine, or a part of one; got {thing!r}")
    names = [f.name for f in dataclasses.fields(thing)]
    for name in changes:
        if name not in names:
            raise ValueError(f"{type(thing).__name__} has no field {name!r}; it has {', '.join(names)}")
    return dataclasses.replace(thing, **changes)
