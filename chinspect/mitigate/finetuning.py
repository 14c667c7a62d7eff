"""Fine-tuning in epochs, which an interrupted run resumes to the same weights.

The network stays in evaluation mode: batch statistics are those that it was trained with, and nothing is dropped, so
that what changes is due to the loss. Each epoch has random numbers of its own, so that a resumed run draws what an
uninterrupted one draws. What a loss remembers from batch to batch is a buffer of the network, and resumed with it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from chinspect.digests import digest
from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.mitigate.resumption import Rows, Weights, read_state, weights_of, write_state
from chinspect.readouts import Pictures

Loss = Callable[[nn.Module, Sequence[int], np.random.Generator], Tensor]
"""The loss of a batch, from the network, the indices of its images, and the random numbers of the epoch."""
Measure = Callable[[nn.Module], Mapping[str, float]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        epochs: passes over the images.
        learning_rate: of AdamW.
        batch_size: images a step.
        seed: of the order of images, and of what a loss draws.

    Raises `InputError` for values that are not positive; a seed may be 0.
    """

    epochs: int = 10
    learning_rate: float = 1e-4
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, and is {getattr(self, name)!r}.")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate must be a positive number, and is {self.learning_rate!r}.")


@dataclass(frozen=True, eq=False)
class Training:
    """What is trained for, and what is watched.

    Attributes:
        loss: of a batch.
        images: their number.
        measure: of the network before the first epoch and after each.
        frozen: names of parameters that stay.
        draws: (images,), in proportion to which images are drawn, with replacement, as many an epoch as there are; by
            default each is drawn once.
        select: measures, the largest value of the first of which selects an epoch; of equals the next decides, then the
            earlier one wins. By default it is the last epoch.
    """

    loss: Loss
    images: int
    measure: Measure
    frozen: Collection[str] = ()
    draws: NDArray[np.float64] | None = None
    select: tuple[str, ...] = ()


def fine_tune(
    encoder: Encoder,
    training: Training,
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Weights, Rows]:
    """Train a copy of the encoder's network.

    Args:
        checkpoint: a safetensors file to resume from and to write to after each epoch; what identifies the run is in
            its name.
        progress: called with the number of epochs that are done and of all.

    Returns:
        The weights of the selected epoch on the CPU, and one row an epoch: epoch, loss (nan before the first) and the
        measures.

    Raises `InputError` if the loss is no number, or the checkpoint is damaged.
    """
    module = copy.deepcopy(encoder.module).eval()
    trained = [parameter for name, parameter in module.named_parameters() if name not in training.frozen]
    # no decay: weights that the loss does not ask to change stay as they were
    optimizer = torch.optim.AdamW(trained, lr=schedule.learning_rate, weight_decay=0)
    module.requires_grad_(False)
    if checkpoint is not None and checkpoint.is_file():
        rows, selected = read_state(checkpoint, module, optimizer)
    else:
        rows = [{"epoch": 0, "loss": math.nan, **training.measure(module)}]
        selected = {}
    for epoch in range(len(rows), schedule.epochs + 1):
        for parameter in trained:
            parameter.requires_grad_(True)
        mean = _epoch(module, optimizer, training, schedule, epoch)
        module.requires_grad_(False)  # measures take the network as everybody else sees it
        rows.append({"epoch": epoch, "loss": mean, **training.measure(module)})
        if training.select and selected_epoch(rows, training.select) == epoch:
            selected = weights_of(module)
        if checkpoint is not None:
            write_state(checkpoint, module, optimizer, rows, selected)
        if progress is not None:
            progress(epoch, schedule.epochs)
    return selected or weights_of(module), rows


def selected_epoch(rows: Rows, measures: Sequence[str]) -> int:
    """The epoch, from 1 on, with the largest value of a measure; of equals the next decides, then the earlier wins."""
    return int(max(rows[1:], key=lambda row: tuple(row[measure] for measure in measures))["epoch"])


def images_digest(images: Sequence[Image.Image] | Sequence[NDArray[Any]]) -> str:
    """64 hexadecimal digits over images: of files over names and contents, else over shapes, types and values."""
    if isinstance(images, Pictures):
        return images.digest
    arrays = [np.asarray(image) for image in images]
    return digest(*(part for array in arrays for part in (repr((array.shape, array.dtype.str)), array)))


def _epoch(
    module: nn.Module, optimizer: torch.optim.Optimizer, training: Training, schedule: Schedule, epoch: int
) -> float:
    """One pass over the images in random order, or as many draws of them; the mean loss."""
    rng = np.random.default_rng([schedule.seed, epoch])
    if training.draws is None:
        order = rng.permutation(training.images).tolist()
    else:
        order = rng.choice(training.images, training.images, p=training.draws / training.draws.sum()).tolist()
    values = []
    for start in range(0, len(order), schedule.batch_size):
        value = training.loss(module, order[start : start + schedule.batch_size], rng)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append(value.item())
    if not math.isfinite(sum(values)):
        raise InputError(f"The loss is no number after epoch {epoch}: choose a smaller learning rate.")
    return sum(values) / len(values)
