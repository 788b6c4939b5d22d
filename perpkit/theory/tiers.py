"""Maintenance margin that grows by tiers of notional."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perpkit.theory._check import not_negative, plain


def tiered_maintenance(notional, lowers: Sequence[float], max_leverage: Sequence[float]):
    """Maintenance margin of a position, USD: ``notional * rate_n - deduction_n`` in the tier n that the notional falls into.

    ``rate_n`` is half of one over the tier's leverage, and ``deduction_n = deduction_{n-1} + lower_n (rate_n - rate_{n-1})``, so that the
    margin has no jump where a tier begins (Hyperliquid, margin tiers page, read 2026-10). The engine's markets have one tier.

    Parameters
    ----------
    notional
        USD, a number or an array.
    lowers
        Notional at which each tier begins, USD, the first 0.
    max_leverage
        Maximum leverage of each tier, falling.

    Raises
    ------
    ValueError
        If tiers are not in order, differ in number, or the notional is negative.
    """
    start, gear = np.asarray(lowers, dtype=float), np.asarray(max_leverage, dtype=float)
    if start.ndim != 1 or start.shape != gear.shape or not start.size:
        raise ValueError(f"give each tier its lower end and its leverage; got {len(start)} and {len(gear)}")
    if start[0] != 0.0 or (np.diff(start) <= 0.0).any():
        raise ValueError(f"lower ends start at 0 and rise; got {list(lowers)}")
    if (gear < 1.0).any() or (np.diff(gear) >= 0.0).any():
        raise ValueError(f"leverage falls from tier to tier, 1 or more; got {list(max_leverage)}")
    size = not_negative("notional", notional, "the position's notional in USD")
    rate = 0.5 / gear
    deduction = np.concatenate([[0.0], np.cumsum(start[1:] * np.diff(rate))])
    tier = np.searchsorted(start, size, side="right") - 1
    return plain(size * rate[tier] - deduction[tier])
