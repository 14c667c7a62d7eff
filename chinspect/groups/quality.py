"""How good groups are, apart from what is trained on them; and how right a head is for each group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import adjusted_rand_score

from chinspect.groups.groups import Groups
from chinspect.readouts import ALL, score_groups, worst_group


def group_quality(groups: Groups, truth: Groups) -> dict[str, Any]:
    """How well groups agree with the true ones.

    Returns:
        ``adjusted_rand_index``: 1 for the same groups, 0 by chance, in the mean over classes of several groups, so
        that telling classes apart counts for nothing; ``worst_recall``, ``worst_precision`` and ``worst_size`` of the
        smallest true group, for the group that holds most of it; ``n_groups``, their number.
    """
    scores = []
    for name in np.unique(truth.labels):
        members = truth.labels == name
        if len(np.unique(truth.ids[members])) > 1:  # a class that is one group agrees with anything that leaves it so
            scores.append(adjusted_rand_score(truth.ids[members], groups.ids[members]))
    smallest = truth.ids == int(truth.sizes.argmin())
    best = int(np.bincount(groups.ids[smallest], minlength=len(groups.names)).argmax())
    held = (groups.ids == best) & smallest
    return {
        "adjusted_rand_index": float(np.mean(scores)) if scores else np.nan,
        "worst_recall": float(held.sum() / smallest.sum()),
        "worst_precision": float(held.sum() / (groups.ids == best).sum()),
        "worst_size": int(smallest.sum()),
        "n_groups": len(groups.names),
    }


def accuracy_by_group(
    labels: ArrayLike, predicted: ArrayLike, groups: Groups, *, train_sizes: ArrayLike | None = None
) -> tuple[dict[str, float], pd.DataFrame]:
    """Accuracies of predictions over groups, and a row a group with Wilson intervals (see `score_groups`).

    Args:
        train_sizes: images of each group in the training data: the *adjusted* mean weighs groups by them, as the mean
            accuracy of Waterbirds does by convention.

    Returns:
        ``worst``, ``worst_low`` and ``worst_high`` of the group with the lowest accuracy, ``balanced`` (the mean over
        groups), ``mean`` (over images), and ``adjusted`` where there are sizes.
    """
    names = [groups.names[group] for group in groups.ids]
    table = score_groups(labels, predicted, names)
    worst = worst_group(table)
    each = table[table["group"] != ALL].set_index("group")["accuracy"].reindex(groups.names)
    summary = {
        "worst": float(worst["accuracy"]),
        "worst_low": float(worst["accuracy_low"]),
        "worst_high": float(worst["accuracy_high"]),
        "balanced": float(each.mean()),
        "mean": float(table["accuracy"].iloc[0]),
    }
    if train_sizes is not None:
        summary["adjusted"] = float(np.average(each, weights=np.asarray(train_sizes)))
    return summary, table
