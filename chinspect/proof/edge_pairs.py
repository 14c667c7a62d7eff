"""Which images have edges in common in the same place: a mark that was laid over them shows itself so, without a model.

Of each image what remains without its blur is compared, less the median of all images, in overlapping cells of a
seventh of the side. With the cosines c of two images' cells, the agreement at a shift s of one of them is

    v_s = sum over cells of max(c_s - 0.2, 0),        t_s = (v_s - max of the others) / (sqrt(mean of all) + 0.3),

where the others are those at the 24 other shifts. Stripes agree at each shift, what is alike and not the same at those
nearby, and a mark at none but its own: so each pair is measured by itself, and a sum of rare excesses spreads as the
root of its mean. A pair agrees beyond chance where its t without a shift exceeds that of *every* pair at *every* shift.
Were no shift special, that would happen in any pair of one data set in 25 (4 %; one level for all pairs by the maximum:
Nichols and Holmes 2002).

Two carriers suffice, since nothing but the two is asked. Of 120 photographs, six with ImageNet-W's watermark or a text
logo, 12 to 15 of the 15 pairs of carriers agree in each of three draws, and up to two others. Drawings that share
shapes agree in these, too, but not each with each. What half of the images have, or more, is taken for what all have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chinspect.artefacts import Layer, Pixels
from chinspect.proof.edges import outlines

_SIDE = 112  # pixels: strokes of letters that a network of 224 pixels reads are still there
_CELL = 16  # pixels: a letter or two
_STARTS = range(0, _SIDE - _CELL + 1, _CELL // 2)
_CORNERS = [(row, column) for row in _STARTS for column in _STARTS]
_CHANCE = 0.2  # cosine: two standard deviations of cells of different photographs, which one in forty exceeds
_STEADY = 0.3  # so that a pair that agrees nowhere is not measured by next to nothing
_FLAT = 0.02  # root mean square of a cell, in [0, 1]: in cells with less there is rounding and noise of compression
_MAPPED = 400  # as many pairs as are compared with each other (`chinspect.audit.sites`)
_SAME = 0.5  # cosine, and fraction of cells, from which on two images are one, saved, cropped or photographed twice
_DIRECTIONS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
_SHIFTS = [(round(r * _SIDE * y), round(r * _SIDE * x)) for r in (0.02, 0.04, 0.06) for y, x in _DIRECTIONS]
"""Strokes of letters are as wide as the first, and what is within the last has the same texture."""


@dataclass(frozen=True, eq=False)
class EdgePairs:
    """Images that have edges in common.

    Attributes:
        scores: (N, N), t of each two images without a shift; 0 of an image with itself, and of images that are one.
        chance: the largest t of any two images at any shift.
        pairs: (M, 2), indices of those that exceed it, the clearest first.
        maps: (at most 400, 13, 13), where the first of these agree: cosines of cells beyond .2.
    """

    scores: Layer
    chance: float
    pairs: NDArray[np.intp]
    maps: Layer


def compare_edges(images: Sequence[Pixels]) -> EdgePairs:
    """Compares all pairs of some images, uint8 (H, W, 3) of any sizes, in the order of N^2.

    A thousand photographs of 224 pixels take half a minute of one core and .8 GB, a hundred half a second.
    """
    edges = np.stack([outlines(image, _SIDE) for image in images])
    edges -= np.median(edges, axis=0)  # what all images have, as a frame, tells no two of them from others
    agreement = np.zeros((1 + len(_SHIFTS), len(images), len(images)), np.float32)
    same = np.zeros(agreement.shape[1:], np.float32)
    for corner in _CORNERS:
        cell = _cell(edges, *corner)
        for n, (down, right) in enumerate([(0, 0), *_SHIFTS]):
            cosines = cell @ _cell(edges, corner[0] + down, corner[1] + right).T
            if n == 0:
                same += cosines > _SAME
            agreement[n] += (cosines - _CHANCE).clip(0)
    once = np.triu(same <= _SAME * len(_CORNERS), 1)  # each pair, without images that are one
    scores = _studentised(agreement) * once
    chance = float(scores[1:].max(initial=0))
    pairs = np.argwhere(scores[0] > chance)
    pairs = pairs[np.argsort(-scores[0][tuple(pairs.T)], kind="stable")]
    return EdgePairs(scores[0] + scores[0].T, chance, pairs, _maps(edges, pairs[:_MAPPED]))


def _studentised(agreement: Layer) -> Layer:
    """Of each shift beside the others: (25, N, N)."""
    second, largest = np.partition(agreement, -2, axis=0)[-2:]
    others = np.where(agreement == largest, second, largest)
    result: Layer = (agreement - others) / (np.sqrt(agreement.mean(0)) + _STEADY)
    return result


def _maps(edges: Layer, pairs: NDArray[np.intp]) -> Layer:
    """Where pairs agree, (M, 13, 13)."""
    cells = (_cell(edges, *corner) for corner in _CORNERS)
    agree = [np.einsum("mk,mk->m", cell[pairs[:, 0]], cell[pairs[:, 1]]) for cell in cells]
    return (np.stack(agree, axis=1) - _CHANCE).clip(0).reshape(len(pairs), len(_STARTS), len(_STARTS))


def _cell(edges: Layer, row: int, column: int) -> Layer:
    """Of all images one cell as vectors of length 1, (N, 256), across borders from the other side."""
    rows, columns = (np.arange(start, start + _CELL) % _SIDE for start in (row, column))
    vectors = edges[:, rows[:, None], columns].reshape(len(edges), -1)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Layer = vectors / np.maximum(lengths, _FLAT * _CELL)
    return result
