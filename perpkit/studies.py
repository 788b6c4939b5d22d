"""Studies: the sets of machines that more than one page compares, so that two pages quote one experiment.

A study changes one thing and holds the rest. Everything starts from the base case; what is varied, and what is not, is in the docstrings.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from perpkit import gaps
from perpkit.accounts import Accounts, cut_leverage
from perpkit.band import no_band, ratchet, static_band
from perpkit.base import DEPTH_OVER_INTEREST, INSURANCE, OPEN_INTEREST
from perpkit.book import Book
from perpkit.cascade import feedback
from perpkit.clock import Closure
from perpkit.engine import Run, simulate
from perpkit.ensemble import ensemble
from perpkit.funding import Funding
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.mark import Blend, Median, Mid, OracleMark
from perpkit.oracle import frozen_oracle, impact_oracle
from perpkit.phase import REPEATS, cascade_wall, plane
from perpkit.theory import LeverageLaw
from perpkit.value import Value
from perpkit.venues import base_case, population, populations, venue
from perpkit.waterfall import Backstop, Liquidation

if TYPE_CHECKING:
    from perpkit.predictive import Predictive

ERAS = {"launch": "2025-10-31", "article": "2025-12-21", "today": "2026-10-31"}
"""Dates on which trade.xyz's rules are read: the month it opened, the day of the article, and the last set this book knows."""
POPULATION_SEED = 1
POPULATION_SIZE = 10_000
"""Accounts. Many, because they cost nothing and a single large account should not decide a comparison of rules."""


def eras(market: str = "TSLA") -> dict[str, Machine]:
    """trade.xyz at three dates, and the rules of the article's date with the oracle frozen at Friday's print.

    Rules are those in force; every machine stands on the base case's book and has its insurance fund, so that only rules differ. Dates and the
    fourth machine belong to trade.xyz; for another venue take :func:`perpkit.venues.venue` at dates of its own.
    """
    machines = {name: replace(venue("trade-xyz", market, asof), name=name, insurance=INSURANCE) for name, asof in ERAS.items()}
    step = machines["article"].oracle.step
    machines["frozen"] = replace(machines["article"], name="frozen", oracle=frozen_oracle(step=step))
    return machines


def mark_rules(max_leverage: float = 10.0) -> dict[str, Machine]:
    """Mark rules and bands on one book, one clamp, one waterfall: what a venue may decide about its mark, and nothing else.

    Two oracles (frozen, and trade.xyz's impact average with the hour it had on the article's date), six marks on each, and three bands on
    the median of the second. Clamp of 50 bp, insurance of the base case, no vault. Funding is off while closed: it moves equity by itself,
    and would hide what the mark does.
    """
    common = venue("trade-xyz", "TSLA", ERAS["article"])
    quiet = replace(common.funding, when_closed=False)
    common = replace(common, margin=Margin(max_leverage), funding=quiet, insurance=INSURANCE, backstop=Backstop(0.0), band=no_band())
    step = common.mark_step
    oracles = {"frozen": frozen_oracle(step=step), "average": impact_oracle(1.0, step=step)}
    marks = {"oracle": OracleMark(), "25 % mid": Blend(0.25), "50 % mid": Blend(0.5), "75 % mid": Blend(0.75), "mid": Mid(), "median": Median()}
    machines = {f"{o}, {m}": replace(common, oracle=oracle, mark=mark) for o, oracle in oracles.items() for m, mark in marks.items()}
    bands = {"static 10 %": static_band(0.10), "static 5 %": static_band(0.05), "ratchet 5 %": ratchet(0.05)}
    machines |= {f"average, median, {b}": replace(machines["average, median"], band=band) for b, band in bands.items()}
    return {name: replace(machine, name=name) for name, machine in machines.items()}


def changes(market: str = "TSLA") -> dict[str, Machine]:
    """What trade.xyz changed between the article's date and today: each change alone on the article's rules, then all but each."""
    both = eras(market)
    old, new = both["article"], both["today"]
    parts = {
        "oracle of half an hour": {"oracle": new.oracle},
        "ratchet of 5 %": {"band": new.band},
        "leverage cap of 20x": {"margin": new.margin},
        "vault": {"backstop": new.backstop},
        "funding clamp of 3 bp": {"funding": new.funding},
    }
    machines = {"none": old} | {f"only: {name}": replace(old, **part) for name, part in parts.items()} | {"all": new}
    undone = {name: {field: getattr(old, field) for field in part} for name, part in parts.items()}
    return machines | {f"all but: {name}": replace(new, **part) for name, part in undone.items()}


def launch_parts(market: str = "TSLA") -> dict[str, Machine]:
    """What parts trade.xyz's launch rules from those of the article's date: the oracle's time constant and the size of funding.

    Each alone on the launch rules, and both dates with funding off while closed: if the dates differ through funding alone, they agree there.
    """
    both = eras(market)
    old, new = both["launch"], both["article"]
    machines = {
        "launch": old,
        "launch, later oracle": replace(old, oracle=new.oracle),
        "launch, later funding": replace(old, funding=new.funding),
        "article": new,
        "launch, unfunded": replace(old, funding=replace(old.funding, when_closed=False)),
        "article, unfunded": replace(new, funding=replace(new.funding, when_closed=False)),
    }
    return {name: replace(machine, name=name) for name, machine in machines.items()}


def closed_market(max_leverage: float = 20.0) -> Machine:
    """A venue reduced to its closed market, for chapter 5: the mid against an oracle frozen at the close, base book, clamp of 50 bp.

    No band, no vault, no fund, no ADL, no funding while closed; accounts are sold whole. The reopening is made harmless by an open book without end,
    so that what is lost is lost to the gap or to the closed book. Change the mark or the closed book to ask a question.
    """
    machine = mark_rules(max_leverage)["frozen, mid"]
    book = replace(machine.book, depth_open=math.inf)
    return replace(machine, name="closed market", book=book, insurance=0.0, adl="none", liquidation=Liquidation())


CROWDS = {
    "cap of 20x": {"max_leverage": 20.0},
    "cap of 10x": {"max_leverage": 10.0},
    "22 to 30x": {"max_leverage": 30.0, "leverage_median": 26.0, "leverage_sd": 0.1},
}
"""Built-in populations: the base case under today's cap and that of the article's date, and the stress of BitMEX in 2019 (leverage 22 to 30)."""


def crowd(name: str, n: int = POPULATION_SIZE, rng: int = POPULATION_SEED) -> tuple[Accounts, Margin, LeverageLaw]:
    """A population of :data:`CROWDS`, the margin rule it lives under, and the law it is drawn from. Maintenance is half of initial margin at
    the cap, at the stress a venue's that allows 100x."""
    if name not in CROWDS:
        raise ValueError(f"no crowd {name!r}; choose one of {', '.join(map(repr, CROWDS))}")
    options = CROWDS[name]
    margin = Margin(100.0) if name == "22 to 30x" else Margin(options["max_leverage"])
    law = LeverageLaw(
        OPEN_INTEREST, options.get("leverage_median", 3.7), options.get("leverage_sd", 0.61), options["max_leverage"], margin.maintenance
    )
    return Accounts.sample(n, rng=rng, open_interest=OPEN_INTEREST, **options), margin, law


def sudden(hour: float = 1.0, hours: float = 3.0) -> Closure:
    """A short closure with one piece of news that the book knows at once (give the book ``follow_closed`` of infinity): a clean shock."""
    return Closure(hours, reopen_minutes=1.0, value=Value(news_share=1.0, news_hours=(hour,), sd=1e-9))


def shocked(
    name: str, weight: float = 1.0, depth: float = 1.0, refill: float | None = None, people: int = POPULATION_SIZE, **rules
) -> tuple[Machine, Accounts, LeverageLaw]:
    """A machine for :func:`sudden`, its accounts and the law they come from: a crowd's margin, a blend of ``weight``, a book of ``depth`` open
    interests that informed flow moves at once and noise not at all, no clamp; further fields in ``rules``. ``refill`` per hour, None for the
    base case's; ``people`` accounts.
    """
    accounts, margin, law = crowd(name, people)
    machine = closed_market()
    refill = machine.book.refill_closed if refill is None else refill
    book = replace(
        machine.book, depth_closed=depth * accounts.open_interest, refill_closed=refill, follow_closed=math.inf, noise_closed=0.0, limit=5.0
    )
    return replace(machine, **{"mark": Blend(weight), "mark_step": math.inf, "margin": margin, "book": book} | rules), accounts, law


def rules_of_n() -> dict[str, dict]:
    """Fields that change one rule of :func:`shocked` at a time: what a venue could do about the reproduction number."""
    fifth = Liquidation(partial_threshold=1e5, cooldown_s=30.0)
    return {
        "mid, whole accounts": {"mark": Mid()},
        "half the weight": {"mark": Blend(0.5)},
        "median, basis over 150 s": {"mark": Median(150.0)},
        "clamp of 50 bp": {"mark": Mid(), "mark_step": 0.005},
        "band of 10 %": {"mark": Mid(), "band": static_band(0.10)},
        "a fifth first, above 100k": {"mark": Mid(), "liquidation": fifth},
        "the same, no cooldown": {"mark": Mid(), "liquidation": replace(fifth, cooldown_s=0.0)},
    }


def slow_motion() -> tuple[Machine, Accounts, Closure, float]:
    """One cascade at the cadence of the mark: the base population at 20x, the mid as mark, a book of 2.4 open interests, a fall of 7 %."""
    machine, accounts, _ = shocked("cap of 20x", depth=2.4, mark=Mid())
    return machine, accounts, replace(sudden(hours=2.0), closed_step_s=3.0), -0.07


def closed_limits(people: int = POPULATION_SIZE) -> dict[str, Accounts]:
    """The base population at 20x as a venue's Friday evening may leave it: leverage cut, by closing whoever holds more or by reducing him to
    the cap, or every position cut to a share."""
    friday = population(20.0, people)

    def kept(part: float) -> Accounts:
        return replace(friday, size=part * friday.size, collateral=part * friday.collateral)

    ways = {"closed": "close", "reduced": "reduce"}
    cuts = {f"{cap:g}x, others {word}": cut_leverage(friday, cap, how) for cap in (10.0, 7.0) for word, how in ways.items()}
    return {"as on Friday": friday} | cuts | {"three quarters of each": kept(0.75), "half of each": kept(0.5), "a tenth of each": kept(0.1)}


PHASE_WEIGHTS = tuple(np.linspace(0.0, 1.0, 9))
PHASE_DEPTHS = tuple(np.geomspace(*DEPTH_OVER_INTEREST, 9))
"""The plane of mark weight and closed depth over open interest."""


def phase_plane(symbol: str = "TSLA", rng: int = 5, rough: bool = False) -> xr.Dataset:
    """Loss and phantom solvency over mark weight and closed depth: :func:`closed_market`, the base population at 20x, every weekend of the
    record. Closed steps of 5 minutes and 3 minutes of reopening, in which the clamped mark arrives. ``rough`` stops after the first round,
    the same for every cell: a seventh of the work, and colours on the walls that may be one off.
    """
    accounts = population(20.0)
    closure = replace(base_case().closure, closed_step_s=300.0, reopen_minutes=3.0)
    record = gaps.empirical(symbol).gaps
    enough = {"least": REPEATS * record.size, "most": REPEATS * record.size} if rough else {}
    return plane(closed_market(), accounts, closure, record, PHASE_WEIGHTS, PHASE_DEPTHS, rng=rng, **enough)


def phase_line(symbol: str = "TSLA") -> np.ndarray:
    """The formula's cascade wall for :func:`phase_plane`: depths over open interest, and weights below which no chain feeds itself anywhere
    among the gaps on record; shape (2, points)."""
    record = gaps.empirical(symbol).gaps
    depths = np.geomspace(PHASE_DEPTHS[0] / 1.3, PHASE_DEPTHS[-1] * 1.3, 40)
    loop = feedback(closed_market(), base_case().closure)
    return np.array([depths, cascade_wall(crowd("cap of 20x")[2], loop, depths, np.linspace(record.min(), record.max(), 301))])


def replay(symbol: str, repeats: int = 8, rng: int = 2026, market: str | None = None, table: pd.DataFrame | None = None) -> xr.Dataset:
    """Every weekend of ``symbol`` since 2010 through :func:`eras`, the path inside the weekend drawn ``repeats`` times.

    The rules are those of ``market``, by default the market of that stock: for a stock that trade.xyz's rules are not known for, name one whose
    they shall be. ``table`` holds closures to use instead, as in :func:`perpkit.gaps.empirical`.

    The gaps are cash close to cash open. Machines on a 24/5 feed are closed for 48 h and meet less of the gap, so losses are an upper
    bound.
    """
    machines, law = eras(symbol if market is None else market), gaps.empirical(symbol, table=table)
    return ensemble(machines, populations(machines, POPULATION_SIZE), base_case().closure, law.gaps, n=repeats * len(law), rng=rng)


def recent_law(symbol: str, years: int = 5, seed: int = 7) -> Predictive:
    """Law of an average weekend of the last ``years``: a tempered t over the volatility of nights, of the forecasts out of sample the one that
    TSLA's weekends do not reject and under which a short's mean loss exists.

    ``symbol`` is a stock of ``closures.csv``, which has its nights. Two hundred posterior draws, each mixed over 12 quantiles of the volatility
    before those weekends. Its record is that of all weekends, so that
    a tail share counts what has never been seen and not what these years have not.
    """
    from perpkit.posterior import posteriors  # its samplers take a while to load

    sample = gaps.empirical(symbol)
    start = sample.dates[-1] - pd.DateOffset(years=years)
    post = posteriors([symbol], ["tempered-t"], seed, volatility="nights", start=f"{start:%Y-%m-%d}")[symbol, "tempered-t"]
    levels = np.quantile(post.scale, (np.arange(12) + 0.5) / 12)
    return dataclasses.replace(post.predictive(200, volatility=levels), record=sample.record)


def forecast(symbol: str, law: gaps.Law, n: int = 4096, rng: int = 2026) -> xr.Dataset:
    """Weekends of a law of the gap, such as a posterior's predictive law, through trade.xyz's rules for the market ``symbol`` at the dates of
    ``ERAS``: one gap from each of ``n`` equal strata. The law may be that of another stock.

    With a ``Predictive`` law :func:`perpkit.estimate.credible` gives every outcome its interval over the posterior.
    """
    machines = {name: machine for name, machine in eras(symbol).items() if name in ERAS}
    return ensemble(machines, populations(machines, POPULATION_SIZE), base_case().closure, law, n=n, rng=rng)


def sunday(hour: float = 40.0) -> Closure:
    """The base case's weekend with one piece of news ``hour`` hours after the close (40 is Sunday noon in New York), and a value that stays
    put once printed."""
    closure = base_case().closure
    return replace(closure, value=replace(closure.value, news_share=1.0, news_hours=(hour,), open_vol=0.0))


def one_long(leverage: float, step: float = 0.005) -> Run:
    """The article's weekend for one long of one share, in a book that one order does not move; ``step`` clamps oracle and mark (infinity
    for no clamp).

    Oracle frozen on Friday, maintenance half of initial margin, no funding while closed, nobody to deleverage.
    """
    inf = math.inf
    book = Book(depth_open=inf, depth_closed=inf, half_spread_open=0.0, half_spread_closed=0.0, follow_open=inf, follow_closed=0.0)
    machine = Machine(
        oracle=frozen_oracle(step=step), mark_step=step, margin=Margin(leverage), book=book, adl="none", funding=Funding(when_closed=False)
    )
    return simulate(machine, Accounts([1], [1.0], [250.0], [250.0 / leverage]), sunday(), gap=article_gap())


def article_gap() -> float:
    """Friday 250, Monday 220, as a log return."""
    return math.log(220.0 / 250.0)
