"""Venues: the rules of real ones, dated and sourced, as machines and as tables; and the base case that chapters start from.

Rules stand in ``data/venues.toml``, whose head explains the format. Depth and informed flow are no rules of a venue: every machine made
here stands on the book of ``base.py``.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from perpkit import _rulebook, _words, base, gaps
from perpkit._book_venue import book_machine
from perpkit._pool_venue import pool_machine
from perpkit._rulebook import ASSUMED, MissingRule, Values
from perpkit._vocabulary import RULES
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.machine import Machine, replace
from perpkit.pool import Pool


@dataclass(frozen=True)
class BaseCase:
    """Where chapters start: a machine, its population, a weekend and the law of its gap."""

    machine: Machine
    accounts: Accounts
    closure: Closure
    gaps: gaps.Empirical


def venues() -> pd.DataFrame:
    """Every set of rules, one row for each venue, market and date.

    Returns
    -------
    DataFrame with ``name``, ``market``, ``asof`` (the day from which the set holds), ``ended`` (the day from which the venue traded no
    more, or empty), ``label`` (what figures call the venue), ``title``, ``architecture``, and how many ``values`` it holds, from how
    many ``sources``, and how many are ``assumed``.
    """
    rows = []
    for house in _rulebook.shipped()[0].values():
        for market in house.markets:
            for rules in house.sets:
                used = _used(house.name, market, rules)
                held = [record for key, record in rules.items() if key in used]
                sources = {record["source"] for record in held} - {ASSUMED}
                assumed = sum(record["grade"] == ASSUMED for record in held)
                day = _rulebook.start(rules).isoformat()
                ended = house.ended.isoformat() if house.ended else ""
                rows.append((house.name, market, day, ended, house.label, house.title, house.architecture, len(held), len(sources), assumed))
    return pd.DataFrame(rows, columns=["name", "market", "asof", "ended", "label", "title", "architecture", "values", "sources", "assumed"])


def venue(name: str, market: str = "TSLA", asof: str | datetime.date | None = None) -> Machine | Pool:
    """The machine a venue ran, on the book of the base case; a :class:`Pool` where everybody trades with one.

    Parameters
    ----------
    name, market : as :func:`venues` lists them.
    asof : a date. The newest rules not after it are taken; by default the newest of all, also of a venue that has closed.

    Returns
    -------
    Machine or Pool
        Its ``asof`` is the day from which the rules hold.

    Raises
    ------
    ValueError
        If name or market is unknown, with the nearest choices; if ``asof`` is no date, or lies before the first rules or after the venue's
        last day, with that day.
    """
    return build(name, market, _rulebook.values(name, market, asof))


def build(name: str, market: str, values: Values) -> Machine | Pool:
    """The machine of given values; :func:`venue` gives it those of the file, :func:`perpkit.swing` changes one."""
    engine = _rulebook.house(name, market).engine
    maker = {"book": book_machine, "pool": pool_machine}[engine]
    held, lacking = values, []
    while True:
        try:
            machine = maker(name, market, held, base.book())
        except MissingRule as error:  # go on with the value of some other venue, to name all that is missing at once
            lacking += error.keys
            held = Values(values.where, held | {key: _rulebook.stand_in(engine, key) for key in error.keys})
        else:
            if lacking:
                raise MissingRule(values.where, *lacking)
            return machine


def venue_closure(name: str, market: str = "TSLA", asof: str | datetime.date | None = None) -> Closure:
    """The venue's own weekend: as long as its feed is without a reference, on the base case's value. Raises as :func:`venue`."""
    return clock_of(_rulebook.values(name, market, asof))


def clock_of(values: Mapping) -> Closure:
    """The weekend of given values, as :func:`build` makes the machine."""
    return Closure(hours=values["clock.closed_hours"], update_s=values.get("clock.update_s", base.UPDATE_S), value=base.value())


def _used(name: str, market: str, rules: dict[str, dict]) -> set[str]:
    """Rules of a set that its machine reads, and those of the clock."""
    values = Values(f"{name} from {_rulebook.start(rules)}", {key: _rulebook.for_market(record, market) for key, record in rules.items()})
    build(name, market, values)
    return (values.used | {key for key in rules if key.startswith("clock.")}) - {"from"}


def rulebook(name: str, market: str = "TSLA", asof: str | datetime.date | None = None) -> pd.DataFrame:
    """The values behind :func:`venue`, one a row, and where each comes from. Only those that its machine reads, and the clock.

    Returns
    -------
    DataFrame, index ``rule``. Columns: ``what`` (in words), ``value``, ``unit``, ``words`` (both, as a table shows them), ``grade``, ``as_of`` (day or
    month the source speaks for), ``source`` (an address, or "assumed"), ``cite`` (its name in ``venues.toml``, empty for an assumption),
    ``note``, and ``instead``, for an assumption the alternatives that :func:`perpkit.swing` runs.

    Raises
    ------
    ValueError
        As :func:`venue`.
    """
    rules, addresses = _rulebook.pick(name, market, asof), _rulebook.shipped()[1]
    used = _used(name, market, rules) | {"from"}
    rows = {}
    for key in RULES:
        if key in rules and key in used:
            record = rules[key]
            cite = "" if record["source"] == ASSUMED else record["source"]
            rows[key] = {
                "what": RULES[key],
                "value": _rulebook.for_market(record, market),
                "unit": record.get("unit", ""),
                "words": _words.words(key, _rulebook.for_market(record, market), record.get("unit", "")),
                "grade": record["grade"],
                "as_of": record["as_of"],
                "source": addresses[cite] if cite else ASSUMED,
                "cite": cite,
                "note": record.get("note", ""),
                "instead": tuple(_rulebook.for_market(record, market, "instead")),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")


def base_case() -> BaseCase:
    """The newest trade.xyz rules for TSLA with an insurance fund, 2,000 accounts, a weekend of its length, and every TSLA weekend since
    2010.

    Every constant that is no rule of the venue stands in ``perpkit.base``, with its range and its source.
    """
    machine = replace(venue("trade-xyz", base.SYMBOL), insurance=base.INSURANCE)
    return BaseCase(machine, population(machine.margin.max_leverage), venue_closure("trade-xyz", base.SYMBOL), gaps.empirical(base.SYMBOL))


@lru_cache(maxsize=64)
def population(cap: float, n: int = 2_000, leverage_median: float = 3.7, rng: int = 1) -> Accounts:
    """The base population cut at a leverage cap; other arguments of :meth:`perpkit.accounts.Accounts.sample`, with ``rng`` a seed: the same call
    gives the same accounts."""
    return Accounts.sample(n, rng, leverage_median, max_leverage=cap, open_interest=base.OPEN_INTEREST)


def populations(machines: Mapping[str, Machine | Pool], n: int = 2_000, rng: int = 1) -> dict[str, Accounts]:
    """:func:`population` for each machine, cut at its own cap."""
    return {name: population(machine.margin.max_leverage, n, rng=rng) for name, machine in machines.items()}
