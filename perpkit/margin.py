"""Margin: which accounts the mark condemns, found without visiting them.

With one maintenance rate m and funding F paid so far by a long share, a long is liquidated once ``M (1 - m) - F < b`` and a short once ``M (1 + m) - F > b``, b the
bankruptcy price at entry. Both sides are one rule in the coordinate ``y = s (p - F)``, s = +1 long, -1 short, with ``beta = s b``: equity is
``q (y - beta)``. Each side is sorted once by beta, highest first; the condemned are a prefix, and sums over them are differences of prefix sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from perpkit._checks import positive
from perpkit._compile import compiled
from perpkit.accounts import Accounts


@dataclass(frozen=True)
class Margin:
    """Leverage cap and maintenance.

    Parameters
    ----------
    max_leverage : the market's maximum leverage; initial margin is its inverse.
    maintenance : maintenance rate on notional at the mark; None is half of initial (Hyperliquid liquidations page, read 2026-10).
    """

    max_leverage: float = 20.0
    maintenance: float | None = None

    def __post_init__(self) -> None:
        if not self.max_leverage >= 1.0:
            raise ValueError(f"max_leverage is 1 or more; got {self.max_leverage!r}")
        if self.maintenance is None:
            object.__setattr__(self, "maintenance", 0.5 / self.max_leverage)
        positive("maintenance", self.maintenance, "a rate on notional")
        if self.maintenance > 1.0 / self.max_leverage:
            raise ValueError(
                f"maintenance of {self.maintenance!r} is above the initial margin {1 / self.max_leverage:.4g} at {self.max_leverage!r}x; lower one of them"
            )


class Side(NamedTuple):
    """One side of the market, sorted by ``beta`` from first to last to be liquidated. Prefix sums have one more entry.

    ``small_q`` and ``small_qb`` sum size and size times beta over accounts that are closed in one order; ``all_q`` and ``all_qb`` over all.
    ``large`` holds the positions of accounts liquidated in part first.
    """

    beta: np.ndarray
    size: np.ndarray
    entry: np.ndarray
    is_large: np.ndarray
    large: np.ndarray
    small_q: np.ndarray
    small_qb: np.ndarray
    all_q: np.ndarray
    all_qb: np.ndarray


def sort_side(accounts: Accounts, sign: float, partial_threshold: float) -> Side:
    """The sorted arrays of one side (``sign`` +1 longs, -1 shorts); accounts above ``partial_threshold`` USD at the last print are large."""
    mine = accounts.side == sign
    beta = sign * accounts.bankruptcy[mine]
    order = np.argsort(-beta, kind="stable")
    size, entry, beta = accounts.size[mine][order], accounts.entry[mine][order], beta[order]
    is_large = size * accounts.price > partial_threshold
    small = np.where(is_large, 0.0, size)
    sums = [np.concatenate([[0.0], np.cumsum(x)]) for x in (small, small * beta, size, size * beta)]
    return Side(beta, size, entry, is_large, np.flatnonzero(is_large), *sums)


@compiled
def first_not_above(beta: np.ndarray, start: int, level: float) -> int:
    """First position at or after ``start`` whose beta is not above ``level``; ``beta`` falls along the array."""
    low, high = start, len(beta)
    while low < high:
        middle = (low + high) // 2
        if beta[middle] > level:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def maintenance_level(sign: float, mark: float, funding: float, maintenance: float) -> float:
    """Accounts of the side with a beta above this are below maintenance."""
    return sign * (mark * (1.0 - sign * maintenance) - funding)
