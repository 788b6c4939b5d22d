"""The rules of order-book venues other than trade.xyz: closed oracles, marks and bands against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

import perpkit as pk
from perpkit.oracle import NIGHT

PRICE = 250.0
STILL = pk.Book(
    depth_open=math.inf, depth_closed=math.inf, half_spread_open=0.0, half_spread_closed=0.0, follow_open=math.inf, follow_closed=math.inf
)
"""The traded price is the value; impact prices are the mid."""
QUIET = pk.Funding(when_closed=False)
ONE = pk.Accounts([1, -1], [1.0, 1.0], [PRICE, PRICE], [PRICE, PRICE], PRICE)
"""Nobody here can be liquidated."""


def jump(hours: float, at: float = 0.0) -> pk.Closure:
    """All of the gap is one headline at ``at`` hours, so the book stands at the value from then on."""
    return pk.Closure(hours, value=pk.Value(news_share=1.0, news_hours=(at,)), reopen_minutes=1.0)


def path(machine: pk.Machine, closure: pk.Closure, gap: float, **kw):
    return pk.simulate(machine, ONE, closure, gap, **kw).path


def machine(**changes) -> pk.Machine:
    return pk.Machine(**({"book": STILL, "funding": QUIET, "mark": pk.OracleMark()} | changes))


@pytest.mark.parametrize(("hours", "tau"), [(48.0, 8.0), (17.0, 1.0)])
def test_felix_has_two_time_constants(hours, tau):
    run = path(machine(oracle=pk.level_oracle(8.0, night_tau=1.0)), jump(hours), -0.1)
    closed = run["O"].sel(time=slice(1.0 / 60.0, hours)).values
    times = run["time"].sel(time=slice(1.0 / 60.0, hours)).values
    end = PRICE * math.exp(-0.1)
    np.testing.assert_allclose(closed, end + (PRICE - end) * np.exp(-times / tau), rtol=1e-12)
    assert (hours < NIGHT) == (tau == 1.0)


def test_the_level_moves_where_the_dead_zone_does_not():
    """Inside the impact prices trade.xyz's oracle stands still and Felix's goes to the mid."""
    wide = pk.replace(STILL, half_spread_closed=0.05)
    stands = path(machine(book=wide, oracle=pk.impact_oracle(1.0)), jump(6.0), -0.03)
    moves = path(machine(book=wide, oracle=pk.level_oracle(1.0)), jump(6.0), -0.03)
    assert (stands["O"].sel(time=slice(0.0, 6.0)) == PRICE).all()
    mid = PRICE * math.exp(-0.03) * math.cosh(0.05)
    assert float(moves["O"].sel(time=6.0)) == pytest.approx(mid + (PRICE - mid) * math.exp(-6.0), rel=1e-12)


def test_lighter_forgets_the_last_print_in_minutes():
    """After five minutes its weight is exp(-5), 0.7 %; the rest is the average of the impact price."""
    oracle = pk.decaying_oracle(0.5, 1.0 / 60.0)
    run = path(machine(oracle=oracle), jump(2.0), -0.02)
    end = PRICE * math.exp(-0.02)
    at = 5.0 / 60.0
    inside = end + (PRICE - end) * math.exp(-at / 0.5)
    assert float(run["O"].sel(time=at, method="nearest")) == pytest.approx(math.exp(-5.0) * PRICE + (1.0 - math.exp(-5.0)) * inside, rel=1e-12)
    assert round(100.0 * math.exp(-5.0), 1) == 0.7
    assert float(run["O"].values[-20]) == pytest.approx(run["V"].values[-20], rel=1e-12)  # back at once


@pytest.mark.parametrize("gap", [-0.2, 0.2])
@pytest.mark.parametrize(("leverage", "mark", "index"), [(10, 0.075, 0.07), (20, 0.0375, 0.0325)])
def test_lighters_bands(leverage, mark, index, gap):
    """Mark 0.75/L, index half a per cent inside it (RWA pricing page, 2026-04), both about the last print."""
    rules = machine(
        oracle=pk.decaying_oracle(0.5, 1.0 / 60.0, wall=0.75 / leverage - 0.005), mark=pk.ImpactMedian(), band=pk.static_band(0.75 / leverage)
    )
    last = path(rules, jump(6.0), gap).sel(time=6.0)
    sign = math.copysign(1.0, gap)
    assert float(last["O"]) == pytest.approx(PRICE * (1.0 + sign * index), rel=1e-12)
    # Two of the three, the impact price and the venue's own third, follow the book, so the mark stands on its band however slow the index.
    assert float(last["M"]) == pytest.approx(PRICE * (1.0 + sign * mark), rel=1e-12)


def test_asters_average_has_a_half_life_of_eighteen_and_a_half_minutes():
    assert 1600.0 * math.log(2.0) / 60.0 == pytest.approx(18.5, abs=0.05)
    run = path(machine(mark=pk.LastMedian(alone=True)), jump(2.0), -0.1)
    end = PRICE * math.exp(-0.1)
    half = float(run["M"].interp(time=1600.0 * math.log(2.0) / 3600.0))
    assert half == pytest.approx(end + 0.5 * (PRICE - end), rel=1e-4)
    # As one of three it only holds the mark back: the index stands still, the basis has long arrived, the average lies between.
    held = path(machine(mark=pk.LastMedian()), jump(2.0), -0.1)
    assert float(held["M"].sel(time=1.0)) == pytest.approx(end + (PRICE - end) * math.exp(-3600.0 / 1600.0), rel=1e-9)


def test_binances_band_limits_the_lead_and_not_the_mark():
    """Where the index itself follows the book, 3 % about it lets the mark go anywhere in time."""
    leash = machine(oracle=pk.last_oracle(300.0 / 3600.0), mark=pk.Mid(), band=pk.oracle_band(0.03))
    run = path(leash, jump(2.0), -0.1).sel(time=slice(1.0 / 60.0, 2.0))
    assert (run["M"] >= 0.97 * run["O"] * (1.0 - 1e-12)).all()
    assert float(run["M"][0]) == pytest.approx(0.97 * float(run["O"][0]), rel=1e-12)
    assert float(run["M"][-1]) == pytest.approx(PRICE * math.exp(-0.1), rel=1e-12)


@pytest.mark.parametrize("x", [0.11, 0.15, 0.20])
def test_bitgets_wall_takes_the_minutes_of_the_notes(x):
    """Time to the wall of 10 % with the book held at x: tau log(x / (x - 0.1)): 12, 5.5 and 3.5 minutes."""
    run = path(machine(oracle=pk.impact_oracle(300.0 / 3600.0, wall=0.10)), jump(1.0), math.log1p(x))
    wall = PRICE * 1.10
    reached = run["time"].values[np.argmax(run["O"].values >= wall * (1.0 - 1e-12))] * 60.0
    exact = 5.0 * math.log(x / (x - 0.10))
    assert exact <= reached <= exact + 1.0 + 1e-9
    assert round(exact, 1) == {0.11: 12.0, 0.15: 5.5, 0.20: 3.5}[x]
    assert float(run["O"].sel(time=slice(0.0, 1.0)).max()) == pytest.approx(wall, rel=1e-12)


def test_a_perfect_proxy_is_a_live_oracle():
    run = path(machine(oracle=pk.proxy_oracle(1.0)), pk.Closure(12.0, reopen_minutes=1.0), -0.07, rng=3)
    np.testing.assert_allclose(run["O"], run["V"], rtol=1e-12)


def test_a_proxy_explains_what_it_says():
    """Regression of the log value at the end on the log proxy: slope 1 and R squared as given. Four standard errors, error rate 2e-4."""
    n, r2 = 20_000, 0.6
    value = pk.Value(sd=0.03)
    closure = pk.Closure(2.0, closed_step_s=1800.0, update_s=60.0, reopen_minutes=1.0, value=value)
    rng = np.random.default_rng(5)
    gaps = rng.normal(0.0, value.sd, n)
    from perpkit.engine import CHUNK, Tables, draw
    from perpkit.oracle import proxy_path

    said = []
    for chunk in range(n // CHUNK):
        shocks = draw(9, chunk, CHUNK, gaps[chunk * CHUNK : (chunk + 1) * CHUNK], closure, proxy=True)
        values = np.broadcast_to(shocks.gaps[:, None], (CHUNK, closure.closed_steps))
        said.append(proxy_path(pk.proxy_oracle(r2), value.sd, values, shocks.proxy)[:, -1])
    x, y = np.concatenate(said), gaps[: len(said) * CHUNK]
    slope = np.cov(x, y)[0, 1] / x.var(ddof=1)
    assert abs(slope - 1.0) < 4.0 * math.sqrt((1.0 - r2) / r2 / len(x))
    found = np.corrcoef(x, y)[0, 1] ** 2
    assert abs(found - r2) < 4.0 * 2.0 * math.sqrt(r2) * (1.0 - r2) / math.sqrt(len(x))
    assert Tables(machine(oracle=pk.proxy_oracle(r2)), ONE, closure).rules.averaged == 1.0


def test_the_proxys_stream_leaves_the_others_alone():
    closure, gaps = pk.Closure(2.0, reopen_minutes=1.0), np.full(80, -0.05)
    book = pk.Book(noise_closed=0.01)
    plain = machine(book=book, mark=pk.Mid())
    alone = pk.ensemble(plain, pk.Accounts.sample(40), closure, gaps, rng=4)
    beside = pk.ensemble({"proxy": pk.replace(plain, oracle=pk.proxy_oracle(0.5)), "machine": plain}, pk.Accounts.sample(40), closure, gaps, rng=4)
    for name in pk.OUTCOMES:
        np.testing.assert_array_equal(alone[name].values[0], beside[name].values[1])


# --- a rule that returns no price -------------------------------------------------------------------------------------------------------


@pk.mark_rule
def broken_below(quotes, oracle, state, params):
    """The mid, and nonsense once the mid falls below ``params[0]``: nan, or with ``params[1]`` minus the price."""
    if quotes.mid < params[0]:
        return math.nan if params[1] == 0.0 else -quotes.mid
    return quotes.mid


@pytest.mark.parametrize("kind", [0.0, 1.0])
def test_a_rule_that_returns_no_price_is_named_with_its_weekend(kind):
    rules, accounts = machine(mark=broken_below(200.0, kind), name="mine"), pk.Accounts.sample(20)
    gaps = np.array([0.05, -0.05, -0.3, -0.4])
    with pytest.raises(pk.RuleError, match=r"broken_below.*'mine'.*weekend 2 of seed 8.*simulate\(..., rng=8, weekend=2\)"):
        pk.ensemble(rules, accounts, pk.Closure(1.0), gaps, rng=8)
    with pytest.raises(pk.RuleError, match="weekend 2"):
        pk.simulate(rules, accounts, pk.Closure(1.0), -0.3, rng=8, weekend=2)
    pk.simulate(rules, accounts, pk.Closure(1.0), -0.05, rng=8, weekend=1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pk.level_oracle(0.0), "tau is a time constant"),
        (lambda: pk.level_oracle(1.0, night_tau=-1.0), "night_tau"),
        (lambda: pk.decaying_oracle(1.0, 0.0), "weight_tau"),
        (lambda: pk.impact_oracle(1.0, wall=1.5), "wall is a fraction"),
        (lambda: pk.proxy_oracle(1.2), "r2 is the share"),
        (lambda: pk.ImpactMedian(clamp=2.0), "clamp is"),
        (lambda: pk.ImpactMedian(weight_s=0.0), "weight_s"),
        (lambda: pk.LastMedian(last_s=0.0), "average_s"),
        (lambda: pk.LastMedian(interval_h=0.0), "interval_h"),
        (lambda: pk.BasisMark(math.nan), "basis_s"),
        (lambda: pk.oracle_band(1.0), "width is a fraction"),
    ],
)
def test_bad_parameters_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
