"""What the values of ``data/venues.toml`` are in words: shares in per cent or basis points, short times in seconds, names of rules spelt out."""

from __future__ import annotations

import math

from perpkit._typeset import typeset
from perpkit._vocabulary import RULES

NAMES = {
    "oracle.rule": {
        "frozen": "frozen at the last print", "impact-ema": "average of the book, with a dead zone", "level-ema": "average of the book",
        "last-ema": "average of the last trade", "decaying": "last print, giving way to the book", "proxy": "a token elsewhere",
        "none": "none, the market halts",
    },
    "mark.rule": {
        "median": "median of oracle, basis average and quotes", "median-local": "median of oracle, basis average and local average",
        "impact-median": "median with the impact price", "last-median": "median with the last trade", "last-average": "average of the last trade",
        "basis": "oracle plus averaged basis", "mid": "mid", "oracle": "oracle",
    },
    "band.rule": {
        "none": "none", "static": "around the last print", "ratchet": "around an anchor that moves with the oracle", "oracle": "around the oracle",
    },
    "funding.premium": {"dead-zone": "impact prices, with a dead zone", "impact-mid": "middle of the impact prices"},
    "liquidation.orders": {"market": "market order", "limit": "limit order", "zero-price": "limit order at the zero price"},
    "adl.rule": {"queue": "queue by profit and leverage", "crossing": "crossing of bankrupt and winner", "pro-rata": "in proportion", "none": "none"},
    "feed.closed": {"none": "none, the market halts", "frozen": "last print", "live": "live", "perp": "another venue's perp"},
    "feed.trigger": {"mid": "mid", "fill": "price of the fill"},
    "size.rule": {"none": "none", "imbalance": "by the change of the imbalance", "skew": "by the skew"},
    "margin.rule": {
        "share-of-maximum": "share of the margin at maximum leverage", "loss-of-collateral": "loss of collateral", "share-of-notional": "share of notional",
    },
    "overnight.how": {"close": "closed", "reduce": "cut to the cap"},
}  # fmt: skip
"""Words of the file that name a rule, and what to write for each."""
_CAPS = ("margin.max_leverage", "overnight.leverage")
_SHARES = ("of ", "per ", "a year", "log price")
_TIMES = 5.0
"""From here on a share is written as a multiple."""
_SYMBOLS = {"of tau": "of τ"}


def words(rule: str, value, unit: str = "") -> str:
    """A value of a rule as a table shows it, with its unit."""
    [text] = _each(rule, [value], unit)
    return f"{text} {_tail(unit, [value])}".strip()


def change(rule: str, old, new, unit: str = "") -> str:
    """Two values of a rule in one unit, which is named once; None for a set without the rule."""
    if old is None:
        return f"new, {words(rule, new, unit)}"
    if new is None:
        return f"dropped, was {words(rule, old, unit)}"
    first, last = _each(rule, [old, new], unit)
    if isinstance(new, str):
        return f"{last} instead of {first}"
    return f"{first} to {last} {_tail(unit, [old, new])}".strip()


def instead(rule: str, other, units) -> str:
    """An alternative to a rule: a value, or a table of rules where one word needs others with it. ``units`` has the unit of each rule."""
    if not isinstance(other, dict):
        return words(rule, other, units[rule])
    return ", ".join(("" if key == rule else f"{RULES[key]} ") + words(key, value, units[key]) for key, value in other.items())


def _finite(values: list) -> list[float]:
    return [abs(x) for x in values if isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)]


def _tail(unit: str, values: list) -> str:
    """What of the unit stands once, behind both values of a change."""
    numbers = _finite(values)
    if not numbers or not unit.startswith(_SHARES) or unit == "log price":
        return ""
    return unit.removeprefix("of ") if max(numbers) >= _TIMES else _SYMBOLS.get(unit, unit)


def _each(rule: str, values: list, unit: str) -> list[str]:
    """The values alone, all on one scale."""
    numbers = [x for x in _finite(values) if x]
    return [_one(rule, x, unit, min(numbers, default=0.0), max(numbers, default=0.0)) for x in values]


def _one(rule: str, value, unit: str, least: float, most: float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return NAMES.get(rule, {}).get(value, str(value))
    if math.isinf(value):
        return "none"
    if rule in _CAPS:
        return f"{value:g}x"
    if unit.startswith(_SHARES):
        if most >= _TIMES:
            return f"{value:g} times"
        return f"{1e4 * value:.3g} bp" if 0.0 < most < 0.01 else f"{100 * value:.3g} %"
    if unit == "h" and least < 1.0:
        value, unit = 3600.0 * value, "s"
    return f"{_figures(value)} {unit}".strip()


def _figures(value: float) -> str:
    """A number with separators; millions as such, and small ones as a power of ten."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:,g} million"
    if 0.0 < abs(value) < 1e-4:
        return typeset(f"{value:.3g}")
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"
