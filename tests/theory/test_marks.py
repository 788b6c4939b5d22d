"""Margin prices, clamps, filters and bands (catalogue 11, 12, 14, 15, 20)."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.signal import lfilter

from perpkit.theory import (
    bankruptcy_price,
    clamp_updates,
    clamp_walk,
    ema_drag_hours,
    ema_half_life,
    ema_noise_ratio,
    liquidation_price,
    partial_liquidation,
    protected_leverage,
    ratchet_range,
)


def walk(start, target, clamp):
    """Updates of a clamped mark, one by one."""
    mark, taken = start, 0
    while abs(mark - target) > 1e-12 * target:
        mark = min(max(target, mark * (1 - clamp)), mark * (1 + clamp))
        taken += 1
    return taken


def test_drag_time():  # catalogue 11
    minutes = 60 * ema_drag_hours(0.045, np.array([0.05, 0.075, 0.10]), 0.5)
    np.testing.assert_allclose(minutes, [69.1, 27.5, 17.9], atol=0.05)
    oracle, hours, dt = 0.0, 0.0, 1e-5
    while oracle < 0.045:
        oracle, hours = oracle + (0.075 - oracle) * (1 - np.exp(-dt / 0.5)), hours + dt
    assert 60 * hours == pytest.approx(minutes[1], abs=1e-2)


def test_clamp_catch_up():  # catalogue 12
    assert [clamp_updates(np.log(x), 0.005) for x in (0.95, 0.90, 220 / 250, 0.813)] == [11, 22, 26, 42]
    assert [3 * clamp_updates(np.log(x), 0.01) for x in (0.95, 0.90, 220 / 250, 0.813)] == [18, 33, 39, 63]


def test_clamp_updates_are_those_of_the_walk():  # catalogue 12
    rng = np.random.default_rng(12)
    for gap, clamp in zip(rng.uniform(-0.4, 0.4, 200), rng.uniform(0.001, 0.05, 200), strict=True):
        assert clamp_updates(gap, clamp) == walk(1.0, np.exp(gap), clamp)


def test_whole_steps_are_not_rounded_up():
    steps = np.arange(0, 60)
    np.testing.assert_array_equal(clamp_updates(steps * np.log1p(-0.005), 0.005), steps)
    np.testing.assert_array_equal(clamp_updates(steps * np.log1p(0.005), 0.005), steps)


def test_a_fall_takes_fewer_updates_than_the_same_rise():
    assert clamp_updates(-0.5, 0.05) < clamp_updates(0.5, 0.05)


def test_article_example():  # catalogue 12, 14
    ten = clamp_walk(250, 220, leverage=10, maintenance=0.05, clamp=0.005)
    assert (ten.trigger, ten.bankrupt, ten.arrival) == (11, 22, 26)
    assert ten.liquidation_price == pytest.approx(236.84, abs=5e-3) and ten.bankruptcy_price == pytest.approx(225)
    assert ten.loss == pytest.approx(5.00, abs=1e-12)
    twenty = clamp_walk(250, 220, leverage=20, maintenance=0.025, clamp=0.005)
    assert twenty.trigger == 6 and twenty.liquidation_price == pytest.approx(243.59, abs=5e-3)
    assert twenty.loss == pytest.approx(17.50, abs=1e-12)


def test_clamp_does_not_change_the_loss():
    losses = {clamp_walk(250, 220, 10, 0.05, clamp).loss for clamp in (0.0025, 0.005, 0.01, 0.05)}
    assert losses == {5.0}
    assert clamp_walk(250, 240, 10, 0.05, 0.005).trigger == 0 == clamp_walk(250, 240, 10, 0.05, 0.005).loss
    short = clamp_walk(250, 290, 10, 0.05, 0.005, side="short")
    assert short.loss == pytest.approx(15.0) and short.trigger == clamp_updates(np.log(275 / 1.05 / 250), 0.005)


def test_protected_leverage():  # catalogue 15
    found = [protected_leverage(b, m, side) for b, m in ((0.05, 0.025), (0.10, 0.05)) for side in ("long", "short")]
    np.testing.assert_allclose(found, [13.56, 13.11, 6.90, 6.45], atol=5e-3)
    for side, edge in (("long", 0.95), ("short", 1.05)):
        root = brentq(lambda lev, s=side, e=edge: liquidation_price(1.0, lev, 0.025, s) - e, 1.5, 39)
        assert protected_leverage(0.05, 0.025, side) == pytest.approx(root, rel=1e-10)


def test_ratchet_range():
    band = ratchet_range(0.05, 0.9, 2)
    np.testing.assert_allclose(band.up_triggers, [104.50, 109.725])
    assert band.ceiling == pytest.approx(115.76, abs=5e-3) and band.floor == pytest.approx(85.74, abs=5e-3)
    static = ratchet_range(0.04, 0.9, 0, anchor=1.0)
    assert static.up_triggers == () and (static.ceiling, static.floor) == pytest.approx((1.04, 0.96))
    through = [protected_leverage(b, 0.025, s) for b, s in ((1 - band.floor / 100, "long"), (band.ceiling / 100 - 1, "short"))]
    np.testing.assert_allclose(through, [6.1, 5.4], atol=0.05)


def test_five_accounts():
    """Chitra (arXiv:2512.01112): equity at the liquidation price is the maintenance share of notional."""
    accounts = [(1, 2, "long"), (1, 2 / 3, "long"), (4, 8 / 3, "short"), (1, 2 / 19, "long"), (1, 10 / 99, "short")]
    leverage = [q / c for q, c, _ in accounts]
    zero = [bankruptcy_price(1.0, lev, side) for lev, (_, _, side) in zip(leverage, accounts, strict=True)]
    call = [liquidation_price(1.0, lev, 0.10, side) for lev, (_, _, side) in zip(leverage, accounts, strict=True)]
    np.testing.assert_allclose(zero, [0, 1 / 3, 5 / 3, 0.8947, 1.1010], atol=5e-5)
    np.testing.assert_allclose(call, [0, 0.3704, 1.5152, 0.9942, 1.0009], atol=5e-5)
    for (q, c, side), price in list(zip(accounts, call, strict=True))[1:]:
        assert c + q * (1 if side == "long" else -1) * (price - 1.0) == pytest.approx(0.10 * q * price)


def test_funding_moves_both_prices_the_same_way():
    for side, sign in (("long", 1), ("short", -1)):
        price = liquidation_price(250.0, 10.0, 0.05, side, funding=1.5)
        assert 25.0 + sign * (price - 250.0) - sign * 1.5 == pytest.approx(0.05 * price)


def test_partial_liquidation():  # catalogue 20
    assert partial_liquidation(10, 100, 40, 0.05) == pytest.approx(2.000, abs=1e-12)
    assert partial_liquidation(10, 100, 40, 0.05, impact=0.02) == pytest.approx(2.008, abs=5e-4)
    assert partial_liquidation(10, 100, 40, 0.05, impact=1e-13) == pytest.approx(2.0, abs=1e-9)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("impact", "share"), [(0.0, 0.0), (0.02, 0.0), (0.02, 1.0), (0.2, 0.5), (0.6, 0.0), (1.0, 1.0)])
def test_partial_liquidation_against_a_search(side, impact, share):  # catalogue 20
    """The first size on a fine grid that leaves equity at maintenance, on the account's own books."""
    size, price, equity, rate = 10.0, 100.0, 40.0, 0.05
    closed = np.linspace(0, size, 200_001)
    mark = price - side * share * impact * closed
    left = equity - impact * closed**2 / 2 + side * (mark - price) * (size - closed) - rate * mark * (size - closed)
    met = closed[left >= -1e-12]
    assert partial_liquidation(side * size, price, equity, rate, impact, share) == pytest.approx(met[0] if met.size else size, abs=1e-4)


def test_partial_liquidation_closes_nothing_or_everything():
    assert partial_liquidation(10, 100, 50, 0.05) == 0.0
    assert partial_liquidation(10, 100, -1, 0.05) == 10.0


def test_ema_noise_and_half_life():
    assert ema_noise_ratio(3.0, 150.0) == pytest.approx(0.0100, abs=5e-6)
    assert ema_half_life(150.0) == pytest.approx(104, abs=0.05)
    alpha = -np.expm1(-0.2)
    pulse = lfilter([alpha], [1, alpha - 1], np.eye(1, 500)[0])
    assert ema_noise_ratio(1.0, 5.0) == pytest.approx(np.sum(pulse**2), rel=1e-12)
