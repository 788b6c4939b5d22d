"""The one integral behind every shortfall, and the checks and small conversions that the laws share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import integrate

from perpkit._checks import is_number, needs_generator

_FAR = 1e7
"""Log price beyond which no law with a finite mean has anything left."""


def by_parts(
    log_tail: Callable[[np.ndarray], np.ndarray], low: float, high: float, sign: float, power: float, centre: float, width: float, name: str
) -> float:
    """Integral of ``power exp(power x + log_tail(x))`` by the tanh-sinh rule, in panels that grow threefold away from the law's centre."""
    if sign < 0.0:
        low = max(low, min(high, centre) - 50.0 / power)  # what is left below is exp(-50) of the strike at most
    reach = width * 3.0 ** np.arange(np.ceil(np.log(_FAR / width) / np.log(3.0)))
    low, high = max(low, centre - reach[-1]), min(high, centre + reach[-1])
    if low >= high:
        return 0.0
    stops = np.concatenate((centre - reach[::-1], [centre], centre + reach))
    stops = np.concatenate(([low], stops[(stops > low) & (stops < high)], [high]))
    result = integrate.tanhsinh(lambda x: power * np.exp(power * x + log_tail(x)), stops[:-1], stops[1:], rtol=1e-10, atol=1e-300)
    value = float(result.integral.sum())
    if not np.isfinite(value) or result.error.sum() > 1e-7 * value + 1e-290:
        raise ValueError(f"the shortfall of {name} did not settle: {value:.6g} with error {result.error.sum():.2g}; its cdf needs to be smooth")
    return value


def scaled_record(record: tuple[float, float] | None, factor: float) -> tuple[float, float] | None:
    """The record of ``factor`` times the gap."""
    return None if record is None else (factor * record[0], factor * record[1])


def check_factor(factor: float) -> float:
    """``factor`` if it can scale a gap."""
    if not (is_number(factor) and 0.0 < factor < np.inf):
        raise ValueError(f"factor multiplies the gap, a finite number above 0; got {factor!r}")
    return float(factor)


def check_draw(n: int, rng: np.random.Generator) -> None:
    """Raise unless ``n`` draws can be made with ``rng``."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n is the number of draws, a whole number of 1 or more; got {n!r}")
    needs_generator(rng)


def like(argument: float | np.ndarray, result: np.ndarray) -> float | np.ndarray:
    """A float for a scalar argument, an array of its shape otherwise."""
    return float(result) if np.ndim(argument) == 0 else result


def inside(p: np.ndarray) -> np.ndarray:
    """Shares kept off 0 and 1, where a quantile may be infinite, and off 1e-200, where that of scipy's t changes sign."""
    return np.clip(p, 1e-100, np.nextafter(1.0, 0.0))
