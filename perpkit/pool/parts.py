"""Parts of an oracle-priced pool: its feed, margin, fees, stops, tranches, hedge, and what it pays winners at most.

A pool venue has no book. Whoever trades does so with the pool, at the oracle's bid or ask, and what longs and shorts do not owe each other
the pool owes or is owed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perpkit._checks import is_number, not_negative, positive, share, typed
from perpkit.accounts import Accounts

NO_PRICE, FROZEN, LIVE, PERP = 0, 1, 2, 3
FEEDS = {"none": NO_PRICE, "frozen": FROZEN, "live": LIVE, "perp": PERP}


@dataclass(frozen=True)
class Feed:
    """Where the price comes from, and when there is none.

    Parameters
    ----------
    closed : the feed while the reference is closed. ``"none"``: no price, and nothing executes, liquidations included (Ostium, gTrade,
        Avantis). ``"frozen"``: trading goes on at the last print. ``"live"``: the value itself, around the clock. ``"perp"``: another
        venue's traded price, which follows the value as the pool's ``book`` says.
    half_spread_open, half_spread_closed : half the oracle's spread, log units. Longs close at the bid, shorts at the ask.
    delay_minutes : time after the reopening before anything executes (gTrade: 5, docs.gains.trade stocks page).
    trigger : price that condemns an account: ``"mid"`` (Ostium v1.2.4) or ``"fill"``, its own side of the spread (GMX v2).

    Raises
    ------
    ValueError
        If a name is unknown or a spread or delay is negative.
    """

    closed: str = "none"
    half_spread_open: float = 0.0002
    half_spread_closed: float = 0.0005
    delay_minutes: float = 0.0
    trigger: str = "mid"

    def __post_init__(self) -> None:
        typed(self)
        if self.closed not in FEEDS:
            raise ValueError(f"closed is one of {sorted(FEEDS)}; got {self.closed!r}")
        if self.trigger not in ("mid", "fill"):
            raise ValueError(f'trigger is "mid" or "fill"; got {self.trigger!r}')
        for name in ("half_spread_open", "half_spread_closed"):
            not_negative(name, getattr(self, name), "half a spread in log units")
        not_negative("delay_minutes", self.delay_minutes, "a time in minutes")


@dataclass(frozen=True)
class PoolMargin:
    """When an account is liquidated, whole: once its equity is below everything asked for here together. Build one with
    :func:`share_of_maximum`, :func:`loss_of_collateral` or :func:`share_of_notional`, or mix them.

    Parameters
    ----------
    max_leverage : the market's maximum leverage; a label, and the cap of the populations drawn for it.
    maintenance : share of the notional at the oracle that must be left.
    cushion : share of the notional at entry that must be left.
    loss, loss_high : share of the collateral that may be lost at a leverage of at most ``leverage_low`` and of at least ``leverage_high``;
        on a straight line in between.
    forfeits : whether the pool keeps what is left of a liquidated account.

    Raises
    ------
    ValueError
        If a share is out of range or the two leverages are out of order.
    """

    max_leverage: float = 10.0
    maintenance: float = 0.0
    cushion: float = 0.0
    loss: float = 1.0
    loss_high: float = 1.0
    leverage_low: float = 1.0
    leverage_high: float = 1.0
    forfeits: bool = False

    def __post_init__(self) -> None:
        typed(self)
        if not self.max_leverage >= 1.0:
            raise ValueError(f"max_leverage is 1 or more; got {self.max_leverage!r}")
        for name in ("maintenance", "cushion"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise ValueError(f"{name} is a share of notional, from 0 to below 1; got {value!r}")
        for name in ("loss", "loss_high"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise ValueError(f"{name} is the share of collateral that may be lost, above 0 and at most 1; got {value!r}")
        if not 1.0 <= self.leverage_low <= self.leverage_high < math.inf:
            raise ValueError(
                f"leverage_low and leverage_high are leverages in this order, 1 or more; got {self.leverage_low!r} and {self.leverage_high!r}"
            )

    def allowed_loss(self, leverage: np.ndarray) -> np.ndarray:
        """Share of the collateral that may be lost at a leverage, shape of ``leverage``."""
        if self.leverage_high == self.leverage_low:
            return np.where(leverage <= self.leverage_low, self.loss, self.loss_high)
        return np.interp(leverage, [self.leverage_low, self.leverage_high], [self.loss, self.loss_high])

    def cushion_per_share(self, accounts: Accounts) -> np.ndarray:
        """Equity a share below which an account is liquidated, USD, shape (n,); what ``maintenance`` asks for comes on top."""
        spare = (1.0 - self.allowed_loss(accounts.leverage)) * accounts.collateral / accounts.size
        return self.cushion * accounts.entry + spare


def share_of_maximum(theta: float = 0.25, max_leverage: float = 100.0) -> PoolMargin:
    """Ostium: liquidated once at most ``theta * leverage / max_leverage`` of the collateral is left, which is ``theta / max_leverage`` of the
    notional at entry whatever the leverage; the vault keeps it. Source: smart-contracts-public v1.2.4 (2025-06), theta 25 %, at most 50 %."""
    if not (is_number(theta) and 0.0 < theta <= 0.5):
        raise ValueError(f"theta is above 0 and at most 0.5; got {theta!r}")
    if not (is_number(max_leverage) and max_leverage >= 1.0):
        raise ValueError(f"max_leverage is 1 or more; got {max_leverage!r}")
    return PoolMargin(max_leverage, cushion=theta / max_leverage, forfeits=True)


def loss_of_collateral(
    loss: float = 0.9, max_leverage: float = 50.0, loss_high: float | None = None, leverage_low: float = 1.0, leverage_high: float = 1.0
) -> PoolMargin:
    """Liquidated once ``loss`` of the collateral is lost, nothing comes back: gTrade (90 % on stocks, falling with leverage elsewhere),
    Avantis (90 % in v1, 85 % in 2026)."""
    high = loss if loss_high is None else loss_high
    return PoolMargin(max_leverage, loss=loss, loss_high=high, leverage_low=leverage_low, leverage_high=leverage_high, forfeits=True)


def share_of_notional(cushion: float = 0.01, max_leverage: float = 50.0) -> PoolMargin:
    """Liquidated once equity is below a share of the notional at entry; the rest comes back: GMX v2 (add its closing fee to the share)."""
    return PoolMargin(max_leverage, cushion=cushion)


@dataclass(frozen=True)
class Fees:
    """Shares of notional at the fill. Closing fees are taken from what the trader has left.

    Parameters
    ----------
    open, close : position fee; nobody opens during a closure but the informed flow of :class:`~perpkit.pool.Pool`.
    liquidation : further fee on a liquidation.
    to_pool : share of all fees that the pool keeps; the rest goes to protocol and keepers.
    """

    open: float = 0.0
    close: float = 0.0
    liquidation: float = 0.0
    to_pool: float = 1.0

    def __post_init__(self) -> None:
        typed(self)
        for name in ("open", "close", "liquidation"):
            share(name, getattr(self, name), "a share of notional")
        share("to_pool", self.to_pool, "the pool's share of fees")


@dataclass(frozen=True)
class Stop:
    """A stop-loss on part of every account.

    Parameters
    ----------
    loss : share of the collateral lost at the stop's level, above 0 and below 1.
    share : share of every account that carries it.
    guaranteed : whether it fills at its own level wherever the oracle is (Avantis v1 contract), the pool paying the difference. Otherwise
        it fills like a liquidation, and its owner keeps what is left.
    """

    loss: float = 0.5
    share: float = 1.0
    guaranteed: bool = False

    def __post_init__(self) -> None:
        typed(self)
        if not 0.0 < self.loss < 1.0:
            raise ValueError(f"loss is the share of collateral lost at the stop, above 0 and below 1; got {self.loss!r}")
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share is the part of every account with a stop, above 0 and at most 1; got {self.share!r}")


@dataclass(frozen=True)
class Tranches:
    """Who owns the pool, and in which order its owners lose.

    Parameters
    ----------
    junior, senior : USD of each at the close, as shares of open interest. The pool can pay no more than both.
    split : share of a loss or gain that is the junior's. None: the junior loses first and in full (Ostium's buffer, gTrade's surplus
        collateral) and gains belong to it, or to the senior where there is no junior. Avantis v1 split 65 : 35. Neither loses more than
        it has.
    """

    junior: float = 0.0
    senior: float = 1.0
    split: float | None = None

    def __post_init__(self) -> None:
        typed(self)
        not_negative("junior", self.junior, "a share of open interest")
        positive("senior", self.senior, "a share of open interest")
        if self.split is not None:
            share("split", self.split, "the junior's share of the pool's result")

    @property
    def first_loss(self) -> float:
        """Loss of the pool that empties the tranche that loses first, or the whole pool without one; a share of open interest. With a split the
        junior is empty once its part of the loss is all it has, or the senior can take no more of its own."""
        part = 1.0 if self.split is None else self.split
        return min(self.junior / part if self.junior and part else math.inf, self.junior + self.senior)


@dataclass(frozen=True)
class Hedge:
    """An offsetting position in the stock, held outside for the pool's account and settled later.

    The hedge is set at the close. It trades only while the reference prints, and follows what the pool owes with a delay; it loses or gains
    the full move, whatever the pool collects.

    Parameters
    ----------
    share : share of the pool's net position that is hedged, 0 to 1.
    delay_minutes : time from a change of that position, or from the reopening if it changed before, to the hedge's trade.
    """

    share: float = 0.0
    delay_minutes: float = 0.0

    def __post_init__(self) -> None:
        typed(self)
        share("share", self.share, "the hedged share of the pool's position")
        not_negative("delay_minutes", self.delay_minutes, "a time in minutes")


@dataclass(frozen=True)
class Payouts:
    """What winners get at most.

    Parameters
    ----------
    max_gain : gain at which an account is closed, as a multiple of its collateral; the fill is at that level even if the oracle is past it
        (Ostium, gTrade v6.1: 9; Avantis equities: 10).
    daily : most the pool pays out net on the reopening day, as a share of the pool; what winners claim beyond is frozen, owed and not paid
        (gTrade's and Ostium's brake). Above 1 only what the pool has holds it back.
    adl_above, adl_to : profit of a side, as a share of the pool's part behind that side, above which winners are closed pro rata at the
        oracle, and down to which (GMX v2; the choice of accounts is the keeper's there).
    paid_up_to : share of the same beyond which every winner's profit is cut pro rata (GMX v2).
    side : part of the pool behind each side.
    """

    max_gain: float = math.inf
    daily: float = math.inf
    adl_above: float = math.inf
    adl_to: float | None = None
    paid_up_to: float = math.inf
    side: float = 0.5

    def __post_init__(self) -> None:
        typed(self)
        for name in ("max_gain", "daily", "adl_above", "paid_up_to"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} is above 0, or infinity for no limit; got {getattr(self, name)!r}")
        if self.adl_to is None:
            object.__setattr__(self, "adl_to", self.adl_above)
        if not 0.0 <= self.adl_to <= self.adl_above:
            raise ValueError(f"adl_to is from 0 to adl_above ({self.adl_above!r}); got {self.adl_to!r}")
        if not 0.0 < self.side <= 1.0:
            raise ValueError(f"side is the part of the pool behind a side, above 0 and at most 1; got {self.side!r}")
