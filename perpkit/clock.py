"""Clock: the hours without a reference print, and the minutes after the first one.

The engine steps once a minute while the reference is closed and once per mark update after it reopens. A closed minute in which
orders were forced is followed by a minute stepped at the update cadence, because a cascade lives at that cadence.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from perpkit._checks import positive, typed
from perpkit.value import Value


@dataclass(frozen=True)
class Closure:
    """One closure of the reference and the reopening after it.

    Parameters
    ----------
    hours : length of the closure, hours (48 for a 24/5 feed's weekend, 65.5 for cash hours).
    closed_step_s : step while closed, seconds; must divide the hour and be a multiple of ``update_s``.
    update_s : cadence of oracle and mark, seconds (3 s: Hyperliquid robust price indices page, read 2026-10); the step after reopening.
    reopen_minutes : length of the reopening window, minutes.
    value : how the stock's value moves in the meantime.

    Raises
    ------
    ValueError
        If a duration is not positive, or steps do not fit into each other, the hour or the closure.
    """

    hours: float = 48.0
    closed_step_s: float = 60.0
    update_s: float = 3.0
    reopen_minutes: float = 15.0
    value: Value = field(default_factory=Value)

    def __post_init__(self) -> None:
        typed(self)
        for name in ("hours", "closed_step_s", "update_s", "reopen_minutes"):
            positive(name, getattr(self, name), "a duration")
            object.__setattr__(self, name, float(getattr(self, name)))  # 48 and 48.0 are one closure, also to a digest
        _whole("closed_step_s", self.closed_step_s, "update_s", self.update_s)
        _whole("one hour", 3600.0, "closed_step_s", self.closed_step_s)
        _whole("hours (in seconds)", self.hours * 3600.0, "closed_step_s", self.closed_step_s)
        _whole("reopen_minutes (in seconds)", self.reopen_minutes * 60.0, "update_s", self.update_s)
        if self.value.news_hours and max(self.value.news_hours) > self.hours:
            raise ValueError(f"news at {max(self.value.news_hours)!r} h falls after a closure of {self.hours!r} h; give earlier news_hours")

    def of(self, gaps: np.ndarray) -> Closure:
        """This closure with news and noise of a stock whose log gaps these are: their standard deviation is the value's."""
        return replace(self, value=replace(self.value, sd=float(np.std(gaps, ddof=1))))

    @property
    def closed_steps(self) -> int:
        """Steps while the reference is closed."""
        return round(self.hours * 3600.0 / self.closed_step_s)

    @property
    def open_steps(self) -> int:
        """Steps after it reopens."""
        return round(self.reopen_minutes * 60.0 / self.update_s)

    @property
    def updates(self) -> int:
        """Mark updates in one closed step."""
        return round(self.closed_step_s / self.update_s)

    @property
    def times(self) -> np.ndarray:
        """Hours since the close at the end of each step, shape (closed_steps + open_steps,)."""
        closed = np.arange(1, self.closed_steps + 1) * (self.closed_step_s / 3600.0)
        opened = self.hours + np.arange(1, self.open_steps + 1) * (self.update_s / 3600.0)
        return np.concatenate([closed, opened])


def _whole(outer: str, long: float, inner: str, short: float) -> None:
    count = long / short
    if abs(count - round(count)) > 1e-9 or round(count) < 1:
        raise ValueError(f"{outer} of {long!r} s is not a whole number of {inner} of {short!r} s; choose {inner} so that it is")
