"""First passage of a price to a trigger, and by how much it is overshot.

Distances are positive log distances to the trigger, deviations and volatilities log too.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtr
from scipy.stats import expon

from perpkit.theory._check import count, finite, not_negative, plain, positive


def _zeta_half() -> float:
    """Riemann zeta at 1/2, by Euler-Maclaurin on the sum to N - 1: the remainder beyond the last term kept is below 1e-16."""
    terms = np.arange(1, 50, dtype=float)
    n = 50.0
    return float(np.sum(terms[::-1] ** -0.5) - 2.0 * n**0.5 + 0.5 * n**-0.5 + n**-1.5 / 24.0 - n**-3.5 / 384.0 + n**-5.5 / 1024.0)


MONITORING = float(-_zeta_half() / np.sqrt(2.0 * np.pi))
"""0.5826, the shift of a barrier watched at intervals, in standard deviations of one interval: -zeta(1/2) / sqrt(2 pi).
Source: Broadie, Glasserman and Kou 1997 (doi:10.1111/1467-9965.00035)."""


def hit_probability(distance, sd, drift=0.0, steps=None):
    """Probability that a Brownian log price touches a level ``distance`` below its start.

    ``sd`` and ``drift`` are those of the whole period (drift up is positive). By reflection, ``2 Phi(-distance / sd)`` without drift. With
    ``steps``, the price is looked at that many times: the level moves away by ``MONITORING sd / sqrt(steps)``. An approximation, 0.2 % low
    at 200 steps and 2.5 % low at 20 for a level 1.7 deviations away (tests: the exact chance, carried forward on a grid).
    """
    away = not_negative("distance", distance, "a log distance to the level")
    noise = positive("sd", sd, "the standard deviation over the period")
    slope = finite("drift", drift, "the log drift over the period")
    if steps is not None:
        away = away + MONITORING * noise / np.sqrt(count("steps", steps, "looks in the period", least=1))
    below = ndtr((-away - slope) / noise) + np.exp(-2.0 * slope * away / noise**2 + log_ndtr((-away + slope) / noise))
    return plain(np.minimum(1.0, below))


def monitoring_overshoot(volatility, interval):
    """Mean log distance past a trigger when a diffusion looked at every ``interval`` is first seen beyond it.

    ``MONITORING volatility sqrt(interval)``, one time unit for both. The limit of a trigger many intervals' deviations away; a near one is
    overshot by a little more.
    """
    per_root = not_negative("volatility", volatility, "per root unit of time")
    return plain(MONITORING * per_root * np.sqrt(positive("interval", interval, "time between looks")))


def kou_overshoot(rate):
    """Law of the log overshoot when an exponential jump of the given ``rate`` crosses the trigger: Exp(rate), whatever the distance.

    A frozen ``scipy.stats`` distribution. The price then lies on average ``1 / (rate + 1)`` below the trigger, relative to it. Source:
    Kou and Wang 2003 (doi:10.1239/aap/1051201658).
    """
    return expon(scale=1.0 / float(positive("rate", rate, "one over the mean log jump")))


def twap_noise_variance(volatility, hours, slices=None):
    """Variance of the average log price of a sale spread evenly over ``hours``, about the price at its start: ``volatility^2 hours / 3``.

    ``volatility`` is per root hour. With ``slices`` equal orders at the end of equal intervals, ``(n + 1)(2n + 1) / (6 n^2)`` for 1/3.
    """
    noise = not_negative("volatility", volatility, "per root hour")
    span = not_negative("hours", hours, "the time taken")
    if slices is None:
        return plain(noise**2 * span / 3.0)
    orders = count("slices", slices, "orders in the sale", least=1)
    return plain(noise**2 * span * (orders + 1.0) * (2.0 * orders + 1.0) / (6.0 * orders**2))
