"""What the weekend's price says about the reopening: the regression of the gap on the perpetual's own move.

y is the log return of the reference from its last print to its next, x the perpetual's return from that print to a moment with ``left``
hours to go. In the frictionless limit of ``closure`` the price holds the share ``C = R(left + age) / R(age)`` of news of that age, so x
understates y and the slope of y on x is above 1: exactly ``1/R`` for news seen the moment it arrives. Flow limited by inventory carries only
``share`` of what R allows and adds noise of its own, and pulls the slope below 1. The same regression on pre-opening prices:
Biais, Hillion and Spatt 1999 (doi:10.1086/250095). Derived for this project.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perpkit.theory._check import checked, memory, not_negative, positive
from perpkit.theory.closure import carried_share

NEWS = ("start", "steady")
_NODES = 64


class ReopeningRegression(NamedTuple):
    """The population regression of the gap on the weekend move."""

    slope: float
    """Gap expected per unit of weekend move; above 1 the weekend understates, below 1 it overshoots."""
    r_squared: float
    """Share of the gap's variance explained."""
    spread: float
    """Standard deviation of the weekend move, in standard deviations of the gap."""
    fade: float
    """Mean gain of a unit short of every weekend move, closed at the reopening, in standard deviations of the gap, for Gaussian
    moves: ``(1 - slope) spread sqrt(2 / pi)``."""


def reopening_regression(kappa, tau, hours, left=None, news: str = "start", share=1.0, noise=0.0) -> ReopeningRegression:
    """Slope and fit of the gap on the perpetual's move, with flow that is deep (``share`` 1, ``noise`` 0) or limited by inventory.

    ``x = share int C dv + e``: with ``c1 = int C``, ``c2 = int C^2`` over the news so far, its whole variance being 1,
    ``slope = share c1 / (share^2 c2 + noise)`` and ``r_squared = share^2 c1^2 / (share^2 c2 + noise)``. Numbers only.

    Parameters
    ----------
    kappa, tau, hours
        As in :func:`pass_through`: per hour, hours, length of the closure in hours.
    left
        Hours to go when the weekend move is read, up to ``hours``. Default: all of them for ``"start"`` (the slope is then 1/R), none for
        ``"steady"`` (the last price before the reference returns).
    news
        ``"start"``: all of it as the reference closes. ``"steady"``: evenly through the closure, Gaussian or not.
    share
        phi, the part of the frictionless move that flow carries; 0 or more.
    noise
        Variance of the flow's own noise over the variance of the gap.

    Raises
    ------
    ValueError
        If a number is out of range, ``news`` unknown, or the move has no variance (no news yet and no noise, or nothing carried).
    """
    total = float(positive("hours", hours, "the length of the closure in hours"))
    intensity = float(not_negative("kappa", kappa, "a funding intensity per hour"))
    lag = float(memory("tau", tau))
    if news not in NEWS:
        raise ValueError(f"news is one of {list(NEWS)}; got {news!r}")
    remaining = float(not_negative("left", total * (news == "start") if left is None else left, "hours to go when the move is read"))
    checked("left", remaining, lambda x: x <= total, f"must not exceed the closure of {total:g} hours")
    carried = float(not_negative("share", share, "the part of the frictionless move that flow carries"))
    extra = float(not_negative("noise", noise, "the variance of flow over that of the gap"))
    if news == "start":
        first = carried_share(intensity, lag, total, total - remaining)
        second = first**2
    else:
        # Panels that halve towards the read: there C changes fastest, over the oracle's memory.
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        edges = (total - remaining) * np.concatenate([[0.0], 0.5 ** np.arange(24.0, -1.0, -1.0)])
        width = np.diff(edges)[:, None] / 2.0
        age = (edges[:-1, None] + width * (1.0 + nodes)).ravel()
        weight = (width * weights).ravel() / total
        c = np.asarray(carried_share(intensity, lag, remaining + age, age))
        first, second = float(weight @ c), float(weight @ c**2)
    variance = carried**2 * second + extra
    if variance == 0:
        raise ValueError("the weekend move has no variance: give a share above 0, read it after some news (left below hours), or add noise")
    slope = carried * first / variance
    spread = float(np.sqrt(variance))
    return ReopeningRegression(slope, carried * first * slope, spread, (1.0 - slope) * spread * float(np.sqrt(2.0 / np.pi)))


class FlowReading(NamedTuple):
    """What a measured regression says of the flow behind it, if the model holds."""

    carried: float
    """Share of the gap in the price, phi times R."""
    noise: float
    """Variance of the flow's noise over that of the gap."""


def read_regression(slope, r_squared) -> FlowReading:
    """Flow behind a measured slope and fit, for news known when the move is read: ``carried = r2 / slope``, ``noise = carried^2 (1 - r2) / r2``.

    Inverts :func:`reopening_regression` with ``news="start"``. Carried share and R cannot be told apart by one regression. News after the
    read lowers the fit alone and is taken here for less carried and more noise.

    Raises
    ------
    ValueError
        If the slope is not positive or the fit not in (0, 1].
    """
    gain = float(positive("slope", slope, "the slope of gap on weekend move"))
    fit = float(checked("r_squared", r_squared, lambda x: (x > 0) & (x <= 1), "is the share of variance explained, in (0, 1]"))
    carried = fit / gain
    return FlowReading(carried, carried**2 * (1.0 - fit) / fit)
