"""Readouts on an encoder, judged by subgroup: what is right, for whom it is least often, and what is called falsely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from chinspect.artefacts import Artefact
from chinspect.encoders import EditedEncoder, Encoder, as_encoder
from chinspect.errors import InputError
from chinspect.images import cropped_in_words
from chinspect.readouts.folders import Split, load_classes, read_groups
from chinspect.readouts.heads import LinearHead
from chinspect.readouts.scores import ALL, each_state, score_classes, worst_group
from chinspect.readouts.task import folder_task
from chinspect.report import Result

_KEYS = ["readout", "state"]


@dataclass(frozen=True, eq=False, repr=False)
class ReadoutScores(Result):
    """What readouts make of an encoder. Each table has the columns readout and state.

    Of a mitigated encoder, the states of the one that it comes from are called original and shifted, and its own
    ``mitigated, original`` and ``mitigated, shifted``.

    Attributes:
        encoder: its name.
        train, test: numbers of images to fit on and to judge on.
        rows: `score_groups`.
        worst: those rows of the groups that have the lowest accuracy.
        classes: `score_classes`.
        confusion: numbers of images, n, by label and prediction, those that are not 0.
        cropped: what the encoder does not see of the images, in words.
    """

    stem = "readouts"

    encoder: str
    train: int
    test: int
    rows: pd.DataFrame
    worst: pd.DataFrame
    classes: pd.DataFrame
    confusion: pd.DataFrame
    cropped: str = ""

    @property
    def sentence(self) -> str:
        """A line a readout and state: who pays, and what others are taken for."""
        most = self.classes.sort_values("fpr", na_position="first").groupby(_KEYS).tail(1)
        lines = []
        for row in self.worst[[*_KEYS, "group", "accuracy"]].merge(most, on=_KEYS).to_dict("records"):
            worst = f"the group {row['group']!r} fares worst, with {row['accuracy']:.1%} of its images right"
            called = "no image is called another class"
            if row["fpr"] > 0:
                called = (
                    f"the commonest false call is {row['class']!r}, for {row['fpr']:.1%} of the images of other classes"
                )
            lines.append(f"{row['readout']}, {row['state']}: {worst}; {called}.")
        return "\n".join([*lines, *filter(None, [self.cropped])])

    def document(self) -> dict[str, Any]:
        """The encoder, numbers of images, and all tables."""
        return vars(self) | super().document()

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """Accuracies: one row a readout and group, one column a state."""
        states = self.rows["state"].unique()
        wide = self.rows.pivot(index=["readout", "group", "n"], columns="state", values="accuracy")[states]
        # all images come before the groups, whose names are in the order of the alphabet
        rows = wide.reset_index().sort_values(["readout", "group"], key=lambda names: names.where(names != ALL, ""))
        return {f"{self.encoder}: {self.train} images to fit on, {self.test} to judge on": rows}


def evaluate(
    encoder: Encoder | str,
    data: str | Path | Split,
    *,
    artefact: Artefact | None = None,
    groups: str | Path | Sequence[str] | None = None,
    head: str | Path | LinearHead | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
) -> ReadoutScores:
    """Judge linear readouts on an encoder by subgroup; a mitigated encoder is judged beside the one it comes from.

    Args:
        encoder: whose embeddings are read out; an encoder, or the name of one (see `load_encoder`).
        data: a folder with one folder a class, or a split of it.
        artefact: also judge with it on every test image.
        groups: a CSV file with the columns path and group for the test images, or one name an image; by default the
            classes are the groups.
        head: a head that `chinspect.groups.regroup` or `chinspect.mitigate.group_remedy` fitted, or its file, which is
            judged beside the readouts; one that was trained with a mitigated encoder on that encoder alone.
        cache: a folder for embeddings.
        seed: of the split, where the folder has none.

    Raises `InputError` for data, groups or a cache that cannot be used.
    """
    encoder = as_encoder(encoder)
    split = data if isinstance(data, Split) else load_classes(data, seed=seed)
    names = read_groups(groups, split.test) if isinstance(groups, str | Path) else groups
    task = folder_task(split, artefact, names)
    fitted = None if head is None else _checked_head(head, encoder)
    encoders = {"": encoder}
    if isinstance(encoder, EditedEncoder):
        encoders = {"": encoder.base, "mitigated, ": encoder}
    tables = []
    for prefix, judged in encoders.items():
        own = {} if fitted is None or not _reads(fitted, judged) else {fitted.name: fitted}
        table = replace(task, heads=own).predict(judged, cache=cache)
        tables.append(table.assign(state=prefix + table["state"]))
    predictions = pd.concat(tables, ignore_index=True)
    rows = task.score_predictions(predictions)
    worst = pd.DataFrame([worst_group(state) for _, state in rows.groupby(_KEYS, sort=False)])
    classes = each_state(predictions, lambda state: score_classes(state["label"], state["predicted"]))
    confusion = predictions.value_counts([*_KEYS, "label", "predicted"], sort=False).rename("n").reset_index()
    cropped = cropped_in_words(encoder.preprocessing, [*split.train.paths, *split.test.paths])
    return ReadoutScores(encoder.name, len(split.train), len(split.test), rows, worst, classes, confusion, cropped)


def _checked_head(head: str | Path | LinearHead, encoder: Encoder) -> LinearHead:
    """The head; `InputError` where it was fitted on the embeddings of another encoder."""
    fitted = head if isinstance(head, LinearHead) else LinearHead.load(head)
    if not _reads(fitted, encoder):
        raise InputError(f"the head {fitted.name!r} was fitted on another encoder than {encoder.name!r}.")
    return fitted


def _reads(head: LinearHead, encoder: Encoder) -> bool:
    """Whether a head was fitted on this encoder, or on the one that it was edited from."""
    base = encoder.base if isinstance(encoder, EditedEncoder) else encoder
    return head.encoder in (encoder.fingerprint, base.fingerprint)
