"""Sprite sheets: many thumbnails in one picture, and their maps of relevance in a second one that lies over it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.report.blocks import Tile

Array = NDArray[np.floating[Any]]
_QUALITY = 80  # of JPEG: as small as WebP for sheets of thumbnails, and thirty times as fast
_FINEST = 28  # cells a side of a map under a thumbnail: finer ones cannot be told apart there
_LEVELS = 127  # of each sign: the palette of a PNG has 256 colours
_RED = (178, 24, 43)
_BLUE = (33, 102, 172)
# ColorBrewer's RdBu, which all kinds of colour vision tell apart; the signs differ in hue, the sizes in opacity.
_SIDES = ((60, 160), (240, 112), (1_000, 64), (5_000, 48), (math.inf, 32))
"""Up to how many thumbnails they have which side in pixels: 2,000 of 48 pixels take 2 MB. All are multiples of JPEG's
blocks of 16, so that no thumbnail leaks into the next one."""


@dataclass(frozen=True)
class Sprites:
    """Thumbnails as one picture.

    Attributes:
        sheet: a data URI.
        maps: of the sheet of maps in the same order, transparent where there is no relevance; empty without maps.
        count, columns: of thumbnails, and how many stand in a row.
        side: of one, in pixels.
        limit: the fraction of a map's relevance in one cell at which colours end.
    """

    sheet: str
    maps: str
    count: int
    columns: int
    side: int
    limit: float

    @property
    def size(self) -> str:
        """The CSS size of a background that shows one thumbnail."""
        return f"{self.columns * 100}% {self.rows * 100}%"

    @property
    def rows(self) -> int:
        """Rows of thumbnails."""
        return -(-self.count // self.columns)

    def position(self, index: int) -> str:
        """The CSS position of a background that shows a thumbnail."""
        row, column = divmod(index, self.columns)
        return f"{_percent(column, self.columns)}% {_percent(row, self.rows)}%"


def sprite_sheet(tiles: Sequence[Tile], largest: int = 160) -> Sprites:
    """The thumbnails of tiles, as squares, as models see them: smaller, the more there are, and at most ``largest``."""
    side = min(largest, next(side for count, side in _SIDES if len(tiles) <= count))
    columns = max(1, math.ceil(math.sqrt(len(tiles))))
    sheet = Image.new("RGB", (columns * side, -(-len(tiles) // columns) * side))
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        thumbnail = tile.image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
        sheet.paste(thumbnail, (column * side, row * side))
    maps, limit = _map_sheet([tile.relevance for tile in tiles], columns)
    return Sprites(jpeg(sheet, _QUALITY), maps, len(tiles), columns, side, limit)


def webp(image: Image.Image, quality: int) -> str:
    """The image as a data URI."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="WEBP", quality=quality)
    return _uri(buffer, "webp")


def jpeg(image: Image.Image, quality: int) -> str:
    """The image as a data URI."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=quality)
    return _uri(buffer, "jpeg")


def png(image: Image.Image, **options: Any) -> str:
    """The image as a data URI, without loss."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, **options)
    return _uri(buffer, "png")


def _map_sheet(maps: Sequence[Array | None], columns: int) -> tuple[str, float]:
    """A sheet with one pixel a cell, and where its colours end: the largest cell of a typical map."""
    present = [one for one in maps if one is not None]
    if not present:
        return "", 0.0
    height, width = (min(side, _FINEST) for side in present[0].shape)
    cells = [np.zeros((height, width)) if one is None else _fractions(one, (width, height)) for one in maps]
    largest = [float(np.abs(one).max()) for one in cells]
    limit = float(np.median([value for value in largest if value > 0] or [1.0]))
    sheet = np.zeros((-(-len(cells) // columns) * height, columns * width))
    for index, one in enumerate(cells):
        row, column = divmod(index, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = one
    levels = np.rint(np.clip(sheet / limit, -1, 1) * _LEVELS) + _LEVELS
    picture = Image.fromarray(levels.astype(np.uint8), "P")
    palette = [(_RED if level > _LEVELS else _BLUE) for level in range(2 * _LEVELS + 1)]
    picture.putpalette([channel for colour in palette for channel in colour])
    # the power makes faint relevance visible; some of the picture is seen under the strongest
    opacity = [round(230 * abs(level / _LEVELS - 1) ** 0.7) for level in range(2 * _LEVELS + 1)]
    return png(picture, transparency=bytes(opacity)), limit


def _fractions(values: Array, size: tuple[int, int]) -> Array:
    """A map as fractions of its absolute sum, averaged over the cells of a grid of ``size`` (width, height)."""
    finite = np.nan_to_num(values, posinf=0.0, neginf=0.0).astype(np.float32)
    if finite.shape[::-1] != size:
        finite = np.asarray(Image.fromarray(finite).resize(size, Image.Resampling.BOX))
    pooled = finite.astype(float)
    fractions: Array = pooled / (np.abs(pooled).sum() or 1.0)
    return fractions


def _percent(index: int, count: int) -> float:
    return round(100 * index / (count - 1), 6) if count > 1 else 0.0


def _uri(buffer: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
