"""The comparison of architectures: what is common to them, and what each does to one weekend."""

from __future__ import annotations

import math

import numpy as np
import pytest

import perpkit as pk
from perpkit import architectures

CLOSURE = pk.Closure(4.0, reopen_minutes=6.0, value=pk.Value(news_share=1.0, news_hours=(2.0,)))
PEOPLE = pk.Accounts.sample(200, rng=1, max_leverage=10.0)


@pytest.mark.parametrize("skew", [0.3, 0.0, -0.5])
def test_leaning(skew):
    people = architectures.lean(PEOPLE, skew)
    longs, shorts = (people.size[people.side == s].sum() for s in (1, -1))
    assert (longs - shorts) / (longs + shorts) == pytest.approx(skew)
    assert people.open_interest == pytest.approx(PEOPLE.open_interest)
    assert people.leverage == pytest.approx(PEOPLE.leverage)


def test_every_pocket_of_every_architecture_adds_up():
    found = architectures.paid(architectures.architectures(), architectures.lean(PEOPLE, 0.3), CLOSURE)
    assert found.dims == ("move", "machine", "pocket") and found.sizes["move"] == 2
    assert float(abs(found.sum("pocket")).max()) < 1e-9
    fall = found.sel(move=-0.12)
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


def test_losses_are_hidden_until_somebody_pays():
    machine = architectures.architectures()["pool, closed"]
    run = pk.simulate(machine, PEOPLE, CLOSURE, gap=math.log(0.88), rng=1)
    table = architectures.losses_by_hour(run, PEOPLE.open_interest)
    before, after = table.loc[3.0], table.iloc[-1]
    assert before["hidden"] > 0.0 and before["pool"] == 0.0
    assert after["hidden"] == 0.0 and after["pool"] == pytest.approx(run.outcome["shortfall"])
    book = pk.simulate(architectures.architectures()["book, closed"], PEOPLE, CLOSURE, gap=math.log(0.88), rng=1)
    table = architectures.losses_by_hour(book, PEOPLE.open_interest)
    assert {"insurance", "winners"} <= set(table)
    assert table["insurance"].iloc[-1] == pytest.approx(-book.outcome["insurance"], rel=1e-9)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: architectures.lean(PEOPLE, 1.0), "skew"),
        (lambda: architectures.lean(pk.Accounts([1], [1.0], [250.0], [25.0]), 0.1), "one side"),
        (lambda: architectures.paid(architectures.architectures(), PEOPLE, CLOSURE, moves=(-1.5,)), "moves"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_a_picture_of_who_pays():
    import matplotlib.pyplot as plt

    found = architectures.paid(architectures.architectures(), PEOPLE, CLOSURE, moves=(-0.12,))
    fig, ax = plt.subplots()
    shares = {name: found.sel(move=-0.12, machine=name).to_series().to_dict() for name in found["machine"].values}
    pk.plots.who_pays(ax, shares)
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert "pool, junior" in labels and "venue's refund" not in labels and "backstop vault" not in labels
    lengths = np.array([bar.get_width() for bar in ax.patches])
    assert np.isfinite(lengths).all() and len(lengths) > 10
    plt.close(fig)


def test_a_picture_of_losses_by_the_clock():
    machines = architectures.architectures()
    runs = {name: pk.simulate(machines[name], PEOPLE, CLOSURE, gap=math.log(0.88), rng=1) for name in ("book, closed", "pool, closed")}
    assert np.isnan(runs["pool, closed"].path["P"].values[100]) and runs["pool, closed"].path["P"].values[-1] == pytest.approx(220.0, rel=1e-3)
    fig = pk.plots.losses({name: architectures.losses_by_hour(run, PEOPLE.open_interest) for name, run in runs.items()}, 4.0)
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert labels[0] == "hidden in open accounts" and "by the pool" in labels and "by the vault" not in labels
    assert pk.plots.svg(fig).startswith("<svg")


def test_batches_of_no_length_are_the_plain_book():
    machines = architectures.architectures()
    prompt = {"plain": machines["order book"], "verifiable": pk.replace(machines["verifiable book"], batch=pk.Batch(0.0))}
    found = architectures.paid(prompt, PEOPLE, CLOSURE)
    np.testing.assert_array_equal(found.sel(machine="plain"), found.sel(machine="verifiable"))
