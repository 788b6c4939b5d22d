"""A cascade from its shock to its rest: update by update with refill, clamp and band, and in one step without refill.

Mean field: the path of a population of given accounts, without noise. What scatter adds is in ``branching``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perpkit.theory._check import checked, count, finite, not_negative, plain, sign_of
from perpkit.theory.reproduction import Feedback, critical_reproduction
from perpkit.theory.triggers import EvenDensity, Triggers

_ENDLESS = 1e6  # a cascade this many times its first generation is taken to have no end


def effective_reproduction(n, feedback: Feedback) -> float:
    """Share of all liquidations that others caused, ``1 - first / total``, in an even density of raw reproduction number ``n``.

    It is n itself without refill, a little less with it, and 1 from :func:`critical_reproduction` on; the mean number each liquidation
    triggers, as counted in a run. By iteration of the chain, clamp and band aside. The first generation is what a lasting shock would
    liquidate with the book as deep as could be. One number.
    """
    raw = float(not_negative("n", n, "the mean number each liquidation triggers"))
    bare = Feedback(1.0, feedback.weight, feedback.refill, feedback.update_s, feedback.permanent, feedback.basis_s, feedback.oracle_s)
    if raw >= critical_reproduction(bare):
        return 1.0
    if raw == 0:
        return 0.0
    slow = max([s for s in (bare.basis_s, bare.oracle_s) if s < np.inf], default=0.0)
    shock, updates = -1e-9, 64 + int(20.0 * slow / bare.update_s)
    first = raw * -shock  # the price's even density is n D / W, the mark's move W times the shock
    while True:
        sold = unfold(EvenDensity(raw / bare.settled), bare, shock, updates).sold
        if sold[-1] > _ENDLESS * first:
            return 1.0
        if sold[-1] - sold[updates // 2] <= 1e-9 * sold[-1]:
            return max(0.0, 1.0 - first / float(sold[-1]))
        updates *= 2


class Unfolding(NamedTuple):
    """A cascade update by update, arrays of one length; prices over the first, ``order`` and ``sold`` in USD at the first price."""

    price: np.ndarray
    """Before the update's orders."""
    oracle: np.ndarray
    """The closed oracle."""
    mark: np.ndarray
    """What accounts are judged by."""
    order: np.ndarray
    """Liquidated at this update: one generation, where the mark follows at once."""
    sold: np.ndarray
    """Liquidated so far."""


def unfold(population, feedback: Feedback, shock, updates: int) -> Unfolding:
    """The mean path of a cascade after the undisturbed log price has moved by ``shock`` for good.

    At each update past impact decays, oracle, basis and mark follow, whoever the mark condemns is sold in one order worth the price of the
    moment, and the order moves the price: the engine's order of events, without noise, fees, vault or deleveraging. ``population`` as in
    ``triggers``.
    """
    moved = float(checked("shock", shock, lambda x: (x != 0) & np.isfinite(x), "is a log move of the undisturbed price, not 0"))
    number = int(count("updates", updates, "updates to follow", least=1))
    sign, kept, (basis_gain, oracle_gain) = float(np.sign(moved)), feedback.kept, feedback.gains
    rows = np.empty((number, 5))
    impact = lasting = basis = worst = sold = 0.0
    oracle, mark, anchor, resets = 1.0, 1.0, 1.0, 0
    for k in range(number):
        impact *= kept
        price = float(np.exp(moved + impact + lasting))
        oracle += oracle_gain * (price - oracle)
        basis += basis_gain * (price - oracle - basis)
        if feedback.basis_s < np.inf:
            target = sorted((oracle, oracle + basis, price))[1]
        else:
            target = feedback.weight * price + (1.0 - feedback.weight) * oracle
        mark = min(max(target, mark * max(1.0 - feedback.clamp, 0.0)), mark * (1.0 + feedback.clamp))
        if feedback.band < np.inf:
            if resets < feedback.resets and sign * (oracle - anchor) >= feedback.band * feedback.trigger * anchor:
                anchor, resets = anchor * (1.0 + sign * feedback.band), resets + 1
            mark = min(max(mark, anchor * (1.0 - feedback.band)), anchor * (1.0 + feedback.band))
        worst = max(worst, sign * (mark - 1.0))
        fallen = float(population.sold(np.log1p(sign * worst))) if worst > 0 else 0.0
        push = min((fallen - sold) * price / feedback.depth, max(feedback.limit - sign * (impact + lasting), 0.0))
        impact += sign * (1.0 - feedback.permanent) * push
        lasting += sign * feedback.permanent * push
        rows[k] = price, oracle, mark, fallen - sold, fallen
        sold = fallen
    return Unfolding(*rows.T)


class Settled(NamedTuple):
    """Where a cascade comes to rest; arrays over shocks."""

    mark: np.ndarray
    """Log mark."""
    first: np.ndarray
    """USD the shock alone liquidates."""
    sold: np.ndarray
    """USD liquidated in all."""


def settle(population: Triggers, feedback: Feedback, shock) -> Settled:
    """Rest of a cascade through a finite population, after a lasting log move ``shock`` of the undisturbed price and without refill.

    Account j is reached if for every account up to it the shock, with all before sold, brings the mark to its trigger: from the price P_j
    behind that trigger, ``1 / P_j = e^{-shock} - s (sold before) / D`` (small orders, each worth the price of the moment, s = -1 down). So
    the number reached is a search in the running maximum of the shocks needed, and the first fixed point of the mark is exact, with every
    jump in it. The mark is infinite where a squeeze has no end. Refill: see :func:`unfold`.
    """
    move = finite("shock", shock, "a log move of the undisturbed price")
    first, sold, mark = np.zeros(move.shape), np.zeros(move.shape), np.zeros(move.shape)
    for sign in (-1, 1):
        sums, alone, needed = _needed(population, feedback, sign)
        mine = np.sign(move) == sign
        size = np.abs(move[mine])
        first[mine] = sums[np.searchsorted(alone, size, side="right")]
        sold[mine] = sums[np.searchsorted(needed, size, side="right")]
        inverse = np.exp(-move[mine]) - sign * sold[mine] / feedback.depth
        with np.errstate(divide="ignore"):
            price = np.where(inverse > 0, 1.0 / np.maximum(inverse, 0.0), np.inf)
        level = np.log1p(feedback.settled * (price - 1.0)) if feedback.settled > 0 else np.zeros(size.shape)
        mark[mine] = sign * np.minimum(np.abs(level), np.abs(feedback.edge(sign)))
    return Settled(plain(mark), plain(first), plain(sold))


class Tipping(NamedTuple):
    """The largest jump of a cascade's rest as the shock grows."""

    shock: float
    """Log move of the undisturbed price at which it happens; infinite if nobody can be reached."""
    before: float
    """USD liquidated by any smaller shock."""
    after: float
    """USD liquidated from there on."""


def tipping(population: Triggers, feedback: Feedback, side: str = "long") -> Tipping:
    """Where :func:`settle` jumps furthest for one side: one account where n stays below 1, a whole stretch of them where it exceeds 1."""
    sign = -sign_of(side)
    sums, _, needed = _needed(population, feedback, sign)
    needed = needed[np.isfinite(needed)]
    if not needed.size:
        return Tipping(sign * np.inf, 0.0, 0.0)
    starts = np.flatnonzero(np.concatenate(([True], np.diff(needed) > 0)))
    ends = np.concatenate((starts[1:], [needed.size]))
    best = int(np.argmax(sums[ends] - sums[starts]))
    return Tipping(float(sign * needed[starts[best]]), float(sums[starts[best]]), float(sums[ends[best]]))


def _needed(population: Triggers, feedback: Feedback, sign: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of sizes, and the size of the shock that reaches each account of a side: without feedback, and with it (running maximum)."""
    far, size = population.side(sign)
    sums = np.concatenate(([0.0], np.cumsum(size)))
    share = feedback.settled
    price = 1.0 + np.expm1(sign * far) / share if share > 0 else np.zeros(far.shape)
    can = (price > 0) & (far <= np.abs(feedback.edge(sign)))
    inverse = 1.0 / np.where(can, price, 1.0)
    pushed = inverse + sign * sums[:-1] / feedback.depth
    with np.errstate(divide="ignore"):
        alone = np.where(can, -sign * np.log(inverse), np.inf)
        needed = np.where(can, np.where(pushed > 0, -sign * np.log(np.maximum(pushed, 0.0)), -np.inf), np.inf)
    return sums, alone, np.maximum.accumulate(np.maximum(needed, 0.0))
