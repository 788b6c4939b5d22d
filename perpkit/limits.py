"""Limits: settings in which the engine has nothing left to add to a closed form, so that each can judge the other.

In :func:`frozen_limit` no order moves the book, nothing is charged, and oracle and mark stand still until the reopening and then jump to the
value. All that is left of the loop is the margin call at the gap, and the shortfall of a position is ``(L - margin)+``, gap by gap.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from perpkit._checks import is_number, is_whole, needs_generator
from perpkit._parts import inside
from perpkit.accounts import Accounts
from perpkit.book import Book
from perpkit.clock import Closure
from perpkit.engine import REACH
from perpkit.ensemble import ensemble
from perpkit.funding import Funding
from perpkit.laws import Law
from perpkit.machine import Machine
from perpkit.margin import Margin
from perpkit.mark import OracleMark
from perpkit.oracle import frozen_oracle

DECADES = 14
"""Decades of tail probability that :func:`frozen_limit` samples, a side."""


def frozen_machine(margin: float) -> Machine:
    """The machine of the limit: infinite depth, no spread, no clamp, no band, no fund; maintenance half of ``margin``."""
    inf = math.inf
    book = Book(depth_open=inf, depth_closed=inf, half_spread_open=0.0, half_spread_closed=0.0, follow_open=inf, follow_closed=0.0)
    quiet = Funding(when_closed=False)
    return Machine(name="frozen", oracle=frozen_oracle(), mark=OracleMark(), book=book, margin=Margin(1.0 / margin), adl="none", funding=quiet)


def frozen_limit(law: Law, margin: float, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Mean shortfall of one long and one short of equal size in the engine's limit, and the law's own, side by side.

    Gaps are drawn half a decade of tail probability at a time, as many from each, and weighed by the probability they stand for. A law's far
    tail is then sampled as well as its middle, the spread within a stratum is bounded, and the standard error can be believed where that of
    plain draws cannot: for a Normal, which meets the margin once in a million closures, and for a power tail, whose sample variance hangs
    on its worst draw. Gaps beyond ``REACH`` are set to it, which no law with a mean notices unless its upper tail is heavier than y^(-1.5).

    Parameters
    ----------
    law : of the log gap.
    margin : collateral of both as a share of notional, above 0 to 1.
    n : closures to run, at least ten for each of the strata.
    rng : draws the gaps and seeds the engine.

    Returns
    -------
    pandas.DataFrame
        Rows ``long`` and ``short``, per unit of notional: ``engine``, its standard error ``se``, ``law`` (the law's ``shortfall``), ``n``,
        and ``off``, the largest distance of the engine's loss from ``(L - margin)+`` on the same gap, as a share of 1 + that loss. A
        short whose mean is infinite under this law has nan in the first three.

    Raises
    ------
    ValueError
        If the margin lies outside (0, 1], or there are too few closures.
    """
    needs_generator(rng)
    if not (is_number(margin) and 0.0 < margin <= 1.0):
        raise ValueError(f"margin is collateral as a share of notional, above 0 and at most 1; got {margin!r}")
    edges = 0.5 * np.append(10.0 ** (-0.5 * np.arange(2 * DECADES + 1)), 0.0)
    strata = 2 * (len(edges) - 1)
    each = int(n) // strata if is_whole(n) else 0
    if each < 10:
        raise ValueError(f"n is a number of closures, {10 * strata} or more, to have ten in each of {strata} strata; got {n!r}")
    high, low = edges[:-1, None], edges[1:, None]
    chances = inside(low + (high - low) * rng.random((2, len(high), each)))
    gaps = np.clip(np.stack([law.quantile(chances[0]), law.isf(chances[1])]), -REACH, REACH)
    weights = np.broadcast_to(high[:, 0] - low[:, 0], gaps.shape[:2])

    accounts = Accounts([1, -1], [1.0, 1.0], [250.0, 250.0], [250.0 * margin, 250.0 * margin])
    closure = Closure(hours=2.0, closed_step_s=3600.0, reopen_minutes=0.1)
    run = ensemble(frozen_machine(margin), accounts, closure, gaps.ravel(), rng=rng)
    rows = {}
    for side, sign in (("long", -1.0), ("short", 1.0)):
        loss = run[f"shortfall_{side}"].values[0].reshape(gaps.shape)
        exact = np.maximum(sign * np.expm1(gaps) - margin, 0.0)
        value = float((weights * loss.mean(axis=-1)).sum())
        se = math.sqrt(float((weights**2 * loss.var(axis=-1, ddof=1) / each).sum()))
        found = (value, se, law.shortfall(margin, side)) if side == "long" or law.has_mean else (math.nan,) * 3
        rows[side] = (*found, gaps.size, float((np.abs(loss - exact) / (1.0 + exact)).max()))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["engine", "se", "law", "n", "off"]).rename_axis("side")
