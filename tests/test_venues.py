"""Venues: every number has a source, every set of rules runs, and the venues' own worked examples come out."""

import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from perpkit import _rulebook, base, data
from perpkit.accounts import Accounts
from perpkit.band import anchor_after, within
from perpkit.clock import Closure
from perpkit.engine import TOLERANCE, simulate
from perpkit.ensemble import ensemble
from perpkit.estimate import estimate
from perpkit.funding import PREMIA, hourly_rate, premium
from perpkit.machine import replace
from perpkit.margin import maintenance_level
from perpkit.mark import LocalMedian
from perpkit.oracle import FROZEN, IMPACT_EMA, gain
from perpkit.pool import EVERY_POCKET, Carry, Feed, Pool
from perpkit.swing import swing
from perpkit.theory import tiered_maintenance
from perpkit.value import Value
from perpkit.venues import base_case, build, rulebook, venue, venue_closure, venues

SETS = [tuple(row) for row in venues()[["name", "market", "asof"]].itertuples(index=False)]
TEXT = (data.folder() / "venues.toml").read_text(encoding="utf-8")


def pair(price=250.0, leverage=1.05, other=1.05, side=1.0):
    """One account on ``side`` at ``leverage`` and one against it, a share each: too small to move the book."""
    return Accounts([side, -side], [1.0, 1.0], [price, price], [price / leverage, price / other], price)


def pinned(machine):
    """The machine, well insured, on a deep book that stands still while closed and is at the value once open."""
    still = dict(follow_closed=0.0, noise_closed=0.0, noise_open=0.0, depth_open=math.inf, depth_closed=math.inf)
    return replace(machine, insurance=1.0, book=replace(machine.book, **still))


# The file


@pytest.mark.parametrize("name, market, asof", SETS)
def test_every_value_has_a_source_a_date_and_a_grade(name, market, asof):
    table = rulebook(name, market, asof)
    assert table["grade"].isin(_rulebook.GRADES).all()
    assert table["as_of"].str.fullmatch(r"20\d\d-\d\d(-\d\d)?").all()
    assumed = table["grade"] == "assumed"
    assert (table.loc[assumed, "source"] == "assumed").all() and (table.loc[assumed, "cite"] == "").all()
    assert table.loc[~assumed, "source"].str.startswith("https://").all()
    assert table["value"].notna().all() and (table["what"] != "").all()


@pytest.mark.parametrize("name, market, asof", SETS)
def test_an_assumption_says_what_was_not_found_and_what_stands_in(name, market, asof):
    table = rulebook(name, market, asof)
    notes = table.loc[table["grade"] == "assumed", "note"]
    assert notes.str.startswith("Not found: ").all()
    assert notes.str.contains("[Aa]ssumed", regex=True).all()


def test_no_source_is_listed_in_vain():
    cited = {cite for row in SETS for cite in rulebook(*row)["cite"]} - {""}
    cited |= {house.end["source"] for house in _rulebook.shipped()[0].values() if house.end}
    assert cited == set(_rulebook.shipped()[1])


def test_what_was_looked_for_and_not_found_stays_visible():
    unknown = {"impact.notional", "insurance.size", "backstop.capacity", "band.trigger"}
    table = rulebook("trade-xyz")
    assert set(table.index[table["grade"] == "assumed"]) == unknown
    assert table.loc["impact.notional", "value"] == 6_000 and table.loc["insurance.size", "value"] == 0.0
    for name in ("hip-3", "hyperliquid-core"):
        other = rulebook(name)
        assert other.loc["oracle.rule", ["value", "grade"]].tolist() == ["frozen", "assumed"]
        assert other.loc["margin.max_leverage", "grade"] == "assumed"


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('grade = "measured"', 'grade = "seen"', "funding.premium has grade 'seen'; it is one of docs"),
        ('source = "tradexyz-tau"', 'source = "tradexyz-tao"', "'tradexyz-tao', which .* does not list; nearest: 'tradexyz-tau'"),
        ('as_of = "2025-11-21"\ngrade', "grade", "trade-xyz: oracle.tau lacks as_of"),
        ('as_of = "2025-11-21"', 'as_of = "Nov 2025"', "as_of 'Nov 2025'; write a day or a month"),
        ("[trade-xyz.rules.oracle.cap]", "[trade-xyz.rules.oracle.kap]", "trade-xyz: oracle.kap is no rule; nearest: 'oracle.cap'"),
        ("value = { TSLA = 20.0, NVDA = 20.0, ", "value = { ", "max_leverage is given for XYZ100; the venue's markets are TSLA, NVDA, XYZ100"),
        ("instead = { TSLA = [20.0], NVDA = [20.0], ", "instead = { ", "max_leverage is given for XYZ100; the venue's markets are TSLA, NVDA, XYZ100"),
        ("value = 2025-12-19", "value = 2025-11-01", "the set from 2025-11-01 stands after the one from 2025-11-21"),
        ('based_on = "hip-3"', 'based_on = "hip3"', "trade-xyz is based on 'hip3'"),
        ("value = 2025-10-13", 'value = "2025-10-13"', "write a date without quotes"),
        ('unit = "of tau"', 'units = "of tau"', "oracle.cap has units; a value has as_of"),
        ('source = "tradexyz-adl"', 'source = "assumed"', "what is assumed has no source"),
        ("instead = [0.005, 0.02]\nnote", "note", "hyperliquid: insurance.size is assumed without an alternative"),
        ('"oracle.rule" = "impact-ema"', '"oracle.role" = "impact-ema"', "an alternative with oracle.role, which is no rule; nearest: 'oracle.rule'"),
        ('engine = "pool"', 'engine = "vault"', "common-pool has engine 'vault'; it is one of book, pool"),
        ("ended = { value = 2026-06-20", "ended = { value = 2025-06-20", "felix: ended on 2025-06-20, before its last rules"),
    ],
)
def test_a_slip_in_the_file_is_named(old, new, message):
    assert old in TEXT
    with pytest.raises(ValueError, match=message):
        _rulebook.read(TEXT.replace(old, new, 1))


OWN = """
[test-house]
based_on = "common-book"
title = "Test house"
architecture = "order book"
markets = ["AAPL"]
[[test-house.rules]]
from = { value = 2026-11-23, source = "tradexyz-oracle", as_of = "2026-11", grade = "docs" }
"""


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('title = "Test house"\n', "", r"test-house lacks title; .*\[\[test-house.rules\]\]"),
        ('title = "Test house"\narchitecture = "order book"\n', "", "test-house lacks architecture, title"),
        ("title", "titel", "test-house lacks title"),
        ("title =", 'titel = ""\ntitle =', "test-house has titel; a venue has title, architecture"),
        ("[[test-house.rules]]", "[test-house.rules]", r"write \[\[test-house.rules\]\], with two brackets"),
        (OWN[OWN.index("[[") :], "rules = []", r"write \[\[test-house.rules\]\]"),
        ('["AAPL"]', '"AAPL"', "test-house: markets is 'AAPL'; write a list of words"),
        ("title", "ended = 2026-12-01\ntitle", "test-house: ended is .*; write { value = ..., source"),
        ('"common-book"', '["common-book"]', "test-house: based_on is .*; write a word"),
        ("from =", "margin.max_leverage = 20\nfrom =", "test-house: margin.max_leverage is 20, without its source; write { value"),
        ("from =", "margin = 20\nfrom =", "test-house: margin is no rule"),
        ('"tradexyz-oracle"', '["a"]', r"source \['a'\], which"),
        ('"common-book"', '"trade-xyz"', r"closed_hours, .* of trade-xyz are given for TSLA, NVDA, XYZ100 and not for AAPL; state them in \[\["),
        ('"tradexyz-oracle"', '"assumed"', "has grade 'docs' and source 'assumed'"),
        ('source = "tradexyz-oracle", as_of = "2026-11", grade = "docs"', 'source = "assumed", as_of = "2026-11", grade = "assumed", note = "the day is a guess"',
         "test-house: from is assumed without a note .*'Not found: ... is assumed.'"),
    ],
)  # fmt: skip
def test_a_slip_in_a_venue_of_ones_own_is_named(old, new, message):
    assert "test-house" in _rulebook.read(TEXT + OWN)[0] and old in OWN
    with pytest.raises(ValueError, match=message):
        _rulebook.read(TEXT + OWN.replace(old, new, 1))
    with pytest.raises(ValueError, match=r"other is 5; a venue is a table, \[other\]"):
        _rulebook.read("other = 5\n" + TEXT)


def test_rules_that_are_missing_are_named_together(monkeypatch):
    house = _rulebook.read(TEXT + OWN.replace('based_on = "common-book"\n', ""))[0]["test-house"]
    monkeypatch.setitem(_rulebook.shipped()[0], "test-house", house)
    with pytest.raises(ValueError, match="test-house from .* states no oracle.step, oracle.rule, .*mark.rule, .*impact.notional, which .*add them"):
        venue("test-house", "AAPL")
    rules = {key: record for key, record in venue_rules("trade-xyz").items() if key not in ("oracle.tau", "adl.rule")}
    with pytest.raises(ValueError, match="test-house states no oracle.tau, adl.rule, which"):
        build("trade-xyz", "TSLA", _rulebook.Values("test-house", rules))


def venue_rules(name, market="TSLA"):
    return dict(_rulebook.values(name, market, None))


def test_an_assumption_without_a_note_and_a_missing_rule_are_named():
    bare = "\n".join(line for line in TEXT.splitlines() if not line.startswith('note = "Not found: the size'))
    with pytest.raises(ValueError, match="backstop.capacity is assumed without a note"):
        _rulebook.read(bare)
    with pytest.raises(ValueError, match="x from 2026-01-01 states no oracle.tau, which its other rules need; add it to"):
        _rulebook.Values("x from 2026-01-01", {})["oracle.tau"]


# Picking


def test_rules_are_those_in_force_on_the_day():
    launch, article, today = (venue("trade-xyz", "TSLA", day) for day in ("2025-10-31", "2025-12-21", None))
    assert [m.asof for m in (launch, article, today)] == ["2025-10-13", "2025-12-19", "2026-10-05"]
    assert [m.oracle.tau for m in (launch, article, today)] == [8.0, 1.0, 0.5]
    assert [m.funding.multiplier for m in (launch, article, today)] == [1.0, 0.5, 0.5]
    assert [m.funding.clamp_8h for m in (launch, article, today)] == [5e-4, 5e-4, 3e-4]
    assert [m.margin.max_leverage for m in (launch, article, today)] == [10.0, 10.0, 20.0]
    assert [(m.band.width, m.band.resets) for m in (launch, article, today)] == [(0.10, 0), (0.10, 0), (0.05, 2)]
    assert launch.backstop.capacity == article.backstop.capacity == 0.0 < today.backstop.capacity
    for machine in (launch, article, today):
        assert machine.oracle.kind == IMPACT_EMA and machine.oracle.cap == 0.1
        assert machine.oracle.step == machine.mark_step == 0.005
        assert machine.margin.maintenance == 0.5 / machine.margin.max_leverage
    # The day itself counts; the day before has the rules of before. The changes of 2025-11-21 and 2026-04-30 are apart.
    assert venue("trade-xyz", asof="2025-12-19") == article
    assert venue("trade-xyz", asof="2025-12-18").funding.multiplier == 1.0 and venue("trade-xyz", asof="2025-12-18").oracle.tau == 1.0
    assert venue("trade-xyz", asof="2025-11-20") == launch
    assert venue("trade-xyz", asof="2026-05-01").oracle.tau == 0.5 and venue("trade-xyz", asof="2026-05-01").margin.max_leverage == 10.0


def test_a_market_has_its_own_cap_bound_and_hours():
    """XYZ100: 25x and 4 % in 2025, 30x, 3.5 % and one re-anchor in October 2026, so at most 7.12 % up and 6.88 % down."""
    old, new = (venue("trade-xyz", "XYZ100", day) for day in ("2025-12-21", None))
    assert (old.margin.max_leverage, old.band.width, old.band.resets) == (25.0, 0.04, 0)
    assert (new.margin.max_leverage, new.band.width, new.band.resets) == (30.0, 0.035, 1)
    assert (round(1.035**2, 4), round(0.965**2, 4)) == (1.0712, 0.9312) and venue_closure("trade-xyz", "XYZ100").hours == 49.0
    assert rulebook("trade-xyz", "XYZ100", "2026-05-01").loc["margin.max_leverage", "instead"] == (30.0,)
    assert rulebook("trade-xyz", "TSLA", "2026-05-01").loc["margin.max_leverage", "instead"] == (20.0,)


def test_the_other_two_have_the_rules_of_their_pages():
    core, hip3 = venue("hyperliquid-core"), venue("hip-3", "NVDA")
    assert (core.funding.premium, core.funding.clamp_8h, core.mark_step) == ("dead-zone", 5e-4, math.inf)
    assert (hip3.funding.premium, hip3.funding.clamp_8h, hip3.mark_step) == ("impact-mid", 3e-4, 0.01)
    assert (hip3.market, hip3.asof) == ("NVDA", "2026-10-01")
    for machine in (core, hip3):
        assert machine.oracle.kind == FROZEN and machine.band.width == math.inf
    for machine in (core, hip3, venue("trade-xyz")):
        sale = machine.liquidation
        assert (sale.partial_threshold, sale.partial_share, sale.cooldown_s, sale.fee) == (100_000, 0.2, 30.0, 0.0)
        assert machine.backstop.threshold == 2.0 / 3.0 and machine.adl == "queue" and machine.funding.cap_per_hour == 0.04
        assert machine.book == base.book()


def test_errors_name_the_nearest_choice_or_the_first_day():
    with pytest.raises(ValueError, match="no venue 'trade_xyz'; nearest: 'trade-xyz'"):
        venue("trade_xyz")
    with pytest.raises(ValueError, match="no venue 'nowhere'; choose one of 'hyperliquid-core', 'hip-3', 'trade-xyz'"):
        venue("nowhere")
    with pytest.raises(ValueError, match="'trade-xyz' has no market 'tsla' here; nearest: 'TSLA'"):
        rulebook("trade-xyz", "tsla")
    with pytest.raises(ValueError, match="hold from 2025-10-13, after 2025-10-12"):
        venue("trade-xyz", "NVDA", "2025-10-12")
    with pytest.raises(ValueError, match="asof: 'last week' is no date"):
        venue("trade-xyz", asof="last week")
    with pytest.raises(ValueError, match="'felix' traded until 2026-06-20, not on 2026-06-20 .*settled.*give a day from 2025-11-13"):
        venue("felix", "TSLA", "2026-06-20")
    with pytest.raises(ValueError, match="'felix' has no market 'NVDA' here"):
        venue("felix", "NVDA")
    with pytest.raises(ValueError, match="'trade-xyz' has no market 'XYZ10' here; nearest: 'XYZ100'"):
        venue("trade-xyz", "XYZ10")
    assert venue("felix", asof="2026-06-19") == venue("felix")
    with pytest.raises(ValueError, match="'binance' .*hold from 2026-01-28, after 2025-12-21"):
        venue("binance", asof="2025-12-21")
    with pytest.raises(ValueError, match="no venue 'ostum'; nearest: 'ostium'"):
        venue("ostum")


# Running


@pytest.mark.parametrize("name, market, asof", SETS)
def test_every_set_of_rules_runs_a_weekend(name, market, asof):
    machine = venue(name, market, asof)
    accounts = Accounts.sample(n=200, max_leverage=machine.margin.max_leverage)
    closure = base_case().closure
    run = simulate(machine, accounts, closure, gap=-0.10, rng=3)
    assert run.outcome["imbalance"] <= TOLERANCE
    assert abs(run.ledger.sum()) <= TOLERANCE * accounts.open_interest
    if machine.margin.max_leverage > 5.0:  # 5x of Felix and Binance's launch survive a tenth
        assert run.outcome["liquidated_closed"] + run.outcome["liquidated_open"] > 0.0
    if isinstance(machine, Pool):
        return
    shut = run.path.sel(time=slice(0.0, closure.hours))
    if machine.oracle.kind == FROZEN:
        assert (shut["O"] == accounts.price).all()
    assert (np.abs(shut["O"] / accounts.price - 1.0) <= machine.oracle.wall * (1.0 + 1e-12)).all()
    if machine.band.width < math.inf and not machine.band.follows:
        reach = machine.band.width if not machine.band.resets else (1.0 + machine.band.width) ** (machine.band.resets + 1) - 1.0
        assert (np.abs(shut["M"] / accounts.price - 1.0) <= reach * (1.0 + 1e-12)).all()
        held = {kind for kind in run.events["kind"] if kind == "re-anchor"}
        assert held <= ({"re-anchor"} if machine.band.resets else set())


def test_all_venues_and_dates_go_through_one_ensemble_on_common_shocks():
    machines = {" ".join(row): venue(*row) for row in SETS}
    holders = {k: Accounts.sample(n=100, max_leverage=m.margin.max_leverage) for k, m in machines.items()}
    ens = ensemble(machines, holders, base_case().closure, [-0.128, 0.113], n=4, rng=5)
    assert ens.sizes["machine"] == len(SETS) >= 60 and ens.sizes["weekend"] == 4
    books = [k for k, m in machines.items() if not isinstance(m, Pool)]
    assert float(np.abs(ens[list(EVERY_POCKET)].to_array().sum("variable")).max()) < 1e-9
    assert (ens["junior"].sel(machine=books) == 0.0).all()
    alone = ensemble({"x": machines[books[0]]}, {"x": holders[books[0]]}, base_case().closure, [-0.128, 0.113], n=4, rng=5)
    assert (alone["shortfall"].sel(machine="x").values == ens["shortfall"].sel(machine=books[0]).values).all()


def test_every_assumption_has_a_swing():
    """Each alternative makes a machine that runs, and each assumption of each set appears; small populations, two weekends each way."""
    moved = set()
    for name, market, asof in SETS:
        if market == "NVDA":  # the same assumptions as TSLA
            continue
        table = rulebook(name, market, asof)
        assumed = set(table.index[(table["grade"] == "assumed") & (table.index != "from")])
        done = swing(name, market, asof, n=4, accounts=60)
        assert set(done["rule"]) == assumed, name
        assert np.isfinite(done[["stands", "change", "se"]].to_numpy()).all()
        moved |= set(done.loc[done["change"] != 0.0, "rule"])
    assert len(moved) > 20


def test_swing_reads_every_alternative_of_the_clock(monkeypatch):
    house = _rulebook.shipped()[0]["trade-xyz"]
    for rules in house.sets:
        monkeypatch.setitem(rules, "clock.update_s", dict(rules["clock.update_s"], source="assumed", grade="assumed", instead=[1.0]))
    done = swing("trade-xyz", gaps=np.array([-0.128]), n=4, accounts=60).set_index("rule").loc["clock.update_s"]
    assert done["change"] != 0.0


def test_swing_changes_one_thing_and_compares_it_on_the_same_weekends():
    done = swing("trade-xyz", gaps=np.array([-0.128]), n=8, accounts=400, rng=3).set_index("instead")
    case = venue("trade-xyz")
    holders = Accounts.sample(400, rng=3, max_leverage=20.0, open_interest=base.OPEN_INTEREST)
    both = {"a": case, "b": replace(case, insurance=0.02)}
    ens = ensemble(both, holders, venue_closure("trade-xyz"), np.array([-0.128]), n=8, rng=3)["shortfall"]
    expected = estimate(ens.sel(machine="b"), minus=ens.sel(machine="a"))
    row = done[done["rule"] == "insurance.size"].loc["2 % of open interest"]
    assert (row["change"], row["se"]) == (expected.value, expected.se)
    with pytest.raises(ValueError, match="no venue 'trade_xyz'"):
        swing("trade_xyz")


def test_two_dates_of_one_venue_part_on_the_same_weekend():
    """The launch oracle lags the book sixteen times as long as today's, so under the same shocks its premium is wider."""
    case, wide = base_case(), []
    for asof in ("2025-10-31", None):
        path = simulate(venue("trade-xyz", asof=asof), pair(), case.closure, gap=-0.03, rng=5).path.sel(time=slice(1.0, case.closure.hours))
        wide.append(float(np.abs(path["P"] / path["O"] - 1.0).mean()))
    assert wide[0] > 2.0 * wide[1]


def test_a_venue_travels_by_value():
    core = venue("hyperliquid-core")
    there = pickle.loads(pickle.dumps(core))
    one, other = (simulate(m, pair(), base_case().closure, gap=-0.05, rng=2) for m in (core, there))
    assert one.path.identical(other.path)


# Worked examples


def test_ratchet_of_trade_xyz_from_100():
    """Discovery bounds page: triggers 104.50 and 109.73, ceiling 115.76, floor 85.74 for 5 %, 0.9 and two re-anchors."""
    band = venue("trade-xyz").band
    for sign, triggers, edge in ((1.0, (104.50, 109.725), 115.7625), (-1.0, (95.50, 90.725), 85.7375)):
        anchor, ups, downs = 100.0, 0.0, 0.0
        for k, trigger in enumerate(triggers):
            assert anchor * (1.0 + sign * band.width * band.trigger) == pytest.approx(trigger, rel=1e-12)
            for oracle, moved in ((trigger - sign * 1e-6, k), (trigger + sign * 1e-6, k + 1)):
                anchor, ups, downs = anchor_after(anchor, ups, downs, oracle, band.width, band.trigger, float(band.resets))
                assert (ups if sign > 0 else downs) == moved
        anchor, ups, downs = anchor_after(anchor, ups, downs, anchor * (1.0 + sign * 0.5), band.width, band.trigger, float(band.resets))
        assert within(anchor * (1.0 + sign), anchor, band.width) == pytest.approx(edge, rel=1e-12)
        assert round(edge, 2) in (115.76, 85.74)


def test_first_bound_of_trade_xyz_in_the_engine():
    """10x and a static bound: while closed the mark stays within 10 % of Friday, wherever the book goes."""
    machine = venue("trade-xyz", asof="2025-12-21")
    machine = replace(machine, book=replace(machine.book, follow_closed=1.0, noise_closed=0.0))
    closure = Closure(value=Value(news_share=1.0, news_hours=(6.0,)))
    shut = simulate(machine, pair(), closure, gap=-0.25, rng=1).path.sel(time=slice(0.0, closure.hours))
    assert float(shut["M"].min()) == pytest.approx(225.0, rel=1e-12)
    assert float(shut["P"].min()) < 0.85 * 250.0


@pytest.mark.parametrize("asof, leverage", [("2025-12-21", 10.0), ("2025-12-21", 6.7), (None, 20.0), (None, 12.0)])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_liquidation_price_of_hyperliquid_is_where_the_engine_acts(asof, leverage, side):
    """Liquidations page: p - side * available / size / (1 - l side), available = isolated margin less maintenance, l = maintenance rate."""
    machine = pinned(replace(venue("trade-xyz", asof=asof), funding=replace(venue("trade-xyz").funding, when_closed=False)))
    rate, price, size = machine.margin.maintenance, 250.0, 1.0
    available = price / leverage - rate * price * size
    expected = price - side * available / size / (1.0 - rate * side)
    bankrupt = price - side * price / leverage
    assert maintenance_level(side, expected, 0.0, rate) == pytest.approx(side * bankrupt, rel=1e-12)
    run = simulate(machine, pair(leverage=leverage, side=side), Closure(hours=1.0, value=Value(news_share=0.0)), gap=-side * 0.2, rng=1)
    event = run.events[run.events["kind"] == "liquidation"].iloc[0]
    mark = run.path["M"].to_numpy()
    at = int(np.argmin(np.abs(run.path["time"].to_numpy() - event["time"])))
    assert side * mark[at] < side * expected <= side * mark[at - 1]
    assert event["side"] == ("long" if side > 0 else "short")


def test_liquidation_prices_of_the_article():
    """10x with 5 % and 20x with 2.5 %, long from 250: 236.84 and 243.59."""
    for asof, expected in (("2025-12-21", 236.84), (None, 243.59)):
        margin = venue("trade-xyz", asof=asof).margin
        assert round(250.0 * (1.0 - 1.0 / margin.max_leverage) / (1.0 - margin.maintenance), 2) == expected


@pytest.mark.parametrize(
    "bp, per_hour",
    [
        (0.0, 6.25e-6),  # interest alone: 0.5 x 1e-4 / 8
        (4.0, 6.25e-6),  # the edge of the flat part: 1e-4 + 3e-4
        (4.66, 0.5 * 1.66e-4 / 8.0),  # xyz:TSLA's premium on 2026-09-23
        (-2.0, 6.25e-6),
        (-10.0, -0.5 * 7e-4 / 8.0),
        (100.0, 0.5 * 97e-4 / 8.0),  # 2.91 % over 48 hours
        (8_000.0, 0.04),  # the cap
    ],
)
def test_funding_of_trade_xyz_by_hand(bp, per_hour):
    rule = venue("trade-xyz").funding
    assert hourly_rate(bp * 1e-4, rule.interest_8h, rule.clamp_8h, rule.multiplier, rule.cap_per_hour) == pytest.approx(per_hour, rel=1e-9)


def test_funding_of_hyperliquid_by_hand():
    """Funding page: an impact bid 1 % above the oracle makes 0.95 % per 8 hours."""
    rule = venue("hyperliquid-core").funding
    seen = premium(PREMIA[rule.premium], 10_000.0, 10_100.0, 10_105.0)
    assert hourly_rate(seen, rule.interest_8h, rule.clamp_8h, rule.multiplier, rule.cap_per_hour) == pytest.approx(0.0095 / 8.0, rel=1e-12)


def test_premium_form_and_multiplier_of_trade_xyz_in_its_own_data():
    table, rule = data.load("xyz_market_snapshots"), venue("trade-xyz", asof="2026-01-16").funding
    quotes = table[["oracle", "impact_bid", "impact_ask"]].to_numpy(float)
    ours = np.array([premium(PREMIA[rule.premium], *row) for row in quotes])
    assert np.abs(ours - table["premium"]).max() < 1e-9
    dead_zone = np.array([premium(PREMIA["dead-zone"], *row) for row in quotes])
    assert (np.abs(dead_zone - table["premium"]) > 1e-6).all()
    flat = table["funding_per_hour"] == hourly_rate(0.0, rule.interest_8h, rule.clamp_8h, rule.multiplier, rule.cap_per_hour)
    assert len(table) == 15 and flat.sum() == 11
    assert (table.loc[table["market"] != "xyz:XYZ100", "max_leverage"] == venue("trade-xyz", asof="2026-01-16").margin.max_leverage).all()


def test_weight_of_one_update_of_the_oracle():
    """3 s against 30 min: 0.167 %; against 8 h a sixteenth of it. The cap binds only after a stall of 3 min."""
    oracle, launch = venue("trade-xyz").oracle, venue("trade-xyz", asof="2025-10-31").oracle
    assert round(gain(oracle, 3.0, 1), 5) == 0.00167
    assert gain(oracle, 3.0, 1) / gain(launch, 3.0, 1) == pytest.approx(16.0, rel=1e-3)
    assert gain(oracle, 180.0, 1) == gain(oracle, 3_600.0, 1) == pytest.approx(1.0 - math.exp(-0.1))


def test_mark_of_hyperliquid_has_the_constants_of_its_page():
    """Oracle plus basis of 150 s, local price, and its 30 s average; that the rule takes their median is tested with the rules."""
    assert venue("hyperliquid-core").mark == LocalMedian(30.0, 150.0)


def test_ostium_closes_a_10x_overnight_long_at_minus_975():
    """Contract v1.2.4: theta 25 %, maximum 100x, so that 0.25 % of notional is left whatever the leverage; the first print liquidates."""
    for asof, bridge in (("2025-06-16", 1.0), (None, 1.0)):
        pool = replace(venue("ostium", asof=asof), carry=Carry(), feed=Feed(half_spread_open=0.0, half_spread_closed=0.0))
        closure = Closure(hours=65.0, reopen_minutes=1.0, value=Value(news_share=bridge, news_hours=(1.0,), open_vol=0.0))
        for move, gone in ((-0.0974, False), (-0.0976, True)):
            run = simulate(pool, pair(leverage=10.0), closure, gap=math.log1p(move), rng=1)
            assert bool(len(run.events[run.events["kind"] == "liquidation"])) == gone


@pytest.mark.parametrize(
    "name, asof, leverage, move",
    [
        ("gtrade", None, 10.0, 0.09),  # nine tenths of the collateral; the vault loses beyond 10 %
        ("avantis", "2024-05-31", 10.0, 0.09),
        ("avantis", None, 25.0, 0.034),  # 85 %
        ("gmx-v2", None, 25.0, 0.04 - 0.01 - 0.0006),  # 1 % of size and the closing fee must be left
        ("gmx-v2-eth", None, 25.0, 0.04 - 0.005 - 0.0006),
        ("gmx-v1", None, 25.0, 0.02),  # leverage passes 50x
    ],
)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_adverse_move_that_a_pool_liquidates_at(name, asof, leverage, move, side):
    """Contracts and pages: the distance from entry, without carry and spread, at which a position goes."""
    pool = replace(venue(name, asof=asof), carry=Carry(), feed=Feed(half_spread_open=0.0, half_spread_closed=0.0))
    closure = Closure(hours=1.0, reopen_minutes=1.0, value=Value(news_share=1.0, news_hours=(0.5,), open_vol=0.0))
    for way, gone in ((move - 1e-4, False), (move + 1e-4, True)):
        run = simulate(pool, pair(leverage=leverage, side=side), closure, gap=math.log1p(-side * way), rng=1)
        assert bool(run.outcome["liquidated_open"] > 0.0) == gone


def test_gmx_gold_is_liquidated_by_the_clock_above_94x():
    """Client table of 2026-06-26: 1 % of size and 6 bp must be left off-hours, half a per cent and 2 bp in hours. Nothing moves."""
    pool = replace(venue("gmx-v2-gold"), carry=Carry(), feed=Feed("perp", half_spread_open=0.0, half_spread_closed=0.0))
    pool = replace(pool, book=replace(pool.book, follow_closed=0.0, noise_closed=0.0))
    closure = Closure(hours=1.0, reopen_minutes=1.0, value=Value(sd=1e-9, open_vol=0.0))
    for leverage, gone in ((93.0, False), (96.0, True)):
        run = simulate(pool, pair(leverage=leverage), closure, gap=0.0, rng=1)
        assert bool(run.outcome["liquidated_closed"] > 0.0) == bool(run.outcome["timed"] > 0.0) == gone
    assert 1.0 / pool.margin_closed.cushion == pytest.approx(94.3, abs=0.1)


def test_hyperliquid_maintenance_tiers():
    """Margin tiers page: rate_n - deduction_n is continuous. BTC, 40x to 150 million USD and 20x above: 200 million need 3.125 million."""
    lowers, leverage = [0.0, 150e6], [40.0, 20.0]
    assert tiered_maintenance(200e6, lowers, leverage) == pytest.approx(200e6 * 0.025 - 150e6 * (0.025 - 0.0125), rel=1e-12)
    edge = tiered_maintenance(np.array([150e6 - 1e-3, 150e6 + 1e-3]), lowers, leverage)
    assert edge[1] - edge[0] == pytest.approx(2e-3 * 0.01875, rel=1e-4)
    assert tiered_maintenance(60e3, [0.0], [20.0]) == pytest.approx(60e3 * venue("trade-xyz").margin.maintenance)
    with pytest.raises(ValueError, match="lower ends start at 0 and rise"):
        tiered_maintenance(1e6, [1.0, 2.0], leverage)
    with pytest.raises(ValueError, match="leverage falls from tier to tier"):
        tiered_maintenance(1e6, lowers, [20.0, 40.0])


def test_bitget_is_trade_xyz_six_times_as_fast():
    ours, theirs = venue("trade-xyz").oracle, venue("bitget").oracle
    assert (ours.kind, ours.cap) == (theirs.kind, theirs.cap) and ours.tau / theirs.tau == pytest.approx(6.0)
    assert theirs.wall == 0.10 and ours.wall == math.inf


def test_bands_that_hang_on_leverage():
    """Lighter: 0.75 / L for the mark and half a per cent less for the index; edgeX and trade.xyz v1: 1 / L; Felix: at most 20 %."""
    for name, asof, share, inset in (("lighter", None, 0.75, 0.005), ("edgex", None, 1.0, None), ("trade-xyz", "2025-12-21", 1.0, None)):
        machine = venue(name, asof=asof)
        assert machine.band.width == pytest.approx(share / machine.margin.max_leverage)
        if inset is not None:
            assert machine.oracle.wall == pytest.approx(machine.band.width - inset)
    assert venue("felix").band.width == min(1.0 / venue("felix").margin.max_leverage, 0.20)
    today = venue("trade-xyz")
    assert today.margin.max_leverage == 20.0 and today.band.width == pytest.approx(1.0 / today.margin.max_leverage) == pytest.approx(0.05)


# Base case


def test_base_case_is_the_newest_machine_with_a_fund():
    case = base_case()
    assert replace(case.machine, insurance=0.0) == venue("trade-xyz", "TSLA")
    assert case.machine.insurance == 0.005
    assert case.accounts.open_interest == pytest.approx(45e6) and len(case.accounts) == 2_000
    assert case.accounts.leverage.max() <= case.machine.margin.max_leverage == 20.0
    assert (case.closure.hours, case.closure.update_s) == (48.0, 3.0)
    assert round(case.closure.value.sd, 4) == 0.0244 and round(case.closure.value.open_vol, 4) == 0.0115
    assert len(case.gaps) == 828
    assert base.ORACLE_TAU == case.machine.oracle.tau and base.IMPACT_NOTIONAL == case.machine.impact_notional
    assert base.CLOSED_HOURS == case.closure.hours


def test_book_stands_in_the_middle_of_what_is_published():
    book = base.book()
    low, high = base.DEPTH_OVER_INTEREST
    ratio = book.depth_closed / base.OPEN_INTEREST
    assert ratio / low == pytest.approx(high / ratio) and low < ratio < high
    half_life = math.log(2.0) / book.refill_closed
    assert half_life == pytest.approx(math.sqrt(5.0 * 480.0) / 60.0)
    assert base.captured(book.follow_closed, 48.0) == pytest.approx(0.675)
    assert base.DEPTH_OPEN == pytest.approx(344_518 / 2.0 / 0.0025, rel=0.01)
    held = data.load("xyz_market_snapshots").query("market == 'xyz:TSLA'")
    assert held["open_interest_usd"].between(20e6, 25e6).all()
    width = (held["impact_ask"] - held["impact_bid"]) / held["oracle"]
    ours = 2.0 * (book.half_spread_open + base.IMPACT_NOTIONAL / book.depth_open)
    assert width.min() < ours < width.max()


def test_price_has_the_middle_share_of_the_gap_when_the_reference_reopens():
    """Without noise, and the gap's two signs in turn so that the value's own path cancels: exact up to the times of the news."""
    case = base_case()
    machine = replace(case.machine, book=replace(case.machine.book, noise_closed=0.0))
    closure = replace(case.closure, value=replace(case.closure.value, news_count=400))
    for weekend in range(3):
        up, down = (
            math.log(float(simulate(machine, pair(), closure, gap, rng=4, weekend=weekend).path["P"].sel(time=48.0))) for gap in (0.02, -0.02)
        )
        # 400 items at uniform times, half the gap: standard error 0.5 * 0.29 / 20 = 0.007; five of them fail 3 runs in two million.
        assert (up - down) / 0.04 == pytest.approx(0.675, abs=0.036)


def _closed_premium(machine, case, seed, weekends=48):
    """Mean absolute premium of each weekend while closed, and of its hourly averages; typical gaps."""
    gaps = case.gaps.stratified(weekends, np.random.default_rng(seed))
    steps, levels, hourly = case.closure.closed_steps, [], []
    for k, gap in enumerate(gaps):
        path = simulate(machine, pair(), case.closure, float(gap), rng=seed, weekend=k).path
        x = (path["P"] / path["O"] - 1.0).to_numpy()[1 : steps + 1]
        levels.append(np.abs(x).mean())
        hourly.append(np.abs(x.reshape(48, -1).mean(axis=1)).mean())
    return np.array(levels), np.array(hourly)


def _open_premium(machine, case, seed, weeks=32):
    """The same over four days of an open market, twelve hours in, when the premium has forgotten that it began at 0.

    Updates 30 s apart: the premium's steps are exact at any length, and the oracle still keeps up.
    """
    week = Closure(hours=1.0, update_s=30.0, reopen_minutes=60.0 * 108.0, value=case.closure.value)
    levels, hourly = [], []
    for k in range(weeks):
        path = simulate(machine, pair(), week, 0.0, rng=seed, weekend=k).path
        x = (path["P"] / path["O"] - 1.0).to_numpy()[week.closed_steps + 1 + 12 * 120 :]
        levels.append(np.abs(x).mean())
        hourly.append(np.abs(x.reshape(96, -1).mean(axis=1)).mean())
    return np.array(levels), np.array(hourly)


def test_mean_premium_is_near_its_target_closed_and_open(capsys):
    """Published means are 14 bp at weekends and 11 bp in regular hours.

    The tolerance is 1 bp for what the closed forms leave out, such as the value's pull on the price, and four standard errors: one run in 8,000
    fails by chance. Half as much noise again must fail.
    """
    case, report = base_case(), []
    machine, book = case.machine, case.machine.book
    for side, measure, target in (("closed", _closed_premium, base.PREMIUM_CLOSED), ("open", _open_premium, base.PREMIUM_OPEN)):
        levels, hourly = (np.concatenate(x) for x in zip(*(measure(machine, case, seed) for seed in (1, 2)), strict=True))
        mean, se = levels.mean(), levels.std(ddof=1) / math.sqrt(len(levels))
        assert abs(mean - target) < 1e-4 + 4.0 * se
        loud = replace(machine, book=replace(book, **{f"noise_{side}": 1.5 * getattr(book, f"noise_{side}")}))
        assert abs(measure(loud, case, 1)[0].mean() - target) > 1e-4 + 4.0 * se
        report.append(f"{side} {1e4 * mean:.2f} bp (se {1e4 * se:.2f}, target {1e4 * target:.0f}; of hourly averages {1e4 * hourly.mean():.2f})")
    with capsys.disabled():
        print(f"\nmean |P/O - 1|: {'; '.join(report)}")


def test_closed_form_of_the_dead_zone_has_its_two_limits():
    """Without a zone the premium is Normal; without noise outside it is even inside the zone."""
    s = 1e-3 * math.sqrt(0.5 / 2.0)
    assert base.closed_premium(1e-3, 0.5, 0.0) == pytest.approx(s * math.sqrt(2.0 / math.pi), rel=1e-12)
    assert base.closed_premium(1e-12, 0.5, 1e-3) == pytest.approx(0.5e-3, rel=1e-6)
    grid = SimpleNamespace(x=np.linspace(0.0, 0.02, 400_001), w=7e-4)
    density = np.exp(-(np.maximum(grid.x - grid.w, 0.0) ** 2) / (2.0 * s**2))
    assert base.closed_premium(1e-3, 0.5, grid.w) == pytest.approx((grid.x * density).sum() / density.sum(), rel=1e-3)
