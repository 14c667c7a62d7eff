"""Methods by name on images of one's own, judged by the metrics of `chinspect.faithfulness`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.execute import Source, load_samples
from chinspect.explain.named import MAP_METHODS, MapMethod, check_method
from chinspect.explain.target import Answer, Explained, answers, is_path, open_model
from chinspect.faithfulness import Judgement, Score, judge
from chinspect.images import as_picture, open_mask
from chinspect.relevance import Reference, check_reference

_BLACK = "black"


def judge_methods(
    model: Encoder | str,
    images: Source,
    methods: Sequence[str] = ("rescale", "lrp", "gradcam"),
    *,
    target: Explained = None,
    names: Sequence[str] = (),
    count: int = 8,
    metrics: Sequence[str] | None = None,
    masks: str | Path | None = None,
    reference: Reference | str = "blur",
    device: str = "cpu",
    random_state: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Judgement:
    """How faithful the maps of some methods are on some images, by several metrics and beside control maps.

    Of a class maps explain the logit, and metrics ask for its probability, as published; of a similarity both are of
    what it has beyond the reference of the other image (see `chinspect.explain.target.answers`).

    Args:
        model: a network, such as `load_classifier` gives or `Encoder.wrap` makes, or the name of one: of a classifier,
            or where the target is an image of an encoder.
        images: folder, read recursively, a list or table of paths, or a list of images (see `load_samples`).
        methods: names from `MAP_METHODS`.
        target: as of `explain_output`: a class by number or name, or an image; None is each image's largest output.
        names: of the outputs; of a model by name they are known.
        count: how many images at most, spread evenly over the list.
        metrics: names, see `chinspect.faithfulness.judge`.
        masks: folder with a mask of the cause for each image, under the same name whatever its ending.
        reference: what removed pixels show: ``blur``, ``mean``, ``grey`` or ``black``.
        device: where a model that is named computes.
        random_state: decides noise, random orders and the random mask.
        progress: called with the number of maps judged and in all.

    Raises `InputError` for names that are not known, images that cannot be read, a class that the model does not have,
    and a model without a classifier where a class is the target.
    """
    if not methods or len(set(methods)) < len(methods):
        raise InputError(f"methods are named once each, and at least one, not {list(methods)}.")
    for method in methods:
        check_method(method)
    if isinstance(reference, str) and reference != _BLACK:
        check_reference(reference)
    if count < 1:
        raise InputError(f"maps are judged on at least 1 image, not on {count}.")
    samples = load_samples(images)
    chosen = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    files = [samples.names[index] for index in chosen]
    marks = None if masks is None else [_mask_of(Path(masks), name) for name in files]
    if isinstance(model, str):
        model, known = open_model(model, target, device=device)
        names = names or known
    inputs = model.prepare(*(samples[int(index)] for index in chosen))
    asked = answers(model, inputs, target, names, "blur")
    explain = [partial(_explained, MAP_METHODS[name], model) for name in methods]
    weights = [answer.weights[None] for answer in asked]
    maps = {
        name: np.stack([function(row, x) for row, x in zip(weights, inputs.split(1), strict=True)])
        for name, function in zip(methods, explain, strict=True)
    }
    remaps = {
        name: [partial(function, row) for row in weights] for name, function in zip(methods, explain, strict=True)
    }
    if reference == _BLACK:
        reference = model.input_range[0].view(1, 3, 1, 1).expand(1, *inputs.shape[1:])
    return judge(
        [_score(model, answer, target) for answer in asked],
        inputs,
        maps,
        metrics=metrics,
        masks=None if marks is None else np.stack([_visible(model, mark) for mark in marks]),
        remaps=remaps,
        reference=reference,
        names=files,
        score=_words(asked, target),
        random_state=random_state,
        progress=progress,
    )


def _explained(method: MapMethod, model: Encoder, weights: Tensor, x: Tensor) -> NDArray[np.float32]:
    """The map (h, w) of one image (1, 3, H, W)."""
    values: NDArray[np.float32] = method(model, x, weights)[0]
    return values


def _score(model: Encoder, answer: Answer, target: Explained) -> Score:
    if is_path(target):
        return lambda images: model.module(images).float() @ answer.weights
    index = int(answer.weights.argmax())
    return lambda images: model.module(images).softmax(1)[:, index]


def _words(asked: Sequence[Answer], target: Explained) -> str:
    """What is explained of all images, in words."""
    if is_path(target):
        return asked[0].noun
    which = "the predicted class" if target is None else asked[0].noun.removeprefix("the logit of ")
    return f"the probability of {which}"


def _mask_of(folder: Path, name: str) -> NDArray[np.bool_]:
    """The mask of an image, as it lies in a folder under the name of the image, or under the last part of it."""
    stem = Path(name).with_suffix("")
    # an absolute name joined to the folder would be the image itself
    inside = [folder / stem.name] if stem.is_absolute() else [folder / stem, folder / stem.name]
    files = [sorted(path.parent.glob(f"{path.name}.*")) for path in inside]
    matches = next((found for found in files if found), [])
    if len(matches) != 1:
        raise InputError(f"{str(folder)!r} has to hold one mask for {name!r}, and holds {len(matches)}.")
    return open_mask(matches[0])


def _visible(encoder: Encoder, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What the encoder sees of a mask of a picture."""
    picture = as_picture(np.repeat(mask[..., None], 3, 2).astype(np.uint8) * 255)
    visible: NDArray[np.bool_] = np.array(encoder.preprocessing.visible(picture))[..., 0] > 127  # half of white
    return visible
