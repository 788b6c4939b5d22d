"""Diagrams: pictures drawn from tables: a map of arrows between columns, a ring of who reads whom, a matrix of words, amounts as coloured
cells, shares over time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from perpkit.plots import SERIES, figure, ink


def flow_map(
    columns: Sequence[Mapping[str, str]],
    arrows: Sequence[tuple[str, str, str]],
    headings: Sequence[str],
    widths: Sequence[float],
    height: float = 7.0,
) -> Figure:
    """Boxes in columns, joined from left to right by curves.

    Parameters
    ----------
    columns : for each column, the words of its boxes by name, from the top; a line break starts a new line.
    arrows : from, to (names of boxes of neighbouring columns) and colour.
    headings : one a column.
    widths : of each column's boxes, shares of the figure's width.
    height : of the figure, inches.

    Raises
    ------
    ValueError
        If an arrow names no box, or columns, headings and widths differ in number.
    """
    if not len(columns) == len(headings) == len(widths):
        raise ValueError(f"give a heading and a width for each column; got {len(columns)} columns, {len(headings)} headings, {len(widths)} widths")
    fig, ax = figure(height=height)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.axis("off")
    spare = (1.0 - sum(widths)) / max(len(columns) - 1, 1)
    boxes: dict[str, tuple[float, float, float]] = {}
    left = 0.0
    for column, heading, width in zip(columns, headings, widths, strict=True):
        ax.annotate(heading, (left, 0.995), va="top", fontweight="bold", fontsize=9)
        lines = np.array([words.count("\n") + 1 for words in column.values()])
        tall = 0.016 + 0.0245 * lines * 7.0 / height
        gap = (0.94 - tall.sum()) / max(len(column) - 1, 1)
        top = 0.95 if len(column) > 3 else 0.95 - gap / 4
        if len(column) <= 3:
            gap *= 0.75
        for (name, words), h in zip(column.items(), tall, strict=True):
            boxes[name] = (left, left + width, top - h / 2)
            box = FancyBboxPatch(
                (left + 0.004, top - h), width - 0.008, h, boxstyle="round,pad=0,rounding_size=0.008", facecolor="none", edgecolor=ink(), linewidth=0.8
            )
            ax.add_patch(box)
            ax.annotate(words, (left + width / 2, top - h / 2), ha="center", va="center", fontsize=8.2, linespacing=1.1)
            top -= h + gap
        left += width + spare
    for start, end, colour in arrows:
        for name in (start, end):
            if name not in boxes:
                raise ValueError(f"the arrow from {start!r} to {end!r} names no box {name!r}; there are {', '.join(boxes)}")
        x0, y0, x1, y1 = boxes[start][1], boxes[start][2], boxes[end][0], boxes[end][2]
        bend = (x1 - x0) / 2
        curve = Path([(x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1)], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        ax.add_patch(PathPatch(curve, facecolor="none", edgecolor=colour, linewidth=1.5, alpha=0.85))
        ax.plot(x1, y1, marker=">", color=colour, markersize=4, clip_on=False)
    return fig


def ring(nodes: Mapping[str, str], arrows: Sequence[tuple[str, str, bool]], order: Sequence[str], height: float = 4.2) -> Figure:
    """Places on a ring, and arrows from each to the place it reads.

    Parameters
    ----------
    nodes : words by name; a line break starts a new line.
    arrows : reader, what it reads, and whether that is documented (solid) or not (dashed). A place that reads itself has a loop outside the ring.
    order : names from the top, clockwise.

    Raises
    ------
    ValueError
        If ``order`` does not hold each node once, or an arrow names no node.
    """
    if sorted(order) != sorted(nodes):
        raise ValueError(f"order holds each node once; got {list(order)!r} for {sorted(nodes)!r}")
    if lost := {end for arrow in arrows for end in arrow[:2]} - set(nodes):
        raise ValueError(f"arrows join nodes; there is no {', '.join(sorted(lost))}")
    fig, ax = figure(height=height)
    ax.set(xlim=(-1.55, 1.55), ylim=(-1.12, 1.25), aspect="equal")
    ax.axis("off")
    angle = {name: np.pi / 2 - 2 * np.pi * k / len(order) for k, name in enumerate(order)}
    written = {}
    for name, words in nodes.items():
        style = {"boxstyle": "round,pad=0.35", "facecolor": "none", "edgecolor": ink(), "linewidth": 0.9}
        written[name] = ax.text(1.12 * np.cos(angle[name]), np.sin(angle[name]), words, ha="center", va="center", fontsize=8.5, linespacing=1.1, bbox=style)
    fig.draw_without_rendering()  # only now are the boxes known
    to_data = ax.transData.inverted()
    boxes = {name: text.get_bbox_patch().get_window_extent().transformed(to_data) for name, text in written.items()}
    for reader, source, documented in arrows:
        style = {"color": SERIES[0] if documented else SERIES[1], "linewidth": 1.3, "linestyle": "-" if documented else (0, (4, 2))}
        if reader == source:
            path = _loop(boxes[reader], angle[reader])
        else:
            path = _bow(boxes[reader], boxes[source], [box for name, box in boxes.items() if name not in (reader, source)])
        ax.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=9, **style))
    return fig


def _loop(box: Bbox, angle: float, far: float = 0.18) -> Path:
    """From a box back to itself, on the side that looks away from the centre of the ring."""
    upright = abs(np.sin(angle)) > 0.5
    x = (box.x0 + box.x1) / 2 if upright else box.x1 if np.cos(angle) > 0 else box.x0
    y = (box.y0 + box.y1) / 2 if not upright else box.y1 if np.sin(angle) > 0 else box.y0
    out = np.array([0.0, np.sign(np.sin(angle))] if upright else [np.sign(np.cos(angle)), 0.0])
    foot, side = np.array([x, y]) + 0.01 * out, min(0.11, 0.35 * (box.width if upright else box.height)) * np.array([-out[1], out[0]])
    return Path([foot - side, foot - 1.8 * side + far * out, foot + 1.8 * side + far * out, foot + side], [Path.MOVETO, *[Path.CURVE4] * 3])


def _bow(start: Bbox, end: Bbox, others: Sequence[Bbox]) -> Path:
    """From box to box, bent towards the centre of the ring no more than it must be to touch no other box."""
    a, b = (np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]) for box in (start, end))
    across = np.array([b[1] - a[1], a[0] - b[0]])
    across *= 1.0 if across @ (a + b) <= 0 else -1.0
    share = np.linspace(0.0, 1.0, 200)[:, None]
    for bend in (0.12, 0.2, 0.3, 0.4, 0.5):
        middle = (a + b) / 2 + bend * across
        line = (1 - share) ** 2 * a + 2 * share * (1 - share) * middle + share**2 * b
        if not any(box.padded(0.03).contains(*point) for box in others for point in line):
            break
    inside = [np.array([box.padded(0.02).contains(*point) for point in line]) for box in (start, end)]
    first, last = np.flatnonzero(~inside[0])[0] / 199, np.flatnonzero(~inside[1])[-1] / 199
    at = lambda s, t: (1 - s) * (1 - t) * a + (s * (1 - t) + t * (1 - s)) * middle + s * t * b  # blossom of the curve
    return Path([at(first, first), at(first, last), at(last, last)], [Path.MOVETO, Path.CURVE3, Path.CURVE3])


def stacked(ax: Axes, x: np.ndarray, shares: pd.DataFrame, colours: Mapping[str, str], low: float = 0.0) -> None:
    """Shares of one whole over ``x``, stacked in the order of ``colours``; a column that is nothing throughout is left out. The axis starts at
    ``low``, which may hide part of the first share and of no other.

    Raises
    ------
    ValueError
        If the first share is somewhere below ``low``.
    """
    shown = [name for name in colours if (shares[name] > 1e-9).any()]
    if low > (least := float(shares[shown[0]].min())):
        raise ValueError(f"the axis starts at {low!r}, but the share of {shown[0]} goes down to {least:.3g}; give low at most that")
    ax.stackplot(x, *(shares[name].to_numpy() for name in shown), colors=[colours[name] for name in shown], linewidth=0, alpha=0.85)
    ax.set(ylim=(low, 1), xlim=(x[0], x[-1]))
    ax.grid(visible=False)


def heat(ax: Axes, table: pd.DataFrame, smallest: float, largest: float) -> None:
    """Signed amounts as cells: colour says who pays (orange) and who gains (green), its strength how much, from ``smallest`` to ``largest``
    on a logarithmic scale. Amounts below ``smallest`` show a dot."""
    for row, name in enumerate(table.index):
        for column, pocket in enumerate(table.columns):
            amount = float(table.loc[name, pocket])
            shown = abs(amount) >= smallest
            if shown:
                strength = 0.12 + 0.68 * min(np.log(abs(amount) / smallest) / np.log(largest / smallest), 1.0)
                ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=SERIES[1] if amount < 0 else SERIES[2], alpha=strength, linewidth=0))
            words = f"{amount:+.1f}".replace("-", "\u2212") if shown else "\u00b7"
            ax.annotate(words, (column, row), ha="center", va="center", fontsize=8)
    ax.set_xticks(range(len(table.columns)), table.columns, fontsize=8.5)
    ax.set_yticks(range(len(table.index)), table.index, fontsize=8.5)
    ax.set(xlim=(-0.5, len(table.columns) - 0.5), ylim=(len(table.index) - 0.5, -0.5))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def matrix(
    rows: Mapping[str, Mapping[str, str]],
    columns: Mapping[str, Sequence[str]],
    hollow: Mapping[str, Collection[str]] | None = None,
    colours: Sequence[str] = SERIES,
    row_height: float = 0.22,
) -> Figure:
    """Which of a few variants each row has on each axis: one panel an axis, one column a variant, a mark where the row has it.

    Parameters
    ----------
    rows : for each row its variant by axis.
    columns : for each axis its variants, in order; a variant no row has is left out by the caller.
    hollow : for each row the axes on which its mark is an outline; by default none.
    colours : one an axis, gone through in turn.
    row_height : inches.

    Raises
    ------
    ValueError
        If a row lacks an axis or has a variant that the axis does not list.
    """
    for name, held in rows.items():
        for axis, variants in columns.items():
            if held.get(axis) not in variants:
                raise ValueError(f"{name} has {held.get(axis)!r} on the axis {axis!r}, which lists {', '.join(variants)}")
    counts = [len(variants) for variants in columns.values()]
    fig, axes = figure(1, len(columns), height=1.9 + row_height * len(rows), sharey=True, width_ratios=counts)
    names = list(rows)
    for ax, (axis, variants), colour in zip(np.atleast_1d(axes), columns.items(), colours * len(columns), strict=False):
        for y, name in enumerate(names):
            face = "none" if axis in (hollow or {}).get(name, ()) else colour
            ax.plot(variants.index(rows[name][axis]), y, "s", color=colour, markerfacecolor=face, markersize=7)
        ax.set_xticks(range(len(variants)), variants, rotation=90, fontsize=8)
        ax.set_xlim(-0.6, len(variants) - 0.4)
        ax.xaxis.tick_top()
        ax.grid(visible=False)
        ax.tick_params(length=0)
        ax.set_xlabel(axis.replace(" ", "\n"), fontsize=8.5, color=colour, fontweight="bold")
        for spine in ax.spines.values():
            spine.set_visible(False)
        for y in range(len(names)):
            ax.axhline(y, color=ink(), linewidth=0.4, alpha=0.25, zorder=0)
    np.atleast_1d(axes)[0].set_yticks(range(len(names)), names)
    np.atleast_1d(axes)[0].set_ylim(len(names) - 0.5, -0.5)
    return fig

