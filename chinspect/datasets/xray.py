"""X-rays of several sources, labelled by COVID-19, and their split by patients; see `chinspect.datasets.xray_load`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.errors import InputError


@dataclass(frozen=True)
class XrayImages:
    """X-rays with their origin, each a path and one entry in every field.

    Attributes:
        paths: of the images.
        labels: 1 with COVID-19, 0 with anything else or nothing.
        sources: ``nih`` or ``github``, or the names of the folders.
        patients: never the same for images of two sources.
        findings: as the source writes them.
        notes: what was left out or guessed, in sentences.
    """

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    sources: tuple[str, ...]
    patients: tuple[str, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def __add__(self, other: XrayImages) -> XrayImages:
        """The images of both. Raises `InputError` if one is in both."""
        twice = {*self.paths} & {*other.paths}
        if twice:
            raise InputError(f"{len(twice)} images are in both parts, such as {str(min(twice))!r}.")
        notes = tuple(dict.fromkeys(self.notes + other.notes))
        merged = {name: mine + other._columns[name] for name, mine in self._columns.items()}
        return XrayImages(**merged, notes=notes)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> XrayImages:
        """The images at some indices, or where a mask (N,) is true."""
        indices = np.arange(len(self))[np.asarray(rows)]
        columns = {name: tuple(column[i] for i in indices) for name, column in self._columns.items()}
        return XrayImages(**columns, notes=self.notes)

    def limited(self, most: int, *, seed: int) -> XrayImages:
        """At most this many images of each source, drawn at random, in their order."""
        rng = np.random.default_rng(seed)
        sources = np.array(self.sources)
        drawn = [rng.permutation(np.flatnonzero(sources == name))[:most] for name in sorted({*self.sources})]
        return self.take(np.sort(np.concatenate(drawn)))

    def split(self, fraction: float = 0.2, *, seed: int) -> tuple[XrayImages, XrayImages]:
        """Training and test images; all images of a patient are in one of them.

        Of each source and label about ``fraction`` of the images is for the test: patients come in random order and are
        taken as long as that brings the number of images nearer to the fraction. A patient with images of both labels
        counts as positive.

        Raises `InputError` for a fraction outside 0..1, or where a label of a source has a single patient.
        """
        if not 0 < fraction < 1:
            raise InputError(f"The fraction of test images must lie between 0 and 1, not {fraction}.")
        rng = np.random.default_rng(seed)
        images = pd.DataFrame(self._columns).groupby("patients")
        patients = images.agg(source=("sources", "last"), label=("labels", "max"), size=("labels", "size"))
        test: set[Any] = set()
        for (source, label), members in patients.groupby(["source", "label"]):
            if len(members) < 2:
                raise InputError(
                    f"The source {source!r} has one patient with the label {label}, and a split takes two at least."
                )
            sizes = members["size"].iloc[rng.permutation(len(members))]
            test |= _test_patients(sizes, fraction)
        tested = np.array([patient in test for patient in self.patients])
        return self.take(~tested), self.take(tested)

    @property
    def _columns(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "notes"}


def _test_patients(sizes: pd.Series[int], fraction: float) -> set[Any]:
    """Patients of a stratum for the test, one at least and not all, from how many images each has, in random order."""
    goal = fraction * sizes.sum()
    count = 0
    selected: set[Any] = set()
    for patient, size in sizes.items():
        if len(selected) < len(sizes) - 1 and abs(count + size - goal) < abs(count - goal):
            selected.add(patient)
            count += size
    return selected or {sizes.idxmin()}
