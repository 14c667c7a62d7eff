"""The figures of a run as a whole: its eigenvalues, and all images in the plane."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from chinspect.files import replacing
from chinspect.spray.run_words import verdict_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from chinspect.spray.run import Finding, SprayRun

INK, GREY = "0.2", "0.72"
COLOURS = ("#c1441e", "#2a6f97", "#e0a100", "#3d8b5f", "#8a4fae", "#7a5230")
"""Of candidates in the plane, most significant first."""
_THUMBNAILS = 3


def draw_spectrum(run: SprayRun, path: Path) -> Path:
    """The lowest eigenvalues, with the gap that decides the number of clusters."""
    values = run.spray.eigenvalues_
    clusters = len(np.unique(run.spray.labels_[run.spray.labels_ >= 0]))
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    places = np.arange(1, len(values) + 1)
    axes.plot(places, values, "o-", color=COLOURS[1], markersize=4, linewidth=1)
    if 1 < clusters < len(values):
        low, high = values[clusters - 1], values[clusters]
        axes.axhspan(low, high, color=COLOURS[0], alpha=0.12)
        axes.axvline(clusters + 0.5, color=COLOURS[0], linewidth=1, linestyle="--")
        axes.annotate(
            f"largest gap after {clusters}: the maps fall into {clusters} clusters",
            (clusters + 0.5, (low + high) / 2),
            (14, 0),
            textcoords="offset points",
            va="center",
            color=COLOURS[0],
        )
    axes.set(xlabel="eigenvalue of the normalised Laplacian, lowest first", ylabel="value", ylim=(-0.03, None))
    pieces = run.spray.n_components_
    axes.set_title(
        "How many strategies? There are as many eigenvalues near zero as clusters of maps.\n"
        f"The graph of nearest neighbours is {'in one piece' if pieces == 1 else f'in {pieces} separate pieces'}.",
        fontsize=10,
        loc="left",
    )
    _bare(axes)
    return write(figure, path)


def draw_embedding(run: SprayRun, plane: NDArray[np.floating[Any]], path: Path) -> Path:
    """All images as points ``plane`` (N, 2), candidates coloured, with their most typical images beside."""
    shown = _shown(run)
    figure = Figure(figsize=(12, 6.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.5, 1], squeeze=False)[0]
    axes = left.subplots()
    axes.scatter(*plane.T, s=14, color=GREY, linewidths=0)
    for (number, finding), colour in reversed(list(zip(shown, COLOURS, strict=False))):
        members = plane[finding.candidate.indices]
        axes.scatter(*members.T, s=26, color=colour, edgecolors="white", linewidths=0.4)
        x, y = np.nanmedian(members, 0)
        axes.text(x, y, str(number), fontsize=13, fontweight="bold", color="white", ha="center", va="center").set_bbox(
            {"boxstyle": "circle,pad=0.25", "facecolor": colour, "edgecolor": "white"}
        )
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(
        "each point is an image; near points are explained alike (diffusion map by t-SNE, axes have no unit)"
    )
    axes.set_title(run.sentence, fontsize=10, loc="left", wrap=True)
    _typical(right, run, shown)
    return write(figure, path)


def _shown(run: SprayRun) -> list[tuple[int, Finding]]:
    """The flagged candidates, or the first few where none is: with their numbers."""
    numbered = list(enumerate(run.findings, 1))
    flagged = [(number, finding) for number, finding in numbered if finding.candidate.flagged]
    return flagged[: len(COLOURS)] or numbered[:3]


def _typical(part: Any, run: SprayRun, shown: list[tuple[int, Finding]]) -> None:
    """Of each candidate its three most typical images, or maps where there are no images."""
    if not shown:
        part.text(0.02, 0.5, "No set of maps has anything in common that others have not.", color=INK)
        return
    rows = part.subplots(max(len(shown), 3), _THUMBNAILS, squeeze=False)
    for axes in rows.flat:
        axes.axis("off")
    for row, (number, finding), colour in zip(rows, shown, COLOURS, strict=False):
        candidate = finding.candidate
        for axes, i in zip(row, candidate.medoids, strict=False):
            axes.axis("on")
            frame(axes, colour)
            if run.picture is None:
                show_map(axes, run.maps[i])
                axes.set(xticks=[], yticks=[])
            else:
                axes.imshow(run.picture(i))
        row[0].set_title(
            f"{number}: {candidate.size} images, {verdict_of(candidate)}", fontsize=10, color=colour, loc="left"
        )


def show_map(axes: Axes, values: NDArray[np.floating[Any]]) -> None:
    """A map in red (raises what is explained) and blue (lowers it), or a spectrum as bars."""
    limit = float(np.abs(values).max()) or 1.0
    if values.shape[0] == 1:
        axes.set(xlim=(0, 1), ylim=(1, 0))
        bars(axes, values[0] / limit, 0, 1)
        return
    axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")


def bars(axes: Axes, values: NDArray[np.floating[Any]], left: float, side: float) -> None:
    """A spectrum (B,) of values up to 1 as bars in a square, whose y-axis points down, zero at three quarters."""
    width, zero = side / len(values), 0.75 * side
    colours = np.where(values >= 0, "#b2182b", "#2166ac")
    places = left + width * (np.arange(len(values)) + 0.5)
    axes.bar(places, -values * zero, width=0.9 * width, bottom=zero, color=colours)
    axes.plot([left, left + side], [zero, zero], color=INK, linewidth=0.6)


def frame(axes: Axes, colour: str) -> None:
    """A picture without ticks in a coloured frame."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(edgecolor=colour, linewidth=2)


def write(figure: Figure, path: Path) -> Path:
    """A figure as PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return path


def _bare(axes: Axes) -> None:
    axes.grid(axis="y", color="0.93")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
