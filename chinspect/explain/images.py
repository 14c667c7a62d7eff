"""Maps of relevance for a data set, by one of six questions to a model.

A map explains ``<weights, response>`` for the response y of the model to an image (see `chinspect.subjects.Subject`).
The questions differ in the weights:

* ``neighbours`` (encoder): why is an image nearer to its neighbours than to others? With the unit embeddings
  u = y / |y|, the weights of image a come from its k nearest neighbours b by cosine and from all N images,

      w_a = (1/k sum_b u_b - 1/N sum_i u_i) / |y_a|,

  so that ``<w_a, y_a>`` is the mean cosine similarity to the neighbours less that to all images. What all embeddings
  have in common, most of the cosine of features that are nowhere negative, would otherwise be what maps explain: on
  photographs and a network with ImageNet weights images then even gained from losing their most relevant patches.

* ``output`` (encoder or classifier): what makes an output? The weights are 1 for the target and 0 for the others;
  without ``targets`` they are the outputs themselves, w = y, which explains the squared norm |y|^2, the similarity of
  an image to itself.
* ``anomaly`` (detector): where does the score of an image lie? The weight is 1.
* ``anomaly_map`` (detector with such a map, as `PatchCore`): where is an image anomalous? What the score is beyond its
  largest patch: the distance of each patch to the bank, less the median of all images in that place, and 0 where it is
  below. A score is that of one patch, and its relevance a spot, on another letter of the same watermark in each image:
  such maps of 160 tiles with a watermark on 16 were not told from moved ones (p = .14), where anomaly maps of the same
  images gave all 16 and no other (p < .001).
* ``frequency`` (encoder or detector): in which frequencies lie the similarity to the neighbours, or the score? A map is
  a spectrum (1, B), lowest band first, which pooling leaves as it is, since B = 16 is less than its 20 cells. The null
  model of `SpRAy` rolls spectra, so that a set is compared with spectra of the same shape at other frequencies. Such
  maps have no position: what their members have in common cannot be cut out of an image.
* ``gradcam`` (encoder with feature maps): where are the activations that raise an output? The weights are those of
  ``output``.

By the method ``lrp`` a map sums to its ``value`` as far as biases hold nothing of it, by ``rescale`` and ``shapley`` to
what of the value lies beyond the reference. Anomaly maps and those of Grad-CAM sum to nothing in particular.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from chinspect.cam import grad_cam
from chinspect.encoders import MethodChoice, References, check_finite
from chinspect.encoders.explaining import banded
from chinspect.errors import InputError, did_you_mean
from chinspect.execute import Source, load_samples, map_images
from chinspect.explain.methods import method_of
from chinspect.explain.neighbours import nearest
from chinspect.explain.pooling import area_sum
from chinspect.images import open_image
from chinspect.relevance import Composite, Method
from chinspect.subjects import Kind, Pixels, Subject, check_subject

Explain = Literal["neighbours", "output", "anomaly", "anomaly_map", "frequency", "gradcam"]
Targets = Sequence[int] | Literal["predicted"] | None
Array = NDArray[Any]
Progress = Callable[[int, int], None]
BANDS = 16
"""Frequency bands, spaced geometrically."""
ANOMALY_MAP: Explain = "anomaly_map"
"""The question of detectors that say where an image is anomalous, by a method of this name."""
_SHARD = 16  # images: small enough that an interrupted run loses little, and that workers have enough of them


@dataclass(frozen=True)
class _Question:
    """How a question is answered.

    Attributes:
        method: its name in descriptions.
        kinds: of models that it can be asked of.
        cells: rows and columns that maps are pooled to at most; None leaves them.
        bands: number of frequency bands; 0 for pixels.
        of_neighbours: whether an encoder is asked for the similarity to neighbours, and not for its outputs.
        conserved: whether maps are relevance, which sums to what is explained.
    """

    method: str
    kinds: tuple[Kind, ...]
    cells: int | None
    bands: int = 0
    of_neighbours: bool = False
    conserved: bool = True


# Similarities are as coarse as the patches that pairs are explained by. 56 cells are fine enough to draw a map over a
# picture and to isolate what it shows. Grad-CAM is no sum over areas, and stays at the resolution of its layer.
_QUESTIONS: Mapping[str, _Question] = {
    "neighbours": _Question("Neighbours", ("encoder",), 16, of_neighbours=True),
    "output": _Question("Output", ("encoder", "classifier"), 56),
    "anomaly": _Question("Anomaly", ("detector",), 56),
    "anomaly_map": _Question(ANOMALY_MAP, ("detector",), 56, conserved=False),
    "frequency": _Question("Bands", ("encoder", "detector"), None, BANDS, of_neighbours=True),
    "gradcam": _Question("GradCAM", ("encoder",), None, conserved=False),
}
_USUAL: Mapping[Kind, Explain] = {"encoder": "neighbours", "classifier": "output", "detector": "anomaly"}
_NOUNS: Mapping[Kind, str] = {"encoder": "an encoder", "classifier": "a classifier", "detector": "a fitted detector"}


@dataclass(frozen=True, eq=False)
class ExplainedImages:
    """The maps of a data set.

    Attributes:
        maps: (N, h, w) float32; spectra are (N, 1, B), lowest band first.
        values: (N,), what each map explains: similarity, output or score.
        weights: (N, d), of the responses: ``values`` are their products.
        names: (N,), as listed.
        paths: (N,), where the images lie.
        unreadable: names of images that could not be read and are left out.
        visible: from a picture to what the model sees of it, whose frame is that of the maps.
        description: how they were made, as JSON values.
    """

    maps: NDArray[np.float32] = field(repr=False)
    values: NDArray[np.float32] = field(repr=False)
    weights: NDArray[np.float32] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    paths: tuple[Path, ...] = field(repr=False)
    unreadable: tuple[str, ...]
    visible: Callable[[Image.Image], Image.Image]
    description: dict[str, Any]

    @property
    def conservation(self) -> NDArray[np.float64]:
        """(N,), the sum of each map over its value: how much of it lies in the pixels; nan of maps of another kind."""
        if "relevance" not in self.description:
            return np.full(len(self.maps), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: NDArray[np.float64] = self.maps.sum((1, 2), dtype=np.float64) / self.values
        return ratio

    def picture(self, i: int) -> Image.Image:
        """What the model sees of an image, RGB."""
        return self.visible(open_image(self.paths[i]))


def explain_images(
    subject: Subject,
    images: Source,
    *,
    explain: Explain | None = None,
    path: str | Path | None = None,
    targets: Targets = None,
    layer: str | None = None,
    k: int = 10,
    method: MethodChoice | Method | None = None,
    composite: str | Composite | None = None,
    reference: References = "blur",
    workers: int = 0,
    progress: Progress | None = None,
) -> ExplainedImages:
    """Explains every image of a data set; goes on where an earlier run with the same arguments was stopped.

    Args:
        subject: an encoder, whose outputs may be logits, a classifier whose logits are a module, or a fitted detector.
        images: folder, read recursively, a list or table of paths, or a list of images (see `load_samples`).
        explain: the question, see the module; by default ``neighbours`` of an encoder, ``output`` of a classifier, and
            of a detector ``anomaly_map`` where it has such a map, else ``anomaly``.
        path: folder of the stores of responses and maps, made if need be; None stores nothing.
        targets: ``output`` and ``gradcam``: one output for each image listed (such as its true class), or ``predicted``
            for the largest output; None for all outputs as they are.
        layer: ``gradcam``: name of a layer of feature maps.
        k: number of neighbours, where they are asked for.
        method, composite, reference: how encoders are explained, by default what the encoder's card records, else
            ``rescale`` against the blurred image (see `chinspect.encoders.method_for`); ``auto`` is the most faithful
            method on these images, which ``path`` then records (see `chinspect.similarity.choose_method`). Classifiers
            take a `Method`.
        workers: 0 to work in this process, else how many workers on Ray (see `chinspect.execute.mapping`).
        progress: called with the number of images explained and in all, after each shard.

    Raises:
        InputError: there are no images, or too few can be read; the question does not fit the model; a parameter is out
            of range; or ``path`` holds something else.
    """
    explain = question_for(subject, explain)
    if k < 1:
        raise InputError(f"an image is compared with at least 1 neighbour, not with {k!r}.")
    if explain == "gradcam" and layer is None:
        raise InputError("Grad-CAM needs a layer of feature maps: give its name as in named_modules().")
    samples = load_samples(images)
    targets = _checked(targets, len(samples))
    home = None if path is None else Path(path)
    options, choice = method_of(subject, explain, samples, method, composite, reference, home)
    made = _description(subject, explain, targets, layer, k, options)
    # Workers leave their results in a folder, also where none is wanted.
    temporary = path is None and workers > 0
    with TemporaryDirectory(prefix="chinspect-") if temporary else nullcontext(path) as folder:

        def run(name: str, compute: _Compute, description: dict[str, Any], report: Progress | None) -> Any:
            function = _Function(subject, name, compute, description)
            store = None if folder is None else Path(folder) / name
            return map_images(function, samples, store, shard_size=_SHARD, workers=workers, progress=report)

        first = run("responses", _responses, {"kind": "responses", "fingerprint": made["fingerprint"]}, None)
        readable = np.flatnonzero(first.arrays("readable"))
        if len(readable) == 0:
            raise InputError(f"none of the {len(samples)} images of {str(samples.root)!r} can be read.")
        responses = first.arrays("responses")
        weights = _weights(made, responses, readable, targets)
        compute = partial(
            _maps,
            weights=weights,
            question=_QUESTIONS[explain],
            layer=layer if explain == "gradcam" else None,
            options={} if options is None else {"method": options},
        )
        maps = run("maps", compute, {"kind": "explanations of images", **made}, progress).arrays("maps")[readable]
        if explain == ANOMALY_MAP:
            # what each image has in a place, as the border of the parts, is no reason to call some of them alike
            maps = (maps - np.median(maps, axis=0)).clip(0)
    paths = samples.paths
    return ExplainedImages(
        maps=maps,
        values=(weights * responses)[readable].sum(1).astype(np.float32),
        weights=weights[readable].astype(np.float32),
        names=tuple(samples.names[i] for i in readable),
        paths=tuple(paths[i] for i in readable),
        unreadable=tuple(np.delete(np.array(samples.names, dtype=object), readable)),
        visible=partial(seen_by, subject),
        description={"images": str(samples.root), **made} | ({"choice": choice} if choice else {}),
    )


def question_for(subject: Subject, explain: Explain | None = None) -> Explain:
    """The question, or the usual one for this kind of model; `InputError` unless it can be asked of the model."""
    check_subject(subject)
    located = subject.kind == "detector" and hasattr(subject, ANOMALY_MAP)
    question = explain or (ANOMALY_MAP if located else _USUAL[subject.kind])
    if question not in _QUESTIONS:
        raise InputError(
            f"the explanation {question!r} is not known{did_you_mean(question, _QUESTIONS)}: "
            f"use one of {', '.join(_QUESTIONS)}."
        )
    kinds = _QUESTIONS[question].kinds
    if subject.kind not in kinds:
        nouns = " or ".join(_NOUNS[kind] for kind in kinds)
        raise InputError(f"{question!r} explains {nouns}, and this is a {type(subject).__name__}: choose another one.")
    if question == ANOMALY_MAP and not located:
        raise InputError(f"a {type(subject).__name__} has no anomaly map: explain its scores, by 'anomaly'.")
    return question


def neighbour_targets(embeddings: Array, k: int) -> NDArray[np.float32]:
    """``(1/k sum_b u_b - 1/N sum_i u_i) / |y_a|`` (N, D) for each of the embeddings y (N, D), with u = y / |y|."""
    if len(embeddings) < 2:
        raise InputError(f"neighbours need at least 2 images that can be read, and there is {len(embeddings)}.")
    norms = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)  # of an embedding of zeros, too
    unit = (embeddings / norms).astype(np.float32)
    near = nearest(unit, min(k, len(unit) - 1)).indices
    mean = sum(unit[column] for column in near.T) / near.shape[1]
    weights: NDArray[np.float32] = ((mean - unit.mean(0)) / norms).astype(np.float32)
    return weights


def seen_by(subject: Subject, picture: Image.Image) -> Image.Image:
    """What the model sees of a picture."""
    return Image.fromarray(subject.see([np.asarray(picture)])[0])


def _checked(targets: Targets, count: int) -> Targets:
    if targets is None or (isinstance(targets, str) and targets == "predicted"):  # an array is compared cell by cell
        return targets
    if isinstance(targets, str) or len(targets) != count or min(targets) < 0:
        raise InputError(f"targets are one output for each of {count} images, counted from 0, or 'predicted'.")
    return [int(target) for target in targets]


def _description(
    subject: Subject, explain: str, targets: Targets, layer: str | None, k: int, method: Method | None
) -> dict[str, Any]:
    """How maps are made, as JSON values: everything but the images that decides them."""
    question = _QUESTIONS[explain]
    made: dict[str, Any] = {
        "method": question.method,
        subject.kind: getattr(subject, "name", type(subject).__name__),
        "fingerprint": subject.fingerprint,
        "cells": question.cells,
        "bands": question.bands,
    }
    preprocessing = getattr(subject, "preprocessing", None)  # of encoders, so that others can see what they see
    if preprocessing is not None:
        made["preprocessing"] = asdict(preprocessing)
    if explain == "gradcam":
        made["layer"] = layer
    if question.conserved and subject.kind == "detector":
        made["relevance"] = getattr(subject, "explained_by", None)
    elif question.conserved:
        made["relevance"] = banded(method or Method(), question.bands).document
    if subject.kind != "detector":
        made |= {"neighbours": k, "centred": True} if question.of_neighbours else {"targets": targets}
    return made


def _weights(made: Mapping[str, Any], responses: Array, readable: Array, targets: Targets) -> Array:
    """What of the responses (N, d) is explained: weights (N, d). Rows of images that cannot be read mean nothing."""
    if "detector" in made:
        return np.ones_like(responses)
    if "neighbours" in made:
        weights = np.zeros_like(responses)
        weights[readable] = neighbour_targets(responses[readable], made["neighbours"])
        return weights
    if targets is None:
        return responses
    selected = responses.argmax(1) if isinstance(targets, str) else np.array(targets)
    count = responses.shape[1]
    if selected.max() >= count:
        raise InputError(f"the target {selected.max()} does not exist: the model has {count} outputs.")
    return np.eye(count)[selected]


_Compute = Callable[[Subject, list[Pixels], range], Array]


@dataclass(frozen=True)
class _Function:
    """One array of all images, see `chinspect.execute.ImageFunction`; ``compute`` gets what the model sees of them."""

    subject: Subject
    name: str
    compute: _Compute
    description: dict[str, Any]

    @property
    def device(self) -> str:
        return str(self.subject.device).partition(":")[0]

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, Array]:
        seen = self.subject.see([np.asarray(picture) for picture in pictures])
        return {self.name: self.compute(self.subject, seen, indices)}


def _responses(subject: Subject, seen: list[Pixels], indices: range) -> Array:  # noqa: ARG001
    responses = subject.respond(seen)
    check_finite(responses, f"the response of the {subject.kind}")
    return responses


def _maps(
    subject: Subject,
    seen: list[Pixels],
    indices: range,
    *,
    weights: Array,
    question: _Question,
    layer: str | None,
    options: Mapping[str, Any],
) -> Array:
    """Maps (n, h, w) of some images, ``indices`` among all, whose weights are (N, d)."""
    own = weights[indices.start : indices.stop]
    special: Any = subject  # what not all models have is no part of what every model can do
    if layer is not None:
        return grad_cam(special.module, special.inputs(seen), layer, torch.from_numpy(own)).cpu().numpy()
    if question.method == ANOMALY_MAP:
        maps = special.anomaly_map(seen)
    else:
        maps = subject.explain(seen, own, bands=question.bands, **options)
    return maps if question.cells is None else area_sum(maps, question.cells)
