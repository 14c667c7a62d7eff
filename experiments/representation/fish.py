"""Fish and humans: accuracies of several encoders on all images, on those with a human and on those without.

Classes differ in how often they are held up by an angler, so each weighs the same: with n_k images of class k and their
share of right answers p_k, over the K classes of a subset,

    accuracy = 1/K sum_k p_k ,        n = K^2 / sum_k 1/n_k ,

where n is how many equally weighted images would tell as much (Kish 1965); the interval is Wilson's for that n.

Some classes are never held up, and a mean over fewer classes differs by that alone. So what a subset S loses against
all images O is a mean over the classes C that both have; beside it stand how many these are, and how many images of S
the smallest of them has:

    drop = 1/|C| sum_{k in C} (p_k^O - p_k^S) .
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fish_data import HUMAN, NON_HUMAN, ORIGINAL, Shoal, generated, real, test_images
from fish_people import detect_people, load_detector, read_people
from representation_tables import kind_of, write

from chinspect.encoders import Encoder
from chinspect.files import replacing
from chinspect.intervals import wilson
from chinspect.readouts import LinearReadout, embeddings

GROUPS = (ORIGINAL, HUMAN, NON_HUMAN)
NOTEBOOK = {
    "clip": (86.5, 83.8, 82.5),
    "simclr": (82.2, 78.6, 78.4),
    "barlowtwins": (83.1, 75.6, 81.1),
    "supervised": (86.2, 84.2, 81.9),
}
"""Accuracies in per cent by group, in the outputs of the authors' notebooks."""
TEXT = {
    "clip": (85.4, None, None),
    "simclr": (81.4, 74.8, None),
    "barlowtwins": (83.2, 75.8, None),
    "supervised": (85.9, None, None),
}
"""The same as far as the text of the paper names them."""


def fish(encoders: Mapping[str, Encoder], options: argparse.Namespace, out: Path) -> None:
    """Writes ``fish``, and which images show humans as ``humans.txt`` where that was detected."""
    rows = []
    for shoal in shoals(options, out):
        rows += [answers(name, encoder, shoal, out / "cache") for name, encoder in encoders.items()]
    write(with_paper(scored(pd.concat(rows))), out, "fish")


def shoals(options: argparse.Namespace, out: Path) -> list[Shoal]:
    """The data that were asked for; generated ones by seed."""
    if not options.imagenet:
        return [generated(seed, options.scenes) for seed in range(options.seeds)]
    test = test_images(options.imagenet)
    if options.humans:
        people = read_people(options.humans, options.imagenet)
    else:
        people = detect_people(test, load_detector())
        with replacing(out / "humans.txt") as temporary:
            temporary.write_text("".join(f"{name}\n" for name in sorted(people)), encoding="utf-8")
    return [real(options.imagenet, options.per_class, test, people)]


def answers(name: str, encoder: Encoder, shoal: Shoal, cache: Path) -> pd.DataFrame:
    """One row a test image and group: its label, and whether a readout is right."""
    pictures, labels = shoal.train
    readout = LinearReadout().fit(embeddings(encoder, pictures, cache), np.array(labels))
    tables = []
    for group, (pictures, labels) in shoal.test.items():
        right = readout.predict(embeddings(encoder, pictures, cache)) == np.array(labels)
        tables.append(pd.DataFrame({"encoder": name, "group": group, "label": labels, "right": right}))
    return pd.concat(tables)


def scored(table: pd.DataFrame) -> pd.DataFrame:
    """One row an encoder and group, from those of `answers`."""
    rows = []
    for name, answered in table.groupby("encoder", sort=False):
        groups = dict(list(answered.groupby("group", sort=False)))
        for group, part in groups.items():
            rows.append({"encoder": name, "group": group} | rebalanced(part) | lost(groups[ORIGINAL], part))
    return pd.DataFrame(rows)


def rebalanced(answered: pd.DataFrame) -> dict[str, Any]:
    """Number of images and classes, and the accuracy in per cent if all classes were as frequent, with its interval."""
    classes = _by_class(answered)
    share, n = float(classes["mean"].mean()), len(classes) ** 2 / float((1 / classes["size"]).sum())
    low, high = wilson(share * n, n)
    row = {"n": len(answered), "classes": len(classes), "accuracy": 100 * share}
    return row | {"accuracy_low": 100 * low, "accuracy_high": 100 * high}


def lost(whole: pd.DataFrame, part: pd.DataFrame) -> dict[str, Any]:
    """The drop against all images in per cent, how many classes it compares, and the part's images of the smallest."""
    compared = pd.merge(_by_class(whole), _by_class(part), on="label", suffixes=("_whole", ""))
    drop = 100 * float((compared["mean_whole"] - compared["mean"]).mean())
    return {"compared": len(compared), "smallest": int(compared["size"].min()), "drop": drop}


def with_paper(scores: pd.DataFrame) -> pd.DataFrame:
    """With the published values of the same objective on ImageNet."""
    table = scores.copy()
    for column, published in (("paper_notebook", NOTEBOOK), ("paper_text", TEXT)):
        pairs = zip(table["encoder"], table["group"], strict=True)
        table[column] = [_published(published, name, group) for name, group in pairs]
    return table


def _by_class(answered: pd.DataFrame) -> pd.DataFrame:
    return answered.groupby("label")["right"].agg(["mean", "size"])


def _published(values: Mapping[str, Sequence[float | None]], name: str, group: str) -> float | None:
    return values[kind_of(name)][GROUPS.index(group)] if kind_of(name) else None
