"""The push of patches against the floor, on networks of several kinds, in one run.

The floor is as many plain forward passes as there are patches, in the faster memory format and the faster of two batch
sizes. Both are measured as time of the processor, in turn, and the least of some runs counts: the ratio hardly depends
on the machine or on what else it does. Weights are random, batch norms calibrated (speed does not depend on them).
Prints one line a network and map.

    python experiments/benchmarks/engine.py [--networks resnet18,...] [--maps epsilon_plus_flat,rescale] [--grid 14]
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a second thread mostly waits where others use the machine
sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import timm
import torch
from torch import Tensor, nn

from chinspect.relevance import patches, relevance_map, trace
from experiments.study import option, read_options

NETWORKS = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "regnet": "regnety_004",
    "mobilenetv3-small": "mobilenetv3_small_100",
    "efficientnet-lite0": "tf_efficientnet_lite0",
    "convnext-atto": "convnext_atto",
    "vit-s16": "vit_small_patch16_224",
}
SIDE = 224
OPTIONS = (option("networks", ",".join(NETWORKS)), option("maps", "epsilon_plus_flat,rescale"), option("grid", 14))
REPEATS = 3
BATCHES = (4, 28)


def main() -> None:
    """Times everything and prints the table."""
    options = read_options(__doc__, OPTIONS)
    warnings.simplefilter("ignore")  # random weights do not conserve relevance
    torch.set_num_threads(1)
    count = options.grid**2
    print(
        f"{'network':20s} {'map':18s} {'floor, ms':>9s} {'push, s':>8s} {'ratio':>6s} {'ratio to batches of 28':>23s}"
    )
    for name in options.networks.split(","):
        torch.manual_seed(0)
        model = network(name)
        x = torch.randn(1, 3, SIDE, SIDE)
        graph = trace(model, x)
        for kind in options.maps.split(","):
            mapped = relevance_map(graph, x, kind)
            floors: dict[int, float] = dict.fromkeys(BATCHES, torch.inf)
            pushed = torch.inf
            for _ in range(REPEATS):
                for batch in BATCHES:
                    floors[batch] = min(floors[batch], forward_seconds(model, x, batch))
                pushed = min(pushed, seconds(lambda mapped=mapped: mapped.push(patches(SIDE // options.grid))))
            floor = min(floors.values())
            ratios = [pushed / (count * value) for value in (floor, floors[BATCHES[-1]])]
            line = f"{name:20s} {kind:18s} {1000 * floor:9.2f} {pushed:8.2f} {ratios[0]:6.2f} {ratios[1]:17.2f}"
            print(line, flush=True)


def network(name: str) -> nn.Module:
    """With random weights, as an encoder; its batch norms calibrated on noise."""
    model = timm.create_model(NETWORKS[name], num_classes=0)
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        model.train()
        with torch.no_grad():
            for _ in range(2):
                model(torch.randn(4, 3, SIDE // 2, SIDE // 2))
    return model.eval().requires_grad_(False)


def forward_seconds(model: nn.Module, x: Tensor, batch: int) -> float:
    """A plain forward pass in the faster memory format, in a batch: seconds an image."""
    times = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        formatted = model.to(memory_format=memory_format)
        images = x.expand(batch, -1, -1, -1).contiguous(memory_format=memory_format)
        with torch.inference_mode():
            times.append(seconds(lambda formatted=formatted, images=images: formatted(images)) / batch)
    model.to(memory_format=torch.contiguous_format)
    return min(times)


def seconds(function: Callable[[], object]) -> float:
    """Time of the processor."""
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    main()
