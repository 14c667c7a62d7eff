"""Fish and humans: accuracies of several encoders on all images, on those with a human and on those without.

Classes differ in how often they are held up by an angler, so each weighs the same: with n_k images of class k and their
fraction of right answers p_k, over the K classes of a subset,

    accuracy = 1/K sum_k p_k ,        n = K^2 / sum_k 1/n_k ,

where n is how many equally weighted images would tell as much (Kish 1965); the interval is Wilson's for that n.

Some classes are never held up, and a mean over fewer classes differs by that alone. So what a subset S loses against
all images O is a mean over the classes C that both have; beside it stand how many these are, and how many images of S
the smallest of them has:

    drop = 1/|C| sum_{k in C} (p_k^O - p_k^S) .
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chinspect.encoders import Encoder
from chinspect.files import replacing
from chinspect.intervals import wilson
from chinspect.readouts import embeddings, linear_readout
from experiments.representation.fish_data import (
    Shoal,
    detect_people,
    generated,
    load_detector,
    read_people,
    real,
    test_images,
)
from experiments.representation.published import FISH, GROUPS, kind_of
from experiments.study import Run, beside


def study_fish(encoders: Mapping[str, Encoder], run: Run) -> None:
    """Writes ``fish``, and which images show humans as ``humans.txt`` where that was detected."""
    rows = []
    for shoal in shoals(run):
        rows += [answers(name, encoder, shoal, run.out / "cache") for name, encoder in encoders.items()]
    run.write(with_paper(scored(pd.concat(rows))), "fish")


def shoals(run: Run) -> list[Shoal]:
    """The data that were asked for; generated ones by seed."""
    options = run.options
    if not options.imagenet:
        return [generated(seed, options.scenes) for seed in range(options.seeds)]
    test = test_images(options.imagenet)
    if options.humans:
        people = read_people(options.humans, options.imagenet)
    else:
        people = detect_people(test, load_detector())
        with replacing(run.out / "humans.txt") as temporary:
            temporary.write_text("".join(f"{name}\n" for name in sorted(people)), encoding="utf-8")
    return [real(options.imagenet, options.per_class, test, people)]


def answers(name: str, encoder: Encoder, shoal: Shoal, cache: Path) -> pd.DataFrame:
    """One row a test image and group: its label, and whether a readout is right."""
    pictures, labels = shoal.train
    readout = linear_readout().fit(embeddings(encoder, pictures, cache), np.array(labels))
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
        for group, subset in groups.items():
            row = {"encoder": name, "group": group}
            rows.append(row | rebalanced(subset) | lost(groups[GROUPS[0]], subset))
    return pd.DataFrame(rows)


def rebalanced(answered: pd.DataFrame) -> dict[str, Any]:
    """Number of images and classes, and the accuracy in per cent if all classes were as frequent, with its interval."""
    classes = _by_class(answered)
    accuracy = float(classes["mean"].mean())
    n = len(classes) ** 2 / float((1 / classes["size"]).sum())
    low, high = wilson(accuracy * n, n)
    row = {"n": len(answered), "classes": len(classes), "accuracy": 100 * accuracy}
    return row | {"accuracy_low": 100 * low, "accuracy_high": 100 * high}


def lost(every: pd.DataFrame, subset: pd.DataFrame) -> dict[str, Any]:
    """The drop against all images in per cent, how many classes it compares, and the images of the smallest."""
    compared = pd.merge(_by_class(every), _by_class(subset), on="label", suffixes=("_every", ""))
    drop = 100 * float((compared["mean_every"] - compared["mean"]).mean())
    return {"compared": len(compared), "smallest": int(compared["size"].min()), "drop": drop}


def with_paper(scores: pd.DataFrame) -> pd.DataFrame:
    """With the published values of the same objective on ImageNet."""
    return beside(scores, zip(scores["encoder"].map(kind_of), scores["group"], strict=True), FISH)


def _by_class(answered: pd.DataFrame) -> pd.DataFrame:
    return answered.groupby("label")["right"].agg(["mean", "size"])
