"""A downstream task on frozen embeddings, and how much of it survives an artefact on every image.

A readout is fitted on training images as they come, artefacts and all. Then it classifies the test images as they are
(``original``) and with the artefact on every one (``shifted``). A readout that relies on the artefact loses there.

The readouts are linear: they tell how well a task can be solved on what an encoder gives. A class weighs as much as any
other, and it is decided by the sign or the largest of the decision values: no threshold is tuned, on test data or
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.base import ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from chinspect.artefacts import Artefact
from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.images import Preprocessing
from chinspect.readouts.folders import Split
from chinspect.readouts.heads import LinearHead
from chinspect.readouts.pictures import Pairs, Pictures, embeddings
from chinspect.readouts.scores import each_state, score_groups

ORIGINAL = "original"
SHIFTED = "shifted"
Labels = Sequence[Any]

# the parameters of the published study, Kauffmann et al. 2025; its regression has no bias, its vector machine has one
_READOUTS = {
    # ten times as many steps as scikit-learn's own default, to converge on long embeddings
    "logistic": LogisticRegression(C=1.0, fit_intercept=False, class_weight="balanced", max_iter=1000),
    "svm": LinearSVC(C=0.01, class_weight="balanced", random_state=0),
}


@dataclass(frozen=True, eq=False)
class Task:
    """Images, labels, and the readouts that are put on an encoder.

    Attributes:
        train, train_labels: to fit on.
        test, test_labels: to judge on, by state: ``original``, and ``shifted`` for the same images with the artefact.
        readouts: classifiers of scikit-learn by name, not fitted; they are copied for each encoder.
        relabel: by the name of a readout, a mapping of the labels that makes another task of the same images.
        groups: one name a test image; the classes by default.
        heads: classifiers that are fitted already, by name; they are judged beside the readouts.
    """

    train: Sequence[Image.Image]
    train_labels: Labels
    test: Mapping[str, Sequence[Image.Image]]
    test_labels: Labels
    readouts: Mapping[str, ClassifierMixin]
    relabel: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)
    groups: Sequence[str] | None = None
    heads: Mapping[str, LinearHead] = field(default_factory=dict)

    def seen_by(self, view: Preprocessing) -> Task:
        """The same task with artefacts laid over what a network sees; see `Pictures`. Other images stay."""

        def turned(pictures: Sequence[Image.Image]) -> Sequence[Image.Image]:
            return pictures.seen_by(view) if isinstance(pictures, Pictures) else pictures

        test = {state: turned(pictures) for state, pictures in self.test.items()}
        return replace(self, train=turned(self.train), test=test)

    def pairs(self, most: int) -> Pairs:
        """The first test images, ``most`` at most, with the artefact and without it.

        Raises `InputError` for a task without shifted images, or with fewer than two.
        """
        if SHIFTED not in self.test:
            raise InputError("What an artefact does is judged by shifted images, and the task has none.")
        return Pairs(self.test[SHIFTED][:most], self.test[ORIGINAL][:most])

    def predict(self, encoder: Encoder, *, cache: str | Path | None = None) -> pd.DataFrame:
        """What each readout says of each test image in each state.

        Returns:
            One row a readout, state and image: readout, state, group, label and predicted, in the order of the images.
        """
        seen = self.seen_by(encoder.preprocessing)
        fitted = embeddings(encoder, seen.train, cache)
        judged = {state: embeddings(encoder, pictures, cache) for state, pictures in seen.test.items()}
        models = {
            name: clone(readout).fit(fitted, self._labels(name, self.train_labels))
            for name, readout in self.readouts.items()
        }
        tables = []
        for name, model in (models | dict(self.heads)).items():
            test = self._labels(name, self.test_labels)
            groups = list(map(str, test) if self.groups is None else self.groups)
            for state, values in judged.items():
                columns = {"group": groups, "label": test, "predicted": model.predict(values)}
                tables.append(pd.DataFrame({"readout": name, "state": state} | columns))
        return pd.concat(tables, ignore_index=True)

    def score(self, encoder: Encoder, *, cache: str | Path | None = None) -> pd.DataFrame:
        """`score_groups` of each readout and state, with the columns readout and state in front.

        Of two classes, FPR and FNR are about the second in the order of the alphabet.
        """
        return self.score_predictions(self.predict(encoder, cache=cache))

    def score_predictions(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """The same of what `predict` returned."""

        def scores(rows: pd.DataFrame) -> pd.DataFrame:
            readout = rows["readout"].iloc[0]
            classes = np.unique(self._labels(readout, self.train_labels))
            positive = classes[1] if len(classes) == 2 else None
            return score_groups(rows["label"], rows["predicted"], rows["group"].tolist(), positive=positive)

        return each_state(predictions, scores)

    def _labels(self, readout: str, labels: Labels) -> np.ndarray:
        names = self.relabel.get(readout)
        return np.array(labels if names is None else [names[label] for label in labels])


def linear_readout(kind: str = "logistic", **parameters: Any) -> ClassifierMixin:
    """A linear classifier of embeddings (N, D), not fitted, with the parameters of the published study.

    Args:
        kind: ``logistic``, a regression without bias and with an l2 penalty (the eight trucks, the sixteen fish), or
            ``svm``, a linear support vector machine (the two classes of radiographs).
        parameters: of scikit-learn's `LogisticRegression` or `LinearSVC`, in place of the published ones, such as the
            inverse strength ``C`` of the penalty.

    Raises `InputError` for another kind.
    """
    if kind not in _READOUTS:
        raise InputError(f"The kind of a readout must be one of {', '.join(_READOUTS)}, not {kind!r}.")
    return clone(_READOUTS[kind]).set_params(**parameters)


def folder_task(split: Split, artefact: Artefact | None = None, groups: Sequence[str] | None = None) -> Task:
    """The task of a folder of classes, with both readouts; without an artefact there is no shifted state.

    The artefact lies over full images until `Task.seen_by` lays it over what an encoder sees of them.
    """
    test = Pictures(split.test)
    states: dict[str, Sequence[Image.Image]] = {ORIGINAL: test}
    if artefact is not None:
        states[SHIFTED] = test.marked(artefact)
    readouts = {kind: linear_readout(kind) for kind in _READOUTS}
    train = Pictures(split.train)
    return Task(train, split.train.labels or (), states, split.test.labels or (), readouts, groups=groups)
