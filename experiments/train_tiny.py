"""Train the four bundled encoders by four objectives on the same generated scenes.

    python experiments/train_tiny.py [--encoders tiny-clip ...] [--smoke]

About 40 minutes of one thread in all; run it twice, with two encoders and one thread (OMP_NUM_THREADS=1) each. An
interrupted training goes on from its last checkpoint, to the same weights: every step has a random seed of its own.
Writes models/<name>/weights.safetensors and models/<name>/card.toml.
"""

import argparse
import hashlib
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tiny_card import write_card
from tiny_objectives import objectives
from tiny_world import LOGO, TRAINING_SCENES, TRAINING_SEED, training_scenes
from torch import Tensor, nn

from chinspect.encoders.tiny import TinyResNet

SEED = 0
BATCH = 192
STEPS = {"tiny-clip": 450, "tiny-supervised": 300, "tiny-simclr": 450, "tiny-barlowtwins": 450}
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
CHECKPOINT_EVERY = 50


class Training:
    """One encoder, its objective and its optimiser; `state` holds all that a checkpoint needs."""

    def __init__(self, objective: nn.Module, device: str) -> None:
        self.device = device
        self.encoder = TinyResNet().to(device).to(memory_format=torch.channels_last)
        self.objective = objective.to(device)
        parameters = [*self.encoder.parameters(), *self.objective.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        self.done, self.seconds = 0, 0.0

    def step(self, images: Tensor, scenes: Tensor, total: int) -> float:
        """One optimiser step on a batch, (N, 128, 128, 3) uint8 and the indices of its scenes."""
        start = time.perf_counter()
        rng = torch.Generator().manual_seed(SEED + 1_000_003 * self.done)
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min((self.done + 1) / 30, 0.5 + 0.5 * math.cos(math.pi * self.done / total))
        batch = images.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.autocast(self.device, torch.bfloat16):
            loss = self.objective(self.encoder_of_batch, batch, scenes.to(self.device), rng)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.done += 1
        self.seconds += time.perf_counter() - start
        return float(loss.detach())

    def encoder_of_batch(self, images: Tensor) -> Tensor:
        return self.encoder(images.contiguous(memory_format=torch.channels_last))

    def save(self, path: Path) -> None:
        """Everything as plain tensors; written beside the old checkpoint, then moved over it."""
        tensors = {f"encoder.{key}": value for key, value in self.encoder.state_dict().items()}
        tensors |= {f"objective.{key}": value for key, value in self.objective.state_dict().items()}
        for index, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in entry.items()}
        tensors["progress"] = torch.tensor([self.done, self.seconds], dtype=torch.float64)
        save_file({key: value.contiguous() for key, value in tensors.items()}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        tensors = load_file(path)
        self.done, self.seconds = int(tensors["progress"][0]), float(tensors["progress"][1])
        self.encoder.load_state_dict(_below("encoder.", tensors))
        self.objective.load_state_dict(_below("objective.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _below("optimizer.", tensors).items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


def train(name: str, steps: int, images: Tensor, objective: nn.Module, work: Path) -> Training:
    """Train one encoder, from its last checkpoint if there is one."""
    training = Training(objective, "cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = work / f"{name}.safetensors"
    if checkpoint.exists():
        training.load(checkpoint)
    while training.done < steps:
        scenes = batch_of(training.done, len(images))
        loss = training.step(images[scenes], scenes, steps)
        if training.done % CHECKPOINT_EVERY == 0 or training.done == steps:
            training.save(checkpoint)
            print(f"{name} step {training.done}/{steps} loss {loss:.3f} {training.seconds:.0f} s", flush=True)
    return training


def batch_of(step: int, n: int) -> Tensor:
    """The scenes of one step: every epoch is a permutation of its own."""
    size = min(BATCH, n)
    epoch, position = divmod(step, n // size)
    order = torch.from_numpy(np.random.default_rng([SEED, epoch]).permutation(n))
    return order[position * size : (position + 1) * size]


def export(training: Training, name: str, folder: Path, scenes: int) -> None:
    """Weights in half precision, and the card that describes them."""
    folder.mkdir(parents=True, exist_ok=True)
    state = training.encoder.state_dict()
    half = {key: value.half().contiguous() if value.is_floating_point() else value for key, value in state.items()}
    save_file(half, folder / "weights.safetensors")
    (folder / "weights.safetensors").chmod(0o644)
    sha256 = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    facts = {
        "data_seed": TRAINING_SEED,
        "scenes": scenes,
        "seed": SEED,
        "steps": training.done,
        "batch": BATCH,
        "seconds": round(training.seconds),
        "device": training.device,
        "logo_on_garbage_trucks": LOGO.classes["garbage truck"],
        "logo_elsewhere": LOGO.elsewhere,
    }
    write_card(folder / "card.toml", name, sha256, str(training.objective.paper), facts)


def main() -> None:
    """Train the encoders that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--work", type=Path, default=Path("build/tiny"), help="where the checkpoints go")
    parser.add_argument("--smoke", action="store_true", help="a few steps on a few scenes")
    arguments = parser.parse_args()
    world = training_scenes(256 if arguments.smoke else TRAINING_SCENES)
    pixels, captions, labels = zip(*((scene.image, scene.caption, scene.label) for scene in world), strict=True)
    images, table = torch.from_numpy(np.stack(pixels)), objectives(captions, labels)
    arguments.work.mkdir(parents=True, exist_ok=True)
    for name in arguments.encoders:
        torch.manual_seed(SEED)
        steps = 3 if arguments.smoke else STEPS[name]
        training = train(name, steps, images, table[name](), arguments.work)
        export(training, name, arguments.models / name, len(images))


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


if __name__ == "__main__":
    main()
