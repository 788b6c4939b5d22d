"""What an option costs that dies with the day: Black and Scholes for a European option, its delta, and its path under the same law.

An option bought at the open and expired at the close needs no clock: ``volatility`` is then the standard deviation of that day's log
return and ``time`` is 1. A perpetual owes funding instead and can be stopped on the way; :func:`touch_and_recover` says how often the way
decides. Source: Black and Scholes, The Pricing of Options and Corporate Liabilities (1973), with a dividend yield as in Merton (1973).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from perpkit.theory._check import finite, plain, positive


def option_price(spot, strike, volatility, time=1.0, rate=0.0, dividend=0.0, kind: str = "call"):
    """Price of a European option, in the unit of ``spot``.

    Parameters
    ----------
    spot, strike
        Prices, above 0.
    volatility
        Standard deviation of the log return per root unit of time, above 0.
    time
        Life of the option in that unit, above 0.
    rate, dividend
        Continuously compounded interest and dividend yield per unit of time.
    kind
        ``"call"`` or ``"put"``.

    Returns
    -------
    float or array
        Of the broadcast shape of the arguments.

    Raises
    ------
    ValueError
        If a price, the volatility or the time is not above 0, a rate is not finite, or ``kind`` is unknown.
    """
    sign, forward, struck, d, deviation = _terms(spot, strike, volatility, time, rate, dividend, kind)
    return plain(sign * (forward * ndtr(sign * d) - struck * ndtr(sign * (d - deviation))))


def option_delta(spot, strike, volatility, time=1.0, rate=0.0, dividend=0.0, kind: str = "call"):
    """Shares that move like the option, in (0, 1) for a call and (-1, 0) for a put. Arguments and errors of :func:`option_price`."""
    sign, forward, _, d, _ = _terms(spot, strike, volatility, time, rate, dividend, kind)
    return plain(sign * forward / np.asarray(spot, dtype=float) * ndtr(sign * d))


def touch_and_recover(distance, sd):
    """Chance that a price falls by ``distance`` in the day and yet closes above its open: ``Phi(-2 distance / sd)``.

    Both in log units, over the same day, for a driftless Brownian log price watched without pause. By reflection, a path that
    touches it and ends above 0 is as likely as one that ends below twice the distance. Someone whom the touch stops out loses a day that was
    won; an option's buyer does not. The chance of the touch alone is :func:`perpkit.theory.hit_probability`.

    Raises
    ------
    ValueError
        If either is not above 0.
    """
    away = positive("distance", distance, "a fall in log units")
    return plain(ndtr(-2.0 * away / positive("sd", sd, "the standard deviation of the day's log return")))


def _terms(spot, strike, volatility, time, rate, dividend, kind):
    """Sign, discounted forward, discounted strike, d1 and the standard deviation over the option's life."""
    if kind not in ("call", "put"):
        raise ValueError(f'kind is "call" or "put"; got {kind!r}')
    price, exercise = positive("spot", spot, "a price"), positive("strike", strike, "a price")
    life = positive("time", time, "the life of the option in the volatility's unit of time")
    deviation = positive("volatility", volatility, "a standard deviation per root unit of time") * np.sqrt(life)
    forward = price * np.exp(-finite("dividend", dividend, "a yield per unit of time") * life)
    struck = exercise * np.exp(-finite("rate", rate, "a rate per unit of time") * life)
    return (1.0 if kind == "call" else -1.0), forward, struck, np.log(forward / struck) / deviation + 0.5 * deviation, deviation
