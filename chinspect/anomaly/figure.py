"""The figure of an anomaly: where the score lies, in which frequencies, and what the image was compared with."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from chinspect.anomaly.explanation import AnomalyExplanation

_UNITS = {"order": "orders", "zigzag": "zigzag"}
_BANDS = 6  # maps that fit on a page beside the rest
_NEAREST = 2  # training images, likewise
_QUANTILE = 0.999  # of the strongest map, where the colours of a row end: single pixels would hide the rest
_CHARACTERS = 22  # of text above a column
_OPACITY = 0.7  # exponent of the opacity of relevance: below 1, so that weak relevance is seen too


def draw(explanation: AnomalyExplanation) -> Figure:
    """One row an image, those of the highest scores: picture, maps, spectrum, nearest training images."""
    explanation = explanation.take(explanation.highest())
    columns = _columns(explanation)
    rows = len(explanation)
    figure = Figure(figsize=(1.9 * len(columns) + 0.4, 2.25 * rows + 0.75), layout="constrained")
    for i, row in enumerate(figure.subplots(rows, len(columns), squeeze=False)):
        for axes, (kind, k) in zip(row, columns, strict=True):
            _draw_cell(axes, explanation, i, kind, k)
    how = "" if explanation.method is None else f" ({explanation.method.label})"
    words = f"Why are these images anomalous{how}?  Red adds to the score, blue takes from it"
    if explanation.edges.count > 1:
        unit = "DCT orders (half periods down + across)" if explanation.band_index == "order" else "zigzag positions"
        words = f"{words}; bands are {unit}"
    figure.suptitle(fill(words, _CHARACTERS * len(columns)), fontsize=8.5)
    if explanation.faithfulness:
        figure.supxlabel(fill(explanation.faithfulness, _CHARACTERS * len(columns)), fontsize=8, parse_math=False)
    return figure


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
    score = float(explanation.score[i])
    if kind == "image":
        axes.imshow(explanation.images[i])
        title = f"score {score:.4g}"
    elif kind == "nearest":
        axes.imshow(explanation.nearest_images[i, k])
        index = explanation.nearest[i, k]
        title = f"compared with #{index} ({_percent(explanation.neighbours[i, index], score)})"
    else:
        title = _draw_map(axes, explanation, i, k)
    axes.set_title(title, fontsize=8)


def _draw_map(axes: Axes, explanation: AnomalyExplanation, i: int, k: int) -> str:
    """Relevance over the greyed picture: of all bands together for k = 0, else of band k - 1. Returns the title."""
    maps = [explanation.pixels[i], *explanation.relevance[i, :_BANDS]]
    # one scale for all maps of an image; 1 where all of them are zero
    limit = max(float(np.quantile(np.abs(values), _QUANTILE)) for values in maps) or 1.0
    axes.imshow(explanation.images[i].mean(-1) / 255 * 0.5 + 0.5, cmap="gray", vmin=0, vmax=1)
    strength = np.clip(np.abs(maps[k]) / limit, 0, 1) ** _OPACITY
    axes.imshow(maps[k], cmap="seismic", vmin=-limit, vmax=limit, alpha=strength, interpolation="nearest")
    name = f"{_UNITS[explanation.band_index]} {explanation.band_names[k - 1]}" if k else "by pixel"
    return f"{name} ({_percent(maps[k].sum(dtype=float), float(explanation.score[i]))})"


def _draw_spectrum(axes: Axes, explanation: AnomalyExplanation, i: int) -> None:
    """The fraction of each band, lowest at the bottom, and what no pixel carries."""
    names = list(explanation.band_names)
    values = list(explanation.bands[i])
    if explanation.reference[i]:
        names.append("in no pixel" if explanation.method is None else "reference")
        values.append(explanation.reference[i])
    fractions: NDArray[Any] = np.array(values) / (float(explanation.score[i]) or 1.0)
    axes.barh(range(len(names)), fractions, color=np.where(fractions > 0, "tab:red", "tab:blue"))
    axes.set_yticks(range(len(names)), names, fontsize=7 if len(names) < 8 else 4)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="x", labelsize=7)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("score by frequency", fontsize=8)
    axes.set_box_aspect(1)


def _percent(value: float, score: float) -> str:
    return f"{value / score:.0%}" if score else "0%"
