"""The table of samples: one row an image, for pandas and for viewers of data sets.

Columns: ``name``; ``path`` and ``label`` where they are known; further scores; ``duplicate_of``, the place of the image
that this one repeats, or -1; ``state``, ``analysed`` or why not; ``cluster_NAME`` of each clustering, -1 for noise and
what was left out; ``candidates`` and ``flagged``, lists of their numbers; ``axis_1`` and so on, the embedding; ``x``
and ``y``, by t-SNE, its diffusion map (Coifman and Lafon 2006), the embedding times 1 - eigenvalues; ``strategy_NAME``,
see `chinspect.spray.strategy`. A duplicate has the values of the image that it repeats; what was left out has NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.spray.analysis import SpRAy
from chinspect.spray.projection import project

if TYPE_CHECKING:
    from chinspect.spray.run import SprayRun


def sample_table(run: SprayRun) -> pd.DataFrame:
    """See the module."""
    spray, count = run.spray, len(run.maps)
    columns: dict[str, Any] = {"name": list(run.names)}
    if run.paths is not None:
        columns["path"] = [str(path) for path in run.paths]
    if run.labels is not None:
        columns["label"] = list(run.labels)
    columns |= dict(run.scores)
    repeats = spray.duplicates_ != np.arange(count)
    columns["duplicate_of"] = np.where(repeats, spray.duplicates_, -1)
    columns["state"] = _states(spray, repeats)
    columns |= {f"cluster_{name}": labels for name, labels in spray.clusterings_.items()}
    columns["candidates"] = _numbers(run, flagged=False)
    columns["flagged"] = _numbers(run, flagged=True)
    plane = _spread(spray, project(spray.embedding_ * (1 - spray.eigenvalues_), "tsne", spray.random_state))
    columns |= {"x": plane[:, 0], "y": plane[:, 1]}
    columns |= {f"axis_{axis}": values for axis, values in enumerate(_spread(spray, spray.embedding_).T, 1)}
    strategies = spray.strategies().drop(columns="map")
    columns |= {f"strategy_{name}": _spread(spray, strategies[[name]].to_numpy())[:, 0] for name in strategies}
    return pd.DataFrame(columns)


def _states(spray: SpRAy, repeats: NDArray[np.bool_]) -> NDArray[Any]:
    states = np.where(repeats, "duplicate", "analysed").astype(object)
    states[spray.zero_], states[spray.invalid_] = "no relevance", "not finite"
    return states


def _numbers(run: SprayRun, *, flagged: bool) -> list[list[int]]:
    numbers: list[list[int]] = [[] for _ in run.maps]
    for number, finding in enumerate(run.findings, 1):
        if finding.candidate.flagged or not flagged:
            for i in finding.candidate.indices:
                numbers[i].append(number)
    return numbers


def _spread(spray: SpRAy, rows: NDArray[Any]) -> NDArray[np.float32]:
    """Rows (n, d) of the maps analysed as rows (N, d) of all maps."""
    whole = np.full((len(spray.duplicates_), rows.shape[1]), np.nan, dtype=np.float32)
    whole[spray.kept_] = rows
    return whole[spray.duplicates_]
