"""Argument checks shared by the closed forms. Each returns the value as a float array, or says what was wrong and what is allowed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def checked(name: str, value, ok: Callable[[np.ndarray], np.ndarray], rule: str) -> np.ndarray:
    """``value`` as a float array if every entry passes ``ok`` (NaN never does).

    Raises
    ------
    ValueError
        Naming the argument, the first offending entry and the rule.
    """
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} {rule}; got {value!r}") from None
    if array.size == 0:
        raise ValueError(f"{name} {rule}; got nothing")
    wrong = ~(ok(array) & ~np.isnan(array))
    if wrong.any():
        raise ValueError(f"{name} {rule}; got {float(array[wrong].flat[0])!r}")
    return array


def finite(name: str, value, what: str) -> np.ndarray:
    """Any finite number."""
    return checked(name, value, np.isfinite, f"is {what}, a finite number")


def positive(name: str, value, what: str) -> np.ndarray:
    """Finite and above zero."""
    return checked(name, value, lambda x: (x > 0) & np.isfinite(x), f"is {what}, above 0")


def not_negative(name: str, value, what: str) -> np.ndarray:
    """Finite, zero or more."""
    return checked(name, value, lambda x: (x >= 0) & np.isfinite(x), f"is {what}, 0 or more")


def inside(name: str, value, what: str) -> np.ndarray:
    """Strictly between 0 and 1."""
    return checked(name, value, lambda x: (x > 0) & (x < 1), f"is {what}, in (0, 1)")


def count(name: str, value, what: str, least: int = 0) -> np.ndarray:
    """A whole number, ``least`` or more."""
    return checked(name, value, lambda x: (x >= least) & (x == np.floor(x)) & np.isfinite(x), f"is {what}, a whole number from {least}")


def memory(name: str, value) -> np.ndarray:
    """A time constant in hours, infinite for an oracle that does not move."""
    return checked(name, value, lambda x: x > 0, "is the oracle's time constant in hours, above 0 (inf for a frozen oracle)")


def sign_of(side: str) -> int:
    """1 for ``"long"``, -1 for ``"short"``."""
    if side == "long":
        return 1
    if side == "short":
        return -1
    raise ValueError(f'side is "long" or "short"; got {side!r}')


def plain(value):
    """A Python float for a single number, the array otherwise: pages print and store plain floats."""
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array
