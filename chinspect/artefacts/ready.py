"""Artefacts by name: what image collections really carry.

Text logos and borders are the finds of Anders et al. 2022 in ImageNet, burnt-in annotations those of chest X-rays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from chinspect.artefacts.artefact import Artefact, Layer, resample
from chinspect.errors import InputError
from chinspect.images import MARGIN, rendered_text

Colour = tuple[float, float, float]
CANVAS = 224
"""Side of the canvas of a ready-made artefact in pixels."""
_WHITE, _OUTLINE = (1.0, 1.0, 1.0), 0.06


def text_logo(
    text: str = "WASTECO",
    *,
    width: float = 0.45,
    anchor: tuple[float, float] = (0, 1),
    ink: Colour = _WHITE,
    opacity: float = 1.0,
) -> Artefact:
    """Letters with a dark outline, as `chinspect.world.Logo` writes them: lower left unless the anchor says else."""
    if not text.strip():
        raise InputError("A text logo needs a text that is not blank.")
    if not 0 < opacity <= 1:
        raise InputError(f"An opacity lies in (0, 1], not {opacity}.")
    letters, outline = (
        part.astype(np.float32) / 255 for part in rendered_text(text, max(round(_share(width) * CANVAS), 1))
    )
    light = letters[..., None] * np.asarray(ink, np.float32) + (outline - letters).clip(0)[..., None] * _OUTLINE
    cover = np.maximum(letters, outline)
    drawn = cover.shape[1] / CANVAS  # rounded by the font; the same width again would blur it
    return placed("logo", light * opacity, cover * opacity, width=min(drawn, 1.0), anchor=anchor)


def watermark(text: str = "SAMPLE", *, width: float = 0.6, opacity: float = 0.4) -> Artefact:
    """A text over the middle of the image that lets it shine through."""
    logo = text_logo(text, width=width, anchor=(0.5, 0.5), opacity=opacity)
    return Artefact("watermark", logo.rgb, logo.alpha, logo.anchor)


def annotation(text: str = "PORTABLE", *, width: float = 0.4, anchor: tuple[float, float] = (0, 0)) -> Artefact:
    """What a hospital burns into a radiograph: a side marker such as "L", or how it was taken."""
    logo = text_logo(text, width=width, anchor=anchor)
    return Artefact("annotation", logo.rgb, logo.alpha, logo.anchor)


def border(width: float = 0.06, *, colour: Colour = (0.5, 0.5, 0.5)) -> Artefact:
    """A frame of one colour, its width a share of the image's sides."""
    if not 0 < width < 0.5:
        raise InputError(f"The width of a border lies between 0 and 0.5 of the image, not {width}.")
    inside = _distance_to_edge() >= width
    return _flat("border", (~inside).astype(np.float32), colour)


def rounded_corners(radius: float = 0.2, *, colour: Colour = _WHITE) -> Artefact:
    """Four corners cut round, their radius a share of the image's sides."""
    if not 0 < radius <= 0.5:
        raise InputError(f"The radius of rounded corners lies between 0 and 0.5 of the image, not {radius}.")
    axis = (np.arange(CANVAS, dtype=np.float32) + 0.5) / CANVAS
    beyond = (radius - np.minimum(axis, 1 - axis)).clip(0)
    distance = np.hypot(beyond[:, None], beyond[None, :])
    return _flat("rounded-corners", ((distance - radius) * CANVAS + 0.5).clip(0, 1), colour)


def colour_patch(
    side: float = 0.15, *, colour: Colour = (0.9, 0.1, 0.1), anchor: tuple[float, float] = (1, 0)
) -> Artefact:
    """A square of one colour: upper right unless the anchor says else."""
    cover = np.ones((CANVAS, CANVAS), dtype=np.float32)
    return placed("patch", cover[..., None] * np.asarray(colour, np.float32), cover, width=side, anchor=anchor)


def placed(name: str, light: Layer, cover: Layer, *, width: float, anchor: tuple[float, float]) -> Artefact:
    """A small picture on the canvas.

    Args:
        name: of the artefact.
        light, cover: colours times opacity (h, w, 3), and opacity (h, w).
        width: of the picture as a share of the canvas, in (0, 1].
        anchor: where it sits, `MARGIN` away from the edges as far as there is room.

    Raises `InputError` for a width out of range or a picture higher than the canvas.
    """
    columns = max(round(_share(width) * CANVAS), 1)
    rows = max(round(cover.shape[0] * columns / cover.shape[1]), 1)
    if rows > CANVAS:
        raise InputError(f"The picture of {name!r} would be higher than the image: choose a width below {width}.")
    picture = resample(np.concatenate([light, cover[..., None]], axis=2).astype(np.float32), (rows, columns))
    canvas = np.zeros((CANVAS, CANVAS, 4), dtype=np.float32)
    top, left = (
        round(margin + place * (CANVAS - length - 2 * margin))
        for place, length in ((anchor[1], rows), (anchor[0], columns))
        for margin in [min(round(MARGIN * CANVAS), (CANVAS - length) / 2)]
    )
    canvas[top : top + rows, left : left + columns] = picture.clip(0, 1)
    alpha = canvas[..., 3]
    rgb = (canvas[..., :3] / np.maximum(alpha, 1e-6)[..., None]).clip(0, 1)
    return Artefact(name, rgb, alpha, anchor)


ARTEFACTS: Mapping[str, Callable[[], Artefact]] = MappingProxyType(
    {
        "logo": text_logo,
        "watermark": watermark,
        "border": border,
        "rounded-corners": rounded_corners,
        "patch": colour_patch,
        "annotation": annotation,
    }
)
"""Makers of ready-made artefacts by name; each has parameters of its own, and defaults for all of them."""


def _flat(name: str, alpha: Layer, colour: Colour) -> Artefact:
    return Artefact(name, np.broadcast_to(np.asarray(colour, np.float32), (*alpha.shape, 3)), alpha)


def _distance_to_edge() -> Layer:
    """Of each pixel's centre on the canvas, as a share of its side."""
    axis = (np.arange(CANVAS, dtype=np.float32) + 0.5) / CANVAS
    nearest = np.minimum(axis, 1 - axis)
    return np.minimum(nearest[:, None], nearest[None, :])


def _share(width: float) -> float:
    if not 0 < width <= 1:
        raise InputError(f"The width of a picture is a share of the image in (0, 1], not {width}.")
    return width
