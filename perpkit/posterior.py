"""Posterior: what some hundred weekends say about the law of the gap, and what they leave open.

One law at a time, by ensembles of walkers (emcee), judged by ArviZ: whether the chains agree, whether its replicas look like the record. A plain
model takes weekends for independent draws of one law. A volatility model divides each gap by the volatility known at the close before it
(:func:`trailing_volatility`). :mod:`perpkit.rivals` sets laws and priors against each other.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from os import cpu_count

import numpy as np
import pandas as pd
import xarray as xr

from perpkit import gaps, priors
from perpkit._arviz import az
from perpkit._calibration import calibration, forecasts, rank_statistics, rank_test, rolling
from perpkit._checks import generator
from perpkit._emcee import Schedule, walk
from perpkit._likelihood import LIKELIHOODS
from perpkit._replicate import tail_checks
from perpkit._volatility import measure, trailing_volatility, with_history
from perpkit.laws import Empirical
from perpkit.predictive import Predictive

__all__ = [
    "Posterior", "Schedule", "calibration", "forecasts", "posterior", "posteriors", "rank_statistics", "rank_test", "rolling", "tail_checks",
    "trailing_volatility",
]  # fmt: skip

LEVEL = 0.9
"""Share of the posterior inside the intervals of a summary."""

_EVERY = 6  # draws between those that are replicated
_FEWEST = 20


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of the parameters of one law, given gaps and a prior.

    Parameters
    ----------
    name : for legends and messages.
    law : a name in ``priors.LAWS``.
    prior : the prior used.
    sample : the gaps, with their dates.
    scale : volatility before each gap, shape (n,), or None for a plain model.
    idata : ``posterior`` over (chain, draw), in the parameters of the family of ``scipy.stats`` and, where they differ, those of the prior;
        ``log_likelihood`` of the gaps over (chain, draw, open_date); ``log_prior``; ``observed_data``; ``posterior_predictive``, gaps
        replicated at every sixth draw. Each walker is a chain. A volatility model's parameters are in units of the volatility.
    times : emcee's integrated autocorrelation time of each parameter of the prior, in steps, the longest of the ensembles.
    accepted : share of the moves accepted.
    """

    name: str
    law: str
    prior: priors.Prior
    sample: Empirical
    scale: np.ndarray | None
    idata: az.InferenceData = field(repr=False)
    times: pd.Series
    accepted: float

    @property
    def family(self):
        """Density and draws of the law."""
        return LIKELIHOODS[self.law]

    def parameters(self, n: int | None = None) -> tuple[np.ndarray, ...]:
        """Parameters of the family at ``n`` draws spread evenly over the chains (all by default), each of shape (n, 1).

        Raises
        ------
        ValueError
            If there are fewer draws.
        """
        values = [self.idata.posterior[name].values.ravel() for name in self.family.names]
        most = values[0].size
        if n is None:
            n = most
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= most:
            raise ValueError(f"n is a number of posterior draws, from 1 to the {most} that are stored; got {n!r}")
        picks = np.arange(n) * most // n
        return tuple(value[picks][:, None] for value in values)

    def summary(self) -> pd.DataFrame:
        """``arviz.summary``, unrounded: mean, sd, 90 % interval, Monte Carlo errors, bulk and tail ESS, rank-normalised R-hat; and ``steps``,
        emcee's integrated autocorrelation time for the parameters that were walked."""
        frame = az.summary(self.idata, group="posterior", kind="all", round_to="none", hdi_prob=LEVEL)
        return frame.assign(steps=self.times.reindex(frame.index))

    def require(self, rhat: float = 1.01, ess: float = 1000.0) -> Posterior:
        """This posterior, if its chains agree.

        Raises
        ------
        ValueError
            If a parameter's R-hat is above ``rhat``, or its bulk or tail ESS below ``ess``.
        """
        frame = self.summary()
        wrong = [f"{name}: R-hat {value:.3f}" for name, value in frame["r_hat"].items() if not value <= rhat]
        wrong += [f"{name}: {which} {value:.0f}" for which in ("ess_bulk", "ess_tail") for name, value in frame[which].items() if not value >= ess]
        if wrong:
            raise ValueError(f"{self.name}: the chains do not agree ({'; '.join(wrong)}); give a Schedule with more steps")
        return self

    def predictive(self, n: int = 400, volatility: float | np.ndarray | None = None, name: str | None = None) -> Predictive:
        """Law of the next gap: the equal mixture over ``n`` draws.

        Parameters
        ----------
        volatility : of a volatility model, the sd of daily log returns known at the close: one number, or several, shape (m,), over which
            every draw is mixed, such as quantiles of :func:`trailing_volatility`.

        Raises
        ------
        ValueError
            If there are fewer draws, a volatility is missing, not above 0 or given to a plain model, or ``n`` times m is above 20,000.
        """
        if (volatility is None) != (self.scale is None):
            fix = "give the sd of daily log returns at the close" if volatility is None else "it is for volatility=True models; leave it out"
            raise ValueError(f"volatility={volatility!r} for {self.name}: {fix}")
        size = np.atleast_1d(np.asarray(1.0 if volatility is None else volatility, dtype=float))
        if size.ndim != 1 or not size.size or not (np.isfinite(size) & (size > 0.0)).all():
            raise ValueError(f"volatility is the sd of daily log returns, a finite number above 0, or an array of them; got {volatility!r}")
        *shapes, loc, scale = self.parameters(n)
        parameters = tuple(np.repeat(shape, size.size, axis=1) for shape in shapes) + (loc * size, scale * size)
        return Predictive(name or self.name, self.law, parameters, self.sample.record)

    def loo(self, dates: pd.DatetimeIndex | None = None) -> az.ELPDData:
        """``arviz.loo``, pointwise, over the gaps that opened on ``dates`` (all by default); its Pareto k tells how far to trust it."""
        likelihood = self.idata.log_likelihood if dates is None else self.idata.log_likelihood.sel(open_date=dates)
        with warnings.catch_warnings():  # high k are counted by rivals.compare
            warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto", category=UserWarning)
            return az.loo(az.InferenceData(posterior=self.idata.posterior, log_likelihood=likelihood), pointwise=True)


def posterior(
    symbol: str,
    law: str = "t",
    volatility: bool | str = False,
    rng: int | np.random.Generator = 1,
    kind: str = "weekend",
    start: str | None = None,
    end: str | None = None,
    prior: str | priors.Prior = "default",
    table: pd.DataFrame | None = None,
    schedule: Schedule = Schedule(),
) -> Posterior:
    """Draws from the posterior of the parameters of ``law`` given the gaps of :func:`perpkit.gaps.empirical`.

    Parameters
    ----------
    law : ``"normal"``, ``"t"``, ``"skew-t"``, ``"laplace"``, ``"kou"`` or ``"tempered-t"``.
    volatility : divide each gap by the volatility before it, a measure of :func:`trailing_volatility`: ``"days"`` (the same as True) or
        ``"nights"``. The gaps without 20 days before them are left out.
    rng : seed or generator: the same one gives the same draws, bit for bit.
    prior : a name in ``priors.NAMES``, or a :class:`perpkit.priors.Prior` of the law.
    table : closures to use in place of ``closures.csv``; with ``volatility`` of every kind.
    schedule : how long to walk.

    Raises
    ------
    ValueError
        As :func:`perpkit.gaps.empirical`; if law or prior is unknown or they differ; or if fewer than 20 gaps are left or they do not vary.
    """
    if not isinstance(schedule, Schedule):
        raise ValueError(f"schedule is a perpkit Schedule; got {schedule!r}")
    measured = measure(volatility)
    chosen = priors.choose(law, prior, measured is not None)
    stream = generator(rng)
    if measured:
        sample, scale = with_history(symbol, kind, start, end, table, measured)
    else:
        sample, scale = gaps.empirical(symbol, kind, start, end, table), None
    if len(sample) < _FEWEST or not np.ptp(sample.gaps) > 0.0:
        raise ValueError(f"{sample.name} has {len(sample)} gaps, {_FEWEST} that differ are the fewest for a posterior; widen the choice")
    unit = np.ones(len(sample)) if scale is None else scale
    found = walk(chosen, sample.gaps / unit, stream, schedule)
    idata = _inference_data(chosen, sample, unit, found.parameters, stream)
    name = f"{sample.name}, {law} posterior" + (f" over volatility of {measured}" if measured else "")
    return Posterior(name, law, chosen, sample, scale, idata, pd.Series(found.times, name="steps"), found.accepted)


def posteriors(symbols: Sequence[str], laws: Sequence[str], seed: int = 1, **options) -> dict[tuple[str, str], Posterior]:
    """:func:`posterior` of every law for every stock, on all cores, with chains that agree.

    Each is what ``posterior(symbol, law, rng=seed, **options)`` gives, whatever the number of cores.

    Raises
    ------
    ValueError
        As :func:`posterior` and :meth:`Posterior.require`.
    """
    if isinstance(seed, np.random.Generator):
        raise ValueError("seed is a whole number of 0 or more: every posterior starts with it, and a generator cannot be shared")
    wanted = list(product(symbols, laws))
    with ThreadPoolExecutor(cpu_count()) as pool:
        found = pool.map(lambda pair: posterior(*pair, rng=seed, **options).require(), wanted)
        return dict(zip(wanted, found))


def _inference_data(prior: priors.Prior, sample: Empirical, unit: np.ndarray, walked: dict[str, np.ndarray], rng: np.random.Generator):
    family = LIKELIHOODS[prior.law]
    native = family.native(*walked.values())
    chains, draws = native[0].shape
    some = np.arange(0, draws, _EVERY)
    columns = tuple(value[..., None] for value in native)
    replicas = unit * family.sample(rng, (chains, some.size, len(sample)), tuple(column[:, some] for column in columns))

    def dataset(arrays: dict[str, np.ndarray], draw: np.ndarray) -> xr.Dataset:
        coords = {"chain": np.arange(chains), "draw": draw, "open_date": sample.dates}
        deep = 2 + any(array.ndim == 3 for array in arrays.values())
        dims = tuple(coords)[:deep]
        return xr.Dataset({name: (dims, array) for name, array in arrays.items()}, {dim: coords[dim] for dim in dims})

    every = np.arange(draws)
    return az.InferenceData(
        posterior=dataset(dict(zip(family.names, native)) | walked, every),
        log_likelihood=dataset({"gap": family.logpdf(sample.gaps / unit, columns) - np.log(unit)}, every),
        log_prior=dataset({"joint": prior.logpdf(walked)}, every),
        observed_data=xr.Dataset({"gap": ("open_date", sample.gaps)}, {"open_date": sample.dates}),
        posterior_predictive=dataset({"gap": replicas}, some),
    )
