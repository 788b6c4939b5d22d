"""Ensemble: many weekends, many machines, the same shocks.

Weekends are drawn in chunks with a stream of their own, so a result does not depend on workers, executor or how chunks are grouped into
blocks. All machines of a call live through the same weekends (common random numbers), drawn once.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from concurrent.futures import FIRST_COMPLETED
from os import cpu_count
from typing import Protocol, runtime_checkable

import numpy as np
import xarray as xr
from tqdm import tqdm

from perpkit import kernel
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.engine import CHUNK, Tables, as_seed, check, draw, verify
from perpkit.machine import Machine

BLOCK = 8
"""Chunks in one task. Only a matter of overhead and memory; results do not depend on it."""
SAMPLING = {"stratified": "stratified", "sobol": "sobol", "independent": "sample"}
"""Ways to draw the gaps of an ensemble, and the method of a law that does it."""
_NO_TRACE = np.zeros((0, len(kernel.TRACE)))
_NO_EVENTS = np.zeros((0, 7))


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
    sampling: str = "stratified",
    block: int = BLOCK,
    progress: bool = False,
) -> xr.Dataset:
    """Run weekends through machines on common shocks.

    Parameters
    ----------
    machines : one machine, or machines by name.
    accounts : one population for all, or one for each machine by the same names.
    closure : clock, shared.
    gaps : a law of the log gap, or an array of log gaps. An array is used in order and again from its start.
    n : number of weekends; by default the length of the array.
    rng : seed or generator.
    executor : any ``concurrent.futures.Executor``; by default a pool of one thread a core.
    sampling : how gaps are drawn from a law: ``"stratified"``, one in each of ``n`` equally likely strata; ``"sobol"``, at scrambled Sobol
        points, ``n`` a power of two; both in order, lowest first. Or ``"independent"``.
    block : chunks of 64 weekends in one task.
    progress : show a bar.

    Returns
    -------
    xarray.Dataset
        One variable an outcome (per unit of open interest unless its ``units`` says otherwise), dims (machine, weekend), coordinate
        ``gap``. Attributes: ``seed``, ``sampling``, ``distinct`` (number of different gaps) and ``record``, the worst and best gap on
        record, from which ``estimate`` takes standard error and tail share.

    Raises
    ------
    ValueError
        If a parameter is out of range or an account does not fit a machine, before anything runs.
    LedgerError
        If money appeared or vanished in any weekend; the message names seed and weekend.
    """
    by_name = {machines.name: machines} if isinstance(machines, Machine) else dict(machines)
    if not by_name:
        raise ValueError("machines is empty; give at least one machine")
    if isinstance(accounts, Mapping) and set(accounts) != set(by_name):
        raise ValueError(f"accounts are named {sorted(accounts)}, machines {sorted(by_name)}; use the same names")
    holders = {name: accounts[name] if isinstance(accounts, Mapping) else accounts for name in by_name}
    for name, machine in by_name.items():
        check(machine, holders[name])
    if block < 1 or int(block) != block:
        raise ValueError(f"block is a number of chunks, 1 or more; got {block!r}")
    seed = as_seed(rng)
    drawn, sampling, record = _gaps(gaps, n, seed, sampling)
    count = len(drawn)
    columns = len(kernel.OUTCOMES)
    result = np.empty((len(by_name), count, columns))
    span = block * CHUNK
    jobs = [(start, drawn[start : start + span]) for start in range(0, count, span)]
    machines_held = [(machine, holders[name]) for name, machine in by_name.items()]
    own = executor is None
    pool = ThreadPoolExecutor(cpu_count()) if own else executor
    try:
        with tqdm(total=count, unit="weekend", disable=not progress) as bar:
            for start, rows in _in_flight(pool, jobs, machines_held, closure, seed):
                result[:, start : start + rows.shape[1]] = rows
                bar.update(rows.shape[1])
    finally:
        if own:
            pool.shutdown(cancel_futures=True)
    for k, (machine, _) in enumerate(machines_held):
        verify(result[k], machine, seed, 0)
    distinct = count if isinstance(gaps, GapLaw) else np.size(gaps)
    return _label(result, list(by_name), drawn, seed, sampling, record, distinct)


def _in_flight(pool: Executor, jobs, machines, closure, seed):
    """Results as they arrive, with a bounded number of tasks waiting, so that memory does not grow with their number."""
    queue, waiting = iter(jobs), {}
    room = 4 * (cpu_count() or 1)
    while True:
        while len(waiting) < room and (job := next(queue, None)) is not None:
            waiting[pool.submit(_block, machines, closure, seed, *job)] = job[0]
        if not waiting:
            return
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield waiting.pop(future), future.result()


def _block(machines, closure: Closure, seed: int, start: int, gaps: np.ndarray) -> np.ndarray:
    """Outcomes of the weekends from ``start``, shape (machines, weekends, outcomes). A chunk at a time, so that memory stays bounded."""
    tables = [Tables(machine, accounts, closure) for machine, accounts in machines]
    out = np.empty((len(tables), len(gaps), len(kernel.OUTCOMES)))
    normals = np.empty((CHUNK, closure.closed_steps + closure.open_steps, 2))
    for at in range(0, len(gaps), CHUNK):
        part = gaps[at : at + CHUNK]
        shocks = draw(seed, (start + at) // CHUNK, len(part), part, closure, out=normals)
        for k, table in enumerate(tables):
            table.run(shocks, out[k, at : at + len(part)], _NO_TRACE, _NO_EVENTS)
    return out


def _gaps(gaps, n: int | None, seed: int, sampling: str) -> tuple[np.ndarray, str, tuple[float, float] | None]:
    if n is not None and (int(n) != n or n < 1):
        raise ValueError(f"n is a number of weekends, 1 or more; got {n!r}")
    if sampling not in SAMPLING:
        raise ValueError(f"sampling is one of {', '.join(map(repr, SAMPLING))}; got {sampling!r}")
    if isinstance(gaps, GapLaw):
        if n is None:
            raise ValueError("n is needed with a law of the gap: how many weekends to draw")
        # A stream of its own: the same gaps whatever the closure or the number of machines.
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(2**32 - 1,))))
        draws = getattr(gaps, SAMPLING[sampling])
        return np.asarray(draws(int(n), rng), dtype=float), sampling, gaps.record
    drawn = np.atleast_1d(np.asarray(gaps, dtype=float))
    if drawn.ndim != 1 or not drawn.size:
        raise ValueError(f"gaps is a law or a vector of log returns; got an array of shape {drawn.shape}")
    bad = np.flatnonzero(~np.isfinite(drawn))
    if bad.size:
        raise ValueError(f"gaps are finite log returns; entry {bad[0]} is {drawn[bad[0]]!r}")
    count = len(drawn) if n is None else int(n)
    return np.resize(drawn, count), "given", (float(drawn.min()), float(drawn.max()))


_UNITS = {
    "exhausted": "1 if the fund could not cover a loss",
    "exhausted_hours": "hours since the close",
    "phantom_hours": "hours",
    "dislocation": "log price",
    "generations": "updates in a row",
    "cascade": "largest run of forced orders over its first order",
}


def _label(result, names, gaps, seed, sampling, record, distinct) -> xr.Dataset:
    data = {
        name: (("machine", "weekend"), result[:, :, j], {"units": _UNITS.get(name, "share of open interest")})
        for j, name in enumerate(kernel.OUTCOMES)
    }
    attrs = {"seed": str(seed), "sampling": sampling, "distinct": min(distinct, len(gaps))} | ({"record": list(record)} if record else {})
    for variable in data.values():
        variable[2].update(attrs)
    coords = {"machine": names, "weekend": np.arange(len(gaps)), "gap": ("weekend", gaps, {"units": "log return"})}
    return xr.Dataset(data, coords=coords, attrs=attrs)
