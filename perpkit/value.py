"""Value: what the stock is worth while nobody prints it.

Over a closure the log value moves by the gap g, exactly. One part arrives as news, the rest as a Brownian bridge, so that runs can be
stratified on the gap and two venues can be given the same weekend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perpkit._checks import not_negative, numbers, positive, share, typed, whole
from perpkit._compile import compiled


@dataclass(frozen=True)
class Value:
    """How the gap arrives.

    Parameters
    ----------
    news_share : share of the gap's variance that arrives as news, 0 to 1. The news total given the gap g is drawn from the law it
        would have if both parts were Normal: mean ``share * g``, variance ``share * (1 - share) * sd**2``.
    news_count : number of news items, of equal size, at independent uniform times.
    news_hours : fixed times of the items in hours after the close; replaces ``news_count`` when given.
    sd : standard deviation of the log gap (0.0244 is TSLA's weekend gap 2010 to 2026, ``data/closures.csv``).
    open_vol : volatility of the log value after reopening, per square root of an hour; 0 holds it at the first print.

    Raises
    ------
    ValueError
        If a share lies outside [0, 1], ``sd`` is not positive, ``open_vol`` is negative, or there is no news item to carry the share.
    """

    news_share: float = 0.5
    news_count: int = 1
    news_hours: tuple[float, ...] = ()
    sd: float = 0.0244
    open_vol: float = 0.0

    def __post_init__(self) -> None:
        typed(self)
        share("news_share", self.news_share, "the news' share of the gap's variance")
        positive("sd", self.sd, "the standard deviation of the log gap")
        not_negative("open_vol", self.open_vol, "a volatility per square root of an hour")
        whole("news_count", self.news_count, "a number of news items")
        object.__setattr__(self, "news_hours", numbers("news_hours", self.news_hours))
        if any(not 0.0 <= h < math.inf for h in self.news_hours):
            raise ValueError(f"news_hours are hours after the close, 0 or more; got {self.news_hours!r}")

    @property
    def items(self) -> int:
        """News items in a closure."""
        return len(self.news_hours) or int(self.news_count)


def news_steps(value: Value, uniform: np.ndarray, hours: float, steps: int) -> np.ndarray:
    """Step in which each item arrives, sorted: int64, shape (paths, items); ``uniform`` has the same shape, in [0, 1)."""
    if value.news_hours:
        at = np.broadcast_to(np.asarray(value.news_hours) / hours, uniform.shape)
    else:
        at = uniform
    return np.sort(np.minimum((at * steps).astype(np.int64), steps - 1), axis=1)


def news_total(value: Value, gap: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Part of each log gap that arrives as news, shape of ``gap``; ``normal`` holds standard normals."""
    s = value.news_share
    return s * gap + math.sqrt(s * (1.0 - s)) * value.sd * normal


def bridge(value: Value, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (pull, noise) of ``v += pull * (target - v) + noise * z``, each of shape (steps,); the last step lands on the target."""
    left = np.arange(steps, 0, -1, dtype=float)
    step_sd = value.sd * math.sqrt((1.0 - value.news_share) / steps)
    return 1.0 / left, step_sd * np.sqrt((left - 1.0) / left)


@compiled
def value_path(target, news, news_at, pull, bridge_noise, open_noise, normals, out) -> None:
    """Log value at the end of each step into ``out``, shape (steps,); ``target`` is the gap less the ``news`` total, ``normals`` has shape
    (steps, 2)."""
    smooth, jumps, k = 0.0, 0.0, 0
    closed = len(pull)
    for s in range(closed):
        # Written so that one step waits for one product and one sum of the last, which is what this loop's time is.
        smooth = (1.0 - pull[s]) * smooth + (pull[s] * target + bridge_noise[s] * normals[s, 0])
        while k < len(news_at) and news_at[k] == s:
            jumps += news / len(news_at)
            k += 1
        out[s] = smooth + jumps
    v = smooth + jumps
    for s in range(closed, len(out)):
        v += open_noise * normals[s, 0]
        out[s] = v
