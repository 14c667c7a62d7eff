"""Groups on photographs: a watermark that goes with one of two classes, and a real network's embeddings.

    python experiments/exmap/watermark.py --root TINY_IMAGENET [--classes A B] [--epochs 4] [--out DIR] [--smoke]

The watermark of ImageNet-W lies on 19 of 20 training images of the first class and on 1 of 20 of the second; each test
image is judged with it and without it. Every way to make groups, and the true groups, meet every head. There is a row
each in ``watermark.csv``: the accuracy of the worst group by an average head, by the head with these groups, and with
groups at random. With --epochs the entire network is trained as well, by jtt and by groupdro: then ``erm`` is the worst
group by plain training.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
from PIL import Image

from chinspect.artefacts import artefact_named
from chinspect.encoders import load_encoder
from chinspect.errors import InputError
from chinspect.files import output_folder
from chinspect.groups import AVERAGE, HEADS, METHODS, Grouping, find_groups
from chinspect.images import list_images, open_image
from chinspect.mitigate import Schedule, grouped_remedy
from experiments.study import option, read_options, refuse, write_table

OPTIONS = (
    option("root", None, "a folder with train and val, and in each a folder a class", type=Path),
    option("classes", ["n03796401", "n03977966"], "two of them; by default moving and police vans"),
    option("model", "efficientnet-lite0"),
    option("images", 500, "of each class to train on, at most"),
    option("methods", list(METHODS)),
    option("epochs", 0, "of training the entire network, too"),
    option("seed", 0),
)
SMOKE = {"images": 12, "model": "tiny-supervised"}
AGREEMENT = 0.95
"""How often the watermark goes with the class in training."""


def main() -> None:
    """Draws the images, and measures each method and head."""
    options = read_options(__doc__, OPTIONS, out="results/exmap", smoke=SMOKE)
    if options.root is None:
        refuse("give the data with --root DIR.")
    out = output_folder(options.out)
    encoder = load_encoder(options.model)
    rows = []
    with TemporaryDirectory() as folder, TemporaryDirectory() as cache:
        draw(options.root, Path(folder), options.classes, options.images, options.seed)
        truth = Path(folder) / "groups.csv"
        for method in options.methods:
            grouping = find_groups(encoder, folder, method=method, groups=truth, cache=cache, seed=options.seed)
            keep(rows, measure(grouping, options), out)
        assert grouping.truth is not None  # the groups are drawn with the images
        keep(rows, measure(replace(grouping, method="true", groups=grouping.truth), options), out)


def keep(rows: list[dict[str, Any]], more: Iterator[dict[str, Any]], out: Path) -> None:
    """Writes and prints each row when it is measured."""
    for row in more:
        rows.append(row)
        table = pd.DataFrame(rows)
        write_table(table, out, "watermark", decimals=3)
        print(table.tail(1).round(3).to_string(index=False, header=len(rows) == 1), flush=True)


def measure(grouping: Grouping, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row a head, and a row a training of the entire network."""
    schedule = Schedule(epochs=max(options.epochs, 1), seed=options.seed)
    pairs = [("head", head) for head in HEADS]
    if options.epochs:
        pairs += [("all", "jtt"), ("all", "groupdro")]
    for train, head in pairs:
        try:
            remedy = grouped_remedy(grouping, head=head, train=train, schedule=schedule, seed=options.seed)
        except InputError as error:  # jtt may find nothing that counts more
            print(f"{grouping.method}, {head}, {train}: {error}", flush=True)
            continue
        table = remedy.table.set_index("head")
        names = {"average": AVERAGE, "robust": remedy.name, "random_groups": remedy.control}
        row = {"groups": grouping.method, "head": head, "trained": train}
        row |= {column: table.loc[name, "worst"] for column, name in names.items()}
        row |= {"erm": table["worst"].get("erm"), "adjusted": table.loc[remedy.name, "adjusted"]}
        row |= {f"mean_{column}": table.loc[name, "mean"] for column, name in list(names.items())[:2]}
        row |= {column: table.loc[remedy.name, column] for column in ("margin", "margin_low", "margin_high")}
        yield row | dict(grouping.quality)


def draw(root: Path, folder: Path, classes: list[str], count: int, seed: int) -> None:
    """Images with and without the watermark, and ``groups.csv``."""
    mark = artefact_named("imagenet-w")
    generator = np.random.default_rng(seed)
    rows = [("path", "group")]
    for split, number in product(("train", "val"), range(2)):
        (folder / split / classes[number]).mkdir(parents=True)
        paths = list_images(root / split / classes[number])[: count if split == "train" else None]
        for index, path in enumerate(paths):
            pixels = np.asarray(open_image(path).resize((256, 256), Image.Resampling.BICUBIC))
            goes = (generator.random() < AGREEMENT) == (number == 0)
            for marked in (True, False) if split == "val" else (goes,):
                name = f"{split}/{classes[number]}/{index}-{'marked' if marked else 'plain'}.png"
                Image.fromarray(mark.add(pixels) if marked else pixels).save(folder / name)
                rows.append((name, "marked" if marked else "plain"))
    with (folder / "groups.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


if __name__ == "__main__":
    main()
