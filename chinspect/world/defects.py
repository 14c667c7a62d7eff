"""Defects of surfaces: a change of grey levels in a small window, and where it is."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Window = NDArray[np.float32]
"""Change of the grey levels, (w, w): a window around the defect."""

_VISIBLE = 0.15  # of the largest change: where a defect ends


def scratch(rng: np.random.Generator, size: int) -> Window:
    """A bright or dark line, bent and as thin as a few pixels."""
    length, bend = size * rng.uniform(0.06, 0.28), rng.uniform(-0.25, 0.25)
    window, centre = _empty(length)
    t = np.linspace(-0.5, 0.5, 24)
    angle = rng.uniform(0, np.pi)
    x, y = length * t, length * bend * (4 * t**2 - 0.5)
    line = np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], axis=1) + centre
    thickness = max(round(size * rng.uniform(0.003, 0.010)), 1)
    cv2.polylines(window, [np.round(16 * line).astype(np.int32)], False, 1.0, thickness, cv2.LINE_AA, 4)
    contrast = rng.uniform(50, 120) * (1 if rng.random() < 0.5 else -1)
    return _soft(window, 0.0015 * size) * np.float32(contrast)


def stain(rng: np.random.Generator, size: int) -> Window:
    """A dark spot with a lobed outline: oil or rust."""
    radius = size * rng.uniform(0.018, 0.07)
    window, centre = _empty(3 * radius)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    lobes = np.ones_like(angles)
    for waves in (2, 3, 5):
        lobes += rng.uniform(-0.18, 0.18) * np.cos(waves * angles + rng.uniform(0, 2 * np.pi))
    outline = radius * lobes[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1) + centre
    cv2.fillPoly(window, [np.round(16 * outline).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return _soft(window, 0.005 * size) * np.float32(-rng.uniform(28, 85))


def dent(rng: np.random.Generator, size: int) -> Window:
    """A hollow: one flank is lit, the other lies in shadow."""
    radius = size * rng.uniform(0.015, 0.05)
    window, centre = _empty(6 * radius)
    y, x = np.indices(window.shape, dtype=np.float32) - centre
    hollow = np.exp(-(x**2 + y**2) / (2 * radius**2))
    slope = (x + y) / radius * hollow
    result: Window = (rng.uniform(40, 105) * slope / np.abs(slope).max()).astype(np.float32)
    return result


DEFECTS: dict[str, Callable[[np.random.Generator, int], Window]] = {"dent": dent, "scratch": scratch, "stain": stain}
"""Defects by name; each takes a generator and the width of the image in pixels."""


def place(window: Window, size: int, x: float, y: float) -> tuple[Window, NDArray[np.bool_]]:
    """The change of a whole image, (size, size), with the window's centre at pixel (x, y), and the defect's mask."""
    change = np.zeros((size, size), dtype=np.float32)
    left, top = round(x) - window.shape[1] // 2, round(y) - window.shape[0] // 2
    rows, columns = _inside(top, window.shape[0], size), _inside(left, window.shape[1], size)
    change[rows, columns] = window[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return change, np.abs(change) > _VISIBLE * np.abs(window).max()


def _inside(start: int, length: int, size: int) -> slice:
    return slice(max(start, 0), min(start + length, size))


def _empty(extent: float) -> tuple[Window, float]:
    """A window for a figure of this extent, with room for blur, and the coordinate of its centre."""
    width = 2 * round(0.7 * extent) + 17
    return np.zeros((width, width), dtype=np.float32), (width - 1) / 2


def _soft(window: Window, sigma: float) -> Window:
    return np.asarray(cv2.GaussianBlur(window, (0, 0), max(sigma, 0.3)), dtype=np.float32)
