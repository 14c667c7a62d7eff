"""Load an encoder: from the zoo, from a library, from a checkpoint, or from a folder, own or mitigated."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chinspect.encoders.architectures import build, timm_size
from chinspect.encoders.cards import Card, read_card, read_card_file, zoo_names
from chinspect.encoders.checkpoints import SUFFIXES, load_weights, read_checkpoint
from chinspect.encoders.encoder import Encoder
from chinspect.encoders.libraries import library_card
from chinspect.encoders.record import CARD, RECORD, read_record
from chinspect.encoders.weights import fetch
from chinspect.errors import InputError


def load_encoder(name: str, *, arch: str | None = None, device: str | torch.device = "cpu") -> Encoder:
    """Load an encoder with its weights, in evaluation mode, without gradients.

    `name` is a model of the zoo (see `list_models`), `timm:NAME`, `torchvision:NAME`, `open_clip:NAME/TAG`, a folder,
    or the path of a checkpoint, whose architecture and preprocessing `arch` gives: a model of the zoo or such a
    prefixed name. A folder holds a mitigated encoder, as `save_encoder` writes it, or a model of one's own as the zoo
    keeps its bundled ones: `card.toml` (`source = "bundled"`) and the safetensors that its `file` names. Its path is
    the encoder's name.
    Weights that are not on this machine are downloaded once, by the library that owns them.

    Raises `InputError` for an unknown name or device, for a folder that holds no encoder, and for weights that cannot
    be had, have another sha256 than the card says, or do not fit entirely.
    """
    target = _device(device)
    if arch is None and name not in zoo_names() and Path(name).is_dir():
        path = Path(name)
        return _load_mitigated(path, target) if (path / RECORD).is_file() else _load_own(path, target)
    card = _checkpoint_card(name, arch) if arch is not None else _card(name)
    return _encoder(card.name, card, target)


def _encoder(name: str, card: Card, device: torch.device) -> Encoder:
    module = _load(card).to(device).eval().requires_grad_(False)
    card = replace(card, dimension=card.dimension or _dimension(module, card, device))
    return Encoder(name, module, card.preprocessing, card)


def _load_own(path: Path, device: torch.device) -> Encoder:
    """A folder in the layout of the zoo; its weights count as a file of the user, whatever its card is called."""
    try:
        card = read_card_file(path / CARD)
    except OSError as error:
        kinds = f"no mitigated encoder (it holds no {RECORD}) and no model (it holds no {CARD})"
        raise InputError(f"{str(path)!r} is {kinds}.") from error
    if card.source == "mitigated":
        problem = f"is a mitigated encoder and holds no {RECORD}: copy the whole folder, or mitigate again"
        raise InputError(f"{str(path)!r} {problem}.")
    if card.source != "bundled":
        kinds = f"no mitigated encoder (it holds no {RECORD}) and no model (its card says source = {card.source!r}"
        raise InputError(f"{str(path)!r} is {kinds}, where weights that lie beside it are 'bundled').")
    if Path(card.file).name != card.file or Path(card.file).suffix != ".safetensors":
        raise InputError(f"The card {str(path / CARD)!r} must name a .safetensors file beside it, not {card.file!r}.")
    file = str(path / card.file)
    return _encoder(str(path), replace(card, source="file", file=file, dimension=0), device)


def _load_mitigated(path: Path, device: torch.device) -> Encoder:
    record = read_record(path)
    base = record.enclosed_base() if record.base is None else load_encoder(record.base)
    restored = record.restore(base)
    restored.base.module.to(device)
    restored.module.to(device)
    return restored


def _card(name: str) -> Card:
    card = read_card(name) if name in zoo_names() else library_card(name)
    if card is not None:
        return card
    if name.endswith(SUFFIXES) or Path(name).is_file():
        asked = "--arch simclr-rn50, for example, in Python arch='simclr-rn50'"
        raise InputError(f"The checkpoint {name!r} needs its architecture: {asked}.")
    close = difflib.get_close_matches(name, zoo_names(), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    forms = "timm:NAME, torchvision:NAME, open_clip:NAME/TAG, or the path of a checkpoint with --arch (arch=)"
    raise InputError(f"There is no model {name!r}{hint}; use one of {', '.join(zoo_names())}, {forms}.")


def _checkpoint_card(path: str, arch: str) -> Card:
    if path in zoo_names() or library_card(path) is not None:
        raise InputError(f"{path!r} has an architecture of its own; arch= (--arch) belongs to checkpoints.")
    card = _card(arch)
    return replace(
        card,
        name=Path(path).name,
        title=f"A checkpoint in the architecture of {card.name}",
        source="file",
        file=path,
        url="",
        tag="",
        sha256="",
        license="not recorded",
        note="",
        extra={},
    )


def _load(card: Card) -> nn.Module:
    path = fetch(card)
    if card.source == "timm":
        return _load_timm(card, path)
    architecture = build(card.architecture, card.preprocessing.size)
    load_weights(architecture.module, read_checkpoint(path), architecture.heads, str(path))
    return architecture.module


def _load_timm(card: Card, path: Path) -> nn.Module:
    """Let timm load its own file: it converts old names and resamples position embeddings.

    The classifier is cut off after loading, because timm loads all names strictly only into the model as published.
    """
    import timm

    name = card.architecture.removeprefix("timm:")
    size = timm_size(name, card.preprocessing.size)
    try:
        with torch.random.fork_rng(devices=[]):
            model: Any = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **size)
    except (RuntimeError, KeyError) as error:
        raise InputError(f"timm cannot load {str(path)!r} into {name!r} ({' '.join(str(error).split())}).") from error
    model.reset_classifier(0)
    module: nn.Module = model
    return module


def _dimension(module: nn.Module, card: Card, device: torch.device) -> int:
    """Length of an embedding that no card gives, from one pass; refuses what does not map an image to one vector."""
    size = card.preprocessing.size
    with torch.no_grad():
        output = module(torch.zeros(1, 3, size, size, device=device))
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(f"{card.name!r} is no encoder: it maps one image to {shape}, not to one vector.")
    return int(output.shape[1])


def _device(device: str | torch.device) -> torch.device:
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"The device {str(device)!r} is not available here; use 'cpu'.") from error
    return target
