"""Numerics of ``drag``: a push as polynomials on panels, and what oracle, position, refill and funding make of it.

On each panel the push is a polynomial given at Gauss-Legendre nodes, free to jump at the edges, as blocks of orders make it. The oracle's
equation is integrated with the same polynomials, so every quantity is linear, and every cost quadratic, in the values at the nodes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

ORDER = 16


@lru_cache(maxsize=1)
def rule() -> tuple[np.ndarray, ...]:
    """Gauss-Legendre nodes and weights on [-1, 1], the matrix of running integrals, and the row that gives the value at 1.

    Reversed, the row gives the value at -1.
    """
    nodes, weights = np.polynomial.legendre.leggauss(ORDER)
    values, degree = np.polynomial.legendre.legvander(nodes, ORDER), np.arange(ORDER)
    coefficients = (degree + 0.5)[:, None] * weights * values[:, :ORDER].T
    running = np.column_stack([nodes + 1.0, (values[:, 2:] - values[:, :-2]) / (2 * degree[1:] + 1)])
    return nodes, weights, running @ coefficients, np.ones(ORDER) @ coefficients


def graded(start: float, stop: float, scale: float) -> np.ndarray:
    """Panel edges that double in width away from both ends, where the oracle's memory makes layers."""
    inner, width = [0.0], 2.0 * scale
    while inner[-1] + width < 0.5 * (stop - start):
        inner.append(inner[-1] + width)
        width *= 2.0
    half = np.array(inner)
    return np.concatenate([start + half, stop - half[::-1]])


def grid(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of all panels."""
    nodes, weights = rule()[:2]
    half = np.diff(edges)[:, None] / 2.0
    return (edges[:-1, None] + half * (1.0 + nodes)).ravel(), (half * weights).ravel()


def modes(time: np.ndarray, length: float, square: float) -> np.ndarray:
    """Three solutions of ``x''' = square x'`` at ``time``, none larger than about 1 and none nearly a sum of the others."""
    rate = np.sqrt(abs(square))
    if square > 0 and rate * length > 2.0:
        return np.column_stack([np.ones_like(time), np.exp(-rate * (length - time)), np.exp(-rate * time)])
    u = time / length
    z = rate * length * u
    if rate * length < 1e-3:
        return np.column_stack([np.ones_like(time), u, u**2])
    if square > 0:
        return np.column_stack([np.ones_like(time), np.sinh(z) / np.sinh(rate * length), (np.cosh(z) - 1) / (np.cosh(rate * length) - 1)])
    return np.column_stack([np.ones_like(time), np.sin(z) / (rate * length), (1 - np.cos(z)) * 2 / (rate * length) ** 2])


def respond(x: np.ndarray, edges: np.ndarray, tau: float) -> tuple[np.ndarray, ...]:
    """Oracle and ``int x`` at the nodes for each column of pushes, and both at every edge: ``tau O + int O = int x`` on each panel."""
    _, weights, running, _ = rule()
    oracle, area = np.empty_like(x), np.empty_like(x)
    ends, areas = np.zeros((edges.size, x.shape[1])), np.zeros((edges.size, x.shape[1]))
    for panel, width in enumerate(np.diff(edges)):
        here = slice(panel * ORDER, (panel + 1) * ORDER)
        step, half = 0.5 * width * running, 0.5 * width * weights
        inflow = step @ x[here]
        oracle[here] = np.linalg.solve(tau * np.eye(ORDER) + step, inflow + tau * ends[panel])
        area[here] = areas[panel] + inflow
        ends[panel + 1] = ends[panel] + half @ (x[here] - oracle[here]) / tau
        areas[panel + 1] = areas[panel] + half @ x[here]
    return oracle, area, ends, areas


def form(x, oracle, area, weights, rho: float, kappa: float, met: float) -> np.ndarray:
    """Refill and funding as the symmetric matrix of ``y' form y / 2``, y the weights of the columns."""
    charged = kappa * (x + rho * area).T @ (weights[:, None] * (x - oracle))
    return charged + charged.T + 2.0 * met * rho * x.T @ (weights[:, None] * x)
