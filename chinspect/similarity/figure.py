"""The figure of a similarity: which patches match, and where each image's relevance lies."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from chinspect.similarity.explanation import Array, ExplainedImage, SimilarityExplanation

_CAPTION = 110  # characters of the caption that fit into a line
_CURVES = 400  # more cannot be told apart
_GAP = 0.35  # between the images, in their width
_RED = np.array([0.80, 0.07, 0.10])
_BLUE = np.array([0.10, 0.25, 0.80])


def draw(explanation: SimilarityExplanation) -> Figure:
    """The strongest pairs as curves between the images, and the marginals of both."""
    figure = Figure(figsize=(9, 8.4), layout="constrained")
    axes = figure.subplot_mosaic([["pairs", "."], ["marginals", "scale"]], width_ratios=[1, 0.025])
    _draw_pairs(axes["pairs"], explanation)
    _draw_marginals(figure, axes["marginals"], axes["scale"], explanation)
    method = explanation.method
    title = f"{explanation.metric} {explanation.similarity:.4g}"
    if method.name != "lrp":
        title += f"; beyond the references ({method.reference_name}) {explanation.explained:.4g}"
    figure.suptitle(
        f"Why does {explanation.model} call these images similar?\n{title}, of which {explanation.conservation:.1%} "
        f"arrives at the patches by {method.label if method.name == 'lrp' else method.name}",
        fontsize=11,
    )
    if explanation.deletion is not None:
        told = explanation.deletion.told(Path(explanation.a.name).name, "this similarity")
        figure.supxlabel(fill(told, _CAPTION), fontsize=9, parse_math=False)
    return figure


def _draw_pairs(axes: Axes, explanation: SimilarityExplanation) -> None:
    """The strongest pairs as curves over the two images."""
    _show(axes, explanation, colour=True)
    curves, colours = _curves(explanation)
    axes.add_collection(LineCollection(list(curves), colors=colours, linewidths=1.4, capstyle="round"))
    axes.set_title(
        "Patch pairs that make the images similar (red) or dissimilar (blue); stronger pairs are more opaque",
        fontsize=9,
    )


def _curves(explanation: SimilarityExplanation) -> tuple[Array, Array]:
    """Parabolas (L, 25, 2) between the patches' centres, weakest first, and their colours (L, 4).

    A pair's strength is ``R / mean(R^4)^(1/4)``, soft-thresholded at 2 as in the code of Kauffmann et al. 2025; its
    opacity is its strength over that of the strongest pair (there: the square, which leaves little but one curve).
    """
    flat = explanation.certain.reshape(-1)
    strength = np.abs(flat) / max(float(np.mean(flat.astype(float) ** 4)) ** 0.25, 1e-30)
    order = np.argsort(strength)[-_CURVES:]
    excess = np.clip(strength[order] - 2, 0, None)
    # at least .03, or a curve that is drawn is not seen; at most .9, so that crossing curves can be told apart
    opacity = np.clip(excess / max(excess.max(initial=0), 1e-30), 0.03, 0.9) * (excess > 0)
    i, j = np.divmod(order, explanation.b.contributions.shape[0])
    size = explanation.a.picture.width
    start = _centres(explanation.a, explanation.patch_size)[i]
    end = _centres(explanation.b, explanation.patch_size)[j] + [size * (1 + _GAP), 0]
    t = np.linspace(0, 1, 25)[:, None]
    points = start[:, None] * (1 - t) + end[:, None] * t
    points[..., 1] -= 0.1 * size * (4 * t * (1 - t))[:, 0]
    colours = np.where(flat[order, None] > 0, _RED, _BLUE)
    return points, np.column_stack([colours, opacity])


def _centres(image: ExplainedImage, patch: int) -> Array:
    """Centres (P, 2) of the patches in pixels of the picture; the last ones may be cut."""
    row, column = (index.reshape(-1) for index in np.indices(image.grid))
    edges = [(patch * index, np.minimum(patch * (index + 1), image.picture.width)) for index in (column, row)]
    return np.column_stack([(low + high) / 2 for low, high in edges])


def _draw_marginals(figure: Figure, axes: Axes, scale: Axes, explanation: SimilarityExplanation) -> None:
    """Where the relevance of each image lies, as a fraction of the similarity for each patch."""
    _show(axes, explanation, colour=False)
    fractions = [marginal / explanation.scale for marginal in explanation.marginals()]
    limit = max(float(np.abs(fraction).max()) for fraction in fractions) or 1.0
    size = explanation.a.picture.width
    for fraction, left in zip(fractions, (0, size * (1 + _GAP)), strict=True):
        height, width = np.array(fraction.shape) * explanation.patch_size
        extent = (left, left + width, height, 0)
        heatmap = axes.imshow(fraction, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.62, extent=extent, zorder=2)
        heatmap.set_clip_path(Rectangle((left, 0), size, size, transform=axes.transData))
    bar = figure.colorbar(heatmap, cax=scale, format=PercentFormatter(1), label="share of what is explained")
    bar.ax.tick_params(labelsize=8)
    axes.set_title("Where the similarity lies in each image: the sum over all patches of the other one", fontsize=9)


def _show(axes: Axes, explanation: SimilarityExplanation, *, colour: bool) -> None:
    """Both pictures side by side in one coordinate system."""
    size = explanation.a.picture.width
    for image, left in ((explanation.a, 0), (explanation.b, size * (1 + _GAP))):
        picture = image.picture if colour else image.picture.convert("L").convert("RGB")
        light = 0.35 + 0.65 * np.asarray(picture) / 255
        axes.imshow(light, extent=(left, left + size, size, 0), interpolation="nearest")
        axes.add_patch(Rectangle((left, 0), size, size, fill=False, edgecolor="0.4", linewidth=0.8))
        axes.text(
            left + size / 2, size * 1.03, Path(image.name).name, ha="center", va="top", fontsize=9, parse_math=False
        )
    axes.set(xlim=(0, size * (2 + _GAP)), ylim=(size * 1.12, -0.06 * size), aspect="equal")
    axes.axis("off")
