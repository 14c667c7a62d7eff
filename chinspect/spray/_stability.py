"""Are the same sets proposed where a fifth of the maps is missing?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chinspect.spray._ensemble import Proposal, propose
from chinspect.spray._null import LARGEST, views
from chinspect.spray._shared import Rows

_RESAMPLES, _KEPT = 10, 0.8


def stability(proposals: list[Proposal], rows: Rows, *, k: int, q: int, random_state: int) -> NDArray[np.float64]:
    """For each set, the Jaccard similarity to the best set of a subsample of ``rows`` (n, d), averaged over 10: (s,).

    Subsamples hold 80 % of the rows, at most 1,000; members outside a subsample do not count.
    """
    masks = np.zeros((len(proposals), len(rows)), dtype=np.float32)
    for mask, proposal in zip(masks, proposals, strict=True):
        mask[proposal.shared.members] = 1
    rng = np.random.default_rng(random_state)
    total = np.zeros(len(proposals))
    for _ in range(_RESAMPLES):
        chosen = np.sort(rng.choice(len(rows), min(int(_KEPT * len(rows)), LARGEST), replace=False))
        again = propose(rows[chosen], views(rows[chosen], k, q, random_state), random_state=random_state)
        total += _best(masks[:, chosen], again)
    return total / _RESAMPLES


def _best(masks: NDArray[np.float32], proposals: list[Proposal]) -> NDArray[np.float64]:
    best, sizes = np.zeros(len(masks)), masks.sum(1)
    for proposal in proposals:
        common = masks[:, proposal.shared.members].sum(1)
        best = np.maximum(best, common / (sizes + len(proposal.shared.members) - common))
    return best
