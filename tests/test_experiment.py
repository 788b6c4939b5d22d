"""The screen against single runs, and the experiment under other conditions: what is said to change does, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest

import perpkit as pk
from perpkit import conditions, experiment, sensitivity
from perpkit.pool import Hedge
from perpkit.strata import tail_strata

SHORT = pk.Closure(hours=4.0, reopen_minutes=5.0, value=pk.base.value())


def some(n: int = 16):
    return tail_strata(pk.gaps.fit("TSLA", "tempered-t"), n, np.random.default_rng(1), 1.0)


def test_the_screen_runs_what_the_rows_say(monkeypatch):
    """Each row as a machine of its own, with its own fund: the probability of a breach that one run without end gave for all sizes."""
    monkeypatch.setattr(experiment, "population", lambda cap, **options: pk.Accounts.sample(200, max_leverage=cap))
    case = experiment.base_case()
    monkeypatch.setattr(experiment, "base_case", lambda: type(case)(case.machine, case.accounts, SHORT, case.gaps))
    factors = [
        sensitivity.Factor("weight", 0.0, 1.0), sensitivity.Factor("hours", levels=(2.0, 3.0)), sensitivity.Factor("insurance", 0.0, 0.02),
        sensitivity.Factor("open_depth", levels=(0.5, 5.0)), sensitivity.Factor("reference", levels=experiment.REFERENCES),
    ]  # fmt: skip
    plan = sensitivity.grid(factors, nodes={"weight": 3, "insurance": 2})
    assert plan.shape == (3, 2, 2, 2, 4)
    strata = some()
    found = experiment.screen(plan, strata, rng=3)
    assert found.shape == (96,) and np.ptp(found) > 0.0
    for k in (0, 5, 37, 95):
        row = experiment.setting(**plan.rows()[k])
        run = pk.ensemble(row.machine, row.accounts, row.closure, strata.gaps, rng=3)
        assert found[k] == pytest.approx(float(run["exhausted"].values[0] @ strata.weights), abs=1e-15)
    with pytest.raises(ValueError, match="reference is one of"):
        experiment.setting(reference="tea leaves")
    with pytest.raises(ValueError, match="number of nodes"):
        sensitivity.grid(factors, nodes={"weight": 3})


def test_noise_of_the_runs_is_no_interaction():
    """An outcome of one input and noise that differs by repetition: products of repetitions leave the noise out, one repetition does not."""
    plan = sensitivity.grid([sensitivity.Factor("x", 0.0, 1.0), sensitivity.Factor("y", 0.0, 1.0)], nodes=8)
    rng = np.random.default_rng(1)
    noisy = np.array([row["x"] for row in plan.rows()]) + rng.normal(0.0, 0.3, (40, 64))
    tables = {n: sensitivity.grid_indices(plan, noisy[:n]).set_index(["kind", "factor", "other"]) for n in (1, 40)}
    assert tables[1].loc[("pair", "x", "y"), "value"] > 0.3
    many = tables[40]
    assert many.loc[("first", "x", ""), "low"] < 1.0 < many.loc[("first", "x", ""), "high"]
    assert many.loc[("pair", "x", "y"), "low"] < 0.0 < many.loc[("pair", "x", "y"), "high"] and many.loc[("pair", "x", "y"), "high"] < 0.1


def test_conditions_change_one_thing():
    law = pk.gaps.fit("TSLA", "tempered-t")
    found = conditions.conditions(law)
    held = found["as held"]
    for name, case in found.items():
        assert list(case.machines) == ["book, mid", "book, oracle", "verifiable book", "pool"]
        changed = {field for field in ("machines", "accounts", "closure", "law") if getattr(case, field) is not getattr(held, field)}
        allowed = {"machines", "accounts"} if name in ("cap of 5x", "cap of 20x", "leverage near 25x") else {"law", "closure"}
        assert name == "as held" or len(changed) == 1 or changed == allowed, name
    deep = found["both books deep"].machines["book, mid"].book
    assert deep.depth_closed == deep.depth_open == pk.base.DEPTH_OVER_INTEREST[1] * pk.base.OPEN_INTEREST
    sizes = found["net long by 10 %"].accounts
    net = float((sizes.side * sizes.size).sum() / sizes.size.sum())
    assert net == pytest.approx(0.1)


def test_the_least_is_named_only_when_it_is_clear():
    """The same machine under two names cannot be told apart; one with a fund of all open interest beside it can."""
    four = conditions.four()
    held = conditions.Condition({"a": four["book, mid"], "b": four["book, mid"]}, pk.population(10.0), SHORT, pk.gaps.fit("TSLA", "tempered-t"))
    assert conditions.again(held, 64).least == "undecided"
    clear = pk.replace(held, machines={"a": four["book, mid"], "b": pk.replace(four["book, mid"], insurance=1.0)})
    found = conditions.again(clear, 256)
    assert found.least == "b" and found.chances["b"].value < 1e-5 < found.chances["a"].value


def test_a_leaning_pool_pays_and_a_hedged_one_does_not():
    pool = conditions.four()["pool"]
    machines = {"pool": pool, "hedged": pk.replace(pool, hedge=Hedge(1.0))}
    table = conditions.by_balance(machines, pk.population(10.0), SHORT, some(128), (0.0, 0.3))["value"].unstack()
    assert table.loc[0.3, "pool"] > 5.0 * table.loc[0.0, "pool"] and table.loc[0.3, "hedged"] < 2.0 * table.loc[0.0, "hedged"] + 1e-3


def test_crossing():
    assert conditions.crossing([0.0, 1.0, 2.0], [-1.0, -0.5, 0.5]) == pytest.approx(1.5)
    assert math.isnan(conditions.crossing([0.0, 1.0], [1.0, 2.0]))
