"""Anomaly detection data in the layout of MVTec AD (Bergmann et al. 2019), or as plain folders without masks.

::

    root/category/train/good/000.png                    root/train/*.jpg
    root/category/test/good/000.png                     root/test/good/*.jpg
    root/category/test/scratch/000.png                  root/test/bad/*.jpg
    root/category/ground_truth/scratch/000_mask.png

BTAD's ``ok`` is ``good`` under another name; `chinspect.datasets._masks` lists the names of masks. A category without
``ground_truth`` has no masks: thresholds, scores and the decisions of a stress test need none.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chinspect.datasets._masks import mask_files, mask_of
from chinspect.errors import ImageWarning, InputError, did_you_mean
from chinspect.images import Mask, list_images, open_image, open_mask

GOOD = "good"
"""Name of the folder, and of the type, of images without a defect."""
_GOOD_FOLDERS = (GOOD, "ok")
BAD = "bad"
"""Name of the folder of images with one, in plain folders."""
_MOST = 0.5  # of an image: defects cover less, the ground of an inverted mask covers more


@dataclass(frozen=True)
class MVTecCategory:
    """The images of one category, by their paths.

    Attributes:
        name: the category.
        train: images without a defect.
        test: images with and without.
        types: of each test image, `GOOD` or the type of its defect.
        masks: of each test image, the file that marks its defect, or a folder of such files; None for good images, and
            for all images of a data set without masks.
    """

    name: str
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    types: tuple[str, ...]
    masks: tuple[Path | None, ...]

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Of each test image, 1 with a defect and 0 without, (n,)."""
        return np.array([kind != GOOD for kind in self.types], dtype=np.int64)

    @property
    def defect_types(self) -> tuple[str, ...]:
        """The types of defects that occur, sorted."""
        return tuple(sorted({*self.types} - {GOOD}))

    @property
    def mask_files(self) -> tuple[Path, ...]:
        """The files of all masks."""
        return tuple(file for mask in self.masks if mask is not None for file in mask_files(mask))

    def mask(self, index: int) -> Mask:
        """Where the defect of a test image is, (H, W) in the pixels of the original; nowhere for a good one.

        Masks are read by `open_mask`; of several in a folder each marks. Warns with `ImageWarning` of one that marks
        most of its image, as an inverted one does.

        Raises `InputError` for a defect without a mask, a damaged image or mask, and a mask that can be read in two
        ways, does not fit its image, or marks nothing.
        """
        size = open_image(self.test[index]).size
        path = self.masks[index]
        if path is None:
            if self.labels[index]:
                raise InputError(f"The data set {self.name!r} has no mask for {str(self.test[index])!r}.")
            return np.zeros(size[::-1], dtype=bool)
        marked = np.zeros(size[::-1], dtype=bool)
        for file in mask_files(path):
            mask = open_mask(file)
            if mask.shape != marked.shape:
                raise InputError(f"The mask {str(file)!r} has {mask.shape[::-1]} pixels, but its image has {size}.")
            marked |= mask
        if not marked.any():
            raise InputError(f"The mask {str(path)!r} marks nothing, and its image has a defect: draw it.")
        if marked.mean() > _MOST:
            sentence = f"The mask {str(path)!r} marks {marked.mean():.0%} of its image: if it is inverted, invert it."
            warnings.warn(sentence, ImageWarning, stacklevel=2)
        return marked

    def check(self) -> None:
        """Decode every image and mask once.

        Raises `InputError` for the first that is damaged, and for a mask that does not fit its image or marks nothing.
        """
        for path in (*self.train, *self.test):
            open_image(path)
        for index, mask in enumerate(self.masks):
            if mask is not None:
                self.mask(index)


def load_mvtec(root: str | Path, category: str | None = None) -> MVTecCategory:
    """List one category of a data set in the layout of MVTec AD.

    Args:
        root: the data set; without `category`, the folder of one category.
        category: such as ``bottle``.

    Only names are read here: `MVTecCategory.check` decodes all files, and a damaged one is refused where it is opened.

    Raises `InputError` for a folder that is missing, a split or defect type without images, a test split without good
    or without defective images, and a defect without its mask where there are masks.
    """
    folder = Path(root) if category is None else Path(root) / category
    _check_layout(Path(root), folder)
    truth = folder / "ground_truth"
    marked = truth.is_dir()
    test = []
    types = []
    masks = []
    for kind in _types(folder / "test"):
        good = kind in _GOOD_FOLDERS
        for image in list_images(folder / "test" / kind):
            test.append(image)
            types.append(GOOD if good else kind)
            masks.append(None if good or not marked else mask_of(image, truth / kind))
    train = list_images(_good(folder / "train"))
    return MVTecCategory(folder.resolve().name, tuple(train), tuple(test), tuple(types), tuple(masks))


def load_folder(root: str | Path) -> MVTecCategory:
    """List a plain folder of images: `train`, `test/good` and `test/bad`, each searched with its subfolders.

    Raises `InputError` if one of the three is missing or holds no image.
    """
    folder = _existing(root, "folder with 'train' and 'test'")
    train = list_images(folder / "train")
    test = [(path, kind) for kind in (GOOD, BAD) for path in list_images(folder / "test" / kind)]
    paths, types = zip(*test, strict=True)
    return MVTecCategory(folder.resolve().name, tuple(train), paths, types, (None,) * len(test))


def load_category(root: str | Path) -> MVTecCategory:
    """One category: a plain folder where it is laid out as one, else that of a data set in the layout of MVTec AD.

    Raises `InputError` as `load_folder` and `load_mvtec` do.
    """
    folder = Path(root)
    plain = (folder / "test" / BAD).is_dir() and not (folder / "ground_truth").exists()
    return load_folder(folder) if plain else load_mvtec(folder)


def categories(root: str | Path) -> list[str]:
    """The categories below a data set's root, sorted.

    Raises `InputError` if there is none.
    """
    folder = _existing(root, "folder in the layout of MVTec AD")
    names = sorted({path.parent.parent.name for name in _GOOD_FOLDERS for path in folder.glob(f"*/train/{name}")})
    if not names:
        raise InputError(f"{str(root)!r} holds no category with a folder 'train/{GOOD}', as MVTec AD has.")
    return names


def _existing(root: str | Path, wanted: str) -> Path:
    if not Path(root).is_dir():
        raise InputError(f"The data set {str(root)!r} does not exist; give a {wanted}.")
    return Path(root)


def _check_layout(root: Path, folder: Path) -> None:
    _existing(root, "folder in the layout of MVTec AD")
    if not folder.is_dir():
        categories = sorted(path.name for path in root.iterdir() if (path / "train").is_dir())
        raise InputError(
            f"{str(root)!r} has no category {folder.name!r}{did_you_mean(folder.name, categories)}; "
            f"it has: {', '.join(categories) or 'none'}."
        )
    for split in ("train", "test"):
        if not _good(folder / split).is_dir():
            raise InputError(f"{str(folder)!r} has no folder '{split}/{GOOD}', which the layout of MVTec AD needs.")


def _good(split: Path) -> Path:
    """The folder of the images without a defect: by MVTec's name where no other is there."""
    return next((split / name for name in _GOOD_FOLDERS if (split / name).is_dir()), split / GOOD)


def _types(test: Path) -> list[str]:
    """The folders of test images: the good ones first, then the defects."""
    folders = sorted(path.name for path in test.iterdir() if path.is_dir())
    good = _good(test).name
    defects = [name for name in folders if name != good and not name.startswith(".")]
    if not defects:
        raise InputError(f"{str(test)!r} holds only {good!r}; at least one type of defect is needed beside it.")
    return [good, *defects]
