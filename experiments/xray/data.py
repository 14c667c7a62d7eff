"""The data of the X-ray study: two sources as they lie on disk, or generated ones in the same layouts."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.datasets import GITHUB, NIH, XrayImages, load_github, load_nih, load_xray_folders
from chinspect.encoders import Encoder
from chinspect.execute import Samples
from chinspect.files import output_folder
from chinspect.intervals import draws, interval
from chinspect.readouts import Pictures, embeddings
from chinspect.world import Scene, xray
from experiments.xray.text import text_of

_ELSEWHERE = {"offset": "0", "sex": "F", "age": "60", "folder": "images"}
_AGE = 55
FEWEST = 5
"""Draws of fewer patients would be too much alike."""
_RESAMPLES = 2000
_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings of all images of the study by one encoder, looked up by path."""

    values: NDArray[np.float32]
    rows: dict[Path, int]

    def of(self, paths: Iterable[Path]) -> NDArray[np.float32]:
        """(n, D), for some of the images."""
        return self.values[[self.rows[path] for path in paths]]


def embedded(encoder: Encoder, paths: tuple[Path, ...], cache: Path) -> Embedded:
    """Computed once and kept on disk."""
    values = embeddings(encoder, Pictures(Samples(Path(), tuple(map(str, paths)))), cache)
    return Embedded(values, {path: row for row, path in enumerate(paths)})


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
    retained = _filling(test, seed)
    return train + test.take(~retained), test.take(retained)


def tasks(images: XrayImages) -> dict[str, XrayImages]:
    """What a readout may be asked, as the same images with other labels."""
    questions = {"COVID-19": images}
    negative = images.take(np.array(images.labels) == 0)
    if len({*negative.sources}) > 1:
        questions["source, without COVID-19"] = _labelled(negative, [source == GITHUB for source in negative.sources])
    nih = images.take(np.array(images.sources) == NIH)
    pneumonia = ["pneumonia" in finding.lower() for finding in nih.findings]
    if 0 < sum(pneumonia) < len(nih):
        questions["pneumonia, within NIH"] = _labelled(nih, pneumonia)
    return questions


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
    names, rows = np.unique(np.asarray(patients), return_inverse=True)
    return draws(len(names), _RESAMPLES, 0)[:, rows]


def _write_github(folder: Path, scenes: list[Scene], masks: Path) -> None:
    rows = []
    for i, scene in enumerate(scenes):
        name = _save(scene, folder, f"case-{i:04d}.png", masks)
        finding = "Pneumonia/Viral/COVID-19" if scene.label else "No Finding"
        row = {"patientid": str(i // 2), "finding": finding, "view": "PA", "modality": "X-ray"}
        rows.append(row | _ELSEWHERE | {"filename": name})
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)


def _write_nih(folder: Path, scenes: list[Scene], masks: Path) -> None:
    rows = []
    for i, scene in enumerate(scenes):
        name = _save(scene, folder, f"{i:08d}_000.png", masks)
        rows.append({"Image Index": name, "Finding Labels": "No Finding", "Patient ID": i, "Patient Age": _AGE})
    pd.DataFrame(rows).to_csv(folder / "Data_Entry_2017.csv", index=False)


def _save(scene: Scene, folder: Path, name: str, masks: Path) -> str:
    """The image and the mask of its text; returns the name."""
    Image.fromarray(scene.image).save(output_folder(folder / "images") / name)
    Image.fromarray(text_of(scene)).save(masks / name)
    return name


def _filling(test: XrayImages, seed: int) -> NDArray[np.bool_]:
    """All images of other sources, and patients of NIH as long as negatives are missing."""
    labels, sources, patients = (np.array(values) for values in (test.labels, test.sources, test.patients))
    retained = sources != NIH
    missing = int((labels == 1).sum() - ((labels == 0) & retained).sum())
    for patient in np.random.default_rng(seed).permutation(np.unique(patients[sources == NIH])):
        if missing <= 0:
            break
        retained |= patients == patient
        missing -= int((patients == patient).sum())
    return retained


def _labelled(images: XrayImages, positive: Sequence[bool]) -> XrayImages:
    return replace(images, labels=tuple(int(value) for value in positive))
