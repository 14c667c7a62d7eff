"""The figures of the X-ray study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from chinspect.datasets import XrayImages
from chinspect.images import open_image
from chinspect.readouts import ALL
from experiments.xray.edits import STATES
from experiments.xray.relevance import CONTROLS
from experiments.xray.text import Mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple")
_STATES = dict(
    zip(STATES, ("painted out", "as much painted elsewhere", "PORTABLE added", "that place smoothed"), strict=True)
)
_NAMES = {"text": "on annotations", "mirrored": "same shape, mirrored", "sharpest": "same shape, sharpest place"}


def draw_annotations(images: XrayImages, masks: Mapping[Path, Mask], columns: int = 6) -> Figure:
    """Two rows of images a source, drawn at random: with what was taken for text outlined, where there is any."""
    sources = sorted({*images.sources})
    figure = Figure(figsize=(2 * columns, 4.4 * len(sources)), layout="constrained")
    axes = figure.subplots(2 * len(sources), columns, squeeze=False)
    for number, source in enumerate(sources):
        paths = [p for p, its in zip(images.paths, images.sources, strict=True) if its == source]
        frequency = np.mean([masks[p].any() for p in paths])
        drawn = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))[: 2 * columns]]
        for axis, image in zip(axes[2 * number : 2 * number + 2].flat, drawn, strict=False):
            axis.imshow(np.asarray(open_image(image)))
            if masks[image].any():
                axis.contour(masks[image], levels=[0.5], colors="red", linewidths=1)
        axes[2 * number, 0].set_title(f"{source}: {frequency:.0%} of {len(paths)} images have annotations", loc="left")
    for axis in axes.flat:
        axis.set_axis_off()
    figure.suptitle("Annotations (red) in random images of each source")
    return figure


def draw_sources(scores: pd.DataFrame) -> Figure:
    """Class-balanced accuracy, FPR and FNR by group, a panel each; the paper's values as crosses."""
    groups = list(dict.fromkeys(scores["group"]))
    encoders = list(dict.fromkeys(scores["encoder"]))
    figure = Figure(figsize=(12, 1.8 + 0.5 * len(groups)), layout="constrained")
    titles = {
        "balanced_accuracy": "class-balanced accuracy",
        "fpr": "others called COVID-19 (FPR)",
        "fnr": "COVID-19 missed (FNR)",
    }
    for axis, (rate, title) in zip(figure.subplots(1, 3, sharey=True), titles.items(), strict=True):
        for number, encoder in enumerate(encoders):
            rows = scores[scores["encoder"] == encoder].set_index("group").reindex(groups)
            heights = np.arange(len(groups)) + 0.15 * (number - (len(encoders) - 1) / 2)
            _intervals(axis, rows, rate, heights, _COLOURS[number % len(_COLOURS)], encoder)
        for height in np.flatnonzero(rows[rate].isna()):
            axis.text(76, height, "no such images", ha="center", va="center", color="tab:grey", fontsize=8)
        if f"paper_{rate}" in scores:
            axis.plot(rows[f"paper_{rate}"], np.arange(len(groups)), "kx", label="paper, PubMedCLIP")
        axis.set(title=f"{title}, %", xlim=(-3, 103))
    axis.set_yticks(range(len(groups)), ["all test images" if name == ALL else name for name in groups])
    axis.invert_yaxis()
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle("A linear readout of COVID-19 by source of the images (95 % intervals of one test set)")
    return figure


def draw_relevance(table: pd.DataFrame) -> Figure:
    """Relevance per area on annotations and in the two controls; 1 is an even spread."""
    kinds = dict(zip(("text", *CONTROLS), ("tab:red", "tab:grey", "black"), strict=True))
    names = [
        f"{row.encoder}: {row.source}, {'COVID-19' if row.covid else 'other'} (n = {row.n})"
        for row in table.itertuples()
    ]
    figure = Figure(figsize=(9, 1.6 + 0.5 * len(names)), layout="constrained")
    axis = figure.subplots()
    for number, (kind, colour) in enumerate(kinds.items()):
        _intervals(axis, table, f"density_{kind}", np.arange(len(names)) + 0.2 * (number - 1), colour, _NAMES[kind])
    axis.axvline(1, color="tab:grey", linewidth=1, linestyle=":")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="relevance of the similarity per area; 1 = spread evenly over the image", xlim=(0, None))
    axis.invert_yaxis()
    axis.legend(frameon=False, fontsize=8)
    axis.set_title("Where the similarity of two annotated images comes from (BiLRP)")
    return figure


def draw_edits(table: pd.DataFrame) -> Figure:
    """How decision values move when annotations go, or come, and by placebos."""
    rows = table[table["source"] != ALL].sort_values(["encoder", "source", "state"], key=_order).reset_index(drop=True)
    names = [f"{row.encoder}, {row.source}: {_STATES[row.state]} ({row.edited:.0f})" for row in rows.itertuples()]
    figure = Figure(figsize=(10, 1.4 + 0.33 * len(names)), layout="constrained")
    axis = figure.subplots()
    for state in dict.fromkeys(rows["state"]):
        some = rows["state"] == state
        colour = "tab:red" if state in ("painted out", "added") else "tab:grey"
        _intervals(axis, rows[some], "shift", np.flatnonzero(some), colour, None)
    axis.axvline(0, color="tab:grey", linewidth=1, linestyle=":")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="change of the decision value in standard deviations (right: towards COVID-19)")
    axis.invert_yaxis()
    axis.set_title(
        "Annotations painted out or added (red) and placebos (grey)\nin brackets: number of images of a test set"
    )
    return figure


def _order(column: pd.Series[str]) -> pd.Series[int]:
    known: Sequence[str] = STATES if column.name == "state" else list(dict.fromkeys(column))
    return column.map({name: position for position, name in enumerate(known)})


def _intervals(axis: Axes, rows: pd.DataFrame, name: str, heights: np.ndarray, colour: str, label: str | None) -> None:
    values = rows[name].to_numpy(dtype=float)
    reach = np.abs(rows[[f"{name}_low", f"{name}_high"]].to_numpy(dtype=float).T - values)
    axis.errorbar(values, heights, xerr=reach, fmt="o", color=colour, label=label, markersize=4, capsize=2)
