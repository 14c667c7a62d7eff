"""What is new, gone or changed since another run.

Findings are the same thing where their keys are. A finding that both runs have is changed where its status differs, or
where the intervals of both estimates do not overlap, which two runs of one truth do in fewer than 1 of 100 cases
(two 95 % intervals of equal width are apart only beyond 2.8 standard errors of their difference).
Only JSON is read of the other run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

import pandas as pd

from chinspect.audit.finding import GRAVE, Status
from chinspect.audit.result import Audit
from chinspect.errors import InputError
from chinspect.files import read_json, shown
from chinspect.report import Result, plain

_COMPARED = ("model", "images", "level")
"""Entries of ``made``, and the level, that tell whether two runs ask the same question."""


@dataclass(frozen=True)
class Difference:
    """A finding before and after.

    Attributes:
        key: of the finding.
        title: of the newer run, of the older one where it is gone.
        before, after: status; None where there is no such finding.
        estimate_before, estimate_after: NaN where there is none.
    """

    key: str
    title: str
    before: Status | None
    after: Status | None
    estimate_before: float = math.nan
    estimate_after: float = math.nan

    @property
    def is_worse(self) -> bool:
        """Whether something grave appeared or became graver."""
        return _gravity(self.after) < _gravity(self.before)


@dataclass(frozen=True, eq=False, repr=False)
class Changes(Result):
    """Differences to a baseline.

    Attributes:
        baseline: the folder of the older run.
        new, gone, changed: differences, in the order of their findings.
        notes: sentences: what else differs between the runs, and makes the comparison one of two things.
    """

    stem: ClassVar[str] = "changes"

    baseline: str
    new: Sequence[Difference]
    gone: Sequence[Difference]
    changed: Sequence[Difference]
    notes: Sequence[str] = ()

    @property
    def sentence(self) -> str:
        """How many, and what else differs."""
        counts = f"{len(self.new)} new, {len(self.gone)} gone, {len(self.changed)} changed"
        return " ".join([f"Since {self.baseline}: {counts}.", *self.notes])

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """``changes``: a row a difference."""
        columns = ["change", *Difference.__dataclass_fields__]
        kinds = {"new": self.new, "gone": self.gone, "changed": self.changed}
        rows = [{"change": kind} | vars(one) for kind, differences in kinds.items() for one in differences]
        return {"changes": pd.DataFrame(rows, columns=columns)}

    def document(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return super().document() | {"baseline": self.baseline, "notes": list(self.notes), "sentence": self.sentence}


def changes_since(audit: Audit, folder: str | Path) -> Changes:
    """What an audit found beyond, and no more than, the run in another folder.

    Raises `InputError` for a folder that holds no audit, or one of another kind of subject.
    """
    before = _read_audit(Path(folder))
    if before["subject"] != audit.subject:
        raise InputError(
            f"{shown(folder)!r} is an audit of {_article(before['subject'])}, and this is one of "
            f"{_article(audit.subject)}: choose a baseline of the same kind."
        )
    after = plain(audit.document())
    old = _by_key(before["findings"])
    new = _by_key(after["findings"])
    both = [_difference(old[key], new[key]) for key in new if key in old]
    return Changes(
        baseline=shown(folder),
        new=[_difference(None, new[key]) for key in new if key not in old],
        gone=[_difference(old[key], None) for key in old if key not in new],
        changed=[one for one in both if one.before != one.after or _apart(old[one.key], new[one.key])],
        notes=[*_other_questions(before, after), *_unfinished(before, "baseline"), *_unfinished(after, "newer run")],
    )


def check_baseline(folder: str | Path) -> None:
    """`InputError`, before the work, for a folder that holds no audit."""
    _read_audit(Path(folder))


def _read_audit(folder: Path) -> dict[str, Any]:
    """The document of another run, checked as far as it is used."""
    refusal = f"{shown(folder)!r} is no folder of an audit"
    try:
        document = read_json(folder / f"{Audit.stem}.json")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{refusal} (it has no {Audit.stem}.json): name the folder of an earlier run.") from error
    findings = document.get("findings")
    valid = document.get("kind") == "audit" and isinstance(document.get("subject"), str) and isinstance(findings, list)
    if not valid or not all(_is_finding(one) for one in findings or []):
        raise InputError(f"{refusal} (its {Audit.stem}.json holds something else): name the folder of an earlier run.")
    return document


def _is_finding(value: Any) -> bool:
    """Whether a JSON value has what is read of a finding."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("key"), str)
        and isinstance(value.get("title"), str)
        and value.get("status") in get_args(Status)
        and isinstance(value.get("numbers"), dict)
    )


def _by_key(findings: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The gravest finding of each key, in their order."""
    named: dict[str, dict[str, Any]] = {}
    for finding in findings:
        named.setdefault(finding["key"], finding)
    return named


def _difference(before: dict[str, Any] | None, after: dict[str, Any] | None) -> Difference:
    """Of one finding; at least one of both is there."""
    present = after or before or {}
    return Difference(
        key=present["key"],
        title=present["title"],
        before=before["status"] if before else None,
        after=after["status"] if after else None,
        estimate_before=_number(before, "estimate"),
        estimate_after=_number(after, "estimate"),
    )


def _number(finding: dict[str, Any] | None, name: str) -> float:
    """A number of a finding; NaN where there is none."""
    value = finding["numbers"].get(name) if finding else None
    return float(value) if isinstance(value, int | float) else math.nan


def _apart(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether both estimates have intervals, and these do not overlap."""
    return _number(before, "high") < _number(after, "low") or _number(after, "high") < _number(before, "low")


def _gravity(status: Status | None) -> int:
    """Position among the grave ones; one more for all others, which can be compared in no order."""
    return GRAVE.index(status) if status in GRAVE else len(GRAVE)


def _other_questions(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Sentences for what was not held fixed between the runs."""
    old = {**_mapping(before.get("made")), "level": before.get("level")}
    new = {**_mapping(after.get("made")), "level": after.get("level")}
    differ = [name for name in _COMPARED if name in old and name in new and old[name] != new[name]]
    unknown = [name for name in _COMPARED if (name in old) != (name in new)]
    told = [f"The two runs differ in their {name}." for name in differ]
    return told + [f"Only one of the two runs tells its {name}." for name in unknown]


def _unfinished(document: dict[str, Any], name: str) -> list[str]:
    """A sentence where steps were not done: what is gone may only not have been looked at."""
    steps = document.get("steps")
    rows = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    missing = [str(step.get("step")) for step in rows if step.get("state") != "done"]
    return [f"The {name} did not do {', '.join(missing)}."] if missing else []


def _mapping(value: Any) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    return value if isinstance(value, dict) else {}


def _article(subject: str) -> str:
    """A kind of subject with its article."""
    return f"an {subject}" if subject.startswith("e") else f"a {subject}"
