"""What `chinspect.mitigate.robust` trains: network and head, images to train on, and images to select an epoch by."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from chinspect.digests import digest_of_json
from chinspect.encoders import EditedEncoder, Encoder
from chinspect.errors import InputError
from chinspect.groups import Groups
from chinspect.mitigate.finetuning import Measure, Progress, Schedule, Training, fine_tune, images_digest
from chinspect.mitigate.losses import Images, Unhans
from chinspect.mitigate.resumption import Rows, Weights

TRAININGS = ("erm", "jtt", "groupdro")
"""What an entire network is trained by, see `chinspect.mitigate.robust`."""
SELECT = ("worst", "mean")
"""Measures by which an epoch is selected: of a small group on few images several epochs are equally right."""
_HELD_OUT = 0.25  # of the images of each class, to select an epoch by


class Classifying(nn.Module):
    """An encoder's network and a head: (N, 3, S, S) to logits (N, c). What Group DRO remembers is a buffer."""

    mean: Tensor
    scale: Tensor
    group_weights: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, scale: Tensor, classes: int, groups: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(len(mean), classes)
        nn.init.zeros_(self.head.weight)  # no class is preferred, and nothing is drawn
        nn.init.zeros_(self.head.bias)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.register_buffer("group_weights", torch.full((groups,), 1 / groups))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head((self.network(x) - self.mean) / self.scale)
        return logits


@dataclass(frozen=True)
class _Some(Sequence[Image.Image]):
    """Some of the images, read when they are asked for; a slice is a list of them."""

    images: Images
    indices: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        own = self.indices[index]
        return [self.images[int(i)] for i in own] if isinstance(index, slice) else self.images[int(own)]


@dataclass(frozen=True, eq=False)
class Plan:
    """What is trained, on what, and what it is selected by."""

    encoder: Encoder
    images: Images
    groups: Groups
    method: str
    schedule: Schedule
    checkpoints: str | Path | None
    progress: Progress | None

    @cached_property
    def classes(self) -> NDArray[Any]:
        """The classes that occur, sorted."""
        return np.unique(self.groups.labels)

    @cached_property
    def labels(self) -> NDArray[np.intp]:
        """(N,), the index of the class of each image."""
        return np.searchsorted(self.classes, self.groups.labels)

    def check(self, factor: float, eta: float, adjustment: float) -> None:
        if self.method not in TRAININGS:
            raise InputError(f"an entire network is trained by {', '.join(TRAININGS)}, not by {self.method!r}.")
        if isinstance(self.encoder, EditedEncoder):
            raise InputError("An edited encoder cannot be trained: train its base, then edit the result.")
        if self.encoder.dtype != torch.float32:
            raise InputError(
                f"{self.encoder.name!r} computes in {self.encoder.dtype}: training takes single precision."
            )
        if len(self.images) != len(self.labels):
            raise InputError(f"there must be one group an image, not {len(self.labels)} for {len(self.images)}.")
        if len(self.classes) < 2 or np.bincount(self.labels).min() < 2:
            raise InputError("training takes two classes, and two images of each: one is held out.")
        if not (factor >= 1 and eta > 0 and adjustment >= 0):
            values = f"{factor!r}, {eta!r}, {adjustment!r}"
            raise InputError(f"factor is 1 or more, eta more than 0, adjustment 0 or more, and they are {values}.")

    @cached_property
    def held_out(self) -> NDArray[np.bool_]:
        """(N,): a quarter of each class, and one image at least. Groups have no say, so that all trainings agree."""
        rng = np.random.default_rng(self.schedule.seed)
        held_out = np.zeros(len(self.labels), dtype=bool)
        for label in range(len(self.classes)):
            members = rng.permutation(np.flatnonzero(self.labels == label))
            held_out[members[: max(round(_HELD_OUT * len(members)), 1)]] = True
        return held_out

    @cached_property
    def train_images(self) -> _Some:
        return _Some(self.images, np.flatnonzero(~self.held_out))

    @cached_property
    def held_out_images(self) -> _Some:
        return _Some(self.images, np.flatnonzero(self.held_out))

    @cached_property
    def start(self) -> Encoder:
        """The encoder with a head that says nothing yet."""
        rows = self.encoder.embed(self.train_images)
        spread = rows.std(0, correction=0)
        scale = torch.where(spread > 0, spread, torch.ones_like(spread))
        counts = len(self.classes), len(self.groups.names)
        module = Classifying(self.encoder.module, rows.mean(0), scale, *counts).to(self.encoder.device)
        return replace(self.encoder, module=module.eval().requires_grad_(False))

    def targets(self) -> Tensor:
        """Indices of the classes of the training images."""
        return torch.from_numpy(self.labels[~self.held_out]).to(self.encoder.device)

    def own_groups(self) -> NDArray[np.int64]:
        """The group of each training image."""
        return self.groups.ids[~self.held_out]

    def sizes(self) -> Tensor:
        """Training images of each group; a group that is held out entirely counts as one, and never occurs."""
        return torch.from_numpy(np.bincount(self.own_groups(), minlength=len(self.groups.names)).clip(min=1))

    def plain_training(self) -> Training:
        loss = Unhans(self.encoder, None, self.train_images, self.targets())
        return Training(loss, len(self.train_images), self.measure(), select=SELECT)

    def measure(self) -> Measure:
        labels, ids = self.labels[self.held_out], self.groups.ids[self.held_out]
        sizes = np.bincount(ids)

        def measure(module: nn.Module) -> dict[str, float]:
            right = self.predicted(module, self.held_out_images) == labels
            rates = np.bincount(ids, right)[sizes > 0] / sizes[sizes > 0]
            return {"worst": float(rates.min()), "mean": float(right.mean())}

        return measure

    def predicted(self, module: nn.Module, images: Images) -> NDArray[np.int64]:
        found: NDArray[np.int64] = replace(self.encoder, module=module).embed(images).argmax(1).cpu().numpy()
        return found

    def errors_after(self, first: Schedule) -> NDArray[np.bool_]:
        """Which training images a first training gets wrong, after its last epoch."""
        training = replace(self.plain_training(), select=(), measure=lambda _: {})
        weights, _ = self.run(training, first, {"phase": "first"})
        module = copy.deepcopy(self.start.module)
        module.load_state_dict(weights)
        own = self.labels[~self.held_out]
        wrong: NDArray[np.bool_] = self.predicted(module, self.train_images) != own
        if not wrong.any():
            raise InputError(
                "the first training of jtt gets no image wrong, so that none counts more: let it learn less, with "
                f"first=Schedule(epochs=1, learning_rate=...) below {first.learning_rate:g}, or train by groupdro."
            )
        if (~wrong).sum() <= np.bincount(own).max():  # as many are right where all are called the commonest class
            raise InputError(
                f"the first training of jtt gets {wrong.sum()} of {len(wrong)} images wrong, as by guessing: let it "
                f"learn more, with first=Schedule(...) above {first.learning_rate:g} or {first.epochs} epochs, or "
                "train by groupdro."
            )
        return wrong

    def run(self, training: Training, schedule: Schedule, options: Mapping[str, Any]) -> tuple[Weights, Rows]:
        checkpoint = None
        if self.checkpoints is not None:
            settings = digest_of_json(self.settings() | asdict(schedule) | {"options": dict(options)})
            checkpoint = Path(self.checkpoints) / f"robust-{settings[:16]}.safetensors"
        return fine_tune(self.start, training, schedule, checkpoint=checkpoint, progress=self.progress)

    def settings(self) -> dict[str, Any]:
        """All that the weights depend on, but the schedule and the options of the method."""
        return {
            "encoder": self.encoder.fingerprint,
            "method": self.method,
            "labels": [str(label) for label in self.groups.labels],
            "groups": self.groups.ids.tolist(),
            "held_out": np.flatnonzero(self.held_out).tolist(),
            "images": images_digest(self.images),
        }
