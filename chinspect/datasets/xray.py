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
        """The images at some places, or where a mask (N,) is true."""
        places = np.arange(len(self))[np.asarray(rows)]
        taken = {name: tuple(column[i] for i in places) for name, column in self._columns.items()}
        return XrayImages(**taken, notes=self.notes)

    def limited(self, most: int, *, seed: int) -> XrayImages:
        """At most this many images of each source, drawn at random, in their order."""
        rng, sources = np.random.default_rng(seed), np.array(self.sources)
        drawn = [rng.permutation(np.flatnonzero(sources == name))[:most] for name in sorted({*self.sources})]
        return self.take(np.sort(np.concatenate(drawn)))

    def split(self, share: float = 0.2, *, seed: int) -> tuple[XrayImages, XrayImages]:
        """Training and test images; all images of a patient are in one of them.

        Of each source and label about ``share`` of the images is for the test: patients come in random order and are
        taken as long as that brings the number of images nearer to the share. A patient with images of both labels
        counts as positive.

        Raises `InputError` for a share outside 0..1, or where a label of a source has a single patient.
        """
        if not 0 < share < 1:
            raise InputError(f"The share of test images must lie between 0 and 1, not {share}.")
        rng, patients = np.random.default_rng(seed), np.array(self.patients, dtype=object)
        strata = self._strata(patients)
        test: set[str] = set()
        for stratum in sorted({*strata.values()}):
            members = sorted(patient for patient, its in strata.items() if its == stratum)
            test |= _taken(members, patients, share, stratum, rng)
        chosen = np.array([patient in test for patient in patients])
        return self.take(~chosen), self.take(chosen)

    @property
    def _columns(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "notes"}

    def _strata(self, patients: NDArray[Any]) -> dict[str, tuple[str, int]]:
        labels = pd.Series(self.labels).groupby(patients).max()
        return {patient: (source, int(labels[patient])) for patient, source in zip(patients, self.sources, strict=True)}


def _taken(
    members: list[str], patients: NDArray[Any], share: float, stratum: tuple[str, int], rng: np.random.Generator
) -> set[str]:
    """Patients of a stratum for the test, one at least and not all."""
    if len(members) < 2:
        source, label = stratum
        raise InputError(
            f"The source {source!r} has one patient with the label {label}, and a split takes two at least."
        )
    sizes = pd.Series(patients).value_counts()
    goal, count, taken = share * sum(int(sizes[patient]) for patient in members), 0, set[str]()
    order = [members[i] for i in rng.permutation(len(members))]
    for patient in order:
        size = int(sizes[patient])
        if len(taken) < len(members) - 1 and abs(count + size - goal) < abs(count - goal):
            taken.add(patient)
            count += size
    return taken or {min(order, key=lambda patient: int(sizes[patient]))}
