"""An artefact, as a user names it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chinspect.artefacts import Artefact

ARTEFACT_HELP = (
    "logo, watermark, border, rounded-corners, patch, annotation; an artefact with its .json; or a PNG file with "
    "transparency, which is put into the lower left corner."
)
_LOGO_WIDTH = 0.4  # of the image, as in Kauffmann et al. 2025


def load_artefact(name: str) -> Artefact:
    """An artefact by its name, by its files, or from any PNG file with transparency."""
    from chinspect.artefacts import ARTEFACTS, Artefact
    from chinspect.errors import InputError

    if name in ARTEFACTS:
        return ARTEFACTS[name]()
    if Path(name).with_suffix(".json").is_file():
        return Artefact.load(name)
    if not Path(name).is_file():
        raise InputError(f"There is no artefact {name!r}: name a PNG file, or one of {', '.join(ARTEFACTS)}.")
    return Artefact.from_file(name, width=_LOGO_WIDTH)
