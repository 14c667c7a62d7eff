"""Unlearning an artefact by fine-tuning; the encoder that was given keeps its weights.

With x an image, x* the same with the artefact, f the network that is trained and f0 the one before:

    unhans   cross-entropy of f(x*) on *all* images: an artefact that every class shows says nothing about any of them
             (un-Hans'ing, Anders et al. 2019, section 3.3). Without an artefact it is plain fine-tuning, the control.
             Images that carry it already would show a translucent one twice: there, give a task whose images carry it
             once, and no artefact.
    clarc    cross-entropy of f(x) while a layer returns a - v (<v, a> - z) for half of the images, at random: v is the
             direction from the mean output for images to that for the same with the artefact, all positions in one
             vector, and z the level of the latter (augmentive ClArC, Anders et al. 2022). On all images it would be a
             constant, of which what lies behind learns nothing. What lies before the layer stays.
    align    (||f(x*) - t||^2 + ||f(x) - t||^2) / 2 in units of the variance of t, where t is f0 of x with the place of
             the artefact painted from its surroundings. Half of the x* show it in its own place, the others anywhere,
             and half of each in tinted colours. So the encoder puts images with the artefact, pasted or their own,
             where it put them without. No labels are needed, so that no task is preferred. Much of what it learns is to
             ignore the place: a random patch there, unlearnt in the same way, may help as much, though not where the
             artefact lies elsewhere. Judge it beside one.

``unhans`` and ``clarc`` are for classifiers: networks that return logits, with labels that are places among these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from chinspect.artefacts import Artefact
from chinspect.encoders import Encoder
from chinspect.encoders.edits import EditedEncoder, Retrain, edited
from chinspect.errors import InputError
from chinspect.mitigate.finetuning import Loss, Measure, Progress, Schedule, checkpoint_file, fine_tune
from chinspect.mitigate.losses import Align, Clarc, Training, Unhans, added, parameters_before
from chinspect.mitigate.measures import output_share, reliance
from chinspect.readouts import ORIGINAL, SHIFTED, Pictures, Task

Method = Literal["align", "unhans", "clarc"]
_WATCHED = 16
"""Test images whose relevance is measured after each epoch."""


@dataclass(frozen=True, eq=False)
class Unlearning:
    """What fine-tuning led to.

    Attributes:
        encoder: the new one; ``encoder.base`` is the one before.
        history: one row an epoch, from 0, which is before the first. epoch, loss, and relevance_share on the artefact;
            for ``align`` also similarity_shift (see `reliance`). For classifiers the share is the `output_share` of the
            class that the artefact speaks for most at the start, ``target``, and there are the accuracies ``original``
            and ``shifted`` on the task's test images.
    """

    encoder: EditedEncoder
    history: pd.DataFrame


def unlearn(
    encoder: Encoder,
    artefact: Artefact | None,
    task: Task,
    *,
    method: Method = "align",
    layer: str | None = None,
    schedule: Schedule | None = None,
    checkpoints: str | Path | None = None,
    progress: Progress | None = None,
) -> Unlearning:
    """Fine-tune until the artefact makes no difference; see the module.

    Args:
        encoder: or a classifier: an `Encoder` whose module returns logits. Not an edited one.
        artefact: None with ``unhans`` trains on the images as they are.
        task: images to train on, their labels (for classifiers: places among the logits), and test images in the
            states ``original`` and ``shifted``, by which nothing is chosen.
        layer: of ``clarc``, a path as in `named_modules`.
        schedule: None is `Schedule()`.
        checkpoints: a folder in which an interrupted run finds its last epoch; other settings, images or weights find
            nothing there.
        progress: called with the number of epochs that are done and of all.

    Raises `InputError` for an unknown method, labels that do not fit the logits, a missing artefact or layer, a task
    without shifted images, and a loss that is no number.
    """
    chosen, plan = schedule or Schedule(), _Plan(encoder, artefact, task, method, layer)
    plan.check()
    plan = replace(plan, task=task.seen_by(encoder.preprocessing))
    frozen = parameters_before(encoder, layer) if layer is not None else []
    checkpoint = None if checkpoints is None else checkpoint_file(checkpoints, plan.settings() | asdict(chosen))
    weights, rows = fine_tune(
        encoder,
        plan.loss(),
        len(task.train),
        chosen,
        plan.measure(),
        frozen=frozen,
        checkpoint=checkpoint,
        progress=progress,
    )
    return Unlearning(edited(encoder, Retrain(weights)), pd.DataFrame(rows))


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is trained and measured."""

    encoder: Encoder
    artefact: Artefact | None
    task: Task
    method: Method
    layer: str | None

    def check(self) -> None:
        if self.method not in ("align", "unhans", "clarc"):
            raise InputError(f"The method of unlearning is align, unhans or clarc, not {self.method!r}.")
        if not isinstance(self.task, Task) or not isinstance(self.artefact, Artefact | None):
            raise InputError(
                "unlearn takes an encoder, an Artefact (see chinspect.stress.ARTEFACTS) and a Task (see "
                f"chinspect.readouts.folder_task), not {type(self.artefact).__name__} and {type(self.task).__name__}."
            )
        if isinstance(self.encoder, EditedEncoder):
            raise InputError("An edited encoder cannot be trained: unlearn with its base, then edit the result.")
        if self.artefact is not None and self.artefact.empty:
            raise InputError(f"Nothing of the artefact {self.artefact.name!r} can be seen: its opacity is 0.")
        if self.artefact is None and self.method != "unhans":
            raise InputError(f"The method {self.method} needs the artefact that is to be unlearnt.")
        if (self.layer is not None) != (self.method == "clarc"):
            raise InputError("clarc needs the layer at which the artefact is added; the other methods take none.")
        if len(self.task.test.get(SHIFTED, ())) < 2:
            raise InputError("Unlearning is judged by shifted images, and the task has fewer than two.")

    def settings(self) -> dict[str, Any]:
        """All that the weights depend on, but the schedule."""
        found = {"encoder": self.encoder.fingerprint, "method": self.method, "layer": self.layer}
        if self.artefact is not None:
            found["artefact"] = _digest(self.artefact.rgb, self.artefact.alpha) + str(self.artefact.anchor)
        labels = [str(label) for given in (self.task.train_labels, self.task.test_labels) for label in given]
        images = [_identity(pictures) for pictures in (self.task.train, *self.task.test.values())]
        return found | {"images": images, "labels": labels}

    def loss(self) -> Loss:
        if self.method == "align":
            assert self.artefact is not None
            return Align(self.encoder, self.artefact, self.task.train)
        labels = self._places(self.task.train_labels)
        if self.method == "unhans":
            return Unhans(self.encoder, self.artefact, self.task.train, labels)
        assert self.artefact is not None
        assert self.layer is not None
        change = added(self.encoder, self.layer, self.task.train, self.artefact)
        return Clarc(self.encoder, self.task.train, labels, self.layer, change)

    def measure(self) -> Measure:
        pairs = [self.task.test[state][:_WATCHED] for state in (SHIFTED, ORIGINAL)]
        if self.method == "align":
            return partial(_encoder_row, self.encoder, pairs)
        gain = self.encoder.embed(self.task.test[SHIFTED]) - self.encoder.embed(self.task.test[ORIGINAL])
        labels = self._places(self.task.test_labels)
        return partial(_classifier_row, self.encoder, self.task, labels, pairs, int(gain.mean(0).argmax()))

    def _places(self, given: Sequence[Any]) -> Tensor:
        """Labels as places among the outputs."""
        count, labels = self.encoder.embed(self.task.train[:1]).shape[1], np.asarray(given)
        if not np.issubdtype(labels.dtype, np.integer) or not ((labels >= 0) & (labels < count)).all():
            raise InputError(f"The labels of a classifier are places among its outputs, 0 to {count - 1}.")
        return torch.from_numpy(labels.astype(np.int64)).to(self.encoder.device)


def _encoder_row(encoder: Encoder, pairs: list[Training], module: nn.Module) -> dict[str, float]:
    found = reliance(replace(encoder, module=module), *pairs)
    return {"relevance_share": found.relevance_share, "similarity_shift": found.similarity_shift}


def _classifier_row(
    encoder: Encoder, task: Task, labels: Tensor, pairs: list[Training], target: int, module: nn.Module
) -> dict[str, float]:
    present, row = replace(encoder, module=module), dict[str, float]()
    for state in (ORIGINAL, SHIFTED):
        row[state] = float((present.embed(task.test[state]).argmax(1) == labels).float().mean())
    return row | {"target": target, "relevance_share": output_share(present, target, pairs[0], pairs[1])}


def _identity(pictures: Training) -> str:
    """What tells these images from others."""
    if isinstance(pictures, Pictures):
        return pictures.digest
    return _digest(*(np.asarray(picture) for picture in pictures))


def _digest(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
