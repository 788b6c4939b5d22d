"""Nights: what each part of the stock's clock has paid, and what it would have done to collateral.

Every trading day is a closure and the session after it. The closure is a week night, a weekend, a mid-week holiday or an earnings night; the
session is the day. Returns are logarithms, so parts add up to the whole and the growth of a dollar multiplies. Everything is counted from
``closures.csv`` or from a reader's own table of that form.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from perpkit import data, theory
from perpkit._parts import check_draw
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
    returns = _returns(_table(symbol, table))
    pieces = {part: returns[part].dropna() for part in PARTS if returns[part].notna().any()}
    pieces |= {"night": returns[list(PARTS[:4])].sum(axis=1), "all": returns.sum(axis=1)}
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
    returns = _returns(_table(symbol, table)).fillna(0.0)
    returns["night"] = returns[list(PARTS[:4])].sum(axis=1)
    returns["all"] = returns["night"] + returns["day"]
    return np.exp(returns.cumsum())


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
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is a numpy.random.Generator, from numpy.random.default_rng(seed); got {rng!r}")

    returns = {name: _returns(_table(name, (tables or {}).get(name))) for name in names}
    # Columns (part, name), rows the trading days of all names: sums and counts by cluster are all a mean needs.
    wide = pd.concat({(p, name): returns[name][p] for p in wanted for name in names}, axis=1).dropna(how="all")
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
    returns = _returns(_table(symbol, table))[_parts(part, minus)]
    _refuse_absent(pd.concat({symbol: returns}, axis=1).swaplevel(axis=1))
    samples = [returns[column].dropna() for column in returns]
    test = stats.ttest_1samp(samples[0], 0.0) if minus is None else stats.ttest_ind(*samples, equal_var=False)
    return float(test.statistic), float(test.pvalue)


def wiped_out(symbol: str, margins: Iterable[float], table: pd.DataFrame | None = None) -> pd.DataFrame:
    """How often a part of the clock alone lost more than the collateral, on each side.

    Parameters
    ----------
    margins : collateral as shares of notional when the part begins, above 0; 0.1 is a position at 10x.

    Returns
    -------
    DataFrame, index ``part`` and ``margin``. ``n``: times the part occurred; ``long`` and ``short``: times the loss exceeded the
    collateral; ``long_beyond`` and ``short_beyond``: losses beyond it, summed, in notional. A closure is judged at the open, a day at its
    close: a price that went beyond and came back is not seen, so these are lower bounds for a market that is open in between.

    Raises
    ------
    ValueError
        If a margin is not above 0, the symbol is unknown or the table lacks a column.
    """
    levels = [float(margin) for margin in margins]
    if not levels or not all(0.0 < level < float("inf") for level in levels):
        raise ValueError(f"margins are shares of notional, each above 0, such as (0.1, 0.05); got {margins!r}")
    returns = _returns(_table(symbol, table))
    rows = {}
    for part in PARTS:
        move = np.expm1(returns[part].dropna().to_numpy())
        for level in levels:
            long, short = np.maximum(-move - level, 0.0), np.maximum(move - level, 0.0)
            rows[part, level] = (len(move), int((long > 0).sum()), int((short > 0).sum()), long.sum(), short.sum())
    index = pd.MultiIndex.from_tuples(rows, names=["part", "margin"])
    return pd.DataFrame(list(rows.values()), index=index, columns=["n", "long", "short", "long_beyond", "short_beyond"])


def wiped_a_year(
    symbol: str,
    margin: float,
    rng: np.random.Generator,
    side: str = "long",
    sessions: bool = False,
    n: int = 4_000,
    table: pd.DataFrame | None = None,
) -> Bootstrap:
    """How many times a year a closure alone, or with ``sessions`` a day alone, lost more than the collateral: whole calendar years redrawn.

    Parameters
    ----------
    margin : collateral as a share of notional when the closure or the day begins, above 0.
    side : ``"long"`` or ``"short"``.
    n : resamples.

    Returns
    -------
    perpkit.gaps.Bootstrap of times a year, over 365.25 days. Each year counts for the time the record covers of it, so that the part years at
        either end weigh less. Nothing beyond the record enters: the share of unseen gaps is 0.

    Raises
    ------
    ValueError
        As :func:`wiped_out`; if side is neither, ``n`` is below 2, or rng is no Generator.
    """
    if side not in ("long", "short"):
        raise ValueError(f"side is 'long' or 'short'; got {side!r}")
    check_draw(n, rng)
    if n < 2:
        raise ValueError(f"n is the number of resamples, 2 or more; got {n!r}")
    if not 0.0 < margin < float("inf"):
        raise ValueError(f"margin is collateral as a share of notional, above 0; got {margin!r}")
    rows = _table(symbol, table)
    move = np.expm1(rows["intraday" if sessions else "gap"].to_numpy()) * (-1.0 if side == "long" else 1.0)
    years = pd.DatetimeIndex(rows["open_date"]).year
    hits = pd.Series(move > margin).groupby(years).sum().to_numpy(float)
    share = pd.Series(1.0, range(len(rows))).groupby(years).sum().to_numpy()  # time by trading days, of which all years have alike
    span = (rows["open_date"].iloc[-1] - rows["open_date"].iloc[0]).days / 365.25 * share / share.sum()
    times = rng.multinomial(len(hits), np.full(len(hits), 1.0 / len(hits)), size=n)
    return Bootstrap(float(hits.sum() / span.sum()), (times @ hits) / (times @ span))


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
        raise ValueError(f"the table lacks {', '.join(sorted(lacking))}; make it with data.closures_from_ohlc")
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


def _returns(table: pd.DataFrame) -> pd.DataFrame:
    """Log returns, a column a part, NaN where the part did not occur; index ``open_date``."""
    days = pd.DatetimeIndex(table["open_date"], name="open_date")
    columns = {part: table["gap"].where(table["part"] == part).to_numpy() for part in PARTS[:4]}
    return pd.DataFrame(columns | {"day": table["intraday"].to_numpy()}, index=days)
