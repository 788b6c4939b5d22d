"""Collateral: how often a part of the stock's clock took more than was put up as it began.

Counts of what has been, of closures and days in ``closures.csv`` or in a reader's own table. Nothing beyond the record enters.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from perpkit import nights
from perpkit._checks import numbers, positive
from perpkit._parts import check_draw
from perpkit.gaps import Bootstrap


def wiped_out(symbol: str, margins: Iterable[float], table: pd.DataFrame | None = None) -> pd.DataFrame:
    """How often a part of the clock alone lost more than the collateral, on each side.

    Parameters
    ----------
    margins : collateral as shares of notional when the part begins, above 0; 0.1 is a position at 10x.

    Returns
    -------
    DataFrame, index ``part`` and ``margin``. ``n``: times the part occurred; ``long`` and ``short``: times the loss exceeded the
    collateral; ``long_beyond`` and ``short_beyond``: losses beyond it, summed, in notional. A closure is judged at the open, a day at its
    close: a price that went beyond and came back is not seen, so these are lower bounds for a market that is open in between.

    Raises
    ------
    ValueError
        If a margin is not above 0, the symbol is unknown or the table lacks a column.
    """
    levels = numbers("margins", margins)
    if not levels or not all(0.0 < level < float("inf") for level in levels):
        raise ValueError(f"margins are shares of notional, each above 0, such as (0.1, 0.05); got {margins!r}")
    log = nights.returns(symbol, table)
    rows = {}
    for part in nights.PARTS:
        move = np.expm1(log[part].dropna().to_numpy())
        for level in levels:
            long, short = np.maximum(-move - level, 0.0), np.maximum(move - level, 0.0)
            rows[part, level] = (len(move), int((long > 0).sum()), int((short > 0).sum()), long.sum(), short.sum())
    index = pd.MultiIndex.from_tuples(rows, names=["part", "margin"])
    return pd.DataFrame(list(rows.values()), index=index, columns=["n", "long", "short", "long_beyond", "short_beyond"])


def wiped_a_year(
    symbol: str,
    margin: float,
    rng: np.random.Generator,
    side: str = "long",
    sessions: bool = False,
    n: int = 4_000,
    table: pd.DataFrame | None = None,
) -> Bootstrap:
    """How many times a year a closure alone, or with ``sessions`` a day alone, lost more than the collateral: whole calendar years redrawn.

    Parameters
    ----------
    margin : collateral as a share of notional when the closure or the day begins, above 0.
    side : ``"long"`` or ``"short"``.
    n : resamples.

    Returns
    -------
    perpkit.gaps.Bootstrap of times a year, over 365.25 days. Each year counts for the time the record covers of it, so that the part years at
        either end weigh less. Nothing beyond the record enters: the share of unseen gaps is 0.

    Raises
    ------
    ValueError
        As :func:`wiped_out`; if side is neither, ``n`` is below 2, or rng is no Generator.
    """
    if side not in ("long", "short"):
        raise ValueError(f"side is 'long' or 'short'; got {side!r}")
    check_draw(n, rng)
    if n < 2:
        raise ValueError(f"n is the number of resamples, 2 or more; got {n!r}")
    positive("margin", margin, "collateral as a share of notional")
    parts = nights.returns(symbol, table)
    log = parts["day"] if sessions else parts.drop(columns="day").sum(axis=1)
    lost = np.expm1(log) * (-1.0 if side == "long" else 1.0) > margin
    by_year = lost.groupby(lost.index.year)
    hits, days = by_year.sum().to_numpy(float), by_year.size().to_numpy(float)
    span = (lost.index[-1] - lost.index[0]).days / 365.25 * days / days.sum()  # time by trading days, of which all years have alike
    times = rng.multinomial(len(hits), np.full(len(hits), 1.0 / len(hits)), size=n)
    return Bootstrap(float(hits.sum() / span.sum()), (times @ hits) / (times @ span))
