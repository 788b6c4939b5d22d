"""Maximum likelihood for the laws of the gap, on gaps in units of their own spread.

scipy's general search stops early on gaps of half a percent, and three of these likelihoods have ridges, so each is climbed here from several
starts and the best climb finished with a finer gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from scipy import optimize, special, stats

from perpkit import families
from perpkit._splice import Tail

FAMILIES = {
    "t": stats.t,
    "normal": stats.norm,
    "skew-t": families.skew_t,
    "laplace": stats.laplace_asymmetric,
    "kou": families.kou,
    "tempered-t": families.tempered_t,
}
"""The scipy family of each law's name."""

# Beyond this no sample here tells a t from a Normal, and the likelihood has no maximum to find.
MOST_FREEDOM = 200.0
_FEWEST = 10
_REGULAR = -0.5  # below it a generalised Pareto's likelihood has no regular maximum (Smith 1985)


def fit_family(law: str, gaps: np.ndarray, name: str) -> stats.distributions.rv_frozen:
    """The family of ``law`` frozen at its maximum likelihood; ``name`` is for messages. Errors of ``gaps.fit``."""
    centre, spread = float(np.median(gaps)), float(np.std(gaps))
    if not spread > 0.0:
        raise ValueError(f"{name} has no gaps that differ ({len(gaps)} in all); widen the choice")
    *shapes, loc, scale = _FIT[law]((gaps - centre) / spread, spread, f"the {len(gaps)} gaps of {name}")
    return FAMILIES[law](*map(float, shapes), loc=float(centre + spread * loc), scale=float(spread * scale))


def fit_tail(excess: np.ndarray, threshold: float, name: str) -> Tail:
    """Generalised Pareto tail of ``excess`` > 0 over ``threshold``, by the likelihood's profile in shape / scale (Grimshaw 1993)."""
    if len(excess) < _FEWEST:
        raise ValueError(f"{name} has {len(excess)} gaps beyond its threshold, and a tail needs {_FEWEST}; raise tail, or widen the choice")
    y = excess / excess.mean()

    def shape(u: float) -> float:
        return float(np.log1p(np.expm1(u) / y.max() * y).mean())

    def loss(u: float) -> float:
        # u = 0 is the exponential tail, where both shape and theta are 0 and their ratio is the mean.
        theta = np.expm1(u) / y.max()
        return (np.log(shape(u) / theta) if abs(u) > 1e-9 else 0.0) + shape(u)

    tries = np.linspace(-4.0, 20.0, 481)
    best = int(np.argmin([loss(u) for u in tries]))
    if best in (0, len(tries) - 1) or shape(tries[best]) < _REGULAR:
        raise ValueError(f"{name} has a tail that ends: no regular generalised Pareto fits it best; change tail, or take law='kou'")
    u = float(optimize.minimize_scalar(loss, bounds=(tries[best - 1], tries[best + 1]), method="bounded", options={"xatol": 1e-10}).x)
    scale = shape(u) / (np.expm1(u) / y.max()) if abs(u) > 1e-9 else 1.0
    return Tail(float(threshold), shape(u), float(scale * excess.mean()))


def _t(z: np.ndarray, spread: float, who: str) -> tuple[float, ...]:
    df, loc, scale = stats.t.fit(z)
    if df > MOST_FREEDOM:
        raise ValueError(f"{who} prefer ever more degrees of freedom: no t fits better than law='normal'")
    return df, loc, scale


def _normal(z: np.ndarray, spread: float, who: str) -> tuple[float, ...]:
    return stats.norm.fit(z)


def _laplace(z: np.ndarray, spread: float, who: str) -> tuple[float, ...]:
    """In closed form but for the centre, which is one of the gaps: between two of them the likelihood is convex in it.

    With A and B the mean excess above and below the centre, kappa^4 = B / A and the scale is (A B)^(1/4) (sqrt A + sqrt B).
    """
    ordered = np.sort(z)
    counts, sums = np.arange(1, len(z) + 1), np.cumsum(ordered)
    below = (counts * ordered - sums) / len(z)
    above = below + ordered.mean() - ordered
    k = int(np.argmin(np.sqrt(np.maximum(above, 0.0)) + np.sqrt(below)))
    if k in (0, len(z) - 1):
        raise ValueError(f"{who} lie on one side of their Laplace centre: law='laplace' has no maximum; take another")
    a, b = above[k], below[k]
    return (b / a) ** 0.25, ordered[k], (a * b) ** 0.25 * (np.sqrt(a) + np.sqrt(b))


def _skew_t(z: np.ndarray, spread: float, who: str) -> tuple[float, ...]:
    def density(x):
        return families.skew_t_logpdf((z - x[2]) / np.exp(x[3]), np.exp(x[0]), np.exp(x[1])) - x[3]

    most = np.log(MOST_FREEDOM / 2.0)
    starts = [(a, b, 0.0, -0.5) for a, b in product((0.0, 1.0), repeat=2)]
    x = _climb(density, starts, [(-3.0, most), (-3.0, most), (-2.0, 2.0), (-4.0, 2.0)])
    if max(x[:2]) > most - 1e-3:
        raise ValueError(f"{who} prefer ever more degrees of freedom: no skew-t fits better than law='normal'")
    return np.exp(x[0]), np.exp(x[1]), x[2], np.exp(x[3])


def _tempered_t(z: np.ndarray, spread: float, who: str) -> tuple[float, ...]:
    # The tempering per unit of gap, not of scale, is what the far tail sees: free of the scale it is less of a ridge.
    def density(x):
        return families.tempered_t_logpdf((z - x[1]) / np.exp(x[2]), np.exp(x[0]), x[3] * np.exp(x[2])) - x[2]

    starts = list(product((0.2, 1.2), (0.0,), (-0.6,), (0.1, 0.5)))
    x = _climb(density, starts, [(-1.5, np.log(MOST_FREEDOM)), (-2.0, 2.0), (-4.0, 2.0), (0.0, 10.0)])
    if x[0] > np.log(MOST_FREEDOM) - 1e-3:
        raise ValueError(f"{who} prefer ever more degrees of freedom: no tempered t fits better than law='normal'")
    if x[3] <= spread:
        raise ValueError(
            f"{who} want a tempering of {x[3] / spread:.3g} per unit of log gap, and E[exp(gap)] is finite only above 1: no better than law='t'; "
            "for shorts take law='kou', law='gpd', or a t with a stated cap"
        )
    return np.exp(x[0]), x[3] * np.exp(x[2]), x[1], np.exp(x[2])


def _kou(z: np.ndarray, spread: float, who: str) -> tuple[float, ...]:
    def density(x):
        scale = np.exp(x[5])
        shapes = special.expit(x[0]), special.expit(x[1]), np.exp(x[2] - x[5]), np.exp(x[3] - x[5])
        return families.kou_logpdf((z - x[4]) / scale, *shapes) - x[5]

    # The likelihood is infinite at a Normal of no width on one of the gaps; widths below a twentieth of the spread are out of bounds.
    bounds = [(-7.0, 7.0), (-7.0, 7.0), (-3.0, 2.0), (-3.0, 2.0), (-2.0, 2.0), (-3.0, 1.0)]
    starts = [(chance, 0.0, size, size, 0.0, -0.8) for chance, size in product((-2.0, 0.0), (-0.3, 0.5))]
    x = _climb(density, starts, bounds)
    if any(x[k] < low + 1e-3 or x[k] > high - 1e-3 for k, (low, high) in enumerate(bounds)):
        raise ValueError(f"{who} have no best jump law: the climb ends at {special.expit(x[0]):.3g} for chance and {np.exp(x[5]):.3g} sd for scale; take another law")
    return special.expit(x[0]), special.expit(x[1]), np.exp(x[2] - x[5]), np.exp(x[3] - x[5]), x[4], np.exp(x[5])


_FIT = {"t": _t, "normal": _normal, "skew-t": _skew_t, "laplace": _laplace, "kou": _kou, "tempered-t": _tempered_t}


def _climb(density: Callable[[np.ndarray], np.ndarray], starts: list, bounds: list) -> np.ndarray:
    """The best of the bounded climbs from ``starts``."""

    def loss(x: np.ndarray) -> float:
        return -float(density(x).mean())

    climbs = [optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    best = min(climbs, key=lambda climb: climb.fun)
    fine = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 500}
    return optimize.minimize(loss, best.x, method="L-BFGS-B", jac="3-point", bounds=bounds, options=fine).x
