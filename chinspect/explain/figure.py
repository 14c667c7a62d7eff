"""The figure of an explained output: what the network sees, where what is explained comes from, and what deletion says.

Red raises what is explained and blue, hatched, lowers it, so that a copy in grey says the same.
"""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from chinspect.explain.explanation import ExplainedOutput, OutputExplanation
from chinspect.explain.pooling import area_sum
from chinspect.report import CONTROL, EFFECT, GLOSSARY, INK, PALE

_ROWS = 8
"""Images that are drawn; the others are in the files."""
_CELLS = 14  # rows and columns of patches that are drawn, as many as those of a similarity
_HATCHED = 0.15  # of the darkest patch: what is paler looks white
_BLUE = (0.10, 0.25, 0.80, 0.6)
_TITLE = 100  # characters that fit into a line of the title
_CAPTION = 125  # characters that fit into a line
_LABEL = 42  # under a picture


def draw(explanation: OutputExplanation) -> Figure:
    """A row an image."""
    images = explanation.images[:_ROWS]
    checked = any(image.deletion is not None for image in images)
    columns = 3 if checked else 2
    figure = Figure(figsize=(3.6 * columns, 1.5 + 3.0 * len(images)), layout="constrained")
    axes = figure.subplots(len(images), columns, squeeze=False, width_ratios=[1, 1, 1.15][:columns])
    for row, image in zip(axes, images, strict=True):
        row[0].imshow(image.picture)
        row[0].set_xlabel(fill(image.label, _LABEL), fontsize=9, parse_math=False)
        _draw_map(row[1], image)
        if image.deletion is not None:
            _draw_deletion(row[2], image)
        elif checked:
            row[2].axis("off")
        for panel in row[:2]:
            panel.set(xticks=[], yticks=[])
    axes[0, 0].set_title("What the network sees", fontsize=9)
    only_where = all(image.conservation is None for image in images)
    meaning = "The redder, the more" if only_where else "Red raises it, blue (hatched) lowers it"
    axes[0, 1].set_title(f"Where that comes from\n{meaning}", fontsize=9)
    if checked:
        axes[0, 2].set_title("Is that right?\nThe network asked again without some patches", fontsize=9)
    figure.suptitle(_title(explanation), fontsize=11, parse_math=False)
    more = len(explanation.images) - len(images)
    lines = [*explanation.sentence.splitlines(), f"{more} more images are in the files." if more else "", GLOSSARY]
    caption = [fill(line, _CAPTION if checked else _CAPTION * 2 // 3) for line in lines if line]
    figure.supxlabel("\n".join(caption), fontsize=9, parse_math=False)
    return figure


def _title(explanation: OutputExplanation) -> str:
    nouns = list(dict.fromkeys(image.noun for image in explanation.images))
    what = nouns[0] if len(nouns) == 1 else "the largest output"
    this = "this image" if len(explanation.images) == 1 else "each of these images"
    question = fill(f"Where in {this} does {what} come from?", _TITLE)
    return f"{question}\n{fill(f'{explanation.model}, {explanation.label}', _TITLE)}"


def _draw_map(axes: Axes, image: ExplainedOutput) -> None:
    """The map over the picture in grey, summed over patches where it is finer than can be seen."""
    width, height = image.picture.size
    values = area_sum(image.map, _CELLS)
    limit = float(np.abs(values).max()) or 1.0
    axes.imshow(image.picture.convert("L"), cmap="gray", vmin=-80, vmax=335)  # pale, so that colours are seen on it
    axes.imshow(
        values,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        alpha=0.8 * np.sqrt(np.abs(values) / limit),
        extent=(0, width, height, 0),
        interpolation="bilinear" if image.conservation is None else "nearest",  # as is usual for a CAM
    )
    cells = [
        Rectangle(
            (column * width / values.shape[1], row * height / values.shape[0]),
            width / values.shape[1],
            height / values.shape[0],
        )
        for row, column in np.argwhere(values < -_HATCHED * limit)
    ]
    hatched = PatchCollection(cells, facecolor="none", edgecolor=_BLUE, hatch="////", linewidth=0)
    axes.add_collection(hatched)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_xlabel(fill(f"{image.noun}: {image.value:.3g}", _LABEL), fontsize=9, parse_math=False)


def _draw_deletion(axes: Axes, image: ExplainedOutput) -> None:
    """How far the score falls without the most relevant, random and the least relevant patches."""
    assert image.deletion is not None
    table = image.deletion.table
    lines = (
        ("most_relevant", "the most relevant ones", EFFECT, "-", "o"),
        ("random", "random ones", CONTROL, "--", "s"),
        ("least_relevant", "the least relevant ones", PALE, ":", "v"),
    )
    for column, label, colour, style, marker in lines:
        axes.plot(table["fraction"], table[column], style, marker=marker, ms=4, color=colour, label=label)
    spread = table["random_spread"]
    axes.fill_between(table["fraction"], table["random"] - spread, table["random"] + spread, color=CONTROL, alpha=0.2)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_xlabel("fraction of the patches that are replaced", fontsize=8)
    axes.set_ylabel("lost of what the image has\nbeyond its reference", fontsize=8)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=7, frameon=False, title="without", title_fontsize=7)
