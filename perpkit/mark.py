"""Mark price: the price the risk engine believes.

Margin and liquidation run on the mark, not on the last trade. A rule turns quotes and oracle into a target; a step clamp limits how fast
the mark may follow it, and a band (``band.py``) how far it may go while the reference is closed.

A reader's own rule is a plain function under :func:`mark_rule`; it is compiled by itself and called by the engine, which is not recompiled.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, wraps
from types import FunctionType
from typing import NamedTuple

import numba
import numpy as np
from numba import cloudpickle
from numba.core import config, types
from numba.core.errors import NumbaError

from perpkit._checks import numbers, positive, share, typed
from perpkit._compile import compiled

ORACLE, MID, MEDIAN, BLEND, CUSTOM, LOCAL_MEDIAN, IMPACT_MEDIAN, LAST_MEDIAN, BASIS = range(9)
NAMES = ("oracle", "mid", "median of three", "blend", "custom", "median with local average", "impact median", "last median", "basis")
MEMORY = 8
"""Floats of scratch memory a custom rule may keep through one weekend."""

_GUARD = 64


class Quotes(NamedTuple):
    """What the book shows at an update, USD. ``last`` equals ``mid``: the book is taken to trade at every update."""

    bid: float
    ask: float
    mid: float
    last: float
    impact_bid: float
    impact_ask: float


class State(NamedTuple):
    """What the rule may remember.

    ``mark`` is the previous mark (USD), ``basis`` the exponential average of mid minus oracle (USD, time constant ``basis_s`` of the rule),
    ``seconds`` the time since the last update, ``closed`` 1.0 while there is no reference, ``memory`` scratch floats, zero on Friday.
    """

    mark: float
    basis: float
    seconds: float
    closed: float
    memory: np.ndarray


_KNOWN = (
    "Numba knows arithmetic, math, comparisons and loops over numbers; "
    f"quotes has {', '.join(Quotes._fields)}, and state has {', '.join(State._fields)}"
)
_FLOAT = types.float64
_VECTOR = types.Array(_FLOAT, 1, "C")
_SIGNATURE = _FLOAT(
    types.NamedUniTuple(_FLOAT, len(Quotes._fields), Quotes),
    _FLOAT,
    types.NamedTuple([_FLOAT] * 4 + [_VECTOR], State),
    _VECTOR,
)


@dataclass(frozen=True)
class Mark:
    """A mark rule with its parameters. Build one with :func:`OracleMark`, :func:`Mid`, :func:`Median`, :func:`Blend`, :func:`LocalMedian`,
    :func:`ImpactMedian`, :func:`LastMedian`, :func:`BasisMark` or a :func:`mark_rule`.

    Parameters
    ----------
    code : which rule.
    params : the rule's own parameters.
    basis_s : time constant of the basis average, seconds.
    function : a custom rule's Python function.
    average_s : time constant of the rule's own average of a price, seconds. It starts from the last print before the closure.
    """

    code: int
    params: tuple[float, ...] = ()
    basis_s: float = 150.0
    function: Callable | None = None
    average_s: float = 30.0

    def __post_init__(self) -> None:
        typed(self)
        positive("basis_s", self.basis_s, "the time constant of the basis average in seconds")
        positive("average_s", self.average_s, "the time constant of the rule's own average in seconds")
        if self.code not in range(len(NAMES)):
            raise ValueError(f"code names a rule of perpkit.mark; got {self.code!r}")
        if (self.code == CUSTOM) != (self.function is not None):
            raise ValueError("a custom rule needs its function, and only a custom rule has one; use perpkit.mark_rule")
        object.__setattr__(self, "params", numbers("params", self.params))
        if not all(math.isfinite(p) for p in self.params):
            raise ValueError(f"params of a mark rule are finite numbers; got {self.params!r}")
        if self.function is not None:
            _try_out(self.function, self.params)

    @cached_property
    def pointer(self) -> Callable:
        """The rule as the engine calls it; for built-in rules a stand-in that is never called."""
        return _callable(self.function or _unused)

    def __getstate__(self) -> dict:
        # A rule written in a notebook is not importable elsewhere, so it travels by value.
        state = {k: v for k, v in self.__dict__.items() if k != "pointer"}
        state["function"] = None if self.function is None else cloudpickle.dumps(self.function)
        return state

    def __setstate__(self, state: dict) -> None:
        if state["function"] is not None:
            state["function"] = _function(state["function"])
        self.__dict__.update(state)


@lru_cache(maxsize=256)
def _function(pickled: bytes) -> Callable:
    """A rule that has travelled, the same object each time it arrives: every task of a cluster brings it, and it is compiled once."""
    return pickle.loads(pickled)


def _unused(quotes, oracle, state, params):
    return oracle


@lru_cache(maxsize=256)
def _callable(function: Callable) -> Callable:
    """The compiled form of a rule, one for each function however often it is used."""
    if config.DISABLE_JIT:
        return function
    try:
        # With Python's error model a division by zero inside the rule would be printed, lost, and answered with a mark of 0.
        return numba.cfunc(_SIGNATURE, error_model="numpy")(function)
    except NumbaError as error:
        raise ValueError(f"the mark rule {function.__name__!r} does not compile: it must return a price on every path, and {_KNOWN}") from error


def guarded(values: Sequence[float]) -> np.ndarray:
    """``values`` as an array with nan behind it. A compiled rule checks no index, which would make it half as slow again: one that reaches past
    its parameters or memory where ``_try_out`` did not see it finds no price there, and nothing else to overwrite."""
    return np.concatenate([values, np.full(_GUARD, np.nan)])[: len(values)]


def _try_out(function: Callable, params: tuple[float, ...]) -> None:
    """Raise if the rule, interpreted, fails, or reaches past its parameters or memory, while prices rise and fall, closed and open, for some
    time."""
    given, memory = np.array(params), np.zeros(MEMORY)
    for turn in range(20 * MEMORY):
        oracle = np.float64((1.0, 250.0, 40_000.0)[turn % 3])
        mid = oracle * (1.0, 0.8, 1.25, 1.001, 0.999)[turn % 5]
        quotes = Quotes(0.999 * mid, 1.001 * mid, mid, mid, 0.998 * mid, 1.002 * mid)
        state = State(oracle, mid - oracle, 3.0, float(turn % (2 * MEMORY) < MEMORY), memory)
        try:
            # What is no price is judged where it matters, in the run: arithmetic differs between Python and the compiled rule.
            with np.errstate(all="ignore"), suppress(ArithmeticError, ValueError):
                function(quotes, oracle, state, given)
        except IndexError as error:
            raise ValueError(
                f"the mark rule {function.__name__!r} reaches past what it has: {error}; "
                f"it was given {len(params)} parameters, {params!r}, and has {MEMORY} floats of memory"
            ) from None
        except Exception as error:
            raise ValueError(f"the mark rule {function.__name__!r} fails with {error!r}; {_KNOWN}") from error


def OracleMark() -> Mark:  # noqa: N802 - these read as the names of rules
    """The mark is the oracle (Ostium; Felix metals)."""
    return Mark(ORACLE)


def Mid() -> Mark:  # noqa: N802
    """The mark is the mid price of the book."""
    return Mark(MID)


def Median(basis_s: float = 150.0) -> Mark:  # noqa: N802
    """Median of oracle, oracle plus averaged basis, and the local price (trade.xyz mark price page, 2025-12; Hyperliquid core)."""
    return Mark(MEDIAN, basis_s=basis_s)


def Blend(weight: float) -> Mark:  # noqa: N802
    """``weight`` on the traded price, the rest on the oracle: the analytic family, from oracle only (0) to mid only (1)."""
    share("weight", weight, "the weight of the traded price in the mark")
    return Mark(BLEND, params=(float(weight),))


def LocalMedian(local_s: float = 30.0, basis_s: float = 150.0) -> Mark:  # noqa: N802
    """Median of oracle plus averaged basis, the local price, and the local price averaged over ``local_s`` seconds.

    Hyperliquid where no outside perp exists (robust price indices page, read 2026-10). Nothing in it holds to the oracle itself.
    """
    return Mark(LOCAL_MEDIAN, basis_s=basis_s, average_s=local_s)


def ImpactMedian(clamp: float = 0.005, basis_s: float = 480.0, weight_s: float = 60.0, internal_s: float = 480.0) -> Mark:  # noqa: N802
    """Median of the impact mid, the index plus an average of its clamped basis, and a third that the venue makes itself.

    Lighter, fair price and RWA pricing pages, 2026-04: the basis, impact mid less index, is cut to ``clamp`` of the index before it is averaged
    over ``basis_s``. Open, the third is other exchanges' marks, here the oracle. Closed, it is the last external print with a weight that
    decays with ``weight_s`` (newer page), and for the rest an average of the impact mid over ``internal_s``.
    """
    share("clamp", clamp, "the largest basis that is averaged, as a share of the index")
    positive("weight_s", weight_s, "the time constant of the last print's weight in seconds")
    return Mark(IMPACT_MEDIAN, params=(float(clamp), weight_s / 3600.0), basis_s=basis_s, average_s=internal_s)


def LastMedian(  # noqa: N802
    last_s: float = 1600.0, basis_s: float = 150.0, interval_h: float = 8.0, alone: bool = False
) -> Mark:
    """Median of the index carried to the next funding, the index plus its averaged basis, and the last trade: closed, an average of it.

    Aster, stock perpetuals page (read 2026-10): the average keeps ``exp(-1/1600)`` a second, a half-life of 18.5 minutes. The first of the
    three is ``index (1 + rate x time left)``, with ``interval_h`` from one funding to the next. The basis is a moving average over 5 minutes
    there; here an exponential one of the same mean age, ``basis_s``. With ``alone`` the average of the last trade is the whole mark while
    closed (Binance, support page, 2026-08; constant not published).
    """
    positive("interval_h", interval_h, "the time from one funding to the next in hours")
    return Mark(LAST_MEDIAN, params=(float(interval_h), float(alone)), basis_s=basis_s, average_s=last_s)


def BasisMark(basis_s: float = 15.0) -> Mark:  # noqa: N802
    """Oracle plus averaged basis (Bitget support article, 2025-12: mean basis of 30 s, here an exponential average of the same mean age)."""
    return Mark(BASIS, basis_s=basis_s)


def mark_rule(function: Callable) -> Callable[..., Mark]:
    """Make a mark rule of ``function(quotes, oracle, state, params)``, which returns the target mark in USD.

    ``quotes`` is a :class:`Quotes`, ``oracle`` the published oracle, ``state`` a :class:`State`, ``params`` the numbers given when the rule
    is used. The function is compiled by Numba: arithmetic, ``math``, comparisons and loops. The result is called with the
    parameters and gives a :class:`Mark`::

        @pk.mark_rule
        def cautious(quotes, oracle, state, params):
            return oracle + min(max(quotes.mid - oracle, -params[0]), params[0])

        machine = pk.replace(machine, mark=cautious(5.0))

    Raises
    ------
    ValueError
        When it is no plain function of those four arguments; when it is used, if it fails or reaches past its parameters or memory; when a
        machine with it is run, before anything runs, if it does not compile.
    """
    if not isinstance(function, FunctionType):
        raise ValueError(f"a mark rule is a plain Python function of (quotes, oracle, state, params); got {function!r}")
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    if len(names) != 4:
        raise ValueError(f"a mark rule takes (quotes, oracle, state, params); {function.__name__} takes {names!r}")

    def use(*params: float, basis_s: float = 150.0) -> Mark:
        return Mark(CUSTOM, params=params, basis_s=basis_s, function=function)

    wraps(function)(use)
    del use.__wrapped__  # whose arguments are not those of ``use``
    return use


@compiled
def middle(a: float, b: float, c: float) -> float:
    """Median of three prices."""
    return max(min(a, b), min(max(a, b), c))


@compiled
def median_of_three(oracle: float, basis: float, local: float) -> float:
    """Median of the oracle, the oracle plus its averaged basis, and the local price, USD.

    Moving one input alone cannot carry the result outside the other two.
    """
    return middle(oracle, oracle + basis, local)


@compiled
def target_mark(code, mid, bid, ask, oracle, basis, params) -> float:
    """What a built-in rule says, before clamp and band, USD. Takes plain numbers, not a :class:`Quotes`: this runs at every update of every
    weekend."""
    if code == MEDIAN:
        # The local price is the median of best bid, best ask and last trade; the last trade is the mid.
        return median_of_three(oracle, basis, middle(bid, ask, mid))
    if code == BLEND:
        return params[0] * mid + (1.0 - params[0]) * oracle
    if code == ORACLE:
        return oracle
    return mid


@compiled
def clamped_basis(impact: float, oracle: float, share: float) -> float:
    """Impact mid less oracle, cut to ``share`` of the oracle, USD."""
    return min(max(impact - oracle, -share * oracle), share * oracle)


@compiled
def averaged_mark(code, mid, bid, ask, impact, oracle, basis, average, external, hours, rate, closed, params) -> float:
    """What a built-in rule with an average of its own says, before clamp and band, USD.

    ``impact`` is the impact mid, ``average`` the rule's own average, ``external`` the last external print, ``hours`` the time since the
    close, ``rate`` the last funding rate per hour.
    """
    if code == LOCAL_MEDIAN:
        return middle(oracle + basis, middle(bid, ask, mid), average)
    if code == IMPACT_MEDIAN:
        weight = math.exp(-hours / params[1])
        return middle(impact, oracle + basis, weight * external + (1.0 - weight) * average if closed else oracle)
    if code == LAST_MEDIAN:
        if closed and params[1] > 0.0:
            return average
        left = params[0] - (hours + 1e-9) % params[0]
        return middle(oracle * (1.0 + rate * left), oracle + basis, average if closed else mid)
    return oracle + basis
