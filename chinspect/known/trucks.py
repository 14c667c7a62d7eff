"""Trucks with a logo: does a readout of an encoder, fitted on images as they come, survive a logo on every test image?

On disk one folder a WordNet id, with ``train`` and ``val`` or without. The logo lies in the lower left corner of what
the encoder sees. The control is a random patch in its place, of its norm.

Source: Kauffmann et al. 2025 (10.1038/s42256-025-01000-2), whose logo was another company's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from chinspect.artefacts import text_logo
from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import open_image
from chinspect.known.effect import Findings, Options
from chinspect.known.models import Models
from chinspect.known.rows import Row, change_row, rate_row
from chinspect.proof import random_patch
from chinspect.readouts import ORIGINAL, SHIFTED, Pictures, Split, folder_task, load_classes

LOGO = "logo"
PATCH = "random patch"
TRUCKS = {
    "n03770679": "minivan",
    "n03796401": "moving van",
    "n03977966": "police van",
    "n03345487": "fire engine",
    "n03417042": "garbage truck",
    "n03930630": "pickup",
    "n04461696": "tow truck",
    "n04467665": "trailer truck",
}
"""The eight classes by their WordNet ids."""
_NORMED = 64  # images by which the norm of the random patch is known well enough
_READOUT = "logistic"


def measure_logo(models: Models, data: Path, options: Options) -> Findings:
    """The protocol, on all images: a readout has to be fitted."""
    encoder = models.encoder
    logo = text_logo()
    split = load_trucks(data, seed=options.seed)
    seen = encoder.see([open_image(path) for path in split.train.paths[:_NORMED]])
    patch = random_patch(logo, seen, options.seed)
    task = folder_task(split, logo)
    test = Pictures(split.test)
    task = replace(task, test={**task.test, PATCH: test.marked(patch)}, readouts={_READOUT: task.readouts[_READOUT]})
    table = task.predict(encoder)
    right = {
        str(state): (rows["label"] == rows["predicted"]).to_numpy(dtype=bool) for state, rows in table.groupby("state")
    }
    rows: list[Row] = [rate_row("accuracy", ORIGINAL, right[ORIGINAL])]
    for condition, state in ((LOGO, SHIFTED), (PATCH, PATCH)):
        rows.append(rate_row("accuracy", condition, right[state]))
        rows.append(change_row("accuracy change", condition, right[ORIGINAL], right[state]))
    shown = {ORIGINAL: seen[0], LOGO: logo.add(seen[0]), PATCH: patch.add(seen[0])}
    absent = [name for key, name in TRUCKS.items() if key not in (split.train.labels or ())]
    notes = [f"Not the published classes: {', '.join(absent)} are missing."] if absent else []
    return Findings(pd.DataFrame(rows), len(split.test), notes, shown)


def load_trucks(data: Path, *, seed: int = 0) -> Split:
    """The trucks of a folder of classes. Raises `InputError` where it holds fewer than two of their classes."""
    split = load_classes(data, seed=seed)
    if len({*TRUCKS} & {*(split.train.labels or ())}) < 2:
        raise InputError(f"{str(data)!r} holds no two of ImageNet's trucks: give folders such as n03796401.")
    return Split(_trucks(split.train), _trucks(split.test))


def _trucks(samples: Samples) -> Samples:
    pairs = [(name, label) for name, label in zip(samples.names, samples.labels or (), strict=True) if label in TRUCKS]
    return Samples(samples.root, tuple(name for name, _ in pairs), tuple(label for _, label in pairs))
