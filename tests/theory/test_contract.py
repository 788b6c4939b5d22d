"""What every closed form owes its caller: bad input is refused by name, plain floats come back, and nothing leans on the simulator."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from perpkit import theory

BAD = [
    ("tau", lambda: theory.pass_through(0.1, 0.0, 48)),
    ("tau", lambda: theory.pass_through(0.1, np.nan, 48)),
    ("kappa", lambda: theory.pass_through(-0.1, 8, 48)),
    ("hours", lambda: theory.pass_through(0.1, 8, -1)),
    ("hours", lambda: theory.keep_ratio(0.1, 8, np.inf)),
    ("kappa", lambda: theory.pass_through_limit(np.inf, 8)),
    ("kappa", lambda: theory.perpetual_ratio(0.045, 0, 0)),
    ("kappa", lambda: theory.perpetual_ratio(0.045, 0, 1e-6)),
    ("interest", lambda: theory.perpetual_ratio(0.045, 0, 0.1, interest=0.2)),
    ("timing", lambda: theory.perpetual_ratio(0.045, 0, 0.1, period=1, timing="late")),
    ("period", lambda: theory.perpetual_ratio(0.045, 0, 0.1, period=0)),
    ("clamp", lambda: theory.clamp_rest_premium(0.001, -1e-4)),
    ("jump_law", lambda: theory.payoff_funding(1.0, np.square, np.ones_like, np.ones_like, 0.1, jump_intensity=1.0)),
    ("pull", lambda: theory.basis_variance(0.0, 0.1)),
    ("pull", lambda: theory.common_volatility(0.0, 0.1, np.inf)),
    ("gain", lambda: theory.delay_root(0.0)),
    ("periods", lambda: theory.funding_response(0.5, 1.5)),
    ("clamp", lambda: theory.clamp_updates(-0.1, 0.0)),
    ("clamp", lambda: theory.clamp_updates(-0.1, 1.0)),
    ("gap", lambda: theory.clamp_updates(np.inf, 0.01)),
    ("leverage", lambda: theory.clamp_walk(250, 220, 30, 0.05, 0.005)),
    ("side", lambda: theory.liquidation_price(250, 10, 0.05, "buy")),
    ("maintenance", lambda: theory.liquidation_price(250, 10, 1.0)),
    ("entry", lambda: theory.bankruptcy_price("x", 10)),
    ("bound", lambda: theory.protected_leverage(1.2, 0.05)),
    ("resets", lambda: theory.ratchet_range(0.05, 0.9, 1.5)),
    ("trigger", lambda: theory.ratchet_range(0.05, 1.1, 1)),
    ("target / push", lambda: theory.ema_drag_hours(0.05, 0.05, 1.0)),
    ("target / push", lambda: theory.ema_drag_hours(0.05, 0.0, 1.0)),
    ("mark_share", lambda: theory.partial_liquidation(1, 100, 1, 0.05, 0.1, 2.0)),
    ("margin", lambda: theory.shortfall(stats.norm(0, 0.02), -0.1)),
    ("of", lambda: theory.shortfall(stats.norm(0, 0.02), 0.1, of="gap")),
    ("law", lambda: theory.shortfall([0.1, np.nan], 0.1)),
    ("law", lambda: theory.shortfall([[0.1], [0.2]], 0.1)),
    ("law", lambda: theory.shortfall([], 0.1)),
    ("law", lambda: theory.shortfall(stats.norm([0.0, 0.1], 0.02), 0.1)),
    ("law", lambda: theory.shortfall(object(), 0.1)),
    ("level", lambda: theory.expected_shortfall(stats.norm(0, 0.02), 0.3)),
    ("df", lambda: theory.t_shortfall(0.1, 1.0, 0, 1)),
    ("rate", lambda: theory.kou_shortfall(0.1, 0.5, 0.9, "short")),
    ("threshold", lambda: theory.gpd_shortfall(0.1, 0.2, 0.01, 0.3, 0.05)),
    ("steps", lambda: theory.hit_probability(0.05, 0.03, steps=0)),
    ("n ", lambda: theory.cascade(-0.1, 3)),
    ("first_generation", lambda: theory.cascade(0.5, np.nan)),
    ("j ", lambda: theory.cascade(0.5, 1).pmf(1.5)),
    ("depth", lambda: theory.drag_cost(-1, 1, 0.1, 1, 0.045)),
    ("frozen", lambda: theory.drag_cost(1, 1, 0.1, np.inf, 0.045)),
    ("book", lambda: theory.drag_cost(1, 1, 0.1, 1, 0.045, book="thin")),
    ("held", lambda: theory.average_price_factor(10, 0.05, held=11)),
    ("move", lambda: theory.average_price_factor(10, -0.5)),
    ("factor", lambda: theory.constant_product_cost(0.0)),
    ("loading", lambda: theory.ruin_probability(1, 1, -2)),
    ("inflow", lambda: theory.adjustment_coefficient([1.0, 3.0], 2.0)),
    ("deficits", lambda: theory.adjustment_coefficient([-1.0, 3.0], 2.0)),
    ("chances", lambda: theory.adjustment_coefficient([1.0, 3.0], 2.5, [0.5, 0.6])),
    ("capacities", lambda: theory.haircut_level(1, [-1])),
    ("total", lambda: theory.queue_excess(10, 200, 100)),
    ("haircut", lambda: theory.queue_excess(200, 50, 100)),
    ("loss", lambda: theory.pool_liquidation_distance(10, 0.0025, 1.5)),
    ("stop", lambda: theory.uncovered(0.1, 10, 0.0)),
    ("fee", lambda: theory.pool_capture(0.1, -0.01)),
    ("price", lambda: theory.constant_product_shortfall(10, 1000, 0.0)),
    ("skew", lambda: theory.skew_hours(1e-4, 1e-5, 1.5)),
]


@pytest.mark.parametrize(("name", "call"), BAD, ids=[f"{i}-{name}" for i, (name, _) in enumerate(BAD)])
def test_bad_input_is_named(name, call):
    with pytest.raises(ValueError, match=name):
        call()


def test_the_offending_entry_is_shown():
    with pytest.raises(ValueError, match=r"got -3\.0"):
        theory.pass_through([0.1, 0.2, -3.0], 8.0, 48.0)


def test_numbers_come_back_plain():
    values = [
        theory.pass_through(0.1, 8, 48), theory.perpetual_basis(0.045, 0, 0.1), theory.liquidation_price(250, 10, 0.05), theory.hit_probability(0.05, 0.03),
        theory.shortfall(stats.t(2.4, 0, 0.01), 0.1), theory.cascade(0.6, 3).pmf(6), theory.drag_cost(20e6, 1, 0.1, 1, 0.045).cost, theory.basis_variance(2, 0.3),
        theory.partial_liquidation(10, 100, 40, 0.05, 0.02), theory.stale_option(stats.norm(0, 0.02), 0.01), theory.MONITORING, theory.amplification(-0.01, 0.6),
    ]  # fmt: skip
    assert [type(value) for value in values] == [float] * len(values)
    assert type(theory.clamp_updates(-0.1, 0.005)) is int and type(theory.delay_root(0.5)) is complex


def test_imports_nothing_of_the_simulator():
    allowed = {"numpy", "scipy", "perpkit.theory"} | set(sys.stdlib_module_names)
    for source in Path(theory.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert any(name == root or name.startswith(root + ".") for root in allowed), f"{source.name} imports {name}"
