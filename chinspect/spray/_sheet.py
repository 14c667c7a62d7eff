"""The sheet of a candidate: what its members look like, what their maps share, and how sure that is."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from chinspect.spray._figure import COLOURS, INK, bars, show_map, write
from chinspect.spray.run_words import NOT_TESTED, finding_sentence, headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from chinspect.spray.candidates import Candidate
    from chinspect.spray.run import SprayRun

_COUNT, _SIDE, _GAP = 8, 128, 8
"""Pictures in a row, and their side and distance in pixels."""
_TONES = {
    "confirmed": COLOURS[0],
    "undecided": COLOURS[2],
    "candidate": COLOURS[2],
    "not_causal": COLOURS[1],
    "untested": "0.45",
}
_WIDTH, _HEAD, _ROW, _FOOT = 15.0, 1.85, 1.62, 0.35
"""Of the figure in inches."""
Array = NDArray[Any]


def draw_sheet(run: SprayRun, n: int, path: Path) -> Path:
    """Writes the sheet of candidate ``n``, counted from 0."""
    candidate = run.findings[n].candidate
    rows = _rows(run, candidate, np.random.default_rng(n))
    height = _HEAD + max(len(rows), 4) * _ROW + _FOOT
    figure = Figure(figsize=(_WIDTH, height))
    _head(figure, run, n, height)
    _summary(figure, run, candidate, height)
    limit = _limit(run.maps[np.concatenate([places for _, places, _ in rows])])
    for number, (title, places, mapped) in enumerate(rows):
        axes = figure.add_axes((0.235, (height - _HEAD - (number + 1) * _ROW) / height, 0.755, 0.85 * _ROW / height))
        axes.set_title(title, fontsize=10, loc="left", pad=3)
        _row(axes, run, places, limit if mapped else None)
    scale = "spectra from low to high frequencies" if run.spectra else "all on one colour scale"
    note = f"red raises what is explained, blue lowers it; each map as shares of its own sum, {scale}"
    figure.text(0.235, 0.1 / height, note, fontsize=9, color=INK)
    return write(figure, path)


def _head(figure: Figure, run: SprayRun, n: int, height: float) -> None:
    finding = run.findings[n]
    verdict = finding.candidate.verdict
    figure.text(0.01, 1 - 0.12 / height, f"Candidate {n + 1}", fontsize=17, fontweight="bold", va="top")
    figure.text(0.145, 1 - 0.12 / height, headline(finding), fontsize=17, va="top", color=_TONES[verdict])
    text = "\n".join(textwrap.wrap(finding_sentence(run, finding), 185)[:6])
    figure.text(0.01, 1 - 0.55 / height, text, fontsize=10.5, va="top", color=INK, parse_math=False)


def _summary(figure: Figure, run: SprayRun, candidate: Candidate, height: float) -> None:
    """Mean map and template, and the numbers below them."""
    shown = (
        (candidate.mean_map, "mean map of the members"),
        (candidate.template, "what they share and others have not"),
    )
    for number, (values, title) in enumerate(shown):
        bottom = height - _HEAD - (number + 1) * 2.55 + 0.15
        axes = figure.add_axes((0.01, bottom / height, 2.25 / _WIDTH, 2.25 / height))
        show_map(axes, values)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10, loc="left", pad=3)
    top = height - _HEAD - 2 * 2.55
    text = "\n".join(_numbers(run, candidate))
    figure.text(0.01, top / height, text, fontsize=9, va="top", color=INK, family="monospace", parse_math=False)


def _numbers(run: SprayRun, c: Candidate) -> list[str]:
    stability = NOT_TESTED if np.isnan(c.stability) else f"{c.stability:.2f} (1: always found)"
    lines = [
        f"members    {c.size} of {len(run.maps)}",
        f"shared     {c.shared:.0%} of relevance",
        f"effect     {c.effect:.2f} ({c.effect_low:.2f} to {c.effect_high:.2f})",
        f"stability  {stability}",
        f"p-value    {f'{c.p_value:.2g}, corrected {c.q_value:.2g}' if c.compared else NOT_TESTED}",
        f"flagged    {'yes' if c.flagged else 'no' if c.compared else NOT_TESTED} (at 0.05)",
    ]
    if c.label is not None:
        lines.append(f"label      {'' if np.isnan(c.purity) else f'{c.purity:.0%} '}{str(c.label)[:22]}")
    return lines


def _rows(run: SprayRun, candidate: Candidate, rng: np.random.Generator) -> list[tuple[str, Array, bool]]:
    """Title, places and whether maps are shown: members first the most typical, then images that are none."""
    typical = np.array(candidate.medoids, dtype=np.int64)
    drawn = rng.permutation(np.setdiff1d(candidate.indices, typical))
    members = np.concatenate([typical, drawn])[:_COUNT]
    others = rng.permutation(np.setdiff1d(run.spray.kept_, candidate.indices))[:_COUNT]
    rows = [("members", members, False), ("members, with their maps", members, True)]
    rows += [("other images, to compare", others, False), ("other images, with their maps", others, True)]
    return rows if run.picture is not None else [row for row in rows if row[2]]


def _row(axes: Axes, run: SprayRun, places: Array, limit: float | None) -> None:
    """Pictures side by side, or pictures under their maps where there is a limit, or spectra."""
    axes.axis("off")
    step = _SIDE + _GAP
    axes.set(xlim=(0, _COUNT * step), ylim=(_SIDE, 0), aspect="equal", anchor="W")
    for column, place in enumerate(places):
        left = column * step
        if limit is not None and run.spectra:
            bars(axes, _share(run.maps[place])[0] / limit, left, _SIDE)
            continue
        tile = _tile(run, int(place), limit)
        axes.imshow(tile, extent=(left, left + _SIDE, _SIDE, 0), interpolation="nearest")
    axes.set(xlim=(0, _COUNT * step), ylim=(_SIDE, 0))


def _tile(run: SprayRun, place: int, limit: float | None) -> Array:
    """(side, side, 3) in [0, 1]: a picture, or one that is lightened under its map; limit None leaves the map out."""
    seen = np.full((_SIDE, _SIDE, 3), 0.94)
    if run.picture is not None:
        picture = run.picture(place).resize((_SIDE, _SIDE))
        if limit is None:
            return np.asarray(picture, dtype=float) / 255
        seen = 0.45 + 0.55 * np.repeat(np.asarray(picture.convert("L"), dtype=float)[..., None] / 255, 3, axis=2)
    assert limit is not None
    shares = Image.fromarray(_share(run.maps[place]).astype(np.float32) / limit)
    values = np.asarray(shares.resize((_SIDE, _SIDE), Image.Resampling.NEAREST)).clip(-1, 1)
    opacity = 0.9 * np.abs(values)[..., None] ** 0.7
    tint = opacity * colormaps["RdBu_r"]((values + 1) / 2)[..., :3] + (1 - opacity) * seen
    shown: Array = tint.clip(0, 1)  # rounding leaves it
    return shown


def _limit(maps: Array) -> float:
    """The end of the colour scale: the largest value of a typical map, of spectra that of all."""
    largest = [float(np.abs(_share(one)).max()) for one in maps]
    return (max(largest) if maps.shape[1] == 1 else float(np.median(largest))) or 1.0


def _share(values: Array) -> Array:
    finite = np.nan_to_num(values)
    shares: Array = finite / (np.abs(finite).sum() or 1.0)
    return shares
