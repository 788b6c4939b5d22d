"""Pass-through under funding as venues write it: shooting, backward induction, and the published settings."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from perpkit.theory import clamp_rest_premium, keep_ratio, keep_ratio_clamped, pass_through, pass_through_clamped

BP = 1e-4
TRADE_XYZ = {"kappa": 1 / 16, "tau": 0.5, "hours": 48.0, "clamp": 3 * BP, "dead_zone": 0.6 * BP, "interest": 1 * BP, "cap": 0.04}
"""2026-10: multiplier 0.5 on an 8 h rate, clamp as measured on the wire, impact spread of TSLA on a week night (1.2 bp); a weekend's is not known."""
LAUNCH = {"kappa": 1 / 8, "tau": 8.0, "hours": 48.0, "clamp": 5 * BP, "dead_zone": 0.6 * BP, "interest": 1 * BP, "cap": 0.04}


def laws(kappa, tau, clamp=0.0, dead_zone=0.0, interest=0.0, premium="impact-mid", cap=np.inf):
    """Funding and oracle speed, written as the venues' pages do: min, max and clamps."""

    def beyond(gap):
        return np.maximum(gap - dead_zone, 0.0) - np.maximum(-dead_zone - gap, 0.0)

    def funding(gap):
        p = gap if premium == "impact-mid" else beyond(gap)
        rate = kappa * (p + np.minimum(np.maximum(interest - p, -clamp), clamp))
        return np.minimum(np.maximum(rate, -cap), cap)

    return funding, lambda gap: beyond(gap) / tau


def shot(news, hours, **rules):
    """Opening price by shooting with an adaptive solver."""
    funding, speed = laws(**rules)

    def miss(start):
        flow = lambda _, y: [funding(y[0] - y[1]), speed(y[0] - y[1])]  # noqa: E731
        return solve_ivp(flow, (0, hours), [start, 0.0], rtol=1e-10, atol=1e-13, max_step=hours / 200).y[0, -1] - news

    return brentq(miss, min(news, 0) - 0.01, max(news, 0) + 0.01, xtol=1e-13)


CASES = [
    (0.05, {"kappa": 1 / 8, "tau": 8.0, "clamp": 5 * BP}),
    (-0.02, {"kappa": 1 / 16, "tau": 1.0, "clamp": 3 * BP, "dead_zone": 5 * BP, "interest": 1 * BP}),
    (0.01, {"kappa": 1 / 16, "tau": 1.0, "clamp": 3 * BP, "dead_zone": 5 * BP, "interest": 1 * BP, "premium": "dead-zone"}),
    (0.12, {"kappa": 1 / 8, "tau": np.inf, "clamp": 5 * BP, "interest": -2 * BP}),
    (0.10, {"kappa": 0.5, "tau": 4.0, "cap": 0.004, "dead_zone": 2 * BP}),
    (-0.004, {"kappa": 1 / 8, "tau": 24.0, "clamp": 5 * BP, "dead_zone": 8 * BP, "interest": 3 * BP, "premium": "dead-zone"}),
]


@pytest.mark.parametrize(("news", "rules"), CASES)
def test_path_is_the_one_shot_by_an_adaptive_solver(news, rules):
    found = pass_through_clamped(news, hours=24.0, **rules)
    opening = shot(news, 24.0, **rules)
    assert found.price[0] == pytest.approx(opening, abs=2e-8)
    quiet = shot(0.0, 24.0, **rules) if rules.get("interest") else 0.0
    assert found.ratio == pytest.approx((opening - quiet) / news, abs=2e-6)
    assert found.price[-1] == pytest.approx(news, abs=1e-14)
    funding, speed = laws(**rules)
    flow = lambda _, y: [funding(y[0] - y[1]), speed(y[0] - y[1])]  # noqa: E731
    path = solve_ivp(flow, (0, 24), [opening, 0.0], t_eval=found.hours, rtol=1e-10, atol=1e-13, max_step=0.1).y
    np.testing.assert_allclose([found.price, found.oracle], path, atol=1e-7)


@pytest.mark.parametrize(("news", "rules"), CASES)
def test_nobody_gains_by_buying_early_or_late(news, rules):
    """The martingale for known news: buy at any moment, pay funding as charged, receive the reopening price. Funding by the trapezoid on the path."""
    path = pass_through_clamped(news, hours=24.0, points=40_001, **rules)
    funding, _ = laws(**rules)
    rate = funding(path.price - path.oracle)
    step = np.diff(path.hours)
    still_due = np.append(np.cumsum((0.5 * (rate[1:] + rate[:-1]) * step)[::-1])[::-1], 0.0)
    profit = news - path.price - still_due
    assert np.abs(profit).max() < 1e-8
    # A price 2 % of the news away leaves money on the table at every moment: the test would see it.
    assert np.abs(news - (path.price + 0.02 * news) - still_due).min() > 1e-5


@pytest.mark.parametrize(("news", "rules"), CASES[:3])
def test_backward_induction_in_oracle_and_time(news, rules):
    """The price as a function of (oracle, time left), by dynamic programming from the reopening: no shooting, no gap equation."""
    funding, speed = laws(**rules)
    steps, dt = 4_000, 24.0 / 4_000
    oracle = np.linspace(-0.1 * abs(news), 1.1 * abs(news), 801) * np.sign(news)
    grid = oracle if news > 0 else oracle[::-1]
    price = np.full(grid.size, news)
    for _ in range(steps):
        gap = price - grid
        price = np.interp(grid + speed(gap) * dt, grid, price) - funding(gap) * dt
    assert np.interp(0.0, grid, price) == pytest.approx(pass_through_clamped(news, hours=24.0, **rules).price[0], abs=2e-3 * abs(news))


def test_numbers():  # literature 4.C, assumptions that bite
    designs = [(1 / 8, 8.0, 5 * BP, 0.0), (1 / 16, 1.0, 5 * BP, 0.0), (1 / 8, np.inf, 5 * BP, 0.0), (1 / 16, 1.0, 3 * BP, 5 * BP)]
    for news, expected in ((0.05, (0.177, 0.941, 0.012, 0.926)), (0.01, (0.312, 0.950, 0.052, 0.881))):
        found = [pass_through_clamped(news, kappa, tau, 48.0, clamp, zone).ratio for kappa, tau, clamp, zone in designs]
        np.testing.assert_allclose(found, expected, atol=6e-4)


@pytest.mark.parametrize(("kappa", "tau"), [(1 / 8, 8.0), (1 / 16, 0.5), (1 / 8, np.inf), (1 / 8, 24.0), (0.0, 1.0)])
def test_linear_limit(kappa, tau):
    exact, standing = pass_through(kappa, tau, 48.0), keep_ratio(kappa, tau, 48.0)
    for news in (0.05, -0.2):
        assert pass_through_clamped(news, kappa, tau, 48.0).ratio == pytest.approx(exact, abs=1e-13)
        assert keep_ratio_clamped(news, kappa, tau, 48.0).ratio == pytest.approx(standing, abs=1e-12)
    # Widths shrink to nothing, news grows without end: two ways to the same limit, monotone.
    narrow = [abs(pass_through_clamped(0.05, kappa, tau, 48.0, 3 * BP / k, 5 * BP / k, 1 * BP / k).ratio - exact) for k in (1, 10, 100, 1_000)]
    large = [abs(pass_through_clamped(0.05 * k, kappa, tau, 48.0, 3 * BP, 5 * BP, 1 * BP).ratio - exact) for k in (1, 10, 100, 1_000)]
    for errors in (narrow, large):
        assert np.all(np.diff(errors) <= 1e-13) and errors[-1] < 2e-4
    np.testing.assert_allclose(narrow, large, atol=1e-12)


def test_only_news_in_units_of_the_widths_matters():
    one = pass_through_clamped(0.02, 1 / 16, 1.0, 48.0, 3 * BP, 5 * BP, 1 * BP)
    two = pass_through_clamped(0.04, 1 / 16, 1.0, 48.0, 6 * BP, 10 * BP, 2 * BP)
    assert two.ratio == pytest.approx(one.ratio, abs=1e-13)
    np.testing.assert_allclose(two.price, 2 * one.price, atol=1e-14)


def test_what_helps_discovery_and_what_hurts():
    """A wider clamp charges less; a wider dead zone in the oracle alone leaves more to charge; one in the premium too charges less."""
    at = lambda **rules: pass_through_clamped(0.02, 1 / 16, 1.0, 48.0, **rules).ratio  # noqa: E731
    widths = np.array([0, 1, 3, 5, 10, 30]) * BP
    assert np.all(np.diff([at(clamp=w) for w in widths]) > 0)
    assert np.all(np.diff([at(dead_zone=w) for w in widths]) < 0)
    assert np.all(np.diff([at(dead_zone=w, premium="dead-zone") for w in widths]) > 0)
    assert np.all(np.diff([at(dead_zone=5 * BP, clamp=w) for w in widths]) >= 0)
    for size in (0.001, 0.01, 0.1):
        up, down = (pass_through_clamped(sign * size, 1 / 16, 1.0, 48.0, 3 * BP, 5 * BP).ratio for sign in (1, -1))
        assert up == pytest.approx(down, rel=1e-12)
    # News within the clamp costs nothing to hold against a dead oracle, and is carried whole.
    assert pass_through_clamped(4 * BP, 1 / 8, np.inf, 48.0, clamp=5 * BP).ratio == pytest.approx(1.0, abs=1e-12)
    assert clamp_rest_premium(4 * BP, 5 * BP) == 4 * BP


def test_trade_xyz():
    """Worked example. In the week-night spread R is the linear one within two points for a 1 % gap; a spread of 10 bp at the weekend costs twelve."""
    for news in (0.05, 0.01, -0.05):
        assert pass_through_clamped(news, **TRADE_XYZ).ratio == pytest.approx(shot_ratio(news, TRADE_XYZ), abs=2e-6)
    today = {news: pass_through_clamped(news, **TRADE_XYZ).ratio for news in (0.05, 0.01)}
    assert pass_through(1 / 16, 0.5, 48.0) == pytest.approx(0.969, abs=5e-4)
    assert today[0.05] == pytest.approx(0.969, abs=0.005) and today[0.01] == pytest.approx(0.969, abs=0.02)
    wide = pass_through_clamped(0.01, **(TRADE_XYZ | {"dead_zone": 5 * BP})).ratio
    assert wide < today[0.01] - 0.03
    launch = pass_through_clamped(0.05, **LAUNCH).ratio
    assert launch > pass_through(1 / 8, 8.0, 48.0) + 0.02
    # A long pays interest for nothing on a quiet weekend: 48 h at half of 1 bp an eight hours.
    assert pass_through_clamped(0.05, **TRADE_XYZ).price[0] - 0.05 * today[0.05] == pytest.approx(-3 * BP, abs=0.1 * BP)


def shot_ratio(news, rules):
    rules = dict(rules)
    hours = rules.pop("hours")
    return (shot(news, hours, **rules) - shot(0.0, hours, **rules)) / news


@pytest.mark.parametrize(("news", "rules"), CASES)
def test_standing_price_by_quadrature(news, rules):
    funding, speed = laws(**rules)

    def kept(start):
        flow = lambda _, y: [speed(start - y[0]), funding(start - y[0])]  # noqa: E731
        return solve_ivp(flow, (0, 24), [0.0, 0.0], rtol=1e-10, atol=1e-13, max_step=0.1).y[1, -1]

    found = keep_ratio_clamped(news, hours=24.0, **rules)
    assert found.ratio == pytest.approx(1 - (kept(news) - kept(0.0)) / news, abs=1e-6)
    assert found.paid[-1] == pytest.approx(kept(news), abs=1e-9)


def test_venue_figure_with_its_clamp():
    """The 87 % and 10 % in both readings under the 5 bp clamp: 87.5 % barely moves, 10 % becomes 15 to 22 % and depends on the news."""
    for news in (0.05, 0.02):
        for reading in (pass_through_clamped, keep_ratio_clamped):
            assert reading(news, 1 / 8, 1.0, 72.0, 5 * BP).ratio == pytest.approx(0.875, abs=0.02)
    long = {news: pass_through_clamped(news, 1 / 8, 8.0, 72.0, 5 * BP).ratio for news in (0.05, 0.02)}
    assert 0.1 < long[0.05] < long[0.02] < 0.25
    standing = {news: keep_ratio_clamped(news, 1 / 8, 8.0, 8 * np.log(10), 5 * BP).ratio for news in (0.05, 0.02)}
    assert 0.1 < standing[0.05] < standing[0.02] < 0.25


@pytest.mark.parametrize("news", [0.01, 0.02, 0.05, 0.1])
def test_a_clamp_puts_a_floor_under_both_readings(news):
    """On the critical line the gap falls by kappa d an hour down to the clamp, and holding is free from there: however long the closure,
    g(0) = sqrt(2 d v - d^2). Standing: (d / v)(1 + ln(v / d)). With d = 5 bp the launch rules carry 10 % of no gap smaller than 10 %."""
    d = 5 * BP
    for hours in (250.0, 2_000.0) if news == 0.1 else (120.0, 2_000.0):
        assert pass_through_clamped(news, 1 / 8, 8.0, hours, d).ratio == pytest.approx(np.sqrt(2 * d * news - d**2) / news, rel=1e-9)
        assert keep_ratio_clamped(news, 1 / 8, 8.0, hours, d).ratio == pytest.approx(d / news * (1 + np.log(news / d)), rel=1e-9)


def test_hard_cases_stay_exact():
    """Pinned designs, very long closures, caps that bind: the path still lands on the news."""
    for rules in (
        {"kappa": 10.0, "tau": np.inf, "hours": 1_000.0, "clamp": 5 * BP},
        {"kappa": 10.0, "tau": 0.01, "hours": 1_000.0, "clamp": 5 * BP},
        {"kappa": 1.0, "tau": np.inf, "hours": 48.0, "cap": 1e-3},
        {"kappa": 1 / 16, "tau": 0.5, "hours": 0.01, "clamp": 5 * BP, "dead_zone": 10 * BP},
    ):
        found = pass_through_clamped(0.15, **rules)
        assert 0 <= found.ratio <= 1 and found.price[-1] == pytest.approx(0.15, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("news", {"news": 0.0}),
        ("news", {"news": np.nan}),
        ("kappa", {"kappa": -1.0}),
        ("tau", {"tau": 0.0}),
        ("hours", {"hours": 0.0}),
        ("clamp", {"clamp": -1e-4}),
        ("dead_zone", {"dead_zone": -1e-4}),
        ("interest", {"interest": np.inf}),
        ("premium", {"premium": "mid"}),
        ("cap", {"cap": 0.0}),
        ("points", {"points": 1}),
    ],
)
def test_bad_input_is_named(name, change):
    with pytest.raises(ValueError, match="too long"):
        pass_through_clamped(0.15, 10.0, 0.01, 1_000.0, 5 * BP, 10 * BP)
    for reading in (pass_through_clamped, keep_ratio_clamped):
        with pytest.raises(ValueError, match=name):
            reading(**({"news": 0.05, "kappa": 1 / 8, "tau": 8.0, "hours": 48.0} | change))
