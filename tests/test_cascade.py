"""Cascades of the engine: their law, their reproduction number by two measures against the formulas, and the plane of weight and depth."""

import math

import numpy as np
import pytest

import perpkit as pk
from perpkit import cascade, phase, studies, theory, validation

# --- the exact law -----------------------------------------------------------------------------------------------------------------------

SAMPLES = {0.3: (3.0, 100), 0.6: (3.0, 250), 0.9: (1.0, 2_000)}
"""Mean first generation and accounts a population, by n: the largest cascade must stay below the number of accounts."""


@pytest.fixture(scope="module")
def sizes():
    return {n: validation.cascade_sizes(n, start, 4_000, np.random.default_rng(55), accounts=people) for n, (start, people) in SAMPLES.items()}


@pytest.mark.parametrize("n", SAMPLES)
def test_sizes_of_the_engine_follow_the_exact_law(n, sizes):
    """4,000 populations with thresholds scattered anew: the first ten probabilities and the rest by chi-square at level 1e-3, mean and variance
    within four standard errors, that of the variance from the sample's fourth moment. A true engine fails one of nine checks about once in 300
    seeds."""
    seen, law = sizes[n], theory.cascade(n, SAMPLES[n][0])
    assert seen.max() < SAMPLES[n][1]
    assert not theory.size_test(seen, law, cells=10, level=1e-3).rejected
    assert abs(seen.mean() - law.mean) < 4.0 * math.sqrt(law.variance / seen.size)
    centred = (seen - seen.mean()) ** 2
    assert abs(seen.var(ddof=1) - law.variance) < 4.0 * centred.std(ddof=1) / math.sqrt(seen.size)


@pytest.mark.parametrize("n", SAMPLES)
@pytest.mark.parametrize("off", [-0.1, 0.09])
def test_a_wrong_n_is_refused(n, off, sizes):
    """The same test at the same level, with n a tenth too low or nearly a tenth too high."""
    assert theory.size_test(sizes[n], theory.cascade(n + off, SAMPLES[n][0]), cells=10, level=1e-3).rejected


# --- the measured n ----------------------------------------------------------------------------------------------------------------------


SHOCKS = {"cap of 20x": (-0.09, 0.07), "cap of 10x": (-0.12, 0.09), "22 to 30x": (-0.03, 0.029)}
"""Sudden moves that reach at least a per cent of open interest at full weight, so that the first generation is more than a few accounts."""


@pytest.mark.parametrize("crowd", studies.CROWDS)
@pytest.mark.parametrize("refill", [0.0, 0.85, 8.3])
@pytest.mark.parametrize("target", [0.3, 0.6, 0.85])
def test_measured_n_is_the_formulas(crowd, refill, target):
    """Both measures, generations of the log and the still book, within 10 % of what the formula makes of the smooth law of leverage (issue's
    bar), for the depth at which it says ``target``."""
    for shock in SHOCKS[crowd]:
        machine, accounts, law = studies.shocked(crowd, 1.0, 1.0, refill)
        closure = studies.sudden()
        at = lambda depth: pk.replace(machine, book=pk.replace(machine.book, depth_closed=depth))  # noqa: E731
        depth = cascade.depth_for(machine, law, closure, shock, target)
        chosen = at(depth)
        formula = cascade.expected(chosen, law, closure, shock, hours=0.25)
        assert target - 0.35 < formula <= target  # below it where the chain tips: there n jumps over the target
        found = cascade.measure(chosen, accounts, closure, np.array([shock]))
        log = theory.estimate_reproduction(cascade.chains(pk.simulate(chosen, accounts, closure, shock)))
        assert found.value == pytest.approx(log.value, rel=2e-3)
        assert found.value == pytest.approx(formula, rel=0.1)
        if target == 0.3:
            wrong = cascade.expected(at(1.3 * depth), law, closure, shock, hours=0.25)
            assert found.value != pytest.approx(wrong, rel=0.1)


def test_the_accounts_own_formula_leaves_nothing_over():
    """With the very accounts, not the law they come from, formula and engine agree to a thousandth also where few accounts start the chain."""
    for weight, shock, depth in ((0.75, -0.07, 5.0), (0.75, 0.06, 5.0), (0.5, -0.08, 1.0), (1.0, -0.07, 3.0)):
        machine, accounts, law = studies.shocked("cap of 20x", weight, depth, 0.85)
        found = cascade.measure(machine, accounts, studies.sudden(), np.array([shock])).value
        assert found == pytest.approx(cascade.expected(machine, accounts, studies.sudden(), shock, hours=1.0), abs=1e-3)
    few = studies.shocked("cap of 20x", 0.75, 5.0, 0.85)
    assert cascade.expected(few[0], few[2], studies.sudden(), -0.07) < 0.5 * cascade.measure(*few[:2], studies.sudden(), np.array([-0.07])).value


def test_a_memory_is_measured_by_the_still_book_only():
    """A median takes minutes to follow, so the log counts the shock itself as children; the still book does not."""
    machine, accounts, law = studies.shocked("cap of 20x", 1.0, 4.0, 0.85)
    slow = pk.replace(machine, mark=pk.Median(150.0))
    found = cascade.measure(slow, accounts, studies.sudden(), np.array([-0.09]))
    log = theory.estimate_reproduction(cascade.chains(pk.simulate(slow, accounts, studies.sudden(), -0.09)))
    assert found.value == pytest.approx(cascade.expected(slow, law, studies.sudden(), -0.09, hours=1.9), rel=0.1)
    assert log.value > 1.2 * found.value


def test_the_error_of_a_measured_n():
    """Scatter of n between 12 seeds of 150 noisy weekends against the standard error each reports: equal within a factor of two."""
    machine, accounts, _ = studies.shocked("cap of 20x", 1.0, 3.0, 0.85)
    noisy = pk.replace(machine, book=pk.replace(machine.book, noise_closed=0.01, follow_closed=2.0))
    few = pk.Accounts.sample(400, rng=2, max_leverage=20.0)
    gaps = np.random.default_rng(0).normal(0.0, 0.05, 150)
    found = [cascade.measure(noisy, few, pk.Closure(6.0, reopen_minutes=1.0), gaps, rng=seed) for seed in range(12)]
    scatter = np.std([f.value for f in found], ddof=1)
    assert all(0.0 < f.value < 1.0 and f.weekends == 150 for f in found)
    assert scatter < 2.0 * np.mean([f.se for f in found])  # gaps are the same in all: the reported error holds theirs too


def test_still_shows_the_same_book_and_does_not_move():
    machine, accounts, _ = studies.shocked("cap of 20x", 1.0, 1.0, 0.0)
    run = pk.simulate(cascade.still(machine), accounts, studies.sudden(), -0.09)
    closed = run.path["P"].sel(time=slice(0.0, 3.0)).values
    assert closed.min() == pytest.approx(250.0 * math.exp(-0.09), rel=1e-12)
    assert run.outcome["liquidated_closed"] > 0.0
    calm = [pk.simulate(m, accounts, studies.sudden(), -0.001).path["impact_bid"].values for m in (machine, cascade.still(machine))]
    np.testing.assert_array_equal(*calm)


def test_chains_by_hand():
    """Three longs in a row and two pieces of news. Large ones: two longs at once, then the third. Small ones: the first long, whose sale takes
    the second, and the third stays out of reach."""
    size, apart = 100.0, 0.01
    level = np.array([0.05, 0.055, 0.2])
    collateral = 250.0 * size * (1.0 - np.exp(-level))
    people = pk.Accounts(np.ones(3), np.full(3, size), np.full(3, 250.0), collateral)
    machine, _, _ = studies.shocked("cap of 20x", 1.0, 1.0, 0.0)
    book = pk.replace(machine.book, depth_closed=250.0 * size / apart)
    machine = pk.replace(machine, book=book, margin=pk.Margin(20.0, 1e-9))
    closure = pk.Closure(3.0, reopen_minutes=1.0, value=pk.Value(news_share=1.0, news_hours=(1.0, 2.0), sd=1e-9))
    run = pk.simulate(machine, people, closure, -0.3)
    assert [c.tolist() for c in cascade.chains(run)] == [[200.0], [100.0]]
    run = pk.simulate(machine, people, closure, -0.104)
    assert [c.tolist() for c in cascade.chains(run)] == [[100.0, 100.0]]
    assert theory.estimate_reproduction(cascade.chains(run)).value == 0.5
    shown = cascade.generations(run)
    assert shown["generation"].tolist() == [0, 1] and shown["time"].tolist() == pytest.approx([0.0, 3.0]) and shown["side"].tolist() == ["long"] * 2
    with pytest.raises(ValueError, match="nobody was liquidated"):
        cascade.generations(pk.simulate(machine, people, closure, -0.01))
    with pytest.raises(ValueError, match="nobody was liquidated"):
        cascade.measure(machine, people, closure, np.array([-0.01]))


def test_the_machine_as_the_formulas_see_it():
    closure = pk.Closure(48.0)
    loop = cascade.feedback(studies.eras()["today"], closure)
    assert (loop.basis_s, loop.oracle_s, loop.clamp, loop.band, loop.resets, loop.weight) == (150.0, 1800.0, 0.005, 0.05, 2, 0.0)
    profile = pk.Liquidity((0.0, 48.0), (1e6, 9e6), (0, 0), (1.0, 2.0))
    hourly = pk.replace(studies.closed_market(), book=pk.replace(pk.base.book(), closed=profile))
    assert cascade.feedback(hourly, closure, hours_left=0.0).depth == 1e6 and cascade.feedback(hourly, closure).depth == pytest.approx(5e6)
    for bad, word in (({"oracle": pk.no_oracle()}, "oracle"), ({"mark": _own()}, "formula")):
        with pytest.raises(ValueError, match=word):
            cascade.feedback(pk.replace(studies.closed_market(), **bad), closure)
    sliced = pk.replace(studies.closed_market(), liquidation=pk.Liquidation(partial_threshold=1e5))
    accounts = pk.Accounts.sample(200, rng=1)
    assert len(cascade.population(sliced, accounts).size) > len(cascade.population(studies.closed_market(), accounts).size) == 200
    with pytest.raises(ValueError, match="crowd"):
        studies.crowd("whales")


def _own() -> pk.Mark:
    @pk.mark_rule
    def mine(quotes, oracle, state, params):
        return oracle

    return mine()


# --- the plane ---------------------------------------------------------------------------------------------------------------------------


def test_steps_and_walls_by_hand():
    np.testing.assert_allclose(phase.tenth_of_step([0.0, 5e-6, 2e-4]), [1e-6, 1e-6, 2e-4 * (3000.0 ** (1 / 70) - 1.0)])
    loss = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2e-4]])
    assert phase.wall_cells(loss).tolist() == [[False, False, True], [False, True, True]]
    assert not phase.wall_cells(np.array([[4e-4, 2e-2]])).any()  # both far up the cascade's side


@pytest.fixture(scope="module")
def small():
    accounts = pk.Accounts.sample(200, rng=1, max_leverage=20.0)
    closure = pk.Closure(12.0, closed_step_s=300.0, reopen_minutes=3.0)
    gaps = np.array([-0.12, -0.06, -0.01, 0.0, 0.02, 0.09])
    quick = pk.replace(pk.base.book(), depth_open=math.inf, follow_closed=1.0)
    options = {"weights": (0.0, 1.0), "depths": (0.3, 6.0), "least": 120, "most": 240}
    return (pk.replace(studies.closed_market(), book=quick), accounts, closure, gaps), options


def test_a_plane_is_its_cells(small):
    """Means and weekends of a cell are those of ensembles run by hand with the same seeds; without more weekends the first round is all."""
    args, options = small
    plane = phase.plane(*args, **options, walls=np.zeros((2, 2), dtype=bool), rng=3)
    once = phase.plane(*args, **options | {"least": 24, "most": 24}, walls=np.zeros((2, 2), dtype=bool), rng=3)
    machine = pk.replace(args[0], mark=pk.Blend(1.0), book=pk.replace(args[0].book, depth_closed=0.3 * args[1].open_interest))
    ens = pk.ensemble(machine, *args[1:], n=24, rng=3).isel(machine=0)
    at = once.sel(weight=1.0, depth=0.3)
    for name in phase.MEASURES:
        assert float(at[name]) == pytest.approx(float(ens[name].mean()), rel=1e-12)
    spread = ens["shortfall"].values.reshape(4, 6).var(axis=0, ddof=1)
    assert float(at["shortfall_se"]) == pytest.approx(math.sqrt((spread / 4).sum()) / 6, rel=1e-9)
    assert set(np.unique(once["weekends"])) == {24} and int(plane["weekends"].max()) <= 240 + 20_004


def test_a_plane_gives_walls_their_weekends(small):
    args, options = small
    plane = phase.plane(*args, **options, walls=np.array([[False, True], [True, False]]), rng=3)
    assert plane["weekends"].sel(weight=1.0, depth=0.3) >= 120 and plane["weekends"].sel(weight=0.0, depth=6.0) >= 120
    assert bool((phase.over_tenth(plane) > 1.0).any()) == bool((plane["weekends"] >= 240).any() and (phase.over_tenth(plane) > 1.0).any())
    again = phase.plane(*args, **options, walls=np.array([[False, True], [True, False]]), rng=3)
    assert plane.equals(again)
    with pytest.raises(ValueError, match="least"):
        phase.plane(*args, weights=(0.0,), depths=(1.0,), least=10, most=5)
    with pytest.raises(ValueError, match="gaps"):
        phase.plane(*args[:3], np.array([0.1]), weights=(0.0,), depths=(1.0,))


def test_the_plane_has_two_walls(small):
    """A thin book and full weight lose most; a frozen mark hides most; the deep book at full weight does neither."""
    args, options = small
    plane = phase.plane(*args, **options, rng=3)
    loss, hidden = plane["shortfall"], plane["phantom_hours"]
    assert float(loss.sel(weight=1.0, depth=0.3)) > 10.0 * float(loss.sel(weight=1.0, depth=6.0))
    assert float(hidden.sel(weight=0.0, depth=6.0)) > 1.2 * float(hidden.sel(weight=1.0, depth=6.0))
    assert float(loss.sel(weight=0.0, depth=0.3)) == pytest.approx(float(loss.sel(weight=0.0, depth=6.0)), rel=0.01)


def test_the_line_of_the_picture():
    depths, weights = studies.phase_line("TSLA")
    assert depths[0] < studies.PHASE_DEPTHS[0] and depths[-1] > studies.PHASE_DEPTHS[-1]
    assert np.all(np.diff(weights) >= 0.0) and 0.0 < weights[0] < 0.3 and weights[-1] == 1.0


def test_the_cascade_wall_is_where_n_is_one():
    law = theory.LeverageLaw(45e6, max_leverage=20.0)
    loop, prices = theory.Feedback(1.0, refill=0.85), np.linspace(-0.16, 0.155, 200)
    wall = phase.cascade_wall(law, loop, (0.3, 1.0, 60.0), prices)
    assert np.all(np.diff(wall) > 0) and wall[-1] == 1.0
    at = pk.replace(loop, depth=45e6, weight=float(wall[1]))
    assert theory.critical_depth(law, at, prices) == pytest.approx(45e6, rel=1e-6)


def test_what_friday_evening_may_leave():
    """Cuts close or reduce the accounts they say, and the critical depth of scaled positions scales; that of a crowd at its cap is higher."""
    held = studies.closed_limits(people=4_000)
    interest = held["as on Friday"].open_interest
    assert interest == pytest.approx(pk.base.OPEN_INTEREST)
    assert held["half of each"].open_interest == pytest.approx(0.5 * interest) and held["half of each"].leverage.max() > 15.0
    for name, people in held.items():
        if name[0] in "17":
            assert people.leverage.max() <= float(name.split("x")[0]) * (1 + 1e-9) and people.open_interest < interest
    prices = np.linspace(-0.16, 0.155, 200)
    crowds = {k: pk.replace(cascade.population(studies.closed_market(), p), window=0.02) for k, p in held.items()}
    depth = {k: theory.critical_depth(crowd, theory.Feedback(1.0), prices) for k, crowd in crowds.items()}
    assert depth["half of each"] == pytest.approx(0.5 * depth["as on Friday"], rel=1e-9)
    assert depth["7x, others closed"] == pytest.approx(depth["as on Friday"], rel=1e-9)
    assert depth["7x, others reduced"] > 1.5 * depth["as on Friday"]
