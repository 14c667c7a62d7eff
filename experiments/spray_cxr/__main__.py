"""SpRAy on chest X-rays of two sources: do clusters of explanations follow the source, and on what?

    python experiments/spray_cxr.py --root DIR [--models tiny-clip tiny-supervised ...] [--per-folder 60] [--out DIR]
    python experiments/spray_cxr.py --smoke [--out DIR]

The folders of --root are classes of images; what precedes the first underscore of a folder's name is its source, as in
``github_covid19``, ``nih_pneumonia`` and ``nih_no_findings`` (Cohen et al. 2020; Wang et al. 2017). The similarity of
each image to its neighbours is explained, over all images and within each source; the run's folder has a sheet for each
candidate. Each row of ``spray_cxr.csv`` is a flagged candidate: how many images it has, from where, where in the image
their common relevance lies, and what an intervention says. --smoke takes generated X-rays instead and makes everything
small: it tests the script, its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from spray_tables import write_tables

from chinspect.encoders import load_encoder
from chinspect.errors import InputError
from chinspect.explain import explain_images
from chinspect.files import output_folder
from chinspect.images import list_images
from chinspect.proof import prove_candidates
from chinspect.spray import SpRAy, SprayRun
from chinspect.spray.run_words import place_of
from chinspect.world import xray


def main() -> None:
    """Runs everything and writes the table, and a run folder for each model."""
    options = read_options()
    out = output_folder(options.out)
    table = listed(generated(out) if options.smoke else options.root, out, options.per_folder)
    rows = []
    for model in options.models:
        run = analysed(model, table, out / model.replace("/", "-").replace(":", "-"), options)
        print(f"{model}: {run.sentence}")
        rows += described(model, run)
        write_tables(pd.DataFrame(rows), out, "spray_cxr")
    print(pd.DataFrame(rows).to_string(index=False))
    print(f"{time.process_time():.0f} s of one core")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--out", type=Path, default=Path("spray-cxr"))
    parser.add_argument("--models", nargs="+", default=["tiny-clip", "tiny-supervised"])
    parser.add_argument("--explain", default="neighbours")
    parser.add_argument("--per-folder", type=int, default=60)
    parser.add_argument("--surrogates", type=int, default=49)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.models, options.surrogates = ["tiny-clip"], 9
    elif options.root is None:
        parser.error("give --root DIR, or --smoke")
    return options


def generated(out: Path) -> Path:
    """X-ray-like scenes of two hospitals."""
    for i, scene in enumerate(xray(60, seed=0)):
        folder = output_folder(out / "generated" / f"{scene.source}_{scene.class_name.replace(' ', '-')}")
        Image.fromarray(scene.image).save(folder / f"{i:04d}.png")
    return out / "generated"


def listed(root: Path, out: Path, per_folder: int) -> Path:
    """A table of images and their sources, some of each folder."""
    rng, rows = np.random.default_rng(0), []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        images = list_images(folder)
        chosen = sorted(rng.permutation(len(images))[:per_folder])
        source = folder.name.split("_")[0]
        rows += [{"path": str(images[i].resolve()), "label": source, "folder": folder.name} for i in chosen]
    if not rows:
        raise InputError(f"{str(root)!r} has no folders of images.")
    path = out / "images.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def analysed(model: str, table: Path, place: Path, options: argparse.Namespace) -> SprayRun:
    """The run with sources as labels, its flagged candidates tested on the encoder, saved."""
    encoder = load_encoder(model)
    found = explain_images(encoder, table, explain=options.explain, path=place / "explanations" / options.explain)
    sources = pd.read_csv(table).set_index("path").label
    labels = [sources[name] for name in found.names]
    spray = SpRAy(n_surrogates=options.surrogates).fit(found.maps, labels, images=found.paths)
    run = SprayRun(spray, found.maps, found.names, found.paths, labels, found.picture, found.description)
    tested = prove_candidates(encoder, run)
    tested.save(place)
    return tested


def described(model: str, run: SprayRun) -> list[dict[str, Any]]:
    """One row a flagged candidate, or one that says there is none."""
    common: dict[str, Any] = {"model": model, "images": len(run.maps), "candidates": len(run.findings)}
    labels, rows = np.array(run.labels), []
    for number, finding in enumerate(run.findings, 1):
        candidate = finding.candidate
        if candidate.flagged:
            names, counts = np.unique(labels[candidate.indices], return_counts=True)
            source = names[counts.argmax()]
            row = {"candidate": number, "size": candidate.size, "within": candidate.group or "all", "source": source}
            row |= {"purity": counts.max() / counts.sum(), "base_rate": float((labels == source).mean())}
            row |= {"shared": candidate.shared, "place": place_of(candidate), "verdict": candidate.verdict}
            rows.append(common | row | {"q": candidate.q_value})
    return rows or [common | {"candidate": 0, "verdict": run.verdict}]


if __name__ == "__main__":
    main()
