"""Accounts: who holds what, against how much collateral."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from perpkit._checks import generator, is_number, not_negative, positive, whole

_WIDEST = 10.0


@dataclass(frozen=True)
class Accounts:
    """Isolated margin accounts.

    Parameters
    ----------
    side : +1 for longs, -1 for shorts, shape (n,).
    size : share equivalents, above 0, shape (n,).
    entry : entry price, USD, shape (n,).
    collateral : USD posted, above 0, shape (n,).
    price : price of the last reference print, USD, from which the weekend starts.

    Raises
    ------
    ValueError
        If there is no account, shapes differ, a number is not finite, a side is not +1 or -1, or a size, price or collateral is not
        positive.
    """

    side: np.ndarray
    size: np.ndarray
    entry: np.ndarray
    collateral: np.ndarray
    price: float = 250.0

    def __post_init__(self) -> None:
        positive("price", self.price, "the last reference print in USD")
        shape = np.shape(self.side)
        for name in ("side", "size", "entry", "collateral"):
            array = np.array(getattr(self, name), dtype=float)
            if array.ndim != 1 or array.shape != shape:
                raise ValueError(f"side, size, entry and collateral are vectors of one length; {name} has shape {array.shape}, side {shape}")
            if not array.size:
                raise ValueError("a venue without accounts has nothing to simulate; give at least one account")
            bad = np.flatnonzero(~np.isfinite(array) | ((array <= 0.0) if name != "side" else (np.abs(array) != 1.0)))
            if bad.size:
                wanted = "+1 or -1" if name == "side" else "a finite number above 0"
                raise ValueError(f"{name} is {wanted}; account {bad[0]} has {array[bad[0]]!r}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.side)

    @property
    def bankruptcy(self) -> np.ndarray:
        """Price at which collateral is gone, USD, shape (n,); negative for a long whose collateral exceeds its cost."""
        return self.entry - self.side * self.collateral / self.size

    @property
    def leverage(self) -> np.ndarray:
        """Notional at entry over collateral, shape (n,)."""
        return self.size * self.entry / self.collateral

    @property
    def open_interest(self) -> float:
        """Notional of the larger side at the last reference print, USD: the unit of every outcome."""
        return self.price * max(self.size[self.side > 0].sum(), self.size[self.side < 0].sum())

    @classmethod
    def sample(
        cls,
        n: int = 2_000,
        rng: int | np.random.Generator = 1,
        leverage_median: float = 3.7,
        leverage_sd: float = 0.61,
        max_leverage: float = 20.0,
        open_interest: float = 45e6,
        size_sd: float = 1.0,
        price: float = 250.0,
    ) -> Accounts:
        """A balanced population with lognormal leverage and lognormal sizes, all entered at the last print.

        Half of the accounts are long, and each has a short twin of the same size and leverage, so that what differs between a fall and a
        rise is the rules and not who happened to be drawn. The *open-interest-weighted* leverage of each side is lognormal, truncated to
        [1, ``max_leverage``] and stratified over open interest, so that two populations differ by who holds what and not by how much
        leverage there is. The default reproduces the published buckets for Hyperliquid, late 2025 (36 % of open interest below 3x, 49 % at
        3 to 7x, 15 % above), a weak source.

        Parameters
        ----------
        n : number of accounts, even, at least 2.
        rng : seed or generator.
        leverage_median, leverage_sd : median and log standard deviation of leverage.
        max_leverage : the market's maximum.
        open_interest : notional a side, USD.
        size_sd : log standard deviation of the notional of an account.
        price : last reference print and entry price, USD.
        """
        if whole("n", n, "an even number of accounts, half long and half short", 2) % 2:
            raise ValueError(f"n is an even number of accounts, half long and half short, at least 2; got {n!r}")
        if not (is_number(max_leverage) and max_leverage > 1.0):
            raise ValueError(f"max_leverage is above 1; got {max_leverage!r}")
        positive("leverage_median", leverage_median, "the median leverage")
        positive("leverage_sd", leverage_sd, "the log standard deviation of leverage")
        positive("open_interest", open_interest, "USD a side")
        positive("price", price, "the last reference print in USD")
        not_negative("size_sd", size_sd, "the log standard deviation of an account's notional")
        if size_sd > _WIDEST:
            raise ValueError(f"size_sd is a log standard deviation, at most {_WIDEST:g}, where one account holds nearly everything; got {size_sd!r}")
        law = stats.norm(math.log(leverage_median), leverage_sd)
        low, high = law.cdf(0.0), law.cdf(math.log(max_leverage))
        if not high - low > 1e-6:
            raise ValueError(f"leverage_median of {leverage_median!r} leaves nobody between 1x and max_leverage of {max_leverage!r}x; choose it in between")
        n, rng = int(n), generator(rng)
        half = n // 2
        notional = np.exp(size_sd * rng.standard_normal(half))
        notional *= open_interest / notional.sum()
        middle = (np.cumsum(notional) - notional / 2) / open_interest
        leverage = np.exp(law.ppf(low + middle * (high - low)))
        value, gear = np.tile(notional, 2), np.tile(leverage, 2)
        side = np.repeat([1.0, -1.0], half)
        return cls(side, value / price, np.full(n, price), value / gear, price)


def cut_leverage(accounts: Accounts, max_leverage: float, how: str = "reduce") -> Accounts:
    """The population after a venue has forced leverage down at the last print, as before a close.

    Parameters
    ----------
    accounts : the population.
    max_leverage : largest notional over equity, at the last print, that may be held from now on.
    how : ``"reduce"`` sells what is above it at the last print, free of charge, and what that realises joins the collateral. ``"close"`` closes
        such accounts (Ostium, 15:45 New York: ostium-labs.gitbook.io, stocks day trading).

    Raises
    ------
    ValueError
        If an account has no equity, or none would be left.
    """
    if not (is_number(max_leverage) and max_leverage >= 1.0):
        raise ValueError(f"max_leverage is 1 or more; got {max_leverage!r}")
    if how not in ("reduce", "close"):
        raise ValueError(f'how is "reduce" or "close"; got {how!r}')
    equity = accounts.collateral + accounts.side * accounts.size * (accounts.price - accounts.entry)
    if not (equity > 0.0).all():
        j = int(np.argmin(equity))
        raise ValueError(f"account {j} has no equity at the last print ({equity[j]:.6g} USD), so no leverage; give it collateral")
    allowed = max_leverage * equity / accounts.price
    over = accounts.size > allowed * (1.0 + 1e-12)
    if how == "close":
        if over.all():
            raise ValueError(f"every account is above {max_leverage:g}x and would be closed; give a higher max_leverage")
        kept = ~over
        return Accounts(accounts.side[kept], accounts.size[kept], accounts.entry[kept], accounts.collateral[kept], accounts.price)
    size = np.where(over, allowed, accounts.size)
    realised = accounts.side * (accounts.size - size) * (accounts.price - accounts.entry)
    return Accounts(accounts.side, size, accounts.entry, accounts.collateral + realised, accounts.price)
