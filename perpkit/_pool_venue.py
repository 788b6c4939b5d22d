"""From the words of ``venues.toml`` to a pool: one function a part. Yearly rates become hourly ones here."""

from __future__ import annotations

import math

from perpkit._rulebook import Values
from perpkit.book import Book
from perpkit.pool import (
    Carry,
    Feed,
    Fees,
    Hedge,
    Impact,
    Payouts,
    Pool,
    PoolMargin,
    Stop,
    Tranches,
    imbalance_impact,
    loss_of_collateral,
    no_impact,
    share_of_maximum,
    share_of_notional,
    skew_impact,
)

YEAR = 8760.0
"""Hours."""
MARGINS = ("share-of-maximum", "loss-of-collateral", "share-of-notional")
SIZES = ("none", "imbalance", "skew")


def pool_machine(name: str, market: str, value: Values, book: Book) -> Pool:
    """The pool of one set of rules; ``book`` is that of the other venue a feed may read."""
    margin, closed = _margin(value)
    parts = ("feed.closed", "feed.half_spread_open", "feed.half_spread_closed", "feed.delay_minutes", "feed.trigger")
    limits = ("payouts.max_gain", "payouts.daily", "payouts.adl_above", "payouts.adl_to", "payouts.paid_up_to")
    tranches = ("tranches.junior", "tranches.senior", "tranches.split")
    return Pool(
        name=name,
        market=market,
        asof=value["from"].isoformat(),
        feed=Feed(**value.held(*parts)),
        impact=_impact(value),
        margin=margin,
        margin_closed=closed,
        carry=_carry(value),
        fees=Fees(**value.held("fees.close", "fees.liquidation", "fees.to_pool")),
        stop=Stop(value["stop.loss"], value["stop.share"], guaranteed=True) if value["stop.guaranteed"] else None,
        tranches=Tranches(**value.held(*tranches)),
        hedge=Hedge(**value.held("hedge.share", "hedge.delay_minutes")),
        payouts=Payouts(**value.held(*limits)),
        overnight_leverage=value["overnight.leverage"],
        overnight=value.get("overnight.how", "reduce"),
        book=book,
    )


def _margin(value: Values) -> tuple[PoolMargin, PoolMargin | None]:
    cap = value["margin.max_leverage"]
    match value["margin.rule"]:
        case "share-of-maximum":
            return share_of_maximum(value["margin.theta"], cap), None
        case "loss-of-collateral":
            return loss_of_collateral(value["margin.loss"], cap), None
        case "share-of-notional":
            closed = value.get("margin.cushion_closed")
            return share_of_notional(value["margin.cushion"], cap), None if closed is None else share_of_notional(closed, cap)
    raise value.unknown("margin.rule", MARGINS)


def _impact(value: Values) -> Impact:
    match value["size.rule"]:
        case "none":
            return no_impact()
        case "imbalance":
            return imbalance_impact(
                value["size.worsen"], value["size.improve"], value["size.power"], value["size.power_improve"], value["size.most_paid"], value["size.most_got"]
            )
        case "skew":
            return skew_impact(value["size.scale"])
    raise value.unknown("size.rule", SIZES)


def _carry(value: Values) -> Carry:
    yearly = value.held("carry.rollover", "carry.base", "carry.top", "carry.cap", "carry.floor")
    rates = {key: rate / YEAR if math.isfinite(rate) else rate for key, rate in yearly.items()}
    rest = ("carry.kink", "carry.reserve", "carry.larger_only", "carry.protocol", "carry.threshold", "carry.skew_scale", "carry.closed_factor", "carry.when_closed")
    speed = {"velocity": value["carry.velocity"] / YEAR} if "carry.velocity" in value else {}
    return Carry(**rates, **value.held(*rest), **speed)
