"""The table of closed references and the map of who reads whom: complete, sourced, and in step with the rulebook."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch

import perpkit as pk
from perpkit import reference
from perpkit.diagrams import ring

KEYS = set(re.findall(r"^@\w+\{([^,\s]+),", (Path(__file__).parents[1] / "references.bib").read_text("utf-8"), re.MULTILINE))


def test_every_source_is_in_the_bibliography():
    cited = {key for frame in (reference.designs(), reference.links()) for sources in frame["sources"] for key in sources}
    assert cited and not cited - KEYS


def test_a_design_on_a_figure_is_a_point():
    drawn = reference.designs().query("short != ''")
    assert len(drawn) >= 10 and drawn["short"].is_unique
    assert (drawn["tau"] > 0).all() and (drawn["kappa"] >= 0).all()
    averaged = reference.designs()["reads"] == "own book"
    assert np.isfinite(reference.designs().loc[averaged, "tau"]).all()


@pytest.mark.parametrize("since", ["2025-10-13", "2025-11-21", "2025-12-19", "2026-04-30"])
def test_trade_xyz_agrees_with_its_rulebook(since):
    row = reference.designs().query("venue == 'trade.xyz' and since == @since").iloc[0]
    machine = pk.venue("trade-xyz", "TSLA", max(since, "2025-10-31"))
    assert (machine.oracle.tau, machine.funding.kappa) == (row["tau"], row["kappa"])


def test_every_place_on_the_map_is_linked():
    links = reference.links()
    assert set(links["reader"]) | set(links["reads"]) == set(reference.nodes())


def test_the_map_draws_every_link_and_refuses_what_it_does_not_know():
    nodes, links = reference.nodes(), reference.links()
    arrows = [(a, b, True) for a, b in zip(links["reader"], links["reads"], strict=True)]
    fig = ring(nodes, arrows, ["xyz", "binance", "paradex", "lighter", "bitget", "perps", "chainlink", "kraken", "token", "gate", "okx"])
    ax = fig.axes[0]
    drawn = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert len(drawn) == len(links)
    boxes = {text.get_text(): text.get_bbox_patch().get_window_extent().transformed(ax.transData.inverted()) for text in ax.texts}
    for (reader, source, _), patch in zip(arrows, drawn, strict=True):
        line = patch._path_original.to_polygons(closed_only=False)[0]
        line = np.concatenate([a + np.linspace(0, 1, 20)[:, None] * (b - a) for a, b in itertools.pairwise(line)])
        touched = {name for name, box in boxes.items() for point in line if box.contains(*point)}
        assert not touched, f"{reader} to {source} crosses {touched}"
        for name, end in ((reader, line[0]), (source, line[-1])):
            assert boxes[nodes[name]].padded(0.05).contains(*end)
    with pytest.raises(ValueError, match="no nowhere"):
        ring(nodes, [("xyz", "nowhere", True)], list(nodes))
    with pytest.raises(ValueError, match="each node once"):
        ring(nodes, arrows, list(nodes)[1:])


def test_a_table_without_a_source_is_refused(tmp_path, monkeypatch):
    text = (pk.data.folder() / "reference.toml").read_text("utf-8")
    (tmp_path / "reference.toml").write_text(text.replace('sources = ["roxom-us100"]', "sources = []"), "utf-8")
    monkeypatch.setattr(reference.data, "folder", lambda: tmp_path)
    reference._tables.cache_clear()
    try:
        with pytest.raises(ValueError, match="Roxom"):
            reference.designs()
    finally:
        monkeypatch.undo()
        reference._tables.cache_clear()
