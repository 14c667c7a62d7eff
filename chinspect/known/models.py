"""The networks of one model: the encoder, and what names classes: a classifier, or a text tower (zero-shot)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chinspect.artefacts import Pixels
from chinspect.encoders import (
    Edit,
    EditedEncoder,
    Encoder,
    Retrain,
    TextEncoder,
    as_encoder,
    edited,
    load_classifier,
    load_text_encoder,
)
from chinspect.errors import InputError

CLASSES = 1000
"""Of ImageNet."""


@dataclass(frozen=True, eq=False)
class Models:
    """What an effect is measured on.

    Attributes:
        encoder: whose embeddings are compared.
        classifier: the same network with its classifier, whose "embeddings" are logits; None where there is none.
        texts: the text tower of the same model; None where there is none.
        reason: why there is neither.
    """

    encoder: Encoder
    classifier: Encoder | None = None
    texts: TextEncoder | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """Of the encoder."""
        return self.encoder.name

    @property
    def named(self) -> bool:
        """Whether the model names classes at all."""
        return self.classifier is not None or self.texts is not None

    def logits(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        """Logits (n, 1000) of ImageNet's classes, for images that the encoder sees.

        Of a text tower they are scaled cosines to the names of the classes in seven templates: with all 80 a processor
        would read names for an hour, for about one point of accuracy.

        Raises `InputError` where classes have no names, or there are not a thousand of them.
        """
        if self.classifier is None:
            return self.similarities(images, self._names)
        logits = self.classifier.respond(images)
        if logits.shape[1] != CLASSES:
            raise InputError(f"This effect needs logits of {CLASSES} classes, and {self.name!r} has {logits.shape[1]}.")
        return logits

    def similarities(self, images: Sequence[Pixels], names: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled cosines (n, m) of images that the encoder sees and embeddings of texts (m, D)."""
        embeddings = self.encoder.respond(images)
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        scaled: NDArray[np.float64] = self.text_tower.scale * unit @ names.T
        return scaled

    def edited(self, *edits: Edit) -> Models:
        """The same with edits of the encoder, which its classifier gets, too; its last layer stays as it is."""
        changed = edited(self.encoder, *edits)
        if self.classifier is None:
            return replace(self, encoder=changed)
        wide = [_widened(edit, self.classifier) for edit in edits]
        return replace(self, encoder=changed, classifier=edited(self.classifier, *wide))

    @property
    def text_tower(self) -> TextEncoder:
        """The text tower. Raises `InputError` where there is none."""
        if self.texts is None:
            raise InputError(f"This effect compares images with names, and {self.name!r} cannot: {self.reason}")
        return self.texts

    @cached_property
    def _names(self) -> NDArray[np.float64]:
        from open_clip import IMAGENET_CLASSNAMES, SIMPLE_IMAGENET_TEMPLATES

        templates = [template("{}") for template in SIMPLE_IMAGENET_TEMPLATES]
        return self.text_tower.classes(IMAGENET_CLASSNAMES, templates).double().cpu().numpy()


def load_models(model: str | Encoder | Models) -> Models:
    """The networks of a model by its name; an encoder has nothing that names classes.

    The folder of a mitigated encoder gets the classifier of the model that it comes from, with the same edits.

    Raises `InputError` as `load_encoder` does.
    """
    if isinstance(model, Models):
        return model
    if isinstance(model, Encoder):
        return Models(model, reason="an encoder was passed without its classifier or text tower.")
    encoder = as_encoder(model)
    if isinstance(encoder, EditedEncoder):
        return replace(load_models(encoder.base.name).edited(*encoder.edits), encoder=encoder)
    # trained without labels, or the folder of an encoder: whatever else can fail has failed above
    try:
        return Models(encoder, load_classifier(model))
    except InputError as error:
        reason = str(error)
    try:
        return Models(encoder, texts=load_text_encoder(model))
    except InputError as error:
        return Models(encoder, reason=f"{reason} {error}")


def _widened(edit: Edit, classifier: Encoder) -> Edit:
    """The edit of an encoder as one of its classifier: other weights of all layers but the last."""
    if not isinstance(edit, Retrain):
        return edit
    return Retrain({**classifier.module.state_dict(), **edit.weights})
