"""What the square crop of a network cuts away from the images of a data set, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from chinspect.images._open import FORMATS
from chinspect.images.preprocessing import CROPPED, Preprocessing

_LOOKED_AT = 1000  # headers are read, which takes a tenth of a millisecond each; a percentage needs no more


def cropped_in_words(preprocessing: Preprocessing, paths: Sequence[Path]) -> str:
    """How many images lose more than a tenth to the crop, and how much; empty where none does.

    Only the sizes are read, of the first thousand images at most. What cannot be read is not counted.
    """
    lost = np.array([1 - preprocessing.seen(size) for path in paths[:_LOOKED_AT] if (size := _size(path)) is not None])
    cropped = lost[lost > CROPPED]
    if not len(cropped):
        return ""
    return (
        f"{len(cropped):,} of {len(lost):,} images lose more than {CROPPED:.0%} of the picture to the network's crop "
        f"({np.median(cropped):.0%} in the median), and nothing that stands there is measured: choose fit pad "
        "(--fit pad) to see all"
    )


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height as the header says, not turned upright: a crop cuts as much either way."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # said where the image is read
