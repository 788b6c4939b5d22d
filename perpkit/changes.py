"""Changes: the smallest step of each rule that halves the chance of a breach, and what each step costs somebody.

One rule at a time is moved away from what it is, step by step, on the same weekends, until the chance of a breach is half of what it was.
The winner is tried again on weekends that the search has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perpkit import _words
from perpkit.accounts import Accounts
from perpkit.band import Band
from perpkit.clock import Closure
from perpkit.experiment import DECIDED, weekends
from perpkit.machine import Machine, replace
from perpkit.oracle import FROZEN, NONE, frozen_oracle, impact_oracle
from perpkit.pool import Pool
from perpkit.sizing import buffer, with_buffer, without_adl
from perpkit.strata import Strata

OUTCOMES = ("exhausted", "premature")


@dataclass(frozen=True)
class Prices:
    """What a change costs, so that unlike ones can be ranked. All assumed, and all to be doubted: a ranking that turns on them is none.

    Parameters
    ----------
    carry : of a dollar more in the fund, or of a trader's collateral, a year.
    revenue : fees lost with a dollar of open interest turned away, a year.
    premature : loss of a trader for each dollar liquidated although Monday would have left him solvent.
    """

    carry: float = 0.05
    revenue: float = 0.10
    premature: float = 0.01


@dataclass(frozen=True, eq=False)
class Change:
    """One rule moved one step: ``knob`` and ``to`` in words, the machine and population it makes, how many ``steps`` away it is; what it needs
    besides, shares of open interest: a larger ``fund``, collateral ``posted`` through the closure, open interest turned ``away``."""

    knob: str
    to: str
    steps: int
    machine: Machine | Pool
    accounts: Accounts
    fund: float = 0.0
    away: float = 0.0
    posted: float = 0.0


def candidates(machine: Machine | Pool, accounts: Accounts) -> list[Change]:
    """Every single change that the search tries, nearest step first within each rule."""
    found = [*_fund(machine, accounts), *_leverage(machine, accounts), *_size(machine, accounts)]
    if isinstance(machine, Machine):
        found += [*_oracle(machine, accounts), *_funding(machine, accounts), *_band(machine, accounts), *_clamp(machine, accounts)]
    return found


def _fund(machine, accounts: Accounts) -> Iterator[Change]:
    held = owned = buffer(machine)
    what = "first tranche" if isinstance(machine, Pool) else "fund of providers" if machine.backstop.guarded else "insurance"
    if isinstance(machine, Pool):
        tranches = machine.tranches
        if not tranches.junior:
            return
        if tranches.split is not None:
            what, owned = "both tranches", tranches.junior + tranches.senior
    for k, times in enumerate((2.0, 5.0, 20.0), start=1):
        if 0.0 < times * held <= 1.0:
            yield Change(what, f"{100 * times * held:g} %", k, with_buffer(machine, times * held), accounts, (times - 1.0) * owned)


def _with_fund(machine, kept: float):
    """The same fund and vault in USD over an open interest of ``kept`` of what it was."""
    if isinstance(machine, Pool):
        held = machine.tranches
        return replace(machine, tranches=replace(held, junior=held.junior / kept, senior=held.senior / kept))
    vault = replace(machine.backstop, capacity=machine.backstop.capacity / kept, equity=machine.backstop.equity / kept)
    return replace(machine, insurance=min(machine.insurance / kept, 1.0), backstop=vault)


def _leverage(machine, accounts: Accounts) -> Iterator[Change]:
    """Whoever is above the cap at the close brings collateral until he is not; nobody leaves."""
    highest = float(accounts.leverage.max())
    for k, cap in enumerate((c for c in (20.0, 10.0, 5.0, 3.0) if c < highest), start=1):
        posted = np.maximum(accounts.collateral, accounts.size * accounts.entry / cap)
        extra = float((posted - accounts.collateral).sum() / accounts.open_interest)
        yield Change("leverage while closed", f"{cap:g}x", k, machine, replace(accounts, collateral=posted), posted=extra)


def _size(machine, accounts: Accounts) -> Iterator[Change]:
    """No account holds more than a share of open interest; what is above leaves, collateral in proportion, equally on both sides."""
    value = accounts.size * accounts.price / accounts.open_interest
    for k, most in enumerate((q for q in (0.005, 0.001) if q < value.max()), start=1):
        size = np.minimum(accounts.size, most * accounts.open_interest / accounts.price)
        rest = replace(accounts, size=size, collateral=accounts.collateral * size / accounts.size)
        kept = rest.open_interest / accounts.open_interest
        yield Change("size of an account", f"{100 * most:g} % of open interest", k, _with_fund(machine, kept), rest, away=1.0 - kept)


def _oracle(machine: Machine, accounts: Accounts) -> Iterator[Change]:
    oracle = machine.oracle
    if oracle.kind == FROZEN:
        for k, tau in enumerate((8.0, 0.5), start=1):
            yield Change("oracle while closed", f"average over {_words.words('oracle.tau', tau, 'h')}", k, replace(machine, oracle=impact_oracle(tau, step=oracle.step)), accounts)
    if oracle.kind == NONE or not math.isfinite(oracle.tau):
        return
    for times in (0.25, 4.0):
        yield Change("oracle while closed", f"time constant {_words.words('oracle.tau', times * oracle.tau, 'h')}", 1, replace(machine, oracle=replace(oracle, tau=times * oracle.tau)), accounts)
    yield Change("oracle while closed", "frozen", 2, replace(machine, oracle=frozen_oracle(oracle.step)), accounts)


def _funding(machine: Machine, accounts: Accounts) -> Iterator[Change]:
    funding = machine.funding
    if not funding.when_closed or machine.oracle.kind == NONE:
        return
    for times in (0.25, 4.0):
        changed = replace(machine, funding=replace(funding, multiplier=times * funding.multiplier))
        yield Change("funding while closed", f"{times:g} times", 1, changed, accounts)
    yield Change("funding while closed", "off", 2, replace(machine, funding=replace(funding, when_closed=False)), accounts)


def _band(machine: Machine, accounts: Accounts) -> Iterator[Change]:
    old = machine.band
    if math.isfinite(old.width):
        for times in (0.5, 2.0):
            if times * old.width < 1.0:
                changed = replace(machine, band=replace(old, width=times * old.width))
                yield Change("band", f"{100 * times * old.width:g} %", 1, changed, accounts)
        yield Change("band", "none", 2, replace(machine, band=Band(math.inf)), accounts)
    else:
        for k, width in enumerate((0.1, 0.05), start=1):
            yield Change("band", f"static, {100 * width:g} %", k, replace(machine, band=Band(width)), accounts)


def _clamp(machine: Machine, accounts: Accounts) -> Iterator[Change]:
    if math.isinf(machine.mark_step):
        for k, step in enumerate((0.005, 0.001), start=1):
            yield Change("clamp on the mark", f"{1e4 * step:g} bp", k, replace(machine, mark_step=step), accounts)
        return
    yield Change("clamp on the mark", f"{2e3 * machine.mark_step:g} bp", 1, replace(machine, mark_step=machine.mark_step / 5.0), accounts)
    yield Change("clamp on the mark", "none", 2, replace(machine, mark_step=math.inf), accounts)


def evaluate(
    changes: list[Change],
    machine: Machine | Pool,
    accounts: Accounts,
    closure: Closure,
    strata: Strata,
    rng: int = 1,
    prices: Prices = Prices(),
    errors: float = DECIDED,
) -> pd.DataFrame:
    """Each change beside the machine as it is, on the same weekends; ``errors`` is how many standard errors a halving must be beyond chance.
    A search may ask for none, and verify what it finds on other weekends.

    Returns
    -------
    DataFrame, one row a change in the order given: ``knob``, ``to``, ``steps``; ``before`` and ``after``, the chance of a breach, each with its ``_se``; ``se`` of ``after - before / 2``,
    and ``halved``, whether that is at most 0 by ``errors`` of them; ``premature``, the change in what is liquidated
    for nothing a weekend; ``fund``, ``away`` and ``posted``, the last times the share of the week that the closure lasts; ``cost`` of all four
    by ``prices``, a share of open interest a year.
    """
    named = {"": machine} | {str(k): change.machine for k, change in enumerate(changes)}
    held = {"": accounts} | {str(k): change.accounts for k, change in enumerate(changes)}
    run = weekends(named, held, closure, strata, rng, OUTCOMES)
    breached, early = (run[name].sel(machine="").values for name in OUTCOMES)
    before = strata.mean(breached)
    rows = []
    for k, change in enumerate(changes):
        after, now = (run[name].sel(machine=str(k)).values for name in OUTCOMES)
        kept = 1.0 - change.away
        half = strata.mean(after - breached / 2.0)
        premature = strata.mean(now * kept - early).value
        halved = before.value > 0.0 and half.value <= -errors * half.se
        later = strata.mean(after)
        what = (change.knob, change.to, change.steps, before.value, before.se, later.value, later.se, half.se, halved, premature)
        rows.append((*what, change.fund, change.away, change.posted * closure.hours / 168.0))
    columns = ["knob", "to", "steps", "before", "before_se", "after", "after_se", "se", "halved", "premature", "fund", "away", "posted"]
    return priced(pd.DataFrame(rows, columns=columns), prices)


def priced(table: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """A table of :func:`evaluate` with its ``cost`` at other prices."""
    tied = prices.carry * (table["fund"] + table["posted"]) + prices.revenue * table["away"]
    return table.assign(cost=tied + prices.premature * table["premature"] * 365.25 / 7.0)


def cheapest(table: pd.DataFrame) -> pd.DataFrame:
    """Of a table of :func:`evaluate`: the nearest step of each rule that halves the chance of a breach, cheapest first; empty if none does."""
    done = table[table["halved"]].sort_values(["steps", "cost"], kind="stable")
    return done.groupby("knob", sort=False).head(1).sort_values("cost", kind="stable")


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found: every change it ``tried`` (of :func:`evaluate`), and its ``finalists`` on other weekends, cheapest first (rows of the same
    columns, or none)."""

    tried: pd.DataFrame
    finalists: pd.DataFrame

    @property
    def best(self) -> pd.Series | None:
        """The cheapest finalist that halves beyond error; if none does, the cheapest; None where there is none."""
        held = self.finalists[self.finalists["halved"]]
        return None if self.finalists.empty else (self.finalists if held.empty else held).iloc[0]

    @property
    def verdict(self) -> str:
        """``"halved"`` beyond error, ``"not beyond error"``, or ``"nothing"`` where no single change does."""
        return "nothing" if self.best is None else "halved" if self.best["halved"] else "not beyond error"


def search(
    machine: Machine | Pool,
    accounts: Accounts,
    closure: Closure,
    seen: Strata,
    fresh: Strata,
    rng: int = 1,
    prices: Prices = Prices(),
    finalists: int = 3,
) -> Found:
    """The cheapest single changes of :func:`candidates` that halve the chance of a breach on the weekends ``seen``, tried again on ``fresh`` ones.

    The search asks for a halving by one standard error, the finals, on the shocks of ``rng + 1``, for five. All run without deleveraging: it
    changes no breach, only what is liquidated after one, so what a change saves there is at its upper end.
    """
    plain = without_adl(machine)
    tried = [replace(change, machine=without_adl(change.machine)) for change in candidates(machine, accounts)]
    table = evaluate(tried, plain, accounts, closure, seen, rng, prices, errors=1.0)
    first = cheapest(table).index[:finalists]
    if not len(first):
        return Found(table, table.iloc[:0])
    again = evaluate([tried[k] for k in first], plain, accounts, closure, fresh, rng + 1, prices)
    return Found(table, again.sort_values("cost", kind="stable").reset_index(drop=True))
