"""Load an encoder: from the zoo, from a library, from a checkpoint, or from a folder, own or mitigated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from chinspect.encoders.cards import Card, read_card_file, zoo_names
from chinspect.encoders.checkpoints import SUFFIXES, load_weights, read_checkpoint
from chinspect.encoders.encoder import Encoder, find_device
from chinspect.encoders.libraries import ZOO, card_of, encoder_of, ready, resolve
from chinspect.encoders.own import names_function, own_encoder
from chinspect.encoders.record import CARD, RECORD, restore
from chinspect.encoders.weights import fetch
from chinspect.errors import InputError, did_you_mean


def load_encoder(name: str, *, arch: str | None = None, device: str | torch.device = "cpu") -> Encoder:
    """Load an encoder with its weights, in evaluation mode, without gradients.

    `name` is a model of the zoo (see `list_models`), `timm:NAME`, `torchvision:NAME`, `open_clip:NAME/TAG`,
    `transformers:NAME`, `package.module:function` (see `chinspect.encoders.own`), a folder, or the path of a
    checkpoint, whose architecture and preprocessing `arch` gives: a model of the zoo or such a prefixed name;
    `ARCH@PATH` names both in one. A folder holds a mitigated encoder, as `save_encoder` writes it, or a model of one's
    own as the zoo keeps its bundled ones: `card.toml` (`source = "bundled"`) and the safetensors that its `file` names.
    Its path is the encoder's name.
    Weights that are not on this machine are downloaded once, by the library that owns them.

    Raises `InputError` for an unknown name or device, for a folder that holds no encoder, and for weights that cannot
    be had, have another sha256 than the card says, or do not fit entirely.
    """
    target = find_device(device)
    if arch is None and name not in zoo_names() and Path(name).is_dir():
        if (Path(name) / RECORD).is_file():
            restored = restore(Path(name), load_encoder)
            restored.base.module.to(target)
            restored.module.to(target)
            return restored
        card = _folder_card(Path(name))
        return encoder_of(card, fetch(card), name=str(Path(name)), device=target)
    if arch is None and _is_own(name):
        return own_encoder(name, target)
    own, path = _with_architecture(name) if arch is None else (arch, name)
    card = _checkpoint_card(path, own) if own is not None else _card(name)
    return encoder_of(card, fetch(card), name=name if path != name else "", device=target)


def as_encoder(model: Encoder | str | Path) -> Encoder:
    """An encoder as it is, or by its name, see `load_encoder`; `InputError` for anything else."""
    if isinstance(model, Encoder):
        return model
    if isinstance(model, str | Path):
        return load_encoder(str(model))
    wrapped = ": make it one with Encoder.wrap(module, size=..., mean=..., std=...)"
    how = wrapped if isinstance(model, nn.Module) else ""
    raise InputError(f"An Encoder or the name of one is needed, not {type(model).__name__}{how}.")


def load_classifier(name: str, *, device: str | torch.device = "cpu") -> Encoder:
    """The network of a model with the classifier that it was trained with: its embeddings are logits (N, 1000).

    Args:
        name: a model of the zoo, `timm:NAME` or `torchvision:NAME`.
        device: where it lies.

    Raises `InputError` as `load_encoder` does, and for a model without a classifier.

    Example:
        >>> from chinspect.encoders import load_classifier
        >>> load_classifier("efficientnet-lite0").embed(["assets/truck-a.png"]).shape
        torch.Size([1, 1000])
    """
    target = find_device(device)
    card = _card(name)
    library, inner = resolve(card.architecture)
    with torch.random.fork_rng(devices=[]):
        module = library.classifier(inner, card.preprocessing.size)
    path = fetch(card)
    load_weights(module, read_checkpoint(path), (), str(path))
    return Encoder(f"{card.name} with its classifier", ready(module, target), card.preprocessing)


def _with_architecture(name: str) -> tuple[str | None, str]:
    """Architecture and path of `ARCH@PATH`; no architecture where the name is of another kind."""
    arch, _, path = name.partition("@")
    named = arch in zoo_names() or resolve(arch)[0] is not ZOO or path.endswith(SUFFIXES)
    return (arch, path) if path and named and not Path(name).exists() else (None, name)


def _is_own(name: str) -> bool:
    return names_function(name) and name not in zoo_names() and resolve(name)[0] is ZOO


def _folder_card(path: Path) -> Card:
    """The card of a folder in the layout of the zoo; its weights count as a file of the user, whatever it is called."""
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
    return replace(card, source="file", file=str(path / card.file), dimension=0)


def _card(name: str) -> Card:
    if name in zoo_names() or resolve(name)[0] is not ZOO:
        return card_of(name)
    if name.endswith(SUFFIXES) or Path(name).is_file():
        example = f"simclr-rn50@{name}"
        raise InputError(f"The checkpoint {name!r} needs its architecture: call it ARCH@PATH, such as {example!r}.")
    hint = did_you_mean(name, zoo_names())
    forms = (
        "timm:NAME, torchvision:NAME, open_clip:NAME/TAG, transformers:NAME, package.module:function, or ARCH@PATH for "
        "a checkpoint"
    )
    raise InputError(f"There is no model {name!r}{hint}; use one of {', '.join(zoo_names())}, {forms}.")


def _checkpoint_card(path: str, arch: str) -> Card:
    if path in zoo_names() or resolve(path)[0] is not ZOO:
        raise InputError(f"{path!r} has an architecture of its own: {arch!r} belongs to a checkpoint.")
    card = _card(arch)
    return Card(
        name=Path(path).name,
        title=f"A checkpoint in the architecture of {card.name}",
        architecture=card.architecture,
        source="file",
        file=path,
        license="not recorded",
        embedding=card.embedding,
        dimension=card.dimension,
        paper=card.paper,
        note="",
        preprocessing=card.preprocessing,
    )
