"""What an encoder's pass takes beside the same network as its library hands it over, in one run.

Processor milliseconds an image, one thread, of 64 images that are already in memory:

* ``library``: the module in PyTorch's own layout of channels, by batches of 32, as a data loader would;
* ``floor``: the fastest of both layouts and batches of 4, 8, 16 and 32, in which nothing is read or checked;
* ``encoder``: `Encoder.respond`, which prepares pixels and checks embeddings, too.

``difference`` is the largest of embeddings in both layouts, over the largest embedding. Weights are those of the zoo,
or random (timm:NAME).

    python experiments/benchmarks/embed.py [--networks efficientnet-lite0 tiny-clip timm:resnet50 ...]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a second thread mostly waits where others use the machine
sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import torch
from torch import Tensor, nn

from chinspect.encoders import Encoder, load_encoder
from chinspect.encoders.cards import Card
from chinspect.encoders.libraries import card_of, encoder_of
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options

OPTIONS = (option("networks", ["efficientnet-lite0", "tiny-clip", "timm:resnet50", "timm:vit_small_patch16_224"]),)
COUNT = 64
BATCHES = (4, 8, 16, 32)
REPEATS = 2


def main() -> None:
    """Times everything and prints the table."""
    options = read_options(__doc__, OPTIONS)
    torch.set_num_threads(1)
    print(
        f"{'network':28s} {'library':>8s} {'floor':>8s} {'encoder':>8s} {'library / encoder':>18s} {'difference':>11s}"
    )
    for name in options.networks:
        encoder = network(name)
        side = encoder.preprocessing.size
        images = list(np.random.default_rng(0).integers(0, 256, (COUNT, side, side, 3), dtype=np.uint8))
        first, last = torch.contiguous_format, torch.channels_last
        x = encoder.inputs(images)
        results = {
            (layout, batch): milliseconds(encoder.module.to(memory_format=layout), x.to(memory_format=layout), batch)
            for layout in (first, last)
            for batch in BATCHES
        }
        (library, own), (_, other) = results[first, BATCHES[-1]], results[last, BATCHES[-1]]
        floor = min(took for took, _ in results.values())
        ours = timed(lambda: encoder.respond(images), REPEATS, time.process_time)[0] * 1000 / COUNT  # noqa: B023
        difference = float((own - other).abs().max() / own.abs().max())
        print(
            f"{name:28s} {library:8.1f} {floor:8.1f} {ours:8.1f} {library / ours:18.2f} {difference:11.1e}", flush=True
        )


def network(name: str) -> Encoder:
    """Of the zoo with its weights, of a library with random ones."""
    if not name.startswith("timm:"):
        return load_encoder(name)
    card: Card = card_of(name)
    return encoder_of(card, None)


def milliseconds(module: nn.Module, x: Tensor, batch: int) -> tuple[float, Tensor]:
    """Of an image, and the outputs."""

    def passed() -> Tensor:
        with torch.inference_mode():
            return torch.cat([module(part) for part in x.split(batch)])

    took, outputs = timed(passed, REPEATS, time.process_time)
    return took * 1000 / len(x), outputs


if __name__ == "__main__":
    main()
