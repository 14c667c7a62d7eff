"""What in an image does an output depend on? Relevance, or a class activation map, with what deletion says of it.

Explained is one number an image: a logit, or the similarity to another image (see `chinspect.explain.target`). Three
families of methods give relevance in its units (see `chinspect.relevance.Method`), the CAMs say where it comes from
(see `chinspect.cam`). Whichever it is, the image is divided into at most 7 x 7 patches, the map is summed over them,
and the most relevant ones are replaced by what a reference has there, beside random ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chinspect.cam import METHODS, last_grid
from chinspect.encoders import Encoder, MethodChoice, References, is_default, method_for
from chinspect.encoders.explaining import explain_outputs
from chinspect.errors import InputError, did_you_mean
from chinspect.explain.explanation import ExplainedOutput, OutputExplanation
from chinspect.explain.faithfulness import patch_deletion
from chinspect.explain.named import MAP_METHODS, RELEVANCE, WITHOUT_TARGET
from chinspect.explain.pooling import area_sum
from chinspect.explain.target import Answer, Explained, answers, is_path, open_model
from chinspect.images import AnyImage, as_picture, is_image
from chinspect.relevance import Composite, Method, Reference, reference_images

_CELLS = 56  # rows and columns of a map of relevance: four pixels each at 224, as fine as can be told on a picture
_LAYERLESS = ("rise", "rollout", "legrad")
Progress = Callable[[int, int], None]


def explain_output(
    model: Encoder | str,
    images: AnyImage | Sequence[AnyImage],
    *,
    target: Explained = None,
    names: Sequence[str] = (),
    method: MethodChoice | Method | None = None,
    composite: str | Composite | None = None,
    reference: References = "blur",
    evaluations: int | None = None,
    layer: str = "auto",
    check: bool = True,
    progress: Progress | None = None,
) -> OutputExplanation:
    """Explains one output of a network for some images, or their similarity to another image.

    Args:
        model: a network, such as `load_classifier` gives or `Encoder.wrap` makes, or the name of one: of a classifier,
            or where the target is an image of an encoder.
        images: one or more.
        target: an output by its number or, where outputs have names, by its name; an image, whose similarity to each of
            the images is explained; None is the largest output of each image.
        names: of the outputs; of a model by name they are known.
        method: ``rescale``, ``shapley`` or ``lrp``, which give relevance, a `Method`, the file of a choice, or a CAM:
            one of `chinspect.cam.METHODS`. By default what the model's card says, else ``rescale``.
        composite, reference, evaluations: of relevance, see `chinspect.encoders.method_for`.
        layer: of a CAM, by default the last one with a spatial grid.
        check: replace the most relevant patches, and random ones, and say how the score falls.
        progress: called with the number of images explained and in all.

    Raises `InputError` for a model, an image, a target or a method that is not known, and for options that do not
    belong to the method.

    Example:
        >>> from chinspect import explain_output
        >>> explain_output("efficientnet-lite0", "assets/cat.jpg", target="tabby").plot("why.png")  # doctest: +SKIP
    """
    if isinstance(model, str):
        model, known = open_model(model, target)
        names = names or known
    listed = _listed(images)
    named_cam = isinstance(method, str) and method in METHODS
    options = None if named_cam else _relevance_method(model, method, composite, reference, evaluations, layer)
    if named_cam:
        _check_cam(str(method), composite, reference, evaluations, layer)
    origin: Reference | str = "blur" if options is None or options.name == "lrp" else options.reference
    pictures = [as_picture(image) for image in listed]  # all are read before the first is explained
    start = time.perf_counter()
    explained = []
    label = "" if options is None else options.label
    for number, (image, picture) in enumerate(zip(listed, pictures, strict=True)):
        x = model.prepare(picture)
        (answer,) = answers(model, x, target, names, origin)
        if options is None:
            values, label = _cam_map(model, x, answer, str(method), layer)
        else:
            weights = answer.weights[None].cpu().numpy()
            relevance = explain_outputs(model.module, x, weights, model.fingerprint, method=options)
            values = area_sum(relevance, _CELLS)[0]
        name = str(image) if isinstance(image, str | Path) else f"image {number}"
        visible = model.preprocessing.visible(picture)
        explained.append(_explained(model, x, answer, values, options, origin, check, name, visible))
        if progress is not None:
            progress(number + 1, len(listed))
    seconds = time.perf_counter() - start
    other = model.preprocessing.visible(as_picture(target)) if is_path(target) else None  # type: ignore[arg-type]
    return OutputExplanation(tuple(explained), model.name, options, label, seconds, other)


def _listed(images: AnyImage | Sequence[AnyImage]) -> list[AnyImage]:
    """One image or several as a list; `InputError` for none."""
    if isinstance(images, str | Path) or is_image(images):
        return [images]  # type: ignore[list-item]
    listed: list[AnyImage] = list(images)  # type: ignore[arg-type]
    if not listed:
        raise InputError("there are no images to explain.")
    return listed


def _explained(
    model: Encoder,
    x: Tensor,
    answer: Answer,
    values: NDArray[np.float32],
    method: Method | None,
    origin: Reference | str,
    check: bool,
    name: str,
    picture: Any,
) -> ExplainedOutput:
    """One image, with what is known of its map (h, w)."""

    def score(inputs: Tensor) -> Tensor:
        return model.module(inputs.to(x)).float() @ answer.weights

    with torch.no_grad():
        own = float(score(x)[0])
        baseline = float(score(reference_images(origin, x).flatten(0, 1)).mean())
    explained = own if method is not None and method.name == "lrp" else own - baseline
    conservation = None
    if method is not None:
        conservation = float(values.sum(dtype=float)) / explained if explained else 1.0
    made = patch_deletion(score, x, values, origin) if check else None
    return ExplainedOutput(name, picture, answer.noun, answer.value, own, baseline, values, conservation, made)


def _relevance_method(
    model: Encoder,
    name: MethodChoice | Method | None,
    composite: str | Composite | None,
    reference: References,
    evaluations: int | None,
    layer: str,
) -> Method:
    """The method of relevance; `InputError` for a name that is neither one nor a CAM."""
    known = isinstance(name, Method) or name is None or name in RELEVANCE or str(name).endswith(".json")
    if not known:
        methods = [*MAP_METHODS]
        raise InputError(
            f"unknown method {name!r}{did_you_mean(name, methods)}: choose one of {', '.join(methods)}, or the file of "
            "a choice."
        )
    method = method_for(model, name, composite=composite, reference=reference, evaluations=evaluations)
    if layer != "auto":
        raise InputError(f"a layer belongs to a CAM, not to the method {method.name}: leave out one of both.")
    return method


def _check_cam(
    name: str,
    composite: str | Composite | None,
    reference: References,
    evaluations: int | None,
    layer: str,
) -> None:
    """`InputError` for options that change nothing of a CAM."""
    if composite is not None or evaluations is not None or not is_default(reference):
        raise InputError(f"composite, reference and evaluations are no options of {name}: leave them out.")
    if layer != "auto" and name in _LAYERLESS:
        raise InputError(f"{name} reads no layer: leave it out.")


def _cam_map(model: Encoder, x: Tensor, answer: Answer, name: str, layer: str) -> tuple[NDArray[np.float32], str]:
    """The map (h, w) of one image, and the method in words."""
    target = answer.weights[None]
    options: dict[str, Any] = {}
    label = name
    if name not in _LAYERLESS:
        # found once, as the words shall say which it was; of a layer that runs several times only auto is the last run
        used = last_grid(model.module, x, target)[0] if layer == "auto" else layer
        options["layer"] = layer
        label = f"{name} at {used!r}"
    if name not in WITHOUT_TARGET:
        options["target"] = target
    return METHODS[name](model.module, x, **options)[0].float().cpu().numpy(), label
