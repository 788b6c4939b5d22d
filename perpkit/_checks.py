"""Checks shared by the parameter classes: bad input is named where it is made."""

from __future__ import annotations


def positive(name: str, value: float, what: str) -> None:
    """Raise unless ``value`` is a finite number above zero."""
    if not 0.0 < value < float("inf"):
        raise ValueError(f"{name} is {what}, a finite number above 0; got {value!r}")


def not_negative(name: str, value: float, what: str) -> None:
    """Raise unless ``value`` is a finite number of 0 or more."""
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{name} is {what}, a finite number of 0 or more; got {value!r}")


def share(name: str, value: float, what: str) -> None:
    """Raise unless ``value`` lies in [0, 1]."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is {what}, from 0 to 1; got {value!r}")
