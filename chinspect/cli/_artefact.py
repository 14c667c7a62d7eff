"""An artefact, as a user names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chinspect.artefacts import Artefact

ARTEFACT_HELP = (
    "logo, watermark, border, rounded-corners, patch, annotation; an artefact with its .json; or a PNG file with "
    "transparency, which is put into the lower left corner."
)


def load_artefact(name: str) -> Artefact:
    """See `chinspect.artefacts.artefact_named`."""
    from chinspect.artefacts import artefact_named

    return artefact_named(name)
