"""What an audit measures beside artefacts: whether neighbours go by processing, or by origin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from chinspect.audit.finding import Status
from chinspect.digests import digest_of_json
from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.files import read_json
from chinspect.known import Models, Options, measure_traces
from chinspect.readouts import confounding
from chinspect.report import records, write_json

TRACED = 100
"""Images that go through all variants of processing, at most: intervals of rates are then a fifth wide."""
_TOLD: Mapping[Status, str] = {
    "stress": "Neighbours share the origin rather than the class.",
    "clear": "Neighbours share the class rather than the origin.",
    "undecided": "The images are too few to say whether neighbours share the class or the origin.",
    "untested": "Nothing tells whether neighbours share the class or the origin.",
}
_MUCH = 0.1  # one neighbour in ten: all encoders see sharpness, and fewer neighbours change no one's mind


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures with their controls.

    Attributes:
        name: of the step.
        rows: measure, condition, estimate, low, high, n.
        status: ``stress`` where a measure is beyond its control by so much that it matters, ``clear`` where it was
            shown not to be, ``undecided`` where neither was shown, ``untested`` where it says nothing.
        exceeding: measures that are beyond their control by so much that it matters.
        sentence: what was found.
        notes: what could not be measured.
    """

    name: str
    rows: pd.DataFrame
    status: Status
    exceeding: Sequence[str]
    sentence: str
    notes: Sequence[str] = ()


def trace_measures(
    encoder: Encoder,
    samples: Samples,
    store: Path,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Measures:
    """Is what images went through readable, and do neighbours share it? Stored, as it takes minutes."""
    made = {"version": version("chinspect"), "encoder": encoder.fingerprint, "images": samples.digest, "seed": seed}
    path = store / f"traces-{digest_of_json(made)[:8]}.json"
    if path.exists():
        stored = read_json(path)
        rows, notes = pd.DataFrame(stored["rows"]), stored["notes"]
    else:
        findings = measure_traces(Models(encoder), samples, Options(TRACED, seed, progress))
        rows, notes = findings.rows, list(findings.notes)
        write_json(path, {"rows": records(rows), "notes": notes})
    alike = rows[rows["measure"].str.endswith("neighbours alike")]
    exceeding = _beyond(alike, "unprocessed", _MUCH)
    unclear = [name for name in _possibly_beyond(alike, "unprocessed", _MUCH) if name not in exceeding]
    readable = _beyond(rows[rows["measure"].str.endswith("readable")], "permuted")
    count = int(rows["n"].max())
    sentence = f"Of {count} images processed in four ways, a linear readout tells {_listed(readable) or 'none'}"
    status: Status = "stress" if exceeding else "undecided" if unclear else "clear"
    if exceeding:
        sentence += (
            f"; after {_listed(exceeding)} more than one in ten neighbours is there for sharing the processing (95 % "
            "intervals, beside the same images without it): images are near each other for what was done to files."
        )
    elif unclear:
        sentence += (
            f"; whether more than one in ten neighbours is there for sharing {_listed(unclear)} the images are too few "
            "to say (95 % intervals)."
        )
    else:
        sentence += "; less than one in ten neighbours is there for sharing any of it (95 % intervals)."
    return Measures("traces", rows, status, exceeding, sentence, notes)


def confounder_measures(
    encoder: Encoder, samples: Samples, labels: Sequence[str] | None, confounders: Sequence[str], *, seed: int
) -> Measures:
    """Do neighbours share the class or the origin? Raises `InputError` without labels, and for too few images."""
    if labels is None:
        raise InputError("a confounder is measured beside the class: give --labels as well.")
    labelled = Samples(samples.root, samples.names, tuple(labels))
    scores = confounding(encoder, labelled, list(confounders), seed=seed)
    table = scores.measures
    index, chance = (table.iloc[row] for row in (0, 1))
    exceeding = []
    notes = []  # those of the scores stand in their sentence
    status: Status = "undecided"
    if not chance["estimate"] > 0:  # 0 or nan: no two images are of one class and of two origins
        status = "untested"
        notes.append(
            "All images of a class are of one origin, so that nothing tells which of both makes neighbours: give "
            "classes whose images are of several origins."
        )
    elif index["high"] < chance["low"]:
        status = "stress"
        exceeding.append(str(index["measure"]))
    elif index["low"] > chance["high"]:
        status = "clear"
    return Measures("confounder", table, status, exceeding, f"{_TOLD[status]} {scores.sentence}", notes)


def _beyond(rows: pd.DataFrame, control: str, margin: float = 0.0) -> list[str]:
    """Families of processing whose own interval lies above that of a control, by more than a margin."""
    return [name for name, ends in _ends(rows) if ends["low", "embedding"] > ends["high", control] + margin]


def _possibly_beyond(rows: pd.DataFrame, control: str, margin: float) -> list[str]:
    """Those of which some values within both intervals are further apart than the margin."""
    return [name for name, ends in _ends(rows) if ends["high", "embedding"] > ends["low", control] + margin]


def _ends(rows: pd.DataFrame) -> Iterator[tuple[str, dict[tuple[str, str], float]]]:
    """Families of processing, each with the ends of its intervals by (low or high, condition)."""
    for measure, group in rows.groupby("measure", sort=False):
        ends = {(end, row["condition"]): row[end] for _, row in group.iterrows() for end in ("low", "high")}
        yield str(measure).split(":")[0], ends


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
