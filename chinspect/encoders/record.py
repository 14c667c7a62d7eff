"""A mitigated encoder on disk: a folder that says which encoder it starts from, and what is changed.

    card.toml              what it is: the base's card under a title of its own
    mitigation.json        base (name or None, fingerprint), edits (kind, layer, rows, level), the fingerprint of the
                           result, and the evidence that the remedy was chosen by
    mitigation.safetensors channels, directions and trained weights of the edits; those of the base as well, if it is a
                           checkpoint without name

Both fingerprints are compared when it is loaded: another base, or an edited record, is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from chinspect.encoders.architectures import build
from chinspect.encoders.cards import Card, read_card_file, zoo_names
from chinspect.encoders.checkpoints import load_weights
from chinspect.encoders.edits import Edit, EditedEncoder, Project, Prune, Retrain, edited
from chinspect.encoders.encoder import Encoder
from chinspect.errors import InputError

CARD, RECORD, TENSORS = "card.toml", "mitigation.json", "mitigation.safetensors"
SCHEMA = 1
WEIGHTS = "base."
"""Stands before the names of the base's weights among the tensors."""
_MAX_JSON = 10_000_000


@dataclass(frozen=True, eq=False)
class Record:
    """What a folder says, as read: nothing is built yet."""

    path: Path
    card: Card
    base: str | None
    """A name that `load_encoder` knows, or None if the weights lie in the folder."""
    base_fingerprint: str
    fingerprint: str
    edits: tuple[Edit, ...]
    tensors: Mapping[str, Tensor]

    def enclosed_base(self) -> Encoder:
        """The base whose weights lie in the folder."""
        size = self.card.preprocessing.size
        architecture = build(self.card.architecture, size)
        load_weights(architecture.module, _below(WEIGHTS, self.tensors), architecture.heads, str(self.path / TENSORS))
        module = architecture.module.eval().requires_grad_(False)
        return Encoder(self.card.name, module, self.card.preprocessing, self.card)

    def restore(self, base: Encoder) -> EditedEncoder:
        """The mitigated encoder; `InputError` unless the base and the result are those that were saved."""
        _compare(self.path, base.fingerprint, self.base_fingerprint, "starts from other weights than those of its base")
        result = edited(base, *self.edits)
        _compare(self.path, result.fingerprint, self.fingerprint, "was changed after it was saved")
        card = replace(base.card, name=self.card.name, title=self.card.title, note=self.card.note)
        return replace(result, name=str(self.path), card=card)


def read_record(path: Path) -> Record:
    """Read a folder. Raises `InputError` for a file that is missing, damaged, or not of this form."""
    document = _json(path / RECORD)
    for name in (CARD, TENSORS):
        if not (path / name).is_file():
            problem = f"cannot be read, because its {name} is missing: copy the whole folder"
            raise InputError(f"The mitigated encoder {str(path)!r} {problem}.")
    try:
        card = read_card_file(path / CARD)
    except (OSError, AttributeError) as error:
        raise InputError(f"The card {str(path / CARD)!r} cannot be read ({error}).") from error
    try:
        tensors = load_file(path / TENSORS)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{str(path / TENSORS)!r} cannot be read ({error}).") from error
    try:
        base = document["base"]
        name, base_fingerprint, fingerprint = base["name"], base["fingerprint"], document["fingerprint"]
        edits = tuple(_edit(entry, number, tensors) for number, entry in enumerate(document["edits"]))
        if not (name is None or isinstance(name, str)) or not edits:
            raise ValueError("its base must be a name or null, and its edits a list of at least one")
    except (LookupError, TypeError, ValueError) as error:  # InputError is among them
        raise InputError(f"{str(path / RECORD)!r} is no record of a mitigation ({error}).") from error
    if name is not None and name not in zoo_names() and Path(name).exists():
        raise InputError(f"{str(path / RECORD)!r} starts from the path {name!r}: only models with a name are a base.")
    return Record(path, card, name, str(base_fingerprint), str(fingerprint), edits, tensors)


def describe(edits: tuple[Edit, ...]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """The edits as JSON values, and what they hold of numbers, by name."""
    entries: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for number, edit in enumerate(edits):
        if isinstance(edit, Prune):
            rows = None if edit.rows is None else list(edit.rows)
            entries.append({"kind": "prune", "layer": edit.layer, "rows": rows})
            tensors[f"edit.{number}.channels"] = torch.tensor(edit.channels, dtype=torch.int64)
        elif isinstance(edit, Retrain):
            entries.append({"kind": "retrain"})
            tensors |= {f"edit.{number}.weights.{key}": value for key, value in edit.weights.items()}
        else:
            entries.append({"kind": "project", "layer": edit.layer, "level": edit.level})
            tensors[f"edit.{number}.direction"] = edit.direction.clone()
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


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            document = json.loads(file.read(_MAX_JSON))
    except FileNotFoundError as error:
        raise InputError(f"{str(path.parent)!r} is no mitigated encoder: it holds no {path.name}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} cannot be read ({error}).") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"{str(path)!r} is no record of a mitigation that this version reads.")
    return document


def _compare(path: Path, found: str, expected: str, problem: str) -> None:
    if found != expected:
        raise InputError(
            f"The encoder {str(path)!r} {problem} (fingerprint {found}, not {expected[:16]!r}): mitigate it again."
        )
