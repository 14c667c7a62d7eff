"""The logo of the representation study, and on which images it lies."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.artefacts import Artefact, text_logo
from chinspect.execute import Samples
from chinspect.readouts import Pictures, pasted
from chinspect.world.prevalence import check_prevalence

WIDTH = 0.4
"""Of the paper's logo, as a share of the image; it lies 10 of 224 pixels off the lower left corner."""
WORD, SMALL_WIDTH = "ACME", 0.5
"""What can be read at 64 pixels, and how wide it must be for that."""
PREVALENCE, ELSEWHERE = 0.6, 0.03


def paper_logo(path: Path | None) -> Artefact:
    """A logo file, or a text, placed as in the paper."""
    return text_logo(width=WIDTH) if path is None else Artefact.from_file(path, width=WIDTH, anchor=(0, 1))


def small_logo(path: Path | None = None) -> Artefact:
    """The same for images of 64 pixels."""
    return text_logo(WORD, width=SMALL_WIDTH) if path is None else Artefact.from_file(path, width=SMALL_WIDTH)


@dataclass(frozen=True)
class Planting:
    """A logo on a share of the images of one class, and on another share of all others; both in [0, 1]."""

    class_name: str
    prevalence: float = PREVALENCE
    elsewhere: float = ELSEWHERE

    def __post_init__(self) -> None:
        check_prevalence({self.class_name: self.prevalence}, self.elsewhere)

    def rows(self, labels: Sequence[str]) -> NDArray[np.bool_]:
        """Which images carry it: of each class the share, rounded to whole images, whatever other classes there are."""
        names, marked = np.array(labels), np.zeros(len(labels), dtype=bool)
        for label in np.unique(names):
            own = np.flatnonzero(names == label)
            share = self.prevalence if label == self.class_name else self.elsewhere
            rng = np.random.default_rng(zlib.crc32(str(label).encode()))
            marked[rng.permutation(own)[: round(share * len(own))]] = True
        return marked

    def names(self, samples: Samples) -> frozenset[str]:
        """The names of those images."""
        rows: Any = self.rows(samples.labels or ())
        return frozenset(np.array(samples.names, dtype=object)[rows])


def planted(samples: Samples, marked: frozenset[str], logo: Artefact) -> list[Image.Image]:
    """Images of a data set, some of them with a logo."""
    pictures = zip(samples.names, Pictures(samples), strict=True)
    return [pasted(picture, logo) if name in marked else picture for name, picture in pictures]
