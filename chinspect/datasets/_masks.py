"""Which files hold the masks of a test image, in the names that data sets in the layout of MVTec AD give them.

ground_truth/scratch/000_mask.png        MVTec AD; .PNG as well, or the suffix of the image
ground_truth/ko/0000.png                 BTAD, and VisA in this layout: the name of the image
ground_truth/logical_anomalies/000/*     MVTec LOCO: a folder of masks, one a defect
"""

from __future__ import annotations

import os
from pathlib import Path

from chinspect.errors import InputError
from chinspect.images import list_images


def mask_of(image: Path, folder: Path) -> Path:
    """The file, or the folder of files, that marks the defect of an image.

    Args:
        folder: of the masks of this type of defect.

    Raises `InputError` for none, and for several that may be meant.
    """
    candidates = [entry for entry in _entries(folder) if _is_mask(entry, image)]
    if len(candidates) > 1:
        names = " and ".join(repr(str(candidate)) for candidate in candidates[:2])
        raise InputError(f"The image {str(image)!r} has several masks, {names}: leave the one that is meant.")
    if not candidates:
        raise InputError(f"The mask {str(folder / f'{image.stem}_mask.png')!r} of {str(image)!r} is missing.")
    return candidates[0]


def mask_files(mask: Path) -> list[Path]:
    """The files of a mask: itself, or those of its folder. Raises `InputError` for a folder without images."""
    return list_images(mask) if mask.is_dir() else [mask]


def _entries(folder: Path) -> list[Path]:
    # listed, not asked for by name: suffixes are in capitals or not, whatever the file system makes of that
    return sorted(Path(entry) for entry in os.scandir(folder)) if folder.is_dir() else []


def _is_mask(entry: Path, image: Path) -> bool:
    if entry.name == image.stem:
        return entry.is_dir()
    suffixes = {".png", ".bmp", ".tif", ".tiff", image.suffix.lower()}
    return entry.stem in (f"{image.stem}_mask", image.stem) and entry.suffix.lower() in suffixes
