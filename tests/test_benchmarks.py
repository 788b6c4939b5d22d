"""Benchmarks: the engine's rivals do the same work, to the last digit, and the measuring is sound. Nothing here looks at a clock."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

import perpkit as pk
from perpkit import kernel

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import account_loop  # noqa: E402
import competitors  # noqa: E402
import engine as benchmark  # noqa: E402
import numpy_twin  # noqa: E402
import scale  # noqa: E402

SAME = 1e-9
SHORT = pk.Closure(hours=8.0, reopen_minutes=5.0)


def scene(closure: pk.Closure = SHORT, **changes) -> competitors.Scene:
    """The bar's machine without the rules its rivals leave out, on gaps from both tails, with 400 accounts and a thin book: cascades are common."""
    there = competitors.without(competitors.scenes(400)["real"])
    book = pk.replace(there.machine.book, depth_closed=2e7, follow_closed=1.0, **changes.pop("book", {}))
    gaps = np.concatenate([np.linspace(-0.25, 0.25, 21), there.gaps[::60]])
    return there._replace(machine=pk.replace(there.machine, book=book, **changes), closure=closure, gaps=gaps)


def outcomes(there: competitors.Scene, seed: int = 3) -> tuple:
    """Of engine, NumPy twin and per-account loop, on the same shocks."""
    shocks = competitors.shared_shocks(there.gaps, there.closure, seed)
    mine = pk.ensemble(there.machine, there.accounts, there.closure, there.gaps, rng=seed).isel(machine=0)
    twin = numpy_twin.run(there.machine, there.accounts, there.closure, *shocks[:3], lambda s: shocks.normals[:, s].T)
    prepared = account_loop.prepare(there.machine, there.accounts, there.closure)
    return mine, twin, account_loop.in_units(account_loop.run(prepared, shocks), there.accounts)


CASES = {
    "the bar's machine": {},
    "no hot minute: every closed step is an update": {"closure": pk.Closure(hours=1.0, closed_step_s=3.0, reopen_minutes=5.0)},
    "a fee, permanent impact": {"liquidation": pk.Liquidation(fee=0.01), "book": {"permanent": 0.4}},
    "a frozen oracle, a static band, the premium with a dead zone": {
        "oracle": pk.frozen_oracle(),
        "band": pk.Band(0.05),
        "funding": pk.Funding("dead-zone", multiplier=8.0),
    },
    "no band, no clamp, no funding while closed, three items of news": {
        "band": pk.no_band(),
        "mark_step": math.inf,
        "funding": pk.Funding(when_closed=False),
        "closure": pk.Closure(hours=8.0, reopen_minutes=65.0, value=pk.Value(news_count=3, open_vol=0.01)),
    },
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES.keys())
def test_the_rivals_agree_with_the_engine_on_every_weekend(changes):
    there = scene(**changes)
    mine, twin, loop = outcomes(there)
    for theirs, names in ((twin, numpy_twin.OUTCOMES), (loop, account_loop.OUTCOMES)):
        assert set(theirs) == set(names)
        for name in names:
            np.testing.assert_allclose(theirs[name], mine[name].values, rtol=SAME, atol=SAME, err_msg=name)
    assert (mine["cascade"] > 2.0).any() and (mine["socialised"] < 0.0).any() and (mine["phantom"] > 0.0).any()
    assert ((mine["liquidated_closed"] > 0.0) & (mine["generations"] > 1.0)).any()


def test_the_twin_has_every_outcome_it_should():
    """The twin leaves out two: the ledger check, and the trader from outside, who is nobody here."""
    assert set(numpy_twin.OUTCOMES) == set(kernel.OUTCOMES) - {"imbalance", "attacker"}


@pytest.mark.parametrize("wrong", [{"mark": pk.Median(basis_s=151.0)}, {"mark_step": 0.0051}, {"insurance": 0.0051}])
def test_the_comparison_sees_a_wrong_rule(wrong):
    there = scene()
    shocks = competitors.shared_shocks(there.gaps, there.closure, 3)
    mine = pk.ensemble(pk.replace(there.machine, **wrong), there.accounts, there.closure, there.gaps, rng=3).isel(machine=0)
    theirs = numpy_twin.run(there.machine, there.accounts, there.closure, *shocks[:3], lambda s: shocks.normals[:, s].T)
    assert max(np.nanmax(np.abs(mine[name].values - theirs[name])) for name in numpy_twin.OUTCOMES) > 1e3 * SAME


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ({"liquidation": pk.Liquidation(partial_threshold=1e5)}, "no partial liquidation"),
        ({"backstop": pk.Backstop(0.01)}, "no partial liquidation, backstop or ADL"),
        ({"adl": "queue"}, "adl to 'none'"),
        ({"mark": pk.Mid()}, "median mark only"),
        ({"oracle": pk.no_oracle()}, "need a closed oracle"),
        ({"book": {"carry": True}}, "carry=False"),
    ],
)
def test_what_a_rival_leaves_out_is_refused(left_out, message):
    there = scene(**left_out)
    with pytest.raises(ValueError, match=message):
        outcomes(there)


def test_the_bar_is_measured_on_the_machine_it_is_set_for():
    both = competitors.scenes()
    for there in both.values():
        assert competitors.steps(there.closure) == 3_180 and len(there.accounts) == 2_000
        assert competitors.without(there).machine.book == there.machine.book
    calm = both["calm"]
    run = pk.ensemble(calm.machine, calm.accounts, calm.closure, calm.gaps[:128], rng=1)
    assert float(run["cascade"].max()) <= 2.0 and float(run["shortfall"].max()) == 0.0


def test_a_machine_without_the_bars_rules_is_not_measured(monkeypatch):
    base = pk.base_case()
    poorer = pk.replace(base.machine, adl="none", insurance=0.0)
    monkeypatch.setattr(pk, "base_case", lambda: type(base)(poorer, base.accounts, base.closure, base.gaps))
    with pytest.raises(ValueError, match="insurance, an ADL queue"):
        competitors.scenes()


def test_the_readers_median_gives_what_the_built_in_one_gives():
    there = competitors.scenes(400)["real"]._replace(closure=SHORT)
    machines = {"built-in": there.machine, "own": pk.replace(there.machine, mark=competitors.own_median())}
    run = pk.ensemble(machines, there.accounts, there.closure, there.gaps[:64], rng=1)
    for name in run:
        np.testing.assert_array_equal(run[name].sel(machine="own"), run[name].sel(machine="built-in"), err_msg=name)


def test_every_competitor_runs_and_the_race_is_interleaved():
    calls = []
    rounds = benchmark.race({name: lambda name=name: calls.append(name) for name in "abc"}, 3)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
    assert list(rounds.columns) == list("abc") and len(rounds) == 3 and (rounds >= 0.0).all(axis=None)
    there = competitors.without(competitors.scenes(100)["real"])._replace(closure=SHORT)
    for start in (competitors.ours, competitors.normals, competitors.twin, competitors.loop):
        start(there, 128, 1)()
    assert competitors.interpreted(there) > 0.0


def test_a_bar_is_met_or_missed(capsys):
    report = benchmark.Report()
    report.add("low", 2.0, "x", most=3.0)
    report.add("high", 2.0, "x", least=3.0)
    report.add("no bar", 2.0)
    table = report.table()
    assert list(table["verdict"]) == ["met", "missed", ""] and list(table["bar"]) == ["<= 3", ">= 3", ""]
    assert "high: 2 x (bar >= 3: missed)" in capsys.readouterr().out


def test_memory_is_taken_in_a_process_of_its_own():
    found = benchmark.memory_in_a_process(256, 1)
    assert found["peak"] >= found["start"] > 1e7
    assert found["results"] >= 256 * 8 * len(kernel.OUTCOMES)


def test_a_billion_weekends_are_limited_by_workers_and_then_by_the_client():
    cost = scale.Cost(worker=1e-4, client=1e-6, start=10.0)
    assert scale.balance(cost) == pytest.approx(100.0)
    assert scale.extrapolate(cost, 10**9, 10) == (pytest.approx(10.0 + 1e4), "workers")
    assert scale.extrapolate(cost, 10**9, 1_000) == (pytest.approx(10.0 + 1e3), "client")
    table = scale.billion(cost)
    assert (np.diff(table["hours"]) <= 0.0).all() and list(table["limit"].unique()) == ["workers", "client"]


def test_the_client_is_measured_without_the_work():
    calls = []

    def work(*given):
        calls.append(given)
        return np.zeros((1, len(given[-1]), len(kernel.OUTCOMES)))

    pool = scale.Instant()
    for size in (5, 3, 5, 5):
        assert pool.submit(work, np.zeros(size)).result().shape[1] == size
    assert len(calls) == 2
    there = competitors.scenes(100)["real"]._replace(closure=SHORT)
    assert scale.client_seconds(there, 2 * scale.BLOCK * 64, 1) > 0.0


def test_peers_that_cannot_be_installed_are_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(scale, "PEERS", ("no-such-package-as-this-one==0.0",))
    monkeypatch.setattr(scale.venv.EnvBuilder, "create", lambda self, folder: None)
    failed = type("Done", (), {"returncode": 1, "stderr": "a warning\nERROR: no version\n\n"})()
    monkeypatch.setattr(scale.subprocess, "run", lambda *command, **options: failed)
    assert scale.peers_elsewhere() == "pip could not install them (ERROR: no version)"


def test_the_comparison_is_written_between_its_marks_and_nowhere_else(tmp_path):
    rivals = [scale.Rival("perpkit", 40.0, 2, "all", "nothing"), scale.Rival("other", 72_000.0, 1, "64 weekends", "most of it")]
    text = scale.page(rivals, "today")
    assert "| perpkit | 40 s | 1.0 | 2 | all | nothing |" in text and "| other | 20.0 h | 1,800 | 1 | 64 weekends | most of it |" in text
    before, after = scale.MARKS
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n{before}\nold\n{after}\nbelow\n", "utf-8")
    for _ in range(2):
        scale.record(text, readme)
        assert readme.read_text("utf-8") == f"above\n{before}\n{text}\n{after}\nbelow\n"
    readme.write_text("above", "utf-8")
    with pytest.raises(ValueError, match="0 times"):
        scale.record(text, readme)
    assert scale.README.read_text("utf-8").count(before) == 1
