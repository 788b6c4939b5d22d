"""How much news a perpetual can carry while its reference is closed.

The reference closes at 0 and prints ``V_T`` at T. Until then funding ``kappa (f - O)`` is charged against an oracle that follows the
perpetual's own price, ``dO = (f - O) / tau dt``. With no other frictions the price is ``f = O + R (v - O)``, v the best forecast of
``V_T``, and R solves ``R' = (1/tau - kappa) R - R^2 / tau`` in the hours left, from R = 1. Derived for this project; assumes linear
funding (no clamp, no dead zone), risk neutrality and no limit on inventory.
"""

from __future__ import annotations

import numpy as np
from scipy.special import exprel

from perpkit.theory._check import memory, not_negative, plain


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


def pass_through_limit(kappa, tau):
    """R for a closure without end: ``1 - kappa tau`` below the critical line ``kappa tau = 1``, nothing on or above it."""
    intensity = not_negative("kappa", kappa, "a funding intensity per hour")
    lag = memory("tau", tau)
    shape = np.broadcast_shapes(intensity.shape, lag.shape)
    product = np.multiply(intensity, lag, out=np.zeros(shape), where=np.broadcast_to(intensity > 0, shape))
    return plain(np.maximum(0.0, 1.0 - product))


def keep_ratio(kappa, tau, hours):
    """Share of a move a trader keeps if the price jumps to fair value and *stays there* until the reference returns.

    ``1 - kappa tau (1 - e^{-T / tau})``, funding being charged on the gap the oracle has not closed yet; ``1 - kappa T`` for a frozen
    oracle. Not an equilibrium path (the long overpays), so it can fall below 0; :func:`pass_through` is the equilibrium reading.
    Arguments as there.
    """
    intensity = not_negative("kappa", kappa, "a funding intensity per hour")
    left = not_negative("hours", hours, "hours until the reference returns")
    return plain(1.0 - intensity * left * exprel(-left / memory("tau", tau)))
