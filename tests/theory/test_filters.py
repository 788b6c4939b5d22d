"""How a median, a clamp and a bound give way: marks stepped as a venue steps them, and costs searched on a grid."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from perpkit.theory import (
    BASIS_HOURS,
    LIGHTER_HOURS,
    clamp_updates,
    clamped_median_rise,
    drag_cost,
    ema_drag_hours,
    ema_half_life,
    mark_drag,
    median_push,
    median_rise,
    ratchet_drag,
    ratchet_range,
    schedule_cost,
    step_clamp_rise,
)

BOOK = {"depth": 20e6, "refill": 1.0, "kappa": 1 / 16}


def stepped(push, hours, tau, basis, dt=0.25 / 3600, clamp=np.inf, third=None):
    """Mark after a hold, by exponential averages updated every ``dt``: the median of three, or Lighter's with ``clamp`` and ``third``."""
    oracle = average = other = 0.0
    keep_o, keep_b = np.exp(-dt / tau), np.exp(-dt / basis)
    keep_t = 1.0 if third in (None, np.inf) else np.exp(-dt / third)
    for _ in range(round(hours / dt)):
        seen = 0.5 * (push - oracle) * (1 + keep_o)
        oracle = push + (oracle - push) * keep_o
        average = average * keep_b + (1 - keep_b) * min(max(seen, -clamp), clamp)
        other = push + (other - push) * keep_t
    first = other if third is not None else oracle
    return sorted([first, oracle + average, push])[1]


@pytest.mark.parametrize("tau", [np.inf, 8.0, 0.5, 0.02])
def test_median_stepped(tau):
    for hours in (10 / 3600, 150 / 3600, 0.3, 1.5):
        assert median_rise(0.05, hours, tau) == pytest.approx(stepped(0.05, hours, tau, BASIS_HOURS), rel=2e-3, abs=1e-6)
    assert median_rise(0.05, 1e4, tau) == pytest.approx(0.05)


def test_median_outvotes_a_touch_and_not_a_hold():
    """One update of 3 s asks for fifty times the rise, the half-life for twice, half an hour for the rise itself."""
    assert median_push(0.01, 3 / 3600) == pytest.approx(0.01 * 50.5, rel=1e-3)
    assert median_push(0.01, ema_half_life(BASIS_HOURS)) == pytest.approx(0.02, rel=1e-12)
    assert median_push(0.01, 0.5) == pytest.approx(0.01, rel=1e-5)
    # With an oracle that does not listen, holding a median is dragging an average of 150 s.
    hours = ema_drag_hours(0.04, 0.06, BASIS_HOURS)
    assert median_rise(0.06, hours) == pytest.approx(0.04, rel=1e-12)


def test_two_honest_inputs_bound_a_touch():
    """Any path of the price within t, up to a push: the mark never exceeds what the constant push gives, and with the basis honest too it does not
    move at all. A plain blend of half the price would have moved by half the push at once."""
    rng = np.random.default_rng(2)
    push, dt, keep = 0.1, 3 / 3600, np.exp(-3 / 150)
    for _ in range(50):
        average, time = 0.0, 0.0
        for price in push * rng.random(40):
            average = average * keep + (1 - keep) * price
            time += dt
            assert sorted([0.0, average, price])[1] <= median_rise(push, time) + 1e-12
            assert sorted([0.0, 0.0, price])[1] == 0.0
    assert median_rise(push, dt) < 0.05 * push < 0.5 * push


@pytest.mark.parametrize("third", [np.inf, LIGHTER_HOURS])
@pytest.mark.parametrize("tau", [np.inf, 0.5])
@pytest.mark.parametrize("push", [0.003, 0.02, 0.06])
def test_lighter_stepped(push, tau, third):
    for hours in (0.02, 0.2, 1.0, 3.0):
        expected = stepped(push, hours, tau, LIGHTER_HOURS, dt=1 / 3600, clamp=0.005, third=third)
        assert clamped_median_rise(push, hours, tau=tau, third=third) == pytest.approx(expected, rel=2e-3, abs=2e-6)


@pytest.mark.parametrize("push", [0.02, 0.06])
def test_lighter_basis_about_its_clamp(push):
    """Index and clamped basis by an adaptive solver, read just before and after the lag comes within the clamp (0.69 h and 1.24 h)."""
    clock = np.array([0.1, 0.6, 0.75, 0.9, 1.2, 1.3, 2.0])
    flow = lambda _, y: [(push - y[0]) / 0.5, (min(push - y[0], 0.005) - y[1]) / LIGHTER_HOURS]  # noqa: E731
    index, basis = solve_ivp(flow, (0, 2), [0.0, 0.0], t_eval=clock, rtol=1e-10, atol=1e-13, max_step=0.01).y
    np.testing.assert_allclose(clamped_median_rise(push, clock, tau=0.5), np.minimum(index + basis, push), atol=1e-8)


def test_an_honest_third_input_is_worth_the_clamp():
    """Half a per cent at most against a frozen index with outside marks; the same mark with its own average for a third input goes all the way."""
    assert clamped_median_rise(0.5, 100.0) == pytest.approx(0.005, rel=1e-12) == clamped_median_rise(0.5, 100.0, third=np.inf)
    assert clamped_median_rise(0.05, 100.0, third=LIGHTER_HOURS) == pytest.approx(0.05, rel=1e-12)
    with pytest.raises(ValueError, match="rise"):
        mark_drag(clamped_median_rise, 0.02, 0.0, tau=np.inf, **BOOK)
    assert mark_drag(lambda p, t: clamped_median_rise(p, t, third=LIGHTER_HOURS), 0.02, 0.0, tau=np.inf, **BOOK).cost < 7e3


def test_step_clamp_counts_updates():
    made = clamp_updates(0.0485, 0.005)
    assert step_clamp_rise(0.0485, made * 3 / 3600, 0.005, 3 / 3600) == pytest.approx(0.0485)
    assert step_clamp_rise(0.0485, (made - 1) * 3 / 3600, 0.005, 3 / 3600) < 0.0485
    assert step_clamp_rise(5.0, 2.9 / 3600, 0.005, 3 / 3600) == 0.0
    mark = 1.0
    for update in range(1, 20):
        mark = min(mark * 1.005, np.exp(0.06))
        assert step_clamp_rise(0.06, update * 3 / 3600, 0.005, 3 / 3600) == pytest.approx(np.log(mark), abs=1e-12)


RESPONSES = {
    "median, frozen oracle": (median_rise, np.inf),
    "median, listening oracle": (lambda p, t: median_rise(p, t, 0.5), 0.5),
    "lighter, its own third": (lambda p, t: clamped_median_rise(p, t, tau=0.5, third=LIGHTER_HOURS), 0.5),
    "step clamp": (lambda p, t: step_clamp_rise(p, t, 0.005, 3 / 3600), 0.5),
}


@pytest.mark.parametrize("keep", [0.0, 0.25])
@pytest.mark.parametrize("name", RESPONSES)
def test_no_push_is_cheaper(name, keep):
    """300 pushes, the time of each found by walking a fine clock."""
    response, tau = RESPONSES[name]
    found = mark_drag(response, 0.03, keep, tau=tau, **BOOK)
    clock = np.linspace(0, 2.0, 7_201)
    least = np.inf
    for push in 0.03 * (1 + np.geomspace(1e-5, 3, 300)):
        up = response(push, clock) >= 0.03
        if up.any():
            least = min(least, schedule_cost([push], [clock[np.argmax(up)] + keep], tau=tau, book="relist", **BOOK).cost)
    assert least == pytest.approx(found.cost, rel=2e-3)
    assert response(found.push, found.reach + 1e-6) >= 0.03 * (1 - 1e-6) and found.hours == pytest.approx(found.reach + keep)
    assert found.cost == pytest.approx(schedule_cost([found.push], [found.hours], tau=tau, book="relist", **BOOK).cost, rel=1e-9)


def test_holding_a_median_is_a_short_drag():
    """Frozen oracle: the drag of an average of 150 s, funding apart. On 20M of depth 5 % costs 30,000 USD and ten minutes."""
    alone = mark_drag(median_rise, 0.05, 0.0, 20e6, 1.0, 0.0, np.inf)
    one = drag_cost(20e6, 1.0, 0.0, BASIS_HOURS, 0.05)
    assert (alone.cost, alone.push, alone.hours) == pytest.approx((one.cost, one.push, one.hours), rel=1e-5)
    assert alone.cost == pytest.approx(30.3e3, abs=100) and 60 * alone.hours == pytest.approx(10.1, abs=0.1)
    # Keeping it up costs c rho D x^2 an hour and no more: the median has forgotten what the price was.
    kept = mark_drag(median_rise, 0.05, 1.0, 20e6, 1.0, 0.0, np.inf)
    assert kept.cost - alone.cost == pytest.approx(0.5 * 20e6 * 0.05**2, rel=0.03)


def test_ratchet_is_walked_by_one_drag():
    """5 %, q = 0.9, two resets: the oracle at 109.725; where only the mark is bound the windows between cost nothing."""
    found = ratchet_drag(0.05, 0.9, 2, tau=0.5, **BOOK)
    band = ratchet_range(0.05, 0.9, 2)
    assert np.exp(found.target) == pytest.approx(band.up_triggers[-1] / 100) and np.exp(found.ceiling) == pytest.approx(band.ceiling / 100)
    down = ratchet_drag(0.05, 0.9, 2, tau=0.5, side="down", **BOOK)
    assert np.exp(-down.target) == pytest.approx(band.down_triggers[-1] / 100) and np.exp(-down.ceiling) == pytest.approx(band.floor / 100)
    one = drag_cost(target=found.target, tau=0.5, **BOOK)
    assert (found.cost, found.pushes[0], found.hours) == (one.cost, one.push, one.hours)
    # A second reset quadruples the cost of the first: distance counts squared, patience hardly.
    first = ratchet_drag(0.05, 0.9, 1, tau=0.5, **BOOK)
    assert found.cost / first.cost == pytest.approx((found.target / first.target) ** 2, rel=1e-6) and found.cost > 4 * first.cost


@pytest.mark.parametrize("side", ["up", "down"])
@pytest.mark.parametrize("book", ["relist", "revert"])
def test_bound_orders_against_a_grid(side, book):
    """Two windows, 60 x 60 pushes inside them; the staircase returned passes both triggers; binding the orders costs more, and more time."""
    found = ratchet_drag(0.05, 0.9, 2, tau=0.5, side=side, bound_orders=True, book=book, **BOOK)
    band = ratchet_range(0.05, 0.9, 2)
    triggers = np.abs(np.log(np.array(band.up_triggers if side == "up" else band.down_triggers) / 100))
    edge = abs(np.log(1.05 if side == "up" else 0.95))
    least = np.inf
    for one in np.linspace(triggers[0], edge, 61)[1:]:
        for two in np.linspace(triggers[1], 2 * edge, 61)[1:]:
            hours = [ema_drag_hours(triggers[0], one, 0.5), 0.5 * np.log((two - triggers[0]) / (two - triggers[1]))]
            played = schedule_cost([one, two], hours, tau=0.5, book=book, **BOOK)
            assert played.oracle == pytest.approx(triggers[1])
            least = min(least, played.cost)
    assert found.cost <= least * (1 + 1e-9) and found.cost > least * 0.998
    assert all(push <= (k + 1) * edge * (1 + 1e-12) for k, push in enumerate(found.pushes))
    assert schedule_cost(found.pushes, found.stages, tau=0.5, book=book, **BOOK).cost == pytest.approx(found.cost, rel=1e-12)
    free = ratchet_drag(0.05, 0.9, 2, tau=0.5, side=side, book=book, **BOOK)
    assert found.hours > free.hours
    if book == "relist":
        assert found.cost > free.cost


def test_patience_walks_any_ratchet():
    """The last window costs what it costs; a bound only sets how far there is to go. Halving the memory halves the time and cuts the cost."""
    slow, fast = (ratchet_drag(0.05, 0.9, 2, tau=tau, bound_orders=True, **BOOK) for tau in (1.0, 0.5))
    assert fast.hours == pytest.approx(slow.hours / 2, rel=0.05) and fast.cost < slow.cost
    costs = [ratchet_drag(0.05, 0.9, resets, tau=0.5, **BOOK).cost for resets in (1, 2, 3, 4)]
    targets = np.array([ratchet_drag(0.05, 0.9, resets, tau=0.5, **BOOK).target for resets in (1, 2, 3, 4)])
    np.testing.assert_allclose(np.array(costs) / costs[0], (targets / targets[0]) ** 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("push", lambda: median_rise(-0.1, 1.0)),
        ("hours", lambda: median_rise(0.1, -1.0)),
        ("tau", lambda: median_rise(0.1, 1.0, 0.0)),
        ("basis", lambda: median_rise(0.1, 1.0, 1.0, 0.0)),
        ("rise", lambda: median_push(0.0, 1.0)),
        ("hours", lambda: median_push(0.1, 0.0)),
        ("clamp", lambda: clamped_median_rise(0.1, 1.0, clamp=0.0)),
        ("third", lambda: clamped_median_rise(0.1, 1.0, third=0.0)),
        ("third", lambda: clamped_median_rise(0.1, 1.0, third="liar")),
        ("clamp", lambda: step_clamp_rise(0.1, 1.0, 1.0, 0.01)),
        ("update", lambda: step_clamp_rise(0.1, 1.0, 0.01, 0.0)),
        ("keep", lambda: mark_drag(median_rise, 0.1, -1.0, 1.0, 1.0, 0.1, 1.0)),
        ("rise", lambda: mark_drag(median_rise, 0.0, 1.0, 1.0, 1.0, 0.1, 1.0)),
        ("depth", lambda: mark_drag(median_rise, 0.1, 1.0, 0.0, 1.0, 0.1, 1.0)),
        ("limit", lambda: mark_drag(median_rise, 0.1, 1.0, 1.0, 1.0, 0.1, 1.0, limit=0.0)),
        ("unwind", lambda: mark_drag(median_rise, 0.1, 1.0, 1.0, 1.0, 0.1, 1.0, unwind="split")),
        ("width", lambda: ratchet_drag(1.0, 0.9, 2, 1.0, 1.0, 0.1, 1.0)),
        ("trigger", lambda: ratchet_drag(0.05, 1.0, 2, 1.0, 1.0, 0.1, 1.0, bound_orders=True)),
        ("resets", lambda: ratchet_drag(0.05, 0.9, 0, 1.0, 1.0, 0.1, 1.0)),
        ("side", lambda: ratchet_drag(0.05, 0.9, 2, 1.0, 1.0, 0.1, 1.0, side="left")),
        ("frozen", lambda: ratchet_drag(0.05, 0.9, 2, 1.0, 1.0, 0.1, np.inf, bound_orders=True)),
    ],
)
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()
