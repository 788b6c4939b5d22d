"""Conditions: the comparison of architectures and marks again, when one thing that was held is something else.

Four machines of ``architectures``, alike in margin, first buffer and book: a book that marks at its own mid, the same book marked at Friday's
print, the first in batches, and a pool that is shut until the stock prints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perpkit import base, gaps, studies
from perpkit.accounts import Accounts
from perpkit.architectures import architectures, lean
from perpkit.book import Book
from perpkit.clock import Closure
from perpkit.estimate import Estimate
from perpkit.experiment import compare, weekends
from perpkit.laws import Law
from perpkit.machine import Machine, replace
from perpkit.mark import OracleMark
from perpkit.pool import Pool
from perpkit.strata import Strata, tail_strata
from perpkit.venues import base_case, population

DRAWS = 200
"""Posterior draws in a predictive law."""


def four(buffer: float = base.INSURANCE, max_leverage: float = 10.0, book: Book | None = None) -> dict[str, Machine | Pool]:
    """The four machines; parameters as for :func:`perpkit.architectures.architectures`."""
    made = architectures(buffer, max_leverage, book)
    at_mid = made["order book"]
    return {
        "book, mid": at_mid,
        "book, oracle": replace(at_mid, name="book, oracle", mark=OracleMark()),
        "verifiable book": made["verifiable book"],
        "pool": made["pool, closed"],
    }


@dataclass(frozen=True)
class Condition:
    """What is run: machines, accounts, closure and the law of the gap."""

    machines: dict[str, Machine | Pool]
    accounts: Accounts
    closure: Closure
    law: Law


def conditions(law: Law) -> dict[str, Condition]:
    """What is held in the experiment, first, and then one thing at a time: the law of the gap, the closure, the books, leverage, the buffer, the
    balance of the positions. ``law`` is that of the first; each other law is a posterior's predictive one."""
    held = Condition(four(), population(10.0), base_case().closure, law)

    def predictive(symbol: str, form: str, **options) -> Law:
        return gaps.posterior(symbol, form, **options).predictive(DRAWS)

    def lasting(hours: float, symbol: str = base.SYMBOL, kind: str = "weekend") -> Closure:
        return replace(held.closure, hours=hours).of(gaps.empirical(symbol, kind=kind).gaps)

    def standing(closed: float | None = None, opened: float | None = None, half_life: float | None = None) -> Condition:
        book = base.book()
        changed = {"depth_closed": closed, "depth_open": opened}
        fields = {name: depth * base.OPEN_INTEREST for name, depth in changed.items() if depth}
        fields |= {"refill_closed": math.log(2.0) / half_life} if half_life else {}
        return replace(held, machines=four(book=replace(book, **fields)))

    thin, deep = base.DEPTH_OVER_INTEREST
    fast = base.REFILL_HALF_LIFE[0]
    return {
        "as held": held,
        "law of the last five years": replace(held, law=studies.recent_law(base.SYMBOL)),
        "Student-t law": replace(held, law=predictive(base.SYMBOL, "t")),
        "NVDA": replace(held, law=predictive("NVDA", "tempered-t"), closure=lasting(held.closure.hours, "NVDA")),
        "cash hours, 65.5 h": replace(held, closure=lasting(65.5)),
        "holiday, 72 h": replace(held, closure=lasting(72.0)),
        "earnings night, 17.5 h": replace(held, law=predictive(base.SYMBOL, "t", kind="earnings"), closure=lasting(17.5, kind="earnings")),
        "closed book thin": standing(closed=thin),
        "closed book deep": standing(closed=deep),
        "both books at twice": standing(closed=2.0, opened=2.0),
        "both books deep": standing(closed=deep, opened=deep),
        "impact gone in 5 min": standing(half_life=fast),
        "cap of 5x": replace(held, machines=four(max_leverage=5.0), accounts=population(5.0)),
        "cap of 20x": replace(held, machines=four(max_leverage=20.0), accounts=population(20.0)),
        "leverage near 25x": replace(held, machines=four(max_leverage=50.0), accounts=population(50.0, leverage_median=25.0)),
        "buffer of 5 %": replace(held, machines=four(0.05)),
        "net long by 10 %": replace(held, accounts=lean(held.accounts, 0.1)),
    }


@dataclass(frozen=True)
class Again:
    """Chance of a breach of each machine, and which has the least; "undecided" where the next is nearer than five paired errors."""

    chances: dict[str, Estimate]
    least: str


def again(condition: Condition, n: int, seed: int = 1) -> Again:
    """One condition, ``n`` weekends in strata; the seed is of the strata and of the weekends, so that conditions share what they can."""
    strata = tail_strata(condition.law, n, np.random.default_rng(seed))
    run = weekends(condition.machines, condition.accounts, condition.closure, strata, seed, ("exhausted",))
    found = {name: strata.mean(run["exhausted"].sel(machine=name).values) for name in condition.machines}
    best = min(found, key=lambda name: found[name].value)
    clear = all(compare(run, strata, "exhausted", best, other).decided for other in found if other != best)
    return Again(found, best if clear else "undecided")


def by_balance(
    machines: Mapping[str, Machine | Pool], accounts: Accounts, closure: Closure, strata: Strata, skews: Sequence[float], rng: int = 1
) -> pd.DataFrame:
    """Chance of a breach over how far the positions are from balance, net over gross, positive for long (:func:`perpkit.architectures.lean`).

    Returns
    -------
    DataFrame indexed by skew and machine: ``value``, ``se``.
    """
    rows = {}
    for skew in skews:
        run = weekends(machines, lean(accounts, skew), closure, strata, rng, ("exhausted",))
        rows |= {(skew, name): strata.mean(run["exhausted"].sel(machine=name).values) for name in machines}
    index = pd.MultiIndex.from_tuples(rows, names=["skew", "machine"])
    return pd.DataFrame({"value": [e.value for e in rows.values()], "se": [e.se for e in rows.values()]}, index=index)


def crossing(x: Sequence[float], difference: Sequence[float]) -> float:
    """Where a difference first turns from below zero to above it, on the straight line between two points; nan where it does not."""
    x, d = np.asarray(x, dtype=float), np.asarray(difference, dtype=float)
    turns = np.flatnonzero((d[:-1] < 0.0) & (d[1:] >= 0.0))
    if not turns.size:
        return math.nan
    k = turns[0]
    return float(x[k] - d[k] * (x[k + 1] - x[k]) / (d[k + 1] - d[k]))
