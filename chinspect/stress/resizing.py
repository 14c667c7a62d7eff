"""What a switch of the resizer does, step by step: another phase, another interpolation, antialiasing.

OpenCV's nearest neighbour reads pixels up to half a step beside the centres, so the switch to an antialiased resizer
moves the image and filters it. The chain ``nearest -> nearest-exact -> linear -> antialiased`` takes both apart.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.stress.metrics import score_shift

CHAIN = ("opencv-nearest", "opencv-nearest-exact", "opencv-linear")
"""Resizers between the crudest and an antialiased one; each differs from the one before in one thing."""
_PROPERTIES = {
    "opencv-nearest": ("corner", "nearest", False),
    "opencv-linear": ("centre", "linear", False),
    "opencv-cubic": ("centre", "cubic", False),
    "opencv-area": ("centre", "box", True),
    "opencv-nearest-exact": ("centre", "nearest", False),
    "pillow-nearest": ("centre", "nearest", False),
    "pillow-bilinear": ("centre", "linear", True),
    "pillow-bicubic": ("centre", "cubic", True),
    "pillow-lanczos": ("centre", "lanczos", True),
    "torch-bilinear": ("centre", "linear", False),
    "torch-bilinear-aa": ("centre", "linear", True),
    "torch-bicubic-aa": ("centre", "cubic", True),
}  # where a cell is sampled, the kernel, and whether the kernel widens as images get smaller


def chain(train: str, deployed: str) -> tuple[str, ...]:
    """The resizers from the training one to the deployed one, both included; empty if the first is not in `CHAIN`.

    >>> chain("opencv-nearest", "pillow-bilinear")
    ('opencv-nearest', 'opencv-nearest-exact', 'opencv-linear', 'pillow-bilinear')
    """
    if train not in CHAIN or train == deployed:
        return ()
    rest = CHAIN[CHAIN.index(train) :]
    return (*rest[: rest.index(deployed)], deployed) if deployed in rest else (*rest, deployed)


def step(before: str, after: str) -> str:
    """What differs between two resizers: ``phase``, ``interpolation``, ``antialiasing``, several, or ``rounding``.

    >>> step("opencv-linear", "pillow-lanczos")
    'interpolation + antialiasing'
    """
    names = ("phase", "interpolation", "antialiasing")
    properties = zip(names, _PROPERTIES[before], _PROPERTIES[after], strict=True)
    return " + ".join(name for name, old, new in properties if old != new) or "rounding"


def decompose(
    links: tuple[str, ...], scores: dict[str, NDArray[np.float64]], labels: NDArray[np.int64]
) -> pd.DataFrame:
    """What each link of a chain adds to the score shift of all.

    Args:
        links: see `chain`.
        scores: of the test images (n,), for each resizer of the chain.
        labels: (n,), 1 for a defect.

    Returns:
        One row a step with ``deployed``, ``step``, ``from``, ``to``, and for ``normal`` images and for ``defect`` ones
        the ``shift`` in interquartile ranges of the normal scores before any step, and its ``share`` of the shift of
        all steps: these fractions sum to 1, and lie outside 0..1 where steps work against each other.
    """
    groups = {"normal": labels == 0, "defect": labels == 1}
    first = scores[links[0]]
    last = scores[links[-1]]
    normals = first[groups["normal"]]
    rows = []
    for before, after in pairwise(links):
        row: dict[str, str | float] = {"deployed": links[-1], "step": step(before, after), "from": before, "to": after}
        for name, group in groups.items():
            shift = score_shift(scores[after][group], scores[before][group], normals)
            total = score_shift(last[group], first[group], normals)
            row |= {f"shift_{name}": shift, f"share_{name}": shift / total if total else np.nan}
        rows.append(row)
    return pd.DataFrame(rows)
