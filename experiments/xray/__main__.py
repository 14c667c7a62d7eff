"""The X-ray study of Kauffmann et al. 2025: a readout of COVID-19 that fails on one of its two sources, and why.

    python experiments/xray.py --nih DIR --github DIR [--metadata CSV] [--encoders pubmedclip-rn50-gap ...] [--out DIR]
    python experiments/xray.py --root DIR [--encoders tiny-clip ...] [--per-source 300]
    python experiments/xray.py --smoke [--out DIR]

The folder of the run holds as CSV, LaTeX and PNG:

    sources       accuracies, FPR and FNR of a linear readout by source, beside the paper's values
    tasks         what else a readout can tell: the source without COVID-19, pneumonia within one source
    relevance     how much of the similarity of annotated images lies on annotations, with controls
    edits         what happens to decisions when annotations are painted out or added, with placebos
    pairs         the most suspicious pairs of GitHub images, with figures in a folder of the encoder
    strategies    clusters of explanations, and whether their members carry annotations
    annotations   how many images of each source carry text, and images with what was taken for it

--root takes folders SOURCE_class such as github_covid19 and nih_pneumonia. Where all images of GitHub are positive it
has no FPR, and the tables show none. Annotations are searched (see xray_text.py) unless --masks names a folder with a
PNG file for each image. --smoke generates X-rays whose cause of failure is known: it tests the script.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from spray_tables import INTERVALS, write_tables
from xray_data import divided, embedded, generated, loaded
from xray_edits import averaged_edits, edited_files, judged
from xray_figures import draw_annotations, draw_edits, draw_relevance, draw_sources
from xray_pairs import pairs, strategies
from xray_relevance import relevance_on_text
from xray_scores import averaged, by_source, by_task
from xray_text import Mask, frequency, text_masks

from chinspect import __version__
from chinspect.datasets import XrayImages
from chinspect.encoders import load_encoder
from chinspect.files import output_folder

TABLES = ("sources", "tasks", "relevance", "edits", "pairs", "strategies")
Tables = dict[str, list[pd.DataFrame]]


def main() -> None:
    """Runs everything and writes tables and figures after each encoder."""
    options = read_options()
    out, start = output_folder(options.out), time.process_time()
    if options.smoke:
        generated(out / "generated", 60)
    images = loaded(options)
    print(f"{len(images)} images. {' '.join(images.notes)}", flush=True)
    masks = dict(zip(images.paths, text_masks(images.paths, options.masks), strict=True))
    draw_annotations(out / "annotations.png", images, masks)
    write_short(frequency(images, masks), out, "annotations")
    files = edited_files(tested(images, options.seeds), masks, out / "edited")
    found: Tables = {name: [] for name in TABLES}
    for name in options.encoders:
        study(name, images, masks, files, options, found)
        write(out, {key: pd.concat(tables) for key, tables in found.items() if tables})
        print(f"{name}: {time.process_time() - start:.0f} s of one core so far", flush=True)
    run = {key: str(value) for key, value in vars(options).items()} | {"version": __version__, "images": len(images)}
    run |= {"notes": images.notes, "seconds": round(time.process_time() - start)}
    (out / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")


def read_options() -> argparse.Namespace:
    """The command line. Folders are absolute, as images are named by their paths in tables that lie elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nih", type=_folder, metavar="DIR", help="NIH ChestX-ray8")
    parser.add_argument("--github", type=_folder, metavar="DIR", help="COVID-19 image data collection")
    parser.add_argument("--metadata", type=Path, metavar="CSV", help="its table, if not metadata.csv there")
    parser.add_argument("--root", type=_folder, metavar="DIR", help="instead of both, folders SOURCE_class")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="NAME.png for each image: white where text is")
    parser.add_argument("--encoders", nargs="+", default=["tiny-clip", "tiny-supervised"])
    parser.add_argument("--per-source", type=int, default=2597, help="most images of a source; the paper's of NIH")
    parser.add_argument("--explained", type=int, default=40, help="most images of a group that are explained")
    parser.add_argument("--surrogates", type=int, default=99, help="null maps that clusters are compared with")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=_folder, default="results/xray")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.nih, options.github = (options.out / "generated" / name for name in ("nih", "github"))
        options.masks, options.root = options.out / "generated" / "masks", None
        options.encoders, options.seeds, options.explained, options.surrogates = ["tiny-clip"], 2, 10, 9
    elif options.root is None and (options.nih is None or options.github is None):
        parser.error("give --nih DIR and --github DIR, or --root DIR, or --smoke")
    return options


def _folder(path: str) -> Path:
    return Path(path).resolve()


def study(
    name: str,
    images: XrayImages,
    masks: Mapping[Path, Mask],
    files: dict[str, dict[Path, Path]],
    options: argparse.Namespace,
    found: Tables,
) -> None:
    """All tables of one encoder."""
    encoder, cache = load_encoder(name), options.out / "cache"
    place = options.out / name.replace("/", "-").replace(":", "-")
    vectors = embedded(encoder, images.paths, cache)
    explained = options.explained
    tables = {
        "sources": by_source(vectors, images, options.seeds),
        "tasks": by_task(vectors, images, options.seeds),
        "relevance": relevance_on_text(encoder, vectors, images, masks, explained),
        "edits": judged(encoder, vectors, images, files, options.seeds, cache),
        "pairs": pairs(encoder, images, masks, place / "pairs", explained),
        "strategies": strategies(name, images, masks, place / "strategies", explained, options.surrogates),
    }
    for key, table in tables.items():
        table.insert(0, "encoder", name)
        found[key].append(table)


def tested(images: XrayImages, seeds: int) -> XrayImages:
    """The images that are in the test set of any seed."""
    paths = {path for seed in range(seeds) for path in divided(images, seed)[1].paths}
    return images.take([path in paths for path in images.paths])


def write(out: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Rows of every seed as ``NAME_rows.csv``, means over seeds as tables, and the figures."""
    for name in ("sources", "tasks", "edits"):
        tables[name].to_csv(out / f"{name}_rows.csv", index=False)
    tables["sources"] = averaged(tables["sources"])
    tables["edits"] = averaged_edits(tables["edits"])
    tables["tasks"] = tables["tasks"].drop(columns="seed").groupby(["encoder", "task"], sort=False).mean().reset_index()
    for name, table in tables.items():
        write_short(table, out, name)
    draw_sources(out / "sources.png", tables["sources"])
    draw_relevance(out / "relevance.png", tables["relevance"])
    draw_edits(out / "edits.png", tables["edits"])


def write_short(table: pd.DataFrame, out: Path, name: str) -> None:
    """A table as CSV, and without its intervals as LaTeX and, the first rows, on the screen."""
    write_tables(table, out, name)
    short = table[[column for column in table.columns if not column.endswith(INTERVALS)]]
    print(f"\n{name}\n{short.head(12).round(2).to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
