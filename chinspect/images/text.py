"""Text as images carry it: letters with an outline, of a given width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

MARGIN = 10 / 224
"""Distance of a text to the image's border, as a fraction of its side (Kauffmann et al. 2025: 10 of 224 px)."""
_TRIAL = 100
"""Size of the font, in points, at which a text is measured: large, so that rounding hardly counts."""


def rendered_text(text: str, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Letters of a text, and letters with their outline: two opacity maps (h, w), 0..255, w about `width` pixels."""
    left, _, right, _ = ImageFont.load_default(size=_TRIAL).getbbox(text, stroke_width=8)
    size = max(_TRIAL * width / (right - left), 1)
    font = ImageFont.load_default(size=size)
    stroke = max(round(size / 12), 1)  # as thick as letters stay legible with; half of it belongs to the letters
    left, top, right, bottom = (round(value) for value in font.getbbox(text, stroke_width=stroke))
    letters, outline = (Image.new("L", (right - left, bottom - top)) for _ in range(2))
    for canvas, thickness in ((letters, stroke // 2), (outline, stroke)):
        ImageDraw.Draw(canvas).text((-left, -top), text, fill=255, font=font, stroke_width=thickness)
    return np.asarray(letters), np.asarray(outline)
