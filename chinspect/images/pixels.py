"""Images in memory: pixels of an array or a tensor as the picture that they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

AnyImage: TypeAlias = Union[str, Path, Image.Image, NDArray[Any], "Tensor"]
"""A path, a picture, or pixels: uint8, or floating point in [0, 1]; (H, W) or with 1 or 3 channels, last or first."""
_CHANNELS = (1, 3)


def of_pixels(values: Any) -> Image.Image:
    """The picture of an array or tensor of pixels.

    Channels are looked for where they usually are: last in an array, (H, W, C), and first in a tensor, (C, H, W); then
    at the other end. Floating point is scaled by 255 and rounded.

    Raises `InputError` for what is no image: other shapes or types, a batch, and numbers outside [0, 1], as they are
    after normalisation.
    """
    import torch  # here, so that listing models does not wait for torch

    tensor = isinstance(values, torch.Tensor)
    if not tensor and not isinstance(values, np.ndarray):
        raise InputError(
            f"An image is a path, a picture of Pillow, an array or a tensor of pixels, not {type(values).__name__}."
        )
    pixels = values.detach().cpu().numpy() if tensor else values
    return Image.fromarray(_levels(_channels_last(pixels, first=tensor)))


def is_image(item: object) -> bool:
    """Whether an item is one image: a path, a picture, or 8-bit pixels; floating point may be a batch of a detector."""
    if isinstance(item, str | Path | Image.Image):
        return True
    return str(getattr(item, "dtype", "")) in ("uint8", "torch.uint8") and len(getattr(item, "shape", ())) in (2, 3)


def _channels_last(pixels: NDArray[Any], *, first: bool) -> NDArray[Any]:
    """Pixels (H, W) or (H, W, 3)."""
    if pixels.ndim == 2:
        return pixels
    ends = (0, -1) if first else (-1, 0)
    axis = next((end for end in ends if pixels.ndim == 3 and pixels.shape[end] in _CHANNELS), None)
    if axis is None:
        many = ": give the images of a batch one by one, as a list" if pixels.ndim == 4 else ""
        raise InputError(f"Pixels of an image are (H, W), (H, W, 3) or (3, H, W), not {pixels.shape}{many}.")
    last = np.moveaxis(pixels, axis, -1)
    return last[..., 0] if last.shape[-1] == 1 else last


def _levels(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise InputError(f"Pixels are uint8, or floating point in [0, 1], not {pixels.dtype}.")
    if not pixels.size or not (pixels.min() >= 0 and pixels.max() <= 1):
        raise InputError(
            f"Pixels of {pixels.dtype} lie in [0, 1], and these go from {pixels.min():.3g} to {pixels.max():.3g}: give "
            "them as they are before normalisation, or as uint8."
        )
    return np.ascontiguousarray((pixels * 255).round().astype(np.uint8))
