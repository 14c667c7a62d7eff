"""The steps of PatchCore against the formulations that are in use, each on the same numbers; see `anomaly.py`."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chinspect.anomaly._aggregate import Roth
from chinspect.anomaly._coreset import DIMENSIONS, greedy_coreset, integer_grid
from chinspect.anomaly._neighbours import NearestNeighbours
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options

OPTIONS = (
    option("threads", 2),
    option("bank", 2.0, "size of the bank of descriptors in GB"),
)


def main() -> None:
    """Scores with a bank, in a process of its own, and prints the memory as one JSON document."""
    options = read_options(__doc__, OPTIONS)
    torch.set_num_threads(options.threads)
    print(json.dumps(_score_with_bank(options.bank)))


def measure() -> dict[str, Any]:
    """All steps, with the number of threads that torch is set to."""
    return {"coreset": coreset(), "aggregation": aggregation(), "scoring": scoring_memory()}


def coreset(patches: int = 47_040, fraction: float = 0.1) -> dict[str, Any]:
    """Speculative batches against one point after the other, on the same integers: seconds, and whether they agree."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(patches, 32, generator=generator) @ torch.randn(32, DIMENSIONS, generator=generator)
    features += torch.randn(patches, DIMENSIONS, generator=generator)
    points = integer_grid(features, np.random.default_rng(0))
    count = round(fraction * patches)
    seconds, taken = timed(lambda: greedy_coreset(points, count, first=0), repeat=3)
    slow, expected = timed(lambda: _sequential(points, count), repeat=1)
    return {
        "patches": patches,
        "coreset": count,
        "seconds": seconds,
        "sequential_seconds": slow,
        "speedup": slow / seconds,
        "same_indices": bool(torch.equal(taken, expected)),
    }


def _sequential(points: Tensor, count: int) -> Tensor:
    """One matrix-vector product and one pass a point, nothing allocated."""
    norms = points.square().sum(1)
    taken = torch.zeros(count, dtype=torch.long)
    distances = torch.full_like(norms, torch.inf)
    some = torch.empty_like(norms)
    for number in range(1, count):
        last = int(taken[number - 1])
        torch.addmv(norms, points, points[last], alpha=-2, out=some)
        torch.minimum(distances, some.add_(norms[last]), out=distances)
        taken[number] = distances.argmax()
    return taken


def aggregation(images: int = 8) -> dict[str, Any]:
    """The closed form of the 1024 numbers a patch against unfold and adaptive pools, for a wide ResNet-50 at 224 px."""
    generator = torch.Generator().manual_seed(0)
    features = [torch.rand(images, 512 << i, 28 >> i, 28 >> i, generator=generator) for i in (0, 1)]
    closed = Roth([512, 1024])
    seconds, result = timed(lambda: closed(features), repeat=5)
    slow, expected = timed(lambda: _unfolded(features, 1024), repeat=2)
    return {
        "images": images,
        "seconds_an_image": seconds / images,
        "unfold_seconds_an_image": slow / images,
        "speedup": slow / seconds,
        "largest_difference": float((result - expected).abs().max()),
    }


def _unfolded(features: list[Tensor], dimension: int) -> Tensor:
    """Roth et al. 2022, section 3.1, as published: neighbourhoods, upsampled, pooled a layer and in all."""
    n, _, height, width = features[0].shape
    layers = []
    for feature in features:
        channels, rows, columns = feature.shape[1:]
        cells = F.unfold(feature, 3, padding=1).view(n, channels * 9, rows, columns)
        if (rows, columns) != (height, width):
            cells = F.interpolate(cells, (height, width), mode="bilinear", align_corners=False)
        flat = cells.permute(0, 2, 3, 1).reshape(-1, 1, channels * 9)
        layers.append(F.adaptive_avg_pool1d(flat, dimension)[:, 0])
    stacked = torch.stack(layers, 1).flatten(1)
    return F.adaptive_avg_pool1d(stacked[:, None], dimension)[:, 0].view(n, height, width, -1).permute(0, 3, 1, 2)


def scoring_memory(gigabytes: float = 2.0) -> dict[str, Any]:
    """What scoring one image (784 patches) takes beside a bank of descriptors, in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(torch.get_num_threads()), "--bank", str(gigabytes)]
    result: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return result


def _score_with_bank(gigabytes: float) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    bank = torch.rand(round(gigabytes * 1e9 / 4096), 1024, generator=generator)
    queries = torch.rand(784, 1024, generator=generator)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, _ = timed(lambda: NearestNeighbours(bank).search(queries)[0], repeat=1)
    extra = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"bank_gb": bank.nbytes / 1e9, "extra_gb": extra * 1024 / 1e9, "seconds": seconds}


if __name__ == "__main__":
    main()
