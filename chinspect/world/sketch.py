"""Flat-coloured figures made of polygons, drawn with antialiasing through one affine pose."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from chinspect.world.scene import Image

Colour = tuple[int, int, int]
Point = tuple[float, float]
Cover = NDArray[np.uint8]
Part = tuple[NDArray[np.float64], Colour]

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Pose:
    """Where a figure goes: its unit length in pixels, rotation in radians, mirroring and the place of its origin."""

    unit: float
    angle: float
    mirrored: bool
    x: float
    y: float

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Figure coordinates (x to the right, y down) to pixels: (K, 2) -> (K, 2)."""
        sign = -1.0 if self.mirrored else 1.0
        cos, sin = self.unit * np.cos(self.angle), self.unit * np.sin(self.angle)
        return points @ np.array([[sign * cos, sign * sin], [-sin, cos]]) + (self.x, self.y)


def polygon(points: list[Point], colour: Colour) -> Part:
    """A filled polygon."""
    return np.array(points, dtype=np.float64), colour


def box(left: float, top: float, right: float, bottom: float, colour: Colour) -> Part:
    """A filled rectangle."""
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)


def ellipse(x: float, y: float, rx: float, ry: float, colour: Colour, corners: int = 18) -> Part:
    """A filled ellipse."""
    return _circle(corners) * (rx, ry) + (x, y), colour


def limb(start: Point, end: Point, width: float, colour: Colour) -> Part:
    """A straight bar between two points."""
    a, b = np.array(start, dtype=np.float64), np.array(end, dtype=np.float64)
    across = np.array([a[1] - b[1], b[0] - a[0]])
    across *= width / 2 / max(float(np.hypot(*across)), 1e-9)
    return np.stack([a + across, b + across, b - across, a - across]), colour


def shade(colour: Colour, factor: float) -> Colour:
    """A darker (factor < 1) or brighter (factor > 1) variant of a colour."""
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue


def paint(image: Image, parts: list[Part], pose: Pose) -> tuple[Image, Cover]:
    """Draw a figure over an image; also return its opacity, (H, W) in 0..255: above 0 it shows, at 255 it hides."""
    height, width = image.shape[:2]
    layer = Pillow.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    cover = Pillow.new("L", layer.size)
    draw, draw_cover = ImageDraw.Draw(layer), ImageDraw.Draw(cover)
    corners = pose(np.concatenate([points for points, _ in parts])) * SUPERSAMPLING
    start = 0
    for points, colour in parts:
        outline = corners[start : start + len(points)].ravel().tolist()
        draw.polygon(outline, fill=colour)
        draw_cover.polygon(outline, fill=255)
        start += len(points)
    opacity = np.asarray(cover.reduce(SUPERSAMPLING))
    return blend(image, np.asarray(layer.reduce(SUPERSAMPLING)), opacity), opacity


def blend(image: Image, layer: Image, cover: Cover) -> Image:
    """Put a layer drawn on black over an image. `cover` (H, W) is its opacity, 0..255."""
    see_through = 255 - cover.astype(np.uint16)[..., None]
    mixed = layer + (image * see_through + 127) // 255
    blended: Image = np.minimum(mixed, 255).astype(np.uint8)
    return blended


@lru_cache
def _circle(corners: int) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
