"""The head of PatchCore: from the descriptors of an image's patches and a memory bank to its score."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from chinspect.anomaly._neighbours import NearestNeighbours

SUPPORT = 9
"""Entries of the bank that weight the score (``b`` in equation 7 of arXiv:2106.08265, with anomalib's value)."""


@dataclass(frozen=True)
class Matches:
    """Where n images are compared with a bank.

    Attributes:
        distances: (n, p), of each patch to its nearest entry.
        patch: (n,), the patch of the largest distance; the first of equal ones.
        prototype: (n,), its nearest entry in the bank.
        score: (n,).
    """

    distances: Tensor
    patch: Tensor
    prototype: Tensor
    score: Tensor

    @property
    def distance(self) -> Tensor:
        """(n,), of the patch to its prototype."""
        return self.distances.amax(1)

    def cpu(self) -> Matches:
        """The same on the CPU."""
        return Matches(**{field.name: getattr(self, field.name).cpu() for field in fields(self)})


def match(descriptors: Tensor, bank: NearestNeighbours, *, weighted: bool) -> Matches:
    """Compares patches (n, p, D) with a bank; ``weighted`` applies equation 7."""
    n, patches, _ = descriptors.shape
    distances, entries = (found.view(n, patches) for found in bank.search(descriptors.flatten(0, 1)))
    score, patch = distances.max(1)
    images = torch.arange(n, device=patch.device)
    prototype = entries[images, patch]
    if weighted:
        score = score * _weight(descriptors[images, patch], prototype, bank)
    return Matches(distances, patch, prototype, score)


def _weight(descriptor: Tensor, prototype: Tensor, bank: NearestNeighbours) -> Tensor:
    """``1 - exp d(e, m*) / sum_m exp d(e, m)`` over the entries m around the prototype m*, itself included: (n,)."""
    _, support = bank.search(bank.bank[prototype], min(SUPPORT, len(bank.bank)))
    distances = (descriptor[:, None] - bank.bank[support]).norm(dim=2)
    return 1 - distances.softmax(1)[:, 0]
