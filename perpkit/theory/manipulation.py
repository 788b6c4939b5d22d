"""What it costs to lie to an oracle that listens to its own market: holds, schedules, averages and pools.

Drag: keep the price above fair value until an oracle with time constant tau has moved by ``target``. The attacker pays to get there, to absorb
what refills on the way, and funding on the premium: since ``tau dO = (f - O) dt``, funding is ``kappa tau int Q dO``, kappa tau for each
unit the oracle moves and each unit held. What he gets back depends on the bids behind him (``unwind``):

``"fair"``: they stayed at fair value, so what he holds is worth that and the push is lost. ``"split"``: they followed the price; he sells
the displacement straight back and the rest at fair value. ``"block"``: they followed, and he sells all of it at once.

Here the push is constant or a given staircase; ``drag`` has the cheapest of all. Derived for this project.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import exprel

from perpkit.theory._check import checked, count, memory, not_negative, plain, positive
from perpkit.theory.marks import ema_drag_hours

_REFILL_SHARE = {"relist": 0.5, "revert": 1.0}
UNWINDS = ("fair", "split", "block")


class DragCost(NamedTuple):
    """The cheapest drag and where its cost goes."""

    cost: float
    """USD, the sum of the last three."""
    push: float
    """Log return at which the price is held."""
    hours: float
    """For how long."""
    entry: float
    """USD to get there, less what unwinding gives back."""
    refill: float
    """USD to absorb what refills while holding."""
    funding: float
    """USD of funding paid on the position."""


def refill_share(book: str, unwind: str = "fair") -> float:
    """Part of the push at which refilled orders are met on average, c: 1/2 for ``"relist"``, 1 for ``"revert"``. Checks both names.

    Raises
    ------
    ValueError
        If a name is unknown, or a ``"relist"`` book is asked to take anything back: it does not say where its bids are.
    """
    if book not in _REFILL_SHARE:
        raise ValueError(f"book is one of {sorted(_REFILL_SHARE)}; got {book!r}")
    if unwind not in UNWINDS:
        raise ValueError(f"unwind is one of {list(UNWINDS)}; got {unwind!r}")
    if book == "relist" and unwind != "fair":
        raise ValueError(f'unwind must be "fair" on a "relist" book, whose bids are not modelled; got {unwind!r}; use book="revert"')
    return _REFILL_SHARE[book]


def hold_cost(push, depth, refill, kappa, tau, target, book: str = "relist", unwind: str = "fair"):
    """USD to hold a price ``push`` away until the oracle has moved ``target``: (total, entry, refill, funding), arrays over ``push``.

    ``D x^2 { 1/2 + c rho t + kappa tau [(1 - E) + rho (tau - (t + tau) E)] }`` with t the drag time and ``E = e^{-t / tau}``. The 1/2
    becomes 0 when unwinding is ``"split"`` and ``(rho t)^2 / 2`` when it is ``"block"``.

    Parameters
    ----------
    push, target
        Positive log returns, push above target.
    depth
        D, USD per unit log return.
    refill
        rho, share of the displaced depth that comes back per hour.
    kappa
        Funding intensity per hour on the premium over the oracle.
    tau
        Time constant of the oracle, hours.
    book
        ``"relist"``: orders reappear evenly over the emptied range and are met at half the push on average (c = 1/2).
        ``"revert"``: the whole price decays back and is bought up again at the push (c = 1), as impact does in the engine's book.
    unwind
        See the module; ``"split"`` and ``"block"`` need the ``"revert"`` book.
    """
    met = refill_share(book, unwind)
    held = positive("push", push, "a log return")
    thick = positive("depth", depth, "USD per unit log return")
    rho = not_negative("refill", refill, "a rate per hour")
    intensity = not_negative("kappa", kappa, "a funding intensity per hour")
    time = np.asarray(ema_drag_hours(positive("target", target, "a log return"), held, tau))
    left = 1.0 - target / held
    lost = {"fair": 1.0, "split": 0.0, "block": (rho * time) ** 2}[unwind]
    entry = 0.5 * thick * held**2 * lost
    refilled = met * thick * held**2 * rho * time
    funding = thick * held**2 * intensity * tau * ((1.0 - left) + rho * (tau - (time + tau) * left))
    return tuple(plain(part) for part in (entry + refilled + funding, entry, refilled, funding))


def drag_cost(depth, refill, kappa, tau, target, book: str = "relist", unwind: str = "fair") -> DragCost:
    """Cheapest constant push that drags a closed-window oracle by ``target``, and its cost.

    Units, books and ways to unwind of :func:`hold_cost`; numbers only. Without refill waiting is free of absorption: the infimum is the
    target itself held for ever (``hours`` infinite). :func:`best_drag` lets the push vary and is cheaper: over refill 0.1 to 8 per hour, kappa
    1/64 to 1/8 and tau 15 min to 8 h, by 1 to 15 % in a ``"relist"`` book and 4 to 18 % in a ``"revert"`` book.

    Raises
    ------
    ValueError
        If depth, tau or target is not positive, tau is infinite (a frozen oracle cannot be dragged), a rate is negative, or ``book`` or
        ``unwind`` unknown.
    """
    refill_share(book, unwind)
    goal = float(positive("target", target, "a log return"))
    lag = float(positive("tau", tau, "the oracle's time constant in hours; a frozen oracle cannot be dragged"))
    if float(not_negative("refill", refill, "a rate per hour")) == 0:
        thick = float(positive("depth", depth, "USD per unit log return"))
        paid = thick * goal**2 * float(not_negative("kappa", kappa, "a funding intensity per hour")) * lag
        entry = 0.5 * thick * goal**2 * (unwind == "fair")
        return DragCost(entry + paid, goal, float("inf"), entry, 0.0, paid)

    def held(excess: float) -> float:
        return goal * (1.0 + np.exp(excess))

    # Cost is not convex in the push, but has one valley in the log of its excess over the target (scanned in the tests).
    best = minimize_scalar(
        lambda excess: hold_cost(held(excess), depth, refill, kappa, lag, goal, book, unwind)[0],
        bounds=(-30.0, 15.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    push = float(held(best.x))
    total, entry, absorbed, funding = hold_cost(push, depth, refill, kappa, lag, goal, book, unwind)
    return DragCost(total, push, ema_drag_hours(goal, push, lag), entry, absorbed, funding)


class ScheduleCost(NamedTuple):
    """What a staircase of pushes costs and what it has done by its end."""

    cost: float
    """USD: trading and funding, less what unwinding gives back."""
    trading: float
    """USD paid above fair value for what was bought (net of what was sold on the way)."""
    funding: float
    """USD of funding paid."""
    returned: float
    """USD above fair value got back by unwinding at the end."""
    position: float
    """USD held at the end, before unwinding."""
    oracle: float
    """Log return of the oracle at the end."""


def schedule_cost(pushes, hours, depth, refill, kappa, tau, book: str = "revert", unwind: str = "fair") -> ScheduleCost:
    """Cost of holding the price at each of ``pushes`` for each of ``hours`` in turn, exactly; blocks of orders between.

    Buying from x to y costs their mean, so the blocks add up to ``D x_n^2 / 2`` whatever the steps; refill costs ``c rho D x^2`` an hour; funding
    is ``kappa int Q (x - O)``, with ``Q = D (x + rho int x)`` and O the exact average of the staircase. A step down is a sale at the prices
    between.

    Parameters
    ----------
    pushes, hours
        Log returns over fair value (negative below) and durations, one-dimensional, of one length. In a ``"relist"`` book the pushes must
        not be negative nor fall.
    depth, refill, kappa, book, unwind
        As in :func:`hold_cost`.
    tau
        Time constant of the oracle in hours, inf for one that does not listen.

    Raises
    ------
    ValueError
        If an argument is out of range or the two lists do not match.
    """
    met = refill_share(book, unwind)
    path = checked("pushes", pushes, np.isfinite, "is a list of log returns")
    lasting = not_negative("hours", hours, "a list of durations")
    if path.ndim != 1 or path.shape != lasting.shape:
        raise ValueError(f"pushes and hours are one-dimensional and of one length; got shapes {path.shape} and {lasting.shape}")
    if book == "relist":
        checked("pushes", np.diff(path, prepend=0.0), lambda x: x >= 0, 'must not fall on a "relist" book; the step')
    thick = float(positive("depth", depth, "USD per unit log return"))
    rho = float(not_negative("refill", refill, "a rate per hour"))
    intensity = float(not_negative("kappa", kappa, "a funding intensity per hour"))
    lag = float(memory("tau", tau))
    oracle, area, refilled, charged = 0.0, 0.0, 0.0, 0.0
    for push, time in zip(path, lasting, strict=True):
        age = time / lag
        # Over the piece the premium is (push - O) e^{-t/tau} and the position push + rho (area + push t), per unit of depth.
        flat = time * exprel(-age)
        rising = time**2 * exprel(-age) - time**2 * _rising_gap(age)
        charged += (push - oracle) * ((push + rho * area) * flat + rho * push * rising)
        refilled += push**2 * time
        area += push * time
        oracle += (push - oracle) * -np.expm1(-age)
    last, rest = float(path[-1]), rho * area
    trading = thick * (0.5 * last**2 + met * rho * refilled)
    returned = 0.5 * thick * {"fair": 0.0, "split": last**2, "block": last**2 - rest**2}[unwind]
    funding = thick * intensity * charged
    parts = (trading + funding - returned, trading, funding, returned, thick * (last + rest), oracle)
    return ScheduleCost(*(float(part) for part in parts))


def _rising_gap(age: float) -> float:
    """``(e^{-a} - 1 + a) / a^2``: ``int_0^1 (1 - s) e^{-a s} ds``, by its series where the difference would lose digits."""
    return 0.5 - age / 6.0 + age**2 / 24.0 - age**3 / 120.0 if age < 1e-3 else (age + np.expm1(-age)) / age**2


def average_price_factor(blocks, move, held=1, mean: str = "arithmetic"):
    """Factor by which the price must be multiplied in ``held`` of ``blocks`` equal samples to move their mean by the share ``move``.

    Arithmetic mean ``1 + blocks move / held``, geometric ``(1 + move)^{blocks / held}``. Source: Mackinga, Nadahalli and Wattenhofer 2022
    (https://eprint.iacr.org/2022/445).
    """
    window = count("blocks", blocks, "samples in the average", least=1)
    kept = count("held", held, "samples the attacker controls", least=1)
    checked("held", kept / window, lambda x: x <= 1, "must not exceed blocks; held / blocks")
    lift = checked("move", move, lambda x: (x > -1) & np.isfinite(x), "is the share by which the mean is to move, above -1")
    if mean == "geometric":
        return plain((1.0 + lift) ** (window / kept))
    if mean != "arithmetic":
        raise ValueError(f'mean is "arithmetic" or "geometric"; got {mean!r}')
    factor = 1.0 + window * lift / kept
    return plain(checked("move", factor, lambda x: x > 0, "asks for a price at or below zero in the samples held; the factor"))


def constant_product_cost(factor, fee=0.0):
    """Cost, as a share of the pool's quote reserve, of multiplying a constant-product price by ``factor`` and being arbitraged back.

    ``(M^{1/4} - M^{-1/4})^2`` without fee; a fee taken on the trade's input adds ``fee / (1 - fee)`` of that input. Standard, derived in
    the tests.
    """
    ratio = positive("factor", factor, "price after over price before")
    share = checked("fee", fee, lambda x: (x >= 0) & (x < 1), "is a share of the input, in [0, 1)")
    bare = (ratio**0.25 - ratio**-0.25) ** 2
    # Up: quote goes in. Down: base goes in, worth (M^{-1/2} - 1) of the quote reserve at the price before.
    put_in = np.where(ratio >= 1, np.sqrt(ratio) - 1.0, 1.0 / np.sqrt(ratio) - 1.0)
    return plain(bare + share / (1.0 - share) * put_in)
