"""An artefact: something that lies over an image and should not matter, and the two edits that test whether it does.

With its colours F and its opacity alpha an artefact makes of an image B

    I = alpha F + (1 - alpha) B,

and it is taken away by painting its region anew from the surroundings (Telea 2004): what was under it is not known.

The canvas of an artefact stands for the whole image. On an image of another size it is resampled, colours weighted by
their opacity. Without an anchor it is stretched over the image, as a border is; with one it keeps its aspect, becomes
as large as the image allows, and sits where the anchor says, as a logo in a corner does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.images import MAX_PIXELS

Pixels = NDArray[np.uint8]
Layer = NDArray[np.floating[Any]]
_INPAINT_RADIUS = 3


@dataclass(frozen=True, eq=False)
class Artefact:
    """Colours and opacity on a canvas that stands for the image.

    Colours and opacity are rounded to multiples of 1/255, so that a stored artefact is the same one.

    Attributes:
        name: of its rows and its file.
        rgb: (h, w, 3) in [0, 1].
        alpha: (h, w) in [0, 1]; 0 where nothing is, 1 where the image is hidden.
        anchor: None stretches the canvas over an image; (x, y) in [0, 1] keeps its aspect: (0, 0) is the upper left
            corner of the image, (1, 1) the lower right one.

    Raises `InputError` for other shapes or values.
    """

    name: str
    rgb: Layer
    alpha: Layer
    anchor: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        rgb, alpha = np.asarray(self.rgb, dtype=np.float32), np.asarray(self.alpha, dtype=np.float32)
        if alpha.ndim != 2 or rgb.shape != (*alpha.shape, 3) or alpha.size == 0:
            raise InputError(
                f"An artefact has colours (h, w, 3) and opacity (h, w), not {rgb.shape} and {alpha.shape}."
            )
        for what, values in (("colours", rgb), ("opacity", alpha)):
            if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
                raise InputError(f"The {what} of the artefact {self.name!r} must be finite numbers in [0, 1].")
        if self.anchor is not None and not (len(self.anchor) == 2 and all(0 <= place <= 1 for place in self.anchor)):
            raise InputError(f"An anchor is a pair of numbers in [0, 1], not {self.anchor!r}.")
        object.__setattr__(self, "rgb", np.round(rgb * 255) / np.float32(255))
        object.__setattr__(self, "alpha", np.round(alpha * 255) / np.float32(255))

    @property
    def empty(self) -> bool:
        """Whether nothing of it can be seen."""
        return not self.alpha.any()

    def add(self, image: Pixels) -> Pixels:
        """The image (H, W, 3), uint8, with the artefact over it."""
        checked(image)
        light, alpha = self.layer(image.shape[:2])
        mixed: Pixels = np.round(255 * light + (1 - alpha)[..., None] * image).astype(np.uint8)
        return mixed

    def remove(self, image: Pixels) -> Pixels:
        """The image (H, W, 3), uint8, with the artefact's `mask`, one pixel wider, painted from its surroundings.

        Raises `InputError` where the artefact covers all of the image.
        """
        import cv2

        checked(image)
        region = widened(self.mask(image.shape[:2]))
        if region.all():
            raise InputError(f"The artefact {self.name!r} covers the whole image: nothing is left to paint it from.")
        if not region.any():
            return image.copy()
        flags = cv2.INPAINT_TELEA
        return np.asarray(cv2.inpaint(np.ascontiguousarray(image), region.astype(np.uint8), _INPAINT_RADIUS, flags))

    def mask(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Where `add` changes images of a size (H, W) at all: (H, W)."""
        return self.layer(size)[1] > 0

    def closed(self) -> Artefact:
        """The same with gaps of up to a tenth of the canvas closed, as between letters: any text in its place."""
        import cv2

        reach = max(round(0.05 * max(self.alpha.shape)), 1)
        square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        padded = np.pad(self.alpha, 2 * reach)  # else the gap to the edge of the canvas would be closed too
        alpha = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, square)[2 * reach : -2 * reach, 2 * reach : -2 * reach]
        return replace(self, alpha=np.asarray(alpha))

    def layer(self, size: tuple[int, int]) -> tuple[Layer, Layer]:
        """Colours times opacity (H, W, 3), and opacity (H, W), for images of a size (H, W)."""
        top, left, height, width = self._box(size)
        canvas = np.concatenate([self.rgb * self.alpha[..., None], self.alpha[..., None]], axis=2)
        sized = resample(canvas, (height, width))
        whole = np.zeros((*size, 4), dtype=np.float32)
        whole[top : top + height, left : left + width] = sized
        seen = whole[..., 3] >= 0.5 / 255  # less would not change a pixel
        return whole[..., :3] * seen[..., None], whole[..., 3] * seen

    def view(self, image: Pixels) -> Layer:
        """What an image shows under the canvas, at the size of the canvas: (h, w, 3) in [0, 1]."""
        top, left, height, width = self._box(image.shape[:2])
        part = image[top : top + height, left : left + width].astype(np.float32) / 255
        return resample(part, self.alpha.shape)

    def save(self, path: str | Path) -> Path:
        """Write colours and opacity as an RGBA file ``.png``, name and anchor as JSON beside it; returns the former."""
        from chinspect.artefacts.storage import save

        return save(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> Artefact:
        """Read what `save` wrote. Raises `InputError` for anything else."""
        from chinspect.artefacts.storage import load

        return load(Path(path))

    @staticmethod
    def from_file(path: str | Path, *, width: float | None = None, anchor: tuple[float, float] = (0, 1)) -> Artefact:
        """An RGBA file of any origin, see `chinspect.artefacts.storage.from_file`."""
        from chinspect.artefacts.storage import from_file

        return from_file(Path(path), width, anchor)

    def _box(self, size: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Top, left, height and width of the canvas on an image of a size (H, W)."""
        if len(size) != 2 or min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
            raise InputError(f"An artefact lies over images of a size (H, W) of 1 to {MAX_PIXELS} pixels, not {size}.")
        if self.anchor is None:
            return 0, 0, size[0], size[1]
        h, w = self.alpha.shape
        scale = min(size[0] / h, size[1] / w)
        height, width = max(round(h * scale), 1), max(round(w * scale), 1)
        return round(self.anchor[1] * (size[0] - height)), round(self.anchor[0] * (size[1] - width)), height, width


def checked(image: Pixels) -> None:
    """`InputError` unless these are 8-bit RGB pixels (H, W, 3)."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        given = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"Images are uint8 arrays (H, W, 3), not {given}: use np.asarray(open_image(path)).")
    if image.size == 0:
        raise InputError(f"An image without pixels {image.shape} cannot be edited.")


def resample(values: Layer, size: tuple[int, ...]) -> Layer:
    """An array (h, w) or (h, w, c) at a size (H, W): means of areas if no side grows, else linear interpolation."""
    import cv2

    if values.shape[:2] == tuple(size):
        return values
    shrinks = size[0] <= values.shape[0] and size[1] <= values.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(values), (size[1], size[0]), interpolation=method))


def widened(mask: NDArray[np.bool_], pixels: int = 1) -> NDArray[np.bool_]:
    """A mask and everything that lies within some pixels of it, in a square."""
    import cv2

    square = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), square)).astype(bool)
