"""BiLRP on a ResNet-50: push against Zennit one neuron at a time, and against Zennit in batches, in one run.

Random weights with calibrated batch norms (speed does not depend on them), 224 px, D = 2048, the default composite on
both sides (epsilon-plus-flat, biases out of the denominators). Zennit is timed on some neurons and scaled to all 2048;
its maps are compared with the push's. Prints one JSON document.

    python experiments/benchmarks/bilrp.py [--threads 2] [--device cpu] [--pairs 1000]
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.composites import EpsilonPlusFlat
from zennit.torchvision import ResNetCanonizer

from chinspect.encoders import Encoder, read_card
from chinspect.images import Preprocessing
from chinspect.relevance import Partition, patches, relevance_map, trace
from chinspect.similarity import SimilarityIndex
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options

NEURONS = 8
GRIDS = {7: 32, 14: 16, 28: 8}
"""Patches along the side: pixels along the side of one."""
OPTIONS = (option("threads", 2), option("device", "cpu"), option("pairs", 1000))
PREPROCESSING = Preprocessing(224, "squash", "bilinear", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def main() -> None:
    """Times everything and prints the document."""
    options = read_options(__doc__, OPTIONS)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = resnet50().to(options.device)
    x = torch.randn(1, 3, 224, 224, device=options.device)
    graph = trace(model, x)
    pushes = {}
    for grid, size in GRIDS.items():
        seconds, table = timed(
            lambda size=size: relevance_map(graph, x).push(patches(size)), repeat=2 if grid < 28 else 1
        )
        pushes[grid] = {"seconds": seconds, "table": table}
    memory = peak_memory(options.device)
    forward = time_forward(model, x)
    loop, maps = time_zennit(model, x)
    batched = {
        "batch of 4 images": time_zennit_batched(model, x, 4),
        "batch of 16 images": time_zennit_batched(model, x, 16),
        "batch of 16 gradients": time_zennit_batched_gradients(model, x, 16),
    }
    best = min(batched.values())
    result = {
        "device": options.device,
        "threads": options.threads,
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "forward_seconds_an_image": forward,
        "zennit_seconds_a_neuron": loop,
        "zennit_batched_seconds_a_neuron": batched,
        "peak_memory_gb_of_the_pushes": memory,
        "grids": {},
    }
    for grid, entry in pushes.items():
        result["grids"][f"{grid}x{grid}"] = {
            "push_seconds": entry["seconds"],
            "speedup_over_loop": 2048 * loop / entry["seconds"],
            "speedup_over_batched": 2048 * best / entry["seconds"],
            "ratio_to_floor": entry["seconds"] / (grid * grid * min(forward.values())),
            "max_relative_difference": difference(entry["table"], maps, GRIDS[grid]),
            "conservation_error": float((entry["table"].sum(0) / relevance_map(graph, x).output[0] - 1).abs().max()),
        }
    result["pairs_from_index"] = time_pairs(model, options.pairs)
    print(json.dumps(result, indent=2))


def resnet50() -> nn.Module:
    """A ResNet-50 without classifier, its batch norms calibrated on noise."""
    model = torchvision.models.resnet50()
    model.fc = nn.Identity()
    model.train()
    with torch.no_grad():
        for _ in range(4):
            model(torch.randn(8, 3, 112, 112))
    return model.eval().requires_grad_(False)


def time_forward(model: nn.Module, x: Tensor) -> dict[str, float]:
    """A plain forward pass in a batch of 28, seconds an image, in both memory formats."""
    seconds = {}
    batch = x.expand(28, -1, -1, -1).contiguous()
    for name, memory_format in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
        formatted = model.to(memory_format=memory_format)
        inputs = batch.contiguous(memory_format=memory_format)
        with torch.inference_mode():
            seconds[name] = timed(lambda formatted=formatted, inputs=inputs: formatted(inputs), repeat=4)[0] / 28
    model.to(memory_format=torch.contiguous_format)
    return seconds


def composite() -> EpsilonPlusFlat:
    """Zennit's counterpart of the default composite."""
    return EpsilonPlusFlat(canonizers=[ResNetCanonizer()], zero_params=["bias"])


def time_zennit(model: nn.Module, x: Tensor) -> tuple[float, Tensor]:
    """The usual loop: one neuron a pass. Seconds a neuron, and the maps (NEURONS, C, H, W)."""
    maps = []
    with Gradient(model=model, composite=composite()) as attributor:
        attributor(x.clone(), seed_of([0], x))
        start = time.perf_counter()
        maps = [attributor(x.clone(), seed_of([k], x))[1] for k in range(NEURONS)]
        seconds = (time.perf_counter() - start) / NEURONS
    return seconds, torch.cat(maps)


def time_zennit_batched(model: nn.Module, x: Tensor, batch: int) -> float:
    """The image repeated, a neuron each: seconds a neuron."""
    inputs = x.expand(batch, -1, -1, -1).contiguous()
    with Gradient(model=model, composite=composite()) as attributor:
        start = time.perf_counter()
        attributor(inputs.clone(), seed_of(list(range(batch)), x))
        return (time.perf_counter() - start) / batch


def time_zennit_batched_gradients(model: nn.Module, x: Tensor, batch: int) -> float:
    """One forward pass, the neurons as a batch of gradients: seconds a neuron."""
    with composite().context(model) as hooked:
        image = x.clone().requires_grad_()
        output = hooked(image)
        seeds = output.detach() * torch.eye(2048, device=x.device)[:batch, None]
        start = time.perf_counter()
        torch.autograd.grad(output, image, seeds, is_grads_batched=True)
        return (time.perf_counter() - start) / batch


def seed_of(neurons: list[int], x: Tensor) -> Callable[[Tensor], Tensor]:
    """Relevance at the output: each row its neuron's activation."""
    one_hot = torch.eye(2048, device=x.device)[neurons]
    return lambda y: y * one_hot


def difference(table: Tensor, maps: Tensor, size: int) -> float:
    """The largest relative difference of a neuron's patches between push and Zennit."""
    partition = patches(size).on((224, 224))
    assert isinstance(partition, Partition)
    sums = partition.sums(maps)
    return float(((table.T[:NEURONS] - sums).norm(dim=1) / sums.norm(dim=1)).max())


def peak_memory(device: str) -> float:
    """The most memory that the process (the device) held so far, in GB."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def time_pairs(model: nn.Module, pairs: int) -> dict[str, float]:
    """Pair maps of a stored index of ResNet-50 size (14x14 patches, D = 2048), read at random."""
    encoder = Encoder("random-rn50", model, PREPROCESSING, read_card("supervised-rn50"))
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for number in range(4):
            noise = generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((224, 224)).save(images / f"{number}.png")
        index = SimilarityIndex.build(encoder, images, Path(folder) / "index")
        start = time.perf_counter()
        for _ in range(pairs):
            i, j = generator.integers(0, len(index), 2)
            index.relevance(int(i), int(j))
        return {"pairs": pairs, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    main()
