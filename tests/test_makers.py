"""Makers in the engine: the closed book from their risk, its limits, and the published facts it is held to."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

import perpkit as pk
from perpkit import data, makers
from perpkit.liquidity import clock_hours
from perpkit.theory.makers import certainty_equivalent

BAD = {
    "depth": lambda: makers.Makers(depth=0.0),
    "residual": lambda: makers.Makers(residual=1.1),
    "revealed": lambda: makers.Makers(revealed=-0.1),
    "present": lambda: makers.Makers(present=0.0),
    "flow": lambda: makers.Makers(flow=-1.0),
    "law": lambda: makers.Makers(law="t"),
    "half_spread": lambda: makers.Makers(half_spread=1e-5, clip=60_000.0),
    "depth_ratio": lambda: makers.calibrated(1.5),
    "present ": lambda: makers.calibrated(0.9, makers.Makers(present=0.5)),
    "hours_left": lambda: pk.Liquidity((0.0, 1.0), (1.0,), (0.0,), (0.0,)),
    "hours_left ": lambda: pk.Liquidity((1.0, 1.0), (1.0, 1.0), (0.0, 0.0), (0.0, 0.0)),
    " depth": lambda: pk.Liquidity(0.0, 0.0, 0.0, 0.0),
    "refill": lambda: pk.Liquidity(0.0, 1.0, 0.0, -1.0),
    "closed": lambda: pk.Book(closed=(1.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    with pytest.raises(ValueError, match=name.strip()):
        BAD[name]()


def test_a_profile_in_numbers():
    book = pk.Liquidity((1.0, 3.0), (10.0, 20.0), (0.1, 0.2), (1.0, 5.0))
    assert [float(x) for x in book.at(2.0)] == pytest.approx([15.0, 0.15, 3.0])
    assert [float(x) for x in book.at(0.0)] == [10.0, 0.1, 1.0] and [float(x) for x in book.at(9.0)] == [20.0, 0.2, 5.0]
    np.testing.assert_allclose(clock_hours(2.5), [2.0, 1.0, 0.25])
    np.testing.assert_allclose(clock_hours(0.5), [0.25])
    assert pk.Book(closed=book).closed_at(2.0) == pytest.approx((15.0, 0.15, 3.0))
    assert pk.Book(depth_closed=7.0).closed_at(2.0) == (7.0, 0.0005, 0.7)


def test_an_even_profile_is_a_constant_book():
    """The same weekends through a book given as constants and as a profile that does not change: bit for bit."""
    accounts, closure = pk.Accounts.sample(200, rng=1), pk.Closure(6.5)
    plain = pk.Machine(mark=pk.Blend(0.7), book=pk.Book(depth_closed=9e6, refill_closed=2.0, half_spread_closed=3e-4, follow_closed=2.0, noise_closed=0.003))
    profile = pk.Liquidity((0.0, 4.0), (9e6, 9e6), (3e-4, 3e-4), (2.0, 2.0))
    even = pk.replace(plain, book=pk.replace(plain.book, depth_closed=1.0, closed=profile))
    ens = pk.ensemble({"plain": plain, "even": even}, accounts, closure, np.linspace(-0.15, 0.15, 40), rng=3)
    for name in pk.OUTCOMES:
        np.testing.assert_array_equal(ens[name].sel(machine="plain"), ens[name].sel(machine="even"))
    assert (ens["liquidated_closed"] > 0).any()


def test_open_and_without_a_gap_the_closed_book_is_the_open_one():
    """Nothing to fear and as much flow as ever: depth, spread and refill of the open market, which the parameters were read from."""
    calm = makers.Makers(residual=0.0, flow=1.0)
    q = calm.quotes([0.25, 24.0, 48.0], 48.0)
    np.testing.assert_allclose(q.depth, calm.depth, rtol=1e-9)
    np.testing.assert_allclose(q.half_spread, calm.half_spread, rtol=1e-9)
    np.testing.assert_allclose(q.refill, calm.refill, rtol=1e-9)


@pytest.mark.parametrize("law", ["normal", "laplace"])
def test_depth_is_the_slope_of_what_they_ask(law):
    """Indifference of all makers together, by quadrature over the gap: the price for a small order, over the order, is one over depth."""
    m = makers.Makers(residual=0.4, law=law)
    gap, order, gamma = 0.4 * m.gap_sd**2 * (0.5 + 0.5 * 24.0 / 48.0), 100.0, m.aversion
    b = math.sqrt(gap / 2.0)
    density = stats.laplace(0.0, b).pdf if law == "laplace" else stats.norm(0.0, math.sqrt(gap)).pdf
    moment = 2.0 * quad(lambda g: math.cosh(gamma * order * g) * density(g), 0.0, 40.0 * math.sqrt(gap), epsabs=1e-14)[0]
    worth = -0.5 * gamma * m.open_variance * order**2 - math.log(moment) / gamma
    assert certainty_equivalent(order, gamma, m.open_variance, gap, law) == pytest.approx(worth, rel=1e-5)
    assert m.quotes(24.0, 48.0).depth == pytest.approx(-(order**2) / (2.0 * worth), rel=0.02 if law == "laplace" else 1e-5)


def test_the_cap_of_a_laplace_gap_is_small():
    """Read as CARA makers, the visible book of a week night would take some hundred thousand USD at any price, a fraction of a per cent of
    open interest: either the visible book is not what makers can carry, or nobody prices a gap this way. Hence a band."""
    for m in makers.weekend_band().values():
        assert m.cap(24.0, 48.0) == pytest.approx(math.sqrt(2.0) / (m.aversion * math.sqrt(m.residual * m.gap_sd**2 * 0.75)))
        assert 5e4 < m.cap(24.0, 48.0) < 5e5
        laplace, normal = pk.replace(m, law="laplace").quotes(24.0, 48.0), m.quotes(24.0, 48.0)
        assert laplace.depth == pytest.approx(normal.depth) and laplace.half_spread > normal.half_spread and laplace.cap < math.inf == normal.cap


def test_the_band_is_the_published_one():
    """6 to 18 % of the open depth, from a residual share of the gap's variance between a sixth and three fifths; the spread's factor takes in
    the four times of stock tokens (Binance Research), and refill covers the assumed range of the base case between them."""
    band = makers.weekend_band()
    assert [m.depth_ratio(48.0) for m in band.values()] == pytest.approx(list(makers.WEEKEND_SHARE))
    assert band["deep"].residual == pytest.approx(0.162, abs=2e-3) and band["thin"].residual == pytest.approx(0.560, abs=2e-3)
    spreads = [float(m.quotes(24.0, 48.0).half_spread) / m.half_spread for m in band.values()]
    assert spreads[1] < 4.0 < spreads[0]
    lives = [math.log(2.0) / float(m.quotes(24.0, 48.0).refill) for m in band.values()]
    assert lives[1] < math.sqrt(pk.base.REFILL_HALF_LIFE[0] * pk.base.REFILL_HALF_LIFE[1]) < lives[0]
    seen = data.load("xyz_market_snapshots").query("market == 'xyz:TSLA'")
    half = (seen["impact_ask"] - seen["impact_bid"]) / (2 * seen["mid"]) - pk.base.IMPACT_NOTIONAL / pk.base.DEPTH_OPEN
    assert (half.min(), half.max()) == pytest.approx((0.9e-4, 3.4e-4), abs=5e-6)
    assert half.min() < makers.Makers().half_spread < half.max()


def test_fewer_heads_where_even_a_bare_gap_leaves_too_much_depth():
    few = makers.calibrated(0.01)
    assert few.residual == 1.0 and few.present < 1.0 and few.depth_ratio(48.0) == pytest.approx(0.01)
    half = makers.Makers(present=0.5)
    np.testing.assert_allclose(half.quotes(10.0, 48.0).depth, 0.5 * makers.Makers().quotes(10.0, 48.0).depth)
    assert half.quotes(10.0, 48.0).half_spread == pytest.approx(makers.Makers().quotes(10.0, 48.0).half_spread)


def test_the_book_wakes_up_towards_the_print():
    """Depth and refill rise and the spread falls as the part of the gap that is revealed passes; with nothing revealed all three stand still."""
    m = makers.weekend_band()["thin"]
    book = m.liquidity(48.0)
    assert len(book.hours_left) == 48 and book.hours_left[0] == 0.5
    assert np.all(np.diff(book.depth) < 0) and np.all(np.diff(book.refill) < 0) and np.all(np.diff(book.half_spread) > 0)
    still = pk.replace(m, revealed=0.0).liquidity(48.0)
    assert np.ptp(still.depth) == pytest.approx(0.0, abs=1e-3) and np.ptp(still.half_spread) == pytest.approx(0.0, abs=1e-12)


def test_the_engine_meets_the_makers_depth_of_the_hour():
    """One long is sold at a known hour: the price moves by its notional over the depth of that hour, and half of it is the fill's."""
    m = makers.weekend_band()["thin"]
    book = pk.Book(closed=m.liquidity(48.0), follow_closed=math.inf, half_spread_open=0.0)
    machine = pk.Machine(mark=pk.Mid(), margin=pk.Margin(10.0), book=book, adl="none", funding=pk.Funding(when_closed=False))
    long = pk.Accounts([1], [40.0], [250.0], [40.0 * 25.0])
    for hour in (3.2, 30.5, 47.3):
        closure = pk.Closure(48.0, value=pk.Value(news_share=1.0, news_hours=(hour,)))
        run = pk.simulate(machine, long, closure, gap=-0.08)
        sale = run.events.iloc[0]
        depth, half_spread, _ = book.closed_at(48.0 - (math.floor(hour) + 0.5))
        fair = 250.0 * math.exp(-0.08)
        assert sale["price"] == pytest.approx(fair * math.exp(-half_spread - 0.5 * 40.0 * fair / depth), rel=1e-12)
        assert sale["generation"] == 0
