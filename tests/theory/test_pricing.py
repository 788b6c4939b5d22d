"""Perpetual pricing against QuantLib, and the resting premium (catalogue 1, 2, 5, 6)."""

import warnings
from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

from perpkit.theory import HOURS_PER_YEAR, clamp_rest_premium, idle_premium, payoff_funding, perpetual_basis, perpetual_ratio


def quantlib_ratio(rate_quote, rate_base, kappa, interest, hours, timing):
    """The same contract priced by QuantLib on flat curves; its funding rates are per funding interval, its interest part adds to them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the SWIG types of the binding
        import QuantLib as ql
    today = ql.Date(21, 12, 2025)
    ql.Settings.instance().evaluationDate = today
    curve = lambda rate: ql.YieldTermStructureHandle(ql.FlatForward(today, rate, ql.Actual365Fixed()))  # noqa: E731
    kind = {"previous": ql.PerpetualFutures.FundingWithPreviousSpot, "current": ql.PerpetualFutures.FundingWithCurrentSpot}[timing]
    contract = ql.PerpetualFutures(ql.PerpetualFutures.Linear, kind, ql.Period(hours, ql.Hours), ql.NullCalendar(), ql.Actual365Fixed())
    engine = ql.DiscountingPerpetualFuturesEngine(
        curve(rate_quote), curve(rate_base), ql.QuoteHandle(ql.SimpleQuote(1.0)), [0.0], [kappa * hours], [interest * hours],
        ql.DiscountingPerpetualFuturesEngine.PiecewiseConstant, 1.0,
    )  # fmt: skip
    contract.setPricingEngine(engine)
    return contract.NPV()


def test_basis_of_a_dollar_contract_is_under_one_basis_point():  # catalogue 1
    assert perpetual_basis(0.045, 0.0, 1 / 8) == pytest.approx(0.411, abs=5e-4)
    assert perpetual_basis(0.045, 0.0, 1 / 16) == pytest.approx(0.822, abs=5e-4)


def test_hourly_contract_to_nine_decimals():  # catalogue 2
    assert perpetual_ratio(0.045, 0.0, 1 / 16, period=1) == pytest.approx(1.000082199, abs=5e-10)


@pytest.mark.parametrize("timing", ["previous", "current"])
@pytest.mark.parametrize(
    ("hours", "kappa", "quote", "base", "interest"),
    [(1, 1 / 16, 0.045, 0.0, 0.0), (1, 1 / 8, 0.045, 0.013, 1.25e-5), (8, 1 / 8, -0.01, 0.06, -2e-5), (4, 0.01, 0.3, 0.1, 0.0), (8, 0.002, 0.05, 0.0, 1e-4)],
)
def test_quantlib_agrees(hours, kappa, quote, base, interest, timing):  # catalogue 2
    ours = perpetual_ratio(quote, base, kappa, interest, period=hours, timing=timing)
    assert ours == pytest.approx(quantlib_ratio(quote, base, kappa, interest, hours, timing), abs=1e-12)


def test_quantlib_would_catch_the_wrong_timing_and_swapped_rates():  # trap 4
    outside = quantlib_ratio(0.045, 0.013, 1 / 8, 0.0, 8, "previous")
    assert abs(perpetual_ratio(0.045, 0.013, 1 / 8, period=8, timing="current") - outside) > 1e-10
    assert perpetual_ratio(0.013, 0.045, 1 / 8, period=8) - 1 == pytest.approx(-(outside - 1), rel=1e-3)


def test_ratio_is_the_discounted_sum_of_future_references():
    """The series of Ackerer, Hugonnier and Jermann, summed term by term."""
    kappa, interest, quote, base = 1 / 16, 2e-5, 0.045, 0.01
    growth = np.exp((quote - base) / HOURS_PER_YEAR)
    k = np.arange(2_000)
    series = np.sum((kappa - interest) * (1 + kappa) ** -(k + 1.0) * growth**k)
    assert perpetual_ratio(quote, base, kappa, interest, period=1) == pytest.approx(series, abs=1e-12)


def test_continuous_funding_is_the_limit_of_short_periods():
    limit = perpetual_ratio(0.3, 0.02, 0.01, 1e-4)
    errors = [abs(perpetual_ratio(0.3, 0.02, 0.01, 1e-4, period=h, timing="current") - limit) for h in (1.0, 0.1, 0.01)]
    assert errors[2] < 1e-9
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.01)


def test_interest_equal_to_the_carry_pins_the_price():
    carry = (0.045 - 0.01) / HOURS_PER_YEAR
    assert perpetual_ratio(0.045, 0.01, 1 / 8, interest=carry) == pytest.approx(1.0, abs=1e-15)
    assert perpetual_ratio(0.045, 0.01, 1 / 8, interest=np.expm1(carry * 8) / 8, period=8) == pytest.approx(1.0, abs=1e-15)


def test_linear_payoff_owes_nothing_and_a_log_contract_owes_the_variance():  # catalogue 5
    jumps = norm(-0.05, 0.08)
    linear = payoff_funding(250.0, lambda s: s, np.ones_like, np.zeros_like, 0.4, jump_intensity=3.0, jump_law=jumps)
    assert linear == pytest.approx(0.0, abs=1e-9)
    assert payoff_funding(250.0, lambda s: s, np.ones_like, np.zeros_like, 0.4, rate=0.05) == pytest.approx(0.0, abs=1e-12)
    assert payoff_funding(250.0, np.square, lambda s: 2 * s, lambda s: 2 + 0 * s, 0.4, rate=0.05) == pytest.approx(250.0**2 * (0.4**2 + 0.05))
    twice_log = payoff_funding(250.0, lambda s: 2 * np.log(s), lambda s: 2 / s, lambda s: -2 / s**2, 0.4)
    assert twice_log == pytest.approx(-(0.4**2), abs=1e-15)


def test_square_payoff_pays_for_variance_and_jumps():  # catalogue 5
    mean, sd, intensity, vol, spot = -0.05, 0.08, 3.0, 0.4, 2.0
    square = payoff_funding(spot, np.square, lambda s: 2 * s, lambda s: 2.0 + 0 * s, vol, jump_intensity=intensity, jump_law=norm(mean, sd))
    jump_square = np.exp(2 * mean + 2 * sd**2) - 2 * np.exp(mean + sd**2 / 2) + 1  # E[(e^Y - 1)^2]
    assert square == pytest.approx(spot**2 * (vol**2 + intensity * jump_square), rel=1e-8)


def rest_by_stepping(premium, clamp, interest, carry):
    """Zero-cost arbitrage played out: the premium gives way to whatever funding exceeds the carry, a little at a time."""
    for _ in range(20_000):
        premium -= 0.01 * (premium + min(max(interest - premium, -clamp), clamp) - carry)
    return premium


@pytest.mark.parametrize(("start", "end"), [(3e-4, 3e-4), (20e-4, 5e-4), (-20e-4, -5e-4), (5e-4, 5e-4)])
def test_premium_rests_at_the_edge_of_the_clamp(start, end):  # catalogue 6
    assert clamp_rest_premium(start, 5e-4) == pytest.approx(end, abs=1e-18)


def test_rest_premium_is_where_arbitrage_stops():  # catalogue 6
    for start, interest, carry in product((-30e-4, -1e-4, 2e-4, 30e-4), (0.0, 1e-4), (-0.5e-4, 0.0, 0.41e-4, 1e-4, 3e-4)):
        expected = rest_by_stepping(start, 5e-4, interest, carry)
        assert clamp_rest_premium(start, 5e-4, interest, carry) == pytest.approx(expected, abs=1e-12)


def test_arbitrage_with_costs_is_idle_below_seven_basis_points():
    assert idle_premium(cost=10e-4, kappa=1 / 16, hours=24) == pytest.approx(6.67e-4, abs=5e-7)
