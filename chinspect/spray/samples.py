"""The table of samples: one row an image, for pandas and for viewers of data sets.

Columns: ``name``; ``path`` and ``label`` where they are known; further scores; ``duplicate_of``, the index of the image
that this one repeats, or -1; ``state``, ``analysed`` or why not; ``cluster_NAME`` of each clustering, -1 for noise and
what was left out; ``candidates`` and ``flagged``, lists of their numbers; ``axis_1`` and so on, the embedding; ``x``
and ``y``, by t-SNE, its diffusion map (Coifman and Lafon 2006), the embedding times 1 - eigenvalues; ``strategy_NAME``,
see `chinspect.spray.strategy`. A duplicate has the values of the image that it repeats; what was left out has NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.spray.analysis import SpRAy
from chinspect.spray.arrays import Rows
from chinspect.spray.candidates import Candidate
from chinspect.spray.spectral import project


def sample_table(spray: SpRAy, candidates: Sequence[Candidate], known: Mapping[str, Any]) -> pd.DataFrame:
    """See the module; ``known`` holds the first columns, of (N,) values each."""
    count = len(spray.duplicates_)
    repeats = spray.duplicates_ != np.arange(count)
    states = np.where(repeats, "duplicate", "analysed").astype(object)
    states[spray.zero_] = "no relevance"
    states[spray.invalid_] = "not finite"
    columns = dict(known)
    columns["duplicate_of"] = np.where(repeats, spray.duplicates_, -1)
    columns["state"] = states
    columns |= {f"cluster_{name}": labels for name, labels in spray.clusterings_.items()}
    numbered = list(enumerate(candidates, 1))
    columns["candidates"] = _numbers(numbered, count)
    columns["flagged"] = _numbers([(number, one) for number, one in numbered if one.flagged], count)
    plane = _spread(spray, project(spray.embedding_ * (1 - spray.eigenvalues_), "tsne", spray.random_state))
    columns |= {"x": plane[:, 0], "y": plane[:, 1]}
    columns |= {f"axis_{axis}": values for axis, values in enumerate(_spread(spray, spray.embedding_).T, 1)}
    strategies = spray.strategies().drop(columns="map")
    columns |= {f"strategy_{name}": _spread(spray, strategies[[name]].to_numpy())[:, 0] for name in strategies}
    return pd.DataFrame(columns)


def _numbers(numbered: Sequence[tuple[int, Candidate]], count: int) -> list[list[int]]:
    numbers: list[list[int]] = [[] for _ in range(count)]
    for number, candidate in numbered:
        for i in candidate.indices:
            numbers[i].append(number)
    return numbers


def _spread(spray: SpRAy, rows: NDArray[Any]) -> Rows:
    """Rows (n, d) of the maps analysed as rows (N, d) of all maps."""
    full = np.full((len(spray.duplicates_), rows.shape[1]), np.nan, dtype=np.float32)
    full[spray.kept_] = rows
    return full[spray.duplicates_]
