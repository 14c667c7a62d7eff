"""Tables 2 to 4 and Figure 9 of Anders et al. 2019 (arXiv:1912.11425): proved by adding and removing, then unlearnt.

    python experiments/unhans [--smoke] [--networks vgg resnet] [--artefacts watermark ...] [--out DIR]

Classifiers are trained on generated scenes in which six in ten images of a class carry an artefact: a watermark, a
border, rounded corners, an object anywhere. Table 3: the artefact is added to scenes of other classes. Table 4: it is
removed from scenes that carry it, by painting over it and, as scenes are generated, exactly. Both with intervals, with
the same edit elsewhere, and Table 3 with other content in place of the artefact. Table 2: the classifier is trained on
with scenes as they are (A) and with the artefact on all of them (B: added where it was not yet), or with its direction
added at a layer (ClArC), and judged on scenes without it (A) and with it (B). Its intervals, Wilson's, are those of the
scenes that it is judged on; how much two trainings differ other values of --seed tell. --smoke makes everything small:
its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch
from PIL import Image

from chinspect.encoders import Encoder
from chinspect.intervals import draws, interval, wilson
from chinspect.mitigate import Schedule, Unlearning, train_unlearning
from chinspect.proof import prove
from chinspect.proof.effects import measure_effects
from chinspect.proof.placebos import elsewhere, moved
from chinspect.readouts import ORIGINAL, SHIFTED, Task
from chinspect.subjects import Classifier
from experiments.study import Run, beside, option, read_options, save_figure, write_table
from experiments.unhans.data import Bias, Drawn, biases, drawn, everywhere, trained
from experiments.unhans.figure import draw

STATES = {"A": ORIGINAL, "B": SHIFTED}
"""Scenes to judge on."""
_KINDS = ("rounded corners", "object", "border")
PAPER: dict[str, dict[str, dict[tuple[str, str], float]]] = {
    "table2": {
        "paper_A": {("watermark", "A"): 98.2, ("watermark", "B"): 99.8},
        "paper_B": {("watermark", "A"): 96.4, ("watermark", "B"): 99.8},
    },
    "table3": {
        "paper_rank": dict(zip(product(_KINDS, ["artefact"]), (58.14, 106.10, -101.02), strict=True)),
        "paper_probability": dict(zip(product(_KINDS, ["artefact"]), (0.0004, 0.0081, 0.0001), strict=True)),
    },
    "table4": {
        "paper_rank": dict(zip(product(_KINDS, ["painted over"]), (-0.70, -0.62, 0.00), strict=True)),
        "paper_probability": dict(zip(product(_KINDS, ["painted over"]), (-0.1756, -0.3713, 0.0206), strict=True)),
    },
}
"""Of VGG-16 on ImageNet, by artefact and row: accuracies; changes of rank among 1,000 classes and of probability."""
LAYERS = {"vgg": "0.23", "resnet": "0.stages.1"}
"""Where augmentive ClArC adds: in the middle."""
OPTIONS = (
    option("networks", None, nargs="+", choices=list(LAYERS)),
    option("artefacts", None, nargs="+", choices=list(biases())),
    option("scenes", 800, "to train on; half as many to judge on"),
    option("epochs", 20, "of the training from scratch"),
    option("tuned", 480, "scenes of the fine-tuning"),
    option("tuning-epochs", 5),
    option("others", 100, "scenes of other classes that it is added to"),
)
SMOKE = {"scenes": 64, "epochs": 1, "tuned": 16, "tuning_epochs": 1, "others": 12}
_EFFECTS = ("rank", "probability", "log_odds")
_SHOWN = 3
"""Scenes of Figure 9."""


def main() -> None:
    """Runs everything and writes tables and figures."""
    options = read_options(__doc__, OPTIONS, out="results/unhans", seed=0, smoke=SMOKE)
    first = -1 if options.smoke else 0
    options.networks = options.networks or list(LAYERS)[first:]
    options.artefacts = options.artefacts or list(biases())[first:]
    with Run(options) as run:
        train = drawn(options.scenes, seed=100 + options.seed)
        test = drawn(options.scenes // 2, seed=200 + options.seed)
        tables: dict[str, list[pd.DataFrame]] = {name: [] for name in PAPER}
        for name in options.networks:
            classifier = trained(name, train, options.epochs, options.seed)
            accuracy = float((classifier.embed(test.shown).argmax(1) == torch.tensor(test.labels)).float().mean())
            print(f"{name}: accuracy {accuracy:.1%} on scenes as they are, {run.seconds:.0f} s", flush=True)
            for kind in options.artefacts:
                bias = biases()[kind]
                task = task_of(train, test, bias, options.tuned)
                runs = unlearnt(name, classifier, bias, task, train.affected(kind), options)
                rows = {
                    "table2": two_by_two(runs, len(task.test_labels)),
                    "table3": added(classifier, bias, test, options),
                    "table4": removed(classifier, bias, test, kind, options.seed),
                }
                for table in rows:
                    tables[table].append(labelled(rows[table], name, kind, PAPER[table]))
                    write_table(pd.concat(tables[table]), run.out, table)
                figure = draw(classifier, runs, shown(test, bias, kind), bias.target)
                save_figure(figure, run.out / f"figure9-{name}-{kind.replace(' ', '-')}.png")
                print(f"{name}, {kind}: {run.seconds:.0f} s", flush=True)
        for table, frames in tables.items():
            print(f"\n{table}\n{pd.concat(frames).round(3).to_string(index=False)}")


def labelled(
    rows: list[dict[str, Any]], network: str, kind: str, published: dict[str, dict[tuple[str, str], float]]
) -> pd.DataFrame:
    """A table of rows, whose first column tells them apart, of one network and artefact, with published values."""
    table = pd.DataFrame(rows)
    table = beside(table, ((kind, next(iter(row.values()))) for row in rows), published)
    table.insert(0, "network", network)
    table.insert(1, "artefact", kind)
    return table


def added(classifier: Encoder, bias: Bias, test: Drawn, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Table 3: effects on scenes of other classes that carry nothing, and on the same with placebos."""
    others = [np.asarray(test.plain[i]) for i, label in enumerate(test.labels) if label != bias.target]
    proof = prove(subject(classifier, bias), bias.artefact, others[: options.others], seed=options.seed)
    rows: list[dict[str, Any]] = []
    for condition, effects in proof.table.groupby("condition", sort=False):
        row: dict[str, Any] = {"condition": condition, "n": int(effects["n"].iloc[0])}
        for effect in effects[effects["effect"].isin(_EFFECTS)].itertuples():
            row |= _estimate(effect.effect, effect.estimate, (effect.low, effect.high))
        rows.append(row)
    rows[0]["verdict"] = proof.verdict
    return rows


def removed(classifier: Encoder, bias: Bias, test: Drawn, kind: str, seed: int) -> list[dict[str, Any]]:
    """Table 4: effects on scenes of the class that carry the artefact."""
    carriers = {i: test.carried[i][1] for i in test.affected(kind) if test.labels[i] == bias.target}
    if len(carriers) < 2:
        return []
    images = {i: np.asarray(test.shown[i]) for i in carriers}
    edits = {
        "painted over": [artefact.remove(images[i]) for i, artefact in carriers.items()],
        "exactly": [np.asarray(test.plain[i]) for i in carriers],
    }
    if elsewhere(bias.artefact, 1, np.random.default_rng(seed)):  # a border or corners leave no room
        rng = np.random.default_rng(seed)
        edits["painted elsewhere"] = [
            moved(artefact, elsewhere(artefact, 1, rng)[0]).remove(images[i]) for i, artefact in carriers.items()
        ]
    model = subject(classifier, bias)
    before = model.respond(list(images.values()))
    counts = draws(len(images), 2000, seed)
    rows = []
    for condition, edited in edits.items():
        effects = measure_effects(model, before, model.respond(edited), before)
        row: dict[str, Any] = {"condition": condition, "n": len(images)}
        for name in _EFFECTS:
            row |= _estimate(name, float(effects[name].mean()), interval(effects[name], counts, 0.05))
        rows.append(row)
    return rows


def task_of(train: Drawn, test: Drawn, bias: Bias, count: int) -> Task:
    """Subset A to train on, and scenes without any artefact and with this one on all to judge on."""
    states = {ORIGINAL: test.plain, SHIFTED: everywhere(test.plain, bias, seed=2)}
    return Task(train.shown[:count], train.labels[:count], states, test.labels, {})


def unlearnt(
    name: str, classifier: Encoder, bias: Bias, task: Task, carriers: Sequence[int], options: argparse.Namespace
) -> dict[str, Unlearning]:
    """Training on A, of which some scenes carry the artefact, on its copy B, and with it added inside the network."""
    schedule = Schedule(epochs=options.tuning_epochs, seed=options.seed)
    copy = replace(task, train=everywhere(task.train, bias, seed=1, carriers=carriers))
    return {
        "A": train_unlearning(classifier, None, task, method="unhans", schedule=schedule),
        "B": train_unlearning(classifier, None, copy, method="unhans", schedule=schedule),
        "ClArC": train_unlearning(
            classifier, bias.artefact, task, method="clarc", layer=LAYERS[name], schedule=schedule
        ),
    }


def two_by_two(runs: dict[str, Unlearning], n: int) -> list[dict[str, Any]]:
    """Table 2: accuracies on A and on B in per cent, of n scenes each, and the relevance on it, before and after."""
    before = next(iter(runs.values())).history.iloc[0]
    rows = []
    for training, epoch in {"none": before, **{name: run.history.iloc[-1] for name, run in runs.items()}}.items():
        row: dict[str, Any] = {"training": training, "n": n}
        for to, state in STATES.items():
            low, high = wilson(round(epoch[state] * n), n)
            row |= _estimate(f"validation_{to}", 100 * epoch[state], (100 * low, 100 * high))
        rows.append(row | {"relevance_share": epoch["relevance_share"]})
    return rows


def shown(test: Drawn, bias: Bias, kind: str) -> list[Image.Image]:
    """Some scenes of the class that carry the artefact."""
    return [test.shown[i] for i in test.affected(kind) if test.labels[i] == bias.target][:_SHOWN]


def subject(classifier: Encoder, bias: Bias) -> Classifier:
    """The classifier as `prove` takes it."""

    def prepare(images: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.cat([classifier.prepare(Image.fromarray(image)) for image in images])

    return Classifier(classifier.module, bias.target, prepare)


def _estimate(name: str, value: float, ends: tuple[float, float]) -> dict[str, float]:
    return {name: value, f"{name}_low": ends[0], f"{name}_high": ends[1]}


if __name__ == "__main__":
    main()
