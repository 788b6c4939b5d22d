"""Boundary: the regulatory constraints of chapter 6, as a map of arguments and as numbers the engine can turn.

The map and the margin laws stand in ``data/boundary.toml``, with their sources. Nothing here is legal advice, and no arrow of the map has been
measured; what has a number (margin, hours, depth, the number of names) becomes a machine, a population or a closure, on the base case.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from perpkit import data, gaps, windows
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.oracle import no_oracle
from perpkit.studies import POPULATION_SIZE
from perpkit.venues import base_case, population

GRADES = ("primary", "secondary", "inference")
BASKET = ("AAPL", "ADBE", "AMZN", "CRM", "GOOGL", "META", "MSFT", "NFLX", "NVDA", "TSLA")
"""Ten of the fourteen names of ``data/weekend_gaps_megacaps.csv``, a tenth each: one more than the narrow-index cliff."""
NIGHTS = 52 * 4
"""Week nights between two sessions in a year, holidays aside."""


@dataclass(frozen=True)
class Feed:
    """A venue's hours: how long its weekend and its week nights are without a reference, in hours, and by what the cash market's gap over
    each is scaled."""

    weekend: float
    night: float
    weekend_scale: float


@lru_cache(maxsize=1)
def _tables() -> dict:
    tables = tomllib.loads((data.folder() / "boundary.toml").read_text(encoding="utf-8"))
    known = set(tables["architectures"])
    for name, row in tables["constraints"].items():
        if row["grade"] not in GRADES or not row["sources"]:
            raise ValueError(f"constraint {name} of boundary.toml needs sources and a grade of {', '.join(GRADES)}; got {row['grade']!r}")
        if lost := set(row["pushes"]) - known:
            raise ValueError(f"constraint {name} of boundary.toml pushes to {', '.join(sorted(lost))}; the architectures are {', '.join(known)}")
    for name, row in tables["architectures"].items():
        if lost := set(row["invites"]) - set(tables["failures"]):
            raise ValueError(f"architecture {name} of boundary.toml invites {', '.join(sorted(lost))}; the failures are {', '.join(tables['failures'])}")
    return tables


def constraints() -> pd.DataFrame:
    """The constraints: ``label`` (lines for a figure), ``says``, ``pushes`` (reasons by architecture), ``sources`` (keys of
    ``references.bib``), ``as_of``, ``grade`` and ``turns``, by name."""
    return pd.DataFrame.from_dict(_tables()["constraints"], orient="index").rename_axis("constraint")


def architectures() -> pd.DataFrame:
    """The architectures: ``label``, ``example`` and ``invites`` (mechanisms by failure), by name."""
    return pd.DataFrame.from_dict(_tables()["architectures"], orient="index").rename_axis("architecture")


def failures() -> dict[str, str]:
    """The article's three failures, in lines for a figure."""
    return dict(_tables()["failures"])


def regimes() -> pd.DataFrame:
    """Margin on one stock under law and at venues, dearest first: ``label``, ``where``, ``initial`` and ``maintenance`` (shares of notional),
    ``max_leverage``, ``sources``, ``as_of``, ``grade`` and ``note``, by name."""
    table = pd.DataFrame.from_dict(_tables()["regimes"], orient="index").rename_axis("regime")
    return table.assign(max_leverage=1.0 / table["initial"])


def facts() -> pd.DataFrame:
    """Counts that others published and the chapter quotes: ``value``, ``unit``, ``sources``, ``as_of``, ``grade`` and ``note``, by name."""
    return pd.DataFrame.from_dict(_tables()["facts"], orient="index").rename_axis("fact")


def margin_machines(halted: bool = False) -> dict[str, Machine]:
    """The base case under each margin regime: leverage cap and maintenance change, nothing else.

    ``halted``: nothing is priced, called or sold until the first print, as where a contract stops with its stock.
    """
    machine = base_case().machine
    if halted:
        machine = replace(machine, oracle=no_oracle(step=machine.oracle.step))
    return {
        name: replace(machine, name=name, margin=Margin(row.max_leverage, row.maintenance))
        for name, row in regimes().iterrows()
    }


def margin_populations(used: float | None = None) -> dict[str, Accounts]:
    """The base population cut at each regime's cap; with ``used``, its median moved to that share of the cap, for traders who take what
    they are given."""
    return {
        name: population(row.max_leverage, POPULATION_SIZE, **({} if used is None else {"leverage_median": max(1.0, used * row.max_leverage)}))
        for name, row in regimes().iterrows()
    }


def exceedance(symbols: tuple[str, ...], kind: str, cushion: np.ndarray) -> np.ndarray:
    """Share of closures in which a move, down or up, was larger than each cushion (a share of the price), pooled over symbols."""
    moves = np.abs(np.expm1(np.concatenate([gaps.empirical(s, kind).gaps for s in symbols])))
    return (moves[:, None] > np.asarray(cushion, dtype=float)).mean(axis=0)


def feeds(symbol: str = "TSLA") -> dict[str, Feed]:
    """Two feeds: cash hours, closed every night, and 24/5, closed from Friday to Sunday 20:00 only, when the middle of the bounds of
    :mod:`perpkit.windows` says how much of the gap falls into those hours."""
    return {"cash hours": Feed(65.5, 17.5, 1.0), "24/5": Feed(48.0, 0.0, windows.scale_factors(symbol)[1])}


def closure(hours: float, law: gaps.Empirical) -> Closure:
    """The base case's closure, of another length and with the deviation of another law."""
    return replace(base_case().closure, hours=hours).of(law.gaps)


def basket_gaps(names: tuple[str, ...] = BASKET) -> tuple[np.ndarray, np.ndarray]:
    """Log gaps of an equally weighted basket over the weekends that all its names share, and TSLA's over the same weekends.

    The basket's gap is the log of one plus the mean simple return.
    """
    table = data.load("weekend_gaps_megacaps")
    wide = table[table["symbol"].isin(set(names) | {"TSLA"})].pivot(index="close_date", columns="symbol", values="gap").dropna()
    return np.log1p(np.expm1(wide[list(names)]).mean(axis=1)).to_numpy(), wide["TSLA"].to_numpy()
