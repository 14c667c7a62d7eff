"""Training of small encoders: seeded steps, checkpoints from which the same weights follow, the finished folder.

The card in that folder says what an encoder is, how it was trained, and what was measured on it.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from chinspect.encoders.tiny import TinyResNet
from chinspect.files import replacing

OBJECTIVES = {
    "clip": "contrast with captions (CLIP)",
    "simclr": "contrast of two views (SimCLR)",
    "barlowtwins": "redundancy reduction between two views (Barlow Twins)",
    "supervised": "cross-entropy on the class",
}
SEED = 0
BATCH = 192
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
CHECKPOINT_EVERY = 50
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Description:
    """What a card says before anything is trained."""

    name: str
    kind: str
    """Of its objective, one of `OBJECTIVES`."""
    data: str
    """What it is trained on, in words."""
    size: int
    source: str
    license: str


class Training:
    """One encoder, its objective and its optimiser; a checkpoint holds all of it."""

    def __init__(self, objective: nn.Module, device: str) -> None:
        self.device = device
        self.encoder = TinyResNet().to(device).to(memory_format=torch.channels_last)
        self.objective = objective.to(device)
        parameters = [*self.encoder.parameters(), *self.objective.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        self.done = 0
        self.seconds = 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """What a card says of every training."""
        numbers = {"seed": SEED, "steps": self.done, "batch": BATCH, "seconds": round(self.seconds)}
        return numbers | {"device": self.device}

    def step(self, images: Tensor, rows: Tensor, total: int) -> float:
        """One optimiser step on a batch, (N, H, W, 3) uint8 and its rows in the data set."""
        start = time.perf_counter()
        rng = torch.Generator().manual_seed(SEED + 1_000_003 * self.done)  # of the step, so that it can be resumed
        # 30 steps of warm-up, then half a cosine to zero
        rate = LEARNING_RATE * min((self.done + 1) / 30, 0.5 + 0.5 * math.cos(math.pi * self.done / total))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = images.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.autocast(self.device, torch.bfloat16):
            loss = self.objective(self.encoder_of_batch, batch, rows.to(self.device), rng)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.done += 1
        self.seconds += time.perf_counter() - start
        return float(loss.detach())

    def encoder_of_batch(self, images: Tensor) -> Tensor:
        return self.encoder(images.contiguous(memory_format=torch.channels_last))

    def save(self, path: Path) -> None:
        """Everything as plain tensors."""
        tensors = {f"encoder.{key}": value for key, value in self.encoder.state_dict().items()}
        tensors |= {f"objective.{key}": value for key, value in self.objective.state_dict().items()}
        for index, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in entry.items()}
        tensors["progress"] = torch.tensor([self.done, self.seconds], dtype=torch.float64)
        with replacing(path) as temporary:
            save_file({key: value.contiguous() for key, value in tensors.items()}, temporary)

    def load(self, path: Path) -> None:
        tensors = load_file(path)
        self.done = int(tensors["progress"][0])
        self.seconds = float(tensors["progress"][1])
        self.encoder.load_state_dict(_below("encoder.", tensors))
        self.objective.load_state_dict(_below("objective.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _below("optimizer.", tensors).items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


def train(
    name: str, steps: int, images: Tensor, objective: nn.Module, checkpoint: Path, every: int = CHECKPOINT_EVERY
) -> Training:
    """Train one encoder on images (N, H, W, 3), uint8, from its last checkpoint if there is one."""
    training = Training(objective, "cuda" if torch.cuda.is_available() else "cpu")
    if checkpoint.exists():
        training.load(checkpoint)
    while training.done < steps:
        rows = batch_of(training.done, len(images))
        loss = training.step(images[rows], rows, steps)
        if training.done % every == 0 or training.done == steps:
            training.save(checkpoint)
            print(f"{name} step {training.done}/{steps} loss {loss:.3f} {training.seconds:.0f} s", flush=True)
    return training


def batch_of(step: int, n: int) -> Tensor:
    """The rows of one step: every epoch is a permutation of its own."""
    size = min(BATCH, n)
    epoch, position = divmod(step, n // size)
    order = torch.from_numpy(np.random.default_rng([SEED, epoch]).permutation(n))
    return order[position * size : (position + 1) * size]


def export(training: Training, folder: Path, description: Description, facts: dict[str, Any]) -> None:
    """Weights in half precision, and the card that describes them."""
    folder.mkdir(parents=True, exist_ok=True)
    state = training.encoder.state_dict()
    half = {key: value.half().contiguous() if value.is_floating_point() else value for key, value in state.items()}
    with replacing(folder / WEIGHTS) as temporary:
        save_file(half, temporary)
        sha256 = hashlib.sha256(temporary.read_bytes()).hexdigest()
    _write(folder / "card.toml", _card(description, sha256, str(training.objective.paper), facts))


def _card(of: Description, sha256: str, paper: str, training: dict[str, Any]) -> dict[str, Any]:
    """Of a freshly trained encoder, still without measurements."""
    return {
        "name": of.name,
        "title": f"Small residual network trained on {of.data} by {OBJECTIVES[of.kind]}",
        "architecture": "tiny-resnet",
        "source": of.source,
        "file": "weights.safetensors",
        "sha256": sha256,
        "license": of.license,
        "embedding": "global average pool of the last stage",
        "dimension": 256,
        "paper": paper,
        "note": f"A demonstrator trained on {of.data} in minutes; not a model for real use.",
        "preprocessing": {
            "size": of.size,
            "resize": "shortest",
            "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
        "training": {"objective": OBJECTIVES[of.kind], **training},
    }


def write_measurements(path: Path, measured: dict[str, Any]) -> None:
    """Replaces the [measured] table of a card."""
    _write(path, tomllib.loads(path.read_text(encoding="utf-8")) | {"measured": measured})


def _write(path: Path, card: dict[str, Any]) -> None:
    """As TOML, whose texts, numbers and lists look as in JSON."""
    lines = _lines({key: value for key, value in card.items() if not isinstance(value, dict)})
    for name, table in card.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *_lines(table)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
