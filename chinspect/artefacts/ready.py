"""Artefacts by name: what image collections really carry.

Text logos and borders are the finds of Anders et al. 2022 in ImageNet, burnt-in annotations those of chest X-rays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from chinspect.artefacts.artefact import CANVAS, Artefact, columns_of, placed
from chinspect.artefacts.pixels import Layer, Mask
from chinspect.errors import InputError, did_you_mean
from chinspect.images import rendered_text

Colour = tuple[float, float, float]
_WHITE = (1.0, 1.0, 1.0)
_OUTLINE = 0.06  # grey value of the outline: dark, but no black that no printed text has
_PICTURES = Path(__file__).parent / "pictures"
_FILE_WIDTH = 0.4  # of the image, as the logo of Kauffmann et al. 2025


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
    letters, outline = (values.astype(np.float32) / 255 for values in rendered_text(text, columns_of(width)))
    light = letters[..., None] * np.asarray(ink, np.float32) + (outline - letters).clip(0)[..., None] * _OUTLINE
    cover = np.maximum(letters, outline)
    drawn = cover.shape[1] / CANVAS  # rounded by the font; the same width again would blur it
    return placed("logo", light * opacity, cover * opacity, width=min(drawn, 1.0), anchor=anchor)


def watermark(text: str = "SAMPLE", *, width: float = 0.6, opacity: float = 0.4) -> Artefact:
    """A text over the middle of the image that lets it shine through."""
    return replace(text_logo(text, width=width, anchor=(0.5, 0.5), opacity=opacity), name="watermark")


def annotation(text: str = "PORTABLE", *, width: float = 0.4, anchor: tuple[float, float] = (0, 0)) -> Artefact:
    """What a hospital burns into a radiograph: a side marker such as "L", or how it was taken."""
    return replace(text_logo(text, width=width, anchor=anchor), name="annotation")


def border(width: float = 0.06, *, colour: Colour = (0.5, 0.5, 0.5)) -> Artefact:
    """A frame of one colour, its width a fraction of the image's sides."""
    if not 0 < width < 0.5:
        raise InputError(f"The width of a border lies between 0 and 0.5 of the image, not {width}.")
    distance = _distance_to_edge()
    return _flat("border", np.minimum.outer(distance, distance) < width, colour)


def rounded_corners(radius: float = 0.2, *, colour: Colour = _WHITE) -> Artefact:
    """Four corners cut round, their radius a fraction of the image's sides."""
    if not 0 < radius <= 0.5:
        raise InputError(f"The radius of rounded corners lies between 0 and 0.5 of the image, not {radius}.")
    beyond = (radius - _distance_to_edge()).clip(0)
    distance = np.hypot.outer(beyond, beyond)
    # a pixel that the circle cuts is covered by the fraction that lies outside
    return _flat("rounded-corners", ((distance - radius) * CANVAS + 0.5).clip(0, 1), colour)


def colour_patch(
    side: float = 0.15, *, colour: Colour = (0.9, 0.1, 0.1), anchor: tuple[float, float] = (1, 0)
) -> Artefact:
    """A square of one colour: upper right unless the anchor says else."""
    cover = np.ones((CANVAS, CANVAS), dtype=np.float32)
    return placed("patch", cover[..., None] * np.asarray(colour, np.float32), cover, width=side, anchor=anchor)


def imagenet_w() -> Artefact:
    """The watermark of ImageNet-W: 捷径 ("shortcut") three times across the middle, white, half transparent.

    Every network trained on ImageNet that was asked loses accuracy to it, for photographs of one class, cartons, carry
    text like it. It is made for what a network sees, after resize and crop, and exact at 224 pixels. Source: Li et al.
    2023, A Whac-A-Mole dilemma, arXiv:2212.04825; the picture was drawn anew (see ``pictures/NOTICE.txt``).
    """
    return Artefact.load(_PICTURES / "imagenet-w.png")


ARTEFACTS: Mapping[str, Callable[[], Artefact]] = MappingProxyType(
    {
        "logo": text_logo,
        "watermark": watermark,
        "border": border,
        "rounded-corners": rounded_corners,
        "patch": colour_patch,
        "annotation": annotation,
        "imagenet-w": imagenet_w,
    }
)
"""Makers of ready-made artefacts by name; each has parameters of its own, and defaults for all of them."""


def artefact_named(name: str) -> Artefact:
    """An artefact as a user names it.

    Args:
        name: one of `ARTEFACTS`; or the ``.png`` file that `Artefact.save` wrote; or any other PNG file with
            transparency, which is put into the lower left corner.

    Raises `InputError` where there is none.
    """
    if name in ARTEFACTS:
        return ARTEFACTS[name]()
    if Path(name).with_suffix(".json").is_file():
        return Artefact.load(name)
    if not Path(name).is_file():
        raise InputError(
            f"There is no artefact {name!r}{did_you_mean(name, ARTEFACTS)}: "
            f"name a PNG file, or one of {', '.join(ARTEFACTS)}."
        )
    return Artefact.from_file(name, width=_FILE_WIDTH)


def _flat(name: str, alpha: Layer | Mask, colour: Colour) -> Artefact:
    return Artefact(name, np.broadcast_to(np.asarray(colour, np.float32), (*alpha.shape, 3)), alpha.astype(np.float32))


def _distance_to_edge() -> Layer:
    """Of the centre of each row or column of the canvas, as a fraction of its side: (CANVAS,)."""
    axis = (np.arange(CANVAS, dtype=np.float32) + 0.5) / CANVAS
    return np.minimum(axis, 1 - axis)
