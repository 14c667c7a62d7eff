"""The page of explained anomaly scores: which images are anomalous, where, by which frequencies, and beside what."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from chinspect.anomaly.explanation import AnomalyExplanation
from chinspect.report import Block, Comparison, Gallery, Histogram, Page, Paragraph, Section, Table, Tile, Tone

_DRAWN = 48  # images of the highest scores
_FEW = 10  # scores have no distribution
_LIBRARIES = ("chinspect", "torch", "numpy", "pillow")


def compose(explanation: AnomalyExplanation) -> Page:
    """The page; that an image is anomalous says nothing against the detector, so that its verdict has no colour."""
    anomalous = int((explanation.score > explanation.threshold).sum())
    sections = [_images(explanation), _frequencies(explanation), _trust(explanation)]
    return Page(
        title="Why are these images anomalous?" if len(explanation) > 1 else "Why is this image anomalous?",
        verdict=f"{anomalous} of {len(explanation)} anomalous",
        tone="plain",
        sentence=explanation.sentence,
        sections=sections,
        made={
            "threshold": explanation.threshold,
            "bands": explanation.band_names,
            "band index": explanation.band_index,
            "explained by": {"method": "own"} if explanation.method is None else explanation.method.document,
            "images": explanation.names.tolist(),
            "versions": {name: version(name) for name in _LIBRARIES},
        },
    )


def _images(explanation: AnomalyExplanation) -> Section:
    order = np.argsort(-explanation.score, kind="stable")
    shown = order[:_DRAWN].tolist()
    tiles = [_tile(explanation, i) for i in shown]
    left = len(order) - len(shown)
    more = f"; {left} more in the table" if left else ""
    blocks: list[Block] = [Gallery(tiles, f"The images, the highest score first{more}")]
    if explanation.nearest_images.size:
        pairs = [(tile, _nearest(explanation, i)) for tile, i in zip(tiles, shown, strict=True)]
        caption = "Each image beside the training image that carries most of its score"
        blocks.append(Comparison(pairs, ("image", "most like it"), caption))
    if len(order) >= _FEW:
        groups = {"these images": explanation.score}
        blocks.append(Histogram(groups, "anomaly score", "All scores", threshold=float(explanation.threshold)))
    return Section("Where the scores come from", blocks, note=f"threshold {explanation.threshold:.4g}")


def _tile(explanation: AnomalyExplanation, i: int) -> Tile:
    localised = explanation.relevance.shape[2:] != (1, 1)
    return Tile(
        image=Image.fromarray(explanation.images[i]),
        name="/".join(Path(str(explanation.names[i])).parts[-2:]),
        caption=f"{explanation.decision(i)}, score {explanation.score[i]:.4g}",
        relevance=explanation.pixels[i] if localised else None,
    )


def _nearest(explanation: AnomalyExplanation, i: int) -> Tile:
    name = explanation.training_name(int(explanation.nearest[i, 0]))
    return Tile(Image.fromarray(explanation.nearest_images[i, 0]), name, Path(name).name)


def _frequencies(explanation: AnomalyExplanation) -> Section:
    tables = [Table(table, title) for title, table in explanation.overview().items()]
    return Section("All images, and their scores by frequency", tables)


def _trust(explanation: AnomalyExplanation) -> Section:
    """Conservation and faithfulness."""
    low, high = float(explanation.conservation.min()), float(explanation.conservation.max())
    blocks: list[Block] = [
        Paragraph(f"Conservation: relevance and reference add up to {low:.1%} to {high:.1%} of scores.")
    ]
    made = [deletion for deletion in explanation.deletions if deletion is not None]
    if not made:
        return Section("Can this be trusted?", [*blocks, Paragraph("Faithfulness was not checked.")])
    better = sum(deletion.better_than_random for deletion in made)
    tone: Tone = "good" if 2 * better > len(made) else "unsure"
    note = f"the map names patches that count in {better} of {len(made)} images"
    return Section("Can this be trusted?", [*blocks, Paragraph(explanation.faithfulness, tone)], note=note, tone=tone)
