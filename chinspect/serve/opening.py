"""Runs as they lie in their folders, opened once.

What is shown: a run of ``chinspect spray`` (``run.json``), an audit (``audit.json``) with the analysis that lies in a
folder below it, and an index that ``SimilarityIndex.build`` made (``manifest.json``). The folder may come from a
stranger: what its documents hold is text and numbers, whatever they claim to be, and what does not fit is an error in a
sentence.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from chinspect.errors import InputError
from chinspect.files import read_json
from chinspect.images import MIN_SIDE, Preprocessing
from chinspect.serve.folder import analyses, file_of, open_maps
from chinspect.serve.listing import read_listing
from chinspect.serve.run import Document, Run
from chinspect.serve.words import explained, verdict_of


def open_run(folder: str | Path) -> Run:
    """The run in a folder. Raises `InputError` where there is none, or one that cannot be read."""
    home = Path(folder)
    if not home.is_dir():
        raise InputError(
            f"{str(folder)!r} is no folder: give the one that 'chinspect spray' or 'chinspect audit' wrote."
        )
    if file_of(home, "audit.json"):
        return _open_audit(home)
    if file_of(home, "run.json"):
        return _open_analysis(home)
    if file_of(home, "manifest.json"):
        from chinspect.serve.index import open_index

        return open_index(home)
    raise InputError(
        f"{str(folder)!r} holds no finished run (no run.json, audit.json or manifest.json): give the folder that "
        "'chinspect spray' or 'chinspect audit' wrote, or an index of similarity."
    )


def _open_analysis(home: Path) -> Run:
    document = _document(home, "run.json", "spray")
    samples = file_of(home, "samples.parquet")
    maps = file_of(home, "maps.npy")
    if samples is None or maps is None:
        raise InputError(f"{str(home)!r} lacks samples.parquet or maps.npy: write the run anew.")
    listing = read_listing(samples, _floats(document.get("eigenvalues")))
    values = open_maps(maps)
    if len(values) != len(listing):
        raise InputError(f"{str(home)!r} holds {len(values)} maps of {len(listing)} images: write the run anew.")
    explanation = _mapping(document.get("explanation"))
    model = next((str(explanation[kind]) for kind in ("encoder", "detector", "classifier") if kind in explanation), "")
    return Run(
        home=home,
        analysis=home,
        kind="analysis",
        title=f"{model or 'Maps of another tool'} on {_source(explanation)}",
        verdict=verdict_of(document),
        made={key: document.get(key) for key in ("explanation", "parameters", "versions")},
        listing=listing,
        maps=values,
        preprocessing=_preprocessing(explanation),
        candidates=_candidates(document),
        facts=[explained(explanation, model), *_facts(document, explanation)],
    )


def _open_audit(home: Path) -> Run:
    document = _document(home, "audit.json", "audit")
    findings = _documents(document.get("findings"))
    audit = Run(
        home=home,
        analysis=home,
        kind="audit",
        title=str(document.get("title") or "Audit"),
        verdict=verdict_of(document),
        made=_mapping(document.get("made")),
        findings=findings,
        steps=_documents(document.get("steps")),
        facts=_level(document.get("level")),
    )
    below = next(analyses(home), None)
    if below is None:
        return audit
    analysis = _open_analysis(below)
    return replace(
        analysis,
        home=home,
        kind="audit",
        title=audit.title,
        verdict=audit.verdict,
        made={"audit": audit.made, "analysis of maps": analysis.made},
        findings=findings,
        steps=audit.steps,
        facts=[*audit.facts, f"The maps: {analysis.verdict.sentence}", *analysis.facts],
    )


def _level(level: Any) -> list[str]:
    """What the level of an audit is of, in a sentence."""
    if not isinstance(level, float):
        return []
    return [f"The level of the audit is {level:.0%}: the probability, at most, that it confirms what means nothing."]


def _document(home: Path, name: str, kind: str) -> Document:
    document = read_json(home / name)
    if document.get("kind") != kind:
        raise InputError(f"{str(home / name)!r} is of the kind {str(document.get('kind'))[:50]!r}, not {kind!r}.")
    return document


def _candidates(document: Document) -> dict[int, Document]:
    """By their numbers, most significant first."""
    rows = _documents(document.get("candidates"))
    return {row["candidate"]: row for row in rows if type(row.get("candidate")) is int and 0 < row["candidate"] < 10**9}


def _facts(document: Document, explanation: Document) -> list[str]:
    """Sentences: what was left out, and how faithful the maps are."""
    faithfulness = _mapping(document.get("faithfulness")).get("sentence")
    unreadable = explanation.get("unreadable")
    left_out = (
        f"{len(unreadable)} images could not be read and were left out."
        if isinstance(unreadable, list) and unreadable
        else ""
    )
    sentences = [faithfulness, document.get("repeated"), explanation.get("cropped"), left_out]
    return [str(sentence) for sentence in sentences if sentence]


def _source(explanation: Document) -> str:
    """What the images are called: the name of their folder."""
    folder = explanation.get("images") or explanation.get("maps")
    return Path(str(folder)).name if folder else "images"


def _preprocessing(explanation: Document) -> Preprocessing | None:
    """What the model sees of an image, tried on one."""
    fields = explanation.get("preprocessing")
    if fields is None:
        return None
    try:
        values: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in fields.items()}
        preprocessing = Preprocessing(**values)
        preprocessing.visible(Image.new("RGB", (MIN_SIDE, MIN_SIDE)))
    except (TypeError, ValueError, AttributeError, MemoryError) as error:
        raise InputError(f"run.json holds a preprocessing that is not known ({error}): write the run anew.") from error
    return preprocessing


def _mapping(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


def _documents(value: Any) -> list[Document]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _floats(value: Any) -> list[float]:
    numbers = value if isinstance(value, list) else []
    return [float(number) for number in numbers if isinstance(number, int | float)]
