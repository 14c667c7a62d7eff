"""The page of a proof: the artefact, images with it and without it, and its effects beside those of placebos."""

from __future__ import annotations

import numpy as np
from PIL import Image

from chinspect.artefacts import Artefact
from chinspect.proof.effects import WORDS
from chinspect.proof.proving import Proof
from chinspect.proof.trial import ARTEFACT, CONTENT, SHUFFLED, UNCHANGED, Trial, Verdict
from chinspect.report import Block, Comparison, Intervals, Page, Paragraph, Picture, Section, Table, Tile, Tone

_TONES: dict[Verdict, Tone] = {"confirmed": "bad", "not_causal": "good"}
_TITLES = {"add": "Added to images that do not have it", "remove": "Removed from images that have it"}
_SIDES = {"add": ("without it", "with it"), "remove": ("with it", "painted over")}
_SIDE = 224  # pixels of a picture of an artefact that is no stretched canvas
_GREY = 128


def compose(proof: Proof) -> Page:
    """The page; a section a trial."""
    return Page(
        title=f"Does the {proof.subject} rely on {proof.artefact.name}?",
        verdict=proof.verdict.replace("_", " "),
        tone=_TONES.get(proof.verdict, "unsure"),
        sentence=" ".join([proof.sentence, *proof.missing]),
        sections=[*_artefact(proof.artefact), *(_trial(proof, trial) for trial in proof.trials)],
        made={"level": proof.trials[0].rule.level, "seed": proof.trials[0].rule.seed} if proof.trials else {},
    )


def _artefact(artefact: Artefact) -> list[Section]:
    if artefact.empty:
        return []
    height, width = artefact.alpha.shape if artefact.anchor is None else (_SIDE, _SIDE)
    picture = Image.fromarray(artefact.add(np.full((height, width, 3), _GREY, np.uint8)))
    text = f"{artefact.name}, as it was added and removed, on grey"
    return [Section("The artefact", [Picture(picture, text, text)])]


def _trial(proof: Proof, trial: Trial) -> Section:
    blocks: list[Block] = [_comparison(trial), _intervals(proof, trial)]
    if trial.placebo_norm < 1:
        blocks.append(Paragraph(f"Placebos change images by {trial.placebo_norm:.0%} of what it changes them by."))
    others = trial.table[trial.table["effect"] != proof.decides].drop(columns="edit")
    both = others[others["condition"].isin([ARTEFACT, CONTENT])]
    blocks.append(Table(both, "Other effects, which describe and decide nothing"))
    return Section(_TITLES[trial.edit], blocks, note=trial.verdict.replace("_", " "))


def _comparison(trial: Trial) -> Comparison:
    sides = (trial.pictures[UNCHANGED], trial.pictures[ARTEFACT])
    pairs = [
        (Tile(Image.fromarray(before), f"image {number}"), Tile(Image.fromarray(after), f"image {number}"))
        for number, (before, after) in enumerate(zip(*sides, strict=True), 1)
    ]
    return Comparison(pairs, _SIDES[trial.edit], f"{len(pairs)} of {trial.images} images")


def _intervals(proof: Proof, trial: Trial) -> Intervals:
    """The effect that decides, under each condition."""
    own = trial.table[trial.table["effect"] == proof.decides].reset_index(drop=True)
    rows = own.assign(name=own["condition"], control=own["condition"] != ARTEFACT)
    placebos = f"{CONTENT} (all of {len(trial.placebos)})"
    rows["name"] = rows["name"].replace({CONTENT: placebos, SHUFFLED: f"{SHUFFLED} (all)"})
    return Intervals(
        rows[["name", "estimate", "low", "high", "control"]],
        WORDS[trial.kind][proof.decides],
        "Its effect beside those of controls: 95 % intervals over images; of placebos the least and the largest",
    )
