"""The X-ray study of Kauffmann et al. 2025: a readout of COVID-19 that fails on one of its two sources, and why.

    python experiments/xray --nih DIR --github DIR [--metadata CSV] [--encoders pubmedclip-rn50-gap ...] [--out DIR]
    python experiments/xray --root DIR [--encoders tiny-clip ...] [--per-source 300]
    python experiments/xray --smoke [--out DIR]

The folder of the run holds as CSV, LaTeX and PNG:

    sources       accuracies, FPR and FNR of a linear readout by source, beside the paper's values
    tasks         what else a readout can tell: the source without COVID-19, pneumonia within one source
    relevance     how much of the similarity of annotated images lies on annotations, with controls
    edits         what happens to decisions when annotations are painted out or added, with placebos
    pairs         the most suspicious pairs of GitHub images, with figures in a folder of the encoder
    strategies    clusters of explanations, and whether their members carry annotations
    annotations   how many images of each source carry text, and images with what was taken for it

--root takes folders SOURCE_class such as github_covid19 and nih_pneumonia. Where all images of GitHub are positive it
has no FPR, and the tables show none. Annotations are searched (see `experiments.xray.text`) unless --masks names a
folder with a PNG file for each image. --smoke generates X-rays whose cause of failure is known: it tests the script.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import pandas as pd

from chinspect.datasets import XrayImages
from chinspect.encoders import load_encoder
from experiments.study import Run, option, read_options, refuse, save_figure
from experiments.xray.data import divided, embedded, generated, loaded
from experiments.xray.edits import averaged_edits, edited_files, judged
from experiments.xray.figures import draw_annotations, draw_edits, draw_relevance, draw_sources
from experiments.xray.pairs import ranked_pairs, strategies
from experiments.xray.relevance import relevance_on_text
from experiments.xray.scores import averaged, by_source, by_task
from experiments.xray.text import Mask, frequency, text_masks


def folder(path: str) -> Path:
    """An absolute path, as images are named by their paths in tables that lie elsewhere."""
    return Path(path).resolve()


OPTIONS = (
    option("nih", None, "NIH ChestX-ray8", type=folder, metavar="DIR"),
    option("github", None, "COVID-19 image data collection", type=folder, metavar="DIR"),
    option("metadata", None, "its table, if not metadata.csv there", type=Path, metavar="CSV"),
    option("root", None, "instead of both, folders SOURCE_class", type=folder, metavar="DIR"),
    option("masks", None, "NAME.png for each image: white where text is", type=Path, metavar="DIR"),
    option("encoders", ["tiny-clip", "tiny-supervised"]),
    option("per-source", 2597, "most images of a source; the paper's of NIH"),
    option("explained", 40, "most images of a group that are explained"),
    option("surrogates", 99, "null maps that clusters are compared with"),
)
SMOKE = {"encoders": ["tiny-clip"], "seeds": 2, "explained": 10, "surrogates": 9}


def main() -> None:
    """Runs everything and writes tables and figures after each encoder."""
    options = completed()
    with Run(options) as run:
        if options.smoke:
            generated(run.out / "generated", 60)
        images = loaded(options)
        print(f"{len(images)} images. {' '.join(images.notes)}", flush=True)
        run.facts |= {"images": len(images), "notes": images.notes}
        masks = dict(zip(images.paths, text_masks(images.paths, options.masks), strict=True))
        save_figure(draw_annotations(images, masks), run.out / "annotations.png")
        run.write(frequency(images, masks), "annotations")
        files = edited_files(tested(images, options.seeds), masks, run.out / "edited")
        tables: dict[str, list[pd.DataFrame]] = {}
        for name in options.encoders:
            for key, table in measured(name, images, masks, files, options).items():
                table.insert(0, "encoder", name)
                tables.setdefault(key, []).append(table)
            write(run, {key: pd.concat(rows) for key, rows in tables.items()})
            print(f"{name}: {run.seconds:.0f} s so far", flush=True)


def completed() -> argparse.Namespace:
    """The options; --smoke names the folders of the generated X-rays."""
    generated_ones = ("nih", "github", "metadata", "root", "masks", "per-source")
    apart = [("root", name) for name in ("nih", "github", "metadata")]
    options = read_options(
        __doc__, OPTIONS, out="results/xray", seeds=3, smoke=SMOKE, generated=generated_ones, apart=apart
    )
    options.out = options.out.resolve()
    if options.smoke:
        options.nih, options.github, options.masks = (
            options.out / "generated" / name for name in ("nih", "github", "masks")
        )
    elif options.root is None and (options.nih is None or options.github is None):
        refuse("give --nih DIR and --github DIR, or --root DIR, or --smoke")
    return options


def measured(
    name: str,
    images: XrayImages,
    masks: Mapping[Path, Mask],
    files: dict[str, dict[Path, Path]],
    options: argparse.Namespace,
) -> dict[str, pd.DataFrame]:
    """All tables of one encoder."""
    encoder = load_encoder(name)
    out = options.out / name.replace("/", "-").replace(":", "-")
    cache = options.out / "cache"
    vectors = embedded(encoder, images.paths, cache)
    most = options.explained
    return {
        "sources": by_source(vectors, images, options.seeds),
        "tasks": by_task(vectors, images, options.seeds),
        "relevance": relevance_on_text(encoder, vectors, images, masks, most),
        "edits": judged(encoder, vectors, images, files, options.seeds, cache),
        "pairs": ranked_pairs(encoder, images, masks, out / "pairs", most),
        "strategies": strategies(encoder, images, masks, out / "strategies", most, options.surrogates),
    }


def tested(images: XrayImages, seeds: int) -> XrayImages:
    """The images that are in the test set of any seed."""
    paths = {path for seed in range(seeds) for path in divided(images, seed)[1].paths}
    return images.take([path in paths for path in images.paths])


def write(run: Run, tables: dict[str, pd.DataFrame]) -> None:
    """Rows of every seed as ``NAME_rows.csv``, means over seeds as tables, and the figures."""
    for name in ("sources", "tasks", "edits"):
        tables[name].to_csv(run.out / f"{name}_rows.csv", index=False)
    tables["sources"] = averaged(tables["sources"])
    tables["edits"] = averaged_edits(tables["edits"])
    tables["tasks"] = tables["tasks"].drop(columns="seed").groupby(["encoder", "task"], sort=False).mean().reset_index()
    for name, table in tables.items():
        run.write(table, name, rows=12)
    for name, draw in (("sources", draw_sources), ("relevance", draw_relevance), ("edits", draw_edits)):
        save_figure(draw(tables[name]), run.out / f"{name}.png")


if __name__ == "__main__":
    main()
