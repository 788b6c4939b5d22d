"""Posterior: what some hundred weekends say about the law of the gap, and what they leave open.

One law at a time, by ensembles of walkers (emcee), judged by ArviZ: whether the chains agree, which law foresees a weekend left out better, whether
its replicas look like the record. A plain model takes weekends for independent draws of one law. A volatility model divides each gap by the
volatility known at the close before it (:func:`trailing_volatility`), and is compared with the plain one on the gaps themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from perpkit import gaps, priors
from perpkit._arviz import az
from perpkit._calibration import calibration, rank_statistics, rank_test, rolling
from perpkit._emcee import Schedule, generator, walk
from perpkit._likelihood import LIKELIHOODS
from perpkit._replicate import tail_checks
from perpkit._volatility import measure, trailing_volatility, with_history
from perpkit.laws import Empirical
from perpkit.predictive import Predictive

__all__ = [
    "Posterior", "Schedule", "calibration", "compare", "posterior", "power_scaling", "rank_statistics", "rank_test", "rolling", "sensitivity",
    "tail_checks", "trailing_volatility",
]  # fmt: skip

LEVEL = 0.9
"""Share of the posterior inside the intervals of a summary."""

_EVERY = 6  # draws between those that are replicated
_K_LIMIT = 0.7
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
        with warnings.catch_warnings():  # high k are counted by compare
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


def compare(posts: Mapping[str, Posterior] | Sequence[Posterior]) -> pd.DataFrame:
    """Laws ranked by how well they foresee a gap left out: ``arviz.compare`` on PSIS-LOO (Vehtari, Gelman and Gabry 2017).

    Only gaps that all posteriors were given are scored, each by its own density, also in a volatility model. A posterior that was given more
    gaps keeps what it learned from them: for an exact comparison give all the same ``start``.

    Parameters
    ----------
    posts : two posteriors or more of the same gaps, by the name they get in the table; their own names by default.

    Returns
    -------
    DataFrame, best first: ``rank``; ``elpd_loo``, sum over gaps of the log predictive density, and ``se``; ``p_loo``, effective number of
    parameters; ``elpd_diff`` from the best and its ``dse``; stacking ``weight``; ``n`` gaps; ``pareto_k``, the largest, and ``k_high``, how
    many are above 0.7, where the estimate for that gap cannot be trusted.

    Raises
    ------
    ValueError
        If there are fewer than two, two have one name, or they have no gap in common or different gaps on a date.
    """
    named = dict(posts) if isinstance(posts, Mapping) else {post.name: post for post in posts}
    if len(named) < 2 or len(named) != len(posts):
        raise ValueError(f"compare takes two posteriors or more with a name each; got {list(named)}")
    series = {name: pd.Series(post.sample.gaps, post.sample.dates) for name, post in named.items()}
    common = pd.concat(series, axis=1, join="inner")
    if common.empty:
        raise ValueError(f"{list(named)} have no gap in common to be compared on")
    if (common.nunique(axis=1) > 1).any():
        raise ValueError(f"{list(named)} have different gaps on {common.index[common.nunique(axis=1) > 1][0]:%Y-%m-%d}; compare laws of one sample")
    scores = {name: post.loo(common.index) for name, post in named.items()}
    with warnings.catch_warnings():  # ArviZ 0.23 sorts in a way that pandas 3.1 means to end
        warnings.filterwarnings("ignore", message="The inplace keyword")
        frame = az.compare(scores).drop(columns=["warning", "scale"])
    largest = {name: float(score.pareto_k.max()) for name, score in scores.items()}
    high = {name: int((score.pareto_k > _K_LIMIT).sum()) for name, score in scores.items()}
    return frame.assign(n=len(common), pareto_k=pd.Series(largest), k_high=pd.Series(high))


def sensitivity(
    symbol: str,
    law: str = "t",
    volatility: bool | str = False,
    margin: float = 0.1,
    rivals: Mapping[str, priors.Prior] | Sequence[str] = priors.NAMES,
    rng: int | np.random.Generator = 1,
    at: float | None = None,
    schedule: Schedule = Schedule(),
    **choice,
) -> pd.DataFrame:
    """The posterior under each of several priors, and what it makes of the answer: the mean loss beyond ``margin`` of a long and a short.

    Parameters
    ----------
    margin : collateral as a share of notional; 0.1 is a position opened at 10x.
    rivals : names in ``priors.NAMES``, or priors of your own by name.
    at : volatility at which a volatility model is read; the median of those before its gaps by default.
    **choice : ``kind``, ``start``, ``end`` and ``table`` of :func:`posterior`.

    Returns
    -------
    DataFrame over the priors, columns (quantity, ``mean`` and ``sd``) for each parameter; (``long`` and ``short``, ``mean``, ``low`` and
    ``high``), the last two the ends of the 90 % interval over draws, infinite where a short's mean loss does not exist; and (``chains``,
    ``r_hat``), the largest, because a rival prior may be harder to walk.

    Raises
    ------
    ValueError
        As :func:`posterior` and :meth:`Posterior.predictive`, or if no prior is given.
    """
    named = dict(rivals) if isinstance(rivals, Mapping) else {name: name for name in rivals}
    if not named:
        raise ValueError("sensitivity needs at least one prior to compare")
    seed = int(generator(rng).integers(2**63))
    rows = {}
    for name, prior in named.items():
        post = posterior(symbol, law, volatility, seed, prior=prior, schedule=schedule, **choice)
        draws = post.idata.posterior.stack(draws=("chain", "draw"))
        row = {(str(key), what): getattr(draws[key], what)().item() for key in draws.data_vars for what in ("mean", "std")}
        for side, loss in _losses(post, margin, at).items():
            low, high = np.quantile(loss, [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0]) if np.isfinite(loss).all() else (np.inf, np.inf)
            row |= {(side, "mean"): loss.mean(), (side, "low"): low, (side, "high"): high}
        rows[name] = row | {("chains", "r_hat"): post.summary()["r_hat"].max()}
    frame = pd.DataFrame.from_dict(rows, orient="index").rename(columns={"std": "sd"}, level=1)
    return frame.rename_axis("prior")


def power_scaling(post: Posterior, margin: float = 0.1, at: float | None = None) -> pd.DataFrame:
    """How much each parameter, and the loss beyond ``margin``, moves when the prior or the likelihood is raised to a power near 1.

    ``arviz.psens`` (Kallioinen and others 2024): above 0.05 the prior informs, below 0.05 the likelihood does not.

    Returns
    -------
    DataFrame over the parameters, ``long`` and, where it exists, ``short``; columns ``prior`` and ``likelihood``.
    """
    dims = post.idata.posterior.sizes["chain"], post.idata.posterior.sizes["draw"]
    losses = {side: (("chain", "draw"), loss.reshape(dims)) for side, loss in _losses(post, margin, at).items() if np.isfinite(loss).all()}
    idata = az.InferenceData(
        posterior=post.idata.posterior.assign(losses), log_prior=post.idata.log_prior, log_likelihood=post.idata.log_likelihood
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto", category=UserWarning)
        moved = {what: az.psens(idata, component=what).to_pandas() for what in ("prior", "likelihood")}
    return pd.DataFrame(moved)


def _losses(post: Posterior, margin: float, at: float | None) -> dict[str, np.ndarray]:
    """Shortfall of either side under each stored draw; infinite where it does not exist."""
    if post.scale is not None and at is None:
        at = float(np.median(post.scale))
    law = post.predictive(len(post.parameters()[0]), volatility=at)
    long = law.members_shortfall(margin)
    return {"long": long, "short": law.members_shortfall(margin, "short") if law._has_mean(1.0) else np.full(long.shape, np.inf)}


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
