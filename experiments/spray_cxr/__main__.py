"""SpRAy on chest X-rays of two sources: do clusters of explanations follow the source, and on what?

    python experiments/spray_cxr --root DIR [--models tiny-clip tiny-supervised ...] [--per-folder 60] [--out DIR]
    python experiments/spray_cxr --smoke [--out DIR]

The folders of --root are classes of images; what precedes the first underscore of a folder's name is its source, as in
``github_covid19``, ``nih_pneumonia`` and ``nih_no_findings`` (Cohen et al. 2020; Wang et al. 2017). The similarity of
each image to its neighbours is explained, over all images and within each source; the run's folder has a sheet for each
candidate. Each row of ``spray_cxr.csv`` is a flagged candidate: how many images it has, from where, where in the image
their common relevance lies, and what an intervention says. --smoke takes generated X-rays instead and makes everything
small: it tests the script, its numbers mean nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd

from chinspect.encoders import load_encoder
from chinspect.errors import InputError
from chinspect.images import list_images
from chinspect.spray import SprayRun
from chinspect.world import xray
from experiments.spray_cxr.analysis import analysed, flagged, write_scene
from experiments.study import Run, option, read_options, refuse, write_table

OPTIONS = (
    option("root", type=Path),
    option("models", ["tiny-clip", "tiny-supervised"]),
    option("explain", "neighbours"),
    option("per-folder", 60),
    option("surrogates", 49),
)


def main() -> None:
    """Runs everything and writes the table, and a run folder for each model."""
    smoke = {"models": ["tiny-clip"], "surrogates": 9}
    options = read_options(__doc__, OPTIONS, out="spray-cxr", smoke=smoke, generated=["root"])
    if options.root is None and not options.smoke:
        refuse("give --root DIR, or --smoke")
    with Run(options) as run:
        images = listed(generated(run.out) if options.smoke else options.root, run.out, options.per_folder)
        tables = []
        for name in options.models:
            folder = run.out / name.replace("/", "-").replace(":", "-")
            encoder = load_encoder(name)
            analysis = analysed(encoder, images, folder, explain=options.explain, surrogates=options.surrogates)
            print(f"{name}: {analysis.sentence}")
            print(f"{name}: {largest(analysis)}")
            rows = pd.DataFrame(flagged(analysis, lambda candidate: {"shared": candidate.shared}))
            rows.insert(0, "model", name)
            tables.append(rows)
            table = pd.concat(tables)
            write_table(table, run.out, "spray_cxr")
        print(table.to_string(index=False))


def largest(analysis: SprayRun) -> str:
    """What the largest set has in common that agrees in anything, flagged or not: why nothing more was found."""
    if not analysis.findings:
        return "no set of images agrees in anything"
    c = max((finding.candidate for finding in analysis.findings), key=lambda candidate: candidate.size)
    source = "" if c.label is None else f", {c.purity:.0%} of {c.label} (of all {c.base_rate:.0%})"
    return (
        f"the largest set that agrees in anything has {c.size} images{source}: {c.shared:.1%} of their relevance "
        f"{c.position}, p = {c.p_value:.2g}"
    )


def generated(out: Path) -> Path:
    """X-ray-like scenes of two hospitals."""
    for i, scene in enumerate(xray(60, seed=0)):
        write_scene(scene, out / "generated" / f"{scene.source}_{scene.class_name.replace(' ', '-')}", i)
    return out / "generated"


def listed(root: Path, out: Path, per_folder: int) -> Path:
    """A table of images and their sources, some of each folder."""
    rng = np.random.default_rng(0)
    rows = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        images = list_images(folder)
        selected = sorted(rng.permutation(len(images))[:per_folder])
        source = folder.name.split("_")[0]
        rows += [{"path": str(images[i].resolve()), "label": source, "folder": folder.name} for i in selected]
    if not rows:
        raise InputError(f"{str(root)!r} has no folders of images.")
    path = out / "images.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


if __name__ == "__main__":
    main()
