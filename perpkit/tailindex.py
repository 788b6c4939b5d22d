"""Tail index: how fat the tail of a weekend is, over many stocks that fall together.

The index is the degrees of freedom of a Student-t: below 4 a gap has no kurtosis, below 2 no variance. One stock's 16 years say little about
it, so stocks are pooled; but 2020-03-16 is the worst weekend of 11 of the 14, and their gaps are no 9,334 separate observations. The model
is the normal-normal hierarchy of random-effects meta-analysis (DerSimonian and Laird 1986) with correlated errors:

- ``eta_hat``: each stock's maximum-likelihood log degrees of freedom. Its influence function, information inverse times score, tells what
  every single weekend did to it.
- ``eta_hat ~ N(eta, S)``. S comes from the sum over weekends (or years) of the outer product of the stocks' influences, the sandwich
  covariance clustered on the date (White 1982; Liang and Zeger 1986): what one weekend did to two stocks at once stays in it.
- ``eta_j ~ N(m, tau^2)``, with ``m ~ N(log 3, 0.75^2)`` (95 % of it puts the index between 0.7 and 13) and ``tau ~ HalfNormal(0.5)``.

Given (m, tau) the rest is Gaussian: ``emcee`` walks on the marginal N(m 1, S + tau^2 I), and eta is drawn from its exact conditional law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from perpkit import _student, data
from perpkit._checks import needs_generator
from perpkit._student import hill

if TYPE_CHECKING:
    import arviz

CLUSTERS = ("date", "year", "none")
PRIOR_CENTRE, PRIOR_SD, PRIOR_TAU = math.log(3.0), 0.75, 0.5

_TABLE = "weekend_gaps_megacaps"
_WALKERS, _BURN, _STEPS, _THIN = 24, 400, 2_800, 4


def fits(table: pd.DataFrame | None = None, share: float = 0.05) -> pd.DataFrame:
    """Student-t fit of each stock's gaps, with the errors of its log degrees of freedom and a Hill estimate beside it.

    Parameters
    ----------
    table : columns ``symbol``, ``open_date`` and ``gap`` (log return), one row a stock and weekend; the 14 stocks of
        ``weekend_gaps_megacaps.csv`` by default.
    share : part of the gaps that the Hill estimate takes for the tail.

    Returns
    -------
    DataFrame indexed by symbol: ``n``; ``df``, ``loc``, ``scale`` (log return); ``log_df`` with ``se_information``, the standard error if
        the t were true, and ``se``, the sandwich error that does not ask for that; ``hill``, ``hill_se`` from the largest
        ``|gap - loc|``, and ``hill_if_t``, what the fitted t itself would show there. ``hill_off`` marks a Hill estimate more than two
        of its errors from that.

    Raises
    ------
    ValueError
        If a column is missing, a stock has a weekend twice or a gap that is not finite, fewer than 50 gaps, or no finite best df.
    """
    rows = []
    for symbol, _, gaps in _stocks(table):
        theta = _student.maximum(symbol, gaps)
        loc, scale, df = theta[0], math.exp(theta[1]), math.exp(theta[2])
        score, hessian = _student.derivatives(theta, gaps)
        inverse = np.linalg.inv(-hessian)
        tail, error = hill(gaps - loc, share)
        expected = _student.hill_of_t(df, share)
        se = float(np.sqrt(((score @ inverse[2]) ** 2).sum()))
        fit = [symbol, len(gaps), df, loc, scale, theta[2], math.sqrt(inverse[2, 2]), se]
        rows.append([*fit, tail, error, expected, abs(tail - expected) > 2.0 * error])
    columns = ["symbol", "n", "df", "loc", "scale", "log_df", "se_information", "se", "hill", "hill_se", "hill_if_t", "hill_off"]
    return pd.DataFrame(rows, columns=columns).set_index("symbol")


def covariance(cluster: str = "date", table: pd.DataFrame | None = None, exchangeable: bool = True) -> tuple[pd.Series, pd.DataFrame]:
    """Each stock's log degrees of freedom, and the joint covariance S of their errors.

    Parameters
    ----------
    cluster : ``"date"`` sums influences over a weekend: stocks hang together within one, and weekends are independent. ``"year"`` sums them
        over calendar years, so that the weekends of a crisis hang together too. ``"none"`` is ``"date"`` with all correlations 0.
    table : as :func:`fits`.
    exchangeable : what a weekend does has one variance and one covariance for all stocks, taken from the means of the clusters' variances
        and covariances. The other choice, every entry as the clusters gave it, is no use for pooling, for two reasons. A stock fitted
        with a fatter tail is also given a smaller error; with errors so correlated, generalised least squares then puts the common
        index below most of the fits it combines (Peelle's puzzle, a bias of weights that depend on the data). And 14 years cannot
        show 91 correlations: that S is singular.

    Raises
    ------
    ValueError
        If ``cluster`` is unknown, or all gaps fall into one; as :func:`fits`.
    """
    if cluster not in CLUSTERS:
        raise ValueError(f"no cluster {cluster!r}; choose one of {', '.join(map(repr, CLUSTERS))}")
    centre, influence = {}, {}
    for symbol, dates, gaps in _stocks(table):
        theta = _student.maximum(symbol, gaps)
        score, hessian = _student.derivatives(theta, gaps)
        centre[symbol] = theta[2]
        influence[symbol] = pd.Series(score @ np.linalg.inv(-hessian)[2], index=dates)
    weekends = pd.DataFrame(influence)
    sums = weekends.groupby(weekends.index.year if cluster == "year" else weekends.index).sum().to_numpy()  # no weekend: not moved, 0
    if len(sums) < 2:
        raise ValueError("all gaps fall into one year; use cluster 'date'")
    joint = sums.T @ sums * (len(sums) / (len(sums) - 1.0))
    if cluster == "none":
        joint = np.diag(np.diag(joint))
    if exchangeable:
        joint = _exchangeable(joint, weekends.notna().to_numpy(float))
    return pd.Series(centre, name="log_df"), pd.DataFrame(joint, index=list(centre), columns=list(centre))


@dataclass(frozen=True, eq=False)
class Pooled:
    """Posterior of the tail index over stocks.

    ``idata`` holds ``m``, ``tau``, ``index`` = exp(m), ``df`` (dimension ``symbol``) and ``df_new``, a stock not in the table; ``cluster``
    is the dependence assumed; ``worth``, the number of independent stocks whose mean would be known as well; and ``names`` has one row a
    stock: ``fitted`` df, and ``mean``, ``low`` and ``high`` (95 %) of its posterior.
    """

    idata: arviz.InferenceData
    cluster: str
    worth: float
    names: pd.DataFrame

    def summary(self) -> pd.DataFrame:
        """``arviz.summary`` of every quantity but the stocks': mean, sd, 95 % interval (hdi), R-hat, bulk and tail ESS."""
        from perpkit._arviz import az

        return az.summary(self.idata, var_names=["index", "m", "tau", "df_new"], hdi_prob=0.95, round_to="none")

    def interval(self, name: str = "index", level: float = 0.95) -> tuple[float, float]:
        """Central interval that holds the share ``level`` of ``m``, ``tau``, ``index`` or ``df_new``."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"level is a share between 0 and 1; got {level!r}")
        if name not in ("m", "tau", "index", "df_new"):
            raise ValueError(f"no quantity {name!r}; choose one of 'm', 'tau', 'index', 'df_new', or see names for the stocks")
        low, high = np.quantile(self.idata.posterior[name].values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        return float(low), float(high)

    def require(self, rhat: float = 1.01, ess: float = 1000.0) -> Pooled:
        """This posterior, or a ValueError that names what R-hat is above ``rhat`` or bulk or tail ESS below ``ess``."""
        from perpkit._arviz import az

        table = az.summary(self.idata, kind="diagnostics", round_to="none")
        # Written so that a nan, a chain that never moved, fails too.
        bad = table[~((table["r_hat"] <= rhat) & (table["ess_bulk"] >= ess) & (table["ess_tail"] >= ess))]
        if len(bad):
            worst = "; ".join(
                f"{name} R-hat {row.r_hat:.4f}, ESS {row.ess_bulk:.0f} bulk, {row.ess_tail:.0f} tail" for name, row in bad.iterrows()
            )
            raise ValueError(f"the tail index ({self.cluster}) has not settled: {worst}; run more steps")
        return self


def pooled(rng: np.random.Generator, cluster: str = "date", table: pd.DataFrame | None = None, steps: int = _STEPS) -> Pooled:
    """Posterior of the common tail index and of each stock's own.

    Parameters
    ----------
    rng : seeds the walkers and all draws; the same state gives the same posterior, bit for bit.
    cluster : as :func:`covariance`. ``"none"`` is the naive pooling, there to be compared.
    table : as :func:`fits`.
    steps : of each of 24 walkers after 400 to settle; every fourth is kept.

    Raises
    ------
    ValueError
        As :func:`fits` and :func:`covariance`; if rng is no Generator, steps is below 100, or there are fewer than three stocks.
    """
    needs_generator(rng)
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 100:
        raise ValueError(f"steps is a whole number of 100 or more; got {steps!r}")
    centre, joint = covariance(cluster, table)
    if len(centre) < 3:
        raise ValueError(f"a spread between stocks needs three of them; got {len(centre)}")
    import emcee  # here and not above: it and ArviZ take two seconds to import

    from perpkit._arviz import az

    # In the eigenbasis of S the marginal is a product of Normals, for all walkers at once.
    values, basis = np.linalg.eigh(joint.to_numpy())
    turned, ones = basis.T @ centre.to_numpy(), basis.sum(axis=0)

    def log_density(points: np.ndarray) -> np.ndarray:
        m, tau = points.T  # tau of either sign: the density is even in it, and so has no wall at 0
        spread = values + tau[:, None] ** 2
        fit = -0.5 * (np.log(spread) + (turned - m[:, None] * ones) ** 2 / spread).sum(axis=1)
        return fit - 0.5 * ((m - PRIOR_CENTRE) / PRIOR_SD) ** 2 - 0.5 * (tau / PRIOR_TAU) ** 2

    start = np.array([centre.mean(), 0.0]) + 0.1 * rng.standard_normal((_WALKERS, 2))
    moves = emcee.moves.DEMove()  # forgets four times as fast here as the default
    sampler = emcee.EnsembleSampler(_WALKERS, 2, log_density, moves=moves, vectorize=True)
    sampler.random_state = np.random.RandomState(np.random.MT19937(int(rng.integers(2**63)))).get_state()  # emcee knows the old interface only
    sampler.run_mcmc(start, _BURN + steps)
    m, tau = sampler.get_chain(discard=_BURN, thin=_THIN).transpose(2, 1, 0)
    tau = np.abs(tau)

    keep = tau[..., None] ** 2 / (values + tau[..., None] ** 2)
    noise = rng.standard_normal((*m.shape, len(values)))
    eta = (m[..., None] * ones + keep * (turned - m[..., None] * ones) + np.sqrt(keep * values) * noise) @ basis.T
    draws = {"m": m, "tau": tau, "index": np.exp(m), "df": np.exp(eta), "df_new": np.exp(m + tau * rng.standard_normal(m.shape))}
    idata = az.from_dict(posterior=draws, coords={"symbol": list(centre.index)}, dims={"df": ["symbol"]})

    flat = eta.reshape(-1, len(values))
    low, high = np.exp(np.quantile(flat, [0.025, 0.975], axis=0))
    names = pd.DataFrame({"fitted": np.exp(centre), "mean": np.exp(flat).mean(axis=0), "low": low, "high": high})
    worth = len(centre) * float(np.trace(joint) / joint.to_numpy().sum())
    return Pooled(idata, cluster, worth, names.rename_axis("symbol"))


def profile(symbol: str, log_df: np.ndarray, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Log likelihood of one stock, maximal over location and scale, along ``log_df``, shape (n,); the test of the Gaussian used here.

    Returns
    -------
    DataFrame indexed by ``log_df``: ``profile``, log likelihood less its maximum, and ``gaussian``, that of N(fit, se_information^2).

    Raises
    ------
    ValueError
        As :func:`fits`, or if the table has no such stock.
    """
    gaps = next((gaps for name, _, gaps in _stocks(table) if name == symbol), None)
    if gaps is None:
        raise ValueError(f"the table has no stock {symbol!r}")
    best = _student.maximum(symbol, gaps)
    _, hessian = _student.derivatives(best, gaps)
    grid = np.asarray(log_df, dtype=float)
    tops = [_student.log_likelihood(_student.maximum(symbol, gaps, held=value), gaps) for value in grid]
    gaussian = -0.5 * (grid - best[2]) ** 2 / np.linalg.inv(-hessian)[2, 2]
    below = np.array(tops) - _student.log_likelihood(best, gaps)
    return pd.DataFrame({"profile": below, "gaussian": gaussian}, index=pd.Index(grid, name="log_df"))


def _exchangeable(joint: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Errors that are means over each stock's weekends of moves with one variance and, between stocks on one weekend, one covariance.

    ``present`` tells which stock has which weekend, shape (weekends, stocks): two stocks share the errors of the weekends both have.
    """
    counts = present.sum(axis=0)
    overlap = present.T @ present / np.outer(counts, counts)
    off = ~np.eye(len(joint), dtype=bool)
    variance = (counts * np.diag(joint)).mean()
    shared = joint[off].sum() / overlap[off].sum() if joint[off].any() else 0.0
    return np.where(off, min(max(shared, 0.0), 0.99 * variance), variance) * overlap  # the bounds within which this is a covariance


def _stocks(table: pd.DataFrame | None) -> list[tuple[str, pd.DatetimeIndex, np.ndarray]]:
    rows = data.load(_TABLE) if table is None else table
    if lacking := {"symbol", "open_date", "gap"} - set(rows):
        raise ValueError(f"the table lacks {', '.join(sorted(lacking))}; give columns symbol, open_date and gap")
    stocks = []
    for symbol, own in rows.groupby("symbol"):
        dates, gaps = pd.DatetimeIndex(own["open_date"]), own["gap"].to_numpy(float)
        if dates.has_duplicates:
            raise ValueError(f"{symbol} has {dates[dates.duplicated()][0]:%Y-%m-%d} more than once; keep one row a weekend")
        if not np.isfinite(gaps).all():
            raise ValueError(f"{symbol} has {int((~np.isfinite(gaps)).sum())} gaps that are not finite; drop or mend them")
        if len(gaps) < 50:
            raise ValueError(f"{symbol} has {len(gaps)} gaps; fewer than 50 fit no tail")
        stocks.append((str(symbol), dates, gaps))
    if not stocks:
        raise ValueError("the table has no rows")
    return stocks
