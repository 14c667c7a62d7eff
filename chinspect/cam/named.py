"""All methods by their names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.cam.attention import legrad, rollout
from chinspect.cam.clusters import clus_cam
from chinspect.cam.gradients import grad_cam, grad_cam_plus_plus, hires_cam, layer_cam
from chinspect.cam.perturbations import ablation_cam, eigen_cam, rise, score_cam, shap_cam
from chinspect.cam.question import Respond, Target
from chinspect.encoders import Encoder, check_finite
from chinspect.errors import InputError, did_you_mean
from chinspect.images import AnyImage, is_image

METHODS: Mapping[str, Callable[..., Tensor]] = {
    "gradcam": grad_cam,
    "gradcam++": grad_cam_plus_plus,
    "hirescam": hires_cam,
    "layercam": layer_cam,
    "scorecam": score_cam,
    "ablationcam": ablation_cam,
    "shapcam": shap_cam,
    "cluscam": clus_cam,
    "eigencam": eigen_cam,
    "rise": rise,
    "rollout": rollout,
    "legrad": legrad,
}
"""The functions by name, which have options of their own."""


def cam(
    method: str,
    model: Encoder | nn.Module | Respond,
    images: AnyImage | Sequence[AnyImage],
    *,
    target: Target = None,
    layer: str = "auto",
    **options: Any,
) -> NDArray[np.float32]:
    """Where in images that lies which what is explained depends on.

    Args:
        method: one of `METHODS`.
        model: an encoder or classifier; a module, for preprocessed images; ``rise`` takes any function of these.
        images: of an encoder one image or more, else what the module reads (N, C, H, W).
        target: what is explained, see `chinspect.cam.question.Target`: a class, the similarity to another image, an
            anomaly score or any function of the outputs; the largest output by default.
        layer: name of a submodule, or the last one with a spatial grid that the output depends on.
        options: of the method's function.

    Returns:
        (N, h, w), at the resolution of the layer, of ``rise`` at that of the images.

    Raises `InputError` for an unknown method, options that it does not have or that change nothing of it, and as the
    method's function does.

    Example:
        >>> from chinspect import load_encoder
        >>> from chinspect.cam import cam
        >>> cam("gradcam", load_encoder("efficientnet-lite0"), ["assets/cat.jpg"]).shape
        (1, 7, 7)
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}{did_you_mean(method, METHODS)}: one of {', '.join(METHODS)}.")
    function = METHODS[method]
    known = list(inspect.signature(function).parameters)[2:]
    named: dict[str, Any] = {} if target is None else {"target": target}
    if layer != "auto":
        named["layer"] = layer
    for name in (*named, *options):
        if name not in known:
            hint = did_you_mean(name, known)
            raise InputError(f"{method!r} has no {name}{hint}; it has {', '.join(known) or 'no options'}.")
    if isinstance(model, Encoder):
        one = isinstance(images, str | Path) or is_image(images)
        listed: Any = [images] if one else images
        maps = function(model.module, model.prepare(*listed), **named, **options)
    else:
        maps = function(model, images, **named, **options)
    check_finite(maps, f"the map of {method}")
    values: NDArray[np.float32] = maps.detach().float().cpu().numpy()
    return values
