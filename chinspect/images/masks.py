"""What the file of a mask marks: white on black, class indices, or anything drawn on a transparent ground.

Editors and data sets write masks in many ways. A file that reads differently in two of them is refused, because a mask
that is read wrongly turns every sentence about it around.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.errors import InputError
from chinspect.images._open import alpha_of, opened, to_rgb

_LOSSY = ("JPEG", "WEBP")

Mask = NDArray[np.bool_]


def open_mask(path: str | Path) -> Mask:
    """Which pixels (H, W) of its image a file marks.

    * Every value but zero marks: 1, 255 and each class index. Of a palette the index counts, and has to agree with the
      colours: only index 0 may be black.
    * Lossy formats (JPEG, WebP) blur values, so there what is above half of the largest marks.
    * Where some pixels are transparent the others are marked, if they are all coloured or all black.

    Raises `InputError` for a file that `open_image` would not read, and for one that can be read in two ways.
    """
    with opened(Path(path)) as (image, _):
        alpha = alpha_of(image)
        return _by_value(image) if alpha is None else _by_opacity(image, alpha)


def _by_value(image: Image.Image) -> Mask:
    if image.format in _LOSSY:
        grey = np.asarray(image.convert("L"))
        return grey > grey.max() / 2
    if image.mode not in ("1", "L", "P", "I", "F") and not image.mode.startswith("I;16"):
        return _coloured(image)
    values = np.asarray(image)
    if image.mode == "P" and not np.array_equal(_coloured(image), values > 0):
        raise InputError(
            "the mask has a palette in which index 0 is not black, or another index is: whether indices or colours "
            "mark cannot be told; save it in black and white."
        )
    if not np.isfinite(values).all():
        raise InputError("the mask holds numbers that are not finite; save it in black and white.")
    return values != 0


def _coloured(image: Image.Image) -> Mask:
    """Where an image is not black."""
    return np.asarray(to_rgb(image)).max(2) > 0


def _by_opacity(image: Image.Image, alpha: NDArray[np.uint8]) -> Mask:
    """What is marked where the opacity differs from 255 somewhere."""
    coloured = _coloured(image)
    visible = alpha > 0
    drawn = coloured[visible]
    if bool(visible.all()) and bool(drawn.any()) and not bool(drawn.all()):
        return coloured  # nothing is quite transparent, so the colours tell
    one_ink = bool(drawn.all()) or not bool(drawn.any())
    if bool(visible.all()) or not bool(visible.any()) or not one_ink:
        raise InputError(
            "the mask is transparent in part, and whether its colours or its opacity mark cannot be told; save it in "
            "black and white, without alpha."
        )
    return visible
