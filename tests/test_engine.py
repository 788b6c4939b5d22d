"""The engine against numbers it did not produce: the article's example, closed forms, and itself under changes that must not matter.

Catalogue numbers are those of the project's list of tests; statistical tests state their error rate.
"""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from scipy import stats

import perpkit as pk
from perpkit.engine import fill_normals

DEEP = pk.Book(
    depth_open=math.inf, depth_closed=math.inf, half_spread_open=0.0, half_spread_closed=0.0, follow_open=math.inf, follow_closed=0.0
)
QUIET = pk.Funding(when_closed=False)


def clamped(leverage: float, **changes) -> pk.Machine:
    """The article's machine: oracle frozen on Friday, oracle and mark walk 50 bp an update after reopening, deep book."""
    fields = {
        "oracle": pk.frozen_oracle(step=0.005), "mark_step": 0.005, "margin": pk.Margin(leverage), "book": DEEP, "funding": QUIET, "adl": "none"
    } | changes  # fmt: skip
    return pk.Machine(**fields)


def one_long(leverage: float, price: float = 250.0) -> pk.Accounts:
    return pk.Accounts([1], [1.0], [price], [price / leverage], price)


def small_machine(**changes) -> pk.Machine:
    """A machine with every mechanism switched on and a book thin enough for cascades."""
    fields = {
        "oracle": pk.impact_oracle(0.5, step=0.005), "mark_step": 0.005, "band": pk.ratchet(0.05), "insurance": 0.002,
        "liquidation": pk.Liquidation(partial_threshold=1e5, fee=0.001), "backstop": pk.Backstop(0.01),
        "book": pk.Book(depth_closed=30e6, noise_closed=0.004, noise_open=0.005, permanent=0.3), "funding": pk.Funding(multiplier=0.5),
    } | changes  # fmt: skip
    return pk.Machine(**fields)


def same(a, b) -> None:
    """Two ensembles are the same to the last bit."""
    for name in pk.OUTCOMES:
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=name)


# --- the article's example (catalogue 12, 14) -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("leverage", "update", "trigger", "loss"), [(10, 11, 236.84, 5.00), (20, 6, 243.59, 17.50)])
def test_the_articles_weekend(leverage, update, trigger, loss):
    run = pk.simulate(clamped(leverage), one_long(leverage), pk.Closure(48.0), gap=math.log(220 / 250), rng=1)
    sold = run.events[run.events.kind == "liquidation"].iloc[0]
    assert round((sold.time - 48.0) * 3600 / 3) == update
    marks = run.path["M"].values[-300:]
    assert marks[update - 1] <= trigger < marks[update - 2]
    assert sold.price == pytest.approx(220.0, abs=1e-9)
    assert run.outcome["shortfall"] * 250 == pytest.approx(loss, abs=1e-9)
    assert int(np.argmax(marks <= 220.0 + 1e-9)) + 1 == 26
    assert run.ledger["longs"] == pytest.approx(-250 / leverage)
    assert abs(run.ledger.sum()) < 1e-9


@pytest.mark.parametrize(("gap", "updates"), [(math.log(0.95), 11), (math.log(0.90), 22), (math.log(0.88), 26), (math.log(1 - 0.1868), 42)])
def test_updates_to_catch_up(gap, updates):
    run = pk.simulate(clamped(10), one_long(2), pk.Closure(1.0, reopen_minutes=5), gap=gap, rng=1)
    marks = run.path["M"].values[-100:]
    assert int(np.argmax(marks <= 250 * math.exp(gap) + 1e-9)) + 1 == updates == pk.theory.clamp_updates(gap, 0.005)


def test_a_gap_fills_at_the_gap():
    """Without a clamp the loss beyond collateral is the same: the clamp moved the trigger and nothing else."""
    free = clamped(10, oracle=pk.frozen_oracle(), mark_step=math.inf)
    for machine in (clamped(10), free):
        run = pk.simulate(machine, one_long(10), pk.Closure(48.0), gap=math.log(220 / 250), rng=1)
        assert run.outcome["shortfall"] * 250 == pytest.approx(5.0, abs=1e-9)


# --- bands (catalogue 15) ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("band", "maintenance", "side"), [(0.05, 0.025, 1), (0.05, 0.025, -1), (0.10, 0.05, 1), (0.10, 0.05, -1)])
def test_a_band_protects_up_to_the_closed_form_leverage(band, maintenance, side):
    """The book is pulled far through the band; an account just below the protected leverage survives, one just above does not."""
    limit = pk.theory.protected_leverage(band, maintenance, "long" if side > 0 else "short")
    machine = pk.Machine(
        oracle=pk.frozen_oracle(), mark=pk.Mid(), band=pk.static_band(band), margin=pk.Margin(20, maintenance), funding=QUIET,
        book=pk.replace(DEEP, follow_closed=math.inf),
    )  # fmt: skip
    for factor, hit in ((0.999, 0.0), (1.001, 1.0)):
        accounts = pk.Accounts([side], [1.0], [250.0], [250.0 / (limit * factor)])
        run = pk.simulate(machine, accounts, pk.Closure(2.0, value=pk.Value(news_share=1.0, news_hours=(1.0,))), gap=-0.3 * side, rng=1)
        assert run.outcome["liquidated_closed"] == hit


# --- first passage (catalogue 18) --------------------------------------------------------------------------------------------------------


def test_first_passage_of_the_mark_matches_the_reflection_principle():
    """A driftless log mark watched 200 times: Broadie, Glasserman and Kou's corrected reflection formula. Error rate 6e-5 (4 standard errors)."""
    distance, sd, steps, n = 0.05, 0.03, 200, 20_000
    hours = steps / 60.0
    machine = pk.Machine(
        mark=pk.Mid(), funding=QUIET, margin=pk.Margin(20, 1e-9), book=pk.replace(DEEP, noise_closed=sd / math.sqrt(hours), follow_open=0.0)
    )
    accounts = pk.Accounts([1], [1.0], [250.0], [250.0 * (1 - math.exp(-distance))])
    closure = pk.Closure(hours, reopen_minutes=0.05)
    ens = pk.ensemble(machine, accounts, closure, gaps=np.zeros(1), n=n, rng=3)
    hit = pk.estimate(ens["liquidated_closed"].isel(machine=0))
    expected = pk.theory.hit_probability(distance, sd, steps=steps)
    assert abs(hit.value - expected) < 4 * hit.se
    assert abs(hit.value - pk.theory.hit_probability(distance, sd)) > 4 * hit.se, "the uncorrected formula must not pass"


# --- shortfall in the frictionless limit (catalogue 16, 36) ------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_shortfall_matches_the_closed_form_and_its_interval_covers(side):
    """Deep book, frozen oracle: the engine's mean shortfall is E[(L - m)+] at the liquidation rule's m. 4 standard errors; 60 of 64 intervals or so."""
    law = stats.norm(0.0, 0.06)
    machine = pk.Machine(oracle=pk.frozen_oracle(), margin=pk.Margin(10), funding=QUIET, book=DEEP, adl="none")
    accounts = pk.Accounts([side], [1.0], [250.0], [25.0])
    expected = pk.theory.shortfall(law, 0.1, side="long" if side > 0 else "short")
    gaps = law.rvs(64 * 512, random_state=np.random.default_rng(5))
    ens = pk.ensemble(machine, accounts, pk.Closure(1.0, reopen_minutes=1), gaps=gaps)
    x = ens["shortfall"].isel(machine=0)
    whole = pk.estimate(x)
    assert abs(whole.value - expected) < 4 * whole.se
    parts = [pk.estimate(x.isel(weekend=slice(k * 512, (k + 1) * 512))) for k in range(64)]
    covered = sum(abs(p.value - expected) < 1.96 * p.se for p in parts)
    # 512 weekends of a skewed loss cover a little less than 95 %; below 52 has probability 2e-4 even at 90 %.
    assert 52 <= covered <= 64
    assert abs(whole.value - pk.theory.shortfall(stats.norm(0.0, 0.05), 0.1, side="long" if side > 0 else "short")) > 4 * whole.se


def test_common_shocks_make_differences_cheap():
    """Catalogue 36: the paired difference of two machines has a smaller error than independent runs would give."""
    machine = small_machine()
    other = pk.replace(machine, band=pk.ratchet(0.045))
    accounts = pk.Accounts.sample(400, rng=1)
    ens = pk.ensemble({"a": machine, "b": other}, accounts, pk.Closure(6.0), pk.gaps.empirical("TSLA"), n=1024, rng=2, sampling="independent")
    a, b = (ens["shortfall"].sel(machine=k) for k in "ab")
    paired, apart = pk.estimate(a, minus=b).se, math.hypot(pk.estimate(a).se, pk.estimate(b).se)
    assert 0 < paired < 0.5 * apart


# --- what must not matter ----------------------------------------------------------------------------------------------------------------


@pk.mark_rule
def timid(quotes, oracle, state, params):
    """A rule with memory: half of the average of the last prices, half oracle."""
    if state.memory[0] == 0.0:
        state.memory[0] = quotes.mid
    state.memory[0] += params[0] * (quotes.mid - state.memory[0])
    return 0.5 * state.memory[0] + 0.5 * oracle


@pk.mark_rule
def careless(quotes, oracle, state, params):
    """Divides by zero at every update, and means the oracle."""
    return oracle + 1.0 / (1.0 / (oracle - oracle))


def test_a_division_by_zero_in_a_rule_does_not_become_a_mark_of_zero():
    run = pk.simulate(small_machine(mark=careless()), pk.Accounts.sample(4, rng=1), pk.Closure(1.0), gap=0.0, rng=1)
    plain = pk.simulate(small_machine(mark=pk.OracleMark()), pk.Accounts.sample(4, rng=1), pk.Closure(1.0), gap=0.0, rng=1)
    np.testing.assert_array_equal(run.path["M"].values, plain.path["M"].values)


def test_normals_are_those_of_numpy_to_the_last_bit():
    """A million of them: some 260 come from the tail, which is drawn in another way, and 10,000 from between the steps."""
    ours, theirs = (np.random.Generator(np.random.SFC64(np.random.SeedSequence(3, spawn_key=(1,)))) for _ in range(2))
    out = np.empty(10**6)
    fill_normals(ours, out)
    np.testing.assert_array_equal(out, theirs.standard_normal(10**6))
    assert (np.abs(out) > 3.6541528853610088).sum() > 100
    assert ours.random() == theirs.random()


def test_results_do_not_depend_on_workers_executor_or_blocks():
    machines = {"xyz": small_machine(), "own": small_machine(mark=timid(0.1))}
    accounts, closure = pk.Accounts.sample(200, rng=1), pk.Closure(3.0)
    law = pk.gaps.empirical("TSLA")
    first = pk.ensemble(machines, accounts, closure, law, n=300, rng=7)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(3) as three, ProcessPoolExecutor(2, mp_context=get_context("spawn")) as apart:
        for executor, block in ((one, 1), (three, 2), (apart, 4)):
            same(first, pk.ensemble(machines, accounts, closure, law, n=300, rng=7, executor=executor, block=block))


def test_a_weekend_does_not_depend_on_how_many_follow_or_on_its_company():
    machine, accounts, closure = small_machine(), pk.Accounts.sample(200, rng=1), pk.Closure(3.0)
    gaps = np.linspace(-0.2, 0.2, 130)
    all_of_them = pk.ensemble(machine, accounts, closure, gaps, rng=3)
    some = pk.ensemble({"other": pk.replace(machine, mark=pk.Mid()), "machine": machine}, accounts, closure, gaps[:70], rng=3)
    same(all_of_them.isel(weekend=slice(70)), some.sel(machine=["machine"]))
    for weekend in (0, 63, 64, 129):
        run = pk.simulate(machine, accounts, closure, gaps[weekend], rng=3, weekend=weekend)
        row = np.array([all_of_them[name].values[0, weekend] for name in pk.OUTCOMES])
        np.testing.assert_array_equal(run.outcome.values, row)


def test_twice_the_market_is_twice_the_money():
    """Catalogue 38: sizes, collateral, depth and thresholds doubled leave every ratio as it was."""
    machine, accounts, closure = small_machine(), pk.Accounts.sample(200, rng=1), pk.Closure(6.0)
    book = machine.book
    double = pk.replace(
        machine, impact_notional=2 * machine.impact_notional, liquidation=pk.replace(machine.liquidation, partial_threshold=2e5),
        book=pk.replace(book, depth_open=2 * book.depth_open, depth_closed=2 * book.depth_closed),
    )  # fmt: skip
    twice = pk.Accounts(accounts.side, 2 * accounts.size, accounts.entry, 2 * accounts.collateral, accounts.price)
    gaps = np.linspace(-0.2, 0.2, 64)
    one = pk.ensemble(machine, accounts, closure, gaps, rng=3)
    two = pk.ensemble(double, twice, closure, gaps, rng=3)
    for name in pk.OUTCOMES:
        if name != "imbalance":
            np.testing.assert_allclose(one[name].values, two[name].values, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_mirrored_side_pays_the_same():
    """Catalogue 37: a short in prices reflected about the entry is the long's mirror, to the cent, in the waterfall's coordinate."""
    book = pk.replace(DEEP, follow_closed=math.inf)
    machine = pk.Machine(mark=pk.Mid(), funding=QUIET, book=book, margin=pk.Margin(10, 0.05), adl="none")
    for fall in (10.0, 20.0, 30.0, 40.0):
        jump = pk.Value(news_share=1.0, news_hours=(0.5,))
        down, up = (
            pk.simulate(machine, pk.Accounts([s], [2.0], [250.0], [50.0]), pk.Closure(1.0, value=jump), gap=math.log(1 - s * fall / 250), rng=1)
            for s in (1, -1)
        )
        assert down.ledger["longs"] == pytest.approx(up.ledger["shorts"], abs=1e-9)
        assert down.outcome["shortfall"] == pytest.approx(up.outcome["shortfall"], abs=1e-12)


# --- monotone where it must be (catalogue 39) --------------------------------------------------------------------------------------------


def test_more_insurance_never_means_more_deleveraging():
    accounts, closure, gaps = pk.Accounts.sample(300, rng=1), pk.Closure(6.0), np.linspace(-0.25, 0.25, 128)
    deep = pk.replace(small_machine().book, depth_closed=math.inf, depth_open=math.inf)
    machines = {str(f): small_machine(insurance=f, book=deep) for f in (0.0, 0.001, 0.005, 0.02)}
    ens = pk.ensemble(machines, accounts, closure, gaps, rng=3)
    needed = ens["adl_needed"].values
    assert (np.diff(needed, axis=0) <= 1e-12).all()
    assert needed[0].max() > 0.001


def test_with_mark_at_the_price_more_maintenance_never_means_more_loss():
    accounts, closure, gaps = pk.Accounts.sample(300, rng=1, max_leverage=10), pk.Closure(6.0), np.linspace(-0.25, 0.25, 128)
    book = pk.Book(depth_open=math.inf, depth_closed=math.inf, half_spread_closed=0.0, half_spread_open=0.0, noise_closed=0.004)
    machines = {
        str(m): pk.Machine(mark=pk.Mid(), margin=pk.Margin(10, m), book=book, funding=QUIET, adl="none") for m in (0.01, 0.03, 0.05, 0.09)
    }
    ens = pk.ensemble(machines, accounts, closure, gaps, rng=3)
    assert (np.diff(ens["shortfall"].values, axis=0) <= 1e-12).all()
    assert ens["shortfall"].values[0].max() > 0


# --- bad input, by name ------------------------------------------------------------------------------------------------------------------

GOOD = pk.Accounts.sample(4, rng=1)
BAD = [
    (lambda: pk.Book(depth_closed=-1.0), "depth_closed"),
    (lambda: pk.Book(permanent=1.5), "permanent"),
    (lambda: pk.Book(noise_open=math.nan), "noise_open"),
    (lambda: pk.Margin(10, 0.2), "maintenance"),
    (lambda: pk.Margin(0.5), "max_leverage"),
    (lambda: pk.Blend(1.2), "weight"),
    (lambda: pk.Median(basis_s=0.0), "basis_s"),
    (lambda: pk.ratchet(1.5), "width"),
    (lambda: pk.ratchet(0.05, trigger=0.0), "trigger"),
    (lambda: pk.ratchet(0.05, resets=-1), "resets"),
    (lambda: pk.impact_oracle(-1.0), "tau"),
    (lambda: pk.frozen_oracle(step=2.0), "step"),
    (lambda: pk.Funding(premium="mid"), "premium"),
    (lambda: pk.Funding(clamp_8h=-1e-4), "clamp_8h"),
    (lambda: pk.Liquidation(partial_share=0.0), "partial_share"),
    (lambda: pk.Backstop(threshold=2.0), "threshold"),
    (lambda: pk.Closure(hours=-1.0), "hours"),
    (lambda: pk.Closure(hours=1.0001), "hours"),
    (lambda: pk.Closure(closed_step_s=7.0), "closed_step_s"),
    (lambda: pk.Closure(hours=2.0, value=pk.Value(news_hours=(3.0,))), "news"),
    (lambda: pk.Value(news_share=-0.1), "news_share"),
    (lambda: pk.Value(news_count=0), "news_count"),
    (lambda: pk.Machine(insurance=-0.1), "insurance"),
    (lambda: pk.Machine(insurance=math.nan), "insurance"),
    (lambda: pk.Machine(adl="lottery"), "adl"),
    (lambda: pk.Machine(mark_step=1.5), "mark_step"),
    (lambda: pk.Machine(mark="median"), "mark"),
    (lambda: pk.replace(pk.Machine(), depth=1.0), "depth"),
    (lambda: pk.Accounts([], [], [], []), "at least one account"),
    (lambda: pk.Accounts([1, 0], [1, 1], [250, 250], [25, 25]), "side"),
    (lambda: pk.Accounts([1], [math.nan], [250], [25]), "size"),
    (lambda: pk.Accounts([1, -1], [1], [250], [25]), "one length"),
    (lambda: pk.Accounts([1], [1], [250], [-25]), "collateral"),
    (lambda: pk.Accounts.sample(3), "even"),
    (lambda: pk.Accounts.sample(4, max_leverage=1.0), "max_leverage"),
    (lambda: pk.simulate(pk.Machine(), GOOD, pk.Closure(1.0), gap=math.nan), "gap"),
    (lambda: pk.simulate(pk.Machine(), GOOD, pk.Closure(1.0), gap=0.0, rng=-1), "rng"),
    (lambda: pk.simulate(pk.Machine(), GOOD, pk.Closure(1.0), gap=0.0, weekend=-1), "weekend"),
    (lambda: pk.simulate("xyz", GOOD, pk.Closure(1.0), gap=0.0), "machine"),
    (lambda: pk.simulate(pk.Machine(margin=pk.Margin(2)), pk.Accounts([1], [1], [250], [25]), pk.Closure(1.0), gap=0.0), "account 0"),
    (lambda: pk.ensemble({}, GOOD, pk.Closure(1.0), np.zeros(2)), "machines"),
    (lambda: pk.ensemble(pk.Machine(), GOOD, pk.Closure(1.0), np.array([0.0, math.inf])), "entry 1"),
    (lambda: pk.ensemble(pk.Machine(), GOOD, pk.Closure(1.0), pk.gaps.empirical("TSLA")), "n is needed"),
    (lambda: pk.ensemble(pk.Machine(), {"other": GOOD}, pk.Closure(1.0), np.zeros(2)), "same names"),
    (lambda: pk.ensemble(pk.Machine(), GOOD, pk.Closure(1.0), np.zeros(2), block=0), "block"),
    (lambda: pk.mark_rule(lambda a, b: a), "four|quotes"),
    (lambda: pk.estimate(pk.ensemble({"a": pk.Machine(), "b": pk.Machine()}, GOOD, pk.Closure(1.0), np.zeros(2))["shortfall"]), "select one of 'a', 'b'"),
]


@pytest.mark.parametrize(("call", "named"), BAD, ids=[named for _, named in BAD])
def test_bad_input_is_named_before_anything_runs(call, named):
    with pytest.raises(ValueError, match=named):
        call()


# --- the book and the oracle by themselves (catalogue 11, 13, 24) -----------------------------------------------------------------------


def test_sweep():
    price, left = pk.book.sweep([1.0, 1.1, 1.2], [1, 3, 10], 5)
    assert price == pytest.approx(1.1)
    assert left == [0, 0, 9]
    # price-time priority: of two orders at one price the first in line goes first; nothing is lost on the way
    price, left = pk.book.sweep([1.0, 1.0, 1.2], [2, 2, 5], 3)
    assert left == [0, 1, 5] and price == 1.0 and sum(left) == 9 - 3
    with pytest.raises(ValueError, match="deeper ladder"):
        pk.book.sweep([1.0], [1.0], 2.0)


@pytest.mark.parametrize(("push", "minutes"), [(0.05, 69.1), (0.075, 27.5), (0.10, 17.9)])
def test_a_held_book_drags_the_oracle_on_schedule(push, minutes):
    """Holding the impact price at +x moves the impact average by 4.5 % after -tau ln(1 - 4.5/x)."""
    book = pk.replace(DEEP, follow_closed=math.inf)
    machine = pk.Machine(oracle=pk.impact_oracle(0.5), funding=QUIET, book=book)
    closure = pk.Closure(3.0, closed_step_s=3.0, value=pk.Value(news_share=1.0, news_hours=(0.0,)))
    run = pk.simulate(machine, pk.Accounts.sample(4, rng=1, max_leverage=2), closure, gap=math.log1p(push), rng=1)
    reached = run.path["time"].values[np.argmax(run.path["O"].values >= 250 * 1.045)] * 60
    assert reached == pytest.approx(minutes, abs=0.1)
    assert reached / 60 == pytest.approx(pk.theory.ema_drag_hours(0.045, push, 0.5), abs=0.002)


def test_one_bad_input_cannot_carry_the_median():
    rng = np.random.default_rng(1)
    for oracle, basis, local in rng.uniform(-50, 50, (200, 3)) + [[250, 0, 250]]:
        good = sorted((oracle, oracle + basis))
        for wild in (local, 1e6, 1e-6):
            assert good[0] <= pk.mark.median_of_three(oracle, basis, wild) <= good[1]
        assert pk.mark.median_of_three(oracle, basis, local) == np.median([oracle, oracle + basis, local])


# --- auto-deleveraging (catalogue 26, 27, 28) --------------------------------------------------------------------------------------------


def test_adl_allocations():
    from perpkit.waterfall import adl_index, adl_pro_rata, adl_queue

    capacity = np.array([50.0, 30.0, 15.0, 5.0])
    np.testing.assert_allclose(adl_pro_rata(capacity, 40.0), [20, 12, 6, 2])
    np.testing.assert_allclose(adl_queue(np.array([4.0, 3.0, 2.0, 1.0]), capacity, 40.0), [40, 0, 0, 0])
    np.testing.assert_allclose(adl_queue(np.array([1.0, 2.0, 3.0, 4.0]), capacity, 40.0), [0, 20, 15, 5])
    for rule in (adl_pro_rata, lambda c, b: adl_queue(c, c, b)):
        for budget in (0.0, 40.0, 100.0, 130.0):
            taken = rule(capacity, budget)
            assert taken.sum() == pytest.approx(min(budget, capacity.sum()))
            assert (taken >= 0).all() and (taken <= capacity).all()
    # the queue takes H (1 - w1 / U) more from the top winner than pro rata does: 10 (1 - 50 / 100)
    top = adl_queue(capacity, capacity, 10.0)[0] - adl_pro_rata(capacity, 10.0)[0]
    assert top == pytest.approx(10.0 * (1 - 50.0 / 100.0)) == pytest.approx(5.0)
    # a winning short ranks above an idle long; mark over entry would rank it last
    assert adl_index(np.array([5.0, 5.0]), np.array([0.2, -0.1])).tolist() == [1.0, 0.0]
