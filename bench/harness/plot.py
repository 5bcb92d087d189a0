"""A picture for each measure: a dot for each contender, on a scale of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from harness.figures import Panel

COLOURS = {"ours": "#1f5fa8", "peer": "#d1701f", "floor": "#6b7280"}
NAMES = {"ours": "fencelock", "peer": "others", "floor": "floors in C, not locks to use"}
# Beyond this a linear scale would show one contender and a heap of all the others.
WIDE = 8.0


def draw(title: str, panels: Sequence[Panel], kinds: dict[str, str], to: Path) -> None:
    """``kinds``: of each contender, ours, peer or floor."""
    columns, rows = min(2, len(panels)), math.ceil(len(panels) / 2)
    names = max(len(panel.values) for panel in panels)
    size = (6.4 * columns, (1.6 + 0.27 * names) * rows)
    figure = Figure(figsize=size, layout="constrained")
    for number, panel in enumerate(panels):
        _draw_panel(figure.add_subplot(rows, columns, number + 1), panel, kinds)
    figure.suptitle(title, fontsize=12, fontweight="bold")
    marks = [
        Line2D([], [], marker="o", linestyle="", color=COLOURS[kind], label=NAMES[kind])
        for kind in COLOURS
        if kind in kinds.values()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False)
    figure.savefig(to, dpi=110, metadata={"Software": None})


def _draw_panel(axes: Axes, panel: Panel, kinds: dict[str, str]) -> None:
    # The best one stands on top.
    names = sorted(panel.values, key=panel.values.__getitem__, reverse=not panel.most_first)
    for place, name in enumerate(names):
        value, tail = panel.values[name], panel.tails.get(name)
        colour = COLOURS[kinds[name]]
        if tail is not None:
            axes.plot([value, tail], [place, place], color=colour, linewidth=1.2, alpha=0.6)
        axes.plot([value], [place], marker="o", linestyle="", color=colour)
        axes.annotate(
            _number(value), (value, place), xytext=(0, 5), textcoords="offset points",
            ha="center", fontsize=7, color=colour,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=9)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(COLOURS[kinds[name]])
    axes.set_ylim(-0.7, len(names) - 0.2)
    everything = [*panel.values.values(), *panel.tails.values()]
    if panel.log and min(everything) > 0 and max(everything) > WIDE * min(everything):
        axes.set_xscale("log")
        subs = (1.0,) if max(everything) > 1000 * min(everything) else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(left=min(0.0, *everything))
    axes.set_xlabel(panel.about, fontsize=9)
    axes.grid(axis="x", color="#e5e7eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"
