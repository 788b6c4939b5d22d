"""From the words of ``venues.toml`` to a machine with a book: one function a part."""

from __future__ import annotations

import math

from perpkit._rulebook import Values
from perpkit.band import Band, no_band, oracle_band, ratchet, static_band
from perpkit.batch import Batch
from perpkit.book import Book
from perpkit.funding import Funding
from perpkit.machine import Machine
from perpkit.margin import Margin
from perpkit.mark import BasisMark, ImpactMedian, LastMedian, LocalMedian, Mark, Median, Mid, OracleMark
from perpkit.oracle import (
    Oracle,
    decaying_oracle,
    frozen_oracle,
    impact_oracle,
    last_oracle,
    level_oracle,
    no_oracle,
    proxy_oracle,
)
from perpkit.waterfall import ORDERS, Backstop, Liquidation, limit_only, lp_fund, zero_price

ORACLES = ("frozen", "impact-ema", "level-ema", "last-ema", "decaying", "proxy", "none")
MARKS = ("median", "median-local", "oracle", "mid", "impact-median", "last-median", "last-average", "basis")
BANDS = ("none", "static", "ratchet", "oracle")


def book_machine(name: str, market: str, value: Values, book: Book) -> Machine:
    """The machine of one set of rules, on ``book``."""
    keys = ("premium", "interest_8h", "clamp_8h", "multiplier", "cap_per_hour", "when_closed")
    return Machine(
        name=name,
        market=market,
        asof=value["from"].isoformat(),
        oracle=_oracle(value),
        mark=_mark(value),
        mark_step=value["mark.step"],
        band=_band(value),
        funding=Funding(**{key: value[f"funding.{key}"] for key in keys}),
        margin=Margin(value["margin.max_leverage"], value["margin.maintenance_share"] / value["margin.max_leverage"]),
        liquidation=_liquidation(value),
        backstop=_backstop(value),
        insurance=value["insurance.size"],
        adl=value["adl.rule"],
        batch=Batch(value.get("batch.interval_s", 0.0)),
        impact_notional=value["impact.notional"],
        book=book,
    )


def _oracle(value: Values) -> Oracle:
    step, wall = value["oracle.step"], value.get("oracle.wall", math.inf)
    match value["oracle.rule"]:
        case "frozen":
            return frozen_oracle(step)
        case "impact-ema":
            return impact_oracle(value["oracle.tau"], value["oracle.cap"], step, wall)
        case "level-ema":
            return level_oracle(value["oracle.tau"], value.get("oracle.night_tau"), step, wall)
        case "last-ema":
            return last_oracle(value["oracle.tau"], step, wall)
        case "decaying":
            return decaying_oracle(value["oracle.tau"], value["oracle.weight_tau"], step, wall)
        case "proxy":
            return proxy_oracle(value["oracle.r2"], step, wall)
        case "none":
            return no_oracle(step)
    raise value.unknown("oracle.rule", ORACLES)


def _mark(value: Values) -> Mark:
    match value["mark.rule"]:
        case "median":
            return Median(value["mark.basis_s"])
        case "median-local":
            return LocalMedian(value["mark.local_s"], value["mark.basis_s"])
        case "oracle":
            return OracleMark()
        case "mid":
            return Mid()
        case "impact-median":
            return ImpactMedian(value["mark.clamp"], value["mark.basis_s"], value["mark.weight_s"], value["mark.internal_s"])
        case "last-median":
            return LastMedian(value["mark.last_s"], value["mark.basis_s"], value["mark.interval_h"])
        case "last-average":
            return LastMedian(value["mark.last_s"], value["mark.basis_s"], value["mark.interval_h"], alone=True)
        case "basis":
            return BasisMark(value["mark.basis_s"])
    raise value.unknown("mark.rule", MARKS)


def _band(value: Values) -> Band:
    match value["band.rule"]:
        case "none":
            return no_band()
        case "static":
            return static_band(value["band.width"])
        case "ratchet":
            return ratchet(value["band.width"], value["band.trigger"], value["band.resets"])
        case "oracle":
            return oracle_band(value["band.width"])
    raise value.unknown("band.rule", BANDS)


def _liquidation(value: Values) -> Liquidation:
    fee = value["liquidation.fee"]
    match value.get("liquidation.orders", "market"):
        case "market":
            threshold = value["liquidation.partial_threshold"]
            parts = {} if math.isinf(threshold) else value.held("liquidation.partial_share", "liquidation.cooldown_s")
            return Liquidation(partial_threshold=threshold, fee=fee, **parts)
        case "limit":
            return limit_only(value["liquidation.order_band"], fee)
        case "zero-price":
            return zero_price(fee)
    raise value.unknown("liquidation.orders", ORDERS)


def _backstop(value: Values) -> Backstop:
    if "backstop.size" in value:
        return lp_fund(value["backstop.size"], value["backstop.margin"], value["backstop.threshold"])
    return Backstop(value["backstop.capacity"], value["backstop.threshold"])
