"""What an inspection camera sees without a defect: a machined flange on a conveyor, or a sheet of rolled metal."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""Grey levels, 0..255, not rounded: one plane (H, W), or the three of RGB, (3, H, W)."""

RADIUS = 0.40
"""Radius of the flange in widths of the image; its centre is the image's."""
_FINE = 1 << 10  # parts of a pixel that OpenCV draws with
_DEFOCUS = 0.005  # standard deviation of the lens's blur, in widths of the image
_PLACEMENT = 0.002  # largest error of the feeder that places the part, in widths of the image


@functools.lru_cache(maxsize=2)
def flange(size: int) -> Picture:
    """The part under a fixed light, (3, H, W), with `margin` pixels around an image of `size`.

    A lens slightly out of focus keeps its edges soft: they would otherwise make up all of a pixel distance.
    """
    around = margin(size)
    whole = size + 2 * around
    down = np.linspace(0, 1, whole, dtype=np.float32)[:, None, None]
    picture = np.array([74, 84, 92], np.float32) + 14 * down + np.zeros((1, whole, 3), np.float32)

    def disc(x: float, y: float, radius: float, *colour: float) -> None:
        fine = [round((value * size + offset) * _FINE) for value, offset in ((x, around), (y, around), (radius, 0))]
        cv2.circle(picture, (fine[0], fine[1]), fine[2], colour, cv2.FILLED, cv2.LINE_AA, _FINE.bit_length() - 1)

    for radius, grey in ((1.0, 126), (0.985, 146), (0.66, 128), (0.645, 152)):
        disc(0.5, 0.5, radius * RADIUS, grey, grey, 1.02 * grey)
    for angle in np.arange(6) * np.pi / 3 + 0.3:
        x, y = 0.5 + 0.82 * RADIUS * np.cos(angle), 0.5 + 0.82 * RADIUS * np.sin(angle)
        disc(x, y, 0.095 * RADIUS, 112, 112, 115)
        disc(x, y, 0.075 * RADIUS, 78, 86, 92)
    for radius, grey in ((0.30, 120), (0.28, 138), (0.20, 100), (0.19, 84)):
        disc(0.5, 0.5, radius * RADIUS, grey, grey, 1.02 * grey)
    return _planes(cv2.GaussianBlur(picture * _light(whole)[..., None], (0, 0), _DEFOCUS * size))


def margin(size: int) -> int:
    """How far a part can lie from its place, in pixels along each axis."""
    return max(round(_PLACEMENT * size), 1)


@functools.lru_cache(maxsize=2)
def sheet(size: int, seed: int) -> Picture:
    """Rolled metal with clouds of tarnish, twice as wide and high as an image, (3, 2 size, 2 size)."""
    rng = np.random.default_rng([seed, 90])
    picture = np.full((2 * size, 2 * size), 138, np.float32)
    for cells, depth in ((24, 22), (80, 16), (260, 10)):
        clouds = rng.standard_normal((cells, cells), dtype=np.float32)
        picture += depth * cv2.resize(clouds, (2 * size, 2 * size), interpolation=cv2.INTER_CUBIC)
    return _planes(picture[..., None] * np.array([1.0, 0.99, 0.96], np.float32))


def grain(rng: np.random.Generator, size: int, strength: float) -> Picture:
    """Fine structure, (size, size), mean 0 and standard deviation ``strength``: brush marks and grains of one pixel."""
    noise = rng.standard_normal((size, size), dtype=np.float32)
    marks = 3 * cv2.blur(noise, (9, 1))  # the mean of 9 pixels has a third of their standard deviation
    mixed = cv2.addWeighted(noise, 0.8 * strength, np.roll(marks, size // 3, axis=0), 0.6 * strength, 0)
    return np.asarray(mixed, dtype=np.float32)


def exposure(rng: np.random.Generator, size: int, strength: float) -> Picture:
    """Light that changes a little from image to image: a factor (size, size), a plane around 1."""
    level, right, down = 1 + strength * rng.standard_normal(), *(strength * rng.standard_normal(2))
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    factor: Picture = (level + right * axis[None, :] + down * axis[:, None]).astype(np.float32)
    return factor


def _light(size: int) -> Picture:
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    return 1 + 0.10 * (-axis[None, :] - axis[:, None])


def _planes(picture: Any) -> Picture:
    """From (H, W, 3) to planes, and read-only: they are shared by all images."""
    planes: Picture = np.ascontiguousarray(np.moveaxis(picture, -1, 0), dtype=np.float32)
    planes.setflags(write=False)
    return planes
