"""Refund: what a venue may pay back, of its own accord, to accounts it closed on a price that did not last.

trade.xyz did once: the liquidations of xyz:SKHX on 2026-07-27 were made good at a reference price, as a one-off (posts of 2026-07-29 and
08-01). The claim here is what leaving early has cost an account that would have been solvent at the reopening value. It is paid in hindsight
after the window, by the venue's own pocket; no rule promises it.
"""

from __future__ import annotations

from perpkit._compile import compiled
from perpkit.ledger import HARM, TRADER_CASH, VENUE, credit
from perpkit.settlement import above


@compiled
def harm_of(beta: float, y_reopen: float, y: float) -> float:
    """USD a share that an account lost by leaving at ``y``, where it kept what was above zero, and not at the reopening value."""
    return max(y_reopen - max(y, beta), 0.0) if beta < y_reopen else 0.0


@compiled
def harm(beta, quantity, weighted, start, stop, y_reopen, y) -> float:
    """Sum of size times :func:`harm_of` over accounts [start, stop) of a side, from its prefix sums. USD."""
    solvent, _, _ = above(beta, quantity, weighted, start, stop, y_reopen)
    broke, size, size_beta = above(beta, quantity, weighted, solvent, stop, y)
    lost = y_reopen * size - size_beta
    rest = quantity[stop] - quantity[broke]
    return lost + max(y_reopen - y, 0.0) * rest if rest > 0.0 else lost


@compiled
def pay_refunds(st, share: float) -> None:
    """The venue pays ``share`` of the claims of both sides."""
    for me in range(2):
        credit(st, TRADER_CASH + me, share * st[HARM + me])
        credit(st, VENUE, -share * st[HARM + me])
