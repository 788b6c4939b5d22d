"""The reproduction number, what refill makes of it, and the two walls of the diagram."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ndtr

from perpkit.theory import (
    EvenDensity,
    Feedback,
    LeverageLaw,
    affordable_weight,
    critical_depth,
    critical_reproduction,
    equivalent_weight,
    phantom_loss,
    phantom_weight,
    reanchor_hours,
    reproduction_number,
    unfold,
    valley,
)

LAW = LeverageLaw(1.0)
FALLS, RISES = np.linspace(-0.4, -1e-3, 1_200), np.linspace(1e-3, 0.4, 1_200)
BAD = [
    ("depth", lambda: Feedback(0.0)),
    ("refill", lambda: Feedback(1.0, refill=-1.0)),
    ("weight", lambda: Feedback(1.0, weight=1.2)),
    ("weight is 0", lambda: Feedback(1.0, weight=0.5, basis_s=150.0)),
    ("permanent", lambda: Feedback(1.0, permanent=np.nan)),
    ("oracle_s", lambda: Feedback(1.0, oracle_s=0.0)),
    ("clamp", lambda: Feedback(1.0, clamp=0.0)),
    ("band", lambda: Feedback(1.0, band=1.0)),
    ("trigger", lambda: Feedback(1.0, trigger=0.0)),
    ("resets", lambda: Feedback(1.0, resets=1.5)),
    ("level", lambda: reproduction_number(LAW, Feedback(1.0), np.inf)),
    ("frozen oracle", lambda: affordable_weight(LAW, Feedback(1.0, oracle_s=1800.0), FALLS)),
    ("prices", lambda: affordable_weight(LAW, Feedback(1.0), 0.7)),
    ("n ", lambda: affordable_weight(LAW, Feedback(1.0), FALLS, n=0.0)),
    ("push", lambda: reanchor_hours(-0.05, Feedback(1.0))),
    ("gap", lambda: phantom_weight(0.0, 0.025)),
    ("capture", lambda: phantom_weight(-0.1, 0.025, 0.0)),
    ("weight", lambda: phantom_loss(LAW.accounts(10), 1.5, -0.1, 0.025)),
]


@pytest.mark.parametrize(("name", "call"), BAD, ids=[f"{i}-{name}" for i, (name, _) in enumerate(BAD)])
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()


# -- n


def test_numbers_of_the_base_population():
    """n at a fall of 5 %, and its largest value on each side, for the middle of the range of depth, 0.775 open interests."""
    found = []
    for weight in (0.5, 0.75, 1.0):
        loop = Feedback(np.sqrt(0.6), weight)
        at = [reproduction_number(LAW, loop, level) for level in (np.log(0.95), FALLS, RISES)]
        found.append([at[0], np.max(at[1]), np.max(at[2])])
    np.testing.assert_allclose(found, [[0.478, 0.978, 3.633], [0.771, 1.812, 4.464], [1.064, 2.691, 5.374]], rtol=2e-3)
    np.testing.assert_allclose([critical_depth(LAW, Feedback(1.0, w), FALLS) for w in (0.5, 0.75, 1.0)], [0.758, 1.403, 2.084], rtol=2e-3)
    assert critical_depth(LAW, Feedback(123.0), RISES) == pytest.approx(4.163, rel=2e-3)


@pytest.mark.parametrize("weight", [0.4, 0.75, 1.0])
@pytest.mark.parametrize("level", [-0.12, -0.06, 0.08, 0.2])
def test_n_by_selling_one_more_dollar(weight, level):
    """Sell a little at the price behind the mark; the book, the mark, the margin check and the price of what is sold one after the other."""
    depth, dollar = 3.0, 1e-6
    price = (np.exp(level) - (1 - weight)) / weight
    sign = -1.0 if level < 0 else 1.0
    pushed = weight * price * np.exp(sign * dollar / depth) + 1 - weight
    shares = LAW.sold(np.log(pushed)) - LAW.sold(level)
    assert reproduction_number(LAW, Feedback(depth, weight), level) == pytest.approx(shares * price / dollar, rel=1e-4)


def test_n_stops_at_the_bands_edge_and_where_no_price_gives_the_mark():
    band = Feedback(1.0, band=0.05)
    at = np.array([np.log(0.951), np.log(0.949), np.log(1.049), np.log(1.051)])
    assert (reproduction_number(LAW, band, at) > 0).tolist() == [True, False, True, False]
    moved = reproduction_number(LAW, band, [2 * np.log(0.951), 2 * np.log(0.949)], moved=1)
    assert moved[0] == reproduction_number(LAW, Feedback(1.0), 2 * np.log(0.951)) and moved[1] == 0
    half = Feedback(1.0, 0.5)
    assert reproduction_number(LAW, half, np.log(0.49)) == 0 < reproduction_number(LAW, half, np.log(0.52))
    assert reproduction_number(LAW, Feedback(1.0, 0.0), -0.1) == 0
    median = Feedback(1.0, 0.0, basis_s=150.0)
    assert reproduction_number(LAW, median, -0.1) == reproduction_number(LAW, Feedback(1.0), -0.1)


# -- the chain and refill


def grows(n, loop):
    """Whether the linear chain has a mode that grows without turning: a real eigenvalue above 1 of what one update does to everything."""
    r, (basis, oracle), w, kept = loop.kept, loop.gains, loop.weight, loop.permanent
    even = n / loop.settled
    # State before the update: impact, lasting, oracle, basis, last mark. Orders of the update: even (mark - last mark), if it goes on.
    price = np.array([r, 1.0, 0, 0, 0])
    new_oracle = np.array([0, 0, 1.0, 0, 0]) * (1 - oracle) + oracle * price
    new_basis = np.array([0, 0, 0, 1.0, 0]) * (1 - basis) + basis * (price - new_oracle)
    mark = new_oracle + new_basis if np.isfinite(loop.basis_s) else w * price + (1 - w) * new_oracle
    order = even * (mark - np.array([0, 0, 0, 0, 1.0]))
    update = np.array([np.array([r, 0, 0, 0, 0]) + (1 - kept) * order, np.array([0, 1.0, 0, 0, 0]) + kept * order, new_oracle, new_basis, mark])
    roots = np.linalg.eigvals(update)
    return bool(np.any((np.abs(roots.imag) < 1e-12) & (roots.real > 1 + 1e-9)))


LOOPS = [
    Feedback(1.0, refill=8.3),
    Feedback(1.0, 0.4, refill=40.0),
    Feedback(1.0, 0.0, refill=0.85, basis_s=150.0),
    Feedback(1.0, 0.0, refill=8.3, basis_s=150.0),
    Feedback(1.0, 0.0, refill=8.3, basis_s=150.0, oracle_s=1800.0),
    Feedback(1.0, 0.3, refill=8.3, oracle_s=1800.0),
    Feedback(1.0, refill=8.3, permanent=0.3),
    Feedback(1.0, 0.0, refill=8.3, basis_s=150.0, permanent=0.1),
    Feedback(1.0, 0.0, refill=8.3, basis_s=150.0, permanent=0.7),
]


@pytest.mark.parametrize("loop", LOOPS, ids=[str(i) for i in range(len(LOOPS))])
def test_critical_n_is_where_the_chain_starts_to_grow(loop):
    critical = critical_reproduction(loop)
    assert critical > 1
    assert not grows(0.998 * critical, loop) and grows(1.002 * critical, loop)


def test_critical_n_in_closed_form():
    for rho, tau in ((0.85, 150.0), (8.3, 150.0), (8.3, 600.0)):
        r, a = np.exp(-rho * 3 / 3600), -np.expm1(-3 / tau)
        exact = (1 + np.sqrt((1 - r) / a)) ** 2 / r
        assert critical_reproduction(Feedback(1.0, 0.0, refill=rho, basis_s=tau)) == pytest.approx(exact, rel=1e-9)
        assert exact == pytest.approx((1 + np.sqrt(rho * tau / 3600)) ** 2, rel=0.02)
        at_once = critical_reproduction(Feedback(1.0, 0.6, refill=rho))
        assert at_once == pytest.approx((1 + np.sqrt(1 - r)) ** 2 / r, rel=1e-9)
    loops = [loop for rho in (0.85, 8.3) for loop in (Feedback(1.0, refill=rho), Feedback(1.0, 0.0, refill=rho, basis_s=150.0))]
    numbers = [critical_reproduction(loop) for loop in loops]
    np.testing.assert_allclose(numbers, [1.055, 1.415, 1.181, 2.546], atol=1e-3)


def test_without_refill_neither_memory_nor_cadence_matters():
    slow = Feedback(1.0, 0.0, basis_s=150.0, oracle_s=1800.0)
    for loop in (Feedback(1.0), slow, Feedback(1.0, 0.2, update_s=60.0), Feedback(1.0, 0.5, oracle_s=9.0)):
        assert critical_reproduction(loop) == 1.0
    assert critical_reproduction(Feedback(1.0, refill=8.3, permanent=1.0)) == pytest.approx(1.0)
    assert critical_reproduction(Feedback(1.0, refill=1e-9)) == pytest.approx(1.0, abs=1e-4)
    assert critical_reproduction(Feedback(1.0, 0.0)) == np.inf


@pytest.mark.parametrize("loop", [Feedback(1.0), Feedback(1.0, refill=8.3), Feedback(1.0, 0.0, refill=0.85, basis_s=150.0)])
def test_critical_depth_parts_cascades_that_end_from_those_that_do_not(loop):
    """In an even density, a shock of a basis point: 20 % more depth than critical and the chain ends, 20 % less and it runs."""
    even = EvenDensity(2.0)
    critical = critical_depth(even, loop, -1e-6)
    assert critical == pytest.approx(2.0 / critical_reproduction(loop), rel=1e-5)
    reached = []
    for factor in (1.2, 0.8):
        depth = {"depth": factor * critical}
        reached.append(unfold(even, Feedback(**(vars(loop) | depth)), -1e-6, 3_000).sold[-1] / 2e-6)
    assert reached[0] < 40 < 1_000 < reached[1]


def test_equivalent_weight_turns_critical_at_the_same_depth():
    """The blend of that weight over a frozen oracle has the critical depth of the mark with memory, for moves so small that n is local."""
    even, near = EvenDensity(1e6), np.linspace(-1e-6, 1e-6, 3)
    for loop in (
        Feedback(1e6, 0.0, 8.3, basis_s=150.0), Feedback(1e6, 0.0, 0.1, basis_s=150.0, oracle_s=1800.0), Feedback(1e6, 0.3, 2.0, oracle_s=600.0),
        Feedback(1e6, 0.4, 2.0), Feedback(1e6, 1.0, 0.0), Feedback(1e6, 0.0, 5.0, permanent=0.2, basis_s=150.0),
    ):  # fmt: skip
        weight = equivalent_weight(loop)
        blend = Feedback(1e6, weight, loop.refill, permanent=loop.permanent)
        assert critical_depth(even, blend, near) == pytest.approx(critical_depth(even, loop, near), rel=1e-5)
        assert 0.0 < weight <= 1.0
    assert equivalent_weight(Feedback(1e6, 0.4, 2.0)) == pytest.approx(0.4) and equivalent_weight(Feedback(1e6, 0.0)) == 0.0


@pytest.mark.parametrize("prices", [FALLS, RISES])
def test_affordable_weight(prices):
    for depth in (0.9, 1.6):
        for loop in (Feedback(depth), Feedback(depth, refill=8.3)):
            weight = affordable_weight(LAW, loop, prices, n=0.8)
            within = Feedback(depth, weight, loop.refill)
            marks = np.log(weight * np.exp(prices) + 1 - weight)
            share = np.max(reproduction_number(LAW, within, marks)) / critical_reproduction(within)
            assert share == pytest.approx(0.8, rel=1e-6)
    assert affordable_weight(LAW, Feedback(20.0), prices) == 1.0
    small = 1e-9 * np.sign(prices[0])  # close to the start nothing bends: n = w lambda / D
    assert affordable_weight(EvenDensity(4.0), Feedback(1.0), small) == pytest.approx(0.25, rel=1e-6)


# -- band


def first_touch(push, loop, goal):
    """Hours until an oracle driven by the decaying push covers the goal, by integration; infinite if it never does."""

    def follow(t, o):
        price = push * (loop.permanent + (1 - loop.permanent) * np.exp(-loop.refill * t))
        return [(price - o[0]) / (loop.oracle_s / 3600)]

    touch = lambda t, o: o[0] - goal  # noqa: E731
    touch.terminal = True
    found = solve_ivp(follow, (0, 40), [0.0], events=touch, rtol=1e-10, atol=1e-14, max_step=0.05)
    return found.t_events[0][0] if found.t_events[0].size else np.inf


@pytest.mark.parametrize(
    ("push", "refill", "permanent"), [(0.06, 0.0, 0.0), (0.09, 0.85, 0.0), (0.12, 2.0, 0.0), (0.08, 0.85, 0.0), (0.07, 3.0, 0.5), (0.1, 3.0, 1.0)]
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_anchor_moves_when_the_oracle_gets_there(push, refill, permanent, sign):
    loop = Feedback(1.0, refill=refill, permanent=permanent, oracle_s=1800.0, band=0.05, resets=2)
    want = first_touch(push, loop, abs(np.log(1 + sign * 0.045)))
    assert reanchor_hours(push, loop, sign) == pytest.approx(want, rel=1e-6)


def test_a_band_without_resets_or_memory_never_moves():
    assert reanchor_hours(0.2, Feedback(1.0, band=0.05, oracle_s=1800.0)) == np.inf
    assert reanchor_hours(0.2, Feedback(1.0, band=0.05, resets=2)) == np.inf
    assert reanchor_hours(0.04, Feedback(1.0, band=0.05, resets=2, oracle_s=1800.0)) == np.inf


# -- the other wall


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("capture", [1.0, 0.6])
def test_phantom_weight_against_accounts(side, capture):
    """Many leverages: the smallest weight at which nobody ruined at the value is open at the mark."""
    gap, rate = -side * 0.09, 0.025
    leverage = np.linspace(1.001, 20, 400_000)
    zero = 1 - side / leverage
    value, price = np.exp(gap), np.exp(capture * gap)
    ruined = side * (zero - value) > 0
    wall = phantom_weight(gap, rate, capture)
    for weight, hidden in ((wall - 0.002, True), (wall + 0.002, False)):
        mark = 1 + weight * (price - 1)
        assert np.any(ruined & (side * (mark * (1 - side * rate) - zero) > 0)) == hidden


def test_phantom_wall_in_numbers():
    weight = np.array([0.0, 0.5, 0.75])
    drop = 0.025 / (1 - weight * 0.975)  # 2.5, 4.9 and 9.3 %
    np.testing.assert_allclose(phantom_weight(np.log1p(-drop), 0.025), weight, atol=1e-12)
    np.testing.assert_allclose(drop, [0.025, 0.0488, 0.0930], atol=5e-5)
    assert phantom_weight(-0.01, 0.025) == 0.0 and phantom_weight(-0.12, 0.025, 0.5) > 1


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.6, 0.9])
def test_phantom_loss_in_closed_form(weight):
    """A long is hidden if its leverage lies between two limits; partial moments of a truncated lognormal law give the sum."""
    law, gap = LeverageLaw(1.0), -0.12
    value, mark = np.exp(gap), 1 + weight * np.expm1(gap)
    low, high = 1 / (1 - value), min(law.max_leverage, 1 / (1 - mark * (1 - law.maintenance)))
    score = lambda lev, tilt: ndtr(np.log(lev / law.median) / law.sd + tilt)  # noqa: E731
    whole = score(law.max_leverage, 0.0) - score(1.0, 0.0)
    mass = (score(high, 0.0) - score(low, 0.0)) / whole
    inverse = np.exp(law.sd**2 / 2) / law.median * (score(high, law.sd) - score(low, law.sd)) / whole
    want = max(0.0, (1 - value) * mass - inverse) if high > low else 0.0
    found = phantom_loss(law.accounts(40_000), [weight, 1.0], gap, law.maintenance)
    assert found[0] == pytest.approx(want, rel=2e-3, abs=1e-9) and found[1] == 0.0
    assert (weight < 0.8) == (want > 0)


def test_phantom_loss_of_shorts_by_hand():
    law = LeverageLaw(1.0)
    many = law.accounts(2_000)
    rate, gap, weight = law.maintenance, 0.1, 0.4
    call = np.exp(many.level[many.level > 0])
    zero, mark = call * (1 + rate), 1 + weight * np.expm1(gap)
    want = np.sum(np.maximum(np.exp(gap) - zero, 0) * (call > mark)) / 2_000
    assert phantom_loss(many, weight, gap, rate) == pytest.approx(want, rel=1e-12) and want > 0


def test_valley():
    """Between the walls at a fall of 8 %: open at twice the open interest, shut at its half."""
    rate = LAW.maintenance
    deep, thin = (valley(LAW, Feedback(depth), np.log(0.92), rate, FALLS) for depth in (2.0, 0.5))
    assert deep.low == thin.low == pytest.approx((1 - rate / 0.08) / (1 - rate))
    assert deep.low < deep.high < 1 and thin.high < thin.low
    assert critical_depth(LAW, Feedback(1.0, deep.high), FALLS) == pytest.approx(2.0, rel=1e-6)
