"""Chapter 2's claims, away from the book: one position to the cent, funding's dead zone and sum, the loop's thresholds, the sort.

The engine is driven by a premium held for an hour (`held`): closed, the oracle frozen, the book pinned to a value that jumps at once. Fair prices against
QuantLib are in ``tests/theory/test_pricing.py``, delay and averaging in ``tests/theory/test_control.py``.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perpkit as pk
from perpkit import theory
from perpkit.funding import hourly_rate

PINNED = {"follow_closed": math.inf, "noise_closed": 0.0, "follow_open": math.inf, "noise_open": 0.0}
DEEP = pk.Book(depth_open=math.inf, depth_closed=math.inf, half_spread_open=0.0, half_spread_closed=0.0, **PINNED)
SAFE = pk.Accounts(side=[1, -1], size=[1, 1], entry=[250, 250], collateral=[250, 250], price=250)
MEDIAN, MID = pk.Median(), pk.Mid()  # each mark is compiled when first used, so they are shared
ARTICLE = pk.venue("trade-xyz", market="TSLA", asof="2025-12-21")


def jump(hours: float, *at: float, **more) -> pk.Closure:
    """A closure in which all of the gap is news, in equal parts at the hours given."""
    return pk.Closure(hours=hours, reopen_minutes=more.pop("reopen_minutes", 1.0), value=pk.Value(news_share=1.0, news_hours=at, **more))


def held(funding: pk.Funding, premium: float, book: pk.Book = DEEP) -> float:
    """Rate the engine charges after an hour at this premium (a share of the oracle)."""
    machine = pk.Machine(mark=MEDIAN, funding=funding, book=book, margin=pk.Margin(1.0, 0.01))
    path = pk.simulate(machine, SAFE, jump(1.0, 0.0), gap=math.log1p(premium)).path
    return float(path["f"].sel(time=1.0, method="nearest"))


# --- one position, to the cent ----------------------------------------------------------------------------------------------------------


def test_one_long_by_hand_and_through_the_engine():
    """Eight hours 20 bp below a frozen oracle, then a fall past the liquidation price, all while closed: nothing random.

    A discount, because the parts of a gap are equal: the long is paid what it would pay at a premium.
    """
    book = pk.replace(ARTICLE.book, **PINNED)
    machine = pk.replace(ARTICLE, oracle=pk.frozen_oracle(), book=book)
    accounts = pk.Accounts(side=[1, -1], size=[100, 100], entry=[250, 250], collateral=[2_500, 25_000], price=250)
    parts = 28
    run = pk.simulate(machine, accounts, jump(9.0, 0.0, *[8.0] * (parts - 1)), gap=parts * math.log(0.998))

    spread = math.cosh(0.0005 + 6_000 / book.depth_closed)  # impact prices lie evenly about the log price
    rate = 0.5 * (0.998 * spread - 1 + 0.0005) / 8
    received = -8 * rate * 250 * 100
    assert received == pytest.approx(18.75, abs=0.01)
    assert -100 * float(run.path["funding_paid"].sel(time=8, method="nearest")) == pytest.approx(received, abs=1e-9)
    call = (225 - received / 100) / 0.95
    assert call == pytest.approx(236.645, abs=5e-4)

    price = 250 * 0.998**parts  # from 236.85, above the call, in one step
    assert price < call < 250 * 0.998 ** (parts - 1)
    sold = run.events.iloc[0]
    assert (sold.kind, sold["size"], len(run.events)) == ("liquidation", 100.0, 1)
    # The mark is the oracle plus a 150 s average of the basis: so many minutes until the average is below the call.
    there, start, wanted = price - 250, 250 * 0.998 - 250, call - 250
    minutes = math.ceil(2.5 * math.log((start - there) / (wanted - there)))
    assert sold.time == pytest.approx(8 + minutes / 60, abs=1e-9)
    fill = price * math.exp(-0.0005 - 0.5 * 100 * price / book.depth_closed)
    assert sold.price == pytest.approx(fill, abs=1e-9)
    assert round(2_500 + run.ledger["longs"], 2) == round(2_500 + received - 100 * (250 - fill), 2)
    assert abs(run.ledger.sum()) < 1e-8


@pytest.mark.parametrize(("asof", "paid", "call"), [("2025-10-20", 37.50, 237.24), ("2025-12-21", 18.75, 237.04), ("2026-10-31", 21.25, 230.99)])
def test_a_night_at_a_premium_and_a_fall_when_open(asof, paid, call):
    """The chapter's own example under three sets of rules; the day is the first of the seed on which the price falls far enough."""
    venue = pk.venue("trade-xyz", market="TSLA", asof=asof)
    machine = pk.replace(venue, oracle=pk.frozen_oracle(step=0.005), book=pk.replace(venue.book, **PINNED))
    accounts = pk.Accounts(side=[1, -1], size=[100, 100], entry=[250, 250], collateral=[2_500, 25_000], price=250)
    night = jump(8.0, 0.0, open_vol=0.0115, reopen_minutes=390.0)
    gap = math.log(1.002 / math.cosh(0.0005 + 6_000 / venue.book.depth_closed))
    days = pk.ensemble(machine, accounts, night, gaps=np.full(1_024, gap), rng=2)["liquidated_open"].isel(machine=0)
    run = pk.simulate(machine, accounts, night, gap, rng=2, weekend=int(np.argmax(days.values > 0)))
    sold = run.events.iloc[0]

    rules, maintenance = venue.funding, venue.margin.maintenance
    closed = rules.multiplier * (0.002 - rules.clamp_8h) / 8 * 250 * 100
    assert 8 * closed == pytest.approx(paid, abs=1e-9)
    assert (225 + paid / 100) / (1 - maintenance) == pytest.approx(call, abs=0.005)
    oracles = [float(run.path["O"].sel(time=h, method="nearest")) for h in range(9, int(sold.time) + 1)]
    owed = 8 * closed + rules.multiplier * rules.interest_8h / 8 * 100 * sum(oracles)
    trigger = float(run.path["M"].sel(time=sold.time, method="nearest"))
    before = float(run.path["M"].sel(time=sold.time - 3 / 3600, method="nearest"))
    liquidation = (225 + owed / 100) / (1 - maintenance)
    assert trigger < liquidation <= before
    fill = trigger * math.exp(-0.0002 - 0.5 * 100 * trigger / 69e6)
    assert 2_500 + run.ledger["longs"] == pytest.approx(2_500 - owed + 100 * (fill - 250), abs=1e-6)


# --- funding: dead zone and sum (catalogue 6, 7) ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("clamp", "multiplier", "interest"), [(5e-4, 1.0, 0.0), (5e-4, 0.5, 1e-4), (3e-4, 0.5, 1e-4)])
def test_the_engine_charges_interest_alone_within_the_clamp(clamp, multiplier, interest):
    rules = pk.Funding(interest_8h=interest, clamp_8h=clamp, multiplier=multiplier)
    for premium in (interest - 0.99 * clamp, 0.0, interest + 0.99 * clamp):
        assert held(rules, premium) == pytest.approx(multiplier * interest / 8, abs=1e-15)
    for beyond in (1e-4, 30e-4):
        assert held(rules, interest + clamp + beyond) == pytest.approx(multiplier * (interest + beyond) / 8, rel=1e-9)
        assert held(rules, interest - clamp - beyond) == pytest.approx(multiplier * (interest - beyond) / 8, rel=1e-9)


@pytest.mark.parametrize(("start", "end"), [(3e-4, 3e-4), (20e-4, 5e-4), (-20e-4, -5e-4)])
def test_free_arbitrage_takes_a_premium_to_the_edge_of_the_clamp(start, end):  # catalogue 6
    """Hour after hour the premium gives way by what the engine charged beyond the carry, here none: nothing inside, 1/8 of the excess outside."""
    rules = pk.Funding(interest_8h=0.0, clamp_8h=5e-4)
    premium = start
    for hour in range(1, 61):
        premium -= held(rules, premium)
        assert premium == pytest.approx(end + (start - end) * theory.funding_response(1 / 8, hour), abs=1e-12)
    assert premium == pytest.approx(theory.clamp_rest_premium(start, 5e-4), abs=1e-6)
    if start == end:
        assert premium == pytest.approx(start, abs=1e-14)


def test_a_premium_inside_the_impact_spread_is_not_read_by_hyperliquids_own_rule():
    book = pk.replace(DEEP, half_spread_closed=5e-4)
    own, builders = pk.Funding(premium="dead-zone", clamp_8h=0.0), pk.Funding(premium="impact-mid", clamp_8h=0.0)
    assert held(own, 4.9e-4, book) == 0.0
    assert held(own, 8e-4, book) == pytest.approx((1.0008 * math.exp(-5e-4) - 1) / 8, rel=1e-9)
    assert held(builders, 4.9e-4, book) == pytest.approx((1.00049 * math.cosh(5e-4) - 1) / 8, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    long=st.lists(st.floats(1.0, 500.0), min_size=1, max_size=4),
    short=st.lists(st.floats(1.0, 500.0), min_size=1, max_size=4),
    premium=st.floats(-0.03, 0.03),
)
def test_funding_sums_to_zero_over_accounts_and_makers(long, short, premium):  # catalogue 7
    """The same closure with funding and without it, one-sided populations included: the pockets differ by funding alone."""
    size = np.array(long + short)
    side = np.repeat([1, -1], [len(long), len(short)])
    accounts = pk.Accounts(side=side, size=size, entry=np.full(len(size), 250.0), collateral=250 * size, price=250.0)
    pockets = {}
    for multiplier in (0.0, 1.0):
        machine = pk.Machine(mark=MEDIAN, funding=pk.Funding(multiplier=multiplier), book=DEEP, margin=pk.Margin(1.0, 0.01))
        run = pk.simulate(machine, accounts, jump(12.0, 0.0), gap=math.log1p(premium))
        assert not len(run.events)
        pockets[multiplier] = run.ledger
    moved = pockets[1.0] - pockets[0.0]
    paid = float(run.path["funding_paid"][-1])
    assert abs(moved.sum()) < 1e-9 * accounts.open_interest
    assert moved["longs"] == pytest.approx(-paid * sum(long), abs=1e-7)
    assert moved["shorts"] == pytest.approx(paid * sum(short), abs=1e-7)
    assert moved["makers"] == pytest.approx(paid * (sum(long) - sum(short)), abs=1e-7)
    rate = premium + min(max(1e-4 - premium, -5e-4), 5e-4)
    assert paid == pytest.approx(12 * rate / 8 * 250, rel=1e-6, abs=1e-9)


def test_funding_sums_to_zero_while_accounts_fall():  # catalogue 7
    accounts = pk.Accounts.sample(n=400, rng=3, max_leverage=10, open_interest=45e6)
    ens = pk.ensemble(ARTICLE, accounts, pk.Closure(hours=24.0), gaps=np.linspace(-0.12, 0.12, 65), rng=5)
    total = sum(ens[pocket] for pocket in pk.POCKETS)
    assert float(ens["liquidated_closed"].sum() + ens["liquidated_open"].sum()) > 1 and float(ens["funding_closed"].min()) > 0
    assert float(abs(total).max()) < 1e-9


# --- funding as a controller (catalogue 10) ---------------------------------------------------------------------------------------------


def test_the_hourly_loop_overshoots_at_one_and_breaks_at_two():
    """The premium gives way by exactly what the engine charged. Without clamp and interest the rate is kappa times the premium."""
    step = lambda kappa, premium: premium - held(pk.Funding(interest_8h=0.0, clamp_8h=0.0, multiplier=8 * kappa, cap_per_hour=0.9), premium)  # noqa: E731

    def edge(beyond) -> float:
        low, high = 0.5, 3.0
        while high - low > 1e-4:
            middle = 0.5 * (low + high)
            low, high = (low, middle) if beyond(step(middle, 10e-4)) else (middle, high)
        return high

    assert edge(lambda left: left < 0) == pytest.approx(1.0, abs=2e-4)
    assert edge(lambda left: abs(left) > 10e-4) == pytest.approx(2.0, abs=2e-4)
    for kappa in (1 / 16, 1 / 8):
        assert step(kappa, 10e-4) == pytest.approx(10e-4 * (1 - kappa), rel=1e-9)


def test_a_loop_half_an_hour_late_breaks_at_pi():
    """The venue's rate, read half an hour late on a fine grid, in a loop. x' = x - a x(-m) has its edge at 2 sin(pi / (4 m + 2)), whence pi per hour."""
    late = 300

    def grows(kappa: float) -> bool:
        path = [1e-4] * (late + 1)
        for _ in range(16 * 2 * late):
            path.append(path[-1] - hourly_rate(path[-1 - late], 0.0, 0.0, 8 * kappa, math.inf) / (2 * late))
        x = np.abs(path)
        return bool(x[-8 * late :].max() > x[8 * late : 16 * late].max())

    low, high = 2.0, 4.0
    while high - low > 2e-3:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if grows(middle) else (middle, high)
    assert high == pytest.approx(math.pi, rel=5e-3)
    assert high == pytest.approx(theory.delay_thresholds().instability / 0.5, rel=5e-3)


def test_venues_are_far_inside_on_every_reading_of_the_delay():
    late, averaged = theory.delay_thresholds(), theory.averaging_thresholds()
    assert late.instability / 0.5 / (1 / 8) == pytest.approx(25.13, abs=0.01)
    assert min(2.0, late.instability / 0.5, averaged.instability) / (1 / 8) == pytest.approx(16.0)
    assert min(1.0, late.oscillation / 0.5, averaged.oscillation) / (1 / 8) == pytest.approx(2.745, abs=1e-3)
    assert ARTICLE.funding.kappa == 1 / 16


# --- what a premium is, and an open day -------------------------------------------------------------------------------------------------


def test_the_readings_of_january():
    readings = pk.data.load("xyz_market_snapshots")
    base = 0.5 * 1e-4 / 8
    assert base * theory.HOURS_PER_YEAR == pytest.approx(0.05475)
    flat = np.isclose(readings["funding_per_hour"], base, rtol=1e-9, atol=0)
    assert (len(readings), flat.sum(), (readings["premium"] > 0).sum()) == (15, 11, 15)
    assert set(readings.loc[~flat, "market"]) == {"xyz:NVDA"}
    assert readings.loc[flat, "premium"].max() < 6e-4 < 9e-4 < readings["premium"].max()
    mean = 1e4 * readings.groupby("market")["premium"].mean()
    assert mean.round(1).to_dict() == {"xyz:NVDA": 7.9, "xyz:TSLA": 2.7, "xyz:XYZ100": 4.0}
    # A long pays more interest than dollars cost, so with it the fair premium is negative for any dollar rate below 5.475 %.
    assert theory.perpetual_basis(0.0547, 0.0, 1 / 16, base) < 0 < theory.perpetual_basis(0.0548, 0.0, 1 / 16, base)


@pytest.mark.parametrize("half_life", [1 / 60, 3.0])
def test_open_premium_has_the_mean_and_the_memory_of_its_law(half_life):
    """Ornstein-Uhlenbeck in, the same out; 120 days, each bound 4.5 standard errors of daily blocks (about 1 in 100,000 a bound)."""
    pull, sd = math.log(2) / half_life, 11e-4 * math.sqrt(math.pi / 2)
    noise = sd / math.sqrt(theory.basis_variance(pull, 1.0))
    machine = pk.replace(ARTICLE, book=pk.replace(ARTICLE.book, follow_open=pull, noise_open=noise))
    clock = pk.Closure(hours=1 / 60, update_s=60.0, reopen_minutes=60 * 24 * 120 - 1)
    path = pk.simulate(machine, SAFE, clock, gap=0.0, rng=17).path
    x = np.log(path["P"] / path["O"]).values[1:].reshape(120, -1)
    for daily, expected in (
        (np.abs(x).mean(axis=1), sd * math.sqrt(2 / math.pi)),
        ((x**2).mean(axis=1), sd**2),
        ((x[:, 60:] * x[:, :-60]).mean(axis=1), sd**2 * math.exp(-pull)),
    ):
        assert abs(daily.mean() - expected) < 4.5 * daily.std(ddof=1) / math.sqrt(len(daily))


def test_the_median_mark_lies_between_oracle_and_book():
    """Oracle and local price are two of its three inputs, so wherever the third is, the mark cannot leave the interval between them."""
    machine = pk.replace(ARTICLE, mark_step=math.inf, band=pk.no_band())
    session = pk.Closure(hours=1.0, reopen_minutes=120.0, value=pk.Value(open_vol=0.0115))
    path = pk.simulate(machine, SAFE, session, gap=-0.02, rng=4).path.isel(time=slice(1, None))
    low, high = np.minimum(path["P"], path["O"]), np.maximum(path["P"], path["O"])
    assert bool(((path["M"] >= low - 1e-9) & (path["M"] <= high + 1e-9)).all())
    assert 0.05 < float((np.abs(path["M"] - path["O"]) < 1e-9).mean()) < 0.95


# --- the sort ---------------------------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), move=st.floats(-0.3, 0.3), maintenance=st.floats(0.005, 0.05))
def test_the_engine_condemns_whom_a_visit_to_every_account_condemns(seed, move, maintenance):
    """One update at a mark that has moved, against equity and maintenance worked out account by account."""
    accounts = pk.Accounts.sample(n=60, rng=seed, max_leverage=20)
    machine = pk.Machine(mark=MID, margin=pk.Margin(20.0, maintenance), book=DEEP, adl="none")
    run = pk.simulate(machine, accounts, jump(1 / 60, 0.0), gap=move)
    mark = 250 * math.exp(move)
    equity = accounts.collateral + accounts.side * accounts.size * (mark - accounts.entry)
    called = equity < maintenance * accounts.size * mark
    assert run.events.loc[run.events["kind"] == "liquidation", "accounts"].sum() == called.sum()
    sold = run.outcome["liquidated_closed"] * accounts.open_interest / 250
    assert sold == pytest.approx(accounts.size[called].sum(), rel=1e-9, abs=1e-6)
    assert run.outcome["shortfall"] * accounts.open_interest == pytest.approx(-equity[equity < 0].sum(), rel=1e-9, abs=1e-3)
