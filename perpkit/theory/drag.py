"""The cheapest way to drag an oracle with a push that varies through time.

A linear book of depth D and refill rho (Obizhaeva and Wang), an EMA oracle of time constant tau, funding kappa. With x the push (log price
over fair value), O the oracle and ``Q = D (x + rho int x)`` the position, an attack costs ``c rho D int x^2 + kappa int Q (x - O)``, plus
what unwinding loses; books and ways to unwind are those of ``manipulation``. The calculus of variations gives ``x''' = lambda^2 x'``
between blocks, with ``lambda^2 = rho (c - kappa tau) / ((c rho + kappa) tau^2)``: exponential ramps below ``kappa tau = c``, arcs of a sine
above. For the ``"revert"`` book (c = 1) the turning point is the critical line of ``closure``, and for the same reason: there a premium
pays, in funding, all it cost.

Where bids stay at fair value the attacker only buys, and the cheapest schedule is a ramp that starts from nothing (from a block, if time is
short) and a rest without a raise (the price held in a ``"relist"`` book, left to decay in a ``"revert"`` book), with no jump where they
join. Where bids follow he may also sell, and the problem is the quadratic form of ``frontier``. Derived for this project; the tests compare
with non-negative least squares over hundreds of free purchases.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import brentq
from scipy.special import exprel

from perpkit.theory._check import positive
from perpkit.theory._panels import ORDER, form, graded, grid, modes, respond, rule
from perpkit.theory.frontier import book_numbers, everything
from perpkit.theory.manipulation import refill_share

_NOTHING = 1e-10  # of the target: a ramp that starts this low starts from nothing


class DragSchedule(NamedTuple):
    """The cheapest push through time and its cost."""

    cost: float
    """USD: trading and funding, less what unwinding gives back."""
    trading: float
    """USD paid above fair value for what was bought (net of what was sold on the way)."""
    funding: float
    """USD of funding paid."""
    returned: float
    """USD above fair value got back by unwinding."""
    position: float
    """USD held when the target is reached."""
    raised: float
    """Hours since the start of the attack at which the push is raised for the last time."""
    hours: np.ndarray
    """Hours since the start of the attack; the target is reached at the last."""
    push: np.ndarray
    """Log price over fair value at ``hours``."""
    oracle: np.ndarray
    """Log oracle over its value at the start, at ``hours``."""


def best_drag(depth, refill, kappa, tau, target, hours, book: str = "relist", unwind: str = "fair") -> DragSchedule:
    """Cheapest schedule that brings the oracle to ``target`` within ``hours``, counted until it gets there.

    With ``unwind="fair"`` he only buys. With ``"split"`` or ``"block"`` he may sell too, and uses all the time there is. Units, books and
    ways to unwind of :func:`hold_cost`; refill above 0; numbers only. Relative error about 1e-8.

    Raises
    ------
    ValueError
        If a number is out of range, a name unknown, or (selling allowed) the closure so long that funding can be farmed without limit.
    """
    met = refill_share(book, unwind)
    thick, rho, intensity, lag, goal = book_numbers(depth, refill, kappa, tau, target)
    total = float(positive("hours", hours, "the time the attacker has, in hours"))
    if unwind != "fair":
        return _two_sided(thick, rho, intensity, lag, goal, total, unwind)
    rules = (rho, intensity, lag, met, book)

    def corner(rest: float) -> float:
        """How far the push of the rest stands above the end of the ramp: a jump down is no purchase, a jump up not the cheapest."""
        ramp = _longest(rest, total - rest, rules)
        return ramp.top - ramp.push[-1]

    low = high = 1e-3 * min(lag, total)
    most = total * (1.0 - 1e-6)
    while corner(high) < 0 and high < most:
        low, high = high, min(2.0 * high, most)
    rest = float(brentq(corner, low, high, xtol=1e-10 * lag)) if corner(high) > 0 > corner(low) else high
    ramp = _longest(rest, total - rest, rules)
    after = np.linspace(0.0, rest, 33)[1:]
    reached = np.array([_rested(ramp.top, ramp.oracle[-1], ramp.area, time, rules)[0] for time in after])
    decays = rho if book == "revert" else 0.0
    held = ramp.top + rho * (ramp.area + (0.0 if decays else ramp.top * rest))
    return DragSchedule(
        cost=thick * goal**2 * (ramp.trading + ramp.funding),
        trading=thick * goal**2 * ramp.trading,
        funding=thick * goal**2 * ramp.funding,
        returned=0.0,
        position=float(thick * goal * held),
        raised=float(ramp.time[-1]),
        hours=np.concatenate([ramp.time, ramp.time[-1] + after]),
        push=goal * np.concatenate([ramp.push, ramp.top * np.exp(-decays * after)]),
        oracle=goal * np.concatenate([ramp.oracle, reached]),
    )


class _Ramp(NamedTuple):
    """A ramp and the push ``top`` of the rest, for a target of 1 in a book of depth 1; ``area`` is int x over the ramp."""

    time: np.ndarray
    push: np.ndarray
    oracle: np.ndarray
    area: float
    top: float
    trading: float
    funding: float


def _longest(rest: float, most: float, rules) -> _Ramp:
    """The ramp before a rest of given length: as long as it can be without starting below nothing."""

    def start(length: float) -> float:
        ramp = _ramp(length, rest, rules)
        return -1.0 if ramp is None else ramp.push[0] + _NOTHING

    low, high = 0.0, min(1e-3 * rules[2], most)
    while start(high) > 0:
        if high == most:
            return _ramp(most, rest, rules)
        low, high = high, min(2.0 * high, most)
    # No ramp at all when even the shortest would start with a sale.
    return _ramp(float(brentq(start, low, high, xtol=1e-10 * rules[2])) if low > 0 else high, rest, rules)


def _ramp(length: float, rest: float, rules) -> _Ramp | None:
    """Best ramp of given length, in its three modes, and the free push of the rest; None where the form has no minimum."""
    rho, kappa, tau, met, book = rules
    edges = graded(0.0, length, tau)
    time, weights = grid(edges)
    time = np.concatenate([[0.0], time, [length]])
    shapes = modes(time, length, rho * (met - kappa * tau) / ((met * rho + kappa) * tau**2))
    x = shapes[1:-1]
    oracle, area, ends, areas = respond(x, edges, tau)
    top, before, bought = np.eye(4)[3], np.append(ends[-1], 0.0), np.append(areas[-1], 0.0)
    reached, paid = _rested(top, before, bought, rest, rules)
    matrix = (1.0 + 2.0 * met * rho * rest * (book == "relist")) * np.outer(top, top) + paid + paid.T
    matrix[:3, :3] += form(x, oracle, area, weights, rho, kappa, met)
    try:
        y = cho_solve(cho_factor(matrix), reached)
    except LinAlgError:
        return None
    y /= reached @ y
    ramp = y[:3]
    funding = float(kappa * np.sum(weights * ((x + rho * area) @ ramp) * ((x - oracle) @ ramp)) + y @ paid @ y)
    trading = float(0.5 * y @ matrix @ y) - funding
    return _Ramp(time, shapes @ ramp, np.concatenate([[0.0], oracle @ ramp, [before @ y]]), float(bought @ y), float(y[3]), trading, funding)


def _rested(top, oracle, area, rest: float, rules):
    """Oracle at the end of a rest at ``top``, and the funding charged in it, kappa tau int Q dO. Numbers, or rows of a linear map."""
    rho, kappa, tau, _, book = rules
    fade = np.exp(-rest / tau)
    if book == "revert":
        # Nothing is bought, the price decays at rho, and the position stands still.
        reached = rest / tau * np.exp(-rest * min(rho, 1.0 / tau)) * exprel(-rest * abs(1.0 / tau - rho)) * top + fade * oracle
        return reached, kappa * tau * np.outer(top + rho * area, reached - oracle)
    position = (top + rho * area) * (1.0 - fade) + rho * top * (tau - (rest + tau) * fade)
    return top * (1.0 - fade) + fade * oracle, kappa * tau * np.outer(position, top - oracle)


def _two_sided(depth, rho, kappa, tau, target, hours, unwind) -> DragSchedule:
    """Cheapest schedule up to the target where bids follow."""
    edges = graded(0.0, hours, tau)
    matrix, ends, areas = everything(edges, rho, kappa, tau)
    last = np.zeros(matrix.shape[0])
    last[-ORDER:] = rule()[3]
    if unwind == "block":
        matrix = matrix + rho**2 * np.outer(areas[-1], areas[-1])
    try:
        x = cho_solve(cho_factor(matrix), ends[-1])
    except LinAlgError:
        raise ValueError(f"hours at kappa tau {kappa * tau:g} let funding be farmed without limit: no schedule is cheapest; got {hours!r}") from None
    x /= ends[-1] @ x
    time, weights = grid(edges)
    final, rest = float(last @ x), rho * float(areas[-1] @ x)
    trading = 0.5 * final**2 + rho * float(np.sum(weights * x**2))
    returned = 0.5 * (final**2 - (rest**2 if unwind == "block" else 0.0))
    cost = 0.5 * float(x @ matrix @ x)
    scale = depth * target**2
    return DragSchedule(
        cost=scale * cost,
        trading=scale * trading,
        funding=scale * (cost - trading + returned),
        returned=scale * returned,
        position=depth * target * (final + rest),
        raised=hours,
        hours=np.concatenate([[0.0], time, [hours]]),
        push=target * np.concatenate([[rule()[3][::-1] @ x[:ORDER]], x, [final]]),
        oracle=target * np.concatenate([[0.0], respond(x[:, None], edges, tau)[0][:, 0], [1.0]]),
    )
