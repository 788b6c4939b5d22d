"""Base case: the book every machine stands on, how the value moves, how large the market is, and how unsure each number is.

None of this is a venue's rule. Depth is the least certain input and decides most; chapters carry it as a factor. Where a range is all there
is, its middle is taken here, once, and the range stands beside it for a chapter to sweep. All of it is for TSLA. ``venues.base_case`` joins
it to a machine and a population.
"""

from __future__ import annotations

import math
from functools import lru_cache

from scipy.optimize import brentq

from perpkit import data
from perpkit.book import Book
from perpkit.value import Value

SYMBOL = "TSLA"

OPEN_INTEREST = 45e6
"""USD a side. xyz:TSLA held 20 to 25 million in January 2026 (``data/xyz_market_snapshots.csv``), 46.6 on 2026-08-18
(github.com/Vo1ganin/tokenized-equity-venues) and 45.6 on 2026-09-23 (120,196 shares at an oracle of 378.81, public API)."""

INSURANCE = 0.005
"""Share of open interest. No venue publishes a fund for these markets: a factor to vary, not a fact."""

DEPTH_OPEN = 69e6
"""USD per unit log return. 344,518 USD stood within 25 bp of xyz:TSLA, both sides together, in one night reading (2026-08-18, 00:44 New
York, same repository): 172 thousand a side over 0.0025, if depth is even."""

DEPTH_OVER_INTEREST = (0.1, 6.0)
"""Range of closed depth over open interest. Low end: 6 % of the visible depth, the weekend's low share of weekday volume (6 to 18 %,
github.com/grondgrondgrond/equity-perp, 2026-07). High end: XYZ100 in December 2025 took about 23 million USD of sales for 3.5 %, refill
included, on an open interest near 100 million (press)."""

REFILL_HALF_LIFE = (5.0 / 60.0, 8.0)
"""Range of the time in which half of an order's impact is gone, hours. No measurement of these books was found; both ends are assumed."""

CAPTURE = (0.4, 0.95)
"""Range of the mean share of the coming gap in the price at the end of a closure. Published figures disagree: near 45 %, 68 % and all of it
over three weekends of crude (Castle Labs, 2026-03), 92 % for tokens (Binance Research, 2026-07)."""

HALF_SPREAD_OPEN, HALF_SPREAD_CLOSED = 2e-4, 5e-4
"""Log units. With an impact order of 6,000 USD the open one gives 5.7 bp between impact prices; xyz:TSLA had 3.6 to 8.6 bp in January 2026
(``data/``), 1.2 bp on 2026-09-23. The closed one is assumed: spreads of stock tokens widen about four times at weekends (Binance Research),
those of silver doubled in a crash."""

PREMIUM_OPEN, PREMIUM_CLOSED = 11e-4, 14e-4
"""Mean absolute premium over all stock perps on Hyperliquid, regular hours and weekends (github.com/grondgrondgrond/equity-perp, 2026-07):
a weak source. It averages settled hours over many thinner names; TSLA's five readings of January 2026 average 2.7 bp. Here it is the
premium at an update; its hourly averages come out a little smaller, most of all while closed."""

PREMIUM_HALF_LIFE = (2.0, 4.0)
"""Range of the time in which half of a premium fades while the reference prints, hours (same source, from settled funding)."""

ORACLE_TAU, IMPACT_NOTIONAL = 0.5, 6_000.0
"""Oracle (hours) and impact order (USD) of the machine on which the closed noise is set: trade.xyz in October 2026."""

UPDATE_S = 3.0
"""Seconds between two updates of a mark where a venue states none (Hyperliquid's: robust price indices page, read 2026-10)."""

CLOSED_HOURS = 48.0
"""Closure on which the capture is set, hours."""

TRADING_DAY = 6.5
"""Hours from open to close."""


def geometric_middle(low: float, high: float) -> float:
    """Square root of the product: as many times above the low end as below the high one."""
    return math.sqrt(low * high)


def captured(follow: float, hours: float) -> float:
    """Mean share of a gap that the traded price holds at the end of a closure of ``hours``, the gap arriving at a uniform time.

    ``1 - (1 - e^-kT) / (kT)`` for an anchor that follows the value at the rate ``follow`` per hour. The same for a gap that builds up
    evenly.
    """
    return 1.0 + math.expm1(-follow * hours) / (follow * hours)


def open_premium(follow: float, noise: float) -> float:
    """Mean absolute premium over a live oracle, for noise per square root of an hour that fades at the rate ``follow`` per hour.

    P less V is an Ornstein-Uhlenbeck process of variance ``noise**2 / (2 follow)``; a Normal variable of deviation s has mean absolute
    value ``s sqrt(2/pi)``.
    """
    return noise / math.sqrt(2.0 * follow) * math.sqrt(2.0 / math.pi)


def closed_premium(noise: float, tau: float, inside: float) -> float:
    """Mean absolute premium over an oracle that follows the book with a dead zone: ``tau`` hours, half-width ``inside`` of the zone in log
    units.

    P less O is pulled back at the rate 1/tau only by what lies beyond the zone. Its stationary density is flat inside and Normal outside
    with variance ``noise**2 tau / 2``. Leaves out the pull of the value on P, which is slow.
    """
    s = noise * math.sqrt(tau / 2.0)
    tail = s * math.sqrt(math.pi / 2.0)
    return (inside**2 / 2.0 + inside * tail + s**2) / (inside + tail)


@lru_cache(maxsize=1)
def value() -> Value:
    """How the value of the stock moves: deviation of the weekend gaps, and volatility of the trading day, from ``data/closures.csv``."""
    table = data.closures(SYMBOL)
    gaps = table.loc[table["kind"] == "weekend", "gap"]
    return Value(sd=float(gaps.std()), open_vol=float(table["intraday"].std()) / math.sqrt(TRADING_DAY))


@lru_cache(maxsize=1)
def book() -> Book:
    """The book of the base case.

    Closed: depth and refill in the geometric middle of their ranges, the anchor as fast as the middle capture needs, its noise as large as
    the mean premium needs under the newest trade.xyz oracle. Open: refill at the fast end, and noise that gives the mean premium and its
    half-life. Impact is transient.
    """
    depth_closed = OPEN_INTEREST * geometric_middle(*DEPTH_OVER_INTEREST)
    inside = HALF_SPREAD_CLOSED + IMPACT_NOTIONAL / depth_closed
    follow_open = math.log(2.0) / geometric_middle(*PREMIUM_HALF_LIFE)
    return Book(
        depth_open=DEPTH_OPEN,
        depth_closed=depth_closed,
        refill_open=math.log(2.0) / REFILL_HALF_LIFE[0],
        refill_closed=math.log(2.0) / geometric_middle(*REFILL_HALF_LIFE),
        half_spread_open=HALF_SPREAD_OPEN,
        half_spread_closed=HALF_SPREAD_CLOSED,
        follow_open=follow_open,
        follow_closed=brentq(lambda k: captured(k, CLOSED_HOURS) - sum(CAPTURE) / 2.0, 1e-6, 1e3),
        noise_open=PREMIUM_OPEN / open_premium(follow_open, 1.0),
        noise_closed=brentq(lambda x: closed_premium(x, ORACLE_TAU, inside) - PREMIUM_CLOSED, 1e-8, 1.0),
    )
