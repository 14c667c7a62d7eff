"""How much of the similarity of two images lies on an artefact that both carry, beside its area.

The pair map is that of `chinspect.similarity`: R[i, j] = sum_k T_a[i, k] T_b[j, k], over patches of 32 pixels, by the
method rescale against the blurred image. The fraction on the artefact is the relevance of pairs of patches that both
lie under it, over all of it; spread evenly, relevance would lie there in the square of the patches' fraction.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chinspect.artefacts import Artefact, Pixels
from chinspect.encoders import Encoder, method_for
from chinspect.known.rows import Row, mean_row
from chinspect.relevance import contributions, patches

Values = NDArray[np.float64]
ON_MARK = "relevance under the mark"
_SIDE = 32  # pixels of a patch: 49 of them at 224 pixels, a pass each
_UNDER = 0.01  # of the ink: a patch with less is not under the mark, but touched by it


def relevance_rows(
    encoder: Encoder, mark: Artefact, versions: Mapping[str, Sequence[Pixels]], seed: int = 0
) -> list[Row]:
    """Of each version of some pictures, the fraction under the mark, over pairs of neighbouring pictures.

    Args:
        mark: which says where to look.
        versions: pictures that the encoder sees, by condition; the same ones in the same order.
    """
    under = patches_under(mark, encoder.preprocessing.size)
    rows = []
    table = _tables(encoder)
    for condition, pictures in versions.items():
        tables = [table(picture) for picture in pictures]
        pairs = [fraction(tables[i] @ tables[i - 1].T, under) for i in range(len(tables))]
        rows.append(mean_row(ON_MARK, condition, np.array(pairs), seed))
    return rows


def patches_under(mark: Artefact, size: int) -> NDArray[np.bool_]:
    """Which patches (P,) of an input of some size hold the mark."""
    alpha = mark.layer((size, size))[1]
    count = -(-size // _SIDE)
    padded = np.pad(alpha, (0, count * _SIDE - size))
    ink = padded.reshape(count, _SIDE, count, _SIDE).sum((1, 3)).reshape(-1)
    return np.asarray(ink > _UNDER * ink.sum())


def fraction(cells: Values, under: NDArray[np.bool_]) -> float:
    """Relevance of pairs of patches that are both under the mark over all of it; cells (P, P)."""
    return float(cells[under][:, under].sum() / cells.sum())


def _tables(encoder: Encoder) -> Callable[[Pixels], Values]:
    """What makes of a picture the contributions of its patches to the embedding, (P, D)."""
    method = method_for(encoder, "rescale")
    size = encoder.preprocessing.size
    reader = method.reader(encoder.module, encoder.inputs([np.zeros((size, size, 3), np.uint8)]))

    def table(picture: Pixels) -> Values:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of relevance that constants hold, which a fraction does not depend on
            values = contributions(reader, encoder.inputs([picture]), patches(_SIDE), method).values
        return values.double().cpu().numpy()

    return table
