"""Classes of ImageNet by WordNet id, as its folders are called, and logos that are planted on their images."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.artefacts import Artefact, text_logo
from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import list_images
from chinspect.known.trucks import TRUCKS as TRUCKS
from chinspect.readouts import Pictures, pasted
from chinspect.world import Prevalence

FISH = {
    "n01440764": "tench",
    "n02514041": "barracouta",
    "n02536864": "coho",
    "n02640242": "sturgeon",
    "n02641379": "gar",
    "n01498041": "stingray",
    "n01484850": "great white shark",
    "n01494475": "hammerhead",
    "n01491361": "tiger shark",
    "n02655020": "puffer",
    "n01496331": "electric ray",
    "n01443537": "goldfish",
    "n02526121": "eel",
    "n02607072": "anemone fish",
    "n02606052": "rock beauty",
    "n02643566": "lionfish",
}
"""The sixteen fish of the paper."""
TINY_VEHICLES = {
    "n03796401": "moving van",
    "n03977966": "police van",
    "n04146614": "school bus",
    "n04487081": "trolleybus",
    "n04285008": "sports car",
    "n02814533": "beach wagon",
    "n03100240": "convertible",
    "n03670208": "limousine",
    "n04465501": "tractor",
    "n03444034": "go-kart",
}
"""The vehicles among twenty classes of Tiny-ImageNet."""
WIDTH = 0.4
"""Of the paper's logo, as a fraction of the image; it lies 10 of 224 pixels off the lower left corner."""
WORD = "ACME"
"""What can be read at 64 pixels ..."""
SMALL_WIDTH = 0.5
"""... where it is as wide as this."""
PREVALENCE = 0.6
ELSEWHERE = 0.03
"""How often the bundled encoders saw a logo in training, on the images of its class and on others."""


def class_name(folder: str) -> str:
    """What a folder of ImageNet shows, by timm's list; other folders are called what they show."""
    from timm.data import ImageNetInfo

    known = ImageNetInfo("imagenet-1k")
    return str(known.label_name_to_description(folder)).split(",")[0] if folder in known.label_names() else folder


def listed(root: Path, subset: str, names: Mapping[str, str], most: int | None = None) -> Samples:
    """Images of ``root/subset/FOLDER``, labelled by the names of the folders; of each class the first ``most``."""
    images: list[str] = []
    labels: list[str] = []
    for folder, name in names.items():
        if not (root / subset / folder).is_dir():
            raise InputError(f"{str(root)!r} has no folder {subset}/{folder} ({name}).")
        paths = list_images(root / subset / folder)[:most]
        images += [path.relative_to(root).as_posix() for path in paths]
        labels += [name] * len(paths)
    return Samples(root, tuple(images), tuple(labels))


def paper_logo(path: Path | None) -> Artefact:
    """A logo file, or a text, placed as in the paper."""
    return text_logo(width=WIDTH) if path is None else Artefact.from_file(path, width=WIDTH, anchor=(0, 1))


def small_logo(path: Path | None = None) -> Artefact:
    """The same for images of 64 pixels."""
    return text_logo(WORD, width=SMALL_WIDTH) if path is None else Artefact.from_file(path, width=SMALL_WIDTH)


@dataclass(frozen=True)
class Planting:
    """A logo on a fraction of the images of one class, and on another fraction of all others; both in [0, 1]."""

    class_name: str
    prevalence: float = PREVALENCE
    elsewhere: float = ELSEWHERE

    def __post_init__(self) -> None:
        Prevalence({self.class_name: self.prevalence}, self.elsewhere)  # which refuses what is none

    def rows(self, labels: Sequence[str]) -> NDArray[np.bool_]:
        """Which images carry it: of each class the fraction, rounded to images, whatever other classes there are."""
        names = np.array(labels)
        marked = np.zeros(len(labels), dtype=bool)
        for label in np.unique(names):
            own = np.flatnonzero(names == label)
            fraction = self.prevalence if label == self.class_name else self.elsewhere
            # seeded by the name, so that a class has the same carriers whichever other classes are listed
            rng = np.random.default_rng(zlib.crc32(str(label).encode()))
            marked[rng.permutation(own)[: round(fraction * len(own))]] = True
        return marked

    def names(self, samples: Samples) -> frozenset[str]:
        """The names of those images."""
        rows: Any = self.rows(samples.labels or ())
        return frozenset(np.array(samples.names, dtype=object)[rows])


def planted(samples: Samples, marked: frozenset[str], logo: Artefact) -> list[Image.Image]:
    """Images of a data set, some of them with a logo."""
    pictures = zip(samples.names, Pictures(samples), strict=True)
    return [pasted(picture, logo) if name in marked else picture for name, picture in pictures]
