"""Proofs as files that say all that the proofs say: a run that was stopped after them need not make them again.

proofs.json    of each proof the kind of model and what is missing, of each trial its rule, p-value and placebos
proofs.npz     the effects by image, and the pictures; nothing in it is pickled
1.png, 1.json  the artefact of the first proof, ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.artefacts import Artefact
from chinspect.errors import InputError
from chinspect.files import output_folder, read_json, replacing
from chinspect.proof.proving import Proof
from chinspect.proof.trial import Rule, Trial
from chinspect.report import write_json

_RECORD = "proofs.json"
_ARRAYS = "proofs.npz"
Arrays = dict[str, NDArray[Any]]


def store_proofs(folder: str | Path, proofs: Sequence[Proof]) -> Path:
    """Writes proofs to a folder, the record last: where it is, all is. Returns the record."""
    target = output_folder(folder)
    arrays: Arrays = {}
    documents = []
    for number, proof in enumerate(proofs, 1):
        proof.artefact.save(target / f"{number}.png")
        trials = [_document(trial, f"{number}/{position}", arrays) for position, trial in enumerate(proof.trials)]
        documents.append({"subject": proof.subject, "missing": list(proof.missing), "trials": trials})
    with replacing(target / _ARRAYS) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return write_json(target / _RECORD, {"kind": "proofs", "proofs": documents})


def stored_proofs(folder: str | Path) -> list[Proof]:
    """The proofs of a folder, as they were stored.

    Raises `InputError` where the folder holds none, or something else.
    """
    source = Path(folder)
    try:
        documents = read_json(source / _RECORD)["proofs"]
        with np.load(source / _ARRAYS, allow_pickle=False) as opened:
            arrays = dict(opened)
        return [
            Proof(
                Artefact.load(source / f"{number}.png"),
                document["subject"],
                tuple(
                    _trial(trial, f"{number}/{position}", arrays) for position, trial in enumerate(document["trials"])
                ),
                tuple(document["missing"]),
            )
            for number, document in enumerate(documents, 1)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(source)!r} holds no stored proofs ({error}).") from error


def _document(trial: Trial, key: str, arrays: Arrays) -> dict[str, Any]:
    """What of a trial is text or single numbers; its arrays are put beside the others."""
    arrays[f"{key}/mean"] = trial.placebo_mean
    for condition, effects in trial.measured.items():
        arrays |= {f"{key}/effects/{condition}/{name}": values for name, values in effects.items()}
    for condition, pictures in trial.pictures.items():
        arrays |= {f"{key}/pictures/{condition}/{position}": pixels for position, pixels in enumerate(pictures)}
    return {
        "edit": trial.edit,
        "kind": trial.kind,
        "rule": asdict(trial.rule),
        "measured": {condition: list(effects) for condition, effects in trial.measured.items()},
        "placebos": {family: [dict(effects) for effects in all_] for family, all_ in trial.placebo_effects.items()},
        "placebo_norm": trial.placebo_norm,
        "p_value": trial.p_value,
        "pictures": {condition: len(pictures) for condition, pictures in trial.pictures.items()},
    }


def _trial(document: Mapping[str, Any], key: str, arrays: Arrays) -> Trial:
    measured = {
        condition: {name: arrays[f"{key}/effects/{condition}/{name}"] for name in names}
        for condition, names in document["measured"].items()
    }
    pictures = {
        condition: [arrays[f"{key}/pictures/{condition}/{position}"] for position in range(count)]
        for condition, count in document["pictures"].items()
    }
    return Trial(
        edit=document["edit"],
        kind=document["kind"],
        rule=Rule(**document["rule"]),
        measured=measured,
        placebo_effects={family: tuple(all_) for family, all_ in document["placebos"].items()},
        placebo_mean=arrays[f"{key}/mean"],
        placebo_norm=document["placebo_norm"],
        p_value=document["p_value"],
        pictures=pictures,
    )
