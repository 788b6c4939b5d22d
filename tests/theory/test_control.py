"""Funding as a loop (catalogue 9, 10)."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import lambertw

from perpkit.theory import averaging_root, averaging_thresholds, basis_variance, common_volatility, delay_response, delay_root, delay_thresholds, funding_response


def moments(pull, sigma, tau, hours):
    """Covariance of (P, O) by integrating its own differential equation."""
    drift = np.array([[-pull, pull], [1 / tau, -1 / tau]])
    noise = np.array([[sigma**2, 0.0], [0.0, 0.0]])

    def flow(_, y):
        cov = y.reshape(2, 2)
        return (drift @ cov + cov @ drift.T + noise).ravel()

    return solve_ivp(flow, (0, hours), np.zeros(4), rtol=1e-11, atol=1e-14).y[:, -1].reshape(2, 2)


def test_basis_and_common_mode_numbers():  # catalogue 9
    assert basis_variance(2.0, 0.3, 0.5) == pytest.approx(0.01125, rel=1e-12)
    assert common_volatility(2.0, 0.3, 0.5) ** 2 * 8 == pytest.approx(0.18, rel=1e-12)


@pytest.mark.parametrize(("pull", "sigma", "tau", "hours"), [(2.0, 0.3, 0.5, 8.0), (0.125, 0.01, 8.0, 48.0), (1.0, 0.2, 1e9, 0.7)])
def test_basis_and_common_mode_from_the_covariance(pull, sigma, tau, hours):  # catalogue 9
    cov = moments(pull, sigma, tau, hours)
    basis, common = np.array([1.0, -1.0]), np.array([1.0, pull * tau]) / (1 + pull * tau)
    assert basis_variance(pull, sigma, tau, hours) == pytest.approx(basis @ cov @ basis, rel=1e-7)
    assert common_volatility(pull, sigma, tau) ** 2 * hours == pytest.approx(common @ cov @ common, rel=1e-7, abs=1e-12)


def test_frozen_oracle_is_an_anchored_level():
    assert basis_variance(0.5, 0.1, np.inf) == pytest.approx(0.01)
    assert common_volatility(0.5, 0.1, np.inf) == 0.0


def test_delay_thresholds():  # catalogue 10
    found = delay_thresholds()
    assert found.oscillation == pytest.approx(1 / np.e, abs=1e-10)
    assert found.instability == pytest.approx(np.pi / 2, abs=1e-12)


@pytest.mark.parametrize("gain", [0.1, 0.3, 0.5, 1.2, np.pi / 2, 2.5])
def test_delay_root_solves_the_equation_and_leads_every_branch(gain):
    root = delay_root(gain)
    assert abs(root + gain * np.exp(-root)) < 1e-12
    others = [lambertw(-gain, branch) for branch in range(-5, 6) if branch != 0]
    assert all(other.real <= root.real + 1e-12 for other in others)


def stepped(gain, delays, per_delay=2_000):
    """The delayed loop on a fine grid (midpoint of the history), held at 1 before release."""
    path = np.ones(per_delay + 1 + delays * per_delay)
    for i in range(per_delay, path.size - 1):
        late = i - per_delay
        path[i + 1] = path[i] - gain / per_delay * 0.5 * (path[late] + path[late + 1])
    return path[per_delay:]


@pytest.mark.parametrize("gain", [0.3, 1.0, 1.7])
def test_delay_response_is_the_path(gain):  # catalogue 10
    path = stepped(gain, 12)
    at = np.array([0, 500, 2_000, 7_000, 24_000])
    np.testing.assert_allclose(delay_response(gain, at / 2_000), path[at], atol=2e-6)


@pytest.mark.parametrize(("gain", "swings", "settles"), [(0.35, False, True), (0.40, True, True), (1.5, True, True), (1.65, True, False)])
def test_thresholds_are_seen_in_the_path(gain, swings, settles):  # catalogue 10
    time = np.linspace(0, 25, 2_501)
    path = delay_response(gain, time)
    assert bool(np.any(path < -1e-9)) is swings
    assert bool(np.abs(path[-600:]).max() < np.abs(path[600:1_200]).max()) is settles


def test_delay_response_grows_as_its_root_says():
    growth = delay_root(1.8)
    one, two = (np.abs(delay_response(1.8, start + np.linspace(0, 2 * np.pi / growth.imag, 2_001))).max() for start in (10.0, 10.0 + 2 * np.pi / growth.imag))
    assert np.log(two / one) == pytest.approx(growth.real * 2 * np.pi / growth.imag, rel=1e-3)


def test_delay_response_refuses_to_guess():
    with pytest.raises(ValueError, match="fewer delays"):
        delay_response(1.5, 200.0)


def test_averaging_thresholds_against_the_loop_itself():
    """One window's average is charged at a constant rate over the next, integrated on a fine grid."""
    thresholds = averaging_thresholds()
    assert thresholds.oscillation == pytest.approx(6 - 4 * np.sqrt(2), abs=1e-10)
    assert thresholds.instability == pytest.approx(2.0, abs=1e-10)

    def ends(gain, windows=200, per=100):
        x, average, out = 1.0, 1.0, []
        for _ in range(windows):
            line = x - gain * average * np.arange(per + 1) / per
            average, x = np.trapezoid(line, dx=1 / per), line[-1]
            out.append(x)
        return np.array(out)

    assert np.all(ends(0.33) > 0) and np.any(ends(0.36) < 0)
    assert abs(ends(1.95)[-20:]).max() < 0.2 < 10 < abs(ends(2.05)[-20:]).max()
    for gain in (0.1, 1.0, 3.0, 15.0):
        eigenvalues = np.linalg.eigvals([[1, -gain], [1, -gain / 2]])
        assert abs(averaging_root(gain)) == pytest.approx(abs(eigenvalues).max(), rel=1e-12)
        assert np.abs(eigenvalues - averaging_root(gain)).min() < 1e-12
    path = ends(0.2)
    assert path[40] / path[39] == pytest.approx(averaging_root(0.2).real, rel=1e-9)


def test_discrete_funding():  # catalogue 10
    b, path = 1.0, []
    for _ in range(12):
        b -= 0.3 * b
        path.append(b)
    np.testing.assert_allclose(funding_response(0.3, np.arange(1, 13)), path, rtol=1e-12)
    assert funding_response(1.9, 101) < 0 < funding_response(0.9, 101)
    assert abs(funding_response(2.1, 101)) > 1 > abs(funding_response(1.9, 101))
