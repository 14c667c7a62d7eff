"""Relevance of weighted outputs of a network: what encoders and classifiers answer when they are asked to explain.

Explained is ``sum_d weights[d] * output[d]``, by one backward pass an image under fixed rules:

* pixels: the rules of ``epsilon_plus_flat``;
* frequency bands: those of ``epsilon_plus``, since bands overlap in the pixels and the flat rule cannot divide
  relevance among what overlaps.
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
from chinspect.relevance import Graph, frequency_bands, relevance_map, trace

PIXEL_RULES = "epsilon_plus_flat"
BAND_RULES = "epsilon_plus"

_GRAPHS: WeakKeyDictionary[nn.Module, tuple[str, Graph]] = WeakKeyDictionary()
# Tracing takes as long as explaining several images, and data sets are explained a few images at a time.


def explain_outputs(
    module: nn.Module, inputs: Tensor, weights: NDArray[np.floating[Any]], fingerprint: str, *, bands: int = 0
) -> NDArray[np.float32]:
    """Relevance of ``sum_d weights[i, d] * module(inputs)[i, d]`` for each image.

    Args:
        module: from (1, 3, H, W) to (1, D).
        inputs: (n, 3, H, W), preprocessed.
        weights: (n, D).
        fingerprint: changes with anything that decides the outputs; the module is traced anew when it does.
        bands: number of frequency bands; 0 for pixels.

    Returns:
        Maps (n, H, W), summed over channels, or spectra (n, 1, bands), the lowest frequencies first.

    Raises `InputError` for weights of another shape, a module that cannot be traced, and outputs or maps that are
    not finite.
    """
    graph = _graph(module, inputs[:1], fingerprint)
    maps = []
    # One image at a time: a batch takes as long, and many times the memory.
    for x, weight in zip(inputs.split(1), torch.as_tensor(weights), strict=True):
        mapped = relevance_map(graph, x, BAND_RULES if bands else PIXEL_RULES)
        if weight.shape != mapped.output.shape[1:]:
            raise InputError(
                f"An explanation needs weights (n, {mapped.output.shape[1]}), one for each output, not "
                f"{tuple(weights.shape)}."
            )
        check_finite(mapped.output, "the output of the network", module)
        relevance = mapped.output * weight.to(mapped.output)
        if bands:
            maps.append(mapped.pull_components(relevance, frequency_bands(bands)))
        else:
            maps.append(mapped.pull(relevance)[0].sum(0))
    result = torch.stack(maps).float()
    check_finite(result, "the relevance of the pixels", module)
    return result.cpu().numpy()


def _graph(module: nn.Module, x: Tensor, fingerprint: str) -> Graph:
    """The module's graph for images like ``x`` (1, 3, H, W), of the last call if nothing has changed since."""
    key = f"{fingerprint} {tuple(x.shape)} {x.device}"
    if module not in _GRAPHS or _GRAPHS[module][0] != key:
        _GRAPHS[module] = key, trace(module, x)
    return _GRAPHS[module][1]
