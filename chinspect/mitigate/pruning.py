"""Where to prune and how much: a search on validation data that the final test never sees.

Of each layer the five channels that respond most are pruned. The layers where that repairs most of what the artefact
does to embeddings are judged by readouts, and the one that helps most goes on. Its curve over k says what more channels
bring, beside as many random channels of the same layer and rows: what these achieve is not owed to the choice. The k is
that of the `plateau` rule among those that cost no more than ``max_cost`` of clean accuracy, or one image of it.

The best of many tries looks good by chance, too. So with d_jn the share of readouts that try j puts right on shifted
image n, less that without pruning, the gain of the chosen one must reach a level that the largest of all gains,
``max_j mean_n s_n d_jn``, reaches in one of twenty draws of signs s_n at most (a permutation test of paired data with
the maximum as statistic, Westfall and Young 1993); else nothing is pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.encoders import Encoder
from chinspect.encoders.edits import Prune, edited
from chinspect.errors import InputError
from chinspect.mitigate.plateaus import plateau
from chinspect.mitigate.responsive import Where, random_channels, rank_edits, responsiveness, top_channels
from chinspect.readouts import ORIGINAL, SHIFTED, Task

KS = (1, 2, 3, 5, 10, 20)
SHORTLIST = 3
_PROBED = 5
_LEVEL = 0.05
_ROUNDING = 1e-9
_DRAWS = 2000
Progress = Callable[[int, int], None]
Pairs = tuple[Sequence[Image.Image], Sequence[Image.Image]]


@dataclass(frozen=True, eq=False)
class PruningSearch:
    """What a search found.

    Attributes:
        layers: one row a layer that was tried: its repair and accuracies with k channels pruned, the best first.
        curve: of the chosen layer: k, channels (``responsive`` or ``random``), original and shifted accuracy, n.
        k: the number of channels; 0 if no pruning helps by more than chance.
        p_value: of its gain on shifted images among all that were tried; 1 if k is 0 by the plateau rule.
        edit: what to prune, None if k is 0.
        control: as many random channels.
    """

    layers: pd.DataFrame
    curve: pd.DataFrame
    k: int
    p_value: float
    edit: Prune | None
    control: Prune | None


def search_pruning(
    encoder: Encoder,
    task: Task,
    with_artefact: Sequence[Image.Image],
    without: Sequence[Image.Image],
    *,
    layers: str | Sequence[str] | None = None,
    k: int | None = None,
    rows: Where = "artefact",
    max_cost: float = 0.01,
    seed: int = 0,
    progress: Progress | None = None,
) -> PruningSearch:
    """Choose layer and number of channels by the task's accuracy, averaged over its readouts.

    Args:
        task: its test images are the validation, in the states original and shifted.
        with_artefact, without: pairs of images to measure responses on.
        layers: to choose from; None for all `candidate_layers`.
        k: a number of channels, which are pruned whether that helps or not.
        rows: see `responsiveness`.
        max_cost: of clean accuracy, 0..1; a loss of one image is always admitted.
        seed: of the random channels.
        progress: called with the number of encoders judged, and an upper bound of all.

    Raises `InputError` as `responsiveness` does, for k that the layer has not, and a task without shifted images.
    """
    if SHIFTED not in task.test:
        raise InputError("Pruning is chosen by what it does to shifted images, and the task has none.")
    judge = _Judge(encoder, task, progress, SHORTLIST + 1 + 2 * (len(KS) if k is None else 1))
    responses = responsiveness(encoder, layers, with_artefact, without, rows=rows)
    before = judge()
    least = before[ORIGINAL] - max(max_cost, 1 / len(task.test_labels)) - _ROUNDING
    tried = _tried(responses, (with_artefact, without), judge, least)
    layer = str(tried["layer"].iloc[0])
    limit = _limit(responses, layer)
    if k is not None and k > limit:
        raise InputError(f"k may be half of the channels of {layer!r}, {limit}, to leave a control, and is {k}.")
    curve = [{"k": 0, "channels": "none"} | before]
    for count in KS if k is None else (k,):
        if count <= limit:
            edit = top_channels(responses, layer, count)
            curve.append({"k": count, "channels": "responsive"} | judge(edit))
            curve.append(
                {"k": count, "channels": "random"} | judge(random_channels(responses, edit, seed), control=True)
            )
    table = pd.DataFrame(curve)
    chosen = _plateau(table, len(task.test_labels), least) if k is None else k
    if not chosen:
        return PruningSearch(tried, table, 0, 1.0, None, None)
    edit = top_channels(responses, layer, chosen)
    p_value = judge.p_value(edit, seed)
    if k is None and p_value > _LEVEL:
        return PruningSearch(tried, table, 0, p_value, None, None)
    return PruningSearch(tried, table, chosen, p_value, edit, random_channels(responses, edit, seed))


@dataclass
class _Judge:
    """Accuracies of a task, averaged over its readouts, with an edit of the encoder or without one."""

    encoder: Encoder
    task: Task
    progress: Progress | None
    most: int
    done: int = 0
    right: dict[Prune | None, NDArray[np.float64]] = field(default_factory=dict)
    """By edit the share of readouts that are right, of each shifted image."""

    def __call__(self, edit: Prune | None = None, *, control: bool = False) -> dict[str, float]:
        """Of an edit, which counts among the tries unless it is a control."""
        table = self.task.predict(self.encoder if edit is None else edited(self.encoder, edit))
        right = {state: _right(rows, len(self.task.readouts)) for state, rows in table.groupby("state")}
        if not control:
            self.right[edit] = right[SHIFTED]
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.most)
        return {state: float(right[state].mean()) for state in (ORIGINAL, SHIFTED)}

    def p_value(self, edit: Prune, seed: int) -> float:
        """How often the largest gain of all tries is as large as this one's by chance."""
        gains = np.stack([found for tried, found in self.right.items() if tried is not None]) - self.right[None]
        signs = 2 * np.random.default_rng(seed).integers(2, size=(_DRAWS, gains.shape[1])).astype(np.float32) - 1
        largest = (signs @ gains.T).max(1)
        own = float((self.right[edit] - self.right[None]).sum())
        return float((1 + (largest >= own - _ROUNDING).sum()) / (1 + _DRAWS))


def _right(predictions: pd.DataFrame, readouts: int) -> NDArray[np.float64]:
    """The share of readouts that are right, of each image."""
    hits = (predictions["label"] == predictions["predicted"]).to_numpy(dtype=float)
    return hits.reshape(readouts, -1).mean(0)


def _tried(responses: pd.DataFrame, pairs: Pairs, judge: _Judge, least: float) -> pd.DataFrame:
    """The layers that respond most, judged with a few channels pruned: cheap ones first, then by what they save."""
    layers = [str(layer) for layer in responses["layer"].unique() if _limit(responses, str(layer))]
    if not layers:
        raise InputError("No layer has two channels or more to choose from.")
    edits = [top_channels(responses, layer, min(_PROBED, _limit(responses, layer))) for layer in layers]
    ranked = rank_edits(judge.encoder, edits, *pairs)[:SHORTLIST]
    rows = [{"layer": edit.layer, "repair": repair, "k": len(edit.channels)} | judge(edit) for edit, repair in ranked]
    table = pd.DataFrame(rows).assign(cheap=lambda found: found[ORIGINAL] >= least)
    return table.sort_values(["cheap", SHIFTED], ascending=False, kind="stable", ignore_index=True)


def _limit(responses: pd.DataFrame, layer: str) -> int:
    """Half of the channels of a layer: as many stay to be drawn from."""
    return int((responses["layer"] == layer).sum()) // 2


def _plateau(curve: pd.DataFrame, n: int, least: float) -> int:
    rows = curve[curve["channels"] != "random"]
    saved = rows[SHIFTED].clip(upper=rows[ORIGINAL].iloc[0])  # what is gained beyond is not owed to the artefact
    return int(rows["k"].iloc[plateau(saved.tolist(), n, (rows[ORIGINAL] >= least).tolist())])
