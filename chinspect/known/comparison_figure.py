"""The figure of a comparison: a panel a subject, in which each model has a line under each condition."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from chinspect.known.comparing import STRATEGIES, Comparison
from chinspect.known.registry import EFFECTS
from chinspect.known.words import meaning, standing
from chinspect.report import CONTROL, EFFECT, GLOSSARY, VARIANT, records

_SPACING = 0.7  # of the room of a model, which its conditions divide
_TITLE = 38  # characters above a panel
_LINE = 36  # characters of running text over a panel's width


def draw(comparison: Comparison) -> Figure:
    """What a subject is about is dark, its controls are light, with 95 % intervals; a verdict a model."""
    models = comparison.models
    count = max(len(comparison.leads), 1)
    most = max((len(comparison.rows(subject)) / len(models) for subject in comparison.leads), default=1)
    figure = Figure(figsize=(2.0 + 3.8 * count, 2.6 + len(models) * max(0.7, 0.22 * most)), layout="constrained")
    grid = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    for axes, subject in zip(grid, comparison.leads, strict=False):
        _panel(axes, comparison, subject)
    grid[0].set_yticks(range(len(models)), [fill(name, 24) for name in models])
    grid[0].set_ylim(len(models) - 0.5, -0.5)
    looks = [(EFFECT, "s", "the effect"), (VARIANT, "^", "another form of it"), (CONTROL, "o", "controls")]
    lines = [Line2D([], [], color=colour, marker=marker, label=text) for colour, marker, text in looks]
    words = fill(f"Lines are 95 % intervals. {' '.join(comparison.notes)} {GLOSSARY}", _LINE * count)
    legend = figure.legend(
        handles=lines, loc="outside lower center", ncols=3, fontsize=8.5, frameon=False, title=words, title_fontsize=8.5
    )
    legend.get_title().set_parse_math(False)
    figure.suptitle(f"Models on {Path(comparison.data).name}", fontsize=11, parse_math=False)
    return figure


def _panel(axes: Axes, comparison: Comparison, subject: str) -> None:
    """One subject: the lines of a model lie within its room, the effect uppermost."""
    measure, condition = comparison.leads[subject]
    variants = EFFECTS[subject].variants if subject in EFFECTS else ()
    verdicts = []
    for i, model in enumerate(comparison.models):
        rows = [row for row in records(comparison.rows(subject)) if row["model"] == model]
        for k, row in enumerate(rows):
            y = i + _SPACING * ((k + 0.5) / len(rows) - 0.5)
            colour, marker = _look(row["condition"], condition, variants)
            axes.plot([row["low"], row["high"]], [y] * 2, color=colour, linewidth=1.6)
            axes.plot([row["estimate"]], [y], marker, color=colour, markersize=4)
        if verdict := standing(rows, condition, variants):
            verdicts.append(f"{model}: {verdict}")
    axes.axvline(0, color="0.25", linewidth=0.8)
    for i in range(1, len(comparison.models)):
        axes.axhline(i - 0.5, color="0.85", linewidth=0.8)
    text = meaning(measure)
    heading = [subject, *fill(f"{measure}: {text}" if text else measure, _TITLE).splitlines(), *verdicts]
    axes.set_title("\n".join(heading), fontsize=8.5, loc="left", parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=subject == STRATEGIES))
    axes.grid(axis="x", color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _look(condition: str, own: str, variants: tuple[str, ...]) -> tuple[str, str]:
    if condition == own:
        return EFFECT, "s"
    return (VARIANT, "^") if condition in variants else (CONTROL, "o")
