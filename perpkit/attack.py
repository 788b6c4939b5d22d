"""Attack: what it costs to lie to the book, and what the lie may earn.

An attacker has capital and a plan: where he pushes the price, how, for how long, and how he gets out. What he does becomes a schedule of
orders (``orders.py``) that the engine runs like anybody's; here its outcome is taken apart, and an optimiser looks for the best plan. The
closed forms of ``theory.drag`` and ``theory.frontier`` are for a book that nobody else trades in; this is what happens when accounts are
liquidated on the way, marks are banded and funding is clamped.

The books of both are linear and refill at a constant rate, Obizhaeva and Wang's. The attacker sees depth, refill and population, nothing
random happens to him, and nobody answers him: his profit is an upper bound of what the plan earns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import differential_evolution, minimize

from perpkit._checks import not_negative, positive
from perpkit.accounts import Accounts
from perpkit.book import Book
from perpkit.clock import Closure
from perpkit.engine import Run, Shocks, Tables, check, draw, simulate
from perpkit.funding import Funding
from perpkit.kernel import OUTCOMES, TRACE
from perpkit.ledger import EVENT_FIELDS
from perpkit.machine import Machine, replace
from perpkit.mark import OracleMark
from perpkit.oracle import impact_oracle
from perpkit.orders import Orders
from perpkit.value import Value

SHAPES = ("hold", "twap", "burst")
STILL = Value(news_share=1.0, news_hours=(0.0,))
"""A value that moves at once if at all: with a gap of nothing, a weekend without news."""


@dataclass(frozen=True)
class Attack:
    """A plan.

    Parameters
    ----------
    push : log distance from fair value he pushes the price to, negative for down; the book's impact reaches it if nobody else trades.
    hours : for how long he pushes.
    shape : ``"hold"``, a block to the push and then, each minute, what refills; ``"twap"``, equal orders each minute that end at the push;
        ``"burst"``, the block alone, and ``hours`` of waiting.
    start : when he begins, hours since the close.
    pause : hours between the last push and the first close.
    close_hours : for how long he closes, equal parts each minute; infinity never closes: what he holds is worth the value at the end.
    position : USD he holds from before, with the push's sign to profit from it; bought in the open book at its own impact.
    cap : most he ever holds on top, USD; orders beyond it are not sent.

    Raises
    ------
    ValueError
        If a number is out of range or the shape unknown.
    """

    push: float
    hours: float
    shape: str = "hold"
    start: float = 0.0
    pause: float = 0.0
    close_hours: float = math.inf
    position: float = 0.0
    cap: float = math.inf

    def __post_init__(self) -> None:
        if not -1.0 < self.push < 1.0:
            raise ValueError(f"push is a log distance from fair value, between -1 and 1; got {self.push!r}")
        if self.shape not in SHAPES:
            raise ValueError(f"shape is one of {', '.join(map(repr, SHAPES))}; got {self.shape!r}")
        positive("hours", self.hours, "how long the push lasts")
        not_negative("start", self.start, "hours since the close")
        not_negative("pause", self.pause, "hours between push and close")
        if not (self.close_hours > 0.0 and self.cap >= 0.0 and math.isfinite(self.position)):
            raise ValueError(
                f"close_hours is above 0, cap 0 or more, position finite; got {self.close_hours!r}, {self.cap!r} and {self.position!r}"
            )


def push_orders(pushes: Sequence[float], machine: Machine, closure: Closure, start: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Hours and USD of orders, one a closed step from ``start``, that put the price at each of ``pushes`` (log, over fair value) in turn.

    Each order makes up what the last has lost to the refill: ``D (x_k - x_{k-1} e^{-rho dt})``. Permanent impact is left out.
    """
    step = closure.closed_step_s / 3600.0
    path = np.asarray(pushes, dtype=float)
    kept = np.concatenate([[0.0], path[:-1]]) * math.exp(-machine.book.refill_closed * step)
    return start + step * np.arange(1, len(path) + 1), machine.book.depth_closed * (path - kept)


def plan(attack: Attack, machine: Machine, closure: Closure, price: float) -> Orders:
    """The orders of an attack, for a machine's closed book."""
    step = closure.closed_step_s / 3600.0
    count = max(round(attack.hours / step), 1)
    keep = math.exp(-machine.book.refill_closed * step)
    if attack.shape == "hold":
        pushes = np.full(count, attack.push)
    elif attack.shape == "twap":
        pushes = attack.push * np.cumsum(keep ** np.arange(count)) / np.sum(keep ** np.arange(count))
    else:
        pushes = attack.push * keep ** np.arange(count)
    hours, notional = push_orders(pushes, machine, closure, attack.start)
    held = np.clip(np.cumsum(notional), -attack.cap, attack.cap)
    notional = np.diff(held, prepend=0.0)
    closing = ()
    if attack.close_hours < math.inf:
        parts = max(round(attack.close_hours / step), 1)
        closing = hours[-1] + attack.pause + step * np.arange(1, parts + 1)
    entry = price * math.exp(np.sign(attack.position) * (machine.book.half_spread_open + abs(attack.position) / machine.book.depth_open / 2.0))
    sent = notional != 0.0
    return Orders(tuple(hours[sent]), tuple(notional[sent]), tuple(closing), attack.position, entry)


def quiet(machine: Machine) -> Machine:
    """The machine in a weekend in which nothing happens but the attack: no noise."""
    return replace(machine, book=replace(machine.book, noise_closed=0.0, noise_open=0.0))


def unlevered(accounts: Accounts) -> Accounts:
    """The same positions with collateral that nothing exhausts: nobody is ever liquidated."""
    return Accounts(accounts.side, accounts.size, accounts.entry, 100.0 * accounts.size * np.maximum(accounts.entry, accounts.price), accounts.price)


def assess(machine: Machine, accounts: Accounts, closure: Closure, orders: Orders, gap: float = 0.0, rng: int = 1) -> pd.Series:
    """What a schedule earns and from where, in one weekend. USD unless named otherwise.

    Returns
    -------
    pandas.Series
        ``profit`` and its parts: ``pushing`` and ``unwinding`` (what orders that raise or lower his position paid above the final value, with
        a minus), ``funding``, ``position`` (what he held before, at its entry). Of the profit, ``harvest`` would not be there if nobody could
        be liquidated. Then ``capital`` (most he needed to post, :func:`capital_needed`), ``held`` (largest position), ``oracle`` and ``mark``
        (deepest log move in the push's direction while closed), ``liquidated`` and ``shortfall`` of the accounts.
    """
    run = simulate(machine, accounts, closure, gap, rng=rng, orders=orders)
    honest = simulate(machine, unlevered(accounts), closure, gap, rng=rng, orders=orders)
    parts = _parts(run, machine, accounts, orders)
    return pd.Series(parts | {"harvest": parts["profit"] - float(honest.ledger["attacker"])}, name=machine.name)


def _parts(run: Run, machine: Machine, accounts: Accounts, orders: Orders) -> dict[str, float]:
    worth = float(run.path["V"][-1])
    sent = run.events[run.events["kind"] == "order"]
    signed = sent["size"].to_numpy() * np.where(sent["side"] == "long", 1.0, -1.0)
    before = orders.position / accounts.price
    held = np.concatenate([[before], before + np.cumsum(signed)])
    raising = np.abs(held[1:]) > np.abs(held[:-1])
    gains = signed * (worth - sent["price"].to_numpy())
    entry = accounts.price if orders.entry is None else orders.entry
    profit, position = float(run.ledger["attacker"]), before * (worth - entry)
    closed = run.path.sel(time=slice(0.0, run.path.attrs["hours"] + 1e-9))

    def deepest(name: str) -> float:
        return float(max(np.log(closed[name].values / accounts.price), key=abs))

    return {
        "profit": profit,
        "pushing": float(gains[raising].sum()),
        "unwinding": float(gains[~raising].sum()),
        "funding": profit - position - float(gains.sum()),
        "position": position,
        "capital": capital_needed(run, machine),
        "held": float(np.abs(run.path["attacker_size"] * run.path["V"]).max()),
        "oracle": deepest("O"),
        "mark": deepest("M"),
        "liquidated": float(run.outcome["liquidated_closed"] + run.outcome["liquidated_open"]) * accounts.open_interest,
        "shortfall": float(run.outcome["shortfall"]) * accounts.open_interest,
    }


def capital_needed(run: Run, machine: Machine) -> float:
    """Most collateral the trader from outside must have posted to keep initial margin at the mark at every step, USD."""
    size, cash, mark = (run.path[name].values for name in ("attacker_size", "attacker_cash", "M"))
    return float(np.max(np.abs(size) * mark / machine.margin.max_leverage - (cash + size * mark)).clip(0.0))


class Rehearsal:
    """One weekend without noise or news, prepared once and run under schedule after schedule: what an optimiser calls."""

    def __init__(self, machine: Machine, accounts: Accounts, closure: Closure) -> None:
        check(machine, accounts)
        self.machine, self.accounts, self.closure = quiet(machine), accounts, replace(closure, value=STILL)
        self._tables = Tables(self.machine, accounts, self.closure)
        self._shocks = Shocks(*(np.ascontiguousarray(x) for x in draw(1, 0, 1, np.zeros(1), self.closure)))
        self._out = np.zeros((1, len(OUTCOMES)))
        self._trace = np.zeros((self.closure.closed_steps + self.closure.open_steps, len(TRACE)))
        self._none = np.zeros((0, len(TRACE))), np.zeros((0, len(EVENT_FIELDS)))

    def profit(self, orders: Orders) -> float:
        """Profit of the trader from outside, USD."""
        self._run(orders, self._none[0])
        return float(self._out[0, OUTCOMES.index("attacker")]) * self.accounts.open_interest

    def dragged(self, orders: Orders) -> tuple[float, float]:
        """His profit, USD, and the largest log move of the oracle while closed, signed."""
        self._run(orders, self._trace)
        moves = np.log(self._trace[: self.closure.closed_steps, TRACE.index("O")] / self.accounts.price)
        return float(self._out[0, OUTCOMES.index("attacker")]) * self.accounts.open_interest, float(max(moves, key=abs))

    def _run(self, orders: Orders, trace: np.ndarray) -> None:
        self._tables.set_script(orders, (), self.closure, self.accounts.price)
        self._tables.run(self._shocks, self._out, trace, self._none[1])


class Best(NamedTuple):
    """The best plan an optimiser found."""

    attack: Attack
    profit: float
    """USD; 0 if it found nothing better than doing nothing."""
    evaluations: int


def best_attack(
    machine: Machine,
    accounts: Accounts,
    closure: Closure,
    cap: float,
    shape: str = "hold",
    down: bool = True,
    prepared: bool = False,
    rng: int = 1,
    rounds: int = 10,
    crowd: int = 8,
) -> Best:
    """The plan of a shape that earns most, by differential evolution over push, hours, pause, time to close and position from before.

    Parameters
    ----------
    machine, accounts, closure : taken without noise; the value stands still.
    cap : USD he may hold at most, by pushing and from before, each.
    down : whether he pushes down, against longs.
    prepared : whether he may hold a position from before; it is bought in the open book at its own impact.
    rng : seed of the search.
    rounds, crowd : generations, and members for each parameter. A local search (Nelder and Mead) finishes.
    """
    positive("cap", cap, "the most he may hold, USD")
    stage = Rehearsal(machine, accounts, closure)
    sign, half = -1.0 if down else 1.0, closure.hours / 2.0
    ranges = [(1e-3, 0.5), (1 / 60, half), (1e-3, half / 4), (1 / 60, half / 2)]

    def planned(x: np.ndarray) -> Attack:
        push, hours, pause, close_hours = np.exp(x[:4])
        held = sign * cap * float(np.clip(x[4], 0.0, 1.0)) if prepared else 0.0
        return Attack(sign * float(push), float(hours), shape, 0.0, float(pause), float(close_hours), held, cap)

    def lost(x: np.ndarray) -> float:
        return -stage.profit(plan(planned(np.clip(x, low, high)), stage.machine, stage.closure, accounts.price)) / cap

    bounds = [(math.log(a), math.log(b)) for a, b in ranges] + [(-0.25, 1.0)] * prepared
    low, high = np.array(bounds).T
    found = differential_evolution(lost, bounds, maxiter=rounds, popsize=crowd, init="sobol", polish=False, seed=rng)
    finished = minimize(lost, found.x, method="Nelder-Mead", bounds=bounds, options={"maxfev": 150, "xatol": 1e-3, "fatol": 1e-7})
    count = int(found.nfev + finished.nfev)
    if finished.fun >= 0.0:
        return Best(Attack(sign * 1e-3, 1 / 60, shape, cap=0.0), 0.0, count)
    return Best(planned(np.clip(finished.x, low, high)), float(-finished.fun * cap), count)


def within_reach(machine: Machine, accounts: Accounts, down: bool = True) -> float:
    """Notional, USD at the last print, that a mark at the far end of its band would liquidate: everything if no band holds it."""
    sign = 1.0 if down else -1.0
    band, m = machine.band, machine.margin.maintenance
    edge = 0.0 if down else math.inf
    if band.width < math.inf:
        edge = accounts.price * (1.0 - sign * band.width) ** (1 + band.resets)
    called = accounts.bankruptcy / (1.0 - sign * m)
    return float((accounts.size * accounts.price)[(accounts.side == sign) & (sign * (called - edge) > 0.0)].sum())


# Dragging the oracle alone


def linear_machine(depth: float, refill: float, kappa: float, tau: float) -> Machine:
    """A machine under which the closed forms of ``theory.drag`` should hold: no spread, no clamp, no noise, funding linear in the premium."""
    still = {"half_spread_open": 0.0, "half_spread_closed": 0.0, "follow_closed": 0.0, "limit": 50.0}
    return Machine(
        name="linear",
        oracle=impact_oracle(tau, cap=1.0),
        mark=OracleMark(),
        funding=Funding(interest_8h=0.0, clamp_8h=0.0, multiplier=8.0 * kappa, cap_per_hour=1e3),
        impact_notional=1e-9 * depth,
        book=Book(depth_open=math.inf, depth_closed=depth, refill_open=math.inf, refill_closed=refill, **still),
    )


NOBODY = Accounts([1, -1], [1.0, 1.0], [250.0, 250.0], [25_000.0, 25_000.0])
"""A long and a short of one share, whom nothing liquidates: a market for the attacker alone."""


class Drag(NamedTuple):
    """A push played out on the engine until it is over."""

    cost: float
    """USD: what was bought at fair value is worth, less what it cost, with a minus. Unwinding at fair value is free."""
    funding: float
    """USD of it paid in funding."""
    oracle: float
    """Log move of the oracle when the push ends."""
    position: float
    """USD held then, at fair value."""


def drag(machine: Machine, pushes: Sequence[float], closed_step_s: float = 60.0) -> Drag:
    """Put the price at each of ``pushes`` (log) in turn, a closed step each, in a market for the attacker alone.

    The hour in which the push ends is paid to the end: what is owed for a part of it is in the next payment, which counts.
    """
    step = closed_step_s / 3600.0
    hours = math.ceil(len(pushes) * step + 1.0 + step)
    closure = Closure(float(hours), closed_step_s, min(3.0, closed_step_s), 1.0, STILL)
    at, notional = push_orders(pushes, machine, closure)
    run = simulate(machine, NOBODY, closure, 0.0, orders=Orders(tuple(at), tuple(notional)))
    end = len(pushes) + 1  # an order stands behind its step, so the last push holds through the step after it
    size, cash = float(run.path["attacker_size"][end]), float(run.path["attacker_cash"][end])
    sent = run.events[run.events["kind"] == "order"]
    traded = float((np.where(sent["side"] == "long", 1.0, -1.0) * sent["size"] * sent["price"]).sum())
    return Drag(-cash - size * NOBODY.price, -cash - traded, math.log(float(run.path["O"][end]) / NOBODY.price), size * NOBODY.price)


def cheapest_drag(
    machine: Machine,
    target: float,
    hours: float,
    legs: int = 5,
    rng: int = 1,
    rounds: int = 60,
    crowd: int = 8,
) -> tuple[float, np.ndarray]:
    """Least cost (USD) at which differential evolution moves the oracle by ``target`` in a closure of ``hours``, and its parameters.

    Free are the pushes of ``legs`` stages of equal length, their common length, and how long he takes to sell everything after.
    """
    closure = Closure(hours, 60.0, 3.0, 1.0, STILL)
    stage = Rehearsal(machine, NOBODY, closure)
    unit = machine.book.depth_closed * target**2

    def orders(x: np.ndarray) -> Orders:
        count = max(round(math.exp(x[legs]) * 60 / legs), 1)
        at, notional = push_orders(np.repeat(target * x[:legs], count), stage.machine, stage.closure)
        parts = max(round(math.exp(x[legs + 1]) * 60), 1)
        return Orders(tuple(at), tuple(notional), tuple(at[-1] + np.arange(1, parts + 1) / 60))

    def paid(x: np.ndarray) -> float:
        profit, oracle = stage.dragged(orders(x))
        # By the square of the target, as costs go: a push that falls short is scaled up.
        reached = max(oracle / target, 0.05)
        return -profit / unit / reached**2

    most = math.log(hours - 1.0)
    bounds = [(0.0, 4.0)] * legs + [(math.log(0.1), most - math.log(2.0)), (math.log(1 / 60), most - math.log(2.0))]
    found = differential_evolution(paid, bounds, maxiter=rounds, popsize=crowd, init="sobol", polish=False, seed=rng)
    return float(found.fun * unit), found.x
