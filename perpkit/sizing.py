"""Sizing: how large a buffer must be, how sure that is, and what else would do.

A machine whose fund never runs dry shows what a fund is asked for: its outflow of each weekend, the *demand*. One such run prices every
fund size. ``changes.py`` searches for rules that do the same for less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from perpkit._checks import not_negative, positive
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.experiment import weekends
from perpkit.machine import Machine, replace
from perpkit.pool import Pool
from perpkit.strata import Strata
from perpkit.theory import cover

WEEKENDS_A_YEAR = 365.25 / 7.0
ENOUGH = 10.0
"""A pool of so many times open interest pays whatever is asked of it."""


def bottomless(machine: Machine | Pool) -> Machine | Pool:
    """The machine with a fund, or a pool, that no weekend empties."""
    if isinstance(machine, Pool):
        return replace(machine, tranches=replace(machine.tranches, junior=0.0, senior=ENOUGH, split=None))
    return replace(machine, insurance=1.0)


def buffer(machine: Machine | Pool) -> float:
    """What is there to lose before others must, as a share of open interest: the fund, or the pool's first tranche; of a pool without
    one, all of it."""
    if isinstance(machine, Pool):
        return machine.tranches.junior or machine.tranches.senior
    return machine.insurance


def demand(
    machines: Mapping[str, Machine | Pool], accounts: Accounts | Mapping[str, Accounts], closure: Closure, strata: Strata, rng: int = 1
) -> xr.DataArray:
    """What each weekend asks of the fund, net of liquidation fees, or takes from the pool; dims (machine, weekend), shares of open
    interest, 0 or more. Machines run with :func:`bottomless` buffers, so a breach of a fund F is a demand above F.

    Left out: a fund that would have recovered by Monday what it lacked on Sunday, and how deleveraging changes the rest of the weekend.
    """
    named = {name: bottomless(machine) for name, machine in machines.items()}
    pools = {name for name, machine in machines.items() if isinstance(machine, Pool)}
    wanted = ("insurance", *(("junior", "senior") if pools else ()))
    run = weekends(named, accounts, closure, strata, rng, wanted)
    rows = []
    for name in named:
        one = run.sel(machine=name)
        lost = -(one["junior"] + one["senior"]) if name in pools else -one["insurance"]
        rows.append(np.maximum(lost.values, 0.0))
    return xr.DataArray(np.array(rows), {"machine": list(named), "weekend": run["weekend"], "gap": run["gap"]}, ("machine", "weekend"), "demand")


def fund(strata: Strata, asked: np.ndarray, years: Sequence[float] = (1.0, 10.0, 50.0), level: float = 0.9) -> pd.DataFrame:
    """Fund that is breached once in so many years of weekends.

    Parameters
    ----------
    strata : of the weekends' gaps.
    asked : demand of each weekend, shape (n,), shares of open interest.
    years : mean time between breaches; the chance of one weekend is ``1 / (years * 52.18)``.
    level : coverage of the credible interval over the posterior's draws.

    Returns
    -------
    DataFrame indexed by ``years``: ``fund``; ``se``, of the simulation alone; ``low`` and ``high``, nan for a law that is no posterior's;
    ``tail_share``, the part of the breaches that comes from gaps beyond any on record.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is a coverage between 0 and 1; got {level!r}")
    rows = {}
    for every in years:
        p = 1.0 / (positive_years(every) * WEEKENDS_A_YEAR)
        size = strata.quantile(asked, p)
        over = (asked > size).astype(float)
        found = strata.mean(over)
        off = min(found.se or strata.mean((asked >= size).astype(float)).se, 0.9 * p)
        around = [strata.quantile(asked, p + sign * off) for sign in (1.0, -1.0)] if off else [size, size]
        draws = strata.quantile_draws(asked, p)
        low, high = np.quantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]) if draws.size else (np.nan, np.nan)
        rows[every] = (size, (around[1] - around[0]) / 2.0, low, high, found.tail_share)
    return pd.DataFrame.from_dict(rows, "index", columns=["fund", "se", "low", "high", "tail_share"]).rename_axis("years")


def positive_years(years: float) -> float:
    """``years``, checked: at least one weekend long."""
    positive("years", years, "a mean time between breaches")
    if years * WEEKENDS_A_YEAR <= 1.0:
        raise ValueError(f"years between breaches are more than one weekend; got {years!r}")
    return float(years)


def breach(strata: Strata, asked: np.ndarray, size: float, level: float = 0.9) -> dict[str, float]:
    """Chance that one weekend asks more than ``size``: ``value``, ``se``, ``low``, ``high``, ``tail_share``."""
    not_negative("size", size, "a fund, as a share of open interest")
    over = (asked > size).astype(float)
    found, draws = strata.mean(over), strata.draws(over)
    low, high = np.quantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]) if draws.size else (np.nan, np.nan)
    return {"value": found.value, "se": found.se, "low": float(low), "high": float(high), "tail_share": found.tail_share}


def stressed(accounts: Accounts, gap: float, members: int = 2) -> float:
    """Cover-2: what the ``members`` largest losers owe beyond collateral if the price goes by ``gap`` at once, over open interest. No order
    moves the price, and nobody is liquidated on the way."""
    equity = accounts.collateral + accounts.side * accounts.size * (accounts.price * np.exp(gap) - accounts.entry)
    return cover(-equity, members) / accounts.open_interest


def carried(strata: Strata, asked: np.ndarray, holding: float, shortage: float) -> dict[str, float]:
    """The newsvendor's fund: ``holding`` a year for each dollar held against ``shortage`` for each dollar not covered.

    Returns
    -------
    ``fund``, the quantile of the demand at ``1 - r / k`` with r the cost of holding through one weekend's share of the year; ``cost``, of
    carry and shortage together, a year; ``breaches`` a year.
    """
    positive("holding", holding, "the cost of holding a dollar for a year")
    positive("shortage", shortage, "the cost of a dollar not covered")
    ratio = holding / WEEKENDS_A_YEAR / shortage
    size = strata.quantile(asked, ratio) if ratio < 1.0 else 0.0
    missing = strata.mean(np.maximum(asked - size, 0.0)).value * WEEKENDS_A_YEAR
    return {"fund": size, "cost": holding * size + shortage * missing, "breaches": strata.exceed(asked, size) * WEEKENDS_A_YEAR}


@dataclass(frozen=True, eq=False)
class Drawdowns:
    """The deepest hole of many funds that live through years of weekends, shape (n,): a fund of that size is just ruined."""

    deepest: np.ndarray
    years: float

    def ruin(self, size: float) -> tuple[float, float]:
        """Chance that a fund of ``size`` at the start runs dry within the years, and its standard error."""
        chance = float((self.deepest > size).mean())
        return chance, float(np.sqrt(chance * (1.0 - chance) / len(self.deepest)))


def drawdowns(strata: Strata, asked: np.ndarray, inflow: float, years: float, n: int, rng: np.random.Generator) -> Drawdowns:
    """Funds that take in ``inflow`` a weekend and pay what weekends drawn from the strata ask, one after another for ``years``.

    Weekends are independent. Open interest stays what it is, so the fund is a share of it throughout.

    Raises
    ------
    ValueError
        If ``inflow`` is negative, ``years`` or ``n`` is not positive, or ``rng`` is no generator.
    """
    not_negative("inflow", inflow, "a share of open interest a weekend")
    positive("years", years, "a time to live through")
    positive("n", n, "a number of funds")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is a numpy.random.Generator, from numpy.random.default_rng(seed); got {rng!r}")
    order = np.argsort(asked)
    ladder, size = np.cumsum(strata.weights[order]), np.asarray(asked, dtype=float)[order]
    hole, deepest = np.zeros(n), np.zeros(n)
    for _ in range(round(years * WEEKENDS_A_YEAR)):
        paid = size[np.minimum(np.searchsorted(ladder, rng.random(n) * ladder[-1], side="right"), len(size) - 1)]
        hole += paid - inflow
        np.maximum(deepest, hole, out=deepest)
    return Drawdowns(deepest, float(years))
