"""Rules of a pool as its compiled kernel reads them: numbers in USD and steps."""

from __future__ import annotations

import math
from typing import NamedTuple

from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.pool.machine import Pool
from perpkit.pool.parts import FEEDS


class Rules(NamedTuple):
    """Scalars of one pool, amounts in USD. Codes and switches are floats so that the tuple has one type."""

    price: float
    open_interest: float
    feed: float
    trigger_fill: float
    half_spread_open: float
    half_spread_closed: float
    delay_steps: float
    maintenance_open: float
    maintenance_closed: float
    forfeits: float
    impact: float
    impact_scale: float
    worsen: float
    improve: float
    power_worsen: float
    power_improve: float
    most_paid: float
    most_got: float
    rollover: float
    base: float
    top: float
    kink: float
    reserve: float
    larger_only: float
    protocol: float
    velocity: float
    start_rate: float
    cap: float
    floor: float
    threshold: float
    skew_scale: float
    closed_factor: float
    carry_closed: float
    fee_open: float
    fee_close: float
    fee_liquidation: float
    fee_to_pool: float
    guaranteed: float
    pool_value: float
    junior: float
    first_loss: float
    split: float
    hedge: float
    hedge_steps: float
    daily: float
    adl_above: float
    adl_to: float
    paid_up_to: float
    side_value: float
    refund: float
    informed: float
    dust: float


def rules_of(machine: Pool, accounts: Accounts, closure: Closure) -> Rules:
    """The rules of a pool for one population and clock."""
    interest = accounts.open_interest
    feed, impact, carry, fees, payouts, hedge = machine.feed, machine.impact, machine.carry, machine.fees, machine.payouts, machine.hedge
    shut = machine.margin if machine.margin_closed is None else machine.margin_closed
    tranches = machine.tranches
    pool_value = (tranches.junior + tranches.senior) * interest
    numbers = dict(
        price=accounts.price,
        open_interest=interest,
        feed=FEEDS[feed.closed],
        trigger_fill=feed.trigger == "fill",
        half_spread_open=feed.half_spread_open,
        half_spread_closed=feed.half_spread_closed,
        delay_steps=steps(feed.delay_minutes, closure),
        maintenance_open=machine.margin.maintenance,
        maintenance_closed=shut.maintenance,
        forfeits=machine.margin.forfeits,
        impact=impact.kind,
        impact_scale=impact.scale,
        worsen=impact.worsen,
        improve=impact.improve,
        power_worsen=impact.power_worsen,
        power_improve=impact.power_improve,
        most_paid=impact.most_paid,
        most_got=impact.most_got,
        rollover=carry.rollover,
        base=carry.base,
        top=carry.top,
        kink=carry.kink,
        reserve=carry.reserve,
        larger_only=carry.larger_only,
        protocol=carry.protocol,
        velocity=carry.velocity,
        start_rate=carry.start,
        cap=carry.cap,
        floor=carry.floor,
        threshold=carry.threshold,
        skew_scale=0.0 if carry.skew_scale is None else carry.skew_scale * interest,
        closed_factor=carry.closed_factor,
        carry_closed=carry.when_closed,
        fee_open=fees.open,
        fee_close=fees.close,
        fee_liquidation=fees.liquidation,
        fee_to_pool=fees.to_pool,
        guaranteed=machine.stop is not None and machine.stop.guaranteed,
        pool_value=pool_value,
        junior=tranches.junior * interest,
        first_loss=tranches.first_loss * interest,
        split=-1.0 if tranches.split is None else tranches.split,
        hedge=hedge.share,
        hedge_steps=steps(hedge.delay_minutes, closure),
        daily=payouts.daily,
        adl_above=payouts.adl_above,
        adl_to=payouts.adl_to,
        paid_up_to=payouts.paid_up_to,
        side_value=payouts.side * pool_value,
        refund=machine.refund,
        informed=machine.informed,
        dust=1e-12 * interest,
    )
    return Rules(**{name: float(number) for name, number in numbers.items()})


def steps(minutes: float, closure: Closure) -> int:
    """Updates in a time after the reopening, rounded up."""
    return math.ceil(minutes * 60.0 / closure.update_s - 1e-9)
