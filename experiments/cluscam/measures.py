"""What is measured of a map of any method, and the controls that stand beside every method.

* ``deleted``: how far the logit falls without the most relevant of 7 x 7 patches (blurred), in the mean over 5 to 40 %
  of them, less the same for random patches; a fraction of what the image has over its blurred self.
* ``drop`` and ``increase``: average drop and increase of the probability when the image is multiplied by the map from 0
  to 1, as CAMs are usually judged. A map of ones drops nothing.
* ``area``: the mean of that map: 1 is a map of ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.explain.faithfulness import patch_deletion

MEASURES = ("deleted", "drop", "increase", "area")
_SIDE = 14  # cells of a control


def measured(module: nn.Module, x: Tensor, target: int, values: NDArray[np.floating[Any]]) -> dict[str, float]:
    """All measures of a map (h, w) of one image (1, C, H, W)."""
    made = patch_deletion(lambda images: module(images)[:, target], x, values)
    unit = abs(made.explained) or np.nan
    mask = _mask(values, x)
    with torch.no_grad():
        before, after = (float(module(images).softmax(1)[0, target]) for images in (x, x * mask))
    return {
        "deleted": float(made.most.mean() - made.random.mean()) / unit,
        "drop": max(0.0, before - after) / before,
        "increase": float(after > before),
        "area": float(mask.mean()),
    }


def controls(random_state: int) -> dict[str, NDArray[np.float64]]:
    """Maps that know nothing of the image: all ones, random, and a blob in the centre."""
    row = np.linspace(-1, 1, _SIDE)
    return {
        "all ones": np.ones((_SIDE, _SIDE)),
        "random": np.random.default_rng(random_state).random((_SIDE, _SIDE)),
        "centred blob": np.exp(-2 * (row[:, None] ** 2 + row**2)),
    }


def _mask(values: NDArray[np.floating[Any]], x: Tensor) -> Tensor:
    """The map from 0 to 1 at the resolution of the image; one that is the same everywhere is all ones."""
    large = F.interpolate(
        torch.from_numpy(np.asarray(values, np.float32))[None, None], size=x.shape[2:], mode="bilinear"
    )
    span = large.max() - large.min()
    return (large - large.min()) / span if span > 0 else torch.ones_like(large)
