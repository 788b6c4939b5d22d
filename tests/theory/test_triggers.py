"""Populations as a cascade meets them: the law of triggers, accounts, and accounts that sell a slice first."""

import numpy as np
import pytest
from scipy.integrate import quad

from perpkit.theory import EvenDensity, LeverageLaw, Triggers, account_triggers, bankruptcy_price, liquidation_price, slice_shift, sliced

INTEREST = 45e6
BAD = [
    ("open_interest", lambda: LeverageLaw(0.0)),
    ("max_leverage", lambda: LeverageLaw(1.0, max_leverage=1.0)),
    ("maintenance", lambda: LeverageLaw(1.0, maintenance=0.2)),
    ("level", lambda: LeverageLaw(1.0).sold(np.nan)),
    ("n ", lambda: LeverageLaw(1.0).accounts(0)),
    ("level", lambda: Triggers([0.0], [1.0])),
    ("level", lambda: Triggers([-0.1, 0.1], [1.0])),
    ("size", lambda: Triggers([-0.1], [-1.0])),
    ("window", lambda: Triggers([-0.1], [1.0], window=0.0)),
    ("side", lambda: account_triggers([2.0], 1.0, 0.9, 0.025)),
    ("bankruptcy of 0.99", lambda: account_triggers([1.0], 1.0, 0.99, 0.025)),
    ("bankruptcy is above 0 for no account", lambda: account_triggers([1.0], 1.0, -0.2, 0.025)),
    ("maintenance", lambda: slice_shift(1.0, 0.2)),
    ("share", lambda: slice_shift(0.025, 1.0)),
    ("side", lambda: slice_shift(0.025, 0.2, side="buy")),
    ("threshold", lambda: sliced(Triggers([-0.1], [1.0]), 0.0, 0.025)),
    ("slices", lambda: sliced(Triggers([-0.1], [1.0]), 1.0, 0.025, slices=0)),
]


@pytest.mark.parametrize(("name", "call"), BAD, ids=[f"{i}-{name}" for i, (name, _) in enumerate(BAD)])
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()


def test_law_of_the_base_population():
    """Density in open interests a unit of log mark: at a fall of 5 % 0.87 at 20x (nothing yet at 10x, whose first accounts fall at 5.3 %)."""
    twenty, ten = LeverageLaw(1.0), LeverageLaw(1.0, max_leverage=10.0)
    assert twenty.density(np.log(0.95)) == pytest.approx(0.868, abs=5e-4)
    assert ten.density(np.log(0.95)) == 0.0 == ten.sold(np.log(0.95))
    assert ten.density(np.log(0.947)) == pytest.approx(1.68, abs=5e-3)
    level = np.linspace(-0.4, 0.4, 8_001)
    assert twenty.density(level[level < 0]).max() == pytest.approx(2.439, abs=5e-4)
    assert twenty.density(level[level > 0]).max() == pytest.approx(3.541, abs=5e-4)
    shares = 1.0 - np.array([twenty.sold(np.log((1 - 1 / lev) / 0.975)) for lev in (3.0, 7.0)])
    np.testing.assert_allclose([shares[0], shares[1] - shares[0], 1 - shares[1]], [0.36, 0.49, 0.15], atol=0.015)  # published buckets


@pytest.mark.parametrize("limit", [10.0, 20.0, 50.0])
def test_density_is_the_slope_of_what_is_sold_and_adds_up(limit):
    law = LeverageLaw(INTEREST, max_leverage=limit)
    for level in (-0.6, -0.15, -0.06, 0.06, 0.12, 0.5):
        slope = abs(law.sold(level + 1e-6) - law.sold(level - 1e-6)) / 2e-6
        assert law.density(level) == pytest.approx(slope, rel=1e-6, abs=1.0)
    # 5x falls at 0.8 / (1 - m): everything above is the integral up to there.
    edge = np.log(0.8 / (1 - law.maintenance))
    assert quad(law.density, edge, 0.0, points=[np.log((1 - 1 / limit) / (1 - law.maintenance))])[0] == pytest.approx(law.sold(edge), rel=1e-6)
    assert law.sold([-30.0, np.log(1.99)])[0] == pytest.approx(INTEREST, rel=1e-9) and law.sold(0.0) == 0.0


@pytest.mark.parametrize("side", ["long", "short"])
def test_law_against_drawn_accounts(side):
    """Shares liquidated at five marks against 40,000 drawn leverages, each within 4 standard errors (one false alarm in 3,000)."""
    rng, law = np.random.default_rng(5), LeverageLaw(1.0)
    leverage = np.exp(rng.normal(np.log(law.median), law.sd, 60_000))
    leverage = leverage[(leverage >= 1) & (leverage <= law.max_leverage)][:40_000]
    call = np.log(np.maximum(liquidation_price(1.0, leverage, law.maintenance, side), 1e-9))
    for level in np.array([0.03, 0.06, 0.12, 0.2, 0.4]) * (-1 if side == "long" else 1):
        share = np.mean(call >= level if side == "long" else call <= level)
        assert abs(share - law.sold(level)) < 4 * np.sqrt(share * (1 - share) / leverage.size)
        assert abs(share - law.sold(1.15 * level)) > 4 * np.sqrt(share * (1 - share) / leverage.size)


def test_accounts_of_the_law_stand_at_its_quantiles():
    law = LeverageLaw(INTEREST)
    many = law.accounts(20_000)
    for level in (-0.3, -0.15, -0.04, 0.05, 0.2):
        assert many.sold(level) == pytest.approx(law.sold(level), abs=INTEREST / 20_000)
        assert many.density(level) == pytest.approx(law.density(level), rel=5e-3)
    assert many.size.sum() == pytest.approx(2 * INTEREST)


def test_accounts():
    side = np.array([1.0, 1.0, -1.0, 1.0])
    zero = [bankruptcy_price(250.0, lev, name) for lev, name in ((10, "long"), (4, "long"), (5, "short"), (0.9, "long"))]
    zero[3] = -25.0  # collateral above cost: no price reaches it
    found = account_triggers(side, [100.0, 200.0, 300.0, 400.0], zero, 0.025, 250.0)
    want = [np.log(liquidation_price(250.0, lev, 0.025, name) / 250.0) for lev, name in ((10, "long"), (5, "short"), (4, "long"))]
    np.testing.assert_allclose(found.level, want)  # nearest first
    np.testing.assert_allclose(found.sold([-0.01, want[0], -1.0, 0.0, 0.5]), [0.0, 100.0, 300.0, 0.0, 300.0])
    assert found.density(want[0]) == pytest.approx(100.0 / found.window)


def test_density_counts_one_side_only():
    both = Triggers([-0.002, 0.002], [1.0, 1.0], window=0.02)
    assert both.density(-0.001) == pytest.approx(1.0 / 0.011)
    even = EvenDensity(7.0)
    assert even.sold(-0.5) == 3.5 == even.sold(0.5) and even.density([-0.1, 0.2]).tolist() == [7.0, 7.0]


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("beyond", [0.0, 0.01, 0.03])
def test_slice_on_the_accounts_own_books(side, beyond):
    """Sell a fifth at the fill, then look for the mark at which what is left is below maintenance."""
    sign, rate, size, collateral = (1 if side == "long" else -1), 0.025, 10.0, 90.0
    call = (100.0 - sign * collateral / size) / (1 - sign * rate)
    fill = call * np.exp(-sign * beyond)
    cash = collateral + sign * 2.0 * (fill - 100.0)
    again = (100.0 - sign * cash / 8.0) / (1 - sign * rate)
    assert slice_shift(rate, 0.2, beyond, side) == pytest.approx(np.log(again / call), rel=1e-9)


def test_slices_help_until_the_fill_is_at_bankruptcy():
    assert slice_shift(0.025, 0.2) == pytest.approx(-0.25 * 0.025, rel=0.05)
    assert slice_shift(0.025, 0.2, -np.log(0.975)) == pytest.approx(0.0, abs=1e-15)
    assert slice_shift(0.025, 0.2, 0.04) > 0 > slice_shift(0.025, 0.2, 0.04, "short")


def ledger(population, threshold, rate, marks, wholes_after):
    """Every account by itself along a path of marks, filled at the mark: size left and bankruptcy price, slice by slice."""
    side = np.where(population.level < 0, 1.0, -1.0)
    zero, left = np.exp(population.level) * (1 - side * rate), population.size.copy()
    slices, sold = np.zeros(left.size, dtype=int), []
    for mark in marks:
        for j in range(left.size):
            while left[j] > 0 and side[j] * (mark - zero[j]) < rate * mark:
                ruined = side[j] * (mark - zero[j]) <= 0
                if ruined or left[j] <= threshold or slices[j] >= wholes_after:
                    left[j] = 0.0
                else:
                    zero[j] = (zero[j] - 0.2 * mark) / 0.8
                    left[j], slices[j] = 0.8 * left[j], slices[j] + 1
        sold.append(population.size.sum() - left.sum())
    return np.array(sold)


@pytest.mark.parametrize("way", [-1, 1])
@pytest.mark.parametrize(("slices", "landing"), [(1, 0.0), (1, 0.05), (3, 0.0), (3, 0.04)])
def test_sliced_population_against_a_ledger(way, slices, landing):
    rng = np.random.default_rng(20)
    whole = Triggers(way * rng.uniform(0.005, 0.15, 60), rng.uniform(20e3, 300e3, 60))
    found = sliced(whole, 100e3, 0.025, slices=slices, landing=way * landing)
    assert found.size.sum() == pytest.approx(whole.size.sum())
    levels = way * np.concatenate([[landing] if landing else [], np.arange(landing + 1e-5, 0.14, 1e-5)])
    one_by_one = ledger(whole, 100e3, 0.025, np.exp(levels), slices)
    off = np.abs(one_by_one - found.sold(levels)) > 1.0
    # The ledger's marks come in steps of a tenth of a basis point: between a trigger and the next mark the two may differ, and at the landing
    # itself, where the ledger sells again at once.
    assert off.mean() < 0.01
    plain_population = np.abs(one_by_one - whole.sold(levels)) > 1.0
    assert plain_population.mean() > 0.2
