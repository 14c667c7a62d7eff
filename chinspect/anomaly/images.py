"""Images as detectors take them: checked batches or files, and as pictures that a person can see."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from chinspect.digests import digest
from chinspect.errors import ImageWarning, InputError
from chinspect.files import shown
from chinspect.images import AnyImage, is_image, list_images

Images = Tensor | ArrayLike | AnyImage | Sequence[AnyImage]
"""A batch (N, C, H, W) in [-1, 1]; or a folder, or an image or several: paths, pictures, 8-bit arrays or tensors."""
_CHANNELS = (1, 3, 4)  # as pictures have them; an image of so few columns would be no image
NORMAL_IMAGES = 16
"""Normal images that a detector keeps to compare with, at most."""
THUMBNAIL = 64
"""Longest side of the small pictures by which training images are known again: 12 kB an image in a file."""
_TOLERANCE = 1e-4  # beyond [-1, 1]: what rounding adds to black and white


def checked_batch(X: Any) -> Tensor:
    """``X`` as a float32 tensor (N, C, H, W).

    Raises `InputError` for another shape, channels that come last, no image, integers, or values that are not finite or
    not in [-1, 1].
    """
    try:
        x = X.detach().cpu() if isinstance(X, Tensor) else torch.as_tensor(np.asarray(X))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"images are numbers (N, C, H, W), paths or pictures, and {type(X).__name__} is none of them."
        ) from error
    if x.ndim != 4 or 0 in x.shape:
        raise InputError(f"images form a batch (N, C, H, W) of at least one, not one of shape {tuple(x.shape)}.")
    if x.shape[3] in _CHANNELS and min(x.shape[1:3]) > max(_CHANNELS):
        raise InputError(
            f"images form a batch (N, C, H, W), and {tuple(x.shape)} has its channels last: permute its axes by "
            "(0, 3, 1, 2), or give 8-bit pixels (N, H, W, 3) through to_input."
        )
    if not x.is_floating_point():
        raise InputError(f"images are floating point in [-1, 1], not {x.dtype}: convert 8-bit pixels with to_input.")
    x = x.float()
    low, high = (float(bound) for bound in torch.aminmax(x))
    if not np.isfinite([low, high]).all():
        first = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
        raise InputError(f"images hold finite numbers, and image {first} holds NaN or infinity.")
    if low < -1 - _TOLERANCE or high > 1 + _TOLERANCE:
        raise InputError(f"pixels lie in [-1, 1], and these go from {low:.4g} to {high:.4g}: see to_input.")
    return x


def image_items(X: Any) -> list[AnyImage] | None:
    """The images one by one, as the detector's resizer reads them; None where ``X`` is a batch."""
    if isinstance(X, str | Path) and Path(X).is_dir():
        return list(list_images(X))
    if is_image(X):
        return [X]
    if isinstance(X, Sequence) and len(X) and all(is_image(item) for item in X):
        return list(X)
    return None


def image_paths(X: Any) -> list[str | Path] | None:
    """Paths of the images where ``X`` is something on disk, else None."""
    items = image_items(X)
    if items is None or not all(isinstance(item, str | Path) for item in items):
        return None
    return items  # type: ignore[return-value]


def image_names(X: Any, count: int) -> list[str]:
    """What to call each of ``count`` images: its path, or its number where it is not on disk."""
    items: Sequence[Any] = image_items(X) or range(count)
    return [shown(item) if isinstance(item, str | Path) else f"image {i}" for i, item in enumerate(items)]


def shortened(name: str, width: int) -> str:
    """The last folder and the file of a path, in at most ``width`` characters: what lacks is left out in the middle.

    Both ends stay, for names of one data set differ in either.

    >>> shortened("data/train/good/000.png", 22)
    'good/000.png'
    >>> shortened("data/a_long_name_of_a_data_set_0017.png", 20)
    'data/a_lo…t_0017.png'
    """
    text = "/".join(Path(name).parts[-2:])
    if len(text) <= width:
        return text
    tail = width // 2
    return f"{text[: width - tail - 1]}…{text[-tail:]}"


def check_training_folder(X: Any) -> None:
    """`InputError` for a folder that is a data set: all images below it would be taken for normal ones."""
    if not isinstance(X, str | Path):
        return
    folders = [name for name in ("train", "test", "ground_truth") if Path(X, name).is_dir()]
    if folders:
        normal = (
            path for path in (Path(X, "train", "good"), Path(X, "train", "ok"), Path(X, "train")) if path.is_dir()
        )
        train = next(normal, None)
        remedy = "its normal images alone" if train is None else repr(str(train))
        raise InputError(
            f"{str(X)!r} holds the folder {folders[0]!r}, so it is a data set, not its training images: give {remedy}."
        )


def warn_of_copies(x: Tensor, X: Any) -> None:
    """Warns with `ImageWarning` where images of the batch ``x``, read from ``X``, are the same pixel by pixel."""
    first: dict[str, int] = {}
    originals = [first.setdefault(digest(image.numpy()), i) for i, image in enumerate(x)]
    copies = [i for i, original in enumerate(originals) if original != i]
    if copies:
        names = image_names(X, len(x))
        if image_paths(X) is not None:
            names = [repr(name) for name in names]
        warnings.warn(
            f"{names[copies[0]]} has the same pixels as {names[originals[copies[0]]]}, and {len(copies)} of {len(x)} "
            "training images are such copies: leave them out, or the threshold may be too low.",
            ImageWarning,
            stacklevel=3,  # who called `fit`
        )


def pictures(x: Tensor) -> NDArray[np.uint8]:
    """Inputs (..., C, H, W) in [-1, 1] as 8-bit RGB (..., H, W, 3); of neither 1 nor 3 channels the mean, in grey."""
    if x.shape[-3] != 3:
        x = x.mean(-3, keepdim=True)
    levels = as_8_bit(x).movedim(-3, -1)
    return levels.expand(*levels.shape[:-1], 3).numpy()


def few_images(x: Tensor) -> Tensor:
    """At most 16 of normal images (N, C, H, W), evenly spaced, as 8-bit levels (k, C, H, W)."""
    rows = np.linspace(0, len(x) - 1, min(len(x), NORMAL_IMAGES)).round().astype(int)
    return as_8_bit(x[torch.from_numpy(rows)])


def thumbnails(x: Tensor) -> Tensor:
    """Small pictures of images (N, C, H, W), by which they are known again: 8-bit levels (N, C, h, w), 64 at most."""
    sides = [min(side, THUMBNAIL) for side in x.shape[2:]]
    return torch.cat([as_8_bit(F.interpolate(batch, sides, mode="area")) for batch in x.split(THUMBNAIL)])


def as_8_bit(x: Tensor) -> Tensor:
    """Pixels in [-1, 1] as levels from 0 to 255."""
    return ((x + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)


def from_few_images(levels: Tensor) -> Tensor | None:
    """What `few_images` keeps, in [-1, 1]; None where it is nothing."""
    return levels.float() / 127.5 - 1 if len(levels) else None
