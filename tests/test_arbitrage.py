"""Informed flow that is not told the answer, against the closed forms that are; random weekends state their error rate.

The engine knows oracle, premium, clamp and payment; ``theory`` knows equations. Neither imports the other.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import perpkit as pk
from perpkit import arbitrage, discovery, theory
from perpkit.discovery import carried, linear, undisturbed
from perpkit.engine import draw

LINES = [(1 / 8, 1.0), (1 / 16, 0.5), (1 / 8, 4.0), (1 / 8, 8.0), (1 / 16, 16.0), (1 / 4, 4.0), (1 / 8, 24.0), (1 / 4, 16.0), (1 / 8, math.inf)]
"""Below the critical line, on it, and above."""


def test_nothing_of_the_closed_form_is_inside():
    for module in (arbitrage, pk.engine, pk.kernel, discovery):
        assert not [name for name, thing in vars(module).items() if "theory" in getattr(thing, "__module__", "") or "theory" in getattr(thing, "__name__", "")]


# --- the linear theory ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kappa", "tau"), LINES)
@pytest.mark.parametrize("hours", [6, 24, 48])
def test_the_engine_finds_the_share_that_hourly_payments_leave(kappa, tau, hours):
    """Steps sample the premium after the oracle has moved: the error is of first order in them, so two lengths extrapolate to none."""
    coarse, fine = (carried(linear(kappa, tau), hours, step_s=s) for s in (24.0, 12.0))
    expected = theory.pass_through_paid(kappa, tau, hours)
    for name in discovery.Carried._fields:
        a, b = getattr(coarse, name), getattr(fine, name)
        assert b == pytest.approx(expected, rel=3e-3)
        assert 2 * b - a == pytest.approx(expected, rel=3e-4, abs=1e-6)  # 1e-4 of news leaves squares of itself


@pytest.mark.parametrize(("kappa", "tau"), [(1 / 8, 8.0), (1 / 8, 4.0), (1 / 8, 16.0), (1 / 8, math.inf)])
def test_shorter_intervals_lead_to_the_continuous_theory(kappa, tau):
    """Rates a tenth and times ten times as large are the same theory with the hour a tenth as long: the distance to it falls tenfold."""
    off = []
    for scale in (1.0, 10.0):
        found = carried(linear(kappa / scale, tau * scale), 24.0 * scale, step_s=12.0 * scale).opening
        off.append(abs(found / theory.pass_through(kappa, tau, 24.0) - 1.0))
    assert off[1] < 0.13 * off[0] + 3e-4
    assert off[1] < 0.03


def test_the_price_goes_there_as_flow_grows_aggressive():
    expected = carried(linear(1 / 8, 8.0), 48.0).opening
    off = [abs(carried(linear(1 / 8, 8.0, follow_closed=k), 48.0).opening / expected - 1.0) for k in (1.0, 10.0, 100.0, 1000.0)]
    assert all(a > b for a, b in zip(off, off[1:], strict=False)) and off[-1] < 1e-6 < 0.9 < off[0]


def test_without_funding_all_of_the_news_is_in_the_price():
    assert carried(linear(0.0, 8.0), 24.0) == pytest.approx((1.0, 1.0), abs=1e-12)
    off = pk.replace(linear(1 / 8, 8.0), funding=pk.Funding(when_closed=False))
    assert carried(off, 24.0) == pytest.approx((1.0, 1.0), abs=1e-12)


def test_a_closure_that_ends_inside_an_hour():
    """The last half hour is charged if the window lasts to the stroke, and free if it does not."""
    machine, pair = linear(1 / 8), pk.Accounts([1, -1], [1.0, 1.0], [250.0, 250.0], [2.5e4, 2.5e4])
    news = pk.Value(news_share=1.0, news_hours=(0.0,))
    for minutes, payments in ((1.0, 2.0), (60.0, 2.5)):
        closure = pk.Closure(2.5, reopen_minutes=minutes, value=news)
        path = pk.simulate(machine, pair, closure, gap=1e-4).path
        share = (1.0 + 1 / 8) ** -2 / (1.0 + (payments - 2.0) / 8)
        assert float(path["P"][1] - 250.0) / (250.0 * math.expm1(1e-4)) == pytest.approx(share, rel=1e-4)
        assert float(path["P"][1] + path["funding_paid"][-1]) == pytest.approx(250.0 * math.exp(1e-4), rel=1e-9)


# --- where clamp and dead zone bend it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("news", [0.01, 0.05, -0.05])
@pytest.mark.parametrize(("kappa", "tau"), [(1 / 16, 1.0), (1 / 16, 0.5), (1 / 8, 8.0), (1 / 8, 16.0)])
@pytest.mark.parametrize(("clamp", "zone", "interest", "premium"), [(5e-4, 0.0, 0.0, "impact-mid"), (3e-4, 5e-4, 1e-4, "impact-mid"), (5e-4, 5e-4, 1e-4, "dead-zone")])
def test_clamp_and_dead_zone_bend_it_as_the_closed_witness_says(news, kappa, tau, clamp, zone, interest, premium):
    """The witness lets funding accrue; scaling time tenfold makes the hour short against everything, as above."""
    scale = 10.0
    funding = pk.Funding(premium, interest_8h=interest, clamp_8h=clamp, multiplier=8.0 * kappa / scale, cap_per_hour=1.0)
    machine = undisturbed(pk.replace(linear(kappa, tau * scale), funding=funding), half_spread=zone)
    expected = theory.pass_through_clamped(news, kappa, tau, 48.0, clamp, zone, interest, premium).ratio
    found = carried(machine, 48.0 * scale, news, step_s=60.0 * scale if tau >= 1.0 else 60.0)
    assert found.opening == pytest.approx(expected, abs=3e-3)
    assert found.kept == pytest.approx(found.opening, abs=6e-3)  # the table's straight lines between points, over 480 payments
    flat = theory.pass_through(kappa, tau, 48.0)
    if abs(expected - flat) > 0.02:
        assert abs(found.opening - flat) > 2 * abs(found.opening - expected), "the linear formula must not pass"


def test_more_news_to_come_averages_the_corners_away():
    """Theory's other witness, news arriving evenly; here it arrives on the strokes of an hour made short by scaling time tenfold."""
    kappa, tau, later = 1 / 16, 1.0, 0.0244
    funding = pk.Funding(interest_8h=0.0, clamp_8h=5e-4, multiplier=0.8 * kappa)
    machine = pk.replace(linear(kappa, 10 * tau), funding=funding)
    blind, expecting = (carried(pk.replace(machine, book=pk.replace(machine.book, expects=x)), 240.0, 0.002).opening for x in (0.0, later))
    witness = theory.pass_through_expecting(0.002, later, kappa, tau, 24.0, clamp=5e-4).ratio
    alone = theory.pass_through_clamped(0.002, kappa, tau, 24.0, clamp=5e-4).ratio
    assert blind == pytest.approx(alone, abs=3e-3)
    assert expecting == pytest.approx(witness, abs=3e-3)
    assert abs(witness - alone) > 0.015


# --- no profit --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [1.0, 8.0, math.inf])
def test_who_buys_at_the_close_pays_funding_and_receives_the_value_gains_nothing(tau):
    """Profit 0 within 4 standard errors, weighted by the news: error rate 6e-5 a case. A buyer who paid 6 % of the news too much would be seen."""
    found = discovery.profit(linear(1 / 8, tau), 12.0, 8192, rng=5)
    assert abs(found.value) < 4 * found.se < 0.06 * 0.005


def test_at_the_price_of_the_value_he_would_lose():
    """The same buyer where the price jumps to the value and stays: he overpays by what funding takes, and the test above would see it."""
    jump = linear(1 / 8, 8.0, carry=False)
    closure = pk.Closure(12.0, value=pk.Value(news_share=0.5, news_hours=(0.0,), sd=0.01))
    gaps = np.random.default_rng(11).normal(0.0, 0.01, 8192)
    pair = pk.Accounts([1, -1], [1.0, 1.0], [250.0, 250.0], [2.5e4, 2.5e4])
    paid = np.expm1(gaps) - pk.ensemble(jump, pair, closure, gaps, rng=5).isel(machine=0)["longs"].values
    known = np.concatenate([draw(5, c, 64, gaps[64 * c : 64 * c + 64], closure).news for c in range(128)])
    fit = discovery.regression(known, np.expm1(gaps) - np.expm1(known) - paid)
    assert fit.slope < -10 * fit.se


# --- the venue's own numbers ------------------------------------------------------------------------------------------------------------


def test_the_venues_figures_in_both_readings():
    for hours in (24, 48, 72):
        assert carried(linear(1 / 8, 1.0), hours, step_s=12.0).kept == pytest.approx(0.875, abs=1e-3)
        assert carried(linear(1 / 8, 1.0), hours, reading="jump", step_s=12.0).kept == pytest.approx(0.875, abs=1e-3)
    assert carried(linear(1 / 8, 8.0), 72.0, step_s=12.0).kept == pytest.approx(theory.pass_through_paid(1 / 8, 8.0, 72), abs=3e-4)
    late = carried(linear(1 / 8, 8.0), 48.0, reading="jump", before=48.0 - 18.4, step_s=12.0)
    assert late.kept == pytest.approx(theory.keep_ratio(1 / 8, 8.0, 18.4), abs=1e-3)
    assert late.kept == pytest.approx(0.10, abs=0.002)


# --- a price that is held -----------------------------------------------------------------------------------------------------------------


def test_guards_of_a_mark_give_way_as_the_closed_forms_say():
    """Steps of 3 s against memories of minutes: within 6 bp of a push of 500; the same form with another memory is not."""
    push = 0.05
    cases = [
        (pk.Machine(mark=pk.Mid(), mark_step=0.005), lambda t: theory.step_clamp_rise(push, t, 0.005, 3 / 3600)),
        (pk.Machine(mark=pk.Median()), lambda t: theory.median_rise(push, t)),
        (pk.Machine(mark=pk.Median(), oracle=pk.impact_oracle(0.5, cap=1.0)), lambda t: theory.median_rise(push, t, 0.5)),
        (pk.Machine(mark=pk.ImpactMedian(weight_s=0.5), oracle=pk.decaying_oracle(0.5, 1 / 3600)), lambda t: theory.clamped_median_rise(push, t, tau=0.5, third=8 / 60)),
    ]
    for machine, formula in cases:
        hours, mark, _ = discovery.held(machine, push, 1.0)
        np.testing.assert_allclose(mark, formula(hours), atol=6e-4)
    hours, mark, _ = discovery.held(cases[1][0], push, 1.0)
    assert np.abs(mark - theory.median_rise(push, hours, basis=200 / 3600)).max() > 2e-3


def test_patience_walks_a_ratchet_to_its_ceiling():
    drag = theory.ratchet_drag(0.05, 0.9, 2, 10e6, 1.0, 1 / 16, 0.5)
    machine = pk.Machine(mark=pk.Mid(), band=pk.ratchet(0.05), oracle=pk.impact_oracle(0.5, cap=1.0))
    hours, mark, oracle = discovery.held(machine, drag.pushes[0], 2.0)
    assert hours[np.argmax(oracle >= drag.target)] == pytest.approx(drag.hours, rel=0.03)  # the engine averages prices, the formula logarithms
    assert mark[hours > drag.hours + 0.01].min() == pytest.approx(min(drag.pushes[0], drag.ceiling), rel=1e-3)


# --- what the weekend says about the reopening --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [4.0, 8.0])
def test_deep_pockets_understate_the_gap_by_the_share(tau):
    """News at the close and more of it later: slope 1/R. 4 standard errors; a slope of 1 is far outside."""
    closure = pk.Closure(12.0, value=pk.Value(news_share=0.5, news_hours=(0.0,), sd=0.01))
    gaps = np.random.default_rng(3).normal(0.0, 0.01, 600)
    fit = discovery.slope(linear(1 / 8, tau), closure, gaps, left=12.0 - 1 / 60, rng=7)
    assert abs(fit.slope - 1.0 / theory.pass_through_paid(1 / 8, tau, 12)) < 4 * fit.se + 0.01
    assert fit.slope - 1.0 > 4 * fit.se


def test_limited_flow_and_noise_pull_the_slope_below_one():
    """A frozen oracle and no funding, so that limits and noise are alone: the closed regression within 4 standard errors."""
    part, sd, noise = 0.6, 0.01, 0.02
    depth = 10e6
    book = {"depth_closed": depth, "capacity": depth * part / (1 - part), "follow_closed": 1.0, "noise_closed": noise}
    machine = linear(0.0, **book)
    closure = pk.Closure(12.0, value=pk.Value(news_share=1.0, news_hours=(0.0,), sd=sd))
    gaps = np.random.default_rng(3).normal(0.0, sd, 600)
    fit = discovery.slope(machine, closure, gaps, left=0.0, rng=7)
    expected = theory.reopening_regression(0.0, np.inf, 12.0, left=0.0, share=part, noise=noise**2 / 2 / sd**2)
    assert abs(fit.slope - expected.slope) < 4 * fit.se
    assert expected.slope < 1.0 - 4 * fit.se


def test_limited_flow_is_the_liquidators_position():
    """Donnelly, Lin and Lorig 2026: a trader with impact b, eagerness beta and penalty phi stays on (b beta + 2 phi) Q + beta Z = 0, Z being the
    premium with his own trades in it. So ``capacity`` is beta / (b beta + 2 phi), and Z is what that leaves of the premium before them."""
    beta, b, phi = 1.0, 1 / 20e6, 1 / 30e6
    capacity = beta / (b * beta + 2 * phi)
    part = arbitrage.share(capacity, 1 / b)
    before = 0.01  # the uninformed price over the worth
    after = before * (1 - part)
    held = -(before - after) / b
    assert (b * beta + 2 * phi) * held + beta * after == pytest.approx(0.0, abs=1e-12)
    assert held == pytest.approx(-beta * before / (2 * (b * beta + phi)))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: pk.Book(capacity=0.0, carry=True), "capacity"),
        (lambda: pk.Book(capacity=1e6), "carry=True"),
        (lambda: pk.Book(expects=0.01), "carry=True"),
        (lambda: pk.Book(expects=math.nan, carry=True), "expects"),
        (lambda: pk.Book(depth_closed=math.inf, capacity=1e6, carry=True), "finite depth_closed"),
        (lambda: carried(linear(1 / 8), 1.0, reading="both"), "reading"),
        (lambda: carried(linear(1 / 8), 1.0, news=0.0), "news"),
        (lambda: carried(linear(1 / 8), -1.0), "hours"),
        (lambda: discovery.held(linear(1 / 8), 0.05, 0.0), "hours"),
        (lambda: discovery.profit(linear(1 / 8), 2.0, 100, 1), "multiple"),
        (lambda: discovery.slope(linear(1 / 8), pk.Closure(1.0), np.zeros(2), 0.0, 1), "three or more"),
        (lambda: discovery.slope(linear(1 / 8), pk.Closure(1.0), np.zeros(3), 1.0, 1), "left"),
    ],
)
def test_bad_input_is_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
