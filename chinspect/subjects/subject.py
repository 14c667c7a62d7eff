"""The one protocol that encoders, classifiers and detectors implement.

    subject.see(images)                what the model sees of images, in its own frame
    subject.respond(images)            what it answers to images that it sees
    subject.explain(images, weights)   which pixels or frequencies of these images carry the answer

An explanation is of one number an image, ``<weights_i, response_i>``: a logit (one weight is 1), an anomaly score, the
similarity to other images (the weights are their mean unit embedding), or the squared length of an embedding (the
weights are the response itself).

Whatever is done to a model (a proof, a data set explained) is written for a `Subject`, and a model of one's own needs
nothing more than this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from chinspect.errors import InputError

Pixels = NDArray[np.uint8]
Kind = Literal["encoder", "classifier", "detector"]
_MEMBERS = ("kind", "device", "fingerprint", "see", "respond", "explain")


class Subject(Protocol):
    """A model under test."""

    @property
    def kind(self) -> Kind:
        """What its responses are: embeddings, logits or anomaly scores.

        Effects of an edit also need the ``target`` of a classifier, the index of its class, and the ``threshold_`` of a
        detector, above which an image is anomalous.
        """

    @property
    def device(self) -> Any:
        """The torch device where it computes."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digits that change with anything that decides its responses."""

    def see(self, images: Sequence[Pixels]) -> list[Pixels]:
        """What the model sees of uint8 images (H, W, 3): resized and cropped; images that it sees stay as they are."""

    def respond(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        """Responses (n, d) to images that it sees (`see`): embeddings (n, D), logits (n, classes) or scores (n, 1)."""

    def explain(
        self, images: Sequence[Pixels], weights: NDArray[np.floating[Any]], *, bands: int = 0
    ) -> NDArray[np.float32]:
        """Relevance of ``sum_d weights[i, d] * response[i, d]`` for images that it sees (`see`) and weights (n, d).

        Maps (n, H, W) of the pixels, or with ``bands`` spectra (n, 1, bands), the lowest frequencies first. The sum of
        a map is the number explained as far as relevance is conserved.
        """


def check_subject(model: object) -> None:
    """`InputError` for what is no `Subject`, before any work is done on it."""
    # read from the class, not asked of the object: a property such as the fingerprint may take seconds, or refuse
    missing = [
        name for name in _MEMBERS if not hasattr(type(model), name) and name not in getattr(model, "__dict__", {})
    ]
    if missing:
        raise InputError(
            f"An Encoder, a Classifier or a fitted detector is needed, or another object with the members of "
            f"chinspect.subjects.Subject, and {type(model).__name__} has no {', '.join(missing)}."
        )
