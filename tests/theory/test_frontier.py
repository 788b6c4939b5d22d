"""The bound on attacks: the frequency integral, schedules played out, free lunches planted where the theory says they are."""

import numpy as np
import pytest
from free_staircase import staircase_forms
from scipy.integrate import quad

from perpkit.theory import basis_variance, drag_cost, drag_frontier, farming_hours, harvest_bound, harvest_frontier, pass_through, schedule_cost

ONE = {"depth": 1.0, "target": 1.0}
GRID = [(1.0, 1 / 16, 1.0), (1.0, 1 / 16, 0.5), (0.3, 1 / 8, 2.0), (8.0, 1 / 16, 0.5), (1.0, 0.0, 1.0), (2.0, 0.5, 1.9)]


def best_round_trip(refill, kappa, tau, reach, step):
    """The formula's push sampled on a fine staircase, from ``reach`` time constants before the target to as long after."""
    rate = np.sqrt(refill * (1 - kappa * tau) / (refill + kappa)) / tau
    time = np.arange(-reach / rate, reach / rate, step) + 0.5 * step
    return np.where(time < 0, 1 + rate * tau, 1 - rate * tau) * np.exp(-rate * np.abs(time)), np.full(time.size, step)


@pytest.mark.parametrize(("refill", "kappa", "tau"), GRID)
def test_formula_is_the_frequency_integral(refill, kappa, tau):
    """Least of int S ``|x|^2`` given int x / (1 + i w tau) = target: target^2 over int 1 / (S (1 + w^2 tau^2)), by quadrature of S as defined."""

    def cost(w):
        # Position and premium per unit of push at frequency w, from their own equations.
        position, premium = 1 + refill / (1j * w), 1j * w * tau / (1 + 1j * w * tau)
        return refill + kappa * (position * np.conj(premium)).real

    inverse = quad(lambda w: 1 / (cost(w) * (1 + (w * tau) ** 2)), 1e-9, np.inf, epsabs=1e-12, epsrel=1e-10, limit=500)[0] / np.pi
    assert drag_frontier(refill=refill, kappa=kappa, tau=tau, **ONE).cost == pytest.approx(1 / inverse, rel=1e-6)


@pytest.mark.parametrize(("refill", "kappa", "tau"), GRID)
def test_the_round_trip_that_attains_it(refill, kappa, tau):
    """Played through the ledger of schedules: the cost at the end of the ride, the oracle's peak, the push and position just before it."""
    bound = drag_frontier(refill=refill, kappa=kappa, tau=tau, **ONE)
    pushes, hours = best_round_trip(refill, kappa, tau, 14.0, 0.002 * tau)
    rules = {"depth": 1.0, "refill": refill, "kappa": kappa, "tau": tau, "unwind": "split"}
    half = pushes.size // 2
    peak = schedule_cost(pushes[:half], hours[:half], **rules)
    assert peak.oracle == pytest.approx(1.0, rel=5e-3) and peak.position == pytest.approx(bound.position, rel=5e-3)
    assert (pushes[half - 1], pushes[half + 1]) == pytest.approx((bound.before, bound.after), rel=1e-2, abs=1e-9)
    assert schedule_cost(pushes, hours, **rules).cost == pytest.approx(bound.cost, rel=1e-2)


@pytest.mark.parametrize(
    ("refill", "kappa", "tau", "hours"), [(1.0, 1 / 16, 0.5, 12.0), (0.7, 1 / 16, 1.0, 48.0), (1.0, 1 / 8, 8.0, 48.0), (2.0, 0.5, 1.9, 6.0)]
)
def test_closure_against_free_staircases(refill, kappa, tau, hours):
    """The least cost with a push free on each of 240 and 480 cells, the moment of the target free too, extrapolated in the cell."""

    def least(cells):
        form, _, _ = staircase_forms(cells, hours, refill, kappa, tau, 1.0)
        reach = -np.expm1(-hours / cells / tau)
        found = []
        for end in range(cells // 20, cells + 1, cells // 40):
            row = np.zeros(cells)
            row[:end] = reach * np.exp(-(end - 1 - np.arange(end)) * hours / cells / tau)
            found.append(0.5 / (row @ np.linalg.solve(form, row)))
        return min(found)

    coarse, fine = least(240), least(480)
    assert drag_frontier(refill=refill, kappa=kappa, tau=tau, hours=hours, **ONE).cost == pytest.approx(fine + (fine - coarse) / 3, rel=2e-3)


@pytest.mark.parametrize(("kappa", "tau"), [(1 / 16, 0.5), (1 / 8, 1.0), (1 / 8, 8.0)])
def test_no_schedule_beats_the_closure(kappa, tau):
    """3,000 staircases over 24 h, buying, selling, shorting: cost at the reopening over the square of the oracle's furthest move. None falls
    below the bound; the nearest comes close."""
    rng = np.random.default_rng(9)
    hours, refill = 24.0, 0.7
    bound = drag_frontier(refill=refill, kappa=kappa, tau=tau, hours=hours, **ONE)
    cells = 96
    step = np.full(cells, hours / cells)
    form, _, _ = staircase_forms(cells, hours, refill, kappa, tau, 1.0)
    end = max(1, round(bound.hours / hours * cells))
    row = np.zeros(cells)
    row[:end] = np.exp(-(end - 1 - np.arange(end)) * hours / cells / tau)
    near = np.linalg.solve(form, row)
    near /= np.abs(near).max()
    fade, least = np.exp(-hours / cells / tau), np.inf
    for i in range(3_000):
        noise = rng.normal(size=cells)
        pushes = [near + 0.01 * noise, near * (1 + 0.5 * noise), np.cumsum(noise), noise][i % 4]
        oracle = np.zeros(cells + 1)
        for j, push in enumerate(pushes):
            oracle[j + 1] = push + (oracle[j] - push) * fade
        cost = schedule_cost(pushes, step, 1.0, refill, kappa, tau, "revert", "split").cost
        least = min(least, cost / np.abs(oracle).max() ** 2)
    coarse = 0.03 if tau >= 1 else 0.15  # cells of a quarter of an hour are half the shortest memory
    assert bound.cost * (1 - 1e-9) < least < bound.cost * (1 + coarse)


def test_patience_makes_the_critical_line_free():
    """kappa tau = 1: ramps ten times as slow cost about a tenth; the formula says nothing at all is needed."""
    assert drag_frontier(refill=1.0, kappa=1 / 8, tau=8.0, **ONE).cost == 0.0
    costs = []
    for rate in (0.1, 0.01):
        time = np.arange(-8 / rate, 8 / rate, 0.01 / rate)
        pushes = (1 + 8 * rate * np.where(time < 0, 1, -1)) * np.exp(-rate * np.abs(time))
        costs.append(schedule_cost(pushes, np.full(time.size, 0.01 / rate), 1.0, 1.0, 1 / 8, 8.0, "revert", "split").cost)
    assert costs[1] == pytest.approx(0.1 * costs[0], rel=0.25) and costs[1] < 0.03 * drag_cost(1.0, 1.0, 1 / 8, 8.0, 1.0, "revert").cost


def test_above_the_line_a_round_trip_earns():
    """kappa tau = 1.5: raise the oracle slowly, let it fall slowly, flat at the end and the oracle home. Money for nothing; not so at 0.9."""
    time = np.arange(-4_000, 4_000, 2.0)
    hump = np.exp(-0.5 * (time / 500) ** 2)
    cost = lambda product: schedule_cost(hump, np.full(time.size, 2.0), 1.0, 1.0, product / 8, 8.0, "revert", "split")  # noqa: E731
    assert cost(1.5).cost < 0 < cost(0.9).cost
    assert abs(cost(1.5).oracle) < 1e-9
    assert drag_frontier(1.0, 1.0, 1.5 / 8, 8.0, 1.0).cost == -np.inf


@pytest.mark.parametrize(("refill", "kappa", "tau"), [(1.0, 1 / 8, 8.0), (0.3, 1 / 8, 24.0), (1.0, 1.0, 1.0), (0.7, 1 / 16, 8.0)])
def test_farming_hours(refill, kappa, tau):
    """One per cent shorter no free staircase earns; one per cent longer there is one, and playing it earns."""
    length = farming_hours(refill, kappa, tau)
    for share, sign in ((0.98, 1.0), (1.02, -1.0)):
        hours = share * length
        form, _, _ = staircase_forms(400, hours, refill, kappa, tau, 1.0)
        values, vectors = np.linalg.eigh(form)
        assert np.sign(values[0]) == sign
        played = schedule_cost(vectors[:, 0], np.full(400, hours / 400), 1.0, refill, kappa, tau, "revert", "split")
        assert np.sign(played.cost) == sign
        assert np.isfinite(drag_frontier(refill=refill, kappa=kappa, tau=tau, hours=hours, **ONE).cost) == (sign > 0)


def test_farming_at_real_settings():
    """Launch rules: from 51.6 h at one refill an hour, so a 48 h weekend is just inside and a three-day one is not. Today's: months."""
    assert farming_hours(1.0, 1 / 8, 8.0) == pytest.approx(51.57, abs=0.01)
    assert farming_hours(1.0, 1 / 16, 0.5) == pytest.approx(8 / (1 / 16**2 * 0.5), rel=0.05)
    assert farming_hours(1.0, 0.0, 1.0) == np.inf
    assert drag_frontier(refill=1.0, kappa=1 / 8, tau=8.0, hours=72.0, **ONE).cost == -np.inf


def test_equal_fairness_costs_more_to_drag_at_a_long_memory():
    """On a line of equal kappa tau the bound rises with tau, 2 D target^2 sqrt(rho (1 - q)(rho tau^2 + q tau)), and so does every other cost; R
    over a weekend is no lower. What is lost: the premium wanders further."""
    taus = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
    for product in (1 / 32, 1 / 8, 1 / 2):
        bound = [drag_frontier(20e6, 1.0, product / tau, tau, 0.045).cost for tau in taus]
        np.testing.assert_allclose(bound, 2 * 20e6 * 0.045**2 * np.sqrt((1 - product) * (taus**2 + product * taus)), rtol=1e-12)
        constant = [drag_cost(20e6, 1.0, product / tau, tau, 0.045).cost for tau in taus]
        assert np.all(np.diff(bound) > 0) and np.all(np.diff(constant) > 0)
        assert np.all(np.diff(pass_through(product / taus, taus, 48.0)) > -1e-12)
        assert np.all(np.diff(basis_variance(product / taus, 0.001, taus)) > 0)
    # The two levers from (1/16, 1 h): half the funding leaves the bound where it was, half the memory halves it, and both give the same R.
    start, funding, memory = (drag_frontier(20e6, 1.0, kappa, tau, 0.045).cost for kappa, tau in ((1 / 16, 1.0), (1 / 32, 1.0), (1 / 16, 0.5)))
    assert funding == pytest.approx(start, rel=2e-3) and memory == pytest.approx(start / 2, rel=2e-2)


def test_literature_designs():
    """20M, one refill an hour, 4.5 %: where bids follow, the launch rules were hardly dearer to drag in a 48 h closure than today's."""
    book = {"depth": 20e6, "refill": 1.0, "target": 0.045}
    closure = [drag_frontier(kappa=kappa, tau=tau, hours=48.0, **book).cost for kappa, tau in ((1 / 8, 8.0), (1 / 16, 1.0), (1 / 16, 0.5))]
    np.testing.assert_allclose(closure, [72.9e3, 80.8e3, 41.1e3], atol=100)


def test_scaling():
    one = drag_frontier(1.0, 1.0, 1 / 16, 1.0, 1.0, 24.0)
    many = drag_frontier(5e6, 1.0, 1 / 16, 1.0, 0.02, 24.0)
    assert many.cost == pytest.approx(5e6 * 0.02**2 * one.cost, rel=1e-9) and many.before == pytest.approx(0.02 * one.before)
    clock = drag_frontier(1.0, 2.0, 1 / 8, 0.5, 1.0, 12.0)
    assert clock.cost == pytest.approx(one.cost, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("depth", lambda: drag_frontier(-1.0, 1.0, 0.1, 1.0, 0.1)),
        ("refill", lambda: drag_frontier(1.0, 0.0, 0.1, 1.0, 0.1)),
        ("kappa", lambda: drag_frontier(1.0, 1.0, np.nan, 1.0, 0.1)),
        ("frozen", lambda: drag_frontier(1.0, 1.0, 0.1, np.inf, 0.1)),
        ("target", lambda: drag_frontier(1.0, 1.0, 0.1, 1.0, 0.0)),
        ("hours", lambda: drag_frontier(1.0, 1.0, 0.1, 1.0, 0.1, 0.0)),
        ("refill", lambda: farming_hours(0.0, 0.1, 1.0)),
        ("limit", lambda: farming_hours(1.0, 0.1, 1.0, limit=np.inf)),
    ],
)
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()


@pytest.mark.parametrize(("held", "forced"), [(1e6, 5e6), (1e7, 5e6), (1e8, 1e6), (0.0, 1e6), (1e6, 0.0)])
def test_harvest_by_hand(held, forced):
    """Sell, be followed down, buy back, in inverse prices: u -> u + q/D, times e^{F/D}, -> u - q/D; cash is D times the log between."""
    depth = 2e7
    sold = 1.0 + held / depth
    pushed = sold * np.exp(forced / depth)
    profit = depth * (np.log(sold) - np.log(pushed / (pushed - held / depth)))
    found = harvest_frontier(depth, held, forced)
    assert found == pytest.approx(profit, abs=1e-3)
    assert found <= held * -np.expm1(-forced / depth) + 1e-6
    assert found <= forced or held > depth


def pushed(moves, held):
    """Profit over depth of a trader who is short a share ``m`` of ``held``: ("trade", m), ("refill", share kept) and ("forced", USD over depth)."""
    w = m = earned = 0.0
    for kind, amount in [*moves, ("trade", 0.0)]:
        if kind == "trade":
            depth_left = np.exp(w) + amount * held - m
            if depth_left <= 0.0:
                return -np.inf  # a short above D, in shares, that a refilled book cannot cover at any price
            after = np.log(depth_left)
            earned, w, m = earned + after - w, after, amount * held
        else:
            w = w * amount if kind == "refill" else w + amount
    return earned


def test_no_rhythm_of_pushes_beats_the_bound():
    """Ten thousand schedules at random, and the best of each rhythm of n whole pushes: it comes as near as one likes."""
    rng = np.random.default_rng(11)
    draws = {"trade": lambda: rng.uniform(), "refill": lambda: rng.uniform(0.0, 1.0), "forced": lambda: rng.exponential(0.2)}
    for _ in range(10_000):
        held = rng.choice([0.05, 0.3, 0.9, 2.0])
        moves = [(kind, draws[kind]()) for kind in rng.choice(list(draws), 12)]
        forced = sum(amount for kind, amount in moves if kind == "forced")
        assert pushed(moves, held) <= harvest_bound(1.0, held, forced) + 1e-12
    rounds = {n: pushed([("trade", 1.0), ("forced", 0.6 / n), ("trade", 0.0), ("refill", 0.0)] * n, 0.4) for n in (1, 2, 100)}
    assert rounds[1] == pytest.approx(harvest_frontier(1.0, 0.4, 0.6), rel=1e-12)
    assert rounds[1] < rounds[2] < rounds[100] < harvest_bound(1.0, 0.4, 0.6) == pytest.approx(0.24)
    assert rounds[100] > 0.98 * 0.24


def test_pushing_twice_adds_nothing_where_nothing_refills():
    twice = pushed([("trade", 1.0), ("forced", 0.2), ("trade", 0.0), ("trade", 1.0), ("forced", 0.4)], 0.4)
    assert twice == pytest.approx(harvest_frontier(1.0, 0.4, 0.6), rel=1e-12)
