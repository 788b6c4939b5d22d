"""Expected loss beyond a buffer for any law of the gap, with the exact form where there is one.

By parts, ``E[(1 - m - e^G)+]`` is the integral of ``F(g) e^g`` below ``ln(1 - m)``: only the tail of the law enters, and the weight makes
the long's integral converge for every law. The short's carries ``e^g`` upward and diverges for any law with a power tail.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad

from perpkit.theory._check import checked, finite, not_negative, plain, sign_of
from perpkit.theory.losslaws import lognormal_shortfall, normal_shortfall, t_shortfall

_POWER_TAILS = frozenset({"t", "nct", "cauchy", "skewcauchy", "jf_skew_t", "levy_stable"})
_DECADES = 290  # of tail probability a double can hold


def shortfall(law, margin, side: str = "long", of: str = "log"):
    """``E[(L - m)+]``, the expected loss beyond the buffer as a share of entry notional.

    Parameters
    ----------
    law
        A frozen ``scipy.stats`` distribution, or a 1-d array of gaps (then their own empirical law).
    margin
        Buffer to bankruptcy, share of entry notional (one over leverage); a number or an array.
    side
        ``"long"`` loses ``1 - e^G``, ``"short"`` loses ``e^G - 1``.
    of
        ``"log"``: the law is that of the log gap G. ``"loss"``: it is that of the long's loss L itself (a short's is -L), in
        linear units; Normal and Student-t then have closed forms.

    Raises
    ------
    ValueError
        If the expectation is infinite (a short under a Student-t log gap; a loss without a mean), the quadrature misses a relative
        error of 1e-7, or an argument is out of range.
    """
    sign, buffer = sign_of(side), not_negative("margin", margin, "the buffer to bankruptcy as a share of notional")
    if of not in ("log", "loss"):
        raise ValueError(f'of is "log" or "loss"; got {of!r}')
    if not _is_law(law):
        losses = _losses(law, sign, of)
        return plain(np.maximum(losses - buffer[..., None], 0.0).mean(axis=-1))
    exact = _exact(law, buffer, sign, side, of)
    if exact is not None:
        return exact
    _refuse_infinite(law, sign, of)
    values = [_integral(law, float(m), sign, of) for m in buffer.ravel()]
    return plain(np.array(values).reshape(buffer.shape))


def expected_shortfall(law, level, side: str = "long", of: str = "log"):
    """Mean loss in the worst share ``1 - level`` of closures: the loss quantile plus the shortfall beyond it over ``1 - level``.

    ``level`` is one number; the quantile must be a loss (not negative). Other arguments and errors of :func:`shortfall`.
    """
    mass = float(checked("level", level, lambda x: (x > 0) & (x < 1), "is a confidence level, in (0, 1)"))
    sign = sign_of(side)
    if _is_law(law):
        point = float(law.ppf(1.0 - mass) if (sign > 0) == (of == "log") else law.ppf(mass))
        quantile = (-sign * np.expm1(point)) if of == "log" else sign * point
    else:
        # A loss of the sample itself: between two of them the sum below is no mean.
        quantile = float(np.quantile(_losses(law, sign, of), mass, method="inverted_cdf"))
    if quantile < 0:
        raise ValueError(f"level {mass:g} is a gain, not a loss, under this law; raise the level")
    return plain(quantile + np.asarray(shortfall(law, quantile, side, of)) / (1.0 - mass))


def stale_option(law, fee, of: str = "loss"):
    """``E[(|G| - f)+]``, what informed flow takes, per unit of notional, from a pool that trades at a frozen oracle for a fee.

    The sum of a long's and a short's shortfall at margin ``fee``. The gap is read as linear by default (a law of simple returns, or a log
    law whose curvature is neglected); ``of="log"`` applies ``|e^G - 1|``. An upper bound: the flow is taken to know the whole gap.
    """
    return plain(np.asarray(shortfall(law, fee, "long", of)) + np.asarray(shortfall(law, fee, "short", of)))


def _is_law(law) -> bool:
    """Whether this is one frozen law, rather than a sample."""
    if not all(hasattr(law, method) for method in ("cdf", "sf", "ppf", "isf", "support")):
        return False
    if np.ndim(law.ppf(0.5)) != 0:
        raise ValueError("law has an array of parameters; give one law at a time")
    return True


def _losses(sample, sign: int, of: str) -> np.ndarray:
    gaps = finite("law", sample, "a frozen scipy.stats law or an array of gaps")
    if gaps.ndim != 1:
        raise ValueError(f"law as a sample is a 1-d array of gaps; got shape {gaps.shape}")
    return -sign * np.expm1(gaps) if of == "log" else sign * gaps


def _exact(law, buffer, sign: int, side: str, of: str):
    """The closed form for a plain Normal or Student-t law, or None."""
    name = _name(law)
    if name == "norm":
        loc, scale = law.mean(), law.std()
        return lognormal_shortfall(buffer, loc, scale, side) if of == "log" else normal_shortfall(buffer, sign * loc, scale)
    if name == "t" and of == "loss":
        df, loc, scale = (lambda df, loc=0.0, scale=1.0: (df, loc, scale))(*law.args, **law.kwds)
        return t_shortfall(buffer, df, sign * loc, scale)
    return None


def _name(law) -> str:
    return getattr(getattr(law, "dist", None), "name", "")


def _refuse_infinite(law, sign: int, of: str) -> None:
    """Raise if the tail is too heavy for the weight it meets; judged on the last decades of the tail that are representable."""
    if sign > 0 and of == "log":
        return
    name = _name(law)
    if of == "log" and name in _POWER_TAILS:
        raise ValueError(
            f"a short under a {name} log gap has an infinite expected loss, E[e^G] = inf: use a bounded, tempered or double-exponential law, "
            'or a law of simple returns with of="loss"'
        )
    levels = np.array([1e-6, 1e-9, 1e-12, 1e-50, 1e-100, 1e-200, 1e-290])
    # A long's loss and a short's log gap hurt upward, a short's loss downward.
    reach = np.abs(law.isf(levels) if of == "log" or sign > 0 else law.ppf(levels))
    seen = np.concatenate(([True], np.diff(reach) > 1e-9 * reach[1:])) & np.isfinite(reach) & (reach > 0)
    if seen.sum() < 2:
        return
    at = reach[seen] if of == "log" else np.log(reach[seen])
    decay = -np.diff(np.log(levels[seen])) / np.diff(at)
    if np.isinf(reach).any() or decay[-1] <= 1.0:
        raise ValueError(f"the expected loss is infinite: the tail of this law falls too slowly (rate {decay[-1]:.3g}, must exceed 1)")


def _integral(law, margin: float, sign: int, of: str) -> float:
    if of == "log" and sign > 0 and margin >= 1:
        return 0.0
    edge = np.log1p(-sign * margin) if of == "log" else sign * margin
    down = (sign > 0) == (of == "log")  # the side of the edge where the loss exceeds the buffer
    tail, point = (law.cdf, law.ppf) if down else (law.sf, law.isf)
    beyond = float(tail(edge))
    if beyond == 0:
        return 0.0

    def weighted(g: float) -> float:
        chance = tail(g)
        return chance * np.exp(g) if of == "log" and chance > 0 else chance

    # One panel a decade of tail probability, so that neither a thin nor a long tail hides between the nodes. Panels end up shrinking by a
    # steady factor; what lies beyond the last is that geometric sum, kept as error.
    start, last, value, error = edge, None, 0.0, 0.0
    for decade in range(1, _DECADES):
        end = float(point(beyond * 10.0**-decade))
        if not (np.isfinite(end) and (end < start if down else end > start)):
            end = law.support()[0 if down else 1]
            decade = _DECADES
        # full_output keeps quad from warning: its error estimate is judged below instead.
        part, slip = quad(weighted, min(start, end), max(start, end), epsabs=1e-18, epsrel=1e-11, limit=200, full_output=1)[:2]
        value, error = value + part, error + slip
        if decade == _DECADES or part == 0:
            break
        rest = np.inf if last is None or part >= last else part * part / (last - part)
        if rest <= 1e-10 * value:
            error += rest
            break
        start, last = end, part
    else:
        error = np.inf
    if not error <= 1e-7 * value + 1e-16:
        raise ValueError(f"the quadrature of this law did not settle: {value:.6g} with error {error:.2g}; give a smoother law or a sample of gaps")
    return float(value)
