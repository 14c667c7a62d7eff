"""SpRAy on generated scenes with planted artefacts: which are found, by which explanation, and which are confirmed?

    python experiments/spray_world [--smoke] [--out DIR] [--model tiny-clip] [--images 100]

Artefacts (a text logo, a border, a burnt-in annotation) are laid over the first scenes of a list of scenes, at several
prevalences; the others stay clean, and so do all in the rows ``none``, where whatever is flagged is a false alarm. The
explanations are those of an encoder (similarity to neighbours; the embedding's norm) and of a detector, D2Neighbors,
that was fitted on other clean scenes.

Each row of ``spray_world.csv``: how many images carry the artefact; which fraction of the relevance lies where it is,
in these images and in the others (where there is no difference there is nothing to find); how many candidates are
flagged; precision and recall of the flagged one that fits the carriers best, with its verdict after adding and removing
what it shows; and how many flagged ones are false alarms, with a minority of carriers among their members. --smoke
makes everything small: it tests the script, its numbers mean nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd

from chinspect.anomaly import D2Neighbors, Detector
from chinspect.artefacts import ARTEFACTS
from chinspect.encoders import load_encoder
from chinspect.explain import area_sum
from chinspect.spray import SprayRun
from chinspect.world import scenes
from experiments.spray_cxr.analysis import analysed, write_scene
from experiments.study import Run, option, read_options, write_table

PLANTED = {name: ARTEFACTS[name]() for name in ("logo", "border", "annotation")}
PREVALENCES = (0.1, 0.25)
NORMAL = 100
"""Clean scenes that the detector is fitted on."""
SIZE = 64
"""Side of the images in pixels, as the detector sees them ..."""
SCENE = 128
"""... and as they are drawn."""
OPTIONS = (option("model", "tiny-clip"), option("images", 100), option("surrogates", 49))


def main() -> None:
    """Runs everything and writes the table, and a run folder for each row."""
    options = read_options(__doc__, OPTIONS, out="spray-world", smoke={"images": 60, "surrogates": 9})
    with Run(options) as run:
        encoder = load_encoder(options.model)
        detector = fitted(run.out / "normal", options.smoke)
        rows = []
        for artefact, prevalence in conditions(options.smoke):
            carriers = round(prevalence * options.images)
            folder = planted(run.out, artefact, options.images, carriers)
            for explain, model in (("neighbours", encoder), ("output", encoder), ("anomaly", detector)):
                out = run.out / folder.name / explain
                analysis = analysed(model, folder / "images", out, explain=explain, surrogates=options.surrogates)
                row = {"artefact": artefact, "prevalence": prevalence, "carriers": carriers, "explanation": explain}
                rows.append(row | on_artefact(analysis.maps, artefact, carriers) | judged(analysis, carriers))
                table = pd.DataFrame(rows)
                write_table(table, run.out, "spray_world")
        print(table.to_string(index=False))


def conditions(smoke: bool) -> Iterator[tuple[str, float]]:
    """Which artefact, and what fraction of the images carries it."""
    yield "none", 0.0
    for artefact in ["logo"] if smoke else PLANTED:
        for prevalence in PREVALENCES[-1:] if smoke else PREVALENCES:
            yield artefact, prevalence


def planted(out: Path, artefact: str, count: int, carriers: int) -> Path:
    """A folder of scenes, the first of which carry the artefact."""
    folder = out / f"{artefact}-{carriers}"
    for i, scene in enumerate(scenes(count, seed=0, size=SCENE)):
        if i < carriers:
            scene = replace(scene, image=PLANTED[artefact].add(scene.image))
        write_scene(scene, folder / "images", i)
    return folder


def fitted(folder: Path, smoke: bool) -> Detector:
    """A detector that knows clean scenes only."""
    for i, scene in enumerate(scenes(40 if smoke else NORMAL, seed=1)):
        write_scene(scene, folder, i)
    return D2Neighbors(size=SIZE, resizer="pillow-bilinear").fit(folder)


def on_artefact(maps: np.ndarray, artefact: str, carriers: int) -> dict[str, float]:
    """Which fraction of the relevance lies where the artefact is, in images that carry it and in the others."""
    if not carriers:
        return {"on_artefact": np.nan, "on_others": np.nan}
    cover = area_sum(PLANTED[artefact].mask((SCENE, SCENE)), maps.shape[1:]) * maps[0].size / SCENE**2
    fractions = (np.abs(maps) * cover).sum((1, 2)) / np.abs(maps).sum((1, 2))
    return {"on_artefact": float(fractions[:carriers].mean()), "on_others": float(fractions[carriers:].mean())}


def judged(run: SprayRun, carriers: int) -> dict[str, Any]:
    """Against the truth: the first images carry the artefact."""
    flagged = [finding.candidate for finding in run.findings if finding.candidate.flagged]
    hits = np.array([(candidate.indices < carriers).sum() for candidate in flagged], dtype=float)
    sizes = np.array([candidate.size for candidate in flagged], dtype=float)
    # a false alarm: most of its members carry nothing
    false = [candidate.verdict for candidate, hit in zip(flagged, hits, strict=True) if 2 * hit < candidate.size]
    row: dict[str, Any] = {"flagged": len(flagged), "precision": np.nan, "recall": np.nan, "verdict": "not found"}
    if hits.any():
        best = int(np.argmax(2 * hits / (sizes + carriers)))  # by F1
        row |= {"precision": hits[best] / sizes[best], "recall": hits[best] / carriers}
        row["verdict"] = flagged[best].verdict
    row |= {"false": len(false), "false_confirmed": false.count("confirmed")}
    return row | {"detectable_from": run.spray.min_detectable_size_ or -1}


if __name__ == "__main__":
    main()
