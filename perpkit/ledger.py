"""Ledger: every dollar that leaves one pocket enters another.

One vector holds what a weekend has done so far. Each holder's position is worth ``cash + size * price`` at any common price, so the books
balance when the sizes sum to zero and the cash is what it was on Friday. Both are checked at every step that moves money.
"""

from __future__ import annotations

import numpy as np

from perpkit._compile import compiled
from perpkit.margin import ALL_Q, ALL_QB

# Places in the state vector. Those of a pair hold longs, then shorts.
FIRST_ALIVE, NEXT_LARGE, PENDING, DIRTY, TRADER_CASH = 0, 2, 4, 6, 8
SHORTFALL, PREMATURE, LIQUIDATED_CLOSED, LIQUIDATED_OPEN, ADL_SIZE, ADL_Y = 10, 12, 14, 16, 18, 20
FUND, SOCIALISED, MAKER_CASH, MAKER_SIZE, BACKSTOP_CASH, BACKSTOP_SIZE, BACKSTOP_USED = 22, 23, 24, 25, 26, 27, 28
IMPACT, ANCHOR, BREACHED, EXHAUSTED_AT, ADL_NEEDED, EVENTS, CASH_AT_START = 29, 30, 31, 32, 33, 34, 35
GENERATION, ATTACKER_CASH, ATTACKER_SIZE, HARM, VENUE, BATCH_USED = 36, 37, 38, 39, 41, 42
STATE = 43
"""Length of the state vector."""

EVENT_FIELDS = ("time", "kind", "side", "accounts", "size", "price", "loss", "generation")
POCKETS = ("longs", "shorts", "makers", "backstop", "insurance", "adl", "socialised", "venue", "attacker")


class LedgerError(ArithmeticError):
    """Money appeared or vanished. The message names the machine, the seed and the weekend that reproduce it."""


@compiled
def credit(st: np.ndarray, pocket: int, amount: float) -> None:
    """Add ``amount`` USD to a pocket. All cash passes through here."""
    st[pocket] += amount


@compiled
def log_event(events, st, hours, kind, sign, accounts, size, price, loss):
    """Write one row of the event log while there is room; without a log the array has no rows."""
    row = int(st[EVENTS])
    st[EVENTS] += 1.0
    if row < len(events):
        events[row, 0] = hours
        events[row, 1] = kind
        events[row, 2] = sign
        events[row, 3] = accounts
        events[row, 4] = size
        events[row, 5] = price
        events[row, 6] = loss
        events[row, 7] = st[GENERATION]


@compiled
def side_cash(side: np.ndarray, first: int, pending: np.ndarray, n_pending: int, sign: float, funding: float) -> tuple[float, float]:
    """Signed size (shares) and cash (USD) of the open accounts of a side: their equity at a price p is ``cash + size * p``."""
    size = side[ALL_Q, -1] - side[ALL_Q, first]
    weighted = side[ALL_QB, -1] - side[ALL_QB, first]
    for p in range(n_pending):
        size += pending[p, 0]
        weighted += pending[p, 0] * pending[p, 1]
    return sign * size, -sign * funding * size - weighted


@compiled
def totals(sides, works, pending, st: np.ndarray, funding: float) -> tuple[float, float]:
    """Signed size over all holders (shares) and cash over all pockets (USD)."""
    size = st[MAKER_SIZE] + st[BACKSTOP_SIZE] + st[ATTACKER_SIZE]
    cash = st[MAKER_CASH] + st[BACKSTOP_CASH] + st[FUND] + st[SOCIALISED] + st[VENUE] + st[ATTACKER_CASH]
    for me in range(2):
        side = works[me] if st[DIRTY + me] > 0.0 else sides[me]
        q, k = side_cash(side, int(st[FIRST_ALIVE + me]), pending[me], int(st[PENDING + me]), 1.0 - 2.0 * me, funding)
        size += q
        cash += k + st[TRADER_CASH + me]
    return size, cash


@compiled
def open_books(sides, works, pending, st: np.ndarray, price: float, fund: float, shares: float, entry: float) -> None:
    """Friday: nothing traded yet; makers hold what balances the two sides, bought at the last print, and the other side of the attacker's
    ``shares``, which he bought from them at ``entry``."""
    st[:] = 0.0
    st[EXHAUSTED_AT] = np.nan
    net = sides[0, ALL_Q, -1] - sides[1, ALL_Q, -1]
    st[MAKER_SIZE] = -net - shares
    st[MAKER_CASH] = net * price + shares * entry
    st[ATTACKER_SIZE] = shares
    st[ATTACKER_CASH] = -shares * entry
    st[FUND] = fund
    _, st[CASH_AT_START] = totals(sides, works, pending, st, 0.0)


@compiled
def imbalance(sides, works, pending, st: np.ndarray, funding: float, price: float) -> float:
    """Money that appeared or vanished since Friday, USD."""
    size, cash = totals(sides, works, pending, st, funding)
    return abs(cash - st[CASH_AT_START]) + abs(size) * price


@compiled
def pay_funding(st: np.ndarray, per_share: float) -> None:
    """Makers, the vault and the attacker pay ``per_share`` USD for each share they are long. Accounts pay through the funding accrued per
    share."""
    credit(st, MAKER_CASH, -st[MAKER_SIZE] * per_share)
    credit(st, BACKSTOP_CASH, -st[BACKSTOP_SIZE] * per_share)
    credit(st, ATTACKER_CASH, -st[ATTACKER_SIZE] * per_share)


@compiled
def pockets(sides, works, pending, st: np.ndarray, funding: float, start: float, end: float, fund: float, out: np.ndarray) -> None:
    """Change of each pocket of ``POCKETS`` from Friday to the end of the window, USD, everything open valued at ``end``.

    What auto-deleveraged winners gave up by being closed early is shown as paid by ``adl``; their side is shown as if they had stayed.
    """
    given_up = 0.0
    for me in range(2):
        sign = 1.0 - 2.0 * me
        q, k = side_cash(sides[me], 0, pending[me], 0, sign, 0.0)
        before = k + q * start
        side = works[me] if st[DIRTY + me] > 0.0 else sides[me]
        q, k = side_cash(side, int(st[FIRST_ALIVE + me]), pending[me], int(st[PENDING + me]), sign, funding)
        kept = st[ADL_SIZE + me] * sign * (end - funding) - st[ADL_Y + me]
        out[me] = k + q * end + st[TRADER_CASH + me] - before + kept
        given_up += kept
    out[2] = st[MAKER_CASH] + st[MAKER_SIZE] * end
    out[3] = st[BACKSTOP_CASH] + st[BACKSTOP_SIZE] * end
    out[4] = st[FUND] - fund
    out[5] = -given_up
    out[6] = st[SOCIALISED]
    out[7] = st[VENUE]
    out[8] = st[ATTACKER_CASH] + st[ATTACKER_SIZE] * end
