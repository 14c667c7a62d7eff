"""From a folder of classes to a head that is right for groups that nobody has labelled, and what it changes.

    found = regroup(load_encoder("efficientnet-lite0"), "photographs", method="exmap", head="dfr")
    found.show()
    found.save("regrouped")        # head.safetensors, which `chinspect evaluate --head` judges on other images

Half of the training images teach a first head, as they are. The other half is grouped by how the first head decides
it, and teaches the robust head. The test images judge both, beside the same head with groups at random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import nn

from chinspect.encoders import Encoder, method_for
from chinspect.errors import InputError
from chinspect.explain import area_sum
from chinspect.groups.controls import class_groups, feature_groups, loss_groups, random_groups, true_groups
from chinspect.groups.groups import Groups
from chinspect.groups.heads import AFR, DFR, ERM, JTT, GroupDRO, Head
from chinspect.groups.maps import class_maps
from chinspect.groups.pseudo import pseudo_groups
from chinspect.groups.quality import accuracy_by_group, group_quality
from chinspect.images import open_image
from chinspect.readouts import LinearHead, Pictures, embeddings, load_classes, read_groups, split
from chinspect.report import Result, records

HEADS: Mapping[str, Callable[[int], Head]] = {
    "dfr": lambda seed: DFR(random_state=seed),
    "jtt": lambda seed: JTT(random_state=seed),
    "groupdro": lambda _: GroupDRO(),  # which draws nothing
    "afr": lambda seed: AFR(random_state=seed),
}
"""By name, with a seed."""
METHODS = ("exmap", "george", "loss", "class")
"""What groups are made from: explanations, features, the loss, or the classes alone."""
_HELD_OUT = 0.5  # of the training images: groups of a few percent need many images, and a first head needs few
_CELLS = 28  # of maps, along a side, as coarse as those of ExMap are on small images
_BATCH = 16  # images that are explained at a time


@dataclass(frozen=True, eq=False, repr=False)
class Regrouping(Result):
    """A head that is fitted with groups, and how right it is.

    Attributes:
        encoder: its name.
        groups: of the images that it was fitted on.
        accuracy: a row a head: ``head`` (average, the head's name, and the head with random groups), ``worst`` with its
            95 % interval, ``balanced`` and ``mean`` accuracy on the test images.
        each: a row a head and group, see `score_groups`.
        quality: how well the groups agree with the true ones; empty where these are not known.
        selected: strengths of the head, and what they were selected by.
        head: the fitted head.
    """

    stem = "regrouping"

    encoder: str
    groups: Groups
    accuracy: pd.DataFrame
    each: pd.DataFrame
    quality: Mapping[str, Any]
    selected: Mapping[str, Any]
    head: LinearHead

    @property
    def sentence(self) -> str:
        """What changed for the worst group, and whether that is more than random groups change."""
        before, after, chance = self.accuracy["worst"]
        row = self.accuracy.iloc[1]
        sentence = f"The worst group is {before:.1%} right by an average head, and {after:.1%} by {row['head']}"
        interval = f"[{row['worst_low']:.1%}, {row['worst_high']:.1%}]"
        return f"{sentence} {interval}; with groups at random {chance:.1%}. {self.groups.sentence}"

    def document(self) -> dict[str, Any]:
        """Everything but the head, as JSON values."""
        return {
            "encoder": self.encoder,
            "groups": dict(zip(self.groups.names, self.groups.sizes.tolist(), strict=True)),
            "made_from": self.groups.method,
            "quality": dict(self.quality),
            "selected": dict(self.selected),
            "accuracy": records(self.accuracy),
            "each": records(self.each),
        }

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """Accuracies, and the quality where it is known."""
        tables = {"accuracy on the test images": self.accuracy}
        return tables | ({"agreement with the true groups": pd.DataFrame([self.quality])} if self.quality else {})

    def _save_rest(self, target: Path) -> list[Path]:
        return [self.head.save(target / "head.safetensors")]


def regroup(
    encoder: Encoder,
    data: str | Path,
    *,
    method: str = "exmap",
    head: str = "dfr",
    groups: str | Path | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Regrouping:
    """Find groups, fit a robust head with them, and judge it.

    Args:
        data: a folder with one folder a class, with ``train`` and ``test`` or ``val``, or without.
        method: one of `METHODS`; ``exmap`` clusters explanations of the predicted class by the encoder's usual method.
        head: one of `HEADS`.
        groups: a CSV with the columns path and group, of the test images at least: the true groups, which judge. By
            default the classes judge.
        cache: a folder for embeddings.
        seed: of splits, clusterings and heads.
        progress: called with the number of images explained and in all.

    Raises `InputError` for names that are not known, and as `load_classes` does.
    """
    if method not in METHODS or head not in HEADS:
        raise InputError(
            f"groups come from {', '.join(METHODS)} and heads are {', '.join(HEADS)}, not {method!r} and {head!r}."
        )
    parts = load_classes(data, seed=seed)
    halves = split(parts.train, _HELD_OUT, seed=seed)
    names = read_groups(groups, parts.test) if groups is not None else list(map(str, parts.test.labels or ()))
    base_rows, rows, test_rows = (
        embeddings(encoder, Pictures(samples), cache) for samples in (halves.train, halves.test, parts.test)
    )
    base_labels, labels, test_labels = (
        np.array(samples.labels or ()) for samples in (halves.train, halves.test, parts.test)
    )
    base = ERM().fit(base_rows, base_labels)
    if method == "exmap":
        maps = _explained(encoder, base, halves.test.paths, progress)
        found = pseudo_groups(maps, labels, random_state=seed)
    else:
        found = _controls(method, rows, labels, base, seed)
    robust = HEADS[head](seed)
    chance = HEADS[head](seed).fit(rows, labels, random_groups(found, random_state=seed).ids)
    robust.fit(rows, labels, found.ids)
    judged = class_groups(names) if groups is None else true_groups(test_labels, names)
    accuracy, each = [], []
    heads = {"average": ERM().fit(rows, labels), f"{head}, {method}": robust, f"{head}, random groups": chance}
    for name, fitted in heads.items():
        scores, table = accuracy_by_group(test_labels, fitted.predict(test_rows), judged)
        accuracy.append({"head": name, **scores})
        each.append(table.assign(head=name))
    return Regrouping(
        encoder.name,
        found,
        pd.DataFrame(accuracy),
        pd.concat(each, ignore_index=True),
        _quality(found, groups, halves.test, labels),
        {**robust.selected_, "by": robust.selected_by_} if robust.selected_ else {},
        _linear(robust, f"{head}, {method}", encoder),
    )


def _controls(method: str, rows: NDArray[Any], labels: NDArray[Any], base: Head, seed: int) -> Groups:
    if method == "class":
        return class_groups(labels)
    if method == "george":
        return feature_groups(rows, labels, random_state=seed)
    values = base.decision_function(rows)
    logits = np.stack([-values / 2, values / 2], axis=1) if values.ndim == 1 else values
    own = np.searchsorted(base.classes_, labels)
    return loss_groups(-log_softmax(logits, axis=1)[np.arange(len(own)), own], labels)


def _explained(
    encoder: Encoder, base: Head, paths: Sequence[Path], progress: Callable[[int, int], None] | None
) -> NDArray[np.float32]:
    """Maps (N, 3, h, w) of what the first head decided, summed over areas to 28 cells a side at most."""
    module = nn.Sequential(encoder.module, _layer(base).to(encoder.device)).eval().requires_grad_(False)
    method = method_for(encoder)
    maps = []
    for start in range(0, len(paths), _BATCH):
        own = paths[start : start + _BATCH]
        relevance, _ = class_maps(module, encoder.prepare(*(open_image(path) for path in own)), method=method)
        n, channels, height, width = relevance.shape
        pooled = area_sum(relevance.reshape(n * channels, height, width), _CELLS)
        maps.append(pooled.reshape(n, channels, *pooled.shape[1:]))
        if progress is not None:
            progress(min(start + _BATCH, len(paths)), len(paths))
    return np.concatenate(maps)


def _layer(head: Head) -> nn.Linear:
    """A head as a layer with a logit for each class; of two classes the logits are half the value, either sign."""
    coefficients, intercepts = head.coef_ / head.scale_, head.intercept_ - (head.coef_ / head.scale_) @ head.mean_
    if len(coefficients) == 1:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    layer = nn.Linear(coefficients.shape[1], len(coefficients))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(coefficients))
        layer.bias.copy_(torch.from_numpy(intercepts))
    return layer


def _quality(found: Groups, groups: str | Path | None, samples: Any, labels: NDArray[Any]) -> dict[str, Any]:
    """Agreement with the true groups, where the file tells them of the grouped images as well."""
    if groups is None:
        return {}
    try:
        names = read_groups(groups, samples)
    except InputError:
        return {}  # a file of the test images alone is enough to judge heads
    return group_quality(found, true_groups(labels, names))


def _linear(head: Head, name: str, encoder: Encoder) -> LinearHead:
    classes = list(map(str, head.classes_))
    return LinearHead(name, classes, head.coef_, head.intercept_, head.mean_, head.scale_, encoder.fingerprint)
