"""Venues: the rules of real ones, dated and sourced, as machines and as tables; and the base case that chapters start from.

Rules stand in ``data/venues.toml``, whose head explains the format. Depth and informed flow are no rules of a venue: every machine made
here stands on the book of ``base.py``.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from perpkit import _rulebook, base, gaps
from perpkit._rulebook import ASSUMED, RULES, Values
from perpkit.accounts import Accounts
from perpkit.band import Band, no_band, ratchet, static_band
from perpkit.clock import Closure
from perpkit.funding import Funding
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.mark import Mark, Median, OracleMark, local_price, mark_rule
from perpkit.oracle import Oracle, frozen_oracle, impact_oracle, no_oracle
from perpkit.waterfall import Backstop, Liquidation


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
    DataFrame with ``name``, ``market``, ``asof`` (the day from which the set holds), ``title``, ``architecture``, and how many ``values``
    it holds, from how many ``sources``, and how many of them are ``assumed``.
    """
    rows = []
    for house in _rulebook.shipped()[0].values():
        for market in house.markets:
            for rules in house.sets:
                held = [record for key, record in rules.items() if key != "from"]
                sources = {record["source"] for record in held} - {ASSUMED}
                assumed = sum(record["grade"] == ASSUMED for record in held)
                day = _rulebook.start(rules).isoformat()
                rows.append((house.name, market, day, house.title, house.architecture, len(held), len(sources), assumed))
    return pd.DataFrame(rows, columns=["name", "market", "asof", "title", "architecture", "values", "sources", "assumed"])


def venue(name: str, market: str = "TSLA", asof: str | datetime.date | None = None) -> Machine:
    """The machine a venue ran, on the book of the base case.

    Parameters
    ----------
    name, market : as :func:`venues` lists them.
    asof : a date. The newest rules not after it are taken; by default the newest of all.

    Returns
    -------
    Machine
        Its ``asof`` is the day from which the rules hold.

    Raises
    ------
    ValueError
        If name or market is unknown, with the nearest choices; if ``asof`` is no date, or lies before the first rules, with their day.
    """
    value = _rulebook.values(name, market, asof)
    funding = ("premium", "interest_8h", "clamp_8h", "multiplier", "cap_per_hour", "when_closed")
    liquidation = ("partial_threshold", "partial_share", "cooldown_s", "fee")
    return Machine(
        name=name,
        market=market,
        asof=value["from"].isoformat(),
        oracle=_oracle(value),
        mark=_mark(value),
        mark_step=value["mark.step"],
        band=_band(value),
        funding=Funding(**{key: value[f"funding.{key}"] for key in funding}),
        margin=Margin(value["margin.max_leverage"], value["margin.maintenance_share"] / value["margin.max_leverage"]),
        liquidation=Liquidation(**{key: value[f"liquidation.{key}"] for key in liquidation}),
        backstop=Backstop(value["backstop.capacity"], value["backstop.threshold"]),
        insurance=value["insurance.size"],
        adl=value["adl.rule"],
        impact_notional=value["impact.notional"],
        book=base.book(),
    )


def rulebook(name: str, market: str = "TSLA", asof: str | datetime.date | None = None) -> pd.DataFrame:
    """The values behind :func:`venue`, one a row, and where each comes from.

    Returns
    -------
    DataFrame, index ``rule``. Columns: ``what`` (in words), ``value``, ``unit``, ``grade``, ``as_of`` (day or month the source speaks for),
    ``source`` (an address, or "assumed"), ``cite`` (its name in ``venues.toml``, empty for an assumption) and ``note``.

    Raises
    ------
    ValueError
        As :func:`venue`.
    """
    rules, addresses = _rulebook.pick(name, market, asof), _rulebook.shipped()[1]
    rows = {}
    for key in RULES:
        if key in rules:
            record = rules[key]
            cite = "" if record["source"] == ASSUMED else record["source"]
            rows[key] = {
                "what": RULES[key],
                "value": _rulebook.for_market(record, market),
                "unit": record.get("unit", ""),
                "grade": record["grade"],
                "as_of": record["as_of"],
                "source": addresses[cite] if cite else ASSUMED,
                "cite": cite,
                "note": record.get("note", ""),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")


def base_case() -> BaseCase:
    """The newest trade.xyz rules for TSLA with an insurance fund, 2,000 accounts, a weekend of its length, and every TSLA weekend since
    2010.

    Every constant that is no rule of the venue stands in ``perpkit.base``, with its range and its source.
    """
    value = _rulebook.values("trade-xyz", base.SYMBOL, None)
    machine = replace(venue("trade-xyz", base.SYMBOL), insurance=base.INSURANCE)
    accounts = Accounts.sample(max_leverage=machine.margin.max_leverage, open_interest=base.OPEN_INTEREST)
    closure = Closure(hours=value["clock.closed_hours"], update_s=value["clock.update_s"], value=base.value())
    return BaseCase(machine, accounts, closure, gaps.empirical(base.SYMBOL))


@mark_rule
def median_with_local_average(quotes, oracle, state, params):
    """Median of oracle plus averaged basis, local price, and the local price averaged over ``params[0]`` seconds, USD.

    Hyperliquid's mark where no outside perp exists (robust price indices page, read 2026-10). Nothing in it holds to the oracle itself.
    """
    local = local_price(quotes)
    if state.memory[1] == 0.0:
        state.memory[0], state.memory[1] = local, 1.0
    state.memory[0] += (1.0 - math.exp(-state.seconds / params[0])) * (local - state.memory[0])
    slow, carried = state.memory[0], oracle + state.basis
    return max(min(local, slow), min(max(local, slow), carried))


def _oracle(value: Values) -> Oracle:
    step = value["oracle.step"]
    match value["oracle.rule"]:
        case "frozen":
            return frozen_oracle(step)
        case "impact-ema":
            return impact_oracle(value["oracle.tau"], value["oracle.cap"], step)
        case "none":
            return no_oracle(step)
    raise value.unknown("oracle.rule", ("frozen", "impact-ema", "none"))


def _mark(value: Values) -> Mark:
    match value["mark.rule"]:
        case "median":
            return Median(value["mark.basis_s"])
        case "median-local":
            return _local_median(value["mark.local_s"], value["mark.basis_s"])
        case "oracle":
            return OracleMark()
    raise value.unknown("mark.rule", ("median", "median-local", "oracle"))


@lru_cache(maxsize=8)
def _local_median(local_s: float, basis_s: float) -> Mark:
    return median_with_local_average(local_s, basis_s=basis_s)  # kept: each Mark of a custom rule is compiled anew


def _band(value: Values) -> Band:
    match value["band.rule"]:
        case "none":
            return no_band()
        case "static":
            return static_band(value["band.width"])
        case "ratchet":
            return ratchet(value["band.width"], value["band.trigger"], value["band.resets"])
    raise value.unknown("band.rule", ("none", "static", "ratchet"))
