"""Figures as pictures of a page."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from PIL import Image

from chinspect.report.glyphs import with_known_glyphs

_DPI = 144  # sharp on screens with two pixels a point


def as_picture(figure: Figure) -> Image.Image:
    """The figure in pixels."""
    buffer = io.BytesIO()
    with_known_glyphs(figure).savefig(buffer, format="png", dpi=_DPI, facecolor="white")
    picture = Image.open(buffer)
    picture.load()
    return picture
