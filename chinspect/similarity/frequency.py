"""Which frequencies make two images similar: BiLRP between frequency bands instead of patches.

The bands of `frequency_bands` sum to the image, so ``R[f, g] = <T_a[f], T_b[g]>`` distributes the dot product over
pairs of bands. They overlap in the pixels: the first layer needs a rule that reads values (z-plus, epsilon), not flat
or z-box.

The same passes say where: components are the bands of each patch, ``T[i, f]``, whose sums over patches are those of the
bands. Pairs of patches are distributed over bands as

    R_f[i, j] = (<T_a[i, f], T_b[j]> + <T_a[i], T_b[j, f]>) / 2,    T[i] = sum_f T[i, f],

so that the bands of a pair of patches add up to it; what two bands do together counts half for each of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.relevance import Method, band_edges, patch_bands, trace

_PATCHES = 64  # each has all bands, and each of these is a component that costs a pass


@dataclass(frozen=True, eq=False)
class FrequencySimilarity:
    """The dot product of two embeddings by pairs of frequency bands.

    Attributes:
        relevance: (B, B), bands of a by bands of b; sums to the dot product as far as relevance is conserved.
        orders: (first, last) DCT order ``u + v`` of each band, the number of half periods down plus those across.
        pairs: (B, h, w, h', w'), of each band the relevance of each patch of a together with each patch of b; these
            sum to what ``relevance`` sums to.
    """

    relevance: NDArray[np.floating[Any]] = field(repr=False)
    orders: tuple[tuple[int, int], ...]
    pairs: NDArray[np.floating[Any]] = field(repr=False)

    title: ClassVar[str] = (
        "by frequency, in cycles per image (down + across): shares of all relevance, whose sizes add to 100 %"
    )

    @property
    def cycles(self) -> list[str]:
        """What each band holds, in whole periods down plus across what the encoder sees: half of its orders."""
        return [f"{first / 2:g}-{last / 2:g}" for first, last in self.orders]

    @property
    def shares(self) -> NDArray[np.floating[Any]]:
        """The relevance over the sum of its absolute values (B, B), which is never zero where there is any."""
        return self.relevance / (float(np.abs(self.relevance).sum()) or 1.0)

    def document(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {"relevance": self.relevance, "orders": self.orders, "cycles": self.cycles, "shares": self.shares}

    def to_frame(self) -> pd.DataFrame:
        """The relevance with the bands' cycles per image as labels, bands of a in rows."""
        return pd.DataFrame(self.relevance, index=self.cycles, columns=self.cycles)

    def overview(self) -> pd.DataFrame:
        """The shares as percentages, to print."""
        table = pd.DataFrame(self.shares, columns=[f"IMG2 {label}" for label in self.cycles]).map("{:+.1%}".format)
        table.insert(0, "", [f"IMG1 {label}" for label in self.cycles])
        return table


def similarity_by_frequency(
    module: nn.Module, inputs: tuple[Tensor, Tensor], bands: int | Sequence[int], method: Method, patch_size: int
) -> FrequencySimilarity:
    """The dot product of the outputs for two inputs (1, C, H, W), by pairs of frequency bands, and where these lie.

    Patches are of the size that is asked for, or twice, four times as large, so that there are at most 64.
    """
    graph = trace(module, inputs[0])
    shape = inputs[0].shape[-2:]
    side = patch_size
    while math.prod(-(-edge // side) for edge in shape) > _PATCHES:
        side *= 2
    grid = [-(-edge // side) for edge in shape]
    starts = [0, *band_edges(shape, bands), sum(shape) - 1]
    orders = tuple((start, following - 1) for start, following in pairwise(starts))
    tables = []
    for x in inputs:
        # in double precision: a band may contribute a thousandth of the sum
        values = method.map(graph, x).push(patch_bands(side, bands)).double().cpu().numpy()
        tables.append(values.reshape(*grid, len(orders), -1))  # (h, w, B, D)
    first, second = tables
    relevance = first.sum((0, 1)) @ second.sum((0, 1)).T
    pairs = np.einsum("hwfd,yxd->fhwyx", first, second.sum(2), optimize=True)
    pairs += np.einsum("hwd,yxfd->fhwyx", first.sum(2), second, optimize=True)
    return FrequencySimilarity(relevance, orders, pairs / 2)
