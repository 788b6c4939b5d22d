"""Reading of ``data/venues.toml``: every value checked for its source, sets completed from the ones they build on, one of them picked by
date."""

from __future__ import annotations

import datetime
import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from perpkit import data

GRADES = ("docs", "contract", "measured", "press", "assumed")
ASSUMED = "assumed"

RULES = {
    "from": "in force from",
    "clock.update_s": "time between updates",
    "clock.closed_hours": "weekend without a reference",
    "oracle.rule": "oracle while closed",
    "oracle.tau": "time constant of the oracle",
    "oracle.cap": "longest time one update counts for",
    "oracle.step": "largest move of the oracle",
    "mark.rule": "mark",
    "mark.basis_s": "time constant of the basis average",
    "mark.local_s": "time constant of the local average",
    "mark.step": "largest move of the mark",
    "band.rule": "bound of the mark while closed",
    "band.width": "width of the bound",
    "band.trigger": "trigger of a re-anchor",
    "band.resets": "re-anchors",
    "funding.premium": "premium",
    "funding.interest_8h": "interest",
    "funding.clamp_8h": "clamp of funding",
    "funding.multiplier": "multiplier of funding",
    "funding.cap_per_hour": "cap of funding",
    "funding.when_closed": "funding while closed",
    "margin.max_leverage": "maximum leverage",
    "margin.maintenance_share": "maintenance margin",
    "liquidation.partial_threshold": "position first liquidated in part",
    "liquidation.partial_share": "part liquidated first",
    "liquidation.cooldown_s": "cooldown after a part",
    "liquidation.fee": "liquidation fee",
    "backstop.capacity": "backstop, capacity",
    "backstop.threshold": "backstop, threshold",
    "insurance.size": "insurance fund",
    "adl.rule": "auto-deleveraging",
    "impact.notional": "impact notional",
}
"""What a set may state, and what to call it in a table."""

_NEEDED, _OPTIONAL = {"value", "source", "as_of", "grade"}, {"unit", "note"}
_DAY_OR_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?")


@dataclass(frozen=True)
class House:
    """A venue: each of ``sets`` is complete, a record by rule, oldest first."""

    name: str
    title: str
    architecture: str
    markets: tuple[str, ...]
    sets: tuple[dict[str, dict], ...]


class Values(dict):
    """Values of one set for one market, by rule. A rule the set lacks is named in a ``ValueError``."""

    def __init__(self, where: str, values: dict) -> None:
        super().__init__(values)
        self.where = where

    def __missing__(self, key: str):
        raise ValueError(f"{self.where} states no {key}, which its other rules need; add it to venues.toml")

    def unknown(self, key: str, choices: Iterable[str]) -> ValueError:
        """The error for a word that names no rule."""
        return ValueError(f"{key} of {self.where} is {self[key]!r}; the engine knows {', '.join(map(repr, choices))}")


@lru_cache(maxsize=1)
def shipped() -> tuple[dict[str, House], dict[str, str]]:
    """The venues of ``data/venues.toml`` that list markets, and the addresses of the sources."""
    return read((data.folder() / "venues.toml").read_text(encoding="utf-8"))


def read(text: str) -> tuple[dict[str, House], dict[str, str]]:
    """Venues and sources of a file in the format of ``venues.toml``.

    Raises
    ------
    ValueError
        If a value lacks its source, date or grade, or names an unknown one; an assumption does not say what it stands for; a rule is
        unknown; a venue builds on none that stands before it; or sets are not in the order of their dates.
    """
    tables = tomllib.loads(text)
    sources = tables.pop("sources", {})
    houses: dict[str, House] = {}
    for name, table in tables.items():
        basis = table.get("based_on")
        if basis is not None and basis not in houses:
            raise ValueError(f"{name} is based on {basis!r}, which no venue before it is called; the file has {', '.join(houses) or 'none'} before")
        held = houses[basis].sets[-1] if basis else {}
        markets, sets = tuple(table.get("markets", ())), []
        for block in table["rules"]:
            stated = {key: _checked(f"{name}: {key}", key, record, markets, sources) for key, record in _flat(block)}
            if "from" not in stated:
                raise ValueError(f"{name}: a set of rules has no 'from'; give the day it came into force")
            held = held | stated
            if sets and start(held) <= start(sets[-1]):
                raise ValueError(f"{name}: the set from {start(held)} stands after the one from {start(sets[-1])}; put them in order")
            sets.append(held)
        houses[name] = House(name, table["title"], table["architecture"], markets, tuple(sets))
    return {name: house for name, house in houses.items() if house.markets}, sources


def start(rules: dict[str, dict]) -> datetime.date:
    """Day from which a set holds."""
    return rules["from"]["value"]


def pick(name: str, market: str, asof: str | datetime.date | None) -> dict[str, dict]:
    """The newest set of a venue not after ``asof``, by rule. Raises ValueError naming the nearest choices, or the first day."""
    houses = shipped()[0]
    if name not in houses:
        raise ValueError(f"no venue {name!r}; {_nearest(name, houses)}")
    house = houses[name]
    if market not in house.markets:
        raise ValueError(f"{name!r} has no market {market!r} here; {_nearest(market, house.markets)}")
    if asof is None:
        return house.sets[-1]
    day = data.day("asof", asof).date()
    held = [rules for rules in house.sets if start(rules) <= day]
    if not held:
        raise ValueError(f"the first rules of {name!r} for {market!r} hold from {start(house.sets[0])}, after {day}; give that day or a later one")
    return held[-1]


def values(name: str, market: str, asof: str | datetime.date | None) -> Values:
    """The bare values of :func:`pick`."""
    rules = pick(name, market, asof)
    return Values(f"{name} from {start(rules)}", {key: for_market(record, market) for key, record in rules.items()})


def for_market(record: dict, market: str):
    """The value of a record, which may be a table by market."""
    value = record["value"]
    return value[market] if isinstance(value, dict) else value


def _flat(block: dict) -> list[tuple[str, dict]]:
    flat = []
    for part, content in block.items():
        flat += [(part, content)] if part == "from" else [(f"{part}.{rule}", record) for rule, record in content.items()]
    return flat


def _checked(where: str, key: str, record: dict, markets: tuple[str, ...], sources: dict[str, str]) -> dict:
    if key not in RULES:
        raise ValueError(f"{where} is no rule; {_nearest(key, RULES)}")
    if missing := _NEEDED - set(record):
        raise ValueError(f"{where} lacks {', '.join(sorted(missing))}; every value needs them")
    if extra := set(record) - _NEEDED - _OPTIONAL:
        raise ValueError(f"{where} has {', '.join(sorted(extra))}; a value has {', '.join(sorted(_NEEDED | _OPTIONAL))}")
    grade, source = record["grade"], record["source"]
    if grade not in GRADES:
        raise ValueError(f"{where} has grade {grade!r}; it is one of {', '.join(GRADES)}")
    if (source == ASSUMED) != (grade == ASSUMED):
        raise ValueError(f"{where} has grade {grade!r} and source {source!r}; what is assumed has no source, and what has a source is not assumed")
    if source != ASSUMED and source not in sources:
        raise ValueError(f"{where} has source {source!r}, which [sources] does not list; {_nearest(source, sources)}")
    if not isinstance(record["as_of"], str) or not _DAY_OR_MONTH.fullmatch(record["as_of"]):
        raise ValueError(f"{where} has as_of {record['as_of']!r}; write a day or a month, '2025-12-19' or '2025-12'")
    if grade == ASSUMED and not record.get("note"):
        raise ValueError(f"{where} is assumed without a note; say what was not found and what stands in for it")
    if key == "from" and not isinstance(record["value"], datetime.date):
        raise ValueError(f"{where} is {record['value']!r}; write a date without quotes, 2025-12-19")
    if isinstance(record["value"], dict) and set(record["value"]) != set(markets):
        raise ValueError(f"{where} is given for {', '.join(record['value'])}; the venue's markets are {', '.join(markets) or 'not listed'}")
    return record


def _nearest(word: str, choices: Iterable[str]) -> str:
    by_lower = {choice.lower(): choice for choice in choices}
    near = [by_lower[low] for low in difflib.get_close_matches(str(word).lower(), by_lower, n=3)]
    return f"nearest: {', '.join(map(repr, near))}" if near else f"choose one of {', '.join(map(repr, by_lower.values()))}"
