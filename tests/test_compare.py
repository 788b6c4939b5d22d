"""Compare: departures sum to zero, holders to one, the map reads machines, and changes of rules are named with their values."""

import math

import numpy as np
import pytest

from perpkit import _rulebook, _words, compare, data, mark, studies, waterfall
from perpkit._book_venue import BANDS, MARKS, ORACLES
from perpkit._pool_venue import MARGINS, SIZES
from perpkit.accounts import Accounts
from perpkit.clock import Closure
from perpkit.engine import simulate
from perpkit.ensemble import ensemble
from perpkit.gaps import empirical
from perpkit.machine import Machine, replace
from perpkit.mark import Mark
from perpkit.orders import Orders
from perpkit.pool import Pool
from perpkit.venues import base_case, populations, rulebook, venue, venues

FALL, RISE = math.log(0.88), math.log(1.12)


@pytest.fixture(scope="module")
def several():
    chosen = {"book": ("trade-xyz", "TSLA", None), "proved": ("lighter", "TSLA", None), "pool": ("ostium", "TSLA", "2025-06-16"), "gmx": ("gmx-v2", "TSLA", None)}
    made = compare.machines(chosen)
    people = populations(made, n=400)
    return made, people, ensemble(made, people, base_case().closure, [FALL, RISE], n=8, rng=2)


def test_departures_sum_to_zero_and_count_every_pocket(several):
    _, _, ens = several
    for gap in (FALL, RISE):
        table = compare.who_pays(ens, gap)
        assert list(table.columns) == [*compare.GROUPS, "se"]
        assert np.abs(table[list(compare.GROUPS)].sum(axis=1)).max() < 1e-12
        assert (table["se"] > 0.0).all()
    fall = compare.who_pays(ens, FALL)
    rows = ens.isel(weekend=np.isclose(ens["gap"].values, FALL))
    assert fall.loc["book", "losers"] == pytest.approx(float(rows["longs"].sel(machine="book").mean()) + 0.12, abs=1e-12)
    assert fall.loc["pool", "pool owners"] == pytest.approx(float((rows["junior"] + rows["senior"] + rows["hedge"]).sel(machine="pool").mean()), abs=1e-15)


def test_an_attacker_is_a_group_and_a_gap_that_was_not_run_is_named(several):
    made, people, ens = several
    pushed = ensemble(made["book"], people["book"], Closure(6.0), [FALL], n=4, orders=Orders(hours=(1.0,), notional=(-1e6,)))
    table = compare.who_pays(pushed, FALL)
    assert abs(table["attacker"].iloc[0]) > 1e-5 and abs(table[list(compare.GROUPS)].sum(axis=1).iloc[0]) < 1e-12
    with pytest.raises(ValueError, match="no weekend of this ensemble has a log gap of 0.05; the nearest is"):
        compare.who_pays(ens, 0.05)


def test_holders_of_the_losing_side_sum_to_one(several):
    made, people, _ = several
    for name, machine in made.items():
        run = simulate(machine, people[name], studies.sunday(), gap=FALL, rng=3)
        held = compare.risk_held(run, people[name])
        assert np.abs(held.sum(axis=1) - 1.0).max() < 1e-9
        assert (held.to_numpy() > -1e-9).all()
        last = held.iloc[-1]
        gone = run.outcome["liquidated_closed"] + run.outcome["liquidated_open"]
        assert last[["makers", "vault or fund", "pool", "netted"]].sum() == pytest.approx(gone, rel=1e-9)
        assert (last["pool"] > 0.0) == isinstance(machine, Pool) and (last["makers"] > 0.0) == isinstance(machine, Machine)


def test_presets_are_the_newest_or_all_and_labels_tell_them_apart():
    table = venues().query("market == 'TSLA'")
    newest, dated = compare.presets(), compare.presets(dated=True)
    assert len(newest) == table["name"].nunique() and len(dated) == len(table)
    assert newest["trade-xyz"] == ("trade-xyz", "TSLA", "2026-10-05") and "trade-xyz, 2025-12" in dated and "felix" in dated
    assert all(venue(*key).asof == key[2] for key in dated.values())


def test_a_book_without_a_known_fund_gets_the_base_cases():
    made = compare.machines({"xyz": ("trade-xyz", "TSLA", None), "lighter": ("lighter", "TSLA", None)}, fund=0.01)
    assert made["xyz"].insurance == 0.01 and made["lighter"].insurance == 0.0 < made["lighter"].backstop.equity


def test_every_preset_has_a_place_on_every_axis():
    for key in compare.presets(dated=True).values():
        place = compare.regime(venue(*key))
        assert set(place) == set(compare.AXES)
        assert all(place[axis] in variants for axis, variants in compare.AXES.items()), key
    assert compare.regime(venue("trade-xyz"))["band"] == "ratchet" and compare.regime(venue("bitget"))["oracle closed"] == "dead zone"
    assert compare.regime(venue("gmx-v2-gold"))["closed market"] == "by the clock" and compare.regime(venue("gtrade"))["closed market"] == "halted"
    assert compare.regime(venue("felix"))["reopening"] == "1 %" and compare.regime(venue("edgex"))["closed market"] == "limits only"
    assert compare.regime(venue("trade-xyz"))["funding closed"] == "damped" and compare.regime(venue("qfex"))["funding closed"] == "none"
    assert compare.regime(venue("lighter"))["stands behind"] == "LP fund" and compare.regime(venue("ostium"))["leverage closed"] == "cut"
    assert compare.regime(venue("gmx-v2"))["last resort"] == "winners cut" and compare.regime(venue("synthetix-v3"))["last resort"] == "the pool"


def timid(quotes, oracle, state, params):
    return oracle


def test_every_rule_of_a_book_has_a_place():
    rules = [Mark(code, function=timid if code == mark.CUSTOM else None) for code in range(len(mark.NAMES))]
    places = [compare.regime(Machine(mark=rule)) for rule in rules] + [compare.regime(Machine(adl=adl)) for adl in waterfall.ADL]
    assert all(place[axis] in variants for place in places for axis, variants in compare.AXES.items())
    assert [compare.regime(Machine(adl=adl))["last resort"] for adl in waterfall.ADL] == list(waterfall.ADL)
    assert len({compare.regime(Machine(mark=rule))["mark"] for rule in rules}) == len(compare.AXES["mark"])


def test_a_place_without_a_source_is_known_as_such():
    assert compare.unsourced("trade-xyz") == set()
    assert {"mark", "band", "reopening", "last resort"} <= compare.unsourced("kraken") and "oracle closed" not in compare.unsourced("kraken")
    assert "last resort" not in compare.unsourced("lighter") and "closed market" not in compare.unsourced("edgex")
    for key in compare.presets(dated=True).values():
        assert compare.unsourced(*key) <= set(compare.AXES)


def test_changes_name_the_rule_and_both_values():
    assert compare.changed("trade-xyz", "TSLA", "2025-11-21", "2025-12-19") == ["multiplier of funding: 1 to 0.5"]
    assert compare.changed("lighter", "TSLA", "2026-04-01", "2026-10-01") == ["time constant of the oracle: 3,600 s to 1,800 s"]
    assert ("bitget", "2025-12-17", "2026-06-04") in compare.steps() and all(a < b for _, a, b in compare.steps())
    assert not any(name == "felix" for name, _, _ in compare.steps())


def test_two_values_share_a_scale_and_rules_have_words():
    words = [f"{name}: {word}" for name, before, after in compare.steps() for word in compare.changed(name, "TSLA", before, after)]
    assert "trade-xyz: width of the bound: 10 % to 5 % of the anchor" in words and "trade-xyz: clamp of funding: 5 bp to 3 bp per 8 h" in words
    assert "binance: oracle while closed: average of the last trade instead of frozen at the last print" in words
    assert any(word.startswith("trade-xyz: trigger of a re-anchor: new, 90 % of the way") for word in words)
    assert not any(part in word for word in words for part in ("nothing", "-ema", "-median", "of tau"))


def test_every_word_of_the_file_is_written_out():
    for key in compare.presets(dated=True).values():
        for rule, row in rulebook(*key).iterrows():
            if rule != "from" and isinstance(row["value"], str):
                assert row["value"] in _words.NAMES[rule], (key, rule)
            for other in row["instead"]:
                _words.instead(rule, other, _rulebook.units())
    stop = {"stop.guaranteed": True, "stop.loss": 0.5, "stop.share": 0.5}
    assert _words.instead("stop.guaranteed", stop, _rulebook.units()) == (
        "yes, loss at which the stop stands 50 % of collateral, open interest with a stop 50 % of open interest"
    )
    for rule, names in (("oracle.rule", ORACLES), ("mark.rule", MARKS), ("band.rule", BANDS), ("margin.rule", MARGINS), ("size.rule", SIZES)):
        assert set(_words.NAMES[rule]) == set(names)
    assert set(_words.NAMES["adl.rule"]) == set(waterfall.ADL) and set(_words.NAMES["liquidation.orders"]) == set(waterfall.ORDERS)


def test_values_in_words():
    said = {
        ("oracle.cap", 0.1, "of tau"): "10 % of τ", ("margin.max_leverage", 20.0, ""): "20x", ("oracle.step", math.inf, "of price, per update"): "none",
        ("fees.close", 0.0, "of notional"): "0 % of notional", ("payouts.max_gain", 10.0, "of collateral"): "10 times collateral",
        ("size.scale", 4.5e8, "USD"): "450 million USD", ("size.improve", 5e-9, "USD per USD"): "5\u00a0×\u00a010⁻⁹ USD per USD",
        ("oracle.tau", 0.5, "h"): "1,800 s", ("oracle.tau", 8.0, "h"): "8 h", ("funding.when_closed", True, ""): "yes",
        ("backstop.threshold", 2 / 3, "of maintenance margin"): "66.7 % of maintenance margin", ("feed.half_spread_open", 2e-4, "log price"): "2 bp",
        ("oracle.step", 0.005, "of price, per update"): "50 bp of price, per update", ("impact.notional", 6000, "USDC"): "6,000 USDC",
    }  # fmt: skip
    assert {key: _words.words(*key) for key in said} == said


def test_a_venue_has_a_name_for_figures():
    assert [compare.label(k) for k in ("trade-xyz", "trade-xyz, 2026-10", "lighter", "gmx-v2-eth")] == ["trade.xyz", "trade.xyz, Oct 2026", "Lighter", "GMX v2 ETH"]
    assert [compare.listed(k) for k in ([], ["qfex"], ["qfex", "kraken"], ["qfex", "kraken", "hip-3"])] == [
        "none", "QFEX", "QFEX and Kraken", "QFEX, Kraken and HIP-3 defaults",
    ]  # fmt: skip
    shown = [compare.label(k) for k in compare.presets(dated=True)]
    assert len(set(shown)) == len(shown)
    for wrong, says in (("trade_xyz", "nearest: 'trade-xyz'"), ("trade-xyz, soon", "'soon' is no month; write it as '2026-10'")):
        with pytest.raises(ValueError, match=says):
            compare.label(wrong)
    text = (data.folder() / "venues.toml").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="trade-xyz and bitget are both called 'trade.xyz'"):
        _rulebook.read(text.replace('label = "Bitget"', 'label = "trade.xyz"'))


def test_informed_flow_that_counts_funding_changes_books_alone():
    made = {"book": venue("edgex"), "pool": venue("ostium")}
    counted = compare.counting_funding(made)
    assert counted["pool"] is made["pool"] and counted["book"].book.carry and not made["book"].book.carry
    assert replace(counted["book"], book=made["book"].book) == made["book"]


def test_without_friction_the_three_architectures_are_one():
    accounts = Accounts.sample(n=200, rng=5, leverage_median=8.0)
    ens = ensemble(compare.frictionless(), accounts, Closure(hours=3.0, reopen_minutes=3.0), 3.0 * empirical("TSLA").gaps[:64], n=64, rng=4)
    for name in ("longs", "shorts", "shortfall", "premature", "liquidated_closed", "liquidated_open"):
        assert float((ens[name].max("machine") - ens[name].min("machine")).max()) < 1e-11, name
    assert float(ens["shortfall"].max()) > 0.0 and float(ens["liquidated_closed"].max()) > 0.0


def test_two_constants_are_swapped_and_nothing_else():
    made = compare.two_time_constants()
    assert list(made) == ["trade.xyz, 1,800 s", "trade.xyz, 300 s", "Bitget, 1,800 s", "Bitget, 300 s"]
    for name in ("trade.xyz", "Bitget"):
        slow, fast = made[f"{name}, 1,800 s"], made[f"{name}, 300 s"]
        assert slow.oracle.tau == pytest.approx(6.0 * fast.oracle.tau) and replace(slow, oracle=fast.oracle) == fast
