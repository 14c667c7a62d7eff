"""Architectures by name, built with random weights, ending at their embedding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from chinspect.encoders.tiny import TinyResNet
from chinspect.errors import InputError


@dataclass(frozen=True, eq=False)
class Architecture:
    """A module whose output is the embedding, and what its checkpoints hold beyond it."""

    module: nn.Module
    """(N, 3, size, size) -> (N, D)."""
    heads: tuple[str, ...] = ()
    """First parts of the names in a checkpoint that belong to what was cut off behind the embedding."""


def build(name: str, size: int) -> Architecture:
    """Build an architecture for inputs of `size` pixels. The random state of torch is left as it was.

    Raises `InputError` if there is no such architecture, or if it is no image classifier or encoder.
    """
    library, _, inner = name.partition(":")
    with torch.random.fork_rng(devices=[]):
        if inner and library in _LIBRARIES:
            return _LIBRARIES[library](inner, size)
        if name in _OWN:
            return _OWN[name]()
    raise InputError(f"There is no architecture {name!r}; use one of {', '.join([*_OWN, *_LIBRARIES])}.")


def _tiny() -> Architecture:
    return Architecture(TinyResNet())


def _clip_rn50_gap() -> Architecture:
    """CLIP's RN50 with the global average pool of layer4 as its embedding: what Kauffmann et al. 2025 explain."""
    tower: Any = _open_clip("RN50", 224).module
    tower.attnpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Architecture(tower, heads=("attnpool.",))


def _open_clip(name: str, size: int) -> Architecture:
    import open_clip
    from open_clip.model import CLIP

    config = open_clip.get_model_config(name)
    if config is None:
        raise InputError(f"open_clip has no model {name!r}; see open_clip.list_models().")
    vision = config["vision_cfg"] | {"image_size": size, "timm_model_pretrained": False, "output_tokens": False}
    text = {"context_length": 1, "vocab_size": 1, "width": 64, "heads": 1, "layers": 1}  # not used: as small as it gets
    return Architecture(CLIP(config["embed_dim"], vision, text, config.get("quick_gelu", False)).visual)


def _torchvision(name: str, size: int) -> Architecture:
    import torchvision

    if name not in torchvision.models.list_models(module=torchvision.models):
        raise InputError(f"torchvision has no classifier {name!r}; see torchvision.models.list_models().")
    options: dict[str, Any] = {"image_size": size} if name.startswith("vit_") else _TORCHVISION_OPTIONS.get(name, {})
    model = torchvision.models.get_model(name, weights=None, **options)
    linear = [key for key, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear or model.get_submodule(linear[-1]).out_features != 1000:
        raise InputError(f"torchvision's {name!r} does not end in a linear layer, so its embedding is not known.")
    model.set_submodule(linear[-1], nn.Identity())
    return Architecture(model, heads=(f"{linear[-1]}.",))


def _timm(name: str, size: int) -> Architecture:
    import timm

    model: Any = timm.create_model(name, pretrained=False, **timm_size(name, size))
    classifier = model.pretrained_cfg.get("classifier") or ()
    model.reset_classifier(0)
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return Architecture(model, heads=tuple(f"{head}." for head in heads))


def timm_size(name: str, size: int) -> dict[str, Any]:
    """The option that builds a timm model for another input size than its own, if it needs one."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return {} if config is None or config.input_size[-1] == size else {"img_size": size}


# What torchvision switches on when it loads the published weights of these two.
_TORCHVISION_OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}
_OWN: dict[str, Callable[[], Architecture]] = {"tiny-resnet": _tiny, "clip-rn50-gap": _clip_rn50_gap}
_LIBRARIES: dict[str, Callable[[str, int], Architecture]] = {
    "open_clip": _open_clip,
    "torchvision": _torchvision,
    "timm": _timm,
}
