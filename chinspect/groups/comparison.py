"""Heads on the same test images, by group: what each saves of the group that the first one fails most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from chinspect.groups.groups import Groups
from chinspect.groups.quality import accuracy_by_group
from chinspect.intervals import paired_difference
from chinspect.readouts import worst_group

_ENDS = ("", "_low", "_high")  # of the columns of a number and its interval
_SHOWN = ("head", "worst", "worst_low", "worst_high", "worst_group", "balanced", "mean", "adjusted", "gain", "margin")


def compare_heads(
    labels: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    judged: Groups,
    *,
    train_sizes: ArrayLike | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions by name, the first of which stands for before, and the last for a control.

    Args:
        labels: (N,), the classes.
        predictions: by the name of a head, (N,) each.
        judged: the groups of the images.
        train_sizes: images of each group in the training data, where that is known.

    Returns:
        A row a head: ``head``; ``worst``, the lowest accuracy of a group, with its 95 % Wilson interval and its name,
        ``worst_group``; ``balanced`` and ``mean`` accuracy; with sizes ``adjusted``, the mean over groups weighted by
        them; ``gain`` over the first head and ``margin`` over the last one, both on the images of the group that is
        worst by the first head, with 95 % intervals of paired data. A group that was selected for being worst does
        better a second time, by chance: of that the gain has something, and the margin nothing. And a row a
        head and group, see `chinspect.readouts.score_groups`.
    """
    truth = np.asarray(labels)
    summaries: dict[str, dict[str, Any]] = {}
    each = []
    for name, predicted in predictions.items():
        summary, table = accuracy_by_group(truth, predicted, judged, train_sizes=train_sizes)
        summaries[name] = {"head": name, **summary, "worst_group": str(worst_group(table)["group"])}
        each.append(table.assign(head=name))
    names = list(predictions)
    first, last = names[0], names[-1]
    members = judged.ids == judged.names.index(summaries[first]["worst_group"])
    right = {name: (np.asarray(predicted) == truth)[members] for name, predicted in predictions.items()}
    for name, row in summaries.items():
        for column, other in {"gain": first, "margin": last}.items():
            row |= zip([column + end for end in _ENDS], paired_difference(right[other], right[name]), strict=True)
    return pd.DataFrame(list(summaries.values())), pd.concat(each, ignore_index=True)


def shown_columns(table: pd.DataFrame) -> pd.DataFrame:
    """What a user reads first of the heads that are compared: the table without the ends of most intervals."""
    return table[[column for column in _SHOWN if column in table]]
