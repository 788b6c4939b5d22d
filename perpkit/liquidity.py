"""Liquidity: what a closed book shows, by the hours left until the reference prints again.

A book whose depth, spread and refill stay what they were on Friday needs none of this. ``makers.py`` makes one from the risk of those who
quote.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perpkit._checks import numbers


@dataclass(frozen=True)
class Liquidity:
    """Depth, half spread and refill of a closed book at given hours to the reopening; a straight line in between, flat beyond both ends.

    Parameters
    ----------
    hours_left : hours until the reference prints, rising from 0 or more, shape (n,).
    depth : USD of notional that moves the price by one log unit, above 0, shape (n,).
    half_spread : half the quoted spread, log units, shape (n,).
    refill : decay rate of impact, per hour, shape (n,).

    Raises
    ------
    ValueError
        If there is no row, lengths differ, hours do not rise, or a number is out of range.
    """

    hours_left: tuple[float, ...]
    depth: tuple[float, ...]
    half_spread: tuple[float, ...]
    refill: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("hours_left", "depth", "half_spread", "refill"):
            row = numbers(name, getattr(self, name))
            object.__setattr__(self, name, row)
            if not row or len(row) != len(self.hours_left):
                lengths = f"{name} has {len(row)}, hours_left {len(self.hours_left)}"
                raise ValueError(f"hours_left, depth, half_spread and refill have one length, 1 or more; {lengths}")
            low = 0.0 if name != "depth" else np.nextafter(0.0, 1.0)
            bad = [x for x in row if not low <= x < np.inf]
            if bad:
                raise ValueError(f"{name} holds finite numbers {'above 0' if name == 'depth' else 'of 0 or more'}; got {bad[0]!r}")
        if np.any(np.diff(self.hours_left) <= 0.0):
            raise ValueError(f"hours_left must rise from entry to entry; got {self.hours_left!r}")

    def at(self, hours_left):
        """Depth, half spread and refill ``hours_left`` hours before the reopening, each of the shape of ``hours_left``."""
        return tuple(np.interp(hours_left, self.hours_left, row) for row in (self.depth, self.half_spread, self.refill))


def clock_hours(hours: float) -> np.ndarray:
    """Hours left in the middle of each clock hour of a closure of ``hours``, shape (ceil(hours),); the last hour may be a part of one.

    Makers requote on the hour: within one, a closed book is the same.
    """
    start = np.arange(np.ceil(hours - 1e-9))
    return hours - 0.5 * (start + np.minimum(start + 1.0, hours))
