from .artefact import Artefact, placed
from .pixels import Layer, Mask, Pixels, checked, painted, resample, widened
from .ready import (
    ARTEFACTS,
    annotation,
    artefact_named,
    border,
    colour_patch,
    imagenet_w,
    rounded_corners,
    text_logo,
    watermark,
)

__all__ = [
    "ARTEFACTS",
    "Artefact",
    "Layer",
    "Mask",
    "Pixels",
    "annotation",
    "artefact_named",
    "border",
    "checked",
    "colour_patch",
    "imagenet_w",
    "painted",
    "placed",
    "resample",
    "rounded_corners",
    "text_logo",
    "watermark",
    "widened",
]
