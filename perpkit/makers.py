"""Makers: the closed book of dealers who cannot hedge until the reference prints.

While the stock trades, a maker lays off what he took within minutes. While it is closed he holds it until the reopening, over a gap. The
same makers, with the aversion their open book reveals, then show less depth, a wider spread and a slower refill, and all three change with
the hours that are left (``theory.makers`` has the quotes). How much less is not in any theory: makers net flow against flow and hedge in
what does trade, and nobody publishes what is left. So :func:`calibrated` takes the published *volume* of a weekend and asks which share of
the gap's variance would give that depth; its range, :data:`WEEKEND_SHARE`, is the result, not a middle of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from perpkit import base
from perpkit._checks import not_negative, positive, share, typed
from perpkit.liquidity import Liquidity, clock_hours
from perpkit.theory.makers import Maker, MakerQuotes, depth_cap, gap_variance, maker_quotes

WEEKEND_SHARE = (0.06, 0.18)
"""Weekend volume over weekday volume, hour by hour, on Hyperliquid's stock perps (github.com/grondgrondgrond/equity-perp, 2026-07): depth is
assumed to fall with it."""
HEDGE_MINUTES = 5.0
"""Minutes until an open market's maker has hedged: assumed. Only its ratio to the gap's variance matters, and that is calibrated."""
LEAST_HOURS = 0.25
"""Hours to the reopening below which a profile is flat: the risk of the first print does not fade with the last minutes."""


@dataclass(frozen=True)
class Makers:
    """The makers of one market: what they show open, and the risk they are left with when it is closed.

    Parameters
    ----------
    depth, half_spread, refill : the open book (USD per log unit, log units, per hour), which reveals aversion, the flow's sensitivity to
        price, and the flow.
    hedge_minutes : minutes to a hedge while open.
    vol : volatility of the log value per square root of an hour while open.
    gap_sd : standard deviation of the log gap over the closure.
    residual : share of the gap's variance that is neither netted nor hedged in something else, 0 to 1.
    revealed : share of the gap's variance that becomes known evenly over the closure, the rest only with the print, 0 to 1.
    present : makers present while closed over makers present while open, above 0 (Grossman and Miller's head count).
    flow : closed over open flow at fair value, 0 or more.
    clip : USD of one trade.
    law : ``"normal"``, or ``"laplace"`` for CARA makers who price the gap's tail: the same depth for small orders, and a cap.

    Raises
    ------
    ValueError
        If a number is out of range, the law is unknown, or no flow is so sensitive that one clip earns the open half spread.
    """

    depth: float = base.DEPTH_OPEN
    half_spread: float = base.HALF_SPREAD_OPEN
    refill: float = math.log(2.0) / base.REFILL_HALF_LIFE[0]
    hedge_minutes: float = HEDGE_MINUTES
    vol: float = 0.55 / math.sqrt(252 * base.TRADING_DAY)
    gap_sd: float = 0.0244
    residual: float = 0.25
    revealed: float = 0.5
    present: float = 1.0
    flow: float = 0.12
    clip: float = base.IMPACT_NOTIONAL
    law: str = "normal"

    def __post_init__(self) -> None:
        typed(self)
        for name, what in (
            ("depth", "USD per unit log return"), ("half_spread", "a log distance"), ("hedge_minutes", "minutes to a hedge"),
            ("vol", "a volatility per square root of an hour"), ("gap_sd", "the standard deviation of the log gap"),
            ("present", "a head count over that of the open market"), ("clip", "USD of one trade"),
        ):  # fmt: skip
            positive(name, getattr(self, name), what)
        for name in ("refill", "flow"):
            not_negative(name, getattr(self, name), "a rate per hour" if name == "refill" else "a share of the open flow")
        share("residual", self.residual, "the share of the gap's variance nobody hedges")
        share("revealed", self.revealed, "the share of the gap's variance known before the print")
        if self.law not in ("normal", "laplace"):
            raise ValueError(f"law is 'normal' or 'laplace'; got {self.law!r}")
        if 0.5 * self.clip / self.depth >= self.half_spread:
            cost = 0.5 * self.clip / self.depth
            raise ValueError(f"half_spread must exceed what holding one clip costs, {cost:.3g}; got {self.half_spread!r}: give a smaller clip")

    @property
    def open_variance(self) -> float:
        """Variance of the log value until a hedge while open."""
        return self.vol**2 * self.hedge_minutes / 60.0

    @property
    def aversion(self) -> float:
        """gamma of all makers together, per USD: the open depth is ``1 / (gamma open_variance)``."""
        return 1.0 / (self.depth * self.open_variance)

    @cached_property
    def maker(self) -> Maker:
        """The open makers as one: sensitivity and flow are those that give the open half spread and refill."""
        gamma = self.aversion

        def excess(log: float) -> float:
            return float(maker_quotes(Maker(gamma, self.clip, math.exp(log)), self.open_variance).half_spread) / self.half_spread - 1.0

        kappa = math.exp(brentq(excess, -10.0, 40.0, xtol=1e-12))
        return Maker(gamma, self.clip, kappa, self.refill * self.depth / (2.0 * kappa * math.exp(-kappa * self.half_spread)))

    def quotes(self, hours_left, hours: float) -> MakerQuotes:
        """What they show ``hours_left`` hours before the end of a closure of ``hours``: half spread, depth, refill, and the most that any
        price buys from them (USD; infinite but for a Laplace gap). Arrays of the shape of ``hours_left``."""
        closed = _closed(self.maker, self.present, self.flow)
        # The day's own noise stays with whoever cannot hedge for the minutes it takes once the print is back.
        gap = gap_variance(hours_left, hours, self.gap_sd, self.revealed, self.residual)
        return maker_quotes(closed, self.open_variance, gap, self.law)

    def liquidity(self, hours: float) -> Liquidity:
        """The closed book over a closure of ``hours``, one row in the middle of each clock hour, for ``Book(closed=...)``."""
        left = np.maximum(np.sort(clock_hours(hours)), min(LEAST_HOURS, hours))
        left = np.unique(left)
        shown = self.quotes(left, hours)
        return Liquidity(tuple(left), tuple(shown.depth), tuple(shown.half_spread), tuple(shown.refill))

    def depth_ratio(self, hours: float) -> float:
        """Mean depth over a closure of ``hours``, over the open depth."""
        return float(np.mean(self.quotes(clock_hours(hours), hours).depth)) / self.depth

    def cap(self, hours_left, hours: float):
        """USD beyond which CARA makers who expect a Laplace gap of the same variance take nothing at any price."""
        gap = gap_variance(hours_left, hours, self.gap_sd, self.revealed, self.residual)
        return depth_cap(self.aversion, gap, self.present)


def _closed(maker: Maker, present: float, flow: float) -> Maker:
    """``maker`` with ``present`` times as many heads and ``flow`` times the flow: fewer heads make a clip dearer for each."""
    return replace(maker, makers=maker.makers * present, flow=maker.flow * flow)


def calibrated(depth_ratio: float, makers: Makers | None = None, hours: float = base.CLOSED_HOURS) -> Makers:
    """Makers whose mean depth over a closure of ``hours`` is ``depth_ratio`` of their open depth, and whose flow fell as much.

    The residual share of the gap's variance is solved for. Where even an unhedged gap leaves them too deep, the head count falls instead.

    Raises
    ------
    ValueError
        If ``depth_ratio`` is not in (0, 1), or even a gap that is fully hedged would leave less depth than asked.
    """
    given = makers or Makers()
    if not 0.0 < depth_ratio < 1.0:
        raise ValueError(f"depth_ratio is the closed depth over the open one, in (0, 1); got {depth_ratio!r}")
    given = replace(given, flow=depth_ratio)
    if replace(given, residual=0.0).depth_ratio(hours) < depth_ratio:
        raise ValueError(f"{given.present!r} of the makers give less than {depth_ratio!r} of the depth with nothing to fear; raise present")
    bare = replace(given, residual=1.0).depth_ratio(hours)
    if bare > depth_ratio:
        return replace(given, residual=1.0, present=given.present * depth_ratio / bare)
    return replace(given, residual=brentq(lambda r: replace(given, residual=r).depth_ratio(hours) - depth_ratio, 0.0, 1.0, xtol=1e-12))


def weekend_band(makers: Makers | None = None, hours: float = base.CLOSED_HOURS) -> dict[str, Makers]:
    """Both ends of what is published about a weekend's book, ``"thin"`` and ``"deep"`` (:data:`WEEKEND_SHARE`). There is no best guess."""
    return {name: calibrated(ratio, makers, hours) for name, ratio in zip(("thin", "deep"), WEEKEND_SHARE)}
