"""What every law of the log gap can do, and two laws made from another: its gap scaled, or capped.

A shortfall is integrated by parts, from tail probabilities, ``E[(exp(G) - k)+] = integral over x > ln k of P(G > x) exp(x)``, and the same
below for a long: only the tail that hurts enters. The one integral ``_by_parts`` carries limits and a power of the price, so that a cap and
a scale are exact transformations of it and compose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from perpkit._checks import positive
from perpkit._parts import by_parts, check_draw, check_factor, inside, like, scaled_record


class Law(ABC):
    """A law of the log gap. All draws go through the quantile, so that two laws fed the same uniforms see the same weekends.

    Every law has a ``name`` for legends and messages, and a ``record``: lowest and highest log gap observed, None where nothing was. A law
    of a reader's own gives ``_quantile`` and ``_cdf``; the rest follows from them.
    """

    name: str
    record: tuple[float, float] | None

    @abstractmethod
    def _quantile(self, p: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _cdf(self, x: np.ndarray) -> np.ndarray: ...

    def _isf(self, p: np.ndarray) -> np.ndarray:
        return self._quantile(1.0 - p)

    def _log_tail(self, x: np.ndarray, sign: float) -> np.ndarray:
        """Log of P(G > x) for sign 1, of P(G <= x) for -1."""
        chance = self._cdf(x)
        with np.errstate(divide="ignore"):
            return np.log1p(-chance) if sign > 0.0 else np.log(chance)

    def _by_parts(self, low: float, high: float, sign: float, power: float) -> float:
        """Integral of ``power exp(power x) P(G > x)`` from low to high, of P(G <= x) with sign -1. By quadrature, for a law without steps."""
        quartiles = self._quantile(np.array([0.25, 0.5, 0.75]))
        return by_parts(lambda x: self._log_tail(x, sign), low, high, sign, power, quartiles[1], quartiles[2] - quartiles[0], self.name)

    def _has_mean(self, power: float) -> bool:
        """Whether E[exp(power G)] exists: judged on how fast the upper tail falls where exp(power x) is about to leave the floats."""
        near, far = self._log_tail(np.array([350.0, 700.0]) / power, 1.0)
        return bool(np.isneginf(far) or far - near < -350.0)

    def _shortfall(self, margin: float, sign: float) -> float:
        strike = 1.0 + sign * margin
        if strike <= 0.0:  # a long with all its notional as margin
            return 0.0
        ends = (-np.inf, np.log(strike)) if sign < 0.0 else (np.log(strike), np.inf)
        return self._by_parts(*ends, sign, 1.0)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` independent gaps, shape (n,)."""
        check_draw(n, rng)
        return self._quantile(inside(rng.random(n)))

    def stratified(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """One gap from each of ``n`` strata of equal probability, lowest first, shape (n,)."""
        check_draw(n, rng)
        return self._quantile(inside((np.arange(n) + rng.random(n)) / n))

    def sobol(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Gaps at the first ``n`` points of a Sobol sequence scrambled by ``rng``, lowest first, shape (n,). Source: Owen 1998.

        Like ``stratified``, one gap in each stratum; the places within the strata depend on each other, and are more even.

        Raises
        ------
        ValueError
            If ``n`` is no power of two, which leaves the sequence unbalanced.
        """
        check_draw(n, rng)
        if n & (n - 1):
            near = 1 << int(n).bit_length()
            raise ValueError(f"n is a power of two for Sobol points; got {n!r}, take {near // 2} or {near}")
        points = qmc.Sobol(1, scramble=True, bits=53, rng=rng).random_base2(int(n).bit_length() - 1)
        return self._quantile(inside(np.sort(points[:, 0])))

    def quantile(self, p: float | np.ndarray) -> float | np.ndarray:
        """Lowest gap that at least the share ``p`` of the law lies at or below; in a sample, a gap on record, not interpolated."""
        shares = np.asarray(p, dtype=float)
        if not ((shares >= 0.0) & (shares <= 1.0)).all():
            raise ValueError(f"p is a probability, from 0 to 1; got {p!r}")
        return like(p, self._quantile(shares))

    def isf(self, p: float | np.ndarray) -> float | np.ndarray:
        """Gap that the share ``p`` of the law lies above: ``quantile(1 - p)``, exact for a ``p`` that 1 - p would round away."""
        shares = np.asarray(p, dtype=float)
        if not ((shares >= 0.0) & (shares <= 1.0)).all():
            raise ValueError(f"p is a probability, from 0 to 1; got {p!r}")
        return like(p, self._isf(shares))

    @property
    def has_mean(self) -> bool:
        """Whether E[exp(gap)] exists, and with it a short's mean loss."""
        return self._has_mean(1.0)

    def cdf(self, x: float | np.ndarray) -> float | np.ndarray:
        """Share of the law at or below the log gap ``x``."""
        gaps = np.asarray(x, dtype=float)
        if np.isnan(gaps).any():
            raise ValueError(f"x is a log gap; got {x!r}")
        return like(x, self._cdf(gaps))

    def shortfall(self, margin: float | np.ndarray, side: str = "long") -> float | np.ndarray:
        """Mean loss beyond ``margin`` per unit of notional at the close, E[(L - margin)+].

        Parameters
        ----------
        margin : collateral as a share of notional, 0 or more; 0.1 is a position opened at 10x.
        side : ``"long"``, L = 1 - exp(gap), or ``"short"``, L = exp(gap) - 1.

        Raises
        ------
        ValueError
            If margin or side is none of these, or the mean is infinite: a short's is under any law whose upper tail falls slower than
            exp(-gap), a Student-t among them.
        """
        margins = np.asarray(margin, dtype=float)
        if not (np.isfinite(margins) & (margins >= 0.0)).all():
            raise ValueError(f"margin is collateral as a share of notional, a finite number of 0 or more; got {margin!r}")
        sign = self._sign(side)
        return like(margin, np.array([self._shortfall(m, sign) for m in margins.ravel()]).reshape(margins.shape))

    def tail_share(self, margin: float, side: str = "long") -> float:
        """Part of ``shortfall(margin, side)`` that comes from gaps beyond the worst on record, from 0 to 1.

        nan where there is no record, or no shortfall to share out. Errors of :meth:`shortfall`.
        """
        whole, sign = float(self.shortfall(float(margin), side)), self._sign(side)
        if self.record is None or whole == 0.0:
            return np.nan
        worst = self.record[0 if sign < 0.0 else 1]
        loss = sign * np.expm1(worst)
        if loss <= margin:
            return 1.0
        # Strictly beyond: a sample's own worst gap is on record.
        edge = np.nextafter(worst, -np.inf) if sign < 0.0 else worst
        chance = float(np.exp(self._log_tail(np.array([edge]), sign)[0]))
        return ((loss - margin) * chance + self._shortfall(loss, sign)) / whole

    def expected_shortfall(self, level: float, side: str = "long") -> float:
        """Mean loss per unit of notional in the worst share ``1 - level`` of closures. Below 0 where even those gain.

        With q the quantile of the loss, ``q + E[(L - q)+] / (1 - level)``, which holds for laws with steps too (Rockafellar and Uryasev
        2000). Errors of :meth:`shortfall`, and ValueError unless ``level`` lies in (0, 1).
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level is a share of closures, between 0 and 1; got {level!r}")
        sign, worst = self._sign(side), np.array([1.0 - level])
        gap = float((self._quantile(worst) if sign < 0.0 else self._isf(worst))[0])
        loss = sign * np.expm1(gap)
        return float(loss + self._shortfall(loss, sign) / (1.0 - level))

    def scaled(self, factor: float) -> Law:
        """The law of ``factor`` times the gap, its record scaled with it: that of a shorter window, say."""
        return Scaled(self, check_factor(factor))

    def capped(self, limit: float) -> Law:
        """This law with every gap beyond plus or minus ``limit`` (log) moved to the limit, so that a short's mean exists. See Capped."""
        return Capped(self, limit)

    def _sign(self, side: str) -> float:
        if side not in ("long", "short"):
            raise ValueError(f"side is 'long' or 'short'; got {side!r}")
        if side == "short" and not self._has_mean(1.0):
            raise ValueError(
                f"a short's mean shortfall under {self.name} is infinite: the upper tail falls slower than exp(-gap), so E[exp(gap)] does not "
                "exist. Use gaps.empirical, law='kou', law='gpd', or this law with a stated cap, law.capped(limit)"
            )
        return -1.0 if side == "long" else 1.0


@dataclass(frozen=True, eq=False)
class Scaled(Law):
    """``factor`` times the gap of ``base``."""

    base: Law
    factor: float

    def __post_init__(self) -> None:
        check_factor(self.factor)

    @property
    def name(self) -> str:
        return f"{self.base.name}, scaled by {self.factor:.4g}"

    @property
    def record(self) -> tuple[float, float] | None:
        return scaled_record(self.base.record, self.factor)

    def _quantile(self, p: np.ndarray) -> np.ndarray:
        return self.factor * self.base._quantile(p)

    def _isf(self, p: np.ndarray) -> np.ndarray:
        return self.factor * self.base._isf(p)

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return self.base._cdf(x / self.factor)

    def _log_tail(self, x: np.ndarray, sign: float) -> np.ndarray:
        return self.base._log_tail(x / self.factor, sign)

    def _by_parts(self, low: float, high: float, sign: float, power: float) -> float:
        return self.base._by_parts(low / self.factor, high / self.factor, sign, power * self.factor)

    def _has_mean(self, power: float) -> bool:
        return self.base._has_mean(power * self.factor)

    def scaled(self, factor: float) -> Law:
        return Scaled(self.base, self.factor * check_factor(factor))


@dataclass(frozen=True, eq=False)
class Capped(Law):
    """``base`` with every gap beyond plus or minus ``limit`` set to the limit.

    Set to it, where a truncated law would drop such gaps: how often a gap is that large is what a sample can say something about, and stays
    as it was; only how much larger is given up. A shortfall is then a lower bound of the uncapped one, infinite or not.
    """

    base: Law
    limit: float

    def __post_init__(self) -> None:
        positive("limit", self.limit, "a log gap")

    @property
    def name(self) -> str:
        return f"{self.base.name}, capped at {self.limit:.4g}"

    @property
    def record(self) -> tuple[float, float] | None:
        return self.base.record

    def _quantile(self, p: np.ndarray) -> np.ndarray:
        return np.clip(self.base._quantile(p), -self.limit, self.limit)

    def _isf(self, p: np.ndarray) -> np.ndarray:
        return np.clip(self.base._isf(p), -self.limit, self.limit)

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return np.where(x < -self.limit, 0.0, np.where(x >= self.limit, 1.0, self.base._cdf(x)))

    def _log_tail(self, x: np.ndarray, sign: float) -> np.ndarray:
        none, all_ = (x >= self.limit, x < -self.limit) if sign > 0.0 else (x < -self.limit, x >= self.limit)
        return np.where(none, -np.inf, np.where(all_, 0.0, self.base._log_tail(x, sign)))

    def _by_parts(self, low: float, high: float, sign: float, power: float) -> float:
        # Beyond the cap on the far side every gap counts; beyond it on the near side none does.
        sure = (low, min(high, -self.limit)) if sign > 0.0 else (max(low, self.limit), high)
        value = np.exp(power * sure[1]) - np.exp(power * sure[0]) if sure[0] < sure[1] else 0.0
        low, high = max(low, -self.limit), min(high, self.limit)
        return float(value + (self.base._by_parts(low, high, sign, power) if low < high else 0.0))

    def _has_mean(self, power: float) -> bool:
        return True

    def scaled(self, factor: float) -> Law:
        return Capped(self.base.scaled(factor), self.limit * factor)
