"""First passage, overshoot and execution noise (catalogue 18, 19, 21)."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.signal import fftconvolve

from perpkit.theory import MONITORING, hit_probability, kou_overshoot, monitoring_overshoot, twap_noise_variance


def test_constant_from_another_series():  # catalogue 19
    """zeta(1/2) from the alternating series, averaged by Euler's transform, instead of Euler-Maclaurin."""
    partial = np.cumsum((-1.0) ** np.arange(60) / np.sqrt(np.arange(1, 61)))
    while partial.size > 1:
        partial = (partial[1:] + partial[:-1]) / 2
    assert MONITORING == pytest.approx(-partial[0] / (1 - np.sqrt(2)) / np.sqrt(2 * np.pi), abs=1e-13)
    assert MONITORING == pytest.approx(0.5826, abs=5e-5)


def test_reflection():  # catalogue 18
    assert hit_probability(0.05, 0.03) == pytest.approx(0.09558, abs=5e-6)
    assert hit_probability(0.0, 0.03) == 1.0


@pytest.mark.parametrize("drift", [-0.5, -0.02, 0.03, 4.0])
def test_drift_from_the_density_of_the_first_passage(drift):  # catalogue 18
    density = lambda t: 0.05 / (0.03 * np.sqrt(2 * np.pi * t**3)) * np.exp(-((0.05 + drift * t) ** 2) / (2 * 0.03**2 * t))  # noqa: E731
    assert hit_probability(0.05, 0.03, drift) == pytest.approx(quad(density, 0, 1, epsabs=1e-13, limit=500, points=[0.01, 0.1])[0], rel=1e-6, abs=1e-12)


def watched(distance, sd, steps, cells=60):
    """Chance that a walk looked at ``steps`` times is ever below the level, from its density carried forward on a grid (no sampling)."""
    step = sd / np.sqrt(steps)
    width = step / cells
    grid = width * (np.arange(int((distance + 8 * sd) / width)) + 0.5)  # height above the level
    near = np.arange(-8 * cells, 8 * cells + 1) * width
    kernel = stats.norm.pdf(near, 0, step) * width
    alive = stats.norm.pdf(grid, distance, step) * width
    for _ in range(steps - 1):
        alive = fftconvolve(alive, kernel, mode="same")
    return 1 - alive.sum()


def test_monitoring_correction():  # catalogue 18
    for steps, expected, residual in ((200, 0.08766, 2.5e-3), (20, 0.07235, 0.026)):
        corrected, exact = hit_probability(0.05, 0.03, steps=steps), watched(0.05, 0.03, steps)
        assert corrected == pytest.approx(expected, abs=6e-5)
        assert corrected == pytest.approx(exact, rel=residual)
        assert hit_probability(0.05, 0.03) > 1.05 * exact  # without the correction


def test_overshoot_of_a_watched_diffusion():  # catalogue 19
    """Mean overshoot of 10,000 walks, 8 deviations away, within 4 standard errors (a false alarm in 16,000); not a first ladder height."""
    rng = np.random.default_rng(19)
    height, past = np.full(10_000, 8.0), []
    for _ in range(3_000):
        height -= rng.standard_normal(height.size)
        past.append(-height[height < 0])
        height = height[height >= 0]
    past = np.concatenate(past)
    error = past.std() / np.sqrt(past.size)
    assert abs(past.mean() - monitoring_overshoot(1.0, 1.0)) < 4 * error < 0.5 * (np.sqrt(0.5) - MONITORING)
    assert monitoring_overshoot(0.3, 0.25) == pytest.approx(MONITORING * 0.15)


def test_overshoot_of_a_jump_is_memoryless():  # catalogue 19
    """Kolmogorov-Smirnov at level 1e-3 for two levels; the same test refuses a rate a fifth too high."""
    rng, rate = np.random.default_rng(20), 25.0
    for distance in (0.02, 0.3):
        jumps = np.where(rng.random((6_000, 300)) < 0.7, -rng.exponential(1 / rate, (6_000, 300)), rng.exponential(1 / 40, (6_000, 300)))
        path = np.cumsum(jumps, axis=1)
        crossed = (path < -distance).any(axis=1)
        past = -distance - path[crossed, (path < -distance).argmax(axis=1)[crossed]]
        assert crossed.mean() > 0.99
        assert stats.kstest(past, kou_overshoot(rate).cdf).pvalue > 1e-3
        assert stats.kstest(past, kou_overshoot(1.2 * rate).cdf).pvalue < 1e-3
    assert kou_overshoot(rate).expect(lambda x: -np.expm1(-x)) == pytest.approx(1 / (rate + 1))


def test_twap_noise():  # catalogue 21
    for slices in (1, 2, 7, 400):
        when = np.arange(1, slices + 1) / slices
        exact = np.minimum.outer(when, when).mean()  # the covariance of a random walk at those times, averaged
        assert twap_noise_variance(0.02, 3.0, slices) == pytest.approx(0.02**2 * 3.0 * exact, rel=1e-12)
    assert twap_noise_variance(0.02, 3.0) == pytest.approx(0.02**2 * 3 / 3)
    assert twap_noise_variance(0.02, 3.0, 10_000) == pytest.approx(twap_noise_variance(0.02, 3.0), rel=2e-4)
