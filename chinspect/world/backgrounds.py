"""Textured backgrounds: something far away above a ground. Which one is drawn does not depend on the class."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image as Pillow

from chinspect.world.scene import Image
from chinspect.world.sketch import Colour

Texture = NDArray[np.floating]
"""(H, W, 3), about 0..255."""


@dataclass(frozen=True)
class Strip:
    """A horizontal strip of the image to fill, and the random numbers for it."""

    rng: Generator
    height: int
    width: int

    def noise(self, rows: int, columns: int) -> Texture:
        """Smooth noise in [0, 1] with `rows` x `columns` random nodes: (height, width, 1)."""
        nodes = Pillow.fromarray(self.rng.random((rows, columns), dtype=np.float32))
        return np.asarray(nodes.resize((self.width, self.height), Pillow.Resampling.BILINEAR))[..., None]

    def tint(self, colour: Colour, spread: int = 20) -> Texture:
        """The colour, each channel changed by up to `spread`: (3,)."""
        return (np.array(colour) + self.rng.uniform(-spread, spread, 3)).astype(np.float32)


def background(rng: Generator, size: int) -> tuple[Image, str]:
    """A square background with a random horizon and light; also its name, such as "city, grass"."""
    far, ground = (options[rng.integers(len(options))] for options in (FAR, GROUND))
    horizon = int(size * rng.uniform(0.3, 0.65))
    canvas = np.empty((size, size, 3), dtype=np.float32)
    canvas[:horizon] = far(Strip(rng, horizon, size))
    canvas[horizon:] = ground(Strip(rng, size - horizon, size))
    grain = rng.random((size, size, 1), dtype=np.float32) * 8 - 4
    light = rng.uniform(0.8, 1.05)
    return ((canvas + grain) * light).clip(0, 255).astype(np.uint8), f"{far.__name__}, {ground.__name__}"


def sky(strip: Strip) -> Texture:
    """Blue to pale, with clouds."""
    clouds = strip.noise(5, 4).clip(0.45, 1) - 0.45
    ramp = np.linspace(0, 1, strip.height, dtype=np.float32)[:, None, None]
    return _mix(strip.tint((90, 150, 225)), (205, 225, 240), ramp) + 130 * clouds


def city(strip: Strip) -> Texture:
    """Rows of houses with lit and dark windows."""
    rng = strip.rng
    width = strip.width
    canvas = sky(strip)
    left = 0
    pitch = max(width // 32, 2)
    while left < width:
        right = left + int(rng.integers(width // 9, width // 4))
        house = canvas[int(rng.uniform(0, 0.6) * strip.height) :, left:right]
        house[:] = strip.tint((140, 125, 120), 25)
        windows = house[pitch : -pitch or None : 2 * pitch, pitch:-pitch]
        lit = np.arange(windows.shape[1]) // pitch % 2 == 0
        windows[:] = np.where(lit[:, None], strip.tint((105, 105, 115)), windows)
        for row in range(1, max(width // 64, 1)):
            house[pitch + row :: 2 * pitch][: len(windows)] = house[pitch :: 2 * pitch][: len(windows)]
        left = right
    return canvas


def forest(strip: Strip) -> Texture:
    """Trunks and leaves."""
    leaves = strip.noise(16, 20)
    trunks = strip.noise(1, 24) > 0.72
    return np.where(trunks, strip.tint((70, 68, 45), 10), strip.tint((40, 90, 40)) * (0.7 + 0.6 * leaves))


def wall(strip: Strip) -> Texture:
    """Bricks."""
    course = max(strip.width // 20, 4)
    mortar = max(strip.width // 128, 1)
    rows, columns = np.ogrid[: strip.height, : strip.width]
    # every second course is shifted by half a brick
    joints = (rows % course < mortar) | ((columns + rows // course % 2 * course) % (2 * course) < mortar)
    tone = 0.85 + 0.3 * strip.noise(8, 8)
    return np.where(joints[..., None], strip.tint((185, 130, 110)), strip.tint((165, 90, 70), 25) * tone)


def road(strip: Strip) -> Texture:
    """Asphalt with a dashed line."""
    canvas = strip.tint((95, 95, 100), 15) * (0.85 + 0.3 * strip.noise(24, 24))
    row = int(strip.height * strip.rng.uniform(0.3, 0.8))
    dash = max(strip.width // 8, 2)
    shift = int(strip.rng.integers(2 * dash))
    canvas[row : row + max(strip.height // 18, 1), (np.arange(strip.width) + shift) % (2 * dash) < dash] = 225
    return canvas


def grass(strip: Strip) -> Texture:
    """Short upright blades."""
    blades = strip.noise(12, 64)
    return strip.tint((85, 140, 60)) * (0.75 + 0.5 * blades)


def water(strip: Strip) -> Texture:
    """Flat waves."""
    waves = (0.8 * strip.noise(20, 5) - 0.2).clip(0, 1)
    return _mix(strip.tint((50, 110, 165)), (175, 215, 230), waves)


def sand(strip: Strip) -> Texture:
    """Fine grain on soft dunes."""
    dunes = 0.6 * strip.noise(4, 3) + 0.4 * strip.noise(48, 48)
    return strip.tint((210, 185, 135)) * (0.8 + 0.3 * dunes)


def _mix(start: Texture, end: Colour, fraction: Texture) -> Texture:
    return start * (1 - fraction) + np.array(end, dtype=np.float32) * fraction


FAR = (sky, city, forest, wall)
GROUND = (road, grass, water, sand)
