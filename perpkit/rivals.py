"""Rivals: laws of the gap against each other, and the priors of one law.

Laws are ranked by how well they foresee a gap left out. A prior is judged by how far another one, or the same one weighed differently, would move
the answer: the mean loss beyond collateral.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import numpy as np
import pandas as pd

from perpkit import priors
from perpkit._arviz import az
from perpkit._checks import generator
from perpkit._emcee import Schedule
from perpkit.posterior import LEVEL, Posterior, posterior

_K_LIMIT = 0.7


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
    **choice : ``kind``, ``start``, ``end`` and ``table`` of :func:`perpkit.posterior.posterior`.

    Returns
    -------
    DataFrame over the priors, columns (quantity, ``mean`` and ``sd``) for each parameter; (``long`` and ``short``, ``mean``, ``low``, ``high``
    and ``unseen``): the ends of the 90 % interval over draws, infinite where a short's mean loss does not exist, and the share of the mean from
    gaps beyond the record; and (``chains``, ``r_hat``), the largest, because a rival prior may be harder to walk.

    Raises
    ------
    ValueError
        As :func:`perpkit.posterior.posterior` and :meth:`perpkit.posterior.Posterior.predictive`, or if no prior is given.
    """
    named = dict(rivals) if isinstance(rivals, Mapping) else {name: name for name in rivals}
    if not named:
        raise ValueError("sensitivity needs at least one prior to compare")
    seed = int(generator(rng).integers(2**63))

    def row(prior: str | priors.Prior) -> dict[tuple[str, str], float]:
        post = posterior(symbol, law, volatility, seed, prior=prior, schedule=schedule, **choice)
        draws, some = post.idata.posterior.stack(draws=("chain", "draw")), post.predictive(volatility=_read_at(post, at))
        out = {(str(key), what): getattr(draws[key], how)().item() for key in draws.data_vars for what, how in (("mean", "mean"), ("sd", "std"))}
        for side, loss in _losses(post, margin, at).items():
            finite = np.isfinite(loss).all()
            low, high = np.quantile(loss, [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0]) if finite else (np.inf, np.inf)
            out |= {(side, "mean"): loss.mean(), (side, "low"): low, (side, "high"): high}
            out[side, "unseen"] = some.tail_share(margin, side) if finite else np.nan
        return out | {("chains", "r_hat"): post.summary()["r_hat"].max()}

    with ThreadPoolExecutor(cpu_count()) as pool:
        rows = dict(zip(named, pool.map(row, named.values())))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("prior")


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


def _read_at(post: Posterior, at: float | None) -> float | None:
    """The volatility at which a volatility model is read."""
    return float(np.median(post.scale)) if post.scale is not None and at is None else at


def _losses(post: Posterior, margin: float, at: float | None) -> dict[str, np.ndarray]:
    """Shortfall of either side under each stored draw; infinite where it does not exist."""
    law = post.predictive(len(post.parameters()[0]), volatility=_read_at(post, at))
    long = law.members_shortfall(margin)
    return {"long": long, "short": law.members_shortfall(margin, "short") if law.has_mean else np.full(long.shape, np.inf)}
