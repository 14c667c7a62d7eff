"""The figure of a judgement: a panel for each metric, a line for each map, controls apart."""

from __future__ import annotations

from textwrap import fill

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chinspect.faithfulness.judgement import Judgement
from chinspect.report import CONTROL, EFFECT, GLOSSARY, INK, records

_COLUMNS = 4  # panels in a row
_LINE = 150  # characters of running text over the width


def draw(judgement: Judgement) -> Figure:
    """Means and 95 % intervals of each metric; above a panel which way is good, and its verdict."""
    metrics = judgement.metrics
    rows = -(-len(metrics) // _COLUMNS)
    figure = Figure(figsize=(15, 1.2 + rows * (0.9 + 0.24 * len(judgement.maps))), layout="constrained")
    title = f"Metrics of maps of {judgement.score}, {len(judgement.images)} images"
    figure.suptitle(title, fontsize=11, parse_math=False)
    grid = figure.subplots(rows, min(_COLUMNS, len(metrics)), squeeze=False).reshape(-1)
    verdicts = {row["metric"]: row["verdict"] for row in records(judgement.verdicts)}
    for axes, metric in zip(grid, metrics, strict=False):
        table = judgement.table[judgement.table["metric"] == metric]
        better = table["better"].iloc[0]
        _panel(axes, table)
        words = f"{better} is better; {verdicts[metric]}" if better else "no metric of quality"
        axes.set_title(f"{metric}\n{words}", fontsize=8.5, parse_math=False)
    for axes in grid[len(metrics) :]:
        axes.axis("off")
    words = (
        "Dark: methods; light: controls, maps that know nothing of the image. A metric that a control wins measures "
        f"nothing. Lines are 95 % intervals over images. {GLOSSARY}"
    )
    figure.supxlabel(fill(words, _LINE), fontsize=8.5)
    return figure


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    """One metric: a line a map, the first on top."""
    for position, row in enumerate(table.to_dict("records")):
        colour, marker = (CONTROL, "o") if row["control"] else (EFFECT, "s")
        axes.plot([row["low"], row["high"]], [position] * 2, color=colour, linewidth=1.8)
        axes.plot([row["mean"]], [position], marker, color=colour, markersize=5)
    axes.set_yticks(range(len(table)), table["map"].tolist(), fontsize=8)
    axes.invert_yaxis()
    axes.tick_params(axis="x", labelsize=8, colors=INK)
