"""Who is liquidated at which mark: populations as a cascade meets them.

A level is a log mark relative to the mark before the shock, negative on the longs' side and positive on the shorts'. Sizes are USD at that
first price. An isolated account of bankruptcy price b is condemned at the mark ``b / (1 - s m)``, s = +1 for a long and -1 for a short, m
the maintenance rate. :class:`Triggers` holds accounts, :class:`LeverageLaw` a law of leverage, :class:`EvenDensity` an even density; each has
``sold(level)`` and ``density(level)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from perpkit.theory._check import checked, count, finite, inside, not_negative, plain, positive, sign_of


@dataclass(frozen=True)
class EvenDensity:
    """``even`` USD triggered by each unit of log mark, for ever and on both sides."""

    even: float

    def sold(self, level):
        """USD triggered once the mark has been at ``level``."""
        return self.even * np.abs(level)

    def density(self, level):
        """USD per unit log mark at ``level``."""
        return np.full(np.shape(level), self.even)


@dataclass(frozen=True)
class LeverageLaw:
    """Open interest (USD a side) whose leverage is lognormal, truncated to [1, ``max_leverage``], all entered at the first price.

    Share f of open interest per unit of leverage l gives ``f(l) l (l - s)`` per unit of log mark: the account of leverage l falls at the
    mark ``(1 - s / l) / (1 - s m)``, and ``dl / d log M = -s l (l - s)``. Derived here. ``maintenance`` of None is half of initial.
    """

    open_interest: float
    median: float = 3.7
    sd: float = 0.61
    max_leverage: float = 20.0
    maintenance: float | None = None

    def __post_init__(self) -> None:
        for name, what in (("open_interest", "USD a side"), ("median", "the median leverage"), ("sd", "the log standard deviation of leverage")):
            positive(name, getattr(self, name), what)
        checked("max_leverage", self.max_leverage, lambda x: (x > 1) & np.isfinite(x), "is the market's maximum, above 1")
        if self.maintenance is None:
            object.__setattr__(self, "maintenance", 0.5 / self.max_leverage)
        inside("maintenance", self.maintenance, "a share of notional")
        if self.maintenance > 1.0 / self.max_leverage:
            raise ValueError(f"maintenance must not exceed initial margin, {1.0 / self.max_leverage:g}; got {self.maintenance!r}")

    def leverage(self, level):
        """Leverage condemned at ``level``; infinite where no leverage could be."""
        x = finite("level", level, "a log mark")
        sign = np.where(x > 0, -1.0, 1.0)
        with np.errstate(divide="ignore"):
            return plain(1.0 / np.maximum(sign * (1.0 - np.exp(x) * (1.0 - sign * self.maintenance)), 0.0))

    def _normal(self, leverage):
        """The truncated lognormal's distribution function and density."""
        low, high = (ndtr(self._score(edge)) for edge in (1.0, self.max_leverage))
        within = np.clip(leverage, 1.0, self.max_leverage)
        held = (leverage >= 1.0) & (leverage <= self.max_leverage)
        bell = np.exp(-0.5 * self._score(within) ** 2) / np.sqrt(2.0 * np.pi)
        return (ndtr(self._score(within)) - low) / (high - low), np.where(held, bell / (within * self.sd * (high - low)), 0.0)

    def _score(self, leverage):
        return np.log(np.asarray(leverage) / self.median) / self.sd

    def sold(self, level):
        """USD triggered once the mark has been at ``level``."""
        return plain(self.open_interest * (1.0 - self._normal(np.asarray(self.leverage(level)))[0]))

    def density(self, level):
        """USD per unit log mark at ``level``."""
        geared = np.asarray(self.leverage(level))
        known = np.where(np.isfinite(geared), geared, 1.0)
        slope = np.where(np.isfinite(geared), known * (known - np.where(np.asarray(level) > 0, -1.0, 1.0)), 0.0)
        return plain(self.open_interest * self._normal(geared)[1] * slope)

    def accounts(self, n: int, window: float = 0.01) -> Triggers:
        """``n`` equal accounts a side at the quantiles of the law."""
        number = int(count("n", n, "a number of accounts a side", least=1))
        low, high = (ndtr(self._score(edge)) for edge in (1.0, self.max_leverage))
        geared = self.median * np.exp(self.sd * ndtri(low + (np.arange(number) + 0.5) / number * (high - low)))
        side = np.repeat([1.0, -1.0], number)
        size = np.full(2 * number, self.open_interest / number)
        return account_triggers(side, size, 1.0 - side / np.tile(geared, 2), self.maintenance, window=window)


@dataclass(frozen=True)
class Triggers:
    """Accounts by the level at which each is condemned. Build with :func:`account_triggers` or :meth:`LeverageLaw.accounts`.

    Attributes
    ----------
    level
        Log mark, below 0 for longs and above 0 for shorts, nearest to 0 first on each side.
    size
        USD at the first price.
    window
        Width in log mark over which :meth:`density` counts.
    """

    level: np.ndarray
    size: np.ndarray
    window: float = 0.01

    def __post_init__(self) -> None:
        level, size = finite("level", self.level, "a log mark").ravel(), positive("size", self.size, "USD").ravel()
        if level.shape != size.shape or np.any(level == 0):
            raise ValueError(f"level holds one log mark, not 0, for each of the {size.size} sizes; got {level.size}, {np.sum(level == 0)} of them 0")
        positive("window", self.window, "a width in log mark")
        order = np.argsort(np.abs(level), kind="stable")
        object.__setattr__(self, "level", level[order])
        object.__setattr__(self, "size", size[order])

    def side(self, sign: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances (above 0) and sizes of the accounts below (-1) or above (+1) the first mark, nearest first."""
        mine = np.sign(self.level) == sign
        return np.abs(self.level[mine]), self.size[mine]

    def sold(self, level):
        """USD triggered once the mark has been beyond or at ``level``."""
        x = finite("level", level, "a log mark")
        total = np.zeros(x.shape)
        for sign in (-1, 1):
            far, size = self.side(sign)
            sums = np.concatenate(([0.0], np.cumsum(size)))
            total = np.where(np.sign(x) == sign, sums[np.searchsorted(far, np.abs(x), side="right")], total)
        return plain(total)

    def density(self, level):
        """USD per unit log mark, counted in ``window`` about ``level`` (cut at 0, where one side ends)."""
        x = finite("level", level, "a log mark")
        sign, far = np.where(x > 0, 1.0, -1.0), np.abs(x)
        near, deep = np.maximum(far - self.window / 2, 0.0), far + self.window / 2
        return plain((np.asarray(self.sold(sign * deep)) - np.asarray(self.sold(sign * near))) / (deep - near))


def account_triggers(side, size, bankruptcy, maintenance, price=1.0, window: float = 0.01) -> Triggers:
    """:class:`Triggers` of isolated accounts.

    Parameters
    ----------
    side
        +1 long, -1 short.
    size
        USD at ``price``, above 0.
    bankruptcy
        Price at which each has lost its collateral, USD; a long's of 0 or less can never be reached and is left out.
    maintenance
        Share of notional, one number.
    price
        The mark before the shock, USD.

    Raises
    ------
    ValueError
        If an account is condemned already.
    """
    sign = checked("side", side, lambda x: np.abs(x) == 1, "is +1 for a long, -1 for a short")
    worth, zero = positive("size", size, "USD"), finite("bankruptcy", bankruptcy, "a price in USD")
    rate = float(inside("maintenance", maintenance, "a share of notional"))
    open_to_loss = (zero > 0) & np.ones(np.broadcast_shapes(sign.shape, worth.shape, zero.shape), dtype=bool)
    if not open_to_loss.any():
        raise ValueError("bankruptcy is above 0 for no account: nobody can be liquidated; give at least one account with leverage above 1")
    sign, worth, zero = (np.broadcast_to(a, open_to_loss.shape)[open_to_loss] for a in (sign, worth, zero))
    level = np.log(zero / (1.0 - sign * rate) / float(positive("price", price, "the mark in USD")))
    done = sign * level >= 0
    if done.any():
        raise ValueError(f"bankruptcy of {float(zero[done][0]):g} puts an account below maintenance already; leave it out or lower maintenance")
    return Triggers(level, worth, window)


def slice_shift(maintenance, share, beyond=0.0, side: str = "long"):
    """Log distance from an account's trigger to its next one after it has sold a slice: negative, further down, for a long.

    Selling the share phi at the fill F turns b into ``(b - phi F) / (1 - phi)``; a fill at the log distance ``beyond`` past the trigger
    moves the trigger by ``log[(1 - s m - phi e^{-s beyond}) / ((1 - s m)(1 - phi))]``. About a quarter of maintenance for a fifth sold at
    the trigger, nothing for a fill at the bankruptcy price; a fill past that brings the next trigger nearer. Derived here.
    """
    sign = sign_of(side)
    kept = 1.0 - sign * inside("maintenance", maintenance, "a share of notional")
    part = inside("share", share, "the share of the position sold first")
    left = kept - part * np.exp(-sign * finite("beyond", beyond, "log distance from the trigger to the fill"))
    ratio = checked("share", left / (kept * (1.0 - part)), lambda x: x > 0, "must leave an account that can fail again; its ratio of triggers")
    return plain(np.log(ratio))


def sliced(population: Triggers, threshold, maintenance, share=0.2, slices: int = 1, landing=0.0) -> Triggers:
    """The population as a cascade meets it when accounts above ``threshold`` USD sell a slice first.

    A large account gives ``share`` of what it holds at each of ``slices`` triggers, :func:`slice_shift` apart, and the rest at the next
    one, or at once when it is no larger than the threshold. ``slices`` is 1 for a cascade inside one cooldown (Hyperliquid: a fifth, and
    everything if condemned again within 30 s), more for one that spans several. ``landing`` is the log mark to which the shock jumps:
    accounts passed on the way sell there, closer to bankruptcy, or whole beyond it. Fills are taken at the mark.
    """
    limit, part = float(positive("threshold", threshold, "USD")), float(inside("share", share, "the share sold first"))
    rate = float(inside("maintenance", maintenance, "a share of notional"))
    jump = float(finite("landing", landing, "a log mark"))
    level, left = population.level.copy(), population.size.copy()
    side = np.where(level < 0, "long", "short")
    levels, sizes = [], []
    for _ in range(int(count("slices", slices, "slices before the rest", least=1))):
        passed = np.maximum(np.abs(jump) - np.abs(level), 0.0) * (np.sign(jump) == np.sign(level))
        ruined = np.where(side == "long", np.exp(-passed) <= 1.0 - rate, np.exp(passed) >= 1.0 + rate)
        large = (left > limit) & ~ruined
        levels.append(level.copy())
        sizes.append(np.where(large, part * left, left))
        left = np.where(large, (1.0 - part) * left, 0.0)
        for name in ("long", "short"):
            mine = large & (side == name)
            if mine.any():
                level[mine] += slice_shift(rate, part, passed[mine], name)
    levels, sizes = np.concatenate([*levels, level]), np.concatenate([*sizes, left])
    return Triggers(levels[sizes > 0], sizes[sizes > 0], population.window)
