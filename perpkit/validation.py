"""Validation: what the package says, beside a number that it did not make.

A :class:`Witness` holds one claim, the authority that knows the answer, both numbers, and the tolerance settled before they are compared.
The verdict is computed, never written. :func:`require` raises when one fails, so a page that ends with it cannot be built with a wrong
number on it. The last three functions run the engine in limits that have a closed form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from perpkit import discovery
from perpkit._typeset import formatted
from perpkit.accounts import Accounts
from perpkit.book import Book
from perpkit.clock import Closure
from perpkit.engine import simulate
from perpkit.ensemble import ensemble
from perpkit.estimate import Estimate, estimate
from perpkit.funding import Funding
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.mark import Mid
from perpkit.oracle import frozen_oracle
from perpkit.pool import Feed, Fees, Pool, PoolMargin
from perpkit.theory._check import sign_of
from perpkit.value import Value

KINDS = ("relative", "absolute", "printed", "sampled", "apart", "none")
HOLDS, FAILS, NOBODY = "holds", "fails", "no outside number"
_DECIMAL = re.compile(r"-?\d+(\.\d+)?")
_SLACK = 1.0 + 1e-9  # a number exactly on the edge of its tolerance is inside, whatever the last bit says


@dataclass(frozen=True)
class Witness:
    """One claim before one authority.

    Parameters
    ----------
    claim : what is computed, with its unit; MyST.
    authority : who says what it should be, and where; MyST, citations allowed. For ``"none"``, why nobody does.
    expected : the authority's number. For ``"printed"`` the text as printed, such as ``"115.76"``; None for ``"none"``.
    got : the package's number; may be None for ``"none"``.
    tolerance : how far apart they may be; what it counts depends on the kind.
    kind : ``"relative"``, share of ``expected``, which is not 0; ``"absolute"``, in the unit of the row; ``"printed"``, in units of the last
        digit printed (0.5: rounds to it); ``"sampled"``, in standard errors; ``"apart"``, in standard errors too, but this ``expected`` is that
        of a wrong model and ``got`` must lie further from it; ``"none"``, nobody outside has the number, and ``tolerance`` is None.
    se : standard error of ``got``, for ``"sampled"`` and ``"apart"``.
    fmt : format in which both numbers are shown.

    Raises
    ------
    ValueError
        If the kind is unknown, or a field does not suit it.
    """

    claim: str
    authority: str
    expected: float | str | None
    got: float | None
    tolerance: float | None
    kind: str
    se: float | None = None
    fmt: str = "{:.6g}"

    def __post_init__(self) -> None:
        for name in ("claim", "authority"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise ValueError(f"{name} is words; got {getattr(self, name)!r}")
        if self.kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}; got {self.kind!r}")
        if self.kind == "none":
            if self.expected is not None or self.tolerance is not None or self.se is not None:
                raise ValueError(f"{self.claim}: a claim that nobody witnesses has no expected number, tolerance or se; leave them None")
            return
        if self.kind == "printed" and not (isinstance(self.expected, str) and _DECIMAL.fullmatch(self.expected)):
            raise ValueError(f"{self.claim}: expected is the number as printed, a string such as '115.76'; got {self.expected!r}")
        if self.kind != "printed" and (isinstance(self.expected, (str, type(None))) or not math.isfinite(self.expected)):
            raise ValueError(f"{self.claim}: expected is a finite number; got {self.expected!r}")
        if self.kind == "relative" and self.expected == 0:
            raise ValueError(f"{self.claim}: nothing is relative to an expected 0; use kind 'absolute'")
        if self.got is None or isinstance(self.got, str):
            raise ValueError(f"{self.claim}: got is a number; got {self.got!r}")
        if self.tolerance is None or not 0.0 < self.tolerance < math.inf:
            raise ValueError(f"{self.claim}: tolerance is a finite number above 0; got {self.tolerance!r}")
        sampled = self.kind in ("sampled", "apart")
        if sampled and (self.se is None or not 0.0 < self.se < math.inf):
            raise ValueError(f"{self.claim}: se is the standard error of a sample, above 0; got {self.se!r}")
        if not sampled and self.se is not None:
            raise ValueError(f"{self.claim}: only a sampled number has an se; got {self.se!r}")

    @property
    def target(self) -> float:
        """``expected`` as a number; nan where nobody has one."""
        return math.nan if self.expected is None else float(self.expected)

    @property
    def _scale(self) -> float:
        """What errors are counted in: standard errors, or else the expected number unless it is 0."""
        return self.se if self.se is not None else abs(self.target) or 1.0

    @property
    def error(self) -> float:
        """Distance of the two numbers: in standard errors for a sample, otherwise relative, and in the unit of the row if 0 was expected."""
        return math.nan if self.kind == "none" else abs(float(self.got) - self.target) / self._scale

    @property
    def allowed(self) -> float:
        """The tolerance in the measure of :attr:`error`."""
        if self.kind == "none":
            return math.nan
        if self.kind == "printed":
            return self.tolerance * 10.0 ** -len(self.expected.partition(".")[2]) / self._scale
        return self.tolerance / self._scale if self.kind == "absolute" else self.tolerance

    @property
    def rounding(self) -> bool:
        """Whether the tolerance leaves room for rounding only, so that the digits of the error mean nothing."""
        return self.se is None and self.allowed <= 1e-8

    @property
    def verdict(self) -> str:
        """``"holds"``, ``"fails"`` or ``"no outside number"``. A number that is not one (nan) fails."""
        if self.kind == "none":
            return NOBODY
        if self.kind == "apart":
            return HOLDS if self.error > self.allowed else FAILS
        return HOLDS if self.error <= self.allowed * _SLACK else FAILS

    def __str__(self) -> str:
        sign = ">" if self.kind == "apart" else "<="
        numbers = f"expected {self.expected}, got {self.got if self.got is None else f'{float(self.got):.12g}'}"
        return f"{self.claim} ({self.authority}): {numbers}, error {self.error:.3g}, allowed {sign} {self.allowed:.3g}"


def table(rows: Sequence[Witness]) -> pd.DataFrame:
    """Numbers of the witnesses, a row each: the fields of :class:`Witness`, ``error``, ``allowed`` and ``verdict``."""
    names = [f.name for f in fields(Witness) if f.name != "fmt"] + ["error", "allowed", "verdict"]
    return pd.DataFrame([[getattr(row, name) for name in names] for row in _checked(rows)], columns=names)


def shown(rows: Sequence[Witness]) -> pd.DataFrame:
    """The same for a page: three columns of MyST, narrow enough for a phone, the last with error and tolerance. Errors that are rounding are
    shown as bounds: their digits differ between processors."""
    return pd.DataFrame([_cells(row) for row in _checked(rows)], columns=["Claim, authority", "Expected, got", "Verdict, error"])


def require(rows: Sequence[Witness]) -> None:
    """Raise ``ValueError`` with every witness that fails, or if there are none to ask."""
    failed = [row for row in _checked(rows) if row.verdict == FAILS]
    if failed:
        raise ValueError(f"{len(failed)} of {len(rows)} witnesses contradict the package:\n" + "\n".join(f"  {row}" for row in failed))


def tally(groups: Mapping[str, Sequence[Witness]]) -> pd.DataFrame:
    """Counts by group, and how much of its tolerance the closest call used: of measured errors, since digits cut off in print or by the
    processor say nothing (nan where there is none)."""
    found = []
    for name, rows in groups.items():
        verdicts = [row.verdict for row in _checked(rows)]
        used = [row.error / row.allowed for row in rows if row.kind in ("relative", "absolute", "sampled") and not row.rounding]
        found.append((name, len(rows), *(verdicts.count(word) for word in (HOLDS, FAILS, NOBODY)), max(used, default=math.nan)))
    return pd.DataFrame(found, columns=["group", "rows", HOLDS, FAILS, NOBODY, "closest call"])


def _checked(rows: Sequence[Witness]) -> Sequence[Witness]:
    if not rows or not all(isinstance(row, Witness) for row in rows):
        raise ValueError(f"rows are one or more Witness objects; got {rows!r}")
    return rows


def _cells(row: Witness) -> tuple[str, str, str]:
    expected, got = (_number(row, x) for x in (row.expected, row.got))
    if row.se is not None:
        got += f" ±\u00a0{formatted(row.claim, row.fmt, row.se).lstrip('+')}"
    verdict = f"**{row.verdict}**" if row.verdict == FAILS else row.verdict
    return f"{row.claim}<br>*{row.authority}*", f"{expected}<br>{got}", verdict if row.kind == "none" else f"{verdict}<br>{_measure(row)}"


def _number(row: Witness, x: float | str | None) -> str:
    if x is None:
        return "–"
    if isinstance(x, str):
        return x.replace("-", "−")
    return formatted(row.claim, row.fmt, x) if math.isfinite(x) else str(x)


def _measure(row: Witness) -> str:
    """Error and tolerance in words, such as ``0.0013 of 0.005``."""
    if row.kind == "apart":
        return f"{_short(row.error)} se, over {_short(row.allowed)}"
    if row.verdict == HOLDS and row.rounding:
        return f"below {_short(row.allowed)}"
    small, whole = row.verdict == HOLDS and row.error < 1e-3 * row.allowed, row.error == 0.0 and float(row.got).is_integer()
    error = "0" if whole else f"under {_short(1e-3 * row.allowed)}" if small else _short(row.error)
    return f"{error} of {_short(row.allowed)}" + (" se" if row.se is not None else "")


def _short(x: float) -> str:
    """Two digits; a power of ten without its one."""
    if not math.isfinite(x):
        return str(x)
    return formatted("error", "{:.2g}" if 1e-3 <= x < 1e3 else "{:.0e}" if f"{x:.1e}"[2] == "0" else "{:.1e}", x).removeprefix("1\u00a0×\u00a0")


# The engine in limits that have a closed form

_STILL = Book(math.inf, math.inf, half_spread_open=0.0, half_spread_closed=0.0, follow_open=math.inf, follow_closed=math.inf)
_AT_ONCE = Value(news_share=1.0, news_hours=(0.0,))
_QUIET = Funding(when_closed=False)


def kept_share(kappa: float, tau: float, hours: float, move: float = 1e-4) -> float:
    """Share of news that a long keeps, price gain less funding, who holds one share through a closure at whose start the news arrives.

    Informed flow holds the price where expected funding is charged to the news (``carry``); nothing clamps and nothing has depth. Tends to
    :func:`perpkit.theory.pass_through_paid` as the steps, here 12 s, and the ``move`` (log return) shrink. Units as there.
    """
    return discovery.carried(discovery.linear(kappa, tau), hours, move, step_s=12.0).kept


def touched(distance: float, sd: float, steps: int, n: int, rng: int) -> Estimate:
    """Share of ``n`` weekends in which a Brownian mark looked at ``steps`` times, of standard deviation ``sd`` in all, liquidates a long
    ``distance`` below it (log units). Compare :func:`perpkit.theory.hit_probability`."""
    hours = steps / 60.0
    book = replace(_STILL, follow_closed=0.0, noise_closed=sd / math.sqrt(hours), follow_open=0.0)
    machine = Machine(mark=Mid(), funding=_QUIET, margin=Margin(20.0, 1e-12), book=book)
    long = Accounts([1], [1.0], [250.0], [-250.0 * math.expm1(-distance)])
    found = ensemble(machine, long, Closure(hours, reopen_minutes=0.05), np.zeros(1), n=n, rng=rng)
    return estimate(found["liquidated_closed"].isel(machine=0))


def cascade_sizes(n: float, first_generation: float, runs: int, rng: np.random.Generator, accounts: int = 100) -> np.ndarray:
    """Accounts liquidated in ``runs`` cascades of the engine, shape (runs,): compare :func:`perpkit.theory.cascade`.

    Each run scatters the thresholds of longs of one share anew, as a Poisson process. News carries the price past ``first_generation`` of
    them on average, and each sale, whose impact stays, past ``n`` more. ``accounts`` must exceed any cascade.
    """
    apart, price = 1e-7, 250.0  # so small that a share's notional, and with it n, is the same at every depth of the fall
    book = replace(_STILL, depth_closed=price / (n * apart), refill_closed=0.0, refill_open=math.inf)
    machine = Machine(mark=Mid(), funding=_QUIET, margin=Margin(20.0, 1e-14), book=book, adl="none")
    one, entry = np.ones(accounts), np.full(accounts, price)
    people = {str(k): Accounts(one, one, entry, -price * np.expm1(-np.cumsum(rng.exponential(apart, accounts)))) for k in range(runs)}
    closure = Closure(hours=1.0 / 12.0, reopen_minutes=0.05, value=_AT_ONCE)
    found = ensemble(dict.fromkeys(people, machine), people, closure, np.array([-first_generation * apart]))
    return np.rint(found["liquidated_closed"].values[:, 0] * accounts).astype(int)


def beyond_margin(gaps: np.ndarray, leverage: float, side: str = "long") -> Estimate:
    """Mean loss beyond collateral of one position, share of notional: oracle frozen to the reopening, a book without impact, no clamp.

    ``gaps`` are log returns drawn from the law in question. Compare :func:`perpkit.theory.shortfall` at a margin of ``1 / leverage``.
    """
    machine = Machine(oracle=frozen_oracle(), funding=_QUIET, margin=Margin(leverage), book=replace(_STILL, follow_closed=0.0), adl="none")
    position = Accounts([sign_of(side)], [1.0], [250.0], [250.0 / leverage])
    return estimate(ensemble(machine, position, Closure(1.0, reopen_minutes=1.0), gaps)["shortfall"].isel(machine=0))


def pool_trigger(margin: PoolMargin, leverage: float, side: str = "long") -> float:
    """Adverse move of the first print, as a share of entry, at which the pool engine liquidates a position held through a closure: found by
    halving, to 1e-9. Compare :func:`perpkit.theory.pool_liquidation_distance`."""
    sign = sign_of(side)
    machine, position = Pool(feed=Feed("none", 0.0, 0.0), margin=margin), Accounts([sign], [1.0], [250.0], [250.0 / leverage])
    low, high = 0.0, 1.0 / leverage
    while high - low > 1e-9:
        move = 0.5 * (low + high)
        run = simulate(machine, position, Closure(1.0, closed_step_s=3600.0, update_s=3600.0, reopen_minutes=60.0), gap=math.log1p(-sign * move))
        low, high = (low, move) if run.outcome["liquidated_open"] > 0.0 else (move, high)
    return high


def pool_and_book(n: int, rng: int) -> dict[str, float]:
    """Largest difference over ``n`` weekends between a pool and a book where nothing rubs: a live price, no spread, no fee, no depth to speak of.

    Traders at up to 20x are liquidated by both, at the same margin, closed and open. By outcome, shares of open interest; ``"pool"`` is how
    far the pool's own gain is from minus that of its traders, and ``"liquidated"`` the largest share liquidated, so that something happened.
    """
    margin = 0.025
    book = Machine(mark=Mid(), book=_STILL, funding=_QUIET, margin=Margin(20.0, margin), adl="none")
    pool = Pool(feed=Feed("live", 0.0, 0.0), margin=PoolMargin(20.0, maintenance=margin))
    of_people, of_gaps = np.random.default_rng(rng).spawn(2)
    people, closure = Accounts.sample(200, of_people, leverage_median=8.0), Closure(3.0, value=Value(sd=0.05, open_vol=0.02))
    gaps = 0.06 * of_gaps.standard_normal(n)
    found = ensemble({"book": book, "pool": pool}, people, closure, gaps, rng=rng)
    compared = ("longs", "shorts", "shortfall", "premature", "liquidated_closed", "liquidated_open", "phantom")
    apart = {name: float(abs(found[name].sel(machine="book") - found[name].sel(machine="pool")).max()) for name in compared}
    own = found.sel(machine="pool")
    apart["pool"] = float(abs(own["junior"] + own["senior"] + own["longs"] + own["shorts"]).max())
    return apart | {"liquidated": float((own["liquidated_closed"] + own["liquidated_open"]).max())}


def stale_take(gaps: np.ndarray, fee: float) -> Estimate:
    """Mean gain, per unit of notional, of traders who know the value and may trade with a pool at Friday's price for a ``fee``.

    ``gaps`` are log returns. Compare :func:`perpkit.theory.stale_option` with ``of="log"``.
    """
    stale = Pool(feed=Feed("frozen", 0.0, 0.0), fees=Fees(open=fee), informed=1.0, margin=PoolMargin(1.0))
    pair = Accounts([1, -1], [1.0, 1.0], [250.0, 250.0], [250.0, 250.0])
    return estimate(ensemble(stale, pair, Closure(1.0, reopen_minutes=1.0), gaps)["informed"].isel(machine=0))
