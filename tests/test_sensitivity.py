"""Sensitivity indices against Ishigami's function, whose indices are known; strata against laws whose means are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import perpkit as pk
from perpkit import sensitivity
from perpkit.sensitivity import Factor
from perpkit.strata import Strata, tail_strata

A, B = 7.0, 0.1
ANGLES = [Factor(f"x{k}", -math.pi, math.pi) for k in (1, 2, 3)]


def ishigami(row: dict) -> float:
    """Ishigami and Homma 1990."""
    return math.sin(row["x1"]) + A * math.sin(row["x2"]) ** 2 + B * row["x3"] ** 4 * math.sin(row["x1"])


def known() -> dict[tuple[str, str, str], float]:
    """Its indices in closed form: variance by part over the whole."""
    one, two = (1.0 + B * math.pi**4 / 5.0) ** 2 / 2.0, A**2 / 8.0
    pair = B**2 * math.pi**8 * (1.0 / 18.0 - 1.0 / 50.0)
    whole = one + two + pair
    first = {"x1": one, "x2": two, "x3": 0.0}
    total = {"x1": one + pair, "x2": two, "x3": pair}
    pairs = {("x1", "x2"): 0.0, ("x1", "x3"): pair, ("x2", "x3"): 0.0}
    found = {("first", name, ""): value / whole for name, value in first.items()}
    found |= {("total", name, ""): value / whole for name, value in total.items()}
    return found | {("pair", *names): value / whole for names, value in pairs.items()}


@pytest.fixture(scope="module")
def done():
    plan = sensitivity.design(ANGLES, 4096, rng=1)
    return plan, np.array([ishigami(row) for row in plan.rows()])


def test_the_indices_of_ishigamis_function(done):
    table = sensitivity.indices(*done).set_index(["kind", "factor", "other"])
    for name, value in known().items():
        assert table.loc[name, "value"] == pytest.approx(value, abs=0.02), name
        assert table.loc[name, "low"] - 0.01 <= value <= table.loc[name, "high"] + 0.01, name
    pair = sensitivity.strongest_pair(table.reset_index())
    assert (pair["factor"], pair["other"], pair["decided"]) == ("x1", "x3", True)


def test_a_grid_gives_the_indices_of_ishigamis_function_without_sampling():
    plan = sensitivity.grid(ANGLES, nodes=16)
    table = sensitivity.grid_indices(plan, np.array([ishigami(row) for row in plan.rows()])).set_index(["kind", "factor", "other"])
    for name, value in known().items():
        assert table.loc[name, "value"] == pytest.approx(value, abs=1e-8), name
    assert table["low"].isna().all()


def test_a_grid_with_levels_and_noise():
    """Two levels and a range, a product of both: indices by hand. Noise of a known size, repeated, shows in the interval."""
    plan = sensitivity.grid([Factor("sign", levels=(-1.0, 1.0)), Factor("x", 0.0, 1.0)], nodes=3)
    y = np.array([row["sign"] * row["x"] for row in plan.rows()])
    whole, own, pair = 1.0 / 3.0, 0.25, 1.0 / 12.0
    table = sensitivity.grid_indices(plan, y).set_index(["kind", "factor", "other"])["value"]
    assert table["first", "sign", ""] == pytest.approx(own / whole) and table["first", "x", ""] == pytest.approx(0.0, abs=1e-12)
    assert table["total", "x", ""] == table["pair", "sign", "x"] == pytest.approx(pair / whole)
    np.testing.assert_allclose(plan.closed(y, ["sign"]), [-0.5, 0.5])
    rng = np.random.default_rng(1)
    noisy = sensitivity.grid_indices(plan, y + 0.02 * rng.standard_normal((8, len(y)))).set_index(["kind", "factor", "other"])
    assert (noisy["high"] > noisy["low"]).all() and noisy.loc[("first", "sign", ""), "low"] < 0.75 < noisy.loc[("first", "sign", ""), "high"] + 0.01


def test_the_intervals_hold_what_they_say():
    """Nine known indices, 60 designs, intervals of 90 %: fewer than 80 % inside happens to a right method with a chance far below 1e-6."""
    inside = []
    for seed in range(1, 61):
        plan = sensitivity.design(ANGLES, 256, rng=seed)
        table = sensitivity.indices(plan, np.array([ishigami(row) for row in plan.rows()]), rng=seed).set_index(["kind", "factor", "other"])
        inside += [table.loc[name, "low"] <= value <= table.loc[name, "high"] for name, value in known().items()]
    assert np.mean(inside) > 0.8


def test_slices_show_the_interaction_without_an_index(done):
    plan, y = done
    alone = sensitivity.slices(plan, y, ["x3"], bins=6)["mean"]
    assert np.ptp(alone) < 6.0 * sensitivity.slices(plan, y, ["x3"], bins=6)["se"].max()  # x3 alone moves no mean
    both = sensitivity.slices(plan, y, ["x1", "x3"], bins=6)["mean"].unstack()
    assert both.iloc[4, 0] - both.iloc[1, 0] > 4.0 * (both.iloc[4, 2] - both.iloc[1, 2])  # but decides what x1 does
    assert int(sensitivity.slices(plan, y, ["x1"])["n"].sum()) == 2 * plan.n


def test_slices_agree_with_the_mean_of_the_function(done):
    plan, y = done
    table = sensitivity.slices(plan, y, ["x2"], bins=8)
    edges = np.linspace(-math.pi, math.pi, 9)
    exact = A * np.array([0.5 - (math.sin(2 * b) - math.sin(2 * a)) / (4 * (b - a)) for a, b in zip(edges, edges[1:], strict=False)])
    assert (np.abs(table["mean"].to_numpy() - exact) < 4.5 * table["se"].to_numpy()).all()


def test_factors_are_uniform_over_range_or_levels():
    plan = sensitivity.design([Factor("log", 0.1, 10.0, log=True), Factor("kind", levels=("a", "b", "c"))], 1024, rng=3)
    every = plan.rows()
    rows = [every[k] for k in plan.independent]
    assert stats.kstest([math.log10(row["log"]) for row in rows], stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-4
    assert all(abs(sum(row["kind"] == kind for row in rows) / len(rows) - 1 / 3) < 0.03 for kind in "abc")
    assert Factor("kind", levels=(1, 2)).at(1.0) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Factor("x", 1.0, 1.0), "low is below high"),
        (lambda: Factor("x", 0.0, 1.0, log=True), "above 0 in the logarithm"),
        (lambda: Factor("x", levels=("a",)), "two levels or more"),
        (lambda: Factor("x", 0.0, 1.0, levels=(1, 2)), "no range"),
        (lambda: sensitivity.design(ANGLES[:1], 8, rng=1), "two or more"),
        (lambda: sensitivity.design(ANGLES, 100, rng=1), "power of two"),
        (lambda: sensitivity.design(ANGLES, 8, rng=0), "1 or more"),
        (lambda: sensitivity.indices(sensitivity.design(ANGLES, 8, rng=1), np.zeros(64)), "no variance"),
        (lambda: sensitivity.indices(sensitivity.design(ANGLES, 8, rng=1), np.zeros(3)), "one finite number for each of the 64 runs"),
        (lambda: sensitivity.grid(ANGLES, nodes=1), "2 or more"),
        (lambda: sensitivity.grid_indices(sensitivity.grid(ANGLES), np.zeros(64)), "no variance"),
        (lambda: sensitivity.slices(sensitivity.design(ANGLES, 8, rng=1), np.zeros(64), ["y"]), "one or two of x1, x2, x3"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def law() -> pk.gaps.Law:
    return pk.gaps.fit("TSLA", "t")


def test_strata_know_small_probabilities_and_means():
    known_law, rng = law(), np.random.default_rng(1)
    strata = tail_strata(known_law, 2048, rng, tails=1.0)
    assert strata.weights.sum() == pytest.approx(1.0, abs=1e-12) and (np.diff(strata.gaps) > 0.0).all()
    for margin in (0.05, 0.1, 0.3):
        found = strata.mean(np.maximum(-np.expm1(strata.gaps) - margin, 0.0))
        exact = known_law.shortfall(margin)
        assert abs(found.value - exact) < 4.5 * found.se and found.se < 0.02 * exact
        assert found.tail_share == pytest.approx(known_law.tail_share(margin), abs=0.05)
    for p in (1e-4, 1e-3, 0.3):
        assert strata.exceed(-strata.gaps, -known_law.quantile(p)) == pytest.approx(p, rel=0.02)
        assert strata.quantile(-strata.gaps, p) == pytest.approx(-known_law.quantile(p), rel=0.02)
        assert strata.quantile(strata.gaps, p) == pytest.approx(known_law.isf(p), rel=0.02)


def test_the_standard_error_of_strata_is_not_too_small():
    """Means of 200 independent sets of strata scatter by no more than their stated error, on a step, the hardest outcome there is."""
    known_law = law()
    exact = known_law.cdf(-0.08)
    found = [tail_strata(known_law, 64, np.random.default_rng(seed)) for seed in range(200)]
    means = [strata.mean((strata.gaps < -0.08).astype(float)) for strata in found]
    z = (np.array([m.value for m in means]) - exact) / np.array([m.se for m in means])
    assert abs(np.mean(z)) < 4.0 / math.sqrt(200) and np.std(z) < 1.2


def test_a_wrong_law_is_seen():
    """The same strata weighted as if equally likely miss the mean by far more than the error: the test above can fail."""
    strata = tail_strata(law(), 2048, np.random.default_rng(1), tails=1.0)
    wrong = Strata(strata.gaps, np.full(len(strata), 1 / len(strata)), strata.record)
    loss = np.maximum(-np.expm1(strata.gaps) - 0.1, 0.0)
    assert wrong.mean(loss).value > 10.0 * law().shortfall(0.1)


def test_strata_of_a_posterior_reweight_to_every_draw():
    predictive = pk.gaps.posterior("TSLA", "t").predictive(200)
    strata = tail_strata(predictive, 2048, np.random.default_rng(2), tails=1.0)
    draws = strata.draws((strata.gaps < -0.1).astype(float))
    exact = np.exp([stats.t(*(float(p[k, 0]) for p in predictive.parameters)).logcdf(-0.1) for k in range(len(predictive.parameters[0]))])
    np.testing.assert_allclose(draws, exact, rtol=0.1)
    low = strata.quantile_draws(-strata.gaps, 1e-3)
    assert low.min() < strata.quantile(-strata.gaps, 1e-3) < low.max()


def test_central_strata_are_of_equal_probability():
    strata = tail_strata(law(), 1024, np.random.default_rng(1), tails=0.25)
    assert strata.weights.max() < 1.05 / (0.75 * 1024) and strata.weights[0] == pytest.approx(1e-6)
    assert strata.weights.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n": 5}, "even number"), ({"n": 2}, "4 or more"), ({"deepest": 0.5}, "below 0.5"), ({"tails": 0.0}, "share of the strata"), ({"rng": 1}, "numpy.random.Generator")],
)
def test_strata_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tail_strata(law(), **{"n": 64, "rng": np.random.default_rng(1)} | options)


def test_an_outcome_without_a_number_is_refused():
    strata = tail_strata(law(), 8, np.random.default_rng(1))
    for wrong in (np.zeros(7), np.append(np.zeros(7), np.nan)):
        with pytest.raises(ValueError, match="one finite number for each of the 8 gaps"):
            strata.mean(wrong)
    with pytest.raises(ValueError, match="between 0 and 1"):
        strata.quantile(np.zeros(8), 1.0)
