"""Numbers and tables of the book: the one place where a result is formatted and recorded.

A chapter makes one :class:`Report` under its own file name and sends every number of its prose through it. The text goes to MyST-NB's glue,
so that ``{glue:text}`` can show it; the value goes to ``results.json``. Outside a book the same calls print.
"""

from __future__ import annotations

import json
import math
import numbers
import os
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from perpkit._typeset import flattened, formatted, myst_table, with_error

FOLDER = "PERPKIT_RESULTS"
"""Environment variable naming the folder where records are written; ``make.py`` sets it. When unset nothing is written."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LABEL = re.compile(r"tbl-[a-z0-9]+(-[a-z0-9]+)*")
_DIGITS = 12
"""Significant digits kept in a record: beyond them processors differ."""


def plain_number(name: str, value: Any) -> int | float:
    """``value`` as a Python ``int`` or ``float``; NumPy scalars and zero-dimensional arrays are taken.

    Raises
    ------
    ValueError
        If it is not one real, finite number.
    """
    if not isinstance(value, numbers.Real) and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} is one real number; got {value!r} ({type(value).__name__})")
    if isinstance(value, numbers.Integral):
        return int(value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite to be reported; got {float(value)!r}")
    return float(value)


def _rounded(value: int | float | None) -> int | float | None:
    """A float to the digits that every machine agrees on."""
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def printed(value: float, fmt: str = "{:.2f}") -> str:
    """A number as a sentence or a table shows it: minus signs, thousands, powers of ten, no point without a digit after it.

    Raises
    ------
    ValueError
        If it is not one real, finite number, or the format does not fit.
    """
    return formatted("printed", fmt, plain_number("value", value))


def give_or_take(found: Any, fmt: str = "{:.1f}", scale: float = 1.0, se: float | None = None) -> str:
    """A value and its standard error as a sentence or a table shows them, such as ``0.61 ± 0.02``.

    Parameters
    ----------
    found : something with ``value`` and ``se``, as an :class:`perpkit.estimate.Estimate`, or the value.
    fmt : format of both. If the error would show as nothing, both get decimals until its first digit is seen.
    scale : what both are multiplied by, such as 1e4 for basis points.
    se : the error of a ``found`` that is a plain number.

    Raises
    ------
    ValueError
        If either is not one real, finite number, the error is negative or missing, or the format does not fit.
    """
    value, error = (found, se) if se is not None else (getattr(found, "value", found), getattr(found, "se", None))
    if error is None:
        raise ValueError(f"a plain number needs its standard error; give se= beside {found!r}")
    value, error = plain_number("value", value), plain_number("se", error)
    if error < 0:
        raise ValueError(f"a standard error is 0 or more; got {error!r}")
    return with_error("give_or_take", fmt, scale * value, abs(scale) * error)


class Report:
    """The numbers, computed words and tables of one chapter.

    Parameters
    ----------
    chapter : the chapter's file name without ending, such as ``"03-weekend-gap"``.

    Raises
    ------
    ValueError
        If ``chapter`` is not a plain file name.
    """

    def __init__(self, chapter: str) -> None:
        if not isinstance(chapter, str) or not _NAME.fullmatch(chapter):
            raise ValueError(f"chapter is the chapter's file name without ending, such as '03-weekend-gap'; got {chapter!r}")
        self.chapter = chapter
        self._numbers: dict[str, dict[str, Any]] = {}
        self._texts: dict[str, str] = {}
        self._tables: dict[str, str] = {}

    def number(
        self,
        name: str,
        value: float,
        fmt: str = "{:.2f}",
        *,
        unit: str | None = None,
        se: float | None = None,
        n: int | None = None,
        show_se: bool = False,
    ) -> None:
        """Record a result and make its text available as ``{glue:text}`name```.

        Parameters
        ----------
        name : letters, digits, ``.``, ``_`` and ``-``; unique in its chapter.
        value : one real, finite number.
        fmt : format of the text, such as ``"{:,.0f}"`` or ``"{:.1%}"``; with ``show_se`` as in :func:`give_or_take`.
        unit : unit of the value, for the record; prose writes it out.
        se : Monte Carlo or sampling standard error, in the unit of the value.
        n : number of draws or observations behind it.
        show_se : whether the text reads "0.61 ± 0.02".

        Raises
        ------
        ValueError
            If the name is malformed or already stands for something else, the value or error is not finite, the error is negative, ``n`` is
            not a positive integer, or the format does not fit.
        """
        where = f"{self.chapter}: {name}"
        value = plain_number(where, value)
        if se is not None:
            se = float(plain_number(f"{where}, se", se))
            if se < 0:
                raise ValueError(f"{where}: a standard error is 0 or more; got {se!r}")
        elif show_se:
            raise ValueError(f"{where}: show_se needs a standard error; give se=")
        if n is not None:
            n = plain_number(f"{where}, n", n)
            if not isinstance(n, int) or n < 1:
                raise ValueError(f"{where}: n counts draws or observations, an integer of 1 or more; got {n!r}")
        text = with_error(where, fmt, value, se) if show_se else formatted(where, fmt, value)
        entry = {"name": name, "value": _rounded(value), "unit": unit, "se": _rounded(se), "n": n, "chapter": self.chapter}
        self._claim(name, entry, self._numbers)
        self._show(name, text, unit)

    def text(self, name: str, words: str) -> None:
        """Make computed words, a date or a name available as ``{glue:text}`name```; nothing goes to ``results.json``.

        Raises
        ------
        ValueError
            If the name is malformed or already stands for something else, or ``words`` is not a non-empty string.
        """
        if not isinstance(words, str) or not words.strip():
            raise ValueError(f"{self.chapter}: {name} stands for words; got {words!r}")
        self._claim(name, words, self._texts)
        self._show(name, words, None)

    def table(
        self,
        frame: pd.DataFrame,
        caption: str,
        name: str,
        formats: Mapping[str, str | Callable[[Any], str]] | None = None,
        markup: Sequence[str] = (),
        fold: str | None = None,
    ) -> None:
        """Show a frame as a numbered table with a caption, which prose reaches by ``{numref}`tbl-...```.

        A named index becomes the first columns; an unnamed default index is left out. Text is shown as it stands, but ``$...$`` is maths.
        Floats without a format show four significant digits, missing values a dash.

        Parameters
        ----------
        frame : what to show; column names are the header, so write them out with units.
        caption : MyST text, maths allowed, one line.
        name : label, ``tbl-`` and lower-case words joined by hyphens.
        formats : by column, a format such as ``"{:.2f}"`` or a function of the value that returns text.
        markup : columns whose text is MyST to be rendered (citations, links) instead of plain text.
        fold : words on a fold that hides the table until a reader opens it.

        Raises
        ------
        ValueError
            If the frame is empty, a header would be empty or double, a format or markup column does not exist, or the label is malformed or
            taken.
        """
        where = f"{self.chapter}: {name}"
        if not isinstance(frame, pd.DataFrame) or frame.empty:
            raise ValueError(f"{where}: a table needs a DataFrame with rows; got {type(frame).__name__} of shape {getattr(frame, 'shape', None)}")
        if not isinstance(name, str) or not _LABEL.fullmatch(name):
            raise ValueError(f"{where}: a table's label is 'tbl-' and lower-case words joined by hyphens; got {name!r}")
        if not isinstance(caption, str) or not caption.strip() or "\n" in caption:
            raise ValueError(f"{where}: a caption is one line of text; got {caption!r}")
        flat = flattened(where, frame)
        unknown = sorted((set(formats or ()) | set(markup)) - set(flat.columns))
        if unknown:
            raise ValueError(f"{where}: no column named {unknown[0]!r}; there are {list(flat.columns)}")
        text = myst_table(where, flat, caption, name, formats or {}, frozenset(markup))
        if fold is not None:
            text = f"::::{{dropdown}} {fold.strip()}\n{text}\n::::"
        self._claim(name, text, self._tables)
        if _in_notebook():
            from IPython.display import Markdown, display

            display(Markdown(text))
        else:
            print(f"{caption}\n{flat.to_string(index=False)}\n")

    def _claim(self, name: str, content: Any, shelf: dict[str, Any]) -> None:
        """Put ``content`` under ``name`` once; the same again is no harm, so that a cell may be run twice."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{self.chapter}: a name has letters, digits, '.', '_' and '-'; got {name!r}")
        for other in (self._numbers, self._texts, self._tables):
            if name in other and not (other is shelf and other[name] == content):
                raise ValueError(f"{self.chapter}: {name!r} is already reported as {other[name]!r}; now {content!r}. Give one of them another name")
        shelf[name] = content
        folder = os.environ.get(FOLDER)
        if folder:
            record = {"chapter": self.chapter, "numbers": list(self._numbers.values()), "texts": self._texts, "tables": sorted(self._tables)}
            target = Path(folder, f"{self.chapter}.json")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def _show(self, name: str, text: str, unit: str | None) -> None:
        """Glue the text in a notebook; print it anywhere else."""
        if not _in_notebook():
            print(f"{name}: {text}{f' {unit}' if unit else ''}")
        elif find_spec("myst_nb"):
            from myst_nb import glue

            glue(name, text, display=False)


def _in_notebook() -> bool:
    """Whether a kernel is there to show things."""
    if not find_spec("IPython"):
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")
