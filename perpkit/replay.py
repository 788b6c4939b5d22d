"""Replay: every weekend on record through every machine, and whether there were as many breaches as the law foresees.

A weekend's gap is known, its path is not: each is run several times, with news and noise drawn anew. A law fitted to the same weekends that
foresees another count is wrong where breaches happen; one that foresees the count may still be no forecast, so those of :func:`held_out_laws` are
fitted to earlier weekends only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from perpkit._volatility import with_history
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.compare import who_pays
from perpkit.ensemble import ensemble
from perpkit.gaps import empirical
from perpkit.machine import Machine
from perpkit.pool import Pool
from perpkit.sizing import WEEKENDS_A_YEAR, without_adl
from perpkit.strata import Strata

if TYPE_CHECKING:
    from perpkit.predictive import Predictive


def held_out_laws(
    symbols: Sequence[str], split: str, law: str = "skew-t", nights: bool = True, n: int = 200, seed: int = 7
) -> dict[str, Predictive]:
    """Law of an average weekend of each stock from ``split`` on, fitted to the weekends before it.

    Parameters
    ----------
    symbols : stocks of ``closures.csv``.
    split : the first day that is foreseen, such as ``"2018-01-01"``.
    law : a name in ``priors.LAWS``.
    nights : over the volatility of the nights before each weekend, mixed over 12 quantiles of what was known on the Fridays that are foreseen;
        otherwise all weekends are taken to be alike.
    n : posterior draws.
    seed : of the posterior.

    Raises
    ------
    ValueError
        As :func:`perpkit.posterior.posteriors`.
    """
    from perpkit.posterior import posteriors  # its samplers take a while to load

    last = pd.Timestamp(split) - pd.Timedelta(days=1)
    options = {"volatility": "nights"} if nights else {}
    fitted = posteriors(symbols, [law], seed, end=f"{last:%Y-%m-%d}", **options)
    found = {}
    for symbol in symbols:
        levels = None
        if nights:
            _, known = with_history(symbol, "weekend", split, None, None, "nights")
            levels = np.quantile(known, (np.arange(12) + 0.5) / 12)
        found[symbol] = dataclasses.replace(fitted[symbol, law].predictive(n, volatility=levels), record=empirical(symbol).record)
    return found


def breaches(
    machines: Mapping[str, Machine | Pool],
    accounts: Accounts | Mapping[str, Accounts],
    closure: Closure,
    gaps: np.ndarray,
    paths: int = 2,
    rng: int = 1,
) -> xr.DataArray:
    """Which weekends of a record breach the first buffer of which machine; 1 or 0, dims (machine, path, weekend).

    Parameters
    ----------
    gaps : log gaps of the record, shape (n,).
    paths : times each weekend is run, with the path inside it drawn anew.
    rng : seed.

    Raises
    ------
    ValueError
        If ``paths`` is no number of times, and as :func:`perpkit.ensemble`.
    """
    if int(paths) != paths or paths < 1:
        raise ValueError(f"paths is how often each weekend is run, 1 or more; got {paths!r}")
    plain = {name: without_adl(machine) for name, machine in machines.items()}
    run = ensemble(plain, accounts, closure, gaps, n=int(paths) * len(gaps), rng=rng, block=1, outcomes=["exhausted"])
    values = run["exhausted"].values.reshape(len(plain), int(paths), len(gaps))
    return xr.DataArray(values, {"machine": list(plain), "gap": ("weekend", np.asarray(gaps, dtype=float))}, ("machine", "path", "weekend"), "breach")


def count_interval(strata: Strata, happened: np.ndarray, n: int, rng: np.random.Generator, level: float = 0.9) -> tuple[float, float]:
    """Interval for how often something happens in ``n`` independent weekends, when its chance is known only by posterior draws.

    Each draw of the law has its own chance, the error of the simulation included; counts are binomial given it. ``happened`` is 1 or 0 on each of the strata's weekends, or a
    chance between.

    Raises
    ------
    ValueError
        If the strata are of no posterior, ``n`` is no number of weekends, or ``level`` no coverage.
    """
    if not len(strata.members):
        raise ValueError("these strata come from one law, not from a posterior; use tail_strata(posterior.predictive(), ...)")
    if int(n) != n or n < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"n is a number of weekends, 1 or more, and level a coverage between 0 and 1; got {n!r} and {level!r}")
    chances = np.clip(strata.draws(happened, rng), 0.0, 1.0)
    counts = rng.binomial(int(n), np.repeat(chances, 50))
    low, high = np.quantile(counts, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], method="inverted_cdf")
    return float(low), float(high)


def tally(seen: xr.DataArray, strata: Strata, foreseen: xr.DataArray, rng: np.random.Generator, level: float = 0.9) -> pd.DataFrame:
    """Breaches counted beside breaches foreseen.

    Parameters
    ----------
    seen : of :func:`breaches`.
    strata : of the posterior of the law of the gap.
    foreseen : breaches on the strata's weekends, dims (machine, weekend).
    level : coverage of the interval.

    Returns
    -------
    DataFrame indexed by ``machine``: ``breaches``, mean over paths; ``expected``, by the law; ``low`` and ``high``, the interval of
    :func:`count_interval` for one history, path included, so that it is a little wide for a mean over paths; ``inside``, whether the mean, to
    the nearest count, is in it; ``years`` between breaches as counted, infinite if none, and ``years_expected``.
    """
    weekends, rows = seen.sizes["weekend"], {}
    for name in seen["machine"].values:
        count = float(seen.sel(machine=name).sum("weekend").mean())
        happened = foreseen.sel(machine=name).values
        expected = weekends * strata.mean(happened).value
        low, high = count_interval(strata, happened, weekends, rng, level)
        span = weekends / WEEKENDS_A_YEAR
        years = [span / x if x > 0.0 else np.inf for x in (count, expected)]
        rows[name] = (count, expected, low, high, low - 0.5 <= count <= high + 0.5, *years)
    return pd.DataFrame.from_dict(rows, "index", columns=["breaches", "expected", "low", "high", "inside", "years", "years_expected"]).rename_axis("machine")


def worst(seen: Mapping[str, xr.DataArray], dates: Mapping[str, pd.DatetimeIndex], count: int = 10) -> pd.DataFrame:
    """The weekends of all stocks that breach the most machines.

    Parameters
    ----------
    seen : :func:`breaches` of each stock.
    dates : the day each of its weekends opened.
    count : how many to return.

    Returns
    -------
    DataFrame, worst first: ``symbol``, ``opened``, ``gap`` (log), ``breached`` (machines, mean over paths) and ``share`` of the stock's machines.
    """
    tables = []
    for symbol, one in seen.items():
        hit = one.mean("path").sum("machine").values
        tables.append(pd.DataFrame({"symbol": symbol, "opened": dates[symbol], "gap": one["gap"].values, "breached": hit, "share": hit / one.sizes["machine"]}))
    every = pd.concat(tables, ignore_index=True)
    return every.assign(size=every["gap"].abs()).sort_values(["share", "size"], ascending=False).drop(columns="size").head(count).reset_index(drop=True)


def payers(machine: Machine | Pool, accounts: Accounts, closure: Closure, gaps: Sequence[float], paths: int = 8, rng: int = 1) -> pd.DataFrame:
    """Who paid and who gained on each of some weekends, mean over paths: a row a gap, with the columns of :func:`perpkit.compare.who_pays`."""
    if int(paths) != paths or paths < 2:
        raise ValueError(f"paths is how often each weekend is run, 2 or more for an error; got {paths!r}")
    drawn = np.asarray(gaps, dtype=float)
    run = ensemble({machine.name: machine}, accounts, closure, drawn, n=int(paths) * len(drawn), rng=rng, block=1)
    return pd.concat([who_pays(run, gap) for gap in drawn], ignore_index=True)
