"""What a perpetual is worth while its reference is live, and where its premium comes to rest.

The linear contract pays its long, each period, the change of the futures price less ``kappa (f - x) + interest x``: kappa is the
intensity of funding on the premium, ``x`` the reference. In a frictionless market the price is a constant times ``x``.
Sources: Ackerer, Hugonnier and Jermann, Perpetual Futures Pricing (arXiv:2310.11771); Angeris, Chitra, Evans and Lorig, A Primer on
Perpetuals (arXiv:2209.03307).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.integrate import quad

from perpkit.theory._check import checked, finite, not_negative, plain, positive

HOURS_PER_YEAR = 8760.0
"""Hours in the year that annual rates refer to: 365 days, as in Actual/365."""


def perpetual_ratio(rate_quote, rate_base, kappa, interest=0.0, period=None, timing: str = "previous"):
    """Fair price of a linear perpetual over its reference, f / x.

    Parameters
    ----------
    rate_quote, rate_base
        Continuously compounded rates per **year** of the currency the contract is margined in (USD) and of the underlying (a stock's
        dividend and lending yield). Swapping the two flips the sign of the basis.
    kappa
        Funding intensity per **hour**: a premium paid over eight hours is 1/8.
    interest
        Interest part of funding per **hour**, a share of the reference, paid by the long.
    period
        Hours between funding payments; ``None`` for continuous funding.
    timing
        With a ``period``: ``"previous"`` charges the premium seen when the interval starts, ``"current"`` the one at its end.

    Returns
    -------
    float or array
        With growth g of the reference under the pricing measure over one period, ``exp((rate_quote - rate_base) period)``, and K, I the
        intensity and interest times the period: ``(K - I) / (1 + K - g)`` previous, ``(K - I) g / (1 - g (1 - K))`` current,
        ``(kappa - interest) / (kappa + rate_base - rate_quote)`` continuous.

    Raises
    ------
    ValueError
        If a rate is not finite, kappa not positive, the interest not below kappa, funding too weak for a finite price, or ``timing``
        unknown.
    """
    quote = finite("rate_quote", rate_quote, "a rate per year")
    base = finite("rate_base", rate_base, "a rate per year")
    intensity = positive("kappa", kappa, "a funding intensity per hour")
    iota = finite("interest", interest, "interest per hour")
    if np.any(iota >= intensity):
        raise ValueError(f"interest per hour must stay below kappa, or the price is not positive; got interest {interest!r}, kappa {kappa!r}")
    carry = (quote - base) / HOURS_PER_YEAR
    if period is None:
        top, bottom = intensity - iota, intensity - carry
    else:
        hours = positive("period", period, "hours between funding payments")
        growth, excess = np.exp(carry * hours), np.expm1(carry * hours)
        if timing == "previous":
            top, bottom = (intensity - iota) * hours, intensity * hours - excess
        elif timing == "current":
            top, bottom = (intensity - iota) * hours * growth, growth * intensity * hours - excess
        else:
            raise ValueError(f'timing is "previous" or "current"; got {timing!r}')
    if np.any(bottom <= 0):
        least = float(np.max(carry))
        raise ValueError(f"kappa must exceed the carry of {least:.3g} per hour, or funding holds no finite price; got {kappa!r}")
    return plain(top / bottom)


def perpetual_basis(rate_quote, rate_base, kappa, interest=0.0, period=None, timing: str = "previous"):
    """Fair basis of a linear perpetual in basis points, ``1e4 (f / x - 1)``; arguments and errors of :func:`perpetual_ratio`."""
    return plain(1e4 * (np.asarray(perpetual_ratio(rate_quote, rate_base, kappa, interest, period, timing)) - 1.0))


def idle_premium(cost, kappa, hours):
    """Largest constant premium (share of the reference) not worth arbitraging: ``cost / (kappa hours)``.

    ``cost`` is the round trip as a share of notional, ``hours`` the holding horizon over which funding on the premium is earned.
    """
    paid = not_negative("cost", cost, "a round-trip cost as a share of notional")
    intensity = positive("kappa", kappa, "a funding intensity per hour")
    return plain(paid / (intensity * positive("hours", hours, "a holding horizon in hours")))


def clamp_rest_premium(premium, clamp, interest=0.0, carry=None):
    """Where zero-cost arbitrage takes a premium under clamped funding ``F = P + clamp(I - P, -d, d)``.

    All arguments are shares of the reference over the same funding interval (0.0005 is 5 bp a funding period): the premium now, the
    clamp d, the interest I, and the carry an arbitrageur forgoes. Arbitrage pushes the premium down while F exceeds the carry and up
    while it falls short. With the carry equal to the interest (the default) every premium within d of it is at rest, and others come
    to the nearer edge. With the carry elsewhere the flat stretch holds nothing: the rest point is ``carry + d`` above the interest,
    ``carry - d`` below it. Derived here; the interval is that of Dai, Li and Yang, Arbitrage in Perpetual Contracts (2025).
    """
    now = finite("premium", premium, "a share of the reference")
    width = not_negative("clamp", clamp, "half the flat stretch of funding, a share")
    rate = finite("interest", interest, "a share a funding interval")
    forgone = rate if carry is None else finite("carry", carry, "a share a funding interval")
    at_rest = np.clip(now, rate - width, rate + width)
    return plain(np.where(forgone > rate, forgone + width, np.where(forgone < rate, forgone - width, at_rest)))


def payoff_funding(
    spot,
    payoff: Callable,
    slope: Callable,
    curvature: Callable,
    volatility,
    rate: float = 0.0,
    jump_intensity: float = 0.0,
    jump_law=None,
):
    """Funding per unit time, paid by the long, that holds a perpetual at ``payoff(spot)``.

    ``0.5 s^2 S^2 payoff'' - r (payoff - S payoff') + jump_intensity E[payoff(S e^Y) - payoff(S) - S (e^Y - 1) payoff']``, with ``Y`` a
    frozen ``scipy.stats`` law of the log jump under the pricing measure. For the linear payoff and r = 0 it is zero with or without
    jumps: a linear perpetual owes no jump premium. Volatility, rate and intensity share one time unit, any. Source: Angeris et al.
    """
    price = positive("spot", spot, "a price")
    vol = not_negative("volatility", volatility, "per root unit of time")
    short_rate = finite("rate", rate, "a rate per unit of time")
    intensity = float(not_negative("jump_intensity", jump_intensity, "jumps per unit of time"))
    funding = 0.5 * vol**2 * price**2 * curvature(price) - short_rate * (payoff(price) - price * slope(price))
    if intensity > 0:
        if jump_law is None:
            raise ValueError("jump_law is the law of the log jump; give a frozen scipy.stats distribution when jump_intensity is above 0")
        single = checked("spot", spot, lambda x: np.full(x.shape, x.ndim == 0), "is one price when jumps are on")

        def weighted(y: float) -> float:
            density = jump_law.pdf(y)
            return density * (payoff(single * np.exp(y)) - payoff(single) - single * np.expm1(y) * slope(single)) if density > 0 else 0.0

        cuts = [jump_law.support()[0], *jump_law.ppf([0.001, 0.5, 0.999]), jump_law.support()[1]]
        funding = funding + intensity * sum(quad(weighted, a, b, epsabs=1e-13, epsrel=1e-10)[0] for a, b in pairwise(cuts))
    return plain(funding)
