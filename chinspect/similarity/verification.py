"""A second opinion: some neurons of an explanation recomputed by Zennit."""

from __future__ import annotations

import numpy as np

from chinspect.errors import InputError
from chinspect.relevance import Composite, Partition, patches, trace
from chinspect.similarity.explanation import SimilarityExplanation, Verification


def verify(explanation: SimilarityExplanation, n: int) -> Verification:
    """Recomputes the ``n`` most important neurons of both images with Zennit, under the explanation's composite."""
    from chinspect.relevance.witness import zennit_relevance  # Zennit is slow to import

    encoder = explanation.encoder
    a = explanation.a
    b = explanation.b
    rules = explanation.method.composite
    if explanation.method.name != "lrp" or not isinstance(rules, Composite):
        raise InputError(f"Zennit verifies LRP, not {explanation.method.label}: explain with the method lrp.")
    if n < 1:
        raise InputError(f"{n} neurons cannot be verified: choose at least 1.")
    if isinstance(encoder, str) or a.input is None or b.input is None:
        raise InputError("a verification needs the encoder and its inputs: explain this pair with explain_similarity.")
    neurons = np.argsort(-np.abs(a.embedding * b.embedding), kind="stable")[:n]
    partition = patches(explanation.patch_size).on(a.input.shape)
    assert isinstance(partition, Partition)
    graph = trace(encoder.module, a.input)
    largest = 0.0
    for image, x in ((a, a.input), (b, b.input)):
        relevance = zennit_relevance(graph, x, rules, neurons.tolist())
        theirs = partition.sums(relevance).cpu().numpy()
        ours = image.contributions[:, neurons].T
        # 1e-30 for a neuron without relevance: then both are zero
        norms = np.maximum(np.linalg.norm(theirs, axis=1), 1e-30)
        largest = max(largest, float((np.linalg.norm(ours - theirs, axis=1) / norms).max()))
    return Verification(tuple(map(int, neurons)), largest)
