"""Numbers that are not finite are refused: of them no similarity, score or verdict follows, only the words of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.errors import InputError

Numbers = Tensor | NDArray[Any]


def check_finite(numbers: Numbers, what: str, module: object = None) -> None:
    """`InputError` for NaN or infinity in what a network gives for images.

    Args:
        numbers: (n, ...), one row an image.
        what: they are, the subject of the sentence: "the embedding of 'a.pth'".
        module: the network, which may hold the weight that is to blame; only its tensors are read.
    """
    values = numbers if isinstance(numbers, Tensor) else torch.from_numpy(np.asarray(numbers))
    finite = values.isfinite()
    if bool(finite.all()):
        return
    row = int((~finite).flatten(1).any(1).nonzero()[0]) if values.ndim > 1 else int((~finite).nonzero()[0])
    reason = "its weights are finite, so its activations are too large: check its scale, and compute in float32"
    if isinstance(module, nn.Module):
        reason = _broken_weight(module) or reason
    raise InputError(f"{what} is not finite for image {row} of {len(values)}; {reason}.")


def check_weights(module: nn.Module, name: str) -> None:
    """`InputError` for a weight or statistic that is NaN or infinite, by its name."""
    reason = _broken_weight(module)
    if reason:
        raise InputError(f"{name!r} cannot be used: {reason}.")


def _broken_weight(module: nn.Module) -> str:
    for key, tensor in module.state_dict().items():
        count = int((~tensor.isfinite()).sum()) if tensor.is_floating_point() else 0
        if count:
            return f"its weight {key!r} holds {count} of {tensor.numel()} numbers that are NaN or infinite"
    return ""
