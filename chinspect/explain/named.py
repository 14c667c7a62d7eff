"""Methods by name, as the command line calls them: from images and what is explained to maps.

An entry of the table explains ``<weights, output>`` for the outputs of an encoder, or of a classifier wrapped as one,
with the usual settings of its method; `chinspect.explain.explain_output` takes others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from chinspect.cam import METHODS as CAMS
from chinspect.cam import cam
from chinspect.encoders import Encoder, method_for
from chinspect.encoders.explaining import explain_outputs
from chinspect.errors import InputError, did_you_mean

Maps = NDArray[np.float32]
MapMethod = Callable[[Encoder, Tensor, Tensor], Maps]
"""From an encoder, its inputs (n, 3, H, W) and weights of its outputs (n, D) to maps (n, h, w)."""
RELEVANCE = ("rescale", "shapley", "lrp")
"""The families of methods whose maps are in the units of what is explained."""
WITHOUT_TARGET = ("eigencam", "rollout")
"""CAMs that show the activations, whatever is explained."""


def _by_relevance(name: str) -> MapMethod:
    def maps(encoder: Encoder, inputs: Tensor, weights: Tensor) -> Maps:
        method = method_for(encoder, name)
        return explain_outputs(encoder.module, inputs, weights.cpu().numpy(), encoder.fingerprint, method=method)

    return maps


def _by_cam(name: str) -> MapMethod:
    def maps(encoder: Encoder, inputs: Tensor, weights: Tensor) -> Maps:
        return cam(name, encoder.module, inputs, target=None if name in WITHOUT_TARGET else weights.float())

    return maps


MAP_METHODS: Mapping[str, MapMethod] = {
    **{name: _by_relevance(name) for name in RELEVANCE},
    **{name: _by_cam(name) for name in CAMS},
}
"""All of them."""


def check_method(name: str) -> None:
    """`InputError` for a name that is not one of `MAP_METHODS`."""
    if name not in MAP_METHODS:
        known = ", ".join(MAP_METHODS)
        raise InputError(f"there is no method {name!r}{did_you_mean(name, MAP_METHODS)}: choose from {known}.")
