"""Photographs with ImageNet classes, as they lie on disk.

::

    root/labels.csv (file, class_index) and the files          root/n01440764/*.JPEG        root/val/n01440764/*.JPEG

Class indices are 0..999 in the order of the WordNet ids of ImageNet's thousand classes, as torchvision and timm count,
whichever of them the folder has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import list_images
from chinspect.known.models import CLASSES


@dataclass(frozen=True, eq=False)
class Photographs:
    """Images and their classes (n,)."""

    samples: Samples
    classes: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.samples)

    def subset(self, indices: NDArray[np.intp]) -> Photographs:
        """Some of them, in this order."""
        names = tuple(self.samples.names[index] for index in indices)
        return Photographs(Samples(self.samples.root, names), self.classes[indices])

    def drawn(self, count: int, seed: int) -> NDArray[np.intp]:
        """Indices of so many images, drawn at random, in their order; all of them where there are no more."""
        order = np.random.default_rng(seed).permutation(len(self))
        return np.sort(order[:count])


def load_photographs(folder: Path) -> Photographs:
    """Lists the photographs of a folder. Raises `InputError` for a folder in none of the layouts of this module."""
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"The photographs {str(folder)!r} do not exist; give a folder with ImageNet's images.")
    if (root / "labels.csv").is_file():
        return _table(root)
    base = root / "val" if (root / "val").is_dir() else root
    indices = class_indices()
    paths = [path for path in _listed(base) if path.relative_to(base).parts[0] in indices]
    if not paths:
        raise InputError(
            f"{str(folder)!r} has neither labels.csv (file, class_index) nor folders named by WordNet ids, such as "
            "n01440764: give a folder in the layout of ImageNet's validation images."
        )
    names = tuple(path.relative_to(root).as_posix() for path in paths)
    return Photographs(Samples(root, names), np.array([indices[path.relative_to(base).parts[0]] for path in paths]))


@cache
def class_indices() -> dict[str, int]:
    """The index of each of the thousand classes, by its WordNet id."""
    from timm.data import ImageNetInfo

    return {name: index for index, name in enumerate(ImageNetInfo("imagenet-1k").label_names())}


def _listed(folder: Path) -> list[Path]:
    return [path for path in list_images(folder) if path.parent != folder]


def _table(root: Path) -> Photographs:
    path = root / "labels.csv"
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"The table {str(path)!r} cannot be read ({error}).") from error
    if not {"file", "class_index"} <= set(table.columns) or not len(table):
        raise InputError(f"The table {str(path)!r} needs rows with the columns file and class_index.")
    classes = pd.to_numeric(table["class_index"], errors="coerce")
    wrong = ~classes.between(0, CLASSES - 1) | (classes % 1 != 0)
    if wrong.any():
        value = table["class_index"][wrong].iloc[0]
        raise InputError(f"A class_index of {str(path)!r} is {value!r}: they are whole numbers from 0 to 999.")
    return Photographs(Samples(root, tuple(map(str, table["file"]))), classes.to_numpy(dtype=np.intp))
