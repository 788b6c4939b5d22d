"""Options against QuantLib, parity, an integral of the payoff, and walked paths."""

import itertools
import warnings

import numpy as np
import pytest
from scipy import integrate, stats

from perpkit import theory
from perpkit.theory import option_delta, option_price, touch_and_recover

CASES = list(itertools.product((80.0, 100.0, 130.0), (0.05, 0.4), (1 / 365, 1.0), (0.0, 0.045), (0.0, 0.02), ("call", "put")))


def quantlib(spot, strike, volatility, time, rate, dividend, kind):
    """Price and delta of QuantLib's Black calculator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the SWIG types of the binding
        import QuantLib as ql
    side = ql.Option.Call if kind == "call" else ql.Option.Put
    forward, discount = spot * np.exp((rate - dividend) * time), np.exp(-rate * time)
    calculator = ql.BlackCalculator(ql.PlainVanillaPayoff(side, strike), float(forward), volatility * np.sqrt(time), float(discount))
    return calculator.value(), calculator.delta(spot)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_quantlib_agrees(case):
    spot, volatility, time, rate, dividend, kind = case
    arguments = spot, 100.0, volatility, time, rate, dividend, kind
    price, delta = quantlib(*arguments)
    assert option_price(*arguments) == pytest.approx(price, rel=1e-10, abs=1e-13)
    assert option_delta(*arguments) == pytest.approx(delta, rel=1e-10, abs=1e-13)


def test_quantlib_would_catch_a_dividend_left_out_of_delta():
    with_yield = option_delta(100.0, 100.0, 0.4, 1.0, 0.045, 0.02)
    assert abs(with_yield - quantlib(100.0, 100.0, 0.4, 1.0, 0.045, 0.0, "call")[1]) > 1e-3


@pytest.mark.parametrize("case", CASES[::2], ids=str)
def test_put_call_parity(case):
    spot, volatility, time, rate, dividend, _ = case
    call, put = (option_price(spot, 100.0, volatility, time, rate, dividend, kind) for kind in ("call", "put"))
    assert call - put == pytest.approx(spot * np.exp(-dividend * time) - 100.0 * np.exp(-rate * time), abs=1e-12)
    call, put = (option_delta(spot, 100.0, volatility, time, rate, dividend, kind) for kind in ("call", "put"))
    assert call - put == pytest.approx(np.exp(-dividend * time), abs=1e-14)


@pytest.mark.parametrize("kind", ["call", "put"])
def test_the_price_is_the_mean_payoff(kind):
    """Without rates: the payoff under a lognormal price of mean 1, integrated."""
    sd, strike, sign = 0.03, 1.01, 1.0 if kind == "call" else -1.0
    law = stats.norm(-0.5 * sd**2, sd)
    mean = integrate.quad(lambda g: max(sign * (np.exp(g) - strike), 0.0) * law.pdf(g), -0.4, 0.4, points=[np.log(strike)], epsabs=1e-14)[0]
    assert option_price(1.0, strike, sd, kind=kind) == pytest.approx(mean, rel=1e-8)


def test_the_books_other_black_scholes_agrees():
    """A long's loss beyond a buffer under a Normal log gap is a put: losslaws.py found its own way there."""
    sd = 0.05
    for buffer in (0.0, 0.05, 0.2):
        loss = theory.lognormal_shortfall(buffer, -0.5 * sd**2, sd)
        assert option_price(1.0, 1.0 - buffer, sd, kind="put") == pytest.approx(loss, rel=1e-9)


def test_delta_is_the_slope_of_the_price():
    spot, step = 104.0, 1e-4
    for kind in ("call", "put"):
        up, down = (option_price(at, 100.0, 0.3, 0.1, 0.03, 0.01, kind) for at in (spot + step, spot - step))
        assert option_delta(spot, 100.0, 0.3, 0.1, 0.03, 0.01, kind) == pytest.approx((up - down) / (2 * step), abs=1e-8)


def test_at_the_money_a_day_costs_two_fifths_of_its_deviation():
    """Brenner and Subrahmanyam 1988: sd / sqrt(2 pi), to the third power of sd; delta a shade over one half."""
    for sd in (0.005, 0.03):
        assert option_price(1.0, 1.0, sd) == pytest.approx(sd / np.sqrt(2 * np.pi), rel=sd**2)
        assert option_delta(1.0, 1.0, sd) == pytest.approx(0.5 + sd / np.sqrt(8 * np.pi), rel=sd**2)


def test_arrays_broadcast_and_numbers_come_back_plain():
    assert option_price(np.full((3, 1), 100.0), 100.0, np.array([0.1, 0.2])).shape == (3, 2)
    assert type(option_price(1, 1, 0.1)) is type(option_delta(1, 1, 0.1)) is type(touch_and_recover(0.02, 0.03)) is float


@pytest.mark.parametrize(("distance", "sd"), [(0.0117, 0.0293), (0.03, 0.0293)])
def test_touch_and_recover_against_walked_paths(distance, sd):
    """20,000 walks, steps so fine that looks missed matter less than the error: the level is moved by their known share instead.

    Error rate: four deviations, 6e-5 a case.
    """
    rng = np.random.default_rng(3)
    steps, walks = 400, 20_000
    path = np.cumsum(rng.standard_normal((walks, steps)) * sd / np.sqrt(steps), axis=1)
    watched = distance - theory.MONITORING * sd / np.sqrt(steps)
    hits = (path.min(axis=1) <= -watched) & (path[:, -1] > 0.0)
    expected = touch_and_recover(distance, sd)
    assert abs(hits.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / walks)
    # The chance of the touch alone would be caught.
    assert abs(hits.mean() - theory.hit_probability(distance, sd)) > 15 * np.sqrt(expected * (1 - expected) / walks)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("spot", lambda: option_price(0.0, 1.0, 0.1)),
        ("strike", lambda: option_price(1.0, -1.0, 0.1)),
        ("volatility", lambda: option_delta(1.0, 1.0, 0.0)),
        ("time", lambda: option_price(1.0, 1.0, 0.1, 0.0)),
        ("rate", lambda: option_price(1.0, 1.0, 0.1, rate=np.nan)),
        ("dividend", lambda: option_price(1.0, 1.0, 0.1, dividend=np.inf)),
        ("kind", lambda: option_delta(1.0, 1.0, 0.1, kind="straddle")),
        ("distance", lambda: touch_and_recover(0.0, 0.1)),
        ("sd", lambda: touch_and_recover(0.1, -0.1)),
    ],
)
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()
