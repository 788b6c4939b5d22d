"""Pass-through of a closed window (catalogue 3, 4, 8): the table, the equations solved numerically, and the martingale itself."""

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq

from perpkit.theory import (
    carried_share,
    keep_hours,
    keep_ratio,
    pass_through,
    pass_through_limit,
    pass_through_paid,
    pass_through_pieces,
    pass_through_varying,
)

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


@pytest.mark.parametrize(("kappa", "tau"), [(1 / 8, 8.0), (1 / 8, 8.001), (1 / 16, 0.5), (0.0, 1e-4), (1 / 8, 24.0), (3.0, 5.0), (1 / 8, np.inf)])
@pytest.mark.parametrize("interval", [0.25, 1.0, 8.0])
def test_paid_by_the_interval_is_zero_profit_worked_backward(kappa, tau, interval):
    """Payment by payment: the price that stands still, the oracle that follows it, and what the payment then takes."""
    ratio, kept = 1.0, np.exp(-interval / tau)
    for payments in range(1, 61):
        # Gap g held for an interval; then V - O is w - g(1 - kept), and the price after payment must be the price before plus the payment.
        charge = kappa * (tau * (1.0 - kept) if np.isfinite(tau) else interval)
        ratio = brentq(lambda g, r=ratio: g * kept + g * charge - r * (1.0 - g * (1.0 - kept)), 0.0, 2.0, xtol=1e-300, rtol=1e-14)
        assert pass_through_paid(kappa, tau, payments, interval) == pytest.approx(ratio, rel=1e-9)


def test_payments_leave_the_critical_line_and_the_limit_where_they_are():
    assert pass_through_paid(1 / 8, 8.0, 48) == pytest.approx(1.0 / (1.0 + 48.0 * (1.0 - np.exp(-1 / 8))))
    assert pass_through_paid(1 / 8, np.inf, 24) == pytest.approx((9 / 8) ** -24)
    for kappa, tau in ((1 / 8, 1.0), (1 / 8, 4.0), (1 / 16, 0.5)):
        assert pass_through_paid(kappa, tau, 2000) == pytest.approx(1.0 - kappa * tau)
    np.testing.assert_allclose(pass_through_paid(1 / 8, [1.0, 8.0, 24.0], 48_000, 1e-3), pass_through(1 / 8, [1.0, 8.0, 24.0], 48.0), rtol=2e-3)
    assert pass_through_paid(1 / 8, 24.0, 48) > pass_through(1 / 8, 24.0, 48.0)
    assert pass_through_paid(1 / 8, 8.0, 0) == 1.0


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


def test_venue_figure_readings_do_not_agree_on_the_closure():
    """Each reading has its own closure for the 10 %: 72 h, and 18.4 h. At either, the other says something else."""
    assert keep_hours(0.1, 1 / 8, 8.0) == pytest.approx(8 * np.log(10), rel=1e-12)
    assert keep_ratio(1 / 8, 8.0, 72.0) == pytest.approx(np.exp(-9), rel=1e-9)
    assert pass_through(1 / 8, 8.0, 8 * np.log(10)) == pytest.approx(1 / (1 + np.log(10)), rel=1e-12)
    assert pass_through(1 / 8, 8.0, 48.0) == pytest.approx(0.1429, abs=5e-5) and keep_ratio(1 / 8, 8.0, 48.0) == pytest.approx(0.0025, abs=5e-5)


@pytest.mark.parametrize(
    ("kappa", "tau", "hours"), [(1 / 8, 8.0, 30.0), (1 / 16, 0.5, 0.4), (1 / 8, 24.0, 60.0), (1 / 8, np.inf, 5.0), (0.7, 1.0, 3.0)]
)
def test_hours_invert_the_keep_ratio(kappa, tau, hours):
    assert keep_hours(keep_ratio(kappa, tau, hours), kappa, tau) == pytest.approx(hours, rel=1e-9)


def test_a_share_never_reached_takes_for_ever():
    assert keep_hours(0.8, 1 / 8, 1.0) == np.inf and keep_hours(1.0, 1 / 8, 1.0) == 0.0


PIECES = {
    "week night, weekend, last hours": ([1 / 8, 1 / 16, 1 / 8], [1.0, 0.5, 2.0], [8.0, 40.0, 3.0]),
    "funding off in the middle": ([1 / 8, 0.0, 1 / 4], [8.0, 8.0, 8.0], [24.0, 24.0, 6.0]),
    "frozen, then listening": ([1 / 16, 1 / 16], [np.inf, 1.0], [10.0, 5.0]),
    "above the line, then below": ([1.0, 0.1], [5.0, 2.0], [9.0, 4.0]),
}


@pytest.mark.parametrize("case", PIECES)
def test_pieces_solve_the_riccati_equation(case):
    """Backward from 1 with each piece's rules in turn, by an adaptive solver."""
    kappas, taus, hours = PIECES[case]
    ratio, expected = 1.0, [1.0]
    for kappa, tau, length in list(zip(kappas, taus, hours, strict=True))[::-1]:
        flow = lambda _, r, k=kappa, t=tau: (1 / t - k) * r - r**2 / t  # noqa: E731
        ratio = solve_ivp(flow, (0, length), [ratio], method="DOP853", rtol=1e-11, atol=1e-14).y[0, -1]
        expected.insert(0, ratio)
    np.testing.assert_allclose(pass_through_pieces(kappas, taus, hours), expected, rtol=1e-8)
    # The rules at their mean are another contract: an answer built on averages would be seen.
    mean = pass_through(np.average(kappas, weights=hours), 1 / np.average(1 / np.array(taus), weights=hours), sum(hours))
    assert abs(mean / expected[0] - 1) > 1e-3


@pytest.mark.parametrize("case", PIECES)
def test_pieces_are_the_price_from_which_funding_lands_on_the_news(case):
    """Forward in time, price and oracle together, as the holder sees it."""
    kappas, taus, hours = PIECES[case]

    def landing(start):
        state = [start, 0.0]
        for kappa, tau, length in zip(kappas, taus, hours, strict=True):
            flow = lambda _, y, k=kappa, t=tau: [k * (y[0] - y[1]), (y[0] - y[1]) / t]  # noqa: E731
            state = solve_ivp(flow, (0, length), state, method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
        return state[0] - 1.0

    assert pass_through_pieces(kappas, taus, hours)[0] == pytest.approx(brentq(landing, 1e-6, 1.0, xtol=1e-13), rel=1e-7)


def test_equal_pieces_are_one_piece():
    lengths = np.array([5.0, 0.0, 13.0, 30.0])
    left = np.append(np.cumsum(lengths[::-1])[::-1], 0.0)
    for kappa, tau in ((1 / 8, 8.0), (1 / 16, 0.5), (1 / 8, 24.0), (0.0, 1.0), (1 / 8, np.inf)):
        np.testing.assert_allclose(pass_through_pieces(kappa, tau, lengths), pass_through(kappa, tau, left), rtol=1e-13)


def test_pieces_neither_overflow_nor_forget():
    """A pinned day before the end leaves R near e^{-1000}; earlier rules that listen bring it back to their own limit."""
    found = pass_through_pieces([0.1, 10.0], [1.0, np.inf], [2_000.0, 100.0])
    np.testing.assert_allclose(found, [0.9, 0.0, 1.0], atol=1e-12)


def test_late_funding_is_forgotten_below_the_line():
    """The same funding, a charge of one hour in the first or the last hours of a weekend: early it counts in full, late it is forgotten."""
    early = pass_through_pieces([1 / 8, 0.0], 1.0, [1.0, 47.0])[0]
    late = pass_through_pieces([0.0, 1 / 8], 1.0, [47.0, 1.0])[0]
    assert 1 - late < 1e-15 < 0.06 < 1 - early
    # And the integral behind it: 1/R - 1 = int kappa(s) e^{int_s^u a}, a = -1 where there is no funding.
    assert 1 / early - 1 == pytest.approx(quad(lambda s: 1 / 8 * np.exp((1 / 8 - 1) * s), 0, 1)[0], rel=1e-12)


def test_varying_rules():
    """A smooth schedule against a thousand constant pieces, and a schedule with jumps against its pieces."""
    kappa = lambda t: 1 / 16 * (1 + 0.8 * np.sin(t / 5))  # noqa: E731
    tau = lambda t: 1.0 + 0.05 * t  # noqa: E731
    middle = (np.arange(4_000) + 0.5) * 48 / 4_000
    fine = np.full(4_000, 48 / 4_000)
    assert pass_through_varying(kappa, tau, 48.0) == pytest.approx(pass_through_pieces(kappa(middle), tau(middle), fine)[0], rel=1e-6)
    step = lambda first, last: lambda t: first if t < 8.0 else last  # noqa: E731
    found = pass_through_varying(step(1 / 8, 1 / 16), step(1.0, 0.5), 30.0, breaks=[8.0])
    assert found == pytest.approx(pass_through_pieces([1 / 8, 1 / 16], [1.0, 0.5], [8.0, 22.0])[0], rel=1e-8)
    assert pass_through_varying(1 / 8, np.inf, 10.0) == pytest.approx(np.exp(-1.25), rel=1e-8)


@pytest.mark.parametrize(
    ("kappa", "tau", "hours"), [(1 / 8, 8.0, 48.0), (1 / 16, 1.0, 5.0), (1 / 8, np.inf, 20.0), (1 / 8, 24.0, 30.0), (0.0, 1.0, 9.0)]
)
def test_carried_share_is_the_price_on_its_way(kappa, tau, hours):
    since = np.array([0.0, 0.3, 2.0, 0.8 * hours, hours])
    flow = lambda _, y: [kappa * (y[0] - y[1]), (y[0] - y[1]) / tau]  # noqa: E731
    path = solve_ivp(flow, (0, hours), [pass_through(kappa, tau, hours), 0.0], t_eval=since, method="DOP853", rtol=1e-12, atol=1e-14).y[0]
    found = carried_share(kappa, tau, hours, since)
    np.testing.assert_allclose(found, path, rtol=1e-8)
    np.testing.assert_allclose(found, pass_through(kappa, tau, hours) / np.asarray(pass_through(kappa, tau, since)), rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("hours", lambda: pass_through_pieces(0.1, 1.0, 48.0)),
        ("hours", lambda: pass_through_pieces(0.1, 1.0, [-1.0, 2.0])),
        ("kappa", lambda: pass_through_pieces([0.1, 0.1, 0.1], 1.0, [1.0, 2.0])),
        ("breaks", lambda: pass_through_varying(0.1, 1.0, 48.0, breaks=[50.0])),
        ("kappa", lambda: pass_through_varying(lambda t: -t, 1.0, 48.0)),
        ("ratio", lambda: keep_hours(1.1, 0.1, 1.0)),
        ("since", lambda: carried_share(0.1, 1.0, 4.0, 5.0)),
    ],
)
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()
