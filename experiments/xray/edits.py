"""Does the readout change its mind when annotations go, or come?

    painted out     the text of an image, painted from its surroundings
    elsewhere       as many pixels of the same shape painted in another place: what painting does on its own
    added           PORTABLE burnt into images of NIH
    smoothed        what the added letters cover, painted from its surroundings: as many pixels touched

The readout is fitted on images as they are. Images that a change does not concern keep their decision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.artefacts import ARTEFACTS
from chinspect.datasets import NIH, XrayImages
from chinspect.encoders import Encoder
from chinspect.files import output_folder, replacing
from chinspect.images import open_image
from chinspect.readouts import ALL, score_groups
from experiments.xray.data import Embedded, divided, embedded, patient_interval
from experiments.xray.scores import RATES, readout
from experiments.xray.text import Mask, Pixels, painted_out

ORIGINAL = "original"
STATES = ("painted out", "elsewhere", "added", "smoothed")
_SIDE = 512
"""Pictures are edited at most this large, shorter side; the unchanged ones that they are compared with as well."""
_TRIES = 40
"""Random shifts of a mask, of which the one that meets the mask least is taken."""


def edited_files(images: XrayImages, masks: Mapping[Path, Mask], out: Path) -> dict[str, dict[Path, Path]]:
    """By state: the edited file of each image that the state concerns; files that are there stay."""
    states: dict[str, dict[Path, Path]] = {state: {} for state in (ORIGINAL, *STATES)}
    for number, (path, source) in enumerate(zip(images.paths, images.sources, strict=True)):
        for state, change in _changes(masks[path], source == NIH, number).items():
            digest = hashlib.sha256(str(path).encode() + masks[path].tobytes()).hexdigest()[:8]
            target = output_folder(out / state.replace(" ", "-")) / f"{path.stem}-{digest}.png"
            if not target.exists():
                with replacing(target) as temporary:
                    Image.fromarray(change(_reduced(path))).save(temporary, format="png")
            states[state][path] = target
    return states


def judged(
    encoder: Encoder, vectors: Embedded, images: XrayImages, files: dict[str, dict[Path, Path]], seeds: int, cache: Path
) -> pd.DataFrame:
    """One row a seed, state, and source or `ALL`: scores of the test images, and how the edit moved decision values.

    ``shift`` is the mean change of the decision values of the edited images, in standard deviations of the decision
    values of the test set, with a bootstrap interval over patients; positive is towards COVID-19. ``flips`` is how many
    decisions changed.
    """
    changed = {state: embedded(encoder, tuple(its.values()), cache) for state, its in files.items() if its}
    tables = []
    for seed in range(seeds):
        train, test = divided(images, seed)
        model = readout(vectors, train)
        before = model.decision_function(vectors.of(test.paths))
        for state in (state for state in STATES if state in changed):
            concerned = np.array([path in files[state] for path in test.paths])
            if not concerned.any():
                continue
            some = [path for path in test.paths if path in files[state]]
            now, then = (
                model.decision_function(changed[name].of(files[name][path] for path in some))
                for name in (state, ORIGINAL)
            )
            tables.append(_by_source(test, before, concerned, now, then).assign(state=state, seed=seed))
    columns = ["state", "seed"]
    table = pd.concat(tables, ignore_index=True)
    return table[columns + [name for name in table.columns if name not in columns]]


def averaged_edits(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, rates in per cent."""
    values = [name for name in rows.columns if name not in ("encoder", "state", "source", "seed")]
    table = rows.groupby(["encoder", "state", "source"], sort=False)[values].mean().reset_index()
    rates = [name for name in values if name.startswith(RATES)]
    table[rates] *= 100
    return table


def _by_source(
    test: XrayImages,
    before: NDArray[np.float64],
    concerned: NDArray[np.bool_],
    now: NDArray[np.float64],
    then: NDArray[np.float64],
) -> pd.DataFrame:
    """Scores with and without the edit; ``before`` of all test images, ``now`` and ``then`` of those concerned."""
    unedited = before.copy()
    unedited[concerned] = then
    edited = before.copy()
    edited[concerned] = now
    scores = [
        score_groups(test.labels, (values > 0).astype(int), test.sources, positive=1).set_index("group")
        for values in (unedited, edited)
    ]
    sources = np.array(test.sources)[concerned]
    patients = np.array(test.patients)[concerned]
    shifts = (now - then) / float(before.std())
    rows = []
    for source in (ALL, *sorted({*sources})):
        here = np.full(len(now), True) if source == ALL else sources == source
        was, is_now = (table.loc[source] for table in scores)
        row: dict[str, Any] = {"source": source, "n": int(is_now["n"]), "edited": int(here.sum())}
        for rate in RATES:
            row |= {f"{rate}_before": was[rate], rate: is_now[rate]}
        row |= {"flips": int(((now > 0) != (then > 0))[here].sum()), "shift": float(shifts[here].mean())}
        row["shift_low"], row["shift_high"] = patient_interval(shifts[here], patients[here])
        rows.append(row)
    return pd.DataFrame(rows)


def _changes(mask: Mask, nih: bool, number: int) -> dict[str, Callable[[Pixels], Pixels]]:
    """The states that concern an image."""
    added = ARTEFACTS["annotation"]()
    changes: dict[str, Callable[[Pixels], Pixels]] = {}
    if mask.any():
        changes["painted out"] = lambda image: painted_out(image, _fitting(mask, image))
        changes["elsewhere"] = lambda image: painted_out(image, moved_away(_fitting(mask, image), number))
    if nih:
        changes |= {"added": added.add, "smoothed": added.remove}
    return {ORIGINAL: lambda image: image} | changes if changes else {}


def moved_away(mask: Mask, seed: int) -> Mask:
    """The mask after a random shift that may wrap around; of some tries the one that meets the mask least."""
    rng = np.random.default_rng(seed)
    best = min(
        (np.roll(mask, (rng.integers(mask.shape[0]), rng.integers(mask.shape[1])), (0, 1)) for _ in range(_TRIES)),
        key=lambda moved: int((moved & mask).sum()),
    )
    return best & ~mask


def _reduced(path: Path) -> Pixels:
    image = np.asarray(open_image(path))
    scale = _SIDE / min(image.shape[:2])
    if scale >= 1:
        return image
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _fitting(mask: Mask, image: Pixels) -> Mask:
    size = image.shape[1], image.shape[0]
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
