"""Checks shared by parameter classes and functions: bad input is named where it is made."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from numbers import Real
from types import NoneType, UnionType
from typing import get_args, get_type_hints

import numpy as np

_WORDS = {float: "a number", int: "a whole number", bool: "True or False", str: "a word", NoneType: "None"}


def is_number(value) -> bool:
    """Whether ``value`` is one real number; True and False are none."""
    if getattr(value, "ndim", None) == 0:
        return value.dtype.kind in "iuf"
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value) -> bool:
    """Whether ``value`` is one whole number, 5 or 5.0."""
    return is_number(value) and float(value).is_integer()


def positive(name: str, value: float, what: str) -> None:
    """Raise unless ``value`` is a finite number above zero."""
    if not (is_number(value) and 0.0 < value < float("inf")):
        raise ValueError(f"{name} is {what}, a finite number above 0; got {value!r}")


def not_negative(name: str, value: float, what: str) -> None:
    """Raise unless ``value`` is a finite number of 0 or more."""
    if not (is_number(value) and 0.0 <= value < float("inf")):
        raise ValueError(f"{name} is {what}, a finite number of 0 or more; got {value!r}")


def share(name: str, value: float, what: str) -> None:
    """Raise unless ``value`` lies in [0, 1]."""
    if not (is_number(value) and 0.0 <= value <= 1.0):
        raise ValueError(f"{name} is {what}, from 0 to 1; got {value!r}")


def between(name: str, value: float, what: str) -> None:
    """Raise unless ``value`` lies in (0, 1)."""
    if not (is_number(value) and 0.0 < value < 1.0):
        raise ValueError(f"{name} is {what} between 0 and 1; got {value!r}")


def whole(name: str, value: float, what: str, least: int = 1) -> int:
    """``value`` if it is a whole number of ``least`` or more."""
    if not (is_whole(value) and value >= least):
        raise ValueError(f"{name} is {what}, a whole number of {least} or more; got {value!r}")
    return int(value)


def numbers(name: str, values) -> tuple[float, ...]:
    """One number or several, as a tuple."""
    row = tuple(values) if np.iterable(values) else (values,)
    if not all(map(is_number, row)):
        raise ValueError(f"{name} is a number or a list of numbers; got {values!r}")
    return tuple(map(float, row))


def as_seed(rng: int | np.random.Generator) -> int:
    """A whole-number seed from a seed or a generator."""
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63))
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return int(rng)
    raise ValueError(f"rng is a seed of 0 or more, or a numpy Generator; got {rng!r}")


def generator(rng: int | np.random.Generator) -> np.random.Generator:
    """The generator, or a new one from a seed."""
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(as_seed(rng))


def needs_generator(rng: np.random.Generator) -> None:
    """Raise unless ``rng`` is a generator."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is a numpy.random.Generator, from numpy.random.default_rng(seed); got {rng!r}")


@lru_cache(maxsize=None)
def _kinds(of: type) -> dict[str, tuple]:
    hints = get_type_hints(of)
    return {f.name: get_args(hints[f.name]) if isinstance(hints[f.name], UnionType) else (hints[f.name],) for f in fields(of)}


def _is(value, kind) -> bool:
    if kind is float or kind is int:
        return is_number(value)
    if kind is bool:
        return isinstance(value, (bool, np.bool_))
    return isinstance(value, kind) if isinstance(kind, type) else True


def _named(kind: type) -> str:
    return f"a perpkit {kind.__name__}" if kind.__module__.startswith("perpkit") else f"a {kind.__name__}"


def typed(thing) -> None:
    """Raise unless each field of a frozen parameter class is of the kind it is annotated with, so that later checks may compare. A container
    is left to those."""
    for name, kinds in _kinds(type(thing)).items():
        value = getattr(thing, name)
        if not any(_is(value, kind) for kind in kinds):
            wanted = " or ".join(_WORDS.get(kind) or _named(kind) for kind in kinds)
            called = getattr(value, "__name__", "")
            hint = f"; call it: {name}={called}(...)" if callable(value) and called.isidentifier() else ""
            raise ValueError(f"{name} is {wanted}; got {value!r}{hint}")
