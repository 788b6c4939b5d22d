"""Funds and haircuts (catalogue 25, 27, 28)."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

from perpkit.theory import adjustment_coefficient, cover, haircut_level, newsvendor_fund, queue_excess, ruin_probability


def test_newsvendor_is_a_quantile():  # catalogue 25
    law, held, missed = stats.expon(scale=2.0), 0.01, 0.4
    cost = lambda fund: held * fund + missed * 2.0 * np.exp(-fund / 2.0)  # noqa: E731
    best = minimize_scalar(cost, bounds=(0, 50), method="bounded", options={"xatol": 1e-9}).x
    assert newsvendor_fund(law, held, missed) == pytest.approx(best, abs=1e-5)
    assert newsvendor_fund(law, 0.5, 0.4) == 0.0 == newsvendor_fund(stats.norm(-5, 1), 0.01, 0.02)
    sample = np.random.default_rng(25).exponential(2.0, 999)
    costs = [held * fund + missed * np.maximum(sample - fund, 0).mean() for fund in np.sort(sample)]
    assert newsvendor_fund(sample, held, missed) == pytest.approx(np.sort(sample)[np.argmin(costs)])


def test_ruin_number_and_scale():  # catalogue 25
    assert ruin_probability(5.0, 1.0, 0.25) == pytest.approx(0.2943, abs=5e-5)
    assert ruin_probability(15.0, 3.0, 0.25) == pytest.approx(ruin_probability(5.0, 1.0, 0.25), rel=1e-12)
    assert ruin_probability(100.0, 1.0, 0.0) == 1.0 == ruin_probability(100.0, 1.0, -0.5)


def test_ruin_by_simulation():  # catalogue 25
    """20,000 funds over 500 deficits, within 4 standard errors (a false alarm in 16,000): ruin later than that is below 1e-6."""
    rng = np.random.default_rng(26)
    change = rng.exponential(1.0, (20_000, 500)) - 1.25 * rng.exponential(1.0, (20_000, 500))
    ruined = (np.cumsum(change, axis=1).max(axis=1) > 5.0).mean()
    chance = ruin_probability(5.0, 1.0, 0.25)
    assert abs(ruined - chance) < 4 * np.sqrt(chance * (1 - chance) / 20_000)


def test_lundbergs_coefficient():
    """Two deficits: with x = e^R, 0 and 2 equally likely against an inflow of 1.5 is 1 + x**2 = 2 x**1.5, by hand from another root finder."""
    r = adjustment_coefficient([0.0, 2.0], 1.5)
    roots = np.roots([1.0, -2.0, 0.0, 0.0, 1.0])  # y**4 - 2 y**3 + 1 with y = e^(R/2)
    best = max(root.real for root in roots if abs(root.imag) < 1e-12)
    assert r == pytest.approx(2.0 * np.log(best), rel=1e-9) and r > 0.0
    assert adjustment_coefficient([0.0, 1.0], 1.0) == np.inf
    chances = stats.binom.pmf(np.arange(9), 8, 0.1)
    assert adjustment_coefficient(10.0 * np.arange(9), 12.0, chances) == pytest.approx(adjustment_coefficient(np.arange(9), 1.2, chances) / 10.0, rel=1e-9)


def test_lundbergs_bound_holds_and_not_by_much():
    """20,000 funds over 600 periods: the simulated ruin is below the bound, and above a fifth of it."""
    rng = np.random.default_rng(27)
    held, inflow = 8.0, 1.3
    deficits = rng.poisson(1.0, (20_000, 600))
    ruined = (np.cumsum(deficits - inflow, axis=1).max(axis=1) > held).mean()
    counts = np.arange(40)
    bound = np.exp(-held * adjustment_coefficient(counts, inflow, stats.poisson.pmf(counts, 1.0)))
    assert 0.2 * bound < ruined < bound


def test_cover_two():
    assert cover([3.0, -50.0, 9.0, 4.0]) == 13.0
    assert cover([3.0, 9.0, 4.0], members=1) == 9.0 and cover([3.0, -1.0], members=5) == 3.0


def test_haircut_level():  # catalogue 27
    capacities = np.array([50.0, 30.0, 15.0, 5.0])
    asked = haircut_level(40.0, capacities)
    assert asked.level == pytest.approx(0.4) and asked.feasible
    np.testing.assert_allclose(asked.level * capacities, [20, 12, 6, 2])
    assert haircut_level(100.0, capacities).feasible and not haircut_level(100.01, capacities).feasible
    assert haircut_level(0.0, [0.0]).feasible and not haircut_level(1.0, [0.0]).feasible


def test_queue_excess_is_queue_less_pro_rata():  # catalogue 28
    assert queue_excess(10.0, 50.0, 100.0) == pytest.approx(5.0)
    winners = np.array([50.0, 30.0, 15.0, 5.0])
    for taken in (0.0, 10.0, 49.0, 70.0, 100.0):
        queue = np.clip(taken - np.concatenate(([0], np.cumsum(winners)[:-1])), 0, winners)
        pro_rata = taken * winners / winners.sum()
        assert queue_excess(taken, 50.0, 100.0) == pytest.approx(queue[0] - pro_rata[0], abs=1e-12)
