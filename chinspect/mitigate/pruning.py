"""Where to prune and how much: a search on validation data that the final test never sees.

Of each layer the five channels that respond most are pruned. The layers where that repairs most of what the artefact
does to embeddings are judged by readouts, and the one that helps most goes on. Its curve over k says what more channels
bring, beside as many random channels of the same layer and rows: what these achieve is not owed to the choice. The k is
the least that is as good as the best (`plateau`), among those that cost no more than ``max_cost`` of clean accuracy, or
one image of it.

The best of many tries looks good by chance, too. So with d_jn the fraction of readouts that try j puts right on shifted
image n, less that without pruning, the gain of the selected one must reach a level that the largest of all gains,
``max_j mean_n s_n d_jn``, reaches in one of twenty draws of signs s_n at most (a permutation test of paired data with
the maximum as statistic, Westfall and Young 1993); else nothing is pruned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.encoders import Encoder, Prune, edited
from chinspect.errors import InputError
from chinspect.mitigate.responsive import Where, random_channels, rank_edits, responsiveness, top_channels
from chinspect.readouts import ORIGINAL, SHIFTED, Pairs, Task
from chinspect.report import Result

Progress = Callable[[int, int], None]
_KS = (1, 2, 3, 5, 10, 20)  # about twice as many each time: the curve flattens, and each costs two encoders to judge
_SHORTLIST = 3  # layers that are judged by readouts, which takes longer than ranking them by their repair
_PROBED = 5  # channels pruned of each layer to rank the layers, as in Kauffmann et al. 2025
_ROUNDING = 1e-9  # of accuracies that are equal; one image counts far more
_DRAWS = 2000  # of signs: a p-value of .05 is then known to within .01


@dataclass(frozen=True, eq=False, repr=False)
class PruningSearch(Result):
    """What a search led to.

    Attributes:
        layers: one row a layer that was tried: its repair and accuracies with k channels pruned, the best first.
        curve: of the best layer: k, channels (``responsive`` or ``random``), original and shifted accuracy, n.
        p_value: of the gain on shifted images among all that were tried; 1 if k is 0 by the plateau rule.
        edit: what to prune, None if no pruning helps by more than chance.
        control: as many random channels.
    """

    stem = "pruning"

    layers: pd.DataFrame
    curve: pd.DataFrame
    p_value: float
    edit: Prune | None = None
    control: Prune | None = None

    @property
    def k(self) -> int:
        """The number of channels; 0 if no pruning helps by more than chance."""
        return 0 if self.edit is None else len(self.edit.channels)

    @property
    def sentence(self) -> str:
        """What is pruned, or that nothing is."""
        if self.edit is None:
            return f"no pruning helps by more than chance (p = {self.p_value:.2g}): nothing is written"
        rows = self.edit.rows
        where = "all rows" if rows is None else f"rows {rows[0]} to {rows[1]}"
        return f"pruned {self.k} channel{'s' * (self.k > 1)} of {self.edit.layer} in {where}"

    def document(self) -> dict[str, Any]:
        """The tables, k, p_value, and the edit: layer, channels, rows."""
        edit = None if self.edit is None else vars(self.edit)
        return super().document() | {"k": self.k, "p_value": self.p_value, "edit": edit}

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """Both tables, and on which images they were measured."""
        layers = self.layers.drop(columns="cheap")
        return {"layers, on validation images": layers, "channels, on validation images": self.curve}


def search_pruning(
    encoder: Encoder,
    task: Task,
    pairs: Pairs,
    *,
    layers: str | Sequence[str] | None = None,
    k: int | None = None,
    rows: Where = "artefact",
    max_cost: float = 0.01,
    level: float = 0.05,
    seed: int = 0,
    progress: Progress | None = None,
) -> PruningSearch:
    """Choose layer and number of channels by the task's accuracy, averaged over its readouts.

    Args:
        task: its test images are the validation, in the states original and shifted.
        pairs: images to measure responses on.
        layers: to choose from; None for all `candidate_layers`.
        k: a number of channels, which are pruned whether that helps or not.
        rows: see `responsiveness`.
        max_cost: of clean accuracy, 0..1; a loss of one image is always admitted.
        level: the largest probability, if nothing helps, that anything is pruned; without k.
        seed: of the random channels and of the test's draws.
        progress: called with the number of encoders judged, and an upper bound of all.

    Raises `InputError` as `responsiveness` does, for k that the layer has not, and a task without shifted images.
    """
    if SHIFTED not in task.test:
        raise InputError("Pruning is chosen by what it does to shifted images, and the task has none.")
    counts = _KS if k is None else (k,)
    judge = _Judge(encoder, task, progress, _SHORTLIST + 1 + 2 * len(counts))
    responses = responsiveness(encoder, pairs, layers, rows=rows)
    before = judge()
    least = before[ORIGINAL] - max(max_cost, 1 / len(task.test_labels)) - _ROUNDING
    tried = _tried(responses, pairs, judge, least)
    layer = str(tried["layer"].iloc[0])
    limit = _limit(responses, layer)
    if k is not None and k > limit:
        raise InputError(f"k may be half of the channels of {layer!r}, {limit}, to leave a control, and is {k}.")
    curve: list[dict[str, Any]] = [{"k": 0, "channels": "none"} | before]
    for count in (count for count in counts if count <= limit):
        edit = top_channels(responses, layer, count)
        control = random_channels(responses, edit, seed)
        curve.append({"k": count, "channels": "responsive"} | judge(edit))
        curve.append({"k": count, "channels": "random"} | judge(control, control=True))
    table = pd.DataFrame(curve)
    selected = _least_as_good(table, len(task.test_labels), least) if k is None else k
    best = top_channels(responses, layer, selected) if selected else None
    p_value = 1.0 if best is None else judge.p_value(best, seed)
    if best is None or (k is None and p_value > level):
        return PruningSearch(tried, table, p_value)
    return PruningSearch(tried, table, p_value, best, random_channels(responses, best, seed))


@dataclass
class _Judge:
    """Accuracies of a task, averaged over its readouts, with an edit of the encoder or without one."""

    encoder: Encoder
    task: Task
    progress: Progress | None
    most: int
    done: int = 0
    right: dict[Prune | None, NDArray[np.float64]] = field(default_factory=dict)
    """By edit the fraction of readouts that are right, of each shifted image."""

    def __call__(self, edit: Prune | None = None, *, control: bool = False) -> dict[str, float]:
        """Of an edit, which counts among the tries unless it is a control."""
        table = self.task.predict(self.encoder if edit is None else edited(self.encoder, edit))
        hits = (table["label"] == table["predicted"]).to_numpy(dtype=float)  # by readout, then state, then image
        rates = hits.reshape(len(self.task.readouts), len(self.task.test), -1).mean(0)
        right = dict(zip(self.task.test, rates, strict=True))
        if not control:
            self.right[edit] = right[SHIFTED]
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.most)
        return {state: float(right[state].mean()) for state in (ORIGINAL, SHIFTED)}

    def p_value(self, edit: Prune, seed: int) -> float:
        """How often the largest gain of all tries is as large as this one's by chance."""
        gains = np.stack([right for tried, right in self.right.items() if tried is not None]) - self.right[None]
        signs = 2 * np.random.default_rng(seed).integers(2, size=(_DRAWS, gains.shape[1])).astype(np.float32) - 1
        largest = (signs @ gains.T).max(1)
        own = float((self.right[edit] - self.right[None]).sum())
        # the data count as one of the draws, so that p is never 0 and the level holds
        return float((1 + (largest >= own - _ROUNDING).sum()) / (1 + _DRAWS))


def plateau(values: Sequence[float], n: int, admissible: Sequence[bool]) -> int:
    """The index of the first of some accuracies that lies within one standard error of the best.

    They belong to remedies of growing strength, the first one to none. The standard error is the best one's,
    ``sqrt(p (1 - p) / n)`` with ``p = (best n + 1) / (n + 2)``, so that a perfect score has one, too.

    Args:
        values: accuracies in [0, 1].
        n: of how many images.
        admissible: which of them may be selected.

    Raises `InputError` if there is nothing to choose from.

    Source: the one-standard-error rule of Breiman et al. 1984, Classification and Regression Trees, section 3.4.3.
    """
    allowed = [index for index, good in enumerate(admissible) if good]
    if not allowed or n < 1:
        raise InputError("There is no admissible strength to choose from.")
    best = max(values[index] for index in allowed)
    rate = (best * n + 1) / (n + 2)
    error = math.sqrt(rate * (1 - rate) / n)
    return next(index for index in allowed if values[index] >= best - error)


def _tried(responses: pd.DataFrame, pairs: Pairs, judge: _Judge, least: float) -> pd.DataFrame:
    """The layers that respond most, judged with a few channels pruned: cheap ones first, then by what they save."""
    limits = {str(layer): _limit(responses, str(layer)) for layer in responses["layer"].unique()}
    edits = [top_channels(responses, layer, min(_PROBED, limit)) for layer, limit in limits.items() if limit]
    if not edits:
        raise InputError("No layer has two channels or more to choose from.")
    ranked = rank_edits(judge.encoder, edits, pairs)[:_SHORTLIST]
    rows = [{"layer": edit.layer, "repair": repair, "k": len(edit.channels)} | judge(edit) for edit, repair in ranked]
    table = pd.DataFrame(rows)
    table["cheap"] = table[ORIGINAL] >= least
    return table.sort_values(["cheap", SHIFTED], ascending=False, kind="stable", ignore_index=True)


def _limit(responses: pd.DataFrame, layer: str) -> int:
    """Half of the channels of a layer: as many stay to be drawn from."""
    return int((responses["layer"] == layer).sum()) // 2


def _least_as_good(curve: pd.DataFrame, n: int, least: float) -> int:
    """The k of the plateau; 0 where nothing is better by more than a standard error."""
    rows = curve[curve["channels"] != "random"]
    saved = rows[SHIFTED].clip(upper=rows[ORIGINAL].iloc[0])  # what is gained beyond is not owed to the artefact
    return int(rows["k"].iloc[plateau(saved.tolist(), n, (rows[ORIGINAL] >= least).tolist())])
