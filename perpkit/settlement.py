"""Settlement: what accounts sold whole at one fill are left with, from prefix sums.

Everything is written in the coordinate ``y = s (price - F)`` of ``margin.py``. Accounts sold whole stand in three stretches of their side's
table, [first, lo), [lo, hi) of which the vault has left a share ``kept``, and the small ones of [hi, last), and in a list of single ones.
"""

from __future__ import annotations

from perpkit._compile import compiled
from perpkit.margin import ALL_Q, ALL_QB, BETA, SMALL_Q, SMALL_QB, first_not_above


@compiled
def above(beta, quantity, weighted, start, stop, level):
    """End of the accounts of [start, stop) with a beta above ``level``, their size and their size times beta."""
    end = min(first_not_above(beta, start, level), stop)
    return end, quantity[end] - quantity[start], weighted[end] - weighted[start]


@compiled
def losses(side, first, lo, hi, last, kept, single, singles, y):
    """Loss beyond collateral at a fill of ``y``, and the size and size times beta of the accounts that have one."""
    _, q1, qb1 = above(side[BETA], side[ALL_Q], side[ALL_QB], first, lo, y)
    _, q2, qb2 = above(side[BETA], side[ALL_Q], side[ALL_QB], lo, hi, y)
    _, q3, qb3 = above(side[BETA], side[SMALL_Q], side[SMALL_QB], hi, last, y)
    q, qb = q1 + kept * q2 + q3, qb1 + kept * qb2 + qb3
    for p in range(singles):
        if single[p, 1] > y:
            q += single[p, 0]
            qb += single[p, 0] * single[p, 1]
    return max(qb - y * q, 0.0), q, qb


@compiled
def _range(beta, quantity, weighted, start, stop, y_first, y, fee, weight):
    """Of accounts [start, stop): equity at ``y``, equity after the fee, loss beyond collateral; ``weight`` scales those above
    ``y_first``."""
    split, dq, dqb = above(beta, quantity, weighted, start, stop, y_first)
    _, bq, bqb = above(beta, quantity, weighted, start, split, y)
    beyond = weight * max(bqb - y * bq, 0.0)
    gross = weight * (y * (dq - bq) - (dqb - bqb)) + y * (quantity[stop] - quantity[split]) - (weighted[stop] - weighted[split])
    y_fee = y - fee
    end, fq, fqb = above(beta, quantity, weighted, start, stop, y_fee)
    if end < split:
        net = weight * (y_fee * (dq - fq) - (dqb - fqb))
        net += y_fee * (quantity[stop] - quantity[split]) - (weighted[stop] - weighted[split])
    else:
        net = y_fee * (quantity[stop] - quantity[end]) - (weighted[stop] - weighted[end])
    return gross, net, beyond


@compiled
def proceeds(side, first, lo, hi, last, kept, single, singles, y_first, y, fee, weight):
    """What the accounts sold whole are left with, before and after the fee, and their losses beyond collateral. USD."""
    g1, n1, b1 = _range(side[BETA], side[ALL_Q], side[ALL_QB], first, lo, y_first, y, fee, weight)
    g2, n2, b2 = _range(side[BETA], side[ALL_Q], side[ALL_QB], lo, hi, y_first, y, fee, weight)
    g3, n3, b3 = _range(side[BETA], side[SMALL_Q], side[SMALL_QB], hi, last, y_first, y, fee, weight)
    gross, net, beyond = g1 + kept * g2 + g3, n1 + kept * n2 + n3, b1 + kept * b2 + b3
    for p in range(singles):
        size, b = single[p, 0], single[p, 1]
        part = weight * size if b > y_first else size
        gross += part * max(y - b, 0.0)
        net += part * max(y - fee - b, 0.0)
        beyond += part * max(b - y, 0.0)
    return gross, net, beyond
