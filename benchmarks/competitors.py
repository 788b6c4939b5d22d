"""The competitors: what each runs, and on what. Each is a function of nothing that does its work once."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import account_loop
import numpy as np
import numpy_twin

import perpkit as pk
from perpkit import engine, value
from perpkit.engine import CHUNK

THREADS = os.cpu_count() or 1
"""As many as ``perpkit.ensemble`` starts by itself."""


class Scene(NamedTuple):
    """A machine, who holds what, and the weekends it goes through."""

    machine: pk.Machine
    accounts: pk.Accounts
    closure: pk.Closure
    gaps: np.ndarray


def scenes(accounts: int = 2_000) -> dict[str, Scene]:
    """The base case on every TSLA weekend on record, and the same away from cascades: a tenth of each gap, and a book without a bottom."""
    base = pk.base_case()
    machine = base.machine
    missing = [
        name
        for name, there in {
            "a band that re-anchors": machine.band.resets > 0,
            "a clamp on mark and oracle": machine.mark_step < 1.0 and machine.oracle.step < 1.0,
            "funding while closed": machine.funding.when_closed,
            "partial liquidation": math.isfinite(machine.liquidation.partial_threshold),
            "a backstop": machine.backstop.capacity > 0.0,
            "insurance": machine.insurance > 0.0,
            "an ADL queue": machine.adl == "queue",
        }.items()
        if not there
    ]
    if missing:
        raise ValueError(f"the base case has no longer {', '.join(missing)}: the bar is set for a machine that has; change scenes() with it")
    people = pk.Accounts.sample(accounts, max_leverage=machine.margin.max_leverage, open_interest=base.accounts.open_interest)
    closure = pk.Closure(hours=48.0, closed_step_s=60.0, update_s=3.0, reopen_minutes=15.0, value=base.closure.value)
    deep = pk.replace(machine, book=pk.replace(machine.book, depth_closed=math.inf, depth_open=math.inf))
    return {"real": Scene(machine, people, closure, base.gaps.gaps), "calm": Scene(deep, people, closure, 0.1 * base.gaps.gaps)}


def steps(closure: pk.Closure) -> int:
    """Steps in one weekend."""
    return closure.closed_steps + closure.open_steps


def without(scene: Scene) -> Scene:
    """The scene without the three rules that neither rival has."""
    liquidation = pk.replace(scene.machine.liquidation, partial_threshold=math.inf)
    return scene._replace(machine=pk.replace(scene.machine, liquidation=liquidation, backstop=pk.Backstop(0.0), adl="none"))


def ours(scene: Scene, weekends: int, seed: int) -> Callable[[], object]:
    """The engine as anybody calls it."""
    return lambda: pk.ensemble(scene.machine, scene.accounts, scene.closure, scene.gaps, n=weekends, rng=seed)


def by_numpy(rng: np.random.Generator, out: np.ndarray) -> None:
    """Standard normals as anybody would draw them."""
    rng.standard_normal(out=out)


def normals(scene: Scene, weekends: int, seed: int, fill: Callable[[np.random.Generator, np.ndarray], object] = by_numpy) -> Callable[[], object]:
    """The run's normals and nothing else: generator, chunks, streams and threads as in ``ensemble``, into memory that is used again.

    ``fill`` draws them: NumPy, or ``engine.fill_normals``, which is what the engine does.
    """
    size = CHUNK * steps(scene.closure) * 2

    def some(first: int) -> None:
        room = np.empty(size)
        for chunk in range(first, weekends // CHUNK, THREADS):
            fill(np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(chunk,)))), room)

    def draw() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(some, range(THREADS)))

    return draw


def twin(scene: Scene, weekends: int, seed: int) -> Callable[[], object]:
    """The NumPy twin on all weekends at once, drawing two normals for each at each step."""
    gaps, closure = np.resize(scene.gaps, weekends), scene.closure

    def go() -> dict[str, np.ndarray]:
        rng = np.random.Generator(np.random.SFC64(seed))
        news = value.news_total(closure.value, gaps, rng.standard_normal(weekends))
        at = value.news_steps(closure.value, rng.random((weekends, closure.value.items)), closure.hours, closure.closed_steps)
        return numpy_twin.run(scene.machine, scene.accounts, closure, gaps, news, at, lambda s: rng.standard_normal((2, weekends)))

    return go


def loop(scene: Scene, weekends: int, seed: int) -> Callable[[], object]:
    """The per-account loop, compiled, on as many threads as the engine."""
    prepared = account_loop.prepare(scene.machine, scene.accounts, scene.closure)
    gaps, share = np.resize(scene.gaps, weekends), weekends // THREADS

    def some(first: int) -> np.ndarray:
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(first,))))
        part, closure = gaps[first : first + share], scene.closure
        news = value.news_total(closure.value, part, rng.standard_normal(share))
        at = value.news_steps(closure.value, rng.random((share, closure.value.items)), closure.hours, closure.closed_steps)
        return account_loop.run(prepared, engine.Shocks(part, news, at, rng.standard_normal((share, steps(closure), 2))))

    def go() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(some, range(0, weekends, share)))

    return go


def interpreted(scene: Scene) -> float:
    """Seconds for one visit to every account by the same loop as plain Python over lists; on one thread, because Python has no more."""
    columns = [getattr(scene.accounts, name).tolist() for name in ("side", "size", "entry", "collateral")]
    found, price, rate = [0] * len(scene.accounts), float(scene.accounts.price), float(scene.machine.margin.maintenance)
    best = math.inf
    for _ in range(20):
        start = time.perf_counter()
        account_loop.below.py_func([True] * len(found), *columns, price, 0.0, rate, found)
        best = min(best, time.perf_counter() - start)
    return best


@pk.mark_rule
def own_median(quotes, oracle, state, params):
    """The median of three, as a reader would write it."""
    carried = oracle + state.basis
    local = max(min(quotes.bid, quotes.ask), min(max(quotes.bid, quotes.ask), quotes.last))
    return max(min(oracle, carried), min(max(oracle, carried), local))


@pk.mark_rule
def own_average(quotes, oracle, state, params):
    """Median of oracle, local price and an average of the local price over ``params[0]`` seconds, which needs memory."""
    if state.memory[1] == 0.0:
        state.memory[0], state.memory[1] = quotes.mid, 1.0
    state.memory[0] += (1.0 - math.exp(-state.seconds / params[0])) * (quotes.mid - state.memory[0])
    average = state.memory[0]
    return max(min(oracle, average), min(max(oracle, average), quotes.mid))


def difference(scene: Scene, weekends: int, seed: int) -> float:
    """Largest difference between the twin's and the engine's outcomes on the same shocks, in the outcome's unit."""
    gaps, closure = np.resize(scene.gaps, weekends), scene.closure
    shocks = shared_shocks(gaps, closure, seed)
    theirs = numpy_twin.run(scene.machine, scene.accounts, closure, *shocks[:3], lambda s: shocks.normals[:, s].T)
    mine = pk.ensemble(scene.machine, scene.accounts, closure, gaps, rng=seed)
    return max(float(np.nanmax(np.abs(np.nan_to_num(mine[name].values[0]) - np.nan_to_num(theirs[name])))) for name in numpy_twin.OUTCOMES)


def shared_shocks(gaps: np.ndarray, closure: pk.Closure, seed: int) -> engine.Shocks:
    """The shocks that ``ensemble`` draws for these gaps."""
    parts = [engine.draw(seed, k // CHUNK, len(gaps[k : k + CHUNK]), gaps[k : k + CHUNK], closure) for k in range(0, len(gaps), CHUNK)]
    return engine.Shocks(*(np.concatenate(x) for x in zip(*parts, strict=True)))
