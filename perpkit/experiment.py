"""Experiment: hold the weekends, change the machine, and watch the buffer.

Everything here runs sets of machines through one set of strata, on common shocks. A comparison of two machines is paired: its error is that
of the difference, and a difference smaller than five of its errors is called undecided. ``screen`` gives each row of a design a machine of
its own, for ``sensitivity``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

import numpy as np
import xarray as xr

from perpkit import base
from perpkit.accounts import Accounts
from perpkit.band import no_band
from perpkit.clock import Closure
from perpkit.engine import engine_of
from perpkit.ensemble import ensemble
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.mark import Blend
from perpkit.oracle import Oracle, frozen_oracle, impact_oracle, proxy_oracle
from perpkit.sensitivity import Design, Factor, Grid
from perpkit.strata import Strata
from perpkit.venues import BaseCase, base_case, population
from perpkit.waterfall import Backstop

BATCH = 16
"""Machines run at a time: each holds the paths of a chunk."""
ENDLESS = 1.0
"""Insurance over open interest far above any size that is asked about, so that it is not empty before the demand is known to exceed them."""
DECIDED = 5.0
"""A difference counts if it is at least as many standard errors."""
REFERENCES = ("frozen", "proxy 0.05", "proxy 0.97", "average 0.5 h")
"""What the oracle is while closed: Friday's print, a correlated instrument by the share of variance it explains, or the market's own book."""
OPEN_DEPTH = (0.4, 6.0)
"""Range of open depth over open interest, about four times either way of the one reading (``base.DEPTH_OPEN``, 1.5): assumed."""
FACTORS = (
    Factor("weight", 0.0, 1.0, label="weight of the book in the mark"),
    Factor("reference", levels=REFERENCES, label="reference while closed"),
    Factor("depth", *base.DEPTH_OVER_INTEREST, log=True, label="closed depth over open interest"),
    Factor("half_life", *base.REFILL_HALF_LIFE, log=True, label="half-life of impact, h"),
    Factor("open_depth", *OPEN_DEPTH, log=True, label="open depth over open interest"),
    Factor("cap", levels=(5.0, 10.0, 20.0, 40.0), label="leverage cap"),
    Factor("insurance", 0.0, 0.05, label="insurance over open interest"),
)
"""What the screen varies, over ranges a venue could have or we do not know; sources in ``base``."""


class _Inline(Executor):
    """Runs each task where it is submitted: for ensembles that are themselves tasks."""

    def submit(self, function, *args, **kwargs) -> Future:
        future: Future = Future()
        future.set_result(function(*args, **kwargs))
        return future


def weekends(
    machines: Mapping[str, Machine],
    accounts: Accounts | Mapping[str, Accounts],
    closure: Closure,
    strata: Strata,
    rng: int = 1,
    outcomes: Sequence[str] | None = None,
) -> xr.Dataset:
    """Every machine through the gaps of ``strata``, as :func:`perpkit.ensemble` gives it, with the strata's ``weight`` beside each gap.

    Raises
    ------
    ValueError
        As :func:`perpkit.ensemble`.
    """
    names, parts = list(machines), []
    if outcomes is None:  # of all, so that batches agree
        outcomes = tuple(dict.fromkeys(name for machine in machines.values() for name in engine_of(machine).outcomes))
    for at in range(0, len(names), BATCH):
        some = {name: machines[name] for name in names[at : at + BATCH]}
        held = {name: accounts[name] for name in some} if isinstance(accounts, Mapping) else accounts
        parts.append(ensemble(some, held, closure, strata.gaps, rng=rng, block=1, outcomes=outcomes))
    joined = xr.concat(parts, "machine", join="exact", data_vars="minimal" if len(parts) == 1 else "all", coords="minimal", compat="override")
    return joined.assign_coords(weight=("weekend", strata.weights))


@dataclass(frozen=True)
class Comparison:
    """A paired difference of two machines: ``value`` of the first less the second, its standard error, and whether it counts."""

    first: str
    second: str
    outcome: str
    value: float
    se: float
    n: int

    @property
    def decided(self) -> bool:
        """Whether the difference is at least five standard errors."""
        return abs(self.value) >= DECIDED * self.se > 0.0

    @property
    def verdict(self) -> str:
        """The machine with less of the outcome, or "undecided"."""
        return "undecided" if not self.decided else self.first if self.value < 0.0 else self.second


def compare(run: xr.Dataset, strata: Strata, outcome: str, first: str, second: str) -> Comparison:
    """The first machine's mean of an outcome less the second's, on the same weekends."""
    x, y = (run[outcome].sel(machine=name).values for name in (first, second))
    found = strata.mean(x - y)
    return Comparison(first, second, outcome, found.value, found.se, found.n)


@dataclass(frozen=True)
class Setting:
    """What one row of a screen runs."""

    machine: Machine
    accounts: Accounts
    closure: Closure


DEPTH, HALF_LIFE = base.geometric_middle(*base.DEPTH_OVER_INTEREST), base.geometric_middle(*base.REFILL_HALF_LIFE)
"""Closed depth over open interest, and the half-life of impact in hours, in the middle of their ranges."""


def setting(
    weight: float = 0.5,
    reference: str = "average 0.5 h",
    depth: float = DEPTH,
    half_life: float = HALF_LIFE,
    open_depth: float = base.DEPTH_OPEN / base.OPEN_INTEREST,
    cap: float = 20.0,
    insurance: float = base.INSURANCE,
    hours: float = base.CLOSED_HOURS,
    case: BaseCase | None = None,
) -> Setting:
    """A machine by the screen's factors; what they leave is trade.xyz's newest rules without its band and its vault, and without funding
    while closed, which would each do part of the mark's work.

    Parameters
    ----------
    weight : of the traded price in the mark, 0 to 1; the rest is the oracle.
    reference : one of :data:`REFERENCES`.
    depth : closed depth over open interest.
    half_life : of an order's impact while closed, hours.
    open_depth : depth over open interest from the reopening on.
    cap : market's maximum leverage; maintenance is half of its initial margin, and the population is cut there.
    insurance : share of open interest.
    hours : length of the closure. The law of the gap does not change with it.
    case : what is held; :func:`perpkit.venues.base_case` by default.

    Raises
    ------
    ValueError
        If a value is out of range, or the reference unknown.
    """
    case = base_case() if case is None else case
    old = case.machine
    interest = base.OPEN_INTEREST
    book = replace(old.book, depth_closed=depth * interest, depth_open=open_depth * interest, refill_closed=math.log(2.0) / half_life)
    machine = replace(
        old, name="setting", mark=Blend(weight), oracle=_oracle(reference, old.oracle.step), band=no_band(), backstop=Backstop(0.0),
        funding=replace(old.funding, when_closed=False), margin=Margin(cap), insurance=insurance, book=book,
    )  # fmt: skip
    return Setting(machine, population(cap), replace(case.closure, hours=hours))


def _oracle(reference: str, step: float) -> Oracle:
    if reference not in REFERENCES:
        raise ValueError(f"reference is one of {', '.join(REFERENCES)}; got {reference!r}")
    kind, *rest = reference.split()
    if kind == "frozen":
        return frozen_oracle(step)
    return proxy_oracle(float(rest[0]), step) if kind == "proxy" else impact_oracle(float(rest[0]), step=step)


def screen(plan: Design | Grid, strata: Strata, rng: int = 1) -> np.ndarray:
    """Probability that a weekend breaches the insurance, in every row of a design, shape (rows,): a row a machine, all on the same weekends.

    A fund only counts what is asked of it until it is empty, so rows that differ in its size alone are one run, with a fund without end, and
    a breach is a demand above the size. Rows of one closure share their shocks. Shocks of another closure are others, at the same gaps.
    """
    case = base_case()
    rows = [setting(**row, case=case) for row in plan.rows()]
    keys = [tuple(value for name, value in row.items() if name != "insurance") for row in plan.rows()]
    first = {key: k for k, key in reversed(list(enumerate(keys)))}
    groups: dict[Closure, list[int]] = {}
    for k in sorted(first.values()):
        groups.setdefault(rows[k].closure, []).append(k)
    asked: dict[int, np.ndarray] = {}

    def some(closure: Closure, which: list[int]) -> None:
        machines = {str(k): replace(rows[k].machine, insurance=ENDLESS) for k in which}
        held = {str(k): rows[k].accounts for k in which}
        run = ensemble(machines, held, closure, strata.gaps, rng=rng, executor=_Inline(), outcomes=["insurance"])
        asked.update(zip(which, -run["insurance"].values, strict=True))

    batches = [(closure, which[at : at + BATCH]) for closure, which in groups.items() for at in range(0, len(which), BATCH)]
    with ThreadPoolExecutor(cpu_count()) as pool:
        list(pool.map(lambda batch: some(*batch), batches))
    return np.array([(asked[first[key]] > row.machine.insurance) @ strata.weights for key, row in zip(keys, rows, strict=True)])
