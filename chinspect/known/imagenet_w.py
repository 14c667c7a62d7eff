"""ImageNet-W: the watermark that every network trained on ImageNet takes for evidence of a carton.

The watermark lies on what a network sees of each photograph. With a classifier: the accuracy, its change (the IN-W
gap), the change of the accuracy on cartons (the carton gap), of their logit and probability on all other images, and of
the predictions that turn to cartons. Without one: see `together` and `relevance`.

Source: Li et al. 2023, A Whac-A-Mole Dilemma (arXiv:2212.04825). There 50 cartons give the carton gap in steps of two
points; the change of the probability says more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.special import logsumexp

from chinspect.artefacts import Artefact, Pixels, imagenet_w
from chinspect.execute import map_images
from chinspect.images import open_image
from chinspect.known.controls import ELSEWHERE, LATIN, STROKES, WATERMARK, watermark_controls
from chinspect.known.effect import Findings, Options
from chinspect.known.models import Models
from chinspect.known.photographs import Photographs, load_photographs
from chinspect.known.relevance import patches_under, relevance_rows
from chinspect.known.rows import Row, change_row, mean_row, rate_row
from chinspect.known.together import together_rows

Array = NDArray[Any]
Responses = Mapping[str, Mapping[str, Array]]
PLAIN = "plain"
CARTON = 478
ACCURACY = "accuracy"
GAP = "accuracy change"
CARTON_GAP = "carton accuracy change"
LOGIT = "carton logit change"
PROBABILITY = "P(carton) change"
TURNED = "turned to carton"
_FEWEST_CARTONS = 10  # a gap of fewer comes in steps of more than ten points
_MOST_CARTONS = 50  # as many as ImageNet's validation has
_SHARD = 16  # images at a time, each in eight conditions
_NORMED = 64  # images by which the norm of a random patch is known well enough
_EXPLAINED = 6  # images whose relevance is measured, at some seconds each and condition


def measure_watermark(models: Models, data: Path, options: Options) -> Findings:
    """The protocol; see the module. Raises `InputError` for a folder that is not in ImageNet's layout."""
    return watermark_rows(models, load_photographs(data), options)


def watermark_rows(models: Models, photographs: Photographs, options: Options) -> Findings:
    """The same on photographs that are listed already."""
    drawn = photographs.drawn(options.images, options.seed)
    cartons = np.flatnonzero(photographs.classes == CARTON)[:_MOST_CARTONS]
    extra = np.setdiff1d(cartons, drawn) if models.named else cartons[:0]
    used = photographs.subset(np.concatenate([drawn, extra]))
    pictures = models.encoder.see([open_image(path) for path in used.samples.paths[:_NORMED]])
    edits = watermark_controls(imagenet_w(), pictures, options.seed)
    responses = watermark_responses(models, used, edits, options.progress)
    rows = response_rows(responses, used.classes, len(drawn), options.seed)
    rows += _relevance(models, edits, pictures[:_EXPLAINED], options.seed)
    notes = []
    if not models.named:
        notes.append(f"No accuracies: {models.name} names no classes ({models.reason.rstrip('.')}).")
    elif len(cartons) < _FEWEST_CARTONS:
        notes.append(
            f"No carton gap: it takes {_FEWEST_CARTONS} cartons (class {CARTON}, n02971356) or more, and the folder "
            f"has {len(cartons)}; the change of P(carton) on all other images stands for it."
        )
    area = float(patches_under(edits[WATERMARK], models.encoder.preprocessing.size).mean()) ** 2
    notes.append(f"Spread evenly, {area:.2f} of the relevance of a pair would lie under the mark.")
    shown = {PLAIN: pictures[0]} | {name: edit.add(pictures[0]) for name, edit in edits.items()}
    return Findings(pd.DataFrame(rows), len(drawn), tuple(notes), shown)


def watermark_responses(
    models: Models,
    photographs: Photographs,
    edits: Mapping[str, Artefact],
    progress: Callable[[int, int], None] | None = None,
) -> Responses:
    """By condition, plain and each edit: embedding (n, D); with a classifier predicted, logit and probability (n,).

    The latter two are those of the carton.
    """
    function = _Responses(models, edits)
    results = map_images(function, photographs.samples, None, shard_size=_SHARD, strict=True, progress=progress)
    return {
        condition: {name: results.arrays(f"{name} {condition}") for name in function.names}
        for condition in (PLAIN, *edits)
    }


def response_rows(responses: Responses, classes: Array, drawn: int, seed: int = 0) -> list[Row]:
    """Rows of responses to images of some classes (n,), of which the first ``drawn`` stand for all classes."""
    rows = _classifier_rows(responses, classes, drawn, seed) if "predicted" in responses[PLAIN] else []
    before = responses[PLAIN]["embedding"][:drawn].astype(float)
    for condition in [name for name in responses if name != PLAIN]:
        rows += together_rows(condition, before, responses[condition]["embedding"][:drawn].astype(float), seed)
    return rows


@dataclass(frozen=True)
class _Responses:
    """Embeddings and what the classifier says of pictures, plain and under each edit."""

    models: Models
    edits: Mapping[str, Artefact]
    device = "cpu"

    @property
    def description(self) -> dict[str, Any]:
        return {"kind": "known", "model": self.models.encoder.fingerprint}

    @property
    def names(self) -> list[str]:
        """Of the arrays of each condition."""
        classified = ["predicted", "logit", "probability"] if self.models.named else []
        return ["embedding", *classified]

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, Array]:  # noqa: ARG002
        seen = self.models.encoder.see(pictures)
        arrays = self._of(PLAIN, seen)
        for name, edit in self.edits.items():
            arrays |= self._of(name, [edit.add(picture) for picture in seen])
        return arrays

    def _of(self, condition: str, seen: Sequence[Pixels]) -> dict[str, Array]:
        values: dict[str, Array] = {"embedding": self.models.encoder.respond(seen).astype(np.float32)}
        if self.models.named:
            logits = self.models.logits(seen)
            own = logits[:, CARTON]
            values |= {"predicted": logits.argmax(1), "logit": own, "probability": np.exp(own - logsumexp(logits, 1))}
        return {f"{name} {condition}": value for name, value in values.items()}


def _classifier_rows(responses: Responses, classes: Array, drawn: int, seed: int) -> list[Row]:
    """Accuracies on the images that were drawn, what happens to cartons, and to all others."""
    right = {condition: values["predicted"] == classes for condition, values in responses.items()}
    carton = {condition: values["predicted"] == CARTON for condition, values in responses.items()}
    others = np.flatnonzero(classes[:drawn] != CARTON)
    own = np.flatnonzero(classes == CARTON)
    rows = [rate_row(ACCURACY, PLAIN, right[PLAIN][:drawn])]
    for condition in [name for name in responses if name != PLAIN]:
        rows.append(rate_row(ACCURACY, condition, right[condition][:drawn]))
        rows.append(change_row(GAP, condition, right[PLAIN][:drawn], right[condition][:drawn]))
        if len(own) >= _FEWEST_CARTONS:
            rows.append(change_row(CARTON_GAP, condition, right[PLAIN][own], right[condition][own]))
        rows.append(change_row(TURNED, condition, carton[PLAIN][others], carton[condition][others]))
        for measure, name in ((LOGIT, "logit"), (PROBABILITY, "probability")):
            change = responses[condition][name][others] - responses[PLAIN][name][others]
            rows.append(mean_row(measure, condition, change, seed))
    return rows


def _relevance(models: Models, edits: Mapping[str, Artefact], pictures: Sequence[Pixels], seed: int) -> list[Row]:
    """Relevance under the mark of a few pictures, plain and under the edits that lie there or are the mark."""
    if len(pictures) < 2:
        return []
    versions: dict[str, Sequence[Pixels]] = {PLAIN: pictures}
    for name in (WATERMARK, STROKES, LATIN, ELSEWHERE):
        versions[name] = [edits[name].add(picture) for picture in pictures]
    return relevance_rows(models.encoder, edits[WATERMARK], versions, seed)
