"""Attack: what it costs to lie to the book, and what the lie may earn.

An attacker has capital and a plan: where he pushes the price, how, for how long, and how he gets out. What he does becomes a schedule of
orders (``orders.py``) that the engine runs like anybody's; here its outcome is taken apart, and an optimiser looks for the best plan. The
closed forms of ``theory.drag`` and ``theory.frontier`` are for a book that nobody else trades in; this is what happens when accounts are
liquidated on the way, marks are banded and funding is clamped.

The books of both are linear and refill at a constant rate, Obizhaeva and Wang's. The attacker sees depth, refill and population, nothing
random happens to him, and nobody answers him: his profit is an upper bound of what the plan earns.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import differential_evolution, minimize

from perpkit._checks import not_negative, positive, typed
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.engine import Run, Shocks, Tables, check, draw, simulate
from perpkit.kernel import OUTCOMES, TRACE
from perpkit.ledger import EVENT_FIELDS
from perpkit.machine import Machine, replace
from perpkit.orders import Orders
from perpkit.theory import harvest_bound
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
        typed(self)
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
        check(machine, accounts, closure)
        self.machine, self.accounts, self.closure = quiet(machine), accounts, replace(closure, value=STILL)
        self._tables = Tables(self.machine, accounts, self.closure)
        drawn = draw(1, 0, 1, np.zeros(1), self.closure)._replace(proxy=np.zeros((1, self.closure.closed_steps)))
        self._shocks = Shocks(*(np.ascontiguousarray(x) for x in drawn))
        self._out = np.zeros((1, len(OUTCOMES)))
        self._trace = np.zeros((self.closure.closed_steps + self.closure.open_steps, len(TRACE)))
        self._none = np.zeros((0, len(TRACE))), np.zeros((0, len(EVENT_FIELDS)))

    def profit(self, orders: Orders) -> float:
        """Profit of the trader from outside, USD."""
        self._run(orders, self._none[0])
        return float(self._out[0, OUTCOMES.index("attacker")]) * self.accounts.open_interest

    def played(self, orders: Orders) -> tuple[float, dict[str, np.ndarray]]:
        """His profit, USD, and the path of the closure by the names of ``kernel.TRACE``, a view that the next run overwrites."""
        self._run(orders, self._trace)
        closed = self._trace[: self.closure.closed_steps]
        profit = float(self._out[0, OUTCOMES.index("attacker")]) * self.accounts.open_interest
        return profit, {name: closed[:, j] for j, name in enumerate(TRACE)}

    def _run(self, orders: Orders, trace: np.ndarray) -> None:
        self._tables.set_script(orders, (), self.closure, self.accounts.price)
        self._tables.run(self._shocks, self._out, trace, self._none[1])


class Best(NamedTuple):
    """The best plan an optimiser found."""

    attack: Attack
    profit: float
    """USD; 0 if it found nothing better than doing nothing."""


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
    guess: Attack | None = None,
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
    guess : a plan to begin with, from a similar case.
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
    start = None
    if guess is not None:
        timing = (abs(guess.push), guess.hours, max(guess.pause, 1e-3), min(guess.close_hours, half))
        start = np.clip([*np.log(timing), *[abs(guess.position) / cap] * prepared], low, high)
    found = differential_evolution(lost, bounds, maxiter=rounds, popsize=crowd, init="sobol", polish=False, seed=rng, x0=start)
    finished = minimize(lost, found.x, method="Nelder-Mead", bounds=bounds, options={"maxfev": 150, "xatol": 1e-3, "fatol": 1e-7})
    if finished.fun >= 0.0:
        return Best(Attack(sign * 1e-3, 1 / 60, shape, cap=0.0), 0.0)
    return Best(planned(np.clip(finished.x, low, high)), float(-finished.fun * cap))


def within_reach(machine: Machine, accounts: Accounts, down: bool = True) -> float:
    """Notional, USD at the last print, that a mark at the far end of its band would liquidate: everything if no band holds it."""
    sign = 1.0 if down else -1.0
    band, m = machine.band, machine.margin.maintenance
    edge = 0.0 if down else math.inf
    if band.width < math.inf:
        edge = accounts.price * (1.0 - sign * band.width) ** (1 + band.resets)
    called = accounts.bankruptcy / (1.0 - sign * m)
    return float((accounts.size * accounts.price)[(accounts.side == sign) & (sign * (called - edge) > 0.0)].sum())


def profit_bound(machine: Machine, accounts: Accounts, cap: float, down: bool = True) -> float:
    """Most that any number of pushes may earn, USD: ``theory.harvest_bound`` of the cap and of what the band lets a mark liquidate.

    ``cap`` is USD sold, and the lower the price the more shares they are: never lower than ``cap`` and all forced sales together push it.
    """
    depth, forced = machine.book.depth_closed, within_reach(machine, accounts, down)
    return harvest_bound(depth, cap * math.exp(min((cap + forced) / depth, machine.book.limit)), forced)


def frontier(
    machines: Mapping[str, Machine],
    accounts: Mapping[str, Accounts],
    closure: Closure,
    ratios: Sequence[float],
    caps: Sequence[float] = (0.25,),
    **search,
) -> xr.Dataset:
    """The best plan's profit for each machine, closed depth and cap, and the closed form that bounds it.

    Parameters
    ----------
    machines, accounts : by the same names.
    ratios : closed depth over open interest.
    caps : most the attacker may hold, as a share of open interest.
    search : further arguments of :func:`best_attack`.

    Returns
    -------
    xarray.Dataset
        Dims (machine, ratio, cap): ``profit`` and ``bound`` (:func:`profit_bound`) as shares of open interest; ``push`` (log), ``hours``,
        ``close_hours`` of the plan.
    """

    def cells(name: str) -> list[tuple[float, ...]]:
        people, rows, guess = accounts[name], [], None
        interest = people.open_interest
        for ratio, cap in itertools.product(ratios, caps):
            machine = replace(machines[name], book=replace(machines[name].book, depth_closed=ratio * interest))
            best = best_attack(machine, people, closure, cap * interest, guess=guess, **search)
            bound = profit_bound(machine, people, cap * interest, search.get("down", True))
            rows.append((best.profit / interest, bound / interest, best.attack.push, best.attack.hours, best.attack.close_hours))
            guess = best.attack if best.profit > 0.0 else None
        return rows

    with ThreadPoolExecutor(cpu_count()) as pool:
        rows = np.array(list(pool.map(cells, machines)))
    rows = rows.reshape(len(machines), len(ratios), len(caps), 5)
    names = ("profit", "bound", "push", "hours", "close_hours")
    dims = ("machine", "ratio", "cap")
    return xr.Dataset({n: (dims, rows[..., j]) for j, n in enumerate(names)}, {"machine": list(machines), "ratio": list(ratios), "cap": list(caps)})
