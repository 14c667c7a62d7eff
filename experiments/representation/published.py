"""Accuracies in per cent of Kauffmann et al. 2025, and which of its encoders stands beside which of ours.

Those called ``notebook`` are in the outputs of the authors' notebooks, those called ``text`` in the text of the paper,
which names fewer. They differ in the first decimal.
"""

from __future__ import annotations

import re
from itertools import product

KINDS = ("clip", "simclr", "barlowtwins", "supervised")
GROUPS = ("original", "human", "non-human")
"""Test images of fish: all, those with a human, those without."""
TRUCKS = {
    "notebook_original": dict(zip(KINDS, (85.0, 74.8, 80.2, 83.8), strict=True)),
    "notebook_shifted": dict(zip(KINDS, (80.5, 74.5, 80.2, 83.2), strict=True)),
    "text_original": {"clip": 84.7},
    "text_shifted": {"clip": 80.3},
}
"""By objective, without the logo and with it."""
_FISH_NOTEBOOK = (86.5, 83.8, 82.5, 82.2, 78.6, 78.4, 83.1, 75.6, 81.1, 86.2, 84.2, 81.9)
_FISH_TEXT = (85.4, None, None, 81.4, 74.8, None, 83.2, 75.8, None, 85.9, None, None)
FISH = {
    "paper_notebook": dict(zip(product(KINDS, GROUPS), _FISH_NOTEBOOK, strict=True)),
    "paper_text": dict(zip(product(KINDS, GROUPS), _FISH_TEXT, strict=True)),
}
"""By objective and group."""
_PRUNED = (0, 1, 2, 3, 4, 5, 10, 15, 20, 30)
CURVE = {
    "notebook_original": dict(zip(_PRUNED, (85.0, 85.0, 84.8, 84.2, 85.5, 85.2, 85.0, 81.5, 81.2, 81.0), strict=True)),
    "notebook_shifted": dict(zip(_PRUNED, (80.5, 83.8, 84.0, 83.8, 84.8, 85.0, 85.0, 81.2, 81.2, 82.2), strict=True)),
}
"""Of CLIP by the number of pruned channels, on the notebooks' test images of trucks."""


def kind_of(name: str) -> str:
    """The objective that a name such as "tiny-clip" or "clip-rn50-gap" speaks of, or nothing."""
    return next((word for word in re.split(r"[\W_]", name.lower()) if word in KINDS), "")
