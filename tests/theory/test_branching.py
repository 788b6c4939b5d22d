"""Cascades: amplification and the Borel-Tanner law (catalogue 22, 23)."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from perpkit.theory import amplification, cascade


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
