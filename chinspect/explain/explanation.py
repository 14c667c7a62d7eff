"""The answer to "what in this image does the output depend on?", for one image or a few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.faithfulness import Deletion, deletions_in_words
from chinspect.files import replacing
from chinspect.relevance import Method
from chinspect.report import Result, plain

MAPS = "maps.npy"
"""The file of the maps."""
_TOLD = 0.05  # of what is explained: so much may be lost before it is told
_LINES = 4  # images that are told one by one


@dataclass(frozen=True, eq=False)
class ExplainedOutput:
    """One image, and where what is explained of it comes from.

    Attributes:
        name: its path, for a picture in memory ``image``.
        picture: what the network sees of it, RGB.
        noun: what is explained, as the middle of a sentence.
        value: how large that is, as the network gives it: a logit, or a cosine.
        score: what the map and the deletion are of: the value, or what of a similarity lies beyond the other image's
            reference.
        baseline: the score of this image's reference.
        map: (h, w); relevance in units of the score, or for a CAM numbers of at least 0 in no unit.
        conservation: the sum of the map over what it explains, 1 where none is lost; None of a CAM.
        deletion: how the score falls without the most relevant patches; None where that was not checked.
    """

    name: str
    picture: Image.Image = field(repr=False)
    noun: str
    value: float
    score: float
    baseline: float
    map: NDArray[np.float32] = field(repr=False)
    conservation: float | None
    deletion: Deletion | None = None

    @property
    def label(self) -> str:
        """The name of the file."""
        return Path(self.name).name or self.name

    @property
    def row(self) -> dict[str, Any]:
        """What stands in the table; falls are fractions of ``score - baseline``, without a tenth of the patches."""
        falls: dict[str, Any] = {"without_most_relevant": np.nan, "without_random": np.nan}
        if self.deletion is not None:
            table = self.deletion.table
            told = table.iloc[(table["fraction"] - 0.1).abs().argmin()]  # the fraction of which sentences tell
            falls = {"without_most_relevant": told["most_relevant"], "without_random": told["random"]}
        return {
            "image": self.name,
            "explained": self.noun,
            "value": self.value,
            "beyond_reference": self.score - self.baseline,
            "in_the_map": np.nan if self.conservation is None else self.conservation,
        } | falls

    def document(self) -> dict[str, Any]:
        """Everything but picture and map, as JSON values."""
        row = {name: value for name, value in self.row.items() if not name.startswith("without")}
        made = None if self.deletion is None else self.deletion.document()
        return plain({**row, "score": self.score, "baseline": self.baseline, "deletion": made})  # type: ignore[no-any-return]

    def told(self, method: Method | None, label: str) -> str:
        """How much is explained, and whether the map is right, in a few sentences."""
        lines = [f"{self.label}: {self.noun} is {self.value:.3g}{self._told_extent(method, label)}."]
        if self.deletion is not None:
            lines.append(self.deletion.told(self.label, self.noun))
        return " ".join(lines)

    def _told_extent(self, method: Method | None, label: str) -> str:
        """How much of it the map holds."""
        if self.conservation is None:
            return f"; the map ({label}) says where that comes from, and not how much"
        arrives = f"{self.conservation:.1%} arrives in the map ({label})"
        if method is not None and method.name == "lrp":
            beyond = "" if self.value == self.score else f", {self.score:.3g} beyond the other image's reference"
            rest = "" if abs(self.conservation - 1) < _TOLD else "; constants of the network hold the rest"
            return f"{beyond}, of which {arrives}{rest}"
        explained = self.score - self.baseline
        if self.value == self.score:
            return f", {explained:.3g} more than that of its reference, of which {arrives}"
        return f"; what both images have beyond their references is {explained:.3g}, of which {arrives}"


@dataclass(frozen=True, eq=False, repr=False)
class OutputExplanation(Result):
    """What in some images an output of a network depends on; see `explain_output`.

    Attributes:
        images: one by one.
        model: the network's name.
        method: of relevance; None of a CAM.
        label: the method in words, of a CAM with its layer.
        seconds: what it took, loading not counted.
        other: what the network sees of the image whose similarity is explained; None where an output is.
    """

    images: tuple[ExplainedOutput, ...]
    model: str
    method: Method | None
    label: str
    seconds: float
    other: Image.Image | None = field(default=None, repr=False)

    stem = "explanation"
    drawing = "chinspect.explain.figure"

    @property
    def maps(self) -> NDArray[np.float32]:
        """(N, h, w)."""
        return np.stack([image.map for image in self.images])

    @property
    def sentence(self) -> str:
        """What is explained of each of a few images, or what all of them lose together."""
        if len(self.images) <= _LINES:
            return "\n".join(image.told(self.method, self.label) for image in self.images)
        made = [image.deletion for image in self.images if image.deletion is not None]
        if not made:
            return f"{len(self.images)} images are explained ({self.label})."
        return deletions_in_words(made, f"{len(self.images)} images", "what is explained of them")

    def document(self) -> dict[str, Any]:
        """Everything but pictures and maps, as JSON values."""
        method = {"method": self.label} if self.method is None else self.method.document
        return {
            "model": self.model,
            **method,
            "label": self.label,
            "seconds": round(self.seconds, 2),
            "sentence": self.sentence,
            "map_shape": list(self.images[0].map.shape),
            "images": [image.document() for image in self.images],
        }

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """A row an image, as ``explained``."""
        return {"explained": pd.DataFrame([image.row for image in self.images])}

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """The same, by a title that says what was done."""
        return {f"{self.model}, explained by {self.label} ({self.seconds:.1f} s)": self.tables()["explained"]}

    def _save_rest(self, target: Path) -> list[Path]:
        """``maps.npy`` (N, h, w), for ``chinspect spray --maps`` and other tools."""
        path = target / MAPS
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, self.maps, allow_pickle=False)
        return [path]
