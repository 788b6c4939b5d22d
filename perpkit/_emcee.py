"""Ensembles of walkers (emcee) for a posterior of a few parameters and some hundred gaps.

Each ensemble starts from its own draws of the prior and finds the posterior by differential evolution. What it saw there shapes a proposal,
each parameter a quadratic in those before it plus noise, which is drawn anew whatever the walker's place; differential evolution stays in the
mix for what that shape misses. A walker then forgets in two to eight steps, against ten to forty with stretch moves or differential evolution alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache

import emcee
import numpy as np

from perpkit._likelihood import LIKELIHOODS
from perpkit.priors import Prior

_TAIL = 5.0  # degrees of freedom of the proposal: tails heavier than a posterior's, so that no walker is stuck in one


@dataclass(frozen=True)
class Schedule:
    """``ensembles`` of ``walkers``; ``burn`` steps thrown away, ``steps`` walked, ``keep`` of them stored, evenly spaced."""

    ensembles: int = 3
    walkers: int = 20
    burn: int = 400
    steps: int = 480
    keep: int = 60

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{field.name} of a Schedule is a whole number of 1 or more; got {value!r}")
        if self.walkers % 2 or self.walkers < 12:
            raise ValueError(f"walkers are split in two halves and number 12 or more, twice the parameters of the largest law; got {self.walkers}")
        if self.steps % self.keep:
            raise ValueError(f"steps is a multiple of keep; got {self.steps} and {self.keep}")


@dataclass(frozen=True, eq=False)
class Walk:
    """Result of :func:`walk`: parameters of the prior, each of shape (ensembles * walkers, keep), an ensemble's walkers side by side;
    integrated autocorrelation times in steps, the largest over ensembles; share of moves accepted; and every point of the last ensemble, shape
    (steps, walkers, parameters), on the line."""

    parameters: dict[str, np.ndarray]
    times: dict[str, float]
    accepted: float
    points: np.ndarray


def log_posterior(prior: Prior, x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Function from points of the line, shape (walkers, parameters), to the log posterior of gaps ``x`` there, up to a constant."""
    likelihood = LIKELIHOODS[prior.law]

    def at(points: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):  # a walker far out may over- or underflow: its density is then 0
            parameters, slope = prior.from_line(points)
            native = likelihood.native(*parameters.values())
            total = prior.logpdf(parameters) + slope + likelihood.logpdf(x, tuple(value[:, None] for value in native)).sum(axis=1)
        return np.where(np.isfinite(total), total, -np.inf)

    return at


def walk(prior: Prior, x: np.ndarray, rng: np.random.Generator, schedule: Schedule, before: Walk | None = None) -> Walk:
    """Draws from the posterior of the prior's law given the gaps ``x``, shape (n,).

    ``before`` is a walk of the same prior and as many walkers on nearly the same gaps, such as those of a year ago: walkers go on from where
    it ended, and the search, half of the burn-in, is left out.

    emcee draws from a ``RandomState`` of its own, set from ``rng`` by the ``random_state`` of its initial ``State``: the same generator state
    gives the same draws, whatever numpy's global state is, and that does not move. Walks may run in threads side by side.
    """
    log_prob, dimensions = log_posterior(prior, x), len(prior.names)
    chains, times, accepted = [], [], []
    for _ in range(schedule.ensembles):
        start = prior.to_line(prior.draw(schedule.walkers, rng)) if before is None else before.points[-1]
        state = emcee.State(start, random_state=np.random.RandomState(rng.integers(2**32, size=8)).get_state())
        if before is None:
            # New moves each time: emcee's keep what they are set up for, and threads must not share that. The snooker is here to search only:
            # emcee 3.1 takes half the logarithm of its Jacobian, so that its draws are a little too narrow (tests/test_tailindex.py sees it).
            search = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
            found, state = _run(state, log_prob, search, schedule.burn - 2 * (schedule.burn // 4))
            seen = found.get_chain(discard=found.iteration // 2, flat=True)
        else:
            seen = before.points.reshape(-1, dimensions)
        for _ in range(2):  # the last quarters of the burn-in each walk with what was seen before, and so see more of it
            found, state = _run(state, log_prob, _mix(seen), schedule.burn // 4)
            seen = found.get_chain(flat=True)
        sampler, _ = _run(state, log_prob, _mix(seen), schedule.steps)
        times.append(sampler.get_autocorr_time(tol=0))
        accepted.append(sampler.acceptance_fraction.mean())
        chains.append(sampler.get_chain(thin=schedule.steps // schedule.keep).swapaxes(0, 1))
    parameters, _ = prior.from_line(np.concatenate(chains))
    return Walk(parameters, dict(zip(prior.names, np.max(times, axis=0).tolist())), float(np.mean(accepted)), sampler.get_chain())


def _run(state, log_prob, moves, steps):
    sampler = emcee.EnsembleSampler(*state.coords.shape, log_prob, moves=moves, vectorize=True)
    return sampler, sampler.run_mcmc(state, steps)


def _mix(seen: np.ndarray) -> list[tuple[emcee.moves.Move, float]]:
    return [(_bent(seen), 0.85), (emcee.moves.DEMove(), 0.15)]


def _bent(seen: np.ndarray) -> emcee.moves.MHMove:
    """Proposals shaped like the points ``seen``, shape (n, parameters), wherever the walker is: each coordinate a quadratic in those before it,
    by least squares, plus multivariate t noise. The map from noise to point is triangular with constant slopes, so its density is the noise's."""
    mean, sd = seen.mean(axis=0), seen.std(axis=0)
    if not (sd > 0.0).all():
        raise ValueError("the walkers have not moved; give the Schedule a longer burn")
    y, dimensions = (seen - mean) / sd, seen.shape[1]
    bends, widths = [], []
    for k in range(dimensions):
        terms = _quadratic(y, k)
        bend = np.linalg.lstsq(terms.T @ terms, terms.T @ y[:, k])[0]  # of the normal matrix: a hundred times faster, and no worse a proposal
        bends.append(bend)
        widths.append((y[:, k] - terms @ bend).std())

    def log_density(noise):
        return -(_TAIL + dimensions) / 2.0 * np.log1p((noise**2).sum(axis=1) / _TAIL)

    def noise_at(points):
        y = (points - mean) / sd
        return np.column_stack([(y[:, k] - _quadratic(y, k) @ bends[k]) / widths[k] for k in range(dimensions)])

    def propose(points, random):
        noise = random.standard_normal(points.shape) / np.sqrt(random.chisquare(_TAIL, (len(points), 1)) / _TAIL)
        y = np.empty_like(noise)
        for k in range(dimensions):
            y[:, k] = _quadratic(y, k) @ bends[k] + widths[k] * noise[:, k]
        return mean + sd * y, log_density(noise_at(points)) - log_density(noise)

    return emcee.moves.MHMove(propose)


@lru_cache(maxsize=None)
def _pairs(k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.tril_indices(k)


def _quadratic(y: np.ndarray, k: int) -> np.ndarray:
    """One, the first k coordinates, and their products by twos."""
    rows, columns = _pairs(k)
    out = np.empty((len(y), 1 + k + rows.size))
    out[:, 0] = 1.0
    out[:, 1 : k + 1] = y[:, :k]
    np.multiply(y[:, rows], y[:, columns], out=out[:, k + 1 :])
    return out
