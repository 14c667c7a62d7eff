"""The page of a run: the verdict, each candidate with its members and their maps, and all images in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.report import (
    Block,
    Gallery,
    Page,
    Paragraph,
    Picture,
    Scatter,
    Section,
    Table,
    Tile,
    Tone,
    as_picture,
    plain,
)
from chinspect.spray.candidates import Candidate
from chinspect.spray.run import Finding, SprayRun, counted

_TONES: dict[str, Tone] = {"confirmed": "bad", "undecided": "unsure", "candidate": "unsure"}
"""Of others none: that nothing was found says nothing for the model."""
_VERDICTS = {
    "confirmed": "confirmed",
    "undecided": "undecided",
    "candidate": "candidates, not tested on the model",
    "not_causal": "not causal",
    "untested": "nothing flagged",
}
_ADVICE = {
    "confirmed": "free the images of it, or the model: 'chinspect mitigate prune' or 'unlearn', then test again.",
    "undecided": "test it on more images, with it and without it.",
    "candidate": "look at what the members share, and test it on the model: 'chinspect spray --test'.",
    "not_causal": "nothing, the model reacts to it no more than to other content.",
}
_LED = 3  # candidates that the verdict tells
_MEMBERS = 24  # of a candidate in its gallery: the scatter shows all of them
_OTHERS = 6
_SIDE = 224  # pixels of an average image: what most models see
_PICTURED = 5_000  # images whose thumbnails are made: each has to be opened
_BLANK = (228, 228, 228)  # behind maps that have no images


def compose(run: SprayRun) -> Page:
    """The page; candidates that are flagged come first, and of the others the strongest are told in a table."""
    verdict = run.verdict
    sections = [_candidate(run, number, finding) for number, finding in run.flagged.items()]
    return Page(
        title=f"Strategies in {counted(len(run.maps), 'image')}: {run.explained}",
        verdict=_VERDICTS.get(verdict, verdict.replace("_", " ")),
        tone=_TONES.get(verdict, "plain"),
        sentence="\n".join([*_leads(run), f"{run.sentence[0].upper()}{run.sentence[1:]}"]),
        sections=[*sections, _plane(run), _all(run), _trust(run)],
        made=_made(run),
    )


def _leads(run: SprayRun) -> list[str]:
    """What the most significant candidates are, in a line each."""
    lines = []
    for number, finding in list(run.flagged.items())[:_LED]:
        candidate = finding.candidate
        ground = f", on {', '.join(finding.ground)}" if finding.ground else ""
        lines.append(
            f"{candidate.size} of {counted(len(run.maps), 'image')} share {candidate.shared:.0%} of their relevance "
            f"{candidate.position}{ground} ({finding.title(number).lower()}: {candidate.outcome})."
        )
    return lines


def _candidate(run: SprayRun, number: int, finding: Finding) -> Section:
    candidate = finding.candidate
    tone = _TONES.get(candidate.verdict, "plain")
    blocks: list[Block] = [
        Paragraph(candidate.headline, tone),
        Paragraph(replace(finding, proof=None, note="").sentence(len(run.maps))),
        *_tested(finding, tone),
        *_common(run, candidate),
        _members(run, candidate),
        *_others(run, candidate, number),
    ]
    proven = None if finding.proof is None else finding.proof.page()
    if proven is not None:
        blocks += [block for section in proven.sections for block in section.blocks]
    ground = f", on {', '.join(finding.ground)}" if finding.ground else ""
    note = f"{candidate.outcome}: {counted(candidate.size, 'image')} {candidate.position}{ground}"
    return Section(finding.title(number), blocks, note=note, tone=tone)


def _tested(finding: Finding, tone: Tone) -> list[Block]:
    """What an intervention said, why there was none, and what to do."""
    blocks: list[Block] = []
    if finding.proof is not None:
        blocks.append(Paragraph(finding.proof.sentence, tone))
    if finding.note:
        blocks.append(Paragraph(finding.note))
    advice = _ADVICE.get(finding.candidate.verdict)
    return [*blocks, Paragraph(f"What to do: {advice}")] if advice else blocks


def _common(run: SprayRun, candidate: Candidate) -> list[Block]:
    """The mean map and the template, over the average of the members; of spectra, the sheet's bars."""
    if run.spectra:
        return [_spectra(candidate)]
    average = _average([_picture(run, int(index)) for index in candidate.indices[:_MEMBERS]])
    tiles = [
        Tile(average, "mean map of the members", "on their average", candidate.mean_map),
        Tile(
            average,
            "what they share and others have not",
            f"{candidate.shared:.0%} of their relevance",
            candidate.template,
        ),
    ]
    return [Gallery(tiles, "What the maps have in common")]


def _spectra(candidate: Candidate) -> Picture:
    from matplotlib.figure import Figure

    from chinspect.spray.sheet import show_map

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    titles = ("mean spectrum of the members", "what they share and others have not")
    for one, values, title in zip(axes, (candidate.mean_map, candidate.template), titles, strict=True):
        show_map(one, values, total=1.0)
        one.set_title(title, fontsize=10, loc="left")
    text = f"Bars over frequencies: the relevance that members share lies {candidate.position}."
    return Picture(as_picture(figure), text, "Relevance by DCT band, low frequencies first")


def _members(run: SprayRun, candidate: Candidate) -> Gallery:
    typical = np.array(candidate.medoids, dtype=np.int64)
    others = np.setdiff1d(candidate.indices, typical)
    indices = np.concatenate([typical, others])[:_MEMBERS]
    left = candidate.size - len(indices)
    more = f"; {left} more in members.csv and in the plane below" if left > 0 else ""
    return Gallery(_tiles(run, indices), f"Members, the most typical first{more}")


def _others(run: SprayRun, candidate: Candidate, number: int) -> list[Block]:
    rest = np.setdiff1d(run.spray.kept_, candidate.indices)
    if not len(rest):
        return []
    drawn = np.random.default_rng(number - 1).permutation(rest)[:_OTHERS]
    return [Gallery(_tiles(run, drawn), "For comparison, images that are not members")]


def _plane(run: SprayRun) -> Section:
    samples = run.samples()
    shown = list(run.flagged.items()) or list(enumerate(run.findings, 1))[:3]
    groups = [""] * len(run.maps)
    for number, finding in reversed(shown):  # the most significant is written last
        for index in finding.candidate.indices:
            groups[index] = finding.title(number)
    pictured = run.picture is not None and len(run.maps) <= _PICTURED
    scatter = Scatter(
        x=samples["x"].to_numpy(float),
        y=samples["y"].to_numpy(float),
        names=list(run.names),
        groups=groups,
        caption="Each point is an image, near points are explained alike (t-SNE of the SpRAy embedding, no units)",
        tiles=_tiles(run, range(len(run.maps))) if pictured else (),
    )
    return Section("All images by strategy", [scatter], note=counted(len(run.maps), "image"))


def _all(run: SprayRun) -> Section:
    tables = [Table(table, f"Sets of alike maps. {title}".strip()) for title, table in run.overview().items()]
    return Section("All sets", tables, note=f"{len(run.flagged)} of {len(run.findings)} listed sets flagged")


def _trust(run: SprayRun) -> Section:
    blocks: list[Block] = []
    tone: Tone = "plain"
    note = "faithfulness of the maps was not checked"
    if run.faithfulness is not None:
        better = sum(one.better_than_random for one in run.faithfulness.deletions)
        count = len(run.faithfulness.deletions)
        tone = "good" if 2 * better > count else "unsure"
        note = f"maps do better than random ones on {better} of {count} images"
    # what proofs say stands with their candidates
    blocks += [Paragraph(text) for text in run.notes if not text.startswith("candidate ")]
    return Section("Can this be trusted?", blocks or [Paragraph(f"{note.capitalize()}.")], note=note, tone=tone)


def _made(run: SprayRun) -> dict[str, object]:
    document = run.document()
    names = ("parameters", "explanation", "versions", "images", "duplicates", "min_detectable_size")
    made: dict[str, object] = plain({name: document[name] for name in names})
    return made


def _tiles(run: SprayRun, indices: Sequence[int] | NDArray[np.int64] | range) -> list[Tile]:
    labels = run.labels
    return [
        Tile(
            image=_picture(run, int(index)),
            name=run.names[index],
            caption="" if labels is None else str(labels[index]),
            relevance=None if run.spectra else run.maps[index],
        )
        for index in indices
    ]


def _picture(run: SprayRun, index: int) -> Image.Image:
    """An image, no larger than thumbnails need, as thousands are held at once."""
    if run.picture is None:
        return Image.new("RGB", (_SIDE, _SIDE), _BLANK)
    return run.picture(index).convert("RGB").resize((_SIDE, _SIDE), reducing_gap=2.0)


def _average(pictures: Sequence[Image.Image]) -> Image.Image:
    mean = np.mean([np.asarray(picture, dtype=float) for picture in pictures], axis=0)
    return Image.fromarray(mean.round().astype(np.uint8))
