"""Artefacts on disk: an RGBA file that any image editor opens, and name and place as JSON beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from chinspect.artefacts.artefact import Artefact, Layer
from chinspect.artefacts.ready import placed
from chinspect.errors import InputError
from chinspect.files import replacing
from chinspect.images import open_image

_MAX_JSON = 10_000


def save(artefact: Artefact, path: Path) -> Path:
    """Write ``path`` (.png) and the JSON beside it, each whole or not at all."""
    _check_suffix(path)
    values = np.concatenate([artefact.rgb, artefact.alpha[..., None]], axis=2)
    with replacing(path) as temporary:
        Image.fromarray(np.round(values * 255).astype(np.uint8), "RGBA").save(temporary, "PNG")
    with replacing(path.with_suffix(".json")) as temporary:
        document = {"name": artefact.name, "anchor": artefact.anchor}
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> Artefact:
    """The artefact that `save` wrote to ``path``.

    Raises `InputError` for a file that is missing or damaged, and for JSON that is not of this form.
    """
    _check_suffix(path)
    beside = path.with_suffix(".json")
    rgb, alpha = _read(path)
    try:
        with beside.open(encoding="utf-8") as file:
            document = json.loads(file.read(_MAX_JSON))
        name, anchor = document["name"], document["anchor"]
        place = None if anchor is None else (float(anchor[0]), float(anchor[1]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{str(beside)!r} does not hold name and anchor of an artefact ({error}).") from error
    if not isinstance(name, str):
        raise InputError(f"The name of the artefact in {str(beside)!r} must be a text, not {name!r}.")
    return Artefact(name, rgb, alpha, place)


def from_file(path: Path, width: float | None, anchor: tuple[float, float]) -> Artefact:
    """An artefact from an RGBA file of any origin, named as the file.

    Args:
        path: a PNG file with transparency.
        width: None if the file is a canvas for the whole image, over which it is stretched; else the width of the
            picture as a share of the image's shorter side, in (0, 1].
        anchor: where the picture sits if it has a width: (0, 1) is the lower left corner.

    Raises `InputError` for a file that cannot be read, has no transparency or shows nothing, and for a width out of
    range.
    """
    rgb, alpha = _read(path)
    if not alpha.any():
        raise InputError(f"{str(path)!r} is transparent everywhere: an artefact has to be seen.")
    if width is None:
        return Artefact(path.stem, rgb, alpha)
    return placed(path.stem, rgb * alpha[..., None], alpha, width=width, anchor=anchor)


def _read(path: Path) -> tuple[Layer, Layer]:
    """Colours and opacity of a PNG file with transparency."""
    open_image(path)  # every check of the one door, which would put the picture on white
    with Image.open(path) as image:
        if image.format != "PNG" or not image.has_transparency_data:
            raise InputError(f"{str(path)!r} must be a PNG file with transparency: save the artefact as RGBA.")
        values = np.asarray(image.convert("RGBA")).astype(np.float32) / 255
    return values[..., :3], values[..., 3]


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise InputError(f"An artefact is stored as a .png file with JSON beside it, not as {path.name!r}.")
