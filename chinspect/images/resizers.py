"""The resizers that image libraries really use, under one name each: where they differ, models see other pixels.

With the scale ``s = source / size``, output pixel ``i`` reads

* ``opencv-nearest``: source pixel ``floor(i s)``, up to half a step beside its centre (torch's ``nearest`` too);
* ``opencv-nearest-exact``, ``pillow-nearest``: source pixel ``floor((i + 1/2) s)``, its centre; ties differ;
* ``opencv-linear``, ``opencv-cubic``, ``torch-bilinear``: 2 (4) source pixels around the centre, whatever the scale, so
  that fine structure aliases when an image is made smaller;
* ``opencv-area``: the mean of the source pixels that it covers;
* ``pillow-bilinear``, ``pillow-bicubic``, ``pillow-lanczos``, ``torch-bilinear-aa``, ``torch-bicubic-aa``: a filter
  that widens with the scale, which removes what would alias (antialiasing).

All squash the image to a square, as Kauffmann et al. 2025 do; none keeps the aspect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.errors import InputError, did_you_mean
from chinspect.images._open import MAX_PIXELS, as_picture, to_rgb
from chinspect.images.pixels import AnyImage

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]
Resizer = Callable[[Image.Image | Pixels, int], Pixels]


def resize(image: Image.Image | Pixels, size: int, resizer: str) -> Pixels:
    """One image as a square of 8-bit pixels.

    Args:
        image: RGB, a Pillow image or uint8 (H, W, 3).
        size: side of the result in pixels.
        resizer: a name of `RESIZERS`.

    Returns:
        uint8 (size, size, 3). An image that has this size already comes back as it is.

    Raises `InputError` for a resizer that is not known, a size out of range, or other pixels than 8-bit RGB.
    """
    check_resizer(resizer, size)
    if isinstance(image, Image.Image):
        usable = image.mode == "RGB"
        kind = image.mode
    else:
        usable = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0
        kind = f"{image.dtype} {image.shape}"
    if not usable:
        raise InputError(f"resizers read 8-bit RGB images (H, W, 3), not {kind}: open the file with open_image.")
    return RESIZERS[resizer](image, size)


def check_resizer(resizer: str, size: int) -> None:
    """`InputError` unless the resizer is known and the size is a possible one."""
    if resizer not in RESIZERS:
        raise InputError(
            f"the resizer {resizer!r} is not known{did_you_mean(resizer, RESIZERS)}: use one of {', '.join(RESIZERS)}."
        )
    if not isinstance(size, int) or not 1 <= size <= int(MAX_PIXELS**0.5):
        raise InputError(f"images cannot be resized to {size!r} pixels: choose a side of 1 to {int(MAX_PIXELS**0.5)}.")


def to_input(pixels: Pixels) -> Tensor:
    """8-bit pixels (N, H, W, 3) as a float32 batch (N, 3, H, W) in [-1, 1]: ``pixels / 127.5 - 1``.

    Raises `InputError` for other shapes or types.
    """
    import torch  # here, so that listing models does not wait for torch

    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise InputError(f"inputs are made of uint8 pixels (N, H, W, 3), not of {pixels.dtype} {pixels.shape}.")
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float().div_(127.5).sub_(1)


def load_inputs(images: Sequence[AnyImage], resizer: str, size: int) -> Tensor:
    """Images, of files or in memory, as one float32 batch (N, 3, size, size) in [-1, 1], each decoded once.

    Raises `InputError` for no image at all, one that cannot be read, or a resizer or size that is not possible.
    """
    check_resizer(resizer, size)
    if not images:
        raise InputError("there are no images to load: give at least one path.")
    return to_input(np.stack([resize(to_rgb(as_picture(image)), size, resizer) for image in images]))


def _opencv(flag: str, image: Image.Image | Pixels, size: int) -> Pixels:
    import cv2

    pixels = np.ascontiguousarray(image)
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=getattr(cv2, flag)), dtype=np.uint8)


def _pillow(resampling: Image.Resampling, image: Image.Image | Pixels, size: int) -> Pixels:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return np.array(picture.resize((size, size), resampling))


def _torch(mode: str, antialias: bool, image: Image.Image | Pixels, size: int) -> Pixels:
    """In float32, then rounded and clipped, as torchvision does: its 8-bit kernels differ between processors."""
    import torch
    from torch.nn.functional import interpolate

    batch = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    resized = interpolate(batch, (size, size), mode=mode, align_corners=False, antialias=antialias)
    return resized[0].permute(1, 2, 0).round_().clamp_(0, 255).to(torch.uint8).contiguous().numpy()


RESIZERS: dict[str, Resizer] = {
    **{
        f"opencv-{name}": partial(_opencv, f"INTER_{name.replace('-', '_').upper()}")
        for name in ("nearest", "linear", "cubic", "area", "nearest-exact")
    },
    **{
        f"pillow-{name}": partial(_pillow, Image.Resampling[name.upper()])
        for name in ("nearest", "bilinear", "bicubic", "lanczos")
    },
    "torch-bilinear": partial(_torch, "bilinear", False),
    "torch-bilinear-aa": partial(_torch, "bilinear", True),
    "torch-bicubic-aa": partial(_torch, "bicubic", True),
}
"""Every resizer by its name: from 8-bit RGB, a Pillow image or (H, W, 3), and a side to uint8 (size, size, 3)."""
