"""Estimate: a mean, how far to trust it, and how much of it lies beyond anything on record."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import xarray as xr

from perpkit._checks import between

SORTED = ("stratified", "sobol")
"""Ways of drawing gaps that put one in each of as many equally likely strata as there are weekends, lowest first."""


@dataclass(frozen=True)
class Estimate:
    """``value``, its standard error ``se``, the number of weekends ``n``, and ``tail_share``: the part of the value from weekends with a
    gap beyond the worst or best on record (nan when the record is unknown, as that of gaps given as an array is)."""

    value: float
    se: float
    n: int
    tail_share: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.se:.2g} (n = {self.n}{_beyond(self.tail_share)})"


def estimate(outcome: xr.DataArray, minus: xr.DataArray | None = None) -> Estimate:
    """Mean of an outcome over weekends; with ``minus``, of the paired difference of two machines.

    The standard error is the usual one for independent gaps. Gaps given as an array and gone through more than once are clusters: the error
    is that of the array's entries as a sample of weekends, shocks included, and ``n`` is their number (one gap run many times keeps the error
    of its runs). For stratified and Sobol gaps it is the successive-difference estimator, ``sum (x[i+1] - x[i])**2 / (2 n (n - 1))``: one
    draw a stratum leaves no spread within a stratum, and neighbours differ little in the gap, so it errs on the safe side. Outcomes that are
    nan (no event) are left out.

    Parameters
    ----------
    outcome : one outcome of one machine over ``weekend``, as ``ens["shortfall"].sel(machine="today")``; of an ensemble with one machine
        ``ens["shortfall"]`` will do.
    minus : the same outcome of another machine of the same ensemble, or of another ensemble on the same seed, closure and gaps.

    Raises
    ------
    ValueError
        If there is more than one machine or outcome, the pair does not belong together, or fewer than two weekends remain.
    """
    outcome, minus = _one("outcome", outcome), None if minus is None else _one("minus", minus)
    if minus is not None:
        _check_paired(outcome, minus)
    x = outcome.values if minus is None else outcome.values - minus.values
    keep = np.isfinite(x)
    cycle = int(outcome.attrs.get("cycle", 1))
    weekend = outcome["weekend"].values[keep]
    sample = np.unique(weekend % cycle if cycle > 1 else weekend, return_inverse=True)[1]
    n = int(sample.max(initial=-1)) + 1
    if n < 2:
        raise ValueError(f"an estimate needs at least two weekends with a value; {n} of {len(keep)} have one")
    share = _tail_share(outcome, x[keep], keep)
    in_strata = outcome.attrs.get("sampling") in SORTED and keep.all()
    return Estimate(float(x[keep].mean()), _se_in_strata(x) if in_strata else _se(x[keep], sample), n, share)


class Members(Protocol):
    """What :func:`credible` needs of a law that stands for many: see ``predictive.Predictive``."""

    name: str

    def cdf(self, x: np.ndarray) -> np.ndarray: ...

    def members_logpdf(self, x: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Credible:
    """A mean with the uncertainty of the law of the gap. ``value``, ``se``, ``n`` and ``tail_share`` are those of :class:`Estimate` under the
    predictive law; ``low`` and ``high`` hold the share ``level`` of the means under single posterior draws, all of them in ``draws``."""

    value: float
    se: float
    n: int
    tail_share: float
    low: float
    high: float
    level: float
    draws: np.ndarray = field(repr=False)

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.level:.0%} interval {self.low:.4g} to {self.high:.4g}{_beyond(self.tail_share)})"


def credible(outcome: xr.DataArray, law: Members, level: float = 0.9, minus: xr.DataArray | None = None) -> Credible:
    """Mean of an outcome under a posterior of the gap: one run of the predictive law, reweighted to every posterior draw.

    The ensemble has drawn its gaps from ``law``, the mixture of all draws. Under draw s the mean is that of ``x_i w_i / mean(w)`` with
    ``w_i = f_s(gap_i) / f(gap_i)``, the ratio of densities, which is at most the number of draws because f is the average of all f_s.
    So the interval costs no further weekend. It holds what is unknown of the law, and besides it the Monte Carlo error of the run, which
    ``se`` shows.

    Parameters
    ----------
    outcome, minus : as in :func:`estimate`, from one ensemble run with ``gaps=law``.
    law : the predictive law that the ensemble was given.
    level : share of the draws inside the interval.

    Raises
    ------
    ValueError
        As :func:`estimate`; if an outcome is nan in some weekend; if ``level`` is not between 0 and 1; or if the gaps were not drawn from
        ``law``.
    """
    between("level", level, "a share")
    mean = estimate(outcome, minus)
    outcome, minus = _one("outcome", outcome), None if minus is None else _one("minus", minus)
    x = outcome.values if minus is None else outcome.values - minus.values
    if not np.isfinite(x).all():
        lacking = int((~np.isfinite(x)).sum())
        raise ValueError(f"{outcome.name} has no value in {lacking} of {x.size} weekends; only an outcome of every weekend can be reweighted")
    gap = outcome.coords["gap"].values
    if not hasattr(law, "members_logpdf"):
        raise ValueError(f"law is a posterior's, such as posterior.predictive(); got {law!r}")
    _check_drawn(gap, law, outcome.attrs.get("sampling"))
    logs = law.members_logpdf(gap)
    weights = np.exp(logs - np.logaddexp.reduce(logs, axis=0) + math.log(len(logs)))
    draws = (weights @ x) / weights.sum(axis=1)
    low, high = np.quantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Credible(mean.value, mean.se, mean.n, mean.tail_share, float(low), float(high), level, draws)


def _one(name: str, given: xr.DataArray) -> xr.DataArray:
    """``given`` over weekends alone: that of its only machine, if it has one."""
    if isinstance(given, xr.Dataset):
        raise ValueError(f"{name} is one outcome of an ensemble and not the whole of it; give one, as ens['shortfall']")
    if not isinstance(given, xr.DataArray):
        raise ValueError(f"{name} is one outcome of an ensemble, as ens['shortfall']; got {type(given).__name__}")
    if given.dims == ("machine", "weekend"):
        if len(given["machine"]) == 1:
            return given.isel(machine=0)
        names = [repr(str(machine)) for machine in given["machine"].values]
        how = f"ens[{given.name!r}].sel(machine={names[0]})"
        raise ValueError(f"{name} holds {len(names)} machines; select one of {', '.join(names)}, as {how}")
    if given.dims != ("weekend",):
        raise ValueError(f"{name} is one outcome of one machine over weekends; got dims {given.dims}")
    return given


def _beyond(share: float) -> str:
    return "" if math.isnan(share) else f", {share:z.0%} beyond the record"


def _se_in_strata(x: np.ndarray) -> float:
    n = len(x)
    return math.sqrt((np.diff(x) ** 2).sum() / (2.0 * n * (n - 1)))


def _se(x: np.ndarray, sample: np.ndarray) -> float:
    """Standard error of the mean of ``x`` in clusters, numbered from 0 in ``sample``: clusters of one give the usual one, clusters of equal
    size that of their means."""
    off = np.bincount(sample, x - x.mean())
    return math.sqrt(len(off) / (len(off) - 1.0) * (off**2).sum()) / len(x)


def _check_paired(outcome: xr.DataArray, minus: xr.DataArray) -> None:
    """Seed, closure and gaps make the shocks."""
    if minus.dims != outcome.dims or minus.sizes != outcome.sizes:
        raise ValueError(f"minus has {dict(minus.sizes)} and outcome {dict(outcome.sizes)}; a paired difference needs the same weekends")
    other = [name for name in ("seed", "closure") if minus.attrs.get(name) != outcome.attrs.get(name)]
    gaps = [x["gap"].values if "gap" in x.coords else None for x in (outcome, minus)]
    other += [] if np.array_equal(*gaps) and np.array_equal(outcome["weekend"], minus["weekend"]) else ["gaps"]
    if other:
        raise ValueError(f"minus must come from the same ensemble as outcome: a paired difference needs common shocks; {', '.join(other)} differ")


def _check_drawn(gap: np.ndarray, law: Members, sampling: str | None) -> None:
    """The gaps must come from the law whose densities are in the denominator, or every weight is wrong."""
    if sampling not in SORTED:
        raise ValueError(f"credible needs gaps drawn from the law in strata; these are {sampling}. Run ensemble(..., gaps=law)")
    n = len(gap)
    off = np.abs(law.cdf(gap) * n - (np.arange(n) + 0.5))
    if off.max() > 0.501 + 1e-6 * n:
        raise ValueError(f"the gaps of this ensemble were not drawn from {law.name!r}; give the law that ensemble was run with")


def _tail_share(outcome: xr.DataArray, x: np.ndarray, keep: np.ndarray) -> float:
    record = outcome.attrs.get("record")
    if record is None or "gap" not in outcome.coords or x.sum() == 0.0:
        return math.nan
    gap = outcome.coords["gap"].values[keep]
    beyond = (gap < record[0]) | (gap > record[1])
    return float(x[beyond].sum() / x.sum())
