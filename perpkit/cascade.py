"""Cascade: how much forced selling a dollar of forced selling brought about, measured, and what the formula says of the same machine.

Two measures. A run's log counts generations: updates with forced orders in a row. That is exact where the mark follows at once and the
shock is over in one step. For any other machine the same weekends are run again on a book that no forced order moves: what is liquidated
there, the shock did, and the rest the cascade did to itself. The formulas (``theory.reproduction``, ``theory.spreading``) get the same
accounts and the same rules through :func:`feedback` and :func:`population`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perpkit import mark as marks
from perpkit.accounts import Accounts
from perpkit.batch import Batch
from perpkit.clock import Closure
from perpkit.engine import Run
from perpkit.ensemble import ensemble
from perpkit.machine import Machine, replace
from perpkit.oracle import FROZEN, IMPACT_EMA, LEVEL, NONE
from perpkit.theory import Feedback, LeverageLaw, Triggers, account_triggers, sliced, unfold

UNMOVED = 1e-15
"""Log units: a push that the engine forgets at once."""
_SLICES = 30
ORDERS = ("liquidation", "partial")
"""Kinds of event that are orders to the book."""


def still(machine: Machine) -> Machine:
    """The machine on a book that shows the same prices and that no forced order moves."""
    return replace(machine, name=f"{machine.name}, still", book=replace(machine.book, limit=UNMOVED))


@dataclass(frozen=True)
class Measured:
    """Reproduction number of an ensemble: ``value``, the share of what was liquidated while closed that the shock alone would not have
    liquidated, its standard error ``se`` over ``weekends``; ``first`` and ``total``, mean shares of open interest."""

    value: float
    se: float
    weekends: int
    first: float
    total: float


def measure(
    machine: Machine, accounts: Accounts, closure: Closure, gaps, n: int | None = None, rng: int | np.random.Generator = 1, **options
) -> Measured:
    """Reproduction number of ``machine`` by running the same weekends with and without the push of forced orders.

    Of N liquidated and K liquidated on the still book the others each were triggered by one of the N, so n is ``1 - K / N``: the mean number
    each liquidation triggers, as ``theory.effective_reproduction``. Infinite cascades end at the last account, and n then stays below 1.
    Standard error from the scatter between weekends, of a ratio.

    Parameters
    ----------
    machine, accounts, closure, gaps, n, rng, options : as for :func:`perpkit.ensemble`.

    Raises
    ------
    ValueError
        As there; or if nobody was liquidated while closed.
    """
    ens = ensemble({"moved": machine, "still": still(machine)}, accounts, closure, gaps, n=n, rng=rng, **options)
    total, first = (ens["liquidated_closed"].sel(machine=k).values for k in ("moved", "still"))
    if not total.sum() > 0.0:
        raise ValueError("nobody was liquidated while closed in any of these weekends; give larger gaps, or faster informed flow")
    value = 1.0 - first.sum() / total.sum()
    left = (total - first) - value * total
    se = math.sqrt(np.mean(left**2) / len(total)) / total.mean() if len(total) > 1 else math.nan
    return Measured(float(value), float(se), len(total), float(first.mean()), float(total.mean()))


def chains(run: Run) -> list[np.ndarray]:
    """Shares sold in successive generations while closed, one array a chain of updates in a row: what
    ``theory.estimate_reproduction`` takes. Both sides together, positions handed to the vault or to winners left out."""
    log = run.events
    log = log[log["kind"].isin(ORDERS) & (log["time"] <= run.path.attrs["hours"] + 1e-9)]
    sold = log.groupby("time", sort=True).agg(size=("size", "sum"), generation=("generation", "max"))
    starts = (sold["generation"] == 0).cumsum()
    return [group["size"].to_numpy() for _, group in sold.groupby(starts)]


def generations(run: Run) -> pd.DataFrame:
    """Every forced order while closed, one row a generation and side of the largest chain: ``time`` (s since its first order), ``generation``,
    ``side``, ``sold`` (shares), ``price`` (average fill, USD)."""
    log = run.events
    log = log[log["kind"].isin(ORDERS) & (log["time"] <= run.path.attrs["hours"] + 1e-9)]
    if log.empty:
        raise ValueError("nobody was liquidated while closed in this weekend: there is no chain to show")
    log = log.assign(chain=_chain_numbers(log))
    largest = log.groupby("chain")["size"].sum().idxmax()
    rows = log[log["chain"] == largest]
    found = rows.assign(cash=rows["size"] * rows["price"]).groupby(["time", "generation", "side"], sort=True)[["size", "cash"]].sum().reset_index()
    found["time"] = 3600.0 * (found["time"] - found["time"].iloc[0])
    found["price"] = found["cash"] / found["size"]
    return found.rename(columns={"size": "sold"}).drop(columns="cash")


def _chain_numbers(log: pd.DataFrame) -> pd.Series:
    """Which chain each order belongs to: a new one starts with each update of generation 0."""
    fresh = log["time"].where(log["generation"] == 0)
    return fresh.ffill().rank(method="dense")


def feedback(machine: Machine, closure: Closure, hours_left: float | None = None) -> Feedback:
    """The machine as the formulas see it: depth, refill, mark, oracle, clamp and band while closed.

    Marks: oracle, mid, blend, and the median of oracle, oracle plus averaged basis, and mid. Oracles: frozen, or an average of the book.

    ``hours_left`` picks the hour of a book that changes; by default the middle of the closure. The dead zone of the oracle, the noise of the
    anchor, the vault, ADL and fees are left out of the formulas.

    Raises
    ------
    ValueError
        If mark, oracle, band, orders or margin checks follow another rule than these, or nothing is liquidated while closed because there is no
        oracle.
    """
    rule, oracle, band = machine.mark, machine.oracle.over(closure.hours), machine.band
    if rule.code not in (marks.ORACLE, marks.MID, marks.BLEND, marks.MEDIAN):
        raise ValueError(f"the formulas know the oracle, mid, blend and median marks, not {rule!r}; measure() runs any")
    if oracle.kind == NONE:
        raise ValueError("without an oracle nobody is liquidated while closed, and n is 0")
    if machine.liquidation.orders != "market" or machine.batch != Batch():
        raise ValueError("orders with limits and batched margin checks have no formula; measure() runs them")
    if band.follows:
        raise ValueError("a band around the oracle has no formula; measure() runs it")
    if oracle.kind not in (FROZEN, IMPACT_EMA, LEVEL):
        raise ValueError(f"the formulas know a frozen oracle and averages of the book, not {oracle!r}; measure() runs any")
    depth, _, refill = machine.book.closed_at(closure.hours / 2.0 if hours_left is None else hours_left)
    weight = {marks.ORACLE: 0.0, marks.MID: 1.0, marks.BLEND: rule.params[0] if rule.params else 0.0, marks.MEDIAN: 0.0}[rule.code]
    return Feedback(
        depth=depth,
        weight=weight,
        refill=refill,
        update_s=closure.update_s,
        permanent=machine.book.permanent,
        basis_s=rule.basis_s if rule.code == marks.MEDIAN else math.inf,
        oracle_s=3600.0 * oracle.tau if oracle.kind != FROZEN else math.inf,
        clamp=machine.mark_step,
        band=band.width,
        trigger=band.trigger if band.width < math.inf else 0.9,
        resets=int(band.resets) if band.width < math.inf else 0,
        limit=machine.book.limit,
    )


def population(machine: Machine, accounts: Accounts, landing: float = 0.0) -> Triggers:
    """The accounts as a cascade meets them under the machine's margin and liquidation rules; ``landing`` is the log mark a shock jumps to.

    A large account sells one slice and then the rest, as it must within a cooldown; without a cooldown, slice after slice.
    """
    rate, rule = machine.margin.maintenance, machine.liquidation
    crowd = account_triggers(accounts.side, accounts.size * accounts.price, accounts.bankruptcy, rate, accounts.price)
    if rule.partial_share < 1.0 and (crowd.size > rule.partial_threshold).any():
        slices = 1 if rule.cooldown_s > 0.0 else _SLICES
        crowd = sliced(crowd, rule.partial_threshold, rate, rule.partial_share, slices, landing)
    return crowd


def expected(machine: Machine, accounts: Accounts | Triggers | LeverageLaw, closure: Closure, shock: float, hours: float = 2.0) -> float:
    """What the formula gives for ``measure`` after one sudden log move ``shock`` of the anchor that stays: ``1 - first / total`` along
    ``theory.unfold`` over ``hours``, first being what the same loop liquidates in a book without end.

    Raises
    ------
    ValueError
        As :func:`feedback`, and if the shock reaches nobody.
    """
    loop = feedback(machine, closure)
    crowd = accounts if not isinstance(accounts, Accounts) else population(machine, accounts, landing=loop.weight * shock)
    updates = max(1, round(hours * 3600.0 / closure.update_s))
    total = float(unfold(crowd, loop, shock, updates).sold[-1])
    if total == 0.0:
        raise ValueError(f"a shock of {shock!r} reaches nobody under this mark; give a larger one")
    return 1.0 - float(unfold(crowd, replace(loop, depth=1e30), shock, updates).sold[-1]) / total


def depth_for(machine: Machine, crowd: Accounts | Triggers | LeverageLaw, closure: Closure, shock: float, n: float, hours: float = 0.25) -> float:
    """Smallest closed depth (USD per log unit) at which :func:`expected` is at most ``n``, to a thousandth: where the chain tips, just beyond.

    Raises
    ------
    ValueError
        As :func:`expected`; if ``n`` is not in (0, 1), or the shock itself takes so many that others never cause that share.
    """
    if not 0.0 < n < 1.0:
        raise ValueError(f"n is the share that others cause, in (0, 1); got {n!r}")

    def at(depth: float) -> float:
        return expected(replace(machine, book=replace(machine.book, depth_closed=depth, closed=None)), crowd, closure, shock, hours)

    low = high = feedback(machine, closure).depth
    while at(high) > n:
        high *= 2.0
    while at(low) <= n:
        low *= 0.5
        if low < 1e-6 * high:
            raise ValueError(f"a shock of {shock!r} takes so many that others never cause the share {n!r}; give a smaller shock or n")
    while high > 1.001 * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if at(middle) > n else (low, middle)
    return high
