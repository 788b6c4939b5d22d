"""Plots: the book's one figure style and its recurring pictures.

A figure is drawn once, as an SVG whose ink follows the page's theme: text and axes take the colour of the surrounding text, series keep
colours that read on white and on near-black and for colour-blind readers.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping

import matplotlib as mpl
import matplotlib.patheffects
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from perpkit.engine import Run
from perpkit.phase import LOSS_STEPS

# Stand-ins that no figure uses otherwise; replaced after drawing.
_INK, _FAINT = "#123456", "#654321"
COLOURS = {"V": "#8b5cf6", "P": "#0072B2", "O": "#009E73", "M": "#D55E00", "other": "#CC79A7"}
"""One colour a price through the whole book."""
BLUE, ORANGE, GREEN, PINK, VIOLET, TEAL = SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8b5cf6", "#0d9488")
"""Colours of other series, at least 3:1 against white and against #121212."""
GOLD, UMBER, GREY = "#a67c00", "#7c6f64", "#888888"
"""For a seventh series and more, as legible."""
# The same thing has the same colour in every chapter.
ERAS = {"launch": PINK, "nov": TEAL, "article": BLUE, "today": ORANGE, "frozen": VIOLET}
"""trade.xyz's rules by date: at launch, November 2025, the article's date, now; and an oracle that stands still."""
VENUES = {
    "trade-xyz": BLUE, "hip-3": ORANGE, "binance": GOLD, "aster": PINK, "dreamcash": VIOLET, "gtrade": GREEN, "ostium": UMBER,
}  # fmt: skip
"""Venues that are drawn as series."""
PARTS = {"week night": BLUE, "weekend": ORANGE, "earnings night": GREEN, "day": PINK, "holiday": GREY}
"""Parts of the clock."""
POCKETS = {
    "traders": "#9aa3ad", "under water": ORANGE, "losers": ORANGE, "netted": PINK, "winners": PINK, "makers": BLUE, "vault or fund": VIOLET,
    "vault or LP fund": VIOLET, "insurance": GOLD, "pool": GREEN, "pool owners": GREEN, "everybody": GREY, "venue": TEAL, "attacker": UMBER,
}  # fmt: skip
"""Who holds the risk and who pays: the losing and the winning side, makers, funds, a pool and its owners."""
LAWS = {"normal": PINK, "t": BLUE, "tempered-t": ORANGE, "skew-t": GREEN}
"""Laws of the gap; drawn dashed where a law is over a volatility."""
ARCHITECTURES = {"order book": BLUE, "verifiable order book": ORANGE, "oracle-first pool": GREEN}
WIDTH = 5.2
"""Inches. Text of 9.5 points then stays legible on a phone and does not shout on a desktop."""
POCKET_NAMES = {
    "longs": "longs", "shorts": "shorts", "makers": "makers", "backstop": "backstop vault", "insurance": "insurance fund", "adl": "ADL'd winners",
    "socialised": "socialised", "venue": "venue's refund", "attacker": "attacker", "junior": "pool, junior", "senior": "pool, senior",
    "hedge": "hedge's other side", "protocol": "protocol", "informed": "informed flow", "capped": "capped gains", "frozen": "owed, frozen",
}  # fmt: skip

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "marking-time",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.35,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=SERIES),
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.constrained_layout.use": True,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _FAINT,
}
_THEME = "<style>:root{color:#1f2937}@media (prefers-color-scheme: dark){:root{color:#e5e7eb}}</style>"


def figure(rows: int = 1, columns: int = 1, height: float = 3.2, **kwargs) -> tuple[Figure, Axes | np.ndarray]:
    """A figure of the book's width and style, and its axes; ``height`` in inches, the rest as ``Figure.subplots``."""
    mpl.rcParams.update(_STYLE)
    fig = Figure(figsize=(WIDTH, height), layout="constrained")
    return fig, fig.subplots(rows, columns, **kwargs)


def svg(fig: Figure) -> str:
    """The figure as SVG text, the same bytes every time, with ink that follows the theme."""
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor").replace(_FAINT, "#888888")
    return re.sub(r"(<svg[^>]*>)", lambda m: m.group(1) + _THEME, text, count=1)


def show(fig: Figure):
    """The figure for display in a notebook or the book."""
    from IPython.display import SVG

    return SVG(svg(fig))


def ink() -> str:
    """Colour of text and axes, for lines that should read as annotation."""
    return _INK


def label_lines(ax: Axes, x: float, ends: Mapping[str, float], colours: Mapping[str, str], gap: float) -> None:
    """Write each name at the right of ``x`` beside its line's end, moved apart to at least ``gap`` (data units) so that none overlap."""
    order = sorted(ends, key=ends.get)
    heights = []
    for name in order:
        heights.append(ends[name] if not heights else max(ends[name], heights[-1] + gap))
    shift = np.mean(heights) - np.mean([ends[name] for name in order])
    for name, y in zip(order, heights, strict=True):
        style = {"color": colours[name], "va": "center", "fontweight": "bold", "annotation_clip": False}
        ax.annotate(name, (x, y - shift), xytext=(4, 0), textcoords="offset points", **style)


def label_points(ax: Axes, points: Mapping[str, tuple[float, float]], colours: Mapping[str, str]) -> None:
    """Write each name beside its point where it meets no other text or marker and as few lines as can be, with a leader where that is further off.

    Call it last: it lays the figure out and looks at what is drawn. Names of points in one place are written as one.
    """
    fig, size = ax.figure, 8.5
    fig.draw_without_rendering()
    dot = fig.dpi / 72.0
    frame = ax.get_window_extent()
    paths = [line.get_transform().transform_path(line.get_path()) for line in ax.lines if line.get_linestyle() != "None"]
    paths += [group.get_transform().transform_path(path) for group in ax.collections for path in group.get_paths()]
    merged: dict[str, tuple[str, np.ndarray]] = {}
    for name, point in points.items():
        at = ax.transData.transform(point)
        twin = next((k for k, (_, other) in merged.items() if np.hypot(*(at - other)) < 2 * dot), None)
        merged |= {name: (name, at)} if twin is None else {twin: (f"{merged[twin][0]}, {name}", merged[twin][1])}
    taken = [mpl.transforms.Bbox.from_extents(*(at - 4 * dot), *(at + 4 * dot)) for _, at in merged.values()]
    steps = [(r, a) for r in (7, 11, 16, 22, 30, 40) for a in range(0, 360, 15)]
    for name, (words, at) in sorted(merged.items(), key=lambda one: (-one[1][1][0], -one[1][1][1])):
        text = ax.annotate(words, points[name], xytext=(0, 0), textcoords="offset points", fontsize=size, color=colours[name], ha="center", va="center")
        text.set_in_layout(False)
        box, best = text.get_window_extent(), None
        for r, a in steps:
            x, y = r * math.cos(math.radians(a)), r * math.sin(math.radians(a))
            x += 0.5 * box.width / dot * np.sign(round(x, 6))  # the near edge is r away
            here = box.translated(x * dot, y * dot)
            outside = here.x0 < frame.x0 or here.x1 > frame.x1 or here.y0 < frame.y0 or here.y1 > frame.y1
            leader = mpl.path.Path([at, np.clip(at, here.min, here.max)])
            crossed = sum(leader.intersects_bbox(other) for other in taken[len(merged) :])
            cost = r + 1e3 * (outside + here.count_overlaps(taken) + crossed) + 25 * sum(p.intersects_bbox(here, filled=False) for p in paths)
            if best is None or cost < best[0]:
                best = cost, r, (x, y), here
        text.set_position(best[2])
        taken.append(best[3])
        if best[1] > 12:
            end = (best[2][0] - 0.5 * box.width / dot * np.sign(round(best[2][0], 6)), best[2][1])
            rule = {"arrowstyle": "-", "color": colours[name], "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
            ax.annotate("", points[name], xytext=end, textcoords="offset points", arrowprops=rule).set_in_layout(False)


def weekend(run: Run, minutes: float = 3.0, prices: tuple[str, ...] = ("V", "P", "O", "M"), names: Mapping[str, str] | None = None) -> Figure:
    """One weekend: prices above, what it did to accounts in the middle, who paid below; closure at the left, minutes after reopening at the
    right.

    In the middle: open interest liquidated so far, and open interest of accounts that are worth less than nothing at V and still open.
    """
    path, closed = run.path, run.path.attrs["hours"]
    mpl.rcParams.update(_STYLE)
    fig = Figure(figsize=(WIDTH, 6.0), layout="constrained")
    grid = fig.add_gridspec(3, 2, width_ratios=(1.5, 1), height_ratios=(1.8, 1, 0.75))
    axes = np.empty((2, 2), dtype=object)
    for row in range(2):
        axes[row, 0] = fig.add_subplot(grid[row, 0])
        axes[row, 1] = fig.add_subplot(grid[row, 1], sharey=axes[row, 0])
        axes[row, 1].tick_params(labelleft=False)
    time = path["time"].values
    during, after = time <= closed + 1e-9, (time >= closed - 1e-9) & (time <= closed + minutes / 60.0 + 1e-9)
    clocks = (time, (time - closed) * 60.0)
    called = {name: (names or {}).get(name, name) for name in prices}
    for column, keep in enumerate((during, after)):
        x, style = clocks[column][keep], "steps-post" if column else "default"
        for name in prices:
            axes[0, column].plot(x, path[name].values[keep], color=COLOURS[name], drawstyle=style)
        axes[1, column].plot(x, 100 * path["liquidated"].values[keep], color=SERIES[3], drawstyle="steps-post")
        axes[1, column].plot(x, 100 * path["phantom_size"].values[keep], color=_INK, drawstyle="steps-post", linestyle="--")
    for column in range(2):
        axes[0, column].tick_params(labelbottom=False)
        axes[0, column].set_xlim(axes[1, column].get_xlim())
    low, high = axes[0, 0].get_ylim()
    ends = {called[name]: float(path[name].values[after][-1]) for name in prices}
    label_lines(axes[0, 1], axes[0, 1].get_xlim()[1], ends, {called[n]: COLOURS[n] for n in prices}, (high - low) / 13)
    axes[0, 0].set(ylabel="USD", title="reference closed")
    axes[0, 1].set_title("reference open")
    axes[1, 0].set(ylabel="% of open int.", xlabel="hours since the close")
    axes[1, 1].set_xlabel("minutes since the first print")
    axes[1, 0].annotate("liquidated", (0.03, 0.95), xycoords="axes fraction", color=SERIES[3], va="top", fontweight="bold")
    axes[1, 0].annotate("phantom solvency", (0.03, 0.75), xycoords="axes fraction", color=_INK, va="top", fontweight="bold")
    bars = fig.add_subplot(grid[2, :])
    ledger = run.ledger / 1e6
    order = [p for p in ledger.index if abs(ledger[p]) > 5e-4 * abs(ledger).max()]
    bars.bar(range(len(order)), ledger[order], color=[SERIES[1] if ledger[p] < 0 else SERIES[2] for p in order], width=0.6)
    for k, p in enumerate(order):
        up = ledger[p] >= 0
        amount, style = f"{ledger[p]:+.2f}".replace("-", "\u2212"), {"ha": "center", "va": "bottom" if up else "top", "fontsize": 8.5}
        bars.annotate(amount, (k, ledger[p]), xytext=(0, 2 if up else -2), textcoords="offset points", **style)
    bars.set_xticks(range(len(order)), [POCKET_NAMES[p].replace(" ", "\n") for p in order])
    bars.axhline(0, color=_INK, linewidth=0.8)
    bars.grid(axis="x", visible=False)
    bars.margins(y=0.35)
    bars.set(ylabel="million USD", title="who gained and who paid")
    return fig


HEAT = ("#fff7d6", "#fde9a0", "#fdd06b", "#fca949", "#f57b33", "#df4b22", "#b8241c", "#85101c", "#4c0716")
"""From no loss to ruin, for the cells of :func:`phase_diagram`; the same on every theme."""
_INK_DARK, _INK_LIGHT = "#1f2937", "#ffffff"
REGIONS = (
    ("CASCADE", (0.05, 0.94), "left", _INK_LIGHT),
    ("PHANTOM SOLVENCY", (0.5, 0.06), "center", _INK_DARK),
    ("VALLEY", (0.97, 0.825), "right", _INK_DARK),
)


def phase_diagram(ds: xr.Dataset, wall: np.ndarray | None = None, places: Mapping[str, Mapping] | None = None, height: float = 4.7, hours: bool = True) -> Figure:
    """Loss over closed depth and mark weight (``phase.plane``): one coloured cell a machine, hours of phantom solvency a year as dotted lines, the
    cascade wall of the formula as a dashed one, places on top.

    Parameters
    ----------
    ds : the plane.
    wall : weights of :func:`perpkit.phase.cascade_wall` along depths (two rows: depths over open interest, weights), or None.
    places : by name, ``depth`` and ``weight``, each a pair (low, high), and ``at``, where the name is written (depth, weight, alignment).
    hours : whether the hours are drawn; those of a rough plane wander.
    """
    weights, depths = ds["weight"].values, ds["depth"].values
    fig, ax = figure(height=height)
    half = 0.5 * math.log(depths[1] / depths[0])
    x = np.exp(np.concatenate([np.log(depths) - half, [math.log(depths[-1]) + half]]))
    between = 0.5 * (weights[1:] + weights[:-1])
    y = np.concatenate([[2 * weights[0] - between[0]], between, [2 * weights[-1] - between[-1]]])
    heat = mpl.colors.ListedColormap(HEAT)
    cells = ax.pcolormesh(x, y, np.digitize(ds["shortfall"].values, LOSS_STEPS), cmap=heat, vmin=-0.5, vmax=len(HEAT) - 0.5)
    cells.set_edgecolor("face")
    halo = [mpl.patheffects.withStroke(linewidth=3.2, foreground=_INK_LIGHT)]
    if wall is not None:
        ax.plot(wall[0], wall[1], color=_INK_DARK, linewidth=2.0, linestyle="--", path_effects=halo)
    levels = [h for h in (10.0, 20.0, 30.0, 40.0) if hours and 52 * ds["phantom_hours"].values.min() < h < 52 * ds["phantom_hours"].values.max()]
    lines = ax.contour(depths, weights, 52 * ds["phantom_hours"].values, levels=levels, colors=_INK_DARK, linewidths=0.9, linestyles="dotted")
    lines.set_path_effects([mpl.patheffects.withStroke(linewidth=2.4, foreground=_INK_LIGHT)])
    for text in ax.clabel(lines, fmt=lambda h: f"{h:.0f} h", fontsize=8.0, inline_spacing=1):
        text.set_path_effects(halo)
    for word, (px, py), side, colour in REGIONS:
        ax.annotate(word, (px, py), xycoords="axes fraction", ha=side, va="center", color=colour, fontsize=10.5, fontweight="bold")
    for name, where in (places or {}).items():
        (low, high), (bottom, top) = where["depth"], where["weight"]
        frame = {"fill": False, "edgecolor": _INK_DARK, "linewidth": 1.6, "path_effects": halo}
        ax.add_patch(mpl.patches.Rectangle((low, bottom), high - low, top - bottom, **frame))
        px, py, side = where["at"]
        ax.annotate(name, (px, py), ha=side, va="center", color=_INK_DARK, fontsize=8.5, fontweight="bold", path_effects=halo)
    ax.set(xscale="log", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    ax.set(xlabel="closed depth over open interest", ylabel="weight of the traded price in the mark")
    ticks = [t for t in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if x[0] < t < x[-1]]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.grid(visible=False)
    bar = fig.colorbar(cells, ax=ax, location="bottom", aspect=40, ticks=np.arange(len(LOSS_STEPS)) + 0.5)
    bar.set_label("loss beyond collateral, bp of open interest a weekend")
    bar.set_ticklabels([f"{1e4 * edge:g}" for edge in LOSS_STEPS])
    keys = [("above: a chain feeds itself (formula)", "--", 2.0), ("phantom solvency, hours a year", ":", 1.2)][: 1 + hours]
    handles = [mpl.lines.Line2D([], [], color=_INK, linestyle=style, linewidth=width) for _, style, width in keys]
    fig.legend(handles, [words for words, *_ in keys], loc="outside upper left", ncols=2, handlelength=2.2)
    return fig
