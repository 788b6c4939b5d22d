"""Episodes: two attacks that happened, played again with what is known of them and scanned over what is not.

Neither is fitted. A case has facts, as the press or the venue gave them, each with the room that its source leaves; and unknowns, each with
a range. ``scan_xyz100`` and ``scan_skhx`` run every combination and say which facts each meets: what is left is the range of the unknowns under which the
model can have it so.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from perpkit.accounts import Accounts
from perpkit.attack import STILL, quiet
from perpkit.clock import Closure
from perpkit.engine import Run, simulate
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.orders import Misprint, Orders
from perpkit.venues import venue


class Fact(NamedTuple):
    """A published number and the interval taken to agree with it."""

    said: float
    low: float
    high: float


SOLD, LARGE = 10e6, (7.4e6, 2.7e6)
"""XYZ100: USD sold by the attacker, and the notional of the two longs that the press names."""
BEFORE = 1127.9
"""SKHX: mark before the print, USD (trade.xyz, 2026-07-29)."""

XYZ100 = {
    "fall": Fact(0.035, 0.03, 0.04),
    "liquidated": Fact(13e6, 10e6, 16e6),
    "minutes": Fact(math.nan, 0.0, 30.0),
    "left": Fact(math.nan, -0.005, 0.005),
}
"""XYZ100 on a weekend of December 2025 (press): deepest fall of the traded price; notional liquidated, USD; minutes from
-1 % to the low, "minutes"; distance from the oracle's start half an hour after the low, "left"."""

SKHX = {
    "mark": Fact(-0.1868, -0.1968, -0.1768),
    "price": Fact(927.0 / BEFORE - 1.0, -0.188, -0.168),
    "liquidated": Fact(57.4e6, 46e6, 69e6),
    "deleveraged": Fact(10.8e6, 5.4e6, 16.2e6),
}
"""SK Hynix on 2026-07-27: lowest mark against the print before (trade.xyz, 2026-07-29); lowest traded price, from the hourly candle; notional
liquidated and taken from shorts by auto-deleveraging, USD (press, from one statement)."""


@lru_cache(maxsize=16)
def _people(max_leverage: float, interest: float, price: float) -> Accounts:
    return Accounts.sample(2_000, rng=1, max_leverage=max_leverage, open_interest=interest, price=price)


def _leveraged(notional: float, distance: float, price: float, maintenance: float) -> tuple[float, float, float, float]:
    """Side, size, entry and collateral of a long that is called once the mark has fallen by ``distance``."""
    size = notional / price
    return 1.0, size, price, size * price * (1.0 - (1.0 - distance) * (1.0 - maintenance))


def xyz100(
    depth: float,
    half_life: float,
    distance: float | None,
    interest: float = 100e6,
    kappa: float | None = None,
    hours: float = 6.0,
    sold: float = SOLD,
) -> tuple[Machine, Accounts, Closure, Orders]:
    """The case: ``sold`` USD in equal orders a minute over ``hours``, two large longs among the base population.

    Parameters
    ----------
    depth : closed depth over open interest.
    half_life : of impact, hours.
    distance : how far the mark must fall to call the two longs of :data:`LARGE`; None leaves them out.
    interest : USD a side (111.9 and about 100 million in January 2026, ``data/xyz_market_snapshots.csv``).
    kappa : funding intensity per hour; None is the venue's.
    """
    machine = replace(quiet(venue("trade-xyz", "XYZ100", "2025-12-14")), name="XYZ100")
    book = replace(machine.book, depth_closed=depth * interest, refill_closed=math.log(2.0) / half_life, follow_closed=0.0)
    funding = machine.funding if kappa is None else replace(machine.funding, multiplier=8.0 * kappa)
    machine = replace(machine, book=book, funding=funding)
    people = _people(25.0, interest, 250.0)
    if distance is not None:
        large = [_leveraged(usd, distance, people.price, machine.margin.maintenance) for usd in LARGE]
        room = 1.0 - sum(LARGE) / interest * (people.side > 0.0)  # the base longs make room for them
        columns = zip((people.side, people.size * room, people.entry, people.collateral * room), zip(*large, strict=True), strict=True)
        people = Accounts(*(np.concatenate([mine, theirs]) for mine, theirs in columns), people.price)
    count = round(60 * hours)
    orders = Orders(tuple(1.0 + np.arange(count) / 60.0), (-sold / count,) * count)
    return machine, people, Closure(hours + 4.0, reopen_minutes=5.0, value=STILL), orders


def seen_xyz100(run: Run, accounts: Accounts) -> pd.Series:
    """What the facts of :data:`XYZ100` are in a run."""
    fall = 1.0 - run.path["P"].values / accounts.price
    time = run.path["time"].values
    low = int(np.argmax(fall))
    began = int(np.argmax(fall > 0.01)) if fall[low] > 0.01 else low
    later = int(np.searchsorted(time, time[low] + 0.5 - 1e-9))
    return pd.Series(
        {
            "fall": float(fall[low]),
            "liquidated": float(run.outcome["liquidated_closed"] + run.outcome["liquidated_open"]) * accounts.open_interest,
            "minutes": 60.0 * float(time[low] - time[began]),
            "left": float(fall[min(later, len(fall) - 1)]),
        }
    )


def scan_xyz100(
    depths=(0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0), half_lives=(1 / 60, 2.5 / 60, 5 / 60, 10 / 60, 20 / 60, 1.0, 8.0),
    distances=(None, 0.0025, 0.005, 0.01, 0.02), kappas=(None,),
) -> pd.DataFrame:  # fmt: skip
    """Every combination of the unknowns: a row each, with what is seen and, by fact, whether it fits; ``all`` if all do."""
    rows = []
    for depth, half_life, distance, kappa in itertools.product(depths, half_lives, distances, kappas):
        machine, people, closure, orders = xyz100(depth, half_life, distance, kappa=kappa)
        seen = seen_xyz100(simulate(machine, people, closure, 0.0, orders=orders), people)
        unknowns = {"depth": depth, "half_life": half_life, "distance": math.nan if distance is None else distance, "kappa": machine.funding.kappa}
        rows.append(unknowns | seen.to_dict() | _fits(seen, XYZ100))
    return pd.DataFrame(rows)


def skhx(
    depth: float,
    half_life: float,
    followed: float,
    minutes: float,
    interest: float = 150e6,
    size: float = -0.1868,
) -> tuple[Machine, Accounts, Closure, tuple[Misprint]]:
    """The case: one bad print stands for ``minutes`` while the reference is open.

    Parameters
    ----------
    depth : open depth over open interest.
    half_life : of impact while open, hours.
    followed : share of the print's error that makers follow with their quotes.
    minutes : for how long the print is the newest.
    interest : USD a side; not published.
    size : relative error of the print.
    """
    machine = replace(quiet(venue("trade-xyz", "TSLA", "2026-07-27")), name="SKHX", margin=Margin(10.0), insurance=0.0)
    book = replace(machine.book, depth_open=depth * interest, refill_open=math.log(2.0) / half_life)
    people = _people(10.0, interest, BEFORE)
    start = 1.0 + 1.0 / 60.0
    return replace(machine, book=book), people, Closure(1.0, reopen_minutes=60.0, value=STILL), (
        Misprint(start, start + minutes / 60.0, math.log1p(size), followed),
    )  # fmt: skip


def seen_skhx(run: Run, accounts: Accounts) -> pd.Series:
    """What the facts of :data:`SKHX` are in a run, and ``lost``, what liquidated and other longs lost in all, USD."""
    return pd.Series(
        {
            "mark": float(run.path["M"].min()) / accounts.price - 1.0,
            "price": float(run.path["P"].min()) / accounts.price - 1.0,
            "liquidated": float(run.outcome["liquidated_open"]) * accounts.open_interest,
            "deleveraged": float(run.outcome["adl_size"]) * accounts.open_interest,
            "lost": -float(run.ledger["longs"]),
        }
    )


def scan_skhx(
    depths=(0.25, 0.5, 1.0, 2.0, 4.0), half_lives=(0.5 / 60, 2 / 60, 5 / 60), followed=(0.0, 0.25, 0.5, 0.75, 1.0),
    minutes=(1.0, 2.0, 3.0, 5.0), interests=(75e6, 150e6, 300e6),
) -> pd.DataFrame:  # fmt: skip
    """Every combination of the unknowns: a row each, with what is seen and, by fact, whether it fits; ``all`` if all do."""
    rows = []
    for depth, half_life, share, long, interest in itertools.product(depths, half_lives, followed, minutes, interests):
        machine, people, closure, bad = skhx(depth, half_life, share, long, interest)
        seen = seen_skhx(simulate(machine, people, closure, 0.0, misprints=bad), people)
        unknowns = {"depth": depth, "half_life": half_life, "followed": share, "minutes": long, "interest": interest}
        rows.append(unknowns | seen.to_dict() | _fits(seen, SKHX))
    return pd.DataFrame(rows)


def _fits(seen: pd.Series, facts: dict[str, Fact]) -> dict[str, bool]:
    met = {f"{name} fits": bool(fact.low <= seen[name] <= fact.high) for name, fact in facts.items()}
    return met | {"all": all(met.values())}
