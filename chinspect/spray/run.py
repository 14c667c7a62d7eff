"""A run of SpRAy as a folder that people and other programs can read.

    run.json             what was done and found: parameters, model, versions, verdict, all candidates
    samples.parquet      one row an image: path, label, its cluster in every clustering, the candidates that it is in,
                         the embedding's axes, a place in the plane, how usual its strategy is
    candidates.csv       one row a candidate, most significant first; also as .parquet
    maps.npy             (N, h, w), the maps in the order of the samples
    spectrum.png         the eigenvalues and their gap
    embedding.png        all images in the plane, candidates coloured
    candidates/1/        of the most significant candidate: sheet.png, members.csv, mean_map.npy, template.npy, and the
                         proof where it was tested on the model
    explanations/        the store that an interrupted run goes on from

Every file is written under a temporary name and moved into place, and ``run.json`` last: where it is, all is.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.errors import InputError
from chinspect.files import output_folder, replacing
from chinspect.spray.analysis import SpRAy
from chinspect.spray.candidates import COLUMNS, Candidate
from chinspect.spray.run_samples import sample_table
from chinspect.spray.run_words import finding_sentence, merged_sentence, run_sentence

SHEETS = 12
"""Candidates that get a folder: those that are flagged, and the next ones up to this number."""
_MARK = ".chinspect"
_FILES = (
    "run.json",
    "embedding.png",
    "spectrum.png",
    "candidates.csv",
    "candidates.parquet",
    "samples.parquet",
    "maps.npy",
)
"""Beside the candidates' folders."""
_LIBRARIES = ("chinspect", "torch", "numpy", "scipy", "scikit-learn", "pillow")


class Evidence(Protocol):
    """What an intervention found, see `chinspect.stress.Proof`."""

    @property
    def sentence(self) -> str:
        """In words."""
        ...

    def save(self, folder: str | Path) -> list[Path]:
        """Writes it down."""
        ...

    def plot(self, path: str | Path) -> Path:
        """Draws it."""
        ...


@dataclass(frozen=True, eq=False)
class Finding:
    """A candidate, and what is known about it beyond its statistics.

    Attributes:
        candidate: with its verdict.
        proof: of the intervention, if there was one.
        note: why there was none, or what it could not test.
    """

    candidate: Candidate
    proof: Evidence | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class SprayRun:
    """An analysis of maps, and the images behind them.

    Attributes:
        spray: fitted on ``maps``.
        maps: (N, h, w).
        names: (N,) of the images, or of the maps where there are none.
        paths: (N,), where the images lie; None where there are none.
        labels: (N,) or None.
        picture: from a place to the picture in whose frame the map lies; None where there are no images.
        made: how the maps were made, as JSON values.
        scores: name -> (N,), further columns of the samples.
        findings: the candidates, most significant first.
    """

    spray: SpRAy
    maps: NDArray[np.float32]
    names: Sequence[str]
    paths: Sequence[Path] | None = None
    labels: Sequence[Any] | None = None
    picture: Callable[[int], Image.Image] | None = None
    made: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    findings: Sequence[Finding] = ()

    def __post_init__(self) -> None:
        if not self.findings:
            object.__setattr__(self, "findings", [Finding(candidate) for candidate in self.spray.candidates_])

    @property
    def spectra(self) -> bool:
        """Whether the maps are spectra (N, 1, B) and have no place in an image."""
        return self.maps.shape[1] == 1

    @property
    def verdict(self) -> str:
        """``confirmed`` if a candidate is; else ``not_causal`` if all that are flagged are; else that of the maps."""
        flagged = [finding.candidate.verdict for finding in self.findings if finding.candidate.flagged]
        if "confirmed" in flagged:
            return "confirmed"
        return "not_causal" if flagged and set(flagged) == {"not_causal"} else self.spray.verdict_

    @property
    def sentence(self) -> str:
        """The result in words."""
        return run_sentence(self)

    def samples(self) -> pd.DataFrame:
        """One row an image, see `chinspect.spray.run_samples`."""
        return sample_table(self)

    def candidates(self) -> pd.DataFrame:
        """One row a candidate, most significant first; ``candidate`` is its number."""
        rows = [
            {"candidate": number, **finding.candidate.record(), "finding": finding_sentence(self, finding)}
            for number, finding in enumerate(self.findings, 1)
        ]
        return pd.DataFrame(rows, columns=["candidate", *COLUMNS, "finding"])

    def document(self) -> dict[str, Any]:
        """Everything but arrays and samples, as JSON values."""
        spray = self.spray
        return {
            "kind": "spray",
            "sentence": self.sentence,
            "verdict": self.verdict,
            "images": len(self.maps),
            "flagged": len(spray.flagged_),
            "confirmed": sum(finding.candidate.verdict == "confirmed" for finding in self.findings),
            "min_detectable_size": spray.min_detectable_size_,
            "repeated": merged_sentence(self),
            "duplicates": int((spray.duplicates_ != np.arange(len(self.maps))).sum()),
            "without_relevance": spray.zero_.tolist(),
            "not_finite": spray.invalid_.tolist(),
            "connected_components": spray.n_components_,
            "eigenvalues": spray.eigenvalues_.tolist(),
            "parameters": spray.get_params(),
            "explanation": dict(self.made),
            "versions": {name: version(name) for name in _LIBRARIES},
            "candidates": [_plain(row) for row in self.candidates().to_dict("records")],
        }

    def save(self, folder: str | Path, *, progress: Callable[[int, int], None] | None = None) -> list[Path]:
        """Writes the folder, see the module; returns its files, those that a reader starts with first.

        Raises `InputError` where the folder cannot be written to or holds a folder ``candidates`` of other making.
        """
        from chinspect.spray._figure import draw_embedding, draw_spectrum  # matplotlib is slow to import

        target = output_folder(folder)
        check_output(target)
        (target / "run.json").unlink(missing_ok=True)
        samples, candidates = self.samples(), self.candidates()
        with replacing(target / "maps.npy") as path, path.open("wb") as file:
            np.save(file, self.maps)
        for name, table in (("samples", samples), ("candidates", candidates)):
            with replacing(target / f"{name}.parquet") as path:
                table.to_parquet(path, index=False)
        with replacing(target / "candidates.csv") as path:
            candidates.to_csv(path, index=False)
        draw_spectrum(self, target / "spectrum.png")
        draw_embedding(self, samples[["x", "y"]].to_numpy(dtype=float), target / "embedding.png")
        found = self._save_candidates(target / "candidates", progress)
        with replacing(target / "run.json") as path:
            path.write_text(json.dumps(self.document(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return [*(target / name for name in _FILES), *found]

    def _save_candidates(self, target: Path, progress: Callable[[int, int], None] | None) -> list[Path]:
        """The folders of candidates, made beside those of an earlier run and put into their place; all their files."""
        chosen = [n for n, finding in enumerate(self.findings) if finding.candidate.flagged or n < SHEETS]
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            output_folder(part)
            (part / _MARK).touch()
            for done, n in enumerate(chosen, 1):
                self._save_candidate(part / str(n + 1), n)
                if progress is not None:
                    progress(done, len(chosen))
            shutil.rmtree(target, ignore_errors=True)
            part.replace(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        files = (path for path in target.rglob("*") if path.is_file() and path.name != _MARK)
        return sorted(files, key=lambda path: (path.name != "sheet.png", path))

    def _save_candidate(self, folder: Path, n: int) -> None:
        from chinspect.spray._sheet import draw_sheet

        finding = self.findings[n]
        output_folder(folder)
        np.save(folder / "mean_map.npy", finding.candidate.mean_map)
        np.save(folder / "template.npy", finding.candidate.template)
        members = {"place": finding.candidate.indices, "name": [self.names[i] for i in finding.candidate.indices]}
        pd.DataFrame(members).to_csv(folder / "members.csv", index=False)
        draw_sheet(self, n, folder / "sheet.png")
        if finding.proof is not None:
            finding.proof.save(folder / "proof")
            finding.proof.plot(folder / "proof.png")


def check_output(target: Path) -> None:
    """`InputError` where a folder holds candidates that are not of an earlier run."""
    folder = target / "candidates"
    if folder.exists() and not (folder / _MARK).is_file():
        raise InputError(f"{str(folder)!r} is there and not from an earlier run: choose another output folder.")


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    return {str(k): None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
