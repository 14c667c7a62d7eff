"""The page of a similarity explanation: why two images are similar, patch by patch, to be pointed at."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib.metadata import version

import pandas as pd
from PIL import Image

from chinspect.report import Block, Page, PairViewer, Paragraph, Section, Table, Tone
from chinspect.similarity.explanation import SimilarityExplanation
from chinspect.similarity.image import ExplainedImage

_BEHIND = (128, 128, 128)  # where the last patches reach beyond the picture
_LIBRARIES = ("chinspect", "torch", "numpy", "pillow")


def compose(explanation: SimilarityExplanation) -> Page:
    """The page, whose verdict is the tendency: that says nothing against the model, so it is coloured only if open."""
    told = [line for line in explanation.sentence.splitlines() if not line.startswith("warning: ")]
    first, second = explanation.names
    cosine = "" if explanation.cosine is None else f", cosine {explanation.cosine:.2f}"
    trust = _trust(explanation)
    sections = [] if explanation.blank else [_viewer(explanation)]
    if explanation.frequencies is not None:
        frequencies = explanation.frequencies
        table = frequencies.overview().rename(columns={"": "left image"})
        sections.append(Section("By frequency", [Table(table, frequencies.title.capitalize())]))
    return Page(
        title=f"Why {explanation.model} calls {first} and {second} {explanation.tendency}",
        verdict=f"{explanation.tendency}{cosine}",
        tone=trust.tone if explanation.blank or trust.tone == "unsure" else "plain",
        sentence="\n".join(told),
        sections=[*sections, trust],
        made=_made(explanation),
    )


def _viewer(explanation: SimilarityExplanation) -> Section:
    relevance = {"all": explanation.certain}
    if explanation.frequencies is not None:
        labels = [f"{cycles} cycles per image" for cycles in explanation.frequencies.cycles]
        pairs = explanation.frequencies.pairs / explanation.norm
        relevance |= dict(zip(labels, pairs, strict=True))
    blocks: list[Block] = [
        PairViewer(
            images=(_gridded(explanation.a, explanation.patch_size), _gridded(explanation.b, explanation.patch_size)),
            names=explanation.names,
            relevance=relevance,
            similarity=explanation.explained,
            caption="Which patch of one image matches which patch of the other?",
        ),
        Table(_strongest(explanation), f"The strongest pairs of patches; shares are of {explanation.share_of}"),
    ]
    return Section("What matches what", blocks, note=f"{len(blocks[1].table)} strongest pairs in a table")  # type: ignore[union-attr]


def _gridded(image: ExplainedImage, patch: int) -> Image.Image:
    """What the encoder sees, with grey where the last row and column of patches reach beyond it."""
    rows, columns = image.grid
    canvas = Image.new("RGB", (columns * patch, rows * patch), _BEHIND)
    canvas.paste(image.picture.convert("RGB"), (0, 0))
    return canvas


def _strongest(explanation: SimilarityExplanation) -> pd.DataFrame:
    pairs = explanation.top_pairs(explanation.listed)
    names = explanation.names
    return pd.DataFrame(
        {
            "rank": range(1, len(pairs) + 1),
            "share": [f"{pair.share:+.2%}" for pair in pairs],
            "relevance": [pair.relevance for pair in pairs],
            f"box in {names[0]} (x0, y0, x1, y1)": [_corners(pair.box_a) for pair in pairs],
            f"box in {names[1]}": [_corners(pair.box_b) for pair in pairs],
        }
    )


def _trust(explanation: SimilarityExplanation) -> Section:
    """Conservation and faithfulness, what Zennit says, and the warnings."""
    arrived = (
        f"{explanation.conservation:.1%} of what is explained arrives at the patches ({explanation.method.label})."
    )
    blocks: list[Block] = [Paragraph(f"Conservation: {arrived}")]
    tone: Tone = "plain"
    note = arrived
    if explanation.deletion is None:
        blocks.append(Paragraph("Faithfulness was not checked."))
    else:
        tone = "good" if explanation.deletion.better_than_random else "unsure"
        note = "the map names patches that count" if tone == "good" else "the map may do no better than chance"
        blocks.append(Paragraph(f"Faithfulness: {explanation.deletion_in_words}", tone))
        caption = (
            f"What the similarity loses without patches of {explanation.names[0]}, as fractions of what is explained"
        )
        blocks.append(Table(explanation.deletion.table, caption))
    if explanation.agreement is not None:
        blocks.append(Paragraph(explanation.agreement.sentence))
    blocks += [Paragraph(warning, "unsure") for warning in explanation.cautions]
    return Section("Can this be trusted?", blocks, note=note, tone=tone)


def _made(explanation: SimilarityExplanation) -> dict[str, object]:
    method = explanation.method.document
    options = " ".join(
        f"--{name} {shlex.quote(str(method[name]))}"
        for name in ("method", "composite", "reference")
        if method.get(name)
    )
    images = shlex.join([explanation.a.name, explanation.b.name])
    made: dict[str, object] = {
        "command": f"chinspect explain-similarity {images} --model {explanation.model} {options} "
        f"--patch-size {explanation.patch_size} --metric {explanation.metric}",
        "images": [explanation.a.name, explanation.b.name],
        "model": explanation.model,
        "metric": explanation.metric,
        **method,
        "patch_size": explanation.patch_size,
        "patch_grid": [*explanation.a.grid, *explanation.b.grid],
        "seconds": explanation.seconds,
        "versions": {name: version(name) for name in _LIBRARIES},
    }
    if not isinstance(explanation.encoder, str):
        made["fingerprint"] = explanation.encoder.fingerprint
    return made


def _corners(box: Sequence[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in box)
