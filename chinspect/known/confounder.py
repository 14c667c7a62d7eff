"""The robustness index of PathoROB on images that lie in CLASS/CENTRE/; see `chinspect.readouts.confounder`."""

from __future__ import annotations

from pathlib import Path

from chinspect.errors import InputError
from chinspect.images import list_images
from chinspect.known.effect import Findings, Options
from chinspect.known.models import Models
from chinspect.readouts import FOLDER, confounding


def measure_confounding(models: Models, data: Path, options: Options) -> Findings:
    """The protocol: all images, in cells of one size."""
    scores = confounding(models.encoder, data, FOLDER, seed=options.seed)
    return Findings(scores.measures, int(scores.cells["used"].sum()), scores.notes)


def check_centres(data: Path) -> None:
    """Raises `InputError` unless the images of a folder lie in CLASS/CENTRE/."""
    if not Path(data).is_dir():
        raise InputError(f"The images {str(data)!r} do not exist; give a folder CLASS/CENTRE/ of images.")
    for path in list_images(data):
        if len(path.relative_to(data).parts) != 3:
            raise InputError(f"{str(path)!r} does not lie in CLASS/CENTRE/: give a folder in that layout.")
