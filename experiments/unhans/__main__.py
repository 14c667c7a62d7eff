"""Tables 2 to 4 and Figure 9 of Anders et al. 2019 (arXiv:1912.11425): proved by adding and removing, then unlearnt.

    python experiments/unhans.py [--smoke] [--networks vgg resnet] [--artefacts watermark ...] [--out DIR]

Classifiers are trained on generated scenes in which six in ten images of a class carry an artefact: a watermark, a
border, rounded corners, an object anywhere. Table 3: the artefact is added to scenes of other classes. Table 4: it is
removed from scenes that carry it, by painting over it and, as scenes are generated, exactly. Both with intervals, with
the same edit elsewhere, and Table 3 with random patches in place of the artefact. Table 2: the classifier is trained on
with scenes as they are (A) and with the artefact on all of them (B: added where it was not yet), or with its direction
added at a layer (ClArC), and judged on scenes without it (A) and with it (B). Its intervals, Wilson's, are those of the
scenes that it is judged on; how much two trainings differ other values of --seed tell. --smoke makes everything small:
its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from spray_tables import write_tables
from unhans_data import Bias, Drawn, biases, drawn, everywhere, trained
from unhans_figure import draw

from chinspect import __version__
from chinspect.artefacts import Artefact
from chinspect.encoders import Encoder
from chinspect.files import output_folder
from chinspect.intervals import draws, interval, wilson
from chinspect.mitigate import Schedule, Unlearning, unlearn
from chinspect.proof import prove
from chinspect.proof.placebos import elsewhere, moved
from chinspect.readouts import ORIGINAL, SHIFTED, Task
from chinspect.subjects import Classifier

PAPER_ADDED = {"rounded corners": (58.14, 0.0004), "object": (106.10, 0.0081), "border": (-101.02, 0.0001)}
PAPER_REMOVED = {"rounded corners": (-0.70, -0.1756), "object": (-0.62, -0.3713), "border": (0.00, 0.0206)}
PAPER_TABLE2 = {
    ("watermark", "A", ORIGINAL): 98.2,
    ("watermark", "A", SHIFTED): 96.4,
    ("watermark", "B", ORIGINAL): 99.8,
    ("watermark", "B", SHIFTED): 99.8,
}
"""Of VGG-16 on ImageNet: changes of rank among 1,000 classes and of probability; accuracies for the watermark."""
LAYERS = {"vgg": "0.23", "resnet": "0.stages.1"}
"""Where augmentive ClArC adds: in the middle."""
STATES = {"A": ORIGINAL, "B": SHIFTED}
"""Scenes to judge on."""
_EFFECTS = ("rank", "probability", "log_odds")
_SHOWN = 3


def main() -> None:
    """Runs everything and writes tables and figures."""
    options = read_options()
    out, start = output_folder(options.out), time.time()
    train, test = drawn(options.scenes, seed=100 + options.seed), drawn(options.scenes // 2, seed=200 + options.seed)
    tables: dict[str, list[dict[str, Any]]] = {"table2": [], "table3": [], "table4": []}
    for name in options.networks:
        classifier = trained(name, train, options.epochs, options.seed)
        accuracy = float((classifier.embed(test.shown).argmax(1) == torch.tensor(test.labels)).float().mean())
        print(f"{name}: accuracy {accuracy:.1%} on scenes as they are, {time.time() - start:.0f} s", flush=True)
        for kind in options.artefacts:
            bias, common = biases()[kind], {"network": name, "artefact": kind}
            tables["table3"] += [common | row for row in added(classifier, bias, test, options)]
            tables["table4"] += [common | row for row in removed(classifier, bias, test, kind, options.seed)]
            task = task_of(train, test, bias, options.tuned)
            runs = unlearnt(name, classifier, bias, task, train.affected(kind), options)
            tables["table2"] += [common | row for row in two_by_two(runs, kind, len(task.test_labels))]
            draw(out / f"figure9-{name}-{kind.replace(' ', '-')}.png", classifier, runs, *shown(test, bias, kind))
            for table, rows in tables.items():
                write_tables(pd.DataFrame(rows), out, table)
            print(f"{name}, {kind}: {time.time() - start:.0f} s", flush=True)
    for table, rows in tables.items():
        print(f"\n{table}\n{pd.DataFrame(rows).round(3).to_string(index=False)}")
    run = {key: str(value) for key, value in vars(options).items()}
    run |= {"version": __version__, "seconds": round(time.time() - start)}
    (out / "run.json").write_text(json.dumps(run, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(LAYERS))
    parser.add_argument("--artefacts", nargs="+", choices=list(biases()))
    parser.add_argument("--scenes", type=int, default=800, help="to train on; half as many to judge on")
    parser.add_argument("--epochs", type=int, default=20, help="of the training from scratch")
    parser.add_argument("--tuned", type=int, default=480, help="scenes of the fine-tuning")
    parser.add_argument("--tuning-epochs", type=int, default=5)
    parser.add_argument("--others", type=int, default=100, help="scenes of other classes that it is added to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/unhans"))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.scenes, options.epochs, options.tuned, options.tuning_epochs, options.others = 96, 1, 32, 1, 12
    options.networks = options.networks or list(LAYERS)[-1 if options.smoke else 0 :]
    options.artefacts = options.artefacts or list(biases())[-1 if options.smoke else 0 :]
    return options


def added(classifier: Encoder, bias: Bias, test: Drawn, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Table 3: effects on scenes of other classes that carry nothing, and on the same with placebos."""
    others = [np.asarray(test.plain[i]) for i, label in enumerate(test.labels) if label != bias.target]
    proof = prove(subject(classifier, bias), bias.artefact, others[: options.others], seed=options.seed)
    paper = PAPER_ADDED.get(bias.artefact.name, (np.nan, np.nan))
    rows: list[dict[str, Any]] = []
    for condition, found in proof.table.groupby("condition", sort=False):
        row: dict[str, Any] = {"condition": condition, "n": int(found["n"].iloc[0])}
        for effect in found[found["effect"].isin(_EFFECTS)].itertuples():
            row |= {effect.effect: effect.estimate, f"{effect.effect}_low": effect.low}
            row |= {f"{effect.effect}_high": effect.high}
        rows.append(row)
    rows[0] |= {"verdict": proof.verdict, "paper_rank": paper[0], "paper_probability": paper[1]}
    return rows


def removed(classifier: Encoder, bias: Bias, test: Drawn, kind: str, seed: int) -> list[dict[str, Any]]:
    """Table 4: effects on scenes of the class that carry the artefact."""
    places = [i for i in test.affected(kind) if test.labels[i] == bias.target]
    if len(places) < 2:
        return []
    rng, model = np.random.default_rng(seed), subject(classifier, bias)
    images = [np.asarray(test.shown[i]) for i in places]
    own = [carried[1] for i in places if (carried := test.carried[i]) is not None]
    edits = {
        "painted over": [artefact.remove(image) for artefact, image in zip(own, images, strict=True)],
        "exactly": [np.asarray(test.plain[i]) for i in places],
        "painted elsewhere": [away(artefact, rng).remove(image) for artefact, image in zip(own, images, strict=True)],
    }
    if not elsewhere(bias.artefact, 1, rng):
        del edits["painted elsewhere"]  # a border or corners leave no room
    before, counts = model.respond(images), draws(len(images), 2000, seed)
    paper, rows = PAPER_REMOVED.get(kind, (np.nan, np.nan)), []
    for condition, edited in edits.items():
        effects = model.measure(before, model.respond(edited), before)
        row: dict[str, Any] = {"condition": condition, "n": len(images)}
        for name in _EFFECTS:
            low, high = interval(effects[name], counts, 0.05)
            row |= {name: float(effects[name].mean()), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    rows[0] |= {"paper_rank": paper[0], "paper_probability": paper[1]}
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
        "A": unlearn(classifier, None, task, method="unhans", schedule=schedule),
        "B": unlearn(classifier, None, copy, method="unhans", schedule=schedule),
        "ClArC": unlearn(classifier, bias.artefact, task, method="clarc", layer=LAYERS[name], schedule=schedule),
    }


def two_by_two(runs: dict[str, Unlearning], kind: str, n: int) -> list[dict[str, Any]]:
    """Table 2: accuracies on A and on B in per cent, of n scenes each, and the share of relevance, before and after."""
    before = next(iter(runs.values())).history.iloc[0]
    rows = []
    for training, found in {"none": before, **{name: run.history.iloc[-1] for name, run in runs.items()}}.items():
        row: dict[str, Any] = {"training": training, "n": n}
        for to, state in STATES.items():
            low, high = wilson(round(found[state] * n), n)
            row |= {f"validation_{to}": 100 * found[state]}
            row |= {f"validation_{to}_low": 100 * low, f"validation_{to}_high": 100 * high}
        row |= {"relevance_share": found["relevance_share"]}
        row |= {f"paper_{to}": PAPER_TABLE2.get((kind, training, state), np.nan) for to, state in STATES.items()}
        rows.append(row)
    return rows


def shown(test: Drawn, bias: Bias, kind: str) -> tuple[Sequence[Image.Image], int]:
    """Some scenes with the artefact, and the class that it stands for."""
    return [test.shown[i] for i in test.affected(kind) if test.labels[i] == bias.target][:_SHOWN], bias.target


def subject(classifier: Encoder, bias: Bias) -> Classifier:
    """The classifier as `prove` takes it."""

    def prepare(images: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.cat([classifier.prepare(Image.fromarray(image)) for image in images])

    return Classifier(classifier.module, bias.target, prepare)


def away(artefact: Artefact, rng: np.random.Generator) -> Artefact:
    """The artefact's shape elsewhere, where there is room."""
    return next((moved(artefact, offset) for offset in elsewhere(artefact, 1, rng)), artefact)


if __name__ == "__main__":
    main()
