"""How fast a filtered or clamped mark arrives, and how far a band lets it go."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perpkit.theory._check import checked, count, finite, inside, plain, positive, sign_of
from perpkit.theory.margin import bankruptcy_price, liquidation_price

_ROUNDING = 1e-9  # of one update: a gap of exactly n updates must count as n


def clamp_updates(gap, clamp):
    """Updates a step-clamped mark needs to cover a gap.

    ``gap`` is a **log** return, negative down; ``clamp`` the largest relative move an update (0.005 is 50 bp). An update multiplies the
    mark by at most ``1 + clamp`` or at least ``1 - clamp``, so a fall of the same log size takes fewer updates than a rise. Returns whole
    numbers.
    """
    move = finite("gap", gap, "a log return, negative down")
    step = inside("clamp", clamp, "the largest relative move an update")
    needed = np.where(move < 0, move / np.log1p(-step), move / np.log1p(step))
    return plain(np.ceil(needed - _ROUNDING).clip(0.0).astype(int))


class ClampWalk(NamedTuple):
    """A position liquidated by a mark that walks to a book already there. Updates are counted from 1; 0 means never on this walk."""

    liquidation_price: float
    """USD."""
    bankruptcy_price: float
    """USD."""
    trigger: int
    """Update at which the mark is first at or beyond the liquidation price."""
    bankrupt: int
    """Update at which it is first at or beyond the bankruptcy price."""
    arrival: int
    """Update at which it reaches the target."""
    loss: float
    """USD a share beyond collateral when the whole position is filled at the target; 0 if not triggered or solvent there."""


def clamp_walk(entry, target, leverage, maintenance, clamp, side: str = "long") -> ClampWalk:
    """The reopening of a clamped mark, for one position opened at the mark: when it triggers and what is lost beyond collateral.

    The book stands at ``target`` from the first update, so every fill is there: the clamp moves the trigger, not the loss. One position,
    numbers only; trigger at a mark at or beyond the liquidation price.
    """
    sign = sign_of(side)
    start = float(positive("entry", entry, "the entry price in USD"))
    end = float(positive("target", target, "the price walked to in USD"))
    zero = bankruptcy_price(start, leverage, side)
    call = liquidation_price(start, leverage, maintenance, side)
    if sign * (start - call) <= 0:
        limit = 1.0 / maintenance
        raise ValueError(f"leverage must stay below 1 / maintenance, {limit:g}, or the position is liquidatable at entry; got {leverage!r}")
    reached = lambda price: clamp_updates(np.log(price / start), clamp) if price > 0 and sign * (price - end) >= 0 else 0  # noqa: E731
    trigger = reached(call)
    loss = max(0.0, sign * (zero - end)) if trigger else 0.0
    return ClampWalk(call, zero, trigger, reached(zero), clamp_updates(np.log(end / start), clamp), loss)


class RatchetRange(NamedTuple):
    """Oracle levels that re-anchor a ratchet band, and the furthest the mark can ever get; the unit is the anchor's."""

    up_triggers: tuple[float, ...]
    """Nearest first."""
    down_triggers: tuple[float, ...]
    """Nearest first."""
    ceiling: float
    """Highest mark the band allows."""
    floor: float
    """Lowest mark the band allows."""


def ratchet_range(width, trigger, resets, anchor=100.0) -> RatchetRange:
    """Triggers and outer limits of a band of relative ``width`` about an anchor that moves to its edge ``resets`` times a side.

    The anchor moves when the oracle has covered the share ``trigger`` of the way to the edge; ceiling ``anchor (1 + width)^{resets + 1}``.
    Each side's triggers are for a path that goes straight there. Numbers only. Source: trade.xyz, discovery bounds v2 (2026-03).
    """
    band = float(inside("width", width, "a share of the anchor"))
    share = float(checked("trigger", trigger, lambda x: (x > 0) & (x <= 1), "is the share of the way to the edge, in (0, 1]"))
    times = int(count("resets", resets, "re-anchors a side"))
    centre = float(positive("anchor", anchor, "a price"))

    def side(step: float) -> tuple[tuple[float, ...], float]:
        return tuple(centre * (1 + step) ** k * (1 + step * share) for k in range(times)), centre * (1 + step) ** (times + 1)

    (ups, ceiling), (downs, floor) = side(band), side(-band)
    return RatchetRange(ups, downs, ceiling, floor)


def ema_drag_hours(target, push, tau):
    """Hours for which a price must be held at ``push`` to carry an EMA of time constant ``tau`` hours to ``target``.

    ``-tau ln(1 - target / push)``; both moves from the same start, in the same unit (log or simple) and of the same sign.
    """
    goal = finite("target", target, "the oracle's move")
    held = finite("push", push, "the price's move")
    share = goal / np.where(held == 0, np.nan, held)
    rule = "is the share of the push the oracle is to reach, in (0, 1): hold the price beyond the target"
    checked("target / push", share, lambda x: (x > 0) & (x < 1), rule)
    return plain(-positive("tau", tau, "the EMA's time constant in hours") * np.log1p(-share))


def ema_half_life(tau):
    """Time for an EMA to close half of a step, in the unit of ``tau``: ``tau ln 2``. A median mark outvotes spikes shorter than this."""
    return plain(positive("tau", tau, "the EMA's time constant") * np.log(2.0))


def ema_noise_ratio(step, tau):
    """Variance of an EMA of white noise over that of the noise: ``alpha / (2 - alpha)``, ``alpha = 1 - e^{-step / tau}``; one time unit for
    both."""
    alpha = -np.expm1(-positive("step", step, "the time between samples") / positive("tau", tau, "the EMA's time constant"))
    return plain(alpha / (2.0 - alpha))
