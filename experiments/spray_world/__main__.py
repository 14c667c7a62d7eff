"""SpRAy on generated scenes with planted artefacts: which are found, by which explanation, and which are confirmed?

    python experiments/spray_world.py [--smoke] [--out DIR] [--model tiny-clip] [--images 100]

Artefacts (a text logo, a border, a burnt-in annotation) are laid over the first scenes of a list of scenes, at several
prevalences; the others stay clean, and so do all in the rows ``none``, where whatever is flagged is a false alarm. The
explanations are those of an encoder (similarity to neighbours; the embedding's norm) and of a detector, D2Neighbors,
that was fitted on other clean scenes.

Each row of ``spray_world.csv``: how many images carry the artefact; which share of the relevance lies at its place, in
these images and in the others (where there is no difference there is nothing to find); how many candidates are flagged;
precision and recall of the flagged one that fits the carriers best, with its verdict after adding and removing what it
shows; and how many flagged ones are false alarms, with a minority of carriers among their members. --smoke makes
everything small: it tests the script, its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from spray_tables import write_tables

from chinspect.anomaly import D2Neighbors, Detector
from chinspect.artefacts import ARTEFACTS
from chinspect.encoders import Encoder, load_encoder
from chinspect.explain import area_sum, explain_images
from chinspect.files import output_folder
from chinspect.proof import prove_candidates
from chinspect.spray import SpRAy, SprayRun
from chinspect.world import scenes

PLANTED = {name: ARTEFACTS[name]() for name in ("logo", "border", "annotation")}
PREVALENCES = (0.1, 0.25)
NORMAL, SIZE, SCENE = 100, 64, 128


def main() -> None:
    """Runs everything and writes the table, and a run folder for each row."""
    options = read_options()
    out = output_folder(options.out)
    encoder, detector = load_encoder(options.model), fitted(out, options.smoke)
    rows = []
    for artefact, prevalence in conditions(options.smoke):
        carriers = round(prevalence * options.images)
        folder = planted(out, artefact, options.images, carriers)
        for explain, model in (("neighbours", encoder), ("output", encoder), ("anomaly", detector)):
            place = out / folder.name / explain
            run = analysed(model, folder, explain, place, options.surrogates)
            row = {"artefact": artefact, "prevalence": prevalence, "carriers": carriers, "explanation": explain}
            rows.append(row | on_artefact(run.maps, artefact, carriers) | judged(run, carriers))
            write_tables(pd.DataFrame(rows), out, "spray_world")
    print(pd.DataFrame(rows).to_string(index=False))
    print(f"{time.process_time():.0f} s of one core")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("spray-world"))
    parser.add_argument("--model", default="tiny-clip")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--surrogates", type=int, default=49)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.images, options.surrogates = 60, 9
    return options


def conditions(smoke: bool) -> Iterator[tuple[str, float]]:
    """Which artefact, and what share of the images carries it."""
    yield "none", 0.0
    for artefact in ["logo"] if smoke else PLANTED:
        for prevalence in PREVALENCES[-1:] if smoke else PREVALENCES:
            yield artefact, prevalence


def planted(out: Path, artefact: str, count: int, carriers: int) -> Path:
    """A folder of scenes, the first of which carry the artefact."""
    folder = output_folder(out / f"{artefact}-{carriers}")
    images = output_folder(folder / "images")
    for i, scene in enumerate(scenes(count, seed=0, size=SCENE)):
        pixels = PLANTED[artefact].add(scene.image) if i < carriers else scene.image
        Image.fromarray(pixels).save(images / f"{i:04d}.png")
    return folder


def fitted(out: Path, smoke: bool) -> Detector:
    """A detector that knows clean scenes only."""
    folder = output_folder(out / "normal")
    for i, scene in enumerate(scenes(40 if smoke else NORMAL, seed=1)):
        Image.fromarray(scene.image).save(folder / f"{i:04d}.png")
    return D2Neighbors(size=SIZE, resizer="pillow-bilinear").fit(folder)


def analysed(model: Encoder | Detector, folder: Path, explain: Any, place: Path, surrogates: int) -> SprayRun:
    """The run, its flagged candidates tested on the model, saved."""
    found = explain_images(model, folder / "images", explain=explain, path=place / "explanations")
    spray = SpRAy(n_surrogates=surrogates).fit(found.maps, images=found.paths)
    run = SprayRun(spray, found.maps, found.names, found.paths, picture=found.picture, made=found.description)
    tested = prove_candidates(model, run)
    tested.save(place)
    return tested


def on_artefact(maps: np.ndarray, artefact: str, carriers: int) -> dict[str, float]:
    """Which share of the relevance lies on the artefact's place, in images that carry it and in the others."""
    if not carriers:
        return {"on_artefact": np.nan, "on_others": np.nan}
    cover = area_sum(PLANTED[artefact].mask((SCENE, SCENE)), maps.shape[1:]) * maps[0].size / SCENE**2
    shares = (np.abs(maps) * cover).sum((1, 2)) / np.abs(maps).sum((1, 2))
    return {"on_artefact": float(shares[:carriers].mean()), "on_others": float(shares[carriers:].mean())}


def judged(run: SprayRun, carriers: int) -> dict[str, Any]:
    """Against the truth: the first images carry the artefact."""
    flagged = [finding.candidate for finding in run.findings if finding.candidate.flagged]
    hits = np.array([(candidate.indices < carriers).sum() for candidate in flagged], dtype=float)
    sizes = np.array([candidate.size for candidate in flagged], dtype=float)
    false = [c.verdict for c, hit in zip(flagged, hits, strict=True) if 2 * hit < c.size]
    row: dict[str, Any] = {"flagged": len(flagged), "precision": np.nan, "recall": np.nan, "verdict": "not found"}
    if hits.any():
        best = int(np.argmax(2 * hits / (sizes + carriers)))
        row |= {"precision": hits[best] / sizes[best], "recall": hits[best] / carriers}
        row["verdict"] = flagged[best].verdict
    row |= {"false": len(false), "false_confirmed": false.count("confirmed")}
    return row | {"detectable_from": run.spray.min_detectable_size_ or -1}


if __name__ == "__main__":
    main()
