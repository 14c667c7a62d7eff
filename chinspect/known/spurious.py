"""Spurious ImageNet: images that show what often surrounds a class, and not the class; are they told from it?

For each of a hundred classes k the area under the ROC curve of P(k), of ImageNet's validation images of k against
images with the spurious feature only; 1 for a classifier that does not rely on it. The control takes the images of the
next class: pictures like these, without the feature of k.

On disk ``images/*_*_CLASS_..._COMPONENT/`` as the archive ``images_100_classes.zip`` unpacks, the class in the third
field of the name, and beside it ``val/`` with ImageNet's validation images in one folder a WordNet id.

Source: Neuhaus et al. 2023, Spurious Features Everywhere (arXiv:2212.04871).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import list_images
from chinspect.known.effect import Findings, Options
from chinspect.known.models import CLASSES, Models
from chinspect.known.photographs import Photographs, load_photographs
from chinspect.known.responses import logits_of
from chinspect.known.rows import Row, mean_row

SPURIOUS = "spurious images"
NEXT = "those of the next class"
AUC = "mean AUC"
CALLED = "called by the class"
Values = NDArray[np.float64]


def measure_spurious(models: Models, data: Path, options: Options) -> Findings:
    """The protocol, on all images: the mean is over classes."""
    spurious, real = load_spurious(data)
    shown = logits_of(models, spurious.samples, options)
    rows = spurious_rows(shown, logits_of(models, real.samples, options), spurious.classes, real.classes, options.seed)
    return Findings(pd.DataFrame(rows), len(spurious))


def spurious_rows(
    spurious: Values, real: Values, spurious_classes: NDArray[np.intp], classes: NDArray[np.intp], seed: int = 0
) -> list[Row]:
    """Rows of logits (n, 1000) of images with the spurious feature of a class, and (m, 1000) of images of a class."""
    known = np.unique(spurious_classes)
    aucs: dict[str, list[float]] = {SPURIOUS: [], NEXT: []}
    called: dict[str, list[float]] = {SPURIOUS: [], NEXT: []}
    for label, following in zip(known, np.roll(known, -1), strict=True):
        own = _log_probability(real[classes == label], label)
        for condition, source in ((SPURIOUS, label), (NEXT, following)):
            shown = spurious[spurious_classes == source]
            scores = np.concatenate([own, _log_probability(shown, label)])
            aucs[condition].append(roc_auc_score(np.arange(len(scores)) < len(own), scores))
            called[condition].append(float((shown.argmax(1) == label).mean()))
    rows = [mean_row(AUC, condition, np.array(values), seed) for condition, values in aucs.items()]
    return rows + [mean_row(CALLED, condition, np.array(values), seed) for condition, values in called.items()]


def load_spurious(folder: Path) -> tuple[Photographs, Photographs]:
    """Images with spurious features and the class of each feature, and ImageNet's images of these classes.

    Raises `InputError` for a folder in another layout, and where a class has no images of ImageNet.
    """
    root = Path(folder)
    images = root / "images"
    if not images.is_dir() or not (root / "val").is_dir():
        raise InputError(
            f"{str(folder)!r} needs 'images', as images_100_classes.zip of Spurious ImageNet unpacks, and 'val' with "
            "ImageNet's validation images in one folder a WordNet id."
        )
    names, classes = [], []
    for path in list_images(images):
        fields = path.parent.name.split("_")
        if len(fields) < 4 or not fields[2].isdecimal() or int(fields[2]) >= CLASSES:
            raise InputError(f"The folder {path.parent.name!r} does not name a class in its third field.")
        names.append(path.relative_to(root).as_posix())
        classes.append(int(fields[2]))
    real = load_photographs(root / "val")
    absent = sorted({*classes} - {*real.classes.tolist()})
    if absent or len(set(classes)) < 2:
        raise InputError(f"'val' of {str(folder)!r} has no images of the class {absent[:1] or classes[:1]}.")
    real = real.subset(np.flatnonzero(np.isin(real.classes, classes)))
    return Photographs(Samples(root, tuple(names)), np.array(classes)), real


def _log_probability(logits: Values, label: int) -> Values:
    values: Values = logits[:, label] - logsumexp(logits, axis=1)
    return values
