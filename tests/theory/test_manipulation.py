"""What it costs to move an oracle (catalogue 35)."""

import numpy as np
import pytest

from perpkit.theory import average_price_factor, constant_product_cost, drag_cost, ema_drag_hours, hold_cost, schedule_cost

BOOK = {"depth": 20e6, "refill": 1.0, "target": 0.045}


@pytest.mark.parametrize(
    ("kappa", "tau", "cost", "push", "hours"), [(1 / 8, 8.0, 720e3, 0.062, 10.3), (1 / 16, 1.0, 86e3, 0.053, 1.9), (1 / 16, 0.5, 56e3, 0.050, 68 / 60)]
)
def test_numbers(kappa, tau, cost, push, hours):  # catalogue 35
    found = drag_cost(kappa=kappa, tau=tau, **BOOK)
    assert found.cost == pytest.approx(cost, abs=500)
    assert found.push == pytest.approx(push, abs=5e-4) and found.hours == pytest.approx(hours, abs=0.06)
    assert found.cost == pytest.approx(found.entry + found.refill + found.funding)


def test_equal_fairness_costs_less_to_drag_at_a_short_memory():
    """kappa tau = 1/32 three ways."""
    costs = [drag_cost(kappa=1 / (32 * tau), tau=tau, **BOOK).cost for tau in (0.5, 1.0, 2.0)]
    np.testing.assert_allclose(costs, [56e3, 84e3, 137e3], atol=500)


def held(push, depth, refill, kappa, tau, target, book, steps=40_000):
    """The hold played out: buy to the push, rebuy what refills, pay funding on the position, until the oracle gets there."""
    hours = ema_drag_hours(target, push, tau)
    dt, oracle = hours / steps, 0.0
    bought, spent = depth * push, 0.5 * depth * push**2
    for _ in range(steps):
        step = push - (push - oracle) * np.exp(-dt / tau)
        refilled = refill * depth * push * dt
        spent += refilled * (push / 2 if book == "relist" else push)
        spent += kappa * dt * (bought + refilled / 2) * (push - (oracle + step) / 2)
        bought, oracle = bought + refilled, step
    assert oracle == pytest.approx(target)
    return spent


@pytest.mark.parametrize("book", ["relist", "revert"])
@pytest.mark.parametrize(("push", "refill", "kappa", "tau"), [(0.06, 1.0, 1 / 8, 8.0), (0.09, 3.0, 1.0, 0.5), (0.05, 0.0, 1 / 16, 1.0)])
def test_cost_of_a_hold_played_out(push, refill, kappa, tau, book):  # catalogue 35
    total = hold_cost(push, 20e6, refill, kappa, tau, 0.045, book)[0]
    assert total == pytest.approx(held(push, 20e6, refill, kappa, tau, 0.045, book), rel=1e-6)


@pytest.mark.parametrize("book", ["relist", "revert"])
def test_no_other_constant_push_is_cheaper(book):  # catalogue 35
    """Over two decades of each parameter: the whole curve is scanned, and has one valley."""
    pushes = 0.045 * (1 + np.geomspace(1e-7, 1e3, 4_000))
    for refill in (0.05, 1.0, 20.0):
        for kappa in (0.0, 1 / 16, 2.0):
            for tau in (0.1, 1.0, 24.0):
                curve = hold_cost(pushes, 20e6, refill, kappa, tau, 0.045, book)[0]
                found = drag_cost(20e6, refill, kappa, tau, 0.045, book)
                assert found.cost <= curve.min() * (1 + 1e-9)
                turns = np.sign(np.diff(curve))
                assert np.count_nonzero(np.diff(turns[turns != 0])) == 1


def test_scaling_and_patience():
    one, two = drag_cost(kappa=1 / 8, tau=1.0, **BOOK), drag_cost(kappa=1 / 8, tau=1.0, **(BOOK | {"depth": 40e6}))
    assert two.cost == pytest.approx(2 * one.cost) and two.push == pytest.approx(one.push, rel=1e-6)
    patient = drag_cost(20e6, 0.0, 1 / 8, 4.0, 0.045)
    assert patient.hours == np.inf and patient.push == 0.045
    nearly = drag_cost(20e6, 1e-9, 1 / 8, 4.0, 0.045)
    assert (patient.entry, patient.funding) == pytest.approx((nearly.entry, nearly.funding), rel=1e-4)
    assert nearly.cost == pytest.approx(patient.cost, rel=1e-5) and nearly.cost > patient.cost


def test_averages():
    assert average_price_factor(60, 0.05) == pytest.approx(4.0)
    assert average_price_factor(60, 0.05, mean="geometric") == pytest.approx(18.68, abs=5e-3)
    assert average_price_factor(60, 0.05, held=60) == pytest.approx(1.05) == average_price_factor(60, 0.05, held=60, mean="geometric")
    prices = np.where(np.arange(60) < 7, average_price_factor(60, 0.05, held=7), 1.0)
    assert prices.mean() == pytest.approx(1.05)
    prices = np.where(np.arange(60) < 7, average_price_factor(60, -0.2, held=7, mean="geometric"), 1.0)
    assert np.exp(np.log(prices).mean()) == pytest.approx(0.8)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.3, 4.0])
@pytest.mark.parametrize("fee", [0.0, 0.003])
def test_constant_product_by_swapping(factor, fee):
    """Swap against x y = k until the price is there; value what was got at the price before."""
    base, quote = 10.0, 1_000.0
    new_base, new_quote = base / np.sqrt(factor), quote * np.sqrt(factor)
    if factor >= 1:
        cost = (new_quote - quote) / (1 - fee) - (base - new_base) * quote / base
    else:
        cost = (new_base - base) / (1 - fee) * quote / base - (quote - new_quote)
    assert constant_product_cost(factor, fee) == pytest.approx(cost / quote, abs=1e-12)
    if factor == 1.3 and fee == 0:
        assert constant_product_cost(1.3) == pytest.approx(0.017233, abs=5e-7)


def block_sold(displacement, position, orders=20_000):
    """USD above fair value from selling ``position`` at once, in small orders, into a book of unit depth displaced by ``displacement``."""
    price, got = displacement, 0.0
    for _ in range(orders):
        size = position / orders
        got += size * (price - 0.5 * size)
        price -= size
    return got


def played(pushes, hours, depth, refill, kappa, tau, book, unwind, per_piece=20_000):
    """A staircase played out order by order in a book of unit depth, funding charged step by step on the position then held."""
    price = position = spent = charged = oracle = 0.0
    for push, time in zip(pushes, hours, strict=True):
        spent += (push - price) * 0.5 * (push + price)
        position += push - price
        price, dt = push, time / per_piece
        for _ in range(per_piece):
            refilled = refill * push * dt
            spent += refilled * (0.5 * push if book == "relist" else push)
            later = push - (push - oracle) * np.exp(-dt / tau)
            charged += kappa * dt * (position + 0.5 * refilled) * (push - 0.5 * (oracle + later))
            position, oracle = position + refilled, later
    got = {"fair": lambda: 0.0, "split": lambda: block_sold(price, price), "block": lambda: block_sold(price, position)}[unwind]()
    return depth * (spent + charged - got), depth * position, oracle


STAIRS = [
    ([0.03, 0.05, 0.06], [0.7, 1.3, 0.4], "relist", "fair"),
    ([0.02, 0.07, 0.05], [0.5, 1.0, 1.5], "revert", "fair"),
    ([0.02, 0.07, 0.05], [0.5, 1.0, 1.5], "revert", "split"),
    ([0.06, -0.03, 0.05], [2.0, 0.3, 0.2], "revert", "block"),
]


@pytest.mark.parametrize(("pushes", "hours", "book", "unwind"), STAIRS)
def test_staircase_played_out(pushes, hours, book, unwind):
    rules = {"depth": 20e6, "refill": 0.7, "kappa": 1 / 8, "tau": 1.5, "book": book, "unwind": unwind}
    cost, position, oracle = played(pushes, hours, **rules)
    found = schedule_cost(pushes, hours, **rules)
    assert found.cost == pytest.approx(cost, rel=1e-6)
    assert found.position == pytest.approx(position, rel=1e-9) and found.oracle == pytest.approx(oracle, rel=1e-9)
    assert found.cost == pytest.approx(found.trading + found.funding - found.returned, rel=1e-12)


def test_funding_is_kappa_tau_for_each_unit_the_oracle_moves():
    """kappa int Q (x - O) dt = kappa tau int Q dO, summed over a fine staircase."""
    rng = np.random.default_rng(8)
    pushes, hours = 0.05 * rng.random(400), np.full(400, 0.01)
    parts = [schedule_cost(pushes[: i + 1], hours[: i + 1], 1.0, 0.5, 1 / 4, 2.0) for i in range(400)]
    oracle = np.array([0.0] + [p.oracle for p in parts])
    held = [p.position - 0.5 * 0.5 * push * 0.01 for p, push in zip(parts, pushes, strict=True)]
    assert parts[-1].funding == pytest.approx(1 / 4 * 2.0 * np.sum(held * np.diff(oracle)), rel=1e-4)


@pytest.mark.parametrize(("book", "unwind"), [("relist", "fair"), ("revert", "fair"), ("revert", "split"), ("revert", "block")])
def test_one_step_is_a_hold(book, unwind):
    hours = ema_drag_hours(0.045, 0.06, 2.0)
    stairs = schedule_cost([0.06], [hours], 20e6, 1.0, 1 / 8, 2.0, book, unwind)
    assert stairs.oracle == pytest.approx(0.045, rel=1e-12)
    assert stairs.cost == pytest.approx(hold_cost(0.06, 20e6, 1.0, 1 / 8, 2.0, 0.045, book, unwind)[0], rel=1e-12)
    split = schedule_cost([0.06] * 5, [hours / 5] * 5, 20e6, 1.0, 1 / 8, 2.0, book, unwind)
    assert split.cost == pytest.approx(stairs.cost, rel=1e-12)


def test_an_oracle_that_does_not_listen():
    """Funding on a frozen oracle: kappa x D x int (1 + rho t) dt."""
    found = schedule_cost([0.02], [5.0], 1e6, 0.5, 1 / 8, np.inf, "relist")
    assert found.oracle == 0.0 and found.funding == pytest.approx(1e6 * 0.02**2 / 8 * (5 + 0.5 * 25 / 2), rel=1e-12)
    assert found.funding == pytest.approx(schedule_cost([0.02], [5.0], 1e6, 0.5, 1 / 8, 1e6, "relist").funding, rel=1e-5)


@pytest.mark.parametrize("unwind", ["split", "block"])
def test_no_other_constant_push_is_cheaper_where_bids_follow(unwind):
    """Where selling gives something back the curve of costs still has one valley."""
    pushes = 0.045 * (1 + np.geomspace(1e-7, 1e3, 4_000))
    for refill in (0.05, 1.0, 20.0):
        for kappa in (0.0, 1 / 16, 2.0):
            for tau in (0.1, 1.0, 24.0):
                curve = hold_cost(pushes, 20e6, refill, kappa, tau, 0.045, "revert", unwind)[0]
                found = drag_cost(20e6, refill, kappa, tau, 0.045, "revert", unwind)
                assert found.cost <= curve.min() * (1 + 1e-9)
                turns = np.sign(np.diff(curve))
                assert np.count_nonzero(np.diff(turns[turns != 0])) == 1


def test_what_unwinding_gives_back():
    """Selling the displacement back spares the whole entry; selling everything at once spares it less what the block gives up."""
    fair, split, block = (hold_cost(0.06, 20e6, 1.0, 1 / 16, 0.5, 0.045, "revert", unwind) for unwind in ("fair", "split", "block"))
    hours = ema_drag_hours(0.045, 0.06, 0.5)
    assert fair[0] - split[0] == pytest.approx(0.5 * 20e6 * 0.06**2) and block[1] == pytest.approx(0.5 * 20e6 * (0.06 * hours) ** 2)
    free = drag_cost(20e6, 0.0, 1 / 16, 0.5, 0.045, "revert", "split")
    assert free.cost == pytest.approx(20e6 * 0.045**2 / 32) and free.entry == 0.0


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("unwind", lambda: hold_cost(0.06, 1, 1, 0.1, 1, 0.045, "revert", "free")),
        ("unwind", lambda: drag_cost(1, 1, 0.1, 1, 0.045, "relist", "split")),
        ("book", lambda: schedule_cost([0.1], [1.0], 1, 1, 0.1, 1, "thin")),
        ("pushes", lambda: schedule_cost([0.2, 0.1], [1.0, 1.0], 1, 1, 0.1, 1, "relist")),
        ("pushes", lambda: schedule_cost([-0.2], [1.0], 1, 1, 0.1, 1, "relist")),
        ("pushes", lambda: schedule_cost([np.nan], [1.0], 1, 1, 0.1, 1)),
        ("pushes", lambda: schedule_cost([0.1, 0.2], [1.0], 1, 1, 0.1, 1)),
        ("hours", lambda: schedule_cost([0.1], [-1.0], 1, 1, 0.1, 1)),
        ("tau", lambda: schedule_cost([0.1], [1.0], 1, 1, 0.1, 0.0)),
    ],
)
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()
