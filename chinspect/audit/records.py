"""What a run folder remembers of an audit, so that the same command goes on and another one is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from chinspect.audit.plan import Plan, fitted
from chinspect.digests import digest, digest_of_json
from chinspect.errors import InputError
from chinspect.files import output_folder, read_json
from chinspect.proof import Case, Proof, prove_all, store_proofs, stored_proofs
from chinspect.report import write_json
from chinspect.subjects import Subject

_REQUEST = "request.json"
_PLAN = "plan.json"


@dataclass(frozen=True)
class Request:
    """What is asked of an audit, as JSON values: everything that decides its result."""

    made: dict[str, Any]

    @property
    def digest(self) -> str:
        """64 hexadecimal digits."""
        return digest_of_json(self.made)


def claim(folder: Path, request: Request, *, force: bool = False) -> bool:
    """Writes down what a folder is used for; whether the audit goes on.

    Raises `InputError` where it holds an audit of something else, by what differs first, unless ``force``.
    """
    path = output_folder(folder) / _REQUEST
    goes_on = path.exists()
    if goes_on:
        old = read_json(path)
        differs = [name for name in {**old, **request.made} if old.get(name) != request.made.get(name)]
        if differs and not force:
            name = differs[0]
            raise InputError(
                f"{str(folder)!r} holds an audit with another {name} ({_short(old.get(name))}, not "
                f"{_short(request.made.get(name))}): choose another folder, or start anew there with --force."
            )
        goes_on = not differs
    if not goes_on:
        (folder / _PLAN).unlink(missing_ok=True)
        write_json(path, request.made)
    return goes_on


def planned(folder: Path, plan: Plan) -> Plan:
    """The plan within its budget, or with the images and steps of an earlier start in this folder.

    Raises `InputError` as `fitted` does; the folder is then as if nothing had been asked.
    """
    path = folder / _PLAN
    if path.exists():
        old = read_json(path)
        notes = old["left_out"]
        steps = [replace(step, note=notes.get(step.name, "")) for step in plan.planned]
        return replace(plan, images=old["images"], planned=steps, cases=old["cases"])
    try:
        plan = fitted(plan)
    except InputError:
        (folder / _REQUEST).unlink(missing_ok=True)  # another budget would else be another audit
        with suppress(OSError):  # it holds something else
            folder.rmdir()
        raise
    left_out = {step.name: step.note for step in plan.planned if step.note}
    write_json(path, {**plan.document(), "left_out": left_out})
    return plan


def proofs_of(
    subject: Subject,
    cases: Sequence[Case],
    store: Path,
    *,
    level: float,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Proof]:
    """As `prove_all`; proofs of the same cases that are stored already are read."""
    images = [pixels for case in cases for pixels in (*case.clean, *case.affected, *case.pool)]
    layers = [layer for case in cases for layer in (case.artefact.rgb, case.artefact.alpha)]
    sizes = repr([(len(case.clean), len(case.affected), len(case.pool)) for case in cases])
    parts = (version("chinspect"), subject.fingerprint, repr((level, seed)), sizes, *layers, *images)
    folder = store / f"proofs-{digest(*(np.ascontiguousarray(x) if not isinstance(x, str) else x for x in parts))[:8]}"
    if (folder / "proofs.json").exists():
        return stored_proofs(folder)
    proofs = prove_all(subject, cases, level=level, seed=seed, progress=progress)
    store_proofs(folder, proofs)
    return proofs


def _short(value: Any) -> str:
    text = re.sub(r"\s+", " ", repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
