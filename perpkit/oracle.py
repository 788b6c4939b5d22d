"""Oracle: the reference price the venue publishes.

Open, it is the value. Closed, it is a rule. A clamp limits how far one update may carry it, so that a reopening is a walk and not a jump.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from perpkit._checks import positive
from perpkit._compile import compiled

FROZEN, IMPACT_EMA, NONE = 0, 1, 2


@dataclass(frozen=True)
class Oracle:
    """A closed-market rule and a step clamp. Build one with :func:`frozen_oracle`, :func:`impact_oracle` or :func:`no_oracle`.

    Parameters
    ----------
    kind : ``FROZEN``, ``IMPACT_EMA`` or ``NONE``.
    tau : time constant of the impact average, hours.
    cap : largest time one update may count for, as a share of ``tau`` (trade.xyz: c = 0.1).
    step : largest relative move of one update, or infinity. With infinity the oracle snaps to the first print.
    """

    kind: int
    tau: float = math.inf
    cap: float = 1.0
    step: float = math.inf

    def __post_init__(self) -> None:
        if self.kind not in (FROZEN, IMPACT_EMA, NONE):
            raise ValueError(f"kind is oracle.FROZEN, oracle.IMPACT_EMA or oracle.NONE; got {self.kind!r}")
        if self.kind == IMPACT_EMA:
            positive("tau", self.tau, "a time constant in hours")
        if not 0.0 < self.cap <= 1.0:
            raise ValueError(f"cap is a share of tau, above 0 and at most 1; got {self.cap!r}")
        if not self.step > 0.0:
            raise ValueError(f"step is the largest relative move of one update, above 0 (0.005 is 50 bp, infinity for none); got {self.step!r}")
        if self.step < math.inf and self.step >= 1.0:
            raise ValueError(f"step is a fraction of the price, below 1 (or infinity for none); got {self.step!r}")


def frozen_oracle(step: float = math.inf) -> Oracle:
    """The last print stands while the reference is closed."""
    return Oracle(FROZEN, step=step)


def impact_oracle(tau: float, cap: float = 0.1, step: float = math.inf) -> Oracle:
    """The oracle follows the book, but only the part of the impact price beyond the oracle (trade.xyz oracle price page, 2025-12)."""
    return Oracle(IMPACT_EMA, tau=tau, cap=cap, step=step)


def no_oracle(step: float = math.inf) -> Oracle:
    """No price while closed: no mark, no funding, no margin call until the first print (Ostium, gTrade)."""
    return Oracle(NONE, step=step)


def gain(oracle: Oracle, update_s: float, updates: int) -> float:
    """Weight of the impact price after ``updates`` updates ``update_s`` seconds apart: ``1 - beta**updates``."""
    if oracle.kind != IMPACT_EMA:
        return 0.0
    counted = min(update_s / 3600.0, oracle.cap * oracle.tau)
    return -math.expm1(-updates * counted / oracle.tau)


@compiled
def impact_difference(oracle: float, impact_bid: float, impact_ask: float) -> float:
    """How far the impact bid stands above the oracle, or the impact ask below it; zero in between (the dead zone). All USD."""
    return max(impact_bid - oracle, 0.0) - max(oracle - impact_ask, 0.0)


@compiled
def step_towards(price: float, target: float, down: float, up: float) -> float:
    """``target``, or as far towards it from ``price`` as the factors ``down`` <= 1 <= ``up`` allow."""
    return min(max(target, price * down), price * up)
