"""Cards for any model of timm, torchvision and open_clip, made from what these libraries say about it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from chinspect.encoders.cards import Card
from chinspect.errors import InputError
from chinspect.images import Preprocessing


def library_card(name: str) -> Card | None:
    """The card of `timm:NAME`, `torchvision:NAME` or `open_clip:NAME/TAG`; None if the name has no such prefix.

    Raises `InputError` if the library has no such model, or prepares its images in a way that is not known here.
    """
    library, _, inner = name.partition(":")
    return _LIBRARIES[library](inner) if inner and library in _LIBRARIES else None


def _card(name: str, **values: Any) -> Card:
    library, _, inner = name.partition(":")
    defaults: dict[str, Any] = {
        "title": f"{inner} of {library}",
        "architecture": name,
        "source": library,
        "license": "not recorded; see the library's model card",
        "dimension": 0,
        "paper": "",
        "note": "",
    }
    return Card(name=name, **(defaults | values))


def _timm(name: str) -> Card:
    import timm

    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise InputError(f"timm has no model {name!r} ({error}).") from error
    if config is None:
        raise InputError(f"timm has no model {name!r}; see timm.list_models().")
    data = timm.data.resolve_data_config(pretrained_cfg=config.to_dict())
    resize = {"center": "shortest", "squash": "squash"}.get(data["crop_mode"], data["crop_mode"])
    _, height, width = data["input_size"]
    if height != width:
        raise InputError(f"timm's {name!r} takes images of {height} x {width} pixels, and only squares are supported.")
    hub = config.hf_hub_id
    return _card(
        f"timm:{name}",
        file=f"{hub}/{config.hf_hub_filename or 'model.safetensors'}" if hub else "",
        tag=config.tag or "",
        license=config.license or "not recorded; see the library's model card",
        paper=config.paper_name or "",
        embedding="pooled features before the classifier",
        preprocessing=Preprocessing(
            height,
            resize,
            data["interpolation"],
            tuple(data["mean"]),
            tuple(data["std"]),
            math.floor(height / data["crop_pct"]),
        ),
    )


def _torchvision(name: str) -> Card:
    import torchvision

    if name not in torchvision.models.list_models(module=torchvision.models):
        raise InputError(f"torchvision has no classifier {name!r}; see torchvision.models.list_models().")
    weights = torchvision.models.get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
    transforms = weights.transforms()
    digits = re.search(r"-([0-9a-f]{8,})\.pth$", weights.url)
    return _card(
        f"torchvision:{name}",
        url=weights.url,
        tag=weights.name,
        sha256=digits[1] if digits else "",
        embedding="input of the last linear layer",
        preprocessing=Preprocessing(
            transforms.crop_size[0],
            "shortest",
            transforms.interpolation.value,
            tuple(transforms.mean),
            tuple(transforms.std),
            transforms.resize_size[0],
        ),
    )


def _open_clip(name: str) -> Card:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    model, _, tag = name.partition("/")
    config = open_clip.get_model_config(model)
    if config is None:
        raise InputError(f"open_clip has no model {model!r}; see open_clip.list_models().")
    weights = get_pretrained_cfg(model, tag) if tag else {}
    if tag and not weights:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise InputError(f"open_clip has no weights {tag!r} for {model!r}; its tags are: {tags}.")
    if weights.get("quick_gelu") and open_clip.get_model_config(f"{model}-quickgelu"):
        model = f"{model}-quickgelu"  # the activation that these weights were trained with
    hub, url = weights.get("hf_hub", ""), weights.get("url", "")
    digits = re.search(r"/models/([0-9a-f]{64})/", url)
    return _card(
        f"open_clip:{name}",
        architecture=f"open_clip:{model}",
        file=f"{hub}open_clip_model.safetensors" if hub.endswith("/") else hub,
        url=url,
        tag=tag,
        sha256=digits[1] if digits and not hub else "",
        embedding="output of the image tower, not normalised",
        preprocessing=Preprocessing(
            config["vision_cfg"]["image_size"],
            weights.get("resize_mode") or "shortest",
            weights.get("interpolation") or "bicubic",
            tuple(weights.get("mean") or open_clip.OPENAI_DATASET_MEAN),
            tuple(weights.get("std") or open_clip.OPENAI_DATASET_STD),
        ),
    )


_LIBRARIES: dict[str, Callable[[str], Card]] = {"timm": _timm, "torchvision": _torchvision, "open_clip": _open_clip}
