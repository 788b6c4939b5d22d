"""Pools in closed form, against worked examples, search, and the trades themselves."""

import numpy as np
import pytest

from perpkit.theory import constant_product_shortfall, pool_capture, pool_liquidation_distance, skew_hours, uncovered


def test_distances_of_the_venues_pages():
    """Ostium, docs and v1.2.4: 10x at 9.75 % with a pair maximum of 100x; gTrade 90 % of collateral: 10x at 9 %; GMX v2 25x: 3.5 and 3 % before fees."""
    assert pool_liquidation_distance(10, 0.25 / 100) == pytest.approx(0.0975)
    assert pool_liquidation_distance([10, 25], loss=[0.9, 0.85]) == pytest.approx([0.09, 0.034])
    assert pool_liquidation_distance(25, [0.005, 0.01]) == pytest.approx([0.035, 0.03])
    assert pool_liquidation_distance(1000, 0.0025) == 0.0


def test_a_minimum_collateral_position_goes_at_one_over_its_leverage():
    """Chitra and others 2025: at the maximum leverage eta a long is liquidated at ``p0 (1 - 1 / eta)``."""
    for eta in (2.0, 10.0, 50.0):
        assert 100.0 * (1.0 - pool_liquidation_distance(eta)) == pytest.approx(100.0 * (1.0 - 1.0 / eta))


def test_the_lending_pools_example():
    """Chitra and others 2025: 19.649 for reserves of 10 and 1,000 at a price of 130; none at the price where the reserves balance."""
    assert constant_product_shortfall(10, 1000, 130) == pytest.approx(19.649, abs=5e-4)
    assert constant_product_shortfall(10, 1000, 100) == 0.0
    price, base, quote = 130.0, 10.0, 1000.0  # the pool, arbitraged to the new price, sells base on the curve
    after = np.sqrt(base * quote / price)
    assert base * price + quote - (after * price + base * quote / after) == pytest.approx(constant_product_shortfall(base, quote, price))


def test_what_the_pool_cannot_collect():
    assert uncovered(0.12, [10, 25, 50]) == pytest.approx([0.02, 0.08, 0.10])
    assert uncovered(0.05, 10) == 0.0
    assert uncovered(0.12, 25, stop=0.5) == pytest.approx(0.10)


def test_the_avalanche_round_trips():
    """GMX v1, 2022-09-18: 565,000 USD over five trips of about 4.5 million is 2.5 % a trip, so the reference moved about 2.7 % against fees of
    10 bp each way."""
    each = 565e3 / 5 / 4.5e6
    moves = np.linspace(0.0, 0.05, 5001)
    assert moves[np.argmax(pool_capture(moves, 0.001) >= each)] == pytest.approx(0.0267, abs=2e-4)
    assert pool_capture(0.001, 0.001) < 0.0
    for move in (0.02, -0.03):  # the trip itself, trade by trade
        opened, closed, sign = 250.0, 250.0 * np.exp(move), np.sign(move)
        profit = sign * (closed - opened) - 0.001 * (opened + closed)
        assert pool_capture(move, 0.001) == pytest.approx(profit / opened, abs=1e-15)


def test_hours_to_the_highest_funding():
    most = 0.9 / 8760
    assert skew_hours(most, most / 3.0, [1.0, 0.2, 0.1]) == pytest.approx([3.0, 15.0, 30.0])
