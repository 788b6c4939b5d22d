"""The size of a liquidation cascade whose members each trigger n others on average.

Thresholds scattered as a Poisson process, each liquidation moving the mark by a fixed amount past n of them on average: a branching process
with Poisson offspring. From a Poisson first generation of mean a its total is ``P(N = j) = a (a + j n)^{j - 1} e^{-a - j n} / j!``, the
Borel-Tanner law mixed over its first generation (Consul's generalised Poisson law). Sources: Tanner, Biometrika 48 (1961); Harris, The
Theory of Branching Processes (1963); the amplification of a shock as in Cont and Wagalath 2016 (doi:10.1111/mafi.12071).

The law is exact for accounts of one size and no refill. Accounts of different sizes keep the mean and spread further: :func:`mixed_variance`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, lambertw, xlogy
from scipy.stats import rv_discrete

from perpkit.theory._check import checked, count, finite, not_negative, plain


@dataclass(frozen=True)
class Cascade:
    """Total number liquidated, first generation included.

    Attributes
    ----------
    reproduction
        n, the mean number each liquidation triggers.
    first_generation
        a, the mean number the shock itself triggers.
    """

    reproduction: float
    first_generation: float

    @property
    def mean(self) -> float:
        """Mean size ``a / (1 - n)``; infinite from n = 1 (0 if nothing starts)."""
        return self._moment(1)

    @property
    def variance(self) -> float:
        """Variance ``a / (1 - n)^3``; infinite from n = 1 (0 if nothing starts)."""
        return self._moment(3)

    def _moment(self, power: int) -> float:
        if self.first_generation == 0:
            return 0.0
        return self.first_generation / (1.0 - self.reproduction) ** power if self.reproduction < 1 else float("inf")

    @property
    def runaway(self) -> float:
        """Probability that the cascade never stops by itself.

        Zero up to n = 1, then ``1 - e^{-a (1 - q)}`` with q the root below 1 of ``q = e^{n (q - 1)}``.
        """
        if self.reproduction <= 1:
            return 0.0
        extinct = -lambertw(-self.reproduction * np.exp(-self.reproduction)).real / self.reproduction
        return float(-np.expm1(-self.first_generation * (1.0 - extinct)))

    def pmf(self, j):
        """Probability of exactly ``j`` liquidations; above n = 1 the probabilities sum to ``1 - runaway``."""
        size = count("j", j, "a number of liquidations")
        start, offspring = self.first_generation, self.reproduction
        if start == 0:
            return plain(np.where(size == 0, 1.0, 0.0))
        log = np.log(start) + xlogy(size - 1.0, start + size * offspring) - start - size * offspring - gammaln(size + 1.0)
        return plain(np.exp(log))

    def cdf(self, j):
        """Probability of at most ``j`` liquidations."""
        size = count("j", j, "a number of liquidations").astype(int)
        return plain(np.cumsum(self.pmf(np.arange(size.max() + 1)))[size])

    def generation(self, k):
        """Mean number liquidated in generation ``k`` (0 is the shock's own): ``a n^k``."""
        return plain(self.first_generation * self.reproduction ** count("k", k, "a generation"))

    @property
    def dispersion(self) -> float:
        """Variance over mean, ``1 / (1 - n)^2``: what blows up as n nears 1."""
        return 1.0 / (1.0 - self.reproduction) ** 2 if self.reproduction < 1 else float("inf")


def cascade(n, first_generation) -> Cascade:
    """Checked :class:`Cascade` from reproduction number ``n`` and mean first generation, both 0 or more."""
    offspring = not_negative("n", n, "the mean number each liquidation triggers")
    return Cascade(float(offspring), float(not_negative("first_generation", first_generation, "the mean number the shock triggers")))


def amplification(shock, n):
    """Total move when each unit of move forces n more: ``shock / (1 - n)``, infinite (with the shock's sign) from n = 1.

    Deterministic limit of many small accounts, with n = (liquidations per unit of log price) x (permanent impact of one); arguments
    broadcast.
    """
    first = finite("shock", shock, "the first move, any unit")
    again = not_negative("n", n, "the move each unit of move forces")
    with np.errstate(divide="ignore", invalid="ignore"):
        total = first / (1.0 - again)
    return plain(np.where(again < 1, total, np.where(first == 0, 0.0, np.copysign(np.inf, first))))


class _BorelTanner(rv_discrete):
    """Total of a cascade of ``ancestors`` first members, each member triggering Poisson(``n``) others; n from 0 to 1."""

    def _argcheck(self, n, ancestors):
        return (n >= 0) & (n <= 1) & (ancestors >= 1) & (ancestors == np.floor(ancestors))

    def _get_support(self, n, ancestors):
        return ancestors, np.inf

    def _logpmf(self, x, n, ancestors):
        more = x - ancestors
        return np.log(ancestors) - np.log(x) - x * n + xlogy(more, x * n) - gammaln(more + 1.0)

    def _pmf(self, x, n, ancestors):
        return np.exp(self._logpmf(x, n, ancestors))

    def _stats(self, n, ancestors):
        left = np.where(n < 1, 1.0 - n, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean, variance = ancestors / left, ancestors * n / left**3
            skew = (1.0 + 2.0 * n) / np.sqrt(ancestors * n * left)
            kurtosis = (1.0 + 8.0 * n + 6.0 * n**2) / (ancestors * n * left)
        return tuple(np.where(n < 1, moment, np.inf) for moment in (mean, variance)) + (skew, kurtosis)

    def _rvs(self, n, ancestors, size=None, random_state=None):
        total = living = np.array(np.broadcast_to(ancestors, size if size is not None else ()), dtype=np.int64)
        while np.any(living):
            living = random_state.poisson(n * living)
            total = total + living
        return total


_BOREL_TANNER = _BorelTanner(name="borel_tanner", shapes="n, ancestors")


def borel_tanner(n, ancestors=1):
    """Size of a cascade given ``ancestors`` in its first generation: a frozen ``scipy.stats`` distribution.

    ``P(N = j) = (k / j) e^{-j n} (j n)^{j - k} / (j - k)!`` from k on; mean ``k / (1 - n)``, variance ``k n / (1 - n)^3``, both infinite at
    n = 1. ``n`` is in [0, 1]: beyond, some of the mass lies at infinity (:attr:`Cascade.runaway`). Source: Tanner 1961.
    """
    offspring = checked("n", n, lambda x: (x >= 0) & (x <= 1), "is the mean number each liquidation triggers, in [0, 1]")
    return _BOREL_TANNER(n=plain(offspring), ancestors=plain(count("ancestors", ancestors, "the size of the first generation", least=1)))


def mixed_variance(n, first_generation, size_cv):
    """Variance of a cascade's size, in units of the mean account, when sizes differ: independent of triggers, standard deviation over mean
    ``size_cv``.

    An account pushes in proportion to its size, so its offspring are Poisson with a random mean; with Poisson first generation a the total
    has variance ``a (1 + c^2) / (1 - n)^3`` and mean ``a / (1 - n)``. Infinite from n = 1. Derived here.
    """
    offspring = not_negative("n", n, "the mean number each liquidation triggers")
    start = not_negative("first_generation", first_generation, "the mean number the shock triggers")
    spread = not_negative("size_cv", size_cv, "sd over mean of sizes")
    with np.errstate(divide="ignore", invalid="ignore"):
        value = start * (1.0 + spread**2) / (1.0 - offspring) ** 3
    return plain(np.where(offspring < 1, value, np.where(start == 0, 0.0, np.inf)))
