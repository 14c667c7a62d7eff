"""Which frequencies make two images similar: BiLRP between frequency bands instead of patches.

The bands of `frequency_bands` sum to the image, so ``R[f, g] = <T_a[f], T_b[g]>`` distributes the dot product over
pairs of bands. They overlap in the pixels: the first layer needs a rule that reads values (z-plus, epsilon), not flat
or z-box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.relevance import Method, band_edges, frequency_bands, trace


@dataclass(frozen=True, eq=False)
class FrequencySimilarity:
    """The dot product of two embeddings by pairs of frequency bands.

    Attributes:
        relevance: (B, B), bands of a by bands of b; sums to the dot product as far as relevance is conserved.
        orders: (first, last) DCT order ``u + v`` of each band, the number of half periods down plus those across.
    """

    relevance: NDArray[np.floating[Any]] = field(repr=False)
    orders: tuple[tuple[int, int], ...]

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
    module: nn.Module, inputs: tuple[Tensor, Tensor], bands: int | Sequence[int], method: Method
) -> FrequencySimilarity:
    """The dot product of the outputs for two inputs (1, C, H, W), by pairs of frequency bands."""
    graph = trace(module, inputs[0])
    # in double precision: a band may contribute a thousandth of the sum
    first, second = (method.map(graph, x).push(frequency_bands(bands)).double() for x in inputs)
    shape = inputs[0].shape[-2:]
    starts = [0, *band_edges(shape, bands), sum(shape) - 1]
    orders = tuple((start, following - 1) for start, following in pairwise(starts))
    return FrequencySimilarity((first @ second.T).cpu().numpy(), orders)
