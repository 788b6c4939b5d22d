"""How large a fund must be, how likely it is to run dry, and what a last-resort haircut must take."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from perpkit.theory._check import checked, count, finite, not_negative, plain, positive


def newsvendor_fund(law, holding_cost, shortage_cost):
    """Fund F that minimises ``r F + k E[(D - F)+]``: the quantile of the deficit D at ``1 - r / k``, or 0 if r reaches k.

    ``law`` is a frozen ``scipy.stats`` law of the deficit per period (USD), or a 1-d array of deficits; r (``holding_cost``) is per dollar
    held a period, k (``shortage_cost``) per dollar not covered.
    """
    held = positive("holding_cost", holding_cost, "the cost of a dollar held a period")
    missed = positive("shortage_cost", shortage_cost, "the cost of a dollar not covered")
    level = 1.0 - held / missed
    usable = np.clip(level, 0.0, 1.0)
    if hasattr(law, "ppf"):
        quantile = law.ppf(usable)
    else:
        deficits = finite("law", law, "a frozen scipy.stats law or an array of deficits")
        quantile = np.quantile(deficits, usable, method="inverted_cdf")
    return plain(np.where(level <= 0, 0.0, np.maximum(0.0, quantile)))


def ruin_probability(fund, mean_deficit, loading):
    """Chance that a fund ever runs dry under Poisson deficits, exponential with the given mean, against a steady inflow.

    ``e^{-loading fund / ((1 + loading) mean)} / (1 + loading)``; inflow is ``1 + loading`` times the mean outflow. Certain (1) for a
    loading of 0 or less. Fund and mean deficit in the same unit. Cramer and Lundberg; Asmussen and Albrecher, Ruin Probabilities, 2nd ed.
    """
    start = not_negative("fund", fund, "USD")
    mean = positive("mean_deficit", mean_deficit, "USD")
    extra = checked("loading", loading, lambda x: (x >= -1) & np.isfinite(x), "is inflow over mean outflow, less 1; -1 or more")
    positive_part = np.maximum(extra, 0.0)
    return plain(np.exp(-positive_part * start / ((1.0 + positive_part) * mean)) / (1.0 + positive_part))


def adjustment_coefficient(deficits, inflow, chances=None) -> float:
    """Lundberg's R, above 0: ``E[e^{R (D - c)}] = 1`` for the deficit D of a period and an inflow c. The chance that a fund F ever runs dry is
    at most ``e^{-R F}``, whatever the law of D.

    ``deficits`` is a 1-d array of equally likely deficits of a period, or with ``chances`` of as likely as those say (sum 1); unit of the
    inflow. R is infinite if no deficit exceeds the inflow. Lundberg; Asmussen and Albrecher, Ruin Probabilities, 2nd ed., chapter IV.

    Raises
    ------
    ValueError
        If the inflow is no more than the mean deficit: then ruin is certain and there is no R.
    """
    d = not_negative("deficits", deficits, "a period's deficits").ravel()
    p = np.full(d.size, 1.0 / d.size) if chances is None else not_negative("chances", chances, "probabilities, one a deficit").ravel()
    if p.shape != d.shape or not abs(p.sum() - 1.0) < 1e-6:
        raise ValueError(f"chances are one a deficit and sum to 1; got {p.size} for {d.size} deficits, sum {p.sum()!r}")
    c = float(positive("inflow", inflow, "what comes in during a period"))
    mean = float(p @ d)
    if c <= mean:
        raise ValueError(f"inflow of {c!r} is no more than the mean deficit of {mean!r}: ruin is certain; give more")
    if d[p > 0.0].max() <= c:
        return float("inf")

    def excess(r: float) -> float:
        return float(special.logsumexp(r * (d - c), b=p))

    high = 1.0 / c
    while excess(high) < 0.0:
        high *= 2.0
    low = high / 2.0
    while excess(low) > 0.0:
        low /= 2.0
    return float(optimize.brentq(excess, low, high, xtol=1e-15, rtol=1e-12))


def cover(deficits, members: int = 2) -> float:
    """Fund that pays the ``members`` largest of the given stressed deficits, USD; negative ones count as none.

    Source: CPMI-IOSCO, Principles for Financial Market Infrastructures, principle 4.
    """
    owed = finite("deficits", deficits, "USD by member").ravel()
    largest = int(count("members", members, "members to cover", least=1))
    return float(np.sort(np.maximum(owed, 0.0))[::-1][:largest].sum())


class Haircut(NamedTuple):
    """A deficit shared among winners: the level asked of each dollar of capacity, and whether capacity suffices."""

    level: float
    """Share of each winner's capacity."""
    feasible: bool
    """Whether that share is at most 1."""


def haircut_level(deficit, capacities) -> Haircut:
    """Smallest cap on the share anyone loses that still covers the deficit: ``B / sum(c)``, feasible iff at most 1.

    ``capacities`` are what each winner can be made to give (USD), 0 or more; pro rata takes ``level * c``. Source: Thogiti, Beyond Queues
    (2026).
    """
    owed = float(not_negative("deficit", deficit, "USD"))
    total = float(np.sum(not_negative("capacities", capacities, "USD by winner")))
    level = 0.0 if owed == 0 else owed / total if total > 0 else float("inf")
    return Haircut(level, level <= 1.0)


def queue_excess(haircut, top, total):
    """What the first in an ADL queue loses beyond a pro-rata share, USD: ``min(H, w) - H w / U``.

    H (``haircut``) is the amount taken, w (``top``) what the first in line has to lose, U (``total``) what all have; ``H (1 - w / U)``
    while H does not exceed w. Source for the latter: Chitra, arXiv:2512.01112.
    """
    taken = not_negative("haircut", haircut, "USD")
    first = positive("top", top, "USD")
    pool = positive("total", total, "USD")
    checked("total", pool - first, lambda x: x >= 0, "is what all winners have, top included; total - top")
    checked("haircut", pool - taken, lambda x: x >= 0, "must not exceed total; total - haircut")
    return plain(np.minimum(taken, first) - taken * first / pool)
