"""Laws of the log gap: what the next closure may do to the price.

A gap is ln(open / previous close) over a closure of the cash market. A venue on a 24/5 feed is closed for less of it, so for such a
venue these gaps are an upper bound. Per unit of notional at the close, a long loses ``1 - exp(gap)`` and a short ``exp(gap) - 1``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from perpkit import data
from perpkit.laws import Bootstrap, Capped, Empirical, Law, Parametric, Scaled, Spliced, Tail

KINDS = ("weekend", "overnight", "holiday", "earnings")
LAWS = {"t": stats.t, "normal": stats.norm}

# Beyond this no sample here tells a t from a Normal, and the likelihood has no maximum to find.
_MOST_FREEDOM = 200.0


def empirical(
    symbol: str, kind: str = "weekend", start: str | None = None, end: str | None = None, table: pd.DataFrame | None = None
) -> Empirical:
    """The gaps of one stock, in date order.

    Parameters
    ----------
    symbol : a stock of ``closures.csv``, or of ``table``.
    kind : ``"weekend"`` and ``"holiday"`` as in :func:`perpkit.data.closures`; ``"overnight"``, one night without an earnings report;
        ``"earnings"``, any closure with one.
    start, end : first and last opening date, both included; the whole table by default.
    table : closures to use instead, as :func:`perpkit.data.closures_from_ohlc` makes them.

    Raises
    ------
    ValueError
        If symbol, kind or a date is unknown, the table lacks a column, or no gap is left.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind {kind!r} of gap; choose one of {', '.join(map(repr, KINDS))}")
    rows = data.closures(symbol) if table is None else table
    if lacking := {"open_date", "kind", "earnings", "gap"} - set(rows):
        raise ValueError(f"the table lacks {', '.join(sorted(lacking))}; make it with data.closures_from_ohlc")
    keep = rows["earnings"].astype(bool) if kind == "earnings" else rows["kind"] == kind
    if "symbol" in rows:
        keep &= rows["symbol"] == symbol
    if kind == "overnight":
        keep &= ~rows["earnings"].astype(bool)
    if start is not None:
        keep &= rows["open_date"] >= data.day("start", start)
    if end is not None:
        keep &= rows["open_date"] <= data.day("end", end)
    rows = rows[keep]
    if rows.empty:
        raise ValueError(f"no {kind} gap of {symbol!r} opened from {start or 'the first'} to {end or 'the last'} date; widen the choice")
    return Empirical(f"{symbol} {kind}", rows["gap"].to_numpy(), pd.DatetimeIndex(rows["open_date"]))


def fit(
    symbol: str, law: str = "t", kind: str = "weekend", start: str | None = None, end: str | None = None, table: pd.DataFrame | None = None
) -> Parametric:
    """Maximum likelihood fit of ``"t"`` (Student-t) or ``"normal"`` to the gaps of :func:`empirical`.

    Raises
    ------
    ValueError
        As :func:`empirical`; if ``law`` is unknown; if the gaps do not vary; or if a t has no finite best degrees of freedom.
    """
    if law not in LAWS:
        raise ValueError(f"no law {law!r}; choose one of {', '.join(map(repr, LAWS))}")
    sample = empirical(symbol, kind, start, end, table)
    centre, spread = float(np.median(sample.gaps)), float(np.std(sample.gaps))
    if not spread > 0.0:
        raise ValueError(f"{sample.name} has no gaps that differ ({len(sample)} in all); widen the choice")
    # In units of the sample: scipy's search stops early on gaps of half a percent (SPY: 1.87 degrees of freedom instead of 2.36).
    *shape, loc, scale = (float(value) for value in LAWS[law].fit((sample.gaps - centre) / spread))
    if law == "t" and shape[0] > _MOST_FREEDOM:
        raise ValueError(f"the {len(sample)} gaps of {sample.name} prefer ever more degrees of freedom: no t fits better than law='normal'")
    return Parametric(f"{sample.name}, {law}", LAWS[law](*shape, loc=centre + spread * loc, scale=spread * scale), sample.record)
