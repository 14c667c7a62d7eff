"""Whether the picture of a similarity is right: against deletion, and beside Shapley values.

Both ask for ``<y_a - y_a0, y_b - y_b0>``, with references taken away, also of LRP, which explains without: the raw dot
product is mostly what all images have in common, and by it every method would seem to fail.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chinspect.errors import InputError
from chinspect.faithfulness import Agreement, Deletion, deletion, shapley_agreement
from chinspect.relevance import Method, patches, shapley_map


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images as an encoder reads them, and how their similarity is explained.

    Attributes:
        module: from images (n, C, H, W) to embeddings (n, D).
        a, b: inputs (1, C, H, W).
        method: its reference is what patches are replaced by.
        patch_size: side of a patch in pixels.
        norm: what dot products are divided by.
    """

    module: nn.Module
    a: Tensor
    b: Tensor
    method: Method
    patch_size: int
    norm: float = 1.0

    def deletion(self, relevance: Tensor, *, opposite: bool = False) -> Deletion:
        """The fall of the similarity to b without patches of a, whose relevance is (P,); or that of its opposite."""
        sign = -1 if opposite else 1
        with torch.no_grad():
            origins = self.method.references(self.b).flatten(0, 1)
            direction = (self.module(self.b) - self.module(origins).mean(0))[0] / self.norm

        def score(images: Tensor) -> Tensor:
            return sign * (self.module(images) @ direction)  # type: ignore[no-any-return]

        return deletion(score, self.a, sign * relevance, patches(self.patch_size), self.method.reference)

    def agreement(self, relevance: Tensor, evaluations: int) -> Agreement:
        """Correlation of the relevance of pairs of patches (P, Q) with their Shapley values.

        Args:
            evaluations: masked images an image, half of them for each of two estimates that are independent.

        Raises `InputError` where these are too few.
        """
        components = patches(self.patch_size)
        least = 2 * (4 * components.on(self.a.shape).count + 2)
        if evaluations < least:
            raise InputError(
                f"{evaluations} evaluations are too few to tell Shapley values of patches of {self.patch_size} pixels: "
                f"choose at least {least}, or larger patches."
            )
        estimates = []
        for state in (0, 1):
            tables = [
                shapley_map(
                    self.module,
                    x,
                    components,
                    self.method.reference,
                    evaluations=evaluations // 2,
                    random_state=state,
                ).values
                for x in (self.a, self.b)
            ]
            estimates.append((tables[0] @ tables[1].T).cpu())
        return shapley_agreement(relevance, *estimates)
