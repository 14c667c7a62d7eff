"""The figure of anomaly scores: where each lies, in which frequencies, and what the image was compared with."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from chinspect.anomaly.explanation import AnomalyExplanation
from chinspect.anomaly.images import shortened
from chinspect.report import GLOSSARY

_BANDS = 6  # maps that fit on a page beside the rest
_NEAREST = 2  # training images, likewise
_CELLS = 56  # small squares along the shorter side: of single pixels, neighbours of both signs blur to one colour
_QUANTILE = 0.998  # of the strongest map, where the colours of a row end: single squares would hide the rest
_NAME = 24  # characters of a name above a column
_LINE = 27  # characters of running text above a column
_OPACITY = 0.7  # exponent of the opacity of relevance: below 1, so that weak relevance is seen too
_ADDS = "#b2182b"
_TAKES = "#a6ddff"
_SIGNS = LinearSegmentedColormap.from_list("signs", [_TAKES, "#bfbfbf", _ADDS])
"""Red is darker than the grey picture below it and blue lighter, so that a print without colours tells them apart."""
_DARKEST = 0.38  # of the grey picture, where black stands for 0 and white for 1
_SPAN = 0.3
_REFERENCE = ("Reference", "In no pixel")
"""What of a score the relevance is not of: by a method, and by what a detector knows of itself."""


def draw(explanation: AnomalyExplanation) -> Figure:
    """One row an image, those of the highest scores: picture, maps, spectrum, nearest training images."""
    explanation = explanation.take(explanation.highest())
    columns = _columns(explanation)
    rows = len(explanation)
    width = _LINE * len(columns)
    words = fill(_words(explanation), width)
    below = fill(f"{explanation.faithfulness} {GLOSSARY}".strip(), width)
    lines = words.count("\n") + below.count("\n") + 2
    figure = Figure(figsize=(2.1 * len(columns) + 0.4, 2.75 * rows + 0.17 * lines + 0.3), layout="constrained")
    for i, row in enumerate(figure.subplots(rows, len(columns), squeeze=False)):
        for axes, (kind, k) in zip(row, columns, strict=True):
            _draw_cell(axes, explanation, i, kind, k)
    figure.suptitle(words, fontsize=8.5)
    figure.supxlabel(below, fontsize=8, parse_math=False)
    return figure


def _words(explanation: AnomalyExplanation) -> str:
    """What is to be seen, in sentences."""
    how = "" if explanation.method is None else f" ({explanation.method.label})"
    sentences = [f"What do these anomaly scores rest on{how}?"]
    if explanation.components in ("pixels", "pixel_bands"):
        height, width = explanation.images.shape[1:3]
        side = _side(explanation)
        sentences += [
            "Red, dark in print, adds to the score; blue, light in print, takes from it.",
            f"One small square is {side} x {side} pixels of the {width} x {height} that the detector sees.",
        ]
    if explanation.edges.count > 1:
        unit = "cycles down plus across the image" if explanation.band_index == "order" else "zigzag positions"
        sentences.append(f"Frequencies are in {unit}: high ones are fine detail.")
    if explanation.squares.size:
        sentences.append(
            "Frames: the oddest patch of an image, whose distance to the most similar normal patch is the score."
        )
    if explanation.edges.count > 1 and explanation.reference.any():
        sentences.append(f"{_REFERENCE[explanation.method is None]} is what the image itself does not carry.")
    return " ".join(sentences)


def _columns(explanation: AnomalyExplanation) -> list[tuple[str, int]]:
    """What each column shows, and which of them."""
    asked = explanation.components
    maps = {"pixels": 1, "pixel_bands": 1 + min(explanation.edges.count, _BANDS)}.get(asked, 0)
    spectra = 1 if asked in ("bands", "pixel_bands") else 0
    nearest = min(explanation.nearest_images.shape[1], _NEAREST)
    counts = {"image": 1, "map": maps, "spectrum": spectra, "nearest": nearest}
    return [(kind, k) for kind, count in counts.items() for k in range(count)]


def _draw_cell(axes: Axes, explanation: AnomalyExplanation, i: int, kind: str, k: int) -> None:
    if kind == "spectrum":
        _draw_spectrum(axes, explanation, i)
        return
    axes.set_axis_off()
    if kind == "image":
        axes.imshow(explanation.images[i])
        _frame(axes, explanation.squares[i])
        title = _verdict(explanation, i)
    elif kind == "nearest":
        axes.imshow(explanation.nearest_images[i, k])
        if k == 0:
            _frame(axes, explanation.nearest_squares[i])
        title = _compared(explanation, i, k)
    else:
        title = _draw_map(axes, explanation, i, k)
    axes.set_title(title, fontsize=8, parse_math=False)


def _verdict(explanation: AnomalyExplanation, i: int) -> str:
    """The image by name, its score beside the threshold, and the decision."""
    name = shortened(str(explanation.names[i]), _NAME)
    numbers = f"score {explanation.score[i]:.4g}, threshold {explanation.threshold:.4g}"
    return f"{name}\n{numbers}\n{explanation.decision(i).upper()}"


def _compared(explanation: AnomalyExplanation, i: int, k: int) -> str:
    """The training image by name, and how much of the score comes of it."""
    index = int(explanation.nearest[i, k])
    name = shortened(explanation.training_name(index).removeprefix("training image "), _NAME)
    fraction = _percent(explanation.neighbours[i, index], float(explanation.score[i]))
    rest = "frame: its most similar patch" if explanation.nearest_squares.size else f"({fraction} of the score)"
    return f"compared with training image\n{name}\n{rest}"


def _frame(axes: Axes, square: NDArray[Any]) -> None:
    """A frame around a patch, where there is one: black in white, which is seen on any picture."""
    if not square.size:
        return
    x0, y0, x1, y1 = square
    for colour, width in (("black", 2.6), ("white", 1.2)):
        # half a pixel: pictures are drawn with the middle of their first pixel at 0
        axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=width))


def _draw_map(axes: Axes, explanation: AnomalyExplanation, i: int, k: int) -> str:
    """Relevance over the greyed picture: of all bands together for k = 0, else of band k - 1. Returns the title."""
    side = _side(explanation)
    maps = [_summed(values, side) for values in (explanation.pixels[i], *explanation.relevance[i, :_BANDS])]
    # one scale for all maps of an image; 1 where all of them are zero
    limit = max(float(np.quantile(np.abs(values), _QUANTILE)) for values in maps) or 1.0
    height, width = explanation.images.shape[1:3]
    grey = explanation.images[i].mean(-1) / 255 * _SPAN + _DARKEST
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1)
    strength = np.clip(np.abs(maps[k]) / limit, 0, 1) ** _OPACITY
    rows, columns = maps[k].shape
    extent = (-0.5, columns * side - 0.5, rows * side - 0.5, -0.5)  # the last squares may reach beyond the picture
    axes.imshow(maps[k], cmap=_SIGNS, vmin=-limit, vmax=limit, alpha=strength, interpolation="nearest", extent=extent)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    unit = "cycles" if explanation.band_index == "order" else "zigzag"
    name = f"{unit} {explanation.cycles[k - 1]}" if k else "all frequencies"
    return f"{name}\n{_percent(maps[k].sum(dtype=float), float(explanation.score[i]))} of the score"


def _side(explanation: AnomalyExplanation) -> int:
    """Pixels along a small square."""
    return max(1, min(explanation.images.shape[1:3]) // _CELLS)


def _summed(values: NDArray[Any], side: int) -> NDArray[Any]:
    """The sums of a map (H, W) over squares, which keeps the total."""
    for axis in (0, 1):
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], side), axis)
    return values


def _draw_spectrum(axes: Axes, explanation: AnomalyExplanation, i: int) -> None:
    """The fraction of each band, lowest at the bottom, and what no pixel carries."""
    names = list(explanation.cycles)
    values = list(explanation.bands[i])
    if explanation.reference[i]:
        names.append(_REFERENCE[explanation.method is None].lower())
        values.append(explanation.reference[i])
    fractions: NDArray[Any] = np.array(values) / (float(explanation.score[i]) or 1.0)
    colours = np.where(fractions > 0, _ADDS, _TAKES).tolist()
    axes.barh(range(len(names)), fractions, color=colours, edgecolor="0.25", linewidth=0.5)
    axes.set_yticks(range(len(names)), names, fontsize=7 if len(names) < 8 else 4)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="x", labelsize=7)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    unit = "in cycles" if explanation.band_index == "order" else "by zigzag position"
    axes.set_title(f"score by frequency\n{unit}", fontsize=8)
    axes.set_box_aspect(1)


def _percent(value: float, score: float) -> str:
    return f"{round(100 * value / score) + 0}%" if score else "0%"
