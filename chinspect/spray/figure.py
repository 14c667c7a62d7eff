"""The figures of a run: all images in the plane, its eigenvalues, and the sheet of each candidate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure, SubFigure

from chinspect.files import replacing
from chinspect.report import with_known_glyphs
from chinspect.spray.run import Finding, SprayRun
from chinspect.spray.sheet import COLOURS, INK, draw_sheet, show_map

__all__ = ["draw", "draw_sheet", "draw_spectrum", "write"]

_GREY = "0.72"  # of images that are in no candidate
_THUMBNAILS = 3
_DPI = 110


def draw(run: SprayRun) -> Figure:
    """All images as points in the plane, with the most typical images of candidates beside, which are coloured.

    Those are the flagged ones, or the first few where none is.
    """
    plane = run.samples()[["x", "y"]].to_numpy(dtype=float)
    shown = list(run.flagged.items())[: len(COLOURS)] or list(enumerate(run.findings, 1))[:3]
    figure = Figure(figsize=(12, 6.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.5, 1], squeeze=False)[0]
    axes = left.subplots()
    axes.scatter(*plane.T, s=14, color=_GREY, linewidths=0)
    for (number, finding), colour in reversed(list(zip(shown, COLOURS, strict=False))):  # the first lies above others
        members = plane[finding.candidate.indices]
        axes.scatter(*members.T, s=26, color=colour, edgecolors="white", linewidths=0.4)
        x, y = np.nanmedian(members, 0)
        disc = {"boxstyle": "circle,pad=0.25", "facecolor": colour, "edgecolor": "white"}
        axes.text(x, y, str(number), size=13, weight="bold", color="white", ha="center", va="center", bbox=disc)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(
        "each point is an image; near points are explained alike (diffusion map by t-SNE, axes have no unit)"
    )
    axes.set_title(run.sentence, fontsize=10, loc="left", wrap=True)
    _typical(right, run, shown)
    return figure


def draw_spectrum(run: SprayRun) -> Figure:
    """The lowest eigenvalues, with the gap that decides the number of clusters."""
    values = run.spray.eigenvalues_
    clusters = len(np.unique(run.spray.labels_[run.spray.labels_ >= 0]))
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(1, len(values) + 1), values, "o-", color=COLOURS[1], markersize=4, linewidth=1)
    if 1 < clusters < len(values):
        low, high = values[clusters - 1 : clusters + 1]
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
    axes.grid(axis="y", color="0.93")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def write(figure: Figure, path: Path) -> Path:
    """A figure as PNG, complete or not at all."""
    with replacing(path) as temporary:
        with_known_glyphs(figure).savefig(temporary, format="png", dpi=_DPI)
    return path


def _typical(panel: SubFigure, run: SprayRun, shown: list[tuple[int, Finding]]) -> None:
    """Of each candidate its three most typical images, or maps where there are no images."""
    if not shown:
        panel.text(0.02, 0.5, "No set of maps has anything in common that others have not.", color=INK)
        return
    rows = panel.subplots(max(len(shown), 3), _THUMBNAILS, squeeze=False)
    for axes in rows.flat:
        axes.axis("off")
    for row, (number, finding), colour in zip(rows, shown, COLOURS, strict=False):
        candidate = finding.candidate
        for axes, i in zip(row, candidate.medoids, strict=False):
            axes.axis("on")
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(edgecolor=colour, linewidth=2)
            if run.picture is None:
                show_map(axes, run.maps[i])
            else:
                axes.imshow(run.picture(i))
        row[0].set_title(
            f"{number}: {candidate.size} images, {candidate.outcome}", fontsize=10, color=colour, loc="left"
        )
