"""The methods that are compared: tables of patches and outputs, and maps of one patch each."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.cam import grad_cam
from chinspect.digests import digest, tensor_bytes
from chinspect.encoders import Encoder
from chinspect.execute import Store
from chinspect.relevance import (
    COMPOSITES,
    Graph,
    Partition,
    ReferenceName,
    Respond,
    reference_images,
    relevance_map,
    shapley_map,
)
from experiments.faithfulness.photographs import PATCHES

_STEPS = 16  # of integrated gradients
Map = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""From a network, an image (1, C, H, W) and weights of its outputs (D,) to relevance of patches (P,)."""


@dataclass(frozen=True)
class Table:
    """A method whose maps of pairs are products of tables.

    Attributes:
        table: from the graph, the network as a black box, and an image to what each patch contributes to each output
            (P, D).
        reference: to what it explains the difference; none for LRP, which explains the output itself.
    """

    table: Callable[[Graph, Respond, Tensor], Tensor]
    reference: ReferenceName | None = None


def lrp(composite: str) -> Table:
    """LRP by a composite."""
    return Table(lambda graph, _respond, x: relevance_map(graph, x, composite).push(PATCHES))


def rescale(reference: ReferenceName) -> Table:
    """Reference maps."""

    def table(graph: Graph, _respond: Respond, x: Tensor) -> Tensor:
        return relevance_map(graph, x, "rescale", reference=reference).push(PATCHES)

    return Table(table, reference)


def shapley(per_patch: int) -> Table:
    """Shapley maps of so many evaluations a patch, from other sets than the yardstick's."""

    def table(_graph: Graph, respond: Respond, x: Tensor) -> Tensor:
        return shapley_map(respond, x, PATCHES, evaluations=49 * per_patch + 2, random_state=1_000_000).values

    return Table(table, "blur")


TABLES: Mapping[str, Table] = {
    **{name: lrp(name) for name in COMPOSITES},
    "rescale blur": rescale("blur"),
    "rescale mean": rescale("mean"),
    "rescale grey": rescale("grey"),
    "shapley 8P": shapley(8),
}


def stored_tables(
    method: str, encoder: Encoder, graph: Graph, respond: Respond, images: Sequence[Tensor], cache: Path
) -> tuple[list[NDArray[np.float64]], float]:
    """The tables of all images by one of `TABLES`, and the seconds of one; those that the cache lacks are made."""
    description = {"model": encoder.fingerprint, "method": method, "images": [digest(tensor_bytes(x)) for x in images]}
    store = Store(cache / f"{method.replace(' ', '-')}-{len(images)}", description, len(images))
    for number in store.missing():
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of relevance that is lost: the column of conservation says it
            table = TABLES[method].table(graph, respond, images[number])
        store.write(number, {"table": table.numpy(), "seconds": np.array([time.perf_counter() - start])})
    shards = [store.read(number) for number in range(len(images))]
    return [shard["table"].astype(float) for shard in shards], float(np.mean([shard["seconds"] for shard in shards]))


def gradient_x_input(module: nn.Module, x: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the weighted outputs, times the image."""
    return _sums(_gradient(module, x, weights) * x)


def integrated_gradients(module: nn.Module, x: Tensor, weights: Tensor) -> Tensor:
    """The mean gradient on the way from the blurred image, times the difference (Sundararajan et al. 2017)."""
    x0 = reference_images("blur", x)[0]
    places = (torch.arange(_STEPS) + 0.5) / _STEPS
    gradients = [_gradient(module, x0 + place * (x - x0), weights) for place in places]
    return _sums(torch.stack(gradients).mean(0) * (x - x0))


def grad_cam_patches(module: nn.Module, x: Tensor, weights: Tensor) -> Tensor:
    """Grad-CAM of the last feature maps, which have as many cells as there are patches."""
    return grad_cam(module, x, "bn2", weights[None]).flatten()


def random(_module: nn.Module, x: Tensor, _weights: Tensor) -> Tensor:
    """Normal numbers, for each image its own."""
    seed = int(x.double().sum().abs() * 1e6) % 2**31
    return torch.randn(49, generator=torch.Generator().manual_seed(seed))


MAPS: Mapping[str, Map] = {
    "gradient x input": gradient_x_input,
    "integrated gradients": integrated_gradients,
    "grad-cam": grad_cam_patches,
    "random": random,
}


def _gradient(module: nn.Module, x: Tensor, weights: Tensor) -> Tensor:
    image = x.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(module(image)[0] @ weights, image)
    return gradient


def _sums(relevance: Tensor) -> Tensor:
    partition = PATCHES.on(relevance.shape)
    assert isinstance(partition, Partition)
    return partition.sums(relevance)[0]
