"""A run of SpRAy: an analysis of maps with the images behind them, as a folder that people and programs can read.

    run.json             what was done and found: parameters, model, versions, verdict, all candidates
    samples.parquet      one row an image, see `chinspect.spray.samples`: path, label, its cluster in every clustering,
                         the candidates that it is in, the embedding, a position in the plane, how usual its strategy is
    candidates.csv       one row a candidate, most significant first; also as .parquet
    maps.npy             (N, h, w), the maps in the order of the samples
    spray.html           all of it for people: candidates, their members and maps, the plane to point at; one file
    spectrum.png         the eigenvalues and their gap
    embedding.png        all images in the plane, candidates coloured
    candidates/1/        of the most significant candidate: sheet.png, members.csv, mean_map.npy, template.npy, and the
                         proof where it was tested on the model
    explanations/        the stores that an interrupted run goes on from

Every file is written under a temporary name and moved to its own, and ``run.json`` last: where it is, all is.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.errors import InputError
from chinspect.explain import MapDeletions
from chinspect.files import output_folder, replacing
from chinspect.images import can_read
from chinspect.report import Result, plain, write_json
from chinspect.spray.analysis import SpRAy
from chinspect.spray.arrays import Indices, Rows
from chinspect.spray.candidates import COLUMNS, Candidate
from chinspect.spray.contents import FILES
from chinspect.spray.samples import sample_table

LISTED = 8
"""Candidates that are printed."""
_NAMED = 3  # maps that cannot be compared, of which the others are counted
_MARK = ".chinspect"
_LIBRARIES = ("chinspect", "torch", "numpy", "scipy", "scikit-learn", "pillow")
_EXPLAINED = {
    "neighbours": "the similarity of each image to its nearest neighbours",
    "output": "each image's own output (of an encoder the length of its embedding)",
    "anomaly": "the anomaly score of each image",
    "anomaly_map": "where each image is anomalous, beyond what most are in that place",
    "bands": "the similarity of each image to its nearest neighbours, by frequency",
    "bands of a detector": "the anomaly score of each image, by frequency",
    "gradcam": "a layer of the network (Grad-CAM)",
}
"""What the questions of `chinspect.explain` are, by their names in descriptions."""
_OUTCOMES = {
    "confirmed": "confirmed by an intervention",
    "not_causal": "not causal",
    "undecided": "tested without a decision",
    "untested": "not testable",
}


@dataclass(frozen=True, eq=False)
class Finding:
    """A candidate, and what is known about it beyond its statistics.

    Attributes:
        candidate: with its verdict.
        proof: of the intervention, if there was one.
        note: why there was none, or what it could not test.
        ground: what the candidate lies on, by name, and what is known about that, see `chinspect.spray.ground`.
    """

    candidate: Candidate
    proof: Result | None = None
    note: str = ""
    ground: Mapping[str, str] = field(default_factory=dict)

    def title(self, number: int) -> str:
        """What it is called: a candidate only where it is flagged."""
        return f"{'Candidate' if self.candidate.flagged else 'Set'} {number}"

    def sentence(self, images: int) -> str:
        """What the members, of so many images, have in common, how sure that is, and what an intervention said."""
        candidate = self.candidate
        clauses = [
            f"{candidate.size} of {images} images share {candidate.shared:.0%} of their relevance {candidate.position}"
        ]
        if self.ground:
            named = [f"{name} ({detail})" if detail else name for name, detail in self.ground.items()]
            clauses.append(f"most of what they share lies on {', '.join(named)}")
        if candidate.group is not None:
            clauses.append(f"found within the class {candidate.group!r}")
        elif candidate.label is not None:
            labelled = f"{candidate.purity:.0%} of them are labelled {candidate.label!r}"
            clauses.append(f"{labelled}, as {candidate.base_rate:.0%} of all are")
        clauses.append(candidate.chance)
        if self.proof is not None:
            clauses.append(self.proof.sentence.rstrip("."))
        if self.note:
            clauses.append(self.note.rstrip("."))
        return ". ".join(clause[0].upper() + clause[1:] for clause in clauses) + "."


@dataclass(frozen=True, eq=False, repr=False)
class SprayRun(Result):
    """An analysis of maps, and the images behind them.

    Attributes:
        spray: fitted on ``maps``.
        maps: (N, h, w).
        names: (N,) of the images, or of the maps where there are none.
        paths: (N,), where the images lie; None where there are none.
        labels: (N,) or None.
        picture: from an index to the picture in whose frame the map lies; None where there are no images.
        made: how the maps were made, as JSON values.
        scores: name -> (N,), further columns of the samples.
        findings: the candidates that are flagged and the strongest others, most significant first; ``spray`` has all.
        faithfulness: what some images lose without the most relevant patches of their maps, where that was tried.
    """

    stem = "run"
    drawing = "chinspect.spray.figure"
    composing = "chinspect.spray.page"

    spray: SpRAy
    maps: Rows
    names: Sequence[str]
    paths: Sequence[Path] | None = None
    labels: Sequence[Any] | None = None
    picture: Callable[[int], Image.Image] | None = None
    made: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    faithfulness: MapDeletions | None = None

    def __post_init__(self) -> None:
        if not self.findings:
            object.__setattr__(self, "findings", [Finding(candidate) for candidate in self.spray.listed_])

    @property
    def others(self) -> int:
        """How many sets are not listed, as they are neither flagged nor among the strongest."""
        return len(self.spray.candidates_) - len(self.spray.listed_)

    @property
    def explained(self) -> str:
        """What the maps explain, of which model and by which method, in words."""
        model = self.made.get("encoder", self.made.get("detector", self.made.get("classifier")))
        if model is None:
            return "maps of another tool"
        question = str(self.made.get("method")).lower()
        own = f"{question} of a detector" if "detector" in self.made else question
        what = _EXPLAINED.get(own, _EXPLAINED.get(question, "what it answers"))
        method = (self.made.get("relevance") or {}).get("method")
        return f"{what}, {model}" + (f", method {method}" if method else "")

    @property
    def spectra(self) -> bool:
        """Whether the maps are spectra (N, 1, B) and have no position in an image."""
        return self.maps.shape[1] == 1

    @property
    def flagged(self) -> dict[int, Finding]:
        """The findings whose candidates are flagged, by number."""
        return {number: finding for number, finding in enumerate(self.findings, 1) if finding.candidate.flagged}

    @property
    def verdict(self) -> str:
        """``confirmed`` if a candidate is; else ``not_causal`` if all that are flagged are; else that of the maps."""
        verdicts = {finding.candidate.verdict for finding in self.flagged.values()}
        if "confirmed" in verdicts:
            return "confirmed"
        return "not_causal" if verdicts == {"not_causal"} else self.spray.verdict_

    @property
    def sentence(self) -> str:
        """How many candidates there are, what became of them, and what the analysis could have seen."""
        flagged = self.flagged.values()
        verb = "is" if len(flagged) == 1 else "are"
        sentence = f"{len(flagged)} of {len(self.spray.candidates_)} sets of alike maps {verb} flagged"
        if any(finding.proof is not None for finding in flagged):
            verdicts = Counter(x.candidate.verdict if x.proof is not None else "untested" for x in flagged)
            outcomes = [f"{verdicts[name]} {outcome}" for name, outcome in _OUTCOMES.items() if verdicts[name]]
            sentence += f" ({', '.join(outcomes)})"
        size = self.spray.min_detectable_size_
        if self.spray.n_surrogates < 2:
            return sentence + "; nothing was compared with chance (too few surrogates)."
        if size is None:
            return sentence + "; these maps are too few or too alike to say which artefact would have been found."
        return sentence + f"; an artefact of half of the relevance would have been found from {size} images on."

    @property
    def repeated(self) -> str:
        """How many images count no second time, in words; nothing where there are none."""
        copies = self._copies
        if not len(copies):
            return ""
        first = self.spray.duplicates_[copies[0]]
        verb = "repeats another and counts" if len(copies) == 1 else "repeat another and count"
        return (
            f"{len(copies)} of {len(self.maps)} images {verb} once, as {self.names[copies[0]]} repeats "
            f"{self.names[first]}."
        )

    @property
    def notes(self) -> list[str]:
        """Beside the sentence: method and faithfulness of maps, images that do not count, proofs, what was untested."""
        notes = [self.made["choice"]["sentence"]] if "choice" in self.made else []
        notes += [] if self.faithfulness is None else [self.faithfulness.sentence]
        notes += [self.repeated] if self.repeated else []
        notes += self._left_out(self.spray.invalid_, "NaN or infinity")
        notes += self._left_out(self.spray.zero_, "no relevance at all")
        for number, finding in enumerate(self.findings, 1):
            if finding.proof is not None:
                notes.append(f"candidate {number}: {finding.proof.sentence}")
            if finding.note:
                notes.append(f"candidate {number}: {finding.note}")
        if self.flagged and self.picture is not None and not can_read():
            notes.append("text was not looked for, as RapidOCR is not installed: pip install chinspect[text]")
        notes += [self.made["cropped"]] if self.made.get("cropped") else []
        unreadable = self.made.get("unreadable", [])
        if unreadable:
            notes.append(f"{counted(len(unreadable), 'image')} cannot be read, left out: {_named(unreadable)}")
        return notes

    def _left_out(self, indices: Indices, reason: str) -> list[str]:
        """Which maps are not compared, and why, in a sentence where there are any."""
        if not len(indices):
            return []
        names = _named([self.names[i] for i in indices])
        return [f"{len(indices)} of {counted(len(self.maps), 'map')} with {reason}, left out: {names}"]

    def samples(self) -> pd.DataFrame:
        """One row an image, see `chinspect.spray.samples`."""
        return self._samples.copy()

    def candidates(self) -> pd.DataFrame:
        """One row a candidate, most significant first; ``candidate`` is its number."""
        rows = [
            {
                "candidate": number,
                **finding.candidate.record(),
                "lies_on": ", ".join(finding.ground),
                "finding": finding.sentence(len(self.maps)),
            }
            for number, finding in enumerate(self.findings, 1)
        ]
        return pd.DataFrame(rows, columns=["candidate", *COLUMNS, "lies_on", "finding"])

    def document(self) -> dict[str, Any]:
        """Everything but arrays and samples, as JSON values."""
        spray = self.spray
        document: dict[str, Any] = plain(
            {
                "kind": "spray",
                "sentence": self.sentence,
                "verdict": self.verdict,
                "images": len(self.maps),
                "flagged": len(spray.flagged_),
                "not_listed": self.others,
                "confirmed": sum(finding.candidate.verdict == "confirmed" for finding in self.findings),
                "min_detectable_size": spray.min_detectable_size_,
                "repeated": self.repeated,
                "duplicates": len(self._copies),
                "without_relevance": spray.zero_,
                "not_finite": spray.invalid_,
                "connected_components": spray.n_components_,
                "eigenvalues": spray.eigenvalues_,
                "parameters": spray.get_params(),
                "explanation": dict(self.made),
                "versions": {name: version(name) for name in _LIBRARIES},
                "candidates": self.candidates().to_dict("records"),
            }
        )
        if self.faithfulness is not None:
            document["faithfulness"] = self.faithfulness.document()
        return document

    def overview(self) -> dict[str, pd.DataFrame]:
        """The methods that were tried, and the first candidates."""
        listed = [finding.candidate for finding in self.findings[:LISTED]]
        columns = {
            "candidate": range(1, len(listed) + 1),
            "images": [c.size for c in listed],
            "shared": [f"{c.shared:.0%}" for c in listed],
            "where": [c.position for c in listed],
            "lies on": [", ".join(finding.ground) for finding in self.findings[:LISTED]],
            "class": [c.label if c.group is None else f"within {c.group}" for c in listed],
            "corrected p": [c.chance_in_short for c in listed],
            "verdict": [c.outcome for c in listed],
        }
        if not any(columns["lies on"]):
            del columns["lies on"]
        count = len(self.findings)
        title = f"{LISTED} of {count} shown; all in candidates.csv" if count > LISTED else ""
        if self.others:
            title += f"{'; ' if title else ''}{self.others} more sets are less distinct and not listed"
        tried = {"methods by faithfulness": pd.DataFrame(self.made["choice"]["tried"])} if "choice" in self.made else {}
        return tried | {title: pd.DataFrame(columns)}

    def save(self, folder: str | Path, *, progress: Callable[[int, int], None] | None = None) -> list[Path]:
        """Writes the folder, see the module; returns its files, those that a reader starts with first.

        Raises `InputError` where the folder cannot be written to or holds a folder ``candidates`` of other making.
        """
        target = output_folder(folder)
        check_output(target)
        self._check_own_maps(target / "maps.npy")
        (target / "run.json").unlink(missing_ok=True)
        tables = {"samples": self._samples, "candidates": self.candidates()}
        with replacing(target / "maps.npy") as path, path.open("wb") as file:
            np.save(file, self.maps)
        for name, table in tables.items():
            with replacing(target / f"{name}.parquet") as path:
                table.to_parquet(path, index=False)
        with replacing(target / "candidates.csv") as path:
            tables["candidates"].to_csv(path, index=False)
        self.plot(target / "embedding.png")
        self._figures.write(self._figures.draw_spectrum(self), target / "spectrum.png")
        files = self._save_candidates(target / "candidates", progress)
        self._save_page(target / "spray.html")
        write_json(target / "run.json", self.document())
        return [*(target / name for name in FILES), *files]

    def _check_own_maps(self, target: Path) -> None:
        """`InputError` where the maps that were analysed would be overwritten by those that are saved."""
        source = self.made.get("maps")
        if source is not None and target.exists() and target.samefile(source):
            raise InputError(
                f"{str(source)!r} was analysed and would be overwritten by the maps of the run: save elsewhere."
            )

    def _save_candidates(self, target: Path, progress: Callable[[int, int], None] | None) -> list[Path]:
        """The folders of candidates, made beside those of an earlier run, which they replace; all their files."""
        numbers = range(1, len(self.findings) + 1)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            output_folder(temporary)
            (temporary / _MARK).touch()
            for done, number in enumerate(numbers, 1):
                self._save_candidate(temporary / str(number), number)
                if progress is not None:
                    progress(done, len(numbers))
            shutil.rmtree(target, ignore_errors=True)
            temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        files = (path for path in target.rglob("*") if path.is_file() and path.name != _MARK)
        return sorted(files, key=lambda path: (path.name != "sheet.png", path))

    def _save_candidate(self, folder: Path, number: int) -> None:
        finding = self.findings[number - 1]
        candidate = finding.candidate
        output_folder(folder)
        np.save(folder / "mean_map.npy", candidate.mean_map)
        np.save(folder / "template.npy", candidate.template)
        members = {"place": candidate.indices, "name": [self.names[i] for i in candidate.indices]}
        pd.DataFrame(members).to_csv(folder / "members.csv", index=False)
        self._figures.write(self._figures.draw_sheet(self, number), folder / "sheet.png")
        if finding.proof is not None:
            for file in finding.proof.save(folder / "proof"):
                if file.name == "proof.png":
                    file.replace(folder / file.name)  # beside the sheet, where people look first

    @cached_property
    def _samples(self) -> pd.DataFrame:
        """Made once, since t-SNE takes seconds."""
        known: dict[str, Any] = {"name": list(self.names)}
        if self.paths is not None:
            known["path"] = [str(path) for path in self.paths]
        if self.labels is not None:
            known["label"] = list(self.labels)
        return sample_table(self.spray, [finding.candidate for finding in self.findings], known | dict(self.scores))

    @property
    def _copies(self) -> Indices:
        """Indices of images that repeat another."""
        return np.flatnonzero(self.spray.duplicates_ != np.arange(len(self.maps)))

    @property
    def _figures(self) -> Any:
        """The module of the figures, which imports this one."""
        return import_module(self.drawing)


def counted(count: int, noun: str) -> str:
    """A number with its noun, in the plural where it is one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _named(names: Sequence[str]) -> str:
    others = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + others


def check_output(target: Path) -> None:
    """`InputError` where a folder holds candidates that are not of an earlier run."""
    folder = target / "candidates"
    if folder.exists() and not (folder / _MARK).is_file():
        raise InputError(f"{str(folder)!r} is there and not from an earlier run: choose another output folder.")
