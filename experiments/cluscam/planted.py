"""The same maps where the cause is known: scenes that a bundled encoder takes for garbage trucks by a logo alone.

    python experiments/cluscam/planted.py [--model tiny-simclr] [--images 24] [--out DIR] [--smoke]

The scenes and the proof are those of ``experiments/metrics``: the logo *is* what the probability depends on, by
removal. ``methods.csv`` has a row a method, with means over scenes and 95 % intervals: how much of the positive
relevance lies on the logo, whether the maximum does, ROAD and drop, beside the controls of `chinspect.faithfulness`.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch

from chinspect.cam import cam
from chinspect.encoders import Encoder, load_encoder
from chinspect.explain import MAP_METHODS
from chinspect.faithfulness import complexity, judge
from experiments.metrics.__main__ import CLASSES, TRUCK, Case, probability, proven_cases, readout_on, with_interval
from experiments.study import Run, option, read_options

METHODS = (
    *("rescale", "lrp", "gradcam", "gradcam++", "hirescam", "layercam", "scorecam", "ablationcam", "shapcam"),
    *("cluscam", "eigencam"),
)
METRICS = ("relevance mass", "pointing game", "removal", "ROAD", "drop", "increase")
OPTIONS = (
    option("model", "tiny-simclr"),
    option("images", 24),
    option("scenes", 400),
    option("training", 1200),
    option("masks", 1000, "of RISE"),
)
SMOKE = {"images": 2, "scenes": 80, "training": 160, "masks": 16}


def main() -> None:
    """Fills the table."""
    options = read_options(__doc__, OPTIONS, out="results/cluscam-planted", smoke=SMOKE, seed=0)
    with Run(options) as run:
        classifier = readout_on(load_encoder(options.model), options.training)
        cases, proof = proven_cases(classifier, options.scenes, options.images)
        run.write(proof, "proof", decimals=3)
        run.write(judged(classifier, cases, options.masks, options.seed), "methods", decimals=3)
        run.facts["scenes"] = len(cases)


def judged(classifier: Encoder, cases: list[Case], masks: int, seed: int) -> pd.DataFrame:
    """A row a method, and a control."""
    x = torch.cat([case.x for case in cases])
    weights = torch.eye(len(CLASSES))[[TRUCK] * len(cases)]
    maps: dict[str, Any] = {name: MAP_METHODS[name](classifier, x, weights) for name in METHODS}
    maps["rise"] = cam("rise", classifier.module, x, target=weights, masks=masks)
    logos = np.stack([case.scene.logo for case in cases])
    score = partial(probability, classifier)
    judgement = judge(score, x, maps, metrics=METRICS, masks=logos, random_state=seed)
    rows = []
    for number, name in enumerate(judgement.maps):
        row: dict[str, Any] = {"method": name}
        for metric, values in zip(METRICS, judgement.values, strict=True):
            row = with_interval(row, metric, values[number])
        rows.append(row)
    extent = float(np.mean([complexity(torch.from_numpy(logo).float()) for logo in logos]))
    return pd.DataFrame(rows).assign(area_of_logo=extent)


if __name__ == "__main__":
    main()
