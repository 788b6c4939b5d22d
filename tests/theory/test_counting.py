"""n from observed cascades, and a law of sizes put to the test."""

import numpy as np
import pytest
from scipy import stats

from perpkit.theory import borel_tanner, cascade, dispersion_reproduction, estimate_reproduction, read_episode, size_test

BAD = [
    ("generations", lambda: estimate_reproduction([])),
    ("generations", lambda: estimate_reproduction([[0]])),
    ("generations", lambda: estimate_reproduction([[3]], complete=False)),
    ("generations", lambda: estimate_reproduction([[3, -1]])),
    ("mean", lambda: dispersion_reproduction(0.0, 1.0)),
    ("variance", lambda: dispersion_reproduction(1.0, 0.0)),
    ("first", lambda: size_test([0, 3], borel_tanner(0.5, 1), first=1)),
    ("too few", lambda: size_test([0, 1, 2], cascade(0.5, 1.0))),
    ("level", lambda: size_test([0, 1, 2], cascade(0.5, 1.0), level=0.0)),
    ("sizes", lambda: size_test([0.5], cascade(0.5, 1.0))),
]


@pytest.mark.parametrize(("name", "call"), BAD, ids=[f"{i}-{name}" for i, (name, _) in enumerate(BAD)])
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()


def lives(n, start, runs, rng):
    """Cascades as lists of generations, the last of them not empty."""
    found = []
    for living in rng.poisson(start, runs):
        rows = []
        while living:
            rows.append(living)
            living = rng.poisson(n * living)
        if rows:
            found.append(rows)
    return found


def test_by_hand():
    found = estimate_reproduction([[4, 2, 1], [3]])
    assert (found.value, found.parents, found.offspring) == (0.3, 10.0, 3.0) and found.se == pytest.approx(np.sqrt(0.03))
    cut = estimate_reproduction([[4, 2, 1], [3, 0]], complete=False)
    assert (cut.value, cut.parents) == (3 / 9, 9.0)
    assert np.isnan(estimate_reproduction([[4, 2]]).robust_se)


@pytest.mark.parametrize("n", [0.3, 0.6, 0.9])
def test_estimate_covers_n(n):
    """400 samples of 40 cascades: the mean has no bias beyond n / (k + 1), and n lies within two standard errors in 95 % of them, give or
    take 5 % (more than four binomial errors), by either error. Whoever claims n + 0.1 is covered far less often."""
    rng = np.random.default_rng(41)
    found = [estimate_reproduction(lives(n, 3.0, 40, rng)) for _ in range(400)]
    value, se, robust = (np.array([getattr(f, name) for f in found]) for name in ("value", "se", "robust_se"))
    assert abs(value.mean() - n * (1 - 1 / 120)) < 4 * value.std() / 20
    # Which parents there are depends on n: with cascades seen to the end the spread is sqrt(n (1 - n) / k).
    assert value.std() == pytest.approx(np.sqrt(n * (1 - n) / 120), rel=0.2)
    for error in (se, robust):
        assert 0.90 < np.mean(np.abs(value - n) < 2 * error) < 0.995
        assert np.mean(np.abs(value - n - 0.1) < 2 * error) < 0.75


def test_bias_of_one_cascade():
    for n in (0.3, 0.9):
        for first in (1, 4):
            law, sizes = borel_tanner(n, first), np.arange(first, 40_000)
            assert law.pmf(sizes) @ (1 - first / sizes) == pytest.approx(n * first / (first + 1), rel=1e-8)


def test_robust_error_where_sizes_differ():
    """Notional over the mean account, lognormal sizes: the Poisson error is too small, the other is not."""
    rng, n, runs = np.random.default_rng(5), 0.6, 60
    found = []
    for _ in range(300):
        cascades = []
        for start in rng.poisson(4.0, runs):
            held, rows = rng.lognormal(-0.5, 1.0, start).sum(), []
            while held > 0:
                rows.append(held)
                held = rng.lognormal(-0.5, 1.0, rng.poisson(n * held)).sum()
            if rows:
                cascades.append(rows)
        found.append(estimate_reproduction(cascades))
    value, se, robust = (np.array([getattr(f, name) for f in found]) for name in ("value", "se", "robust_se"))
    assert se.mean() < 0.75 * value.std() and robust.mean() == pytest.approx(value.std(), rel=0.15)


@pytest.mark.parametrize("n", [0.3, 0.6, 0.9])
def test_scatter_gives_n_too(n):
    law = cascade(n, 3.0)
    assert dispersion_reproduction(law.mean, law.variance) == pytest.approx(n)
    assert dispersion_reproduction(law.mean, 2.5 * law.variance, np.sqrt(1.5)) == pytest.approx(n)
    started = [sum(life) for life in lives(n, 3.0, 20_000, np.random.default_rng(2))]
    sizes = np.array(started + [0] * (20_000 - len(started)))
    assert dispersion_reproduction(sizes.mean(), sizes.var()) == pytest.approx(n, abs=0.05)
    assert dispersion_reproduction(3.0, 2.0) < 0


@pytest.mark.parametrize(("n", "runs"), [(0.3, 300), (0.6, 2_000), (0.9, 2_000)])
def test_a_true_law_is_refused_at_the_level_and_a_wrong_one_always(n, runs):
    """400 samples drawn from the law, tested at 5 %: between 0.6 % and 9.4 % refused (four binomial errors). At 1e-3 with n off by 0.1 and
    2,000 cascades: every time."""
    law, rng = cascade(n, 3.0), np.random.default_rng(9)
    chances = law.pmf(np.arange(4_000))
    draws = rng.choice(4_000, size=(400, runs), p=chances / chances.sum())
    refused = [size_test(sizes, law, level=0.05) for sizes in draws]
    assert 0.006 < np.mean([test.rejected for test in refused]) < 0.094
    assert stats.kstest([test.pvalue for test in refused], "uniform").pvalue > 1e-3
    if runs == 2_000:
        wrong = cascade(n - 0.1, 3.0)
        assert all(size_test(sizes, wrong).rejected for sizes in draws[:50])


def test_cells():
    sizes = np.repeat([0, 1, 2, 3, 40], [6, 5, 5, 4, 6])
    found = size_test(sizes, cascade(0.6, 2.0), cells=4)
    law = cascade(0.6, 2.0)
    expected = np.append(law.pmf(np.arange(4)), 1 - law.cdf(3)) * 26
    # 3.5, 3.8, 3.5, 2.9 and 12.3 expected: the first two merge, the next two, and the rest stands alone.
    wanted, seen = [expected[:2].sum(), expected[2:4].sum(), expected[4]], [11, 9, 6]
    assert found.cells == 3 and found.statistic == pytest.approx(stats.chisquare(seen, wanted).statistic)
    assert found.pvalue == pytest.approx(stats.chisquare(seen, wanted).pvalue)


def test_an_episode_by_hand():
    """10 million sold, 13 liquidated, 3.5 %: n 13 in 23, and the linear book returns both the move and the chain."""
    read = read_episode(10e6, 13e6, np.log(0.965))
    assert read.reproduction == pytest.approx(13 / 23) and read.depth == pytest.approx(23e6 / 0.0356272, rel=1e-5)
    assert read.density / read.depth == pytest.approx(read.reproduction)
    assert 10e6 / read.depth / (1 - read.reproduction) == pytest.approx(-np.log(0.965))  # shock over 1 - n is the move
    assert read_episode([10e6, 5e6], 0.0, 0.01).reproduction == pytest.approx([0.0, 0.0])
    for bad in ((0.0, 1.0, 0.1), (1.0, -1.0, 0.1), (1.0, 1.0, 0.0)):
        with pytest.raises(ValueError, match="sold|forced|move"):
            read_episode(*bad)
