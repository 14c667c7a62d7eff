"""Trucks and a logo: the accuracies of several encoders, and what mends the one that loses most."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from chinspect.encoders import Encoder
from chinspect.encoders.edits import edited
from chinspect.encoders.layers import attention_projection, candidate_layers
from chinspect.mitigate import (
    PruningSearch,
    Schedule,
    average_over_seeds,
    compare_mitigations,
    concept_direction,
    rank_edits,
    save_encoder,
    search_pruning,
    train_unlearning,
)
from chinspect.proof import random_patch
from chinspect.readouts import ALL, ORIGINAL, SHIFTED, seen
from experiments.representation import published
from experiments.representation.photographs import TINY_VEHICLES, TRUCKS, Planting, paper_logo, small_logo
from experiments.representation.trucks_data import Trial, generated, real
from experiments.study import Run, beside, save_figure

_PATCHED = 64
"""Training images by which a random patch is made as strong as the logo."""


def study_trucks(encoders: Mapping[str, Encoder], run: Run) -> None:
    """Writes ``table1``, and of the mitigated encoder ``mitigation``, ``layers``, ``figure3``, and it as a folder.

    The table ``moved`` is that of ``mitigation`` with the logo in other places than its own.
    """
    options = run.options
    scores = []
    comparisons = []
    curves = []
    layers = []
    for seed in range(options.seeds):
        trial = trial_of(options, seed)
        scores.append(table1(encoders, trial, run.out / "cache").assign(seed=seed))
        name = options.mitigate = options.mitigate or weakest(encoders, trial)
        trial = trial.seen_by(encoders[name])
        search, remedies = mitigated(encoders[name], trial, options, seed)
        compared = judged(remedies, trial)
        curves.append(search.curve.assign(seed=seed, layer=search.layers["layer"].iloc[0]))
        layers.append(search.layers.assign(seed=seed))
        comparisons.append(compared.assign(seed=seed))
        print(f"seed {seed}: {name}, {search.edit}, {run.seconds:.0f} s", flush=True)
        if search.edit is not None:
            evidence = {"seed": seed, "k": search.k, "table": json.loads(compared.to_json(orient="records"))}
            folder = re.sub(r"[^\w.-]", "-", f"{name}-pruned-{seed}")
            save_encoder(edited(encoders[name], search.edit), run.out / folder, evidence=evidence)
    curve = averaged_curve(pd.concat(curves), options.mitigate)
    rows = pd.concat(comparisons)
    run.write(rows, "rows", decimals=3)
    run.write(pd.concat(layers), "layers", decimals=3)
    run.write(with_paper(pd.concat(scores)), "table1")
    for position, name in (("own", "mitigation"), ("others", "moved")):
        seeds = rows[rows["place"] == position].groupby("seed")
        run.write(average_over_seeds([table for _, table in seeds]), name, decimals=3)
    run.write(curve, "figure3")
    save_figure(drawn(curve, options.mitigate), run.out / "figure3.png", dpi=150)


def trial_of(options: argparse.Namespace, seed: int) -> Trial:
    """The data that were asked for."""
    if options.imagenet:
        logo = paper_logo(options.logo)
        return real(options.imagenet, TRUCKS, "garbage truck", seed, options.per_class, logo)
    if options.tiny_imagenet:
        logo = small_logo(options.logo)
        planting = Planting("moving van")
        return real(options.tiny_imagenet, TINY_VEHICLES, "moving van", seed, options.per_class, logo, planting)
    return generated(seed, options.scenes)


def table1(encoders: Mapping[str, Encoder], trial: Trial, cache: Path) -> pd.DataFrame:
    """Accuracies of all encoders and readouts."""
    tables = [_accuracies(trial.judge.score(encoder, cache=cache), name) for name, encoder in encoders.items()]
    return pd.concat(tables, ignore_index=True)


def weakest(encoders: Mapping[str, Encoder], trial: Trial) -> str:
    """The encoder whose readout of all classes loses most on the images to choose on."""
    tables = pd.concat(_accuracies(trial.choose.score(encoder), name) for name, encoder in encoders.items())
    rows = tables[tables["readout"] == "all classes"].set_index("encoder")
    return str((rows[ORIGINAL] - rows[SHIFTED]).idxmax())


def _accuracies(scores: pd.DataFrame, name: str) -> pd.DataFrame:
    """One row a readout, one column a state."""
    wide = scores[scores["group"] == ALL].pivot(index="readout", columns="state", values="accuracy")
    return wide.reset_index().assign(encoder=name)


def mitigated(
    encoder: Encoder, trial: Trial, options: argparse.Namespace, seed: int
) -> tuple[PruningSearch, dict[str, Encoder]]:
    """A pruning chosen on validation data, and every remedy."""
    pairs = trial.pairs(trial.choose)
    search = search_pruning(encoder, trial.choose, pairs, layers=options.layer, seed=seed)
    remedies = {"none": encoder}
    for name, edit in (("pruned", search.edit), ("random channels", search.control)):
        remedies[name] = encoder if edit is None else edited(encoder, edit)  # a seed that finds nothing counts, too
    layers = [layer for layer in candidate_layers(encoder) if options.layer in (None, layer)]
    directions = [concept_direction(encoder, layer, pairs) for layer in layers if not attention(encoder, layer)]
    if directions:
        remedies["projected"] = edited(encoder, rank_edits(encoder, directions, pairs)[0][0])
    if options.unlearn:
        remedies |= unlearnt(encoder, trial, Schedule(epochs=options.unlearn, seed=seed))
    return search, remedies


def judged(remedies: Mapping[str, Encoder], trial: Trial) -> pd.DataFrame:
    """Every remedy on test data, with the logo in its own place and in others."""
    tasks = {"own": trial.judge, "others": trial.moved}
    return pd.concat(
        compare_mitigations(remedies, task, trial.pairs(task)).assign(place=position)
        for position, task in tasks.items()
    )


def unlearnt(encoder: Encoder, trial: Trial, schedule: Schedule) -> dict[str, Encoder]:
    """Trained until the logo makes no difference, and as long until a random patch makes none."""
    some = trial.choose.train[:_PATCHED]
    patch = random_patch(trial.logo, [seen(picture, encoder.preprocessing) for picture in some], schedule.seed)
    marks = {"unlearnt": trial.logo, "random patch": patch}
    runs = {name: train_unlearning(encoder, mark, trial.choose, schedule=schedule) for name, mark in marks.items()}
    return {name: run.encoder for name, run in runs.items()}


def attention(encoder: Encoder, layer: str) -> bool:
    """Whether a layer's channels are heads, which have no direction."""
    return attention_projection(encoder.module.get_submodule(layer)) is not None


def with_paper(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds in per cent, and the published values of the same objective on ImageNet."""
    means = scores.groupby(["encoder", "readout"], sort=False)[[ORIGINAL, SHIFTED]].agg(["mean", "std"]).mul(100)
    table = pd.DataFrame({f"{state}": means[state]["mean"] for state in (ORIGINAL, SHIFTED)})
    table = table.assign(**{f"{state}_sd": means[state]["std"] for state in (ORIGINAL, SHIFTED)}).reset_index()
    table["drop"] = table[ORIGINAL] - table[SHIFTED]
    # only the readout of all classes is published
    keys = table["encoder"].map(published.kind_of).where(table["readout"] == "all classes")
    return beside(table, keys, published.TRUCKS)


def averaged_curve(curve: pd.DataFrame, name: str) -> pd.DataFrame:
    """Validation accuracies in per cent by number of channels, averaged over seeds, and for CLIP the published ones.

    These were measured on test images. Layers are those that each seed has chosen.
    """
    means = curve.groupby(["channels", "k"], sort=False)[[ORIGINAL, SHIFTED]].mean().mul(100).reset_index()
    if published.kind_of(name) != "clip":
        return means
    return beside(means, means["k"].where(means["channels"] != "random"), published.CURVE)


def drawn(curve: pd.DataFrame, name: str) -> Figure:
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
    return figure
