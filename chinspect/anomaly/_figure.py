"""The figure of an anomaly: where the score lies, in which frequencies, and what the image was compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from chinspect.anomaly._pictures import pictures
from chinspect.anomaly.explanation import FIGURE_ROWS
from chinspect.errors import InputError
from chinspect.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from chinspect.anomaly.explanation import AnomalyExplanation, Array

_FORMATS = (".png", ".svg", ".pdf")
_UNITS = {"order": "orders", "zigzag": "zigzag"}
_BANDS, _NEAREST = 6, 2  # what fits on a page
_QUANTILE = 0.999  # of the strongest map, where the colours of a row end: single pixels would hide the rest


def draw(explanation: AnomalyExplanation, path: Path, images: NDArray[Any]) -> Path:
    """Writes the figure, one row an image, to a PNG, SVG or PDF file."""
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"figures are written as {', '.join(_FORMATS)}, not as {path.name!r}.")
    if not 0 < len(explanation) <= FIGURE_ROWS:
        raise InputError(f"a figure shows 1 to {FIGURE_ROWS} images, not {len(explanation)}: draw some at a time.")
    shown = _as_pictures(images)
    if len(shown) != len(explanation):
        raise InputError(f"{len(explanation)} explanations are drawn with as many images, not {len(shown)}.")
    columns = _columns(explanation)
    size = (1.9 * len(columns) + 0.4, 2.25 * len(shown) + 0.75)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(shown), len(columns), squeeze=False)
    for i, row in enumerate(grid):
        for axes, (kind, k) in zip(row, columns, strict=True):
            _draw_cell(axes, explanation, i, shown[i], kind, k)
    figure.suptitle(
        "Why are these images anomalous?  Red adds to the score, blue takes from it; bands are "
        + ("DCT orders (half periods down + across)" if explanation.band_index == "order" else "places on the zigzag"),
        fontsize=8.5,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)
    return path


def _as_pictures(images: NDArray[Any]) -> NDArray[np.uint8]:
    if images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] == 3:
        return images
    shown = pictures(torch.from_numpy(images)) if images.dtype.kind == "f" and images.ndim == 4 else None
    if shown is None:
        raise InputError(f"images are 8-bit (n, H, W, 3) or inputs (n, C, H, W), not {images.dtype} {images.shape}.")
    return shown


def _columns(explanation: AnomalyExplanation) -> list[tuple[str, int]]:
    """What each column shows, and which of them."""
    columns = [("image", 0)]
    if explanation.pixels is not None:
        columns.append(("pixels", 0))
    if explanation.pixel_bands is not None:
        columns += [("band", b) for b in range(min(explanation.pixel_bands.shape[1], _BANDS))]
    if explanation.bands is not None:
        columns.append(("spectrum", 0))
    if explanation.nearest is not None and explanation.nearest_images is not None:
        columns += [("nearest", k) for k in range(min(explanation.nearest.shape[1], _NEAREST))]
    return columns


def _draw_cell(
    axes: Axes, explanation: AnomalyExplanation, i: int, picture: NDArray[np.uint8], kind: str, k: int
) -> None:
    if kind == "spectrum":
        _draw_spectrum(axes, explanation, i)
        return
    axes.set_axis_off()
    score = float(explanation.score[i])
    if kind == "image":
        axes.imshow(picture)
        title = f"score {score:.4g}"
    elif kind == "nearest":
        title = _draw_nearest(axes, explanation, i, k)
    else:
        maps = _maps(explanation, i)
        values = maps[0 if kind == "pixels" else k + 1]
        _draw_map(axes, picture, values, max(float(np.quantile(np.abs(each), _QUANTILE)) for each in maps) or 1.0)
        part = values.sum(dtype=float) / score if score else 0.0
        unit = _UNITS[explanation.band_index]
        title = f"by pixel ({part:.0%})" if kind == "pixels" else f"{unit} {explanation.band_names[k]} ({part:.0%})"
    axes.set_title(title, fontsize=8)


def _maps(explanation: AnomalyExplanation, i: int) -> list[Array]:
    """The maps of one image that are drawn, that of all bands together first."""
    assert explanation.pixels is not None
    bands = [] if explanation.pixel_bands is None else list(explanation.pixel_bands[i, :_BANDS])
    return [explanation.pixels[i], *bands]


def _draw_map(axes: Axes, picture: NDArray[np.uint8], values: Array, limit: float) -> None:
    """Relevance over the greyed picture; colours end at ``limit``."""
    axes.imshow(picture.mean(-1) / 255 * 0.5 + 0.5, cmap="gray", vmin=0, vmax=1)
    strength = np.clip(np.abs(values) / limit, 0, 1) ** 0.7
    axes.imshow(values, cmap="seismic", vmin=-limit, vmax=limit, alpha=strength, interpolation="nearest")


def _draw_nearest(axes: Axes, explanation: AnomalyExplanation, i: int, k: int) -> str:
    assert explanation.nearest is not None
    assert explanation.nearest_images is not None
    axes.imshow(explanation.nearest_images[i, k])
    index, score = int(explanation.nearest[i, k]), float(explanation.score[i])
    if explanation.neighbours is None or not score:
        return f"compared with #{index}"
    return f"compared with #{index} ({explanation.neighbours[i, index] / score:.0%})"


def _draw_spectrum(axes: Axes, explanation: AnomalyExplanation, i: int) -> None:
    """The share of each band, lowest at the bottom, and what no pixel carries."""
    assert explanation.bands is not None
    score = float(explanation.score[i]) or 1.0
    names, shares = list(explanation.band_names), list(explanation.bands[i] / score)
    if explanation.reference[i]:
        names, shares = [*names, "in no pixel"], [*shares, explanation.reference[i] / score]
    axes.barh(range(len(names)), shares, color=["tab:red" if share > 0 else "tab:blue" for share in shares])
    axes.set_yticks(range(len(names)), names, fontsize=7 if len(names) < 8 else 4)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="x", labelsize=7)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("share by frequency", fontsize=8)
    axes.set_box_aspect(1)
