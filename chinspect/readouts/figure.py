"""The figure of a confounder: the robustness index over k beside chance, and what the embedding tells of it."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chinspect.readouts.confounder import ConfounderScores
from chinspect.readouts.robustness import INDEX, OWN
from chinspect.report import GLOSSARY, records

_RED = "#d55e00"
_BLUE = "#0072b2"


def draw(scores: ConfounderScores) -> Figure:
    """The index on the left, all other measures on the right."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(f"{scores.encoder}: does the class or the confounder make images neighbours?", parse_math=False)
    _curve(left, scores)
    _measures(right, scores)
    figure.supxlabel(GLOSSARY, fontsize=8.5)
    return figure


def _curve(axes: Axes, scores: ConfounderScores) -> None:
    index = scores.index
    axes.fill_between(index["k"], index["low"], index["high"], color=_RED, alpha=0.2, linewidth=0)
    axes.plot(index["k"], index["estimate"], "o-", color=_RED, markersize=4, label="embedding, 95 % interval")
    axes.fill_between(index["k"], index["chance_low"], index["chance_high"], color=_BLUE, alpha=0.2, linewidth=0)
    axes.plot(index["k"], index["chance"], "--", color=_BLUE, label="random neighbours")
    axes.axvline(scores.k, color="0.7", linewidth=0.8)
    axes.set(xscale="log", ylim=(-0.02, 1.02), xlabel="k nearest neighbours")
    axes.set_title(
        "robustness index: 1 where the class makes neighbours, 0 where the\nconfounder does; below the dashed line: "
        "the confounder, more than chance",
        fontsize=9.5,
        loc="left",
    )
    axes.set_xticks(index["k"].tolist(), index["k"].astype(str).tolist(), fontsize=8)
    axes.minorticks_off()
    axes.legend(fontsize=8)
    axes.grid(color="0.93")


def _measures(axes: Axes, scores: ConfounderScores) -> None:
    rows = records(scores.measures[scores.measures["measure"] != INDEX])
    labels = []
    for y, row in enumerate(rows):
        colour = _RED if row["condition"] == OWN else _BLUE
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2)
        axes.plot([row["estimate"]], [y], "o" if row["condition"] == OWN else "s", color=colour)
        labels.append(f"{row['measure']}\n{row['condition']}")
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(min(-0.05, *(row["low"] for row in rows)) * 1.05, 1.05))
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_title(
        "fractions of images: what a readout tells, and what it loses by a\n"
        "correlation (circles: the embedding; squares: what it is compared with)",
        fontsize=9.5,
        loc="left",
    )
    axes.grid(axis="x", color="0.93")
