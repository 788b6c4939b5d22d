"""Oracle: the reference price the venue publishes.

Open, it is the value. Closed, it is a rule: it stands still, follows the venue's own book in one of several ways, follows a correlated
instrument, or does not exist. A clamp limits how far one update may carry it, so that a reopening is a walk and not a jump; a wall limits
how far it may stand from the last external print while there is none.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from perpkit._checks import positive, share, typed
from perpkit._compile import compiled

FROZEN, IMPACT_EMA, NONE, LEVEL, LAST, DECAYING, PROXY = range(7)
NAMES = ("frozen", "impact average", "none", "impact level", "last average", "decaying weight", "proxy")
AVERAGED = (IMPACT_EMA, LEVEL, LAST, DECAYING)
"""Rules that average the venue's own book with the time constant ``tau``."""
NIGHT = 24.0
"""Hours: a shorter closure is a night, a longer one a weekend or holiday."""


@dataclass(frozen=True)
class Oracle:
    """A closed-market rule, a step clamp and a wall. Build one with :func:`frozen_oracle`, :func:`impact_oracle`, :func:`level_oracle`,
    :func:`last_oracle`, :func:`decaying_oracle`, :func:`proxy_oracle` or :func:`no_oracle`.

    Parameters
    ----------
    kind : one of the codes above.
    tau : time constant of the average of the own book, hours.
    cap : largest time one update may count for, as a share of ``tau`` (trade.xyz: c = 0.1).
    step : largest relative move of one update, or infinity. With infinity the oracle snaps to the first print.
    wall : largest relative distance from the last external print while closed, or infinity.
    night_tau : time constant in closures shorter than a day, hours; None is ``tau``.
    weight_tau : time constant with which the weight of the last external print decays, hours (``DECAYING``).
    r2 : share of the value's variance that the proxy explains (``PROXY``).
    """

    kind: int
    tau: float = math.inf
    cap: float = 1.0
    step: float = math.inf
    wall: float = math.inf
    night_tau: float | None = None
    weight_tau: float = math.inf
    r2: float = 1.0

    def __post_init__(self) -> None:
        typed(self)
        if self.kind not in range(len(NAMES)):
            raise ValueError(f"kind is one of the codes of perpkit.oracle, 0 to {len(NAMES) - 1}; got {self.kind!r}")
        if self.kind in AVERAGED:
            positive("tau", self.tau, "a time constant in hours")
        if self.night_tau is not None:
            positive("night_tau", self.night_tau, "a time constant in hours, or None for the one of weekends")
        if self.kind == DECAYING:
            positive("weight_tau", self.weight_tau, "the time constant of the last print's weight in hours")
        if not 0.0 < self.cap <= 1.0:
            raise ValueError(f"cap is a share of tau, above 0 and at most 1; got {self.cap!r}")
        if not self.step > 0.0:
            raise ValueError(f"step is the largest relative move of one update, above 0 (0.005 is 50 bp, infinity for none); got {self.step!r}")
        if self.step < math.inf and self.step >= 1.0:
            raise ValueError(f"step is a fraction of the price, below 1 (or infinity for none); got {self.step!r}")
        if not self.wall > 0.0 or 1.0 <= self.wall < math.inf:
            raise ValueError(f"wall is a fraction of the last external print, in (0, 1), or infinity for none; got {self.wall!r}")
        share("r2", self.r2, "the share of the value's variance that the proxy explains")

    def over(self, hours: float) -> Oracle:
        """The rule in a closure of ``hours``: with the night's time constant where the closure is one."""
        if self.night_tau is None:
            return self
        return dataclasses.replace(self, tau=self.night_tau if hours < NIGHT else self.tau, night_tau=None)


def frozen_oracle(step: float = math.inf) -> Oracle:
    """The last print stands while the reference is closed."""
    return Oracle(FROZEN, step=step)


def impact_oracle(tau: float, cap: float = 0.1, step: float = math.inf, wall: float = math.inf) -> Oracle:
    """The oracle follows the book, but only the part of the impact price beyond the oracle.

    trade.xyz oracle price page, 2025-12 (``tau`` 8 h, 1 h, 0.5 h at different dates). Bitget from 2026-06-04: the same form with 300 s and a
    ``wall`` of 10 % (third party, 2026-09).
    """
    return Oracle(IMPACT_EMA, tau=tau, cap=cap, step=step, wall=wall)


def level_oracle(tau: float, night_tau: float | None = None, step: float = math.inf, wall: float = math.inf) -> Oracle:
    """The oracle follows the level of the book: an exponential average of the mean of impact bid and ask, ``tau`` hours.

    Felix, single-ticker equities page, 2025-11: 8 h at weekends, 1 h (``night_tau``) on weekday nights. Unlike :func:`impact_oracle` it moves
    while it lies between the impact prices.
    """
    return Oracle(LEVEL, tau=tau, night_tau=night_tau, step=step, wall=wall)


def last_oracle(tau: float, step: float = math.inf, wall: float = math.inf) -> Oracle:
    """The oracle is an exponential average of the last trade, ``tau`` hours.

    Binance equity perps since 2026-05-15; the constant is not published, estimates are 300 to 600 s (third party, 2026-08).
    """
    return Oracle(LAST, tau=tau, step=step, wall=wall)


def decaying_oracle(tau: float, weight_tau: float, step: float = math.inf, wall: float = math.inf) -> Oracle:
    """The last external print, its weight decaying with ``weight_tau`` hours; the rest is an exponential average of the impact price, ``tau``
    hours. Back at once when the reference prints.

    Lighter, RWA pricing page: ``weight_tau`` 1 min, ``tau`` 1 h (2026-04) or 30 min (later); ``wall`` 0.75 over the market's leverage, less
    0.005. The average of the impact price is taken to start from the last print.
    """
    return Oracle(DECAYING, tau=tau, weight_tau=weight_tau, step=step, wall=wall)


def proxy_oracle(r2: float, step: float = math.inf, wall: float = math.inf) -> Oracle:
    """The oracle is the best guess of the value from a correlated instrument that trades: a token, an index future, other perps.

    With ``r2`` the share of variance explained, the log oracle is ``r2`` times the log value plus a random walk of variance ``r2 (1 - r2)``
    times the gap's over the closure, so that its correlation with the value is the square root of ``r2``. ``r2`` of 1 is a live oracle.
    Kraken reads the token, Chainlink's 24/7 stream other perps (docs, read 2026-10); what they explain is not published. The walk has a
    stream of random numbers of its own, the same for every machine.
    """
    return Oracle(PROXY, step=step, wall=wall, r2=r2)


def no_oracle(step: float = math.inf) -> Oracle:
    """No price while closed: no mark, no funding, no margin call until the first print (Ostium, gTrade)."""
    return Oracle(NONE, step=step)


def gain(oracle: Oracle, update_s: float, updates: int) -> float:
    """Weight of the own book after ``updates`` updates ``update_s`` seconds apart: ``1 - beta**updates``."""
    if oracle.kind not in AVERAGED:
        return 0.0
    counted = min(update_s / 3600.0, oracle.cap * oracle.tau)
    return -math.expm1(-updates * counted / oracle.tau)


def proxy_path(oracle: Oracle, sd: float, values: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Log price of the proxy's guess at each closed step, relative to the last print; arrays of shape (weekends, closed steps).

    ``sd`` is the standard deviation of the gap, ``values`` the log value, ``normals`` standard normals. Empty unless the rule is a proxy.
    """
    if oracle.kind != PROXY:
        return np.zeros((len(values), 0))
    closed = normals.shape[1]
    noise = sd * math.sqrt(oracle.r2 * (1.0 - oracle.r2) / closed)
    return oracle.r2 * values[:, :closed] + noise * np.cumsum(normals, axis=1)


@compiled
def impact_difference(oracle: float, impact_bid: float, impact_ask: float) -> float:
    """How far the impact bid stands above the oracle, or the impact ask below it; zero in between (the dead zone). All USD."""
    return max(impact_bid - oracle, 0.0) - max(oracle - impact_ask, 0.0)


@compiled
def closed_target(kind, oracle, gain, impact_bid, impact_ask, last, external, internal, weight, proxy) -> float:
    """Where a closed oracle goes, before clamp and wall, USD.

    ``external`` is the last external print, ``weight`` what is left of its weight, ``internal`` the average that takes the rest, ``proxy`` the
    proxy's guess.
    """
    if kind == IMPACT_EMA:
        return oracle + gain * impact_difference(oracle, impact_bid, impact_ask)
    if kind == LEVEL:
        return oracle + gain * (0.5 * (impact_bid + impact_ask) - oracle)
    if kind == LAST:
        return oracle + gain * (last - oracle)
    if kind == DECAYING:
        return weight * external + (1.0 - weight) * internal
    if kind == PROXY:
        return proxy
    return oracle


@compiled
def step_towards(price: float, target: float, down: float, up: float) -> float:
    """``target``, or as far towards it from ``price`` as the factors ``down`` <= 1 <= ``up`` allow."""
    return min(max(target, price * down), price * up)
