"""Methods by name, as the command line calls them: from images and what is explained to maps.

This table is the one place where a name becomes a method. An entry explains ``<weights, output>`` for the outputs of an
encoder, or of a classifier wrapped as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chinspect.cam import grad_cam
from chinspect.encoders import Encoder, as_map, candidate_layers, method_for, observing
from chinspect.encoders.explaining import explain_outputs
from chinspect.errors import InputError, did_you_mean

Maps = NDArray[np.float32]
MapMethod = Callable[[Encoder, Tensor, Tensor], Maps]
"""From an encoder, its inputs (n, 3, H, W) and weights of its outputs (n, D) to maps (n, h, w)."""


def _by_relevance(name: str) -> MapMethod:
    def maps(encoder: Encoder, inputs: Tensor, weights: Tensor) -> Maps:
        method = method_for(encoder, name)
        return explain_outputs(encoder.module, inputs, weights.numpy(), encoder.fingerprint, method=method)

    return maps


def _by_gradients(encoder: Encoder, inputs: Tensor, weights: Tensor) -> Maps:
    maps: Maps = grad_cam(encoder.module, inputs, last_map(encoder, inputs), weights.float()).cpu().numpy()
    return maps


MAP_METHODS: Mapping[str, MapMethod] = {
    "rescale": _by_relevance("rescale"),
    "lrp": _by_relevance("lrp"),
    "shapley": _by_relevance("shapley"),
    "gradcam": _by_gradients,
}


def method_named(name: str) -> MapMethod:
    """The method of a name. Raises `InputError` for one that is not known."""
    if name not in MAP_METHODS:
        raise InputError(
            f"there is no method {name!r}{did_you_mean(name, MAP_METHODS)}: choose from {', '.join(MAP_METHODS)}."
        )
    return MAP_METHODS[name]


def last_map(encoder: Encoder, inputs: Tensor) -> str:
    """The last layer whose output is a map of 2 x 2 cells or more. Raises `InputError` where there is none."""
    cells: dict[str, int] = {}

    def note(path: str, _module: object, _args: object, _kwargs: object, output: object) -> None:
        mapped = as_map(output, inputs[:1]) if isinstance(output, Tensor) else None
        cells[path] = 0 if mapped is None else min(mapped.shape[2:])

    with observing(encoder.module, note), torch.no_grad():
        encoder.module(inputs[:1])
    layers = [layer for layer in candidate_layers(encoder) if cells.get(layer, 0) > 1]
    if not layers:
        raise InputError(f"{encoder.name!r} has no layer of feature maps: choose another method than gradcam.")
    return layers[-1]
