"""What a grouping of images is: a number an image, and what each number means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from chinspect.errors import InputError
from chinspect.report import Result

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Groups(Result):
    """One group an image.

    Attributes:
        ids: (N,), from 0 on; every number occurs.
        names: of the groups, such as ``3, cluster 1``.
        labels: (N,) the class of each image.
        method: what the groups are made from, in words.
    """

    stem = "groups"

    ids: Ids
    names: tuple[str, ...]
    labels: NDArray[np.generic]
    method: str

    @property
    def sentence(self) -> str:
        """How many there are, the smallest, and whether they are more than the classes."""
        sizes = self.sizes
        name = self.names[int(sizes.argmin())]
        count = f"{len(self.names)} groups of {len(self.ids)} images from {self.method}"
        sentence = f"{count}; the smallest, {name}, has {sizes.min()}."
        if len(self.names) == len(np.unique(self.labels)):
            sentence += " They are the classes: nothing was found within one."
        return sentence

    @property
    def sizes(self) -> Ids:
        """Images in each group."""
        return np.bincount(self.ids, minlength=len(self.names))

    def tables(self) -> dict[str, pd.DataFrame]:
        """``groups``: name and size."""
        return {"groups": pd.DataFrame({"group": self.names, "images": self.sizes})}


def numbered(labels: ArrayLike, parts: ArrayLike, method: str, word: str) -> Groups:
    """Groups of the pairs of a class and a part (such as a cluster) that occur, in sorted order.

    Raises `InputError` for lengths that differ, and for no image.
    """
    classes, own = checked_labels(labels, len(np.asarray(parts))), np.asarray(parts)
    class_names, class_ids = np.unique(classes, return_inverse=True)
    part_names, part_ids = np.unique(own, return_inverse=True)
    pairs, ids = np.unique(class_ids * len(part_names) + part_ids, return_inverse=True)
    rows, columns = divmod(pairs, len(part_names))
    names = tuple(f"{class_names[i]}, {word} {part_names[j]}" for i, j in zip(rows, columns, strict=True))
    return Groups(ids.astype(np.int64), names, classes, method)


def checked_labels(labels: ArrayLike, count: int) -> NDArray[np.generic]:
    """Labels as an array; `InputError` unless there is one for each of ``count`` images, and an image at all."""
    classes = np.asarray(labels)
    if classes.ndim != 1 or len(classes) != count or not count:
        raise InputError(f"groups need one label an image, not labels {classes.shape} for {count} images.")
    return classes
