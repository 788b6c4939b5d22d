"""Pool engine: one pool as its kernel reads it. ``perpkit.engine`` and ``perpkit.ensemble`` run it like a machine with a book."""

from __future__ import annotations

import math

import numpy as np

from perpkit import value
from perpkit._compile import compiled
from perpkit.accounts import Accounts, cut_leverage
from perpkit.book import anchor_path
from perpkit.clock import Closure
from perpkit.engine import CHUNK, ENGINES, Shocks
from perpkit.pool import exits, kernel
from perpkit.pool.ledger import EVERY_POCKET
from perpkit.pool.machine import Pool
from perpkit.pool.parts import FEEDS, LIVE, PERP
from perpkit.pool.rules import rules_of, steps
from perpkit.value import value_path


class PoolTables:
    """One pool as the kernel reads it. Holds the work arrays of one thread, so each block makes its own."""

    outcomes = kernel.OUTCOMES
    pockets = EVERY_POCKET
    kinds = exits.KINDS
    payers = dict.fromkeys(exits.KINDS, "pool") | {"adl": "winners"}

    def __init__(self, machine: Pool, accounts: Accounts, closure: Closure) -> None:
        self.machine, self.closure = machine, closure
        self.rules = rules_of(machine, accounts, closure)
        self.accounts, self.keys, self.who = _sides(machine, overnight(machine, accounts))
        self.held = self.accounts[:, exits.SIZE].copy()
        self.touched = np.zeros(self.held.shape, dtype=np.int64)
        self.batch = np.zeros((self.held.shape[1], 2))
        self.prefix, self.whole, self.gains = _sums(self.accounts, self.who, float(accounts.price))
        self.pull, self.bridge_noise = value.bridge(closure.value, closure.closed_steps)
        self.open_noise = closure.value.open_vol * math.sqrt(closure.update_s / 3600.0)
        self.anchor = _anchor(machine, closure)
        self.columns = np.array([self.outcomes.index(name) for name in kernel.WRITTEN])
        self._paths = np.empty((2, CHUNK, closure.closed_steps + closure.open_steps))

    @staticmethod
    def check(machine: Pool, accounts: Accounts, closure: Closure) -> None:
        """Raise ``ValueError`` if an account is past a limit of the pool before anything happens, or the window ends before anything may."""
        delay = machine.feed.delay_minutes
        if steps(delay, closure) >= closure.open_steps:
            raise ValueError(
                f"nothing executes within {delay:g} min of the reopening (delay_minutes), and the window ends after {closure.reopen_minutes:g}: "
                "give a longer reopen_minutes"
            )
        held = overnight(machine, accounts)
        equity = held.collateral + held.side * held.size * (held.price - held.entry)
        needed = held.size * (machine.margin.cushion_per_share(held) + machine.margin.maintenance * held.price)
        bad = np.flatnonzero(equity < needed * (1.0 - 1e-9))
        if bad.size:
            j = bad[0]
            raise ValueError(
                f"account {j} has {equity[j]:.6g} USD of equity against {needed[j]:.6g} USD at which this pool liquidates it, at the last print "
                f"({held.leverage[j]:.4g}x): give more collateral, or sample with a lower max_leverage"
            )
        bad = np.flatnonzero(equity >= held.collateral * (1.0 + machine.payouts.max_gain))
        if bad.size:
            most = machine.payouts.max_gain
            raise ValueError(f"account {bad[0]} has already gained {most:g} times its collateral, where this pool closes it; lower its gain")

    def run(self, shocks: Shocks, out: np.ndarray, trace: np.ndarray, events: np.ndarray) -> int:
        """Run the chunk into ``out`` (weekends, outcomes); the number of events of the last weekend."""
        values, oracles = self._paths[:, : len(shocks.gaps)]
        closed = self.closure.closed_steps
        _value_paths(*shocks[:3], self.pull, self.bridge_noise, self.open_noise, shocks.normals, values)
        feed = FEEDS[self.machine.feed.closed]
        if feed == LIVE:
            oracles = values
        else:
            oracles[:, :closed], oracles[:, closed:] = 0.0, values[:, closed:]
            if feed == PERP:
                _perp_paths(values, closed, self.anchor, shocks.normals, oracles)
        return kernel.run_pool(
            self.rules, self.closure.updates, round(3600.0 / self.closure.update_s), self.closure.closed_step_s / 3600.0,
            self.closure.update_s / 3600.0, self.accounts, self.keys, self.who, self.prefix, self.whole, self.gains, self.held, self.touched,
            self.batch, shocks.gaps, values, oracles, closed, self.columns, out, trace, events,
        )  # fmt: skip

    def start(self) -> dict[str, float]:
        """The state at the close by the names of ``perpkit.kernel.TRACE``; what is not named is 0."""
        price, half = self.rules.price, self.rules.half_spread_closed
        quotes = {"impact_bid": price * math.exp(-half), "impact_ask": price * math.exp(half)}
        return dict.fromkeys(("V", "P", "O", "M"), price) | quotes | {"fund": self.rules.junior or self.rules.pool_value}


ENGINES[Pool] = PoolTables


def overnight(machine: Pool, accounts: Accounts) -> Accounts:
    """The accounts that are left before the closure, after the forced cut of leverage."""
    return accounts if math.isinf(machine.overnight_leverage) else cut_leverage(accounts, machine.overnight_leverage, machine.overnight)


def _split(machine: Pool, accounts: Accounts) -> tuple[np.ndarray, np.ndarray]:
    """Which account each row belongs to, and whether the row has a stop: an account with a stop on part of it is two rows."""
    n = len(accounts)
    if machine.stop is None or machine.stop.share == 1.0:
        return np.arange(n), np.full(n, machine.stop is not None)
    return np.repeat(np.arange(n), 2), np.tile([True, False], n)


def _sides(machine: Pool, accounts: Accounts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tables of both sides, longs first, and their queues.

    Returns
    -------
    table : float, shape (2, ROWS, n), n the rows of the longer side; the shorter is filled up with nobody (size 0).
    keys : float, shape (2, QUEUES, n + 1) in the order (queue, side, place), highest first, ended by minus infinity.
    who : int, same shape, the row of the table behind each place.
    """
    owner, stopped = _split(machine, accounts)
    part = np.ones(len(owner))
    if machine.stop is not None and machine.stop.share < 1.0:
        part = np.where(stopped, machine.stop.share, 1.0 - machine.stop.share)
    side, size = accounts.side[owner], accounts.size[owner] * part
    beta, entry = (accounts.side * accounts.bankruptcy)[owner], accounts.entry[owner]
    equity = (accounts.side * accounts.price)[owner] - beta  # a share, at the last print
    shut = machine.margin if machine.margin_closed is None else machine.margin_closed
    key = beta + machine.margin.cushion_per_share(accounts)[owner]
    key_closed = beta + shut.cushion_per_share(accounts)[owner]
    level = side * accounts.price - (machine.stop.loss * equity if machine.stop is not None else 0.0)
    stop = np.where(stopped, level, -np.inf)
    cap = side * entry + machine.payouts.max_gain * (side * entry - beta)
    n = max(int((side > 0).sum()), int((side < 0).sum()))
    table = np.zeros((2, exits.ROWS, n))
    keys = np.full((exits.QUEUES, 2, n + 1), -np.inf)
    who = np.zeros((exits.QUEUES, 2, n + 1), dtype=np.int64)
    for me, sign in enumerate((1.0, -1.0)):
        mine = side == sign
        count = int(mine.sum())
        table[me, exits.ENTRY] = accounts.price
        for row, column in zip(range(exits.ROWS), (beta, size, entry, key, stop, cap), strict=True):
            table[me, row, :count] = column[mine]
        for queue, levels in enumerate((key, key_closed, stop, -cap, beta)):
            order = np.argsort(-levels[mine], kind="stable")
            keys[queue, me, :count], who[queue, me, :count] = levels[mine][order], order
    return table, keys, who


def _sums(table: np.ndarray, who: np.ndarray, price: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Running sums of size and size times beta in the order of bankruptcy, shape (2, 2, n + 1); size, size times beta and size times entry of
    each side, shape (2, 3); and size times the distance of entry from the last print, shape (2,)."""
    n = table.shape[2]
    prefix = np.zeros((2, 2, n + 1))
    whole, gains = np.zeros((2, 3)), np.zeros(2)
    for me in range(2):
        size, beta, entry = table[me, exits.SIZE], table[me, exits.BETA], table[me, exits.ENTRY]
        order = who[exits.WORTH_QUEUE, me, :n]
        count = int((size > 0.0).sum())
        prefix[me, 0, 1 : count + 1] = np.cumsum(size[order[:count]])
        prefix[me, 1, 1 : count + 1] = np.cumsum((size * beta)[order[:count]])
        prefix[me, :, count + 1 :] = prefix[me, :, count : count + 1]
        whole[me] = size.sum(), (size * beta).sum(), (size * entry).sum()
        gains[me] = (size * np.abs(entry - price)).sum()
    return prefix, whole, gains


def _anchor(machine: Pool, closure: Closure) -> np.ndarray:
    """What is kept of the distance to the value in a closed step, and the noise of one: an Ornstein-Uhlenbeck step as in ``book.py``."""
    hours, follow, noise = closure.closed_step_s / 3600.0, machine.book.follow_closed, machine.book.noise_closed
    spread = hours if follow * hours < 1e-12 else -math.expm1(-2.0 * follow * hours) / (2.0 * follow)
    return np.array([math.exp(-follow * hours), noise * math.sqrt(spread)])


@compiled
def _value_paths(gaps, news, news_at, pull, bridge_noise, open_noise, normals, values) -> None:
    """Log value of each weekend at the end of each step, shape (weekends, steps)."""
    for w in range(len(gaps)):
        value_path(gaps[w] - news[w], news[w], news_at[w], pull, bridge_noise, open_noise, normals[w], values[w])


@compiled
def _perp_paths(values, closed_steps, anchor, normals, oracles) -> None:
    """Log price of another venue while the reference is closed; once it prints, every feed shows the value."""
    for w in range(len(values)):
        anchor_path(values[w], closed_steps, anchor[0], anchor[1], 0.0, 0.0, normals[w], oracles[w])
