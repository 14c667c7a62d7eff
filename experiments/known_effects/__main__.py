"""A known effect, measured, mended, and measured again: ImageNet-W's watermark on a network that people deploy.

    python experiments/known_effects --photographs DIR [--model efficientnet-lite0] [--out DIR] [--smoke]

The photographs (a folder with ``labels.csv``, or ImageNet's validation images) are divided in two. On the first half
remedies are made without labels, each chosen by what it repairs of the embeddings there:

* pruned: the k channels of a layer that respond most to the watermark; as many random channels are the control;
* projected: the direction of the watermark taken out of a layer; a random direction is the control;
* unlearnt: fine-tuned until images with the watermark lie where they lie without it; unlearning a random patch of equal
  norm is the control.

Remedies of the encoder are put into the classifier, whose last layer stays as it is. On the second half both are
measured: accuracy, the IN-W gap, the carton's logit and probability, and how the watermark moves embeddings together.
``remedies.csv`` has a row a remedy and measure, ``table.csv`` one a remedy, beside published remedies.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch

from chinspect.artefacts import Artefact, imagenet_w
from chinspect.encoders import Edit, Encoder, Project, Prune, candidate_layers
from chinspect.execute import Samples
from chinspect.images import open_image
from chinspect.known import EFFECTS, Models, Photographs, load_models, load_photographs, response_rows
from chinspect.known import watermark_responses as responses_of
from chinspect.mitigate import (
    Schedule,
    concept_direction,
    random_channels,
    rank_edits,
    responsiveness,
    top_channels,
    train_unlearning,
)
from chinspect.mitigate.responsive import activations
from chinspect.proof import random_patch
from chinspect.readouts import ORIGINAL, SHIFTED, Pairs, Pictures, Task
from experiments.study import Run, option, read_options, refuse

MEASURES = ("accuracy", "accuracy change", "carton logit change", "P(carton) change", "similarity gain")
KS = (1, 2, 5, 10, 20)
SHORTLIST = 3
"""Layers whose prunings are tried with every k, after all were tried with five channels."""
OPTIONS = (
    option("photographs", None, "a folder of ImageNet's photographs", type=Path),
    option("model", "efficientnet-lite0"),
    option("pairs", 32, "photographs of the first half by which responses are known"),
    option("epochs", 5, "of unlearning; 0 leaves it out"),
    option("judged", 1000, "photographs of the second half, at most"),
)


def main() -> None:
    """Makes the remedies on one half, measures them on the other, and writes after each."""
    smoke = {"pairs": 4, "epochs": 0, "judged": 6}
    options = read_options(__doc__, OPTIONS, out="results/known_effects", smoke=smoke, seed=0)
    if options.photographs is None:
        refuse("--photographs needs a folder of ImageNet's photographs, with labels.csv or one folder a WordNet id.")
    with Run(options) as run:
        models = load_models(options.model)
        first, second = halves(load_photographs(options.photographs), options.seed)
        second = second.subset(second.drawn(options.judged, options.seed))
        tables = []
        for remedy, changed in remedies(models, first.samples, options.pairs, options.epochs, options.seed):
            responses = responses_of(changed, second, {"watermark": imagenet_w()})
            table = pd.DataFrame(response_rows(responses, second.classes, len(second), options.seed))
            tables.append(table.assign(remedy=remedy))
            run.write(pd.concat(tables), "remedies", decimals=4)
            run.write(wide(pd.concat(tables)), "table", decimals=4)


def halves(photographs: Photographs, seed: int) -> tuple[Photographs, Photographs]:
    """Two random halves."""
    order = np.random.default_rng(seed).permutation(len(photographs))
    middle = len(order) // 2
    return photographs.subset(np.sort(order[:middle])), photographs.subset(np.sort(order[middle:]))


def remedies(models: Models, samples: Samples, count: int, epochs: int, seed: int) -> Iterator[tuple[str, Models]]:
    """Each remedy by its name, the network as it was first."""
    yield "none", models
    encoder = models.encoder
    mark = imagenet_w()
    pictures = Pictures(samples).seen_by(encoder.preprocessing)
    pairs = Pairs(pictures.marked(mark)[:count], pictures[:count])
    pruning, control = best_pruning(encoder, pairs, seed)
    yield f"pruned: {len(pruning.channels)} channels of {pruning.layer}", models.edited(pruning)
    yield "control: random channels", models.edited(control)
    projection = best_projection(encoder, pairs)
    yield f"projected: {projection.layer}", models.edited(projection)
    yield "control: random direction", models.edited(random_direction(encoder, projection.layer, pairs, seed))
    if epochs:
        patch = random_patch(mark, encoder.see([open_image(path) for path in samples.paths[:count]]), seed)
        for name, artefact in (("unlearnt", mark), ("control: a random patch unlearnt", patch)):
            yield name, models.edited(unlearning(encoder, artefact, pictures, epochs, seed))


def best_pruning(encoder: Encoder, pairs: Pairs, seed: int) -> tuple[Prune, Prune]:
    """The pruning that repairs most, among responsive channels of all layers, and as many random ones."""
    responses = responsiveness(encoder, pairs, rows="all")
    sizes = responses.groupby("layer", sort=False).size()
    first = [top_channels(responses, str(layer), 5) for layer, size in sizes.items() if size >= 10]
    layers = [edit.layer for edit, _ in rank_edits(encoder, first, pairs)[:SHORTLIST]]
    edits = [top_channels(responses, layer, k) for layer in layers for k in KS if 2 * k <= sizes[layer]]
    best = rank_edits(encoder, edits, pairs)[0][0]
    return best, random_channels(responses, best, seed)


def best_projection(encoder: Encoder, pairs: Pairs) -> Project:
    """The layer whose direction, taken out, repairs most."""
    edits = [concept_direction(encoder, layer, pairs) for layer in candidate_layers(encoder)]
    return rank_edits(encoder, edits, pairs)[0][0]


def random_direction(encoder: Encoder, layer: str, pairs: Pairs, seed: int) -> Project:
    """A random direction of a layer, kept at the level of plain images."""
    plain = activations(encoder, pairs.without, {layer: None})[layer][:, :, 0].mean(0)
    vector = np.random.default_rng(seed).normal(size=len(plain))
    vector /= np.linalg.norm(vector)
    return Project(layer, torch.from_numpy(vector), float(plain @ vector))


def unlearning(encoder: Encoder, mark: Artefact, pictures: Pictures, epochs: int, seed: int) -> Edit:
    """Weights that put images with the mark where they lie without it; labels are not used."""
    few = replace(pictures, samples=Samples(pictures.samples.root, pictures.samples.names[:16]))
    watched = {ORIGINAL: few, SHIFTED: few.marked(mark)}
    task = Task(pictures, [""] * len(pictures), watched, [""] * len(few), {})
    learnt = train_unlearning(encoder, mark, task, schedule=Schedule(epochs=epochs, seed=seed))
    return learnt.encoder.edits[0]


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """A row a remedy, with intervals, and the published ones below."""
    rows: list[dict[str, object]] = []
    for remedy, measures in table.groupby("remedy", sort=False):
        row: dict[str, object] = {"remedy": remedy}
        for measure in MEASURES:
            condition = "plain" if measure == "accuracy" else "watermark"
            values = measures[(measures["measure"] == measure) & (measures["condition"] == condition)]
            if len(values):
                estimate, low, high = values[["estimate", "low", "high"]].to_numpy()[0]
                row |= {measure: estimate, f"{measure}_low": low, f"{measure}_high": high}
        rows.append(row)
    published = EFFECTS["imagenet-w"].published
    return pd.DataFrame([*rows, *({"remedy": f"published: {entry.model}", **entry.values} for entry in published)])


if __name__ == "__main__":
    main()
