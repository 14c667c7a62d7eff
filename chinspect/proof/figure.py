"""The figure of a proof: images before and after each edit, and the effect that decides beside its placebos'."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from chinspect.artefacts.artefact import Pixels
from chinspect.errors import InputError
from chinspect.files import replacing
from chinspect.proof.effects import WORDS
from chinspect.proof.trial import AREA, ARTEFACT, OF_AREA, PATCHES, PLACE, UNCHANGED, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

    from chinspect.proof.result import Proof

_FORMATS = (".png", ".svg", ".pdf")
_EFFECT, _PLACEBO, _ASIDE, _INK = "#c1441e", "#2a6f97", "#8a8a8a", "0.25"
_COLOURS = {ARTEFACT: _EFFECT, AREA: _PLACEBO, PATCHES: _PLACEBO, PLACE: _ASIDE}
_TITLES = {"add": "Added to images without it", "remove": "Removed from images that carry it"}
_NAMES = {
    "add": {
        UNCHANGED: "unchanged",
        ARTEFACT: "artefact\nadded",
        AREA: f"{AREA}\n({OF_AREA['add']})",
        PATCHES: f"{PATCHES}\nin its place",
        PLACE: PLACE,
    },
    "remove": {
        UNCHANGED: "unchanged",
        ARTEFACT: "artefact\nremoved",
        AREA: f"{AREA}\n({OF_AREA['remove']})",
        PATCHES: f"{PATCHES}\nin its place",
        PLACE: PLACE,
    },
}


def draw(proof: Proof, path: Path) -> Path:
    """Write the figure to a PNG, SVG or PDF file; without a trial it says why."""
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"Figures are written as {', '.join(_FORMATS)}, not as {path.name!r}.")
    rows = len(proof.trials)
    figure = Figure(figsize=(13, 1.3 + 3.7 * rows), layout="constrained")
    title = f"{proof.artefact.name}: {proof.verdict.replace('_', ' ')}"
    text = "\n".join(textwrap.wrap(" ".join([proof.sentence, *proof.missing]), 165))
    figure.suptitle(title, fontsize=15, fontweight="bold", x=0.01, ha="left", parse_math=False)
    parts = figure.subfigures(rows + 1, 1, height_ratios=[0.22, *[1] * rows], squeeze=False)[:, 0]
    parts[0].text(0.01, 0.9, text, ha="left", va="top", fontsize=9.5, color=_INK, parse_math=False)
    for part, trial in zip(parts[1:], proof.trials, strict=True):
        _trial(part, proof, trial)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=130)
    return path


def _trial(part: SubFigure, proof: Proof, trial: Trial) -> None:
    shown = [name for name in _NAMES[trial.edit] if name in trial.pictures]
    left, right = part.subfigures(1, 2, width_ratios=[1.35, 1], squeeze=False)[0]
    left.suptitle(_TITLES[trial.edit], fontsize=11, x=0.02, ha="left")
    grid = left.subplots(min(len(trial.pictures[UNCHANGED]), 2), len(shown), squeeze=False)
    for column, name in enumerate(shown):
        for row, axes in enumerate(grid[:, column]):
            _picture(axes, trial.pictures[name][row])
        grid[0, column].set_title(_NAMES[trial.edit][name], fontsize=8.5, color=_COLOURS.get(name, _INK))
    _effects(right.subplots(), proof, trial)


def _picture(axes: Axes, pixels: Pixels) -> None:
    axes.imshow(pixels)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _effects(axes: Axes, proof: Proof, trial: Trial) -> None:
    """Estimate and interval of each condition; each random patch is one point."""
    table = proof.table[(proof.table.edit == trial.edit) & (proof.table.effect == proof.decides)]
    rows = table.set_index("condition")[["estimate", "low", "high"]]
    shown = [name for name in _NAMES[trial.edit] if name in rows.index]
    for y, (estimate, low, high) in enumerate(rows.loc[shown].to_numpy(dtype=float)):
        name = shown[y]
        width = 7 if name == PATCHES else 1.6
        axes.plot([low, high], [y, y], color=_COLOURS[name], linewidth=width, alpha=0.4 if name == PATCHES else 1)
        axes.plot([estimate], [y], "o", color=_COLOURS[name], markersize=7)
        axes.annotate(f"{estimate:+.2g}", (estimate, y), (0, 9), textcoords="offset points", ha="center", fontsize=8.5)
    labels = [_NAMES[trial.edit][name] + (f"\n(range of {trial.patches})" if name == PATCHES else "") for name in shown]
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_yticks(np.arange(len(shown)), labels, fontsize=8.5)
    axes.set(ylim=(len(shown) - 0.4, -0.6))
    axes.margins(x=0.1)
    axes.set_xlabel(WORDS[proof.subject][proof.decides], fontsize=9)
    axes.set_title(_result(trial), fontsize=10, loc="left")
    axes.grid(axis="x", color="0.92")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _result(trial: Trial) -> str:
    beyond = "The effect (red) is" + ("" if trial.passed else " not") + " beyond its placebos (blue)"
    return f"{beyond}\nmeans of {trial.images} images, 95 % intervals"
