"""How long a million weekends take, what a billion would, what would then be the limit, and what published simulators need.

    python benchmarks/scale.py               # about three minutes on two cores, a million weekends among it
    python benchmarks/scale.py --quick       # a minute: the million is extrapolated too
    python benchmarks/scale.py --no-peers    # nothing is installed
    python benchmarks/scale.py --record      # and put the comparison into README.md

What each line means, and what the peers leave out, is in ``README.md`` beside this file.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pickle
import platform
import re
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
from competitors import THREADS, Scene, loop, ours, scenes, steps, twin, without
from engine import Report, processor

import perpkit as pk
from perpkit import kernel
from perpkit.engine import CHUNK

MILLION, BILLION = 10**6, 10**9
BLOCK = 64
"""Chunks in a task of a long run: half a second of one core."""
WORKERS = (2, 16, 64, 256, 1_024, 4_096)
KEPT = ("shortfall", "exhausted")
"""Outcomes a billion weekends would keep."""
PEERS = ("pams", "bourse")
README = Path(__file__).with_name("README.md")
MARKS = "<!-- one run -->", "<!-- end of one run -->"


class Rival(NamedTuple):
    """One line of the comparison: the time for a million weekends, how much of them ran, what of the base case is left out, and which line is
    the measure of this one."""

    name: str
    seconds: float
    threads: int
    run: str
    lacks: str
    measure: int = 0


class Cost(NamedTuple):
    """Measured cost of one weekend, seconds: of a worker's core, and of the one process that hands out blocks and takes them back."""

    worker: float
    client: float
    start: float


class Instant(Executor):
    """Gives every block the result of the first at once, so that what is left is the work of the process that asks."""

    def __init__(self) -> None:
        self.rows: dict[int, np.ndarray] = {}

    def submit(self, function, *given) -> Future:
        size = len(given[-1])
        if size not in self.rows:
            self.rows[size] = function(*given)
        future: Future = Future()
        future.set_result(self.rows[size])
        return future


def seconds(work) -> float:
    """Seconds that ``work`` takes once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def long_run(scene: Scene, weekends: int, seed: int, **options):
    """A run as anybody would start a long one."""
    return pk.ensemble(scene.machine, scene.accounts, scene.closure, scene.gaps, n=weekends, rng=seed, block=BLOCK, **options)


def extrapolate(cost: Cost, weekends: int, workers: int) -> tuple[float, str]:
    """Seconds for so many weekends, and what limits them: the workers, who share the work, or the client, who does not."""
    shared, alone = weekends * cost.worker / workers, weekends * cost.client
    return cost.start + max(shared, alone), "workers" if shared >= alone else "client"


def balance(cost: Cost) -> float:
    """Number of workers beyond which the client is the limit."""
    return cost.worker / cost.client


def client_seconds(scene: Scene, weekends: int, seed: int, **options) -> float:
    """Seconds a weekend that the calling process spends on its own, with an executor that answers at once."""
    pool = Instant()
    long_run(scene, BLOCK * CHUNK, seed, executor=pool)
    return seconds(lambda: long_run(scene, weekends, seed, executor=pool, **options)) / weekends


def measure_million(weekends: int, seed: int, report: Report, rivals: list[Rival]) -> Cost:
    """A million weekends through one machine."""
    scene = scenes()["real"]
    long_run(scene, BLOCK * CHUNK, seed)
    busy = time.process_time()
    taken = seconds(lambda: long_run(scene, weekends, seed, progress=True))
    busy = time.process_time() - busy
    label = "" if weekends == MILLION else f", extrapolated from {weekends:,}"
    report.add(f"a million TSLA weekends, {THREADS} threads{label}", taken * MILLION / weekends, "s", most=60.0)
    rivals.append(Rival("perpkit", taken * MILLION / weekends, THREADS, amount(weekends), "nothing"))
    report.add("of one core, a weekend, waiting included", taken * THREADS / weekends * 1e6, "us")
    report.add("of one core, a weekend, its own time alone", busy / weekends * 1e6, "us")
    report.add(f"a million TSLA weekends, if nothing else ran on {THREADS} cores", busy * MILLION / weekends / THREADS, "s")
    return Cost(taken * THREADS / weekends, client_seconds(scene, 32 * BLOCK * CHUNK, seed), 0.0)


def measure_threads(weekends: int, seed: int, report: Report) -> None:
    """One thread and all."""
    scene = scenes()["real"]
    taken = []
    for threads in (1, THREADS):
        with ThreadPoolExecutor(threads) as pool:
            taken.append(seconds(lambda pool=pool: long_run(scene, weekends, seed, executor=pool)))
    report.add(f"one thread over {THREADS}", taken[0] / taken[1], "x")


def measure_store(seed: int, report: Report) -> float:
    """What a store costs; seconds of the client, a weekend."""
    scene = scenes()["real"]
    with tempfile.TemporaryDirectory() as folder:
        weekends = 8 * BLOCK * CHUNK
        kept = client_seconds(scene, weekends, seed, store=Path(folder) / "run")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.nc"))
    report.add("client, a weekend, with a store", kept * 1e6, "us")
    report.add("store, a weekend, all outcomes", size / weekends, "bytes")
    return kept


def measure_cluster(weekends: int, seed: int, cost: Cost, report: Report) -> Cost:
    """The same on a Dask cluster of this machine's cores, and what its scheduler adds."""
    from distributed import Client, LocalCluster

    scene = scenes()["real"]
    started = time.perf_counter()
    with LocalCluster(n_workers=THREADS, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        pool = client.get_executor()
        long_run(scene, THREADS * BLOCK * CHUNK, seed, executor=pool)
        start = time.perf_counter() - started
        local = seconds(lambda: long_run(scene, weekends, seed))
        remote = seconds(lambda: long_run(scene, weekends, seed, executor=pool))
        # A task that returns what a block does without running one: sending, scheduling, receiving.
        rows = (1, BLOCK * CHUNK, len(kernel.OUTCOMES))
        tasks = [pool.submit(np.zeros, rows, key) for key in ["f8"] * 16]
        empty = seconds(lambda: [task.result() for task in [*tasks, *(pool.submit(np.ones, rows, "f8") for _ in range(16))]]) / 32
    sent = len(pickle.dumps((scene.machine, scene.accounts, scene.closure)))
    report.add(f"Dask, {THREADS} workers, over threads", remote / local, "x")
    report.add("Dask, from nothing to the first blocks", start, "s")
    report.add(f"Dask, an empty block of {BLOCK * CHUNK:,} weekends there and back", empty * 1e3, "ms")
    report.add("sent with each block besides its gaps", sent / 1e3, "kB")
    return Cost(cost.worker, cost.client + empty / (BLOCK * CHUNK), start)


def billion(cost: Cost) -> pd.DataFrame:
    """A billion weekends through one machine by number of workers."""
    rows = [(workers, *extrapolate(cost, BILLION, workers)) for workers in WORKERS]
    table = pd.DataFrame(rows, columns=["workers", "hours", "limit"])
    return table.assign(hours=table["hours"] / 3600.0).set_index("workers")


def measure_peers(weekends: int, seed: int, install: bool, report: Report, rivals: list[Rival]) -> None:
    """The rivals and two published simulators, as the time for a million weekends at one update, or one order, a step."""
    scene = without(scenes()["real"])
    updates = MILLION * steps(scene.closure)
    mine = seconds(ours(scene, weekends, seed)) / weekends
    report.add("a million weekends, perpkit, without partial liquidation, backstop and ADL", mine * MILLION, "s")
    less = "partial liquidation, backstop, ADL"
    rivals.append(Rival("perpkit with fewer rules", mine * MILLION, THREADS, amount(weekends), less))
    many = ("per-account loop, the design of dex-sim", loop, 8 * THREADS, THREADS, f"{less}, phantom measures")
    for name, rival, count, threads, lacks in (("NumPy twin", twin, weekends, 1, less), many):
        rival(scene, count, seed)()
        taken = seconds(rival(scene, count, seed)) / count
        report.add(f"a million weekends, {name}", taken * MILLION / 3600.0, "hours")
        report.add(f"{name} over perpkit", taken / mine, "x")
        rivals.append(Rival(name, taken * MILLION, threads, amount(count), lacks, measure=1))
    found = peers_elsewhere() if install else "--no-peers was given"
    if isinstance(found, str):
        print(f"  {' and '.join(PEERS)} were not run: {found}")
        return
    for name, had in found.items():
        each = had["seconds"] / had["orders"] / THREADS
        report.add(f"{name} {had['version']}, orders a second, one thread", had["orders"] / had["seconds"], "")
        report.add(f"a million weekends at an order a step, {name} on {THREADS} threads", each * updates / 3600.0, "hours")
        orders = f"{had['orders']:,} orders, one thread"
        rivals.append(Rival(f"{name} {had['version']}, an order a step", each * updates, THREADS, orders, "all but the matching of orders"))


def peers_elsewhere() -> dict[str, dict] | str:
    """What ``peers.py`` prints in an environment made for it and thrown away, or the reason why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        venv.EnvBuilder(with_pip=True).create(folder)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install = subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], capture_output=True, text=True, check=False)
        if install.returncode:
            return f"pip could not install them ({last_line(install.stderr)})"
        script = Path(__file__).with_name("peers.py")
        done = subprocess.run([python, "-W", "ignore", script], capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else f"they failed ({last_line(done.stderr)})"


def amount(weekends: int) -> str:
    """How much of the million was run."""
    return "all" if weekends == MILLION else f"{weekends:,} weekends"


def page(rivals: list[Rival], about: str) -> str:
    """The comparison as Markdown."""
    head = ["| a million weekends | time | times perpkit | threads | what was run | what is left out |", "|---|---:|---:|---:|---|---|"]
    rows = []
    for rival in rivals:
        taken = f"{rival.seconds:.0f} s" if rival.seconds < 600.0 else f"{rival.seconds / 60.0:.0f} min" if rival.seconds < 7200.0 else f"{rival.seconds / 3600.0:.1f} h"
        ratio = rival.seconds / rivals[rival.measure].seconds
        rows.append(f"| {rival.name} | {taken} | {ratio:,.{0 if ratio >= 10.0 else 1}f} | {rival.threads} | {rival.run} | {rival.lacks} |")
    return "\n".join([*head, *rows, "", about])


def record(text: str, path: Path = README) -> None:
    """Put ``text`` between the two marks of the file."""
    before, after = MARKS
    new, count = re.subn(f"{before}.*?{after}", lambda found: f"{before}\n{text}\n{after}", path.read_text("utf-8"), flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{path.name} has the marks {before} and {after} {count} times; it needs them once")
    path.write_text(new, "utf-8")


def last_line(text: str) -> str:
    """Last line that says something."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no message")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="65,536 weekends instead of a million")
    parser.add_argument("--no-peers", action="store_true", help="do not install and run pams and bourse")
    parser.add_argument("--record", action="store_true", help="put the comparison into README.md")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    few = 65_536 if options.quick else 262_144
    scene = scenes()["real"]
    print(f"perpkit {pk.__version__} on {processor()}; {THREADS} threads; seed {options.seed}")
    print(f"{len(scene.accounts):,} accounts, {steps(scene.closure):,} steps a weekend, blocks of {BLOCK * CHUNK:,} weekends\n", flush=True)
    report, rivals = Report(), []
    cost = measure_million(few if options.quick else MILLION, options.seed, report, rivals)
    measure_threads(few // 4, options.seed, report)
    stored = measure_store(options.seed, report)
    report.add("client, a weekend, threads", cost.client * 1e6, "us")
    cost = measure_cluster(few, options.seed, cost, report)
    report.add("client, a weekend, Dask", cost.client * 1e6, "us")
    measure_peers(few // 16, options.seed, not options.no_peers, report, rivals)
    with pd.option_context("display.width", 200, "display.max_colwidth", None, "display.max_rows", None):
        print("\n" + report.table().to_string(float_format="{:.4g}".format, na_rep=""))
        print(f"\n{billion.__doc__}\n{billion(cost).to_string(float_format='{:.2f}'.format)}")
    print(f"\nFrom {balance(cost):,.0f} workers on the one client is the limit: it sends, receives and copies each block. If it also writes them all to a store,")
    print(f"it is from {cost.worker / (stored + cost.client):,.0f} on. Larger populations cost it more,")
    everything, kept = 8 * len(kernel.OUTCOMES) * BILLION / 1e9, 8 * len(KEPT) * BILLION / 1e9
    print(f"fewer outcomes less. The results stay in its memory: {everything:,.0f} GB with all outcomes, {kept:,.0f} GB with {' and '.join(KEPT)} alone.")
    made = f"perpkit {pk.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}"
    own = next(row["best"] for row in report.rows if "if nothing else ran" in row["measure"])
    about = f"{datetime.date.today()}, {processor()}, {THREADS} cores; {made}; seed {options.seed}. The first line would have been {own:.0f} s if nothing else had run."
    comparison = page(rivals, about)
    print(f"\n{comparison}")
    if options.record:
        record(comparison)


if __name__ == "__main__":
    main()
