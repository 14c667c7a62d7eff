"""The networks of one model: the encoder, and the classifier that it was trained with, where it has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chinspect.artefacts import Pixels
from chinspect.encoders import Encoder, load_classifier, load_encoder
from chinspect.errors import InputError


@dataclass(frozen=True, eq=False)
class Models:
    """What an effect is measured on.

    Attributes:
        encoder: whose embeddings are compared.
        classifier: the same network with its classifier, whose "embeddings" are logits; None where there is none.
        reason: why there is none.
    """

    encoder: Encoder
    classifier: Encoder | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """Of the encoder."""
        return self.encoder.name

    def logits(self, images: Sequence[Pixels], classes: int) -> NDArray[np.float64]:
        """Logits (n, classes) of images that the encoder sees.

        Raises `InputError` where there is no classifier, or one of another number of classes.
        """
        if self.classifier is None:
            raise InputError(f"This effect needs a classifier, and {self.name!r} has none: {self.reason}")
        logits = self.classifier.respond(images)
        if logits.shape[1] != classes:
            raise InputError(f"This effect needs logits of {classes} classes, and {self.name!r} has {logits.shape[1]}.")
        return logits


def load_models(model: str | Encoder | Models) -> Models:
    """The networks of a model by its name; an encoder has no classifier.

    Raises `InputError` as `load_encoder` does.
    """
    if isinstance(model, Models):
        return model
    if isinstance(model, Encoder):
        return Models(model, reason="an encoder was passed without its classifier.")
    encoder = load_encoder(model)
    try:
        return Models(encoder, load_classifier(model))
    except InputError as error:  # trained without labels, or the folder of an encoder: what else fails failed above
        return Models(encoder, reason=str(error))
