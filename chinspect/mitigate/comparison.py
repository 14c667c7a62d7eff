"""One table for every remedy: what it saves, what it costs, and whether the artefact is really gone.

An accuracy that recovers is not enough: a readout may have learnt to do without the artefact that the encoder still
sees. So beside the accuracies stand the worst group, the relevance on the artefact and the similarity that it makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.intervals import paired_difference
from chinspect.mitigate.measures import reliance
from chinspect.readouts import ALL, ORIGINAL, SHIFTED, Pairs, Task, worst_group

BEFORE = "none"
KEYS = ["mitigation", "readout"]
_ENDS = ("", "_low", "_high")  # of the columns of a number and its interval
_AVERAGED = [ORIGINAL, SHIFTED, "drop", "worst_group", "relevance_share", "similarity_shift"]


def compare_mitigations(
    encoders: Mapping[str, Encoder], task: Task, pairs: Pairs, *, control: str | None = None
) -> pd.DataFrame:
    """Judge encoders by the same task and the same pairs of images.

    Args:
        encoders: by the name of the remedy; ``none`` is the encoder before.
        task: with the states original and shifted; at least two readouts, as what helps one may harm another.
        pairs: images for `reliance`.
        control: the name of a remedy that all are compared with.

    Returns:
        One row a remedy and readout: original and shifted accuracy with 95 % Wilson intervals, drop (their difference),
        worst_group (the lowest accuracy of a group in either state), its name and number of images, relevance_share,
        area, similarity_shift; and, where ``none`` is among the encoders, cost (of original accuracy) and recovered
        (the fraction of the drop that is gone; nan where there was none), and gain, that of shifted accuracy; with a
        control also margin, the shifted accuracy less the control's. Gain and margin carry 95 % intervals of paired
        data (`paired_difference`).
    """
    predictions = {name: task.predict(encoder) for name, encoder in encoders.items()}
    rows = []
    for name, encoder in encoders.items():
        relied = asdict(reliance(encoder, pairs))
        for readout, scores in task.score_predictions(predictions[name]).groupby("readout", sort=False):
            row = dict(zip(KEYS, (name, readout), strict=True)) | _accuracies(scores) | relied
            for column, other in {"gain": BEFORE, "margin": control}.items():
                if other in predictions:
                    reference, right = (_right(predictions[one], str(readout)) for one in (other, name))
                    row |= zip([column + end for end in _ENDS], paired_difference(reference, right), strict=True)
            rows.append(row)
    table = pd.DataFrame(rows)
    return _against_before(table) if BEFORE in encoders else table


def finding(table: pd.DataFrame, remedy: str, control: str) -> str:
    """What a table of `compare_mitigations` says of a remedy, in a sentence a readout, by its 95 % intervals.

    A remedy helps if the interval of its gain lies above 0, and harms if it lies below. It is told from its control by
    the interval of its margin.
    """
    words = {1: f"{remedy} helps", 0: f"no effect of {remedy} is certain", -1: f"{remedy} harms"}
    sentences = []
    for readout, rows in table.groupby("readout", sort=False):
        before, after, other = (rows[rows["mitigation"] == name].iloc[0] for name in (BEFORE, remedy, control))
        effect = int(after["gain_low"] > 0) - int(after["gain_high"] < 0)
        change = f"{before[SHIFTED]:.1%} -> {after[SHIFTED]:.1%} with the artefact"
        text = f"{readout}: {words[effect]} ({change}, {after['cost']:+.1%} cost without it)"
        if effect > 0 and after["margin_low"] <= 0:
            text += f", but {control} may do as much ({other[SHIFTED]:.1%})"
        if before["drop"] <= 0:
            text += "; the artefact costs this readout nothing to begin with"
        sentences.append(text)
    return "\n".join(sentences)


def average_over_seeds(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Means of tables of the same remedies and readouts, with 95 % t intervals (``_low``, ``_high``) over the tables.

    The fractions of drops that are gone are averaged as ``1 - sum drop / sum drop before``, not as ratios.

    Raises `InputError` if a table lacks a row that another one has: its seed would be left out of one mean only.
    """
    if len({frozenset(table[KEYS].itertuples(index=False, name=None)) for table in tables}) != 1:
        raise InputError("Averages over seeds take tables of the same remedies and readouts, one a seed.")
    groups = pd.concat(tables, ignore_index=True).groupby(KEYS, sort=False)[_AVERAGED]
    # a seed that lacks a number is not passed over
    means = groups.agg(lambda values: values.mean(skipna=False))  # type: ignore[misc]
    # 2.5 % on each side; one table alone has no spread
    half = groups.sem() * t.ppf(0.975, len(tables) - 1)
    table = means.join([(means - half).add_suffix("_low"), (means + half).add_suffix("_high")])
    columns = ["seeds", *(name + end for name in _AVERAGED for end in _ENDS)]
    return _against_before(table.assign(seeds=len(tables))[columns].reset_index())


def _accuracies(scores: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for state in (ORIGINAL, SHIFTED):
        overall = scores[(scores["state"] == state) & (scores["group"] == ALL)].iloc[0]
        row |= {f"{state}{end}": overall[f"accuracy{end}"] for end in _ENDS}
    worst = worst_group(scores)
    row |= {"worst_group_name": worst["group"], "worst_group_n": worst["n"]}
    return row | {"drop": row[ORIGINAL] - row[SHIFTED], "worst_group": worst["accuracy"]}


def _right(predictions: pd.DataFrame, readout: str) -> np.ndarray:
    """Which shifted images a readout gets right."""
    rows = predictions[(predictions["readout"] == readout) & (predictions["state"] == SHIFTED)]
    return (rows["label"] == rows["predicted"]).to_numpy()


def _against_before(table: pd.DataFrame) -> pd.DataFrame:
    """With the cost, and the recovered fraction of the drop, against the encoder before."""
    before = table[table["mitigation"] == BEFORE].set_index("readout")
    original = table["readout"].map(before[ORIGINAL])
    drop = table["readout"].map(before["drop"])
    return table.assign(cost=original - table[ORIGINAL], recovered=(1 - table["drop"] / drop).where(drop > 0))
