"""Boundary: the map has sources that exist, its numbers are recounted from the data, and the machines differ by margin alone."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from perpkit import boundary, data, gaps
from perpkit.diagrams import flow_map, matrix, stacked
from perpkit.machine import replace
from perpkit.oracle import NONE
from perpkit.plots import figure
from perpkit.venues import base_case

ROOT = data.folder().parent
KEYS = set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "references.bib").read_text("utf-8"), re.MULTILINE))


TABLES = [boundary.constraints(), boundary.regimes(), boundary.facts()]


@pytest.mark.parametrize("table", TABLES, ids=["constraints", "regimes", "facts"])
def test_every_row_has_sources_in_the_bibliography_a_date_and_a_grade(table):
    assert len(table) >= 3
    for name, row in table.iterrows():
        assert row["sources"] and set(row["sources"]) <= KEYS, name
        assert row["grade"] in boundary.GRADES
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", row["as_of"])


def test_every_arrow_has_a_reason_and_no_box_stands_alone():
    laws, machines = boundary.constraints(), boundary.architectures()
    reached = {target for pushes in laws["pushes"] for target in pushes}
    assert reached == set(machines.index)
    assert {end for invites in machines["invites"] for end in invites} == set(boundary.failures())
    assert all(len(why) > 20 for pushes in laws["pushes"] for why in pushes.values())
    assert all(len(why) > 20 for invites in machines["invites"] for why in invites.values())


def test_a_machine_of_a_regime_differs_from_the_base_case_by_its_margin():
    case, table = base_case(), boundary.regimes()
    for halted in (False, True):
        for name, machine in boundary.margin_machines(halted).items():
            assert machine.margin.maintenance == table.loc[name, "maintenance"]
            assert machine.margin.max_leverage == pytest.approx(1.0 / table.loc[name, "initial"])
            oracle = machine.oracle if halted else case.machine.oracle
            assert replace(machine, name=case.machine.name, margin=case.machine.margin, oracle=oracle) == replace(case.machine, oracle=oracle)
            assert (machine.oracle.kind == NONE) == halted
    assert table["initial"].is_monotonic_decreasing


def test_populations_keep_their_open_interest_and_their_cap():
    table = boundary.regimes()
    for used in (None, 0.5):
        for name, accounts in boundary.margin_populations(used).items():
            assert accounts.open_interest == pytest.approx(45e6)
            assert accounts.leverage.max() <= table.loc[name, "max_leverage"] * (1 + 1e-12)


def test_exceedance_recounts_the_table_of_the_notes():
    """Weekends of TSLA and NVDA beyond 2.5, 5, 10 and 15 %, either side: 219, 49, 13 and 2 of 1,656."""
    share = boundary.exceedance(("TSLA", "NVDA"), "weekend", np.array([0.025, 0.05, 0.10, 0.15]))
    assert (share * 1656).round().astype(int).tolist() == [219, 49, 13, 2]


def test_basket_is_the_mean_simple_return():
    basket, single = boundary.basket_gaps()
    table = data.load("weekend_gaps_megacaps")
    day = table.loc[table["symbol"] == "META", "close_date"].iloc[10]
    row = table[(table["close_date"] == day) & table["symbol"].isin(boundary.BASKET)]
    assert len(row) == 10
    assert np.isclose(basket, math.log(np.exp(row["gap"]).mean()), atol=1e-12).any()
    assert len(basket) == len(single) and basket.std() < single.std()
    alone, same = boundary.basket_gaps(("TSLA",))
    assert alone == pytest.approx(same)


def test_feeds_and_closures_have_the_hours_of_their_sessions():
    feeds = boundary.feeds("TSLA")
    assert (feeds["cash hours"].weekend, feeds["cash hours"].night) == (65.5, 17.5)
    assert feeds["24/5"].weekend == 48.0 and 0.5 < feeds["24/5"].weekend_scale < 1.0
    law = gaps.empirical("TSLA", "overnight")
    assert boundary.closure(17.5, law).value.sd == pytest.approx(law.gaps.std(ddof=1), rel=1e-12)
    assert boundary.closure(48.0, gaps.empirical("TSLA")).value.sd == pytest.approx(base_case().closure.value.sd, rel=1e-12)


def test_diagrams_name_what_does_not_fit():
    with pytest.raises(ValueError, match="names no box 'c'"):
        flow_map([{"a": "A"}, {"b": "B"}], [("a", "c", "#000000")], ("one", "two"), (0.4, 0.4))
    with pytest.raises(ValueError, match="a heading and a width for each column"):
        flow_map([{"a": "A"}], [], ("one", "two"), (0.4, 0.4))
    with pytest.raises(ValueError, match="x has 'q' on the axis 'band', which lists none, static"):
        matrix({"x": {"band": "q"}}, {"band": ["none", "static"]})
    shares = pd.DataFrame({"traders": [1.0, 0.6], "makers": [0.0, 0.4]})
    ax = figure()[1]
    stacked(ax, np.array([0.0, 1.0]), shares, {"traders": "#888888", "makers": "#0072B2"}, low=0.5)
    assert ax.get_ylim() == (0.5, 1.0)
    with pytest.raises(ValueError, match="the share of traders goes down to 0.6"):
        stacked(ax, np.array([0.0, 1.0]), shares, {"traders": "#888888", "makers": "#0072B2"}, low=0.7)
    assert len(matrix({"x": {"band": "none"}, "y": {"band": "static"}}, {"band": ["none", "static"]}).axes) == 1
