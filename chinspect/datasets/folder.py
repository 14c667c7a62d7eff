"""Anomaly detection data as plain folders, without masks.

::

    root/train/*.jpg
    root/test/good/*.jpg
    root/test/bad/*.jpg
"""

from __future__ import annotations

from pathlib import Path

from chinspect.datasets.mvtec import GOOD, MVTecCategory, load_mvtec
from chinspect.errors import InputError
from chinspect.images import list_images

BAD = "bad"


def load_folder(root: str | Path) -> MVTecCategory:
    """List a plain folder of images: `train`, `test/good` and `test/bad`, each searched with its subfolders.

    Raises `InputError` if one of the three is missing or holds no image.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"The data set {str(root)!r} does not exist; give a folder with 'train' and 'test'.")
    train = list_images(folder / "train")
    good, bad = list_images(folder / "test" / GOOD), list_images(folder / "test" / BAD)
    types = (GOOD,) * len(good) + (BAD,) * len(bad)
    return MVTecCategory(folder.resolve().name, tuple(train), (*good, *bad), types, (None,) * len(types))


def load_category(root: str | Path) -> MVTecCategory:
    """One category of anomaly detection data: a plain folder where it is laid out as one, else that of MVTec AD.

    Raises `InputError` as `load_folder` and `load_mvtec` do.
    """
    folder = Path(root)
    plain = (folder / "test" / BAD).is_dir() and not (folder / "ground_truth").exists()
    return load_folder(folder) if plain else load_mvtec(folder)
