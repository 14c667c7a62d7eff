"""Where to prune and how much: a search on validation data that the final test never sees.

Of each layer the five channels that respond most are pruned. The layers where that repairs most of what the artefact
does to embeddings are judged by readouts, and the one that helps most goes on. Its curve over k says what more channels
bring, beside as many random channels of the same layer and rows: what these achieve is not owed to the choice. The k is
that of the `plateau` rule among those that cost no more than ``max_cost`` of clean accuracy, or one image of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from PIL import Image

from chinspect.encoders import Encoder
from chinspect.encoders.edits import Prune, edited
from chinspect.errors import InputError
from chinspect.mitigate.plateau import plateau
from chinspect.mitigate.responsive import Where, random_channels, rank_edits, responsiveness, top_channels
from chinspect.readouts import ALL, ORIGINAL, SHIFTED, Task

KS = (1, 2, 3, 5, 10, 20)
SHORTLIST = 3
_PROBED = 5
Progress = Callable[[int, int], None]
Pairs = tuple[Sequence[Image.Image], Sequence[Image.Image]]


@dataclass(frozen=True, eq=False)
class PruningSearch:
    """What a search found.

    Attributes:
        layers: one row a layer that was tried: its repair and accuracies with k channels pruned, the best first.
        curve: of the chosen layer: k, channels (``responsive`` or ``random``), original and shifted accuracy, n.
        k: the number of channels; 0 if no pruning helps.
        edit: what to prune, None if k is 0.
        control: as many random channels.
    """

    layers: pd.DataFrame
    curve: pd.DataFrame
    k: int
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
        k: a number of channels instead of the plateau rule.
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
    least = before[ORIGINAL] - max(max_cost, 1 / len(task.test_labels))
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
            curve.append({"k": count, "channels": "random"} | judge(random_channels(responses, edit, seed)))
    table = pd.DataFrame(curve)
    chosen = _plateau(table, len(task.test_labels), least) if k is None else k
    if not chosen:
        return PruningSearch(tried, table, 0, None, None)
    edit = top_channels(responses, layer, chosen)
    return PruningSearch(tried, table, chosen, edit, random_channels(responses, edit, seed))


@dataclass
class _Judge:
    """Accuracies of a task, averaged over its readouts, with an edit of the encoder or without one."""

    encoder: Encoder
    task: Task
    progress: Progress | None
    most: int
    done: int = 0

    def __call__(self, *edits: Prune) -> dict[str, float]:
        table = self.task.score(edited(self.encoder, *edits) if edits else self.encoder)
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.most)
        rows = table[table["group"] == ALL]
        return {state: float(rows.loc[rows["state"] == state, "accuracy"].mean()) for state in (ORIGINAL, SHIFTED)}


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
