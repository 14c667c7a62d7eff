"""Write a mitigated encoder as the folder that `load_encoder` reads; see `chinspect.encoders.record`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from chinspect.encoders import Card, EditedEncoder, Encoder, Retrain, load_encoder
from chinspect.encoders.record import CARD, RECORD, SCHEMA, TENSORS, WEIGHTS, describe
from chinspect.errors import InputError
from chinspect.files import output_folder, replacing
from chinspect.report import write_json

RESUME = ".resume"
"""Where an encoder's folder keeps what an interrupted fine-tuning has done, until the encoder is saved."""


def save_encoder(encoder: EditedEncoder, path: str | Path, *, evidence: Mapping[str, Any] | None = None) -> Path:
    """Write a mitigated encoder, read it back, and compare; returns the folder.

    Args:
        encoder: made by `edited`; its base must be one that `load_encoder` knows by name, or have an architecture that
            it knows (then all weights are written).
        path: a folder that is new, empty, or holds a mitigated encoder, which is replaced.
        evidence: JSON values on how the remedy was chosen and what it does.

    Raises `InputError` for other encoders (those of `Encoder.wrap` among them) and folders; then nothing stays that
    `load_encoder` would read.
    """
    if not isinstance(encoder, EditedEncoder):
        raise InputError(f"Only a mitigated encoder is saved as a folder, and {encoder.name!r} is not edited.")
    base = encoder.base
    if base.card is None:
        advice = "keep the edits and the module's own state_dict"
        raise InputError(f"{base.name!r} has no card, so a folder cannot tell how to build it: {advice}.")
    check_encoder_folder(path)
    folder = output_folder(path)
    named = _named(base, base.card)
    entries, tensors = describe(encoder.edits)
    if not named:
        tensors |= {WEIGHTS + key: value for key, value in base.module.state_dict().items()}
    document = {
        "schema": SCHEMA,
        "base": {"name": base.card.name if named else None, "fingerprint": base.fingerprint},
        "edits": entries,
        "fingerprint": encoder.fingerprint,
        "evidence": dict(evidence or {}),
    }
    (folder / RECORD).unlink(missing_ok=True)  # and written last: without it a folder is no encoder
    with replacing(folder / TENSORS) as temporary:
        save_file({key: value.cpu().contiguous().clone() for key, value in tensors.items()}, temporary)
    with replacing(folder / CARD) as temporary:
        temporary.write_text(_card(encoder, base.card), encoding="utf-8")
    write_json(folder / RECORD, document)
    try:
        load_encoder(str(folder))
    except InputError as error:
        for name in (RECORD, CARD, TENSORS):
            (folder / name).unlink()
        raise InputError(f"{base.name!r} cannot be rebuilt from a folder: {error}") from error
    shutil.rmtree(folder / RESUME, ignore_errors=True)
    return folder


def check_encoder_folder(path: str | Path) -> None:
    """`InputError` unless a mitigated encoder can be written here: to a new folder, an empty one, or over another one.

    What an interrupted run left in ``.resume`` may be there.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"The encoder's folder {str(path)!r} is a file: choose a new name.")
    others = [entry.name for entry in folder.iterdir() if entry.name != RESUME] if folder.is_dir() else []
    if others and not (folder / RECORD).is_file():
        raise InputError(f"The folder {str(path)!r} holds something else, such as {others[0]!r}: choose a new one.")


def _named(base: Encoder, card: Card) -> bool:
    """Whether `load_encoder` gives these weights for the name of their card, which a folder's card need not have."""
    if card.source in ("file", "mitigated"):
        return False
    try:
        return load_encoder(card.name).fingerprint == base.fingerprint
    except InputError:
        return False


def _card(encoder: EditedEncoder, card: Card) -> str:
    """The base's card under a title of its own, as TOML: its texts and numbers are written as in JSON."""
    layers = dict.fromkeys("all layers" if isinstance(edit, Retrain) else edit.layer for edit in encoder.edits)
    keys = ("architecture", "license", "embedding", "paper", "note", "dimension")
    values = {key: getattr(card, key) for key in keys}
    values |= {"name": f"{card.name}-mitigated", "title": f"{card.title}; mitigated at {', '.join(layers)}"}
    values["source"] = "mitigated"
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    lines += ["", "[preprocessing]"]
    for key, value in asdict(encoder.preprocessing).items():
        if value is not None:
            lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"
