"""Functions for the tests: they take no model, and are imported by name in other processes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chinspect.digests import digest_of_file
from chinspect.errors import InputError
from chinspect.execute import map_images


@dataclass(frozen=True)
class Pictures:
    """Black pictures."""

    count: int

    @property
    def description(self) -> dict[str, Any]:
        return {"pictures": self.count}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Image.Image:
        return Image.new("RGB", (8, 8))


@dataclass(frozen=True)
class Noise:
    """Arrays of numbers that depend on seed and shard only."""

    seed: int = 0
    n_shards: int = 12
    rows: int = 5
    seconds: float = field(default=0.0, compare=False)
    device: str = "cpu"

    @property
    def description(self) -> dict[str, Any]:
        return {"seed": self.seed, "rows": self.rows}

    def __call__(self, pictures: list[Image.Image], indices: range) -> dict[str, np.ndarray]:
        return self.run_shard(indices.start // self.rows)

    def run_shard(self, shard: int) -> dict[str, np.ndarray]:
        time.sleep(self.seconds)
        generator = np.random.default_rng([self.seed, shard])
        values = generator.normal(size=(self.rows, 4, 3)).astype(np.float32)
        return {"values": values, "shard": np.full(self.rows, shard)}


@dataclass(frozen=True)
class Mortal(Noise):
    """Kills its process in one shard, as often as it is told: a marker a time lies in a folder."""

    markers: str = ""
    deadly: int = 3
    deaths: int = 1

    def run_shard(self, shard: int) -> dict[str, np.ndarray]:
        marker = Path(self.markers) / f"{len(os.listdir(self.markers))}-{os.getpid()}"
        if shard == self.deadly and len(os.listdir(self.markers)) < self.deaths:
            marker.touch()
            os._exit(1)
        return super().run_shard(shard)


@dataclass(frozen=True)
class Faulty(Noise):
    """Raises in one shard."""

    kind: str = "input"

    def run_shard(self, shard: int) -> dict[str, np.ndarray]:
        if shard == 7:
            raise InputError("shard 7 cannot be read.") if self.kind == "input" else ZeroDivisionError("by design")
        return super().run_shard(shard)


@dataclass(frozen=True)
class Threads(Noise):
    """Says how many threads torch uses where it runs."""

    def run_shard(self, shard: int) -> dict[str, np.ndarray]:
        import torch

        return {"threads": np.array([torch.get_num_threads()])}


def run(function: Noise, path: Path, **options: Any) -> Any:
    """The store of a function, with ``rows`` pictures a shard."""
    pictures = Pictures(function.n_shards * function.rows)
    return map_images(function, pictures, path, shard_size=function.rows, strict=True, **options)


def contents(path: Path) -> dict[str, str]:
    """sha256 of every file of a store, by its name: what is there twice or half would show."""
    return {
        file.relative_to(path).as_posix(): digest_of_file(file) for file in sorted(path.rglob("*")) if file.is_file()
    }
