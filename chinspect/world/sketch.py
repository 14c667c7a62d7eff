"""Flat-coloured figures made of polygons, drawn with antialiasing through one affine pose."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from chinspect.world.scene import Image

Colour = tuple[int, int, int]
Point = tuple[float, float]
Shape = tuple[NDArray[np.float64], Colour]
"""Corners (K, 2) of a polygon, x to the right, y down, and what fills it."""
Drawing = list[Shape]
"""Shapes from back to front."""
Figure = Callable[[Generator, Colour, Colour], Drawing]
"""The drawing of an object for a colour of its body and an accent; the rest is drawn at random."""

SUPERSAMPLING = 2
"""Each pixel is the mean of 2 x 2: enough for soft edges, at a quarter of the cost of 4 x 4."""


@dataclass(frozen=True)
class Pose:
    """Where a figure goes: its unit length in pixels, rotation in radians, mirroring, and the pixel of its origin."""

    unit: float
    angle: float
    mirrored: bool
    x: float
    y: float

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Figure coordinates (x to the right, y down) to pixels: (K, 2) -> (K, 2)."""
        sign = -1.0 if self.mirrored else 1.0
        cos = self.unit * np.cos(self.angle)
        sin = self.unit * np.sin(self.angle)
        return points @ np.array([[sign * cos, sign * sin], [-sin, cos]]) + (self.x, self.y)


def named(*figures: Figure) -> dict[str, Figure]:
    """Figures by the names of their functions, such as "tow truck"."""
    return {figure.__name__.replace("_", " "): figure for figure in figures}


def polygon(colour: Colour, *points: Point) -> Shape:
    """A filled polygon."""
    return np.array(points, dtype=np.float64), colour


def trapezoid(colour: Colour, base: float, top: float, *x: float) -> Shape:
    """A polygon of four corners between two levels, such as a window: x of base, top, top and base, in this order."""
    return polygon(colour, *zip(x, (base, top, top, base), strict=True))


def box(colour: Colour, left: float, top: float, right: float, bottom: float) -> Shape:
    """A filled rectangle."""
    return polygon(colour, (left, top), (right, top), (right, bottom), (left, bottom))


def ellipse(colour: Colour, x: float, y: float, rx: float, ry: float, corners: int = 18) -> Shape:
    """A filled ellipse."""
    return circle(corners) * (rx, ry) + (x, y), colour


def limb(colour: Colour, start: Point, end: Point, width: float) -> Shape:
    """A straight bar between two points."""
    ends = np.array([start, end], dtype=np.float64)
    along = ends[1] - ends[0]
    # a bar without a length has no direction, and must not divide by zero
    across = np.array([-along[1], along[0]]) * (width / 2 / max(float(np.hypot(*along)), 1e-9))
    return np.concatenate([ends + across, (ends - across)[::-1]]), colour


def shade(colour: Colour, factor: float) -> Colour:
    """A darker (factor < 1) or brighter (factor > 1) variant of a colour."""
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue


def paint(image: Image, figure: Drawing, pose: Pose) -> tuple[Image, Image]:
    """Draw a figure over an image; also return its opacity, (H, W) in 0..255: above 0 it shows, at 255 it hides."""
    height, width = image.shape[:2]
    layer = Pillow.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    cover = Pillow.new("L", layer.size)
    draw = ImageDraw.Draw(layer)
    draw_cover = ImageDraw.Draw(cover)
    for points, colour in figure:
        outline = (pose(points) * SUPERSAMPLING).ravel().tolist()
        draw.polygon(outline, fill=colour)
        draw_cover.polygon(outline, fill=255)
    opacity = np.asarray(cover.reduce(SUPERSAMPLING))
    return blend(image, np.asarray(layer.reduce(SUPERSAMPLING)), opacity), opacity


def blend(image: Image, layer: Image, cover: Image) -> Image:
    """Put a layer drawn on black over an image. `cover` (H, W) is its opacity, 0..255."""
    # in 16 bits, where 255 * 255 fits, and rounded by the 127
    see_through = 255 - cover.astype(np.uint16)[..., None]
    return np.minimum(layer + (image * see_through + 127) // 255, 255).astype(np.uint8)


@lru_cache
def circle(corners: int) -> NDArray[np.float64]:
    """Points on the unit circle, (corners, 2)."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
