"""From an image to what a network sees, and from points of the network's input back to the image.

With the image of size (W, H) resized to (w, h) and cropped at (left, top), a point (x, y) of the network's input lies
at ((x + left) W / w, (y + top) H / h) in the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from chinspect.errors import InputError, did_you_mean
from chinspect.images._open import MAX_PIXELS, to_rgb

if TYPE_CHECKING:
    from torch import Tensor

_INTERPOLATION = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_RESIZE = ("shortest", "squash", "pad")
Fit = Literal["crop", "pad", "squash"]
"""How an image that is no square becomes one: cut, put on a square of one colour, or distorted."""
CROPPED = 0.1
"""The fraction of an image that a network may miss without a warning: annotations stand at the border."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop, scale to [0, 1] and normalise, as torchvision and open_clip do to Pillow images.

    Raises `InputError` for a value that is not known.
    """

    size: int
    """Side of the square input of the network, in pixels."""
    resize: str
    """`shortest`: the shorter side becomes `resize_size`, the aspect is kept; `squash`: both sides do, it is not;
    `pad`: the longer side does, the aspect is kept, and what is missing is filled with the colour of `mean`."""
    interpolation: str
    """`bilinear` or `bicubic`, both with Pillow's antialiasing."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_size: int | None = None
    """Length that the resize aims at, before the centre crop to `size`; `size` itself unless given."""

    def __post_init__(self) -> None:
        if self.resize not in _RESIZE:
            raise InputError(
                f"The resize {self.resize!r} is not known{did_you_mean(self.resize, _RESIZE)}; "
                f"use one of {', '.join(_RESIZE)}."
            )
        if self.interpolation not in _INTERPOLATION:
            hint = did_you_mean(self.interpolation, _INTERPOLATION)
            known = ", ".join(_INTERPOLATION)
            raise InputError(f"The interpolation {self.interpolation!r} is not known{hint}; use one of {known}.")
        if not 0 < self.size <= self._target:
            raise InputError(f"The input size {self.size} must be positive and at most the resize size {self._target}.")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise InputError(f"Three means and three positive standard deviations are needed: {self.mean}, {self.std}.")

    def __call__(self, image: Image.Image) -> Tensor:
        """The network's input for one image: (3, size, size), float32, normalised by `mean` and `std`."""
        import torch  # here, so that listing models does not wait for torch

        pixels = torch.from_numpy(np.array(self.visible(image))).permute(2, 0, 1).float().div(255)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return pixels.sub(mean).div(std).contiguous()

    def visible(self, image: Image.Image) -> Image.Image:
        """The resized and cropped picture that the network sees, (size, size), RGB: for figures."""
        width, height = self._resized(image.size)
        if width * height > MAX_PIXELS:
            raise InputError(
                f"An image of {image.width} x {image.height} pixels would become {width} x {height}; crop it first."
            )
        left, top = self._corner(width, height)
        resized = to_rgb(image).resize((width, height), _INTERPOLATION[self.interpolation])
        colour = tuple(round(255 * value) for value in self.mean)  # zero after normalisation: nothing to see there
        square = Image.new("RGB", (self.size, self.size), colour)
        square.paste(resized, (-left, -top))
        return square

    def to_original(self, boxes: ArrayLike, original_size: tuple[int, int]) -> NDArray[np.float64]:
        """Map boxes from the network's input back to the image: resize and crop are undone.

        `boxes` (..., 4) are (x0, y0, x1, y1) in pixels of the network's input, edges counted from 0 to `size`;
        `original_size` is (width, height) of the image as `open_image` gives it. The result (..., 4) is in the image's
        pixels, not rounded, clipped to the image.
        """
        resized = self._resized(original_size)
        corner = np.tile(self._corner(*resized), 2)
        size = np.tile(original_size, 2)
        scale = size / np.tile(resized, 2)
        return np.clip((np.asarray(boxes, dtype=np.float64) + corner) * scale, 0.0, size)

    def box(self, original_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """What of an image of a size (width, height) the network sees: (left, top, right, bottom), at least a pixel."""
        edges = self.to_original([0, 0, self.size, self.size], original_size)
        left, top, right, bottom = (int(edge) for edge in edges.round())
        return left, top, max(right, left + 1), max(bottom, top + 1)

    def seen(self, original_size: tuple[int, int]) -> float:
        """The fraction of an image of a size (width, height) that the network sees, in (0, 1]."""
        left, top, right, bottom = self.to_original([0, 0, self.size, self.size], original_size)
        return float((right - left) * (bottom - top)) / (original_size[0] * original_size[1])

    def fitted(self, fit: Fit | None) -> Preprocessing:
        """The same with another way to make a square of an image.

        Args:
            fit: ``crop`` keeps the aspect and cuts what is beyond the square, at the resize and margin that are usual
                for the network; ``pad`` and ``squash`` show all of the image, the first with its aspect and a border of
                one colour, the second distorted; None changes nothing.

        Raises `InputError` for another word.
        """
        if fit is None:
            return self
        if fit not in get_args(Fit):
            raise InputError(f"an image is fitted by crop, pad or squash, not by {fit!r}.")
        if fit == "crop":
            return replace(self, resize="shortest")
        return replace(self, resize=fit, resize_size=None)

    @property
    def _target(self) -> int:
        return self.size if self.resize_size is None else self.resize_size

    def _resized(self, original_size: tuple[int, int]) -> tuple[int, int]:
        """Size after the resize."""
        if self.resize == "squash":
            return self._target, self._target
        measure = max(original_size) if self.resize == "pad" else min(original_size)
        # the other side is truncated, as in torchvision; in this order, since a rounded ratio could lose a pixel
        width, height = (max(int(self._target * side / measure), 1) for side in original_size)
        return width, height

    def _corner(self, width: int, height: int) -> tuple[int, int]:
        """Left and top edge of the centre crop, rounded to even as in torchvision; negative where there is a border."""
        return round((width - self.size) / 2.0), round((height - self.size) / 2.0)
