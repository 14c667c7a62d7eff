"""The evidence of findings, as blocks of a page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.artefacts import Artefact
from chinspect.audit.evidence import Evidence, Suspect
from chinspect.audit.measuring import Measures
from chinspect.images import Preprocessing, open_image
from chinspect.proof import Proof, Trial
from chinspect.report import (
    Block,
    Comparison,
    Gallery,
    Histogram,
    Intervals,
    PairViewer,
    Paragraph,
    Picture,
    Scatter,
    Table,
    Tile,
)
from chinspect.spray import SprayRun

_MEMBERS = 24  # as many as one looks at
_SIDE = 224  # pixels of an image that is looked at closely
_THUMBNAIL = 112
_POINTS = 64  # pixels of the thumbnail of a point
_DOING = {"add": ("without it", "with it"), "remove": ("with it", "without it")}
_EDITS = {"add": "added to images without it", "remove": "removed from images with it"}
_CONTROLS = ("area elsewhere", "other content", "other content elsewhere", "shuffled pieces")


def suspect_blocks(
    evidence: Evidence, run: SprayRun, members: Sequence[int], suspect: Suspect | None, finding: int | None
) -> list[Block]:
    """Members with maps; what was tested and did; two members and what makes them similar; a remedy."""
    nearest = list(run.findings[finding].candidate.medoids) if finding is not None else []
    order = [*nearest, *(index for index in members if index not in nearest)]
    caption = f"{min(len(order), _MEMBERS)} of {len(order)} images that share it, with their maps"
    blocks: list[Block] = [Gallery([_tile(run, index) for index in order[:_MEMBERS]], caption)]
    if suspect is not None and suspect.proof is not None:
        blocks += proof_blocks(suspect.proof)
    blocks += _pair(evidence, run, members)
    if suspect is not None and evidence.repair is not None:
        table = evidence.repair.table
        own = table[table["artefact"] == suspect.name]
        if len(own):
            blocks.append(Table(own.drop(columns="artefact"), "The same tests before and after the remedy"))
    return blocks


def proof_blocks(proof: Proof) -> list[Block]:
    """The artefact, images with it and without it, and effects beside those of placebos."""
    blocks: list[Block] = []
    if not proof.artefact.empty:
        text = f"{proof.artefact.name}, as it was isolated from images that share it, on grey"
        blocks.append(Picture(on_grey(proof.artefact), text, text))
    for trial in proof.trials:
        blocks += [_comparison(trial), _intervals(proof, trial)]
    return blocks


def on_grey(artefact: Artefact) -> Image.Image:
    """An artefact over a grey square, as it would lie on an image."""
    height, width = artefact.alpha.shape if artefact.anchor is None else (_SIDE, _SIDE)
    return Image.fromarray(artefact.add(np.full((height, width, 3), 128, np.uint8)))


def spray_blocks(run: SprayRun) -> list[Block]:
    """All images in the plane of strategies, and how good their maps are."""
    table = run.samples()
    flagged = run.flagged
    groups = [""] * len(table)
    for number, finding in flagged.items():
        for index in finding.candidate.indices:
            groups[index] = groups[index] or f"candidate {number}"
    tiles = [_tile(run, index, _POINTS) for index in range(len(run.maps))] if run.picture is not None else []
    caption = "All images: those that are near each other are explained alike (t-SNE of the embedding of their maps)"
    blocks: list[Block] = [
        Scatter(table["x"].to_numpy(), table["y"].to_numpy(), list(run.names), groups, caption, tiles),
    ]
    blocks += [Paragraph(note) for note in run.notes if not note.startswith("candidate ")]
    conservation = run.scores["conservation"]
    usable = conservation[np.isfinite(conservation)]
    if len(usable):
        # of maps whose value is nearly zero the ratio says nothing; the middle 98 % are drawn
        low, high = np.quantile(usable, [0.01, 0.99])
        shown = usable[(usable >= low) & (usable <= high)]
        axis = "sum of a map over what it explains"
        blocks.append(Histogram({"images": shown}, axis, "Conservation of the maps: 1 where all arrives at the pixels"))
    return blocks


def measure_blocks(measures: Measures) -> list[Block]:
    """Each measure with its controls."""
    rows = measures.rows
    blocks: list[Block] = []
    for measure, own in rows.groupby("measure", sort=False):
        names = own["condition"].astype(str)
        table = own.assign(name=names, control=names != "embedding")[["name", "estimate", "low", "high", "control"]]
        blocks.append(Intervals(table, str(measure), f"{measure}, beside its controls (95 % intervals)"))
    return [*blocks, Table(rows, "The same in numbers")]


def _comparison(trial: Trial) -> Comparison:
    before, after = (list(trial.pictures[condition]) for condition in ("unchanged", "artefact"))
    pairs = [
        (Tile(Image.fromarray(one), f"image {place}"), Tile(Image.fromarray(other), f"image {place}"))
        for place, (one, other) in enumerate(zip(before, after, strict=True), 1)
    ]
    return Comparison(pairs, _DOING[trial.edit], f"The artefact {_EDITS[trial.edit]}")


def _intervals(proof: Proof, trial: Trial) -> Intervals:
    table = trial.table
    own = table[table["effect"] == proof.decides]
    names = own["condition"].astype(str)
    rows = own.assign(name=names, control=names.isin(_CONTROLS))[["name", "estimate", "low", "high", "control"]]
    doing = "added" if trial.edit == "add" else "removed"
    caption = (
        f"The artefact {doing}: its effect, and that of controls (95 % intervals over images; of other content and "
        f"shuffled pieces the range of {len(trial.placebos)} placebos)"
    )
    return Intervals(rows.reset_index(drop=True), proof.decides.replace("_", " "), caption)


def _pair(evidence: Evidence, run: SprayRun, members: Sequence[int]) -> list[Block]:
    """The pair of members that is most similar in place, of those that were looked at."""
    index, pairs = evidence.index, evidence.pairs
    if index is None or pairs is None:
        return []
    names = {run.names[i] for i in members}
    own = pairs[pairs["a"].isin(names) & pairs["b"].isin(names)]
    return [] if own.empty else [pair_viewer(evidence, str(own.iloc[0]["a"]), str(own.iloc[0]["b"]))]


def pair_viewer(evidence: Evidence, a: str, b: str) -> PairViewer:
    """Two images of the index, and what makes them similar."""
    index = evidence.index
    assert index is not None
    first, second = index.names.index(a), index.names.index(b)
    relevance = index.relevance(first, second)
    view = evidence.encoder.preprocessing
    pictures = tuple(_seen(view, evidence, name) for name in (a, b))
    vectors = index.embeddings[[first, second]].astype(float)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
    scale = float(lengths.prod())
    cosine = float(vectors[0] @ vectors[1]) / scale
    return PairViewer(
        (pictures[0], pictures[1]),
        (a, b),
        {"all": relevance / scale},
        cosine,
        f"Two of the images that share it: what makes them similar (cosine {cosine:.2f}), patch by patch",
    )


def _seen(view: Preprocessing, evidence: Evidence, name: str) -> Image.Image:
    picture = view.visible(open_image(evidence.samples.root / name))
    picture.thumbnail((_SIDE, _SIDE))
    return picture


def _tile(run: SprayRun, index: int, side: int = _THUMBNAIL) -> Tile:
    assert run.picture is not None
    picture = run.picture(index)
    picture.thumbnail((side, side))
    caption = "" if run.labels is None else str(run.labels[index])
    relevance: NDArray[np.float32] = run.maps[index]
    return Tile(picture, run.names[index], caption, relevance)
