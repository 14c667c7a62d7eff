"""The figure of a similarity: which patches match, where each image's relevance lies, and what was not seen.

Red adds to the similarity and blue takes away from it, in all rows and whatever the sign of the similarity is. What
takes away is dashed or hatched as well, so that a copy in grey says the same.
"""

from __future__ import annotations

from textwrap import fill, wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from chinspect.report import GLOSSARY
from chinspect.similarity.explanation import SimilarityExplanation
from chinspect.similarity.frequency import FrequencySimilarity
from chinspect.similarity.image import Array, ExplainedImage

_CAPTION = 110  # characters of the caption that fit into a line
_LABEL = 44  # of a line under a picture
_CURVES = 40  # a fixed number, which can be followed by eye: a percent of the pairs are hundreds, one red area
_GAP = 0.35  # between the images, in their width
_LIFT = 0.1  # of the curves, in the width of an image
_HATCHED = 0.05  # of the strongest patch: what is paler looks white, and needs no sign
_RED = np.array([0.80, 0.07, 0.10])
_BLUE = np.array([0.10, 0.25, 0.80])
_HATCH = "////"


def draw(explanation: SimilarityExplanation) -> Figure:
    """The strongest pairs as curves, the marginals of both images, and where there are any, crops and bands."""
    cropped = min(explanation.a.seen, explanation.b.seen) < 0.995  # less than a pixel in 200 cannot be drawn
    below = [*(["seen"] if cropped else []), *(["bands"] if explanation.frequencies is not None else [])]
    rows: list[list[object]] = [["pairs", "."], ["marginals", "scale"]]
    if below:
        rows.append([[below], "."])
    heights = [1, 1, 0.55][: len(rows)]
    figure = Figure(figsize=(9, 0.8 + 4.1 * sum(heights)), layout="constrained")
    axes = figure.subplot_mosaic(rows, width_ratios=[1, 0.025], height_ratios=heights)
    _draw_pairs(axes["pairs"], explanation)
    _draw_marginals(figure, axes["marginals"], axes["scale"], explanation)
    if cropped:
        _draw_seen(axes["seen"], explanation)
    if explanation.frequencies is not None:
        _draw_bands(axes["bands"], explanation.frequencies)
    figure.suptitle(_title(explanation), fontsize=11, parse_math=False)
    caption = [fill(line, _CAPTION) for line in (explanation.deletion_in_words, GLOSSARY) if line]
    figure.supxlabel("\n".join(caption), fontsize=9, parse_math=False)
    return figure


def _title(explanation: SimilarityExplanation) -> str:
    """What is asked, and how large it is."""
    method = explanation.method
    size = f"{explanation.metric} {explanation.similarity:.4g}"
    if explanation.metric == "dot" and explanation.cosine is not None:
        size += f", cosine {explanation.cosine:.2f}"
    if explanation.standing is not None:
        size += f" (higher than {explanation.standing.below:.0%} of the pairs of the data set)"
    if method.name != "lrp":
        size += f"; beyond the references ({method.reference_name}) {explanation.explained:.4g}"
    name = method.label if method.name == "lrp" else method.name
    size += f", of which {explanation.conservation:.1%} arrives at the patches by {name}"
    lines = [_question(explanation)]
    if explanation.identical:
        lines.append(explanation.identical_in_words)
    if explanation.blank:
        size = f"{size.partition(';')[0]}; no more than a reference: {', '.join(explanation.blank)}"
    return "\n".join([*lines, *wrap(size, _CAPTION - 15)])


def _question(explanation: SimilarityExplanation) -> str:
    """What the figure answers."""
    if explanation.blank:
        return f"To {explanation.model} there is nothing to explain{explanation.beyond}"
    if explanation.tendency in ("similar", "dissimilar"):
        return f"Why does {explanation.model} call these images {explanation.tendency}{explanation.beyond}?"
    return f"To {explanation.model} these images are {explanation.tendency}{explanation.beyond}"


def _draw_pairs(axes: Axes, explanation: SimilarityExplanation) -> None:
    """The strongest pairs as curves over the two images."""
    _show(axes, explanation, colour=True)
    curves, colours, fraction = _curves(explanation)
    dashed = colours[:, 2] > colours[:, 0]
    for rows, style in ((~dashed, "solid"), (dashed, (0, (3, 2)))):
        lines = LineCollection(list(curves[rows]), colors=colours[rows], linewidths=1.3, linestyles=[style])
        axes.add_collection(lines)
    axes.set_title(_told(explanation, len(curves), fraction), fontsize=9)


def _told(explanation: SimilarityExplanation, count: int, fraction: float) -> str:
    """What the curves are."""
    if not count:
        return "No pair of patches stands out: none is drawn"
    return (
        f"The {count} strongest of {explanation.relevance.size:,} pairs of patches, {fraction:.0%} of "
        f"{explanation.share_of}; the more opaque, the stronger.\n"
        "Red: they make the images similar. Blue, dashed: they make them dissimilar."
    )


def _curves(explanation: SimilarityExplanation) -> tuple[Array, Array, float]:
    """Parabolas (L, 25, 2) between the patches' centres, weakest first, their colours (L, 4), and their relevance.

    The last is a fraction of what all shares are of, as in the table of pairs. None leaves the frame of the pictures at
    its upper edge.
    """
    flat = np.zeros(0) if explanation.blank else explanation.certain.reshape(-1).astype(float)
    strength = np.abs(flat)
    order = np.argsort(strength)[-_CURVES:]
    order = order[strength[order] > 0]
    # at least .15, or a curve that is drawn is not seen; at most .9, so that crossing curves can be told apart
    opacity = np.clip(strength[order] / max(strength.max(initial=0), 1e-30), 0.15, 0.9)
    i, j = np.divmod(order, explanation.b.contributions.shape[0])
    size = explanation.a.picture.width
    start = _centres(explanation.a, explanation.patch_size)[i]
    end = _centres(explanation.b, explanation.patch_size)[j] + [size * (1 + _GAP), 0]
    t = np.linspace(0, 1, 25)[:, None]
    points = start[:, None] * (1 - t) + end[:, None] * t
    lift = np.minimum(_LIFT * size, np.minimum(start[:, 1], end[:, 1]))
    points[..., 1] -= lift[:, None] * (4 * t * (1 - t))[:, 0]
    colours = np.where(flat[order, None] > 0, _RED, _BLUE)
    return points, np.column_stack([colours, opacity]), abs(float(flat[order].sum())) / explanation.scale


def _centres(image: ExplainedImage, patch: int) -> Array:
    """Centres (P, 2) of the patches in pixels of the picture; the last ones may be cut."""
    row, column = (index.reshape(-1) for index in np.indices(image.grid))
    edges = [(patch * index, np.minimum(patch * (index + 1), image.picture.width)) for index in (column, row)]
    return np.column_stack([(low + high) / 2 for low, high in edges])


def _draw_marginals(figure: Figure, axes: Axes, scale: Axes, explanation: SimilarityExplanation) -> None:
    """Where the relevance of each image lies, as a fraction of the similarity for each patch."""
    _show(axes, explanation, colour=False)
    fractions = [fraction * (not explanation.blank) for fraction in explanation.marginal_shares()]
    limit = max(float(np.abs(fraction).max()) for fraction in fractions) or 1.0
    size = explanation.a.picture.width
    for fraction, left in zip(fractions, (0, size * (1 + _GAP)), strict=True):
        height, width = np.array(fraction.shape) * explanation.patch_size
        extent = (left, left + width, height, 0)
        heatmap = axes.imshow(fraction, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.62, extent=extent, zorder=2)
        heatmap.set_clip_path(Rectangle((left, 0), size, size, transform=axes.transData))
        _hatch(axes, fraction < -_HATCHED * limit, left, explanation)
    bar = figure.colorbar(heatmap, cax=scale, format=PercentFormatter(1))
    bar.set_label(f"share of {explanation.share_of}", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.ax.add_patch(Rectangle((0, -limit), 1, limit, fill=False, hatch=_HATCH, edgecolor=(*_BLUE, 0.5), linewidth=0))
    axes.set_title(
        "Each patch with all patches of the other image.\n"
        "Red: it adds to the similarity. Blue, hatched: it takes away.",
        fontsize=9,
    )


def _hatch(axes: Axes, mask: NDArray[np.bool_], left: float, explanation: SimilarityExplanation) -> None:
    """Hatches patches, a mask (h, w), of the picture that begins at ``left``."""
    patch = explanation.patch_size
    size = explanation.a.picture.width
    cells = [
        Rectangle(
            (left + patch * column, patch * row), min(patch, size - patch * column), min(patch, size - patch * row)
        )
        for row, column in np.argwhere(mask)
    ]
    hatched = PatchCollection(cells, facecolor="none", edgecolor=(*_BLUE, 0.5), hatch=_HATCH, linewidth=0, zorder=3)
    axes.add_collection(hatched)


def _draw_seen(axes: Axes, explanation: SimilarityExplanation) -> None:
    """All of both images; what the encoder does not see is pale, outside the outline."""
    for number, image in enumerate((explanation.a, explanation.b)):
        width, height = image.original_size
        scale = 1 / max(width / 1.6, height)  # into a box of 1.6 x 1
        x0, y0, x1, y1 = (scale * edge for edge in image.frame)
        left = 1.9 * number + (1.6 - scale * width) / 2
        top = (1 - scale * height) / 2
        extent = (left, left + scale * width, top + scale * height, top)
        axes.imshow(image.thumbnail, extent=extent)
        axes.imshow(image.thumbnail, extent=extent, zorder=3).set_clip_path(
            Rectangle((left + x0, top + y0), x1 - x0, y1 - y0, transform=axes.transData)
        )
        axes.add_patch(Rectangle((left, top), scale * width, scale * height, color="white", alpha=0.6, linewidth=0))
        for colour, line in (("white", 3.0), ("black", 1.2)):  # seen on dark and on bright pictures
            frame = Rectangle(
                (left + x0, top + y0), x1 - x0, y1 - y0, fill=False, color=colour, linewidth=line, zorder=4
            )
            axes.add_patch(frame)
    axes.set(xlim=(0, 3.5), ylim=(1.02, -0.02), aspect="equal")
    axes.axis("off")
    fractions = f"{explanation.a.seen:.0%} of the left image, {explanation.b.seen:.0%} of the right one"
    axes.set_title(f"What the encoder sees lies in the outline:\n{fractions}", fontsize=9)


def _draw_bands(axes: Axes, bands: FrequencySimilarity) -> None:
    """The similarity by pairs of frequency bands, as a table of shares."""
    shares = bands.shares
    limit = float(np.abs(shares).max()) or 1.0
    axes.imshow(shares, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.62, aspect="auto")
    count = len(shares)
    cells = [Rectangle((column - 0.5, row - 0.5), 1, 1) for row, column in np.argwhere(shares < -_HATCHED * limit)]
    axes.add_collection(PatchCollection(cells, facecolor="none", edgecolor=(*_BLUE, 0.5), hatch=_HATCH, linewidth=0))
    if count <= 8:  # more numbers would overlap
        for row, column in np.argwhere(np.abs(shares) >= 0.005):  # what rounds to a percent
            axes.text(column, row, f"{shares[row, column]:+.0%}", ha="center", va="center", fontsize=7)
    step = -(-count // 8)
    ticks = range(0, count, step)
    axes.set_xticks(ticks, [bands.cycles[tick] for tick in ticks], fontsize=7)
    axes.set_yticks(ticks, [bands.cycles[tick] for tick in ticks], fontsize=7)
    axes.set_xlabel("right image: cycles per image (down + across)", fontsize=8)
    axes.set_ylabel("left image", fontsize=8)
    axes.set_title("By frequency: shares of all relevance,\nsizes add to 100 %", fontsize=9)


def _show(axes: Axes, explanation: SimilarityExplanation, *, colour: bool) -> None:
    """Both pictures side by side in one coordinate system."""
    size = explanation.a.picture.width
    images = zip((explanation.a, explanation.b), explanation.names, (0, size * (1 + _GAP)), strict=True)
    for image, name, left in images:
        picture = image.picture if colour else image.picture.convert("L").convert("RGB")
        light = 0.35 + 0.65 * np.asarray(picture) / 255
        axes.imshow(light, extent=(left, left + size, size, 0), interpolation="nearest")
        axes.add_patch(Rectangle((left, 0), size, size, fill=False, edgecolor="0.4", linewidth=0.8))
        label = "\n".join(wrap(name, _LABEL, break_on_hyphens=False))
        axes.text(left + size / 2, size * 1.03, label, ha="center", va="top", fontsize=9, parse_math=False)
    # a line of a label takes a twentieth of a picture; the margins hold the frames' lines
    lines = max(len(wrap(name, _LABEL, break_on_hyphens=False)) for name in explanation.names)
    axes.set(
        xlim=(-0.01 * size, size * (2.01 + _GAP)), ylim=(size * (1.04 + 0.06 * lines), -0.01 * size), aspect="equal"
    )
    axes.axis("off")
