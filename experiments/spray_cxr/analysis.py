"""An analysis by SpRAy, from images to a tested and saved run, and the rows of its candidates; for all studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chinspect.files import output_folder
from chinspect.proof import prove_candidates
from chinspect.spray import SprayRun, analyse
from chinspect.subjects import Subject
from chinspect.world import Scene


def analysed(model: Subject, images: Path, out: Path, *, explain: Any = "neighbours", surrogates: int = 49) -> SprayRun:
    """Explains images, clusters the explanations, tests flagged candidates on the model, and saves the run in ``out``.

    Args:
        images: a folder, or a table with a column ``path``; the run has the labels of its column ``label``.
        explain: the question, see `explain_images`.
        surrogates: null maps that clusters are compared with.
    """
    labels = images if images.is_file() else None
    run = analyse(model, images, explain=explain, labels=labels, n_surrogates=surrogates, path=out)
    tested = prove_candidates(model, run)
    tested.save(out)
    return tested


def flagged(run: SprayRun, describe: Callable[[Any], dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a flagged candidate, with what ``describe`` says of it, or one row that says there is none.

    ``source`` is the most frequent label of its members, ``purity`` the fraction of them that have it, and
    ``base_rate`` the fraction of all images.
    """
    common: dict[str, Any] = {"images": len(run.maps), "candidates": len(run.findings)}
    labels = np.array(run.labels)
    rows = []
    for number, finding in enumerate(run.findings, 1):
        candidate = finding.candidate
        if not candidate.flagged:
            continue
        names, counts = np.unique(labels[candidate.indices], return_counts=True)
        source = names[counts.argmax()]
        row = common | {"candidate": number, "size": candidate.size, "within": candidate.group or "all"}
        row |= {"source": source, "purity": counts.max() / counts.sum(), "base_rate": (labels == source).mean()}
        row |= describe(candidate)
        rows.append(row | {"place": candidate.position, "verdict": candidate.verdict, "q": candidate.q_value})
    return rows or [common | {"candidate": 0, "verdict": run.verdict}]


def write_scene(scene: Scene, folder: Path, number: int) -> None:
    """A generated image as a numbered file of a folder, which is made."""
    Image.fromarray(scene.image).save(output_folder(folder) / f"{number:04d}.png")
