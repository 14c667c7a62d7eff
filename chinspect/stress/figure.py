"""The figure of a stress test: scores, errors, the steps of the resizer, and what could have been predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chinspect.report import GLOSSARY, records
from chinspect.stress.report import KEYS, StressReport
from chinspect.stress.scoring import NONE

_BLUE = "#0072b2"
_RED = "#d55e00"
_INK = "0.25"
_GROUPS = (("normal", 0, _BLUE, -0.2, "o", ""), ("defect", 1, _RED, 0.2, "s", "////"))
"""Name, label, colour, offset from the middle of a row, and marker and hatching, which grey print tells apart."""
_FORESEEN = ((0.7, "well"), (0.4, "partly"), (-0.4, "hardly"), (-1.0, "wrongly"))
"""How well a shift was foreseen, by the least correlation: half of its variance, a sixth, less, and the opposite."""
_WORSE = 0.02  # of the images of each class, in the mean: less is told apart by no test set of a few hundred
_MOVED = 0.5  # interquartile ranges: the smallest shift that is worth a word


def draw(report: StressReport) -> Figure:
    """One row for each condition above, the steps and the prediction below."""
    rows = len(report.table)
    below = max(3.2, 0.34 * len(report.steps) + 1.2)
    figure = Figure(figsize=(12, 1.2 + 0.34 * rows + below), layout="constrained")
    axes = figure.subplot_mosaic(
        [["scores", "errors"], ["steps", "prediction"]], height_ratios=[0.34 * rows + 0.6, below], width_ratios=[1, 1]
    )
    _scores(axes["scores"], report)
    _errors(axes["errors"], report)
    _steps(axes["steps"], report)
    _prediction(axes["prediction"], report)
    figure.suptitle(
        f"{report.detector} on {report.dataset}: fitted with {report.train_resizer}, protocol {report.protocol}",
        fontsize=12,
    )
    figure.supxlabel(f"IQR: the interquartile range of normal scores, their usual spread. {GLOSSARY}", fontsize=8.5)
    return figure


def _scores(axes: Axes, report: StressReport) -> None:
    """Quartiles and range of normal and defective scores, in interquartile ranges around the threshold of the row."""
    scores = dict(list(report.scores.groupby(list(KEYS), sort=False)))
    names = []
    for y, (_, row) in enumerate(report.table.iterrows()):
        before = scores[row.mitigation, report.train_resizer, NONE]
        iqr = np.subtract(*np.percentile(before.score[before.label == 0], [75, 25])) or 1.0
        after = scores[row.mitigation, row.resizer, row.change]
        for _, label, colour, offset, marker, _ in _GROUPS:
            values = (after.score[after.label == label] - row.threshold) / iqr
            low, q1, median, q3, high = np.percentile(values, [0, 25, 50, 75, 100])
            line = [y + offset] * 2
            axes.plot([low, high], line, color=colour, linewidth=0.9)
            axes.plot([q1, q3], line, color=colour, linewidth=4.5, solid_capstyle="butt")
            axes.plot([median], line[:1], marker, color="white", markeredgecolor=colour, markersize=4)
        name = row.resizer if row.change == NONE else row.change
        names.append(name if row.mitigation == NONE else f"[{row.mitigation}]  {name}")
    axes.axvline(0, color=_INK, linewidth=1)
    axes.set_xscale("symlog", linthresh=3)  # shifts go from a tenth to hundreds of interquartile ranges
    ticks = [-300, -30, -3, 0, 3, 30, 300]
    axes.set_xticks(ticks, list(map(str, ticks)))
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel="score above the threshold, in IQR of normal scores")
    axes.set_title(
        f"Scores: normal (circles), defective (squares); right of the line: anomalous\n{_moved(report)}", fontsize=10
    )
    axes.grid(axis="x", color="0.92")


def _errors(axes: Axes, report: StressReport) -> None:
    """FPR and FNR with intervals; F1 with the frozen threshold, with a new one, and of calling all anomalous."""
    table = report.table
    y = np.arange(len(table))
    for name, (_, _, colour, offset, marker, _) in zip(("fpr", "fnr"), _GROUPS, strict=True):
        # rounding can put a bound of Wilson's interval on the wrong side of a rate of 0 or 1
        error = np.stack([table[name] - table[f"{name}_low"], table[f"{name}_high"] - table[name]]).clip(0)
        bars = axes.errorbar(table[name], y + offset, xerr=error, fmt=marker, color=colour, markersize=4, linewidth=1)
        bars.set_label({"fpr": "FPR, false alarms", "fnr": "FNR, missed defects"}[name])
    axes.plot(table.f1, y, "D", color=_INK, markersize=5, label="F1, threshold kept")
    axes.plot(
        table.f1_retuned, y, "D", color="none", markeredgecolor=_INK, markersize=6, label="F1, threshold re-tuned"
    )
    axes.axvline(table.f1_all_positive.iloc[0], color="0.6", linestyle="--", linewidth=1, label="F1, all anomalous")
    axes.set_yticks(y, [])
    axes.set(ylim=(len(table) - 0.5, -0.5), xlim=(-0.03, 1.03), xlabel="fraction of images, or F1")
    axes.set_title(f"Errors, with 95 % intervals\n{_erring(report)}", fontsize=10)
    below = (0.5, -0.02 - 0.9 / len(table))  # the label's height is a smaller fraction of higher axes
    axes.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=below, ncols=3, frameon=False)
    axes.grid(axis="x", color="0.92")


def _steps(axes: Axes, report: StressReport) -> None:
    """The score shift of each step of the chain."""
    steps = report.steps
    if not len(steps):
        _say(axes, "The training resizer has no chain of steps.")
        return
    y = np.arange(len(steps))
    for name, _, colour, offset, _, hatch in _GROUPS:
        axes.barh(
            y + offset, steps[f"shift_{name}"], 0.38, color=colour, label=name, hatch=hatch, edgecolor="white", lw=0
        )
    axes.set_yticks(y, list(steps.deployed + ": " + steps.step), fontsize=8)
    axes.axvline(0, color=_INK, linewidth=0.8)
    # a little of everything on both sides, so that small shifts are not drawn as large ones
    reach = 1.1 * max(_MOVED, steps[["shift_normal", "shift_defect"]].abs().fillna(0).to_numpy().max())
    axes.set(xlabel="shift of the median, in IQR", ylim=(len(steps) - 0.5, -0.5), xlim=(-reach, reach))
    axes.set_title(f"What the new resizer does, step by step\n{_stepping(report)}", fontsize=10)
    axes.legend(fontsize=8, frameon=False)


def _prediction(axes: Axes, report: StressReport) -> None:
    """Predicted against measured shift of single images."""
    if not report.predictions:
        _say(axes, "This detector does not explain its scores by frequency.")
        return
    for prediction, marker in zip(report.predictions, "osD^v<>ph*", strict=False):
        colours = np.where(prediction.label == 1, _RED, _BLUE)
        axes.scatter(prediction.predicted, prediction.measured, c=colours, marker=marker, s=16, alpha=0.7)
        word = next((word for least, word in _FORESEEN if prediction.correlation >= least), "not")
        text = f"{prediction.resizer}: {word} foreseen (r = {prediction.correlation:.2f}; 1: in proportion)"
        axes.plot([], [], marker, color="0.4", label=text)
    corners = np.array([axes.get_xlim(), axes.get_ylim()])
    diagonal = [corners.min(), corners.max()]
    axes.plot(diagonal, diagonal, color="0.7", linewidth=1, zorder=0)
    axes.set(xlabel="predicted score shift, from training images only", ylabel="measured score shift")
    axes.set(xlim=corners[0], ylim=corners[1])
    axes.set_title("Could it have been known before?\non the line: the shift is as predicted", fontsize=10)
    axes.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.17), frameon=False)


def _moved(report: StressReport) -> str:
    """The condition that moves scores most, in words."""
    rows = records(report.table)
    shifts = [_largest(row) for row in rows]
    worst = int(np.argmax(shifts))
    if shifts[worst] < _MOVED:
        return f"no condition moves a median by {_MOVED:g} IQR: scores stay"
    return f"{_condition(rows[worst])} moves them most, by {shifts[worst]:.1f} IQR"


def _erring(report: StressReport) -> str:
    """The condition under which most is decided wrongly beside the unchanged one, in words."""
    rows = records(report.table)
    errors = [(row["fpr"] + row["fnr"]) / 2 for row in rows]
    worst = int(np.argmax(errors))
    if errors[worst] - errors[0] < _WORSE:
        return f"no condition makes decisions worse by {_WORSE:.0%}"
    row = rows[worst]
    return f"worst: {_condition(row)}, FPR {row['fpr']:.2f} and FNR {row['fnr']:.2f}"


def _stepping(report: StressReport) -> str:
    """The step of the largest shift, in words."""
    rows = records(report.steps)
    shifts = [_largest(row) for row in rows]
    worst = int(np.argmax(shifts))
    size = "small" if shifts[worst] < _MOVED else "large"
    return f"the largest is {rows[worst]['step']}: {shifts[worst]:.2g} IQR, which is {size}"


def _largest(row: dict[str, Any]) -> float:
    """The larger shift of the two groups; one that is not defined counts as none."""
    return max(abs(row[f"shift_{name}"] or 0.0) for name in ("normal", "defect"))


def _condition(row: dict[str, Any]) -> str:
    return str(row["resizer"] if row["change"] == NONE else row["change"])


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color=_INK)
    axes.axis("off")
