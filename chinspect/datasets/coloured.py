"""Coloured MNIST: digits whose class a colour tells in training, so that a classifier need not look at their shape.

Two variants have the name. That of ExMap (Chakraborty, Sletten, Kampffmeyer 2024, arXiv:2403.13870): 50,000 images to
train on, 10,000 to validate and 10,000 to test, the class is whether the digit is larger than 4, and the colour agrees
with it in 99 of 100 images, in the test split as well. That of invariant risk minimisation (Arjovsky et al. 2019,
arXiv:1907.02893): one label in four is wrong, and the colour agrees with the label in 80 and 90 of 100 training images,
half of them each, and in 10 of 100 test images.

More attributes than the colour are a white square whose place along the upper edge, and a grey one whose place along
the lower edge agrees with the class, each on its own.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chinspect.errors import InputError

Variant = Literal["exmap", "irm"]
ATTRIBUTES = ("colour", "white square", "grey square")
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_TRAIN = 50_000
_SQUARE = 4  # pixels, as wide as a stroke of a digit


@dataclass(frozen=True, eq=False)
class ColouredDigits:
    """One split.

    Attributes:
        images: (N, 28, 28, 3) uint8.
        labels: (N,), from 0 to the number of classes less one.
        attributes: (N, k), of the same values; the columns are the first of `ATTRIBUTES`.
        digits: (N,), what is really seen.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    attributes: NDArray[np.int64]
    digits: NDArray[np.int64]


def coloured_mnist(
    path: str | Path,
    *,
    variant: Variant = "exmap",
    n_classes: int = 2,
    n_attributes: int = 1,
    agreement: float = 0.99,
    balanced_test: bool = False,
    limit: int | None = None,
    random_state: int = 0,
) -> dict[str, ColouredDigits]:
    """The splits ``train``, ``val`` and ``test``.

    Args:
        path: an .npz file with ``train_images`` (60000, 28, 28), ``train_labels``, ``test_images``, ``test_labels``.
        variant: ``exmap`` or ``irm``, see the module.
        n_classes: 2 to 10; the class is ``digit * n_classes // 10``.
        n_attributes: 1 to 3.
        agreement: of ``exmap``: how often each attribute agrees with the class, in all splits.
        balanced_test: let attributes of the test split be independent of the class, so that no group is small.
        limit: at most so many images a split.
        random_state: seed of the split, of attributes and of wrong labels.

    Raises `InputError` for a file that is none, and for values out of range.
    """
    if variant not in ("exmap", "irm"):
        raise InputError(f"coloured MNIST has the variants exmap and irm, not {variant!r}.")
    if not 2 <= n_classes <= 10 or not 1 <= n_attributes <= len(ATTRIBUTES) or not 0 <= agreement <= 1:
        raise InputError(
            f"coloured MNIST has 2 to 10 classes, 1 to 3 attributes and an agreement in [0, 1], not {n_classes}, "
            f"{n_attributes} and {agreement}."
        )
    generator = np.random.default_rng(random_state)
    images, digits = _read(Path(path), generator)
    ends = {"train": (0, _TRAIN), "val": (_TRAIN, 60_000), "test": (60_000, len(digits))}
    splits = {}
    for name, (start, end) in ends.items():
        own = slice(start, end if limit is None else min(end, start + limit))
        labels = digits[own] * n_classes // 10
        if variant == "irm":
            labels = _otherwise(labels, np.full(len(labels), 0.75), n_classes, generator)
        agrees = (
            1 / n_classes if name == "test" and balanced_test else _agreement(variant, name, agreement, len(labels))
        )
        columns = [_otherwise(labels, agrees, n_classes, generator) for _ in range(n_attributes)]
        attributes = np.stack(columns, axis=1)
        painted = _painted(images[own], attributes, n_classes)
        splits[name] = ColouredDigits(painted, labels, attributes, digits[own])
    return splits


def _read(path: Path, generator: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images and digits, those to train on first; each part in random order, since some files are sorted by digit."""
    try:
        with np.load(path, allow_pickle=False) as file:
            train, train_labels, test, test_labels = (file[name] for name in _ARRAYS)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{str(path)!r} holds no MNIST, an .npz file with {', '.join(_ARRAYS)} ({error}).") from error
    if train.shape != (60_000, 28, 28) or test.shape[1:] != (28, 28) or train.dtype != np.uint8:
        raise InputError(f"{str(path)!r} holds no MNIST: its images are {train.shape} {train.dtype}.")
    order = np.concatenate([generator.permutation(len(train)), len(train) + generator.permutation(len(test))])
    digits = np.concatenate([train_labels, test_labels]).astype(np.int64)
    return np.concatenate([train, test])[order], digits[order]


def _agreement(variant: Variant, split: str, agreement: float, count: int) -> NDArray[np.float64] | float:
    """How often an attribute agrees with the label; of IRM's training split 0.8 in one half and 0.9 in the other."""
    if variant == "exmap":
        return agreement
    return 0.1 if split == "test" else np.where(np.arange(count) % 2, 0.9, 0.8)


def _otherwise(
    values: NDArray[np.int64], kept: NDArray[np.float64] | float, count: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Values that stay with the probability ``kept``, and else become another one of ``count``, each as likely."""
    moved = (values + generator.integers(1, count, len(values))) % count
    return np.where(generator.random(len(values)) < kept, values, moved)


def _painted(images: NDArray[np.uint8], attributes: NDArray[np.int64], n_classes: int) -> NDArray[np.uint8]:
    """Digits in colours, and squares; two colours are red and green, more are spread over the circle of hues."""
    hues = (0, 1 / 3) if n_classes == 2 else np.arange(n_classes) / n_classes
    colours = np.round([[255 * value for value in colorsys.hsv_to_rgb(hue, 1, 1)] for hue in hues]).astype(np.uint16)
    painted = (images[..., None] * colours[attributes[:, 0], None, None] // 255).astype(np.uint8)
    corners = np.linspace(0, 28 - _SQUARE, n_classes).astype(int)
    for column, (top, value) in enumerate(((0, 255), (28 - _SQUARE, 128))[: attributes.shape[1] - 1], 1):
        for index, left in enumerate(corners[attributes[:, column]]):
            painted[index, top : top + _SQUARE, left : left + _SQUARE] = value
    return painted
