"""Reductions: position limits before the close, and what a forced reduction does to open interest.

Leverage forced down is :func:`perpkit.accounts.cut_leverage`. What has to be sold is sold at the last print, at no cost, while the reference
still trades; makers take what the two sides do not match. Outcomes are shares of the open interest that is left, so a comparison with the
population before multiplies them by ``kept`` of :func:`reduced`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from perpkit._checks import positive
from perpkit.accounts import Accounts


def cut_size(accounts: Accounts, limit: float) -> Accounts:
    """The population when nobody may hold more than ``limit`` USD at the last print; the rest is sold, the equity stays.

    QFEX: positions of 2.5 million USD by day, half of that overnight, a tenth at weekends, then reduce-only (risk limits page, read 2026-10).

    Raises
    ------
    ValueError
        If the limit is not positive, or an account would owe what it sells.
    """
    positive("limit", limit, "the largest position in USD")
    size = np.minimum(accounts.size, limit / accounts.price)
    collateral = accounts.collateral + accounts.side * (accounts.size - size) * (accounts.price - accounts.entry)
    bad = np.flatnonzero(~(collateral > 0.0))
    if bad.size:
        raise ValueError(f"account {bad[0]} has lost more than its collateral on what it must sell; liquidate it before the close, not at it")
    return Accounts(accounts.side, size, accounts.entry, collateral, accounts.price)


def reduced(before: Accounts, after: Accounts) -> pd.Series:
    """What a reduction took: ``sold`` by longs and ``bought`` by shorts, open interest ``before`` and ``after`` (USD at the last print), the share
    ``kept`` of it, and the share ``gone`` of the accounts that closed altogether.

    Raises
    ------
    ValueError
        If the populations start from different prints, or one side has grown.
    """
    if before.price != after.price:
        raise ValueError(f"both populations start from one print; got {before.price!r} and {after.price!r}")
    taken = {s: before.price * float(before.size[before.side == s].sum() - after.size[after.side == s].sum()) for s in (1.0, -1.0)}
    if min(taken.values()) < -1e-9 * before.open_interest:
        raise ValueError(f"a side has grown by {-min(taken.values()):.6g} USD, which is no reduction")
    was, now = before.open_interest, after.open_interest
    gone = 1.0 - len(after) / len(before)
    return pd.Series({"before": was, "after": now, "kept": now / was, "sold": taken[1.0], "bought": taken[-1.0], "gone": gone}, name="reduction")
