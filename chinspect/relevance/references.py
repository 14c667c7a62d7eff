"""References: what stands in the place of an image where one asks what the image itself contributes.

An explanation against a reference x0 is one of ``y(x) - y(x0)``: what all images make of the network cancels. A
reference is of the image (``blur``, ``mean``), of nothing (``grey``), or other images; of several, the maps are
averaged (expected gradients, Erion et al. 2021, 10.1038/s42256-021-00343-w).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from chinspect.errors import InputError, did_you_mean

ReferenceName = Literal["blur", "mean", "grey"]
Reference = ReferenceName | Tensor
"""A name, or images (R, C, H, W), preprocessed, whose maps are averaged."""

_BLUR = 1 / 20
# Of the shorter side: the standard deviation of the blur. At 224 pixels 11, which leaves colours and large shapes and
# takes objects, textures and letters.


def reference_images(reference: Reference | str, x: Tensor) -> Tensor:
    """The references of images ``x`` (N, C, H, W): (R, N, C, H, W).

    Args:
        reference: ``blur``, each image blurred; ``mean``, its mean colour; ``grey``, zero after preprocessing, which is
            the mean colour of what the network was trained on; or images (R, C, H, W) that stand for all of ``x``.

    Raises:
        InputError: the name is unknown, or the images are of another shape than ``x`` or not finite.
    """
    if isinstance(reference, Tensor):
        if reference.ndim != 4 or not len(reference) or reference.shape[1:] != x.shape[1:]:
            raise InputError(f"reference images are (R, {', '.join(map(str, x.shape[1:]))}), not {reference.shape}.")
        if not bool(reference.isfinite().all()):
            raise InputError("reference images must be finite.")
        return reference.to(x)[:, None].expand(-1, *x.shape)
    check_reference(reference)
    if reference == "blur":
        return _blurred(x)[None]
    return (torch.zeros_like(x) if reference == "grey" else x.mean((2, 3), keepdim=True).expand_as(x))[None]


def check_reference(name: str) -> None:
    """`InputError` for another name than those of `ReferenceName`."""
    if name not in get_args(ReferenceName):
        raise InputError(
            f"unknown reference {name!r}{did_you_mean(name, get_args(ReferenceName))}: "
            f"choose one of {', '.join(get_args(ReferenceName))}, or images."
        )


def _blurred(x: Tensor) -> Tensor:
    sigma = min(x.shape[-2:]) * _BLUR
    # three deviations to either side hold 99.7 % of the mass; the padding reflects, which needs a pixel more
    reach = min(int(3 * sigma + 0.5), min(x.shape[-2:]) - 1)
    if not reach:
        return x
    kernel = (-(torch.arange(-reach, reach + 1).to(x) / sigma).square() / 2).exp()
    kernel = kernel / kernel.sum()
    planes = F.pad(x, (reach, reach, reach, reach), mode="reflect").flatten(0, 1)[:, None]
    # a Gaussian is the product of one down and one across
    planes = F.conv2d(F.conv2d(planes, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return planes.reshape(x.shape)
