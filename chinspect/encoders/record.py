"""A mitigated encoder on disk: a folder that says which encoder it starts from, and what is changed.

    card.toml              what it is: the base's card under a title of its own
    mitigation.json        base (name or None, fingerprint), edits (kind, layer, rows, level), the fingerprint of the
                           result, and the evidence that the remedy was chosen by
    mitigation.safetensors channels, directions and trained weights of the edits; those of the base as well, if it is a
                           checkpoint without name

Both fingerprints are compared when it is loaded: another base, or an edited record, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from chinspect.encoders.cards import Card, read_card_file, zoo_names
from chinspect.encoders.edits import Edit, EditedEncoder, Project, Prune, Retrain, edited
from chinspect.encoders.encoder import Encoder
from chinspect.encoders.libraries import encoder_of
from chinspect.errors import InputError
from chinspect.files import read_json

CARD = "card.toml"
RECORD = "mitigation.json"
TENSORS = "mitigation.safetensors"
SCHEMA = 1
WEIGHTS = "base."
"""Stands before the names of the base's weights among the tensors."""


def restore(path: Path, load: Callable[[str], Encoder]) -> EditedEncoder:
    """The mitigated encoder of a folder, built from its base; ``load`` gives the encoder of a name.

    Raises `InputError` for a file that is missing, damaged, or not of this form, and unless the base and the result are
    those that were saved.
    """
    document = _record(path / RECORD)
    card, tensors = _card_and_tensors(path)
    try:
        name = document["base"]["name"]
        base_fingerprint = str(document["base"]["fingerprint"])
        fingerprint = str(document["fingerprint"])
        edits = tuple(_edit(entry, number, tensors) for number, entry in enumerate(document["edits"]))
        if not isinstance(name, str | None) or not edits:
            raise ValueError("its base must be a name or null, and its edits a list of at least one")
    except (LookupError, TypeError, ValueError) as error:  # InputError is among them
        raise InputError(f"{str(path / RECORD)!r} is no record of a mitigation ({error}).") from error
    if name is None:
        base = encoder_of(card, _below(WEIGHTS, tensors), source=str(path / TENSORS))
    elif name not in zoo_names() and Path(name).exists():
        raise InputError(f"{str(path / RECORD)!r} starts from the path {name!r}: only models with a name are a base.")
    else:
        base = load(name)
    _compare(path, base, base_fingerprint, "starts from other weights than those of its base")
    result = edited(base, *edits)
    _compare(path, result, fingerprint, "was changed after it was saved")
    assert base.card is not None  # every encoder that is loaded has one
    return replace(result, name=str(path), card=replace(base.card, name=card.name, title=card.title, note=card.note))


def describe(edits: tuple[Edit, ...]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """The edits as JSON values, and what they hold of numbers, by name."""
    entries: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for number, edit in enumerate(edits):
        prefix = f"edit.{number}."
        match edit:
            case Prune(layer, channels, rows):
                entries.append({"kind": "prune", "layer": layer, "rows": None if rows is None else list(rows)})
                tensors[f"{prefix}channels"] = torch.tensor(channels, dtype=torch.int64)
            case Project(layer, direction, level):
                entries.append({"kind": "project", "layer": layer, "level": level})
                tensors[f"{prefix}direction"] = direction.clone()
            case Retrain(weights):
                entries.append({"kind": "retrain"})
                tensors |= {f"{prefix}weights.{key}": value for key, value in weights.items()}
    return entries, tensors


def _edit(entry: Any, number: int, tensors: Mapping[str, Tensor]) -> Edit:
    kind = entry["kind"]
    if kind == "retrain":
        return Retrain(_below(f"edit.{number}.weights.", tensors))
    layer = entry["layer"]
    if not isinstance(layer, str):
        raise TypeError(f"the layer {layer!r} is no text")
    if kind == "prune":
        channels = tensors[f"edit.{number}.channels"]
        if channels.dtype != torch.int64 or channels.ndim != 1:
            raise ValueError("channels are a list of whole numbers")
        rows = entry["rows"]
        if rows is not None and not (len(rows) == 2 and all(type(row) is int for row in rows)):
            raise ValueError(f"rows are two whole numbers, not {rows!r}")
        return Prune(layer, tuple(channels.tolist()), None if rows is None else (rows[0], rows[1]))
    if kind == "project":
        return Project(layer, tensors[f"edit.{number}.direction"], float(entry["level"]))
    raise ValueError(f"there is no kind of edit {kind!r}")


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _card_and_tensors(path: Path) -> tuple[Card, dict[str, Tensor]]:
    name = CARD
    try:
        card = read_card_file(path / CARD)
        name = TENSORS
        return card, load_file(path / TENSORS)
    except FileNotFoundError as error:
        problem = f"cannot be read, because its {name} is missing: copy the whole folder"
        raise InputError(f"The mitigated encoder {str(path)!r} {problem}.") from error
    except (OSError, AttributeError, SafetensorError) as error:
        raise InputError(f"{str(path / name)!r} cannot be read ({error}).") from error


def _record(path: Path) -> dict[str, Any]:
    try:
        document = read_json(path)
    except FileNotFoundError as error:
        raise InputError(f"{str(path.parent)!r} is no mitigated encoder: it holds no {path.name}.") from error
    if document.get("schema") != SCHEMA:
        raise InputError(f"{str(path)!r} is no record of a mitigation that this version reads.")
    return document


def _compare(path: Path, encoder: Encoder, expected: str, problem: str) -> None:
    actual = encoder.fingerprint
    if actual != expected:
        raise InputError(
            f"The encoder {str(path)!r} {problem} (fingerprint {actual}, not {expected[:16]!r}): mitigate it again."
        )
