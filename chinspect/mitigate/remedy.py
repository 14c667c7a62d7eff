"""Remedies for encoders: chosen on held-out images, judged on others beside a control, undone, saved.

    remedy = prune("efficientnet-lite0", text_logo(), "trucks")
    remedy.show()                   # the search, the comparison, and what they say
    remedy.save("pruned")           # a folder that load_encoder reads, with the evidence
    encoder = remedy.apply()        # the mitigated encoder; remedy.undo() is the one before

Where no remedy helps by more than chance there is nothing to apply, and the remedy says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from chinspect.artefacts import Artefact
from chinspect.encoders import EditedEncoder, Encoder, as_encoder, edited
from chinspect.encoders.record import CARD, RECORD, TENSORS
from chinspect.errors import InputError
from chinspect.mitigate.comparison import BEFORE, compare_mitigations, finding
from chinspect.mitigate.finetuning import Progress, Schedule
from chinspect.mitigate.pruning import search_pruning
from chinspect.mitigate.responsive import Where
from chinspect.mitigate.saving import save_encoder
from chinspect.mitigate.unlearning import train_unlearning
from chinspect.proof import random_patch
from chinspect.readouts import ORIGINAL, SHIFTED, Pictures, Task, folder_task, load_classes, seen, split
from chinspect.report import Result, records

_PAIRS = 64  # images by which responses, and the strength of a random patch, are known well enough
_EXPLAINED = 16  # test images whose relevance is measured, which takes longer than embedding them
_HELD_OUT = 0.25  # of the training images, to choose a pruning by
_COLUMNS = ["mitigation", "readout", ORIGINAL, SHIFTED, "worst_group", "relevance_share", "similarity_shift"]


@dataclass(frozen=True, eq=False, repr=False)
class Remedy(Result):
    """A remedy for an encoder, how it was found, and what it does.

    Attributes:
        name: what was done: pruned, unlearnt.
        control: what it is judged beside: random channels, random patch.
        encoders: by name: ``none`` (the encoder before, as it was), the remedy and the control; ``none`` alone where
            nothing helps by more than chance.
        origin: the search or the training that led to it.
        settings: artefact, data and seed, as JSON values.
        table: `compare_mitigations` of the encoders; empty where nothing helps.
    """

    stem = "remedy"

    name: str
    control: str
    encoders: Mapping[str, Encoder]
    origin: Result
    settings: Mapping[str, Any]
    table: pd.DataFrame

    @property
    def helps(self) -> bool:
        """Whether there is anything to apply: a pruning that a number was given for always is."""
        return self.name in self.encoders

    def apply(self) -> EditedEncoder:
        """The mitigated encoder. Raises `InputError` where nothing helps by more than chance."""
        encoder = self.encoders.get(self.name)
        if not isinstance(encoder, EditedEncoder):
            raise InputError(f"There is no remedy to apply: {self.sentence}.")
        return encoder

    def undo(self) -> Encoder:
        """The encoder that was given, bit by bit: a remedy changes a copy, or lies around the same modules."""
        return self.encoders[BEFORE]

    def evaluate(self, task: Task) -> pd.DataFrame:
        """The remedy on the test images of a task, beside no remedy and the control; see `compare_mitigations`."""
        pairs = task.seen_by(self.undo().preprocessing).pairs(_EXPLAINED)
        return compare_mitigations(self.encoders, task, pairs, control=self.control)

    @property
    def finding(self) -> str:
        """What the table says, a sentence a readout."""
        return finding(self.table, self.name, self.control) if len(self.table) else ""

    @property
    def sentence(self) -> str:
        """The finding, and what was done."""
        return "\n".join(filter(None, (self.finding, self.origin.sentence)))

    def document(self) -> dict[str, Any]:
        """How the remedy was found, the comparison and what it says."""
        document = self.origin.document()
        if len(self.table):
            document |= {"table": records(self.table), "finding": self.finding}
        return {**document, **self.settings}

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The tables of the search or training, and the comparison."""
        return {**self.origin.tables(), "table": self.table}

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """The same, the comparison in few columns."""
        compared = {"on the test images": self.table[_COLUMNS]} if len(self.table) else {}
        return {**self.origin.overview(), **compared}

    def save(self, folder: str | Path) -> list[Path]:
        """Writes the mitigated encoder as a folder, with the document as its evidence; see `save_encoder`."""
        target = save_encoder(self.apply(), folder, evidence=self.document())
        return [target / name for name in (RECORD, CARD, TENSORS)]


def prune(
    encoder: Encoder | str,
    artefact: Artefact,
    data: str | Path | Task,
    *,
    layers: str | Sequence[str] | None = None,
    k: int | None = None,
    rows: Where = "artefact",
    max_cost: float = 0.01,
    seed: int = 0,
    progress: Progress | None = None,
) -> Remedy:
    """Silence the channels of an encoder that respond to an artefact, as many as validation data ask for.

    A quarter of the training images is held out to choose on (see `search_pruning`); the test images judge the result,
    beside the encoder before and as many random channels.

    Args:
        encoder: an encoder, or the name of one (see `load_encoder`).
        data: a folder with one folder a class, or a task whose training images are files (`Pictures`).
        layers, k, rows, max_cost, progress: see `search_pruning`.
        seed: of splits, and of the random channels.

    Raises `InputError` as `load_classes` and `search_pruning` do.
    """
    encoder = as_encoder(encoder)
    task = _task(data, artefact, seed)
    choice = _held_out(task, artefact, seed).seen_by(encoder.preprocessing)
    search = search_pruning(
        encoder,
        choice,
        choice.pairs(_PAIRS),
        layers=layers,
        k=k,
        rows=rows,
        max_cost=max_cost,
        seed=seed,
        progress=progress,
    )
    encoders = {BEFORE: encoder}
    if search.edit is not None and search.control is not None:
        encoders |= {"pruned": edited(encoder, search.edit), "random channels": edited(encoder, search.control)}
    remedy = Remedy("pruned", "random channels", encoders, search, _settings(data, artefact, seed), pd.DataFrame())
    return replace(remedy, table=remedy.evaluate(task)) if search.k else remedy


def unlearn(
    encoder: Encoder | str,
    artefact: Artefact,
    data: str | Path | Task,
    *,
    schedule: Schedule | None = None,
    checkpoints: str | Path | None = None,
    progress: Progress | None = None,
) -> Remedy:
    """Fine-tune an encoder until images with an artefact lie where they lie without it; classes are not used.

    The test images judge the result, beside the encoder before and a control, which unlearns a random patch that
    changes images as much.

    Args:
        encoder: an encoder, or the name of one (see `load_encoder`).
        data: a folder with one folder a class, or a task with shifted images.
        schedule: None is `Schedule()`; its seed is also that of the split and of the random patch.
        checkpoints: see `train_unlearning`; `Remedy.save` removes the folder ``.resume`` of an encoder's folder.
        progress: called with the number of epochs that are done and of all, first of the remedy, then of the control.

    Raises `InputError` as `load_classes` and `train_unlearning` do.
    """
    encoder = as_encoder(encoder)
    schedule = schedule or Schedule()
    view = encoder.preprocessing
    task = _task(data, artefact, schedule.seed).seen_by(view)
    patch = random_patch(artefact, [seen(picture, view) for picture in task.train[:_PAIRS]], schedule.seed)
    runs = [
        train_unlearning(encoder, mark, task, schedule=schedule, checkpoints=checkpoints, progress=progress)
        for mark in (artefact, patch)
    ]
    encoders = {BEFORE: encoder, "unlearnt": runs[0].encoder, "random patch": runs[1].encoder}
    settings = _settings(data, artefact, schedule.seed)
    remedy = Remedy("unlearnt", "random patch", encoders, runs[0], settings, pd.DataFrame())
    return replace(remedy, table=remedy.evaluate(task))


def _task(data: str | Path | Task, artefact: Artefact, seed: int) -> Task:
    return data if isinstance(data, Task) else folder_task(load_classes(data, seed=seed), artefact)


def _settings(data: str | Path | Task, artefact: Artefact, seed: int) -> dict[str, Any]:
    return {"artefact": artefact.name, "data": None if isinstance(data, Task) else str(data), "seed": seed}


def _held_out(task: Task, artefact: Artefact, seed: int) -> Task:
    """The training images as a task of their own: some of each class are held out to choose on."""
    train = task.train
    if not isinstance(train, Pictures) or train.samples.labels is None:
        raise InputError("The training images of this task are no labelled files: use search_pruning with two tasks.")
    inner = split(train.samples, _HELD_OUT, seed=seed)
    test = replace(train, samples=inner.test)
    return replace(
        task,
        train=replace(train, samples=inner.train),
        train_labels=inner.train.labels or (),
        test={ORIGINAL: test, SHIFTED: test.marked(artefact)},
        test_labels=inner.test.labels or (),
        groups=None,
    )
