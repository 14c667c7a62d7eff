"""CounterAnimal: animals in front of common backgrounds and of others, and how much accuracy the background is worth.

On disk ``LAION-final/291 lion/common-grass/*.jpg`` and ``.../counter-snow/*.jpg``: folders begin with the index of
ImageNet's class. A control permutes common and counter among the images of each class.

Source: Wang et al. 2024, A Sober Look at the Robustness of CLIPs to Spurious Features (arXiv:2403.11497).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import list_images, open_image
from chinspect.known.effect import Findings, Options
from chinspect.known.models import CLASSES, Models
from chinspect.known.photographs import Photographs
from chinspect.known.responses import logits_of
from chinspect.known.rows import Row, rate_row
from chinspect.readouts import measured_row

COMMON = "common"
COUNTER = "counter"
PERMUTED = "permuted groups"
ACCURACY = "accuracy"
GAP = "accuracy change"
_RESAMPLES = 1000
_CLASS = re.compile(r"(\d{1,3})\s")
Flags = NDArray[np.bool_]


def measure_counter_animal(models: Models, data: Path, options: Options) -> Findings:
    """The protocol; see the module."""
    photographs, counter = load_counter_animal(data)
    drawn = photographs.drawn(options.images, options.seed)
    used = photographs.subset(drawn)
    right = logits_of(models, used.samples, options).argmax(1) == used.classes
    first = {name: int(np.flatnonzero(counter == flag)[0]) for name, flag in ((COMMON, False), (COUNTER, True))}
    shown = {name: np.asarray(open_image(photographs.samples.paths[index])) for name, index in first.items()}
    return Findings(pd.DataFrame(group_rows(right, counter[drawn], used.classes, options.seed)), len(used), (), shown)


def group_rows(right: Flags, counter: Flags, classes: NDArray[np.intp], seed: int = 0) -> list[Row]:
    """Accuracies of both groups, their difference, and that of permuted groups."""
    rng = np.random.default_rng(seed)
    permuted = counter.copy()
    for label in np.unique(classes):
        own = np.flatnonzero(classes == label)
        permuted[own] = counter[rng.permutation(own)]
    return [
        rate_row(ACCURACY, COUNTER, right[counter]),
        rate_row(ACCURACY, COMMON, right[~counter]),
        measured_row(GAP, COUNTER, _difference(right, counter, rng), len(right)),
        measured_row(GAP, PERMUTED, _difference(right, permuted, rng), len(right)),
    ]


def _difference(right: Flags, counter: Flags, rng: np.random.Generator) -> tuple[float, float, float]:
    """Accuracy of the counter group less that of the common one, with a bootstrap interval within groups."""
    groups = [right[counter].astype(float), right[~counter].astype(float)]
    means = [rng.binomial(len(group), group.mean(), _RESAMPLES) / len(group) for group in groups]
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return float(groups[0].mean() - groups[1].mean()), float(low), float(high)


def load_counter_animal(folder: Path) -> tuple[Photographs, Flags]:
    """All images with their class, and which of them are of the counter group.

    Raises `InputError` for a folder in another layout.
    """
    root = Path(folder) / "LAION-final" if (Path(folder) / "LAION-final").is_dir() else Path(folder)
    names, classes, counter = [], [], []
    for path in list_images(root):
        parts = path.relative_to(root).parts
        index = _CLASS.match(parts[0])
        group = parts[1].partition("-")[0] if len(parts) == 3 else ""
        if index is None or int(index[1]) >= CLASSES or group not in (COMMON, COUNTER):
            continue
        names.append(path.relative_to(root).as_posix())
        classes.append(int(index[1]))
        counter.append(group == COUNTER)
    if len(set(counter)) < 2:
        raise InputError(
            f"{str(folder)!r} has no images like '291 lion/common-grass/1.jpg' and '291 lion/counter-snow/1.jpg', as "
            "CounterAnimal (counteranimal.github.io) has them."
        )
    return Photographs(Samples(root, tuple(names)), np.array(classes)), np.array(counter)
