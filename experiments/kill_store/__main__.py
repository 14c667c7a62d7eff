"""Kill builds of a store at random moments, again and again, and compare what is left with a run that nobody disturbed.

Four processes write the same store, each shard some 100 kB. At random moments one of them is killed (SIGKILL) and
another one started in its place. Once all kills are done, one process completes the store, everything is read, and all
files are compared with those of an undisturbed run: none may be missing, half, double or different.

    python experiments/kill_store [--kills 20] [--writers 4] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
from PIL import Image

from chinspect.execute import Store, map_images
from experiments.study import option, read_options

SHARDS = 3000
SHAPE = (8, 64, 50)
OPTIONS = (
    option("kills", 20),
    option("writers", 4),
    option("write", None, argparse.SUPPRESS, type=Path),  # what the writers are started with
)


@dataclass(frozen=True)
class Noise:
    """Random arrays, the same for the same shard."""

    device: str = "cpu"

    @property
    def description(self) -> dict[str, Any]:
        """What decides the result."""
        return {"kind": "noise", "shape": list(SHAPE)}

    def __call__(self, pictures: list[Image.Image], indices: range) -> dict[str, np.ndarray]:  # noqa: ARG002
        """About 2 ms of work, and 100 kB."""
        return {"values": np.random.default_rng(indices.start).normal(size=SHAPE).astype(np.float32)}


@dataclass(frozen=True)
class Pictures:
    """As many black pictures as there are rows of noise."""

    @property
    def description(self) -> dict[str, Any]:
        """How many they are."""
        return {"pictures": len(self)}

    def __len__(self) -> int:
        return SHARDS * SHAPE[0]

    def __getitem__(self, index: int) -> Image.Image:
        return Image.new("RGB", (8, 8))


def build(path: Path) -> None:
    """Writes what the store lacks."""
    map_images(Noise(), Pictures(), path, shard_size=SHAPE[0], strict=True)


def main() -> None:
    """Kills, compares, and prints one row a kill."""
    options = read_options(__doc__, OPTIONS, seed=0)
    if options.write is not None:
        build(options.write)
        return
    with tempfile.TemporaryDirectory() as folder:
        disturbed = Path(folder) / "disturbed"
        undisturbed = Path(folder) / "undisturbed"
        print(pd.DataFrame(kill(disturbed, options.kills, options.writers, random.Random(options.seed))).to_string())
        print(f"{len(Store.open(disturbed).missing())} of {SHARDS} shards were left to the last process")
        build(disturbed)
        build(undisturbed)
        values, expected = (Store.open(path).arrays("values") for path in (disturbed, undisturbed))
        assert np.array_equal(values, expected), "the values differ"
        differences = dict(contents(disturbed).items() ^ contents(undisturbed).items())
        assert not differences, f"the files differ: {', '.join(differences)}"
    print(f"{options.kills} kills: {SHARDS} shards, all equal to an undisturbed run, and no other file")


def kill(path: Path, kills: int, count: int, chance: random.Random) -> list[dict[str, Any]]:
    """Kills one writer after the other at random moments; what lay there after each kill."""
    writers = [start(path) for _ in range(count)]
    rows = []
    for _ in range(kills):
        wait_for_a_writer(path)
        seconds = chance.uniform(0.0, 0.5)
        time.sleep(seconds)
        victim = chance.randrange(count)
        running = writers[victim].poll() is None
        writers[victim].send_signal(signal.SIGKILL)
        writers[victim].wait()
        rows.append(
            {
                "seconds waited": round(seconds, 3),
                "it was running": running,
                "shards": len(list(path.glob("shards/*.safetensors"))),
                "temporary files": len(list(path.glob("shards/.*.part"))),
            }
        )
        writers[victim] = start(path)
    for writer in writers:
        writer.kill()
        writer.wait()
    return rows


def start(path: Path) -> subprocess.Popen[bytes]:
    """One more writer."""
    return subprocess.Popen([sys.executable, __file__, "--write", str(path)])


def wait_for_a_writer(path: Path) -> None:
    """Until some writer writes."""
    before = len(list(path.glob("shards/*.safetensors")))
    while len(list(path.glob("shards/*.safetensors"))) == before < SHARDS:
        time.sleep(0.005)


def contents(path: Path) -> dict[str, str]:
    """sha256 of each file by its name."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


if __name__ == "__main__":
    main()
