"""The pool engine against venues' worked examples, closed forms, and the book engine in the limit where both must say the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

import perpkit as pk
from perpkit import pool

DEEP = pk.Book(depth_open=math.inf, depth_closed=math.inf, half_spread_open=0.0, half_spread_closed=0.0, follow_open=math.inf, follow_closed=math.inf)
FREE = pool.Feed("live", half_spread_open=0.0, half_spread_closed=0.0)
SHORT = pk.Closure(hours=2.0, reopen_minutes=3.0)


def one(side: int = 1, leverage: float = 10.0, price: float = 250.0) -> pk.Accounts:
    return pk.Accounts([side], [1.0], [price], [price / leverage], price)


def traders(ens) -> np.ndarray:
    """What both sides made and did not get as shown: shape (machine, weekend)."""
    return sum(ens[name].values for name in ("longs", "shorts", "adl", "socialised", "capped", "frozen"))


# --- worked examples ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("leverage", "distance"), [(10, 0.0975), (100, 0.0075), (50, 0.0175)])
def test_ostium_liquidates_at_the_documented_distance(side, leverage, distance):
    """theta 25 %, pair maximum 100x: a 10x overnight long goes at -9.75 %, whatever the leverage 0.25 % of notional before its end."""
    machine = pk.Pool(margin=pool.share_of_maximum(0.25, 100.0))
    for move, gone in ((distance - 1e-6, 0.0), (distance + 1e-6, 1.0)):
        run = pk.simulate(machine, one(side, leverage), SHORT, gap=math.log(1 - side * move), rng=1)
        assert run.outcome["liquidated_open"] == pytest.approx(gone)
        assert run.outcome["shortfall"] == 0.0


def test_nothing_happens_without_a_price():
    """Ostium, gTrade, Avantis: the value falls by 40 % on Saturday and is back on Sunday evening; nobody is closed, some were bankrupt."""
    closure = pk.Closure(hours=4.0, reopen_minutes=3.0, value=pk.Value(news_share=1.0, news_count=2, news_hours=(1.0, 2.0)))
    run = pk.simulate(pk.Pool(), one(1, 10), closure, gap=-0.05, rng=1)
    assert not len(run.events)
    assert run.outcome["liquidated_closed"] == 0.0
    live = pk.simulate(pk.Pool(feed=pool.Feed("live")), one(1, 100), closure, gap=-0.05, rng=1)
    assert live.outcome["liquidated_closed"] == pytest.approx(1.0)


# --- the frictionless limit --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maintenance", [1e-12, 0.025])
def test_without_friction_a_pool_is_a_book(maintenance):
    """Live oracle, no spread, no fee, infinite depth: the same traders make the same money, liquidations included, on common shocks."""
    accounts = pk.Accounts.sample(n=200, rng=5, leverage_median=8.0)
    book = pk.Machine(name="book", mark=pk.Mid(), book=DEEP, funding=pk.Funding(when_closed=False), margin=pk.Margin(20.0, maintenance), adl="none")
    machine = pk.Pool(feed=FREE, margin=pool.PoolMargin(20.0, maintenance=maintenance))
    closure = pk.Closure(hours=3.0, reopen_minutes=3.0, value=pk.Value(sd=0.05, open_vol=0.02))
    gaps = np.random.default_rng(3).normal(0.0, 0.06, 200)
    ens = pk.ensemble({"book": book, "pool": machine}, accounts, closure, gaps, rng=4)
    for name in ("longs", "shorts", "shortfall", "shortfall_long", "premature", "liquidated_closed", "liquidated_open", "phantom", "generations"):
        a, b = ens[name].sel(machine="book").values, ens[name].sel(machine="pool").values
        np.testing.assert_allclose(a, b, rtol=0.0, atol=1e-11, err_msg=name)
    assert (ens["liquidated_closed"].values > 0.01).sum() > 50
    owners = ens["junior"].values + ens["senior"].values
    np.testing.assert_allclose(owners[1], -traders(ens)[1], rtol=0.0, atol=1e-12)


def test_the_pool_is_minus_its_traders_and_fees():
    accounts = pk.Accounts.sample(n=200, rng=5, leverage_median=8.0)
    machine = pk.Pool(
        feed=pool.Feed("live", half_spread_closed=0.002), margin=pool.share_of_notional(0.01, 20.0), fees=pool.Fees(close=0.001, liquidation=0.003, to_pool=0.6),
        tranches=pool.Tranches(0.02, 0.3), carry=pool.Carry(rollover=2e-5, base=5e-5, top=1e-4, protocol=0.37), hedge=pool.Hedge(0.5),
    )  # fmt: skip
    ens = pk.ensemble({"pool": machine}, accounts, SHORT, np.random.default_rng(3).normal(0.0, 0.06, 200), rng=4)
    owners = ens["junior"].values + ens["senior"].values
    fees = ens["protocol"].values
    assert fees.max() > 0.0
    np.testing.assert_allclose(owners, -traders(ens) - fees - ens["hedge"].values, rtol=0.0, atol=1e-12)
