"""Inputs of a detector as pictures that a person can see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def pictures(x: Tensor) -> NDArray[np.uint8] | None:
    """Inputs (..., C, H, W) in [-1, 1] as 8-bit RGB (..., H, W, 3); None where C is neither 1 nor 3."""
    if x.shape[-3] not in (1, 3):
        return None
    levels = ((x + 1) * 127.5).round().clamp(0, 255).numpy().astype(np.uint8)
    return np.repeat(np.moveaxis(levels, -3, -1), 3 // levels.shape[-3], axis=-1)
