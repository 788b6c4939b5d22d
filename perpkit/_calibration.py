"""Is the forecast to be trusted? Gaps not yet seen, against the law fitted before them; and parameters that are known, because we drew them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from os import cpu_count

import numpy as np
import pandas as pd
from scipy import stats

from perpkit import data, gaps, priors
from perpkit._checks import generator
from perpkit._emcee import Schedule, walk
from perpkit._likelihood import LIKELIHOODS
from perpkit._parts import check_draw
from perpkit._volatility import measure, with_history

_FEWEST = 100
_SHORT = Schedule(ensembles=1, burn=240, steps=120, keep=24)
# One ensemble, and so far between draws that they count as independent: 8 x 16 less one makes 128 equally likely ranks.
_APART = Schedule(ensembles=1, walkers=16, burn=240, steps=160, keep=8)
_RANKS = 127
_BINS = 16
_LAGS = 5


def rolling(
    symbol: str,
    law: str = "t",
    volatility: bool | str = False,
    first: str = "2018-01-01",
    refit: str = "YS",
    years: int | None = None,
    rng: int | np.random.Generator = 1,
    kind: str = "weekend",
    prior: str | priors.Prior = "default",
    table: pd.DataFrame | None = None,
    schedule: Schedule = _SHORT,
) -> pd.DataFrame:
    """Probability integral transforms of gaps that the law had not seen: each gap's share under the predictive law from gaps before.

    The law is fitted at ``first`` and at each later date of the frequency ``refit`` (a pandas offset; ``"YS"``, the start of a year), to all gaps
    that opened before, or in the last ``years`` before, by one shorter ensemble that goes on from the one before it. A volatility model is read at the
    volatility known at the close before the gap.

    Returns
    -------
    DataFrame, one row a gap: ``open_date``, ``gap`` (log), ``pit`` in 0 to 1, ``n_fit``, the gaps behind the fit.

    Raises
    ------
    ValueError
        As ``posterior``; if ``first`` or ``refit`` is no date or offset; or if fewer than 100 gaps opened before ``first`` or none after.
    """
    stream = generator(rng)
    measured = measure(volatility)
    if years is not None and (isinstance(years, bool) or not isinstance(years, (int, np.integer)) or years < 1):
        raise ValueError(f"years is a whole number of 1 or more, or None for all that came before; got {years!r}")
    chosen = priors.choose(law, prior, measured is not None)
    begin = data.day("first", first)
    if measured:
        sample, unit = with_history(symbol, kind, None, None, table, measured)
    else:
        sample = gaps.empirical(symbol, kind, table=table)
        unit = np.ones(len(sample))
    before = int((sample.dates < begin).sum())
    if before < _FEWEST or before == len(sample):
        raise ValueError(f"{before} of {len(sample)} gaps of {sample.name} opened before {begin:%Y-%m-%d}; {_FEWEST} and not all are needed")
    try:
        starts = pd.date_range(begin, sample.dates[-1], freq=refit).union([begin])
    except ValueError:
        raise ValueError(f"refit is a pandas offset, such as 'YS' or 'QS'; got {refit!r}") from None
    family, parts, found = LIKELIHOODS[law], [], None
    for start, stop in zip(starts, [*starts[1:], pd.Timestamp.max]):
        seen = (sample.dates < start) & (True if years is None else sample.dates >= start - pd.DateOffset(years=years))
        due = (sample.dates >= start) & (sample.dates < stop)
        if not due.any():
            continue
        found = walk(chosen, sample.gaps[seen] / unit[seen], stream, schedule, found)
        *shapes, loc, scale = (values.reshape(-1, 1) for values in family.native(*found.parameters.values()))
        share = family.dist.cdf(sample.gaps[due] / unit[due], *shapes, loc=loc, scale=scale).mean(axis=0)
        parts.append(pd.DataFrame({"open_date": sample.dates[due], "gap": sample.gaps[due], "pit": share, "n_fit": int(seen.sum())}))
    return pd.concat(parts, ignore_index=True)


def forecasts(symbols: Sequence[str], ways: Mapping[str, Mapping], seed: int = 1, **options) -> dict[tuple[str, str], pd.DataFrame]:
    """:func:`rolling` for every stock in each of several ways, on all cores: ``rolling(symbol, rng=seed, **way, **options)`` by (symbol, way's name).

    Raises
    ------
    ValueError
        As :func:`rolling`.
    """
    if isinstance(seed, np.random.Generator):
        raise ValueError("seed is a whole number of 0 or more: every forecast starts with it, and a generator cannot be shared")
    wanted = list(product(symbols, ways))
    with ThreadPoolExecutor(cpu_count()) as pool:
        return dict(zip(wanted, pool.map(lambda pair: rolling(pair[0], rng=seed, **ways[pair[1]], **options), wanted)))


def calibration(pit: np.ndarray | pd.Series) -> pd.DataFrame:
    """Are transforms uniform and independent, as those of a right forecast are?

    Parameters
    ----------
    pit : transforms in time order, shape (n,), each in 0 to 1; such as the column of :func:`rolling`.

    Returns
    -------
    DataFrame over the checks: ``value``; ``expected``, what a right forecast gives; ``low`` and ``high``; ``p``. The tests of uniformity are those of
    Kolmogorov and Smirnov and a chi-square over 20 bins. The counts in the lowest and highest 1 % and 5 % have the exact 95 % binomial interval
    (Clopper and Pearson 1934) of the mean count, and an exact p. Dependence is that of ``|pit - 1/2|``, which follows the volatility: its lag-one
    correlation with the range of 95 % of independent series, and the Ljung-Box test over five lags.

    Raises
    ------
    ValueError
        If there are fewer than 100 transforms, or one is outside of 0 to 1.
    """
    shares = np.asarray(pit, dtype=float)
    if shares.ndim != 1 or shares.size < _FEWEST:
        raise ValueError(f"calibration takes {_FEWEST} transforms or more in a row; got shape {shares.shape}")
    if not ((shares >= 0.0) & (shares <= 1.0)).all():
        raise ValueError(f"a transform is a probability, from 0 to 1; got {shares[~((shares >= 0.0) & (shares <= 1.0))][0]!r}")
    n, nan = shares.size, np.nan
    smirnov, square = stats.kstest(shares, "uniform"), stats.chisquare(np.histogram(shares, bins=20, range=(0.0, 1.0))[0])
    rows = {
        "Kolmogorov-Smirnov distance": (smirnov.statistic, nan, nan, nan, smirnov.pvalue),
        "chi-square, 20 bins": (square.statistic, 19.0, nan, nan, square.pvalue),
    }
    for share in (0.01, 0.05):
        for side, hits in (("lowest", shares <= share), ("highest", shares >= 1.0 - share)):
            test = stats.binomtest(int(hits.sum()), n, share)
            low, high = test.proportion_ci(0.95, method="exact")
            rows[f"{side} {share:.0%}"] = (hits.sum(), n * share, n * low, n * high, test.pvalue)
    away = np.abs(shares - 0.5)
    away -= away.mean()
    lags = np.array([(away[k:] * away[: n - k]).sum() for k in range(1, _LAGS + 1)]) / (away**2).sum()
    box = n * (n + 2.0) * (lags**2 / (n - np.arange(1, _LAGS + 1))).sum()
    band = stats.norm.isf(0.025) / np.sqrt(n)
    rows["lag-one correlation of |pit - 1/2|"] = (lags[0], 0.0, -band, band, 2.0 * stats.norm.sf(abs(lags[0]) * np.sqrt(n)))
    rows[f"Ljung-Box of |pit - 1/2|, {_LAGS} lags"] = (box, float(_LAGS), nan, nan, stats.chi2.sf(box, _LAGS))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "expected", "low", "high", "p"]).rename_axis("check")


def rank_statistics(
    law: str,
    n_sim: int,
    n_obs: int,
    rng: np.random.Generator,
    prior: str | priors.Prior = "default",
    distort: Callable[[np.ndarray], np.ndarray] | None = None,
    schedule: Schedule = _APART,
) -> pd.DataFrame:
    """Simulation-based calibration (Talts and others 2018): where parameters drawn from the prior rank among draws of their own posterior.

    ``n_sim`` times parameters are drawn from the prior, ``n_obs`` gaps from the law with them, and the posterior of those gaps walked as for a real
    record. If prior, density, draws and sampler all belong together, every rank from 0 to 127 is equally likely.

    Parameters
    ----------
    distort : applied to the gaps before the fit, so that the model is wrong: the check must then fail.
    schedule : at least 127 draws, far enough apart to count as independent.

    Returns
    -------
    DataFrame of ranks, one row a simulation, one column a parameter of the prior; see :func:`rank_test`.

    Raises
    ------
    ValueError
        If law or prior is unknown or they differ, a count is below 1, rng is no Generator, or the schedule stores too few draws.
    """
    chosen = priors.choose(law, prior, False)
    check_draw(n_sim, rng)
    check_draw(n_obs, rng)
    if (stored := schedule.ensembles * schedule.walkers * schedule.keep) < _RANKS:
        raise ValueError(f"ranks are taken among {_RANKS} draws; the schedule stores {stored}")
    family, truth = LIKELIHOODS[law], chosen.draw(n_sim, rng)
    ranks = np.empty((n_sim, len(chosen.names)), dtype=int)
    for i in range(n_sim):
        parameters = family.native(*(values[i] for values in truth.values()))
        observed = family.sample(rng, (n_obs,), parameters)
        found = walk(chosen, observed if distort is None else distort(observed), rng, schedule).parameters
        ranks[i] = [(found[name].ravel()[:_RANKS] < truth[name][i]).sum() for name in chosen.names]
    return pd.DataFrame(ranks, columns=list(chosen.names)).rename_axis("simulation")


def rank_test(ranks: pd.DataFrame) -> pd.DataFrame:
    """Chi-square test that the ranks of :func:`rank_statistics` are uniform, over 16 bins of eight ranks.

    Returns
    -------
    DataFrame over the parameters: ``chi2`` with 15 degrees of freedom, and ``p``. With several parameters judge the smallest p times their number.
    """
    counts = {name: np.bincount(column // ((_RANKS + 1) // _BINS), minlength=_BINS) for name, column in ranks.items()}
    tests = {name: stats.chisquare(count) for name, count in counts.items()}
    return pd.DataFrame({name: {"chi2": test.statistic, "p": test.pvalue} for name, test in tests.items()}).T.rename_axis("parameter")
