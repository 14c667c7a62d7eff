"""The data of the X-ray study: two sources as they lie on disk, or generated ones in the same layouts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from xray_text import text_of

from chinspect.datasets import GITHUB, NIH, XrayImages, load_github, load_nih, load_xray_folders
from chinspect.encoders import Encoder
from chinspect.execute import Samples
from chinspect.files import output_folder
from chinspect.intervals import draws, interval
from chinspect.readouts import Pictures, embeddings
from chinspect.world import Scene, xray

_ELSEWHERE = {"offset": "0", "sex": "F", "age": "60", "folder": "images"}
_AGE = 55
FEWEST = 5
"""Draws of fewer patients would be too much alike."""
_RESAMPLES, _LEVEL = 2000, 0.05


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings of all images of the study by one encoder, looked up by path."""

    values: NDArray[np.float32]
    places: dict[Path, int]

    def of(self, part: XrayImages) -> NDArray[np.float32]:
        """(n, D), for some of the images."""
        return self.values[[self.places[path] for path in part.paths]]


def embedded(encoder: Encoder, paths: tuple[Path, ...], cache: Path) -> Embedded:
    """Computed once and kept on disk."""
    values = embeddings(encoder, Pictures(Samples(Path(), tuple(map(str, paths)))), cache)
    return Embedded(values, {path: place for place, path in enumerate(paths)})


def loaded(options: argparse.Namespace) -> XrayImages:
    """The images that were asked for, at most ``--per-source`` of each source."""
    if options.root is not None:
        images = load_xray_folders(options.root)
    else:
        images = load_nih(options.nih) + load_github(options.github, metadata=options.metadata)
    return images.limited(options.per_source, seed=0)


def divided(images: XrayImages, seed: int) -> tuple[XrayImages, XrayImages]:
    """Training and test images, 80:20 by patients.

    Where GitHub has negative images of its own, as in the paper: then the negative test images of NIH only fill the
    test set up to as many negatives as positives, and the others are for training.
    """
    train, test = images.split(0.2, seed=seed)
    own = [label for label, source in zip(images.labels, images.sources, strict=True) if source == GITHUB]
    if 0 not in own or NIH not in test.sources:
        return train, test
    kept = _filling(test, seed)
    return train + test.take(~kept), test.take(kept)


def tasks(images: XrayImages) -> dict[str, XrayImages]:
    """What a readout may be asked, as the same images with other labels."""
    labels, sources = np.array(images.labels), np.array(images.sources)
    pneumonia = np.array(["pneumonia" in finding.lower() for finding in images.findings])
    negative, nih = images.take(labels == 0), images.take(sources == NIH)
    found = {"COVID-19": images}
    if len({*negative.sources}) > 1:
        found["source, without COVID-19"] = _labelled(negative, np.array(negative.sources) == GITHUB)
    if 0 < pneumonia[sources == NIH].sum() < len(nih):
        found["pneumonia, within NIH"] = _labelled(nih, pneumonia[sources == NIH])
    return found


def generated(folder: Path, n: int, seed: int = 0) -> None:
    """X-rays of the generated world in the real layouts, below ``nih`` and ``github``, and ``masks`` of their text.

    GitHub sends all the sick, most of them from the hospital that writes PORTABLE, and healthy chests of both; NIH is
    the other hospital, with an R. A readout that tells the sick by the letters calls half of GitHub's healthy sick: the
    situation of the paper, with a known cause. GitHub's patients have two images each.
    """
    sick = xray(n, seed=seed, prevalence=1.0, agreement=0.95)
    mixed = xray(n // 2, seed=seed + 1, prevalence=0.0, agreement=0.5)
    other = xray(n, seed=seed + 2, prevalence=0.0, agreement=1.0)
    masks = output_folder(folder / "masks")
    _write_github(folder / GITHUB, [*sick, *mixed], masks)
    _write_nih(folder / NIH, other, masks)


def patient_interval(values: NDArray[np.float64], patients: Sequence[str]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of values (n,) of images; not a number for fewer patients than `FEWEST`."""
    if len({*patients}) < FEWEST:
        return np.nan, np.nan
    return interval(values, patient_draws(patients), _LEVEL)


def patient_draws(patients: Sequence[str]) -> NDArray[np.float64]:
    """How often each of n images counts if patients are drawn, with all of their images: (resamples, n)."""
    names, places = np.unique(np.asarray(patients), return_inverse=True)
    return draws(len(names), _RESAMPLES, 0)[:, places]


def _write_github(folder: Path, scenes: list[Scene], masks: Path) -> None:
    rows = []
    for i, scene in enumerate(scenes):
        name = f"case-{i:04d}"
        _save(scene, output_folder(folder / "images") / f"{name}.png", masks)
        finding = "Pneumonia/Viral/COVID-19" if scene.label else "No Finding"
        row = {"patientid": str(i // 2), "finding": finding, "view": "PA", "modality": "X-ray"}
        rows.append(row | _ELSEWHERE | {"filename": f"{name}.png"})
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)


def _write_nih(folder: Path, scenes: list[Scene], masks: Path) -> None:
    rows = []
    for i, scene in enumerate(scenes):
        name = f"{i:08d}_000.png"
        _save(scene, output_folder(folder / "images") / name, masks)
        rows.append({"Image Index": name, "Finding Labels": "No Finding", "Patient ID": i, "Patient Age": _AGE})
    pd.DataFrame(rows).to_csv(folder / "Data_Entry_2017.csv", index=False)


def _save(scene: Scene, path: Path, masks: Path) -> None:
    Image.fromarray(scene.image).save(path)
    Image.fromarray(text_of(scene)).save(masks / path.name)


def _filling(test: XrayImages, seed: int) -> NDArray[np.bool_]:
    """All images of other sources, and patients of NIH as long as negatives are missing."""
    labels, sources, patients = (np.array(values) for values in (test.labels, test.sources, test.patients))
    kept, missing = sources != NIH, int((labels == 1).sum() - ((labels == 0) & (sources != NIH)).sum())
    for patient in np.random.default_rng(seed).permutation(np.unique(patients[sources == NIH])):
        if missing <= 0:
            break
        kept |= patients == patient
        missing -= int((patients == patient).sum())
    return kept


def _labelled(images: XrayImages, positive: NDArray[np.bool_]) -> XrayImages:
    return replace(images, labels=tuple(int(value) for value in positive))
