"""Two engines, one weekend: the package against the slow engine beside this file, to the cent.

The slow engine visits every account at every update and shares no rule with the package. Seeds are fixed, so a failure names the machine that
makes it.
"""

from __future__ import annotations

import importlib
import math
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from slow_engine import NEWER, random_case, random_outside, replay

import perpkit as pk
from perpkit.mark import LAST_MEDIAN

SEEDS = (*range(160), 205, 1544, 1858, *range(NEWER, NEWER + 160))
"""Three, 205 to 1858, empty the vault to the last share and then meet large accounts, where rounding once decided how these were sold."""
LONG_SEEDS = range(9000, 9006)
CENT = 0.005


@lru_cache(maxsize=None)
def quick(seed: int, hours: float | None = None):
    """The weekend of a seed, from the package."""
    case = random_case(seed, hours)
    return pk.simulate(*case, rng=seed, weekend=seed % 3, **random_outside(seed, *case[1:3]))


@lru_cache(maxsize=None)
def both(seed: int, hours: float | None = None):
    """The weekend of a seed, from the package and from the slow engine."""
    case = random_case(seed, hours)
    return quick(seed, hours), replay(*case, seed=seed, weekend=seed % 3, **random_outside(seed, *case[1:3]))


def apart(a: float, b: float) -> bool:
    """Whether two numbers differ by more than rounding; no event (nan) equals no event."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) != math.isnan(b)
    return abs(a - b) > 1e-9 * max(abs(a), abs(b)) + 1e-12


def differences(run, slow) -> list[str]:
    """Where two results of a weekend differ, the first step named where a path does."""
    found = [f"{k}: {x} against {slow.outcome[k]}" for k, x in run.outcome.items() if k != "imbalance" and apart(x, slow.outcome[k])]
    found += [f"{k} USD: {x} against {slow.ledger[k]}" for k, x in run.ledger.items() if abs(x - slow.ledger[k]) > CENT]
    for name, steps in slow.path.items():
        x, y = run.path[name].values[1:], np.array(steps)
        off = np.abs(x - y) > 1e-9 * np.abs(y) + (CENT if name == "fund" else 1e-12)
        if name != "imbalance" and off.any():
            step = int(np.argmax(off))
            found.append(f"path of {name} from step {step}: {x[step]} against {y[step]}")
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_weekend_to_the_cent(seed):
    run, slow = both(seed)
    assert set(run.outcome.index) == set(slow.outcome)
    assert set(run.path.data_vars) == set(slow.path)
    assert differences(run, slow) == []
    interest = random_case(seed)[1].open_interest
    assert max(slow.path["imbalance"]) <= 1e-9 * interest  # otherwise the witness itself loses money


@pytest.mark.parametrize("seed", LONG_SEEDS)
def test_a_random_weekend_of_48_hours(seed):
    run, slow = both(seed, 48.0)
    assert differences(run, slow) == []


@pytest.mark.parametrize("gap", [-0.15, 0.12])
def test_a_cascade_of_the_base_population_on_a_thin_book(gap):
    machine = pk.Machine(
        oracle=pk.impact_oracle(1.0, step=0.005),
        mark_step=0.005,
        band=pk.ratchet(0.05),
        funding=pk.Funding(multiplier=0.5),
        liquidation=pk.Liquidation(partial_threshold=1e5, fee=0.0005),
        backstop=pk.Backstop(0.01),
        insurance=0.005,
        book=pk.Book(depth_closed=9e6, noise_closed=0.002, noise_open=0.002, permanent=0.2, follow_closed=0.3, carry=True),
    )
    accounts = pk.Accounts.sample(n=120, rng=3)
    closure = pk.Closure(48.0)
    run, slow = pk.simulate(machine, accounts, closure, gap, rng=5), replay(machine, accounts, closure, gap, seed=5)
    assert differences(run, slow) == []
    assert run.outcome["liquidated_closed"] > 0.05
    assert run.outcome["generations"] > 1


@pytest.mark.parametrize("seed", SEEDS)
def test_an_ensemble_runs_the_same_weekend(seed):
    """The ensemble runs many steps in one go where nobody is forced; a single weekend stops at each."""
    (machine, accounts, closure, gap), weekend = random_case(seed), seed % 3
    outside = random_outside(seed, accounts, closure)
    ens = pk.ensemble(machine, accounts, closure, np.full(weekend + 1, gap), rng=seed, **outside).isel(machine=0, weekend=weekend)
    slow = both(seed)[1]
    assert [k for k in pk.OUTCOMES if k != "imbalance" and apart(float(ens[k]), slow.outcome[k])] == []


def makers_case(seed: int) -> tuple:
    """A random weekend whose closed book changes from hour to hour."""
    machine, accounts, closure, gap = random_case(seed, [0.5, 1.0, 2.5, 3.0, 6.0][seed % 5])
    rng = np.random.default_rng([5, seed])
    n = int(rng.integers(1, 6))
    closed = pk.Liquidity(
        hours_left=np.cumsum(rng.uniform(0.05, 2.0, n)),
        depth=accounts.open_interest * np.exp(rng.uniform(math.log(0.1), math.log(6.0), n)),
        half_spread=rng.uniform(0.0, 0.005, n),
        refill=rng.choice([0.0, 1.0], n) * rng.uniform(0.0, 10.0, n),
    )
    return pk.replace(machine, book=pk.replace(machine.book, closed=closed)), accounts, closure, gap


@pytest.mark.parametrize("seed", range(60))
def test_a_random_weekend_of_makers_who_requote_by_the_hour(seed):
    case = makers_case(seed)
    run, slow = pk.simulate(*case, rng=seed), replay(*case, seed=seed)
    assert differences(run, slow) == []
    ens = pk.ensemble(*case[:3], np.array([case[3]]), rng=seed).isel(machine=0, weekend=0)
    assert [k for k in pk.OUTCOMES if k != "imbalance" and apart(float(ens[k]), slow.outcome[k])] == []


def test_the_hours_matter():
    """With Friday's first row for the whole closure a good part of these weekends would have ended otherwise: the comparison above is of something."""
    moved = 0
    for seed in range(60):
        machine, *rest = makers_case(seed)
        book = machine.book.closed
        flat = pk.Liquidity(0.0, book.depth[-1], book.half_spread[-1], book.refill[-1])
        one, other = (pk.replace(machine, book=pk.replace(machine.book, closed=c)) for c in (book, flat))
        apart_by = pk.simulate(one, *rest, rng=seed).outcome - pk.simulate(other, *rest, rng=seed).outcome
        moved += len(book.depth) > 1 and bool(apart_by.abs().max() > 1e-6)
    assert moved > 10


@pytest.mark.parametrize("seed", range(0, 160, 4))
def test_generations_in_the_log(seed):
    """Each update with forced orders stands in the log with its time, its size, and the number of such updates in a row before it."""
    run, slow = both(seed)
    log = run.events[run.events["kind"].isin(["liquidation", "partial", "backstop", "adl"])]
    seen = log.groupby("time", sort=True).agg(size=("size", "sum"), generation=("generation", "max"), least=("generation", "min"))
    seen = seen.iloc[: len(slow.orders)] if len(seen) in (len(slow.orders), len(slow.orders) + 1) else seen  # the last pass is nobody's update
    merged: dict[float, tuple[float, int]] = {}
    for time, shares, generation in slow.orders:
        merged[round(time, 9)] = (shares, generation)
    assert len(seen) == len(merged)
    for (time, row), (when, (shares, generation)) in zip(seen.iterrows(), merged.items(), strict=True):
        assert time == pytest.approx(when, abs=1e-9)
        assert row["generation"] == generation
        if time < seen.index[-1]:
            assert row["least"] == generation and row["size"] == pytest.approx(shares, rel=1e-9)


def test_every_outcome_is_at_work():
    """A comparison of zeros proves nothing: each outcome must be there in many of the weekends compared."""
    outcomes = [quick(seed).outcome for seed in SEEDS]
    for name in pk.OUTCOMES:
        if name != "imbalance":
            seen = sum(1 for o in outcomes if o[name] != 0.0 and not math.isnan(o[name]))
            assert seen >= 8, f"{name} differs from zero in {seen} of {len(outcomes)} weekends only"


def test_events_add_up_to_the_outcomes():
    for seed in SEEDS:
        run, interest = quick(seed), random_case(seed)[1]
        sizes = run.events.groupby("kind")["size"].sum() * interest.price / interest.open_interest
        gone = sum(sizes.get(kind, 0.0) for kind in ("liquidation", "partial", "backstop", "adl"))
        assert gone == pytest.approx(run.outcome["liquidated_closed"] + run.outcome["liquidated_open"], rel=1e-9, abs=1e-12)
        assert sizes.get("adl", 0.0) == pytest.approx(run.outcome["adl_size"], rel=1e-9, abs=1e-12)
        assert (np.diff(run.events.time) > -1e-12).all()


# --- the comparison can fail -----------------------------------------------------------------------------------------------------------


def changed(part: str, **fields):
    """A change of one part of a machine."""
    return lambda m: pk.replace(m, **{part: pk.replace(getattr(m, part), **fields)})


WRONG = {
    "cooldown forgotten": lambda m: pk.replace(m, liquidation=pk.replace(m.liquidation, cooldown_s=0.0)),
    "no partial liquidation": changed("liquidation", partial_threshold=math.inf),
    "slices of another size": changed("liquidation", partial_share=0.9),
    "fee forgotten": changed("liquidation", fee=0.0),
    "vault too large": changed("backstop", capacity=5.0),
    "vault too early": changed("backstop", threshold=0.9),
    "queue for pro rata": lambda m: pk.replace(m, adl={"pro-rata": "queue"}.get(m.adl, m.adl)),
    "no deleveraging": lambda m: pk.replace(m, adl="none"),
    "larger fund": lambda m: pk.replace(m, insurance=min(m.insurance + 0.001, 1.0)),
    "impact all transient": changed("book", permanent=0.0),
    "no refill": changed("book", refill_closed=0.0, refill_open=0.0),
    "push without limit": changed("book", limit=50.0),
    "hedge asleep": changed("book", follow_closed=0.0),
    "noise off": changed("book", noise_closed=0.0),
    "open noise off": changed("book", noise_open=0.0),
    "carry forgotten": changed("book", carry=False, capacity=math.inf, expects=0.0),
    "deep pockets": changed("book", capacity=math.inf),
    "nothing expected": changed("book", expects=0.0),
    "half spread off": changed("book", half_spread_closed=0.0),
    "oracle never capped": changed("oracle", cap=1.0),
    "oracle never clamped": changed("oracle", step=math.inf),
    "mark never clamped": lambda m: pk.replace(m, mark_step=math.inf),
    "wall forgotten": changed("oracle", wall=math.inf),
    "night like a weekend": changed("oracle", night_tau=None),
    "old print never forgotten": changed("oracle", weight_tau=1e6),
    "a better proxy": changed("oracle", r2=1.0),
    "band round the last print": changed("band", follows=False),
    "another average": lambda m: pk.replace(m, mark=pk.replace(m.mark, average_s=m.mark.average_s * 1.1)),
    "average alone": lambda m: pk.replace(m, mark=pk.replace(m.mark, params=(m.mark.params[0], 0.0)) if m.mark.code == LAST_MEDIAN else m.mark),
    "no limit on orders": changed("liquidation", order_band=math.inf),
    "limit for zero price": lambda m: pk.replace(
        m, liquidation=pk.replace(m.liquidation, orders={"zero-price": "limit"}.get(m.liquidation.orders, m.liquidation.orders))
    ),
    "fund without a margin": lambda m: pk.replace(m, backstop=pk.replace(m.backstop, margin=0.0) if m.backstop.equity < math.inf else m.backstop),
    "a larger shard": lambda m: pk.replace(m, backstop=pk.replace(m.backstop, equity=m.backstop.equity + 0.01)),
    "profit not asked for": lambda m: pk.replace(m, adl={"queue": "crossing"}.get(m.adl, m.adl)),
    "profit asked for": lambda m: pk.replace(m, adl={"crossing": "queue"}.get(m.adl, m.adl)),
    "batches at once": changed("batch", interval_s=0.0),
    "batches without a cap": changed("batch", cap=math.inf),
    "no halt": changed("batch", halt=None),
    "no refund": lambda m: pk.replace(m, refund=0.0),
    "no band": lambda m: pk.replace(m, band=pk.no_band()),
    "band never moves": changed("band", resets=0),
    "band moves late": changed("band", trigger=1.0),
    "basis average": lambda m: pk.replace(m, mark=pk.replace(m.mark, basis_s=m.mark.basis_s * 1.5)),
    "other premium": changed("funding", premium="dead-zone"),
    "funding while closed": changed("funding", when_closed=True),
    "funding uncapped": changed("funding", cap_per_hour=1.0),
    "clamp on the premium": changed("funding", clamp_8h=5e-4),
    "multiplier": changed("funding", multiplier=1.0),
    "maintenance": lambda m: pk.replace(m, margin=pk.replace(m.margin, maintenance=0.999 * m.margin.maintenance)),
    "impact notional": lambda m: pk.replace(m, impact_notional=1.01 * m.impact_notional),
}


FORGOTTEN = {
    "orders": lambda o: pk.Orders(),
    "their signs": lambda o: pk.replace(o, notional=tuple(-x for x in o.notional)),
    "their hours": lambda o: pk.replace(o, hours=tuple(0.9 * h for h in o.hours)),
    "closing": lambda o: pk.replace(o, close_hours=()),
    "position": lambda o: pk.replace(o, position=0.0),
    "entry": lambda o: pk.replace(o, entry=None),
}


@pytest.mark.parametrize("part", [*FORGOTTEN, "misprints", "their following"])
def test_a_part_of_what_comes_from_outside_forgotten_is_noticed(part):
    for seed in (s for s in SEEDS if s % 2 == 0):
        case = random_case(seed)
        told = random_outside(seed, *case[1:3])
        orders, bad = told["orders"], told.get("misprints", ())
        wrong = {"orders": FORGOTTEN[part](orders) if part in FORGOTTEN else orders}
        wrong["misprints"] = () if part == "misprints" else tuple(pk.replace(b, followed=0.0) if part == "their following" else b for b in bad)
        if differences(quick(seed), replay(*case, seed=seed, weekend=seed % 3, **wrong)):
            return
    pytest.fail(f"no weekend tells the engine from one without {part}")


@pytest.mark.parametrize("rule", WRONG)
def test_a_wrong_rule_is_noticed(rule):
    """The slow engine with one rule changed must disagree on some weekend; the package says in a moment which to try."""
    for seed in SEEDS:
        machine, *rest = random_case(seed)
        wrong, right = WRONG[rule](machine), quick(seed)
        told = {"weekend": seed % 3, **random_outside(seed, *rest[:2])}
        if wrong == machine:
            continue
        other = pk.simulate(wrong, *rest, rng=seed, **told)
        if other.path.equals(right.path) and other.outcome.equals(right.outcome):
            continue
        if differences(right, replay(wrong, *rest, seed=seed, **told)):
            return
    pytest.fail(f"no weekend tells the engine from one with the rule changed: {rule}")


# --- the appendix names real functions -------------------------------------------------------------------------------------------------

MODEL = Path(__file__).parents[1] / "chapters" / "appendix" / "model.md"


def test_every_function_named_in_the_model_exists():
    names = sorted(set(re.findall(r"\bperpkit(?:\.[A-Za-z_]\w*)+", MODEL.read_text("utf-8"))))
    assert len(names) > 30
    missing = [name for name in names if not _exists(name)]
    assert missing == []


def _exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one, or a field of a class."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:k]))
        except ModuleNotFoundError:
            continue
        for part in parts[k:]:
            fields = getattr(found, "__dataclass_fields__", {}) | dict.fromkeys(getattr(found, "_fields", ()))
            if part in fields:
                return part == parts[-1]
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False
