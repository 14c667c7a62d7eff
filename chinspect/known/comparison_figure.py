"""The figure of a comparison: a panel a subject, in which each model has a line under each condition."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from chinspect.known.comparing import Comparison
from chinspect.report import records

_RED = "#c1441e"
_BLUE = "#2a6f97"
_OFFSET = 0.12  # between the conditions of one model: as many as there are stay clear of the next model


def draw(comparison: Comparison) -> Figure:
    """Red is what the subject is about, blue its controls, with 95 % intervals."""
    models = comparison.models
    count = max(len(comparison.leads), 1)
    figure = Figure(figsize=(1.5 + 3.6 * count, 1.8 + 0.6 * len(models)), layout="constrained")
    grid = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    for axes, (subject, (measure, condition)) in zip(grid, comparison.leads.items(), strict=False):
        seen: dict[str, int] = {}
        for row in records(comparison.rows(subject)):
            line = models.index(row["model"]) + _OFFSET * seen.setdefault(row["model"], 0)
            seen[row["model"]] += 1
            colour = _RED if row["condition"] == condition else _BLUE
            axes.plot([row["low"], row["high"]], [line] * 2, color=colour, linewidth=1.6)
            axes.plot([row["estimate"]], [line], "o", color=colour, markersize=4)
        axes.axvline(0, color="0.25", linewidth=0.8)
        axes.set_title(f"{subject}\n{measure}", fontsize=9.5, loc="left", parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="x", color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    grid[0].set_yticks(range(len(models)), models)
    grid[0].set_ylim(len(models) - 0.3, -0.5)
    lines = [Line2D([], [], color=colour, marker="o") for colour in (_RED, _BLUE)]
    figure.legend(lines, ["the effect", "controls"], loc="outside lower right", ncols=2, fontsize=8, frameon=False)
    figure.suptitle(f"Models on {Path(comparison.data).name}", fontsize=11, parse_math=False)
    return figure
