"""Funding as a controller: how far the premium wanders, and when a late controller starts to swing.

The loop is written for the speed ``pull`` at which trading closes the premium, per hour. Funding of intensity kappa pulls at kappa only if
the price gives way by exactly what the funding pays; keep the two apart when reading a venue's numbers into these formulas.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln, lambertw

from perpkit.theory._check import checked, count, finite, memory, not_negative, plain, positive


class LoopThresholds(NamedTuple):
    """Gains (pull times delay or window) at which the loop changes its manners."""

    oscillation: float
    """Beyond it the basis overshoots."""
    instability: float
    """Beyond it the basis no longer settles."""


def basis_variance(pull, sigma, tau=np.inf, hours=np.inf):
    """Variance of the log basis P - O after ``hours`` in a closed window, starting from zero.

    ``dP = -pull (P - O) dt + sigma dW``, ``dO = (P - O) / tau dt``: the basis reverts at ``pull + 1 / tau``, so its variance tends to
    ``sigma^2 / (2 (pull + 1 / tau))``. ``sigma`` is per root hour, ``tau`` in hours (inf: frozen oracle). Derived here.
    """
    speed = not_negative("pull", pull, "a reversion speed per hour") + 1.0 / memory("tau", tau)
    noise = not_negative("sigma", sigma, "a volatility per root hour")
    past = checked("hours", hours, lambda x: x >= 0, "is the time since the window closed, 0 or more (inf for the limit)")
    if np.any(speed == 0):
        raise ValueError("pull 0 with a frozen oracle leaves the basis free to wander without limit; give a pull above 0 or a finite tau")
    return plain(noise**2 * -np.expm1(-2.0 * speed * past) / (2.0 * speed))


def common_volatility(pull, sigma, tau):
    """Volatility per root hour of ``(P + pull tau O) / (1 + pull tau)``, the level that nothing anchors: ``sigma / (1 + pull tau)``.

    This combination is a martingale of the model of :func:`basis_variance`; it is frozen (zero) only for a frozen oracle.
    """
    speed = not_negative("pull", pull, "a reversion speed per hour")
    noise = not_negative("sigma", sigma, "a volatility per root hour")
    if np.any((speed == 0) & np.isinf(memory("tau", tau))):
        raise ValueError("pull 0 with a frozen oracle is a plain random walk with no common mode to speak of; give a pull above 0")
    return plain(noise / (1.0 + speed * memory("tau", tau)))


def delay_root(gain):
    """Dominant root, times the delay D, of the loop ``x'(t) = -pull x(t - D)``, as a complex number.

    ``gain`` is pull times D. The real part is the rate of growth per delay (negative: settles), the imaginary part the angular frequency
    per delay (zero: no overshoot). The characteristic equation ``s = -gain e^{-s}`` has the principal Lambert branch ``W(-gain)`` as its
    rightmost root. Source: Hayes 1950 (doi:10.1112/jlms/s1-25.3.226) for the stability region.
    """
    return plain(lambertw(-positive("gain", gain, "pull times delay, no unit")))


def delay_thresholds() -> LoopThresholds:
    """Thresholds of :func:`delay_root`, found from the root itself: overshoot at 1/e, loss of stability at pi/2."""
    return LoopThresholds(
        oscillation=_first(lambda gain: delay_root(gain).imag > 0, 0.05, 1.0),
        instability=float(brentq(lambda gain: delay_root(gain).real, 0.5, 3.0, xtol=1e-14)),
    )


def delay_response(gain, delays):
    """Basis ``delays`` delay-lengths after release, for ``x'(t) = -pull x(t - D)`` held at 1 until time 0.

    The exact sum of the method of steps, ``sum_j (-gain)^j (t - j + 1)^j / j!`` over ``j - 1 <= t``. ``gain`` is one number; ``delays`` any
    array.

    Raises
    ------
    ValueError
        If the alternating sum would lose more than six digits (about 30 delays at the edge of stability): ask for fewer delays.
    """
    strength = float(positive("gain", gain, "pull times delay, no unit"))
    time = finite("delays", delays, "time since release in delay lengths")
    steps = np.arange(0, max(int(np.floor(time.max())), 0) + 2)
    since = time[..., None] - (steps - 1)
    used = (since > 0) & (steps > 0)
    size = np.where(used, steps * np.log(strength * np.where(used, since, 1.0)) - gammaln(steps + 1.0), -np.inf)
    if size.max(initial=-np.inf) > np.log(1e-6 / np.finfo(float).eps):
        raise ValueError(f"delays reaches too far for the exact sum at gain {strength:g}: largest {float(time.max()):g}; ask for fewer delays")
    return plain(1.0 + np.sum(np.where(steps % 2, -1.0, 1.0) * np.exp(size), axis=-1))


def averaging_root(gain):
    """Dominant multiplier per window when the average premium of one window sets the funding of the next, as a complex number.

    ``gain`` is pull times the window. With x the basis at the end of a window and A its average over it, ``x' = x - gain A`` and
    ``A' = x - gain A / 2``; the multiplier is the larger eigenvalue in modulus. Derived here; the usual hourly averaging of funding.
    """
    strength = positive("gain", gain, "pull times the averaging window, no unit")
    half_trace, determinant = 0.5 * (1.0 - 0.5 * strength), 0.5 * strength
    spread = np.sqrt((half_trace**2 - determinant).astype(complex))
    low, high = half_trace - spread, half_trace + spread
    return plain(np.where(np.abs(low) > np.abs(high), low, high))


def averaging_thresholds() -> LoopThresholds:
    """Thresholds of :func:`averaging_root`: overshoot from gain ``6 - 4 sqrt 2`` (0.343), loss of stability at 2."""
    return LoopThresholds(
        oscillation=_first(lambda gain: averaging_root(gain).imag != 0, 0.05, 1.0),
        instability=float(brentq(lambda gain: abs(averaging_root(gain)) - 1.0, 0.5, 4.0, xtol=1e-14)),
    )


def funding_response(gain, periods):
    """Basis left after ``periods`` payments each of which removes ``gain`` of it: ``(1 - gain)^periods``.

    Settles for 0 < gain < 2, without changing sign up to gain 1.
    """
    return plain((1.0 - positive("gain", gain, "the share of the basis one payment removes")) ** count("periods", periods, "a number of payments"))


def _first(holds, low: float, high: float) -> float:
    """Smallest argument at which a property that holds from some point on begins to hold, by bisection."""
    if holds(low) or not holds(high):
        raise ValueError(f"the property must begin to hold between {low:g} and {high:g}")
    while high - low > 1e-13:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
