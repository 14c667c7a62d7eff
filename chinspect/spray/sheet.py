"""The sheet of a candidate: what its members look like, what their maps have in common, and how sure that is."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from chinspect.report import GLOSSARY
from chinspect.spray.candidates import NOT_TESTED, Candidate
from chinspect.spray.run import SprayRun

Array = NDArray[Any]
INK = "0.2"
COLOURS = ("#d55e00", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
"""Of flagged candidates in the plane, most significant first: Okabe and Ito's, which all kinds of sight tell apart."""
_TONES = {
    "confirmed": COLOURS[0],
    "undecided": "#8a6000",
    "candidate": "#8a6000",
    "not_causal": COLOURS[1],
    "untested": "0.35",
}
_COUNT = 8  # pictures in a row
_SIDE = 128  # of a picture, in pixels
_GAP = 8  # between pictures, in pixels
# Sizes of the figure in inches.
_WIDTH = 15.0
_HEAD = 1.85
_ROW = 1.62
_FOOT = 0.35
_MAP = 2.25
_MAP_ROW = 2.55
_ZERO = 0.75  # where bars begin, as a fraction of their height: more of them point up
_LEFT = 0.235  # where the rows of pictures begin, as a fraction of the width


def draw_sheet(run: SprayRun, number: int) -> Figure:
    """The sheet of a candidate, whose number counts from 1."""
    finding = run.findings[number - 1]
    candidate = finding.candidate
    rows = _rows(run, candidate, np.random.default_rng(number - 1))
    height = _HEAD + max(len(rows), 4) * _ROW + _FOOT  # four rows are as high as the summary beside them
    figure = Figure(figsize=(_WIDTH, height))
    top = 1 - 0.12 / height
    figure.text(0.01, top, finding.title(number), fontsize=17, fontweight="bold", va="top")
    figure.text(0.145, top, candidate.headline, fontsize=17, va="top", color=_TONES[candidate.verdict])
    words = f"Explained: {run.explained}. {finding.sentence(len(run.maps))}"
    text = "\n".join(textwrap.wrap(words, 185)[:6])
    figure.text(0.01, 1 - 0.55 / height, text, fontsize=10.5, va="top", color=INK, parse_math=False)
    _summary(figure, run, candidate, height)
    limit = _limit(run.maps[np.concatenate([indices for _, indices, _ in rows])])
    for row, (title, indices, mapped) in enumerate(rows, 1):
        axes = figure.add_axes((_LEFT, (height - _HEAD - row * _ROW) / height, 0.755, 0.85 * _ROW / height))
        axes.set_title(title, fontsize=10, loc="left", pad=3)
        _row(axes, run, indices, limit if mapped else None)
    scale = f"colours end at {limit:.1%} of a map's relevance in one cell"
    if run.spectra:
        scale = f"bars: DCT bands, low frequencies at the left, the highest of them {limit:.1%} of the relevance"
    note = f"red raises what is explained, blue lowers it; {scale}. {GLOSSARY}"
    figure.text(_LEFT, 0.1 / height, note, fontsize=9, color=INK)
    return figure


def show_map(axes: Axes, values: Array) -> None:
    """A map in red (raises what is explained) and blue (lowers it), or a spectrum as bars."""
    limit = float(np.abs(values).max()) or 1.0
    axes.set(xticks=[], yticks=[])
    if values.shape[0] == 1:
        axes.set(xlim=(0, 1), ylim=(1, 0))
        _bars(axes, values[0] / limit, 0, 1)
        total = float(np.abs(values).sum()) or 1.0
        top = limit / total
        axes.set_yticks([0, _ZERO], [f"{top:.0%}", "0"], fontsize=8)
        axes.set_xticks([0.06, 0.94], ["low", "high"], fontsize=8)
        axes.set_xlabel("spatial frequency", fontsize=8, labelpad=-6)
    else:
        axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")


def _bars(axes: Axes, values: Array, left: float, side: float) -> None:
    """A spectrum (B,) of values up to 1 as bars in a square, whose y-axis points down, zero at three quarters."""
    width = side / len(values)
    zero = _ZERO * side
    centres = left + width * (np.arange(len(values)) + 0.5)
    axes.bar(centres, -values * zero, width=0.9 * width, bottom=zero, color=np.where(values >= 0, "#b2182b", "#2166ac"))
    axes.plot([left, left + side], [zero, zero], color=INK, linewidth=0.6)


def _summary(figure: Figure, run: SprayRun, candidate: Candidate, height: float) -> None:
    """Mean map and template, and the numbers below them."""
    top = height - _HEAD
    for values, title in (
        (candidate.mean_map, "mean map of the members, own scale"),
        (candidate.template, "what they share and others have not"),
    ):
        top -= _MAP_ROW
        axes = figure.add_axes((0.01, (top + 0.15) / height, _MAP / _WIDTH, _MAP / height))
        show_map(axes, values)
        axes.set_title(title, fontsize=10, loc="left", pad=3)
    text = "\n".join(f"{name:<13}{value}" for name, value in _numbers(run, candidate).items())
    figure.text(0.01, top / height, text, fontsize=9, va="top", color=INK, family="monospace", parse_math=False)


def _numbers(run: SprayRun, c: Candidate) -> dict[str, str]:
    numbers = {
        "members": f"{c.size} of {len(run.maps)}",
        "shared": f"{c.shared:.0%} of relevance",
        "effect": f"{c.effect:.2f} ({c.effect_low:.2f} to {c.effect_high:.2f})",
        "": "(0: as others, 1: no cell alike)",
        "stability": NOT_TESTED if np.isnan(c.stability) else f"{c.stability:.2f} (1: always found)",
        "corrected p": c.chance_in_short,
        "flagged": f"{'yes' if c.flagged else 'no' if c.compared else NOT_TESTED} (at 0.05)",
    }
    if c.label is not None:
        purity = "" if np.isnan(c.purity) else f"{c.purity:.0%} "
        numbers["label"] = f"{purity}{str(c.label)[:22]}"
    return numbers


def _rows(run: SprayRun, candidate: Candidate, rng: np.random.Generator) -> list[tuple[str, Array, bool]]:
    """Title, indices and whether maps are shown: members first the most typical, then images that are none."""
    typical = np.array(candidate.medoids, dtype=np.int64)
    drawn = rng.permutation(np.setdiff1d(candidate.indices, typical))
    others = rng.permutation(np.setdiff1d(run.spray.kept_, candidate.indices))
    sets = {"members": np.concatenate([typical, drawn]), "other images": others}
    return [
        (f"{name}, with their maps" if mapped else name, indices[:_COUNT], mapped)
        for name, indices in sets.items()
        for mapped in (False, True)
        if mapped or run.picture is not None
    ]


def _row(axes: Axes, run: SprayRun, indices: Array, limit: float | None) -> None:
    """Pictures side by side, or pictures under their maps where there is a limit, or spectra."""
    axes.axis("off")
    step = _SIDE + _GAP
    for column, index in enumerate(indices):
        left = column * step
        if limit is not None and run.spectra:
            _bars(axes, _fractions(run.maps[index])[0] / limit, left, _SIDE)
        else:
            tile = _tile(run, int(index), limit)
            axes.imshow(tile, extent=(left, left + _SIDE, _SIDE, 0), interpolation="nearest")
    axes.set(xlim=(0, _COUNT * step), ylim=(_SIDE, 0), aspect="equal", anchor="W")


def _tile(run: SprayRun, index: int, limit: float | None) -> Array:
    """(side, side, 3) in [0, 1]: a picture, or one that is lightened under its map; limit None leaves the map out."""
    seen = np.full((_SIDE, _SIDE, 3), 0.94)
    if run.picture is not None:
        picture = run.picture(index).resize((_SIDE, _SIDE))
        if limit is None:
            return np.asarray(picture, dtype=float) / 255
        seen = 0.45 + 0.55 * np.repeat(np.asarray(picture.convert("L"), dtype=float)[..., None] / 255, 3, axis=2)
    assert limit is not None
    cells = Image.fromarray(_fractions(run.maps[index]).astype(np.float32) / limit)
    values = np.asarray(cells.resize((_SIDE, _SIDE), Image.Resampling.NEAREST)).clip(-1, 1)
    opacity = 0.9 * np.abs(values)[..., None] ** 0.7  # below 1, so that faint relevance is seen and none hides all
    tint = opacity * colormaps["RdBu_r"]((values + 1) / 2)[..., :3] + (1 - opacity) * seen
    shown: Array = tint.clip(0, 1)  # rounding leaves it
    return shown


def _limit(maps: Array) -> float:
    """The end of the colour scale: the largest value of a typical map, of spectra that of all."""
    largest = [float(np.abs(_fractions(one)).max()) for one in maps]
    return (max(largest) if maps.shape[1] == 1 else float(np.median(largest))) or 1.0


def _fractions(values: Array) -> Array:
    finite = np.nan_to_num(values)
    fractions: Array = finite / (np.abs(finite).sum() or 1.0)
    return fractions
