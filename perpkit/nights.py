"""Nights: what each part of the stock's clock has paid.

Every trading day is a closure and the session after it. The closure is a week night, a weekend, a mid-week holiday or an earnings night; the
session is the day. Returns are logarithms, so parts add up to the whole and the growth of a dollar multiplies. Everything is counted from
``closures.csv`` or from a reader's own table of that form.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from perpkit import data, theory
from perpkit._checks import needs_generator
from perpkit.gaps import Bootstrap

PARTS = ("week night", "weekend", "holiday", "earnings night", "day")
"""Parts of the clock, each return in exactly one. A closure with an earnings report is an earnings night, whatever its length."""
MISFLAGGED = {"NVDA": ("2012-05-14", "2012-05-11")}
"""Opening dates of the one closure flagged as earnings that was not, and of the one that was (``data/README.md``). The file keeps its flag."""

_NAMES = {"overnight": "week night", "weekend": "weekend", "holiday": "holiday"}


def closures(symbol: str, mend: bool = True) -> pd.DataFrame:
    """:func:`perpkit.data.closures` with a column ``part``, the earnings flag of ``MISFLAGGED`` moved to where it belongs if ``mend``."""
    table = data.closures(symbol)
    if mend and symbol in MISFLAGGED:
        false, true = (pd.Timestamp(date) for date in MISFLAGGED[symbol])
        table.loc[table["open_date"] == false, "earnings"] = False
        table.loc[table["open_date"] == true, "earnings"] = True
    return _with_parts(table)


def restored_opens(symbol: str = "SPY", proxy: str = "QQQ", years: tuple[int, int] = (2016, 2017)) -> pd.DataFrame:
    """The closures of ``symbol`` with stale opens replaced by what a second fund did.

    A gap of exactly 0 in the years given (both included) counts as stale: the open repeats the close before. It becomes the slope of the
    other gaps of those years on the proxy's, times the proxy's gap that morning; the session loses what the closure gains. A true gap of 0
    is replaced as well, by little.

    Returns
    -------
    DataFrame as :func:`closures`, with a boolean column ``restored``.

    Raises
    ------
    ValueError
        If a symbol is unknown or no gap of the years is 0.
    """
    table, other = closures(symbol), closures(proxy).set_index("open_date")["gap"]
    within = table["open_date"].dt.year.between(*years)
    stale = within & (table["gap"] == 0.0)
    if not stale.any():
        raise ValueError(f"{symbol} has no gap of exactly 0 from {years[0]} to {years[1]}; there is nothing to restore")
    beside = other.reindex(table["open_date"]).to_numpy()
    live = (within & ~stale).to_numpy()
    slope = float(beside[live] @ table["gap"].to_numpy()[live] / (beside[live] @ beside[live]))
    moved = np.where(stale, slope * beside, 0.0)
    return table.assign(gap=table["gap"] + moved, intraday=table["intraday"] - moved, restored=stale)


def returns(symbol: str, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Log returns, a column a part of ``PARTS``, NaN where the part did not occur; index ``open_date``. Arguments and errors of
    :func:`decomposition`."""
    rows = _table(symbol, table)
    days = pd.DatetimeIndex(rows["open_date"], name="open_date")
    columns = {part: rows["gap"].where(rows["part"] == part).to_numpy() for part in PARTS[:4]}
    return pd.DataFrame(columns | {"day": rows["intraday"].to_numpy()}, index=days)


def decomposition(symbol: str, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Log return and variance by part of the clock.

    Parameters
    ----------
    symbol : stock of ``closures.csv``, or a name for ``table``.
    table : closures to use instead, with ``open_date, kind, earnings, gap, intraday``; a column ``part`` is taken as it stands.

    Returns
    -------
    DataFrame, index ``part``: those of ``PARTS`` that occur, then ``"night"`` (all closures) and ``"all"``. Columns ``n``, ``mean``, ``sd``
    (log return a closure or a day), ``se`` and ``t`` of the mean, robust to unequal variance, ``sum``, ``growth`` (of a dollar that is in
    the stock in this part alone, without costs) and ``variance_share``: n times the variance, over the sum of that over ``PARTS``. What
    the parts' returns have in common between them is left out of the shares.

    Raises
    ------
    ValueError
        If the symbol is unknown or the table lacks a column.
    """
    log = returns(symbol, table)
    pieces = {part: log[part].dropna() for part in PARTS if log[part].notna().any()}
    pieces |= {"night": log[list(PARTS[:4])].sum(axis=1), "all": log.sum(axis=1)}
    rows = {part: (len(r), r.mean(), r.std(ddof=1), r.sum()) for part, r in pieces.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["n", "mean", "sd", "sum"]).rename_axis("part")
    frame["se"] = frame["sd"] / np.sqrt(frame["n"])
    frame["t"] = frame["mean"] / frame["se"]
    frame["growth"] = np.exp(frame["sum"])
    weight = frame["n"] * frame["sd"] ** 2
    total = weight[weight.index.isin(PARTS)].sum()
    frame["variance_share"] = weight / total
    frame.loc["night", "variance_share"] = weight[weight.index.isin(PARTS[:4])].sum() / total
    frame.loc["all", "variance_share"] = 1.0
    return frame[["n", "mean", "sd", "se", "t", "sum", "growth", "variance_share"]].astype({"n": int})


def growth(symbol: str, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """A dollar in the stock in one part of the clock only: index ``open_date``, a column a part of ``PARTS``, ``"night"`` and ``"all"``."""
    log = returns(symbol, table).fillna(0.0)
    log["night"] = log[list(PARTS[:4])].sum(axis=1)
    log["all"] = log["night"] + log["day"]
    return np.exp(log.cumsum())


def mean_return(
    symbols: str | Sequence[str],
    part: str,
    rng: np.random.Generator,
    minus: str | None = None,
    by: str = "closure",
    n: int = 4_000,
    tables: dict[str, pd.DataFrame] | None = None,
) -> Bootstrap:
    """Mean log return in a part of the clock, or the difference of two such means, with a bootstrap of it.

    Parameters
    ----------
    symbols : one stock, or several: then the plain average over them. All are redrawn together, so what they share is kept.
    part, minus : of ``PARTS``; the mean of ``minus`` is subtracted if given.
    by : ``"closure"`` redraws trading days one by one; ``"year"`` whole calendar years, which keeps a crisis or a mania together. With
        seventeen years, two of them part years, an interval by year is itself rough and, if anything, short.
    n : resamples.
    tables : closures by symbol, instead of those of ``closures.csv``.

    Returns
    -------
    perpkit.gaps.Bootstrap, with ``value``, ``draws``, ``se`` and ``interval(level)``; log units.

    Raises
    ------
    ValueError
        If a symbol, a part or ``by`` is unknown, a part never occurs or is missing from a resample, ``n`` is below 2, or rng is no Generator.
    """
    names = [symbols] if isinstance(symbols, str) else list(symbols)
    wanted = _parts(part, minus)
    if by not in ("closure", "year"):
        raise ValueError(f"by is 'closure' or 'year'; got {by!r}")
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 2:
        raise ValueError(f"n is the number of resamples, 2 or more; got {n!r}")
    needs_generator(rng)

    log = {name: returns(name, (tables or {}).get(name)) for name in names}
    # Columns (part, name), rows the trading days of all names: sums and counts by cluster are all a mean needs.
    wide = pd.concat({(p, name): log[name][p] for p in wanted for name in names}, axis=1).dropna(how="all")
    _refuse_absent(wide)
    clusters = wide.index.year if by == "year" else wide.index
    sums, counts = wide.groupby(clusters).sum().to_numpy(), wide.groupby(clusters).count().to_numpy(float)
    sign = np.repeat([1.0, -1.0][: len(wanted)], len(names)) / len(names)

    def statistic(rows, axis=-1):
        # rows: clusters drawn, (resamples, clusters). Weighing by how often each was drawn is faster than gathering them.
        rows = np.atleast_2d(rows)
        apart = rows + len(sums) * np.arange(len(rows))[:, None]
        weights = np.bincount(apart.ravel(), minlength=apart.size).reshape(rows.shape).astype(float)
        held = weights @ counts
        if not held.all():
            raise ValueError(f"a resample held no {' or no '.join(wanted)}: too few {by}s with one; take more data, or redraw by closure")
        return (weights @ sums / held) @ sign

    every = (np.arange(len(sums)),)
    batch = max(1, 400_000 // len(sums))
    drawn = stats.bootstrap(every, statistic, n_resamples=int(n), batch=batch, vectorized=True, method="percentile", rng=rng)
    return Bootstrap(float(statistic(*every)[0]), drawn.bootstrap_distribution)


def welch(symbol: str, part: str, minus: str | None = None, table: pd.DataFrame | None = None) -> tuple[float, float]:
    """t-statistic and two-sided p-value of a part's mean against 0, or against another part's mean with variances left unequal.

    Raises
    ------
    ValueError
        If the symbol or a part is unknown, or a part never occurs.
    """
    log = returns(symbol, table)[_parts(part, minus)]
    _refuse_absent(pd.concat({symbol: log}, axis=1).swaplevel(axis=1))
    samples = [log[column].dropna() for column in log]
    test = stats.ttest_1samp(samples[0], 0.0) if minus is None else stats.ttest_ind(*samples, equal_var=False)
    return float(test.statistic), float(test.pvalue)


def day_volatility(symbol: str, table: pd.DataFrame | None = None) -> pd.Series:
    """Root mean square of the open-to-close log return, by calendar year of the session."""
    rows = _table(symbol, table)
    return np.sqrt((rows["intraday"] ** 2).groupby(rows["open_date"].dt.year.rename("year")).mean())


def same_day(symbol: str, window: int = 20, markup: float = 0.0, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """An at-the-money option bought at every open and expired at the close, per unit of stock.

    The premium is Black and Scholes at the volatility of the ``window`` sessions before, known at the open, times ``1 + markup``; no quote
    is used. Interest over a session is left out.

    Returns
    -------
    DataFrame, index ``open_date``, without the first ``window`` sessions. Columns ``volatility`` (of the day's log return, the markup in),
    ``premium`` (of a call, and of a put), ``call`` and ``put`` (what they paid at the close), ``move`` (simple return of the day).

    Raises
    ------
    ValueError
        If window is not a whole number of 2 or more, less than the sessions there are, or markup is not above -1.
    """
    rows = _table(symbol, table).set_index("open_date")["intraday"]
    if isinstance(window, bool) or not isinstance(window, (int, np.integer)) or not 2 <= window < len(rows):
        raise ValueError(f"window counts the sessions volatility is taken from, a whole number from 2 to {len(rows) - 1}; got {window!r}")
    if not -1.0 < markup < float("inf"):
        raise ValueError(f"markup is implied over realised volatility less 1, above -1; got {markup!r}")
    volatility = (1.0 + markup) * np.sqrt((rows**2).rolling(window).mean().shift(1)).dropna()
    move = np.expm1(rows.loc[volatility.index])
    columns = {"volatility": volatility, "premium": theory.option_price(1.0, 1.0, volatility.to_numpy())}
    return pd.DataFrame(columns | {"call": move.clip(lower=0.0), "put": (-move).clip(lower=0.0), "move": move})


def _table(symbol: str, table: pd.DataFrame | None) -> pd.DataFrame:
    if table is None:
        return closures(symbol)
    if lacking := {"open_date", "kind", "earnings", "gap", "intraday"} - set(table):
        raise ValueError(f"the table lacks {', '.join(sorted(lacking))}; make it with pk.data.closures_from_ohlc")
    return table if "part" in table else _with_parts(table)


def _parts(part: str, minus: str | None) -> list[str]:
    wanted = [part] if minus is None else [part, minus]
    for chosen in wanted:
        if chosen not in PARTS:
            raise ValueError(f"no part {chosen!r} of the clock; choose one of {', '.join(map(repr, PARTS))}")
    return wanted


def _refuse_absent(wide: pd.DataFrame) -> None:
    """Raise if a column (part, symbol) is empty."""
    for part, symbol in wide.columns[wide.notna().sum() == 0]:
        raise ValueError(f"{symbol} has no {part}; choose a part that occurs")


def _with_parts(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(part=table["kind"].map(_NAMES).mask(table["earnings"].astype(bool), "earnings night"))
