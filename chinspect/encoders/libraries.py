"""Where encoders come from: one class a library that knows the card of each of its models, its module, and its weights.

An architecture is named `timm:NAME`, `torchvision:NAME`, `open_clip:NAME` or `transformers:NAME`; built here are
`tiny-resnet`, `efficientnet-lite0` to `2`, `clip-rn50-gap`. A further library is a subclass of `Library` and an entry
of `LIBRARIES`.

encoder = encoder_of(card, fetch(card))  # its weights from the file that the card names
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from chinspect.encoders.cards import Card, read_card
from chinspect.encoders.encoder import Encoder, embedding_length
from chinspect.encoders.finite import check_weights
from chinspect.encoders.huggingface import Transformers
from chinspect.encoders.library import Architecture, Library, Weights, library_card
from chinspect.encoders.lite import SCALES, EfficientNetLite
from chinspect.encoders.tiny import TinyResNet
from chinspect.errors import InputError, did_you_mean, one_line
from chinspect.images import Preprocessing


class Zoo(Library):
    """The models that have a folder here, and the architectures that are built here."""

    def card(self, name: str) -> Card:
        """The card of the model's folder."""
        return read_card(name)

    def classifier(self, name: str, size: int) -> nn.Module:
        """An EfficientNet-Lite with the thousand classes of ImageNet."""
        return EfficientNetLite(*SCALES[name], classes=1000) if name in SCALES else super().classifier(name, size)

    def build(self, name: str, size: int) -> Architecture:  # noqa: ARG002
        """The embedding of all is a global average pool, so that images of any size pass."""
        if name in SCALES:
            return Architecture(EfficientNetLite(*SCALES[name]), heads=("classifier.",))
        if name == "tiny-resnet":
            return Architecture(TinyResNet())
        if name == "clip-rn50-gap":  # what Kauffmann et al. 2025 explain: layer4, without the attention pool behind it
            tower: Any = build("open_clip:RN50", 224).module
            tower.attnpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            return Architecture(tower, heads=("attnpool.",))
        known = ", ".join(["tiny-resnet", *SCALES, "clip-rn50-gap", *LIBRARIES])
        raise InputError(f"There is no architecture {name!r}; use one of {known}.")


class Timm(Library):
    """timm: `NAME` or `NAME.TAG`."""

    prefix = "timm"

    def card(self, name: str) -> Card:
        """The card of the model with the weights of its tag, the default ones without a tag."""
        from timm.data import resolve_data_config

        config = self._config(name)
        data = resolve_data_config(pretrained_cfg=config.to_dict())
        _, height, width = data["input_size"]
        if height != width:
            raise InputError(f"timm's {name!r} takes images of {height} x {width} pixels; only squares are supported.")
        hub = config.hf_hub_id
        return library_card(
            name=f"timm:{name}",
            title=f"{name} of timm",
            architecture=f"timm:{name}",
            source="timm",
            file=f"{hub}/{config.hf_hub_filename or 'model.safetensors'}" if hub else "",
            tag=config.tag or "",
            license=config.license or library_card.keywords["license"],
            paper=config.paper_name or "",
            embedding="pooled features before the classifier",
            preprocessing=Preprocessing(
                height,
                "shortest" if data["crop_mode"] == "center" else data["crop_mode"],
                data["interpolation"],
                tuple(data["mean"]),
                tuple(data["std"]),
                math.floor(height / data["crop_pct"]),  # as timm rounds it
            ),
        )

    def classifier(self, name: str, size: int) -> nn.Module:
        """The model with the classifier of its published weights."""
        return cast(nn.Module, self._create(name, size, pretrained=False))

    def build(self, name: str, size: int) -> Architecture:
        """The model without its classifier."""
        model: Any = self.classifier(name, size)
        classifier = model.pretrained_cfg.get("classifier") or ()
        model.reset_classifier(0)
        heads = (classifier,) if isinstance(classifier, str) else classifier
        return Architecture(model, heads=tuple(f"{head}." for head in heads))

    def load(self, card: Card, weights: Weights, source: str) -> nn.Module:
        """Let timm load its own file: it converts old names and resamples position embeddings.

        The classifier is cut off after loading, as timm loads all names strictly only into the model as published.
        """
        if card.source != "timm" or not isinstance(weights, Path):
            return super().load(card, weights, source)
        name = card.architecture.removeprefix("timm:")
        overlay = {"file": str(weights)}
        try:
            with torch.random.fork_rng(devices=[]):
                model = self._create(name, card.preprocessing.size, pretrained=True, pretrained_cfg_overlay=overlay)
        except (RuntimeError, KeyError) as error:
            raise InputError(f"timm cannot load {str(weights)!r} into {name!r} ({one_line(error)}).") from error
        model.reset_classifier(0)
        return cast(nn.Module, model)

    def _create(self, name: str, size: int, **options: Any) -> Any:
        import timm

        if self._config(name).input_size[-1] == size:
            return timm.create_model(name, **options)
        try:
            return timm.create_model(name, img_size=size, **options)
        except TypeError:  # an option of transformers only: convolutions take any size
            return timm.create_model(name, **options)

    def _config(self, name: str) -> Any:
        import timm

        try:
            return timm.get_pretrained_cfg(name, allow_unregistered=False)
        except RuntimeError as error:
            raise InputError(
                f"timm has no model {name!r}{did_you_mean(name, timm.list_models())}; "
                f"see timm.list_models() ({one_line(error)})."
            ) from error


class Torchvision(Library):
    """torchvision's classifiers: `NAME`, with its default weights."""

    prefix = "torchvision"

    # What torchvision switches on when it loads the published weights of these two.
    options: Mapping[str, Mapping[str, Any]] = {
        name: {"transform_input": True, "init_weights": False} for name in ("googlenet", "inception_v3")
    }

    def card(self, name: str) -> Card:
        """The card of the classifier."""
        weights = self._models(name).get_model_weights(name).DEFAULT
        transforms = weights.transforms()
        return library_card(
            name=f"torchvision:{name}",
            title=f"{name} of torchvision",
            architecture=f"torchvision:{name}",
            source="torchvision",
            url=weights.url,
            tag=weights.name,
            sha256="".join(re.findall(r"-([0-9a-f]{8,})\.pth$", weights.url)),  # its first digits are in its name
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

    def classifier(self, name: str, size: int) -> nn.Module:
        """The classifier itself."""
        options = {"image_size": size} if name.startswith("vit_") else self.options.get(name, {})
        return cast(nn.Module, self._models(name).get_model(name, weights=None, **options))

    def build(self, name: str, size: int) -> Architecture:
        """The classifier without its last linear layer; `InputError` if it ends in something else."""
        model = self.classifier(name, size)
        linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
        if not linear or model.get_submodule(linear[-1]).out_features != 1000:  # the classes of ImageNet
            raise InputError(f"torchvision's {name!r} does not end in a linear layer, so its embedding is not known.")
        model.set_submodule(linear[-1], nn.Identity())
        return Architecture(model, heads=(f"{linear[-1]}.",))

    def _models(self, name: str) -> Any:
        from torchvision import models

        names = models.list_models(module=models)
        if name not in names:
            raise InputError(
                f"torchvision has no classifier {name!r}{did_you_mean(name, names)}; "
                "see torchvision.models.list_models()."
            )
        return models


class OpenClip(Library):
    """The image towers of open_clip: `NAME`, and `NAME/TAG` with weights."""

    prefix = "open_clip"

    def card(self, name: str) -> Card:
        """The card of the image tower, with the activation that its weights were trained with."""
        import open_clip
        from open_clip.pretrained import get_pretrained_cfg

        model, _, tag = name.partition("/")
        config = self._config(model)
        weights = get_pretrained_cfg(model, tag) if tag else {}
        if tag and not weights:
            tags = open_clip.list_pretrained_tags_by_model(model)
            raise InputError(
                f"open_clip has no weights {tag!r} for {model!r}{did_you_mean(tag, tags)}; "
                f"its tags are: {', '.join(tags) or 'none'}."
            )
        if weights.get("quick_gelu") and open_clip.get_model_config(f"{model}-quickgelu"):
            model = f"{model}-quickgelu"
        hub = weights.get("hf_hub", "")
        url = weights.get("url", "")
        return library_card(
            name=f"open_clip:{name}",
            title=f"{name} of open_clip",
            architecture=f"open_clip:{model}",
            source="open_clip",
            file=f"{hub}open_clip_model.safetensors" if hub.endswith("/") else hub,
            url=url,
            tag=tag,
            sha256="" if hub else "".join(re.findall(r"/models/([0-9a-f]{64})/", url)),
            embedding="output of the image tower, not normalised",
            preprocessing=Preprocessing(
                config["vision_cfg"]["image_size"],
                weights.get("resize_mode") or "shortest",
                weights.get("interpolation") or "bicubic",
                tuple(weights.get("mean") or open_clip.OPENAI_DATASET_MEAN),
                tuple(weights.get("std") or open_clip.OPENAI_DATASET_STD),
            ),
        )

    def build(self, name: str, size: int) -> Architecture:
        """The image tower of a CLIP whose text tower, which is not used, is as small as it gets."""
        from open_clip.model import CLIP

        config = self._config(name)
        vision = config["vision_cfg"] | {"image_size": size, "timm_model_pretrained": False, "output_tokens": False}
        text = {"context_length": 1, "vocab_size": 1, "width": 64, "heads": 1, "layers": 1}
        return Architecture(CLIP(config["embed_dim"], vision, text, config.get("quick_gelu", False)).visual)

    def _config(self, name: str) -> dict[str, Any]:
        import open_clip

        config = open_clip.get_model_config(name)
        if config is None:
            raise InputError(
                f"open_clip has no model {name!r}{did_you_mean(name, open_clip.list_models())}; "
                "see open_clip.list_models()."
            )
        return config


LIBRARIES: Mapping[str, Library] = {
    library.prefix: library for library in (OpenClip(), Torchvision(), Timm(), Transformers())
}
"""By the prefix of the names of their models."""

ZOO = Zoo()


def resolve(name: str) -> tuple[Library, str]:
    """The library that a name with a prefix belongs to, and the name there; without a prefix it is the zoo's."""
    prefix, _, inner = name.partition(":")
    return (LIBRARIES[prefix], inner) if inner and prefix in LIBRARIES else (ZOO, name)


def card_of(name: str) -> Card:
    """The card of a model of the zoo, of `timm:NAME`, `torchvision:NAME` or `open_clip:NAME/TAG`.

    Raises `InputError` if there is no such model, or if its images are prepared in a way that is not known here.
    """
    library, inner = resolve(name)
    return library.card(inner)


def build(name: str, size: int) -> Architecture:
    """Build an architecture for inputs of `size` pixels. The random state of torch is left as it was.

    Raises `InputError` if there is no such architecture, or if it is no image classifier or encoder.
    """
    library, inner = resolve(name)
    with torch.random.fork_rng(devices=[]):
        return library.build(inner, size)


def ready(module: nn.Module, device: str | torch.device) -> nn.Module:
    """A module of a library, in evaluation mode, without gradients, on a device, the channels of its kernels last.

    Convolutions of a processor are up to twice as fast in that layout, and their outputs keep it.
    """
    return module.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def encoder_of(
    card: Card, weights: Weights, *, name: str = "", source: str = "", device: str | torch.device = "cpu"
) -> Encoder:
    """The encoder of a card, in evaluation mode and without gradients; its card says how long an embedding is.

    Args:
        card: its architecture is built for the size of its preprocessing.
        weights: the file of the card, or tensors by name; None leaves random weights.
        name: of the encoder; that of the card by default.
        source: what messages call tensors that do not fit; of a file it is the path.
        device: where the encoder lies.

    Raises `InputError` for an unknown architecture, for weights that do not fit entirely or are not finite, and for
    what is no encoder.
    """
    library, _ = resolve(card.architecture)
    module = ready(library.load(card, weights, source), device)
    check_weights(module, name or card.name)
    encoder = Encoder(name or card.name, module, card.preprocessing, card)
    return encoder if card.dimension else replace(encoder, card=replace(card, dimension=embedding_length(encoder)))
