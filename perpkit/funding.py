"""Funding: what the premium costs.

The premium is sampled at every step, averaged over the hour, pushed through interest and a clamp, scaled and capped, and paid on the hour
at the oracle price. It moves money between accounts and creates none.
"""

from __future__ import annotations

from dataclasses import dataclass

from perpkit._checks import not_negative, typed
from perpkit._compile import compiled
from perpkit.oracle import impact_difference

DEAD_ZONE, IMPACT_MID = 0, 1
PREMIA = {"dead-zone": DEAD_ZONE, "impact-mid": IMPACT_MID}


@dataclass(frozen=True)
class Funding:
    """Funding rule.

    Parameters
    ----------
    premium : ``"dead-zone"`` (Hyperliquid core: only the impact price beyond the oracle counts) or ``"impact-mid"`` (HIP-3).
    interest_8h : interest per 8 hours.
    clamp_8h : half-width of the clamp around the premium, per 8 hours.
    multiplier : factor on the rate (trade.xyz: 0.5 since 2025-12-19).
    cap_per_hour : largest absolute rate per hour.
    when_closed : whether funding is charged while the reference is closed.

    Raises
    ------
    ValueError
        If ``premium`` is unknown, or a clamp, multiplier or cap is negative.
    """

    premium: str = "impact-mid"
    interest_8h: float = 1e-4
    clamp_8h: float = 5e-4
    multiplier: float = 1.0
    cap_per_hour: float = 0.04
    when_closed: bool = True

    def __post_init__(self) -> None:
        typed(self)
        if self.premium not in PREMIA:
            raise ValueError(f"premium is one of {sorted(PREMIA)}; got {self.premium!r}")
        for name in ("clamp_8h", "multiplier", "cap_per_hour"):
            not_negative(name, getattr(self, name), "part of the funding rate")
        if not -1.0 < self.interest_8h < 1.0:
            raise ValueError(f"interest_8h is a rate per 8 hours, between -1 and 1; got {self.interest_8h!r}")

    @property
    def kappa(self) -> float:
        """Linear funding intensity on the premium, per hour, away from the clamp: ``multiplier / 8``."""
        return self.multiplier / 8.0


@compiled
def premium(kind: int, oracle: float, impact_bid: float, impact_ask: float) -> float:
    """Relative distance of the book from the oracle. Source: Hyperliquid funding page (both forms), read 2026-10."""
    if kind == IMPACT_MID:
        return 0.5 * (impact_bid + impact_ask) / oracle - 1.0
    return impact_difference(oracle, impact_bid, impact_ask) / oracle


@compiled
def hourly_rate(average: float, interest_8h: float, clamp_8h: float, multiplier: float, cap_per_hour: float) -> float:
    """Rate for the hour from the hour's mean premium: positive when longs pay."""
    rate = average + min(max(interest_8h - average, -clamp_8h), clamp_8h)
    return min(max(multiplier * rate / 8.0, -cap_per_hour), cap_per_hour)
