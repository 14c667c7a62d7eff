"""Seconds of ROAD, by chinspect, by pytorch-grad-cam and by its definition, and of the other metrics of maps.

A map of 7 x 7 cells of a photograph-like image on EfficientNet-Lite0 with its classifier, nine percentiles, most and
least relevant first: 18 systems of equations of 5,018 to 45,158 unknowns, and 18 passes. Prints one JSON document with
seconds of one thread (best of --repeat), those of the clock with all cores, and how far the values of the tools are
apart without noise.

    python experiments/benchmarks/metrics.py [--repeat 3] [--peers]

--peers also runs pytorch-grad-cam, where it is installed, and scipy's general solver on the same systems.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import torch
from scipy.sparse.linalg import spsolve
from torch import Tensor

from chinspect.encoders import Encoder, load_classifier
from chinspect.faithfulness import deletion_curve, imputed, insertion_curve, masked_score, road
from chinspect.faithfulness.changed import enlarged, first_pixels, pixel_order
from chinspect.faithfulness.debiased import PERCENTILES
from chinspect.faithfulness.imputing import _dissected
from chinspect.world import scenes
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options

CLASS = 569
"""A garbage truck."""
OPTIONS = (option("repeat", 3), option("peers", False, "other tools as well, which takes minutes"))


def main() -> None:
    """Runs everything and prints the document."""
    options = read_options(__doc__, OPTIONS, seed=0)
    torch.set_num_threads(1)
    classifier = load_classifier("efficientnet-lite0")
    x = classifier.prepare(scenes(1, seed=options.seed, size=288)[0].image)
    relevance = np.random.default_rng(options.seed).random((7, 7))
    score = partial(probability, classifier)
    sets = removed_sets(x, relevance)
    # of one thread the clock of the process, which others hardly disturb
    measure = partial(timed, repeat=options.repeat, clock=time.process_time)
    imputation, _ = measure(lambda: imputed(x, sets))
    seconds, ours = measure(lambda: road(score, x, relevance, noise=0).combined)
    result: dict[str, Any] = {"ROAD": {"chinspect": round(seconds, 2), "of which imputation": round(imputation, 2)}}
    for name, function in (("insertion", insertion_curve), ("deletion", deletion_curve), ("drop", masked_score)):
        result[name] = round(measure(partial(function, score, x, relevance))[0], 2)
    result["18 passes"] = round(measure(lambda: passes(score, x))[0], 2)
    if options.peers:
        result["ROAD"] |= peers(classifier, x, relevance, ours, sets)
    torch.set_num_threads(os.cpu_count() or 1)
    together, _ = timed(lambda: road(score, x, relevance), repeat=options.repeat)
    result["ROAD"][f"chinspect, by the clock with {os.cpu_count()} cores"] = round(together, 2)
    print(json.dumps(result, indent=2))


def probability(classifier: Encoder, images: Tensor) -> Tensor:
    """Of one class (n,)."""
    return classifier.module(images).softmax(1)[:, CLASS]


def passes(score: Any, x: Tensor) -> None:
    """As many as ROAD takes, one image at a time."""
    with torch.no_grad():
        for _ in range(2 * len(PERCENTILES)):
            score(x)


def removed_sets(x: Tensor, relevance: np.ndarray) -> Tensor:
    """The 18 sets of removed pixels (18, H, W)."""
    order = pixel_order(enlarged(relevance, tuple(x.shape[2:])), 0)
    counts = torch.tensor([round(len(order) * (100 - value) / 100) for value in PERCENTILES])
    return torch.cat([first_pixels(pixels, counts, tuple(x.shape[2:])) for pixels in (order, order.flip(0))])


def peers(classifier: Encoder, x: Tensor, relevance: np.ndarray, ours: float, sets: Tensor) -> dict[str, Any]:
    """Seconds of others, and how far they are from us without their noise."""
    general = timed(lambda: solved_generally(x, sets), clock=time.process_time)[0]
    result: dict[str, Any] = {"imputation by scipy's spsolve": round(general, 2)}
    warnings.simplefilter("ignore")
    try:
        from pytorch_grad_cam.metrics.road import ROADCombined
    except ImportError:
        return result
    torch.randn_like = torch.zeros_like  # its noise has no seed
    network = torch.nn.Sequential(classifier.module, torch.nn.Softmax(1))
    map_ = enlarged(relevance, tuple(x.shape[2:])).numpy()[None]
    target = [lambda output: output[CLASS]]
    seconds, theirs = timed(lambda: ROADCombined()(x, map_, target, network), clock=time.process_time)
    return result | {"pytorch-grad-cam": round(seconds, 2), "difference to it": float(abs(theirs[0] - ours))}


def solved_generally(x: Tensor, sets: Tensor) -> None:
    """The same systems, each by the default ordering of SuperLU."""
    order, laplacian = _dissected(*x.shape[2:])
    natural = laplacian[np.argsort(order)][:, np.argsort(order)].tocsr()
    pixels = x[0].flatten(1).T.double().numpy()
    for hidden in sets.flatten(1).numpy():
        unknown = np.flatnonzero(hidden)
        rows = natural[unknown]
        spsolve(rows[:, unknown].tocsc(), -(rows[:, np.flatnonzero(~hidden)] @ pixels[~hidden]))


if __name__ == "__main__":
    main()
