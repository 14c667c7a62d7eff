"""What is measured of a map of any method, and the controls that stand beside every method.

Metrics are those of `chinspect.faithfulness`, of the probability of the predicted class; ``area`` is the mean of the
map as a mask, positive relevance over its largest value: 1 is a map of ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.faithfulness.changed import as_mask
from chinspect.faithfulness.metrics import METRICS, JudgedImage, JudgedMap

MEASURES = ("removal", "insertion", "deletion", "ROAD", "drop", "increase")
QUICK = ("removal", "drop", "increase")
"""Of ClusCAM's settings, of which there are many."""


def judged_image(module: nn.Module, x: Tensor, target: int, random_state: int) -> JudgedImage:
    """One image (1, C, H, W), whose removed pixels are blurred."""
    return JudgedImage(lambda images: module(images).softmax(1)[:, target], x, "blur", None, random_state)


def measured(image: JudgedImage, values: NDArray[np.floating[Any]], measures: Sequence[str]) -> dict[str, float]:
    """Some of the measures of a map (h, w)."""
    judged = JudgedMap(image, values)
    numbers = {name: METRICS[name].measure(judged) for name in measures}
    return numbers | {"area": float(as_mask(judged.pixels).mean())}
