"""Makers who cannot hedge (catalogue 34): certainty equivalents by quadrature, quotes by optimising utility, depth against published facts."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar

from perpkit import data
from perpkit.theory import (
    Maker,
    certainty_equivalent,
    concession,
    depth_cap,
    free_entry,
    gap_variance,
    headcount_depth,
    maker_aversion,
    maker_quotes,
    offered_size,
    reservation_shift,
)

CALM, GAP = 1.1e-5, 0.0244**2  # squared log returns: five minutes of a TSLA day, one TSLA weekend
BAD = [
    ("aversion", lambda: Maker(0.0, 1.0, 1.0)),
    ("clip", lambda: Maker(1.0, -1.0, 1.0)),
    ("sensitivity", lambda: Maker(1.0, 1.0, np.nan)),
    ("flow", lambda: Maker(1.0, 1.0, 1.0, flow=-1.0)),
    ("makers", lambda: Maker(1.0, 1.0, 1.0, makers=0)),
    ("capital", lambda: maker_aversion(0.0)),
    ("hours / closure", lambda: gap_variance(50, 48, 0.02)),
    ("revealed", lambda: gap_variance(5, 48, 0.02, revealed=1.5)),
    ("residual", lambda: gap_variance(5, 48, 0.02, residual=-0.1)),
    ("law", lambda: concession(1.0, 1.0, 1.0, 1.0, law="t")),
    ("variance", lambda: certainty_equivalent(1.0, 1.0, -1.0)),
    ("variance", lambda: offered_size(0.01, 1.0, 0.0)),
    ("push", lambda: offered_size(-0.01, 1.0, 1.0)),
    ("cost", lambda: free_entry(1.0, 1.0, 1.0, 0.0)),
]


@pytest.mark.parametrize(("name", "call"), BAD, ids=[f"{i}-{name}" for i, (name, _) in enumerate(BAD)])
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()


def gap_law(law, variance):
    return stats.norm(0, np.sqrt(variance)) if law == "normal" else stats.laplace(0, np.sqrt(variance / 2))


def equivalent(position, gamma, quiet, loud, law):
    """Expected utility of the move until the hedge, by quadrature over the gap; the Normal part integrates to its moment."""
    density = gap_law(law, loud).pdf
    # Its exponent is linear in the gap, so the integrand has one kink at 0 and exponential or Normal tails.
    reach = 60 * np.sqrt(loud) / (1 - gamma * abs(position) * np.sqrt(loud / 2) if law == "laplace" else 1.0)
    weighted = lambda g: density(g) * np.exp(-gamma * position * g)  # noqa: E731
    parts = [quad(weighted, *side, epsabs=0, epsrel=1e-11, limit=400)[0] for side in ((-reach, 0), (0, reach))]
    return -np.log(sum(parts)) / gamma - 0.5 * gamma * quiet * position**2


@pytest.mark.parametrize("law", ["normal", "laplace"])
@pytest.mark.parametrize("position", [-0.7, 0.2, 0.9])
def test_certainty_equivalent_by_quadrature(law, position):
    gamma, quiet, loud = 1.3, 0.4, 0.8
    want = equivalent(position, gamma, quiet, loud, law)
    assert certainty_equivalent(position, gamma, quiet, loud, law) == pytest.approx(want, rel=1e-9)
    other = "normal" if law == "laplace" else "laplace"
    assert certainty_equivalent(position, gamma, quiet, loud, other) != pytest.approx(want, rel=1e-3)


def test_one_more_unit():  # catalogue 34
    """The catalogue's -.504 comes without parameters; it is minus gamma s^2 (q + 1/2) at, for one, gamma .1, s 1.2, q 3."""
    more = certainty_equivalent(4.0, 0.1, 0.0, 1.44) - certainty_equivalent(3.0, 0.1, 0.0, 1.44)
    assert more == pytest.approx(-0.504, abs=1e-12) and more == pytest.approx(-0.1 * 1.44 * 3.5)
    law = stats.norm(0, 1.2)
    utility = [quad(lambda g, q=q: law.pdf(g) * -np.exp(-0.1 * q * g), -15, 15, epsrel=1e-12)[0] for q in (3, 4)]
    assert -np.log(utility[1] / utility[0]) / 0.1 == pytest.approx(more, rel=1e-9)


def test_laplace_cap():  # catalogue 34
    gamma, scale = 2e-5, 0.0173
    cap = depth_cap(gamma, 2 * scale**2)
    assert cap == pytest.approx(1 / (gamma * scale)) and depth_cap(gamma, 2 * scale**2, makers=7) == pytest.approx(7 * cap)
    at = np.array([0.999, 1.0, 1.001]) * cap
    worth = certainty_equivalent(at, gamma, CALM, 2 * scale**2, "laplace")
    assert np.isfinite(worth).tolist() == [True, False, False]
    assert np.isfinite(concession(at, gamma, CALM, 2 * scale**2, "laplace")).tolist() == [True, False, False]
    assert offered_size(1e4, gamma, CALM, 2 * scale**2, "laplace") == pytest.approx(cap, rel=1e-2)
    # The moment itself diverges there: the integral up to a growing limit does not settle.
    grown = [quad(lambda g: stats.laplace(0, scale).pdf(g) * np.exp(1.0001 / scale * g), 0, n * scale, limit=200)[0] for n in (50, 100, 200)]
    assert np.allclose(np.diff(grown), [25, 50], rtol=0.05)
    assert depth_cap(gamma, 0.0) == np.inf and depth_cap(gamma, 1e-12) > 1e4 * cap


@pytest.mark.parametrize("law", ["normal", "laplace"])
@pytest.mark.parametrize("quiet", [0.0, 0.3])
def test_concession_is_the_slope_and_offer_its_inverse(law, quiet):
    gamma, loud = 1.3, 0.8
    for position in (-0.6, 0.3, 1.0):
        less, more = certainty_equivalent([position - 1e-6, position + 1e-6], gamma, quiet, loud, law)
        assert concession(position, gamma, quiet, loud, law) == pytest.approx((less - more) / 2e-6, rel=1e-6)
    pushes = np.array([0.0, 1e-3, 0.4, 3.0, 50.0])
    taken = offered_size(pushes, gamma, quiet, loud, law)
    np.testing.assert_allclose(concession(taken, gamma, quiet, loud, law), pushes, rtol=1e-9)
    np.testing.assert_allclose(offered_size(pushes, gamma, quiet, loud, law, makers=3), 3 * taken)
    if law == "laplace" and quiet == 0:
        b = np.sqrt(loud / 2)
        np.testing.assert_allclose(taken[1:], (np.sqrt(b**2 + pushes[1:] ** 2) - b) / (gamma * b * pushes[1:]))


def test_limits_of_the_gap():
    gamma = 1.3
    calm = offered_size(0.3, gamma, 0.4)
    assert offered_size(0.3, gamma, 0.4, 1e-10, "laplace") == pytest.approx(calm, rel=1e-6) == pytest.approx(0.3 / (gamma * 0.4), rel=1e-6)
    assert offered_size(1e-6, gamma, 0.4, 0.8, "laplace") == pytest.approx(offered_size(1e-6, gamma, 0.4, 0.8), rel=1e-6)
    assert offered_size(5.0, gamma, 0.4, 0.8, "laplace") < 0.6 * offered_size(5.0, gamma, 0.4, 0.8)


# -- quotes


def best_quote(maker, quiet, loud, law, held=0.0, buy=True):
    """Distance from fair value that maximises arrival times utility gained, by quadrature and search."""
    gamma, clip = maker.aversion, maker.clip
    after = held + clip if buy else held - clip
    worse = np.exp(-gamma * (equivalent(after, gamma, quiet, loud, law) - equivalent(held, gamma, quiet, loud, law)))
    gained = lambda d: -np.exp(-maker.sensitivity * d) * (1 - worse * np.exp(-gamma * clip * d))  # noqa: E731
    return minimize_scalar(gained, bounds=(-4, 12), method="bounded", options={"xatol": 1e-10}).x


@pytest.mark.parametrize(("law", "loud"), [("normal", 0.3), ("normal", 1e-9), ("laplace", 0.3)])
@pytest.mark.parametrize("clip", [0.05, 0.8])
def test_half_spread_maximises_utility(law, loud, clip):
    maker = Maker(1.3, clip, 2.0)
    found = maker_quotes(maker, 0.4, loud, law)
    assert found.half_spread == pytest.approx(best_quote(maker, 0.4, loud, law), rel=1e-6)


@pytest.mark.parametrize("held", [-0.6, 1.5])
def test_reservation_price_is_the_middle_of_the_best_quotes(held):
    maker = Maker(1.3, 0.3, 2.0)
    bid, ask = (best_quote(maker, 0.2, 0.3, "normal", held, buy) for buy in (True, False))
    assert reservation_shift(held, maker, 0.2, 0.3) == pytest.approx((ask - bid) / 2, rel=1e-6)
    assert maker_quotes(maker, 0.2, 0.3).half_spread == pytest.approx((ask + bid) / 2, rel=1e-6)


def test_without_a_gap_these_are_avellaneda_and_stoikov():
    """Their spread for one unit is gamma s^2 T + (2 / gamma) ln(1 + gamma / k): 1.69 at gamma .1, s 2, k 1.5, T 1, their example."""
    maker = Maker(0.1, 1.0, 1.5)
    spread = 2 * maker_quotes(maker, 2.0**2 * 1.0).half_spread
    assert spread == pytest.approx(0.1 * 4 + 20 * np.log(1 + 0.1 / 1.5)) == pytest.approx(1.6908, abs=5e-5)
    assert reservation_shift(3.0, maker, 4.0) == pytest.approx(-3 * 0.1 * 4)
    assert maker_quotes(Maker(1e-9, 1.0, 1.5), 4.0).half_spread == pytest.approx(1 / 1.5, rel=1e-6)  # nobody averse: the monopolist's 1 / kappa
    closed = maker_quotes(maker, 4.0, 0.7)
    assert 2 * closed.half_spread - spread == pytest.approx(0.1 * 0.7)  # the gap adds gamma s_G^2


def test_hours_to_the_next_hedge():
    """At 0 hours the book is the open one; spread rises and depth falls with the hours ahead; an unrevealed gap does not shrink."""
    maker, delay = Maker(1e-4, 6_000.0, 6_000.0, flow=1e6, makers=4), CALM
    hours = np.array([0.0, 1e-9, 6.0, 24.0, 48.0])
    shown = maker_quotes(maker, delay, gap_variance(hours, 48.0, 0.0244))
    open_book = maker_quotes(maker, delay)
    assert (shown.half_spread[0], shown.depth[0], shown.refill[0]) == (open_book.half_spread, open_book.depth, open_book.refill)
    assert shown.depth[1] == pytest.approx(open_book.depth, rel=1e-6)
    assert np.all(np.diff(shown.half_spread[1:]) > 0) and np.all(np.diff(shown.depth[1:]) < 0)
    np.testing.assert_allclose(gap_variance(hours, 48.0, 0.0244, revealed=0.0), [0, GAP, GAP, GAP, GAP], rtol=1e-2)
    assert gap_variance(24, 48, 0.02, revealed=0.5, residual=0.4) == pytest.approx(0.4 * 0.02**2 * 0.75)
    assert np.all(maker_quotes(maker, delay, gap_variance(hours, 48.0, 0.0244), "laplace").half_spread >= shown.half_spread)


def test_refill_is_the_flow_that_comes_for_the_discount():
    """Inventory by simulation: clips arrive on both sides of shifted quotes. Its decay over 12,000 books, within 4 standard errors."""
    maker = Maker(2e-5, 5_000.0, 800.0, flow=8e6, makers=3)
    shown = maker_quotes(maker, 4e-4)
    rng, hours, start = np.random.default_rng(12), 0.05, 18 * maker.clip
    held, dt = np.full(12_000, start), 2e-4
    for _ in range(round(hours / dt)):
        shift = held / shown.depth
        rate = maker.flow * np.exp(-maker.sensitivity * shown.half_spread) / maker.clip
        bought = rng.poisson(rate * np.exp(-maker.sensitivity * shift) * dt)
        sold = rng.poisson(rate * np.exp(maker.sensitivity * shift) * dt)
        held = held + maker.clip * (bought - sold)
    error = held.std() / np.sqrt(held.size)
    # The decay is that of sinh, which for a shift of kappa q / D below a fifth is linear to a hundredth.
    assert maker.sensitivity * start / shown.depth < 0.2
    assert abs(held.mean() - start * np.exp(-shown.refill * hours)) < 4 * error + 0.01 * (start - held.mean())
    assert abs(held.mean() - start * np.exp(-0.8 * shown.refill * hours)) > 8 * error
    risky = maker_quotes(maker, 4e-4, 3e-4)
    same_flow = risky.refill * risky.depth * np.exp(maker.sensitivity * (risky.half_spread - shown.half_spread))
    assert same_flow == pytest.approx(shown.refill * shown.depth)


# -- head count


@pytest.mark.parametrize("makers", [2, 10])
def test_head_count_by_clearing_the_market(makers):
    """M makers and a seller of Q, all mean-variance: the price at which they together hold Q."""
    gamma, risk, order = 0.7, 0.3, 5.0
    push = brentq(lambda x: (makers + 1) * offered_size(x, gamma, risk) - order, 0, 100)
    assert headcount_depth(makers, gamma, risk) == pytest.approx(order / push)
    assert headcount_depth(makers, gamma, risk, seller_keeps=False) == pytest.approx(offered_size(1.0, gamma, risk, makers=makers))
    assert headcount_depth(makers, gamma, risk) / headcount_depth(makers / 2, gamma, risk) == pytest.approx((makers + 1) / (makers / 2 + 1))


def test_makers_enter_until_it_no_longer_pays():
    """Expected utility of the last one in, by quadrature over a Normal order: the cost in money, to second order in gamma cost."""
    gamma, risk, size, cost = 0.02, 0.3, 40.0, 0.05
    present = free_entry(gamma, risk, size, cost)
    share = lambda q: q / (present + 1)  # noqa: E731
    utility = quad(lambda q: stats.norm(0, size).pdf(q) * np.exp(-gamma * 0.5 * gamma * risk * share(q) ** 2), -400, 400, epsrel=1e-10)[0]
    assert -np.log(utility) / gamma == pytest.approx(cost, rel=5e-3)
    gain = lambda q, x: x * q + certainty_equivalent(q, gamma, risk)  # noqa: E731
    assert gain(2.0, concession(2.0, gamma, risk)) == pytest.approx(0.5 * gamma * risk * 4)
    depth = headcount_depth(present, gamma, risk)
    worse = headcount_depth(free_entry(gamma, 16 * risk, size, cost), gamma, 16 * risk)
    assert worse / depth == pytest.approx(1 / 4) and free_entry(gamma, risk, 1e-6, cost) == 0.0


# -- against published facts


def test_spreads_four_times_as_wide_go_with_published_depth():
    """A clip of 6,000 USD, 69 million of depth a unit and 2 bp of half spread when open: at 6 to 18 % of the depth spreads are 2 to 4.4
    times as wide, at the fixed head count 9 to 13; four times is the thin end of the published band."""
    depth, half, clip = 172e3 / 0.0025, 2e-4, 6_000.0
    gamma = 1 / (depth * CALM)
    kappa = brentq(lambda k: maker_quotes(Maker(gamma, clip, k), CALM).half_spread - half, 1e3, 1e6)
    maker = Maker(gamma, clip, kappa)
    assert maker_quotes(maker, CALM).depth == pytest.approx(depth)
    wider = [maker_quotes(maker, CALM / ratio).half_spread / half for ratio in (0.06, 0.18, CALM / GAP)]
    np.testing.assert_allclose(wider, [4.4, 2.0, 12.6], atol=0.06)
    needed = brentq(lambda ratio: maker_quotes(maker, CALM / ratio).half_spread / half - 4.0, 0.01, 0.5)
    assert 0.06 < needed < 0.18 and needed == pytest.approx(0.067, abs=2e-3)


def test_impact_spreads_of_the_record():
    """xyz:TSLA, five readings on week nights of January 2026: half of the impact spread is 1.8 to 4.3 bp, which leaves 0.9 to 3.4 bp of half
    spread after the push of an impact order of 6,000 USD into the visible depth."""
    seen = data.load("xyz_market_snapshots").query("market == 'xyz:TSLA'")
    half = ((seen["impact_ask"] - seen["impact_bid"]) / (2 * seen["mid"])).to_numpy()
    assert half.min() == pytest.approx(1.8e-4, abs=1e-5) and half.max() == pytest.approx(4.3e-4, abs=1e-5)
    push = 6_000.0 / (172e3 / 0.0025)
    assert push == pytest.approx(0.87e-4, abs=1e-6)
    np.testing.assert_allclose([half.min() - push, half.max() - push], [0.9e-4, 3.4e-4], atol=1e-5)


def test_visible_depth_asks_for_little_capital():
    """Read as the depth of makers who fear five minutes, the visible book of a week night says they risk under a thousand USD together."""
    assert maker_aversion([1e6, 2e6], 3.0) == pytest.approx([3e-6, 1.5e-6])
    assert headcount_depth(1, maker_aversion(758.0), CALM, seller_keeps=False) == pytest.approx(172e3 / 0.0025, rel=5e-3)
