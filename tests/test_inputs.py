"""Bad input: each mistake a reader may make is a ValueError that names the argument, made before any work starts."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import perpkit as pk
from perpkit import gaps, limits, phase, sensitivity, sizing, strata, validation
from perpkit.collateral import wiped_a_year, wiped_out
from perpkit.engine import RuleError
from perpkit.estimate import credible, estimate
from perpkit.posterior import posterior

MACHINE, CLOSURE = pk.Machine(), pk.Closure(2.0)
PEOPLE = pk.Accounts.sample(20, 1)
RNG = np.random.default_rng(1)
LAW = gaps.empirical("TSLA")
ONE_EACH = strata.Strata(np.array([-0.1, 0.0]), np.array([0.5, 0.5]))
PLAN = sensitivity.grid([sensitivity.Factor("a", 0.0, 1.0), sensitivity.Factor("b", 0.0, 1.0)])


@pk.mark_rule
def halfway(quotes, oracle, state, params):
    return 0.5 * (quotes.mid + oracle)


@pk.mark_rule
def nothing(quotes, oracle, state, params):
    return None


def simulate(gap=0.0, closure=CLOSURE, **options):
    return pk.simulate(MACHINE, PEOPLE, closure, gap, **options)


def ensemble(laws=(0.0,), closure=CLOSURE, **options):
    return pk.ensemble(MACHINE, PEOPLE, closure, laws, **options)


def rule(function, *params):
    return lambda: pk.mark_rule(function)(*params)


def third_memory(quotes, oracle, state, params):
    if state.closed == 0.0 and quotes.mid < oracle:
        state.memory[8] = 1.0
    return oracle


def counting(quotes, oracle, state, params):
    state.memory[0] += 1.0
    state.memory[int(state.memory[0])] = quotes.mid
    return oracle


WRONG = [
    (lambda: simulate(closure=48), "closure is a perpkit Closure; got 48"),
    (lambda: ensemble(closure=48), "closure is a perpkit Closure; got 48"),
    (lambda: pk.Closure(value=None), "value is a perpkit Value; got None"),
    (lambda: pk.Closure(value=0.02), "value is a perpkit Value; got 0.02"),
    (lambda: pk.Closure(hours="48"), "hours is a number; got '48'"),
    # gaps
    (lambda: simulate(50), "log return.*got 50.*percent"),
    (lambda: simulate(-12.8), "log return.*got -12.8.*percent"),
    (lambda: ensemble([0.0, 1000.0]), "log return.*got 1000.*percent"),
    (lambda: ensemble([-12.8, 5.1]), "log return.*got -12.8.*percent"),
    (lambda: ensemble(gaps.Parametric("wide", stats.norm(0.0, 50.0)), n=64), "log return.*capped"),
    (lambda: simulate("a"), "gap is one log return; got 'a'"),
    (lambda: simulate(None), "gap is one log return; got None"),
    (lambda: simulate(np.zeros(2)), "gap is one log return"),
    (lambda: simulate(math.nan), "finite log returns"),
    (lambda: simulate(weekend=1.5), "weekend .*got 1.5"),
    (lambda: simulate(weekend=-1), "weekend .*got -1"),
    (lambda: simulate(rng=True), "rng is a seed.*got True"),
    (lambda: ensemble(stats.norm(0.0, 0.02), n=64), "gaps is a law.*Parametric"),
    (lambda: ensemble("TSLA", n=64), r"gaps is a law.*empirical\('TSLA'\)"),
    (lambda: ensemble(LAW, n=math.nan), "n is a number of weekends.*got nan"),
    (lambda: ensemble(LAW, n=math.inf), "n is a number of weekends.*got inf"),
    (lambda: ensemble(executor=4), "executor is .*got 4$"),
    (lambda: ensemble(executor=SimpleNamespace(get_executor=None)), r"executor is .*; give its get_executor\(\)"),
    (lambda: ensemble(misprints=pk.Misprint(2.0, 2.1, 0.1)), "misprints is a list"),
    (lambda: simulate(misprints=pk.Misprint(2.0, 2.1, 0.1)), "misprints is a list"),
    (lambda: ensemble(sampling="sobol"), "sampling='sobol' is for a law"),
    (lambda: ensemble(block=1.5), "block is .*got 1.5"),
    # populations
    (lambda: pk.Accounts.sample(20, None), "rng is a seed.*got None"),
    (lambda: pk.Accounts.sample(20, 1.5), "rng is a seed.*got 1.5"),
    (lambda: pk.Accounts.sample(20, "a"), "rng is a seed.*got 'a'"),
    (lambda: pk.Accounts.sample(4.5), "n is an even number.*got 4.5"),
    (lambda: pk.Accounts.sample("4"), "n is an even number.*got '4'"),
    (lambda: pk.Accounts.sample(20, leverage_median=1e6), "leverage_median of 1000000.0"),
    (lambda: pk.Accounts.sample(20, leverage_median=0.01), "leverage_median of 0.01"),
    (lambda: pk.Accounts.sample(20, size_sd=1000.0), "size_sd .*got 1000.0"),
    (lambda: pk.Accounts.sample(20, max_leverage=None), "max_leverage .*got None"),
    # news
    (lambda: pk.Value(news_hours="5"), "news_hours .*got '5'"),
    (lambda: pk.Value(news_hours=None), "news_hours .*got None"),
    (lambda: pk.Value(news_count=math.inf), "news_count .*got inf"),
    (lambda: pk.Value(news_count=math.nan), "news_count .*got nan"),
    # parts of a machine
    (lambda: pk.Machine(insurance=None), "insurance is a number; got None"),
    (lambda: pk.Machine(mark_step="1%"), "mark_step is a number"),
    (lambda: pk.replace(MACHINE, adl=["queue"]), "adl is a word"),
    (lambda: pk.replace(MACHINE, book=None), "book is a perpkit Book; got None"),
    (lambda: pk.Margin("20"), "max_leverage is a number"),
    (lambda: pk.Margin(math.inf), "max_leverage is a finite number.*got inf"),
    (lambda: pk.Band(None), "width is a number"),
    (lambda: pk.Band(0.1, resets=math.inf), "resets counts moves.*got inf"),
    (lambda: pk.Book(depth_closed="8e6"), "depth_closed is a number"),
    (lambda: pk.Book(carry="yes"), "carry is True or False"),
    (lambda: pk.Oracle(None), "kind is a whole number"),
    (lambda: pk.impact_oracle("1h"), "tau is a number"),
    (lambda: pk.Funding(when_closed="no"), "when_closed is True or False; got 'no'"),
    (lambda: pk.Funding(clamp_8h=None), "clamp_8h is a number"),
    (lambda: pk.Batch(halt=5), "halt is two times.*got 5"),
    (lambda: pk.Batch(halt=("a", "b")), "halt is a number or"),
    (lambda: pk.Orders(hours="a", notional=1.0), "hours is a number or"),
    (lambda: pk.replace(pk.Pool(), feed=None), "feed is a perpkit Feed"),
    (lambda: pk.replace(pk.Pool(), stop=5), "stop is a perpkit Stop or None"),
    (lambda: pk.replace(5, a=1), "replace changes a perpkit Machine.*got 5"),
    (lambda: pk.replace(pk.Machine, name="x"), "replace changes a perpkit Machine.*got <class"),
    (lambda: pk.venue(["trade-xyz"]), r"name is a word.*got \['trade-xyz'\]"),
    (lambda: pk.venue("trade-xyz", asof=20251221), "asof: 20251221 is no date"),
    (lambda: pk.venue("trade-xyz", asof="12.11.2025"), "asof: '12.11.2025' is no date; write it as"),
    (lambda: pk.venue("trade-xyz", asof="05/03/2026"), "asof: '05/03/2026' is no date"),
    (lambda: pk.venue("trade-xyz", asof="Oct 2026"), "asof: 'Oct 2026' is no date"),
    (lambda: pk.venue("trade-xyz", asof="2026"), "asof: '2026' is no date"),
    (lambda: pk.venue("trade-xyz", asof="2026-02-30"), "asof: '2026-02-30' is no date"),
    (lambda: pk.sessions.closures("cash", "05/03/2026", "2026-06-01"), "start is a date or a time such as '2025-12-19'.*got '05/03/2026'"),
    # mark rules
    (lambda: pk.mark_rule(print), "plain Python function"),
    (lambda: pk.mark_rule(5), "plain Python function.*got 5"),
    (rule(lambda quotes, oracle, state, params: params[3]), "index 3 .*0 parameters"),
    (rule(lambda quotes, oracle, state, params: oracle + params[1], 5.0), "index 1 .*1 parameters"),
    (rule(third_memory), "third_memory.*index 8 .*8 floats of memory"),
    (rule(counting), "counting.*index 8 .*8 floats of memory"),
    (rule(lambda quotes, oracle, state, params: oracle, "a"), "params is a number or"),
    (rule(lambda quotes, oracle, state, params: quotes.middle), "fails with AttributeError.*quotes has bid, ask, mid, last, impact_bid, impact_ask"),
    (lambda: pk.replace(MACHINE, mark=halfway), r"mark is a perpkit Mark; got <function halfway at .*; call it: mark=halfway\(...\)"),
    (lambda: pk.replace(MACHINE, mark=pk.Mid), r"call it: mark=Mid\(...\)"),
    (lambda: pk.replace(MACHINE, mark=5), "mark is a perpkit Mark; got 5$"),
    (lambda: pk.simulate(pk.replace(MACHINE, mark=nothing()), PEOPLE, CLOSURE, 0.0), "'nothing' does not compile: it must .*state has mark, basis"),
    # what is made of results
    (lambda: estimate(np.ones(5)), "outcome is one outcome of an ensemble.*ndarray"),
    (lambda: credible(np.ones(5), LAW), "outcome is one outcome of an ensemble.*ndarray"),
    (lambda: gaps.pit(5, [0.1]), "law is a perpkit Law.*got 5"),
    (lambda: gaps.fit("TSLA", "gpd", tail="a"), "tail is the share.*got 'a'"),
    (lambda: LAW.capped("a"), "limit is a log gap.*got 'a'"),
    (lambda: LAW.scaled("a"), "factor multiplies the gap.*got 'a'"),
    (lambda: posterior("TSLA", schedule=5), "schedule is a perpkit Schedule; got 5"),
    (lambda: wiped_out("TSLA", None), "margins is a number or"),
    (lambda: validation.beyond_margin(np.zeros(4), 10.0, "Long"), "side is .*got 'Long'"),
    (lambda: PLAN.closed(np.zeros(16), ["typo"]), r"of names factors of the grid, a, b; got \['typo'\]"),
    (lambda: sensitivity.grid_indices(PLAN, np.zeros((3, 16)), level=90), "level is a coverage.*got 90"),
    (lambda: sizing.drawdowns(ONE_EACH, np.zeros(2), 0.0, 1.0, 2.5, RNG), "n is a number of funds.*got 2.5"),
    (lambda: sizing.breach(ONE_EACH, np.zeros(2), 0.0, level=90), "level is a coverage.*got 90"),
    (lambda: strata.tail_strata(LAW, math.nan, RNG), "n is an even number of strata.*got nan"),
    (lambda: strata.tail_strata(5, 64, RNG), "law is a perpkit Law.*got 5"),
    (lambda: ONE_EACH.quantile(np.zeros(2), "a"), "exceeded is a probability.*got 'a'"),
    (lambda: sensitivity.Factor("a", 0.0, None), "high is a number; got None"),
    (lambda: limits.frozen_limit(LAW, 0.1, 2.5, RNG), "n is a number of closures.*got 2.5"),
    (lambda: limits.frozen_limit(LAW, 0.1, 1000, 1), "rng is a numpy.random.Generator.*got 1"),
    (lambda: wiped_a_year("TSLA", "a", RNG), "margin is collateral.*got 'a'"),
    (lambda: pk.Liquidity(1.0, None, 1.0, 1.0), "depth is a number or a list"),
    (lambda: ensemble(LAW, n=64, sampling=["sobol"]), r"sampling is one of.*got \['sobol'\]"),
    (lambda: ensemble(outcomes=5), "outcomes are one or more of.*got"),
    (lambda: ensemble(store=5), "store is the path of a folder.*got 5"),
    (lambda: pk.cut_leverage(PEOPLE, "a"), "max_leverage is 1 or more; got 'a'"),
    (lambda: phase.plane(MACHINE, PEOPLE, CLOSURE, np.zeros(2), [0.5], [1.0], least="a"), "least must lie.*got 'a'"),
    (lambda: phase.plane(MACHINE, PEOPLE, CLOSURE, np.zeros(2), [0.5], [1.0], rng=1.5), "rng is a seed.*got 1.5"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_mistake_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_means_the_same_is_taken():
    """A whole number may be written 4.0 or come from numpy, hours may be a list, and one collateral needs none."""
    assert len(pk.Accounts.sample(4.0, 1)) == 4
    assert pk.Value(news_hours=[0.5]).news_hours == (0.5,) and pk.Value(news_hours=1).news_hours == (1.0,)
    assert pk.Margin(np.float32(20.0)).max_leverage == 20.0 and pk.Funding(when_closed=np.False_).when_closed == np.False_
    carried = pk.replace(MACHINE, book=pk.Book(carry=True))
    pk.simulate(carried, PEOPLE, pk.Closure(2.0, value=pk.Value(news_hours=[0.5])), 0.0)
    assert wiped_out("TSLA", 0.1).equals(wiped_out("TSLA", [0.1]))
    assert ensemble([-0.1], n=2e0, block=1.0, tasks=np.int64(1)).sizes["weekend"] == 2


def test_one_far_gap_among_others_is_no_percent():
    """A law's draws may go far; only what rises beyond the ledger's precision, or lies far out throughout, is a mistake."""
    assert ensemble([-5.0, 0.01, 4.0]).sizes["weekend"] == 3


def test_an_index_that_the_trial_missed_ends_the_run():
    """What lies behind parameters and memory is no price, so that a branch no trial has reached ends the run and not in some number."""

    def late(quotes, oracle, state, params):
        state.memory[0] += 1.0
        return params[3] if state.memory[0] > 200.0 else oracle

    def later(quotes, oracle, state, params):
        state.memory[0] += 1.0
        return state.memory[9] if state.memory[0] > 200.0 else oracle

    for function in (late, later):
        with pytest.raises((RuleError, IndexError)):
            pk.simulate(pk.replace(MACHINE, mark=pk.mark_rule(function)(1.0)), PEOPLE, CLOSURE, -0.02)


def test_a_rule_counts_its_parameters_from_the_end():
    last = pk.mark_rule(lambda quotes, oracle, state, params: oracle + params[-1])(1.0, 2.0)
    path = pk.simulate(pk.replace(MACHINE, mark=last), PEOPLE, CLOSURE, 0.0).path
    np.testing.assert_allclose(path.M[1:], path.O[1:] + 2.0)
