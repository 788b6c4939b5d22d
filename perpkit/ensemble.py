"""Ensemble: many weekends, many machines, the same shocks.

Weekends are drawn in chunks with a stream of their own, so a result does not depend on workers, executor or how chunks are grouped into
blocks. All machines of a call live through the same weekends (common random numbers), drawn once. A run may leave its finished blocks in a
store (``runs.py``) and continue from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from concurrent.futures import FIRST_COMPLETED
from os import PathLike, cpu_count
from typing import Protocol, runtime_checkable

import numpy as np
import xarray as xr
from tqdm import tqdm

from perpkit import kernel
from perpkit._checks import as_seed, whole
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.engine import CHUNK, ENGINES, check, check_gaps, draw, engine_of, prepare, reads_proxy, verify
from perpkit.ledger import EVENT_FIELDS
from perpkit.machine import Machine
from perpkit.orders import Misprint, Orders, listed
from perpkit.outcomes import MEANING
from perpkit.runs import SOURCE, Store, digest, identity

BLOCK = 8
"""Chunks in one task. Only a matter of overhead and memory; results do not depend on it."""
TASKS = 4
"""Tasks for each core of this machine that an executor is handed at a time."""
SAMPLING = {"stratified": "stratified", "sobol": "sobol", "independent": "sample"}
"""Ways to draw the gaps of an ensemble, and the method of a law that does it."""
_NO_TRACE = np.zeros((0, len(kernel.TRACE)))
_NO_EVENTS = np.zeros((0, len(EVENT_FIELDS)))


@runtime_checkable
class GapLaw(Protocol):
    """What ``ensemble`` needs of a law of the log gap; see ``gaps.py``."""

    record: tuple[float, float] | None

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray: ...

    def stratified(self, n: int, rng: np.random.Generator) -> np.ndarray: ...

    def sobol(self, n: int, rng: np.random.Generator) -> np.ndarray: ...


def ensemble(
    machines: Machine | Mapping[str, Machine],
    accounts: Accounts | Mapping[str, Accounts],
    closure: Closure,
    gaps: GapLaw | np.ndarray,
    n: int | None = None,
    rng: int | np.random.Generator = 1,
    executor: Executor | None = None,
    sampling: str | None = None,
    block: int = BLOCK,
    progress: bool = False,
    outcomes: Sequence[str] | None = None,
    store: str | PathLike | None = None,
    tasks: int | None = None,
    orders: Orders | Mapping[str, Orders] | None = None,
    misprints: Sequence[Misprint] = (),
) -> xr.Dataset:
    """Run weekends through machines on common shocks.

    Parameters
    ----------
    machines : one machine, or machines by name: books and pools in any mixture.
    accounts : one population for all, or one for each machine by the same names.
    closure : clock, shared.
    gaps : a law of the log gap, or an array of log gaps. An array is used in order and again from its start.
    n : number of weekends; by default the length of the array.
    rng : seed or generator.
    executor : any ``concurrent.futures.Executor``; by default a pool of one thread a core. A Dask cluster gives one by
        ``distributed.Client(...).get_executor()``.
    sampling : how gaps are drawn from a law: ``"stratified"``, the default, one in each of ``n`` equally likely strata; ``"sobol"``, at scrambled Sobol
        points, ``n`` a power of two; both in order, lowest first. Or ``"independent"``.
    block : chunks of 64 weekends in one task.
    progress : show a bar.
    outcomes : which to keep; by default all that these machines have. What only another architecture has is 0 for a machine. All of a billion
        weekends are 200 GB a machine.
    store : a folder for finished blocks. If it holds some of this run, only the others are run: a run that was killed loses the blocks in
        flight. Give larger blocks than the default, of some seconds each. Results are those of an uninterrupted run, bit for bit.
    tasks : most blocks handed to the executor at a time; by default four for each core of this machine. A cluster wants twice its cores.
    orders : what a trader from outside sends in every weekend, or one schedule for each machine by the same names.
    misprints : reference prints that are off, after the reopening, in every weekend.

    Returns
    -------
    xarray.Dataset
        One variable an outcome (its ``long_name`` and ``units`` say what it is; see ``perpkit.outcomes``), dims (machine, weekend), coordinate
        ``gap``. Attributes, from which ``estimate`` takes standard error and tail share: ``seed``; ``closure``, a digest of it;
        ``sampling``; ``cycle``, the number of weekends after which the gaps begin again, the length of an array; and, for a law that has
        one, ``record``, the worst and best gap on record.

    Raises
    ------
    ValueError
        If a parameter is out of range, an account does not fit a machine, or the store holds a run with another seed, version, machine or
        population, before anything runs.
    LedgerError
        If money appeared or vanished in any weekend; the message names seed and weekend.
    RuleError
        If a reader's mark rule returned something that is no price; the message names seed and weekend too.
    RuntimeError
        If a worker of the executor runs another version of the package.
    """
    by_name = dict(machines) if isinstance(machines, Mapping) else {getattr(machines, "name", ""): machines}
    if not by_name:
        raise ValueError("machines is empty; give at least one machine")
    if isinstance(accounts, Mapping) and set(accounts) != set(by_name):
        raise ValueError(f"accounts are named {sorted(accounts)}, machines {sorted(by_name)}; use the same names")
    holders = {name: accounts[name] if isinstance(accounts, Mapping) else accounts for name in by_name}
    if isinstance(orders, Mapping) and set(orders) != set(by_name):
        raise ValueError(f"orders are named {sorted(orders)}, machines {sorted(by_name)}; use the same names")
    if store is not None and not isinstance(store, (str, PathLike)):
        raise ValueError(f"store is the path of a folder, or None; got {store!r}")
    if executor is not None and not isinstance(executor, Executor):
        hint = "; give its get_executor()" if hasattr(executor, "get_executor") else ""
        raise ValueError(f"executor is a concurrent.futures.Executor, or None for threads; got {executor!r}{hint}")
    outside = {name: (orders[name] if isinstance(orders, Mapping) else orders, listed(misprints)) for name in by_name}
    for name, machine in by_name.items():
        check(machine, holders[name], closure)
        if any(outside[name]):
            prepare(machine, holders[name], closure, *outside[name])
    block = whole("block", block, "a number of chunks")
    tasks = TASKS * (cpu_count() or 1) if tasks is None else whole("tasks", tasks, "a number of blocks")
    kept = _columns(by_name.values(), outcomes)
    seed = as_seed(rng)
    drawn, sampling, record = _gaps(gaps, n, seed, sampling)
    count, span = len(drawn), block * CHUNK
    result = np.empty((len(by_name), count, len(kept)))
    done = set()
    shelf = None
    if store is not None:
        plain = {"seed": seed, "weekends": count, "block": block, "outcomes": " ".join(kept), "outside": digest(outside)}
        shelf = Store(store, identity(by_name, holders, closure, drawn, **plain))
        for start, rows in shelf.blocks():
            result[:, start : start + rows.shape[1]] = rows
            done.add(start)
    jobs = ((start, drawn[start : start + span]) for start in range(0, count, span) if start not in done)
    machines_held = [(machine, holders[name], *outside[name]) for name, machine in by_name.items()]
    own = executor is None
    pool = ThreadPoolExecutor(cpu_count()) if own else executor
    try:
        with tqdm(total=count, initial=min(len(done) * span, count), unit="weekend", disable=not progress) as bar:
            for start, rows in _in_flight(pool, tasks, jobs, machines_held, closure, seed, kept):
                stop = start + rows.shape[1]
                result[:, start:stop] = rows
                if shelf is not None:
                    shelf.save(start, _as_block(rows, list(by_name), kept, start, drawn[start:stop]))
                bar.update(stop - start)
    finally:
        if own:
            pool.shutdown(cancel_futures=True)
    attrs = {"seed": str(seed), "closure": digest(closure), "sampling": sampling}
    attrs["cycle"] = count if isinstance(gaps, GapLaw) else min(np.size(gaps), count)
    return _label(result, list(by_name), kept, drawn, attrs | ({"record": list(record)} if record else {}))


def _in_flight(pool: Executor, room: int, jobs: Iterable[tuple[int, np.ndarray]], *common) -> Iterator[tuple[int, np.ndarray]]:
    """Results as they arrive, with at most ``room`` tasks waiting, so that memory does not grow with their number."""
    queue, waiting = iter(jobs), {}
    while True:
        while len(waiting) < room and (job := next(queue, None)) is not None:
            waiting[pool.submit(_block, SOURCE, *common, *job)] = job[0]
        if not waiting:
            return
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield waiting.pop(future), future.result()


def _block(source: str, machines, closure: Closure, seed: int, outcomes: Sequence[str], start: int, gaps: np.ndarray) -> np.ndarray:
    """Outcomes of the weekends from ``start``, shape (machines, weekends, outcomes). A chunk at a time, so that memory stays bounded."""
    if source != SOURCE:
        raise RuntimeError(f"this worker runs perpkit {SOURCE} and the caller {source}; install one version everywhere")
    tables = [prepare(*held[:2], closure, *held[2:]) for held in machines]
    out = [np.empty((len(gaps), len(table.outcomes))) for table in tables]
    normals = np.empty((CHUNK, closure.closed_steps + closure.open_steps, 2))
    proxy = any(reads_proxy(machine) for machine, *_ in machines)
    for at in range(0, len(gaps), CHUNK):
        part = gaps[at : at + CHUNK]
        shocks = draw(seed, (start + at) // CHUNK, len(part), part, closure, out=normals, proxy=proxy)
        for k, table in enumerate(tables):
            table.run(shocks, out[k][at : at + len(part)], _NO_TRACE, _NO_EVENTS)
    rows = np.zeros((len(tables), len(gaps), len(outcomes)))
    for k, (machine, *_) in enumerate(machines):
        verify(out[k], machine, seed, start)
        names = tables[k].outcomes
        if names == tuple(outcomes):
            rows[k] = out[k]
            continue
        for j, name in enumerate(outcomes):
            if name in names:  # what only another architecture has is 0 here
                rows[k, :, j] = out[k][:, names.index(name)]
    return rows


def _columns(machines: Iterable, outcomes: Sequence[str] | None) -> tuple[str, ...]:
    """The outcomes to keep, in the engine's order: those of the book, which every architecture has, and then any that only another one has."""
    engines = [engine_of(machine) for machine in machines]
    if outcomes is not None:
        engines += ENGINES.values()
    every = tuple(dict.fromkeys(name for engine in engines for name in engine.outcomes))
    if outcomes is None:
        return every
    wanted = (outcomes,) if isinstance(outcomes, str) or not isinstance(outcomes, Iterable) else tuple(outcomes)
    unknown = [name for name in wanted if name not in every]
    if unknown or not wanted:
        raise ValueError(f"outcomes are one or more of {', '.join(every)}; got {unknown or outcomes!r}")
    return tuple(name for name in every if name in wanted)


def _as_block(rows: np.ndarray, names: list[str], outcomes: Sequence[str], start: int, gaps: np.ndarray) -> xr.DataArray:
    coords = {"machine": names, "weekend": np.arange(start, start + len(gaps)), "outcome": list(outcomes), "gap": ("weekend", gaps)}
    return xr.DataArray(rows, coords, ("machine", "weekend", "outcome"), "outcomes")


def _gaps(gaps, n: int | None, seed: int, sampling: str | None) -> tuple[np.ndarray, str, tuple[float, float] | None]:
    count = None if n is None else whole("n", n, "a number of weekends")
    if sampling is not None and sampling not in list(SAMPLING):
        raise ValueError(f"sampling is one of {', '.join(map(repr, SAMPLING))}; got {sampling!r}")
    if isinstance(gaps, GapLaw):
        if count is None:
            raise ValueError("n is needed with a law of the gap: how many weekends to draw")
        # A stream of its own: the same gaps whatever the closure or the number of machines.
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(2**32 - 1,))))
        sampling = sampling or "stratified"
        drawn = np.asarray(getattr(gaps, SAMPLING[sampling])(count, rng), dtype=float)
        check_gaps(drawn)
        return drawn, sampling, gaps.record
    if sampling is not None:
        raise ValueError(f"sampling={sampling!r} is for a law; gaps given one by one are run in their order: leave it out")
    try:
        drawn = np.atleast_1d(np.asarray(gaps, dtype=float))
    except (TypeError, ValueError):
        raise ValueError(
            f"gaps is a law of the log gap, such as perpkit.gaps.empirical('TSLA') or perpkit.gaps.Parametric('Normal', scipy.stats.norm(0.0, 0.02)), "
            f"or a vector of log returns; got {gaps!r}"
        ) from None
    if drawn.ndim != 1 or not drawn.size:
        raise ValueError(f"gaps is a law or a vector of log returns; got an array of shape {drawn.shape}")
    check_gaps(drawn)
    return np.resize(drawn, count or len(drawn)), "given", None


def _label(result, names, outcomes, gaps, attrs) -> xr.Dataset:
    data = {
        name: (("machine", "weekend"), result[:, :, j], dict(zip(("long_name", "units"), MEANING[name])) | attrs)
        for j, name in enumerate(outcomes)
    }
    coords = {"machine": names, "weekend": np.arange(len(gaps)), "gap": ("weekend", gaps, {"units": "log return"})}
    return xr.Dataset(data, coords=coords, attrs=attrs)
