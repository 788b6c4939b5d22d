"""The comparison of architectures: what is common to them, and what each does to one weekend."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr

import perpkit as pk
from perpkit import architectures, pool

CLOSURE = pk.Closure(4.0, reopen_minutes=6.0, value=pk.Value(news_share=1.0, news_hours=(2.0,)))
PEOPLE = pk.Accounts.sample(200, rng=1, max_leverage=10.0)


@pytest.mark.parametrize("skew", [0.3, 0.0, -0.5])
def test_leaning(skew):
    people = architectures.lean(PEOPLE, skew)
    longs, shorts = (people.size[people.side == s].sum() for s in (1, -1))
    assert (longs - shorts) / (longs + shorts) == pytest.approx(skew)
    assert people.open_interest == pytest.approx(PEOPLE.open_interest)
    assert people.leverage == pytest.approx(PEOPLE.leverage)


def both_ways(machines, people) -> xr.Dataset:
    return pk.ensemble(machines, people, CLOSURE, np.log1p([-0.12, 0.12]), n=2, rng=1)


def test_every_pocket_of_every_architecture_adds_up():
    ens = both_ways(architectures.architectures(), architectures.lean(PEOPLE, 0.3))
    pockets = ens[[p for p in pool.EVERY_POCKET if p in ens]].to_array("pocket")
    assert float(abs(pockets.sum("pocket")).max()) < 1e-9
    fall = pockets.isel(weekend=int(np.argmin(ens["gap"].values)))
    assert fall.sel(machine="pool, closed", pocket="junior") > 0.0 and fall.sel(machine="order book", pocket="junior") == 0.0
    # Net long traders: the pool that hedges gives the fall away and keeps the uncovered part.
    assert fall.sel(machine="pool, closed, hedged", pocket="hedge") > 0.0
    assert fall.sel(machine="pool, closed, hedged", pocket="junior") < 0.0


def test_the_same_gap_through_pools_in_closed_form():
    """Nothing acts before the first print, everybody is at 250: beyond collateral is lost what lies beyond each account's own buffer."""
    machines = {k: pk.replace(m, feed=pk.pool.Feed("none", 0.0, 0.0)) for k, m in architectures.architectures().items() if k == "pool, closed"}
    ens = pk.ensemble(machines, PEOPLE, CLOSURE, [math.log(0.88)])
    mine = PEOPLE.side > 0
    expected = (pk.theory.uncovered(0.12, PEOPLE.leverage[mine]) * PEOPLE.size[mine]).sum() * 250.0 / PEOPLE.open_interest
    assert float(ens["shortfall"].values[0, 0]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: architectures.lean(PEOPLE, 1.0), "skew"),
        (lambda: architectures.lean(pk.Accounts([1], [1.0], [250.0], [25.0]), 0.1), "one side"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_a_pool_without_a_price_shows_none():
    run = pk.simulate(architectures.architectures()["pool, closed"], PEOPLE, CLOSURE, gap=math.log(0.88), rng=1)
    assert np.isnan(run.path["P"].values[100]) and run.path["P"].values[-1] == pytest.approx(220.0, rel=1e-3)
    assert run.path["phantom_size"].sel(time=3.0) > 0.0 == run.path["phantom_size"].values[-1]


def test_batches_of_no_length_are_the_plain_book():
    machines = architectures.architectures()
    prompt = {"plain": machines["order book"], "verifiable": pk.replace(machines["verifiable book"], batch=pk.Batch(0.0))}
    ens = both_ways(prompt, PEOPLE)
    for name in ens.data_vars:
        np.testing.assert_array_equal(ens[name].sel(machine="plain"), ens[name].sel(machine="verifiable"))
