"""A drag by brute force: a push that is free on each of many equal cells, its cost as a matrix. Shares no code with ``perpkit.theory``."""

import numpy as np


def staircase_forms(steps, hours, refill, kappa, tau, met):
    """Cost of a push constant on each of ``steps`` equal cells as a matrix (cost = x' H x / 2, depth 1, no loss on unwinding), the row for the
    oracle at the end and the row for int x."""
    dt = hours / steps
    fade = np.exp(-dt / tau)
    lag = np.subtract.outer(np.arange(steps), np.arange(steps))
    oracle = np.where(lag > 0, (1 - fade) * fade ** np.maximum(lag - 1, 0), 0.0)  # at the start of each cell
    area = np.where(lag > 0, dt, 0.0)
    flat, rising = tau * (1 - fade), tau * (tau - (dt + tau) * fade)
    position = (np.eye(steps) + refill * area) * flat + refill * rising * np.eye(steps)
    charged = kappa * position.T @ (np.eye(steps) - oracle)
    return charged + charged.T + 2 * met * refill * dt * np.eye(steps), (1 - fade) * fade ** np.arange(steps)[::-1], np.full(steps, dt)
