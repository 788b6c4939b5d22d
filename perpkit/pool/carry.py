"""Carry: what holding a position against the pool costs by the hour. None of it looks at a price, so none of it can pull one.

Three parts: a rollover that both sides pay; borrowing that rises with use of the pool, steeper past a kink; and funding whose *rate* moves
with the skew for as long as the skew lasts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from perpkit._checks import not_negative, share, typed
from perpkit._compile import compiled


@dataclass(frozen=True)
class Carry:
    """Rates per hour, charged on the hour on the notional at the oracle.

    Parameters
    ----------
    rollover : both sides pay it to the pool (Ostium: overnight rate plus 1 to 2 % a year; Avantis: 10 % a year on TSLA).
    base, top, kink : borrowing at a use u of the pool is ``base u + (top - base) (u - kink)+ / (1 - kink)`` (GMX v2).
    reserve : use of 1 is open interest of this multiple of the pool's part behind the side.
    larger_only : only the larger side borrows.
    protocol : share of borrowing that is not the pool's.
    velocity : hourly change of the funding rate at full skew. The rate is what longs pay, shorts get it; negative the other way.
    start : funding rate at the close.
    cap, floor : largest and smallest absolute funding rate while it runs.
    threshold : skew below which the rate rests.
    skew_scale : full skew, as a multiple of open interest (Synthetix v3, where the pool is paid the difference of the sides). None: full
        skew is a side with nobody opposite, the smaller side gets what the larger pays, and none is charged when a side is empty (GMX v2).
    closed_factor : factor on borrowing while the reference is closed.
    when_closed : whether any carry is charged while the reference is closed.

    Raises
    ------
    ValueError
        If a rate is negative or a share out of range.
    """

    rollover: float = 0.0
    base: float = 0.0
    top: float = 0.0
    kink: float = 0.75
    reserve: float = 0.9
    larger_only: bool = True
    protocol: float = 0.0
    velocity: float = 0.0
    start: float = 0.0
    cap: float = math.inf
    floor: float = 0.0
    threshold: float = 0.0
    skew_scale: float | None = None
    closed_factor: float = 1.0
    when_closed: bool = True

    def __post_init__(self) -> None:
        typed(self)
        for name in ("rollover", "base", "top", "velocity", "floor", "threshold", "closed_factor"):
            not_negative(name, getattr(self, name), "part of the hourly carry")
        share("protocol", self.protocol, "the protocol's share of borrowing")
        if not 0.0 <= self.kink < 1.0:
            raise ValueError(f"kink is a use of the pool, from 0 to below 1; got {self.kink!r}")
        if not 0.0 < self.reserve < math.inf:
            raise ValueError(f"reserve is a multiple of the pool, above 0; got {self.reserve!r}")
        if not self.floor <= self.cap:
            raise ValueError(f"floor of {self.floor!r} is above the cap of {self.cap!r}; lower it")
        if not abs(self.start) <= self.cap:
            raise ValueError(f"start is a rate per hour within the cap of {self.cap!r}; got {self.start!r}")
        if self.skew_scale is not None and not 0.0 < self.skew_scale < math.inf:
            raise ValueError(f"skew_scale is a multiple of open interest, above 0, or None; got {self.skew_scale!r}")


@compiled
def borrowing(use: float, base: float, top: float, kink: float) -> float:
    """Hourly borrowing rate at a use of the pool; use counts for at most 1."""
    u = min(use, 1.0)
    return base * u + (top - base) * max(u - kink, 0.0) / (1.0 - kink)


@compiled
def next_rate(rate: float, skew: float, velocity: float, threshold: float, cap: float, floor: float) -> float:
    """Funding rate an hour later. It rests while the skew is small and leans the way the rate does."""
    if velocity <= 0.0 or (abs(skew) <= threshold and skew * rate >= 0.0):
        return rate
    moved = min(max(rate + velocity * skew, -cap), cap)
    if abs(moved) < floor and skew != 0.0:
        return math.copysign(floor, skew)
    return moved


@compiled
def hourly_carry(rules, rate: float, longs: float, shorts: float, closed: bool):
    """What a dollar of longs and one of shorts pay over an hour, the protocol's part of it in USD, and the funding rate afterwards.

    ``longs`` and ``shorts`` are open interest in USD, ``rate`` the funding rate at the hour's start. Funding accrues at the mean of the
    rates at both ends.
    """
    if closed and rules.carry_closed <= 0.0:
        return 0.0, 0.0, 0.0, rate
    longs = longs if longs > rules.dust else 0.0  # what rounding leaves of a side is nobody, and would be paid a fortune
    shorts = shorts if shorts > rules.dust else 0.0
    factor = rules.closed_factor if closed else 1.0
    room = rules.reserve * rules.side_value
    long_borrow = factor * borrowing(longs / room, rules.base, rules.top, rules.kink)
    short_borrow = factor * borrowing(shorts / room, rules.base, rules.top, rules.kink)
    if rules.larger_only > 0.0:
        if longs < shorts:
            long_borrow = 0.0
        if shorts < longs:
            short_borrow = 0.0
    both = longs + shorts
    if rules.skew_scale > 0.0:
        skew = min(max((longs - shorts) / rules.skew_scale, -1.0), 1.0)
    else:
        skew = (longs - shorts) / both if both > 0.0 else 0.0
    after = next_rate(rate, skew, rules.velocity, rules.threshold, rules.cap, rules.floor)
    mean = 0.5 * (rate + after)
    long_fund = short_fund = 0.0
    if rules.skew_scale > 0.0:
        long_fund, short_fund = mean, -mean
    elif longs > 0.0 and shorts > 0.0:
        if mean >= 0.0:
            long_fund, short_fund = mean, -mean * longs / shorts
        else:
            long_fund, short_fund = mean * shorts / longs, -mean
    protocol = rules.protocol * (long_borrow * longs + short_borrow * shorts)
    return rules.rollover + long_borrow + long_fund, rules.rollover + short_borrow + short_fund, protocol, after
