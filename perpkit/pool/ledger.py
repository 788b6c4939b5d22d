"""Ledger of a pool venue: every dollar a trader makes is somebody's, and most of the time the pool's.

As in the book's ledger one vector holds what a weekend has done so far, and a position is worth ``cash + size * price``. Each side pays
carry of its own, so the common coordinate of ``margin.py`` is ``y = s p - C_s``, with C_s the carry a share of the side has paid: equity is
``q (y - beta)``.
"""

from __future__ import annotations

import numpy as np

from perpkit._compile import compiled
from perpkit.ledger import POCKETS, credit

# Places in the state vector. Those of a pair hold longs, then shorts.
HELD, HELD_BETA, HELD_COST, WALLET, CARRY, PROFIT_CUT, GAIN_CUT = 0, 2, 4, 6, 8, 10, 12
SHORTFALL, PREMATURE, LIQUIDATED_CLOSED, LIQUIDATED_OPEN, ADL_SIZE, ADL_Y = 14, 16, 18, 20, 22, 24
POOL_CASH, POOL_SIZE, HEDGE_CASH, HEDGE_SIZE, STREET_CASH, STREET_SIZE = 26, 27, 28, 29, 30, 31
PROTOCOL_CASH, VENUE_CASH, INFORMED_CASH, INFORMED_SIZE = 32, 33, 34, 35
BREACHED, EXHAUSTED_AT, ADL_NEEDED, STOPPED, GUARANTEED, TIMED, REALISED = 36, 37, 38, 39, 40, 41, 42
RATE, EVENTS, CASH_AT_START, STEPS = 43, 44, 45, 46
TOUCHED, ALL_TOUCHED = 48, 50
STATE = 52
"""Length of the state vector."""

POOL_POCKETS = ("junior", "senior", "hedge", "protocol", "informed", "capped", "frozen")
"""Pockets that only a pool has: its two tranches; the outside market that stands against its hedge; protocol and keepers;
traders who came for a stale price; what a cap on gains took from winners; and what they are owed but were not paid."""
EVERY_POCKET = (*POCKETS, *POOL_POCKETS)
LONGS, ADL_POCKET, SOCIALISED, VENUE = (EVERY_POCKET.index(name) for name in ("longs", "adl", "socialised", "venue"))
JUNIOR, SENIOR, HEDGE, PROTOCOL, INFORMED, CAPPED, UNPAID = (EVERY_POCKET.index(name) for name in POOL_POCKETS)


@compiled
def note(events, st, hours, kind, sign, accounts, size, price, loss):
    """Write one row of the event log while there is room; the columns are those of ``perpkit.ledger.EVENT_FIELDS``."""
    row = int(st[EVENTS])
    st[EVENTS] += 1.0
    if row < len(events):
        events[row, 0], events[row, 1], events[row, 2], events[row, 3] = hours, kind, sign, accounts
        events[row, 4], events[row, 5], events[row, 6], events[row, 7] = size, price, loss, st[STEPS]


@compiled
def totals(st: np.ndarray) -> tuple[float, float]:
    """Signed size over all holders (shares) and cash over all pockets (USD)."""
    size = st[POOL_SIZE] + st[HEDGE_SIZE] + st[STREET_SIZE] + st[INFORMED_SIZE]
    cash = st[POOL_CASH] + st[HEDGE_CASH] + st[STREET_CASH] + st[INFORMED_CASH] + st[PROTOCOL_CASH] + st[VENUE_CASH]
    for me in range(2):
        size += (1.0 - 2.0 * me) * st[HELD + me]
        cash += st[WALLET + me] - st[CARRY + me] * st[HELD + me] - st[HELD_BETA + me]
    return size, cash


@compiled
def imbalance(st: np.ndarray, price: float) -> float:
    """Money that appeared or vanished since Friday, USD."""
    size, cash = totals(st)
    return abs(cash - st[CASH_AT_START]) + abs(size) * price


@compiled
def worse(error: float, found: float) -> float:
    """The larger of the two; a NaN found is kept, where ``max`` would drop it."""
    return error if found <= error else found


@compiled
def open_pool(st: np.ndarray, whole: np.ndarray, price: float, hedge_share: float, start_rate: float) -> None:
    """Friday. ``whole`` has each side's size, size times beta and size times entry, shape (2, 3). The pool stands against the net position,
    bought at the last print, and its hedge against a share of that."""
    st[:] = 0.0
    st[EXHAUSTED_AT] = np.nan
    st[RATE] = start_rate
    for me in range(2):
        st[HELD + me], st[HELD_BETA + me], st[HELD_COST + me] = whole[me, 0], whole[me, 1], whole[me, 2]
    net = st[HELD] - st[HELD + 1]
    st[POOL_SIZE], st[POOL_CASH] = -net, net * price
    trade_hedge(st, hedge_share * net, price)
    _, st[CASH_AT_START] = totals(st)


@compiled
def trade_hedge(st: np.ndarray, target: float, price: float) -> None:
    """Bring the hedge to ``target`` shares at ``price``; the outside market takes the other side."""
    traded = target - st[HEDGE_SIZE]
    st[HEDGE_SIZE] += traded
    st[STREET_SIZE] -= traded
    credit(st, HEDGE_CASH, -traded * price)
    credit(st, STREET_CASH, traded * price)


@compiled
def close_account(st: np.ndarray, me: int, size: float, beta: float, entry: float, paid: float, fee: float) -> None:
    """The pool takes ``size`` shares of an account of side ``me`` with their margin, and pays the trader ``paid`` and the protocol ``fee``."""
    owned = size * (st[CARRY + me] + beta)
    st[HELD + me] -= size
    st[HELD_BETA + me] -= size * beta
    st[HELD_COST + me] -= size * entry
    st[POOL_SIZE] += (1.0 - 2.0 * me) * size
    credit(st, POOL_CASH, -owned - paid - fee)
    credit(st, WALLET + me, paid)
    credit(st, PROTOCOL_CASH, fee)
    st[REALISED] += size * ((1.0 - 2.0 * me) * entry - beta) - paid - fee


@compiled
def charge_carry(st: np.ndarray, long_due: float, short_due: float, protocol: float) -> None:
    """Each share pays carry to the pool, which hands on the protocol's part. USD a share, and USD."""
    credit(st, POOL_CASH, long_due * st[HELD] + short_due * st[HELD + 1] - protocol)
    credit(st, PROTOCOL_CASH, protocol)
    st[CARRY] += long_due
    st[CARRY + 1] += short_due


@compiled
def pool_result(st: np.ndarray, price: float) -> float:
    """What the pool has gained since Friday, its hedge included, everything open valued at ``price``. USD."""
    return st[POOL_CASH] + st[HEDGE_CASH] + (st[POOL_SIZE] + st[HEDGE_SIZE]) * price


@compiled
def side_profit(st: np.ndarray, me: int, price: float) -> float:
    """Profit of a side over what it paid, losers netted against winners, USD."""
    return (1.0 - 2.0 * me) * (price * st[HELD + me] - st[HELD_COST + me])


@compiled
def divide(result: float, junior: float, senior: float, split: float) -> tuple[float, float]:
    """Junior's and senior's part of the pool's result; ``split`` below 0 lets the junior lose first. All in one unit."""
    if split < 0.0:
        part = 1.0 if result < 0.0 or junior > 0.0 else 0.0
    else:
        part = split
    first = max(part * result, -junior)
    if result - first < -senior:
        first = max(result + senior, -junior)
    return first, result - first


@compiled
def winners_claims(accounts, held, st: np.ndarray, me: int, price: float) -> tuple[float, float]:
    """Of the open accounts of a side at ``price``: profit of those in profit, and what they could take out beyond their collateral. USD."""
    sign = 1.0 - 2.0 * me
    profit, claims = 0.0, 0.0
    for j in range(accounts.shape[2]):
        gain = sign * (price - accounts[me, 2, j])
        if gain > 0.0:
            profit += held[me, j] * gain
            claims += held[me, j] * max(gain - st[CARRY + me], 0.0)
    return profit, claims


@compiled
def settle_up(accounts, held, whole, gains, st: np.ndarray, rules, start: float, end: float, out: np.ndarray) -> float:
    """Change of each pocket of ``EVERY_POCKET`` from Friday to the end of the window, USD, everything open valued at ``end``; the pool's
    hedge result that is still to be settled.

    What is frozen is reckoned as if every winner closed now and no loser did: the pool pays out of what it has and what it has collected, up to
    the brake; its hedge is settled later, and open losses are no cash. Winners are shown as they would be without the limits on what they are
    paid, and the limits in pockets of their own; only what is owed and frozen is taken from a side, for it may come yet. What closed winners
    early (``adl``) is valued as in the book's ledger.

    ``gains`` has each side's size times the distance of entry from the last print, shape (2,).
    """
    out[:] = 0.0
    result = pool_result(st, end)
    limit, cash = rules.paid_up_to * rules.side_value, max(min(rules.daily, 1.0) * rules.pool_value + st[REALISED], 0.0)
    most = (whole[0, 0] + whole[1, 0]) * abs(end - start) + gains[0] + gains[1]  # no more than this can be claimed
    cut = 0.0
    claims = np.zeros(2)
    for me in range(2):
        gained = side_profit(st, me, end)
        if gained > limit or most > cash:
            profit, claims[me] = winners_claims(accounts, held, st, me, end)
            if gained > limit:
                lost = (1.0 - limit / gained) * profit
                cut += lost
                claims[me] = max(claims[me] - lost, 0.0)
    result += cut
    owed = claims[0] + claims[1]
    lost = max(-rules.pool_value - result, 0.0)  # the pool has no more
    result += lost
    cut += lost
    unpaid = max(max(owed - lost, 0.0) - cash, 0.0)
    given_up = 0.0
    for me in range(2):
        sign = 1.0 - 2.0 * me
        before = whole[me, 0] * sign * start - whole[me, 1]
        now = st[HELD + me] * (sign * end - st[CARRY + me]) - st[HELD_BETA + me] + st[WALLET + me]
        kept = st[ADL_SIZE + me] * (sign * end - st[CARRY + me]) - st[ADL_Y + me]
        given_up += kept
        frozen = unpaid * claims[me] / owed if owed > 0.0 else 0.0
        out[LONGS + me] = now - before + kept + st[PROFIT_CUT + me] + st[GAIN_CUT + me] - frozen
        cut += st[PROFIT_CUT + me]
        out[CAPPED] -= st[GAIN_CUT + me]
    out[ADL_POCKET] = -given_up
    out[SOCIALISED] = -cut
    out[UNPAID] = unpaid
    out[JUNIOR], out[SENIOR] = divide(result, rules.junior, rules.pool_value - rules.junior, rules.split)
    out[HEDGE] = st[STREET_CASH] + st[STREET_SIZE] * end
    out[PROTOCOL] = st[PROTOCOL_CASH]
    out[VENUE] = st[VENUE_CASH]
    out[INFORMED] = st[INFORMED_CASH] + st[INFORMED_SIZE] * end
    return st[HEDGE_CASH] + st[HEDGE_SIZE] * end
