"""Compare: venues side by side. Who holds a position when, who pays, what sets of rules have in common, and what a change of them did.

Everything is read off machines and runs; nothing about a venue is written here but the names under which it appears.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr

from perpkit import _rulebook, _words, base, mark, oracle
from perpkit.accounts import Accounts
from perpkit.batch import Batch
from perpkit.book import Book
from perpkit.engine import Run
from perpkit.funding import Funding
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.mark import Mid
from perpkit.pool import EVERY_POCKET, Feed, Pool, PoolMargin
from perpkit.sessions import timestamp
from perpkit.venues import rulebook, venue, venues

THREE = {"order book": ("trade-xyz", None), "verifiable order book": ("lighter", None), "oracle-first pool": ("ostium", "2025-06-16")}
"""One venue and date for each of the article's three architectures: the rules of the newest trade.xyz and Lighter, and Ostium's contracts
of June 2025, when its vault was the counterparty."""
GROUPS = {
    "losers": (), "winners": ("adl", "capped", "frozen"), "makers": ("makers",), "vault or LP fund": ("backstop",), "insurance": ("insurance",),
    "pool owners": ("junior", "senior", "hedge"), "everybody": ("socialised",), "venue": ("protocol", "operator", "venue", "informed"),
    "attacker": ("attacker",),
}  # fmt: skip
"""Pockets that are drawn as one. Losers and winners are the two sides of the market, told by the sign of the gap."""
AXES = {
    "closed market": ("halted", "limits only", "by the clock", "open"),
    "oracle closed": ("none", "frozen", "own book", "dead zone", "last trade", "decaying", "elsewhere"),
    "mark": ("oracle", "median", "impact", "last", "basis", "mid", "blend", "own rule"),
    "band": ("none", "last print", "ratchet", "oracle"),
    "funding closed": ("none", "damped", "full", "carry"),
    "leverage closed": ("as held", "cut", "margin raised"),
    "reopening": ("first print", "at once", "50 bp", "1 %"),
    "stands behind": ("none found", "vault", "LP fund", "one pool", "junior", "junior, hedge"),
    "last resort": ("queue", "crossing", "pro-rata", "none", "the pool", "gain cap", "winners cut"),
}
"""Axes of the regime map, and the variants on each; an axis of a pool has the nearest. "Damped" is funding times a factor below one, "carry"
what a position pays to a pool and not to the other side."""
_BEHIND = {
    "closed market": ("oracle.rule", "liquidation.orders", "feed.closed", "margin.cushion_closed"),
    "oracle closed": ("oracle.rule", "feed.closed"),
    "mark": ("mark.rule",),
    "band": ("band.rule",),
    "funding closed": ("funding.when_closed", "carry.when_closed", "carry.rollover", "carry.base", "carry.velocity"),
    "leverage closed": ("overnight.leverage", "margin.cushion_closed"),
    "reopening": ("oracle.step", "mark.step", "feed.closed"),
    "stands behind": ("backstop.capacity", "backstop.size", "backstop.threshold", "tranches.junior", "tranches.split", "hedge.share"),
    "last resort": ("adl.rule", "payouts.max_gain", "payouts.daily", "payouts.adl_above"),
}
"""Rules of a rulebook that put a machine where it is on each axis."""


def presets(market: str = "TSLA", dated: bool = False) -> dict[str, tuple[str, str, str]]:
    """Name, market and date of each set that lists ``market``, by a label: the newest of each venue, or with ``dated`` every set."""
    table = venues()
    table = table[table["market"] == market]
    if not dated:
        table = table.drop_duplicates("name", keep="last")
    several = table["name"].duplicated(keep=False)
    return {
        f"{row.name}, {row.asof[:7]}" if many else row.name: (row.name, market, row.asof)
        for row, many in zip(table.rename(columns={"name": "venue"}).assign(name=table["name"]).itertuples(), several, strict=True)
    }


def label(name: str) -> str:
    """What figures and tables call a venue, or a set of :func:`presets`: ``"trade-xyz, 2026-10"`` is "trade.xyz, Oct 2026".

    Raises
    ------
    ValueError
        If no venue has that name, with the nearest choices, or what follows the comma is no month.
    """
    venue_name, _, month = name.partition(", ")
    called = _rulebook.known(venue_name).label
    if not month:
        return called
    first = timestamp(f"{month}-01")
    if first is pd.NaT:
        raise ValueError(f"{name!r}: {month!r} is no month; write it as '2026-10'")
    return f"{called}, {first:%b %Y}"


def listed(names: Iterable[str]) -> str:
    """Venues as a sentence lists them, each by its :func:`label`, which also says what it raises; "none" of none."""
    *first, last = [label(name) for name in names] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def machines(chosen: dict[str, tuple], fund: float = base.INSURANCE) -> dict[str, Machine | Pool]:
    """The machine of each preset. A venue with a book whose fund is assumed to be nothing gets the base case's, so that only rules differ;
    a pool has its junior tranche."""
    made = {}
    for label, key in chosen.items():
        machine = venue(*key)
        made[label] = machine if isinstance(machine, Pool) or machine.insurance or machine.backstop.guarded else replace(machine, insurance=fund)
    return made


def counting_funding(made: dict[str, Machine | Pool]) -> dict[str, Machine | Pool]:
    """The same machines, with informed flow that counts the funding it would pay: it trades towards the closed-window price that funding
    leaves and not towards the value (``book.Book``, ``carry``). Nothing changes where there is no funding or no oracle."""
    return {k: m if isinstance(m, Pool) else replace(m, book=replace(m.book, carry=True)) for k, m in made.items()}


def frictionless() -> dict[str, Machine | Pool]:
    """The three architectures with nothing to tell them apart: a live price, no spread, no fee, no funding, endless depth, and the mid as
    mark. The verifiable book has a batch at every update."""
    book = Book(
        depth_open=math.inf, depth_closed=math.inf, half_spread_open=0.0, half_spread_closed=0.0, follow_open=math.inf, follow_closed=math.inf,
        noise_open=0.0, noise_closed=0.0,
    )  # fmt: skip
    plain = Machine(name="order book", mark=Mid(), book=book, funding=Funding(when_closed=False), margin=Margin(20.0, 0.025), adl="none")
    feed = Feed("live", half_spread_open=0.0, half_spread_closed=0.0)
    pool = Pool(name="oracle-first pool", feed=feed, margin=PoolMargin(20.0, maintenance=0.025))
    return {"order book": plain, "verifiable order book": replace(plain, batch=Batch()), "oracle-first pool": pool}


def two_time_constants() -> dict[str, Machine]:
    """Bitget and trade.xyz, newest sets, each with its own time constant and with the other's: one form, two constants."""
    made = machines({"trade.xyz": ("trade-xyz", "TSLA", None), "Bitget": ("bitget", "TSLA", None)})
    slow, fast = (made[k].oracle.tau for k in ("trade.xyz", "Bitget"))
    each = {f"{k}, {3600 * tau:,.0f} s": replace(m, oracle=replace(m.oracle, tau=tau)) for k, m in made.items() for tau in (slow, fast)}
    return each


def who_pays(ens: xr.Dataset, gap: float) -> pd.DataFrame:
    """What each group gained or paid against a weekend on which losers pay in full and winners are paid in full, shares of open interest.

    Parameters
    ----------
    ens : an ensemble of any machines on repeated weekends of one log gap.
    gap : that log gap.

    Returns
    -------
    DataFrame, one row a machine: a column for each group of ``GROUPS``, which sum to zero, and ``se``, the standard error of the losers'
    entry.

    Raises
    ------
    ValueError
        If the ensemble has no weekend of that gap.
    """
    full = abs(math.expm1(gap))
    losing, winning = ("longs", "shorts") if gap < 0 else ("shorts", "longs")
    same = np.isclose(ens["gap"].values, gap)
    if not same.any():
        held = np.unique(ens["gap"].values)
        raise ValueError(f"no weekend of this ensemble has a log gap of {gap!r}; the nearest is {held[np.abs(held - gap).argmin()]:.6g}")
    kept = ens.isel(weekend=same)
    held = {p: kept[p] for p in EVERY_POCKET if p in kept} | ({"venue": kept["venue"]} if "venue" in kept else {})
    moves = {p: x.mean("weekend").to_series() for p, x in held.items()}
    table = pd.DataFrame({group: sum((moves[p] for p in pockets if p in moves), start=0.0 * moves["longs"]) for group, pockets in GROUPS.items()})
    table["losers"] += moves[losing] + full
    table["winners"] += moves[winning] - full
    count = kept.sizes["weekend"]
    table["se"] = held[losing].std("weekend", ddof=1).to_series() / math.sqrt(count)
    return table


def risk_held(run: Run, accounts: Accounts) -> pd.DataFrame:
    """Who holds the losing side's position at each moment of a weekend of ``accounts``, shares of open interest, over ``time`` in hours since
    the close.

    Columns: ``traders``, who still hold it and are worth something at the value; ``under water``, who hold it and are not; ``makers``,
    who were sold to; ``vault or fund``; ``pool``; ``netted``, what deleveraging closed against winners.
    """
    path = run.path
    time = path["time"].values
    events = run.events
    price, interest = accounts.price, accounts.open_interest
    losing = "long" if float(path["V"][-1]) < price else "short"
    pooled = "junior" in run.ledger.index
    where = {"liquidation": "pool" if pooled else "makers", "partial": "makers", "stop": "pool", "guaranteed stop": "pool", "max gain": "pool",
             "backstop": "vault or fund", "adl": "netted"}  # fmt: skip
    table = {name: np.zeros(len(time)) for name in ("traders", "under water", "makers", "vault or fund", "pool", "netted")}
    for event in events[(events["side"] == losing) & (events["size"] > 0)].itertuples():
        if event.kind in where:
            table[where[event.kind]][time >= event.time - 1e-9] += event.size * price / interest
    table["under water"] = path["phantom_size"].values
    gone = sum(table[name] for name in ("makers", "vault or fund", "pool", "netted"))
    table["traders"] = 1.0 - gone - table["under water"]
    return pd.DataFrame(table, index=pd.Index(time, name="time"))


def regime(machine: Machine | Pool) -> dict[str, str]:
    """Where a machine stands on each axis of ``AXES``, read off its parts."""
    return _pool_regime(machine) if isinstance(machine, Pool) else _book_regime(machine)


def unsourced(name: str, market: str = "TSLA", asof: str | None = None) -> set[str]:
    """Axes of ``AXES`` on which the place of a venue rests on assumptions alone. Raises as :func:`perpkit.venues.venue`."""
    grades = rulebook(name, market, asof)["grade"]
    held = {axis: [grades[rule] for rule in rules if rule in grades.index] for axis, rules in _BEHIND.items()}
    return {axis for axis, found in held.items() if found and all(grade == _rulebook.ASSUMED for grade in found)}


def _book_regime(machine: Machine) -> dict[str, str]:
    kind, band, step = machine.oracle.kind, machine.band, machine.oracle.step
    oracles = {
        oracle.NONE: "none", oracle.FROZEN: "frozen", oracle.LEVEL: "own book", oracle.IMPACT_EMA: "dead zone", oracle.LAST: "last trade",
        oracle.DECAYING: "decaying", oracle.PROXY: "elsewhere",
    }  # fmt: skip
    marks = {
        mark.ORACLE: "oracle", mark.MEDIAN: "median", mark.LOCAL_MEDIAN: "median", mark.IMPACT_MEDIAN: "impact", mark.LAST_MEDIAN: "last",
        mark.BASIS: "basis", mark.MID: "mid", mark.BLEND: "blend", mark.CUSTOM: "own rule",
    }  # fmt: skip
    bands = "none" if math.isinf(band.width) else "oracle" if band.follows else "ratchet" if band.resets else "last print"
    halted = kind == oracle.NONE
    return {
        "closed market": "halted" if halted else "open" if machine.liquidation.orders != "limit" else "limits only",
        "oracle closed": oracles[kind],
        "mark": marks[machine.mark.code],
        "band": bands,
        "funding closed": "none" if halted or not machine.funding.when_closed else "damped" if machine.funding.multiplier < 1.0 else "full",
        "leverage closed": "as held",
        "reopening": "at once" if math.isinf(min(step, machine.mark_step)) else "1 %" if min(step, machine.mark_step) > 0.0075 else "50 bp",
        "stands behind": "LP fund" if machine.backstop.guarded else "vault" if machine.backstop.capacity > 0.0 else "none found",
        "last resort": machine.adl,
    }


def _pool_regime(machine: Pool) -> dict[str, str]:
    feeds = {"none": "none", "frozen": "frozen", "live": "elsewhere", "perp": "elsewhere"}
    halted = machine.feed.closed == "none"
    limits, carry = machine.payouts, machine.carry
    pays = carry.when_closed and max(carry.rollover, carry.base, carry.top, carry.velocity) > 0.0
    return {
        "closed market": "halted" if halted else "by the clock" if machine.margin_closed is not None else "open",
        "oracle closed": feeds[machine.feed.closed],
        "mark": "oracle",
        "band": "none",
        "funding closed": "carry" if pays else "none",
        "leverage closed": "cut" if machine.overnight_leverage < math.inf else "as held" if machine.margin_closed is None else "margin raised",
        "reopening": "first print",
        "stands behind": "one pool" if machine.tranches.junior == 0.0 else "junior, hedge" if machine.hedge.share > 0.0 else "junior",
        "last resort": "winners cut" if limits.adl_above < math.inf else "gain cap" if min(limits.max_gain, limits.daily) < math.inf else "the pool",
    }


def changed(name: str, market: str, before: str, after: str) -> list[str]:
    """The rules in which two sets of a venue differ, in words with both values on one scale."""
    old, new = (rulebook(name, market, day) for day in (before, after))
    words = []
    for rule in dict.fromkeys([*new.index, *old.index]):
        if rule == "from":
            continue
        values = [table["value"].get(rule) for table in (old, new)]
        if values[0] != values[1]:
            row = (new if rule in new.index else old).loc[rule]
            words.append(f"{row['what']}: {_words.change(rule, *values, row['unit'])}")
    return words


def steps(market: str = "TSLA") -> list[tuple[str, str, str]]:
    """Name, older and newer date of each two successive sets of a venue that lists ``market``."""
    pairs = []
    for house in _rulebook.shipped()[0].values():
        days = [_rulebook.start(rules).isoformat() for rules in house.sets]
        pairs += [(house.name, a, b) for a, b in zip(days, days[1:], strict=False) if market in house.markets]
    return pairs
