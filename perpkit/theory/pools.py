"""Venues where one pool stands against everybody, at an oracle's price: distances, payoffs and time to a funding rate, in closed form.

Nothing here knows a book. Shares are of entry notional, moves are log returns unless said otherwise.
"""

from __future__ import annotations

import numpy as np

from perpkit.theory._check import checked, finite, not_negative, plain, positive


def pool_liquidation_distance(leverage, cushion=0.0, loss=1.0):
    """Adverse move of the oracle from entry, as a share, at which a pool liquidates: ``loss / leverage - cushion``.

    ``loss`` is the share of the collateral that may be lost, ``cushion`` the share of entry notional that must be left. With Ostium's rule
    the cushion is ``theta / max_leverage`` whatever the leverage: 10x goes at 9.75 % where 100x is the maximum and theta 25 %.
    """
    geared = positive("leverage", leverage, "notional over collateral at entry")
    lost = checked("loss", loss, lambda x: (x > 0) & (x <= 1), "is a share of collateral, above 0 and at most 1")
    return plain(np.maximum(lost / geared - not_negative("cushion", cushion, "a share of notional"), 0.0))


def uncovered(move, leverage, stop=1.0):
    """Loss the pool takes on a position whose price jumps by ``move`` against it, as a share of notional.

    ``move`` is simple and positive. Without a stop what lies beyond the collateral, ``(move - 1 / leverage)+``. With a stop guaranteed at
    ``stop`` of the collateral the trader loses no more than that: ``(move - stop / leverage)+``.
    """
    jump = not_negative("move", move, "a simple adverse move")
    geared = positive("leverage", leverage, "notional over collateral at entry")
    part = checked("stop", stop, lambda x: (x > 0) & (x <= 1), "is the share of collateral lost at the stop, above 0 and at most 1")
    return plain(np.maximum(jump - part / geared, 0.0))


def pool_capture(move, fee=0.0, spread=0.0):
    """What an order opened at the oracle and closed after it moved by ``move`` (log) earns, per dollar opened; negative if it does not pay.

    ``e^m - 1`` for a rise and ``1 - e^m`` for a fall, less ``fee`` on the notional of both trades, bought at ``e^spread`` times the oracle and
    sold at ``e^-spread``. No impact: the size is the trader's to choose, which is what was taken from GMX v1 on AVAX in September 2022.
    """
    change = finite("move", move, "a log return")
    rate, half = not_negative("fee", fee, "a share of notional"), not_negative("spread", spread, "half a spread in log units")
    sign = np.where(change >= 0, 1.0, -1.0)
    opened, closed = np.exp(sign * half), np.exp(change - sign * half)
    return plain((sign * (closed - opened) - rate * (closed + opened)) / opened)


def constant_product_shortfall(base, quote, price):
    """What a constant-product pool is worth less than its holdings left alone, USD: ``base p + quote - 2 sqrt(base quote p)``.

    ``base`` units and ``quote`` USD at the start, ``price`` now. The same gap separates a perpetual demand lending pool with this target from
    holding (Chitra and others 2025, arXiv:2502.06028): 19.649 for 10, 1,000 and 130.
    """
    held, cash = positive("base", base, "units of the asset"), positive("quote", quote, "USD")
    now = positive("price", price, "USD")
    return plain((np.sqrt(held * now) - np.sqrt(cash)) ** 2)


def skew_hours(target, velocity, skew):
    """Hours until a funding rate that gains ``velocity * skew`` an hour reaches ``target`` from zero, skew unchanged.

    GMX v2's defaults (90 % a year in three hours at full skew) give 15 hours at a fifth and 30 at a tenth.
    """
    rate = not_negative("target", target, "a rate per hour")
    speed = positive("velocity", velocity, "a rate per hour, per hour at full skew")
    lean = checked("skew", skew, lambda x: (x > 0) & (x <= 1), "is net over gross open interest, above 0 and at most 1")
    return plain(rate / (speed * lean))
