"""The figure of a known effect: an image under each condition, and each measure under all of them."""

from __future__ import annotations

from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from chinspect.known.measurement import Measurement
from chinspect.known.words import meaning, standing
from chinspect.report import CONTROL, EFFECT, GLOSSARY, PALE, VARIANT, records

_COLUMNS = 3  # panels in a row: more, and the names of conditions would take the room
_PUBLISHED = 3  # models whose published values are drawn; the table has all
_NAME = 24  # characters of a name beside a panel
_TITLE = 46  # above a panel
_LINE = 150  # of running text over the width of the figure


def draw(measurement: Measurement) -> Figure:
    """Pictures above, measures below; what each measure is and whether the effect stands out above its panel."""
    measures = measurement.measured["measure"].unique().tolist()
    lines = -(-len(measures) // _COLUMNS)
    height = 1.6 + 2.9 * lines + (2.0 if measurement.pictures else 0)
    figure = Figure(figsize=(14, height), layout="constrained")
    effect = measurement.effect
    title = fill(f"{effect.name}: {effect.title}", 110)
    figure.suptitle(f"{title}\n{measurement.model}, {measurement.images} images", fontsize=11, parse_math=False)
    heights = [2.0 if measurement.pictures else 0.01, 2.9 * lines]
    pictures, panels = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    if measurement.pictures:
        grid = pictures.subplots(1, len(measurement.pictures), squeeze=False)[0]
        for axes, (name, pixels) in zip(grid, measurement.pictures.items(), strict=True):
            axes.imshow(pixels)
            axes.set_title(fill(name, _NAME), fontsize=8.5)
            axes.axis("off")
    grid = panels.subplots(lines, min(_COLUMNS, len(measures)), squeeze=False).reshape(-1)
    for axes, measure in zip(grid, measures, strict=False):
        _panel(axes, measurement, measure)
    for axes in grid[len(measures) :]:
        axes.axis("off")
    handles = _handles(measurement)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8.5, frameon=False)
    words = f"Lines are 95 % intervals. {' '.join(measurement.notes)} {GLOSSARY}"
    panels.supxlabel(fill(words, _LINE), fontsize=8.5, parse_math=False)
    return figure


def _handles(measurement: Measurement) -> list[Line2D]:
    """A legend of what there is."""
    effect = measurement.effect
    names = [(EFFECT, "s", f"the effect: {effect.condition}"), (CONTROL, "o", "controls")]
    names[1:1] = [(VARIANT, "^", f"another form of it: {name}") for name in effect.variants]
    handles = [Line2D([], [], color=colour, marker=marker, label=text) for colour, marker, text in names]
    if len(measurement.published):
        handles.append(Line2D([], [], color=PALE, marker="D", linestyle="", label="published, of other models"))
    return handles


def _panel(axes: Axes, measurement: Measurement, measure: str) -> None:
    """One measure: a line a condition, and one a published model."""
    effect = measurement.effect
    rows = records(measurement.rows(measure).reset_index())
    published = measurement.published.query("measure == @measure")[:_PUBLISHED]
    labels: list[str] = []
    for row in rows:
        condition = row["condition"]
        colour, marker = _look(measurement, condition)
        axes.plot([row["low"], row["high"]], [len(labels)] * 2, color=colour, linewidth=1.8)
        axes.plot([row["estimate"]], [len(labels)], marker, color=colour, markersize=5)
        labels.append(fill(str(condition), _NAME))
    for entry in records(published):
        axes.plot([entry["value"]], [len(labels)], "D", color=PALE, markersize=5)
        labels.append(fill(entry["model"], _NAME))
    axes.axvline(0, color="0.25", linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_yticks(range(len(labels)), labels, fontsize=7.5)
    axes.set(ylim=(len(labels) - 0.4, -0.6))
    verdict = standing(rows, effect.condition, effect.variants)
    axes.set_title(f"{_headed(measure)}\n{verdict}".strip(), fontsize=8.5, loc="left", parse_math=False)
    axes.grid(axis="x", color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelsize=7.5)


def _headed(measure: str) -> str:
    """A measure and what it is, in lines no wider than a panel."""
    text = meaning(measure)
    return fill(f"{measure}: {text}" if text else measure, _TITLE)


def _look(measurement: Measurement, condition: str) -> tuple[str, str]:
    """Colour and marker of a condition."""
    if condition == measurement.effect.condition:
        return EFFECT, "s"
    return (VARIANT, "^") if condition in measurement.effect.variants else (CONTROL, "o")
