"""Long runs: a cluster gives what threads give, a killed run goes on where it was, and nothing foreign gets into it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import perpkit as pk
from perpkit import kernel, runs
from perpkit.ensemble import _block

CLOSURE = pk.Closure(hours=4.0, reopen_minutes=2.0)
ACCOUNTS = pk.Accounts.sample(200, max_leverage=20.0)
BASE = pk.replace(pk.base_case().machine, insurance=0.005)
MACHINES = {"median": BASE, "mid": pk.replace(BASE, mark=pk.Mid())}
CHUNKS = 6
N = CHUNKS * 64 - 10


def run(machines=MACHINES, n: int = N, rng: int = 7, accounts=ACCOUNTS, closure=CLOSURE, **options) -> xr.Dataset:
    return pk.ensemble(machines, accounts, closure, pk.gaps.empirical("TSLA"), n=n, rng=rng, **{"block": 1} | options)


class Counting(Executor):
    """Threads that count the tasks they are given, and fail after a number of them."""

    def __init__(self, most: float = float("inf")) -> None:
        self.pool, self.tasks, self.most = ThreadPoolExecutor(2), 0, most

    def submit(self, *call):
        if self.tasks >= self.most:
            raise KeyboardInterrupt
        self.tasks += 1
        return self.pool.submit(*call)


@pytest.fixture(scope="module")
def whole() -> xr.Dataset:
    return run()


def test_a_cluster_gives_what_threads_give(whole, tmp_path):
    distributed = pytest.importorskip("distributed")

    @pk.mark_rule
    def halfway(quotes, oracle, state, params):
        return oracle + params[0] * (quotes.mid - oracle)

    machines = MACHINES | {"own": pk.replace(BASE, mark=halfway(0.5))}
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path))
    with cluster, distributed.Client(cluster) as client:
        there = run(machines, executor=client.get_executor(), store=tmp_path / "store")
        assert len(client.scheduler_info()["workers"]) == 2
    xr.testing.assert_identical(there, run(machines))
    xr.testing.assert_identical(there.sel(machine=list(MACHINES)), whole)


def test_a_run_that_stops_goes_on_where_it_was(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(store=tmp_path, executor=Counting(most=4), tasks=2)
    stored = len(list(tmp_path.glob("block-*.nc")))
    assert 2 <= stored < CHUNKS
    rest = Counting()
    xr.testing.assert_identical(run(store=tmp_path, executor=rest, tasks=2), whole)
    assert rest.tasks == CHUNKS - stored
    again = Counting()
    xr.testing.assert_identical(run(store=tmp_path, executor=again), whole)
    assert again.tasks == 0


KILLED = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_runs

class Logging(ThreadPoolExecutor):
    def submit(self, *call):
        with open({log!r}, "a") as file:
            file.write("task\\n")
        return super().submit(*call)

test_runs.run(n={n}, store={store!r}, executor=Logging(2), tasks=3)
"""


def test_a_killed_run_loses_the_blocks_in_flight_and_ends_as_an_uninterrupted_one(tmp_path):
    blocks, store, log = 120, tmp_path / "store", tmp_path / "log"
    script = KILLED.format(tests=str(Path(__file__).parent), log=str(log), n=64 * blocks, store=str(store))
    child = subprocess.Popen([sys.executable, "-c", script])
    try:
        for _ in range(6_000):
            if len(list(store.glob("block-*.nc"))) >= 4 or child.poll() is not None:
                break
            time.sleep(0.01)
        assert child.poll() is None, "the run ended before it could be killed"
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
    assert child.wait() == -signal.SIGKILL
    stored, begun = len(list(store.glob("block-*.nc"))), log.read_text().count("task")
    assert 4 <= stored < blocks and begun - stored <= 3
    rest = Counting()
    resumed = run(n=64 * blocks, store=store, executor=rest)
    assert rest.tasks == blocks - stored and not list(store.glob("*.part"))
    xr.testing.assert_identical(resumed, run(n=64 * blocks))


CHANGES = {
    "seed": {"rng": 8},
    "weekends": {"n": N - 64},
    "block": {"block": 2},
    "outcomes": {"outcomes": ("shortfall",)},
    "closure": {"closure": pk.replace(CLOSURE, reopen_minutes=3.0)},
    "machine 'mid'": {"machines": MACHINES | {"mid": pk.replace(MACHINES["mid"], insurance=0.006)}},
    "machine 'oracle'": {"machines": {"median": BASE, "oracle": BASE}},
    "accounts of 'median'": {"accounts": pk.Accounts.sample(200, rng=2, max_leverage=20.0)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_store_refuses_another_run_and_says_what_differs(name, tmp_path, whole):
    run(store=tmp_path)
    with pytest.raises(ValueError, match=f"holds another run: .*{name} is"):
        run(store=tmp_path, **CHANGES[name])
    xr.testing.assert_identical(run(store=tmp_path), whole)


@pytest.mark.parametrize("name", ["source", "perpkit"])
def test_a_store_refuses_another_version(name, tmp_path, monkeypatch):
    run(store=tmp_path, n=64)
    monkeypatch.setattr(runs, "SOURCE", "edited") if name == "source" else monkeypatch.setattr(runs, "version", lambda package: "0.0.9")
    with pytest.raises(ValueError, match=f"holds another run: {name} is"):
        run(store=tmp_path, n=64)


def test_a_block_of_another_run_is_refused(tmp_path):
    for seed in (7, 8):
        run(store=tmp_path / str(seed), n=64, rng=seed)
    (tmp_path / "8" / "block-000000000000.nc").replace(tmp_path / "7" / "block-000000000000.nc")
    with pytest.raises(ValueError, match="belongs to another run"):
        run(store=tmp_path / "7", n=64)


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(ValueError, match="neither empty nor a run"):
        run(store=tmp_path)
    assert (tmp_path / "letters.txt").read_text() == "mine"


def test_a_worker_with_another_version_is_refused():
    with pytest.raises(RuntimeError, match="install one version everywhere"):
        _block("another", [(BASE, ACCOUNTS)], CLOSURE, 1, kernel.OUTCOMES, 0, np.zeros(1))


def test_a_run_may_keep_some_outcomes_only(whole):
    few = run(outcomes=("exhausted", "shortfall"))
    assert list(few) == ["shortfall", "exhausted"]
    for name in few:
        xr.testing.assert_identical(few[name], whole[name])
    for wrong in ((), ("shortfall", "losses"), "losses"):
        with pytest.raises(ValueError, match="outcomes are one or more of"):
            run(outcomes=wrong)


def test_a_progress_bar_counts_weekends_and_starts_where_the_run_was(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        run(store=tmp_path, executor=Counting(most=4), tasks=2)
    run(store=tmp_path, progress=True)
    assert f"{N}/{N}" in capsys.readouterr().err
    run(store=tmp_path, progress=True)
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize("tasks", [0, 1.5, -1])
def test_tasks_out_of_range_are_refused(tasks):
    with pytest.raises(ValueError, match="tasks is a number of blocks"):
        run(tasks=tasks)


@dataclass(frozen=True)
class Pair:
    a: object
    b: object = 1.0


def test_a_digest_goes_by_content():
    scale = 2.0

    def rule(x, y=1.0):
        return scale * x + y + N

    def other(x, y=1.0):
        return scale * x - y + N

    def same(x, y=1.0):
        return scale * x + y + N

    array = np.arange(3.0)
    assert runs.digest(Pair(array)) == runs.digest(replace(Pair(0), a=array.copy()))
    assert runs.digest(rule) == runs.digest(same)
    distinct = [Pair(array), Pair(array + 1e-15), Pair(1), Pair(1.0), Pair(True), Pair((1, 2)), Pair("1"), Pair(rule), Pair(other), None, array[:2]]
    assert len({runs.digest(thing) for thing in distinct}) == len(distinct)
    before = runs.digest(rule)
    scale = 3.0
    assert runs.digest(rule) != before
    with pytest.raises(ValueError, match="cannot tell whether"):
        runs.digest(Pair(object()))
