"""An artefact, as a user names it."""

ARTEFACT_HELP = (
    "logo, watermark, border, rounded-corners, patch, annotation; an artefact with its .json; or a PNG file with "
    "transparency, which is put into the lower left corner."
)
