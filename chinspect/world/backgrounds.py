"""Textured backgrounds: something far away above a ground. Which one is drawn does not depend on the class."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from chinspect.world.scene import Image

Texture = NDArray[np.floating]
"""(H, W, 3), about 0..255."""


def background(rng: np.random.Generator, size: int) -> tuple[Image, str]:
    """A square background with a random horizon and light; also its name, such as "city, grass"."""
    far, ground = _choice(rng, FAR), _choice(rng, GROUND)
    horizon = int(size * rng.uniform(0.3, 0.65))
    canvas = np.empty((size, size, 3), dtype=np.float32)
    canvas[:horizon] = FAR[far](rng, horizon, size)
    canvas[horizon:] = GROUND[ground](rng, size - horizon, size)
    grain = rng.random((size, size, 1), dtype=np.float32) * 8 - 4
    return ((canvas + grain) * rng.uniform(0.8, 1.05)).clip(0, 255).astype(np.uint8), f"{far}, {ground}"


def sky(rng: np.random.Generator, height: int, width: int) -> Texture:
    """Blue to pale, with clouds."""
    clouds = _noise(rng, height, width, 5, 4)[..., None].clip(0.45, 1) - 0.45
    return _mix(_tint(rng, (90, 150, 225)), (205, 225, 240), _ramp(height)) + 130 * clouds


def city(rng: np.random.Generator, height: int, width: int) -> Texture:
    """Rows of houses with lit and dark windows."""
    canvas = sky(rng, height, width)
    left, pitch = 0, max(width // 32, 2)
    while left < width:
        right = left + int(rng.integers(width // 9, width // 4))
        house = canvas[int(rng.uniform(0, 0.6) * height) :, left:right]
        house[:] = _tint(rng, (140, 125, 120), 25)
        windows = house[pitch : -pitch or None : 2 * pitch, pitch:-pitch]
        windows[:] = np.where(
            (np.arange(windows.shape[1]) // pitch % 2)[:, None] == 0, _tint(rng, (105, 105, 115), 20), windows
        )
        for row in range(1, max(width // 64, 1)):
            house[pitch + row :: 2 * pitch][: len(windows)] = house[pitch :: 2 * pitch][: len(windows)]
        left = right
    return canvas


def forest(rng: np.random.Generator, height: int, width: int) -> Texture:
    """Trunks and leaves."""
    leaves = _noise(rng, height, width, 16, 20)[..., None]
    trunks = _noise(rng, height, width, 1, 24)[..., None] > 0.72
    return np.where(trunks, _tint(rng, (70, 68, 45), 10), _tint(rng, (40, 90, 40)) * (0.7 + 0.6 * leaves))


def wall(rng: np.random.Generator, height: int, width: int) -> Texture:
    """Bricks."""
    course = max(width // 20, 4)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    mortar = max(width // 128, 1)
    joints = (rows % course < mortar) | ((columns + rows // course % 2 * course) % (2 * course) < mortar)
    tone = 0.85 + 0.3 * _noise(rng, height, width, 8, 8)
    return np.where(joints[..., None], _tint(rng, (185, 130, 110)), _tint(rng, (165, 90, 70), 25) * tone[..., None])


def road(rng: np.random.Generator, height: int, width: int) -> Texture:
    """Asphalt with a dashed line."""
    canvas = _tint(rng, (95, 95, 100), 15) * (0.85 + 0.3 * _noise(rng, height, width, 24, 24)[..., None])
    row, dash = int(height * rng.uniform(0.3, 0.8)), max(width // 8, 2)
    shift = int(rng.integers(2 * dash))
    canvas[row : row + max(height // 18, 1), (np.arange(width) + shift) % (2 * dash) < dash] = 225
    return canvas


def grass(rng: np.random.Generator, height: int, width: int) -> Texture:
    """Short upright blades."""
    blades = _noise(rng, height, width, 12, 64)[..., None]
    return _tint(rng, (85, 140, 60)) * (0.75 + 0.5 * blades)


def water(rng: np.random.Generator, height: int, width: int) -> Texture:
    """Flat waves."""
    waves = _noise(rng, height, width, 20, 5)[..., None]
    return _mix(_tint(rng, (50, 110, 165)), (175, 215, 230), (0.8 * waves - 0.2).clip(0, 1))


def sand(rng: np.random.Generator, height: int, width: int) -> Texture:
    """Fine grain on soft dunes."""
    dunes = 0.6 * _noise(rng, height, width, 4, 3) + 0.4 * _noise(rng, height, width, 48, 48)
    return _tint(rng, (210, 185, 135)) * (0.8 + 0.3 * dunes[..., None])


def _noise(rng: np.random.Generator, height: int, width: int, rows: int, columns: int) -> Texture:
    """Smooth noise in [0, 1] with `rows` x `columns` random nodes: (height, width)."""
    nodes = Pillow.fromarray(rng.random((rows, columns), dtype=np.float32))
    return np.asarray(nodes.resize((width, height), Pillow.Resampling.BILINEAR))


def _ramp(height: int) -> Texture:
    return np.linspace(0, 1, height, dtype=np.float32)[:, None, None]


def _mix(start: Texture, end: tuple[int, int, int], share: Texture) -> Texture:
    return start * (1 - share) + np.array(end, dtype=np.float32) * share


def _tint(rng: np.random.Generator, colour: tuple[int, int, int], spread: int = 20) -> Texture:
    return (np.array(colour) + rng.uniform(-spread, spread, 3)).astype(np.float32)


def _choice(rng: np.random.Generator, options: dict[str, Callable[..., Texture]]) -> str:
    return list(options)[rng.integers(len(options))]


FAR: dict[str, Callable[[np.random.Generator, int, int], Texture]] = {
    "sky": sky,
    "city": city,
    "forest": forest,
    "wall": wall,
}
GROUND: dict[str, Callable[[np.random.Generator, int, int], Texture]] = {
    "road": road,
    "grass": grass,
    "water": water,
    "sand": sand,
}
