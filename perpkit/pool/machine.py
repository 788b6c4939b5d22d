"""Pool: one oracle-first venue's rules for one market."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from perpkit._checks import not_negative, share, typed
from perpkit.book import Book
from perpkit.pool.carry import Carry
from perpkit.pool.impact import Impact, no_impact
from perpkit.pool.parts import Feed, Fees, Hedge, Payouts, PoolMargin, Stop, Tranches, share_of_maximum


@dataclass(frozen=True)
class Pool:
    """Every rule the pool engine needs; a machine like :class:`perpkit.machine.Machine`, for :func:`perpkit.engine.simulate` and
    :func:`perpkit.ensemble`. Frozen; change a field with :func:`perpkit.machine.replace`, which checks it again.

    Parameters
    ----------
    name, market, asof : what this is; labels only.
    feed : the price, open and closed, and its spread.
    impact : what size costs.
    margin, margin_closed : when an account is liquidated while the reference prints, and while it does not; None is the same rule. A
        stricter closed rule liquidates by the clock alone (GMX v2's commodities).
    carry : borrowing, funding, rollover.
    fees : of closing and liquidating, and whose they are.
    stop : a stop-loss on every account, or None.
    tranches : the pool's size and the order in which its owners lose.
    hedge : position held outside against what the pool owes.
    payouts : what winners get at most.
    overnight_leverage, overnight : accounts above this leverage at the last print are cut to it before the closure (``"reduce"``) or closed
        (``"close"``), free of charge. Outcomes stay per unit of the open interest before.
    refund : share of what premature liquidations cost traders, measured at the reopening value, that the venue pays back.
    informed : notional, as a share of open interest, that traders who know the value may open at the closed feed's last price; they close at
        the first print that executes. They come only if it pays after fees and spread, and meet no impact.
    book : how another venue's price follows the value, for ``Feed(closed="perp")``; its depth is not used.
    """

    name: str = "pool"
    market: str = ""
    asof: str = ""
    feed: Feed = field(default_factory=Feed)
    impact: Impact = field(default_factory=no_impact)
    margin: PoolMargin = field(default_factory=share_of_maximum)
    margin_closed: PoolMargin | None = None
    carry: Carry = field(default_factory=Carry)
    fees: Fees = field(default_factory=Fees)
    stop: Stop | None = None
    tranches: Tranches = field(default_factory=Tranches)
    hedge: Hedge = field(default_factory=Hedge)
    payouts: Payouts = field(default_factory=Payouts)
    overnight_leverage: float = math.inf
    overnight: str = "reduce"
    refund: float = 0.0
    informed: float = 0.0
    book: Book = field(default_factory=Book)

    def __post_init__(self) -> None:
        typed(self)
        if not self.overnight_leverage >= 1.0:
            raise ValueError(f"overnight_leverage is 1 or more, or infinity for no cut; got {self.overnight_leverage!r}")
        if self.overnight not in ("reduce", "close"):
            raise ValueError(f'overnight is "reduce" or "close"; got {self.overnight!r}')
        share("refund", self.refund, "the share of premature losses paid back")
        not_negative("informed", self.informed, "a share of open interest")
        if self.informed > 0.0 and self.feed.closed not in ("frozen", "perp"):
            raise ValueError(f'informed flow needs a feed that trades at a stale price, "frozen" or "perp"; got {self.feed.closed!r}')
