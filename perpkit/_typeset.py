"""How a number and a table look in print: minus signs, powers of ten, MyST cells. Used by ``report.py``, and by ``_words.py`` for powers of ten."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

_NUMBER = r"(?:[−+]?[\d.,]+(?:\s*×\s*10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?(?:\s?%)?|−?∞)"
_LIKE_A_NUMBER = re.compile(rf"{_NUMBER}(?:\s±\s{_NUMBER})?(?:\s\({_NUMBER}\sto\s{_NUMBER}\))?|{_NUMBER}(?:\sto\s|–){_NUMBER}|–")
_SHORT = 16
"""Letters of a table's cell that are kept on one line."""
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def typeset(text: str) -> str:
    """A formatted number as print shows it: a minus sign for a hyphen, no sign before zero, powers of ten written out, no line break inside.

    ``-1.2e-05`` becomes ``−1.2 × 10⁻⁵``.
    """
    if not re.search(r"[1-9]", text):
        text = re.sub(r"[-+](?=\d)", "", text, count=1)
    text = re.sub(r"e([+-]\d+)", lambda m: "\u00a0×\u00a010" + str(int(m[1])).translate(_SUPERSCRIPT), text)
    return re.sub(r"(?<![\w.])-(?=[\d.])", "−", text)


def formatted(where: str, fmt: str, value: int | float) -> str:
    """The text of a number under a format, thousands parted by commas; ``where`` names it in errors."""
    try:
        text = re.sub(r"(?<=:)([+#]*)(?=\.\d+f)", r"\1,", fmt, count=1).format(value)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"{where}: fmt is a format of one number, such as '{{:.2f}}'; got {fmt!r} ({error})") from error
    if not re.search(r"\d", text):
        raise ValueError(f"{where}: fmt must show the number; {fmt!r} gives {text!r}")
    return typeset(text.rstrip("."))


def with_error(where: str, fmt: str, value: float, se: float) -> str:
    """``value ± se`` under one format, with as many more decimals as it takes to show the error's first digit; "0" if both are nothing."""
    if se == 0 == value:
        return "0"
    if se > 0:
        fmt = re.sub(r"\.(\d+)([f%])", lambda m: f".{max(int(m[1]), -math.floor(math.log10(se)) - 2 * (m[2] == '%'))}{m[2]}", fmt, count=1)
    unit = "%" if "%}" in fmt else ""
    return f"{formatted(where, fmt, value).removesuffix(unit)}\u00a0±\u00a0{formatted(where, fmt, se).lstrip('+') if se else '0' + unit}"


def flattened(where: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its named index as columns and checked headers."""
    if frame.columns.nlevels > 1:
        raise ValueError(f"{where}: one level of column names; got {frame.columns.nlevels}. Join them first")
    if any(n is not None for n in frame.index.names):
        if None in frame.index.names:
            raise ValueError(f"{where}: name every level of the index (rename_axis); got {list(frame.index.names)}")
        frame = frame.reset_index()
    elif not isinstance(frame.index, pd.RangeIndex):
        raise ValueError(f"{where}: the index has no name, so its header cell would be empty; frame.rename_axis('...') or reset_index(drop=True)")
    frame = frame.rename(columns=str)
    bad = [c for c in frame.columns if not c.strip()] or list(frame.columns[frame.columns.duplicated()])
    if bad:
        raise ValueError(f"{where}: every column needs a header of its own; got {bad[0]!r} among {list(frame.columns)}")
    return frame.rename_axis(columns=None)


def myst_table(where: str, frame: pd.DataFrame, caption: str, name: str, formats: Mapping[str, Any], markup: frozenset[str]) -> str:
    """The MyST source of a numbered table; numbers to the right, text to the left."""
    columns, rulers = [], []
    for header in frame.columns:
        cells = [_cell(f"{where}, column {header!r}", v, formats.get(header)) for v in frame[header]]
        rulers.append("---:" if all(map(_LIKE_A_NUMBER.fullmatch, cells)) else ":---")
        columns.append([_escape(header), *(_pipes(c) if header in markup else _escape(_unbroken(c)) for c in cells)])
    lines = ["| " + " | ".join(row) + " |" for row in zip(*columns, strict=True)]
    lines.insert(1, "| " + " | ".join(rulers) + " |")
    return "\n".join([f":::{{table}} {caption.strip()}", f":name: {name}", "", *lines, ":::"])


def _cell(where: str, value: Any, fmt: str | Callable[[Any], str] | None) -> str:
    """The text of one cell before escaping."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    if callable(fmt):
        return str(fmt(value))
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, numbers.Real):
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        return formatted(where, fmt or ("{:,}" if isinstance(value, numbers.Integral) else "{:,.4g}"), value)
    if isinstance(value, pd.Timestamp) and fmt is None:
        return value.strftime("%Y-%m-%d" if value == value.normalize() else "%Y-%m-%d %H:%M")
    return (fmt or "{}").format(value)


def _unbroken(text: str) -> str:
    """A short text or a number with its interval on one line: browsers give a column less room than its neighbour's long header."""
    if len(text) <= _SHORT and "$" not in text or _LIKE_A_NUMBER.fullmatch(text):
        return re.sub(r"(?<=\w)-(?=\w)", "\u2011", text).replace(" ", "\u00a0")
    return text


def _line(text: str) -> str:
    """One line, in which a value is not parted from its error."""
    return re.sub(r"[ \t\r\n]+", " ", text.strip()).replace(" ± ", "\u00a0±\u00a0")


def _pipes(text: str) -> str:
    """One line, with the pipes that would end a table cell escaped."""
    return re.sub(r"(?<!\\)\|", r"\\|", _line(text))


def _escape(text: str) -> str:
    """Plain text for a MyST table cell, maths between single dollars kept."""
    parts = re.split(r"(\$[^$]+\$)", _line(text))
    return "".join(_pipes(p) if i % 2 else re.sub(r"([\\`*_{}\[\]<>|$&~^])", r"\\\1", p) for i, p in enumerate(parts))
