"""The figure of a proof: images before and after each edit, and the effect that decides beside its placebos'."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from chinspect.proof.effects import WORDS
from chinspect.proof.proving import Proof
from chinspect.proof.trial import AREA, ARTEFACT, MOVED, OF_AREA, PATCHES, UNCHANGED, Edit, Trial

_RED = "#c1441e"
_BLUE = "#2a6f97"
_GREY = "#8a8a8a"
_INK = "0.25"
_COLOURS = {UNCHANGED: _INK, ARTEFACT: _RED, AREA: _BLUE, PATCHES: _BLUE, MOVED: _GREY}
_EDITS: dict[Edit, tuple[str, str]] = {
    "add": ("added", "Added to images without it"),
    "remove": ("removed", "Removed from images that carry it"),
}


def draw(proof: Proof) -> Figure:
    """One row a trial; without a trial the figure says why."""
    rows = len(proof.trials)
    figure = Figure(figsize=(13, 1.3 + 3.7 * rows), layout="constrained")
    title = f"{proof.artefact.name}: {proof.verdict.replace('_', ' ')}"
    text = "\n".join(textwrap.wrap(" ".join([proof.sentence, *proof.missing]), 165))
    # names are shown as they are: a dollar sign in one starts no formula
    figure.suptitle(title, fontsize=15, fontweight="bold", x=0.01, ha="left", parse_math=False)
    panels = figure.subfigures(rows + 1, 1, height_ratios=[0.22, *[1] * rows], squeeze=False)[:, 0]
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
        AREA: f"{AREA}\n({OF_AREA[trial.edit]})",
        PATCHES: f"{PATCHES}\nin its place",
        MOVED: MOVED,
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
    """Estimate and interval of each condition; of random patches the mean and the range."""
    table = proof.table[(proof.table.edit == trial.edit) & (proof.table.effect == proof.decides)]
    rows = table.set_index("condition")[["estimate", "low", "high"]].astype(float)
    names = {condition: name for condition, name in _names(trial).items() if condition in rows.index}
    names[PATCHES] += f"\n(range of {trial.patches})"
    for y, condition in enumerate(names):
        estimate, low, high = rows.loc[condition].to_numpy()
        colour = _COLOURS[condition]
        width, alpha = (7, 0.4) if condition == PATCHES else (1.6, 1)
        axes.plot([low, high], [y, y], color=colour, linewidth=width, alpha=alpha)
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
