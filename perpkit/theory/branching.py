"""The size of a liquidation cascade whose members each trigger n others on average.

Thresholds scattered as a Poisson process, each liquidation moving the mark by a fixed amount past n of them on average: a branching process
with Poisson offspring. From a Poisson first generation of mean a its total is ``P(N = j) = a (a + j n)^{j - 1} e^{-a - j n} / j!``, the
Borel-Tanner law mixed over its first generation. Sources: Tanner, Biometrika 48 (1961); the amplification of a shock as in Cont and
Wagalath 2016 (doi:10.1111/mafi.12071).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, lambertw, xlogy

from perpkit.theory._check import count, finite, not_negative, plain


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
