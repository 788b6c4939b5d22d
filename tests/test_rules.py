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


# --- orders with a limit ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "sign"), [("long", 1.0), ("short", -1.0)])
def test_a_trade_at_the_zero_price_leaves_the_health_as_it_was(side, sign):
    mark, rates, sizes, equity = 250.0, np.array([0.06, 0.03]), np.array([3.0, 5.0]), 40.0
    requirement = (rates * sizes * mark).sum()
    zero = pk.theory.zero_price(mark, rates[0], equity, requirement, side)
    for part in (0.1, 1.0, 3.0):
        after = (equity + sign * part * (zero - mark)) / (requirement - rates[0] * part * mark)
        assert after == pytest.approx(equity / requirement, rel=1e-12)
    # With one position it is the bankruptcy price.
    alone = pk.theory.zero_price(mark, 0.06, equity, 0.06 * 3.0 * mark, side)
    assert alone == pytest.approx(mark - sign * equity / 3.0, rel=1e-12)


def lighter(**changes) -> pk.Machine:
    fields = {
        "mark": pk.Mid(), "funding": QUIET, "liquidation": pk.zero_price(), "backstop": pk.lp_fund(0.02, 0.1, 2.0 / 3.0), "adl": "crossing",
        "margin": pk.Margin(10.0, 0.06), "book": pk.Book(depth_closed=4e6, depth_open=2e7, noise_closed=0.004, follow_closed=2.0),
    } | changes  # fmt: skip
    return pk.Machine(**fields)


CROWD = pk.Accounts.sample(200, rng=2, leverage_median=6.0, max_leverage=10.0, open_interest=1e7)


@pytest.mark.parametrize("gap", [-0.15, 0.15])
def test_no_order_fills_beyond_the_zero_price(gap):
    """So the book leaves no loss: what is beyond collateral the fund and winners take over, at the mark."""
    for weekend in range(5):
        alone = pk.simulate(lighter(backstop=pk.Backstop(), adl="none"), CROWD, pk.Closure(6.0), gap, rng=3, weekend=weekend)
        sold = alone.events[(alone.events.kind == "liquidation") & (alone.events.time < 6.25)]
        assert len(sold) > 3 and (sold.loss == 0.0).all()
        both = pk.simulate(lighter(), CROWD, pk.Closure(6.0), gap, rng=3, weekend=weekend)
        assert {"liquidation", "backstop"} <= set(both.events.kind)
        assert both.ledger.sum() == pytest.approx(0.0, abs=1e-6)


def test_one_account_sells_down_to_its_zero_price_and_the_rest_waits():
    """A long of 10x on a book of 100,000 USD a log unit: so much fills until the marginal price is its bankruptcy price, and no more."""
    accounts = pk.Accounts([1], [400.0], [PRICE], [10_000.0], PRICE)
    book = pk.replace(STILL, depth_closed=1e5, refill_closed=0.0, refill_open=0.0, depth_open=1e5)
    machine = lighter(book=book, backstop=pk.Backstop(), adl="none")
    run = pk.simulate(machine, accounts, jump(1.0, at=0.5), math.log(0.95), rng=1)
    first = run.events[run.events.kind == "liquidation"].iloc[0]
    traded, zero = PRICE * 0.95, PRICE * 0.9
    assert first["size"] == pytest.approx(1e5 * math.log(traded / zero) / traded, rel=1e-9)
    assert first["price"] == pytest.approx(math.sqrt(traded * zero), rel=1e-9)  # the average is half way, in logs
    assert float(run.path["P"].sel(time=first["time"], method="nearest")) == pytest.approx(zero, rel=1e-9)
    # Sold above its zero price, the rest is a little safer, so the next update sells a little more, further down.
    sizes = run.events.loc[run.events.kind == "liquidation", "size"].values
    assert (sizes[1:5] < 0.2 * sizes[0]).all() and sizes.sum() < 400.0


def test_the_fund_keeps_its_own_margin_and_a_depleted_shard_goes_to_winners():
    machines = {str(part): lighter(backstop=pk.lp_fund(0.05, 0.1, 2.0 / 3.0, shard=part)) for part in (1.0, 0.1, 0.01)}
    ens = pk.ensemble(machines, CROWD, pk.Closure(6.0), np.linspace(-0.3, 0.3, 64), rng=5)
    adl, lost = ens["adl_size"].mean("weekend").values, -ens["backstop"].min("weekend").values
    assert adl[0] < adl[1] < adl[2]
    assert (lost <= 0.05 * np.array([1.0, 0.1, 0.01]) + 1e-12).all()  # a shard owes what it owns
    run = pk.simulate(machines["0.1"], CROWD, pk.Closure(6.0), -0.2, rng=5)
    # Its own initial margin bounds what it holds: equity of 0.5 % of open interest over a margin of 10 %.
    assert run.events.loc[run.events.kind == "backstop", "size"].iloc[0] * PRICE / CROWD.open_interest < 0.10


def test_orders_stay_inside_the_band_and_the_remainder_waits_for_the_open():
    """edgeX at 10x: no forced fill below the last print less 10 % while closed, and the rest goes after the open."""
    book = pk.replace(STILL, depth_closed=2e6, depth_open=1e9, refill_closed=0.0)
    free = lighter(book=book, liquidation=pk.Liquidation(), backstop=pk.Backstop(), adl="none")
    held = pk.replace(free, liquidation=pk.limit_only(0.10))
    outside, inside = (pk.simulate(m, CROWD, jump(2.0, at=1.0), math.log(0.94), rng=1) for m in (free, held))
    edge = PRICE * 0.90
    low = inside.path["P"].sel(time=slice(0.0, 2.0)).min()
    assert float(outside.path["P"].sel(time=slice(0.0, 2.0)).min()) < edge * 0.99
    assert float(low) == pytest.approx(edge, rel=1e-9)
    assert (inside.events.loc[inside.events.time <= 2.0, "price"] >= edge).all()
    assert inside.outcome["liquidated_open"] > outside.outcome["liquidated_open"]


def test_profit_is_not_asked_for_where_zero_prices_cross():
    """A short that is losing on its entry but healthy takes the other side under "crossing", and not in the queue."""
    accounts = pk.Accounts([1, -1], [1.0, 1.0], [PRICE, 200.0], [PRICE / 10.0, 200.0], PRICE)
    machine = pk.Machine(mark=pk.Mid(), funding=QUIET, margin=pk.Margin(10.0, 0.06), book=STILL, oracle=pk.frozen_oracle())
    for adl, size in (("crossing", 1.0), ("queue", 0.0)):
        run = pk.simulate(pk.replace(machine, adl=adl), accounts, jump(1.0), math.log(0.85), rng=1)
        assert run.outcome["adl_size"] == pytest.approx(size)
        assert run.ledger["longs"] == pytest.approx(-PRICE / 10.0)


# --- deleveraging at its own fill -------------------------------------------------------------------------------------------------------


def test_the_loss_left_is_what_the_fund_holds():
    """Two losers of one size on a linear book: the share that must be spared solves (1 - a)(loss at the fill of what is left) = fund."""
    accounts = pk.Accounts([1, 1, -1, -1], [100.0] * 4, [PRICE] * 4, [2_500.0, 2_500.0, 25_000.0, 25_000.0], PRICE)
    book = pk.replace(STILL, depth_open=5e5, depth_closed=5e5, follow_closed=0.0)
    machine = pk.Machine(mark=pk.OracleMark(), funding=QUIET, margin=pk.Margin(10.0, 0.05), book=book, insurance=0.02, oracle=pk.frozen_oracle())
    gap = math.log(0.88)
    run = pk.simulate(machine, accounts, pk.Closure(1.0, reopen_minutes=1.0), gap, rng=1)
    from scipy.optimize import brentq

    traded, zero, fund = PRICE * 0.88, PRICE * 0.9, 0.02 * accounts.open_interest
    fill = lambda a: traded * math.exp(-(1.0 - a) * 200.0 * traded / 5e5 / 2.0)  # noqa: E731
    share = brentq(lambda a: (1.0 - a) * 200.0 * (zero - fill(a)) - fund, 0.0, 1.0, xtol=1e-15)
    assert 0.05 < share < 0.95
    assert run.outcome["adl_size"] == pytest.approx(share, rel=1e-9)
    assert run.ledger["insurance"] == pytest.approx(-fund, rel=1e-9)
    assert run.ledger["socialised"] == pytest.approx(0.0, abs=1e-6)
    at_once = 1.0 - fund / (200.0 * (zero - fill(0.0)))
    assert share < at_once - 0.01, "sized at the fill of the whole order, winners give more than they need to"


# --- batches ----------------------------------------------------------------------------------------------------------------------------

BUSY = {
    "oracle": pk.impact_oracle(0.5, step=0.005), "mark_step": 0.005, "band": pk.ratchet(0.05), "insurance": 0.002,
    "liquidation": pk.Liquidation(partial_threshold=1e5, fee=0.001), "backstop": pk.Backstop(0.01),
    "book": pk.Book(depth_closed=30e6, noise_closed=0.004, noise_open=0.005, permanent=0.3), "funding": pk.Funding(multiplier=0.5),
}  # fmt: skip


@pytest.mark.parametrize("rules", [BUSY, {k: v for k, v in BUSY.items() if k not in ("liquidation", "backstop")} | {"liquidation": pk.zero_price()}])
def test_a_verifiable_book_without_delay_or_cap_is_the_plain_book_bit_for_bit(rules):
    plain = pk.Machine(**rules)
    machines = {
        "plain": plain,
        "every update": pk.replace(plain, batch=pk.Batch(interval_s=3.0, cap=10_000, halt=(2.0, 2.0))),
        "a minute and a half": pk.replace(plain, batch=pk.Batch(interval_s=90.0)),
        "one by one": pk.replace(plain, batch=pk.Batch(cap=1)),
        "halted": pk.replace(plain, batch=pk.Batch(halt=(4.0, 6.05))),
    }
    ens = pk.ensemble(machines, pk.Accounts.sample(200), pk.Closure(6.0), np.linspace(-0.2, 0.2, 96), rng=6)
    plain, same, *others = (ens.sel(machine=name) for name in machines)
    for name in pk.OUTCOMES:
        np.testing.assert_array_equal(plain[name].values, same[name].values, err_msg=name)
    for other in others:
        assert not np.array_equal(plain["shortfall"].values, other["shortfall"].values)
    assert float(plain["liquidated_closed"].max()) > 0.05


def test_a_halted_sequencer_liquidates_nobody_and_then_everybody():
    machine = pk.Machine(**BUSY, batch=pk.Batch(halt=(1.0, 5.0)))
    closure = pk.Closure(6.0, value=pk.Value(news_share=1.0, news_hours=(2.0,)))
    machine = pk.replace(machine, book=pk.replace(machine.book, follow_closed=5.0), mark=pk.Mid(), band=pk.no_band())
    run = pk.simulate(machine, pk.Accounts.sample(200), closure, -0.12, rng=1)
    times = run.events.loc[run.events.kind.isin(["liquidation", "partial", "backstop", "adl"]), "time"]
    assert not ((times >= 1.0) & (times < 5.0 - 1e-9)).any()
    assert times.min() == pytest.approx(5.0, abs=1.0 / 60.0)
    assert float(run.path["phantom"].sel(time=slice(2.0, 4.9)).max()) > 0.0  # insolvent all the while, and nobody could act


@pytest.mark.parametrize("liquidation", [pk.Liquidation(), pk.zero_price()])
def test_a_batch_holds_no_more_than_its_cap(liquidation):
    machine = lighter(liquidation=liquidation, backstop=pk.Backstop(), batch=pk.Batch(cap=3))
    run = pk.simulate(machine, CROWD, pk.Closure(2.0), -0.15, rng=1)
    counts = run.events[(run.events.kind == "liquidation") & (run.events.time < 2.25 - 1e-9)].groupby("time")["accounts"].sum()
    assert counts.max() == 3
    assert (counts == 3).sum() > 5


# --- refund and reductions --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "gap"), [(1, -0.2), (-1, 0.2)])
def test_a_refund_makes_good_what_leaving_early_cost(side, gap):
    """One account, sold at 20 % against it while closed; the reference reopens where it stood. The venue pays the share it promises."""
    accounts = pk.Accounts([side], [2.0], [PRICE], [2.0 * PRICE / 5.0], PRICE)
    book = pk.Book(depth_closed=math.inf, depth_open=math.inf, half_spread_closed=0.0, half_spread_open=0.0, follow_closed=0.0, noise_closed=0.1)
    machine = pk.Machine(mark=pk.Mid(), funding=QUIET, margin=pk.Margin(5.0, 0.1), book=book, refund=0.25)
    hit = 0
    for weekend in range(12):
        run = pk.simulate(machine, accounts, pk.Closure(4.0), 0.0, rng=2, weekend=weekend)
        sold = run.events[run.events.kind == "liquidation"]
        if len(sold):
            price = sold["price"].iloc[0]
            kept = max(2.0 * PRICE / 5.0 + 2.0 * side * (price - PRICE), 0.0)
            claim = 2.0 * PRICE / 5.0 - kept
            assert run.ledger["venue"] == pytest.approx(-0.25 * claim, rel=1e-9)
            assert run.ledger["longs" if side > 0 else "shorts"] == pytest.approx(-0.75 * claim, rel=1e-9)
            hit += 1
        assert run.ledger.sum() == pytest.approx(0.0, abs=1e-9)
    assert hit > 3


def test_cutting_size_and_what_it_takes():
    before = pk.Accounts.sample(400, rng=4, open_interest=45e6)
    limit = 250_000.0
    after = pk.cut_size(before, limit)
    assert (after.size * PRICE <= limit * (1.0 + 1e-12)).all()
    np.testing.assert_allclose(after.collateral, before.collateral)  # all entered at the last print: nothing is realised
    took = pk.reduced(before, after)
    over = before.size[before.side > 0] * PRICE
    assert took["sold"] == pytest.approx(np.maximum(over - limit, 0.0).sum()) == pytest.approx(took["bought"])
    assert took["kept"] == pytest.approx(1.0 - took["sold"] / 45e6)
    assert took["gone"] == 0.0
    closed = pk.reduced(before, pk.cut_leverage(before, 5.0, how="close"))
    assert 0.0 < closed["gone"] < 1.0 and closed["kept"] < 1.0
    with pytest.raises(ValueError, match="grown"):
        pk.reduced(after, before)
    with pytest.raises(ValueError, match="limit is the largest"):
        pk.cut_size(before, 0.0)


def test_twice_the_market_is_twice_the_money_under_limits_too():
    """Scale: money, depth and impact notional doubled, nothing in shares of open interest moves."""
    for make in (lighter, lambda **kw: lighter(liquidation=pk.limit_only(0.05, fee=0.001), adl="queue", insurance=0.003, refund=0.5, **kw)):
        book = lighter().book
        one, two = make(), make(book=pk.replace(book, depth_closed=2 * book.depth_closed, depth_open=2 * book.depth_open), impact_notional=12_000.0)
        twice = pk.Accounts(CROWD.side, 2 * CROWD.size, CROWD.entry, 2 * CROWD.collateral, CROWD.price)
        gaps = np.linspace(-0.2, 0.2, 24)
        a, b = pk.ensemble(one, CROWD, pk.Closure(3.0), gaps, rng=2), pk.ensemble(two, twice, pk.Closure(3.0), gaps, rng=2)
        for name in pk.OUTCOMES:
            np.testing.assert_allclose(a[name].values, b[name].values, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_mirrored_side_pays_the_same_under_limits_too():
    """Prices reflected about the entry on a book of infinite depth: the short is the long's mirror, to the cent."""
    machine = lighter(book=STILL, adl="crossing", backstop=pk.lp_fund(0.05, 0.05, 2.0 / 3.0))
    for fall in (10.0, 20.0, 30.0, 40.0):
        down, up = (
            pk.simulate(machine, pk.Accounts([s], [2.0], [PRICE], [60.0]), jump(1.0, 0.5), math.log(1 - s * fall / PRICE), rng=1) for s in (1, -1)
        )
        assert down.ledger["longs"] == pytest.approx(up.ledger["shorts"], abs=1e-9)
        assert down.ledger["backstop"] == pytest.approx(up.ledger["backstop"], abs=1e-9)
        assert down.outcome["shortfall"] == pytest.approx(up.outcome["shortfall"], abs=1e-12)


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
        (lambda: pk.Liquidation(orders="stop"), "orders is one of"),
        (lambda: pk.limit_only(1.0), "order_band is a fraction"),
        (lambda: pk.Liquidation(order_band=0.1), "needs orders one by one"),
        (lambda: pk.Liquidation(1e5, orders="limit"), "slices market orders"),
        (lambda: pk.lp_fund(0.1, 2.0, 0.5), "initial margin"),
        (lambda: pk.lp_fund(0.1, 0.1, 0.5, shard=2.0), "shard is"),
        (lambda: pk.Backstop(capacity=-1.0), "capacity is"),
        (lambda: pk.Machine(backstop=pk.lp_fund(0.1, 0.1, 0.5)), "one by one"),
        (lambda: pk.Machine(refund=1.1), "refund is"),
        (lambda: pk.Batch(interval_s=-1.0), "interval_s"),
        (lambda: pk.Batch(cap=0.5), "cap counts"),
        (lambda: pk.Batch(halt=(2.0, 1.0)), "halt is two times"),
    ],
)
def test_bad_parameters_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
