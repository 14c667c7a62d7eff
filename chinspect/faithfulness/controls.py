"""Maps that know nothing of an image, beside which every metric is read.

* ``all-ones mask``: everything is relevant. As a mask it changes nothing, as an order it is a random one of the pixels.
* ``random mask``: independent uniform numbers in 7 x 7 cells, as coarse as the maps of a last layer.
* ``centred blob``: a Gaussian in the middle, of a standard deviation of a quarter of the side: where photographers aim.

A metric that one of them wins measures something else than what a score depends on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CONTROLS = ("all-ones mask", "random mask", "centred blob")
_CELLS = 7
_WIDTH = 1 / 4  # standard deviation of the blob: half of its mass lies in the inner 9 % of the area, most on the image
Values = NDArray[np.float64]


def control_maps(size: tuple[int, int], random_state: int = 0) -> dict[str, Values]:
    """The control maps of an image (H, W), by name."""
    rows, columns = (np.linspace(-0.5, 0.5, length) / _WIDTH for length in size)
    return {
        "all-ones mask": np.ones(size),
        "random mask": np.random.default_rng(random_state).random((_CELLS, _CELLS)),
        "centred blob": np.exp(-(rows[:, None] ** 2 + columns**2) / 2),
    }
