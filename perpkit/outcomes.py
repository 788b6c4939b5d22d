"""Outcomes: what the one number a weekend of each outcome means, and its unit; the model page defines them.

An ensemble carries both as attributes ``long_name`` and ``units``, so that its plots name their axes.
"""

from __future__ import annotations

_INTEREST = "share of open interest"

MEANING = {
    "longs": ("gain of the longs", _INTEREST),
    "shorts": ("gain of the shorts", _INTEREST),
    "makers": ("gain of the makers", _INTEREST),
    "backstop": ("gain of the backstop vault", _INTEREST),
    "insurance": ("change of the insurance fund", _INTEREST),
    "adl": ("minus the gain that deleveraged winners gave up", _INTEREST),
    "socialised": ("minus the loss shared by everybody", _INTEREST),
    "venue": ("gain of the venue: fees less refunds", _INTEREST),
    "attacker": ("gain of the trader from outside", _INTEREST),
    "shortfall": ("loss beyond collateral", _INTEREST),
    "shortfall_long": ("loss beyond collateral of longs", _INTEREST),
    "shortfall_short": ("loss beyond collateral of shorts", _INTEREST),
    "exhausted": ("whether a loss exceeded the fund", "1 if it did"),
    "exhausted_hours": ("when a loss first exceeded the fund", "hours since the close"),
    "adl_needed": ("loss left to deleveraging", _INTEREST),
    "adl_size": ("notional closed by deleveraging", _INTEREST),
    "premature": ("notional liquidated while closed that was solvent at the reopening", _INTEREST),
    "liquidated_closed": ("notional liquidated while closed", _INTEREST),
    "liquidated_open": ("notional liquidated after the reopening", _INTEREST),
    "phantom": ("largest negative equity hidden in open accounts", _INTEREST),
    "phantom_size": ("largest notional of open accounts with negative equity", _INTEREST),
    "phantom_hours": ("time with negative equity in open accounts", "hours"),
    "dislocation": ("largest distance of price and value", "log price"),
    "generations": ("longest chain of updates with a liquidation", "updates in a row"),
    "cascade": ("size of the largest chain over that of its first update", "ratio"),
    "funding_closed": ("funding while closed, without its sign", "share of Friday's price"),
    "imbalance": ("worst error of the ledger", _INTEREST),
    "junior": ("gain of the junior tranche", _INTEREST),
    "senior": ("gain of the senior tranche", _INTEREST),
    "hedge": ("gain of the market outside that stands against the pool's hedge", _INTEREST),
    "protocol": ("gain of protocol and keepers", _INTEREST),
    "informed": ("gain of traders who came for a stale price", _INTEREST),
    "capped": ("minus the gain that a cap took from winners", _INTEREST),
    "frozen": ("claims still to be paid", _INTEREST),
    "guaranteed": ("what guaranteed stops were paid above the market's fill", _INTEREST),
    "stopped": ("notional closed by stops", _INTEREST),
    "timed": ("notional liquidated by clock or carry and not by price", _INTEREST),
    "hedge_due": ("result of the pool's hedge still to be settled", _INTEREST),
}
"""Meaning and unit of every outcome of a book, and then of those that only a pool has."""
