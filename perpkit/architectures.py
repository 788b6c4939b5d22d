"""Architectures: books and pools that differ in who stands on the other side, and populations that lean one way.

What differs between these machines is who stands on the other side and when anything may happen, and nothing else: margin, spread, size of the
first buffer and the weekend itself are the same. Real venues, with all their rules, are in ``venues.py``.
"""

from __future__ import annotations

import numpy as np

from perpkit import base
from perpkit.accounts import Accounts
from perpkit.batch import Batch
from perpkit.book import Book
from perpkit.funding import Funding
from perpkit.machine import Machine, replace
from perpkit.margin import Margin
from perpkit.mark import Mid
from perpkit.oracle import no_oracle
from perpkit.pool import Feed, Hedge, Pool, PoolMargin, Tranches
from perpkit.waterfall import Backstop


def lean(accounts: Accounts, skew: float) -> Accounts:
    """The population with its lighter side scaled down until net over gross open interest is ``skew``, positive for long.

    Collateral shrinks with size, so leverage is as it was. On a book makers take the rest, on a pool the pool does.

    Raises
    ------
    ValueError
        If the skew is not inside (-1, 1), or a side has no account.
    """
    if not -1.0 < skew < 1.0:
        raise ValueError(f"skew is net over gross open interest, between -1 and 1; got {skew!r}")
    sizes = [accounts.size[accounts.side == sign].sum() for sign in (1.0, -1.0)]
    if not min(sizes) > 0.0:
        raise ValueError("one side has no account, so nothing can be made lighter; give both sides accounts")
    heavy = max(sizes)
    wanted = [heavy if skew >= 0.0 else heavy * (1.0 + skew) / (1.0 - skew), heavy if skew <= 0.0 else heavy * (1.0 - skew) / (1.0 + skew)]
    factor = np.where(accounts.side > 0.0, wanted[0] / sizes[0], wanted[1] / sizes[1])
    return Accounts(accounts.side, accounts.size * factor, accounts.entry, accounts.collateral * factor, accounts.price)


def architectures(buffer: float = base.INSURANCE, max_leverage: float = 10.0, book: Book | None = None) -> dict[str, Machine | Pool]:
    """A book that marks at its own price, the same with liquidations in batches of five minutes and with none before the first print, and three
    pools.

    Parameters
    ----------
    buffer : what pays first, as a share of open interest: a book's insurance fund, a pool's junior tranche.
    max_leverage : the market's cap; maintenance is half of initial for all, on the notional at the mark.
    book : the base case's by default.
    """
    stands = base.book() if book is None else book
    maintenance = 0.5 / max_leverage
    venue = Machine(
        name="order book", mark=Mid(), margin=Margin(max_leverage, maintenance), insurance=buffer, book=stands, funding=Funding(when_closed=False),
        backstop=Backstop(0.0),
    )  # fmt: skip
    pool = Pool(
        name="pool, closed", margin=PoolMargin(max_leverage, maintenance=maintenance), tranches=Tranches(buffer, 1.0),
        feed=Feed("none", stands.half_spread_open, stands.half_spread_closed), book=stands,
    )  # fmt: skip
    found = [
        venue,
        replace(venue, name="verifiable book", batch=Batch(300.0)),
        replace(venue, name="book, closed", oracle=no_oracle()),
        pool,
        replace(pool, name="pool, closed, hedged", hedge=Hedge(1.0)),
        replace(pool, name="pool, always open", feed=replace(pool.feed, closed="live")),
    ]
    return {machine.name: machine for machine in found}
