"""One table for every remedy: what it saves, what it costs, and whether the artefact is really gone.

An accuracy that recovers is not enough: a readout may have learnt to do without the artefact that the encoder still
sees. So beside the accuracies stand the worst group, the relevance on the artefact and the similarity that it makes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import t

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.intervals import paired_difference
from chinspect.mitigate.measures import reliance
from chinspect.readouts import ALL, ORIGINAL, SHIFTED, Task, worst_group

BEFORE = "none"
KEYS = ["mitigation", "readout"]


def compare_mitigations(
    encoders: Mapping[str, Encoder],
    task: Task,
    with_artefact: Sequence[Image.Image],
    without: Sequence[Image.Image],
    *,
    control: str | None = None,
    cache: str | Path | None = None,
) -> pd.DataFrame:
    """Judge encoders by the same task and the same pairs of images.

    Args:
        encoders: by the name of the remedy; ``none`` is the encoder before.
        task: with the states original and shifted; at least two readouts, as what helps one may harm another.
        with_artefact, without: the same images, for `reliance`.
        control: the name of a remedy that all are compared with.
        cache: a folder for embeddings.

    Returns:
        One row a remedy and readout: original and shifted accuracy with 95 % Wilson intervals, drop (their difference),
        worst_group (the lowest accuracy of a group in either state), its name and number of images, relevance_share,
        area, similarity_shift; and, where ``none`` is among the encoders, cost (of original accuracy) and recovered
        (the share of the drop that is gone; nan where there was none), and gain, that of shifted accuracy; with a
        control also margin, the shifted accuracy less the control's. Gain and margin carry 95 % intervals of paired
        data (`paired_difference`).
    """
    predicted = {name: task.predict(encoder, cache=cache) for name, encoder in encoders.items()}
    others = {"gain": BEFORE, "margin": control}
    rows = []
    for name, encoder in encoders.items():
        relied = asdict(reliance(encoder, with_artefact, without))
        for readout, table in task.score_predictions(predicted[name]).groupby("readout", sort=False):
            row = {"mitigation": name, "readout": readout} | _accuracies(table) | relied
            for column, other in others.items():
                if other in predicted:
                    row |= _paired(column, *(_right(predicted[one], str(readout)) for one in (other, name)))
            rows.append(row)
    found = pd.DataFrame(rows)
    return _against(found) if BEFORE in encoders else found


def finding(table: pd.DataFrame, remedy: str, control: str) -> str:
    """What a table of `compare_mitigations` says of a remedy, in a sentence a readout, by its 95 % intervals.

    A remedy helps if the interval of its gain lies above 0, and harms if it lies below. It is told from its control by
    the interval of its margin.
    """
    sentences = []
    for readout, rows in table.groupby("readout", sort=False):
        before, after, other = (rows[rows["mitigation"] == name].iloc[0] for name in (BEFORE, remedy, control))
        value = f"{before[SHIFTED]:.1%} -> {after[SHIFTED]:.1%} with the artefact"
        words = {1: f"{remedy} helps", 0: f"no effect of {remedy} is certain", -1: f"{remedy} harms"}
        effect = int(after["gain_low"] > 0) - int(after["gain_high"] < 0)
        text = f"{readout}: {words[effect]} ({value}, {after['cost']:+.1%} cost without it)"
        if effect > 0 and after["margin_low"] <= 0:
            text += f", but {control} may do as much ({other[SHIFTED]:.1%})"
        if before["drop"] <= 0:
            text += "; the artefact costs this readout nothing to begin with"
        sentences.append(text)
    return "\n".join(sentences)


def average_over_seeds(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Means of tables of the same remedies and readouts, with 95 % t intervals (``_low``, ``_high``) over the tables.

    The shares of drops that are gone are averaged as ``1 - sum drop / sum drop before``, not as ratios.

    Raises `InputError` if a table lacks a row that another one has: its seed would be left out of one mean only.
    """
    if len({frozenset(table[KEYS].itertuples(index=False, name=None)) for table in tables}) != 1:
        raise InputError("Averages over seeds take tables of the same remedies and readouts, one a seed.")
    joined = pd.concat(tables, ignore_index=True)
    columns = [ORIGINAL, SHIFTED, "drop", "worst_group", "relevance_share", "similarity_shift"]
    rows: list[dict[str, Any]] = []
    for keys, group in joined.groupby(KEYS, sort=False):
        row: dict[str, Any] = dict(zip(KEYS, keys, strict=True)) | {"seeds": len(group)}
        for column in columns:
            row |= _interval(column, group[column].to_numpy(dtype=float))
        rows.append(row)
    return _against(pd.DataFrame(rows))


def _accuracies(table: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for state in (ORIGINAL, SHIFTED):
        whole = table[(table["state"] == state) & (table["group"] == ALL)].iloc[0]
        row |= {f"{state}{end}": whole[f"accuracy{end}"] for end in ("", "_low", "_high")}
    worst = worst_group(table)
    drop = row[ORIGINAL] - row[SHIFTED]
    row |= {"worst_group_name": worst["group"], "worst_group_n": worst["n"]}
    return row | {"drop": drop, "worst_group": worst["accuracy"]}


def _right(predictions: pd.DataFrame, readout: str) -> np.ndarray:
    """Which shifted images a readout gets right."""
    rows = predictions[(predictions["readout"] == readout) & (predictions["state"] == SHIFTED)]
    return (rows["label"] == rows["predicted"]).to_numpy()


def _paired(name: str, before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), paired_difference(before, after), strict=True))


def _against(table: pd.DataFrame) -> pd.DataFrame:
    """With cost and recovered share against the encoder before."""
    before = table[table["mitigation"] == BEFORE].set_index("readout")
    original, drop = (table["readout"].map(before[column]) for column in (ORIGINAL, "drop"))
    return table.assign(cost=original - table[ORIGINAL], recovered=(1 - table["drop"] / drop).where(drop > 0))


def _interval(name: str, values: np.ndarray) -> dict[str, float]:
    n, mean = len(values), float(values.mean())
    half = float(t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
