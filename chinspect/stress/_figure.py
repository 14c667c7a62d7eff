"""The figure of a stress test: scores, errors, the steps of the resizer, and what could have been predicted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from chinspect.errors import InputError
from chinspect.files import replacing
from chinspect.stress.scoring import NONE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from chinspect.stress.report import StressReport

_FORMATS = (".png", ".svg", ".pdf")
_NORMAL, _DEFECT, _INK = "#2a6f97", "#c1441e", "0.25"


def draw(report: StressReport, path: Path) -> Path:
    """Write the figure to a PNG, SVG or PDF file."""
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"Figures are written as {', '.join(_FORMATS)}, not as {path.name!r}.")
    rows = len(report.table)
    figure = Figure(figsize=(12, 4.2 + 0.34 * rows), layout="constrained")
    axes = figure.subplot_mosaic(
        [["scores", "errors"], ["steps", "prediction"]], height_ratios=[0.34 * rows + 0.6, 3.2], width_ratios=[1, 1]
    )
    _scores(axes["scores"], report)
    _errors(axes["errors"], report)
    _steps(axes["steps"], report)
    _prediction(axes["prediction"], report)
    figure.suptitle(
        f"{report.detector} on {report.dataset}: fitted with {report.train_resizer}, protocol {report.protocol}",
        fontsize=12,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=140)
    return path


def _names(table: pd.DataFrame) -> list[str]:
    """A short name of each row."""
    keys = table[["mitigation", "resizer", "change"]].astype(str).to_numpy()
    names = [(mitigation, resizer if change == NONE else change) for mitigation, resizer, change in keys]
    return [name if mitigation == NONE else f"[{mitigation}]  {name}" for mitigation, name in names]


def _scores(axes: Axes, report: StressReport) -> None:
    """Quartiles and range of normal and defective scores, in interquartile ranges around the threshold of the row."""
    keys = ["mitigation", "resizer", "change"]
    groups = {key: group[["label", "score"]].to_numpy() for key, group in report.scores.groupby(keys, sort=False)}
    for y, (mitigation, resizer, change, threshold) in enumerate(report.table[[*keys, "threshold"]].to_numpy()):
        label, score = groups[mitigation, resizer, change].T
        before = groups[mitigation, report.train_resizer, NONE]
        spread = np.subtract(*np.percentile(before[before[:, 0] == 0, 1], [75, 25])) or 1.0
        for kind, colour, offset in ((0, _NORMAL, -0.16), (1, _DEFECT, 0.16)):
            values = (score[label == kind] - threshold) / spread
            low, q1, median, q3, high = np.percentile(values, [0, 25, 50, 75, 100])
            axes.plot([low, high], [y + offset] * 2, color=colour, linewidth=0.9)
            axes.plot([q1, q3], [y + offset] * 2, color=colour, linewidth=4.5, solid_capstyle="butt")
            axes.plot([median], [y + offset], "o", color="white", markeredgecolor=colour, markersize=4)
    axes.axvline(0, color=_INK, linewidth=1)
    axes.set_xscale("symlog", linthresh=3)
    axes.set_xticks([-300, -30, -3, 0, 3, 30, 300], ["-300", "-30", "-3", "0", "3", "30", "300"])
    axes.set_yticks(range(len(report.table)), _names(report.table), fontsize=8)
    axes.set(ylim=(len(report.table) - 0.5, -0.5), xlabel="score above the threshold, in IQR of normal scores")
    axes.set_title("Scores: normal (blue), defective (red); right of the line: anomalous", fontsize=10)
    axes.grid(axis="x", color="0.92")


def _errors(axes: Axes, report: StressReport) -> None:
    """FPR and FNR with intervals; F1 with the frozen threshold, with a new one, and of calling all anomalous."""
    table, y = report.table, np.arange(len(report.table))
    for name, colour, offset in (("fpr", _NORMAL, -0.2), ("fnr", _DEFECT, 0.2)):
        value = table[name].to_numpy()
        error = np.stack([value - table[f"{name}_low"], table[f"{name}_high"] - value]).clip(0)
        axes.errorbar(
            value, y + offset, xerr=error, fmt="o", color=colour, markersize=4, linewidth=1, label=name.upper()
        )
    axes.plot(table.f1, y, "D", color=_INK, markersize=5, label="F1, threshold kept")
    axes.plot(
        table.f1_retuned, y, "D", color="none", markeredgecolor=_INK, markersize=6, label="F1, threshold re-tuned"
    )
    axes.axvline(table.f1_all_positive.iloc[0], color="0.6", linestyle="--", linewidth=1, label="F1, all anomalous")
    axes.set_yticks(y, [])
    axes.set(ylim=(len(table) - 0.5, -0.5), xlim=(-0.03, 1.03), xlabel="share of images, or F1")
    axes.set_title("Errors, with 95 % intervals", fontsize=10)
    axes.legend(
        fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.13 - 0.9 / len(table)), ncols=3, frameon=False
    )
    axes.grid(axis="x", color="0.92")


def _steps(axes: Axes, report: StressReport) -> None:
    """The score shift of each step of the chain."""
    steps = report.steps
    if not len(steps):
        _say(axes, "The training resizer has no chain of steps.")
        return
    x = np.arange(len(steps))
    for name, colour, offset in (("normal", _NORMAL, -0.2), ("defect", _DEFECT, 0.2)):
        axes.bar(x + offset, steps[f"shift_{name}"], 0.38, color=colour, label=name)
    labels = [f"{step}\n{to}" for step, to in steps[["step", "to"]].to_numpy()]
    axes.set_xticks(x, labels, fontsize=7.5)
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.set(ylabel="shift of the median, in IQR")
    axes.set_title("What the new resizer does, step by step", fontsize=10)
    axes.legend(fontsize=8, frameon=False)


def _prediction(axes: Axes, report: StressReport) -> None:
    """Predicted against measured shift of single images."""
    if not report.predictions:
        _say(axes, "This detector does not explain its scores by frequency.")
        return
    for prediction, marker in zip(report.predictions, "osD^v<>ph*", strict=False):
        colours = np.where(prediction.label == 1, _DEFECT, _NORMAL)
        axes.scatter(prediction.predicted, prediction.measured, c=colours, marker=marker, s=16, alpha=0.7, label="_")
        text = f"{prediction.resizer}: r = {prediction.correlation:.2f}, slope {prediction.slope:.2f}"
        axes.plot([], [], marker, color="0.4", label=text)
    limits = np.array([[*axes.get_xlim()], [*axes.get_ylim()]])
    line = np.array([limits.min(), limits.max()])
    axes.plot(line, line, color="0.7", linewidth=1, zorder=0)
    axes.set(xlabel="predicted score shift, from training images only", ylabel="measured score shift")
    axes.set(xlim=limits[0], ylim=limits[1])
    axes.set_title("Could it have been known before?", fontsize=10)
    axes.legend(fontsize=8, frameon=False)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color=_INK)
    axes.axis("off")
