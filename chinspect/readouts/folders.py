"""Labelled images on disk: one folder a class.

::

    root/train/CLASS/*.jpg                 root/CLASS/*.jpg
    root/{test,val}/CLASS/*.jpg

Where there is no split on disk, a seeded one is made, by class: three in ten images of each are for the test. Images
come `interleaved`, so that the first few of them stand for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import list_images

TEST_SHARE = 0.3
_TESTS = ("test", "val")
_PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}


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
    test = next((name for name in _TESTS if (folder / name).is_dir()), None)
    if (folder / "train").is_dir():
        if test is None:
            raise InputError(f"{str(root)!r} has 'train' and neither 'test' nor 'val'.")
        train, judged = _listed(folder, folder / "train"), _listed(folder, folder / test)
        _check_classes(train, judged)
        return Split(train, judged)
    return split(_listed(folder, folder), TEST_SHARE, seed=seed)


def split(samples: Samples, share: float, *, seed: int) -> Split:
    """A seeded split by class; ``share`` of each class, and one image at least, is for the test."""
    labels = np.array(samples.labels)
    chosen = np.zeros(len(labels), dtype=bool)
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            raise InputError(f"The class {str(label)!r} has one image, and a split takes two at least.")
        chosen[rows[: max(round(share * len(rows)), 1)]] = True
    return Split(_subset(samples, ~chosen), _subset(samples, chosen))


def interleaved(samples: Samples) -> Samples:
    """The images in another order, always the same one: any first part holds the classes in about their shares.

    Within a class the order is random.
    """
    labels, place = np.array(samples.labels), np.empty(len(samples))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        place[rows] = (np.random.default_rng(0).permutation(len(rows)) + 0.5) / len(rows)
    return _subset(samples, np.argsort(place, kind="stable"))


def read_groups(path: str | Path, samples: Samples) -> list[str]:
    """The group of each image from a CSV file with the columns ``path`` (relative to the data) and ``group``.

    Raises `InputError` if the file cannot be read or leaves an image out.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise InputError(
            f"there is no file of groups {str(path)!r}: give a CSV with the columns path, group."
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"the groups {str(path)!r} cannot be read ({error}).") from error
    if not {"path", "group"} <= set(table.columns):
        raise InputError(f"the groups {str(path)!r} need the columns path and group, not {', '.join(table.columns)}.")
    groups: Mapping[str, str] = dict(zip(table["path"], table["group"], strict=True))
    missing = [name for name in samples.names if name not in groups]
    if missing:
        raise InputError(f"the groups {str(path)!r} leave out {len(missing)} test images, such as {missing[0]!r}.")
    return [groups[name] for name in samples.names]


def _listed(root: Path, folder: Path) -> Samples:
    paths = [path for path in list_images(folder) if len(path.relative_to(folder).parts) > 1]
    labels = tuple(path.relative_to(folder).parts[0] for path in paths)
    if len(set(labels)) < 2:
        raise InputError(f"{str(folder)!r} must have one folder for each of two classes or more.")
    part = next((label for label in sorted(set(labels)) if label.casefold() in _PARTS), None)
    if part is not None:
        raise InputError(
            f"{str(folder / part)!r} looks like a part of a data set, not like a class: name the parts 'train' and "
            "'test' or 'val', each with one folder a class."
        )
    return interleaved(Samples(root, tuple(path.relative_to(root).as_posix() for path in paths), labels))


def _check_classes(train: Samples, test: Samples) -> None:
    unknown = sorted(set(test.labels or ()) - set(train.labels or ()))
    if unknown:
        raise InputError(f"The class {unknown[0]!r} of the test has no images in 'train'.")


def _subset(samples: Samples, rows: np.ndarray) -> Samples:
    names, labels = np.array(samples.names, dtype=object), np.array(samples.labels, dtype=object)
    return Samples(samples.root, tuple(names[rows]), tuple(labels[rows]))
