"""Estimate: a mean, how far to trust it, and how much of it lies beyond anything on record."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Estimate:
    """``value``, its standard error ``se``, the number of weekends ``n``, and ``tail_share``: the part of the value from weekends with a
    gap beyond the worst or best on record (nan when the record is unknown)."""

    value: float
    se: float
    n: int
    tail_share: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.se:.2g} (n = {self.n}, {self.tail_share:.0%} beyond the record)"


def estimate(outcome: xr.DataArray, minus: xr.DataArray | None = None) -> Estimate:
    """Mean of an outcome over weekends; with ``minus``, of the paired difference of two machines.

    The standard error is the usual one for independent gaps. For gaps given as an array and gone through several times, the runs of one gap
    are averaged first: the error is that of the distinct weekends as a sample, shocks included, and ``n`` is their number (one gap run many
    times keeps the error of its runs). For stratified gaps it is the successive-difference estimator, ``sum (x[i+1] - x[i])**2 / (2 n (n -
    1))``: one draw a stratum leaves no spread within a stratum, and neighbours differ little in the gap, so it errs on the safe side.
    Outcomes that are nan (no event) are left out.

    Parameters
    ----------
    outcome : one outcome of one machine over ``weekend``, as ``ens["shortfall"].sel(machine="today")``.
    minus : the same outcome of another machine of the same ensemble.

    Raises
    ------
    ValueError
        If there is more than the weekend dimension, the pair does not belong together, or fewer than two weekends remain.
    """
    if outcome.dims != ("weekend",):
        raise ValueError(f"outcome has dims {outcome.dims}; select one machine first, as ens['shortfall'].sel(machine='today')")
    if minus is not None:
        same = minus.dims == outcome.dims and minus.sizes == outcome.sizes and minus.attrs.get("seed") == outcome.attrs.get("seed")
        if not same:
            raise ValueError("minus must come from the same ensemble as outcome: a paired difference needs common shocks")
    x = outcome.values if minus is None else outcome.values - minus.values
    keep = np.isfinite(x)
    share = _tail_share(outcome, x[keep], keep)
    distinct = int(outcome.attrs.get("distinct", len(x)))
    if 1 < distinct < len(x) and len(x) % distinct == 0 and keep.all():
        x = x.reshape(-1, distinct).mean(axis=0)
    else:
        x = x[keep]
    n = len(x)
    if n < 2:
        raise ValueError(f"an estimate needs at least two weekends with a value; {n} of {len(keep)} have one")
    stratified = outcome.attrs.get("sampling") == "stratified" and keep.all()
    variance = (np.diff(x) ** 2).sum() / (2.0 * (n - 1)) if stratified else x.var(ddof=1)
    return Estimate(float(x.mean()), math.sqrt(variance / n), n, share)


def _tail_share(outcome: xr.DataArray, x: np.ndarray, keep: np.ndarray) -> float:
    record = outcome.attrs.get("record")
    if record is None or "gap" not in outcome.coords or x.sum() == 0.0:
        return math.nan
    gap = outcome.coords["gap"].values[keep]
    beyond = (gap < record[0]) | (gap > record[1])
    return float(x[beyond].sum() / x.sum())
