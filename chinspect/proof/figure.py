"""The figure of a proof: images before and after each edit, and the effect that decides beside its placebos'."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from chinspect.proof.effects import WORDS
from chinspect.proof.proving import Proof
from chinspect.proof.trial import (
    AREA,
    ARTEFACT,
    CONTENT,
    CONTENT_MOVED,
    MOVED,
    OF_AREA,
    SHUFFLED,
    UNCHANGED,
    Edit,
    Trial,
)

_RED = "#c1441e"
_BLUE = "#2a6f97"
_GREY = "#8a8a8a"
_INK = "0.25"
_COLOURS = {
    UNCHANGED: _INK,
    ARTEFACT: _RED,
    CONTENT: _BLUE,
    AREA: _BLUE,
    MOVED: _GREY,
    CONTENT_MOVED: _GREY,
    SHUFFLED: _GREY,
}
_EDITS: dict[Edit, tuple[str, str]] = {
    "add": ("added", "Added to images without it"),
    "remove": ("removed", "Removed from images that carry it"),
}


def draw(proof: Proof) -> Figure:
    """One row a trial; without a trial the figure says why."""
    rows = len(proof.trials)
    figure = Figure(figsize=(14, 1.6 + 3.9 * rows), layout="constrained")
    title = f"{proof.artefact.name}: {proof.verdict.replace('_', ' ')}"
    text = "\n".join(textwrap.wrap(" ".join([proof.sentence, *proof.missing]), 175))
    # names are shown as they are: a dollar sign in one starts no formula
    figure.suptitle(title, fontsize=15, fontweight="bold", x=0.01, ha="left", parse_math=False)
    panels = figure.subfigures(rows + 1, 1, height_ratios=[0.3, *[1] * rows], squeeze=False)[:, 0]
    panels[0].text(0.01, 0.9, text, ha="left", va="top", fontsize=9.5, color=_INK, parse_math=False)
    for panel, trial in zip(panels[1:], proof.trials, strict=True):
        left, right = panel.subfigures(1, 2, width_ratios=[1.35, 1], squeeze=False)[0]
        _pictures(left, trial)
        _effects(right.subplots(), proof, trial)
    return figure


def _names(trial: Trial) -> dict[str, str]:
    """What a condition is called in the figure, in the order of the figure."""
    return {
        UNCHANGED: "unchanged",
        ARTEFACT: f"artefact\n{_EDITS[trial.edit][0]}",
        CONTENT: f"{CONTENT}\nin its place",
        AREA: f"{AREA}\n({OF_AREA[trial.edit]})",
        MOVED: "artefact\nelsewhere",
        CONTENT_MOVED: f"{CONTENT}\nelsewhere",
        SHUFFLED: "its pieces\nshuffled",
    }


def _pictures(panel: SubFigure, trial: Trial) -> None:
    """Two images under each condition."""
    names = {condition: name for condition, name in _names(trial).items() if condition in trial.pictures}
    panel.suptitle(_EDITS[trial.edit][1], fontsize=11, x=0.02, ha="left")
    grid = panel.subplots(2, len(names), squeeze=False)
    for column, (condition, name) in enumerate(names.items()):
        for axes, pixels in zip(grid[:, column], trial.pictures[condition], strict=False):
            axes.imshow(pixels)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        grid[0, column].set_title(name, fontsize=8.5, color=_COLOURS[condition])


def _effects(axes: Axes, proof: Proof, trial: Trial) -> None:
    """Estimate and interval of each condition; of a family of placebos the mean, and each of them as a stroke."""
    table = proof.table[(proof.table.edit == trial.edit) & (proof.table.effect == proof.decides)]
    rows = table.set_index("condition")[["estimate", "low", "high"]].astype(float)
    names = {condition: name for condition, name in _names(trial).items() if condition in rows.index}
    for y, condition in enumerate(names):
        estimate, low, high = rows.loc[condition].to_numpy()
        colour = _COLOURS[condition]
        if condition in trial.placebo_effects:
            effects = np.array([placebo[proof.decides] for placebo in trial.placebo_effects[condition]])
            names[condition] += f" ({len(effects)})"
            axes.plot(effects, np.full(len(effects), y), "|", color=colour, markersize=13, alpha=0.6)
        else:
            axes.plot([low, high], [y, y], color=colour, linewidth=1.6)
        axes.plot([estimate], [y], "o", color=colour, markersize=7)
        axes.annotate(f"{estimate:+.2g}", (estimate, y), (0, 9), textcoords="offset points", ha="center", fontsize=8.5)
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_yticks(range(len(names)), list(names.values()), fontsize=8.5)
    axes.set(ylim=(len(names) - 0.4, -0.6))
    axes.margins(x=0.1)
    axes.set_xlabel(WORDS[proof.subject][proof.decides], fontsize=9)
    beyond = "is" if trial.passed else "is not"
    title = f"The effect (red) {beyond} beyond its placebos (blue)\nmeans of {trial.images} images, 95 % intervals"
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
