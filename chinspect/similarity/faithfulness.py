"""Whether the picture of a similarity is right: the similarity without the patches that it calls relevant."""

from __future__ import annotations

import torch
from torch import Tensor

from chinspect.encoders import Encoder
from chinspect.faithfulness import Deletion, deletion
from chinspect.relevance import patches
from chinspect.similarity.explanation import SimilarityExplanation


def pair_deletion(explanation: SimilarityExplanation) -> Deletion:
    """The fall of the similarity to b when patches of a are replaced, the most relevant first.

    The score of an image a is ``<y_a, y_b - y_b0>`` over the explanation's norm, with the reference of b taken away,
    for LRP its blurred version: without that a score is mostly what all images have in common, and every method would
    seem to fail.
    """
    encoder = explanation.encoder
    a = explanation.a
    b = explanation.b
    assert isinstance(encoder, Encoder)
    assert a.input is not None
    assert b.input is not None
    with torch.no_grad():
        origins = explanation.method.references(b.input).flatten(0, 1)
        difference = (encoder.module(b.input) - encoder.module(origins).mean(0))[0] / explanation.norm

    def score(images: Tensor) -> Tensor:
        with torch.no_grad():
            return encoder.module(images) @ difference  # type: ignore[no-any-return]

    relevance = torch.from_numpy(explanation.marginals()[0].reshape(-1))
    return deletion(score, a.input, relevance, patches(explanation.patch_size), explanation.method.reference)
