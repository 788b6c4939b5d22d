"""What it costs to lie to an oracle that listens to its own market.

Drag: hold the price at ``push`` above fair value until an oracle with time constant tau has moved by ``target``. The attacker pays
to get there, to absorb what refills while holding, and funding on the premium; he is taken to unwind at fair value for nothing. The push is
constant: one that grows through the hold is cheaper still, by less than a tenth where it was tried. Derived for this project.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from perpkit.theory._check import checked, count, not_negative, plain, positive
from perpkit.theory.marks import ema_drag_hours

_REFILL_SHARE = {"relist": 0.5, "revert": 1.0}


class DragCost(NamedTuple):
    """The cheapest drag and where its cost goes."""

    cost: float
    """USD, the sum of the last three."""
    push: float
    """Log return at which the price is held."""
    hours: float
    """For how long."""
    entry: float
    """USD to get there."""
    refill: float
    """USD to absorb what refills while holding."""
    funding: float
    """USD of funding paid on the position."""


def hold_cost(push, depth, refill, kappa, tau, target, book: str = "relist"):
    """USD to hold a price ``push`` away until the oracle has moved ``target``: (total, entry, refill, funding), arrays over ``push``.

    ``D x^2 { 1/2 + c rho t + kappa tau [(1 - E) + rho (tau - (t + tau) E)] }`` with t the drag time and ``E = e^{-t / tau}``.

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
    """
    if book not in _REFILL_SHARE:
        raise ValueError(f"book is one of {sorted(_REFILL_SHARE)}; got {book!r}")
    held = positive("push", push, "a log return")
    thick = positive("depth", depth, "USD per unit log return")
    rho = not_negative("refill", refill, "a rate per hour")
    intensity = not_negative("kappa", kappa, "a funding intensity per hour")
    time = np.asarray(ema_drag_hours(positive("target", target, "a log return"), held, tau))
    left = 1.0 - target / held
    entry = 0.5 * thick * held**2
    refilled = _REFILL_SHARE[book] * thick * held**2 * rho * time
    funding = thick * held**2 * intensity * tau * ((1.0 - left) + rho * (tau - (time + tau) * left))
    return tuple(plain(part) for part in (entry + refilled + funding, entry, refilled, funding))


def drag_cost(depth, refill, kappa, tau, target, book: str = "relist") -> DragCost:
    """Cheapest constant push that drags a closed-window oracle by ``target``, and its cost.

    Units and books of :func:`hold_cost`; numbers only. Without refill waiting is free of absorption: the infimum is the target itself held
    for ever (``hours`` infinite).

    Raises
    ------
    ValueError
        If depth, tau or target is not positive, tau is infinite (a frozen oracle cannot be dragged), a rate is negative, or ``book``
        unknown.
    """
    goal = float(positive("target", target, "a log return"))
    memory = float(positive("tau", tau, "the oracle's time constant in hours; a frozen oracle cannot be dragged"))
    if float(not_negative("refill", refill, "a rate per hour")) == 0:
        thick = float(positive("depth", depth, "USD per unit log return"))
        paid = thick * goal**2 * float(not_negative("kappa", kappa, "a funding intensity per hour")) * memory
        return DragCost(0.5 * thick * goal**2 + paid, goal, float("inf"), 0.5 * thick * goal**2, 0.0, paid)

    def held(excess: float) -> float:
        return goal * (1.0 + np.exp(excess))

    # Cost is not convex in the push, but has one valley in the log of its excess over the target (scanned in the tests).
    best = minimize_scalar(
        lambda excess: hold_cost(held(excess), depth, refill, kappa, memory, goal, book)[0],
        bounds=(-30.0, 15.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    push = float(held(best.x))
    total, entry, absorbed, funding = hold_cost(push, depth, refill, kappa, memory, goal, book)
    return DragCost(total, push, ema_drag_hours(goal, push, memory), entry, absorbed, funding)


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
