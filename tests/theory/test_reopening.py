"""The regression of gap on weekend move: the market simulated, its weekends regressed by numpy."""

import numpy as np
import pytest

from perpkit.theory import pass_through, read_regression, reopening_regression


def weekends(rng, n, kappa, tau, hours, left, news, share=1.0, noise=0.0, steps=1_200):
    """Gap and weekend move of ``n`` weekends: price O + R (v - O), oracle integrated, read with ``left`` hours to go. Gap variance 1."""
    dt = hours / steps
    value, oracle, read = np.zeros(n), np.zeros(n), None
    if news == "start":
        value = rng.standard_normal(n)
    for i in range(steps + 1):
        remaining = hours - i * dt
        price = oracle + pass_through(kappa, tau, max(remaining, 0.0)) * (value - oracle)
        if read is None and remaining <= left + 1e-9:
            read = price
        if i < steps:
            # The premium of the step drives the oracle exactly over it, price held.
            oracle = oracle + (price - oracle) * -np.expm1(-dt / tau)
            if news == "steady":
                value = value + np.sqrt(1.0 / steps) * rng.standard_normal(n)
    return share * read + np.sqrt(noise) * rng.standard_normal(n), value


def regressed(x, y):
    slope = np.cov(x, y)[0, 1] / x.var(ddof=1)
    return slope, np.corrcoef(x, y)[0, 1] ** 2


CASES = [
    (1 / 8, 8.0, 48.0, 48.0, "start", 1.0, 0.0),
    (1 / 8, 8.0, 48.0, 24.0, "steady", 1.0, 0.0),
    (1 / 8, 8.0, 48.0, 1.0, "steady", 1.0, 0.0),
    (1 / 16, 1.0, 48.0, 47.0, "start", 0.7, 0.3),
    (1 / 8, 1.0, 24.0, 2.0, "steady", 0.8, 1.0),
    (1 / 8, 24.0, 48.0, 12.0, "start", 1.0, 0.05),
]


@pytest.mark.parametrize("case", CASES)
def test_simulated_weekends(case):
    """Slope within 4 standard errors and the step's bias, fit and spread likewise: a false alarm in 16,000 runs a number, 18 numbers."""
    kappa, tau, hours, left, news, share, noise = case
    n = 20_000
    rng = np.random.default_rng(11)
    x, y = weekends(rng, n, kappa, tau, hours, left, news, share, noise)
    found = reopening_regression(kappa, tau, hours, left, news, share, noise)
    slope, fit = regressed(x, y)
    se = found.slope * np.sqrt((1.0 / min(found.r_squared, 1 - 1e-12) - 1.0) / (n - 2.0))
    assert slope == pytest.approx(found.slope, abs=4 * se + 5e-3 * found.slope)
    assert fit == pytest.approx(found.r_squared, abs=4 * 2 * np.sqrt(found.r_squared) * (1 - found.r_squared) / np.sqrt(n) + 5e-3)
    assert x.std() == pytest.approx(found.spread, rel=4 / np.sqrt(2 * n) + 5e-3)
    gain = -np.sign(x) * (y - x)
    assert gain.mean() == pytest.approx(found.fade, abs=4 * gain.std() / np.sqrt(n) + 5e-3)


def test_frictionless_limit():
    for kappa, tau in ((1 / 8, 8.0), (1 / 16, 0.5), (1 / 8, np.inf)):
        found = reopening_regression(kappa, tau, 48.0)
        assert found.slope == pytest.approx(1 / pass_through(kappa, tau, 48.0), rel=1e-12) and found.r_squared == pytest.approx(1.0)
        assert found.slope > 1 and found.fade < 0
        # Read as the reference returns, the price holds everything and the slope is 1: the test has no power there.
        for news in ("start", "steady"):
            assert reopening_regression(kappa, tau, 48.0, 0.0, news).slope == pytest.approx(1.0, abs=1e-12)


def test_the_slope_is_only_seen_early():
    """Launch rules, news at the close: 7 at once, 1.75 half-way, 1.02 an hour before the end. Today's rules: 1.03 at once, 1.00 an hour later."""
    at = lambda left: reopening_regression(1 / 8, 8.0, 48.0, left).slope  # noqa: E731
    np.testing.assert_allclose([at(48.0), at(24.0), at(1.0)], [7.0, 1.75, 1.018], atol=5e-4)
    now = lambda left: reopening_regression(1 / 16, 0.5, 48.0, left).slope  # noqa: E731
    np.testing.assert_allclose([now(48.0), now(47.0), now(1.0)], [1.032, 1.005, 1.000], atol=5e-4)


def test_attenuation():
    """phi = 1: the slope passes below 1 when the noise exceeds R (1 - R) of the gap's variance, and only then."""
    ratio = pass_through(1 / 16, 1.0, 48.0)
    for share in (1.0, 0.5):
        edge = share * ratio * (1 - share * ratio)
        slopes = [reopening_regression(1 / 16, 1.0, 48.0, share=share, noise=edge * k).slope for k in (0.9, 1.0, 1.1)]
        assert slopes[0] > 1 > slopes[2] and slopes[1] == pytest.approx(1.0, rel=1e-12)
    # Less carried without noise is a larger slope, not a smaller one: a slope below 1 needs noise.
    assert reopening_regression(1 / 16, 1.0, 48.0, share=0.5).slope == pytest.approx(2 / ratio)


def test_reading_inverts():
    found = reopening_regression(1 / 8, 1.0, 48.0, share=0.6, noise=0.4)
    read = read_regression(found.slope, found.r_squared)
    assert read.carried == pytest.approx(0.6 * 0.875, rel=1e-9) and read.noise == pytest.approx(0.4, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("news", lambda: reopening_regression(0.1, 1.0, 48.0, news="late")),
        ("left", lambda: reopening_regression(0.1, 1.0, 48.0, left=50.0)),
        ("share", lambda: reopening_regression(0.1, 1.0, 48.0, share=-1.0)),
        ("noise", lambda: reopening_regression(0.1, 1.0, 48.0, noise=np.nan)),
        ("variance", lambda: reopening_regression(0.1, 1.0, 48.0, 48.0, "steady")),
        ("slope", lambda: read_regression(-0.5, 0.5)),
        ("r_squared", lambda: read_regression(0.5, 0.0)),
    ],
)
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()
