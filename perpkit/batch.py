"""Batch: when a venue looks at margins, and how many accounts it can close at a time.

A verifiable order book matches and liquidates in batches that are proved later: a check may have to wait for the next batch, a batch holds so
many liquidations, and while the sequencer stands still nothing is processed. With no interval, cap or halt it is the plain book, bit for
bit. Prices go on in the meantime: they stand for what the book will show when the batch is matched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from perpkit._checks import is_whole, not_negative, numbers, typed
from perpkit._compile import compiled


@dataclass(frozen=True)
class Batch:
    """Cadence of liquidations.

    Parameters
    ----------
    interval_s : seconds from one batch to the next, counted from the close; 0 is every update.
    cap : most accounts liquidated in one batch, both sides together, longs first and nearest to bankruptcy first; infinity for no cap.
    halt : hours since the close from which and until which nothing is liquidated, or None.

    The pass at the end of the window, which closes what is under water, waits for nobody.
    """

    interval_s: float = 0.0
    cap: float = math.inf
    halt: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        typed(self)
        not_negative("interval_s", self.interval_s, "the time between batches in seconds")
        if not (self.cap == math.inf or is_whole(self.cap) and self.cap >= 1.0):
            raise ValueError(f"cap counts accounts, a whole number of 1 or more (infinity for no cap); got {self.cap!r}")
        if self.halt is not None:
            times = numbers("halt", self.halt)
            if len(times) != 2 or not 0.0 <= times[0] <= times[1] < math.inf:
                raise ValueError(f"halt is two times in hours since the close, the earlier first, or None; got {self.halt!r}")
            object.__setattr__(self, "halt", times)


@compiled
def batch_ends(hours: float, length: float, interval: float, halt_from: float, halt_to: float) -> bool:
    """Whether a batch ends in the ``length`` hours up to ``hours``, and the sequencer is running. All hours since the close."""
    if halt_from - 1e-9 <= hours < halt_to - 1e-9:
        return False
    return interval <= 0.0 or math.floor(hours / interval + 1e-6) > math.floor((hours - length) / interval + 1e-6)
