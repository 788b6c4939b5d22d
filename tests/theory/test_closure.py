"""Pass-through of a closed window (catalogue 3, 4, 8): the table, the equations solved numerically, and the martingale itself."""

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq

from perpkit.theory import keep_ratio, pass_through, pass_through_limit

HOURS = np.array([12.0, 24.0, 48.0, 65.5])
DESIGNS = {
    "trade.xyz launch": (1 / 8, 8.0, (0.400, 0.250, 0.143, 0.109)),
    "trade.xyz 2025-11-21": (1 / 8, 1.0, (0.875, 0.875, 0.875, 0.875)),
    "trade.xyz 2025-12-19": (1 / 16, 1.0, (0.9375, 0.9375, 0.9375, 0.9375)),
    "trade.xyz 2026-04-30": (1 / 16, 0.5, (0.969, 0.969, 0.969, 0.969)),
    "frozen": (1 / 8, np.inf, (0.223, 0.050, 0.0025, 0.0003)),
    "EMA of a day": (1 / 8, 24.0, (0.280, 0.0945, 0.012, 0.003)),
    "no funding": (0.0, 1.0, (1.0, 1.0, 1.0, 1.0)),
}


@pytest.mark.parametrize("design", DESIGNS)
def test_table(design):  # catalogue 3
    kappa, tau, expected = DESIGNS[design]
    np.testing.assert_allclose(pass_through(kappa, tau, HOURS), expected, atol=5.1e-4)


@pytest.mark.parametrize(("kappa", "tau"), [(1 / 8, 8.0), (1 / 8, 8.001), (1 / 8, 1.0), (1 / 16, 0.5), (1 / 8, np.inf), (1 / 8, 24.0), (0.7, 3.0)])
def test_solves_its_riccati_equation(kappa, tau):  # catalogue 3
    solved = solve_ivp(lambda _, r: (1 / tau - kappa) * r - r**2 / tau, (0, 72), [1.0], t_eval=[1, 5, 24, 72], method="Radau", rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(pass_through(kappa, tau, solved.t), solved.y[0], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(("kappa", "tau", "hours"), [(1 / 8, 8.0, 48.0), (1 / 8, 1.0, 48.0), (1 / 8, np.inf, 24.0), (1 / 8, 24.0, 24.0)])
def test_is_the_price_from_which_funding_lands_on_the_news(kappa, tau, hours):  # catalogue 3
    """Shoot price and oracle forward from a guess: the price must arrive at v = 1 with the oracle starting from 0."""

    def miss(start):
        flow = lambda _, y: [kappa * (y[0] - y[1]), (y[0] - y[1]) / tau]  # noqa: E731
        return solve_ivp(flow, (0, hours), [start, 0.0], method="DOP853", rtol=1e-11, atol=1e-13).y[0, -1] - 1.0

    assert pass_through(kappa, tau, hours) == pytest.approx(brentq(miss, 1e-6, 1.0, xtol=1e-12), rel=1e-7)


def test_critical_line_is_crossed_smoothly():
    tau = 8.0 * (1 + np.array([-1e-3, -1e-6, -1e-9, -1e-12, 0.0, 1e-12, 1e-9, 1e-6, 1e-3]))
    values = pass_through(1 / 8, tau, 48.0)
    assert values[4] == pytest.approx(1 / 7, rel=1e-14)
    np.testing.assert_allclose(values, 1 / 7, rtol=5e-3)
    assert np.all(np.diff(values) <= 1e-15)


def test_limits_and_extremes():
    assert pass_through(1 / 8, np.inf, 48.0) == pytest.approx(np.exp(-6), rel=1e-14)
    assert pass_through(1 / 8, 24.0, 0.0) == 1.0
    kappa, tau, hours = np.meshgrid([0, 1e-9, 0.1, 10, 1e4], [1e-9, 0.1, 10, 1e6, np.inf], [0, 1e-9, 1, 100, 1e6], indexing="ij")
    values = pass_through(kappa, tau, hours)
    assert np.all((values >= 0) & (values <= 1))
    assert np.all(np.diff(values, axis=0) <= 1e-12) and np.all(np.diff(values, axis=1) <= 1e-12) and np.all(np.diff(values, axis=2) <= 1e-12)
    np.testing.assert_allclose(pass_through_limit([1 / 16, 1 / 8, 1.0, 0.0], [1.0, 8.0, np.inf, np.inf]), [15 / 16, 0, 0, 1])
    assert pass_through(1 / 16, 1.0, 500.0) == pytest.approx(pass_through_limit(1 / 16, 1.0), rel=1e-14)


def test_zero_profit_on_random_news():  # catalogue 4
    """Buy at f_0, pay funding, receive V_T: mean zero within 4 standard errors (a false alarm in 16,000 runs); not so at a price 2 % off in R."""
    kappa, tau, hours, steps, paths = 1 / 8, 6.0, 24.0, 2_000, 4_000
    dt = hours / steps
    left = hours - dt * np.arange(steps)
    price_ratio = pass_through(kappa, tau, left)

    def profit(ratio):
        rng = np.random.default_rng(4)
        value, oracle, paid = np.full(paths, 0.05), np.zeros(paths), np.zeros(paths)
        for r in ratio:
            premium = r * (value - oracle)
            paid += kappa * premium * dt
            oracle += premium / tau * dt
            value += 0.002 * np.sqrt(dt) * rng.standard_normal(paths)
        return value - ratio[0] * 0.05 - paid

    fair, off = profit(price_ratio), profit(0.98 * price_ratio)
    allowed = 4 * fair.std() / np.sqrt(paths) + 1e-5  # 1e-5 for the time step, whose error is of first order in dt
    assert abs(fair.mean()) < allowed < abs(off.mean())


def test_keep_ratio():  # catalogue 8
    assert keep_ratio(1 / 8, 1.0, 48.0) == pytest.approx(0.875, abs=1e-12)
    assert keep_ratio(1 / 8, 8.0, 8 * np.log(10)) == pytest.approx(0.1, abs=1e-12)
    assert 8 * np.log(10) == pytest.approx(18.42, abs=5e-3)
    assert keep_ratio(1 / 8, np.inf, 4.0) == pytest.approx(0.5)
    paid = quad(lambda t: 0.3 * np.exp(-t / 5.0), 0, 7.0)[0]
    assert keep_ratio(0.3, 5.0, 7.0) == pytest.approx(1 - paid, abs=1e-12)


def test_venue_figure_in_both_readings():
    """87 % at a time constant of 1 h, 10 % at 8 h: in equilibrium over a 72 h closure, at a standing price over 18.4 h."""
    assert pass_through(1 / 8, 1.0, 72.0) == pytest.approx(0.875, abs=1e-6)
    assert pass_through(1 / 8, 8.0, 72.0) == pytest.approx(0.1, abs=1e-12)
    assert keep_ratio(1 / 8, 8.0, 18.42) == pytest.approx(0.1, abs=1e-4)
