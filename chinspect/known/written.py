"""ImageNet-Atr: ImageNet's validation images with the name of the most similar class written on each.

On disk as tfds writes ImageNet: ``*-validation.tfrecord-*`` with image, label and file_name; the images without text,
if there are any, in the folder ``plain`` in the same form.

Source: Cao et al. 2023, Less is More (arXiv:2305.05095).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from chinspect.known.effect import Findings, Options
from chinspect.known.models import Models
from chinspect.known.records import RecordImages, load_records
from chinspect.known.responses import logits_of
from chinspect.known.rows import change_row, rate_row

WRITTEN = "name written"
PLAIN = "plain"
ACCURACY = "accuracy"
GAP = "accuracy change"


def measure_written(models: Models, data: Path, options: Options) -> Findings:
    """The protocol; see the module."""
    written = load_records(data)
    drawn = np.sort(np.random.default_rng(options.seed).permutation(len(written))[: options.images])
    right = _right(models, written.subset(drawn), options)
    rows = [rate_row(ACCURACY, WRITTEN, right)]
    if not (Path(data) / PLAIN).is_dir():
        notes = ("No accuracy change: the same images without text are not in the folder 'plain'.",)
        return Findings(pd.DataFrame(rows), len(drawn), notes, {WRITTEN: np.asarray(written[int(drawn[0])])})
    plain = load_records(Path(data) / PLAIN).subset(drawn)
    before = _right(models, plain, options)
    rows += [rate_row(ACCURACY, PLAIN, before), change_row(GAP, WRITTEN, before, right)]
    shown = {name: np.asarray(images[0]) for name, images in ((PLAIN, plain), (WRITTEN, written.subset(drawn)))}
    return Findings(pd.DataFrame(rows), len(drawn), (), shown)


def _right(models: Models, images: RecordImages, options: Options) -> np.ndarray:
    """Whether each image (n,) is called by its class."""
    return np.asarray(logits_of(models, images, options).argmax(1) == images.classes)
