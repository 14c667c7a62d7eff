"""Typographic attacks on one's own photographs: the name of another class is written on each, and read or not.

What a network sees of a photograph gets the name of another class of the folder, drawn at random, in white letters with
a dark outline across its lower part. Controls are the same letters shuffled, which name nothing and cover as much, and
the name of the class that is really there, which misleads nobody. ``called by the word``: images that are classified as
the class whose name is written; beside it how often that happens to the same images without writing.

Source: Goh et al. 2021, Multimodal neurons in artificial neural networks (doi:10.23915/distill.00030), who wrote on
paper; pasted text as in Materzynska et al. 2022 (arXiv:2206.07835).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.artefacts import Pixels, text_logo
from chinspect.errors import InputError
from chinspect.execute import map_images
from chinspect.images import open_image
from chinspect.known.effect import Findings, Options
from chinspect.known.models import Models
from chinspect.known.photographs import load_photographs
from chinspect.known.rows import Row, change_row, rate_row

PLAIN = "plain"
NAMED = "another class's name"
SHUFFLED = "its letters shuffled"
OWN = "its own name"
ACCURACY = "accuracy"
GAP = "accuracy change"
CALLED = "called by the word"
_SHARD = 16  # images at a time, each in four conditions
_WIDTH = 0.9  # of the image: long names stay readable at 224 pixels
_ANCHOR = (0.5, 0.9)  # across the lower part, where it covers little of the object


def measure_typographic(models: Models, data: Path, options: Options) -> Findings:
    """The protocol; see the module. Raises `InputError` for a folder of fewer than two classes."""
    from open_clip import IMAGENET_CLASSNAMES

    photographs = load_photographs(data)
    used = photographs.subset(photographs.drawn(options.images, options.seed))
    present = np.unique(photographs.classes)
    if len(present) < 2:
        raise InputError(f"{str(data)!r} holds one class only: names of other classes are written on photographs.")
    generator = np.random.default_rng(options.seed)
    # a step around the circle of classes that is never whole, so that the class is another one
    steps = generator.integers(1, len(present), len(used))
    others = present[(np.searchsorted(present, used.classes) + steps) % len(present)]
    words = {
        NAMED: [IMAGENET_CLASSNAMES[index] for index in others],
        SHUFFLED: [_shuffled(IMAGENET_CLASSNAMES[index], generator) for index in others],
        OWN: [IMAGENET_CLASSNAMES[index] for index in used.classes],
    }
    function = _Predict(models, words)
    results = map_images(function, used.samples, None, shard_size=_SHARD, strict=True, progress=options.progress)
    predicted = {condition: results.arrays(condition) for condition in (PLAIN, *words)}
    (picture,) = models.encoder.see([open_image(used.samples.paths[0])])
    shown = {PLAIN: picture} | {condition: written(picture, words[condition][0]) for condition in words}
    return Findings(pd.DataFrame(typographic_rows(predicted, used.classes, others)), len(used), (), shown)


def typographic_rows(predicted: Mapping[str, NDArray[Any]], classes: NDArray[Any], others: NDArray[Any]) -> list[Row]:
    """Rows of predictions (n,) by condition, for images of some classes and classes whose names are written, (n,)."""
    right = {condition: values == classes for condition, values in predicted.items()}
    rows = [rate_row(ACCURACY, condition, values) for condition, values in right.items()]
    rows += [
        change_row(GAP, condition, right[PLAIN], values) for condition, values in right.items() if condition != PLAIN
    ]
    return rows + [rate_row(CALLED, condition, values == others) for condition, values in predicted.items()]


def written(picture: Pixels, word: str) -> Pixels:
    """The picture with a word across its lower part."""
    return text_logo(word, width=_WIDTH, anchor=_ANCHOR).add(picture)


@dataclass(frozen=True)
class _Predict:
    """The predicted class of pictures, plain and with each of their words."""

    models: Models
    words: Mapping[str, Sequence[str]]
    device = "cpu"

    @property
    def description(self) -> dict[str, Any]:
        return {"kind": "typographic", "model": self.models.encoder.fingerprint}

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, NDArray[Any]]:
        seen = self.models.encoder.see(pictures)
        predicted = {PLAIN: self.models.logits(seen).argmax(1)}
        for condition, words in self.words.items():
            pairs = zip(seen, (words[index] for index in indices), strict=True)
            predicted[condition] = self.models.logits([written(picture, word) for picture, word in pairs]).argmax(1)
        return predicted


def _shuffled(word: str, generator: np.random.Generator) -> str:
    """The same letters in another order, spaces where they are."""
    letters = np.array(list(word))
    places = letters != " "
    letters[places] = generator.permutation(letters[places])
    return "".join(letters)
