"""From a folder of classes to groups that nobody has labelled, for any number of heads and trainings.

    grouping = find_groups(load_encoder("efficientnet-lite0"), "photographs", method="exmap")
    results = [fit_head(grouping, head) for head in HEADS]

Half of the training images teach a first head, as they are. The other half is grouped:

* ``exmap``: by explanations of what the first head decides;
* ``neighbours``: by explanations of what makes images similar to those nearest to them, less what makes them similar to
  all (see `chinspect.explain.explain_images`), which needs no head: for encoders without a classifier;
* ``george``: by their embeddings; ``loss``: by quantiles of the loss of the first head; ``class``: by class alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from chinspect.encoders import Encoder, as_encoder, method_for
from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.explain import area_sum, explain_images
from chinspect.groups.controls import class_groups, feature_groups, loss_groups, true_groups
from chinspect.groups.groups import Groups
from chinspect.groups.heads import ERM, Head
from chinspect.groups.maps import class_maps
from chinspect.groups.pseudo import pseudo_groups
from chinspect.groups.quality import group_quality
from chinspect.images import open_image
from chinspect.readouts import LinearHead, Pictures, embeddings, load_classes, read_groups, split

METHODS = ("exmap", "neighbours", "george", "loss", "class")
"""What groups are made from, see `chinspect.groups.grouping`."""
Progress = Callable[[int, int], None]
_HELD_OUT = 0.5  # of the training images: groups of a few percent need many images, and a first head needs few
_CELLS = 28  # of maps, along a side, as coarse as those of ExMap are on small images
_BATCH = 16  # images that are explained at a time


@dataclass(frozen=True, eq=False)
class Grouping:
    """Images in groups, and images to judge by.

    Attributes:
        encoder: whose embeddings these are.
        method: one of `METHODS`.
        train: the grouped images; ``groups`` has their labels.
        embeddings: (N, d), of these.
        groups: (N,).
        test: images to judge by; ``judged`` has their labels.
        test_embeddings: (M, d).
        judged: (M,), the true groups where they are known, and else the classes.
        truth: (N,), the true groups of the grouped images; None where they are not known.
    """

    encoder: Encoder
    method: str
    train: Samples
    embeddings: NDArray[np.float32]
    groups: Groups
    test: Samples
    test_embeddings: NDArray[np.float32]
    judged: Groups
    truth: Groups | None

    @property
    def quality(self) -> dict[str, Any]:
        """How well the groups agree with the true ones (`group_quality`); empty where these are not known."""
        return {} if self.truth is None else group_quality(self.groups, self.truth)

    @property
    def train_sizes(self) -> NDArray[np.int64] | None:
        """Grouped images of each group that judges; None where the true groups are known of the test images alone."""
        own = class_groups(self.groups.labels) if self.truth is None else self.truth
        sizes = dict(zip(own.names, own.sizes.tolist(), strict=True))
        if not sizes.keys() & set(self.judged.names):
            return None
        return np.array([sizes.get(name, 0) for name in self.judged.names])


def find_groups(
    encoder: Encoder | str,
    data: str | Path,
    *,
    method: str = "exmap",
    groups: str | Path | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Grouping:
    """Group half of the training images of a folder.

    Args:
        encoder: an encoder, or the name of one (see `load_encoder`).
        data: a folder with one folder a class, with ``train`` and ``test`` or ``val``, or without.
        method: one of `METHODS`; explanations are by the encoder's usual method.
        groups: a CSV with the columns path and group, of the test images at least: the true groups, which judge. By
            default the classes judge.
        cache: a folder for embeddings.
        seed: of splits and clusterings.
        progress: called with the number of images explained and in all.

    Raises `InputError` for a method that is not known, and as `load_classes` does.
    """
    if method not in METHODS:
        raise InputError(f"groups come from {', '.join(METHODS)}, not from {method!r}.")
    encoder = as_encoder(encoder)
    parts = load_classes(data, seed=seed)
    halves = split(parts.train, _HELD_OUT, seed=seed)
    names = None if groups is None else read_groups(groups, parts.test)
    base_rows, rows, test_rows = (
        embeddings(encoder, Pictures(samples), cache) for samples in (halves.train, halves.test, parts.test)
    )
    labels, test_labels = (np.array(samples.labels or ()) for samples in (halves.test, parts.test))
    base = ERM().fit(base_rows, np.array(halves.train.labels or ()))
    if method == "exmap":
        made = pseudo_groups(_explained(encoder, base, halves.test.paths, progress), labels, random_state=seed)
    elif method == "neighbours":
        explained = explain_images(encoder, halves.test, explain="neighbours", progress=progress)
        made = pseudo_groups(explained.maps, labels, random_state=seed)
    elif method == "george":
        made = feature_groups(rows, labels, random_state=seed)
    elif method == "loss":
        made = loss_groups(_losses(base, rows, labels), labels)
    else:
        made = class_groups(labels)
    judged = class_groups(test_labels) if names is None else true_groups(test_labels, names)
    truth = _truth(groups, halves.test, labels)
    return Grouping(encoder, method, halves.test, rows, made, parts.test, test_rows, judged, truth)


def linear_head(head: Head, name: str, encoder: Encoder) -> LinearHead:
    """A fitted head of an encoder's embeddings, as it is saved."""
    classes = list(map(str, head.classes_))
    return LinearHead(name, classes, head.coef_, head.intercept_, head.mean_, head.scale_, encoder.fingerprint)


def _losses(base: Head, rows: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    values = base.decision_function(rows)
    logits = np.stack([-values / 2, values / 2], axis=1) if values.ndim == 1 else values
    own = np.searchsorted(base.classes_, labels)
    losses: NDArray[np.float64] = -log_softmax(logits, axis=1)[np.arange(len(own)), own]
    return losses


def _explained(encoder: Encoder, base: Head, paths: Sequence[Path], progress: Progress | None) -> NDArray[np.float32]:
    """Maps (N, 3, h, w) of what the first head decided, summed over areas to 28 cells a side at most."""
    module = linear_head(base, "the first head", encoder).classifier(encoder).module
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


def _truth(groups: str | Path | None, samples: Samples, labels: NDArray[Any]) -> Groups | None:
    """The true groups, where the file tells them of the grouped images as well."""
    if groups is None:
        return None
    try:
        return true_groups(labels, read_groups(groups, samples))
    except InputError:
        return None  # a file of the test images alone is enough to judge heads
