"""The page of a proof: the same images without and with the artefact, and its effect beside those of its placebos."""

from __future__ import annotations

from importlib.metadata import version

import pandas as pd
from PIL import Image

from chinspect.proof.effects import WORDS
from chinspect.proof.proving import Proof
from chinspect.proof.trial import (
    AREA,
    ARTEFACT,
    CONTENT,
    CONTENT_MOVED,
    MOVED,
    OF_AREA,
    SHUFFLED,
    UNCHANGED,
    Edit,
    Trial,
)
from chinspect.report import Block, Comparison, Gallery, Intervals, Page, Paragraph, Section, Table, Tile, Tone

_TONES: dict[str, Tone] = {"confirmed": "bad", "undecided": "unsure", "not_causal": "plain", "untested": "unsure"}
"""That nothing was found says nothing for the model: there may have been too few images."""
_TITLES: dict[Edit, str] = {"add": "Added to images without it", "remove": "Removed from images that carry it"}
_SIDES: dict[Edit, tuple[str, str]] = {"add": ("unchanged", "artefact added"), "remove": ("unchanged", "removed")}
_LIBRARIES = ("chinspect", "torch", "numpy", "scipy")


def compose(proof: Proof) -> Page:
    """The page: a section a trial, then all effects as a table."""
    trials = [_trial(proof, trial) for trial in proof.trials]
    rest: list[Block] = [Paragraph(text, "unsure") for text in proof.missing]
    if proof.trials:
        rest.append(Table(proof.table, "Every effect of every condition; of a family of placebos least to largest"))
    sections = [*trials, Section("All numbers", rest)] if rest else trials
    return Page(
        title=f"Does the {proof.subject} rely on {proof.artefact.name}?",
        verdict=proof.verdict.replace("_", " "),
        tone=_TONES[proof.verdict],
        sentence=proof.sentence,
        sections=sections,
        made={
            "artefact": proof.artefact.name,
            "subject": proof.subject,
            "decides": proof.decides,
            "rules": [
                {"edit": trial.edit, "level": trial.rule.level, "trials": trial.rule.trials, "seed": trial.rule.seed}
                for trial in proof.trials
            ],
            "versions": {name: version(name) for name in _LIBRARIES},
        },
    )


def _blocks(proof: Proof, trial: Trial) -> list[Block]:
    """The images of a trial before and after, its placebos, and the effect that decides under every condition."""
    before, after = (_tiles(trial, condition) for condition in (UNCHANGED, ARTEFACT))
    names = _names(trial)
    placebos = [
        Tile(Image.fromarray(trial.pictures[condition][0]), name)
        for condition, name in names.items()
        if condition in trial.pictures and condition not in (UNCHANGED, ARTEFACT)
    ]
    blocks: list[Block] = [
        Comparison(list(zip(before, after, strict=False)), _SIDES[trial.edit], f"{_TITLES[trial.edit]}: examples"),
    ]
    if placebos:
        blocks.append(Gallery(placebos, "The first of them under each placebo"))
    return [*blocks, _effects(proof, trial, names)]


def _trial(proof: Proof, trial: Trial) -> Section:
    beyond = "beyond" if trial.passed else "not beyond"
    note = f"{trial.verdict.replace('_', ' ')}: the effect is {beyond} its placebos"
    return Section(_TITLES[trial.edit], _blocks(proof, trial), note=note, tone=_TONES[trial.verdict])


def _effects(proof: Proof, trial: Trial, names: dict[str, str]) -> Intervals:
    table = proof.table[(proof.table.edit == trial.edit) & (proof.table.effect == proof.decides)]
    rows = table.set_index("condition")[["estimate", "low", "high", "n"]]
    present = [condition for condition in names if condition in rows.index]
    told = []
    for condition in present:
        family = condition in trial.placebo_effects
        told.append(
            f"{names[condition]} ({rows.n[condition]} placebos: mean, least, largest)" if family else names[condition]
        )
    numbers = rows.loc[present].astype(float)
    return Intervals(
        pd.DataFrame(
            {
                "name": told,
                "estimate": numbers.estimate.to_numpy(),
                "low": numbers.low.to_numpy(),
                "high": numbers.high.to_numpy(),
                "control": [condition != ARTEFACT for condition in present],
            }
        ),
        axis=WORDS[proof.subject][proof.decides],
        caption=f"{_TITLES[trial.edit]}: the effect beside its placebos, means of {trial.images} images",
    )


def _names(trial: Trial) -> dict[str, str]:
    """What a condition is called, the artefact first."""
    return {
        ARTEFACT: _SIDES[trial.edit][1],
        UNCHANGED: "unchanged",
        CONTENT: f"{CONTENT} in its place",
        AREA: f"{AREA} ({OF_AREA[trial.edit]})",
        MOVED: MOVED,
        CONTENT_MOVED: CONTENT_MOVED,
        SHUFFLED: "its pieces shuffled",
    }


def _tiles(trial: Trial, condition: str) -> list[Tile]:
    pictures = trial.pictures.get(condition, ())
    return [Tile(Image.fromarray(pixels), f"example {number}") for number, pixels in enumerate(pictures, 1)]
