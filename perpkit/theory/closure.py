"""How much news a perpetual can carry while its reference is closed.

The reference closes at 0 and prints ``V_T`` at T. Until then funding ``kappa (f - O)`` is charged against an oracle that follows the
perpetual's own price, ``dO = (f - O) / tau dt``. With no other frictions the price is ``f = O + R (v - O)``, v the best forecast of
``V_T``, and R solves ``R' = (1/tau - kappa) R - R^2 / tau`` in the hours left, from R = 1. Derived for this project; assumes linear
funding (no clamp, no dead zone), risk neutrality and no limit on inventory. ``clamped`` drops the first assumption.

The equation is linear in ``Z = 1/R - 1``: ``Z' = a Z + kappa`` with ``a = kappa - 1/tau``, so
``Z(u) = int_0^u kappa(s) e^{int_s^u a} ds``, s and u in hours left. Rules that change on the way therefore compose exactly, and
below the critical line what funding is charged late in the closure is forgotten at the rate ``1/tau - kappa``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import exprel

from perpkit.theory._check import checked, count, finite, memory, not_negative, plain, positive


def pass_through(kappa, tau, hours):
    """Share R of the news a closed-window perpetual carries with ``hours`` to go.

    ``R = 1 / (1 + (kappa / a)(e^{a T} - 1))`` with ``a = kappa - 1 / tau``; on the critical line ``kappa tau = 1`` it is
    ``1 / (1 + kappa T)``. A trader already positioned when the news arrives keeps exactly R of the move, price gain less funding.
    Arguments broadcast; the result lies in [0, 1].

    Parameters
    ----------
    kappa
        Funding intensity per hour while closed (0 for none).
    tau
        Time constant of the self-referential oracle in hours; ``numpy.inf`` for a frozen oracle.
    hours
        Hours until the reference returns.
    """
    intensity = not_negative("kappa", kappa, "a funding intensity per hour")
    left = not_negative("hours", hours, "hours until the reference returns")
    excess = intensity - 1.0 / memory("tau", tau)
    # e^{-aT} is divided out when a > 0, so that nothing overflows; exprel carries the critical case.
    decay = np.exp(-np.maximum(excess, 0.0) * left)
    return plain(decay / (decay + intensity * left * exprel(-np.abs(excess) * left)))


def pass_through_paid(kappa, tau, payments, interval=1.0):
    """R where funding is paid in arrears, every ``interval`` hours, on the mean premium since the last payment: venues pay on the hour.

    Between payments nothing accrues to whoever sells in time, so the price stands still and jumps by the payment; the oracle closes the share
    ``D = 1 - e^{-interval / tau}`` of its distance. So ``1 + Z`` is ``(1 + (kappa tau - 1) D)(1 + Z) + D`` an interval earlier, and
    ``Z = kappa tau (q^n - 1) / (kappa tau - 1)`` with ``q = 1 + (kappa tau - 1) D``: ``n kappa tau D`` on the critical line, and
    ``R = (1 + kappa interval)^-n`` for a frozen oracle. Critical line and limit of long closures are those of :func:`pass_through`, to which
    it tends as the interval shrinks; above the line news dies more slowly than there.

    Parameters
    ----------
    kappa, tau
        As in :func:`pass_through`.
    payments
        Payments left, a whole number n; the reference returns on the last of them.
    interval
        Hours between payments.
    """
    intensity = not_negative("kappa", kappa, "a funding intensity per hour")
    lag = memory("tau", tau)
    left = count("payments", payments, "payments left")
    apart = positive("interval", interval, "hours between payments")
    closed = apart * exprel(-apart / lag)  # tau D, which stays finite as tau grows
    growth = np.log1p(np.maximum((intensity - 1.0 / lag) * closed, np.nextafter(-1.0, 0.0)))  # ln q
    # (q^n - 1) / (q - 1), n where q is 1: both through exprel, with the power divided out where it is large.
    rise = left * exprel(-np.abs(left * growth)) / exprel(growth)
    decay = np.exp(-np.maximum(left * growth, 0.0))
    return plain(decay / (decay + intensity * closed * rise))


def pass_through_limit(kappa, tau):
    """R for a closure without end: ``1 - kappa tau`` below the critical line ``kappa tau = 1``, nothing on or above it."""
    intensity = not_negative("kappa", kappa, "a funding intensity per hour")
    lag = memory("tau", tau)
    shape = np.broadcast_shapes(intensity.shape, lag.shape)
    product = np.multiply(intensity, lag, out=np.zeros(shape), where=np.broadcast_to(intensity > 0, shape))
    return plain(np.maximum(0.0, 1.0 - product))


def pass_through_pieces(kappa, tau, hours) -> np.ndarray:
    """R where the rules change on the way: at the start of each piece and at the reference's return, n + 1 numbers, the last 1.

    The pieces stand in the order of the clock, the one after the close first. Over a piece of length h, backward in time, ``Z = 1/R - 1``
    becomes ``e^{a h} Z + kappa h (e^{a h} - 1) / (a h)``; exact, and carried in logarithms so that no piece is too long.

    Parameters
    ----------
    kappa, tau
        Funding intensity per hour and time constant in hours of each piece; a single number holds for all.
    hours
        Lengths of the pieces in hours, one-dimensional.

    Raises
    ------
    ValueError
        If a length or intensity is negative, a time constant not positive, or the lengths of the three do not agree.
    """
    intensity, lag, length = _pieces(kappa, tau, hours)
    excess = intensity - 1.0 / lag
    with np.errstate(divide="ignore"):  # no funding, or an empty piece, adds nothing: log 0
        added = np.log(intensity * length) + np.maximum(excess * length, 0.0) + np.log(exprel(-np.abs(excess) * length))
    log_z = np.full(length.size + 1, -np.inf)
    for piece in range(length.size - 1, -1, -1):
        log_z[piece] = np.logaddexp(excess[piece] * length[piece] + log_z[piece + 1], added[piece])
    return np.exp(-np.logaddexp(0.0, log_z))


def pass_through_varying(kappa, tau, hours, breaks=()) -> float:
    """R over a closure whose rules move with the clock: the equation of the module, integrated numerically (relative error about 1e-9).

    Parameters
    ----------
    kappa, tau
        Numbers, or functions of the hours since the close (a number in, a number out).
    hours
        Length of the closure.
    breaks
        Hours since the close at which a function jumps; the integration restarts there.
    """
    intensity, lag, total, edges = _schedule(kappa, tau, hours, breaks)

    def slope(left, ratio):
        clock = total - left
        return (1.0 / lag(clock) - intensity(clock)) * ratio - ratio**2 / lag(clock)

    ratio = np.array([1.0])
    for start, stop in itertools.pairwise(total - edges[::-1]):
        ratio = _integrate(slope, start, stop, ratio)
    return float(ratio[0])


def carried_share(kappa, tau, hours, since):
    """Share of a piece of news in the price ``since`` hours after it arrived with ``hours`` to go: ``R(hours) / R(since)``.

    The price starts at R of the news and climbs as funding is paid; it is all there when the reference returns. From the solution of the
    oracle's equation, ``v - O`` shrinking by the factor ``e^{-int R / tau}``. Arguments broadcast.
    """
    past = not_negative("since", since, "hours since the news")
    checked("since", not_negative("hours", hours, "hours left at the news") - past, lambda x: x >= 0, "must not exceed hours; hours - since")
    intensity = not_negative("kappa", kappa, "a funding intensity per hour")
    excess = intensity - 1.0 / memory("tau", tau)
    left = np.asarray(hours, dtype=float) - past
    # R(T) / R(s) = (1 + Z(s)) / (1 + Z(T)) with Z(T) = Z(s) + e^{a s} Z(T - s): divided through by e^{a T} where a > 0.
    scale = np.exp(-np.maximum(excess, 0.0) * hours)
    early = intensity * past * exprel(-np.abs(excess) * past) * np.exp(-np.maximum(excess, 0.0) * left)
    late = intensity * left * exprel(-np.abs(excess) * left) * np.exp(np.minimum(excess, 0.0) * past)
    return plain((scale + early) / (scale + early + late))


def keep_ratio(kappa, tau, hours):
    """Share of a move a trader keeps if the price jumps to fair value and *stays there* until the reference returns.

    ``1 - kappa tau (1 - e^{-T / tau})``, funding being charged on the gap the oracle has not closed yet; ``1 - kappa T`` for a frozen
    oracle. Not an equilibrium path (the long overpays), so it can fall below 0; :func:`pass_through` is the equilibrium reading.
    Arguments as there.
    """
    intensity = not_negative("kappa", kappa, "a funding intensity per hour")
    left = not_negative("hours", hours, "hours until the reference returns")
    return plain(1.0 - intensity * left * exprel(-left / memory("tau", tau)))


def keep_hours(ratio, kappa, tau):
    """Hours left at which :func:`keep_ratio` is ``ratio``: ``-tau ln(1 - (1 - ratio) / (kappa tau))``; infinite where it never is.

    ``ratio`` is at most 1, kappa above 0; arguments broadcast.
    """
    share = checked("ratio", ratio, lambda x: (x <= 1) & np.isfinite(x), "is the share kept, at most 1")
    intensity = positive("kappa", kappa, "a funding intensity per hour; without funding all is kept")
    return plain(_log_ratio(-1.0 / memory("tau", tau), (1.0 - share) / intensity))


def _log_ratio(rate, amount) -> np.ndarray:
    """``ln(1 + rate amount) / rate``, ``amount`` at rate 0, infinite where the logarithm has no value: when ``Z' = 1 + rate Z`` gets there."""
    grown = rate * amount
    with np.errstate(divide="ignore", invalid="ignore"):
        time = np.where(grown == 0, amount, amount * np.log1p(grown) / np.where(grown == 0, 1.0, grown))
    return np.where(grown <= -1.0, np.inf, time)


def _integrate(slope: Callable, start: float, stop: float, state: np.ndarray) -> np.ndarray:
    # A clock just inside the piece: at its ends a function that jumps would give its neighbour's value.
    inset = 1e-12 * (stop - start)
    return solve_ivp(slope, (start + inset, stop - inset), state, method="LSODA", rtol=1e-10, atol=1e-14).y[:, -1]


def _pieces(kappa, tau, hours) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    length = not_negative("hours", hours, "the lengths of the pieces in hours")
    if length.ndim != 1:
        raise ValueError(f"hours is a one-dimensional list of lengths, one a piece; got shape {length.shape}")
    rules = (not_negative("kappa", kappa, "a funding intensity per hour"), memory("tau", tau))
    for name, rule in zip(("kappa", "tau"), rules, strict=True):
        if rule.shape not in ((), length.shape):
            raise ValueError(f"{name} is one number or one for each of the {length.size} pieces; got shape {rule.shape}")
    return *(np.broadcast_to(rule, length.shape) for rule in rules), length


def _schedule(kappa, tau, hours, breaks) -> tuple[Callable, Callable, float, np.ndarray]:
    total = float(positive("hours", hours, "the length of the closure in hours"))
    cuts = np.sort(finite("breaks", breaks, "hours since the close").ravel()) if np.size(breaks) else np.zeros(0)
    if cuts.size and not (cuts[0] > 0 and cuts[-1] < total):
        raise ValueError(f"breaks lie inside the closure of {total:g} hours; got {cuts.tolist()!r}")

    def rule(name, value, check, *what):
        if callable(value):
            return lambda clock: float(check(name, value(clock), *what))
        constant = float(check(name, value, *what))
        return lambda _: constant

    intensity = rule("kappa", kappa, not_negative, "a funding intensity per hour")
    return intensity, rule("tau", tau, memory), total, np.concatenate([[0.0], cuts, [total]])
