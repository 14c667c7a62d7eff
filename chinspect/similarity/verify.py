"""A second opinion: some neurons of an explanation recomputed by Zennit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chinspect.errors import InputError
from chinspect.relevance import Composite, Partition, patches, trace
from chinspect.similarity.bilrp import resolve_composite
from chinspect.similarity.explanation import SimilarityExplanation


@dataclass(frozen=True)
class Verification:
    """Agreement with Zennit.

    Attributes:
        neurons: the outputs that were recomputed, those that contribute most to the similarity.
        max_relative_difference: the largest ``||T[:, k] - Z_k|| / ||Z_k||`` over these neurons and both images, with
            ``Z_k`` Zennit's relevance of neuron k, summed over each patch.
    """

    neurons: tuple[int, ...]
    max_relative_difference: float


def verify(explanation: SimilarityExplanation, composite: str | Composite, n: int) -> Verification:
    """Recomputes the ``n`` most important neurons of both images with Zennit, under the explanation's composite."""
    from chinspect.relevance.witness import zennit_relevance  # Zennit is slow to import

    encoder, a, b = explanation.encoder, explanation.a, explanation.b
    if n < 1:
        raise InputError(f"{n} neurons cannot be verified: choose at least 1.")
    if isinstance(encoder, str) or a.input is None or b.input is None:
        raise InputError("a verification needs the encoder and its inputs: explain this pair with explain_similarity.")
    neurons = np.argsort(-np.abs(a.embedding * b.embedding), kind="stable")[:n]
    partition = patches(explanation.patch_size).on(a.input.shape)
    assert isinstance(partition, Partition)
    graph, differences = trace(encoder.module, a.input), [0.0]
    for image in (a, b):
        assert image.input is not None
        witnessed = zennit_relevance(graph, image.input, resolve_composite(composite, encoder), neurons.tolist())
        sums = partition.sums(witnessed).cpu().numpy()
        ours = image.contributions[:, neurons].T
        differences += (np.linalg.norm(ours - sums, axis=1) / np.maximum(np.linalg.norm(sums, axis=1), 1e-30)).tolist()
    return Verification(tuple(map(int, neurons)), float(max(differences)))
