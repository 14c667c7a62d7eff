"""The images that a detector is audited on: with labels and masks where a folder has them, or as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chinspect.anomaly import Detector
from chinspect.datasets import GOOD, MVTecCategory, load_category
from chinspect.errors import InputError
from chinspect.execute import load_samples
from chinspect.files import shown
from chinspect.images import list_images
from chinspect.stress.resizing import evenly

LEAST = 10
"""Images: of fewer nothing is said."""


@dataclass(frozen=True, eq=False)
class AuditedImages:
    """Images of an audit.

    Attributes:
        category: them, as a category; those without labels all count as normal in it.
        labelled: whether it is known which are defective.
        normals: normal images beside them, which a remedy is fitted on; empty where there are none.
    """

    category: MVTecCategory
    labelled: bool
    normals: tuple[Path, ...]

    @property
    def names(self) -> list[str]:
        """Of the images, with their folders, as text that can be printed."""
        return [shown(f"{path.parent.name}/{path.name}") for path in self.category.test]

    @property
    def normal(self) -> NDArray[np.bool_]:
        """(n,), which images are known to be normal, all where nothing is known."""
        return np.asarray(self.category.labels == 0)

    @property
    def masked(self) -> bool:
        """Whether any image has a mask of its defect."""
        return any(mask is not None for mask in self.category.masks)

    @property
    def digest(self) -> str:
        """Of names and contents."""
        return load_samples(list(self.category.test)).digest

    def words(self, index: int) -> str:
        """What is known about an image: its type, or nothing."""
        return self.category.types[index] if self.labelled else ""


def audited_images(
    images: str | Path | MVTecCategory, detector: Detector, *, normals: Sequence[Path] = (), limit: int | None = None
) -> AuditedImages:
    """The images of a category, of a folder laid out as one, or of a plain folder, at most ``limit``, evenly spread.

    Args:
        normals: normal images of a plain folder's kind; by default those that the detector was fitted on, where their
            files are there, then the category's training images.

    Raises `InputError` for a folder that is missing or holds fewer than `LEAST` images.
    """
    labelled = True
    if isinstance(images, MVTecCategory):
        category = images
    elif (Path(images) / "train").is_dir() and (Path(images) / "test").is_dir():
        category = load_category(images)
    else:
        labelled = False
        paths = tuple(list_images(images))
        category = MVTecCategory(Path(images).resolve().name, (), paths, (GOOD,) * len(paths), (None,) * len(paths))
    if limit is not None:
        category = subset(category, evenly(len(category.test), limit))
    category = replace(category, test=tuple(path.absolute() for path in category.test))
    if len(category.test) < LEAST:
        raise InputError(f"an audit takes at least {LEAST} images, and there are {len(category.test)}.")
    fitted = tuple(Path(name) for name in detector.image_names_)
    known = tuple(normals) or (fitted if fitted and all(path.is_file() for path in fitted) else category.train)
    if not category.train:  # what a resizer does to spectra is told from normal images
        category = replace(category, train=known)
    return AuditedImages(category, labelled, known)


def subset(category: MVTecCategory, indices: NDArray[np.intp]) -> MVTecCategory:
    """A category with some of its test images."""
    test, types, masks = (tuple(row[i] for i in indices) for row in (category.test, category.types, category.masks))
    return replace(category, test=test, types=types, masks=masks)
