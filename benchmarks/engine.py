"""How fast the engine is, against itself and against two rivals, in one run on one machine.

    python benchmarks/engine.py            # about five minutes on two cores
    python benchmarks/engine.py --quick    # a minute, rougher

What each line means, and what the rivals leave out, is in ``README.md`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
from competitors import THREADS, difference, interpreted, loop, normals, ours, own_average, own_median, scenes, steps, twin, without

import perpkit as pk
from perpkit.engine import CHUNK, fill_normals

SIZES = (100, 1_000, 10_000, 100_000)


class Plan(NamedTuple):
    """How much of everything: weekends of a measure and rounds; the twin is run at several sizes, because arrays over more weekends are faster."""

    weekends: int
    rounds: int
    twin_weekends: tuple[int, ...]
    twin_rounds: int
    loop_weekends: int
    accounts_weekends: int
    memory: tuple[int, ...]


FULL = Plan(8_192, 7, (4_096, 16_384, 65_536), 2, 32 * THREADS, 2_048, (1_000, 10_000, 100_000))
QUICK = Plan(2_048, 3, (2_048,), 1, 8 * THREADS, 512, (1_000, 10_000))


def race(competitors: dict[str, Callable[[], object]], rounds: int, warm: bool = True) -> pd.DataFrame:
    """Seconds, one row a round, one column a competitor.

    In each round all run in turn, so that noise of the machine meets all of them. If ``warm`` each runs once before.
    """
    names = list(competitors)
    for name in names if warm else ():
        competitors[name]()
    rows = []
    for k in range(rounds):
        taken = {}
        for name in names[k % len(names) :] + names[: k % len(names)]:
            start = time.perf_counter()
            competitors[name]()
            taken[name] = time.perf_counter() - start
        rows.append(taken)
    return pd.DataFrame(rows)[names]


class Report:
    """The lines of the final table."""

    def __init__(self) -> None:
        self.rows: list[dict] = []

    def add(
        self, measure: str, number: float, unit: str = "", spread: float | None = None, most: float | None = None, least: float | None = None
    ) -> None:
        """A number, best of its rounds; ``spread`` is the median over rounds. With a bar it must be at ``most`` or at ``least`` that."""
        bar = f"<= {most:g}" if most is not None else f">= {least:g}" if least is not None else ""
        met = None if not bar else number <= most if most is not None else number >= least
        verdict = {None: "", True: "met", False: "missed"}[met]
        self.rows.append({"measure": measure, "best": number, "median": spread, "unit": unit, "bar": bar, "verdict": verdict})
        print(f"  {measure}: {number:.4g} {unit} {bar and f'(bar {bar}: {verdict})'}", flush=True)

    def add_ratio(self, measure: str, above: pd.Series, below: pd.Series, **bar: float) -> None:
        """Ratio of the best times; the median is that of the ratios round by round."""
        self.add(measure, above.min() / below.min(), "x", float((above / below).median()), **bar)

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows).set_index("measure")


def measure_speed(plan: Plan, seed: int, report: Report) -> None:
    """Path-steps a second, and the time as a multiple of the time for the normals."""
    both = scenes()
    runs = {name: ours(scene, plan.weekends, seed) for name, scene in both.items()}
    drawn = {"normals": normals(both["real"], plan.weekends, seed), "compiled": normals(both["real"], plan.weekends, seed, fill_normals)}
    times = race(runs | drawn, plan.rounds)
    count = plan.weekends * steps(both["real"].closure)
    for name, label in (("real", "TSLA weekends"), ("calm", "calm weekends")):
        report.add(f"path-steps a second, {label}", count / times[name].min() / 1e6, "million", count / times[name].median() / 1e6)
        report.add_ratio(f"time over time of the normals, {label}", times[name], times["normals"], most=3.0)
    for name, label in (("normals", "NumPy"), ("compiled", "the engine")):
        each = times[name] * THREADS / count * 1e9
        report.add(f"two normals by {label}, one thread", each.min(), "ns", each.median())


def measure_rivals(plan: Plan, seed: int, report: Report) -> None:
    """Engine against NumPy twin and per-account loop, all without partial liquidation, backstop and ADL."""
    for name, label in (("real", "TSLA weekends"), ("calm", "calm weekends")):
        scene = without(scenes()[name])
        report.add(f"twin and engine, largest difference of an outcome, {label}", difference(scene, 2 * CHUNK, seed))
        mine = ours(scene, plan.weekends, seed)
        mine()
        for size in plan.twin_weekends:
            few = race({"engine": mine, "twin": twin(scene, size, seed)}, plan.twin_rounds, warm=False) / [plan.weekends, size]
            report.add_ratio(f"NumPy twin over engine, {size:,} weekends at once, {label}", few["twin"], few["engine"], least=8.0)
        many = race({"engine": mine, "loop": loop(scene, plan.loop_weekends, seed)}, plan.rounds) / [plan.weekends, plan.loop_weekends]
        report.add_ratio(f"per-account loop over engine, {label}", many["loop"], many["engine"], least=300.0)
        each = many["loop"].min() * THREADS / steps(scene.closure) / len(scene.accounts)
        report.add(f"per-account loop, one account once, one thread, {label}", each * 1e9, "ns")
        report.add(f"accounts at which the loop would be 300x, {label}", 300.0 * len(scene.accounts) * many["engine"].min() / many["loop"].min())
    step = many["engine"].min() / steps(scene.closure)
    report.add(f"plain Python, its visit to the accounts alone, over engine, {label}", interpreted(scene) / step, "x")


def measure_accounts(plan: Plan, seed: int, report: Report) -> None:
    """Time against the number of accounts."""
    for name, label in (("calm", "calm weekends"), ("real", "TSLA weekends")):
        times = race({size: ours(scenes(size)[name], plan.accounts_weekends, seed) for size in SIZES}, plan.rounds)
        for size in SIZES[1:]:
            bar = {"most": 1.5} if name == "calm" and size == SIZES[-1] else {}
            report.add_ratio(f"{size:,} accounts over {SIZES[0]}, {label}", times[size], times[SIZES[0]], **bar)


def measure_rules(plan: Plan, seed: int, report: Report) -> None:
    """A reader's mark rule against the built-in one of its kind."""
    scene = scenes()["real"]
    rules = {
        "built-in median": pk.Median(),
        "own median": own_median(),
        "built-in median with an average": pk.LocalMedian(local_s=150.0),
        "own average, with memory": own_average(150.0),
    }
    own = {name: scene._replace(machine=pk.replace(scene.machine, mark=mark)) for name, mark in rules.items()}
    times = race({name: ours(each, plan.weekends, seed) for name, each in own.items()}, plan.rounds)
    for built, mine in (list(rules)[:2], list(rules)[2:]):
        report.add_ratio(f"{mine}, over {built}", times[mine], times[built], most=1.5)


def measure_pools(plan: Plan, seed: int, report: Report) -> None:
    """Pools against the book on the same weekends: one that trades around the clock, and one that executes nothing while closed."""
    scene = scenes()["real"]
    rules = {"open": pk.pool.Feed("live"), "closed": pk.pool.Feed("none")}
    parts = {"margin": pk.pool.share_of_notional(0.01, 50.0), "carry": pk.pool.Carry(base=5e-5, top=1e-4), "hedge": pk.pool.Hedge(1.0)}
    both = {name: scene._replace(machine=pk.Pool(name=name, feed=feed, **parts)) for name, feed in rules.items()}
    times = race({name: ours(each, plan.weekends, seed) for name, each in both.items()} | {"book": ours(scene, plan.weekends, seed)}, plan.rounds)
    for name in rules:
        report.add_ratio(f"pool, {name}, over the book, TSLA weekends", times[name], times["book"], most=1.0)


def measure_memory(plan: Plan, seed: int, report: Report) -> None:
    """Peak memory of runs of different length, each in a process of its own."""
    rest = []
    for weekends in plan.memory:
        found = memory_in_a_process(weekends, seed)
        above, results = found["peak"] - found["start"], found["results"]
        rest.append(above - results)
        report.add(f"peak memory above imports and one weekend, {weekends:,} weekends", above / 1e6, "MB")
        report.add(f"of which the results, {weekends:,} weekends", results / 1e6, "MB")
    report.add(f"the rest, {plan.memory[-1]:,} weekends over {plan.memory[0]:,}", rest[-1] / rest[0], "x", most=1.5)


def memory_in_a_process(weekends: int, seed: int) -> dict[str, int]:
    """What :func:`memory_of` prints in a fresh process, with the package that is measured here."""
    command = [sys.executable, str(Path(__file__).resolve()), "--memory-of", str(weekends), "--seed", str(seed)]
    package = str(Path(pk.__file__).resolve().parents[1])
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": package})
    return json.loads(done.stdout)


def memory_of(weekends: int, seed: int) -> None:
    """Print as JSON, in bytes: peak memory after a first weekend, which loads the compiled code, and after ``weekends``; the size of the results."""
    scene = scenes()["real"]
    ours(scene, 1, seed)()
    start = peak()
    results = ours(scene, weekends, seed)()
    print(json.dumps({"start": start, "peak": peak(), "results": results.nbytes}))


def peak() -> int:
    """Peak memory of this process in bytes. On Linux not by ``getrusage``, which hands a child the peak of the process that started it."""
    about = Path("/proc/self/status")
    if about.exists():
        return 1024 * int(next(line for line in about.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def processor() -> str:
    """Model name of the processor."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of perpkit's engine, against itself and two rivals.")
    parser.add_argument("--quick", action="store_true", help="fewer weekends and rounds, about a minute")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--memory-of", type=int, metavar="WEEKENDS", help="only print the peak memory of one run, as JSON")
    options = parser.parse_args()
    if options.memory_of:
        memory_of(options.memory_of, options.seed)
        return
    plan, started = QUICK if options.quick else FULL, time.perf_counter()
    scene = scenes()["real"]
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()}")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}; {THREADS} threads; seed {options.seed}")
    print(f"{len(scene.accounts):,} accounts, {steps(scene.closure):,} steps a weekend, {len(scene.gaps)} TSLA gaps in turn")
    print(f"machine: {scene.machine}\n", flush=True)
    ours(scene, 1, options.seed)()
    print(f"compiled or loaded in {time.perf_counter() - started:.0f} s\n", flush=True)
    report = Report()
    for measure in (measure_speed, measure_rivals, measure_accounts, measure_rules, measure_pools, measure_memory):
        print(measure.__doc__.splitlines()[0])
        measure(plan, options.seed, report)
    with pd.option_context("display.width", 200, "display.max_colwidth", None, "display.max_rows", None):
        print("\n" + report.table().to_string(float_format="{:.4g}".format, na_rep=""))
    print(f"\n{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
