"""The evidence of findings, as blocks of a page."""

from __future__ import annotations

from collections.abc import Sequence

from chinspect.audit.evidence import Evidence, Suspect
from chinspect.audit.measuring import Measures
from chinspect.audit.proofs import proof_blocks, sections_of
from chinspect.report import Block, Gallery, Intervals, PairViewer, Paragraph, Table, Tile
from chinspect.spray import SprayRun

_MEMBERS = 24  # as many as one looks at; the plane of all images shows the others
_SIDE = 224  # pixels: what most models see


def suspect_blocks(
    evidence: Evidence, run: SprayRun, members: Sequence[int], suspect: Suspect | None, finding: int | None
) -> list[Block]:
    """Members with maps; what was tested and did; two members and what makes them similar; a remedy."""
    typical = [] if finding is None else list(run.findings[finding].candidate.medoids)
    order = [*typical, *(index for index in members if index not in typical)]
    caption = f"{min(len(order), _MEMBERS)} of {len(order)} images that share it, with their maps"
    blocks: list[Block] = [Gallery([_tile(run, index) for index in order[:_MEMBERS]], caption)]
    if suspect is not None and suspect.proof is not None:
        blocks += proof_blocks(suspect.proof)
    blocks += _pair(evidence, run, members)
    if suspect is not None and evidence.repair is not None:
        own = evidence.repair.table[evidence.repair.table["artefact"] == suspect.name]
        if len(own):
            blocks.append(Table(own.drop(columns="artefact"), "The same tests before and after the remedy"))
    return blocks


def measure_blocks(measures: Measures) -> list[Block]:
    """Each measure with its controls."""
    rows = measures.rows
    blocks: list[Block] = []
    for measure, own in rows.groupby("measure", sort=False):
        names = own["condition"].astype(str)
        table = own.assign(name=names, control=names != "embedding")[["name", "estimate", "low", "high", "control"]]
        blocks.append(Intervals(table, str(measure), f"{measure}, beside its controls (95 % intervals)", zero=None))
    return [*blocks, Table(rows, "The same in numbers")]


def pair_viewer(evidence: Evidence, a: str, b: str) -> list[Block]:
    """Two images of the index by name, and what makes them similar, as `SimilarityExplanation` shows it."""
    index = evidence.index
    assert index is not None
    explanation = index.explain(index.names.index(a), index.names.index(b), metric="cosine")
    blocks = [block for section in sections_of(explanation) for block in section.blocks]
    return [Paragraph("What makes two of them similar."), *(block for block in blocks if type(block) is PairViewer)]


def _pair(evidence: Evidence, run: SprayRun, members: Sequence[int]) -> list[Block]:
    """The pair of members that is most similar in place, of those that were looked at."""
    pairs = evidence.pairs
    if pairs is None:
        return []
    names = {run.names[i] for i in members}
    own = pairs[pairs["a"].isin(names) & pairs["b"].isin(names)]
    return [] if own.empty else pair_viewer(evidence, str(own.iloc[0]["a"]), str(own.iloc[0]["b"]))


def _tile(run: SprayRun, index: int) -> Tile:
    assert run.picture is not None
    picture = run.picture(index)
    picture.thumbnail((_SIDE, _SIDE))
    caption = "" if run.labels is None else str(run.labels[index])
    return Tile(picture, run.names[index], caption, run.maps[index])
