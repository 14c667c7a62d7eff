"""How maps of several methods fare by several metrics, beside maps that know nothing of the image.

Of each metric the method with the best mean is compared with the control map with the best mean, image by image. The
metric tells maps from controls where the bootstrap interval of the mean difference lies above 0. Where it lies below, a
map without any knowledge of the image wins: then the metric measures something else than faithfulness, or no map here
is faithful, and it ranks nothing; so too where no map does better than the control on any image, as none can have a
smaller drop than a mask of ones. Both were selected for their means, so that the interval is one of 95 % for all pairs
of a method and a control together (Bonferroni). Of fewer than six images there is no verdict: not even six differences
of one sign are less likely than 5 % by chance with fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.faithfulness.metrics import METRICS
from chinspect.intervals import mean_interval
from chinspect.report import Result, plain, records

TELLS = "tells maps from controls"
WON = "won by a control"
UNDECIDED = "undecided"
FEW = "too few images"
_IMAGES = 6  # 2 * 2^-6 < .05: of fewer, all differences may have one sign by chance


@dataclass(frozen=True, eq=False, repr=False)
class Judgement(Result):
    """Metrics of maps; see `judge`.

    Attributes:
        methods, controls: names of the maps.
        metrics: names.
        images: names.
        values: (metrics, methods and controls, images); nan where a metric is not defined.
        score: what the maps explain, in words.
    """

    stem: ClassVar[str] = "faithfulness"
    drawing: ClassVar[str] = "chinspect.faithfulness.figure"
    methods: tuple[str, ...]
    controls: tuple[str, ...]
    metrics: tuple[str, ...]
    images: tuple[str, ...]
    values: NDArray[np.float64]
    score: str

    @property
    def maps(self) -> tuple[str, ...]:
        """Methods and controls."""
        return (*self.methods, *self.controls)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each metric and map: the mean over images and its 95 % interval."""
        rows = []
        for metric, maps in zip(self.metrics, self.values, strict=True):
            for name, values in zip(self.maps, maps, strict=True):
                valid = values[np.isfinite(values)]
                low, high = mean_interval(valid)
                row: dict[str, Any] = {"metric": metric, "better": METRICS[metric].better, "map": name}
                row |= {"control": name in self.controls, "images": len(valid)}
                rows.append(row | {"mean": valid.mean() if len(valid) else np.nan, "low": low, "high": high})
        return pd.DataFrame(rows)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """A row for each metric of quality: the best method, the best control, their difference, and the verdict.

        The difference is positive where the method is better, whichever way that is; its interval, see the module.
        """
        rows = [self._verdict(index, metric) for index, metric in enumerate(self.metrics) if METRICS[metric].better]
        return pd.DataFrame(rows)

    def _verdict(self, index: int, metric: str) -> dict[str, Any]:
        sign = METRICS[metric].sign
        # of the images on which the metric is defined for every map
        values = sign * self.values[index][:, np.isfinite(self.values[index]).all(0)]
        row: dict[str, Any] = {"metric": metric, "better": METRICS[metric].better, "images": values.shape[1]}
        if not values.shape[1]:
            return row | {"verdict": "not defined"}
        means = values.mean(1)
        method = int(means[: len(self.methods)].argmax())
        control = len(self.methods) + int(means[len(self.methods) :].argmax())
        difference = values[method] - values[control]
        pairs = len(self.methods) * len(self.controls)
        low, high = mean_interval(difference, confidence=1 - 0.05 / pairs)
        row |= {"method": self.maps[method], "control": self.maps[control]}
        row |= {"of_method": sign * means[method], "of_control": sign * means[control]}
        row |= {"difference": difference.mean(), "low": low, "high": high}
        never = bool((difference <= 0).all()) and difference.mean() < 0
        decided = TELLS if low > 0 else WON if high < 0 or never else UNDECIDED
        return row | {"verdict": decided if len(difference) >= _IMAGES else FEW}

    @property
    def wide(self) -> pd.DataFrame:
        """A row a metric, a column a map: means."""
        means = self.table.pivot(index=["metric", "better"], columns="map", values="mean").reset_index()
        return means.set_index("metric").loc[list(self.metrics), ["better", *self.maps]].reset_index()

    def tables(self) -> dict[str, pd.DataFrame]:
        """Means with intervals as ``metrics``, and ``verdicts``."""
        return {"metrics": self.table, "verdicts": self.verdicts}

    def overview(self) -> dict[str, pd.DataFrame]:
        """Means, a row a map, and a verdict for each metric."""
        short = ["metric", "method", "control", "difference", "low", "high", "verdict"]
        title = f"Metrics of maps of {self.score}, means over {len(self.images)} images"
        return {title: self.wide, "Does a metric tell maps from controls?": self.verdicts.reindex(columns=short)}

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Values of each metric, map and image, in the order of the document."""
        return {"values": self.values}

    def document(self) -> dict[str, Any]:
        """Everything as JSON values."""
        names = {name: list(getattr(self, name)) for name in ("methods", "controls", "images")}
        names["metric_names"] = list(self.metrics)  # `metrics` is the table
        tables = {name: records(table) for name, table in self.tables().items()}
        return plain({"score": self.score, "sentence": self.sentence, **names, **tables})  # type: ignore[no-any-return]

    @property
    def sentence(self) -> str:
        """The result in words."""
        lines = []
        for method in self.methods:
            ahead = self._of(TELLS, method)
            if ahead:
                lines.append(f"{method} is the best map, and ahead of the controls, by {_listed(ahead)}.")
        won = [f"{row['metric']} (by the {row['control']})" for row in self._rows(WON)]
        if won:
            lines.append(
                f"Won by a map that knows nothing of the image: {_listed(won)}. A metric that these win measures "
                "nothing about the maps: leave it out of any ranking."
            )
        few = [row["metric"] for row in self._rows(FEW)]
        if few:
            lines.append(f"Fewer than {_IMAGES} images, which decide nothing: {_listed(few)}.")
        undecided = [row["metric"] for row in self._rows(UNDECIDED)]
        if undecided:
            lines.append(f"Not clearly ahead of the best control on {len(self.images)} images: {_listed(undecided)}.")
        return "\n".join(lines)

    def _rows(self, verdict: str) -> list[dict[str, Any]]:
        return [row for row in records(self.verdicts) if row["verdict"] == verdict]

    def _of(self, verdict: str, method: str) -> list[str]:
        return [row["metric"] for row in self._rows(verdict) if row["method"] == method]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if names[1:] else "") + names[-1]
