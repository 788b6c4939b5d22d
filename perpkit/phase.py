"""Phase: what a weekend costs over the plane of mark weight and depth, and where the two walls of that plane stand.

The mark is a blend, ``weight`` on the traded price and the rest on an oracle frozen at the close. Little weight hides ruined accounts
until the print (phantom solvency); much weight on a thin book lets a liquidation cause the next (cascade). All cells of the plane live
through the same weekends, each gap of the record the same number of times; cells whose error is too large, and those on the walls, get
more weekends. The error is that of the simulation given the record; what the record itself leaves open is in ``record_se``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
import numpy as np
import xarray as xr

from perpkit._checks import as_seed, is_number
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.ensemble import ensemble
from perpkit.machine import Machine, replace
from perpkit.mark import Blend
from perpkit.theory import Feedback, affordable_weight
from perpkit.theory.triggers import LeverageLaw

MEASURES = ("shortfall", "phantom_hours", "premature", "liquidated_closed")
"""Outcomes kept for each cell."""
LOSS_STEPS = 1e-4 * np.array([0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0])
"""Edges of the colour steps of the loss beyond collateral, share of open interest a weekend."""
VALLEY = LOSS_STEPS[3]
"""Share of open interest a weekend up to which a cell counts as the valley or its sides."""
REPEATS = 4
"""Times that every gap is run in every cell; a quarter of what the walls get at least, and enough for the scatter within a gap."""


def tenth_of_step(loss):
    """A tenth of the colour step around ``loss``, in the unit of ``loss``: steps are equal factors, and from 0 to the first edge below it."""
    factor = (LOSS_STEPS[-1] / LOSS_STEPS[0]) ** (1.0 / (len(LOSS_STEPS) - 1))
    return np.where(np.asarray(loss) < LOSS_STEPS[0], 0.1 * LOSS_STEPS[0], np.asarray(loss) * (factor**0.1 - 1.0))


def plane(
    machine: Machine,
    accounts: Accounts,
    closure: Closure,
    gaps: np.ndarray,
    weights: Sequence[float],
    depths: Sequence[float],
    walls: np.ndarray | None = None,
    least: int = 20_000,
    most: int = 200_000,
    rng: int | np.random.Generator = 1,
) -> xr.Dataset:
    """Mean outcomes over weights and depths, on common weekends.

    Parameters
    ----------
    machine : everything but the weight and the closed depth.
    accounts, closure : as for :func:`perpkit.ensemble`.
    gaps : log gaps of the record, each run equally often.
    weights : weights of the traded price in the mark, 0 to 1.
    depths : closed depth over open interest (USD per log unit over USD a side).
    walls : cells, shape (weights, depths), that get at least ``least`` weekends; by default those of :func:`wall_cells`.
    least, most : weekends for a cell on a wall; the number at which a cell stops even if its error is larger than a tenth of a step.
    rng : seed or generator.

    Returns
    -------
    xarray.Dataset
        Dims (weight, depth): the means of :data:`MEASURES`, their Monte Carlo errors given the record ``*_se``, the error of the record as a
        sample ``*_record_se``, and ``weekends`` run in each cell.

    Raises
    ------
    ValueError
        If a weight or depth is out of range (by the classes they go into), gaps are fewer than two, or ``least`` exceeds ``most``.
    """
    record = np.asarray(gaps, dtype=float)
    if record.ndim != 1 or record.size < 2:
        raise ValueError(f"gaps is a vector of at least two log gaps; got shape {record.shape}")
    if not (is_number(least) and is_number(most) and 0 < least <= most):
        raise ValueError(f"least must lie above 0 and not above most; got {least!r} and {most!r}")
    seed = as_seed(rng)
    interest = accounts.open_interest
    cells = {(i, j): _cell(machine, w, d * interest) for i, w in enumerate(weights) for j, d in enumerate(depths)}
    shape = (len(weights), len(depths), len(MEASURES), record.size)
    sums, squares, runs = np.zeros(shape), np.zeros(shape), np.zeros(shape[:2], dtype=int)

    def add(chosen: list[tuple[int, int]], repeats: int, seed: int) -> None:
        named = {f"{i} {j}": cells[i, j] for i, j in chosen}
        ens = ensemble(named, accounts, closure, record, n=repeats * record.size, rng=seed)
        for m, measure in enumerate(MEASURES):
            found = ens[measure].values.reshape(len(chosen), repeats, record.size)
            for k, (i, j) in enumerate(chosen):
                sums[i, j, m] += found[k].sum(axis=0)
                squares[i, j, m] += (found[k] ** 2).sum(axis=0)
        for i, j in chosen:
            runs[i, j] += repeats

    add(list(cells), REPEATS, seed)
    means = _summary(sums, squares, runs)[0]
    on_wall = wall_cells(means[..., 0]) if walls is None else np.asarray(walls, dtype=bool)
    more = math.ceil(least / record.size) - REPEATS
    if more > 0 and on_wall.any():
        add([(int(i), int(j)) for i, j in np.argwhere(on_wall)], more, seed + 1)
    for turn in range(2, 2 + math.ceil(most / 20_000)):
        means, errors, _ = _summary(sums, squares, runs)
        again = (errors[..., 0] > tenth_of_step(means[..., 0])) & (runs * record.size < most)
        if not again.any():
            break
        add([(int(i), int(j)) for i, j in np.argwhere(again)], math.ceil(20_000 / record.size), seed + turn)
    means, errors, sampled = _summary(sums, squares, runs)
    dims = ("weight", "depth")
    data = {}
    for m, measure in enumerate(MEASURES):
        units = {"units": "hours a weekend" if measure == "phantom_hours" else "share of open interest"}
        for name, table in ((measure, means), (f"{measure}_se", errors), (f"{measure}_record_se", sampled)):
            data[name] = (dims, table[..., m], units)
    data["weekends"] = (dims, runs * record.size)
    data["wall"] = (dims, on_wall)
    return xr.Dataset(data, coords={"weight": list(weights), "depth": list(depths)}, attrs={"seed": str(seed), "gaps": record.size})


def _cell(machine: Machine, weight: float, depth: float) -> Machine:
    return replace(machine, mark=Blend(float(weight)), book=replace(machine.book, depth_closed=float(depth)))


def _summary(sums, squares, runs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, Monte Carlo error given the gaps, and error of the gaps as a sample, by cell and measure."""
    times = runs[..., None, None]
    each = sums / times
    within = np.maximum(squares / times - each**2, 0.0) * times / np.maximum(times - 1, 1)
    count = sums.shape[-1]
    return each.mean(axis=-1), np.sqrt((within / times).sum(axis=-1)) / count, each.std(axis=-1, ddof=1) / math.sqrt(count)


def wall_cells(loss: np.ndarray) -> np.ndarray:
    """The valley's sides: cells whose colour differs from that of a neighbour, one of the two losing less than :data:`VALLEY`; bool, of the
    shape of ``loss``."""
    step, low, found = np.digitize(loss, LOSS_STEPS), np.asarray(loss) < VALLEY, np.zeros(loss.shape, dtype=bool)
    across = (np.diff(step, axis=0) != 0) & (low[1:] | low[:-1])
    along = (np.diff(step, axis=1) != 0) & (low[:, 1:] | low[:, :-1])
    found[:-1] |= across
    found[1:] |= across
    found[:, :-1] |= along
    found[:, 1:] |= along
    return found


def over_tenth(ds: xr.Dataset) -> xr.DataArray:
    """Monte Carlo error of the loss in each cell over a tenth of its colour step: the colours are good as long as it is below 1."""
    return ds["shortfall_se"] / tenth_of_step(ds["shortfall"])


def cascade_wall(law: LeverageLaw, loop: Feedback, depths: Sequence[float], prices) -> np.ndarray:
    """Largest weight at which no chain sustains itself among the log ``prices``, for each of ``depths`` over open interest: the formula."""
    return np.array([affordable_weight(law, replace(loop, depth=d * law.open_interest), prices) for d in depths])
