"""Who is classified how well: a linear readout of COVID-19 by source, and what else a readout can tell.

The published test set has as many positives as negatives, so that its class-balanced accuracy of 87.5 % is a plain
accuracy too. The 81.7 % of GitHub can only be a plain one: with an FPR of 51 % the mean of both recalls is at most
74.5 %. So the published values stand beside accuracies, and balanced accuracies are given as well.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from xray_data import Embedded, divided, tasks

from chinspect.datasets import NIH, XrayImages
from chinspect.readouts import ALL, LinearReadout, score_groups

PAPER = {ALL: (87.5, None), NIH: (100.0, 0.0), "github": (81.7, 51.0)}
"""Accuracy and FPR in per cent, PubMedCLIP (Kauffmann et al. 2025, Table 1)."""
_SHARES = ("accuracy", "balanced_accuracy", "fpr", "fnr")


def readout(vectors: Embedded, train: XrayImages) -> LinearReadout:
    """A linear support vector machine with the published parameters."""
    return LinearReadout(kind="svm").fit(vectors.of(train), np.array(train.labels))


def by_source(vectors: Embedded, images: XrayImages, seeds: int) -> pd.DataFrame:
    """Scores of each group and seed: all test images, each source, and the findings of NIH."""
    tables = []
    for seed in range(seeds):
        train, test = divided(images, seed)
        called = readout(vectors, train).predict(vectors.of(test))
        table = score_groups(test.labels, called, test.sources, positive=1)
        nih = np.array(test.sources) == NIH
        if nih.any() and len({*_findings(test)[nih]}) > 1:
            parts = score_groups(np.array(test.labels), called, _findings(test).tolist(), positive=1)
            table = pd.concat([table, parts[parts["group"].str.startswith(f"{NIH}:")]])
        tables.append(table.assign(seed=seed))
    return pd.concat(tables, ignore_index=True)


def averaged(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds in per cent, with the paper's values.

    The bounds are means of the seeds' Wilson bounds: the interval of one test set. Tests of several seeds share images,
    so that theirs together would be too narrow.
    """
    keys = ["encoder", "group"]
    columns = [name for name in scores.columns if name.startswith(_SHARES)]
    table = scores.groupby(keys, sort=False)[columns].mean().mul(100).reset_index()
    table.insert(2, "n", scores.groupby(keys, sort=False)["n"].mean().to_numpy())
    published = [PAPER.get(group, (None, None)) for group in table["group"]]
    for place, name in enumerate(("accuracy", "fpr")):
        table[f"paper_{name}"] = pd.array([pair[place] for pair in published], dtype="Float64").to_numpy(
            dtype=float, na_value=np.nan
        )
    return table


def by_task(vectors: Embedded, images: XrayImages, seeds: int) -> pd.DataFrame:
    """What a readout of the same kind can tell, on patients that it has not seen; 50 % is chance.

    If the sources are told apart as well as COVID-19, and a disease within one source is not, the readout of COVID-19
    may have learnt the source.
    """
    rows = []
    for name, task in tasks(images).items():
        for seed in range(seeds):
            train, test = task.split(0.2, seed=seed)
            model = readout(vectors, train)
            scores = score_groups(test.labels, model.predict(vectors.of(test)), positive=1).iloc[0]
            area = roc_auc_score(test.labels, model.decision_function(vectors.of(test)))
            row = {"task": name, "seed": seed, "n": len(test), "positive": sum(test.labels)}
            rows.append(row | {share: 100 * scores[share] for share in _SHARES} | {"auroc": 100 * float(area)})
    return pd.DataFrame(rows)


def _findings(images: XrayImages) -> np.ndarray:
    pairs = zip(images.sources, images.findings, strict=True)
    kinds = [f"{source}: {'' if 'pneumonia' in finding.lower() else 'no '}pneumonia" for source, finding in pairs]
    return np.array(kinds, dtype=object)
