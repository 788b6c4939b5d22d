"""Reference: what each venue's oracle reads while the stock is closed, and who reads whom.

The tables stand in ``data/reference.toml`` with their sources. Where a design is linear funding on an average of the venue's own book (or on a
frozen print), it is a point (kappa tau, tau) and ``theory.pass_through`` says what it carries.
"""

from __future__ import annotations

import math
import tomllib
from functools import lru_cache

import pandas as pd

from perpkit import data

READS = ("frozen", "own book", "token", "perps", "band", "none")
GRADES = ("docs", "measured", "press", "estimate", "inference")


@lru_cache(maxsize=1)
def _tables() -> dict:
    tables = tomllib.loads((data.folder() / "reference.toml").read_text(encoding="utf-8"))
    for row in tables["designs"]:
        if row["reads"] not in READS or row["grade"] not in GRADES or not row["sources"]:
            raise ValueError(f"a design of reference.toml needs sources, a known grade and what it reads; got {row!r}")
        if (row["reads"] == "own book") != ("tau" in row):
            raise ValueError(f"a design has a time constant if and only if it averages its own book; got {row!r}")
    for row in tables["links"]:
        if not {row["reader"], row["reads"]} <= set(tables["nodes"]) or row["grade"] not in GRADES or not row["sources"]:
            raise ValueError(f"a link of reference.toml joins two nodes and has sources and a known grade; got {row!r}")
    return tables


def designs() -> pd.DataFrame:
    """Closed-market references, one row a venue and date.

    Returns
    -------
    DataFrame with ``venue``, ``since``, ``reads`` (one of :data:`READS`), ``says``, ``tau`` (hours; infinite for a frozen print, nan where there
        is no such constant), ``kappa`` (per hour; nan where unknown), ``hours`` (of an ordinary weekend), ``depth`` (words), ``short`` (name
        in figures, empty for rows that are in none), ``sources`` (keys of ``references.bib``), ``as_of``, ``grade`` and ``assumed``.
    """
    frame = pd.DataFrame(_tables()["designs"])
    frame["tau"] = [math.inf if reads == "frozen" else tau for reads, tau in zip(frame["reads"], frame["tau"], strict=True)]
    frame["short"] = frame["short"].fillna("")
    return frame[["venue", "since", "reads", "says", "tau", "kappa", "hours", "depth", "short", "sources", "as_of", "grade", "assumed"]]


def links() -> pd.DataFrame:
    """Who takes a price from whom: ``reader``, ``reads``, ``through``, ``sources``, ``as_of``, ``grade``. Equal ``reader`` and ``reads``: its own
    book."""
    return pd.DataFrame(_tables()["links"])


def nodes() -> dict[str, str]:
    """Names of the places that links join, lines separated by a newline."""
    return dict(_tables()["nodes"])
