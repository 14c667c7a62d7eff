"""A remedy for a classifier that is wrong wherever what usually goes with a class is missing: groups, and a new head.

    remedy = group_remedy("efficientnet-lite0", "photographs")                       # a head on frozen embeddings
    remedy = group_remedy("efficientnet-lite0", "photographs", head="groupdro", train="all")     # the entire network
    remedy.show()
    remedy.save("regrouped")        # evaluate(..., head="regrouped/head.safetensors")
    classifier = remedy.apply()     # images to logits; remedy.undo() is the average head on the encoder as it was

The control has everything but the groups: as many of the same sizes, with images at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.encoders import EditedEncoder, Encoder, as_encoder
from chinspect.encoders.record import CARD, RECORD, TENSORS
from chinspect.errors import InputError
from chinspect.groups import (
    AVERAGE,
    ERM,
    HEADS,
    METHODS,
    Grouping,
    class_groups,
    compare_heads,
    find_groups,
    fit_head,
    linear_head,
    random_groups,
    shown_columns,
    true_groups,
)
from chinspect.mitigate.finetuning import Progress, Schedule
from chinspect.mitigate.remedy import Remedy
from chinspect.mitigate.robust import train_robust
from chinspect.mitigate.robust_plan import TRAININGS
from chinspect.mitigate.saving import save_encoder
from chinspect.readouts import ORIGINAL, LinearHead, Pictures, Task, embeddings
from chinspect.report import Result

_Parts = Mapping[str, tuple[Encoder, LinearHead]]
PLAIN = "erm"
"""The training that the others are compared with, see `train_robust`."""


@dataclass(frozen=True, eq=False, repr=False)
class Regrouped(Remedy):
    """A classifier that was fitted or trained with groups.

    Attributes:
        name: of the head, or training, and what groups were made from.
        control: the same with random groups.
        encoders: by name, as classifiers, whose embeddings are logits: the average head, the remedy and the control; of
            entire networks also that of plain training, ``erm``.
        origin: the fit or the training.
        settings: data, method, head, what was trained, and seed.
        table: `chinspect.groups.compare_heads` on the test images.
        parts: the same classifiers as encoders of embeddings and heads.
    """

    parts: _Parts

    def apply(self) -> Encoder:  # type: ignore[override]  # a head edits nothing of the encoder that it is put on
        """The classifier: its embeddings are logits, in the order of the classes of its head."""
        return self.encoders[self.name]

    def undo(self) -> Encoder:
        """The average head on the encoder that was given, which is as it was."""
        return self.encoders[AVERAGE]

    def evaluate(self, task: Task) -> pd.DataFrame:
        """The classifiers on the original test images of a task, by its groups; see `compare_heads`."""
        labels = np.array([str(label) for label in task.test_labels])
        judged = class_groups(labels) if task.groups is None else true_groups(labels, list(task.groups))
        return compare_heads(labels, _predictions(self.parts, task.test[ORIGINAL]), judged)[0]

    @property
    def finding(self) -> str:
        """What becomes of the group that the average head fails most, by 95 % intervals."""
        table = self.table
        before, after, other = (table[table["head"] == name].iloc[0] for name in (AVERAGE, self.name, self.control))
        effect = int(after["gain_low"] > 0) - int(after["gain_high"] < 0)
        words = {1: f"{self.name} helps", 0: f"no effect of {self.name} is certain", -1: f"{self.name} harms"}
        interval = f"{after['gain']:+.1%} [{after['gain_low']:+.1%}, {after['gain_high']:+.1%}]"
        group = f"{before['worst_group']!r}, the group that the average head fails most"
        text = f"{words[effect]} ({interval} of the images of {group})"
        if effect > 0 and after["margin_low"] <= 0:
            text += f", but {self.control} may do as much ({other['gain']:+.1%})"
        worst = [f"{value:.1%} by {name}" for name, value in zip(table["head"], table["worst"], strict=True)]
        return f"{text}; the worst group is right in {', '.join(worst)}"

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """What led to it, and the comparison in few columns."""
        return {**self.origin.overview(), "accuracy on the test images": shown_columns(self.table)}

    def save(self, folder: str | Path) -> list[Path]:
        """Writes what `chinspect.readouts.evaluate` takes: the head, and an encoder that was trained with it.

        A head on frozen embeddings is saved with its tables (see `Regrouping`), a trained encoder as a folder that
        `load_encoder` reads, with the document as its evidence (see `save_encoder`).
        """
        encoder, head = self.parts[self.name]
        if encoder is self.parts[AVERAGE][0]:  # which was trained by nobody
            return self.origin.save(folder)
        assert isinstance(encoder, EditedEncoder)
        target = save_encoder(encoder, folder, evidence=self.document())
        return [*(target / name for name in (RECORD, CARD, TENSORS)), head.save(target / "head.safetensors")]


def group_remedy(
    encoder: Encoder | str,
    data: str | Path,
    *,
    method: str = "exmap",
    head: str = "dfr",
    train: str = "head",
    groups: str | Path | None = None,
    cache: str | Path | None = None,
    schedule: Schedule | None = None,
    checkpoints: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Regrouped:
    """Find groups, and fit a head or train the entire network so that all of them are right.

    Args:
        encoder, data, method, groups, cache: see `chinspect.groups.find_groups`.
        head: one of `chinspect.groups.HEADS`; of an entire network ``jtt`` or ``groupdro``.
        train: ``head``, on frozen embeddings, or ``all``.
        schedule: of ``all``; None is `Schedule()` with this seed.
        checkpoints: of ``all``, see `train_robust`; `Regrouped.save` removes the folder ``.resume`` of its folder.
        seed: of splits, clusterings, heads and random groups.
        progress: called with the numbers of images explained and in all; then of epochs, of each training anew.

    Raises `InputError` for names that are not known, before anything is computed, and as `load_classes` and
    `train_robust` do.
    """
    _check(head, train)
    if method not in METHODS:
        raise InputError(f"groups come from {', '.join(METHODS)}, not from {method!r}.")
    encoder = as_encoder(encoder)
    if train == "all" and isinstance(encoder, EditedEncoder):
        raise InputError("An edited encoder cannot be trained: train its base, then edit the result.")
    grouping = find_groups(encoder, data, method=method, groups=groups, cache=cache, seed=seed, progress=progress)
    return grouped_remedy(
        grouping, head=head, train=train, schedule=schedule, checkpoints=checkpoints, seed=seed, progress=progress
    )


def grouped_remedy(
    grouping: Grouping,
    *,
    head: str = "dfr",
    train: str = "head",
    schedule: Schedule | None = None,
    checkpoints: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Regrouped:
    """As `group_remedy`, with groups that `chinspect.groups.find_groups` has found already."""
    _check(head, train)
    origin: Result
    if train == "head":
        origin = fitted = fit_head(grouping, head, seed=seed)
        parts: _Parts = {name: (grouping.encoder, own) for name, own in fitted.heads.items()}
    else:
        origin, parts = _trained(grouping, head, schedule or Schedule(seed=seed), checkpoints, progress)
    groups = grouping.groups
    settings = {
        "groups": dict(zip(groups.names, groups.sizes.tolist(), strict=True)),
        "made_from": groups.method,
        "quality": grouping.quality,
        "data": str(grouping.train.root),
        "method": grouping.method,
        **{"head": head, "train": train, "seed": seed},
    }
    classifiers = {name: own.classifier(encoder) for name, (encoder, own) in parts.items()}
    known = {id(grouping.encoder): grouping.test_embeddings}
    predictions = _predictions(parts, Pictures(grouping.test), known)
    judged = grouping.judged
    table, _ = compare_heads(judged.labels, predictions, judged, train_sizes=grouping.train_sizes)
    *_, name, control = parts
    return Regrouped(name, control, classifiers, origin, settings, table, parts)


def _check(head: str, train: str) -> None:
    known = {"head": tuple(HEADS), "all": tuple(name for name in TRAININGS if name != PLAIN)}
    if train not in known:
        raise InputError(f"what is trained is {' or '.join(known)}, not {train!r}.")
    if head not in known[train]:
        raise InputError(f"with {train!r} the head is one of {', '.join(known[train])}, not {head!r}.")


def _trained(
    grouping: Grouping, head: str, schedule: Schedule, checkpoints: str | Path | None, progress: Progress | None
) -> tuple[Result, _Parts]:
    """The training with the groups; and beside it the average head, plain training, and random groups."""
    encoder, groups = grouping.encoder, grouping.groups
    average = ERM().fit(grouping.embeddings, groups.labels)
    parts: dict[str, tuple[Encoder, LinearHead]] = {AVERAGE: (encoder, linear_head(average, AVERAGE, encoder))}
    runs = {}
    for name, method, own in (
        (PLAIN, PLAIN, class_groups(groups.labels)),
        (f"{head}, {grouping.method}", head, groups),
        (f"{head}, random groups", head, random_groups(groups, random_state=schedule.seed)),
    ):
        run = train_robust(
            encoder,
            Pictures(grouping.train),
            own,
            method=method,
            schedule=schedule,
            checkpoints=checkpoints,
            progress=progress,
        )
        runs[name] = run
        parts[name] = (run.encoder, replace(run.head, name=name))
    return runs[f"{head}, {grouping.method}"], parts


def _predictions(
    parts: _Parts, pictures: Sequence[Image.Image], known: Mapping[int, NDArray[np.float32]] | None = None
) -> dict[str, NDArray[Any]]:
    """Classes of the images by each classifier; each encoder embeds them once, unless they are ``known`` by its id."""
    rows = dict(known or {})
    for encoder, _ in parts.values():
        if id(encoder) not in rows:
            rows[id(encoder)] = embeddings(encoder, pictures)
    return {name: head.predict(rows[id(encoder)]) for name, (encoder, head) in parts.items()}
