"""How faithful the maps of a data set are: what some of its images lose without the patches that maps find relevant.

An image that the model sees is divided into at most 7 x 7 patches of equal size, the map is summed over them, and the
most relevant ones are replaced by what a reference has there (see `chinspect.faithfulness.deletion`). The score is what
the map explains, ``<weights, response>``. References are the blurred image, for detectors the image of the data set
that scores lowest: a blurred image is no normal one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chinspect.errors import InputError
from chinspect.explain.images import ExplainedImages
from chinspect.explain.pooling import area_sum
from chinspect.faithfulness import Deletion, Score, deletion, deletions_in_words
from chinspect.relevance import Components, Partition, Reference
from chinspect.report import Result, plain
from chinspect.subjects import Subject

_CELLS = 7  # rows and columns of patches: 10 % of them are 5, and each is 2 % of the image
_NOUNS = {"encoder": "what their maps explain", "classifier": "what their maps explain", "detector": "their scores"}


@dataclass(frozen=True, eq=False, repr=False)
class MapDeletions(Result):
    """Deletion on some images of a data set.

    Attributes:
        names: of the images.
        deletions: one an image.
        score: what it is that they lose, in words.
    """

    names: tuple[str, ...]
    deletions: tuple[Deletion, ...]
    score: str

    stem = "faithfulness"

    @property
    def sentence(self) -> str:
        """What the images lose, all together, beside random patches."""
        return deletions_in_words(self.deletions, f"{len(self.names)} images", self.score)

    def document(self) -> dict[str, Any]:
        """The sentence, and the falls of each image."""
        falls = {name: made.document()["falls"] for name, made in zip(self.names, self.deletions, strict=True)}
        return plain({"sentence": self.sentence, "falls": falls})


def map_deletions(subject: Subject, explained: ExplainedImages, count: int = 8) -> MapDeletions:
    """What ``count`` images lose without the most relevant patches of their maps, in 22 responses an image.

    Args:
        subject: the model that the maps explain.
        explained: maps of pixels; spectra have no patches.
        count: images spread evenly over the data set; of a detector, those that score highest.

    Raises `InputError` for spectra and for a count below 1.
    """
    if explained.maps.shape[1] == 1:
        raise InputError("spectra have no patches that could be replaced: explain pixels instead.")
    if count < 1:
        raise InputError(f"at least 1 image has to be changed, not {count}.")
    reference: Reference | str = "blur"
    if subject.kind == "detector":
        order = np.argsort(explained.values)
        indices = order[-count:]
        reference = _pixels(explained, int(order[0]))
    else:
        images = len(explained.names)
        indices = np.linspace(0, images - 1, min(count, images)).round().astype(int)
    made = tuple(_deletion(subject, explained, int(index), reference) for index in indices)
    return MapDeletions(tuple(explained.names[i] for i in indices), made, _NOUNS[subject.kind])


def _deletion(subject: Subject, explained: ExplainedImages, index: int, reference: Reference | str) -> Deletion:
    x = _pixels(explained, index)

    def score(images: Tensor) -> Tensor:
        # the model reads bytes, so that what is blurred is rounded
        seen = list(images.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
        return torch.from_numpy(subject.respond(seen) @ explained.weights[index].astype(float))

    return patch_deletion(score, x, explained.maps[index], reference)


def patch_deletion(score: Score, x: Tensor, relevance: NDArray[Any], reference: Reference | str = "blur") -> Deletion:
    """What a score loses without the most relevant of at most 7 x 7 patches of an image; see `deletion`.

    Args:
        score: from images (n, C, H, W) to numbers (n,).
        x: the image (1, C, H, W).
        relevance: a map (h, w) of any size, which is summed over the patches.
    """
    pooled = area_sum(relevance, _CELLS)
    partition = Partition(torch.from_numpy(_labels(x.shape[2:], pooled.shape)))
    components = Components("patches", lambda _shape: partition)
    return deletion(score, x, torch.from_numpy(pooled.reshape(-1)), components, reference)


def _pixels(explained: ExplainedImages, index: int) -> Tensor:
    """What the model sees of an image, (1, 3, H, W) in 0..255."""
    return torch.from_numpy(np.array(explained.picture(index))).permute(2, 0, 1)[None].float()


def _labels(size: tuple[int, ...], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """Of each pixel (H, W) the cell of the grid (h, w) that it lies in, row-major."""
    rows, columns = (np.arange(length) * cells // length for length, cells in zip(size, grid, strict=True))
    return rows[:, None] * grid[1] + columns
