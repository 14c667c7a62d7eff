"""Trucks and a logo: the accuracies of several encoders, and what mends the one that loses most."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from representation_classes import TINY_VEHICLES, TRUCKS
from representation_data import Trial, generated, real
from representation_logo import Planting, paper_logo, small_logo
from representation_tables import kind_of, write

from chinspect.encoders import Encoder
from chinspect.encoders.edits import edited
from chinspect.encoders.layers import attention_projection, candidate_layers
from chinspect.files import replacing
from chinspect.mitigate import (
    PruningSearch,
    Schedule,
    average_over_seeds,
    compare_mitigations,
    concept_direction,
    rank_edits,
    save_encoder,
    search_pruning,
    unlearn,
)
from chinspect.proof import random_patch
from chinspect.readouts import ALL, ORIGINAL, SHIFTED, seen

NOTEBOOK = {"clip": (85.0, 80.5), "simclr": (74.8, 74.5), "barlowtwins": (80.2, 80.2), "supervised": (83.8, 83.2)}
"""Accuracies in per cent, original and with the logo, in the outputs of the authors' notebooks."""
TEXT = {"clip": (84.7, 80.3)}
"""The same as far as the text of the paper names them."""
NOTEBOOK_CURVE = {
    0: (85.0, 80.5),
    1: (85.0, 83.8),
    2: (84.8, 84.0),
    3: (84.2, 83.8),
    4: (85.5, 84.8),
    5: (85.2, 85.0),
    10: (85.0, 85.0),
    15: (81.5, 81.2),
    20: (81.2, 81.2),
    30: (81.0, 82.2),
}
"""The same of CLIP by the number of pruned channels, on the notebooks' test images."""
_PATCHED = 64
"""Training images by which a random patch is made as strong as the logo."""


def trucks(encoders: Mapping[str, Encoder], options: argparse.Namespace, out: Path) -> None:
    """Writes ``table1``, and of the mitigated encoder ``mitigation``, ``layers``, ``figure3``, and it as a folder.

    The table ``moved`` is that of ``mitigation`` with the logo in other places than its own.
    """
    start = time.time()
    scores, comparisons, curves, layers = [], [], [], []
    for seed in range(options.seeds):
        trial = trial_of(options, seed)
        scores.append(table1(encoders, trial, out / "cache").assign(seed=seed))
        name = options.mitigate = options.mitigate or weakest(encoders, trial)
        trial = trial.seen_by(encoders[name])
        found, remedies = mitigated(encoders[name], trial, options, seed)
        compared = judged(remedies, trial)
        curves.append(found.curve.assign(seed=seed, layer=found.layers["layer"].iloc[0]))
        layers.append(found.layers.assign(seed=seed))
        comparisons.append(compared.assign(seed=seed))
        print(f"seed {seed}: {name}, {found.edit}, {time.time() - start:.0f} s", flush=True)
        if found.edit is not None:
            evidence = {"seed": seed, "k": found.k, "table": json.loads(compared.to_json(orient="records"))}
            folder = re.sub(r"[^\w.-]", "-", f"{name}-pruned-{seed}")
            save_encoder(edited(encoders[name], found.edit), out / folder, evidence=evidence)
    curve = averaged_curve(pd.concat(curves), options.mitigate)
    rows = pd.concat(comparisons)
    write(rows, out, "rows", decimals=3)
    write(pd.concat(layers), out, "layers", decimals=3)
    write(with_paper(pd.concat(scores)), out, "table1")
    for place, name in (("own", "mitigation"), ("others", "moved")):
        seeds = rows[rows["place"] == place].groupby("seed")
        write(average_over_seeds([table for _, table in seeds]), out, name, decimals=3)
    write(curve, out, "figure3")
    draw(out / "figure3.png", curve, options.mitigate)


def trial_of(options: argparse.Namespace, seed: int) -> Trial:
    """The data that were asked for."""
    if options.imagenet:
        logo = paper_logo(options.logo)
        return real(options.imagenet, TRUCKS, "garbage truck", seed, options.per_class, logo)
    if options.tiny_imagenet:
        logo, planting = small_logo(options.logo), Planting("moving van")
        return real(options.tiny_imagenet, TINY_VEHICLES, "moving van", seed, options.per_class, logo, planting)
    return generated(seed, options.scenes)


def table1(encoders: Mapping[str, Encoder], trial: Trial, cache: Path) -> pd.DataFrame:
    """Accuracies of all encoders and readouts."""
    tables = []
    for name, encoder in encoders.items():
        scores = trial.judge.score(encoder, cache=cache)
        wide = scores[scores["group"] == ALL].pivot(index="readout", columns="state", values="accuracy").reset_index()
        tables.append(wide.assign(encoder=name))
    return pd.concat(tables, ignore_index=True)


def weakest(encoders: Mapping[str, Encoder], trial: Trial) -> str:
    """The encoder whose readout of all classes loses most on the images to choose on."""
    drops = {}
    for name, encoder in encoders.items():
        scores = trial.choose.score(encoder)
        rows = scores[(scores["group"] == ALL) & (scores["readout"] == "all classes")].set_index("state")["accuracy"]
        drops[name] = float(rows[ORIGINAL] - rows[SHIFTED])
    return max(drops, key=lambda name: drops[name])


def mitigated(
    encoder: Encoder, trial: Trial, options: argparse.Namespace, seed: int
) -> tuple[PruningSearch, dict[str, Encoder]]:
    """A pruning chosen on validation data, and every remedy."""
    pairs = trial.pairs(trial.choose)
    found = search_pruning(encoder, trial.choose, *pairs, layers=options.layer, seed=seed)
    remedies = {"none": encoder}
    for name, edit in (("pruned", found.edit), ("random channels", found.control)):
        remedies[name] = encoder if edit is None else edited(encoder, edit)  # a seed that finds nothing counts, too
    layers = [layer for layer in candidate_layers(encoder) if options.layer in (None, layer)]
    directions = [concept_direction(encoder, layer, *pairs) for layer in layers if not attention(encoder, layer)]
    if directions:
        remedies["projected"] = edited(encoder, rank_edits(encoder, directions, *pairs)[0][0])
    if options.unlearn:
        remedies |= unlearnt(encoder, trial, Schedule(epochs=options.unlearn, seed=seed))
    return found, remedies


def judged(remedies: Mapping[str, Encoder], trial: Trial) -> pd.DataFrame:
    """Every remedy on test data, with the logo in its own place and in others."""
    places = {"own": trial.judge, "others": trial.moved}
    tables = [compare_mitigations(remedies, task, *trial.pairs(task)) for task in places.values()]
    return pd.concat([table.assign(place=place) for place, table in zip(places, tables, strict=True)])


def unlearnt(encoder: Encoder, trial: Trial, schedule: Schedule) -> dict[str, Encoder]:
    """Trained until the logo makes no difference, and as long until a random patch makes none."""
    some = trial.choose.train[:_PATCHED]
    patch = random_patch(trial.logo, [seen(picture, encoder.preprocessing) for picture in some], schedule.seed)
    marks = {"unlearnt": trial.logo, "random patch": patch}
    return {name: unlearn(encoder, mark, trial.choose, schedule=schedule).encoder for name, mark in marks.items()}


def attention(encoder: Encoder, layer: str) -> bool:
    """Whether a layer's channels are heads, which have no direction."""
    return attention_projection(encoder.module.get_submodule(layer)) is not None


def with_paper(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds in per cent, and the published values of the same objective on ImageNet."""
    means = scores.groupby(["encoder", "readout"], sort=False)[[ORIGINAL, SHIFTED]].agg(["mean", "std"]).mul(100)
    table = pd.DataFrame({f"{state}": means[state]["mean"] for state in (ORIGINAL, SHIFTED)})
    table = table.assign(**{f"{state}_sd": means[state]["std"] for state in (ORIGINAL, SHIFTED)}).reset_index()
    table["drop"] = table[ORIGINAL] - table[SHIFTED]
    for source, published in (("notebook", NOTEBOOK), ("text", TEXT)):
        pairs = [
            published.get(kind_of(name), (None, None)) if readout == "all classes" else (None, None)
            for name, readout in zip(table["encoder"], table["readout"], strict=True)
        ]
        table[f"{source}_original"], table[f"{source}_shifted"] = zip(*pairs, strict=True)
    return table


def averaged_curve(curve: pd.DataFrame, name: str) -> pd.DataFrame:
    """Validation accuracies in per cent by number of channels, averaged over seeds, and for CLIP the published ones.

    These were measured on test images. Layers are those that each seed has chosen.
    """
    means = curve.groupby(["channels", "k"], sort=False)[[ORIGINAL, SHIFTED]].mean().mul(100).reset_index()
    if kind_of(name) == "clip":
        for column, index in (("notebook_original", 0), ("notebook_shifted", 1)):
            means[column] = [
                NOTEBOOK_CURVE[k][index] if kind != "random" and k in NOTEBOOK_CURVE else None
                for k, kind in zip(means["k"], means["channels"], strict=True)
            ]
    return means


def draw(path: Path, curve: pd.DataFrame, name: str) -> None:
    """Accuracy against the number of pruned channels."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axis = figure.subplots()
    start = curve[curve["channels"] == "none"]
    for kind, colour in (("responsive", "tab:red"), ("random", "tab:grey")):
        rows = pd.concat([start, curve[curve["channels"] == kind]])
        axis.plot(rows["k"], rows[ORIGINAL], color=colour, marker="o", label=f"{kind}, original")
        axis.plot(rows["k"], rows[SHIFTED], color=colour, marker="o", linestyle="--", label=f"{kind}, logo")
    axis.set_xlabel("pruned channels")
    axis.set_ylabel("accuracy on validation images, %")
    axis.set_title(name)
    axis.legend(frameon=False, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=150)
