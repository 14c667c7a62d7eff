"""Methods by name on images of one's own, judged: what the command line calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chinspect.encoders import Encoder, load_classifier, load_encoder
from chinspect.errors import InputError
from chinspect.execute import Source, load_samples
from chinspect.faithfulness.changed import Score
from chinspect.faithfulness.judgement import Judgement
from chinspect.faithfulness.judging import judge
from chinspect.faithfulness.methods import method_named
from chinspect.images import AnyImage, as_picture, open_mask
from chinspect.relevance import Reference, check_reference

PREDICTED = "predicted"


def judge_methods(
    model: Encoder | str,
    images: Source,
    methods: Sequence[str] = ("rescale", "lrp", "gradcam"),
    *,
    target: str | int | AnyImage = PREDICTED,
    count: int = 8,
    metrics: Sequence[str] | None = None,
    masks: str | Path | None = None,
    reference: Reference | str = "blur",
    device: str = "cpu",
    random_state: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Judgement:
    """How faithful the maps of some methods are on some images, by several metrics and beside control maps.

    Args:
        model: an encoder, whose outputs are logits where a class is the target; or a name, of a model that has a
            classifier where a class is the target.
        images: folder, read recursively, a list or table of paths, or a list of images (see `load_samples`).
        methods: names, see `chinspect.faithfulness.MAP_METHODS`.
        target: ``predicted``, the class with the largest probability in each image; the index of a class; or an image,
            the cosine similarity to which is explained, and which needs no classifier.
        count: how many images at most, spread evenly over the list.
        metrics: names, see `judge`.
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
    explainers = {name: method_named(name) for name in methods}
    if isinstance(reference, str) and reference != "black":
        check_reference(reference)
    if count < 1:
        raise InputError(f"maps are judged on at least 1 image, not on {count}.")
    samples = load_samples(images)
    chosen = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    names = [samples.names[index] for index in chosen]
    marks = None if masks is None else [_mask_of(Path(masks), name) for name in names]
    encoder = _loaded(model, target, device) if isinstance(model, str) else model
    inputs = encoder.prepare(*(samples[int(index)] for index in chosen))
    weights, scores, words = _asked(encoder, inputs, target)
    maps: dict[str, NDArray[np.float32]] = {}
    remaps: dict[str, Sequence[Callable[[Tensor], Any]]] = {}
    for name, explain in explainers.items():
        maps[name] = explain(encoder, inputs, weights)
        # each is bound to the weights of its image
        remaps[name] = [partial(_remapped, explain, encoder, weights[[row]]) for row in range(len(names))]
    if reference == "black":
        reference = encoder.input_range[0].view(1, 3, 1, 1).expand(1, *inputs.shape[1:])
    seen = None if marks is None else np.stack([_visible(encoder, mark) for mark in marks])
    options: dict[str, Any] = {"reference": reference, "names": names, "score": words, "progress": progress}
    return judge(scores, inputs, maps, metrics=metrics, masks=seen, remaps=remaps, random_state=random_state, **options)


def _remapped(explain: Callable[..., Any], encoder: Encoder, weights: Tensor, x: Tensor) -> Any:
    return explain(encoder, x, weights)[0]


def _loaded(model: str, target: object, device: str) -> Encoder:
    if _class_of(target) is None:
        return load_encoder(model, device=device)
    try:
        return load_classifier(model, device=device)
    except InputError as error:
        if "has no classifier" not in str(error):
            raise
        raise InputError(f"{error} Explain the similarity to an image instead: give it as the target.") from error


def _class_of(target: object) -> str | int | None:
    """The class that is asked for, ``predicted`` or an index; None for an image."""
    if isinstance(target, str) and target.isdecimal():
        return int(target)
    return target if isinstance(target, int) or (isinstance(target, str) and target == PREDICTED) else None


def _asked(encoder: Encoder, inputs: Tensor, target: str | int | AnyImage) -> tuple[Tensor, list[Score], str]:
    """Weights of the outputs that are explained (N, D), the score of each image, and what it is in words."""
    with torch.no_grad():
        outputs = torch.cat([encoder.module(x) for x in inputs.split(1)]).float().cpu()
    asked = _class_of(target)
    if asked is None:
        return _similarity(encoder, outputs, target)
    classes = outputs.argmax(1) if asked == PREDICTED else torch.full((len(outputs),), int(asked))
    if int(classes.max()) >= outputs.shape[1]:
        raise InputError(f"class {asked} does not exist: the model has the classes 0 to {outputs.shape[1] - 1}.")
    scores: list[Score] = [partial(_probability, encoder, int(label)) for label in classes]
    words = "the probability of " + ("the predicted class" if asked == PREDICTED else f"class {asked}")
    return torch.eye(outputs.shape[1])[classes], scores, words


def _probability(encoder: Encoder, label: int, images: Tensor) -> Tensor:
    return encoder.module(images).softmax(1)[:, label]


def _similarity(encoder: Encoder, outputs: Tensor, target: Any) -> tuple[Tensor, list[Score], str]:
    other = encoder.embed([target])[0].float().cpu()
    unit = other / other.norm()
    # the product with the unit embedding of the target; the length of an embedding is left to the score
    weights = unit / outputs.norm(dim=1, keepdim=True)
    what = f" {str(target)!r}" if isinstance(target, str | Path) else " an image"
    return weights, [partial(_cosine, encoder, unit)] * len(outputs), f"the cosine similarity to{what}"


def _cosine(encoder: Encoder, unit: Tensor, images: Tensor) -> Tensor:
    outputs = encoder.module(images).float()
    return (outputs / outputs.norm(dim=1, keepdim=True)) @ unit.to(outputs)


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
