"""Pictures of a run: an image as the model sees it, its map to lie over it, and what stands where there is none.

Images are opened by `chinspect.images.open_image`, the door that checks formats and sizes. One that is moved or damaged
becomes a tile with the reason.
"""

from __future__ import annotations

import html
import io
import os
import re
import textwrap
from threading import BoundedSemaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.errors import InputError
from chinspect.explain import area_sum
from chinspect.images import open_image
from chinspect.serve.cache import Cache
from chinspect.serve.run import Maps, Run

SIDES = {"small": 160, "large": 512}
"""Pixels of a side; all pictures are squares, as the model's input and the map are."""
_ROOM = 64 << 20  # bytes of pictures that are not made again: some 10,000 thumbnails
_AT_ONCE = min(os.cpu_count() or 1, 4)  # images that are decoded: the largest take 270 MB each
_CELLS = 64  # of a map along a side: finer than that is not seen, and would be sent
_TYPICAL = 200  # maps that the scale of colours is taken from
_RED = (178, 24, 43)  # of ColorBrewer's RdBu, which colour-blind eyes tell apart
_BLUE = (33, 102, 172)
_OPAQUE = 0.9  # of the largest relevance: the image is seen everywhere
_STEEPNESS = 0.7  # below 1, so that faint relevance is seen
_LINE = 18  # letters
_LINES = 6
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")

Values = NDArray[np.floating[Any]]


class Pictures:
    """The pictures of a run that has images.

    Attributes:
        limit: the fraction of a map's relevance in one cell at which colours end: the largest of a typical map, so that
            maps of one run can be compared.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._cache = Cache(_ROOM)
        self._decoding = BoundedSemaphore(_AT_ONCE)
        self.limit = _limit(run.maps) if run.maps is not None and not run.spectra else 1.0

    @property
    def size(self) -> int:
        """Bytes of pictures that are held."""
        return self._cache.size

    def picture(self, i: int, side: str) -> tuple[bytes, str]:
        """Image ``i`` as a JPEG, ``small`` or ``large``, or a tile with the reason why not; with its media type."""
        try:
            return self._cache.get((i, side), lambda: self._jpeg(i, SIDES[side])), "image/jpeg"
        except InputError as error:
            return tile(self._reason(i, error)), "image/svg+xml"

    def problem(self, i: int) -> str:
        """Why image ``i`` cannot be shown; empty where it can."""
        try:
            self._cache.get((i, "large"), lambda: self._jpeg(i, SIDES["large"]))
        except InputError as error:
            return self._reason(i, error)
        return ""

    def overlay(self, i: int) -> bytes:
        """The map of image ``i`` as a PNG, red where it raises what is explained and blue where it lowers it."""
        maps = self._run.maps
        assert maps is not None
        return self._cache.get((i, "map"), lambda: map_png(maps[i], self.limit))

    def _jpeg(self, i: int, side: int) -> bytes:
        path = self._run.listing.path(i) if self._run.listing is not None else None
        if path is None:
            raise InputError("the run has maps and no images.")
        with self._decoding:
            picture = open_image(path)
            if self._run.preprocessing is not None:
                picture = self._run.preprocessing.visible(picture)
            buffer = io.BytesIO()
            picture.resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
        return buffer.getvalue()

    def _reason(self, i: int, error: InputError) -> str:
        """The error without the path, which stands beside the tile."""
        path = self._run.listing.path(i) if self._run.listing is not None else None
        return str(error).removeprefix(repr(str(path))).lstrip(": ")


def map_png(values: Values, limit: float | None = None) -> bytes:
    """A map (h, w) as a small PNG with transparency, one pixel a cell.

    Args:
        limit: the fraction of the relevance at which colours end; None for the largest of this map.
    """
    fractions = _fractions(values)
    scaled = (fractions / (limit or float(np.abs(fractions).max()) or 1.0)).clip(-1, 1)
    pixels = np.empty((*scaled.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(scaled[..., None] > 0, _RED, _BLUE)
    pixels[..., 3] = 255 * _OPAQUE * np.abs(scaled) ** _STEEPNESS
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def tile(reason: str) -> bytes:
    """A square with a sentence, as SVG."""
    text = _UNPRINTABLE.sub("?", reason)
    lines = textwrap.wrap(text, _LINE, max_lines=_LINES, placeholder=" ...", break_on_hyphens=False)
    spans = "".join(f'<tspan x="80" dy="19">{html.escape(line)}</tspan>' for line in lines)
    top = 80 - 19 * len(lines) / 2 - 6
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="160" viewBox="0 0 160 160">'
        '<rect width="160" height="160" fill="#d9d9d9"/>'
        f'<text y="{top}" font-family="sans-serif" font-size="14" fill="#333" text-anchor="middle">{spans}</text>'
        "</svg>"
    ).encode()


def bars(spectrum: Values) -> list[tuple[float, float, float, float, bool]]:
    """Bars of a spectrum (B,) in a square of side 100, zero at three quarters of its height.

    Left, top, width and height of each, and whether it raises what is explained.
    """
    values = np.nan_to_num(np.ravel(spectrum).astype(float))
    scaled = 75 * values / (np.abs(values).max() or 1.0)
    width = 100 / len(scaled)
    return [
        (k * width, float(min(75 - value, 75)), 0.9 * width, float(abs(value)), bool(value >= 0))
        for k, value in enumerate(scaled)
    ]


def _limit(maps: Maps) -> float:
    count = maps.shape[0]
    rows = np.unique(np.linspace(0, count - 1, min(count, _TYPICAL)).round().astype(int))
    largest = [float(np.abs(_fractions(maps[int(row)])).max()) for row in rows]
    return float(np.median(largest)) or 1.0


def _fractions(values: Values) -> Values:
    """Fractions of the relevance, in at most `_CELLS` cells a side; NaN and infinity count as none."""
    finite = np.nan_to_num(np.asarray(values, dtype=np.float32), posinf=0.0, neginf=0.0)
    pooled = area_sum(finite, _CELLS)
    fractions: Values = pooled / (np.abs(pooled).sum() or 1.0)
    return fractions
