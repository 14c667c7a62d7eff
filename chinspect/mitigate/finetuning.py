"""Fine-tuning in epochs, which an interrupted run resumes to the same weights.

The network stays in evaluation mode: batch statistics are those that it was trained with, and nothing is dropped, so
that what changes is due to the loss. Each epoch has random numbers of its own, so that a resumed run draws what an
uninterrupted one draws.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.files import output_folder, replacing

Loss = Callable[[nn.Module, Sequence[int], np.random.Generator], Tensor]
"""The loss of a batch, from the network, the places of its images, and the random numbers of the epoch."""
Measure = Callable[[nn.Module], Mapping[str, float]]
Progress = Callable[[int, int], None]
_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        epochs: passes over the images.
        learning_rate: of AdamW.
        batch_size: images a step.
        seed: of order and places.

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


@dataclass
class _State:
    """All that a checkpoint needs."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    trained: list[nn.Parameter]
    rows: list[dict[str, float]]

    def save(self, path: Path) -> None:
        tensors = {f"module.{key}": value for key, value in self.module.state_dict().items()}
        for index, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in entry.items()}
        output_folder(path.parent)
        with replacing(path) as temporary:
            save_file(
                {key: value.contiguous() for key, value in tensors.items()}, temporary, {"rows": json.dumps(self.rows)}
            )

    def load(self, path: Path) -> None:
        try:
            with safe_open(path, framework="pt") as file:
                rows = json.loads(file.metadata()["rows"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, no mapping
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"The checkpoint {str(path)!r} cannot be read ({error}): remove it.") from error
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                entries.setdefault(int(index), {})[name] = value
        weights = {key.removeprefix("module."): value for key, value in tensors.items() if key.startswith("module.")}
        self.module.load_state_dict(weights)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": entries})
        self.rows = rows


def fine_tune(
    encoder: Encoder,
    loss: Loss,
    n: int,
    schedule: Schedule,
    measure: Measure,
    *,
    frozen: Collection[str] = (),
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Train a copy of the encoder's network.

    Args:
        n: how many images there are.
        measure: of the network before the first epoch and after each.
        frozen: names of parameters that stay.
        checkpoint: a file to resume from and to write to after each epoch; what identifies the run is in its name.
        progress: called with the number of epochs that are done and of all.

    Returns:
        The weights on the CPU, and one row an epoch: epoch, loss (nan before the first) and the measures.

    Raises `InputError` if the loss is no number, or the checkpoint is damaged.
    """
    module = copy.deepcopy(encoder.module).eval()
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in frozen)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=schedule.learning_rate, weight_decay=0)
    state = _State(module, optimizer, trained, [])
    if checkpoint is not None and checkpoint.is_file():
        state.load(checkpoint)
    else:
        state.rows.append({"epoch": 0, "loss": math.nan, **_measured(state, measure)})
    for epoch in range(len(state.rows), schedule.epochs + 1):
        mean = _epoch(state, loss, n, schedule, epoch)
        state.rows.append({"epoch": epoch, "loss": mean, **_measured(state, measure)})
        if checkpoint is not None:
            state.save(checkpoint)
        if progress is not None:
            progress(epoch, schedule.epochs)
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}, state.rows


def checkpoint_file(folder: str | Path, settings: Mapping[str, Any]) -> Path:
    """Where a run with such settings keeps its state: other settings have another file."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return Path(folder) / f"fine-tuning-{digest[:_DIGITS]}.safetensors"


def _measured(state: _State, measure: Measure) -> Mapping[str, float]:
    """Measures of the network as everybody else sees it: its parameters ask for no gradient."""
    state.module.requires_grad_(False)
    try:
        return measure(state.module)
    finally:
        for parameter in state.trained:
            parameter.requires_grad_(True)


def _epoch(state: _State, loss: Loss, n: int, schedule: Schedule, epoch: int) -> float:
    """One pass over the images in random order; the mean loss."""
    rng = np.random.default_rng([schedule.seed, epoch])
    order, values = rng.permutation(n).tolist(), []
    for start in range(0, n, schedule.batch_size):
        value = loss(state.module, order[start : start + schedule.batch_size], rng)
        state.optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        values.append(float(value.detach()))
    if not math.isfinite(sum(values)):
        raise InputError(f"The loss is no number after epoch {epoch}: choose a smaller learning rate.")
    return sum(values) / len(values)
