"""Laws of the log gap: what the next closure may do to the price.

A gap is ln(open / previous close) over a closure of the cash market. A venue on a 24/5 feed is closed for less of it, so for such a
venue these gaps are an upper bound. Per unit of notional at the close, a long loses ``1 - exp(gap)`` and a short ``exp(gap) - 1``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from perpkit import data
from perpkit._checks import is_number, needs_generator
from perpkit._mle import FAMILIES, fit_family, fit_tail
from perpkit.laws import Bootstrap, Capped, Empirical, Law, Parametric, Scaled, Spliced, Tail
from perpkit.sessions import span_kind

if TYPE_CHECKING:
    from perpkit.posterior import Posterior

KINDS = ("weekend", "overnight", "holiday", "earnings")
LAWS = (*FAMILIES, "gpd")
"""Names that :func:`fit` knows."""


def empirical(
    symbol: str, kind: str = "weekend", start: str | None = None, end: str | None = None, table: pd.DataFrame | None = None
) -> Empirical:
    """The gaps of one stock, in date order.

    Parameters
    ----------
    symbol : a stock of ``closures.csv``, or of ``table``. Of the other names in ``weekend_gaps_megacaps.csv``, which end in 2022 (META's in
        January 2023), there are weekends only: that file lacks nights, holidays and earnings reports.
    kind : ``"weekend"`` and ``"holiday"`` as in :func:`perpkit.data.closures`; ``"overnight"``, one night without an earnings report;
        ``"earnings"``, any closure with one.
    start, end : first and last opening date, both included; the whole table by default.
    table : closures to use instead, as :func:`perpkit.data.closures_from_ohlc` makes them. For weekends the columns of
        ``weekend_gaps_megacaps.csv`` are enough.

    Raises
    ------
    ValueError
        If symbol, kind or a date is unknown, the table lacks a column, or no gap is left.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind {kind!r} of gap; choose one of {', '.join(map(repr, KINDS))}")
    rows = _shipped(symbol, kind) if table is None else table
    if "kind" not in rows and "calendar_days" in rows:
        rows = rows.assign(kind=span_kind(rows["calendar_days"]))
    needed = {"open_date", "kind", "gap"} | ({"earnings"} if kind in ("overnight", "earnings") else set())
    if lacking := needed - set(rows):
        raise ValueError(f"the table lacks {', '.join(sorted(lacking))}; make it with pk.data.closures_from_ohlc")
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


def _shipped(symbol: str, kind: str) -> pd.DataFrame:
    """Closures of ``symbol`` from the first table of ``data/`` that has any of that kind."""
    tables = [data.load(name) for name in ("closures", "weekend_gaps_megacaps")[: 2 if kind == "weekend" else 1]]
    for table in tables:
        if symbol in list(table["symbol"].unique()):
            return table
    names = dict.fromkeys(name for table in tables for name in table["symbol"].unique())
    raise ValueError(
        f"data/ has no {kind} gap of {symbol!r}; choose one of {', '.join(map(repr, names))}, "
        f"or give closures of your own: gaps.empirical({symbol!r}, {kind!r}, table=pk.data.closures_from_ohlc(bars, symbol={symbol!r}))"
    )


def fit(
    symbol: str,
    law: str = "t",
    kind: str = "weekend",
    start: str | None = None,
    end: str | None = None,
    table: pd.DataFrame | None = None,
    tail: float | None = None,
) -> Parametric | Spliced:
    """Maximum likelihood fit of a law to the gaps of :func:`empirical`.

    Parameters
    ----------
    symbol, kind, start, end, table : as in :func:`empirical`.
    law : ``"t"``; ``"normal"``; ``"skew-t"`` (``scipy.stats.jf_skew_t``); ``"laplace"`` (``laplace_asymmetric``); ``"kou"`` and
        ``"tempered-t"`` (``families``); or ``"gpd"``, the sample itself with generalised Pareto tails (``laws.Spliced``).
    tail : share of the gaps in each tail, 0.05 by default; for ``"gpd"`` only. Thresholds are the next gaps inward.

    Raises
    ------
    ValueError
        As :func:`empirical`; if ``law`` or ``tail`` is unknown; if the gaps do not vary, or are too few for a tail; or if the likelihood has
        no maximum inside the family: a t on gaps without fat tails, a tempered t on gaps that want no tempering.
    """
    if law not in LAWS:
        raise ValueError(f"no law {law!r}; choose one of {', '.join(map(repr, LAWS))}")
    if tail is not None and law != "gpd":
        raise ValueError(f"tail is for law='gpd' only; leave it out for {law!r}")
    sample = empirical(symbol, kind, start, end, table)
    name = f"{sample.name}, {law}"
    if law != "gpd":
        return Parametric(name, fit_family(law, sample.gaps, sample.name), sample.record)
    share = 0.05 if tail is None else tail
    if not (is_number(share) and 0.0 < share < 0.5):
        raise ValueError(f"tail is the share of the gaps in each tail, above 0 and below 0.5; got {tail!r}")
    count = round(share * len(sample))
    # Why the two tails are those of different things: see Spliced.
    lower = _tail(np.sort(-sample.gaps), count, f"{sample.name}, falls")
    upper = _tail(np.sort(np.expm1(sample.gaps)), count, f"{sample.name}, rises")
    return Spliced(name, sample, lower, upper)


def _tail(losses: np.ndarray, count: int, name: str) -> Tail:
    """Tail of the ``count`` largest of the ordered ``losses`` over the next one."""
    threshold = losses[-count - 1]
    return fit_tail(losses[len(losses) - count :] - threshold, threshold, name)


def pit(law: Law | Sequence[Law], gaps: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """Probability integral transform: where each gap lies in its law, uniform on (0, 1) if the law is right. Shape (n,).

    Parameters
    ----------
    law : one law for all gaps, or one for each in a sequence, as in a forecast made anew each week.
    gaps : log gaps, shape (n,).
    rng : a law with steps, such as a sample, gives a gap a whole interval of probability. Its middle is taken without a generator, which
        leaves the mean right and the spread a little small; a uniform point of it with one, exactly uniform under the right law.

    Raises
    ------
    ValueError
        If a gap is not finite, there is none, or laws and gaps differ in number.
    """
    seen = np.asarray(gaps, dtype=float)
    if seen.ndim != 1 or not seen.size or not np.isfinite(seen).all():
        raise ValueError(f"gaps is a vector of finite log gaps, at least one; got {gaps!r}")
    if rng is not None:
        needs_generator(rng)
    if not isinstance(law, Law | Sequence):
        raise ValueError(f"law is a perpkit Law, or one for each of the {len(seen)} gaps; got {law!r}")
    each = None if isinstance(law, Law) else list(law)
    if each is not None and (len(each) != len(seen) or not all(isinstance(one, Law) for one in each)):
        raise ValueError(f"law is a perpkit Law, or one for each of the {len(seen)} gaps; got {len(each)}")
    below = np.nextafter(seen, -np.inf)
    if each is None:
        low, high = law.cdf(below), law.cdf(seen)
    else:
        low, high = np.array([[one.cdf(before), one.cdf(at)] for one, before, at in zip(each, below, seen)]).T
    place = 0.5 if rng is None else rng.random(len(seen))
    return low + place * (high - low)


def posterior(symbol: str, law: str = "t", **options) -> Posterior:
    """What the gaps of :func:`empirical` say about the parameters of ``law``, given a prior: see ``perpkit.posterior.posterior``, which takes
    the options and is imported here, because its samplers take a while to load.

    Raises
    ------
    ValueError
        As there.
    """
    from perpkit.posterior import posterior as sample

    return sample(symbol, law, **options)
