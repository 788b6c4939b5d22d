"""How much news a closed-window perpetual carries under the funding rule as venues write it: interest, clamp, cap and dead zones.

The setting of ``closure``, with the two linear laws replaced by the venues' own. The oracle follows only what the impact prices show beyond it,
``O' = soft(g, h) / tau``, where g is the log price less the log oracle, h half the impact spread and ``soft(x, h)`` is x moved h
towards 0. Funding per hour is ``F(g) = kappa (I + soft(p - I, d))``, the premium p being g itself or ``soft(g, h)``, I the
interest and d the clamp, both a funding interval's; a cap limits it.

All the news v of the closure is known at its start. Then zero profit means that the price gains what funding takes, ``f' = F(f - O)``, with
``f(T) = v``, and the gap obeys one equation of its own, ``g' = F(g) - soft(g, h) / tau``. Gaps never cross and F never falls, so
``v = g(0) + int F`` rises strictly with g(0): the price is unique, although a clamp alone leaves a stretch of premiums that cost
nothing (Dai, Li and Yang 2025), because the reference's return pins the end. Both laws are straight between a few corners, so the path is
a chain of exponentials, exact to rounding; only the start is found by bisection.

Further assumptions: funding accrues continuously (venues average an hour and pay on the hour), log returns stand for simple ones, nobody
is short of capital, no band, no margin call. That nothing more is expected matters most: ``expecting`` drops it, and the bends of small news
all but vanish. Derived for this project.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import exprel

from perpkit.theory._check import checked, finite, memory, not_negative, positive

PREMIA = ("dead-zone", "impact-mid")
_FAR = 1e3  # a gap of a thousand log units: the search has gone astray and need not be followed


class ClampedPath(NamedTuple):
    """A price path through a closure and what a holder keeps of the news."""

    ratio: float
    """Share of the news carried (kept) at the start: price, less the price without news, over news."""
    price: np.ndarray
    """Log price over the closing print at ``hours``."""
    oracle: np.ndarray
    """Log oracle over the closing print."""
    paid: np.ndarray
    """Funding a long has paid since the start, log units."""
    hours: np.ndarray
    """Hours since the close."""


class Laws(NamedTuple):
    """Funding and oracle speed as functions of the gap, straight between the corners."""

    corners: np.ndarray
    kappa: float
    tau: float
    clamp: float
    zone: float
    interest: float
    mid: bool
    cap: float

    def funding(self, gap):
        premium = gap if self.mid else _soft(gap, self.zone)
        return np.clip(self.kappa * (self.interest + _soft(premium - self.interest, self.clamp)), -self.cap, self.cap)

    def speed(self, gap):
        return _soft(gap, self.zone) / self.tau


def pass_through_clamped(
    news,
    kappa,
    tau,
    hours,
    clamp=0.0,
    dead_zone=0.0,
    interest=0.0,
    premium: str = "impact-mid",
    cap=np.inf,
    points: int = 97,
) -> ClampedPath:
    """Equilibrium price path for a known piece of news, and the share R of it carried at the start.

    With no clamp, dead zone, interest or cap this is :func:`pass_through`. Numbers only. With interest R is the price over what it would be
    without news, per unit of news, so that the carry of a quiet weekend is not counted as discovery.

    Parameters
    ----------
    news
        Log return of the reference from its last print to its next, known from the start; not 0.
    kappa
        Funding intensity per hour away from the clamp: the multiplier over 8 for a premium paid over eight hours.
    tau
        Time constant of the oracle in hours (inf: frozen).
    hours
        Length of the closure.
    clamp
        Half-width d of the clamp, a share a funding interval (0.0005 is 5 bp).
    dead_zone
        Half the impact spread h, log units.
    interest
        Interest I, a share a funding interval.
    premium
        ``"impact-mid"`` (HIP-3: mean of the impact prices over the oracle) or ``"dead-zone"`` (Hyperliquid core: only beyond the spread).
    cap
        Largest funding an hour.
    points
        Points of the returned path, evenly spaced, at least 2.

    Raises
    ------
    ValueError
        If news is zero or not finite, a rate, width or length is negative, tau not positive, ``premium`` unknown, or the closure is so long
        that no price can be resolved.
    """
    laws, move, grid = check_laws(news, kappa, tau, hours, clamp, dead_zone, interest, premium, cap, points)
    gap, paid = _landed(laws, move, grid)
    opening = move - paid[-1]
    quiet = -_landed(laws, 0.0, grid)[1][-1] if laws.interest != 0 else 0.0
    price = opening + paid
    return ClampedPath(float((opening - quiet) / move), price, price - gap, paid, grid)


def keep_ratio_clamped(
    news,
    kappa,
    tau,
    hours,
    clamp=0.0,
    dead_zone=0.0,
    interest=0.0,
    premium: str = "impact-mid",
    cap=np.inf,
    points: int = 97,
) -> ClampedPath:
    """The other reading: the price jumps to fair value and stays there, and a long keeps the news less the funding paid on it.

    ``g' = -soft(g, h) / tau`` from g = news; ``ratio = 1 - int F(g) / news``, with the funding of a quiet closure taken out where there is
    interest. With no clamp, dead zone, interest or cap this is :func:`keep_ratio`. Arguments and errors of :func:`pass_through_clamped`.
    """
    laws, move, grid = check_laws(news, kappa, tau, hours, clamp, dead_zone, interest, premium, cap, points)
    gap, paid = _follow(laws, move, grid, lambda gap: -laws.speed(gap))
    quiet = _follow(laws, 0.0, grid, lambda gap: -laws.speed(gap))[1][-1] if laws.interest != 0 else 0.0
    return ClampedPath(float(1.0 - (paid[-1] - quiet) / move), np.full(grid.size, move), move - gap, paid, grid)


def _soft(x, width):
    return np.sign(x) * np.maximum(np.abs(x) - width, 0.0)


def check_laws(news, kappa, tau, hours, clamp, dead_zone, interest, premium, cap, points) -> tuple[Laws, float, np.ndarray]:
    """Checked laws, news and time grid of both readings; errors of :func:`pass_through_clamped`."""
    move = float(checked("news", news, lambda x: np.isfinite(x) & (x != 0), "is a log return other than 0"))
    intensity = float(not_negative("kappa", kappa, "a funding intensity per hour"))
    lag = float(memory("tau", tau))
    total = float(positive("hours", hours, "the length of the closure"))
    width = float(not_negative("clamp", clamp, "half the flat stretch of funding, a share"))
    zone = float(not_negative("dead_zone", dead_zone, "half the impact spread, log units"))
    rate = float(finite("interest", interest, "a share a funding interval"))
    top = float(checked("cap", cap, lambda x: x > 0, "is the largest funding an hour, above 0"))
    if premium not in PREMIA:
        raise ValueError(f"premium is one of {list(PREMIA)}; got {premium!r}")
    count = int(checked("points", points, lambda x: (x >= 2) & (x == np.floor(x)) & np.isfinite(x), "is a whole number of points from 2"))
    mid = premium == "impact-mid"
    bends = [rate - width, rate + width]
    if intensity > 0 and np.isfinite(top):
        # Where I + soft(p - I, d) meets cap / kappa: on a straight part, or nowhere if the interest alone is beyond it.
        bends += [edge + np.sign(edge - rate) * width for edge in (-top / intensity, top / intensity)]
    if not mid:
        bends = [bend + np.sign(bend) * zone for bend in bends]
    return Laws(np.unique([*bends, -zone, zone]), intensity, lag, width, zone, rate, mid, top), move, np.linspace(0.0, total, count)


def _landed(laws: Laws, news: float, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gap and funding paid along ``grid`` on the path that starts at the oracle's zero and lands on the news.

    The free end is searched from the side from which errors shrink: gaps open forward in time above the critical line, close below it.
    """
    forward = laws.kappa * laws.tau <= 1.0
    sign = 1.0 if forward else -1.0

    def drift(gap):
        return sign * (laws.funding(gap) - laws.speed(gap))

    def miss(free: float) -> float:
        gap, paid = _follow(laws, free, grid[[0, -1]], drift)
        if not np.isfinite(gap[-1]):
            return float(np.copysign(_FAR, gap[-1]))
        # Forward the free end is the opening price; backward it is the last gap, and the opening price must be the first.
        return float((free if forward else gap[-1]) + paid[-1] - news)

    reach = max(abs(news), laws.clamp + abs(laws.interest) + laws.zone, 1e-6)
    low, high = min(news, 0.0), max(news, 0.0)
    for _ in range(60):
        below, above = miss(low) <= 0, miss(high) >= 0
        if below and above:
            break
        low, high, reach = low if below else low - reach, high if above else high + reach, 2.0 * reach
    free = float(brentq(miss, low, high, xtol=1e-16, rtol=1e-14, maxiter=500)) if below and above else np.nan
    # Funding that runs inside the dead zone for some forty times 1 / kappa depends on the start beyond the last digit.
    if not abs(miss(free)) <= 1e-9 * max(reach, 1.0):
        raise ValueError(f"hours is too long for the path to be resolved at kappa {laws.kappa:g}, tau {laws.tau:g}; got {float(grid[-1])!r}")
    gap, paid = _follow(laws, free, grid, drift)
    # Backward, time and the sum run from the other end (the grid is even).
    return (gap, paid) if forward else (gap[::-1], paid[-1] - paid[::-1])


def _follow(laws: Laws, start: float, grid: np.ndarray, drift: Callable[[float], float]) -> tuple[np.ndarray, np.ndarray]:
    """Gap and the running sum of funding along ``grid`` from a gap at its first point, for a gap that drifts so. Infinite once far off."""
    gaps, sums = np.full(grid.size, np.inf), np.full(grid.size, np.nan)
    now, gap, paid = 0.0, float(start), 0.0
    for _ in range(2 * laws.corners.size + 4):
        rate, fee = float(drift(gap)), float(laws.funding(gap))
        ahead = laws.corners[laws.corners > gap] if rate > 0 else laws.corners[laws.corners < gap][::-1]
        limit = float(ahead[0]) if ahead.size else gap + np.copysign(1.0 + abs(gap), rate)
        # Slopes from inside the piece, its near end being possibly a corner.
        steep, step = float(drift(limit)) - rate, limit - gap
        slope, tilt = (steep / step, (float(laws.funding(limit)) - fee) / step) if rate != 0 else (0.0, 0.0)
        turn = slope * step / rate if rate != 0 else -1.0
        lasts = np.inf if rate == 0 or (ahead.size and turn <= -1.0) else step / rate * _log1p_ratio(turn) if ahead.size else np.inf
        inside = (grid >= now) & (grid <= now + lasts)
        spent = grid[inside] - now
        with np.errstate(over="ignore"):
            moved = rate * spent * exprel(slope * spent)
            area = gap * spent + rate * spent**2 * _second(slope * spent)
        gaps[inside] = gap + moved
        sums[inside] = paid + fee * spent + tilt * (area - gap * spent)
        if now + lasts >= grid[-1] or not abs(gap) < _FAR:
            break
        paid += fee * lasts + tilt * rate * lasts**2 * float(_second(slope * lasts))
        now, gap = now + lasts, limit
    lost = ~(np.abs(gaps) < _FAR)
    # A gap moves one way only, so the last rate says to which side it has gone.
    gaps[lost], sums[lost] = np.copysign(np.inf, rate), np.nan
    return gaps, sums


def _log1p_ratio(x: float) -> float:
    return np.log1p(x) / x if x != 0 else 1.0


def _second(x):
    """``(e^x - 1 - x) / x^2``, by its series where the difference would lose digits."""
    small = np.abs(x) < 1e-3
    safe = np.where(small, 1.0, x)
    return np.where(small, 0.5 + x / 6.0 + x**2 / 24.0 + x**3 / 120.0, (exprel(safe) - 1.0) / safe)
