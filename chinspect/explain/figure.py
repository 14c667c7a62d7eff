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
from PIL import Image

from chinspect.explain.explanation import ExplainedOutput, OutputExplanation
from chinspect.explain.pooling import area_sum
from chinspect.report import CONTROL, EFFECT, GLOSSARY, INK, PALE

_ROWS = 8
"""Images that are drawn; the others are in the files."""
_CELLS = 14  # rows and columns of patches that are drawn, as many as those of a similarity
_HATCHED = 0.15  # of the darkest patch: what is paler looks white
_BLUE = (0.10, 0.25, 0.80, 0.6)
_TITLE = 32  # characters that fit into a line of the title, a panel
_LABEL = 42  # into a line of the caption, a panel, and under a picture


def draw(explanation: OutputExplanation) -> Figure:
    """A row an image."""
    images = explanation.images[:_ROWS]
    checked = any(image.deletion is not None for image in images)
    titles = ["What the network sees", f"Where that comes from\n{_meaning(explanation)}"]
    if explanation.other is not None:
        titles.insert(1, "The image that it is compared with")
    if checked:
        titles.append("Is that right?\nThe network asked again without some patches")
    figure = Figure(figsize=(3.6 * len(titles), 1.5 + 3.0 * len(images)), layout="constrained")
    widths = [1.0] * (len(titles) - checked) + [1.15] * checked
    axes = figure.subplots(len(images), len(titles), squeeze=False, width_ratios=widths)
    for row, image in zip(axes, images, strict=True):
        panels = iter(row)
        _show(next(panels), image.picture, image.label)
        if explanation.other is not None:
            _show(next(panels), explanation.other, "")
        _draw_map(next(panels), image)
        if image.deletion is not None:
            _draw_deletion(next(panels), image)
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title, fontsize=9)
    title = "\n".join(fill(line, _TITLE * len(titles)) for line in _title(explanation))
    figure.suptitle(title, fontsize=11, parse_math=False)
    more = len(explanation.images) - len(images)
    lines = [*explanation.sentence.splitlines(), f"{more} more images are in the files." if more else "", GLOSSARY]
    caption = [fill(line, _LABEL * len(titles)) for line in lines if line]
    figure.supxlabel("\n".join(caption), fontsize=9, parse_math=False)
    return figure


def _show(axes: Axes, picture: Image.Image, label: str) -> None:
    axes.imshow(picture)
    axes.set_xlabel(fill(label, _LABEL), fontsize=9, parse_math=False)
    axes.set(xticks=[], yticks=[])


def _meaning(explanation: OutputExplanation) -> str:
    """What the colours of the maps say."""
    only_where = all(image.conservation is None for image in explanation.images)
    return "The redder, the more" if only_where else "Red raises it, blue (hatched) lowers it"


def _title(explanation: OutputExplanation) -> tuple[str, str]:
    """What is asked, and of whom and how."""
    nouns = list(dict.fromkeys(image.noun for image in explanation.images))
    what = nouns[0] if len(nouns) == 1 else "the largest output"
    this = "this image" if len(explanation.images) == 1 else "each of these images"
    return f"Where in {this} does {what} come from?", f"{explanation.model}, {explanation.label}"


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
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
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
