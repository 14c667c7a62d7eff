"""The figure of a stress test: scores, errors, the steps of the resizer, and what could have been predicted."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from chinspect.report import CONTROL, EFFECT, GLOSSARY, INK
from chinspect.stress.report import KEYS, StressReport
from chinspect.stress.scoring import NONE
from chinspect.stress.words import SMALL

_GROUPS = (("normal", 0, CONTROL, "o", -0.2), ("defect", 1, EFFECT, "s", 0.2))
"""Name, label, colour, marker, and offset from the middle of a row."""
_LINE = 84  # characters of a verdict above a panel
_MARKERS = "osD^v<>ph*"


def draw(report: StressReport) -> Figure:
    """One row for each condition above, the steps and the prediction below; a verdict above each panel."""
    upper = 0.34 * len(report.table) + 1.3
    lower = max(3.4, 0.42 * len(report.steps) + 1.0)
    figure = Figure(figsize=(14, upper + lower + 1.6), layout="constrained")
    axes = figure.subplot_mosaic([["scores", "errors"], ["steps", "prediction"]], height_ratios=[upper, lower])
    verdicts = report.verdicts
    _scores(axes["scores"], report, verdicts["scores"])
    _errors(axes["errors"], report, verdicts["errors"])
    _steps(axes["steps"], report, verdicts["steps"])
    _prediction(axes["prediction"], report, verdicts["prediction"])
    figure.suptitle(
        f"Do the decisions of {report.detector} on {report.dataset} survive deployment? "
        f"Fitted with {report.train_resizer}, threshold by the protocol {report.protocol}",
        fontsize=12,
        parse_math=False,
    )
    figure.supxlabel("\n".join([*report.remarks(), GLOSSARY]), fontsize=8.5, parse_math=False)
    return figure


def _scores(axes: Axes, report: StressReport, verdict: str) -> None:
    """Quartiles and range of normal and defective scores, in interquartile ranges around the threshold of the row."""
    scores = dict(list(report.scores.groupby(list(KEYS), sort=False)))
    names = []
    for y, (_, row) in enumerate(report.table.iterrows()):
        before = scores[row.mitigation, report.train_resizer, NONE]
        iqr = np.subtract(*np.percentile(before.score[before.label == 0], [75, 25])) or 1.0
        after = scores[row.mitigation, row.resizer, row.change]
        for _, label, colour, marker, offset in _GROUPS:
            values = (after.score[after.label == label] - row.threshold) / iqr
            low, q1, median, q3, high = np.percentile(values, [0, 25, 50, 75, 100])
            line = [y + offset] * 2
            axes.plot([low, high], line, color=colour, linewidth=0.9)
            axes.plot([q1, q3], line, color=colour, linewidth=4.5, solid_capstyle="butt")
            axes.plot([median], line[:1], marker, color="white", markeredgecolor=colour, markersize=4)
        name = row.resizer if row.change == NONE else row.change
        names.append(name if row.mitigation == NONE else f"[{row.mitigation}]  {name}")
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_xscale("symlog", linthresh=3)  # shifts go from a tenth to hundreds of interquartile ranges
    ticks = [-300, -30, -3, 0, 3, 30, 300]
    axes.set_xticks(ticks, list(map(str, ticks)))
    drawn = np.concatenate([np.asarray(line.get_xdata()) for line in axes.lines])
    axes.set_xlim(min(-4.0, 1.3 * drawn.min()), max(4.0, 1.3 * drawn.max()))
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel="score above the threshold, in IQR of normal scores")
    _title(axes, "Scores: right of the line an image is called anomalous", verdict)
    handles = [Line2D([], [], color=colour, marker=marker, label=name) for name, _, colour, marker, _ in _GROUPS]
    _legend(axes, handles)
    axes.grid(axis="x", color="0.92")


def _errors(axes: Axes, report: StressReport, verdict: str) -> None:
    """FPR and FNR with intervals; F1 with the frozen threshold, with a new one, and of calling all anomalous."""
    table = report.table
    y = np.arange(len(table))
    names = {"fpr": "normal called anomalous (FPR)", "fnr": "defects missed (FNR)"}
    handles: list[Line2D] = []
    for (name, words), (_, _, colour, marker, offset) in zip(names.items(), _GROUPS, strict=True):
        # rounding can put a bound of Wilson's interval on the wrong side of a rate of 0 or 1
        error = np.stack([table[name] - table[f"{name}_low"], table[f"{name}_high"] - table[name]]).clip(0)
        axes.errorbar(table[name], y + offset, xerr=error, fmt=marker, color=colour, markersize=4, linewidth=1)
        handles.append(Line2D([], [], color=colour, marker=marker, label=words))
    handles += axes.plot(table.f1, y, "D", color=INK, markersize=5, label="F1, threshold kept")
    handles += axes.plot(
        table.f1_retuned, y, "D", color="none", markeredgecolor=INK, markersize=6, label="F1, threshold re-tuned"
    )
    everything = axes.axvline(table.f1_all_positive.iloc[0], color="0.6", linestyle="--", linewidth=1)
    everything.set_label("F1 of calling all anomalous")
    axes.set_yticks(y, [])
    axes.set(ylim=(len(table) - 0.5, -0.5), xlim=(-0.03, 1.03), xlabel="fraction of images, or F1")
    _title(axes, "Errors, with 95 % intervals", verdict)
    _legend(axes, [*handles, everything])
    axes.grid(axis="x", color="0.92")


def _steps(axes: Axes, report: StressReport, verdict: str) -> None:
    """The score shift of each step of the chain, a line each, one deployed resizer below the other."""
    steps = report.steps
    if not len(steps):
        _say(axes, "The training resizer has no chain of steps.")
        return
    y = np.arange(len(steps))
    for name, _, colour, _, offset in _GROUPS:
        axes.barh(y + offset, steps[f"shift_{name}"], 0.38, color=colour, edgecolor=INK, linewidth=0.4, label=name)
    links = zip(steps["step"], steps["to"], strict=True)
    names = [fill(f"{step}, to {to}", 30, break_on_hyphens=False) for step, to in links]
    axes.set_yticks(y, names, fontsize=8)
    for i in np.flatnonzero(steps["deployed"] != steps["deployed"].shift())[1:]:
        axes.axhline(i - 0.5, color="0.6", linewidth=0.8)
    axes.axvline(0, color=INK, linewidth=0.8)
    # at least as far as a shift is small, so that small shifts are not drawn as large ones
    reach = 1.1 * max(SMALL, float(np.nanmax(np.abs(steps[["shift_normal", "shift_defect"]].to_numpy()), initial=0)))
    axes.set(ylim=(len(steps) - 0.5, -0.5), xlim=(-reach, reach))
    axes.set_xlabel("shift of the median score, in IQR of normal scores")
    _title(axes, "What the new resizer does, step by step", verdict)
    axes.legend(fontsize=8, frameon=False)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="0.92")


def _prediction(axes: Axes, report: StressReport, verdict: str) -> None:
    """Predicted against measured shift of single images."""
    if not report.predictions:
        _say(axes, "This detector does not explain its scores by frequency.")
        return
    for prediction, marker in zip(report.predictions, _MARKERS, strict=False):
        for _, label, colour, _, _ in _GROUPS:
            shown = prediction.label == label
            axes.scatter(
                prediction.predicted[shown], prediction.measured[shown], c=colour, marker=marker, s=20, alpha=0.8
            )
        axes.plot([], [], marker, color="0.4", label=prediction.resizer)
    corners = np.array([axes.get_xlim(), axes.get_ylim()])
    diagonal = [corners.min(), corners.max()]
    axes.plot(diagonal, diagonal, color="0.7", linewidth=1, zorder=0, label="measured = predicted")
    axes.set(xlabel="predicted score shift, from training images only", ylabel="measured score shift")
    axes.set(xlim=corners[0], ylim=corners[1])
    _title(axes, "Could it have been known before?", verdict)
    axes.legend(fontsize=8, frameon=False)


def _title(axes: Axes, title: str, verdict: str) -> None:
    """What a panel asks, and the answer below."""
    axes.set_title(f"{title}\n{fill(verdict, _LINE)}".strip(), fontsize=9, loc="left", parse_math=False)


def _legend(axes: Axes, handles: list[Line2D]) -> None:
    """A legend below the label of the horizontal axis, at a distance that does not grow with the panel."""
    figure = axes.get_figure()
    assert figure is not None
    below = axes.transAxes + ScaledTranslation(0, -0.45, figure.dpi_scale_trans)
    axes.legend(
        handles=handles,
        fontsize=8,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=below,
        ncols=3,
        frameon=False,
    )


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color=INK)
    axes.axis("off")
