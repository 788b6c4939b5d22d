"""A price that expects more news: its limits, and the martingale itself by Monte Carlo."""

import numpy as np
import pytest

from perpkit.theory import pass_through, pass_through_clamped, pass_through_expecting

BP = 1e-4
RULES = {"kappa": 1 / 16, "tau": 1.0, "hours": 24.0, "clamp": 3 * BP, "dead_zone": 5 * BP}


@pytest.mark.parametrize("news", [0.05, -0.02, 0.01])
def test_without_more_news_it_is_the_known_path(news):
    for extra in ({}, {"interest": 1 * BP}, {"premium": "dead-zone"}):
        known = pass_through_clamped(news, **RULES, **extra).ratio
        assert pass_through_expecting(news, 0.0, **RULES, **extra).ratio == pytest.approx(known, abs=6e-4)


@pytest.mark.parametrize(("kappa", "tau"), [(1 / 8, 8.0), (1 / 16, 1.0), (1 / 8, 24.0)])
def test_where_laws_are_linear_news_to_come_does_not_matter(kappa, tau):
    for later in (0.0, 0.03):
        assert pass_through_expecting(0.02, later, kappa, tau, 24.0).ratio == pytest.approx(pass_through(kappa, tau, 24.0), rel=2e-3)


def test_news_to_come_smooths_the_bends_away():
    """A TSLA weekend's worth to come (sd 2.4 %): 1 % of news is carried at .935, not .911, against .9375 in the linear law."""
    ratios = [pass_through_expecting(0.01, later, **RULES).ratio for later in (0.0, 0.0005, 0.005, 0.024)]
    assert np.all(np.diff(ratios) > 0)
    assert ratios[0] == pytest.approx(0.911, abs=1e-3) and ratios[-1] == pytest.approx(0.935, abs=1e-3)


def test_martingale_with_news_that_keeps_coming():
    """Buy at the close, pay funding, receive the reopening price, over Gaussian news and steps of its own: mean zero within 4 standard errors and
    the step's bias (a false alarm in 16,000 runs). At the price of known news, a point of R lower, the mean is far outside."""
    news, later, paths, steps = 0.01, 0.024, 20_000, 4_000
    fair = pass_through_expecting(news, later, **RULES)
    rng = np.random.default_rng(44)
    dt = 24.0 / steps
    value, oracle, paid = np.full(paths, news), np.zeros(paths), np.zeros(paths)
    for i in range(steps):
        gap = np.interp(value - oracle, fair.unpriced, fair.gap[i // 2])
        paid += 1 / 16 * np.sign(gap) * np.maximum(np.abs(gap) - 3 * BP, 0.0) * dt
        oracle += np.sign(gap) * np.maximum(np.abs(gap) - 5 * BP, 0.0) * dt
        value += later * np.sqrt(dt / 24.0) * rng.standard_normal(paths)
    # Value's own noise is a martingale whatever the price: taking it out leaves the funding, which is what is tested.
    profit = news - fair.ratio * news - paid + (value - news) * np.cov(paid, value)[0, 1] / value.var()
    allowed = 4 * profit.std() / np.sqrt(paths) + 1e-5
    assert abs(profit.mean()) < allowed
    known = pass_through_clamped(news, **RULES).ratio
    assert abs(profit.mean() + (fair.ratio - known) * news) > 2 * allowed


@pytest.mark.parametrize(
    ("name", "change"),
    [("later", {"later": -0.1}), ("steps", {"steps": 100}), ("points", {"points": 100}), ("tau", {"tau": 0.0}), ("news", {"news": 0.0})],
)
def test_bad_input_is_named(name, change):
    with pytest.raises(ValueError, match=name):
        pass_through_expecting(**({"news": 0.01, "later": 0.02} | RULES | change))
