"""The sheet of a candidate: what its members look like, what their maps share, and how sure that is."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from chinspect.spray._figure import COLOURS, INK, show_map, write
from chinspect.spray.run_words import HEADLINES, finding_sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from chinspect.spray.candidates import Candidate
    from chinspect.spray.run import SprayRun

_MEMBERS = 8
_TONES = {"confirmed": COLOURS[0], "candidate": COLOURS[2], "not_causal": COLOURS[1], "untested": "0.45"}
Array = NDArray[Any]


def draw_sheet(run: SprayRun, n: int, path: Path) -> Path:
    """Writes the sheet of candidate ``n``, counted from 0."""
    finding = run.findings[n]
    candidate = finding.candidate
    figure = Figure(figsize=(15, 8.6 if run.picture else 6.6), layout="constrained")
    head, body = figure.subfigures(2, 1, height_ratios=[1.15, 5], squeeze=False)[:, 0]
    head.text(0.01, 0.93, f"Candidate {n + 1}", fontsize=17, fontweight="bold", va="top")
    head.text(0.145, 0.93, HEADLINES[candidate.verdict], fontsize=17, va="top", color=_TONES[candidate.verdict])
    text = "\n".join(textwrap.wrap(finding_sentence(run, finding), 175))
    head.text(0.01, 0.6, text, fontsize=10.5, va="top", color=INK, parse_math=False)
    left, right = body.subfigures(1, 2, width_ratios=[1, 3.6], squeeze=False)[0]
    _summary(left, run, candidate)
    _pictures(right, run, candidate, np.random.default_rng(n))
    return write(figure, path)


def _summary(part: Any, run: SprayRun, candidate: Candidate) -> None:
    """Mean map and template, and the numbers."""
    mean, template, numbers = part.subplots(3, 1, height_ratios=[1, 1, 0.7])
    for axes, values, title in (
        (mean, candidate.mean_map, "mean map of the members"),
        (template, candidate.template, "what they share and others have not"),
    ):
        show_map(axes, values)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10, loc="left")
    numbers.axis("off")
    numbers.text(0, 1, "\n".join(_numbers(run, candidate)), fontsize=9.5, va="top", color=INK, family="monospace")


def _numbers(run: SprayRun, c: Candidate) -> list[str]:
    stability = "not tested" if np.isnan(c.stability) else f"{c.stability:.2f}"
    lines = [
        f"members     {c.size} of {len(run.maps)}",
        f"shared      {c.shared:.0%} of relevance",
        f"effect      {c.effect:.2f} ({c.effect_low:.2f} to {c.effect_high:.2f})",
        f"stability   {stability} (1: always found)",
        f"p-value     {c.p_value:.2g}, corrected {c.q_value:.2g}",
        f"flagged     {'yes' if c.flagged else 'no'} (at 0.05)",
    ]
    if c.label is not None:
        lines.append(f"label       {c.purity:.0%} {str(c.label)[:18]}")
    return lines


def _pictures(part: Any, run: SprayRun, candidate: Candidate, rng: np.random.Generator) -> None:
    """Members as they are and with their maps, and below them images that are no members, for comparison."""
    members = _spread(candidate, _MEMBERS, rng)
    rest = np.setdiff1d(run.spray.kept_, candidate.indices)
    others = rng.choice(rest, min(_MEMBERS, len(rest)), replace=False)
    limit = _limit(run.maps[[*members, *others]])
    rows = [("members", members, False), ("members, with their maps", members, True)]
    rows += [("other images", others, False), ("other images, with their maps", others, True)]
    if run.picture is None:
        rows = [row for row in rows if row[2]]
    grid = part.subplots(len(rows), _MEMBERS, squeeze=False)
    for axes_row, (title, places, mapped) in zip(grid, rows, strict=True):
        for axes in axes_row:
            axes.axis("off")
        for axes, i in zip(axes_row, places, strict=False):
            _panel(axes, run, int(i), limit if mapped else None)
        axes_row[0].set_title(title, fontsize=10, loc="left")
    scale = "spectra, low to high frequencies" if run.spectra else "all on one colour scale"
    part.supxlabel(
        f"red raises what is explained, blue lowers it; each map as shares of its own sum, {scale}",
        fontsize=9,
        color=INK,
    )


def _spread(candidate: Candidate, count: int, rng: np.random.Generator) -> Array:
    """The medoids, then members by chance."""
    others = np.setdiff1d(candidate.indices, candidate.medoids)
    drawn = rng.permutation(others)[: max(count - len(candidate.medoids), 0)]
    return np.concatenate([np.array(candidate.medoids, dtype=np.int64), drawn])[:count]


def _limit(maps: Array) -> float:
    """The end of the colour scale: the largest value of a typical map, of spectra that of all."""
    largest = [float(np.abs(_share(one)).max()) for one in np.nan_to_num(maps)]
    return (max(largest) if maps.shape[1] == 1 else float(np.median(largest))) or 1.0


def _share(values: Array) -> Array:
    return values / (np.abs(values).sum() or 1.0)


def _panel(axes: Axes, run: SprayRun, i: int, limit: float | None) -> None:
    """A picture, or a picture that is lightened under its map; limit None leaves the map out."""
    values = np.nan_to_num(_share(run.maps[i]))
    if limit is not None and (run.picture is None or run.spectra):
        axes.axis("on")
        axes.set(xticks=[], yticks=[])
        show_map(axes, values, limit)
        return
    assert run.picture is not None
    picture = run.picture(i)
    if limit is None:
        axes.imshow(picture)
        return
    grey = 0.45 + 0.55 * np.asarray(picture.convert("L"), dtype=float) / 255
    extent = (0, picture.width, picture.height, 0)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent)
    opacity = np.clip(np.abs(values) / limit, 0, 1) ** 0.7 * 0.9
    axes.imshow(values, cmap="RdBu_r", norm=CenteredNorm(halfrange=limit), alpha=opacity, extent=extent)
