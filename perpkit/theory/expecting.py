"""What news still to come does to the price of news already there, under funding with clamp and dead zone.

The setting of ``clamped``, with more news on the way: v is a martingale with independent Gaussian-like steps. Price less oracle is a function
``G(w, u)`` of the news not yet in the oracle and the hours left, and zero profit over dt is

``G(w, u + dt) = soft(G) / tau dt - F(G) dt + E[G(w - soft(G) / tau dt + dv, u)]``, ``G(w, 0) = w``,

solved backward as it stands, each step a fair coin of news. Where laws are linear G is R w and the variance drops out; where they have flat
parts the price averages over them, and what comes back is close to the linear R whenever the news to come is large against the clamp
and the dead zone. Derived for this project.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from perpkit.theory._check import checked, not_negative
from perpkit.theory.clamped import check_laws


class ExpectedPrice(NamedTuple):
    """A price that expects more news."""

    ratio: float
    """Share of the news carried at the start: price, less the price without news, over news."""
    hours: np.ndarray
    """Hours since the close, in order."""
    unpriced: np.ndarray
    """News not yet in the oracle, log units, in order."""
    gap: np.ndarray
    """Log price less log oracle, by hours and unpriced news."""


def pass_through_expecting(
    news,
    later,
    kappa,
    tau,
    hours,
    clamp=0.0,
    dead_zone=0.0,
    interest=0.0,
    premium: str = "impact-mid",
    cap=np.inf,
    steps: int = 2_000,
    points: int = 301,
) -> ExpectedPrice:
    """Equilibrium price of news known at the close when more is expected, evenly through the closure.

    Other arguments and errors of :func:`pass_through_clamped`, which is the limit ``later`` = 0; numbers only. The error is of first order in
    the step over tau: about 3e-4 in R for 24 h at tau = 1 h and the default 2,000 steps.

    Parameters
    ----------
    later
        Standard deviation of the news still to come over the whole closure, log units.
    steps
        Time steps; at least twenty for each tau.
    points
        Points of the returned grid of unpriced news, odd, 51 or more.
    """
    spread = float(not_negative("later", later, "the standard deviation of news still to come"))
    laws, move, grid = check_laws(news, kappa, tau, hours, clamp, dead_zone, interest, premium, cap, steps + 1)
    checked("steps", steps, lambda n: n * laws.tau >= 20.0 * grid[-1], f"must give each tau twenty: {20.0 * grid[-1] / laws.tau:.0f} or more")
    count = int(checked("points", points, lambda n: (n >= 51) & (n % 2 == 1), "is an odd number of grid points from 51"))
    # Fine where the laws have corners, coarse where they are straight; five deviations beyond the news.
    edge = 2.0 * abs(move) + 5.0 * spread + 10.0 * float(np.abs(laws.corners).max(initial=0.0))
    fine = np.geomspace(edge * 4e-4, edge, count // 2)
    unpriced = np.concatenate([-fine[::-1], [0.0], fine])
    step = grid[1]
    coin = spread * np.sqrt(step / grid[-1])
    gaps = np.empty((grid.size, count))
    gaps[-1] = unpriced
    for time in range(grid.size - 2, -1, -1):
        now = gaps[time + 1]
        moved = laws.speed(now) * step
        ahead = CubicSpline(unpriced, now)
        gaps[time] = moved - laws.funding(now) * step + 0.5 * (ahead(unpriced - moved + coin) + ahead(unpriced - moved - coin))
    opening, quiet = CubicSpline(unpriced, gaps[0])([move, 0.0])
    return ExpectedPrice(float((opening - quiet) / move), grid, unpriced, gaps)
