"""The figure of a known effect: an image under each condition, and each measure under all of them."""

from __future__ import annotations

from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chinspect.known.measurement import Measurement
from chinspect.report import records

_RED = "#c1441e"
_BLUE = "#2a6f97"
_ORANGE = "#e0a23c"
_GREY = "#8a8a8a"
_COLUMNS = 3  # panels in a row: more, and the names of conditions would take the room
_PUBLISHED = 3  # models whose published values are drawn; the table has all


def draw(measurement: Measurement) -> Figure:
    """Pictures above, measures below, what is published as grey diamonds."""
    measures = measurement.measured["measure"].unique().tolist()
    lines = -(-len(measures) // _COLUMNS)
    height = 0.9 + 2.7 * lines + (2.0 if measurement.pictures else 0)
    figure = Figure(figsize=(14, height), layout="constrained")
    title = f"{measurement.effect.name}: {measurement.effect.title}"
    variants = "".join(f"orange: {name}, " for name in measurement.effect.variants)
    figure.suptitle(
        f"{title}\n{measurement.model}, {measurement.images} images; red: {measurement.effect.condition}, "
        f"{variants}blue: controls, with 95 % intervals; grey: published",
        fontsize=11,
        parse_math=False,
    )
    heights = [2.0 if measurement.pictures else 0.01, 2.7 * lines]
    pictures, panels = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    if measurement.pictures:
        grid = pictures.subplots(1, len(measurement.pictures), squeeze=False)[0]
        for axes, (name, pixels) in zip(grid, measurement.pictures.items(), strict=True):
            axes.imshow(pixels)
            axes.set_title(name, fontsize=8.5, color=_colour(measurement, name))
            axes.axis("off")
    grid = panels.subplots(lines, min(_COLUMNS, len(measures)), squeeze=False).reshape(-1)
    for axes, measure in zip(grid, measures, strict=False):
        _panel(axes, measurement, measure)
    for axes in grid[len(measures) :]:
        axes.axis("off")
    return figure


def _panel(axes: Axes, measurement: Measurement, measure: str) -> None:
    """One measure: a line a condition, and one a published model."""
    rows = measurement.rows(measure)
    published = measurement.published.query("measure == @measure")[:_PUBLISHED]
    labels: list[str] = []
    for row in records(rows.reset_index()):
        condition = row["condition"]
        colour = _colour(measurement, condition)
        axes.plot([row["low"], row["high"]], [len(labels)] * 2, color=colour, linewidth=1.8)
        axes.plot([row["estimate"]], [len(labels)], "o", color=colour, markersize=5)
        labels.append(condition)
    for entry in records(published):
        axes.plot([entry["value"]], [len(labels)], "D", color=_GREY, markersize=5)
        labels.append(fill(entry["model"], 24))
    axes.axvline(0, color="0.25", linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_yticks(range(len(labels)), labels, fontsize=7.5)
    axes.set(ylim=(len(labels) - 0.4, -0.6))
    axes.set_title(measure, fontsize=9.5, loc="left", parse_math=False)
    axes.grid(axis="x", color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelsize=7.5)


def _colour(measurement: Measurement, condition: str) -> str:
    if condition == measurement.effect.condition:
        return _RED
    return _ORANGE if condition in measurement.effect.variants else _BLUE
