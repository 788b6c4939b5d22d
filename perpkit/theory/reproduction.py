"""The reproduction number of a liquidation cascade: how much forced selling one dollar of forced selling brings about.

A forced order of Q USD moves the traded log price by Q/D. The mark follows by a share W of it, every account whose trigger the mark passes
is sold, and so on: ``n = W (notional triggered per unit of log mark) / D``, local in price. The order fills at half its push, but the mark
sees the whole push, so the fill enters losses and not n.

Refill takes back the impact of the whole chain, and not only that of its last order. Let impact keep the share r from one update to the
next, the mark cover the share a of its distance at each, and the chain grow by the factor z an update. An order S moves prices by ``r S / (D
(z - r))``, the mark by ``a z / (z - 1 + a)`` of that, and the share ``1 - 1/z`` of it is new ground, so ``1 = n G(z)``, ``G = a r (z - 1) /
((z - 1 + a)(z - r))``. G is largest at ``z = 1 + sqrt(a (1 - r))``: a chain sustains itself from ``n = (1 + sqrt((1 - r) / a))^2 / r`` on,
``(1 + sqrt(rho tau))^2`` for refill at the rate rho and a mark of memory tau. Without refill neither cadence nor memory changes n.
Derived for this project; the chain without memory is that of Cont and Wagalath 2016 (doi:10.1111/mafi.12071), the book that of
Obizhaeva and Wang 2013.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from perpkit.theory._check import checked, count, finite, inside, not_negative, plain, positive
from perpkit.theory.marks import ema_drag_hours
from perpkit.theory.triggers import Triggers


@dataclass(frozen=True)
class Feedback:
    """From a forced order to the mark.

    Attributes
    ----------
    depth
        D, USD per unit log return.
    weight
        Weight of the traded price in the mark at once; the rest lies on the oracle. 1 is the mid, 0 the oracle or a median.
    refill
        Rate per hour at which transient impact decays.
    update_s
        Seconds between updates of the mark.
    permanent
        Share of impact that does not decay.
    basis_s
        Memory in seconds of the averaged basis, for the median of oracle, oracle plus averaged basis, and price (then ``weight`` is 0);
        infinite if the mark has none.
    oracle_s
        Memory in seconds of a closed oracle that follows the price; infinite for a frozen one. Its dead zone is left out.
    clamp
        Largest relative move of the mark in one update.
    band, trigger, resets
        The mark stays within ``band`` of an anchor, which moves to the edge once the oracle has covered the share ``trigger`` of the way,
        ``resets`` times a side.
    limit
        Largest log distance that forced orders push the price; beyond it any size is taken.
    """

    depth: float
    weight: float = 1.0
    refill: float = 0.0
    update_s: float = 3.0
    permanent: float = 0.0
    basis_s: float = np.inf
    oracle_s: float = np.inf
    clamp: float = np.inf
    band: float = np.inf
    trigger: float = 0.9
    resets: int = 0
    limit: float = np.inf

    def __post_init__(self) -> None:
        positive("depth", self.depth, "USD per unit log return")
        not_negative("refill", self.refill, "a rate per hour")
        positive("update_s", self.update_s, "seconds between updates")
        for name in ("weight", "permanent"):
            checked(name, getattr(self, name), lambda x: (x >= 0) & (x <= 1), "is a share, in [0, 1]")
        for name in ("basis_s", "oracle_s", "clamp", "limit"):
            checked(name, getattr(self, name), lambda x: x > 0, "is above 0 (inf for none)")
        checked("band", self.band, lambda x: ((x > 0) & (x < 1)) | (x == np.inf), "is a share of the anchor, in (0, 1) (inf for none)")
        checked("trigger", self.trigger, lambda x: (x > 0) & (x <= 1), "is the share of the way to the edge, in (0, 1]")
        count("resets", self.resets, "re-anchors a side")
        if self.basis_s < np.inf and self.weight > 0:
            raise ValueError(f"weight is 0 for a median with an averaged basis; got {self.weight!r} with basis_s {self.basis_s!r}")

    @property
    def settled(self) -> float:
        """Share of a lasting move of the price that ends up in the mark: all of it if basis or oracle follow, else the weight."""
        return 1.0 if min(self.basis_s, self.oracle_s) < np.inf else self.weight

    @property
    def kept(self) -> float:
        """Share of transient impact left after one update."""
        return float(np.exp(-self.refill * self.update_s / 3600.0))

    @property
    def gains(self) -> tuple[float, float]:
        """Share of its distance that the averaged basis, and the closed oracle, cover in one update."""
        return float(-np.expm1(-self.update_s / self.basis_s)), float(-np.expm1(-self.update_s / self.oracle_s))

    def edge(self, sign, moved: int = 0):
        """Furthest log mark downward (-1) or upward (+1) after the anchor has moved ``moved`` times."""
        return (moved + 1) * np.log1p(np.asarray(sign) * self.band) if self.band < np.inf else np.asarray(sign) * np.inf

    def growth(self, excess):
        """G of the module's introduction at ``z = 1 + excess``, for all parts of the mark and the permanent share."""
        basis, oracle = ((1.0 + excess) * gain / (excess + gain) for gain in self.gains)
        followed = 1.0 - (1.0 - self.weight) * (1.0 - basis) * (1.0 - oracle)
        return followed / (1.0 + excess) * (self.permanent + (1.0 - self.permanent) * self.kept * excess / (excess + 1.0 - self.kept))


def reproduction_number(population, feedback: Feedback, level, moved: int = 0):
    """n at the log mark ``level``, before refill: ``W lambda(M) P^2 / (M D)``, lambda being ``population.density``, prices over the first.

    W is :attr:`Feedback.settled` and ``P = 1 + (M - 1) / W`` the traded price behind the mark: the local weight is ``W P / M``, and what is
    sold is worth P. Zero beyond the band's edge, until the anchor has moved (``moved`` times so far), and where no price gives the mark.
    """
    x = finite("level", level, "a log mark")
    mark, share = np.exp(x), feedback.settled
    price = 1.0 + (mark - 1.0) / share if share > 0 else np.zeros(x.shape)
    within = (price > 0) & (np.abs(x) < np.abs(feedback.edge(np.where(x > 0, 1.0, -1.0), moved)))
    return plain(np.where(within, share * np.asarray(population.density(x)) * price**2 / (mark * feedback.depth), 0.0))


def critical_reproduction(feedback: Feedback) -> float:
    """n from which a chain of many small accounts sustains itself: 1 without refill, :attr:`Feedback.settled` over the largest G with it.

    Below it every cascade stops. Infinite if the mark never moves. Exact for an even density; clamp and band can only raise it.
    """
    if feedback.settled == 0:
        return float("inf")
    if feedback.refill == 0:
        return 1.0
    scan = np.geomspace(1e-12, 1e6, 1_801)
    best = int(np.argmax(feedback.growth(scan)))
    around = np.log(scan[[max(best - 1, 0), min(best + 1, scan.size - 1)]])
    found = minimize_scalar(lambda log: -feedback.growth(np.exp(log)), bounds=tuple(around), method="bounded", options={"xatol": 1e-12})
    return float(feedback.settled / max(-found.fun, feedback.growth(scan[best]), feedback.permanent * feedback.settled))


def critical_depth(population, feedback: Feedback, prices) -> float:
    """Depth (USD per unit log return) below which a chain sustains itself somewhere among the traded log prices ``prices``.

    The largest :func:`reproduction_number` at the marks these prices give, over its critical value, times depth; the feedback's own depth
    does not matter. The range is part of the answer: a mark with little weight on the price gets far only at prices much further out.
    """
    marks = np.log1p(feedback.settled * np.expm1(finite("prices", prices, "a log price")))
    return float(np.max(reproduction_number(population, feedback, marks)) * feedback.depth / critical_reproduction(feedback))


def equivalent_weight(feedback: Feedback) -> float:
    """Weight of the traded price over a frozen oracle at which a chain turns critical at the same depth as under ``feedback``.

    :attr:`Feedback.settled` over the critical n, against a mark without memory in the same book: memory that refill can outrun counts as
    lack of weight. Locally in price; clamp and band are left out, neither changes the critical n.
    """
    direct = Feedback(feedback.depth, 1.0, feedback.refill, feedback.update_s, feedback.permanent)
    return feedback.settled * critical_reproduction(direct) / critical_reproduction(feedback)


def affordable_weight(population, feedback: Feedback, prices, n=1.0) -> float:
    """Largest weight of the traded price, over a frozen oracle, at which n over its critical value stays at ``n`` or less among the traded
    log prices ``prices`` (of less than twice the first price: n rises with the weight up to there).

    About ``n D / lambda`` times the critical value: the weight a venue can afford is set by depth over liquidatable notional. 1 if even
    the mid is safe.
    """
    goal = float(positive("n", n, "a reproduction number over its critical value"))
    checked("prices", prices, lambda x: x < np.log(2.0), "are log prices below that of twice the first price")
    if min(feedback.basis_s, feedback.oracle_s) < np.inf:
        raise ValueError("feedback must be a blend over a frozen oracle, basis_s and oracle_s infinite: otherwise the mark follows at any weight")

    def excess(weight: float) -> float:
        return critical_depth(population, replace(feedback, weight=weight), prices) / (goal * feedback.depth) - 1.0

    return 1.0 if excess(1.0) <= 0 else float(brentq(excess, 1e-9, 1.0, xtol=1e-12))


def reanchor_hours(push, feedback: Feedback, sign: int = -1) -> float:
    """Hours until a band's anchor moves after the price has jumped by the log move ``push`` (above 0) towards its edge and decays from there.

    The closed oracle, of memory tau, covers ``x (e^{-rho t} - e^{-t / tau}) / (1 - rho tau)`` of the way and no more than ``x z^{z / (1 -
    z)}``, z = rho tau, so a push that refill takes back too soon never moves the anchor (infinite): until then the band holds n at 0. ``sign``
    is -1 for the lower edge. Derived here.
    """
    moved = float(positive("push", push, "a log move towards the edge"))
    if feedback.band == np.inf or feedback.oracle_s == np.inf or feedback.resets == 0:
        return float("inf")
    goal = abs(np.log1p(sign * feedback.band * feedback.trigger))
    tau, left = feedback.oracle_s / 3600.0, 1.0 - feedback.permanent
    rate = feedback.refill
    if rate == 0 or left == 0:
        return float("inf") if moved <= goal else float(ema_drag_hours(goal, moved, tau))

    def oracle(hours: float) -> float:
        gone = -np.expm1(-hours / tau)
        z = rate * tau
        passing = (np.exp(-rate * hours) - np.exp(-hours / tau)) / (1.0 - z) if abs(1.0 - z) > 1e-9 else hours / tau * np.exp(-hours / tau)
        return moved * (feedback.permanent * gone + left * passing)

    # The oracle turns where it meets the price; with a permanent part it may rise again, at most to that part.
    top = minimize_scalar(lambda hours: -oracle(hours), bounds=(0.0, 20.0 * max(tau, 1.0 / rate)), method="bounded", options={"xatol": 1e-10}).x
    if oracle(top) < goal:
        return float("inf")
    return float(brentq(lambda hours: oracle(hours) - goal, 0.0, top, xtol=1e-12))


def phantom_weight(gap, maintenance, capture=1.0):
    """Weight of the traded price, over a frozen oracle, below which accounts that the value has ruined stay open.

    The value has moved by the log ``gap``, the price by the share ``capture`` of it; the mark is ``1 + w (P - 1)``. An account ruined at V
    is open while ``M (1 - s m)`` has not passed V, so the weight is ``(1 - V / (1 - s m)) / (1 - P)``. With full capture that is ``(1 - m / d)
    / (1 - s m)`` for a simple move d, and the wall stands at ``d = m / (1 - w (1 - s m))``, near ``m / (1 - w)``. A weight above 1 means that
    even the mid hides ruin; 0, that the gap lies within maintenance. Derived here.
    """
    move = checked("gap", gap, lambda x: (x != 0) & np.isfinite(x), "is a log return, not 0")
    held = checked("capture", capture, lambda x: (x > 0) & (x <= 1), "is the share of the gap in the price, in (0, 1]")
    sign = np.where(move < 0, 1.0, -1.0)
    share = (1.0 - np.exp(move) / (1.0 - sign * inside("maintenance", maintenance, "a share of notional"))) / -np.expm1(held * move)
    return plain(np.maximum(share, 0.0))


def phantom_loss(population: Triggers, weight, gap, maintenance, capture=1.0):
    """Negative equity at the value, USD at the first price, of accounts that the mark has not condemned: the wall of phantom solvency.

    The sum of ``s (b - V)`` over accounts ruined at V and still above maintenance at the mark, before any order of theirs has moved the
    price. Arguments of :func:`phantom_weight`; ``weight`` and ``gap`` broadcast.
    """
    share = checked("weight", weight, lambda x: (x >= 0) & (x <= 1), "is the weight of the traded price in the mark, in [0, 1]")
    move = checked("gap", gap, lambda x: (x != 0) & np.isfinite(x), "is a log return, not 0")
    rate, held = float(inside("maintenance", maintenance, "a share of notional")), float(capture)
    checked("capture", held, lambda x: (x > 0) & (x <= 1), "is the share of the gap in the price, in (0, 1]")
    side = np.where(population.level < 0, 1.0, -1.0)
    zero = np.exp(population.level) * (1.0 - side * rate)
    mark, value = (1.0 + share * np.expm1(held * move))[..., None], np.exp(move)[..., None]
    hidden = side * np.log(mark) > side * population.level
    return plain((population.size * np.maximum(side * (zero - value), 0.0) * hidden).sum(axis=-1))


class Valley(NamedTuple):
    """Weights of the traded price between the two walls, for one depth; no valley if ``low`` is above ``high``."""

    low: float
    """Below it the gap leaves ruined accounts open."""
    high: float
    """Above it a chain of liquidations sustains itself."""


def valley(population, feedback: Feedback, gap, maintenance, prices, capture=1.0) -> Valley:
    """Weights that neither hide the ``gap`` nor let a cascade feed itself: :func:`phantom_weight` to :func:`affordable_weight`."""
    return Valley(float(phantom_weight(gap, maintenance, capture)), affordable_weight(population, feedback, prices))
