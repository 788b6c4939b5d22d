"""What the families of :mod:`perpkit.families` share: tails inverted in the logarithm, and shapes that differ from point to point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_CELLS = 600


def by_shape(function: Callable, x: np.ndarray, *shapes: np.ndarray) -> np.ndarray:
    """``function(x, *shapes)`` with scalar shapes, once for each different set of them."""
    x, *shapes = np.broadcast_arrays(np.asarray(x, dtype=float), *shapes)
    if not x.size:
        return np.empty(x.shape)
    if all((shape == shape.flat[0]).all() for shape in shapes):
        return function(x.ravel(), *(shape.flat[0] for shape in shapes)).reshape(x.shape)
    sets, which = np.unique(np.array([shape.ravel() for shape in shapes]), axis=1, return_inverse=True)
    out = np.empty(x.size)
    for k, row in enumerate(sets.T):
        mine = np.ravel(which) == k
        out[mine] = function(x.ravel()[mine], *row)
    return out.reshape(x.shape)


def invert(log_tail: Callable, log_pdf: Callable, q: np.ndarray, floor: float) -> np.ndarray:
    """Points x above ``floor`` with upper tail probability ``q``: a table, then Newton in the logarithm, kept within the table's cell."""
    target = log_of(q)
    out = np.where(q <= 0.0, np.inf, floor)
    seek = np.isfinite(target)
    if not seek.any():
        return out
    wanted = target[seek]
    while log_tail(np.array([floor]))[0] < wanted.max():
        floor -= 1.0 + abs(floor)
    width = 1.0
    while log_tail(np.array([floor + width]))[0] > wanted.min():
        width *= 2.0
    grid = floor + np.sinh(np.linspace(0.0, np.arcsinh(width), _CELLS + 1))
    table = log_tail(grid)
    cell = np.clip(np.searchsorted(-table, -wanted), 1, _CELLS)
    low, high = grid[cell - 1], grid[cell]
    x = np.interp(-wanted, -table, grid)
    for _ in range(60):
        miss = log_tail(x) - wanted
        low, high = np.where(miss >= 0.0, x, low), np.where(miss < 0.0, x, high)
        step = x + miss * np.exp(miss + wanted - log_pdf(x))
        x = np.where((step >= low) & (step <= high), step, (low + high) / 2.0)
        if (np.abs(miss) < 1e-9).all():  # and one quadratic step further
            break
    out[seek] = x
    return out


def log_of(p):
    with np.errstate(divide="ignore"):
        return np.log(p)
