"""ExMap on coloured MNIST: groups from explanations beside groups from features, losses, chance, classes and the truth.

    python experiments/exmap --mnist FILE.npz [--variants exmap irm] [--seeds 10] [--first 0] [--out DIR] [--smoke]

For each seed a small network is trained by average loss on images whose colour agrees with their class. Groups are made
on the validation images: from maps of the predicted class by ExMap's rules, over all images, inside each class, and
inside each class with the published normalisation; by differences to a reference (`rescale`) and by Grad-CAM, from
pixels, from features (GEORGE), from quantiles of the loss; beside them the true groups, random groups of the sizes of
ExMap's, and the classes alone. On the validation embeddings a head is fitted with each of them
(DFR), and judged on the test images by its worst true group. ``seeds.csv`` has a row a seed, grouping, head: how well
groups agree with the true ones, how right the head is, and what it took; ``accuracy_*.csv`` are means over seeds, and
half the width of 95 % intervals (1.96 standard errors). --smoke makes everything small: its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from chinspect.cam import grad_cam
from chinspect.datasets import ColouredDigits, coloured_mnist
from chinspect.files import output_folder
from chinspect.groups import (
    DFR,
    JTT,
    GroupDRO,
    Groups,
    accuracy_by_group,
    class_groups,
    class_maps,
    feature_groups,
    group_quality,
    loss_groups,
    pseudo_groups,
    random_groups,
    true_groups,
)
from chinspect.relevance import Method
from experiments.exmap.network import DigitNet, answers, inputs, trained
from experiments.study import option, read_options, refuse, write_table

OPTIONS = (
    option("mnist", None, "the digits, an .npz file", type=Path),
    option("variants", ["exmap", "irm"]),
    option("attributes", 1, "that agree with the class: 1 to 3"),
    option("classes", 2),
    option("seeds", 10),
    option("first", 0, "the first seed"),
    option("epochs", 3),
    option("images", 50_000, "of each split, at most"),
)
SMOKE = {"seeds": 1, "epochs": 1, "images": 600}
LAYER = "features.8"
"""Whose maps Grad-CAM reads: the last convolution's."""


def main() -> None:
    """Every variant and seed; a seed that is in the table already is not measured again."""
    options = read_options(__doc__, OPTIONS, out="results/exmap", smoke=SMOKE)
    if options.mnist is None:
        refuse("give the digits with --mnist FILE.npz.")
    out = output_folder(options.out)
    path = out / "seeds.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["variant", "seed"])
    for variant in options.variants:
        for seed in range(options.first, options.first + options.seeds):
            if not ((done["variant"] == variant) & (done["seed"] == seed)).any():
                rows = pd.DataFrame(measure(variant, seed, options))
                rows.to_csv(path, mode="a", header=not path.exists(), index=False)
    for (variant,), table in pd.read_csv(path).groupby(["variant"]):
        summary = summarised(table)
        write_table(summary, out, f"accuracy_{variant}", decimals=3)
        print(f"\n{variant}\n{summary.round(3).to_string(index=False)}", flush=True)


def measure(variant: str, seed: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row a grouping and head."""
    splits = coloured_mnist(
        options.mnist,
        variant=variant,
        n_classes=options.classes,
        n_attributes=options.attributes,
        balanced_test=variant == "exmap",
        limit=options.images,
        random_state=seed,
    )
    start = time.perf_counter()
    network = trained(splits["train"], options.classes, epochs=options.epochs, seed=seed)
    common = {"variant": variant, "seed": seed, "training_seconds": time.perf_counter() - start}
    val, test = splits["val"], splits["test"]
    rows, logits = answers(network, val)
    test_rows, test_logits = answers(network, test)
    truth, test_truth = (true_groups(split.labels, joined(split.attributes)) for split in (val, test))
    scores, _ = accuracy_by_group(test.labels, test_logits.argmax(1), test_truth)
    yield common | {"head": "none", "groups": "none", **scores}
    twice = JTT(random_state=seed).fit(rows, val.labels)
    scores, _ = accuracy_by_group(test.labels, twice.predict(test_rows), test_truth)
    yield common | {"head": "jtt", "groups": "none", **scores}
    for name, groups, seconds in groupings(network, val, rows, logits, truth, seed):
        quality = group_quality(groups, truth)
        heads = {"dfr": DFR(random_state=seed)}
        if name in ("true", "exmap"):
            heads |= {"jtt": JTT(random_state=seed), "groupdro": GroupDRO()}
        for head_name, head in heads.items():
            fitted = head.fit(rows, val.labels, groups.ids)
            scores, _ = accuracy_by_group(test.labels, fitted.predict(test_rows), test_truth)
            yield common | {"head": head_name, "groups": name, "group_seconds": seconds, **scores, **quality}


def groupings(
    network: DigitNet,
    split: ColouredDigits,
    rows: NDArray[np.float32],
    logits: NDArray[np.float32],
    truth: Groups,
    seed: int,
) -> Iterator[tuple[str, Groups, float]]:
    """Name, groups, and the seconds that explaining and clustering took."""
    x, labels = inputs(split), split.labels
    losses = -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    made = {
        "exmap": lambda: pseudo_groups(class_maps(network, x)[0], labels, random_state=seed),
        "exmap, each class": lambda: pseudo_groups(
            class_maps(network, x)[0], labels, scope="within_class", random_state=seed
        ),
        "exmap, as published": lambda: pseudo_groups(
            class_maps(network, x)[0], labels, scope="within_class", norm="max", random_state=seed
        ),
        "rescale": lambda: pseudo_groups(class_maps(network, x, method=Method())[0], labels, random_state=seed),
        "grad-cam": lambda: pseudo_groups(cams(network, x), labels, random_state=seed),
        "pixels": lambda: pseudo_groups(x.numpy(), labels, random_state=seed),
        "features (GEORGE)": lambda: feature_groups(rows, labels, random_state=seed),
        "features, spectral": lambda: feature_groups(rows, labels, cluster="spectral", random_state=seed),
        "loss quantiles": lambda: loss_groups(losses, labels, quantiles=10),
        "classes": lambda: class_groups(labels),
        "true": lambda: truth,
    }
    for name, make in made.items():
        start = time.perf_counter()
        groups = make()
        yield name, groups, time.perf_counter() - start
        if name == "exmap":
            yield "random", random_groups(groups, random_state=seed), 0.0


def cams(network: DigitNet, x: torch.Tensor) -> NDArray[np.float32]:
    """Grad-CAM of the predicted class at the last convolution, (N, 4, 4)."""
    return torch.cat([grad_cam(network, batch, LAYER) for batch in x.split(500)]).numpy()


def joined(attributes: NDArray[np.int64]) -> list[str]:
    """The attributes of each image in one word."""
    return [" ".join(map(str, row)) for row in attributes]


def summarised(table: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, and half the width of their 95 % intervals."""
    columns = [
        "worst",
        "balanced",
        "mean",
        "adjusted_rand_index",
        "worst_recall",
        "worst_precision",
        "n_groups",
        "group_seconds",
    ]
    groups = table.groupby(["groups", "head"], sort=False)
    means = groups[columns].mean()
    widths = 1.96 * groups[["worst"]].std() / np.sqrt(groups.size().clip(lower=1)).to_numpy()[:, None]
    return means.assign(worst_half_width=widths["worst"], seeds=groups.size()).reset_index()


if __name__ == "__main__":
    main()
