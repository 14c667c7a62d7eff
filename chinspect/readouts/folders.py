"""Labelled images on disk: one folder a class.

::

    root/train/CLASS/*.jpg                 root/CLASS/*.jpg
    root/{test,val}/CLASS/*.jpg

Where there is no split on disk, a seeded one is made, by class: three in ten images of each are for the test. Images
come `interleaved`, so that the first few of them stand for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.execute import Samples, read_column
from chinspect.images import list_images

_TEST_FRACTION = 0.3  # enough images to judge on, and most of them left to learn from
_TESTS = ("test", "val")
_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}


@dataclass(frozen=True)
class Split:
    """Images to fit on and images to judge on, each with one label; names are relative to the folder of the data."""

    train: Samples
    test: Samples


def load_classes(root: str | Path, *, seed: int = 0) -> Split:
    """List a folder of classes, with its own split or a seeded one.

    Raises `InputError` if the folder is not there, has fewer than two classes, or a class has too few images; if a
    class of the test has no images to learn it from.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"The data set {str(root)!r} does not exist; give a folder with one folder a class.")
    if not (folder / "train").is_dir():
        return split(_listed(folder, folder), _TEST_FRACTION, seed=seed)
    tests = [name for name in _TESTS if (folder / name).is_dir()]
    if not tests:
        raise InputError(f"{str(root)!r} has 'train' and neither 'test' nor 'val'.")
    train = _listed(folder, folder / "train")
    test = _listed(folder, folder / tests[0])
    unknown = sorted(set(test.labels or ()) - set(train.labels or ()))
    if unknown:
        raise InputError(f"The class {unknown[0]!r} of the test has no images in 'train'.")
    return Split(train, test)


def split(samples: Samples, fraction: float, *, seed: int) -> Split:
    """A seeded split by class; ``fraction`` of each class, and one image at least, is for the test."""
    test = np.zeros(len(samples), dtype=bool)
    rng = np.random.default_rng(seed)
    for label, indices in _by_class(samples):
        if len(indices) < 2:
            raise InputError(f"The class {label!r} has one image, and a split takes two at least.")
        test[rng.permutation(indices)[: max(round(fraction * len(indices)), 1)]] = True
    return Split(_subset(samples, np.flatnonzero(~test)), _subset(samples, np.flatnonzero(test)))


def interleaved(samples: Samples) -> Samples:
    """The images in another order, always the same one: the first few hold the classes about as often as all do.

    Within a class the order is random.
    """
    ranks = np.empty(len(samples))
    for _, indices in _by_class(samples):
        order = np.random.default_rng(0).permutation(len(indices))
        ranks[indices] = (order + 0.5) / len(indices)  # half a step from both ends, so that no class comes first
    return _subset(samples, np.argsort(ranks, kind="stable"))


def read_groups(path: str | Path, samples: Samples) -> list[str]:
    """The group of each image from a table with the columns ``path`` and ``group``, see `chinspect.execute`."""
    return read_column(path, samples.names, samples.paths, "group")


def _listed(root: Path, folder: Path) -> Samples:
    paths = [path for path in list_images(folder) if path.parent != folder]
    labels = tuple(path.relative_to(folder).parts[0] for path in paths)
    if len(set(labels)) < 2:
        raise InputError(f"{str(folder)!r} must have one folder for each of two classes or more.")
    for label in sorted(set(labels)):
        if label.casefold() in _SPLITS:
            raise InputError(
                f"{str(folder / label)!r} looks like a part of a data set, not like a class: name the parts 'train' "
                "and 'test' or 'val', each with one folder a class."
            )
    return interleaved(Samples(root, tuple(path.relative_to(root).as_posix() for path in paths), labels))


def _by_class(samples: Samples) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Each label, in alphabetical order, and the indices of its images."""
    labels = np.array(samples.labels)
    for label in np.unique(labels):
        yield str(label), np.flatnonzero(labels == label)


def _subset(samples: Samples, indices: NDArray[np.intp]) -> Samples:
    labels = samples.labels or ()
    return Samples(samples.root, tuple(samples.names[i] for i in indices), tuple(labels[i] for i in indices))
