"""An artefact: something that lies over an image and should not matter, and the two edits that test whether it does.

With its colours F and its opacity alpha an artefact makes of an image B

    I = alpha F + (1 - alpha) B,

and it is taken away by painting its region anew from the surroundings (Telea 2004): what was under it is not known.

The canvas of an artefact stands for the full image. On an image of another size it is resampled, colours weighted by
their opacity. Without an anchor it is stretched over the image, as a border is; with one it keeps its aspect, becomes
as large as the image allows, and sits where the anchor says, as a logo in a corner does.

On disk an artefact is an RGBA file that any image editor opens, and its name and anchor as JSON beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from chinspect.artefacts.pixels import Layer, Mask, Pixels, checked, painted, read_rgba, resample, square, widened
from chinspect.errors import InputError
from chinspect.files import read_json, replacing
from chinspect.images import MARGIN, MAX_PIXELS

CANVAS = 224
"""Side of the canvas of an artefact that is made of a small picture, in pixels."""


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
        rgb = np.asarray(self.rgb, dtype=np.float32)
        alpha = np.asarray(self.alpha, dtype=np.float32)
        if alpha.ndim != 2 or rgb.shape != (*alpha.shape, 3) or alpha.size == 0:
            raise InputError(
                f"An artefact has colours (h, w, 3) and opacity (h, w), not {rgb.shape} and {alpha.shape}."
            )
        for field, what, values in (("rgb", "colours", rgb), ("alpha", "opacity", alpha)):
            if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
                raise InputError(f"The {what} of the artefact {self.name!r} must be finite numbers in [0, 1].")
            object.__setattr__(self, field, np.round(values * 255) / np.float32(255))
        if self.anchor is not None and not (len(self.anchor) == 2 and all(0 <= x <= 1 for x in self.anchor)):
            raise InputError(f"An anchor is a pair of numbers in [0, 1], not {self.anchor!r}.")

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
        checked(image)
        region = widened(self.mask(image.shape[:2]))
        if region.all():
            raise InputError(f"The artefact {self.name!r} covers the whole image: nothing is left to paint it from.")
        return painted(image, region) if region.any() else image.copy()

    def mask(self, size: tuple[int, int]) -> Mask:
        """Where `add` changes images of a size (H, W) at all: (H, W)."""
        return self.layer(size)[1] > 0

    def closed(self) -> Artefact:
        """The same with gaps of up to a tenth of the canvas closed, as between letters: any text in its place."""
        import cv2

        reach = max(round(0.05 * max(self.alpha.shape)), 1)  # from both sides of a gap, so half of a tenth
        padded = np.pad(self.alpha, 2 * reach)  # else the gap to the edge of the canvas would be closed too
        alpha: Layer = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, square(reach))  # type: ignore[assignment]
        return replace(self, alpha=alpha[2 * reach : -2 * reach, 2 * reach : -2 * reach])

    def layer(self, size: tuple[int, int]) -> tuple[Layer, Layer]:
        """Colours times opacity (H, W, 3), and opacity (H, W), for images of a size (H, W)."""
        rows, columns = self._box(size)
        canvas = np.concatenate([self.rgb * self.alpha[..., None], self.alpha[..., None]], axis=2)
        layer = np.zeros((*size, 4), dtype=np.float32)
        layer[rows, columns] = resample(canvas, (rows.stop - rows.start, columns.stop - columns.start))
        layer *= layer[..., 3:] >= 0.5 / 255  # less would not change a pixel
        return layer[..., :3], layer[..., 3]

    def view(self, image: Pixels) -> Layer:
        """What an image shows under the canvas, at the size of the canvas: (h, w, 3) in [0, 1]."""
        return resample(image[self._box(image.shape[:2])].astype(np.float32) / 255, self.alpha.shape)

    def save(self, path: str | Path) -> Path:
        """Writes colours and opacity as an RGBA file ``.png``, name and anchor as JSON beside it; returns the former.

        Each file is written completely or not at all. Raises `InputError` for a name that does not end in ``.png``.
        """
        target = _png(path)
        values = np.concatenate([self.rgb, self.alpha[..., None]], axis=2)
        with replacing(target) as temporary:
            Image.fromarray(np.round(values * 255).astype(np.uint8), "RGBA").save(temporary, "PNG")
        with replacing(target.with_suffix(".json")) as temporary:
            document = {"name": self.name, "anchor": self.anchor}
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return target

    @staticmethod
    def load(path: str | Path) -> Artefact:
        """Reads what `save` wrote.

        Raises `InputError` for a file that is missing or damaged, and for JSON that is not of this form.
        """
        source = _png(path)
        beside = source.with_suffix(".json")
        rgb, alpha = read_rgba(source)
        try:
            document = read_json(beside)
            name = document["name"]
            anchor = document["anchor"]
            if anchor is not None:
                anchor = (float(anchor[0]), float(anchor[1]))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"{str(beside)!r} does not hold name and anchor of an artefact ({error}).") from error
        if not isinstance(name, str):
            raise InputError(f"The name of the artefact in {str(beside)!r} must be a text, not {name!r}.")
        return Artefact(name, rgb, alpha, anchor)

    @staticmethod
    def from_file(path: str | Path, *, width: float | None = None, anchor: tuple[float, float] = (0, 1)) -> Artefact:
        """An artefact from an RGBA file of any origin, named as the file.

        Args:
            path: a PNG file with transparency.
            width: None if the file is a canvas for the full image, over which it is stretched; else the width of the
                picture as a fraction of the image's shorter side, in (0, 1].
            anchor: where the picture sits if it has a width: (0, 1) is the lower left corner.

        Raises `InputError` for a file that cannot be read, has no transparency or shows nothing, and for a width out of
        range.
        """
        source = Path(path)
        rgb, alpha = read_rgba(source)
        if not alpha.any():
            raise InputError(f"{str(source)!r} is transparent everywhere: an artefact has to be seen.")
        if width is None:
            return Artefact(source.stem, rgb, alpha)
        return placed(source.stem, rgb * alpha[..., None], alpha, width=width, anchor=anchor)

    def _box(self, size: tuple[int, ...]) -> tuple[slice, slice]:
        """Rows and columns of an image of a size (H, W) that the canvas covers."""
        if len(size) != 2 or min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
            raise InputError(f"An artefact lies over images of a size (H, W) of 1 to {MAX_PIXELS} pixels, not {size}.")
        if self.anchor is None:
            return slice(0, size[0]), slice(0, size[1])
        scale = min(size[0] / self.alpha.shape[0], size[1] / self.alpha.shape[1])
        sides = [max(round(side * scale), 1) for side in self.alpha.shape]
        starts = [round(self.anchor[1 - axis] * (size[axis] - sides[axis])) for axis in (0, 1)]
        return slice(starts[0], starts[0] + sides[0]), slice(starts[1], starts[1] + sides[1])


def placed(name: str, light: Layer, cover: Layer, *, width: float, anchor: tuple[float, float]) -> Artefact:
    """A small picture on a canvas of `CANVAS` pixels.

    Args:
        name: of the artefact.
        light, cover: colours times opacity (h, w, 3), and opacity (h, w).
        width: of the picture as a fraction of the canvas, in (0, 1].
        anchor: where it sits, `MARGIN` away from the edges as far as there is room.

    Raises `InputError` for a width out of range or a picture higher than the canvas.
    """
    columns = columns_of(width)
    rows = max(round(cover.shape[0] * columns / cover.shape[1]), 1)
    if rows > CANVAS:
        raise InputError(f"The picture of {name!r} would be higher than the image: choose a width below {width}.")
    picture = resample(np.concatenate([light, cover[..., None]], axis=2).astype(np.float32), (rows, columns))
    canvas = np.zeros((CANVAS, CANVAS, 4), dtype=np.float32)
    top = _start(anchor[1], rows)
    left = _start(anchor[0], columns)
    canvas[top : top + rows, left : left + columns] = picture.clip(0, 1)
    alpha = canvas[..., 3]
    rgb = canvas[..., :3] / np.maximum(alpha, 1e-6)[..., None]  # below any opacity that is stored: only avoids 0 / 0
    return Artefact(name, rgb.clip(0, 1), alpha, anchor)


def columns_of(width: float) -> int:
    """A width, a fraction of the canvas, in pixels. Raises `InputError` for one out of range."""
    if not 0 < width <= 1:
        raise InputError(f"The width of a picture is a fraction of the image in (0, 1], not {width}.")
    return max(round(width * CANVAS), 1)


def _start(anchor: float, length: int) -> int:
    """Where a picture of some length begins on the canvas, along one axis."""
    margin = min(round(MARGIN * CANVAS), (CANVAS - length) / 2)
    return round(margin + anchor * (CANVAS - length - 2 * margin))


def _png(path: str | Path) -> Path:
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"An artefact is stored as a .png file with JSON beside it, not as {Path(path).name!r}.")
    return Path(path)
