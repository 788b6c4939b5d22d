"""Sizing: how large a buffer must be, how sure that is, and what else would do.

A machine whose fund never runs dry shows what a fund is asked for: its outflow of each weekend, the *demand*. One such run prices every
fund size. ``changes.py`` searches for rules that do the same for less, ``replay.py`` counts what the record would have done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from perpkit._checks import between, needs_generator, not_negative, numbers, positive, whole
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.experiment import weekends
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.pool import Pool
from perpkit.strata import Strata
from perpkit.theory import cover
from perpkit.venues import population

WEEKENDS_A_YEAR = 365.25 / 7.0
ENOUGH = 10.0
"""A pool of so many times open interest pays whatever is asked of it. As a demand it says that no fund would have done."""
RUNGS = (0.0, 0.005, 0.02, 0.05, 0.1)
"""Sizes tried, share of open interest, where a fund decides by its own margin which losses it takes."""


def with_buffer(machine: Machine | Pool, size: float) -> Machine | Pool:
    """The machine with a buffer of ``size``, a share of open interest: its fund, its fund of liquidity providers, or its pool's first tranche
    and all of a pool without one. Tranches that share losses grow alike, until the first is empty at a loss of ``size``."""
    if isinstance(machine, Pool):
        held = machine.tranches
        if held.split is not None:
            times = size / held.first_loss
            return replace(machine, tranches=replace(held, junior=times * held.junior, senior=times * held.senior))
        return replace(machine, tranches=replace(held, junior=size) if held.junior else replace(held, senior=size))
    if machine.backstop.guarded:
        return replace(machine, backstop=replace(machine.backstop, equity=size))
    return replace(machine, insurance=size)


def bottomless(machine: Machine | Pool) -> Machine | Pool:
    """The machine with a fund, or a pool, that no weekend empties."""
    if isinstance(machine, Pool):
        return replace(machine, tranches=replace(machine.tranches, junior=0.0, senior=ENOUGH, split=None))
    return with_buffer(machine, 1.0)


def buffer(machine: Machine | Pool) -> float:
    """What is there to lose before others must, as a share of open interest: what :func:`with_buffer` sets."""
    if isinstance(machine, Pool):
        return machine.tranches.first_loss
    return machine.backstop.equity if machine.backstop.guarded else machine.insurance


def without_adl(machine: Machine | Pool) -> Machine | Pool:
    """A book with everybody paying where winners would have been closed. Deleveraging starts with the first loss that is not covered, so whether a
    weekend has one is the same, and the run is several times faster; not so where orders have a limit, and those machines stay as they are.
    """
    return replace(machine, adl="none") if isinstance(machine, Machine) and machine.liquidation.orders == "market" else machine


def demand(
    machines: Mapping[str, Machine | Pool], accounts: Accounts | Mapping[str, Accounts], closure: Closure, strata: Strata, rng: int = 1
) -> xr.DataArray:
    """What each weekend asks of the fund, net of liquidation fees, or takes from the pool; dims (machine, weekend), shares of open
    interest, 0 or more. Machines run with :func:`bottomless` buffers, so a breach of a fund F is a demand above F.

    A fund with a margin of its own is tried at each of :data:`RUNGS`; its demand is the smallest that does, rounded up to a rung. Where
    a loss goes past even a bottomless fund, because a rule keeps it from paying, the demand is :data:`ENOUGH`.

    Left out: a fund that would have recovered by Monday what it lacked on Sunday, and how deleveraging changes the rest of the weekend.
    """
    pools = {name: bottomless(machine) for name, machine in machines.items() if isinstance(machine, Pool)}
    guarded = {name: machine for name, machine in machines.items() if name not in pools and machine.backstop.guarded}
    books = {name: bottomless(machine) for name, machine in machines.items() if name not in pools and name not in guarded}
    rungs = {(name, size): without_adl(with_buffer(machine, size)) for name, machine in guarded.items() for size in RUNGS}

    def run(named: Mapping, *outcomes: str) -> xr.Dataset:
        held = {str(key): accounts[key if key in machines else key[0]] for key in named} if isinstance(accounts, Mapping) else accounts
        return weekends({str(key): machine for key, machine in named.items()}, held, closure, strata, rng, outcomes)

    asked = {}
    if pools:
        lost = run(pools, "junior", "senior")
        asked |= {name: np.maximum(-(lost["junior"] + lost["senior"]).sel(machine=name).values, 0.0) for name in pools}
    if books:
        lost = run(books, "insurance", "exhausted")
        asked |= {name: np.where(one["exhausted"] > 0.0, ENOUGH, np.maximum(-one["insurance"], 0.0)) for name, one in _each(lost, books)}
    if rungs:
        dry = run(rungs, "exhausted")["exhausted"].values.reshape(len(guarded), len(RUNGS), len(strata))
        needed = np.where(dry > 0.0, ENOUGH, np.array(RUNGS)[:, None]).min(axis=1)
        asked |= dict(zip(guarded, needed, strict=True))
    rows = np.array([asked[name] for name in machines])
    return xr.DataArray(rows, {"machine": list(machines), "gap": ("weekend", strata.gaps)}, ("machine", "weekend"), "demand")


def _each(run: xr.Dataset, names: Mapping) -> list[tuple[str, xr.Dataset]]:
    return [(name, run.sel(machine=name)) for name in names]


def capped(machine: Machine | Pool, cap: float) -> Machine | Pool:
    """The machine with another leverage cap; a book's maintenance stays the same part of initial margin, a pool's margin rules stay as they
    are."""
    positive("cap", cap, "a market's maximum leverage")
    old = machine.margin
    if isinstance(machine, Pool):
        return replace(machine, margin=replace(old, max_leverage=cap))
    return replace(machine, margin=Margin(cap, old.maintenance * old.max_leverage / cap))


def by_cap(machines: Mapping[str, Machine | Pool], caps: Sequence[float], closure: Closure, strata: Strata, rng: int = 1) -> xr.DataArray:
    """:func:`demand` of each machine under each leverage cap, with the base population cut there; dims (machine, cap, weekend). Coordinate
    ``posted``: collateral of both sides over open interest of both, by cap.
    """
    people = {cap: population(cap) for cap in caps}
    each = [demand({name: capped(machine, cap) for name, machine in machines.items()}, people[cap], closure, strata, rng) for cap in caps]
    posted = [people[cap].collateral.sum() / (people[cap].size * people[cap].price).sum() for cap in caps]
    return xr.concat(each, "cap").assign_coords(cap=list(caps), posted=("cap", posted)).transpose("machine", "cap", "weekend")


def fund(strata: Strata, asked: np.ndarray, years: Sequence[float] = (1.0, 10.0, 50.0), level: float = 0.9, rng: int = 1) -> pd.DataFrame:
    """Fund that is breached once in so many years of weekends.

    Parameters
    ----------
    strata : of the weekends' gaps.
    asked : demand of each weekend, shape (n,), shares of open interest.
    years : mean time between breaches; the chance of one weekend is ``1 / (years * 52.18)``.
    level : coverage of the credible interval over the posterior's draws, each on other weekends (:meth:`perpkit.strata.Strata.others`): law and
        simulation together.
    rng : seed of those.

    Returns
    -------
    DataFrame indexed by ``years``: ``fund``; ``se``, of the simulation alone; ``low`` and ``high``, nan for a law that is no posterior's;
    ``tail_share``, the part of the breaches that comes from gaps beyond any on record.
    """
    between("level", level, "a coverage")
    rows = {}
    for every in numbers("years", years):
        p = 1.0 / (positive_years(every) * WEEKENDS_A_YEAR)
        size = strata.quantile(asked, p)
        over = (asked > size).astype(float)
        found = strata.mean(over)
        off = min(found.se or strata.mean((asked >= size).astype(float)).se, 0.9 * p)
        around = [strata.quantile(asked, p + sign * off) for sign in (1.0, -1.0)] if off else [size, size]
        draws = strata.quantile_draws(asked, p, np.random.default_rng(rng))
        low, high = np.quantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]) if draws.size else (np.nan, np.nan)
        rows[every] = (size, (around[1] - around[0]) / 2.0, low, high, found.tail_share)
    return pd.DataFrame.from_dict(rows, "index", columns=["fund", "se", "low", "high", "tail_share"]).rename_axis("years")


def positive_years(years: float) -> float:
    """``years``, checked: at least one weekend long."""
    positive("years", years, "a mean time between breaches")
    if years * WEEKENDS_A_YEAR <= 1.0:
        raise ValueError(f"years between breaches are more than one weekend; got {years!r}")
    return float(years)


def breach(strata: Strata, asked: np.ndarray, size: float, level: float = 0.9, rng: int = 1) -> dict[str, float]:
    """Chance that one weekend asks more than ``size``: ``value``, ``se``, ``low``, ``high``, ``tail_share``; the interval as in :func:`fund`."""
    not_negative("size", size, "a fund, as a share of open interest")
    between("level", level, "a coverage")
    over = (asked > size).astype(float)
    found, draws = strata.mean(over), strata.draws(over, np.random.default_rng(rng))
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
    n = whole("n", n, "a number of funds")
    needs_generator(rng)
    order = np.argsort(asked)
    ladder, size = np.cumsum(strata.weights[order]), np.asarray(asked, dtype=float)[order]
    hole, deepest = np.zeros(n), np.zeros(n)
    for _ in range(round(years * WEEKENDS_A_YEAR)):
        paid = size[np.minimum(np.searchsorted(ladder, rng.random(n) * ladder[-1], side="right"), len(size) - 1)]
        hole += paid - inflow
        np.maximum(deepest, hole, out=deepest)
    return Drawdowns(deepest, float(years))
