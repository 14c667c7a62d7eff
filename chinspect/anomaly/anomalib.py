"""Live models of anomalib 2: a trained model as it lies in memory, with the images as its own preprocessing makes them.

A model of anomalib holds two preprocessings: ``pre_processor.transform``, which training and testing use, and
``pre_processor.export_transform``, which goes into exported models. They differ: ONNX knows no antialiasing, so
exported models resize without it. `anomalib_stages` gives both as pipelines from files to scores, which
`chinspect.stress.parity` compares, and `anomalib_detector` a detector that can be stressed, explained and tested.

    parity(anomalib_stages(model), anomalib_stages(model, "export_transform"), paths, threshold=0.5)

Nothing of anomalib is imported: what is needed of a model are ``model.model``, a module whose answer to a batch has
``pred_score``, and the pre-processor. Its TorchInferencer, which unpickles, is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

from chinspect.anomaly.adapter import CallableDetector
from chinspect.errors import InputError
from chinspect.images import open_image

Step = Literal["transform", "export_transform"]
_BATCH = 16  # images that the model is asked about at once


def anomalib_stages(model: Any, step: Step = "transform") -> list[Callable[[Any], NDArray[Any]]]:
    """The pipeline from paths of images to scores (N,): reading with one of the model's preprocessings, and scoring.

    Args:
        model: a trained model of anomalib 2, such as ``Patchcore``.
        step: which of its preprocessings.

    Raises `InputError` for what is no such model, and for a step that it does not have.
    """
    transform = _transform(model, step)

    def read(paths: Sequence[str | Path]) -> NDArray[np.float32]:
        return np.stack([transform(_levels(path)).numpy() for path in paths])

    return [read, lambda images: _scores(model, torch.from_numpy(images))]


def anomalib_detector(model: Any, step: Step = "transform", *, threshold_fpr: float = 0.05) -> CallableDetector:
    """The model as a detector, not fitted: `fit` sets its threshold from normal images that the model has not seen.

    Images of files are resized as the preprocessing does it (``torch-bilinear-aa``, or ``torch-bilinear`` where it does
    not antialias); the steps behind the resize are those of the model. Like any function it is explained by Shapley
    values.

    Raises `InputError` as `anomalib_stages` does, and for a preprocessing that does not begin with a bilinear resize to
    a square.
    """
    transform = _transform(model, step)
    steps = list(transform.transforms) if isinstance(transform, v2.Compose) else [transform]
    size, resizer = _resize(steps[0])
    rest = v2.Compose(steps[1:]) if steps[1:] else torch.nn.Identity()

    def score(images: Tensor) -> Tensor:
        return torch.from_numpy(_scores(model, rest((images + 1) / 2)))

    return CallableDetector(score, resizer=resizer, size=size, threshold_fpr=threshold_fpr)


def _transform(model: Any, step: str) -> Callable[[Tensor], Tensor]:
    processor = getattr(model, "pre_processor", None)
    transform = getattr(processor, step, None)
    if not callable(getattr(model, "model", None)) or transform is None:
        raise InputError(
            f"a model of anomalib has a module 'model' and a pre_processor with a {step!r}, and this "
            f"{type(model).__name__} has not: give a trained anomalib.models object."
        )
    return cast(Callable[[Tensor], Tensor], transform)


def _resize(step: Any) -> tuple[int, str]:
    """Side and name of the resizer that a first step is."""
    sides = set(step.size) if isinstance(step, v2.Resize) and len(step.size) == 2 else set()
    # newer versions of torchvision name the interpolation, older ones hold a member of an enumeration
    if len(sides) != 1 or getattr(step.interpolation, "value", step.interpolation) != "bilinear":
        raise InputError(
            f"the preprocessing begins with {step}, and not with a bilinear resize to a square: give Resize((side, "
            "side)) first."
        )
    return int(sides.pop()), "torch-bilinear-aa" if step.antialias else "torch-bilinear"


def _levels(path: str | Path) -> Tensor:
    """An image file as anomalib reads it: (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(open_image(path))).permute(2, 0, 1).float() / 255


def _scores(model: Any, images: Tensor) -> NDArray[np.float64]:
    """Scores (N,) of preprocessed images (N, 3, H, W)."""
    module = model.model
    if module.training:
        raise InputError("the model is in training mode, where it gives no scores: call eval() on it first.")
    parameters = next(module.parameters(), torch.empty(0))
    with torch.no_grad():
        answers = [module(batch.to(parameters.device)) for batch in images.split(_BATCH)]
    scores: NDArray[np.float64] = torch.cat([answer.pred_score.flatten() for answer in answers]).double().cpu().numpy()
    return scores
