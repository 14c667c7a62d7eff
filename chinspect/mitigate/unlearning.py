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
    align    (||f(x*) - t||^2 + ||f(x) - t||^2) / 2 in units of the variance of t, where t is f0 of x with the region of
             the artefact painted from its surroundings. Half of the x* show it where it lies, the others anywhere, and
             half of each in tinted colours. So the encoder puts images with the artefact, pasted or their own, where it
             put them without. No labels are needed, so that no task is preferred. Much of what it learns is to ignore
             the region: a random patch there, unlearnt in the same way, may help as much, though not where the artefact
             lies elsewhere. Judge it beside one.

``unhans`` and ``clarc`` are for classifiers: networks that return logits, with labels that are indices of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn

from chinspect.artefacts import Artefact
from chinspect.digests import digest_of_json
from chinspect.encoders import EditedEncoder, Encoder, Retrain, edited
from chinspect.errors import InputError
from chinspect.mitigate.finetuning import Measure, Progress, Schedule, Training, fine_tune, images_digest
from chinspect.mitigate.losses import Align, Clarc, Unhans, added, parameters_before
from chinspect.mitigate.measures import output_relevance, reliance
from chinspect.readouts import ORIGINAL, SHIFTED, Task
from chinspect.report import Result

Method = Literal["align", "unhans", "clarc"]
_WATCHED = 16  # test images whose relevance is measured after each epoch: enough for a curve, and quick


@dataclass(frozen=True, eq=False, repr=False)
class Unlearning(Result):
    """What fine-tuning led to.

    Attributes:
        encoder: the new one; ``encoder.base`` is the one before.
        history: one row an epoch, from 0, which is before the first. epoch, loss, and relevance_share on the artefact;
            for ``align`` also similarity_shift (see `reliance`). For classifiers relevance_share is the
            `output_relevance` of the class that the artefact speaks for most at the start, ``target``, and there are
            the accuracies ``original`` and ``shifted`` on the task's test images.
    """

    stem = "unlearning"

    encoder: EditedEncoder
    history: pd.DataFrame

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """The history, and on which images it was measured."""
        return {"epochs; relevance and similarity on the test images": self.history}


def train_unlearning(
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
        task: images to train on, their labels (for classifiers: indices of the logits), and test images in the states
            ``original`` and ``shifted``, by which nothing is chosen.
        layer: of ``clarc``, a path as in `named_modules`.
        schedule: None is `Schedule()`.
        checkpoints: a folder in which an interrupted run finds its last epoch; other settings, images or weights find
            nothing there.
        progress: called with the number of epochs that are done and of all.

    Raises `InputError` for an unknown method, labels that do not fit the logits, a missing artefact or layer, a task
    without shifted images, and a loss that is no number.
    """
    plan = _Plan(encoder, artefact, task, method, layer)
    plan.check()
    plan = replace(plan, task=task.seen_by(encoder.preprocessing))
    schedule = schedule or Schedule()
    checkpoint = None
    if checkpoints is not None:
        settings = digest_of_json(plan.settings() | asdict(schedule))
        checkpoint = Path(checkpoints) / f"fine-tuning-{settings[:16]}.safetensors"
    weights, rows = fine_tune(encoder, plan.training(), schedule, checkpoint=checkpoint, progress=progress)
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
                "Unlearning takes an encoder, an Artefact (see chinspect.artefacts.ARTEFACTS) and a Task (see "
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
        self.task.pairs(_WATCHED)  # an error where there is nothing to measure by

    def settings(self) -> dict[str, Any]:
        """All that the weights depend on, but the schedule."""
        settings: dict[str, Any] = {"encoder": self.encoder.fingerprint, "method": self.method, "layer": self.layer}
        if self.artefact is not None:
            settings["artefact"] = images_digest([self.artefact.rgb, self.artefact.alpha]) + str(self.artefact.anchor)
        settings["labels"] = [str(label) for label in (*self.task.train_labels, *self.task.test_labels)]
        settings["images"] = [images_digest(pictures) for pictures in (self.task.train, *self.task.test.values())]
        return settings

    def training(self) -> Training:
        """The loss of the method, and its measures."""
        images = self.task.train
        if self.method == "align":
            assert self.artefact is not None
            return Training(Align(self.encoder, self.artefact, images), len(images), self.measure_encoder())
        measure = self.measure_classifier()
        labels = self.indices(self.task.train_labels)
        if self.layer is None:
            return Training(Unhans(self.encoder, self.artefact, images, labels), len(images), measure)
        assert self.artefact is not None
        change = added(self.encoder, self.layer, images, self.artefact)
        loss = Clarc(Unhans(self.encoder, None, images, labels), self.layer, change)
        return Training(loss, len(images), measure, parameters_before(self.encoder, self.layer))

    def measure_encoder(self) -> Measure:
        pairs = self.task.pairs(_WATCHED)

        def measure(module: nn.Module) -> dict[str, float]:
            relied = reliance(replace(self.encoder, module=module), pairs)
            return {"relevance_share": relied.relevance_share, "similarity_shift": relied.similarity_shift}

        return measure

    def measure_classifier(self) -> Measure:
        pairs = self.task.pairs(_WATCHED)
        test = self.task.test
        labels = self.indices(self.task.test_labels)
        gain = self.encoder.embed(test[SHIFTED]) - self.encoder.embed(test[ORIGINAL])
        target = int(gain.mean(0).argmax())

        def measure(module: nn.Module) -> dict[str, float]:
            classifier = replace(self.encoder, module=module)
            right = {state: classifier.embed(test[state]).argmax(1) == labels for state in (ORIGINAL, SHIFTED)}
            row = {state: float(hits.float().mean()) for state, hits in right.items()}
            return row | {"target": target, "relevance_share": output_relevance(classifier, target, pairs)}

        return measure

    def indices(self, labels: Sequence[Any]) -> Tensor:
        """Labels as indices of the outputs."""
        count = self.encoder.embed(self.task.train[:1]).shape[1]
        if not set(labels) <= set(range(count)):
            raise InputError(f"The labels of a classifier are indices of its outputs, 0 to {count - 1}.")
        return torch.tensor(labels, dtype=torch.int64, device=self.encoder.device)
