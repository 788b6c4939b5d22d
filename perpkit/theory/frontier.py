"""The bound below which no attack on an oracle can go, in a book whose bids follow the price.

With the book, oracle and funding of ``drag`` and the attacker free to buy and sell, the cost of a push x that starts and ends at rest is
``rho D int x^2 + kappa int Q (x - O)``: every block gets back what it cost. That is a quadratic form in x alone, so its least value for a
given move of the oracle has no inequality to respect, and a closed form when time does not press. Derived for this project.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigvalsh
from scipy.optimize import brentq, minimize_scalar

from perpkit.theory._check import checked, not_negative, plain, positive
from perpkit.theory._panels import ORDER, form, graded, grid, respond, rule


class DragFrontier(NamedTuple):
    """The least cost of any attack, and the push around the moment the target is reached."""

    cost: float
    """USD; 0 where patience makes the lie free, minus infinity where it earns money without limit."""
    before: float
    """Log push just before the target is reached."""
    after: float
    """Log push just after: the difference is sold as a block."""
    hours: float
    """Hours from the start at which the target is reached (inf: no limit of time)."""
    position: float
    """USD held just before the target is reached."""


def drag_frontier(depth, refill, kappa, tau, target, hours=np.inf) -> DragFrontier:
    """Least cost of moving the oracle by ``target`` over every schedule of buying and selling in a ``"revert"`` book: a bound for any attack.

    Without limit of time, for round trips: ``2 D target^2 tau sqrt(rho (1 - kappa tau)(rho + kappa))``. At frequency w the cost of x is
    ``D |x|^2 (rho (1 - kappa tau) + (rho + kappa) w^2 tau^2) / (1 + w^2 tau^2)``, and the bound is Cauchy and Schwarz against the oracle's
    filter. The best push is ``1 + lambda tau`` times an oracle that rises as ``e^{lambda t}``, then a block sale, then ``1 - lambda tau``
    times one that falls as fast. The bound vanishes on the critical line ``kappa tau = 1``; above it round trips earn money.

    With ``hours`` the closure has a length: he trades as he likes before and after the target, collects funding to the end, and then the
    reference returns, the oracle snaps home without a payment and what he holds is worth fair value. Short closures cost more than the
    formula. The snap can be farmed (hold much, drag the oracle the other way at the end), so long closures cost slightly less, and from
    :func:`farming_hours` on there is no least cost.

    Parameters
    ----------
    depth
        D, USD per unit log return.
    refill
        rho per hour, above 0 (without refill waiting is free of absorption: see :func:`drag_cost`).
    kappa
        Funding intensity per hour.
    tau
        Time constant of the oracle in hours, finite.
    target
        Positive log return.
    hours
        Length of the closure.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    thick, rho, intensity, lag, goal = book_numbers(depth, refill, kappa, tau, target)
    total = float(checked("hours", hours, lambda x: x > 0, "is the length of the closure, above 0 (inf: no limit)"))
    unbounded = DragFrontier(-np.inf, np.nan, np.nan, np.nan, np.nan)
    if np.isinf(total):
        anchor = 1.0 - intensity * lag
        if anchor < 0:
            return unbounded
        ramp = float(np.sqrt(rho * anchor / (rho + intensity)))  # lambda tau
        cost = 2.0 * thick * goal**2 * lag * ramp * (rho + intensity)
        held = thick * goal * (1.0 + ramp) * (1.0 + rho * lag / ramp) if ramp > 0 else np.inf
        return DragFrontier(float(cost), goal * (1.0 + ramp), goal * (1.0 - ramp), np.inf, float(held))
    if _softest(rho, intensity, lag, total) <= 0:
        return unbounded

    def solved(reached: float) -> tuple[np.ndarray, float, int, float]:
        first = graded(0.0, reached, lag)
        edges = np.concatenate([first, graded(reached, total, lag)[1:]])
        matrix, ends, areas = everything(edges, rho, intensity, lag)
        x = cho_solve(cho_factor(matrix), ends[first.size - 1])
        x /= ends[first.size - 1] @ x
        return x, 0.5 * x @ matrix @ x, (first.size - 1) * ORDER, areas[first.size - 1] @ x

    best = minimize_scalar(lambda reached: solved(reached)[1], bounds=(0.0, total), method="bounded", options={"xatol": 1e-4 * total})
    x, value, split, area = solved(float(best.x))
    end = rule()[3]
    before, after = end @ x[split - ORDER : split], end[::-1] @ x[split : split + ORDER]
    held = thick * goal * (before + rho * area)
    return DragFrontier(float(thick * goal**2 * value), float(goal * before), float(goal * after), float(best.x), float(held))


def harvest_frontier(depth, held, forced):
    """Most that pushes against longs can earn in a book that forgets nothing, USD: ``D ln(1 + (held / D)(1 - e^{-forced / D}))``.

    Alone, in such a book, selling and buying back is free: an order of q shares takes the inverse price from u to ``u + q / D`` and back.
    Forced sales between the two multiply u by up to ``e^{forced / D}``, and that is all the gain there is: the best case sells everything
    first, has everybody forced out at once and buys everything back; pushing twice adds nothing. Where the book refills between two pushes the
    second begins afresh and together they may earn more, never more than :func:`harvest_bound`.

    Parameters
    ----------
    depth
        D, USD per unit log return.
    held
        Largest short position the attacker may hold, USD at the price before.
    forced
        Notional that can be liquidated, USD at the price before: what the band lets the mark reach.
    """
    thick, size, sold = _harvest_numbers(depth, held, forced)
    return plain(thick * np.log1p(size / thick * -np.expm1(-sold / thick)))


def harvest_bound(depth, held, forced):
    """Most that any number of pushes against longs can earn in a linear book that refills at any rate, USD: ``held forced / D``.

    Every forced dollar moves the price by ``1 / D`` and at most ``held`` rides on it. For a trader who is never long, ends flat and
    receives no funding; parameters of :func:`harvest_frontier`.

    Let w be the log distance below fair value, m what he is short in shares over ``D / price``, A the cash he has taken over D, and
    ``z = e^w - m``. Take ``J = A - w + (z - 1 if z < 1 else ln z)``: 0 at the start, and at least A when he is flat. His own orders move A
    with w and m with ``e^w``, so they leave J alone. Refill lowers it, by ``e^w - 1`` or ``m / z`` times ``refill w``, signs agreeing. A
    forced sale dw raises it by ``(e^w - 1) dw`` or ``(m / z) dw``, either way at most ``m dw``. Derived for this project.
    """
    thick, size, sold = _harvest_numbers(depth, held, forced)
    return plain(size * sold / thick)


def _harvest_numbers(depth, held, forced):
    return (
        positive("depth", depth, "USD per unit log return"),
        not_negative("held", held, "the largest position in USD"),
        not_negative("forced", forced, "the notional that can be liquidated, USD"),
    )


def farming_hours(refill, kappa, tau, limit=1e4) -> float:
    """Length of closure from which funding can be farmed without limit in a ``"revert"`` book: :func:`drag_frontier` has no least cost there.

    The first length at which the cost of some schedule, target or none, falls to zero: buy slowly, which is cheap in proportion to
    time, and at the end push the price back through the oracle, so that it pays the position as it falls; the reference's return then takes the
    oracle home unpaid. About ``8 / (kappa^2 tau)`` hours well below the critical line. Infinite if beyond ``limit`` hours. No limit of
    capital or counterparty; read it as the edge of the linear model.
    """
    rho = float(positive("refill", refill, "a rate per hour"))
    intensity = float(not_negative("kappa", kappa, "a funding intensity per hour"))
    lag = float(positive("tau", tau, "the oracle's time constant in hours"))
    most = float(positive("limit", limit, "hours to search"))
    low = high = min(lag, most)
    while _softest(rho, intensity, lag, high) > 0:
        if high == most:
            return float("inf")
        low, high = high, min(1.5 * high, most)
    if low == high:
        low = 1e-6 * high
    return float(brentq(lambda total: _softest(rho, intensity, lag, total), low, high, rtol=1e-8))


def everything(edges: np.ndarray, rho: float, kappa: float, tau: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cost of a push free at every node of a ``"revert"`` book, as a matrix; rows that give the oracle and int x at every edge."""
    weights = grid(edges)[1]
    free = np.eye(weights.size)
    oracle, area, ends, areas = respond(free, edges, tau)
    return form(free, oracle, area, weights, rho, kappa, 1.0), ends, areas


def _softest(rho: float, kappa: float, tau: float, hours: float) -> float:
    """Least cost of a push of unit mean square over the closure, per hour and unit depth."""
    edges = graded(0.0, hours, tau)
    scale = 1.0 / np.sqrt(grid(edges)[1])
    return float(eigvalsh(everything(edges, rho, kappa, tau)[0] * scale * scale[:, None], subset_by_index=[0, 0])[0])


def book_numbers(depth, refill, kappa, tau, target) -> tuple[float, ...]:
    return (
        float(positive("depth", depth, "USD per unit log return")),
        float(positive("refill", refill, "a rate per hour; without refill waiting is free of absorption, see drag_cost")),
        float(not_negative("kappa", kappa, "a funding intensity per hour")),
        float(positive("tau", tau, "the oracle's time constant in hours; a frozen oracle cannot be dragged")),
        float(positive("target", target, "a log return")),
    )
