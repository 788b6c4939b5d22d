"""Replicas of a record under a fitted law, against the record: the tails above all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from perpkit._parts import check_draw

if TYPE_CHECKING:
    from perpkit.posterior import Posterior

_TAIL = 0.05  # share of the gaps that Hill's estimate takes for one tail


def _hill(gaps: np.ndarray) -> np.ndarray:
    """Hill's index (1975) of the upper tail of each sample, from its highest twentieth."""
    k = int(_TAIL * gaps.shape[-1])
    top = np.sort(gaps, axis=-1)[..., -k - 1 :]
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 / np.log(top[..., 1:] / top[..., :1]).mean(axis=-1)


STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "lowest": lambda gaps: gaps.min(axis=-1),
    "1 % quantile": lambda gaps: np.quantile(gaps, 0.01, axis=-1),
    "99 % quantile": lambda gaps: np.quantile(gaps, 0.99, axis=-1),
    "highest": lambda gaps: gaps.max(axis=-1),
    "falls beyond 10 %": lambda gaps: (gaps < np.log(0.90)).sum(axis=-1),
    "falls beyond 5 %": lambda gaps: (gaps < np.log(0.95)).sum(axis=-1),
    "rises beyond 5 %": lambda gaps: (gaps > np.log(1.05)).sum(axis=-1),
    "rises beyond 10 %": lambda gaps: (gaps > np.log(1.10)).sum(axis=-1),
    "Hill index below": lambda gaps: _hill(-gaps),
    "Hill index above": _hill,
}
"""Statistics of samples of log gaps, the last axis a sample."""


def tail_checks(post: Posterior, rng: np.random.Generator, n: int = 1000) -> pd.DataFrame:
    """Posterior predictive checks of the tails (Gelman, Meng and Stern 1996): the record's statistics among those of its replicas.

    A replica is as many gaps as the record, of the law at one posterior draw; in a volatility model at the volatilities of the record.

    Parameters
    ----------
    post : the fitted law.
    n : number of replicas.

    Returns
    -------
    DataFrame over the statistics: ``observed``; ``low``, ``median`` and ``high``, the 5 %, 50 % and 95 % quantiles of the replicas; ``p``, the
    share of replicas above the record's value, ties counted half. A p near 0 or 1 is a law that does not look like the record.

    Raises
    ------
    ValueError
        If ``n`` is no number of replicas, or above that of the stored draws, or rng is no Generator.
    """
    check_draw(n, rng)
    unit = 1.0 if post.scale is None else post.scale
    replicas = unit * post.family.sample(rng, (n, len(post.sample)), post.parameters(n))
    rows = {}
    for name, statistic in STATISTICS.items():
        observed, seen = float(statistic(post.sample.gaps)), statistic(replicas)
        low, median, high = np.nanquantile(seen, [0.05, 0.5, 0.95])
        share = (seen > observed).mean() + (seen == observed).mean() / 2.0
        rows[name] = {"observed": observed, "low": low, "median": median, "high": high, "p": share}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("statistic")
