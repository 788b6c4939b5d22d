"""Engine: one machine, one population, one weekend.

This file turns parameters into the tables the kernel reads, and its results into labelled ones. ``ensemble.py`` runs many weekends.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from perpkit import arbitrage, kernel, loop, value
from perpkit._checks import as_seed, is_number, whole
from perpkit._compile import compiled
from perpkit.accounts import Accounts
from perpkit.book import anchor_path
from perpkit.clock import Closure
from perpkit.funding import PREMIA
from perpkit.ledger import EVENT_FIELDS, POCKETS, LedgerError
from perpkit.liquidation import KINDS
from perpkit.liquidity import clock_hours
from perpkit.machine import Machine
from perpkit.margin import sort_sides
from perpkit.mark import LOCAL_MEDIAN, MEMORY, guarded
from perpkit.oracle import LEVEL, NONE, PROXY, gain, proxy_path
from perpkit.orders import Misprint, Orders, script
from perpkit.value import value_path
from perpkit.waterfall import ADL, ORDERS

CHUNK = 64
"""Weekends that share one stream of random numbers. Part of the definition of a seed: changing it changes every result."""
TOLERANCE = 1e-9
"""Largest imbalance of the ledger, as a share of open interest."""
REACH = 13.0
"""Largest rise in log units, a price times 440,000: beyond it the ledger's rounding is no longer small against open interest."""
_PERCENT = 3.0  # gaps that all exceed it, a fall of 95 % or a price times 20, were meant in percent
_EVENT_ROWS = 100_000


class Shocks(NamedTuple):
    """The random inputs of a chunk of weekends: the same for every machine. ``proxy`` is empty unless an oracle reads one."""

    gaps: np.ndarray
    news: np.ndarray
    news_at: np.ndarray
    normals: np.ndarray
    proxy: np.ndarray = np.zeros((0, 0))


@dataclass(frozen=True)
class Run:
    """One weekend: ``path`` over time, ``events`` in order, ``ledger`` by pocket (USD), ``outcome`` per unit of open interest."""

    path: xr.Dataset
    events: pd.DataFrame
    ledger: pd.Series
    outcome: pd.Series


def draw(
    seed: int, chunk: int, count: int, gaps: np.ndarray, closure: Closure, out: np.ndarray | None = None, proxy: bool = False
) -> Shocks:
    """Shocks of the first ``count`` weekends of a chunk. Weekend j of a chunk is the same whatever ``count``.

    ``out``, of shape (CHUNK, steps, 2) and without holes, takes the normals: fresh memory for each chunk costs as much as a rule. ``proxy``
    asks for the normals of an oracle's proxy, one a closed step, from a stream of their own.
    """
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(chunk,))))
    normal = rng.standard_normal(CHUNK)[:count]
    uniform = rng.random((CHUNK, closure.value.items))[:count]
    news = value.news_total(closure.value, gaps, normal)
    at = value.news_steps(closure.value, uniform, closure.hours, closure.closed_steps)
    normals = np.empty((count, closure.closed_steps + closure.open_steps, 2)) if out is None else out[:count]
    fill_normals(rng, normals.reshape(-1))
    if not proxy:
        return Shocks(gaps, news, at, normals)
    own = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(chunk, 1))))
    proxies = np.empty((count, closure.closed_steps))
    fill_normals(own, proxies.reshape(-1))
    return Shocks(gaps, news, at, normals, proxies)


@compiled
def fill_normals(rng: np.random.Generator, out: np.ndarray) -> None:
    """What ``rng.standard_normal(out=out)`` would write into ``out``, one dimension, bit for bit: Numba compiles the same method into this loop,
    which takes a third of the time."""
    for k in range(len(out)):
        out[k] = rng.standard_normal()


@compiled
def _free_paths(gaps, news, news_at, pull, bridge_noise, open_noise, pace, normals, values, anchors) -> None:
    """Log value and log anchor of each weekend at the end of each step, when nobody is forced; arrays of shape (weekends, steps)."""
    for w in range(len(gaps)):
        value_path(gaps[w] - news[w], news[w], news_at[w], pull, bridge_noise, open_noise, normals[w], values[w])
        anchor_path(
            values[w], len(pull), pace[loop.CLOSED, loop.KEEP_ANCHOR], pace[loop.CLOSED, loop.NOISE],
            pace[loop.OPEN, loop.KEEP_ANCHOR], pace[loop.OPEN, loop.NOISE], normals[w], anchors[w],
        )  # fmt: skip


_PAYER = {"insurance": "insurance", "adl": "winners", "socialised": "everybody", "backstop": "backstop"}
"""Who pays the loss of an event, by kind."""


class Tables:
    """One machine as the kernel reads it. Holds the work arrays of one thread, so each block makes its own."""

    outcomes = kernel.OUTCOMES
    pockets = POCKETS
    kinds = KINDS
    payers = _PAYER

    @staticmethod
    def check(machine: Machine, accounts: Accounts, closure: Closure) -> None:
        """Raise ``ValueError`` if an account would be below maintenance before anything happens (it may be above the leverage of a new one), or
        a reader's mark rule does not compile."""
        _check_margin(machine, accounts)
        if machine.mark.function is not None:
            _ = machine.mark.pointer

    def __init__(
        self, machine: Machine, accounts: Accounts, closure: Closure, orders: Orders | None = None, misprints: Sequence[Misprint] = ()
    ) -> None:
        self.set_script(orders, misprints, closure, accounts.price)
        machine = dataclasses.replace(machine, oracle=machine.oracle.over(closure.hours))
        self.machine, self.closure = machine, closure
        self.sides, self.large = sort_sides(accounts, machine.liquidation.partial_threshold)
        self.works = np.zeros_like(self.sides)
        watched = self.large.shape[1] if machine.liquidation.orders == "market" else self.sides.shape[2]
        self.pending, self.single = np.zeros((2, watched, 4)), np.zeros((watched, 2))
        self.rules = _rules(machine, accounts)
        self.paces = _paces(machine, closure)
        self.pull, self.bridge_noise = value.bridge(closure.value, closure.closed_steps)
        self.open_noise = closure.value.open_vol * math.sqrt(closure.update_s / 3600.0)
        self.expectation = _expectation(machine, closure, self.rules, self.paces)
        self.params = guarded(machine.mark.params)
        self.memory = guarded(np.zeros(MEMORY))
        self.an_hour = round(3600.0 / closure.update_s)
        self.room = np.empty((kernel.ROOM, max(closure.updates, self.an_hour)))
        self._paths = np.empty((3, CHUNK, closure.closed_steps + closure.open_steps))

    def set_script(self, orders: Orders | None, misprints: Sequence[Misprint], closure: Closure, price: float) -> None:
        """Replace what comes from outside; everything else stays prepared."""
        self.script, self._shift = script(orders, misprints, closure, price)

    def run(self, shocks: Shocks, out: np.ndarray, trace: np.ndarray, events: np.ndarray) -> int:
        """Run the chunk into ``out`` (weekends, OUTCOMES); the number of events of the last weekend."""
        values, anchors, prices = self._paths[:, : len(shocks.gaps)]
        _free_paths(*shocks[:3], self.pull, self.bridge_noise, self.open_noise, self.paces[0], shocks.normals, values, anchors)
        if len(self._shift):
            anchors[:, self.closure.closed_steps :] += self._shift
        np.exp(anchors, out=prices)
        prices *= self.rules.price
        proxies = proxy_path(self.machine.oracle, self.closure.value.sd, values, shocks.proxy)
        return kernel.run_block(
            self.machine.mark.pointer, self.params, self.memory, self.room, self.rules, self.paces, self.closure.updates, self.an_hour,
            self.sides, self.works, self.large, self.pending, self.single, shocks.gaps, values, anchors, prices, shocks.normals, proxies,
            *self.expectation, arbitrage.DISTANCE, self.script, self.closure.closed_steps, out, trace, events,
        )  # fmt: skip

    def start(self) -> dict[str, float]:
        """The state at the close by the names of ``kernel.TRACE``; what is not named is 0."""
        rules, pace = self.rules, self.paces[0, loop.CLOSED]
        price = rules.price
        bid, ask = price * pace[loop.IMPACT_BID], price * pace[loop.IMPACT_ASK]
        held = {"attacker_size": self.script.shares, "attacker_cash": -self.script.shares * self.script.entry}
        return dict.fromkeys(("V", "P", "O", "M"), price) | {"impact_bid": bid, "impact_ask": ask, "fund": rules.fund} | held


ENGINES: dict[type, type] = {Machine: Tables}
"""The class that runs each kind of machine. Another architecture adds its own, with the attributes and methods of :class:`Tables`."""


def engine_of(machine) -> type:
    """The class that runs ``machine``."""
    for kind, engine in ENGINES.items():
        if isinstance(machine, kind):
            return engine
    raise ValueError(f"machine is a perpkit {' or '.join(kind.__name__ for kind in ENGINES)}; got {machine!r}")


def check(machine, accounts: Accounts, closure: Closure) -> None:
    """Raise ``ValueError`` if machine, accounts and closure do not fit, before anything runs."""
    engine = engine_of(machine)
    for name, given, kind in (("accounts", accounts, Accounts), ("closure", closure, Closure)):
        if not isinstance(given, kind):
            raise ValueError(f"{name} is a perpkit {kind.__name__}; got {given!r}")
    engine.check(machine, accounts, closure)


def check_gaps(gaps: np.ndarray) -> None:
    """Raise ``ValueError`` if log gaps are not finite, rise too far for the ledger, or look like percent."""
    bad = np.flatnonzero(~np.isfinite(gaps))
    if bad.size:
        raise ValueError(f"gaps are finite log returns; entry {bad[0]} is {gaps[bad[0]]!r}")
    if gaps.max() > REACH or np.abs(gaps).min() > _PERCENT:
        worst = gaps[np.argmax(np.abs(gaps))]
        raise ValueError(
            f"a gap is a log return, such as -0.128 for a fall of 12 %, at most {REACH:g}; got {worst:g}: divide percent by 100, "
            f"and cut a law that goes so far with its method capped"
        )


def prepare(machine, accounts: Accounts, closure: Closure, orders: Orders | None, misprints: Sequence[Misprint]):
    """What runs ``machine``, told what comes from outside, if anything does."""
    engine = engine_of(machine)
    if not orders and not misprints:
        return engine(machine, accounts, closure)
    if engine is not Tables:
        raise ValueError(f"orders and misprints need a book, and {machine.name!r} has none; give a perpkit Machine, or leave them out")
    return engine(machine, accounts, closure, orders, misprints)


def _check_margin(machine: Machine, accounts: Accounts) -> None:
    equity = accounts.collateral + accounts.side * accounts.size * (accounts.price - accounts.entry)
    needed = machine.margin.maintenance * accounts.size * accounts.price
    bad = np.flatnonzero(equity < needed * (1.0 - 1e-9))
    if bad.size:
        j = bad[0]
        raise ValueError(
            f"account {j} has {equity[j]:.6g} USD of equity against {needed[j]:.6g} USD of maintenance at the last print ({accounts.leverage[j]:.4g}x); "
            f"this machine allows {machine.margin.max_leverage:g}x: give more collateral, or sample with a lower max_leverage"
        )


def _rules(machine: Machine, accounts: Accounts) -> kernel.Rules:
    interest = accounts.open_interest
    liquidation, funding, band = machine.liquidation, machine.funding, machine.band
    return kernel.Rules(
        price=float(accounts.price),
        open_interest=interest,
        maintenance=float(machine.margin.maintenance),
        partial_threshold=float(liquidation.partial_threshold),
        partial_share=float(liquidation.partial_share),
        cooldown_h=liquidation.cooldown_s / 3600.0,
        fee=float(liquidation.fee),
        backstop_threshold=float(machine.backstop.threshold),
        backstop_shares=machine.backstop.capacity * interest / accounts.price,
        fund=machine.insurance * interest,
        adl=float(ADL[machine.adl]),
        permanent=float(machine.book.permanent),
        push_limit=float(machine.book.limit),
        oracle=float(machine.oracle.kind),
        mark=float(machine.mark.code),
        band_width=float(band.width),
        band_trigger=float(band.trigger),
        band_resets=float(band.resets),
        premium=float(PREMIA[funding.premium]),
        interest_8h=float(funding.interest_8h),
        clamp_8h=float(funding.clamp_8h),
        multiplier=float(funding.multiplier),
        cap_per_hour=float(funding.cap_per_hour),
        funding_when_closed=float(funding.when_closed),
        wall=float(machine.oracle.wall),
        weight_tau=float(machine.oracle.weight_tau),
        band_follows=float(band.follows),
        averaged=float(_is_averaged(machine)),
        orders=float(ORDERS[liquidation.orders]),
        order_band=float(liquidation.order_band),
        backstop_equity=machine.backstop.equity * interest,
        backstop_margin=float(machine.backstop.margin),
        refund=float(machine.refund),
        batch_h=machine.batch.interval_s / 3600.0,
        batch_cap=float(machine.batch.cap),
        halt_from=machine.batch.halt[0] if machine.batch.halt else 0.0,
        halt_to=machine.batch.halt[1] if machine.batch.halt else 0.0,
        carried=float(_is_carried(machine)),
        dust=1e-12 * interest,
    )


def _paces(machine: Machine, closure: Closure) -> np.ndarray:
    """The pace tables, shape (hours, 3, PACE): one for each clock hour of the closure, or one for all of it if the book stays the same."""
    book = machine.book
    left = clock_hours(closure.hours) if book.closed is not None else [closure.hours]
    opened = (book.follow_open, book.noise_open, book.refill_open, book.half_spread_open, book.depth_open)
    table = []
    for hours_left in left:
        depth, half_spread, refill = book.closed_at(hours_left)
        shut = (book.follow_closed, book.noise_closed, refill, half_spread, depth)
        coarse = _pace_row(machine, closure.closed_step_s, closure.updates, closure.update_s, *shut)
        hot = _pace_row(machine, closure.update_s, 1, closure.update_s, *shut)
        table.append([coarse, hot, _pace_row(machine, closure.update_s, 1, closure.update_s, *opened)])
    return np.array(table)


def _pace_row(machine, seconds, updates, update_s, follow, noise, refill, half_spread, depth) -> np.ndarray:
    hours = seconds / 3600.0
    row = np.empty(loop.PACE)
    row[loop.HOURS], row[loop.SECONDS] = hours, seconds
    row[loop.KEEP_ANCHOR] = math.exp(-follow * hours)
    row[loop.NOISE] = noise * math.sqrt(hours if follow * hours < 1e-12 else -math.expm1(-2.0 * follow * hours) / (2.0 * follow))
    row[loop.KEEP_IMPACT] = math.exp(-refill * hours)
    wide = half_spread + machine.impact_notional / depth
    row[loop.BID], row[loop.ASK] = math.exp(-half_spread), math.exp(half_spread)
    row[loop.IMPACT_BID], row[loop.IMPACT_ASK] = math.exp(-wide), math.exp(wide)
    row[loop.DEPTH], row[loop.HALF_SPREAD] = depth, half_spread
    row[loop.ORACLE_GAIN] = gain(machine.oracle, update_s, updates)
    row[loop.ORACLE_DOWN], row[loop.ORACLE_UP] = _reach(machine.oracle.step, updates)
    row[loop.BASIS_GAIN] = -math.expm1(-seconds / machine.mark.basis_s)
    row[loop.MARK_DOWN], row[loop.MARK_UP] = _reach(machine.mark_step, updates)
    row[loop.AVERAGE_GAIN] = -math.expm1(-seconds / machine.mark.average_s)
    return row


def _reach(step: float, updates: int) -> tuple[float, float]:
    """Lowest and highest factor a price clamped to ``step`` an update can move by in ``updates`` updates."""
    return (0.0, math.inf) if math.isinf(step) else ((1.0 - step) ** updates, (1.0 + step) ** updates)


def reads_proxy(machine) -> bool:
    """Whether the machine's oracle needs the shocks of a proxy."""
    return isinstance(machine, Machine) and machine.oracle.kind == PROXY


def _is_averaged(machine: Machine) -> bool:
    """Whether a rule needs more memory than oracle, basis and mark: the loop has a leaner form for machines without one."""
    oracle, mark = machine.oracle, machine.mark
    return oracle.kind >= LEVEL or oracle.wall < math.inf or mark.code >= LOCAL_MEDIAN or machine.band.follows


def _is_carried(machine: Machine) -> bool:
    """Whether informed flow has something to weigh against the news: funding while closed, or its own limits. Without an oracle nobody is
    charged."""
    return machine.book.carry and machine.oracle.kind != NONE and (machine.funding.when_closed or math.isfinite(machine.book.capacity))


def _expectation(machine: Machine, closure: Closure, rules: kernel.Rules, paces: np.ndarray) -> arbitrage.Expectation:
    if rules.carried == 0.0:
        return arbitrage.Expectation(np.empty((0, 0)), np.empty(0), np.empty(0))
    return arbitrage.expectation(rules, paces[:, loop.CLOSED], closure, machine.book.capacity, machine.book.expects)


class RuleError(ArithmeticError):
    """A reader's rule returned what is no price. The message names the machine, the seed and the weekend that reproduce it."""


def verify(out: np.ndarray, machine: Machine, seed: int, first: int) -> None:
    """Raise :class:`LedgerError` if money appeared or vanished in any of the weekends ``first`` and following, :class:`RuleError` if a
    reader's mark rule returned no price."""
    error = out[:, kernel.OUTCOMES.index("imbalance")]
    refused = np.flatnonzero(error < 0.0)
    if refused.size:
        raise RuleError(
            f"the mark rule {machine.mark.function.__name__!r} of {machine.name!r} returned something that is no price (not finite, or not above 0) "
            f"in weekend {first + refused[0]} of seed {seed}; reproduce with simulate(..., rng={seed}, weekend={first + refused[0]})"
        )
    bad = np.flatnonzero(~(error <= TOLERANCE))
    if bad.size:
        raise LedgerError(
            f"the ledger of {machine.name!r} is out by {error[bad[0]]:.3g} of open interest in weekend {first + bad[0]} of seed {seed}; "
            f"reproduce with simulate(..., rng={seed}, weekend={first + bad[0]})"
        )


def simulate(
    machine: Machine,
    accounts: Accounts,
    closure: Closure,
    gap: float,
    rng: int | np.random.Generator = 1,
    weekend: int = 0,
    orders: Orders | None = None,
    misprints: Sequence[Misprint] = (),
) -> Run:
    """Run one weekend and keep everything.

    Parameters
    ----------
    machine, accounts, closure : rules (of a book or a pool), population and clock.
    gap : log return of the value over the closure.
    rng : seed or generator.
    weekend : which weekend of the seed; ``ensemble`` numbers its weekends the same way.
    orders : what a trader from outside sends; his gain is the ledger's ``attacker``.
    misprints : reference prints that are off, after the reopening.

    Returns
    -------
    Run
        ``path``: Dataset over ``time`` (hours since the close, at the end of each step, the first row the close itself): V, P, O, M, impact
        prices and fund in USD (of a pool, what is left of the tranche that loses first, or of all without one), f per hour, ``liquidated``,
        ``phantom`` (negative equity hidden in open accounts) and ``phantom_size`` (what those accounts hold) as shares of open interest,
        ``funding_paid`` by a long share in USD, ``attacker_size`` (shares) and ``attacker_cash`` (USD) held by the trader from outside.
        ``events``: time (h), kind, side (of an order, long is a purchase), accounts, size (shares), price (USD), loss (USD), generation
        (updates with forced orders in a row before this one), payer. ``ledger``: USD by pocket, sum 0. ``outcome``: one row of
        :data:`OUTCOMES`.

    Raises
    ------
    ValueError
        If a parameter is out of range, before anything runs.
    LedgerError
        If money appeared or vanished.
    RuleError
        If a reader's mark rule returned something that is no price.
    """
    if not is_number(gap):
        raise ValueError(f"gap is one log return; got {gap!r}")
    check_gaps(np.array([gap], dtype=float))
    seed, weekend = as_seed(rng), whole("weekend", weekend, "the place of a weekend in its seed", 0)
    chunk, place = divmod(weekend, CHUNK)
    check(machine, accounts, closure)
    tables = prepare(machine, accounts, closure, orders, misprints)
    shocks = draw(seed, chunk, place + 1, np.full(place + 1, float(gap)), closure, proxy=reads_proxy(machine))
    last = Shocks(*(np.ascontiguousarray(x[-1:]) for x in shocks))
    out = np.zeros((1, len(tables.outcomes)))
    trace = np.zeros((closure.closed_steps + closure.open_steps, len(kernel.TRACE)))
    log = np.zeros((_EVENT_ROWS, len(EVENT_FIELDS)))
    count = tables.run(last, out, trace, log)
    if count > _EVENT_ROWS:
        raise RuntimeError(f"this weekend has {count} events, more than the log's {_EVENT_ROWS} rows")
    verify(out, machine, seed, weekend)
    outcome = pd.Series(out[0], index=list(tables.outcomes), name=machine.name)
    ledger = outcome[list(tables.pockets)] * accounts.open_interest
    return Run(_path(trace, tables.start(), machine.name, closure), _events(log[:count], tables.kinds, tables.payers), ledger.rename_axis("pocket"), outcome)


def _path(trace: np.ndarray, start: dict[str, float], name: str, closure: Closure) -> xr.Dataset:
    full = np.vstack([[start.get(column, 0.0) for column in kernel.TRACE], trace])
    times = np.concatenate([[0.0], closure.times])
    units = dict.fromkeys(("V", "P", "O", "M", "impact_bid", "impact_ask", "fund", "imbalance", "attacker_cash"), "USD")
    units |= dict.fromkeys(("liquidated", "phantom", "phantom_size"), "share of open interest")
    units |= {"f": "per hour", "funding_paid": "USD per share", "attacker_size": "shares"}
    data = {column: ("time", full[:, j], {"units": units[column]}) for j, column in enumerate(kernel.TRACE)}
    clock = {"time": ("time", times, {"units": "hours since the close"})}
    return xr.Dataset(data, coords=clock, attrs={"machine": name, "hours": closure.hours})


def _events(log: np.ndarray, kinds: tuple[str, ...], payers: dict[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(log, columns=list(EVENT_FIELDS))
    frame["kind"] = [kinds[int(k)] for k in frame["kind"]]
    frame["side"] = np.where(frame["side"] > 0, "long", "short")
    frame["accounts"], frame["generation"] = frame["accounts"].astype(int), frame["generation"].astype(int)
    frame.loc[frame["kind"] == "re-anchor", "generation"] = 0
    frame["payer"] = [payers.get(kind, "") for kind in frame["kind"]]
    return frame
