"""A head that is right for groups that nobody has labelled, and what it changes.

    result = regroup(load_encoder("efficientnet-lite0"), "photographs", method="exmap", head="dfr")
    result.show()
    result.save("regrouped")        # head.safetensors, which `chinspect evaluate --head` judges on other images

`find_groups` groups half of the training images, `fit_head` fits a head on them with these groups, and judges it on the
test images, beside the average head and the same head with groups at random; `regroup` is both at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.groups.comparison import compare_heads, shown_columns
from chinspect.groups.controls import random_groups
from chinspect.groups.grouping import METHODS, Grouping, Progress, find_groups, linear_head
from chinspect.groups.groups import Groups
from chinspect.groups.heads import AFR, DFR, ERM, JTT, GroupDRO, Head
from chinspect.readouts import LinearHead
from chinspect.report import Result, records

HEADS: Mapping[str, Callable[[int], Head]] = {
    "dfr": lambda seed: DFR(random_state=seed),
    "jtt": lambda seed: JTT(random_state=seed),
    "groupdro": lambda _: GroupDRO(),  # which draws nothing
    "afr": lambda seed: AFR(random_state=seed),
}
"""By name, with a seed."""
AVERAGE = "average"
"""The name of the head that is fitted by the average loss, in tables."""


@dataclass(frozen=True, eq=False, repr=False)
class Regrouping(Result):
    """A head that is fitted with groups, and how right it is.

    Attributes:
        encoder: its name.
        groups: of the images that it was fitted on.
        accuracy: a row a head on the test images, see `compare_heads`: the average one, the head, and the head with
            random groups.
        each: a row a head and group, see `score_groups`.
        quality: how well the groups agree with the true ones; empty where these are not known.
        selected: strengths of the head, and what they were selected by.
        heads: these heads, by name.
    """

    stem = "regrouping"

    encoder: str
    groups: Groups
    accuracy: pd.DataFrame
    each: pd.DataFrame
    quality: Mapping[str, Any]
    selected: Mapping[str, Any]
    heads: Mapping[str, LinearHead]

    @property
    def head(self) -> LinearHead:
        """The head that is fitted with the groups."""
        return self.heads[str(self.accuracy["head"][1])]

    @property
    def sentence(self) -> str:
        """What changed for the worst group, and whether that is more than random groups change."""
        before, after, chance = self.accuracy["worst"]
        row = self.accuracy.iloc[1]
        sentence = f"The worst group is {before:.1%} right by an average head, and {after:.1%} by {row['head']}"
        interval = f"[{row['worst_low']:.1%}, {row['worst_high']:.1%}]"
        return f"{sentence} {interval}; with groups at random {chance:.1%}. {self.groups.sentence}"

    def document(self) -> dict[str, Any]:
        """Everything but the heads, as JSON values."""
        return {
            "encoder": self.encoder,
            "groups": dict(zip(self.groups.names, self.groups.sizes.tolist(), strict=True)),
            "made_from": self.groups.method,
            "quality": dict(self.quality),
            "selected": dict(self.selected),
            "accuracy": records(self.accuracy),
            "each": records(self.each),
        }

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """Accuracies, and the quality where it is known."""
        tables = {"accuracy on the test images": shown_columns(self.accuracy)}
        return tables | ({"agreement with the true groups": pd.DataFrame([self.quality])} if self.quality else {})

    def _save_rest(self, target: Path) -> list[Path]:
        return [self.head.save(target / "head.safetensors")]


def regroup(
    encoder: Encoder | str,
    data: str | Path,
    *,
    method: str = "exmap",
    head: str = "dfr",
    groups: str | Path | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Regrouping:
    """Find groups, fit a robust head with them, and judge it.

    Args:
        encoder, data, method, groups, cache, progress: see `find_groups`.
        head: one of `HEADS`.
        seed: of splits, clusterings and heads.

    Raises `InputError` for names that are not known, and as `load_classes` does.
    """
    if method not in METHODS or head not in HEADS:
        raise InputError(
            f"groups come from {', '.join(METHODS)} and heads are {', '.join(HEADS)}, not {method!r} and {head!r}."
        )
    grouping = find_groups(encoder, data, method=method, groups=groups, cache=cache, seed=seed, progress=progress)
    return fit_head(grouping, head, seed=seed)


def fit_head(grouping: Grouping, head: str = "dfr", *, seed: int = 0) -> Regrouping:
    """Fit a head on grouped images, and judge it beside the average head and the same one with groups at random.

    Raises `InputError` for a head that is not known.
    """
    if head not in HEADS:
        raise InputError(f"heads are {', '.join(HEADS)}, not {head!r}.")
    rows, labels, groups = grouping.embeddings, grouping.groups.labels, grouping.groups
    robust = HEADS[head](seed).fit(rows, labels, groups.ids)
    fitted = {
        AVERAGE: ERM().fit(rows, labels),
        f"{head}, {grouping.method}": robust,
        f"{head}, random groups": HEADS[head](seed).fit(rows, labels, random_groups(groups, random_state=seed).ids),
    }
    predictions = {name: one.predict(grouping.test_embeddings) for name, one in fitted.items()}
    accuracy, each = compare_heads(
        grouping.judged.labels, predictions, grouping.judged, train_sizes=grouping.train_sizes
    )
    return Regrouping(
        grouping.encoder.name,
        groups,
        accuracy,
        each,
        grouping.quality,
        {**robust.selected_, "by": robust.selected_by_} if robust.selected_ else {},
        {name: linear_head(one, name, grouping.encoder) for name, one in fitted.items()},
    )
