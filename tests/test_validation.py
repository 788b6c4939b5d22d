"""Witnesses: a wrong number must fail, whatever its kind. And the comparisons of the validation page that need programs outside the package.

The page runs ``two_engines``, ``interpreted_rules``, ``interpreted_engine`` and ``walked`` from here: what judges the package is not part of it.
"""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import jupytext
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from slow_engine import random_case, replay
from test_ledger import RULES, TWIN, TWIN_SEEDS, interpreted

import perpkit as pk
from perpkit import theory, validation
from perpkit.validation import FAILS, HOLDS, KINDS, NOBODY, Witness

PAGE = Path(__file__).parents[1] / "chapters" / "appendix" / "validation.md"


# --- programs outside the package, for the page ------------------------------------------------------------------------------------------


def two_engines(seeds) -> tuple[float, float, float]:
    """Largest differences between the package and the slow engine over random weekends: pockets (USD), outcomes and prices of the path.

    Outcomes are compared relative to their size plus a thousandth of open interest, prices relative to themselves; an outcome that only one
    of them has counts as infinite.
    """
    usd = outcome = path = 0.0
    for seed in seeds:
        case, weekend = random_case(seed), seed % 3
        run, slow = pk.simulate(*case, rng=seed, weekend=weekend), replay(*case, seed=seed, weekend=weekend)
        usd = max(usd, *(abs(x - slow.ledger[k]) for k, x in run.ledger.items()))
        for name, x in run.outcome.drop("imbalance").items():
            y = slow.outcome[name]
            if math.isnan(x) != math.isnan(y):
                outcome = math.inf
            elif not math.isnan(x):
                outcome = max(outcome, abs(x - y) / (max(abs(x), abs(y)) + 1e-3))
        for name in ("V", "P", "O", "M"):
            y = np.array(slow.path[name])
            path = max(path, float(np.abs(run.path[name].values[1:] / y - 1.0).max()))
    return usd, outcome, path


def interpreted_rules(trials: int) -> tuple[int, float]:
    """How many rules of the package have a machine-code form, and their largest relative difference from the interpreted one on random input."""
    worst = 0.0
    for rule, arguments in RULES.items():
        for trial in range(trials):
            outputs = []
            for function in (rule, rule.py_func):
                given_ = arguments(np.random.default_rng(trial))
                returned = function(*given_)
                outputs.append([returned] if returned is not None else [a for a in given_ if isinstance(a, np.ndarray)])
            for one, other in zip(*outputs, strict=True):
                x, y = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
                differ = x[x != y], y[x != y]
                worst = max(worst, *np.abs(differ[0] / differ[1] - 1.0).ravel(), 0.0)
    return len(RULES), worst


def interpreted_engine() -> tuple[int, float]:
    """Weekends run by the whole engine interpreted, in a process of its own, and their largest difference, relative to size plus a thousandth."""
    found, worst = interpreted(TWIN), 0.0
    for seed in TWIN_SEEDS:
        ours = pk.simulate(*random_case(seed, 0.5), rng=seed).outcome.dropna()
        theirs = np.array([found[str(seed)][name] for name in ours.index])
        worst = max(worst, float((np.abs(ours.values - theirs) / (np.maximum(np.abs(ours.values), np.abs(theirs)) + 1e-3)).max()))
    return len(TWIN_SEEDS), worst


def walked(n: float, first_generation: float, runs: int, rng: np.random.Generator, accounts: int = 100) -> np.ndarray:
    """Cascades over the thresholds that ``perpkit.validation.cascade_sizes`` scatters for the same ``rng``, one liquidation after another."""
    sizes = np.zeros(runs, dtype=int)
    for run in range(runs):
        thresholds = np.cumsum(rng.exponential(1e-7, accounts)) / 1e-7
        while thresholds[sizes[run]] <= first_generation + n * sizes[run]:
            sizes[run] += 1
    return sizes


def test_two_engines_agree_and_the_measure_is_of_something():
    usd, outcome, path = two_engines(range(100, 120))
    assert usd < 0.005 and outcome < 1e-9 and path < 1e-9
    assert max(usd, outcome, path) > 0.0  # two programs never round alike everywhere; exactly zero would mean one was compared with itself


def test_interpreted_forms_agree():
    rules, worst = interpreted_rules(10)
    assert rules == len(RULES) > 15 and worst <= 1e-14
    weekends, worst = interpreted_engine()
    assert weekends == len(TWIN_SEEDS) and worst <= 1e-12


# --- the engine in its limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0.3, 0.6, 0.8])
def test_the_engine_liquidates_whom_a_walk_along_the_thresholds_reaches(n):
    """Exactly, run by run; a walk with n a tenth larger must differ."""
    engine = validation.cascade_sizes(n, 3.0, 400, np.random.default_rng(4), accounts=300)
    np.testing.assert_array_equal(engine, walked(n, 3.0, 400, np.random.default_rng(4), accounts=300))
    assert (engine != walked(1.1 * n, 3.0, 400, np.random.default_rng(4), accounts=300)).any()


def test_what_a_trader_keeps_tends_to_the_closed_form():
    for kappa, tau, hours in ((1 / 8, 8.0, 48), (1 / 16, 1.0, 24), (1 / 8, math.inf, 12)):
        assert validation.kept_share(kappa, tau, hours) == pytest.approx(theory.pass_through_paid(kappa, tau, hours), rel=2e-3)
    assert validation.kept_share(1 / 8, 8.0, 48.0) != pytest.approx(theory.pass_through_paid(1 / 8, 7.5, 48), rel=5e-3)


def test_a_watched_mark_and_a_frozen_oracle():
    """4 standard errors each: a false alarm in 16,000 runs. The wrong formula, the wrong side, must be further away."""
    seen = validation.touched(0.05, 0.03, 100, 40_000, rng=9)
    assert abs(seen.value - theory.hit_probability(0.05, 0.03, steps=100)) < 4 * seen.se < abs(seen.value - theory.hit_probability(0.05, 0.03))
    gaps = np.random.default_rng(6).normal(-0.02, 0.06, 8_192)
    for side, other in (("long", "short"), ("short", "long")):
        loss = validation.beyond_margin(gaps, 10.0, side)
        law = stats.norm(-0.02, 0.06)
        assert abs(loss.value - theory.shortfall(law, 0.1, side)) < 4 * loss.se < abs(loss.value - theory.shortfall(law, 0.1, other))


# --- verdicts ---------------------------------------------------------------------------------------------------------------------------


def witness(expected, got, tolerance, kind, **more) -> Witness:
    return Witness("a number", "somebody", expected, got, tolerance, kind, **more)


GOOD = [
    witness(2.0, 2.0 * (1 + 0.9e-6), 1e-6, "relative"),
    witness(-2.0, -2.0 * (1 - 0.9e-6), 1e-6, "relative"),
    witness(0.0, -0.004, 0.005, "absolute"),
    witness(78.0, 77.996, 0.005, "absolute"),
    witness("109.73", 109.725, 0.5, "printed"),
    witness("-0.0000073966", -7.39665e-06, 1.0, "printed"),
    witness("87", 87.5, 1.0, "printed"),
    witness(7.5, 7.4, 4.0, "sampled", se=0.05),
    witness(7.5, 10.0, 4.0, "apart", se=0.05),
]


@pytest.mark.parametrize("row", GOOD, ids=lambda r: f"{r.kind} {r.expected}")
def test_a_planted_wrong_value_fails(row):
    """Moved to the other side of its tolerance, every row fails, and the build with it."""
    assert row.verdict == HOLDS
    reach = row.allowed * row._scale
    wrong = row.target + (0.9 if row.kind == "apart" else 1.1) * reach
    for got in (wrong, 2 * row.target - wrong, math.nan):
        planted = witness(row.expected, got, row.tolerance, row.kind, se=row.se)
        assert planted.verdict == FAILS
        assert validation.shown([planted])["Verdict, error"][0].startswith("**fails**<br>")
        with pytest.raises(ValueError, match=r"1 of 10 witnesses contradict.*\n  a number \(somebody\): expected"):
            validation.require([*GOOD, planted])
    validation.require(GOOD)


@given(
    expected=st.floats(1e-6, 1e6) | st.floats(-1e6, -1e-6),
    tolerance=st.floats(1e-12, 0.5),
    share=st.floats(0.0, 3.0),
    kind=st.sampled_from(["relative", "absolute", "sampled", "apart"]),
)
def test_the_verdict_is_the_comparison(expected, tolerance, share, kind):
    se = 0.1 * abs(expected) if kind in ("sampled", "apart") else None
    unit = {"relative": abs(expected), "absolute": 1.0}.get(kind, se)
    got = expected + share * tolerance * unit
    row = witness(expected, got, tolerance, kind, se=se)
    inside = abs(got - expected) <= tolerance * unit
    if abs(share - 1.0) > 1e-3 and abs(got - expected) > 1e-9 * abs(expected):
        assert (row.verdict == HOLDS) == (inside if kind != "apart" else not inside)


def test_error_is_relative_to_what_was_expected():
    assert witness(200.0, 201.0, 2.0, "absolute").error == pytest.approx(0.005) == witness("200", 201.0, 1.0, "printed").error
    assert witness(200.0, 201.0, 2.0, "absolute").allowed == pytest.approx(0.01)
    assert witness(0.0, 3.0, 5.0, "absolute").error == 3.0
    assert witness(7.5, 7.0, 4.0, "sampled", se=0.25).error == pytest.approx(2.0)
    assert witness("-0.50", -0.5, 0.5, "printed").allowed == pytest.approx(0.01)


def test_nobody_is_neither_right_nor_wrong():
    row = witness(None, 0.2, None, "none")
    assert row.verdict == NOBODY and math.isnan(row.error) and math.isnan(row.allowed)
    validation.require([row])
    cells = validation.shown([row]).iloc[0]
    assert cells["Verdict, error"] == "no outside number" and cells["Expected, got"] == "–<br>0.2"


def test_tables_show_what_was_compared():
    numbers = validation.table(GOOD)
    assert len(numbers) == len(GOOD) and (numbers["verdict"] == HOLDS).all()
    assert numbers["error"].tolist() == [row.error for row in GOOD]
    more = [witness(1.0, 1.0 + 1e-14, 1e-12, "relative"), witness(0.0, 1e-9, 0.005, "absolute"), witness(11, 11, 0.5, "absolute")]
    cells = validation.shown([*GOOD, *more])
    assert cells["Expected, got"][4] == "109.73<br>109.725" and cells["Expected, got"][5].startswith("−0.0000073966<br>−7.39665")
    said = cells["Verdict, error"]
    assert said[7] == "holds<br>2 of 4 se" and said[8] == "holds<br>50 se, over 4" and said[2] == "holds<br>0.004 of 0.005"
    # Rounding has no digits worth printing: they differ between processors.
    assert said[9] == "holds<br>below 10⁻¹²" and said[10] == "holds<br>under 5\u00a0×\u00a010⁻⁶ of 0.005"
    assert said[11] == "holds<br>0 of 0.045"
    counts = validation.tally({"one": GOOD, "two": [witness(None, None, None, "none")]}).set_index("group")
    assert counts.loc["one", ["rows", "holds", "fails", "no outside number"]].tolist() == [9, 9, 0, 0]
    assert counts.loc["one", "closest call"] == pytest.approx(0.9, abs=1e-6) and math.isnan(counts.loc["two", "closest call"])


BAD = [
    ("kind", lambda: witness(1.0, 1.0, 0.1, "roughly")),
    ("claim", lambda: Witness(" ", "somebody", 1.0, 1.0, 0.1, "relative")),
    ("authority", lambda: Witness("a number", None, 1.0, 1.0, 0.1, "relative")),
    ("expected", lambda: witness("1.0", 1.0, 0.1, "relative")),
    ("expected", lambda: witness(math.nan, 1.0, 0.1, "absolute")),
    ("expected", lambda: witness(None, 1.0, 0.1, "absolute")),
    ("as printed", lambda: witness(1.0, 1.0, 0.5, "printed")),
    ("as printed", lambda: witness("1e-3", 1.0, 0.5, "printed")),
    ("absolute", lambda: witness(0.0, 1.0, 0.1, "relative")),
    ("got", lambda: witness(1.0, None, 0.1, "relative")),
    ("got", lambda: witness(1.0, "1.0", 0.1, "relative")),
    ("tolerance", lambda: witness(1.0, 1.0, 0.0, "relative")),
    ("tolerance", lambda: witness(1.0, 1.0, math.inf, "relative")),
    ("tolerance", lambda: witness(1.0, 1.0, None, "relative")),
    ("se", lambda: witness(1.0, 1.0, 4.0, "sampled")),
    ("se", lambda: witness(1.0, 1.0, 4.0, "sampled", se=0.0)),
    ("se", lambda: witness(1.0, 1.0, 0.1, "relative", se=0.1)),
    ("nobody", lambda: witness(1.0, 1.0, None, "none")),
    ("rows", lambda: validation.require([])),
    ("rows", lambda: validation.table([1.0])),
]


@pytest.mark.parametrize(("named", "call"), BAD, ids=[f"{i}-{named}" for i, (named, _) in enumerate(BAD)])
def test_a_witness_that_could_not_fail_is_refused(named, call):
    with pytest.raises(ValueError, match=named):
        call()
    assert len(KINDS) == 6


# --- the page asks everybody ------------------------------------------------------------------------------------------------------------


def test_the_page_ends_by_requiring_every_row_it_shows():
    """Every table of witnesses goes through ``ask``, which keeps its rows, and the last code cell requires all that was kept."""
    cells = [cell.source for cell in jupytext.read(PAGE, fmt="md:myst").cells if cell.cell_type == "code"]
    made = sum(len(re.findall(r"\bWitness\(", cell)) for cell in cells)
    asked = sum(len(re.findall(r"\bask\(\"", cell)) for cell in cells)
    assert made > 60 and asked >= 10
    for cell in cells:
        calls = [n for n in ast.walk(ast.parse(cell)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "table"]
        shows = [ast.unparse(call.args[0]) for call in calls]
        if "Witness(" in cell:
            assert shows and all(show.startswith("ask(") for show in shows), f"witnesses are made and not asked: {shows}"
    assert "validation.require(" in cells[-1] and "everything" in cells[-1]
