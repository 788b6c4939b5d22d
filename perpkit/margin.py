"""Margin: which accounts the mark condemns, found without visiting them.

With one maintenance rate m and funding F paid so far by a long share, a long is liquidated once ``M (1 - m) - F < b`` and a short once ``M
(1 + m) - F > b``, b the bankruptcy price at entry. Both sides are one rule in the coordinate ``y = s (p - F)``, s = +1 long, -1 short, with
``beta = s b``: equity is ``q (y - beta)``. Each side is sorted once by beta, highest first; the condemned are a prefix, and sums over them
are differences of prefix sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perpkit._checks import positive, typed
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
        typed(self)
        if not 1.0 <= self.max_leverage < float("inf"):
            raise ValueError(f"max_leverage is a finite number of 1 or more; got {self.max_leverage!r}")
        if self.maintenance is None:
            object.__setattr__(self, "maintenance", 0.5 / self.max_leverage)
        positive("maintenance", self.maintenance, "a rate on notional")
        if self.maintenance > 1.0 / self.max_leverage:
            raise ValueError(
                f"maintenance of {self.maintenance!r} is above the initial margin {1 / self.max_leverage:.4g} at {self.max_leverage!r}x; lower one of them"
            )


BETA, SIZE, ENTRY, IS_LARGE, SMALL_Q, SMALL_QB, ALL_Q, ALL_QB = range(8)
"""Rows of a side's table: sorted by beta, highest first. The last four are prefix sums of size and of size times beta, over accounts that
are sold whole and over all; entry k sums the first k accounts."""
ROWS = 8


def sort_sides(accounts: Accounts, partial_threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Tables of both sides, longs first, and the places of their large accounts.

    Parameters
    ----------
    accounts : the population.
    partial_threshold : accounts above this many USD at the last print are large: liquidated in part first.

    Returns
    -------
    sides : float, shape (2, ROWS, n + 1), n the number of accounts of the longer side; the shorter is filled up with nobody (beta minus
        infinity, size 0).
    large : int, shape (2, count + 1), places in rising order, filled up with a place nobody has.
    """
    counts = [int((accounts.side == sign).sum()) for sign in (1.0, -1.0)]
    sides = np.zeros((2, ROWS, max(counts) + 1))
    sides[:, BETA], sides[:, ENTRY] = -np.inf, accounts.price
    places = []
    for me, (sign, n) in enumerate(zip((1.0, -1.0), counts, strict=True)):
        mine = accounts.side == sign
        beta = sign * accounts.bankruptcy[mine]
        order = np.argsort(-beta, kind="stable")
        size = accounts.size[mine][order]
        is_large = size * accounts.price > partial_threshold
        table = sides[me]
        table[BETA, :n], table[SIZE, :n], table[ENTRY, :n], table[IS_LARGE, :n] = beta[order], size, accounts.entry[mine][order], is_large
        prefix_sums(table)
        places.append(np.flatnonzero(is_large))
    large = np.full((2, max(len(p) for p in places) + 1), sides.shape[2])
    for me in range(2):
        large[me, : len(places[me])] = places[me]
    return sides, large


@compiled
def prefix_sums(table: np.ndarray) -> None:
    """Fill the four rows of sums of one side's table from its sizes and betas."""
    for k in range(table.shape[1] - 1):
        size = table[SIZE, k]
        weighted = size * table[BETA, k] if size > 0.0 else 0.0
        whole = 1.0 - table[IS_LARGE, k]
        table[SMALL_Q, k + 1] = table[SMALL_Q, k] + whole * size
        table[SMALL_QB, k + 1] = table[SMALL_QB, k] + whole * weighted
        table[ALL_Q, k + 1] = table[ALL_Q, k] + size
        table[ALL_QB, k + 1] = table[ALL_QB, k] + weighted


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
