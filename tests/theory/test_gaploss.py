"""Expected loss beyond a buffer (catalogue 16, 17; traps 1 and 2)."""

import csv
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from perpkit.gaps import empirical
from perpkit.theory import (
    expected_shortfall,
    gpd_shortfall,
    kou_shortfall,
    laplace_shortfall,
    lognormal_shortfall,
    merton_shortfall,
    normal_shortfall,
    shortfall,
    stale_option,
    t_expected_shortfall,
    t_shortfall,
)

CLOSURES = Path(__file__).parents[2] / "data" / "closures.csv"
MARGINS = np.array([0.05, 0.10])


def weekends(symbol):
    with CLOSURES.open(newline="") as file:
        return np.array([float(row["gap"]) for row in csv.DictReader(file) if row["symbol"] == symbol and row["kind"] == "weekend"])


@pytest.fixture(scope="module")
def gaps():
    return {symbol: weekends(symbol) for symbol in ("TSLA", "NVDA")}


@pytest.fixture(scope="module")
def fits(gaps):
    return {symbol: stats.t(*stats.t.fit(sample)) for symbol, sample in gaps.items()}


def direct(survival, margin, upper=1e7):
    """E[(L - m)+] as the plain integral of P(L > x), half a decade of x at a time."""
    edges = np.geomspace(margin, upper, 18) if upper > 1 else np.linspace(margin, upper, 20)
    return sum(quad(survival, a, b, epsabs=0, epsrel=1e-9, limit=200)[0] if survival(a) > 0 else 0.0 for a, b in pairwise(edges))


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.10, 0.3])
def test_linear_laws_against_quadrature(margin):  # catalogue 16
    t, normal, laplace = stats.t(2.42, 0.001, 0.013), stats.norm(0.002, 0.025), stats.laplace(0, 0.015)
    assert t_shortfall(margin, 2.42, 0.001, 0.013) == pytest.approx(direct(t.sf, margin), rel=1e-6)
    assert normal_shortfall(margin, 0.002, 0.025) == pytest.approx(direct(normal.sf, margin), rel=1e-8, abs=1e-30)
    assert laplace_shortfall(margin, 0.015) == pytest.approx(direct(laplace.sf, margin), rel=1e-8)
    assert kou_shortfall(margin, 0.4, 30.0, of="loss") == pytest.approx(direct(lambda x: 0.4 * np.exp(-30 * x), margin), rel=1e-8)
    for shape in (-0.2, 0.0, 1e-13, 0.4):
        tail = stats.genpareto(shape, loc=0.005, scale=0.04)
        end = min(tail.support()[1], 1e7)
        expected = 0.0 if margin >= end else direct(lambda x, law=tail: 0.3 * law.sf(x), margin, end)
        assert gpd_shortfall(margin, 0.005, 0.3, shape, 0.04) == pytest.approx(expected, rel=1e-6, abs=1e-15)


def test_targets_for_the_t_on_linear_loss(fits):  # catalogue 16
    """The law fitted to log gaps, its gap read as a linear return: the numbers the engine's conditional expectations must meet."""
    for symbol, expected in {"TSLA": (7.869e-4, 3.165e-4), "NVDA": (4.141e-4, 1.729e-4)}.items():
        df, loc, scale = fits[symbol].args
        np.testing.assert_allclose(shortfall(stats.t(df, -loc, scale), MARGINS, of="loss"), expected, rtol=5e-4)


def test_targets_for_the_t_on_log_gaps(fits):  # catalogue 16
    np.testing.assert_allclose(shortfall(fits["TSLA"], MARGINS), [6.6e-4, 2.3e-4], rtol=0.01)
    np.testing.assert_allclose(shortfall(fits["NVDA"], MARGINS), [3.5e-4, 1.2e-4], rtol=0.035)


def test_sample_law(gaps):  # catalogue 16
    long, short = {}, {}
    for symbol, sample in gaps.items():
        assert sample.size == 828
        long[symbol], short[symbol] = shortfall(sample, MARGINS), shortfall(sample, MARGINS, side="short")
    np.testing.assert_allclose(long["TSLA"], [6.05e-4, 1.918e-4], rtol=1e-3)
    np.testing.assert_allclose(long["NVDA"], [5.99e-4, 1.596e-4], rtol=1e-3)
    np.testing.assert_allclose(short["TSLA"], [7.65e-4, 1.938e-4], rtol=1e-3)
    np.testing.assert_allclose(short["NVDA"], [3.893e-5, 0.0], rtol=1e-3)


def test_normal_law_misses_by_three_orders(gaps):
    sample = gaps["TSLA"]
    normal = shortfall(stats.norm(-sample.mean(), sample.std(ddof=1)), MARGINS, of="loss")
    np.testing.assert_allclose(normal, [1.41e-4, 7.52e-8], rtol=5e-3)


def test_share_beyond_every_weekend_on_record(fits):  # trap 2
    df, loc, scale = fits["TSLA"].args
    beyond = lambda x: t_shortfall(x, df, -loc, scale) + (x - 0.10) * stats.t.sf((x + loc) / scale, df)  # noqa: E731
    whole = t_shortfall(0.10, df, -loc, scale)
    assert beyond(0.1613) / whole == pytest.approx(0.79, abs=5e-3) and beyond(0.36) / whole == pytest.approx(0.34, abs=5e-3)


def test_short_under_a_t_is_refused(fits):  # trap 1
    with pytest.raises(ValueError, match="infinite"):
        shortfall(fits["TSLA"], 0.1, side="short")
    df, loc, scale = fits["TSLA"].args
    caps = [0.25, 0.5, 1, 2, 5, 10]
    cut = [quad(lambda g: (np.exp(g) - 1.1) * stats.t.pdf(g, df, loc, scale), np.log(1.1), cap)[0] for cap in caps]
    np.testing.assert_allclose(cut, [2.2e-4, 3.4e-4, 4.1e-4, 4.5e-4, 5.1e-4, 1.1e-3], rtol=0.02)


@pytest.mark.parametrize("law", [stats.laplace(0, 1.1), stats.lognorm(1.0), stats.genpareto(0.2, scale=0.01), stats.gennorm(0.5, scale=0.001), stats.t(500)])
def test_other_laws_without_an_exponential_moment_are_refused(law):  # trap 1
    with pytest.raises(ValueError, match="infinite"):
        shortfall(law, 0.1, side="short")


def test_losses_without_a_mean_are_refused():
    for law in (stats.cauchy(0, 0.01), stats.genpareto(1.0, scale=0.01)):
        with pytest.raises(ValueError, match="infinite"):
            shortfall(law, 0.1, of="loss")
    assert shortfall(stats.genpareto(0.9, scale=0.01), 0.1, of="loss") == pytest.approx(gpd_shortfall(0.1, 0, 1, 0.9, 0.01), rel=1e-6)


LOG_LAWS = [stats.norm(0.002, 0.02), stats.laplace(0.001, 0.02), stats.laplace(0, 0.9), stats.norminvgauss(1.5, -0.3, 0, 0.02), stats.uniform(-0.2, 0.4)]


@pytest.mark.parametrize("law", LOG_LAWS, ids=lambda law: law.dist.name)
@pytest.mark.parametrize("side", ["long", "short"])
def test_general_quadrature_against_the_density(law, side):  # catalogue 16
    """The same expectation with the payoff under the density, on panels, instead of by parts."""
    margin, sign = 0.04, 1 if side == "long" else -1
    edge = np.log1p(-sign * margin)
    payoff = lambda g: max(0.0, sign * (-np.expm1(g)) - margin) * law.pdf(g) if law.pdf(g) > 0 else 0.0  # noqa: E731
    reach = edge - sign * np.concatenate(([0], np.geomspace(1e-4, 600, 60)))
    expected = sum(quad(payoff, min(a, b), max(a, b), epsabs=1e-18, limit=200)[0] for a, b in pairwise(reach))
    assert shortfall(law, margin, side) == pytest.approx(expected, rel=2e-6)


def test_exact_forms_are_the_quadrature():
    """Normal laws take the option formula; the same law under another name takes the integral."""
    plain, disguised = stats.norm(0.003, 0.03), stats.gennorm(2.0, 0.003, 0.03 * np.sqrt(2))
    for side in ("long", "short"):
        assert shortfall(plain, 0.05, side) == pytest.approx(shortfall(disguised, 0.05, side), rel=1e-8)
        assert shortfall(plain, 0.05, side, "loss") == pytest.approx(shortfall(disguised, 0.05, side, "loss"), rel=1e-8)
    assert lognormal_shortfall(0.05, 0.003, 0.03) == shortfall(plain, 0.05)
    many = shortfall(stats.laplace(0, 0.02), np.array([[0.02, 0.05], [0.1, 1.5]]))
    assert many.shape == (2, 2) and many[1, 1] == 0.0 and many[0, 0] > many[0, 1] > many[1, 0] > 0


def test_a_law_too_rough_to_integrate_is_refused():
    rough = stats.rv_histogram(np.histogram(np.random.default_rng(5).normal(0, 0.05, 5_000), bins=2_000), density=False)
    with pytest.raises(ValueError, match="did not settle"):
        shortfall(rough, 0.05)


def test_kou_and_merton_against_simulation():  # catalogue 16
    """Means of 400,000 draws within 4 standard errors: a false alarm in 16,000 runs for each of the four."""
    rng = np.random.default_rng(16)
    n, lam, mu, sd, drift, noise = 400_000, 0.8, -0.03, 0.05, 0.002, 0.01
    count = rng.poisson(lam, n)
    merton = drift + mu * count + np.sqrt(noise**2 + sd**2 * count) * rng.standard_normal(n)
    down = np.where(rng.random(n) < 0.3, rng.exponential(1 / 25, n), 0.0)
    for side, sign in (("long", 1), ("short", -1)):
        for gap, value in (
            (merton, merton_shortfall(0.05, lam, mu, sd, side, drift, noise)),
            (-sign * down, kou_shortfall(0.05, 0.3, 25.0, side)),
        ):
            loss = np.maximum(-sign * np.expm1(gap) - 0.05, 0)
            assert abs(loss.mean() - value) < 4 * loss.std() / np.sqrt(n)


def test_merton_limits():
    """Jumps of no spread and no diffusion: a sum over Poisson counts by hand; one sure law with no jumps to speak of: the Normal."""
    by_hand = sum(stats.poisson.pmf(j, 0.5) * max(0.0, 1 - np.exp(-0.04 * j) - 0.05) for j in range(40))
    assert merton_shortfall(0.05, 0.5, -0.04, 0.0) == pytest.approx(by_hand, rel=1e-12)
    assert merton_shortfall(0.05, 1e-12, -0.04, 0.1, "short", 0.01, 0.03) == pytest.approx(lognormal_shortfall(0.05, 0.01, 0.03, "short"), rel=1e-6)


@pytest.mark.parametrize(("intensity", "mean", "sd"), [(0.5, -0.04, 0.05), (30.0, 0.4, 0.1), (200.0, 0.05, 0.02)])
def test_merton_parity(intensity, mean, sd):
    """At no margin the short's loss less the long's is the mean return, whose growth is known: no jump count may be left out."""
    gain = np.expm1(intensity * np.expm1(mean + sd**2 / 2))
    both = [merton_shortfall(0.0, intensity, mean, sd, side) for side in ("short", "long")]
    assert both[0] - both[1] == pytest.approx(gain, rel=1e-9)


def test_expected_shortfall(fits, gaps):  # catalogue 16
    df, loc, scale = fits["TSLA"].args
    value = t_expected_shortfall(0.99, df, -loc, scale)
    assert value == pytest.approx(0.121, abs=5e-4)  # the fit; the sample's worst hundredth averages 10.8 %
    assert value == pytest.approx(quad(lambda p: stats.t.isf(p, df, -loc, scale), 0, 0.01)[0] / 0.01, rel=1e-6)
    assert expected_shortfall(stats.t(df, -loc, scale), 0.99, of="loss") == pytest.approx(value, rel=1e-10)
    assert expected_shortfall(gaps["TSLA"], 0.99) == pytest.approx(0.108, abs=2e-3)
    assert expected_shortfall(np.linspace(0.1, 1.0, 10), 0.95, of="loss") == pytest.approx(1.0, rel=1e-12)  # no mean is above the worst
    assert expected_shortfall(np.linspace(0.1, 1.0, 10), 0.75, of="loss") == pytest.approx((1.0 + 0.9 + 0.8 / 2) / 2.5, rel=1e-12)
    for level, side in product((0.9, 0.99, 0.995), ("long", "short")):
        assert expected_shortfall(gaps["TSLA"], level, side) == pytest.approx(empirical("TSLA").expected_shortfall(level, side), rel=1e-12)
    log = expected_shortfall(fits["TSLA"], 0.99)
    assert log == pytest.approx(quad(lambda p: -np.expm1(fits["TSLA"].ppf(p)), 0, 0.01)[0] / 0.01, rel=1e-6)


def test_stale_option(fits, gaps):  # catalogue 17
    fees = np.array([5e-4, 10e-4, 50e-4])
    np.testing.assert_allclose(stale_option(fits["TSLA"], fees), [0.01545, 0.01497, 0.01162], atol=6e-6)
    np.testing.assert_allclose(stale_option(gaps["TSLA"], fees), np.maximum(np.abs(gaps["TSLA"]) - fees[:, None], 0).mean(axis=1))
    np.testing.assert_allclose(stale_option(gaps["TSLA"], fees, of="log"), [0.01512, 0.01464, 0.01138], atol=6e-6)
