"""The accounts of the NumPy twin: one sorted table a side, and what is asked of it for many weekends at once.

``at`` is the state of some weekends, one array a name; its arrays are changed in place where a function says so.
"""

from __future__ import annotations

import numpy as np
from paces import Pace

from perpkit.accounts import Accounts
from perpkit.machine import Machine


class Side:
    """One side, sorted by ``sign * bankruptcy``, first to be condemned first.

    ``q`` and ``qb`` sum size and size times that price; ``next`` is that price, with minus infinity at the end.
    """

    def __init__(self, accounts: Accounts, sign: float) -> None:
        mine = accounts.side == sign
        beta, size = sign * accounts.bankruptcy[mine], accounts.size[mine]
        order = np.argsort(-beta, kind="stable")
        self.sign, self.rising = sign, -beta[order]
        self.next = np.append(beta[order], -np.inf)
        self.q, self.qb = (np.concatenate([[0.0], np.cumsum(x)]) for x in (size[order], (size * beta)[order]))

    def until(self, level: np.ndarray) -> np.ndarray:
        """How many accounts have a beta above ``level``."""
        return self.rising.searchsorted(-level)


def sell(me, sides, machine: Machine, at, who, traded, mark, maintenance: float, row: Pace, reopen, hours: float, dust: float) -> np.ndarray:
    """Sell what ``mark`` condemns of side ``me`` in the weekends ``who`` of ``at``, one order a weekend.

    Changes ``at`` and ``traded``. ``mark`` and ``reopen`` (the reopening value) have the shape of ``who``, and so has the result: the shares sold.
    """
    side, book = sides[me], machine.book
    sign, funding, price, first = side.sign, at.funding[who], traded[who], at.first[me, who]
    last = np.maximum(first, side.until(sign * (mark * (1.0 - sign * maintenance) - funding)))
    at.first[me, who] = last
    sold = side.q[last] - side.q[first]
    move = sold * price / row.depth
    room = np.maximum(book.limit + sign * (at.impact[who] + at.shift[who]), 0.0)
    inside = move <= room
    average = np.where(inside, 0.5 * move, room - 0.5 * room * room / np.where(inside, 1.0, move))
    move = np.where(inside, move, room)
    fill = price * np.exp(-sign * (row.half_spread + average))
    y = sign * (fill - funding)

    def settle(level):  # what the solvent among the sold keep, and what the others owe
        broke = np.minimum(np.maximum(first, side.until(level)), last)
        owed = np.maximum(side.qb[broke] - side.qb[first] - level * (side.q[broke] - side.q[first]), 0.0)
        return level * (side.q[last] - side.q[broke]) - (side.qb[last] - side.qb[broke]), owed

    gross, loss = settle(y)
    net, _ = settle(y - machine.liquidation.fee * fill)
    fund = np.maximum(at.fund[who], 0.0)
    fresh = (loss > fund + dust) & (at.exhausted[who] == 0.0)
    at.exhausted[who[fresh]], at.exhausted_hours[who[fresh]] = 1.0, hours
    paid = np.minimum(fund, loss)
    at.fund[who] += gross - net - paid
    at.socialised[who] -= loss - paid
    at.trader_cash[me, who] += net
    at.maker_cash[who] -= sign * sold * fill
    at.maker_size[who] += sign * sold
    at.impact[who] -= sign * (1.0 - book.permanent) * move
    at.shift[who] -= sign * book.permanent * move
    at.shortfall[me, who] += loss
    if row.shut:
        at.liquidated_closed[me, who] += sold
        broke = np.minimum(np.maximum(first, side.until(sign * (reopen - funding))), last)
        at.premature[me, who] += side.q[last] - side.q[broke]
    else:
        at.liquidated_open[me, who] += sold
    traded[who] = np.where(sold > 0.0, price * np.exp(-sign * move), price)
    return sold


def set_limits(sides, at, price: float, maintenance: float, who=slice(None)) -> None:
    """Marks beyond which the next account of a side is condemned, and log values beyond which it is worth less than nothing, into ``at``."""
    funding = at.funding[who]
    long, short = sides[0].next[at.first[0, who]], sides[1].next[at.first[1, who]]
    at.lowest[who], at.highest[who] = (long + funding) / (1.0 - maintenance), (funding - short) / (1.0 + maintenance)
    at.v_low[who] = np.log(np.maximum(long + funding, 1e-300) / price)
    at.v_high[who] = np.log(np.maximum(funding - short, 1e-300) / price)


def hidden(sides, at, who, worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Negative equity (USD) of open accounts at ``worth``, and what those accounts hold (shares), for the weekends ``who``."""
    loss = held = 0.0
    for me, side in enumerate(sides):
        y, first = side.sign * (worth - at.funding[who]), at.first[me, who]
        end = np.maximum(first, side.until(y))
        size = side.q[end] - side.q[first]
        held = held + size
        loss = loss + side.qb[end] - side.qb[first] - y * size
    return loss, held


def cash(sides, at) -> np.ndarray:
    """Cash of all pockets and open accounts, USD: what it was on Friday, for ever."""
    total = at.maker_cash + at.fund + at.socialised
    for me, side in enumerate(sides):
        first = at.first[me]
        total = total + at.trader_cash[me] - side.sign * at.funding * (side.q[-1] - side.q[first]) - (side.qb[-1] - side.qb[first])
    return total
