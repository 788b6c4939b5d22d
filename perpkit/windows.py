"""Windows: which part of a weekend's variance falls into the hours a 24/5 feed is closed.

The gaps of this package run from the cash close (Friday 16:00 New York) to the cash open (Monday 09:30). A 24/5 feed is closed from Friday
20:00 to Sunday 20:00 only, and the rest of the gap reaches its venue as a walk. No price of the stock itself at those two moments is at
hand. Three arguments bound the part between them.

*What a future saw.* Let F be what is known on Sunday at 20:00. Whatever F offers to predict the gap, its R2 is at most ``Var(E[gap | F]) /
Var(gap)``, the share of the variance that has arrived. So the R2 of the Nasdaq future's move by then is a low end; noise in the future only
lowers it, by no more than a twentieth here. The future's move after Sunday 20:00 cannot be foreseen from F if the future is a
martingale, and is then orthogonal to all that F says of the gap, the stock's own news included. So its R2 with the gap is variance that
came later, and one less it is a high end, better than 1 (a future that goes on as it began would break it; here the two moves are
uncorrelated). What lies between is news of the stock that the index does not show.

*Friday evening.* The future's move also holds what came from 16:00 to 20:00, when a 24/5 feed is open. Four hours at the mean hourly
variance of the index's week nights come off the low end and the middle (week evenings have the earnings reports of large firms, Fridays
none, so that this is rather too much), and nothing off the high end.

*A week night* is a weekend without its middle: :func:`perpkit.hours.closed_difference` needs no future and has 16 years, at the price
of taking the two ends of a weekend for one ordinary night. It is shown beside the bounds, as a check on them.

A share of the variance scales a law by its root (:func:`scale_factors`), which says nothing of the tail (:func:`tails`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from perpkit import data
from perpkit.hours import LEVEL, RESAMPLES, SYMBOLS, by_year, check, closed_difference, known, mean_hours, record, resampled

TIMES = ("Sunday 18:00", "Sunday 20:00", "Monday 09:00")
STRETCHES = ("Sunday 18:00 to 20:00", "Sunday 20:00 to Monday 09:00")
WINDOWS = ("Friday 16:00 to 20:00", "Friday 20:00 to Sunday 20:00", "Sunday 20:00 to Monday 09:30", "Friday 16:00 to Sunday 20:00")
CLOSED = WINDOWS[1]

_HOURS = (4.0, 48.0, 13.5, 52.0)


def ladder(rng: np.random.Generator) -> pd.DataFrame:
    """How much of each gap the Nasdaq future has shown by three times, and in the hours between them alone.

    Returns
    -------
    DataFrame, one row a ``symbol`` and ``proxy``, the future's log return from the cash close to each of ``TIMES`` and over each of
        ``STRETCHES``: ``r2`` and ``beta`` of the gap on it with 95 % intervals from resampled weekends (``r2_from``, ``r2_to`` and so
        on), ``residual_sd`` (log return, n - 2 degrees of freedom) and ``n``, all complete rows of ``weekend_proxy_returns.csv``.

    Raises
    ------
    ValueError
        If rng is no Generator.
    """
    rows = []
    for symbol in SYMBOLS:
        check(symbol, rng)
        gap, moves = _proxy(symbol, mondays=False)
        picks = rng.integers(len(gap), size=(RESAMPLES, len(gap)))
        for proxy, move in moves.items():
            r2, beta = _regress(gap, move)
            limits = [np.quantile(each, LEVEL) for each in _regress(gap[picks], move[picks])]
            residual = np.sqrt((1.0 - r2) * gap.var() * len(gap) / (len(gap) - 2))
            rows.append([symbol, proxy, r2, *limits[0], beta, *limits[1], residual, len(gap)])
    return pd.DataFrame(rows, columns=["symbol", "proxy", "r2", "r2_from", "r2_to", "beta", "beta_from", "beta_to", "residual_sd", "n"])


def variance_shares(symbol: str, rng: np.random.Generator) -> pd.DataFrame:
    """Shares of the variance of the close-to-open weekend gap, by window of the week.

    ``low`` and ``high`` are the bounds of the module's text, from the weekends of the future after which a 24/5 feed opened on Sunday
    (no Monday holiday). ``middle`` lets all news keep the index's clock: R2 of the index's gap on the future at Sunday 20:00 over that
    at Monday 09:00, so that the future's noise drops out. The index is QQQ for a stock, so that both stocks have the same middle, and
    the fund itself for a fund. The middles of the first three windows sum to 1; the fourth window joins the first two.

    Parameters
    ----------
    symbol : ``"TSLA"``, ``"NVDA"``, ``"QQQ"`` or ``"SPY"``.

    Returns
    -------
    DataFrame with ``window``, ``hours`` (of an ordinary weekend), ``low``, ``middle``, ``high``, ``difference`` (from
        :func:`perpkit.hours.closed_difference`; nan where it says nothing), and 95 % intervals ``low_from``, ``low_to`` and so on: of the
        first three from resampled weekends and nights, of the last from resampled years. What is not known to 95 % of bounds and sampling
        together runs from ``low_from`` to ``high_to``.

    Raises
    ------
    ValueError
        If the symbol is unknown or rng is no Generator.
    """
    check(symbol, rng)
    gap, index, moves, nights = _sample(symbol)
    picks = rng.integers(len(gap), size=(RESAMPLES, len(gap)))
    drawn_nights = nights[rng.integers(len(nights), size=(RESAMPLES, len(nights)))].var(axis=1)
    point = _bounds(gap, index, moves, nights.var())
    drawn = _bounds(gap[picks], index[picks], {name: move[picks] for name, move in moves.items()}, drawn_nights)
    difference = closed_difference(symbol, rng)

    table = pd.DataFrame({"window": WINDOWS, "hours": _HOURS})
    is_closed = table["window"] == CLOSED
    for column in ("low", "middle", "high"):
        table[column] = [point[window][column] for window in WINDOWS]
    table["difference"] = np.where(is_closed, difference.value, np.nan)
    for column in ("low", "middle", "high"):
        table[[f"{column}_from", f"{column}_to"]] = [np.quantile(drawn[window][column], LEVEL) for window in WINDOWS]
    for end, limit in zip(("from", "to"), difference.interval()):
        table[f"difference_{end}"] = np.where(is_closed, limit, np.nan)
    return table


def closed_share(symbol: str) -> tuple[float, float, float]:
    """Low, middle and high of :func:`variance_shares` for the hours a 24/5 feed is closed, Friday 20:00 to Sunday 20:00.

    Raises ValueError if the symbol is unknown.
    """
    known(symbol)
    gap, index, moves, nights = _sample(symbol)
    share = _bounds(gap, index, moves, nights.var())[CLOSED]
    return float(share["low"]), float(share["middle"]), float(share["high"])


def scale_factors(symbol: str) -> tuple[float, float, float]:
    """Roots of :func:`closed_share`: what a law of the close-to-open log gap is scaled by, ``law.scaled(factor)``, for a 24/5 venue.

    A law so scaled has the variance of the closed window and the shape of the whole gap. It leaves out two things. The shape: an ordinary
    weekend adds little to a week night and a rare one much, so that the scaled law is too wide in its body and too thin far out
    (:func:`tails`). And the walk: what comes after Sunday 20:00 moves a live oracle, and with it every account, in steps that can be
    liquidated into and not in one jump; it is no part of the gap then, and no safe hour either. A factor of 1, the whole gap as one jump,
    is the bound that needs none of this. Raises ValueError if the symbol is unknown.
    """
    low, middle, high = np.sqrt(closed_share(symbol))
    return float(low), float(middle), float(high)


def tails(symbol: str, rng: np.random.Generator, levels: tuple[float, ...] = (0.01, 0.03, 0.05, 0.08)) -> pd.DataFrame:
    """How often weekends and week nights move by more than a level, what that leaves for the closed window, and what scaling gives it.

    Of independent moves with power tails at most one is large at a time, so that far out their exceedances add: those of weekends less
    those of nights are the closed window's. Near the middle of the law they do not add, and the difference is only a comparison.

    Parameters
    ----------
    symbol : as :func:`variance_shares`.
    levels : absolute log returns.

    Returns
    -------
    DataFrame with ``level``; ``weekends`` and ``nights``, shares of each that move by more; ``seen``, the number of such weekends;
        ``closed``, weekends less nights, with its 95 % interval from resampled years (``closed_from``, ``closed_to``); ``scaled``, the
        same share in the sample of weekends times the middle of :func:`scale_factors`.

    Raises
    ------
    ValueError
        If the symbol is unknown, rng is no Generator, or a level is not a number above 0.
    """
    check(symbol, rng)
    weekend, night = (record(symbol, kind).abs() for kind in ("weekend", "overnight"))
    factor = scale_factors(symbol)[1]
    rows = []
    for level in levels:
        if not 0.0 < level < np.inf:
            raise ValueError(f"a level is an absolute log return above 0; got {level!r}")
        drawn = resampled({"weekend": by_year(weekend > level), "overnight": by_year(night > level)}, rng)
        often = {kind: each[:, 1] / each[:, 0] for kind, each in drawn.items()}
        shares = (weekend > level).mean(), (night > level).mean()
        limits = np.quantile(often["weekend"] - often["overnight"], LEVEL)
        rows.append([level, *shares, int((weekend > level).sum()), shares[0] - shares[1], *limits, (factor * weekend > level).mean()])
    return pd.DataFrame(rows, columns=["level", "weekends", "nights", "seen", "closed", "closed_from", "closed_to", "scaled"])


def _bounds(gap: np.ndarray, index: np.ndarray, moves: dict[str, np.ndarray], night: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Low, middle and high of each window; weekends along the last axis. ``night`` is the variance of one week night of the index."""
    early, late = moves[TIMES[1]], moves[TIMES[2]]
    evening = night * _HOURS[0] / mean_hours()["overnight"]
    by_sunday, after = _regress(gap, early)[0], _regress(gap, moves[STRETCHES[1]])[0]
    clock = _regress(index, early)[0] / _regress(index, late)[0]
    friday = evening / late.var(axis=-1)
    closed = by_sunday * np.maximum(1.0 - evening / early.var(axis=-1), 0.0)
    return {
        WINDOWS[0]: {"low": 0.0 * friday, "middle": friday, "high": np.maximum(1.0 - closed - after, 0.0)},
        WINDOWS[1]: {"low": closed, "middle": clock - friday, "high": 1.0 - after},
        WINDOWS[2]: {"low": after, "middle": 1.0 - clock, "high": 1.0 - by_sunday},
        WINDOWS[3]: {"low": by_sunday, "middle": clock, "high": 1.0 - after},
    }


def _regress(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R2 and slope of y on x, along the last axis."""
    y, x = y - y.mean(axis=-1, keepdims=True), x - x.mean(axis=-1, keepdims=True)
    cross, spread = (x * y).sum(axis=-1), (x * x).sum(axis=-1)
    return cross**2 / (spread * (y * y).sum(axis=-1)), cross / spread


def _proxy(symbol: str, mondays: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Gaps of one symbol and the future's moves of the same weekends; ``mondays`` keeps those after which a 24/5 feed opens on Sunday."""
    rows = data.load("weekend_proxy_returns").dropna()
    if mondays:
        rows = rows[rows["open_date"].dt.day_name() == "Monday"]
    first, early, late = (rows[name].to_numpy() for name in ("nq_sunday_reopen", "nq_two_hours_later", "nq_monday_0900"))
    moves = dict(zip((*TIMES, *STRETCHES), (first, early, late, early - first, late - early)))
    return rows[f"{symbol.lower()}_gap"].to_numpy(), moves


def _sample(symbol: str) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Gaps of the symbol and of its index, the future's moves, and the index's week nights of the same years."""
    index = symbol if symbol in ("QQQ", "SPY") else "QQQ"
    gap, moves = _proxy(symbol, mondays=True)
    span = data.load("weekend_proxy_returns")["open_date"]
    # Nights of QQQ for every symbol: they stand for the future, which follows it.
    nights = record("QQQ", "overnight")[span.min() : span.max()].to_numpy()
    return gap, _proxy(index, mondays=True)[0], moves, nights
