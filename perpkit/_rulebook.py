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
from itertools import chain

from perpkit import data
from perpkit._vocabulary import ENGINES, RULES

GRADES = ("docs", "contract", "measured", "press", "assumed")
ASSUMED = "assumed"

_VENUE = {"title": str, "architecture": str, "rules": list, "engine": str, "based_on": str, "markets": list, "ended": dict, "label": str}
"""What a venue may state besides its rules, and the kind of each; the first three it must."""
_NEEDED, _OPTIONAL = {"value", "source", "as_of", "grade"}, {"unit", "note", "instead"}
_FORM = "{ value = ..., source = ..., as_of = ..., grade = ... }"
_NOT_FOUND = re.compile(r"Not found: .*[Aa]ssumed.*", re.DOTALL)
_DAY_OR_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?")


@dataclass(frozen=True)
class House:
    """A venue: ``name`` in code, ``label`` in figures. Each of ``sets`` is complete, a record by rule, oldest first. ``end`` is the record
    of the day from which it trades no more."""

    name: str
    title: str
    label: str
    architecture: str
    engine: str
    markets: tuple[str, ...]
    sets: tuple[dict[str, dict], ...]
    end: dict | None

    @property
    def ended(self) -> datetime.date | None:
        """The day from which it trades no more, or None."""
        return None if self.end is None else self.end["value"]


class MissingRule(ValueError):
    """A set lacks a rule that its other rules need."""

    def __init__(self, where: str, *keys: str) -> None:
        super().__init__(f"{where} states no {', '.join(keys)}, which its other rules need; add {'it' if len(keys) == 1 else 'them'} to venues.toml")
        self.keys = keys


class Values(dict):
    """Values of one set for one market, by rule. A rule the set lacks raises :class:`MissingRule`; what has been read is in ``used``."""

    def __init__(self, where: str, values: dict) -> None:
        super().__init__(values)
        self.where = where
        self.used: set[str] = set()

    def __getitem__(self, key: str):
        self.used.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default=None):
        return self[key] if key in self else default

    def __missing__(self, key: str):
        raise MissingRule(self.where, key)

    def unknown(self, key: str, choices: Iterable[str]) -> ValueError:
        """The error for a word that names no rule."""
        return ValueError(f"{key} of {self.where} is {self[key]!r}; the engine knows {', '.join(map(repr, choices))}")

    def held(self, *keys: str) -> dict:
        """The values of those of ``keys`` that the set states, by the word after the dot."""
        return {key.split(".")[-1]: self[key] for key in keys if key in self}


@lru_cache(maxsize=1)
def _file() -> tuple[dict[str, House], dict[str, str]]:
    return read((data.folder() / "venues.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def shipped() -> tuple[dict[str, House], dict[str, str]]:
    """The venues of ``data/venues.toml`` that list markets, and the addresses of the sources."""
    houses, sources = _file()
    return {name: house for name, house in houses.items() if house.markets}, sources


def stand_in(engine: str, key: str):
    """A value some set states for a rule, that of the assumptions all venues of an engine share if they have it."""
    for found in (_file()[0][f"common-{engine}"], *_file()[0].values()):
        for rules in found.sets:
            if key in rules:
                value = rules[key]["value"]
                return next(iter(value.values())) if isinstance(value, dict) else value
    raise KeyError(key)


def read(text: str) -> tuple[dict[str, House], dict[str, str]]:
    """Venues and sources of a file in the format of ``venues.toml``.

    Raises
    ------
    ValueError
        If a venue is no table, lacks one of its own words, or takes over a rule that says nothing of one of its markets; a value lacks its
        source, date or grade, or names an unknown one; an assumption does not say what it stands for, or names no alternative; a rule is
        unknown; a venue builds on none that stands before it; two have one label; or sets are not in the order of their dates.
    """
    tables = tomllib.loads(text)
    sources = tables.pop("sources", {})
    houses: dict[str, House] = {}
    for name, table in tables.items():
        _well_formed(name, table)
        basis = table.get("based_on")
        if basis is not None and basis not in houses:
            raise ValueError(f"{name} is based on {basis!r}, which no venue before it is called; the file has {', '.join(houses) or 'none'} before")
        held = houses[basis].sets[-1] if basis else {}
        engine = table.get("engine", houses[basis].engine if basis else ENGINES[0])
        if engine not in ENGINES:
            raise ValueError(f"{name} has engine {engine!r}; it is one of {', '.join(ENGINES)}")
        markets, sets = tuple(table.get("markets", ())), []
        for block in table["rules"]:
            stated = {key: _checked(f"{name}: {key}", key, record, markets, sources) for key, record in _flat(block)}
            if "from" not in stated:
                raise ValueError(f"{name}: a set of rules has no 'from'; give the day it came into force")
            held = held | stated
            _whole(name, basis, held, markets)
            if sets and start(held) <= start(sets[-1]):
                raise ValueError(f"{name}: the set from {start(held)} stands after the one from {start(sets[-1])}; put them in order")
            sets.append(held)
        end = _checked(f"{name}: ended", "from", table["ended"], markets, sources) if "ended" in table else None
        if end is not None and end["value"] <= start(sets[-1]):
            raise ValueError(f"{name}: ended on {end['value']}, before its last rules of {start(sets[-1])}; put them in order")
        houses[name] = House(name, table["title"], table.get("label", table["title"]), table["architecture"], engine, markets, tuple(sets), end)
    by_label: dict[str, str] = {}
    for name, found in houses.items():
        if found.markets and (other := by_label.setdefault(found.label, name)) != name:
            raise ValueError(f"{other} and {name} are both called {found.label!r}; give one of them another label")
    return houses, sources


def start(rules: dict[str, dict]) -> datetime.date:
    """Day from which a set holds."""
    return rules["from"]["value"]


def known(name: str) -> House:
    """The venue of that name. Raises ValueError naming the nearest choices if there is none."""
    _word("name", name)
    houses = shipped()[0]
    if name not in houses:
        raise ValueError(f"no venue {name!r}; {_nearest(name, houses)}")
    return houses[name]


def house(name: str, market: str) -> House:
    """The venue of that name. Raises ValueError naming the nearest choices if it, or the market, is unknown."""
    found = known(name)
    _word("market", market)
    if market not in found.markets:
        raise ValueError(f"{name!r} has no market {market!r} here; {_nearest(market, found.markets)}")
    return found


def pick(name: str, market: str, asof: str | datetime.date | None) -> dict[str, dict]:
    """The newest set of a venue not after ``asof``, by rule. Raises ValueError naming the nearest choices, the first day or the last."""
    found = house(name, market)
    if asof is None:
        return found.sets[-1]
    day = data.day("asof", asof).date()
    held = [rules for rules in found.sets if start(rules) <= day]
    if not held:
        raise ValueError(f"the first rules of {name!r} for {market!r} hold from {start(found.sets[0])}, after {day}; give that day or a later one")
    if found.ended is not None and day >= found.ended:
        raise ValueError(f"{name!r} traded until {found.ended}, not on {day} ({found.end.get('note', 'it closed')}); give a day from {start(found.sets[0])} to the day before")
    return held[-1]


def values(name: str, market: str, asof: str | datetime.date | None) -> Values:
    """The bare values of :func:`pick`."""
    rules = pick(name, market, asof)
    return Values(f"{name} from {start(rules)}", {key: for_market(record, market) for key, record in rules.items()})


def for_market(record: dict, market: str, field: str = "value"):
    """The value of a record, or its alternatives, which may be a table by market."""
    held = record.get(field, ())
    return held[market] if isinstance(held, dict) else held


@lru_cache(maxsize=1)
def units() -> dict[str, str]:
    """The unit of each rule, as the first set that has one names it; of rules that stand in alternatives alone, the one they are read in."""
    found = dict.fromkeys(RULES, "") | {"stop.loss": "of collateral", "stop.share": "of open interest"}
    for held in shipped()[0].values():
        for rules in held.sets:
            for key, record in rules.items():
                found[key] = found[key] or record.get("unit", "")
    return found


def _word(label: str, word: str) -> None:
    if not isinstance(word, str):
        raise ValueError(f"{label} is a word, as venues() lists it; got {word!r}")


def _well_formed(name: str, table: dict) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"{name} is {table!r}; a venue is a table, [{name}]")
    if missing := list(_VENUE)[:3] - table.keys():
        raise ValueError(f"{name} lacks {', '.join(sorted(missing))}; a venue has a title, an architecture and rules, under [[{name}.rules]]")
    if extra := table.keys() - _VENUE:
        raise ValueError(f"{name} has {', '.join(sorted(extra))}; a venue has {', '.join(_VENUE)}")
    if not (isinstance(table["rules"], list) and table["rules"] and all(isinstance(block, dict) for block in table["rules"])):
        raise ValueError(f"{name} has sets of rules, one for each date; write [[{name}.rules]], with two brackets, above each")
    for key, kind in _VENUE.items():
        if not isinstance(table.get(key, kind()), kind):
            wanted = {str: "a word in quotes", list: "a list of words", dict: _FORM}[kind]
            raise ValueError(f"{name}: {key} is {table[key]!r}; write {wanted}")


def _whole(name: str, basis: str | None, rules: dict[str, dict], markets: tuple[str, ...]) -> None:
    """Raise if rules that were given by market for another venue say nothing of a market of this one."""
    short = [key for key, record in rules.items() if isinstance(record["value"], dict) and set(markets) - set(record["value"])]
    if short:
        others = rules[short[0]]["value"]
        lacking = [market for market in markets if market not in others]
        raise ValueError(
            f"{name}: {', '.join(short)} of {basis} are given for {', '.join(others)} and not for {', '.join(lacking)}; "
            f"state them in [[{name}.rules]], for each of its markets"
        )


def _flat(block: dict) -> list[tuple[str, dict]]:
    flat = []
    for part, content in block.items():
        bare = part == "from" or not isinstance(content, dict)
        flat += [(part, content)] if bare else [(f"{part}.{rule}", record) for rule, record in content.items()]
    return flat


def _checked(where: str, key: str, record: dict, markets: tuple[str, ...], sources: dict[str, str]) -> dict:
    if key not in RULES:
        raise ValueError(f"{where} is no rule; {_nearest(key, RULES)}")
    if not isinstance(record, dict):
        raise ValueError(f"{where} is {record!r}, without its source; write {_FORM}")
    if missing := _NEEDED - set(record):
        raise ValueError(f"{where} lacks {', '.join(sorted(missing))}; every value needs them")
    if extra := set(record) - _NEEDED - _OPTIONAL:
        raise ValueError(f"{where} has {', '.join(sorted(extra))}; a value has {', '.join(sorted(_NEEDED | _OPTIONAL))}")
    grade, source = record["grade"], record["source"]
    if grade not in GRADES:
        raise ValueError(f"{where} has grade {grade!r}; it is one of {', '.join(GRADES)}")
    if (source == ASSUMED) != (grade == ASSUMED):
        raise ValueError(f"{where} has grade {grade!r} and source {source!r}; what is assumed has no source, and what has a source is not assumed")
    if source != ASSUMED and source not in list(sources):
        raise ValueError(f"{where} has source {source!r}, which [sources] does not list; {_nearest(source, sources)}")
    if not isinstance(record["as_of"], str) or not _DAY_OR_MONTH.fullmatch(record["as_of"]):
        raise ValueError(f"{where} has as_of {record['as_of']!r}; write a day or a month, '2025-12-19' or '2025-12'")
    if grade == ASSUMED and not _NOT_FOUND.fullmatch(str(record.get("note"))):
        raise ValueError(f"{where} is assumed without a note that says what was not found and what stands in: 'Not found: ... is assumed.'")
    if grade == ASSUMED and key != "from" and not record.get("instead"):
        raise ValueError(f"{where} is assumed without an alternative; list in 'instead' what it might be, so that its swing can be computed")
    if grade != ASSUMED and "instead" in record:
        raise ValueError(f"{where} has a source and an alternative; only what is assumed has 'instead'")
    if key == "from" and not isinstance(record["value"], datetime.date):
        raise ValueError(f"{where} is {record['value']!r}; write a date without quotes, 2025-12-19")
    for field in ("value", "instead"):
        if isinstance(table := record.get(field), dict) and set(table) != set(markets):
            raise ValueError(f"{where} is given for {', '.join(table)}; the venue's markets are {', '.join(markets) or 'not listed'}")
    for other in chain.from_iterable(for_market(record, market, "instead") for market in markets or ("any",)):
        if isinstance(other, dict) and (unknown := set(other) - set(RULES)):
            raise ValueError(f"{where} has an alternative with {', '.join(sorted(unknown))}, which is no rule; {_nearest(min(unknown), RULES)}")
    return record


def _nearest(word: str, choices: Iterable[str]) -> str:
    by_lower = {choice.lower(): choice for choice in choices}
    near = [by_lower[low] for low in difflib.get_close_matches(str(word).lower(), by_lower, n=3)]
    return f"nearest: {', '.join(map(repr, near))}" if near else f"choose one of {', '.join(map(repr, by_lower.values()))}"
