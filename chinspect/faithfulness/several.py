"""Deletion on several images, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chinspect.faithfulness.removal import TOLD, Deletion, change


def deletions_in_words(deletions: Sequence[Deletion], images: str, score: str) -> str:
    """What some images lose without their most relevant components, all together, beside random ones.

    Falls are summed over the images, and divided by the sum of what these have over their references: an image that
    has little counts little. Those that score no higher than their references are left out, and told.

    Args:
        deletions: of each image, with the same fractions.
        images, score: what they are called, in the plural.
    """
    valid = [deletion for deletion in deletions if deletion.explained > 0]
    if not valid:
        return f"None of {images} scores higher than its reference: there is nothing that their components could lose."
    row = int(np.abs(valid[0].fractions - TOLD).argmin())
    unit = sum(deletion.explained for deletion in valid)
    most = sum(float(deletion.most[row]) for deletion in valid) / unit
    random = sum(float(deletion.random[row].mean()) for deletion in valid) / unit
    fraction = f"{valid[0].fractions[row]:.0%}"
    better = sum(deletion.better_than_random for deletion in valid)
    lost = len(deletions) - len(valid)
    text = (
        f"Without their {fraction} most relevant {valid[0].components} {images} {change(most, 'lose', 'gain')} of "
        f"{score}, without random {fraction} they {change(random, 'lose', 'gain')}; image by image the map is clearly "
        f"better than random in {better} of {len(valid)} (at a level of 5%, over all fractions)."
    )
    return text + (f" {lost} more score no higher than their references." if lost else "")
