"""Discovery: how much news the closed price carries, measured on the engine.

Everything here runs machines and reads their paths; no closed form is asked. ``theory.closure``, ``theory.clamped`` and ``theory.reopening``
say what should come out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from perpkit._checks import positive
from perpkit.accounts import Accounts
from perpkit.arbitrage import DISTANCE, quote
from perpkit.book import Book
from perpkit.clock import Closure
from perpkit.engine import CHUNK, Tables, draw, simulate
from perpkit.ensemble import ensemble
from perpkit.estimate import Estimate
from perpkit.funding import Funding
from perpkit.loop import CLOSED
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.oracle import frozen_oracle, impact_oracle
from perpkit.value import Value

READINGS = ("equilibrium", "jump")
_PRICE = 250.0
_BOOK = Book(math.inf, math.inf, half_spread_open=0.0, half_spread_closed=0.0, follow_open=math.inf, follow_closed=math.inf, carry=True)


class Carried(NamedTuple):
    """What became of one piece of news. Both shares leave out what price and funding would be in a weekend without news."""

    opening: float
    """Share of the news in the price at the first update after it."""
    kept: float
    """Share of it that a long who was there before keeps: price gain less funding, over the news."""


class Slope(NamedTuple):
    """Regression of the gap on the perpetual's own move, over independent weekends."""

    slope: float
    se: float
    """Heteroskedasticity-robust standard error of the slope (HC1)."""
    r_squared: float
    n: int


def linear(kappa: float, tau: float = math.inf, **book) -> Machine:
    """The setting of the linear theory: funding of intensity ``kappa`` per hour on the whole premium, no interest, no clamp, no spread, an
    oracle of time constant ``tau`` hours (infinite: frozen), and deep pockets that keep the price where nobody gains by waiting.

    ``book`` replaces fields of that book.
    """
    rule = frozen_oracle() if math.isinf(tau) else impact_oracle(tau, cap=1.0)
    funding = Funding(interest_8h=0.0, clamp_8h=0.0, multiplier=8.0 * kappa, cap_per_hour=1e9)
    return Machine(oracle=rule, funding=funding, book=replace(_BOOK, **book), margin=Margin(1.0, 0.01), impact_notional=1e-3)


def undisturbed(machine: Machine, half_spread: float | None = None, **book) -> Machine:
    """The rules of ``machine`` on a book that no order moves and no noise shakes, with deep pockets; ``half_spread`` (log units) is then all that
    stands between the impact prices and the price. By default that of the machine's closed book and impact order."""
    old = machine.book
    wide = old.half_spread_closed + machine.impact_notional / old.depth_closed if half_spread is None else half_spread
    return replace(machine, book=replace(_BOOK, **({"half_spread_closed": wide} | book)))


def carried(machine: Machine, hours: float, news: float = 1e-4, reading: str = "equilibrium", before: float = 0.0, step_s: float = 60.0) -> Carried:
    """Run one weekend whose only news, log return ``news``, arrives ``before`` hours after the close, and measure what the price carried.

    Parameters
    ----------
    machine : its book decides how informed flow follows; see :func:`linear` and :func:`undisturbed`.
    hours : length of the closure.
    reading : ``"equilibrium"``, the book as it is; ``"jump"``, the price goes to the value at once and stays there, although that is too
        dear for a buyer who pays funding.
    step_s : closed step, seconds.

    Raises
    ------
    ValueError
        If ``reading`` is unknown, ``news`` is 0 or not finite, or a duration does not fit.
    """
    if reading not in READINGS:
        raise ValueError(f"reading is one of {list(READINGS)}; got {reading!r}")
    if news == 0.0 or not math.isfinite(news):
        raise ValueError(f"news is a log return other than 0; got {news!r}")
    positive("hours", hours, "the length of the closure")
    if reading == "jump":
        machine = replace(machine, book=replace(machine.book, carry=False, capacity=math.inf, expects=0.0, follow_closed=math.inf))
    end = min(3.0, step_s) / 60.0
    closure = Closure(hours, closed_step_s=step_s, update_s=min(3.0, step_s), reopen_minutes=end, value=Value(news_share=1.0, news_hours=(before,)))
    path, quiet = (simulate(machine, _pair(), closure, gap=gap).path for gap in (news, 0.0))
    first = round(before * 3600.0 / step_s) + 1  # row 0 is the close itself
    gain, moved, paid = _PRICE * math.expm1(news), path["P"] - quiet["P"], path["funding_paid"] - quiet["funding_paid"]
    return Carried(float(moved[first]) / gain, 1.0 - float(paid[-1]) / gain)


def held(machine: Machine, push: float, hours: float, step_s: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hours, log rise of the mark and log rise of the oracle while the price is held at ``push`` (log return) from the close on.

    The machine's oracle, mark, clamps and band on a book that no order moves, without funding: what each filter lets through of a price that
    stands. Compare ``theory.filters``.
    """
    positive("hours", hours, "for how long the price is held")
    book = replace(_BOOK, carry=False)
    still = replace(machine, book=book, funding=Funding(when_closed=False), impact_notional=1e-3, margin=Margin(1.0, 0.01))
    closure = Closure(hours, closed_step_s=step_s, update_s=step_s, reopen_minutes=step_s / 60.0, value=Value(news_share=1.0, news_hours=(0.0,)))
    path = simulate(still, _pair(), closure, gap=push).path.isel(time=slice(0, closure.closed_steps + 1))
    return path["time"].values, np.log(path["M"].values / _PRICE), np.log(path["O"].values / _PRICE)


def slope(machine: Machine, closure: Closure, gaps: np.ndarray, left: float, rng: int) -> Slope:
    """Regress log gaps on the perpetual's log return from the close to ``left`` hours before the reference returns.

    One weekend of the engine for each gap, on shocks of the seed ``rng``. Between 0 and the length of the closure, ``left`` falls on the end
    of a closed step.

    Raises
    ------
    ValueError
        If there are fewer than three gaps, or ``left`` leaves no step to read.
    """
    moves = np.asarray(gaps, dtype=float)
    if moves.ndim != 1 or len(moves) < 3:
        raise ValueError(f"gaps is a vector of three or more log returns; got shape {moves.shape}")
    row = round((closure.hours - left) * 3600.0 / closure.closed_step_s)
    if not 1 <= row <= closure.closed_steps:
        raise ValueError(f"left is the time to go when the price is read, at least one step after the close and not below 0; got {left!r}")
    pair = _pair()
    read = [float(simulate(machine, pair, closure, gap, rng=rng, weekend=k).path["P"][row]) for k, gap in enumerate(moves)]
    return regression(np.log(np.array(read) / _PRICE), moves)


def profit(machine: Machine, hours: float, n: int, rng: int, sd: float = 0.01) -> Estimate:
    """Mean profit, share of the price, of buying at the close, paying funding and receiving the value, over ``n`` random weekends.

    Half of the variance ``sd**2`` of the log gap is news at the close, which the buyer's price knows; the rest follows through the closure. The
    profit is weighted by that news over ``sd``: a price that is fair on average but not news by news has a mean here.

    Raises
    ------
    ValueError
        If ``n`` is no multiple of the weekends that share a stream of shocks.
    """
    if n < CHUNK or n % CHUNK:
        raise ValueError(f"n is a number of weekends, a multiple of {CHUNK}; got {n!r}")
    closure = Closure(hours, value=Value(news_share=0.5, news_hours=(0.0,), sd=sd))
    gaps = np.random.default_rng(rng).normal(0.0, sd, n)
    pair = _pair()
    received = np.exp(gaps - sd**2 / 4.0)  # so that the value, not its logarithm, is fair after the news
    paid = np.expm1(gaps) - ensemble(machine, pair, closure, gaps, rng=rng)["longs"].values[0]
    known = np.concatenate([draw(rng, c, CHUNK, gaps[c * CHUNK : (c + 1) * CHUNK], closure).news for c in range(n // CHUNK)])
    tables = Tables(machine, pair, closure)
    ahead, due, part = (table[0] for table in tables.expectation)
    steps, row = round(3600.0 / closure.closed_step_s), tables.paces[0, CLOSED]
    price = [quote(1.0, 1.0, math.exp(x), 0.0, steps, due, part, ahead, DISTANCE, tables.rules, row) for x in known]
    gain = (received - np.array(price) - paid) * known / sd
    return Estimate(float(gain.mean()), float(gain.std(ddof=1) / math.sqrt(n)), n, math.nan)


def regression(x: np.ndarray, y: np.ndarray) -> Slope:
    """Ordinary least squares of ``y`` on ``x`` and a constant."""
    n, dx, dy = len(x), x - np.mean(x), y - np.mean(y)
    beta = float(dx @ dy / (dx @ dx))
    rest = dy - beta * dx
    se = math.sqrt(float((dx * rest) @ (dx * rest)) * n / (n - 2)) / float(dx @ dx)
    return Slope(beta, se, 1.0 - float(rest @ rest / (dy @ dy)), n)


def _pair() -> Accounts:
    """A long and a short of one share with so much collateral that nobody is ever called."""
    return Accounts([1, -1], [1.0, 1.0], [_PRICE, _PRICE], [100.0 * _PRICE, 100.0 * _PRICE])
