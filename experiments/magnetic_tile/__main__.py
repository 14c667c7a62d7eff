"""PatchCore with a real network on photographs of real defects: does it find them, and is its explanation right?

    python experiments/magnetic_tile --root MAGNETIC_TILE [--train 234] [--coreset 0.05] [--out DIR] [--smoke]

MAGNETIC_TILE is one category in the layout of MVTec AD, such as the magnetic tiles of Huang et al. 2020, which are not
aligned, so that distances between pixels say little.

``auroc.csv``, a row a detector and type of defect: image AUROC with its 95 % bootstrap interval over images. Controls
are the brightness of an image (its distance to the median of the normal ones) and D2Neighbors. Where they are
installed, PatchCore of anomalib and of its authors (patchcore-inspection) is fitted on the same features, with a
coreset of its own and with the bank of ours, where scores should agree (``run.json``).

``explained.csv``, a row a method, over the defects that score highest of each type: which fraction of the positive
relevance lies in the mask of the defect (beside the fraction of the area, and what an even map would give), whether
relevance is conserved, and what scores lose without their most relevant patches.

``run.json`` also holds seconds, for a fit and for the score of an image.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from chinspect.anomaly import AnomalyExplanation, D2Neighbors, PatchCore, explain_anomaly
from chinspect.datasets import MVTecCategory, load_mvtec
from chinspect.encoders import DEFAULT
from chinspect.images.resizers import load_inputs
from chinspect.intervals import mean_interval
from experiments.magnetic_tile.peers import measure_anomalib, measure_authors
from experiments.study import Run, option, read_options

GOOD = "good"
RESIZER = "pillow-bilinear"
PEERS = {"anomalib": measure_anomalib, "patchcore-inspection": measure_authors}
METHODS = ("rescale", "lrp")
EMBEDDINGS = ("kauffmann2025", "anomalib")  # the last one is compared with anomalib, and explained
OPTIONS = (
    option("root", None, "a category in the layout of MVTec AD", type=Path, required=True),
    option("backbone", DEFAULT, "an encoder's name"),
    option("train", 234, "normal images to fit on, evenly drawn; a third of the magnetic tiles"),
    option("coreset", 0.05, "fraction of the patches that the bank holds"),
    option("explained", 4, "defects of each type that are explained"),
    option("limit", 0, "test images of each type at most; 0 for all"),
)
Scores = NDArray[Any]


def main() -> None:
    """Fits, scores, explains, and writes the tables."""
    options = read_options(
        __doc__, OPTIONS, out="results/magnetic_tile", smoke={"train": 12, "explained": 1, "limit": 6}, seed=0
    )
    with Run(options) as run:
        data = load_mvtec(options.root.parent, options.root.name)
        tested = selected(data, options.limit)
        spread = np.linspace(0, len(data.train) - 1, min(options.train, len(data.train))).round().astype(int)
        train = load_inputs([data.train[i] for i in spread], RESIZER, 224)
        test = load_inputs([data.test[i] for i in tested], RESIZER, 224)
        types = np.array([data.types[i] for i in tested])
        rows = []
        for name, scores in detectors(train, test, options, run):
            rows += aurocs(name, scores, types)
            run.write(pd.DataFrame(rows), "auroc", decimals=3)
        run.write(
            explanations(run.facts.pop("detector"), data, np.array(tested), test, options), "explained", decimals=3
        )


def selected(data: MVTecCategory, limit: int) -> list[int]:
    """Indices of test images, of each type as many as the limit allows."""
    counts: dict[str, int] = {}
    indices = []
    for index, kind in enumerate(data.types):
        counts[kind] = counts.get(kind, 0) + 1
        if not limit or counts[kind] <= limit:
            indices.append(index)
    return indices


def detectors(train: Tensor, test: Tensor, options: argparse.Namespace, run: Run) -> Iterator[tuple[str, Scores]]:
    """Scores of the test images by each detector, and in the facts of the run how long it took."""
    brightness = train.mean((1, 2, 3)).median()
    yield "brightness", (test.mean((1, 2, 3)) - brightness).abs().numpy()
    yield "d2neighbors", D2Neighbors(resizer=RESIZER).fit(train).decision_function(test)
    for embedding in EMBEDDINGS:
        detector = PatchCore(
            backbone=options.backbone, embedding=embedding, coreset=options.coreset, random_state=options.seed
        )
        fit_seconds, _ = clocked(lambda detector=detector: detector.fit(train))
        score_seconds, scores = clocked(lambda detector=detector: detector.decision_function(test))
        run.facts[f"seconds of patchcore {embedding}"] = {
            "fit, with held-out scores of 5 folds": fit_seconds,
            "score of an image": score_seconds / len(test),
        }
        yield f"patchcore {embedding}", scores
    run.facts["detector"] = detector
    for name, measure in PEERS.items():
        peer = measure(detector, train, test, options.coreset)
        if peer is None:
            continue
        run.facts[f"seconds of {name}"] = {"fit": peer.fit_seconds, "score of an image": peer.score_seconds}
        expected = scores if name == "anomalib" else detector.nearest_patches(test)["distance"].to_numpy()
        difference = np.abs(peer.on_our_bank - expected) / np.abs(expected)
        run.facts[f"largest relative difference to {name} with one bank"] = float(difference.max())
        yield name, peer.scores


def clocked(function: Any) -> tuple[float, Any]:
    """Seconds, and what the function returns."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def aurocs(name: str, scores: Scores, types: NDArray[np.str_]) -> list[dict[str, Any]]:
    """A row a type of defect, and their mean."""
    rows = []
    for kind in sorted(set(types) - {GOOD}):
        mask = (types == kind) | (types == GOOD)
        rows.append({"detector": name, "defect": kind, **auroc(scores[mask], types[mask] == kind)})
    mean = {key: float(np.mean([row[key] for row in rows])) for key in ("auroc",)}
    return [*rows, {"detector": name, "defect": "mean", **mean}]


def auroc(scores: Scores, defect: NDArray[np.bool_], resamples: int = 1000) -> dict[str, float]:
    """The AUROC and its percentile interval over images, both classes drawn again on their own."""
    generator = np.random.default_rng(0)
    samples = []
    for _ in range(resamples):
        drawn = [generator.choice(np.flatnonzero(defect == value), (defect == value).sum()) for value in (False, True)]
        indices = np.concatenate(drawn)
        samples.append(roc_auc_score(defect[indices], scores[indices]))
    low, high = np.quantile(samples, [0.025, 0.975])
    return {"auroc": float(roc_auc_score(defect, scores)), "auroc_low": float(low), "auroc_high": float(high)}


def explanations(
    detector: PatchCore, data: MVTecCategory, tested: NDArray[np.int64], test: Tensor, options: argparse.Namespace
) -> pd.DataFrame:
    """A row a method, over the defects that score highest of each type."""
    scores = detector.decision_function(test)
    types = np.array([data.types[i] for i in tested])
    kinds = sorted(set(types) - {GOOD})
    members = [np.flatnonzero(types == kind) for kind in kinds]
    shown = np.concatenate([indices[np.argsort(-scores[indices])][: options.explained] for indices in members])
    masks = np.stack([resized(data.mask(int(tested[i]))) for i in shown])
    rows = []
    for method in METHODS:
        seconds, explanation = clocked(lambda method=method: explain_anomaly(detector, test[shown], method=method))
        rows.append({"method": method, **localisation(explanation, masks), "seconds": seconds / len(shown)})
    return pd.DataFrame(rows)


def localisation(explanation: AnomalyExplanation, masks: NDArray[np.bool_]) -> Mapping[str, Any]:
    """Where the relevance of defects lies, and how much of the score it is."""
    positive = explanation.relevance[:, 0].clip(min=0)
    inside = (positive * masks).sum((1, 2)) / positive.sum((1, 2))
    low, high = mean_interval(inside)
    total = explanation.relevance.sum((1, 2, 3)) + explanation.reference
    made = [item for item in explanation.deletions if item is not None]
    falls = pd.concat([item.table.query("fraction == 0.1") for item in made])
    return {
        "images": len(masks),
        "in mask": float(inside.mean()),
        "in mask_low": low,
        "in mask_high": high,
        "area of mask": float(masks.mean()),
        "relevance + reference over score": float((total / explanation.score).mean()),
        "relevance over score": float((explanation.relevance.sum((1, 2, 3)) / explanation.score).mean()),
        "falls without 10 %": float(falls["most_relevant"].mean()),
        "falls without random 10 %": float(falls["random"].mean()),
    }


def resized(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (H, W) at the size of the detector's input."""
    image = torch.from_numpy(mask)[None, None].float()
    return torch.nn.functional.interpolate(image, (224, 224), mode="area")[0, 0].numpy() > 0


if __name__ == "__main__":
    main()
