"""Relevance of weighted outputs of a network: what encoders and classifiers answer when they are asked to explain.

Explained is ``sum_d weights[d] * output[d]``, or its difference to that of a reference, by one of three families of
maps (see `Method`):

* ``rescale`` and ``lrp`` take one backward pass an image. Frequency bands overlap in the pixels, among which flat and
  z-box rules cannot divide relevance: bands by LRP follow the rules of ``epsilon_plus``;
* ``shapley`` answers masked images, 7 x 7 patches a map; it has no frequency bands.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.encoders.finite import check_finite
from chinspect.errors import InputError
from chinspect.relevance import Graph, Method, Partition, contributions, frequency_bands, patches, trace

BAND_RULES = "epsilon_plus"
_SHAPLEY_CELLS = 7  # rows and columns of a map: 8 evaluations a cell make 400 an image, a minute for ten

_GRAPHS: WeakKeyDictionary[nn.Module, tuple[str, Graph]] = WeakKeyDictionary()
# Tracing takes as long as explaining several images, and data sets are explained a few images at a time.


def explain_outputs(
    module: nn.Module,
    inputs: Tensor,
    weights: NDArray[np.floating[Any]],
    fingerprint: str,
    *,
    bands: int = 0,
    method: Method | None = None,
) -> NDArray[np.float32]:
    """Relevance of ``sum_d weights[i, d] * module(inputs)[i, d]`` for each image.

    Args:
        module: from (1, 3, H, W) to (1, D).
        inputs: (n, 3, H, W), preprocessed.
        weights: (n, D).
        fingerprint: changes with anything that decides the outputs; the module is traced anew when it does.
        bands: number of frequency bands; 0 for pixels.
        method: by default ``rescale`` against the blurred image.

    Returns:
        Maps (n, H, W), summed over channels, or spectra (n, 1, bands), the lowest frequencies first.

    Raises `InputError` for weights of another shape, a module that cannot be traced, outputs or maps that are not
    finite, and bands by Shapley values.
    """
    method = banded(method or Method(), bands)
    # One image at a time: a batch takes as long, and many times the memory.
    pairs = zip(inputs.split(1), torch.as_tensor(weights), strict=True)
    if method.name == "shapley":
        maps = [_shapley_map(module, x, weight, method) for x, weight in pairs]
    else:
        graph = _graph(module, inputs[:1], fingerprint)
        maps = [_pulled_map(graph, x, weight, method, bands) for x, weight in pairs]
    result = torch.stack(maps).float()
    check_finite(result, "the relevance of the pixels", module)
    return result.cpu().numpy()


def banded(method: Method, bands: int) -> Method:
    """The method of spectra with so many bands, if there are any; see the module."""
    if bands and method.name == "shapley":
        raise InputError("a band cannot be shown while another of the same pixels is hidden: choose rescale or lrp.")
    return Method("lrp", BAND_RULES) if bands and method.name == "lrp" else method


def _pulled_map(graph: Graph, x: Tensor, weight: Tensor, method: Method, bands: int) -> Tensor:
    mapped = method.map(graph, x)
    _check_weights(weight, mapped.output[0])
    check_finite(mapped.output, "the output of the network")
    relevance = mapped.explained * weight.to(mapped.output)
    if bands:
        return mapped.pull_components(relevance, frequency_bands(bands))
    return mapped.pull(relevance)[0].sum(0)


def _shapley_map(module: nn.Module, x: Tensor, weight: Tensor, method: Method) -> Tensor:
    components = patches(max(1, -(-min(x.shape[2:]) // _SHAPLEY_CELLS)))
    table = contributions(module, x, components, method)
    _check_weights(weight, table.output)
    partition = components.on(x.shape)
    assert isinstance(partition, Partition)
    labels = partition.labels.to(x.device)
    # of a patch every pixel holds the same, so that the map sums to what is explained
    return (table.values @ weight.to(table.values) / labels.flatten().bincount())[labels]


def _check_weights(weight: Tensor, output: Tensor) -> None:
    if weight.shape != output.shape:
        raise InputError(
            f"An explanation needs weights (n, {len(output)}), one for each output, not (n, {weight.numel()})."
        )


def _graph(module: nn.Module, x: Tensor, fingerprint: str) -> Graph:
    """The module's graph for images like ``x`` (1, 3, H, W), of the last call if nothing has changed since."""
    key = f"{fingerprint} {tuple(x.shape)} {x.device}"
    if module not in _GRAPHS or _GRAPHS[module][0] != key:
        _GRAPHS[module] = key, trace(module, x)
    return _GRAPHS[module][1]
