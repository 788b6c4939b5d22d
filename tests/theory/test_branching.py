"""Cascades: amplification and the Borel-Tanner law (catalogue 22, 23)."""

import pickle

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from perpkit.theory import amplification, borel_tanner, cascade, mixed_variance, size_test


def test_amplification():  # catalogue 22
    assert amplification(-0.01, 0.6) == pytest.approx(-0.025)
    rounds = sum(-0.01 * 0.6**k for k in range(200))
    assert amplification(-0.01, 0.6) == pytest.approx(rounds, rel=1e-12)
    np.testing.assert_array_equal(amplification([-0.01, 0.0, 0.02], [1.0, 1.5, 2.0]), [-np.inf, 0.0, np.inf])


def test_numbers():  # catalogue 23
    law = cascade(0.6, 3.0)
    assert (law.mean, law.variance) == pytest.approx((7.5, 46.875))
    assert (law.pmf(0), law.pmf(6)) == pytest.approx((0.04979, 0.07098), abs=5e-6)


@pytest.mark.parametrize(("n", "start"), [(0.3, 2.0), (0.6, 3.0), (0.9, 1.5), (0.0, 4.0)])
def test_moments_and_the_sum_over_first_generations(n, start):  # catalogue 23
    law, sizes = cascade(n, start), np.arange(6_000)
    weight = law.pmf(sizes)
    assert weight.sum() == pytest.approx(1.0, abs=1e-9)
    assert weight @ sizes == pytest.approx(law.mean, rel=1e-6)
    assert weight @ (sizes - law.mean) ** 2 == pytest.approx(law.variance, rel=1e-5)
    assert law.cdf([0, 5, 5_999]) == pytest.approx(np.cumsum(weight)[[0, 5, 5_999]])
    assert law.mean == pytest.approx(sum(law.generation(k) for k in range(400)))
    if n > 0:  # Poisson first generation of k, then Borel-Tanner from k
        for j in (1, 4, 11):
            k = np.arange(1, j + 1)
            borel_tanner = np.exp(np.log(k / j) - j * n + (j - k) * np.log(j * n) - gammaln(j - k + 1))
            assert law.pmf(j) == pytest.approx(stats.poisson.pmf(k, start) @ borel_tanner, rel=1e-10)


def cascades(n, start, runs, rng):
    """A mark falling through thresholds scattered at unit density: the shock covers ``start``, each liquidation ``n`` more."""
    sizes = np.zeros(runs, dtype=int)
    for run in range(runs):
        done, depth = 0, 0.0
        while (depth := depth + rng.exponential()) <= start + n * done:
            done += 1
        sizes[run] = done
    return sizes


@pytest.mark.parametrize("n", [0.3, 0.6, 0.9])
def test_law_of_a_simulated_cascade(n):  # catalogue 23
    """Chi-square over sizes 0 to 9 and the rest, level 1e-3; the same test must refuse n off by a tenth. Mean within 4 standard errors."""
    sizes = cascades(n, 3.0, 12_000, np.random.default_rng(23))
    seen = np.bincount(np.minimum(sizes, 10), minlength=11)

    def fits(wrong):
        law = cascade(wrong, 3.0)
        chances = np.append(law.pmf(np.arange(10)), 1 - law.cdf(9))
        return stats.chisquare(seen, chances * sizes.size).pvalue

    assert fits(n) > 1e-3 > fits(n + 0.1) and fits(n - 0.1) < 1e-3
    law = cascade(n, 3.0)
    assert abs(sizes.mean() - law.mean) < 4 * np.sqrt(law.variance / sizes.size)


def test_supercritical_cascade_may_never_stop():
    law = cascade(1.5, 1.0)
    assert law.mean == law.variance == np.inf
    assert law.cdf(3_000) == pytest.approx(1 - law.runaway, abs=1e-10)
    assert 0 < law.runaway < 1 and cascade(1.0, 1.0).runaway == 0.0 == cascade(0.5, 1.0).runaway
    assert cascade(1.0, 1.0).mean == np.inf


def test_nothing_starts():
    law = cascade(2.0, 0.0)
    assert (law.mean, law.variance, law.runaway) == (0.0, 0.0, 0.0)
    np.testing.assert_array_equal(law.pmf([0, 1, 2]), [1, 0, 0])


# -- generations


def generations(n, living, rng):
    """Generation after generation of many cascades at once, shape (generations, cascades), until all have died out; n below 1."""
    rows = [living]
    while rows[-1].any():
        rows.append(rng.poisson(n * rows[-1]))
    return np.array(rows)


@pytest.mark.parametrize("n", [0.3, 0.6, 0.9])
def test_generations(n):
    """30,000 cascades: mean of four generations, each within 4.5 standard errors (12 checks, one false alarm in 12,000); n off by a twentieth
    fails."""
    rng, start = np.random.default_rng(24), 3.0
    rows = generations(n, rng.poisson(start, 30_000), rng)
    law, runs = cascade(n, start), rows.shape[1]

    def worst(law):
        return max(abs(rows[k].mean() - law.generation(k)) / (rows[k].std() / np.sqrt(runs)) for k in range(min(4, len(rows))))

    assert worst(law) < 4.5 < worst(cascade(n + 0.05, start))


# -- given the first generation


@pytest.mark.parametrize(("n", "first"), [(0.3, 1), (0.6, 2), (0.9, 5)])
def test_borel_tanner_by_brute_force(n, first):  # catalogue 23
    """40,000 cascades from a fixed first generation: chi-square on the first ten probabilities, level 1e-3; mean and variance within 4.5
    standard errors. The same checks refuse n off by a twentieth."""
    rng = np.random.default_rng(231)
    sizes = generations(n, np.full(40_000, first), rng).sum(axis=0)
    square = (sizes - sizes.mean()) ** 2

    def off(law):
        mean = abs(sizes.mean() - law.mean()) / np.sqrt(law.var() / sizes.size)
        return mean, abs(square.mean() - law.var()) / (square.std() / np.sqrt(sizes.size))

    law, wrong = borel_tanner(n, first), borel_tanner(n + 0.05, first)
    assert not size_test(sizes, law, first=first).rejected and size_test(sizes, wrong, first=first).rejected
    assert max(off(law)) < 4.5 < min(off(wrong))


@pytest.mark.parametrize(("n", "first"), [(0.0, 3), (0.3, 1), (0.6, 4), (0.9, 2)])
def test_borel_tanner_moments_are_those_of_its_probabilities(n, first):
    law, sizes = borel_tanner(n, first), np.arange(first, 12_000)
    weight = law.pmf(sizes)
    mean = weight @ sizes
    assert weight.sum() == pytest.approx(1.0, abs=1e-9) and law.pmf(first - 1) == 0.0
    assert (mean, weight @ (sizes - mean) ** 2) == pytest.approx((law.mean(), law.var()), rel=1e-4)
    if n > 0:
        third, fourth = (weight @ (sizes - mean) ** k / law.var() ** (k / 2) for k in (3, 4))
        assert law.stats("sk") == pytest.approx((third, fourth - 3), rel=2e-2)
    assert law.cdf([first, first + 3]) == pytest.approx(np.cumsum(weight)[[0, 3]])
    assert law.ppf(0.5) == sizes[np.argmax(np.cumsum(weight) >= 0.5)] and law.support() == (first, np.inf)


def test_borel_tanner_draws_and_travels():
    law = pickle.loads(pickle.dumps(borel_tanner(0.6, 2)))
    drawn = law.rvs(20_000, random_state=np.random.default_rng(7))
    assert not size_test(drawn, law, first=2).rejected and size_test(drawn, borel_tanner(0.65, 2), first=2).rejected
    assert law.rvs(random_state=1) >= 2 and law.rvs((2, 3), random_state=1).shape == (2, 3)


def test_borel_tanner_at_and_beyond_the_edge():
    edge = borel_tanner(1.0, 1)
    assert edge.mean() == edge.var() == np.inf
    assert 0.97 < edge.cdf(1_000) < 1.0  # proper, with a tail like j^{-1/2}
    with pytest.raises(ValueError, match="n is"):
        borel_tanner(1.1, 1)
    with pytest.raises(ValueError, match="ancestors"):
        borel_tanner(0.5, 0)
    assert np.asarray(borel_tanner([0.2, 0.5], 2).mean()).tolist() == pytest.approx([2.5, 4.0])


# -- accounts that differ, and the blow-up


def mixed(n, start, sd, runs, rng):
    """Cascades of accounts of lognormal size with mean 1: an account of size q triggers Poisson(n q) others. Total size."""
    total, living = np.zeros(runs), rng.poisson(start, runs)
    while living.any():
        held = np.zeros(runs)
        np.add.at(held, np.repeat(np.arange(runs), living), rng.lognormal(-sd * sd / 2, sd, living.sum()))
        total += held
        living = rng.poisson(n * held)
    return total


@pytest.mark.parametrize(("n", "sd"), [(0.3, 1.0), (0.6, 0.5), (0.8, 0.7)])
def test_sizes_that_differ_spread_the_total(n, sd):
    """Mean unchanged, variance times 1 + c^2, each within 4.5 standard errors of 100,000 cascades; the law for equal sizes is refused."""
    sizes, cv = mixed(n, 3.0, sd, 100_000, np.random.default_rng(6)), np.sqrt(np.expm1(sd * sd))
    law, square = cascade(n, 3.0), (sizes - sizes.mean()) ** 2
    want, error = mixed_variance(n, 3.0, cv), square.std() / np.sqrt(sizes.size)
    assert abs(sizes.mean() - law.mean) < 4.5 * np.sqrt(want / sizes.size)
    assert abs(square.mean() - want) < 4.5 * error < abs(square.mean() - law.variance)


def test_variance_blows_up_before_the_mean():
    assert mixed_variance(0.6, 3.0, 0.0) == pytest.approx(cascade(0.6, 3.0).variance)
    np.testing.assert_array_equal(mixed_variance([1.0, 1.2], [1.0, 0.0], 1.0), [np.inf, 0.0])
    for n in (0.0, 0.5, 0.9):
        law = cascade(n, 2.0)
        assert law.dispersion == pytest.approx(law.variance / law.mean)
    assert cascade(0.9, 1.0).dispersion == pytest.approx(100.0) and cascade(1.0, 1.0).dispersion == np.inf
