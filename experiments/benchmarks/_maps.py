"""Generated relevance maps, 20 x 20 cells whose absolute values sum to 1, with and without planted artefacts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Maps = NDArray[np.float64]
SIDE = 20
ARTEFACTS = ("corner", "border", "text")
NULLS = ("blobs", "fields", "centred", "noise", "imbalanced", "duplicates")
_NOISE = 0.15
"""The fraction of the relevance that is noise."""
_CELLS = np.stack(np.mgrid[:SIDE, :SIDE] + 0.5, -1)


def normalised(maps: Maps) -> Maps:
    """Maps (n, h, w) whose absolute values sum to 1."""
    return maps / np.abs(maps).sum((1, 2), keepdims=True)


def blobs(n: int, rng: np.random.Generator, *, centred: bool = False, bumps: tuple[int, int] = (2, 6)) -> Maps:
    """Objects of a few smooth bumps each (from, below), anywhere, or all near the middle; cut off by the edges."""
    maps = np.zeros((n, SIDE, SIDE))
    for map_ in maps:
        for _ in range(rng.integers(*bumps)):
            centre = rng.normal(SIDE / 2, 1.5, 2) if centred else rng.uniform(0, SIDE, 2)
            map_ += rng.uniform(0.3, 1) * _blob(rng, centre)
    return _noisy(maps, rng)


def fields(n: int, rng: np.random.Generator) -> Maps:
    """Smooth random fields, their positive part squared: relevance in many patches."""
    smooth = gaussian_filter(rng.normal(size=(n, SIDE, SIDE)), (0, 2, 2), mode="reflect")
    return _noisy(np.maximum(smooth, 0) ** 2, rng)


def null_set(kind: str, n: int, rng: np.random.Generator) -> Maps:
    """``n`` maps without an artefact."""
    if kind == "imbalanced":  # one image in ten shows another kind of object, anywhere
        return np.concatenate([blobs(n - n // 10, rng), blobs(n // 10, rng, bumps=(1, 2))])
    if kind == "duplicates":  # a third of the maps is there several times
        unique = blobs(n - n // 3, rng)
        return np.concatenate([unique, unique[rng.integers(0, len(unique) // 4, n // 3)]])
    if kind == "noise":
        return normalised(rng.normal(size=(n, SIDE, SIDE)))
    return fields(n, rng) if kind == "fields" else blobs(n, rng, centred=kind == "centred")


def planted(
    maps: Maps, kind: str, prevalence: float, fraction: float, rng: np.random.Generator, *, jitter: int = 0
) -> tuple[Maps, NDArray[np.int64]]:
    """Maps of which some hold a fraction of their relevance on an artefact, and their indices.

    Its amount varies by a log-normal factor of 15 % from map to map, each of its cells by one of 20 %, and its position
    by up to ``jitter`` cells.
    """
    members = np.sort(rng.choice(len(maps), round(prevalence * len(maps)), replace=False))
    out = maps.copy()
    for i in members:
        amount = min(fraction * np.exp(rng.normal(0, 0.15)), 0.9)
        mark = _mark(kind) * np.exp(rng.normal(0, 0.2, (SIDE, SIDE)))
        if jitter:
            mark = np.roll(mark, rng.integers(-jitter, jitter + 1, 2), (0, 1))
        out[i] = (1 - amount) * out[i] + amount * mark / mark.sum()
    return normalised(out), members


def f1(guess: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """F1 of one set of indices for another."""
    return 2 * len(np.intersect1d(guess, true)) / (len(guess) + len(true))


def _mark(kind: str) -> Maps:
    mark = np.zeros((SIDE, SIDE))
    if kind == "corner":
        mark[16:19, 1:4] = 1
    elif kind == "border":
        mark[[0, -1]] = mark[:, [0, -1]] = 1
    else:
        mark[17:19, 4:16] = np.random.default_rng(1).uniform(0.3, 1, (2, 12))
    return mark


def _blob(rng: np.random.Generator, centre: NDArray[np.float64]) -> Maps:
    angle = rng.uniform(0, np.pi)
    width = rng.uniform(1.2, 3.0)
    stretch = rng.uniform(1, 1.6)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    away = (_CELLS - centre) @ turn / (width * np.array([stretch, 1 / stretch]))
    return np.exp(-0.5 * (away**2).sum(-1))


def _noisy(maps: Maps, rng: np.random.Generator) -> Maps:
    noise = normalised(rng.normal(size=maps.shape))
    return normalised(normalised(maps) + _NOISE * noise)
