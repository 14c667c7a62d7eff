"""What an inspection camera sees: a machined flange on a conveyor, or a sheet of rolled metal, and defects of both."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from chinspect.world.sketch import circle

Picture = NDArray[np.float32]
"""Grey levels, 0..255, not rounded: one plane (H, W), or the three of RGB, (3, H, W)."""
Window = NDArray[np.float32]
"""Change of the grey levels, (w, w): a window around a defect."""

RADIUS = 0.40
"""Radius of the flange in widths of the image; its centre is the image's."""
_FINE_BITS = 10  # OpenCV draws the flange at a 1024th of a pixel
_DEFECT_BITS = 4  # and defects at a 16th
_DEFOCUS = 0.005  # standard deviation of the lens's blur, in widths of the image
_PLACEMENT = 0.002  # largest error of the feeder that places the flange, in widths of the image
_VISIBLE = 0.15  # of the largest change: where a defect ends


@functools.lru_cache(maxsize=2)
def flange(size: int) -> Picture:
    """The flange under a fixed light, (3, H, W), with `margin` pixels around an image of `size`.

    A lens slightly out of focus keeps its edges soft: they would otherwise make up all of a pixel distance.
    """
    around = margin(size)
    side = size + 2 * around
    down = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    picture = np.array([74, 84, 92], np.float32) + 14 * down + np.zeros((1, side, 3), np.float32)

    def disc(x: float, y: float, radius: float, *colour: float) -> None:
        offsets = ((x, around), (y, around), (radius, 0))
        x, y, radius = (round((value * size + offset) * (1 << _FINE_BITS)) for value, offset in offsets)
        cv2.circle(picture, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA, _FINE_BITS)

    def rings(*greys: tuple[float, float]) -> None:
        for radius, grey in greys:
            disc(0.5, 0.5, radius * RADIUS, grey, grey, 1.02 * grey)

    rings((1.0, 126), (0.985, 146), (0.66, 128), (0.645, 152))
    for angle in np.arange(6) * np.pi / 3 + 0.3:
        x = 0.5 + 0.82 * RADIUS * np.cos(angle)
        y = 0.5 + 0.82 * RADIUS * np.sin(angle)
        disc(x, y, 0.095 * RADIUS, 112, 112, 115)
        disc(x, y, 0.075 * RADIUS, 78, 86, 92)
    rings((0.30, 120), (0.28, 138), (0.20, 100), (0.19, 84))
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    light = 1 + 0.10 * (-axis[None, :] - axis[:, None])
    return _planes(cv2.GaussianBlur(picture * light[..., None], (0, 0), _DEFOCUS * size))


def margin(size: int) -> int:
    """How far the flange can lie from its place, in pixels along each axis."""
    return max(round(_PLACEMENT * size), 1)


@functools.lru_cache(maxsize=2)
def sheet(size: int, seed: int) -> Picture:
    """Rolled metal with clouds of tarnish, twice as wide and high as an image, (3, 2 size, 2 size)."""
    rng = default_rng([seed, 90])
    picture = np.full((2 * size, 2 * size), 138, np.float32)
    for cells, depth in ((24, 22), (80, 16), (260, 10)):
        clouds = rng.standard_normal((cells, cells), dtype=np.float32)
        picture += depth * cv2.resize(clouds, (2 * size, 2 * size), interpolation=cv2.INTER_CUBIC)
    return _planes(picture[..., None] * np.array([1.0, 0.99, 0.96], np.float32))


def grain(rng: Generator, size: int, strength: float) -> Picture:
    """Fine structure, (size, size), mean 0 and standard deviation ``strength``: brush marks and grains of one pixel."""
    noise = rng.standard_normal((size, size), dtype=np.float32)
    marks = 3 * cv2.blur(noise, (9, 1))  # the mean of 9 pixels has a third of their standard deviation
    # 0.8^2 + 0.6^2 = 1; shifted, so that marks and grains do not depend on each other
    mixed = cv2.addWeighted(noise, 0.8 * strength, np.roll(marks, size // 3, axis=0), 0.6 * strength, 0)
    return np.asarray(mixed, dtype=np.float32)


def exposure(rng: Generator, size: int, strength: float) -> Picture:
    """Light that changes a little from image to image: a factor (size, size), a plane around 1."""
    level = 1 + strength * rng.standard_normal()
    right, down = strength * rng.standard_normal(2)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    return (level + right * axis[None, :] + down * axis[:, None]).astype(np.float32)


def scratch(rng: Generator, size: int) -> Window:
    """A bright or dark line, bent and as thin as a few pixels."""
    length = size * rng.uniform(0.06, 0.28)
    bend = rng.uniform(-0.25, 0.25)
    window, centre = _empty(length)
    t = np.linspace(-0.5, 0.5, 24)
    angle = rng.uniform(0, np.pi)
    x = length * t
    y = length * bend * (4 * t**2 - 0.5)
    line = np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], axis=1)
    thickness = max(round(size * rng.uniform(0.003, 0.010)), 1)
    cv2.polylines(window, [_fixed(line + centre)], False, 1.0, thickness, cv2.LINE_AA, _DEFECT_BITS)
    contrast = rng.uniform(50, 120) * (1 if rng.random() < 0.5 else -1)
    return _soft(window, 0.0015 * size) * np.float32(contrast)


def stain(rng: Generator, size: int) -> Window:
    """A dark spot with a lobed outline: oil or rust."""
    radius = size * rng.uniform(0.018, 0.07)
    window, centre = _empty(3 * radius)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    lobes = np.ones_like(angles)
    for waves in (2, 3, 5):
        lobes += rng.uniform(-0.18, 0.18) * np.cos(waves * angles + rng.uniform(0, 2 * np.pi))
    outline = radius * lobes[:, None] * circle(40)
    cv2.fillPoly(window, [_fixed(outline + centre)], 1.0, cv2.LINE_AA, _DEFECT_BITS)
    return _soft(window, 0.005 * size) * np.float32(-rng.uniform(28, 85))


def dent(rng: Generator, size: int) -> Window:
    """A hollow: one flank is lit, the other lies in shadow."""
    radius = size * rng.uniform(0.015, 0.05)
    window, centre = _empty(6 * radius)
    y, x = np.indices(window.shape, dtype=np.float32) - centre
    slope = (x + y) / radius * np.exp(-(x**2 + y**2) / (2 * radius**2))
    return (rng.uniform(40, 105) * slope / np.abs(slope).max()).astype(np.float32)


DEFECTS: dict[str, Callable[[Generator, int], Window]] = {"dent": dent, "scratch": scratch, "stain": stain}
"""Defects by name; each takes a generator and the width of the image in pixels."""


def defect_at(window: Window, size: int, x: float, y: float) -> tuple[Picture, NDArray[np.bool_]]:
    """The change of a full image, (size, size), with the window's centre at pixel (x, y), and the defect's mask."""
    width = len(window)
    top, left = (round(centre) - width // 2 + width for centre in (y, x))
    change = np.zeros((size + 2 * width, size + 2 * width), dtype=np.float32)  # with room for windows over the edge
    change[top : top + width, left : left + width] = window
    change = change[width:-width, width:-width]
    return change, np.abs(change) > _VISIBLE * np.abs(window).max()


def _empty(extent: float) -> tuple[Window, float]:
    """A window for a figure of this extent, with room for blur, and the coordinate of its centre."""
    width = 2 * round(0.7 * extent) + 17
    return np.zeros((width, width), dtype=np.float32), (width - 1) / 2


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Coordinates as OpenCV takes them for fractions of pixels."""
    return np.round(points * (1 << _DEFECT_BITS)).astype(np.int32)


def _soft(window: Window, sigma: float) -> Window:
    # below 0.3 the kernel is one pixel
    return np.asarray(cv2.GaussianBlur(window, (0, 0), max(sigma, 0.3)), dtype=np.float32)


def _planes(picture: Any) -> Picture:
    """From (H, W, 3) to planes, and read-only: all images are made of them."""
    planes = np.ascontiguousarray(np.moveaxis(picture, -1, 0), dtype=np.float32)
    planes.setflags(write=False)
    return planes
