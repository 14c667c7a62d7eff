"""The figures of a run: all images in the plane, its eigenvalues, and the sheet of each candidate."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib.figure import Figure, SubFigure

from chinspect.files import replacing
from chinspect.report import GLOSSARY, with_known_glyphs
from chinspect.spray.run import Finding, SprayRun, counted
from chinspect.spray.sheet import COLOURS, INK, draw_sheet, show_map

__all__ = ["draw", "draw_sheet", "draw_spectrum", "write"]

_GREY = "0.72"  # of images that are in no flagged candidate
_PLAIN = "0.35"  # of the frames and numbers of sets that are not flagged
_MARKERS = "osD^vP"
"""Of flagged candidates, which grey print tells apart by their shapes."""
_SHOWN = 3
_THUMBNAILS = 3
_DPI = 110


def draw(run: SprayRun) -> Figure:
    """All images as points in the plane, those of flagged candidates in colour, with typical images beside.

    Where nothing is flagged, the strongest few sets are shown in grey: they are no findings.
    """
    plane = run.samples()[["x", "y"]].to_numpy(dtype=float)
    flagged = list(run.flagged.items())[: len(COLOURS)]
    shown = flagged or list(enumerate(run.findings, 1))[:_SHOWN]
    colours = COLOURS if flagged else (_PLAIN,) * len(shown)
    figure = Figure(figsize=(12, 6.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.5, 1], squeeze=False)[0]
    axes = left.subplots()
    axes.scatter(*plane.T, s=14, color=_GREY, linewidths=0)
    styles = list(zip(shown, colours, _MARKERS, strict=False))
    for (number, finding), colour, marker in reversed(styles):  # the first lies above others
        members = plane[finding.candidate.indices]
        label = f"{number}: {finding.candidate.outcome}"
        if not flagged:
            axes.scatter(*members.T, s=30, marker=marker, color="none", edgecolors=colour, linewidths=0.8, label=label)
            continue
        axes.scatter(*members.T, s=30, marker=marker, color=colour, edgecolors="white", linewidths=0.4, label=label)
        x, y = np.nanmedian(members, 0)
        disc = {"boxstyle": "circle,pad=0.25", "facecolor": colour, "edgecolor": "white"}
        # beside the members' median, so that it hides none of them where they lie close together
        axes.annotate(
            str(number),
            (x, y),
            (22, 14),
            textcoords="offset points",
            size=13,
            weight="bold",
            color="white",
            ha="center",
            va="center",
            bbox=disc,
        )
    axes.set(xticks=[], yticks=[])
    meaning = "in colour: flagged candidates" if flagged else "nothing is flagged"
    meaning += "; outlined: the strongest sets" if run.findings and not flagged else ""
    axes.set_xlabel(
        f"each point is an image, near points are explained alike (t-SNE of the SpRAy embedding, axes have no unit)\n"
        f"{meaning}. {GLOSSARY}",
        fontsize=8.5,
    )
    if shown:
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], fontsize=8.5, loc="best", framealpha=0.9)
    axes.set_title("\n".join(wrap(f"{run.sentence} Explained: {run.explained}.", 100)), fontsize=10, loc="left")
    _typical(right, run, shown, colours)
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


def _typical(panel: SubFigure, run: SprayRun, shown: list[tuple[int, Finding]], colours: tuple[str, ...]) -> None:
    """Of each candidate its three most typical images, or maps where there are no images."""
    if not shown:
        panel.text(0.02, 0.5, "There are too few maps that are alike to compare a set of them with others.", color=INK)
        return
    rows = panel.subplots(max(len(shown), 3), _THUMBNAILS, squeeze=False)
    for axes in rows.flat:
        axes.axis("off")
    for row, (number, finding), colour in zip(rows, shown, colours, strict=False):
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
            f"{number}: {counted(candidate.size, 'image')} {candidate.position}, {candidate.outcome}",
            fontsize=10,
            color=colour if colour == _PLAIN else INK,
            loc="left",
        )
