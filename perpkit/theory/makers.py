"""What market makers quote when they cannot hedge: spread, depth and refill from the risk they are left with.

A maker with constant absolute risk aversion gamma (per USD) holds q USD of notional until the next hedge, over which the log price moves by
a Normal part of variance v and, if the reference is closed, a gap. A Normal gap of variance g joins v and nothing else changes: that is the
exact mean-variance maker, with value ``-gamma (v + g) q^2 / 2``. A Laplace gap of scale b has ``E e^{-gamma q G} = 1 / (1 - gamma^2 q^2
b^2)``, so the value is ``-gamma v q^2 / 2 + ln(1 - gamma^2 q^2 b^2) / gamma`` and no price buys more than ``1 / (gamma b)``. A Student-t gap
makes every position worth minus infinity: use mean-variance for it.

These are bands and not forecasts: aversion, head count and what a proxy hedges are not observed. Sources: Avellaneda and Stoikov 2008
(doi:10.1080/14697680701381228) for the quotes, Grossman and Miller 1988 (doi:10.1111/j.1540-6261.1988.tb04594.x) for the head count; the
gap terms are derived for this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from perpkit.theory._check import checked, finite, not_negative, plain, positive

GAP_LAWS = ("normal", "laplace")


@dataclass(frozen=True)
class Maker:
    """One of a number of equal makers, and the flow that meets them.

    Attributes
    ----------
    aversion
        gamma per USD; see :func:`maker_aversion`.
    clip
        z, USD of one trade.
    sensitivity
        kappa: a quote at the log distance d from fair value is met at ``e^{-kappa d}`` of the flow.
    flow
        USD an hour and side that would trade at fair value, all makers together.
    makers
        How many share what comes.
    """

    aversion: float
    clip: float
    sensitivity: float
    flow: float = 0.0
    makers: float = 1.0

    def __post_init__(self) -> None:
        positive("aversion", self.aversion, "a risk aversion per USD")
        positive("clip", self.clip, "USD of one trade")
        positive("sensitivity", self.sensitivity, "a rate per unit of log distance")
        not_negative("flow", self.flow, "USD an hour and side")
        positive("makers", self.makers, "a head count")


class MakerQuotes(NamedTuple):
    """What the makers show from a flat book; numbers or arrays."""

    half_spread: np.ndarray
    """Log distance from fair value to the bid or ask for one clip."""
    depth: np.ndarray
    """USD per unit log return, all makers, for small orders."""
    refill: np.ndarray
    """Rate per hour at which flow takes an inventory, and its push of the price, back."""
    cap: np.ndarray
    """USD that all makers together would take at any price."""


def maker_aversion(capital, relative=1.0):
    """gamma per USD of a maker with ``capital`` USD at risk and a relative risk aversion of ``relative``: their ratio."""
    return plain(positive("relative", relative, "a relative risk aversion") / positive("capital", capital, "USD at risk"))


def gap_variance(hours, closure, sd, revealed=1.0, residual=1.0):
    """Variance of the gap still ahead ``hours`` before the reference returns: ``residual sd^2 [(1 - c) + c hours / closure]``.

    The share c (``revealed``) of the gap's variance becomes known evenly over the closure, the rest only with the first print;
    ``residual`` is the share that no proxy hedges, one less its R squared. Zero at 0 hours: the reference is back.
    """
    left, whole = not_negative("hours", hours, "hours until the reference returns"), positive("closure", closure, "hours of the closure")
    checked("hours / closure", left / whole, lambda x: x <= 1.0, "is the share of the closure ahead, at most 1")
    known = checked("revealed", revealed, lambda x: (x >= 0) & (x <= 1), "is the share of the variance known by and by, in [0, 1]")
    bare = checked("residual", residual, lambda x: (x >= 0) & (x <= 1), "is the share of the variance no proxy hedges, in [0, 1]")
    spread = not_negative("sd", sd, "the standard deviation of the gap, a log return")
    return plain(np.where(left > 0, bare * spread**2 * (1.0 - known + known * left / whole), 0.0))


def certainty_equivalent(position, aversion, variance, gap=0.0, law: str = "normal"):
    """What holding ``position`` USD until the next hedge is worth to a maker, USD, never above 0; minus infinity beyond the cap of a Laplace
    gap.

    ``variance`` of the Normal part and ``gap`` of the gap, in squared log returns.
    """
    held = finite("position", position, "USD")
    gamma, quiet, loud = _risk(aversion, variance, gap, law)
    if law == "normal":
        return plain(-0.5 * gamma * (quiet + loud) * held**2)
    reach = 0.5 * loud * (gamma * held) ** 2  # (gamma q b)^2, a Laplace law of variance 2 b^2
    with np.errstate(divide="ignore"):
        return plain(-0.5 * gamma * quiet * held**2 + np.log1p(-np.minimum(reach, 1.0)) / gamma)


def concession(position, aversion, variance, gap=0.0, law: str = "normal"):
    """Log distance from fair value at which one maker stops, having taken ``position`` USD: the slope of the certainty equivalent.

    ``gamma v q + 2 gamma b^2 q / (1 - (gamma q b)^2)`` for a Laplace gap, ``gamma (v + g) q`` for a Normal one; infinite from the cap on.
    """
    held = finite("position", position, "USD")
    gamma, quiet, loud = _risk(aversion, variance, gap, law)
    if law == "normal":
        return plain(gamma * (quiet + loud) * held)
    room = 1.0 - 0.5 * loud * (gamma * held) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        dear = np.where(room > 0, gamma * loud * held / room, np.copysign(np.inf, held))
    return plain(gamma * quiet * held + np.where(loud > 0, dear, 0.0))


def offered_size(push, aversion, variance, gap=0.0, law: str = "normal", makers=1.0):
    """USD the makers take by the time the price has moved by the log distance ``push`` (0 or more): :func:`concession` turned round.

    ``makers push / (gamma (v + g))`` for a Normal gap. Divide by ``push`` for the depth an order of that size meets.
    """
    moved, heads = not_negative("push", push, "a log distance"), positive("makers", makers, "a head count")
    gamma, quiet, loud = _risk(aversion, variance, gap, law)
    if np.any(quiet + loud == 0):
        raise ValueError("variance and gap are both 0 somewhere: a maker without risk takes any size at fair value; give either a value above 0")
    simple = moved / (gamma * (quiet + loud))
    if law == "normal":
        return plain(heads * simple)
    with np.errstate(divide="ignore"):
        high = np.minimum(simple, np.where(loud > 0, np.sqrt(2.0 / np.where(loud > 0, loud, 1.0)) / gamma, np.inf))
    low = np.zeros(high.shape)
    for _ in range(80):  # the concession rises with the position and is never below its Normal form, so the root lies in [0, high]
        middle = 0.5 * (low + high)
        over = np.asarray(concession(middle, gamma, quiet, loud, law)) > moved
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return plain(heads * 0.5 * (low + high))


def depth_cap(aversion, gap, makers=1.0):
    """USD beyond which no price buys more from CARA makers who face a Laplace gap of variance ``gap``: ``makers / (gamma b)``, ``b = sqrt(gap
    / 2)``; infinite without a gap."""
    gamma, loud = positive("aversion", aversion, "a risk aversion per USD"), not_negative("gap", gap, "a variance")
    with np.errstate(divide="ignore"):
        return plain(positive("makers", makers, "a head count") * np.sqrt(2.0) / (gamma * np.sqrt(loud)))


def reservation_shift(position, maker: Maker, variance, gap=0.0):
    """Log distance from fair value to the middle of the quotes of a maker who holds ``position`` USD, Normal gap: ``-gamma q (v + g)``."""
    gamma, quiet, loud = _risk(maker.aversion, variance, gap, "normal")
    return plain(-gamma * finite("position", position, "USD") * (quiet + loud))


def maker_quotes(maker: Maker, variance, gap=0.0, law: str = "normal") -> MakerQuotes:
    """Spread, depth, refill and cap from the variance until the next hedge.

    Half spread: each quote maximises the utility of its own next trade, ``e^{-kappa d} (1 - e^{-gamma z (d - c)})``, c being what one clip
    costs to hold per unit; the best d is ``c + ln(1 + gamma z / kappa) / (gamma z)``, which for a Normal gap is Avellaneda and Stoikov's ``gamma z
    (v + g) / 2 + ln(1 + gamma z / kappa) / (gamma z)``. Depth: ``makers / (gamma (v + g))``. Refill: an inventory q moves the
    quotes by q / D, so flow comes back at ``2 kappa F / D``, F the flow at the quotes: **depth times refill is the flow that a unit of
    discount attracts, whatever the makers' risk**.

    Parameters
    ----------
    variance, gap
        Squared log returns until the next hedge: of the Normal part, and of the gap.
    law
        ``"normal"`` or ``"laplace"``, the law of the gap.
    """
    gamma, quiet, loud = _risk(maker.aversion, variance, gap, law)
    clip, kappa = maker.clip, maker.sensitivity
    holding = -np.asarray(certainty_equivalent(clip, gamma, quiet, loud, law)) / clip
    half = holding + np.log1p(gamma * clip / kappa) / (gamma * clip)
    with np.errstate(divide="ignore"):
        depth = maker.makers / (gamma * (quiet + loud))
    refill = 2.0 * kappa * maker.flow * np.exp(-kappa * half) / depth
    cap = np.broadcast_to(depth_cap(gamma, loud, maker.makers) if law == "laplace" else np.inf, np.shape(depth))
    return MakerQuotes(plain(half), plain(depth), plain(refill), plain(cap))


def headcount_depth(makers, aversion, variance, seller_keeps: bool = True):
    """Depth (USD per unit log return) offered by ``makers`` equal makers: ``(M + 1) / (gamma variance)``, the seller himself keeping one
    share of what he sells; a liquidated seller keeps none, and the 1 goes. Source: Grossman and Miller 1988."""
    heads = not_negative("makers", makers, "a head count") + (1.0 if seller_keeps else 0.0)
    return plain(heads / (positive("aversion", aversion, "a risk aversion per USD") * positive("variance", variance, "a squared log return")))


def free_entry(aversion, variance, order, cost):
    """Makers present when each pays ``cost`` USD a closure to be there: ``M + 1 = order sqrt(gamma variance / (2 cost))``.

    Of an order Q each takes Q / (M + 1) and gains ``gamma variance (Q / (M + 1))^2 / 2``; ``order`` is the root mean square of Q, USD. Then
    depth is ``order / sqrt(2 cost gamma variance)``: it falls with the *root* of variance, because risk pays those who stay. Small costs (``gamma
    cost`` well below 1); never below 0. Source: Grossman and Miller 1988.
    """
    gamma, risk = positive("aversion", aversion, "a risk aversion per USD"), positive("variance", variance, "a squared log return")
    size = positive("order", order, "USD, root mean square")
    return plain(np.maximum(size * np.sqrt(0.5 * gamma * risk / positive("cost", cost, "USD a closure")) - 1.0, 0.0))


def _risk(gamma, variance, gap, law: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if law not in GAP_LAWS:
        raise ValueError(f"law of the gap is one of {GAP_LAWS} (a Student-t gap has no finite certainty equivalent); got {law!r}")
    checked_gamma = positive("aversion", gamma, "a risk aversion per USD")
    return checked_gamma, not_negative("variance", variance, "a squared log return"), not_negative("gap", gap, "the variance of the gap")
