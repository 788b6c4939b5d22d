"""Priors of the laws of the gap: one frozen class a law, each parameter with its marginal, all independent.

They are weak: in round units, wide enough that 800 weekends decide, and proper, so that a chain can start from a draw of the prior and
simulation-based calibration can be run. A plain model is for the log gap, in units of 1 %. A volatility model is for the gap over the sd of the
20 daily returns before it, in units of half such an sd. Where a short's mean loss exists under the law at all, the prior keeps it in being with
probability one; whoever computes that loss rests on the prior there, because no sample of this size sees the end of the tail.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from scipy import special

from perpkit._checks import positive

NAMES = ("default", "heavier", "lighter")
"""Named priors of every law. The rivals differ from the default only in what governs the tail (of a Normal: the scale)."""

_OUT = 5.0


class Marginal(ABC):
    """A prior of one parameter, and the map from the real line, where the sampler walks, to where the parameter lives.

    ``scipy.stats`` has these densities too; its argument checks cost more than the likelihood of 800 weekends, at every step.
    """

    @abstractmethod
    def logpdf(self, x: np.ndarray) -> np.ndarray:
        """Log density at ``x``, inside the support."""

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` draws, shape (n,)."""

    @abstractmethod
    def from_line(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The parameter at the point ``u`` of the line, and the log of its slope there."""

    @abstractmethod
    def to_line(self, x: np.ndarray) -> np.ndarray:
        """The point of the line of the parameter ``x``."""


class _Positive(Marginal):
    def from_line(self, u):
        return np.exp(u), u

    def to_line(self, x):
        return np.log(x)


class _Bounded(Marginal):
    top: float

    def from_line(self, u):
        return self.top * special.expit(u), np.log(self.top) + special.log_expit(u) + special.log_expit(-u)

    def to_line(self, x):
        return special.logit(x / self.top)


@dataclass(frozen=True)
class Normal(Marginal):
    """Normal, on the whole line."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        positive("sd", self.sd, "the standard deviation of a prior")

    def logpdf(self, x):
        return -(((x - self.mean) / self.sd) ** 2) / 2.0 - np.log(self.sd * np.sqrt(2.0 * np.pi))

    def draw(self, n, rng):
        return rng.normal(self.mean, self.sd, n)

    def from_line(self, u):
        return u, np.zeros_like(u)

    def to_line(self, x):
        return np.asarray(x, dtype=float)


@dataclass(frozen=True)
class LogNormal(_Positive):
    """Its logarithm is Normal with mean ``log(median)`` and standard deviation ``sd``."""

    median: float
    sd: float

    def __post_init__(self) -> None:
        positive("median", self.median, "the median of a prior")
        positive("sd", self.sd, "the standard deviation of a logarithm")

    def logpdf(self, x):
        return Normal(np.log(self.median), self.sd).logpdf(np.log(x)) - np.log(x)

    def draw(self, n, rng):
        return self.median * np.exp(self.sd * rng.standard_normal(n))


@dataclass(frozen=True)
class Gamma(_Positive):
    """Gamma with mean ``shape / rate``."""

    shape: float
    rate: float

    def __post_init__(self) -> None:
        positive("shape", self.shape, "the shape of a Gamma prior")
        positive("rate", self.rate, "the rate of a Gamma prior")

    def logpdf(self, x):
        return self.shape * np.log(self.rate) - special.gammaln(self.shape) + (self.shape - 1.0) * np.log(x) - self.rate * x

    def draw(self, n, rng):
        return rng.gamma(self.shape, 1.0 / self.rate, n)


@dataclass(frozen=True)
class Beta(_Bounded):
    """Beta, on 0 to 1."""

    a: float
    b: float
    top: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        positive("a", self.a, "the first shape of a Beta prior")
        positive("b", self.b, "the second shape of a Beta prior")

    def logpdf(self, x):
        return (self.a - 1.0) * np.log(x) + (self.b - 1.0) * np.log1p(-x) - special.betaln(self.a, self.b)

    def draw(self, n, rng):
        return rng.beta(self.a, self.b, n)


@dataclass(frozen=True)
class LogitNormal(_Bounded):
    """A log-normal bent to stay below ``top``: the odds x / (top - x) are log-normal, with x at ``median`` in the middle."""

    median: float
    sd: float
    top: float

    def __post_init__(self) -> None:
        positive("sd", self.sd, "the standard deviation of the log odds")
        if not 0.0 < self.median < self.top < np.inf:
            raise ValueError(f"median lies between 0 and top; got median={self.median!r}, top={self.top!r}")

    def logpdf(self, x):
        odds = Normal(self.to_line(self.median), self.sd)
        return odds.logpdf(self.to_line(x)) + np.log(self.top / x) - np.log(self.top - x)

    def draw(self, n, rng):
        return self.from_line(rng.normal(self.to_line(self.median), self.sd, n))[0]


@dataclass(frozen=True)
class Prior:
    """Independent marginals, one a field, in the order in which the sampler holds them."""

    law: ClassVar[str]

    def __post_init__(self) -> None:
        for field in fields(self):
            if not isinstance(value := getattr(self, field.name), Marginal):
                raise ValueError(f"{field.name} of the {self.law} prior is a Marginal, such as priors.Gamma(2.0, 0.1); got {value!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(field.name for field in fields(self))

    @property
    def marginals(self) -> tuple[Marginal, ...]:
        """Their marginals, in that order."""
        return tuple(getattr(self, name) for name in self.names)

    def logpdf(self, parameters: dict[str, np.ndarray]) -> np.ndarray:
        """Joint log density."""
        return sum(getattr(self, name).logpdf(parameters[name]) for name in self.names)

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """``n`` independent sets of parameters, each an array of shape (n,)."""
        return {name: getattr(self, name).draw(n, rng) for name in self.names}

    def from_line(self, points: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Parameters at points of the line, shape (..., parameters), and the log of the map's Jacobian there."""
        pairs = [marginal.from_line(points[..., k]) for k, marginal in enumerate(self.marginals)]
        return {name: value for name, (value, _) in zip(self.names, pairs)}, sum(slope for _, slope in pairs)

    def to_line(self, parameters: dict[str, np.ndarray]) -> np.ndarray:
        """The inverse, shape (..., parameters)."""
        return np.stack([marginal.to_line(parameters[name]) for name, marginal in zip(self.names, self.marginals)], axis=-1)


@dataclass(frozen=True)
class NormalPrior(Prior):
    """A Normal gap."""

    law: ClassVar[str] = "normal"
    loc: Marginal
    scale: Marginal


@dataclass(frozen=True)
class StudentT(Prior):
    """A Student-t gap with ``df`` degrees of freedom, by default Gamma(2, 0.1): mean 20, vanishing at 0 (Juarez and Steel 2010)."""

    law: ClassVar[str] = "t"
    df: Marginal
    loc: Marginal
    scale: Marginal


@dataclass(frozen=True)
class SkewT(Prior):
    """Jones and Faddy's skew t: tail indices ``2 a`` below and ``2 b`` above, each with the prior of the symmetric law's one."""

    law: ClassVar[str] = "skew-t"
    a: Marginal
    b: Marginal
    loc: Marginal
    scale: Marginal


@dataclass(frozen=True)
class AsymmetricLaplace(Prior):
    """Exponential on either side of ``loc``, with mean sizes ``fall`` below and ``rise`` above."""

    law: ClassVar[str] = "laplace"
    fall: Marginal
    rise: Marginal
    loc: Marginal


@dataclass(frozen=True)
class OneJump(Prior):
    """Normal that jumps with probability ``chance``, upwards in the share ``upward`` of cases; mean jump sizes ``fall`` and ``rise``."""

    law: ClassVar[str] = "kou"
    chance: Marginal
    upward: Marginal
    fall: Marginal
    rise: Marginal
    loc: Marginal
    scale: Marginal


@dataclass(frozen=True)
class TemperedT(Prior):
    """Student-t whose power law dies out as exp(-``|gap - loc|`` / ``reach``). The likelihood hardly knows reach above the widest gap on record."""

    law: ClassVar[str] = "tempered-t"
    reach: Marginal
    df: Marginal
    loc: Marginal
    scale: Marginal

    # The record knows how fast the tail falls some five scales out, df + 5 scale / reach, and hardly which of the two makes it fall. The
    # walker steps in the logarithm of that sum; where it leaves df below 0 the density is 0.
    def from_line(self, points):
        values, slope = super().from_line(points)
        return values | {"df": values["df"] - _OUT * values["scale"] / values["reach"]}, slope

    def to_line(self, parameters):
        return super().to_line(parameters | {"df": parameters["df"] + _OUT * parameters["scale"] / parameters["reach"]})


LAWS = ("normal", "t", "skew-t", "laplace", "kou", "tempered-t")
"""Laws with a density, which can be fitted this way."""


def prior(law: str, name: str = "default", volatility: bool = False) -> Prior:
    """The named prior of a law. For one of your own, ``dataclasses.replace`` a field of it.

    With u = 1 % (in a volatility model half an sd of a day): ``loc`` is Normal(0, u); ``scale`` log-normal about u within a factor e, which
    covers an index fund and a meme stock. ``df`` is Gamma(2, 0.1), heavier Gamma(2, 1), lighter Gamma(5, 0.5), with modes 10, 1 and 8. Mean
    sizes of exponential tails are about u (of jumps 3 u), or three times (twice) that, or a third (half), and stay below half a log unit, so that
    E[exp(gap)] exists. The ``reach`` of the tempered t is about 0.25 of a log unit, or 0.5, or 0.1, and stays below 1 for the same reason.
    In a volatility model reach is about 5, 6.5 or 3 sds of a day and stays below 8, sizes below 4: enough up to volatilities of 12 % a day.

    Raises
    ------
    ValueError
        If law or name is unknown.
    """
    if law not in LAWS:
        raise ValueError(f"no law {law!r} with a density; choose one of {', '.join(map(repr, LAWS))}")
    if name not in NAMES:
        raise ValueError(f"no prior {name!r}; choose one of {', '.join(map(repr, NAMES))}, or give a priors.Prior of your own")
    u, top = (0.5, 8.0) if volatility else (0.01, 1.0)
    rival = NAMES.index(name)
    loc, scale = Normal(0.0, u), LogNormal(u, 1.0)
    if law == "normal":
        return NormalPrior(loc, (scale, LogNormal(3.0 * u, 0.5), LogNormal(u / 3.0, 0.5))[rival])
    if law == "laplace":
        size = LogitNormal((u, 3.0 * u, u / 3.0)[rival], 1.0, top / 2.0)
        return AsymmetricLaplace(size, size, loc)
    if law == "kou":
        size = LogitNormal((3.0 * u, 6.0 * u, 1.5 * u)[rival], 0.7, top / 2.0)
        return OneJump(Beta(1.0, 4.0), Beta(2.0, 2.0), size, size, loc, scale)
    shape, rate = ((2.0, 0.1), (2.0, 1.0), (5.0, 0.5))[rival]
    if law == "t":
        return StudentT(Gamma(shape, rate), loc, scale)
    if law == "skew-t":
        return SkewT(Gamma(shape, 2.0 * rate), Gamma(shape, 2.0 * rate), loc, scale)
    reach = LogitNormal(((5.0, 6.5, 3.0) if volatility else (0.25, 0.5, 0.1))[rival], 1.0, top)
    return TemperedT(reach, Gamma(2.0, 0.1), loc, scale)


def choose(law: str, prior_or_name: Prior | str, volatility: bool) -> Prior:
    """The prior that is given or named. ValueError if it is unknown, or one of another law."""
    known = prior(law, "default" if isinstance(prior_or_name, Prior) else prior_or_name, volatility)
    if not isinstance(prior_or_name, Prior):
        return known
    if prior_or_name.law != law:
        raise ValueError(f"the prior is one of law {prior_or_name.law!r}; law {law!r} takes a priors.{type(known).__name__}")
    return prior_or_name
