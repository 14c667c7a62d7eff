"""Maps that groups are made from: the relevance of what a classifier decided, channel by channel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.encoders import check_finite
from chinspect.errors import InputError
from chinspect.relevance import Composite, Method, Row, trace
from chinspect.relevance.rules import Epsilon, Gamma

EXMAP = Method("lrp", Composite("exmap", (Row(Gamma(gamma=4.0), "conv*"), Row(Epsilon()))))
"""The rules that ExMap's published maps are made by (arXiv:2403.13870, released code)."""
_BATCH = 64  # images: fills the processor with images of 28 pixels, and takes a gigabyte with those of 224


def class_maps(
    module: nn.Module, inputs: Tensor, *, method: Method = EXMAP, targets: NDArray[np.integer] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Relevance of one logit for each image.

    Args:
        module: from (N, C, H, W) to logits (N, c), in evaluation mode.
        inputs: (N, C, H, W), preprocessed.
        method: ``lrp`` or ``rescale``; by default that of ExMap.
        targets: (N,), the class whose logit is explained; by default the predicted one, which needs no labels.

    Returns the maps (N, C, H, W), and the predicted classes (N,). Raises `InputError` as `relevance_map` does, and for
    maps that are not finite.
    """
    if targets is not None and len(targets) != len(inputs):
        raise InputError(f"there must be one target an image, not {len(targets)} for {len(inputs)}.")
    maps, predicted = [], []
    graphs = {}
    for start in range(0, len(inputs), _BATCH):
        x = inputs[start : start + _BATCH]
        if len(x) not in graphs:  # the last batch is shorter
            graphs[len(x)] = trace(module, x)
        mapped = method.map(graphs[len(x)], x)
        found = mapped.output.argmax(1)
        own = found if targets is None else torch.as_tensor(targets[start : start + _BATCH]).to(found)
        logit = nn.functional.one_hot(own, mapped.output.shape[1])
        maps.append(mapped.pull(mapped.explained * logit))
        predicted.append(found)
    result = torch.cat(maps).float()
    check_finite(result, "the relevance of the pixels", module)
    return result.cpu().numpy(), torch.cat(predicted).cpu().numpy()
