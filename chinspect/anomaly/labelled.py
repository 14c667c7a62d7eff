"""Do scores tell defects from normal images, where the folders say which is which?

The AUROC is the probability that a defect scores above a normal image. Scores of chance have .5, and beside it stands
the p-value of the rank-sum test (Mann and Whitney 1947): the probability of an AUROC at least as high if defects and
normal images scored alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from chinspect.intervals import auroc_interval

_LEVEL = 0.05  # of scores that are said to be better than chance
_NORMAL = ("good", "ok", "normal")  # of MVTec AD, of BTAD, and what plain folders are called


@dataclass(frozen=True)
class Separation:
    """How well scores tell images of other folders from those of the normal one.

    Attributes:
        auroc: probability that a defect scores above a normal image, ties count half.
        low, high: its 95 % interval, see `chinspect.intervals.auroc_interval`.
        p_value: of an AUROC as high as this by chance, one-sided.
        n_normal, n_defect: numbers of images.
        folder: the name of the folder of normal images.
    """

    auroc: float
    low: float
    high: float
    p_value: float
    n_normal: int
    n_defect: int
    folder: str

    @property
    def better_than_chance(self) -> bool:
        """Whether defects score higher than chance has it, at a level of .05."""
        return self.p_value <= _LEVEL

    @property
    def sentence(self) -> str:
        """The AUROC in words."""
        judged = "better than chance" if self.better_than_chance else "no better than chance"
        return (
            f"AUROC {self.auroc:.3f} [{self.low:.3f}, {self.high:.3f}] of {self.n_defect} defects against "
            f"{self.n_normal} normal images (the folder {self.folder!r}): {judged}, which gives .5 "
            f"(p = {self.p_value:.2g})"
        )

    def document(self) -> dict[str, Any]:
        """All fields and the judgement, as JSON values."""
        return asdict(self) | {"better_than_chance": self.better_than_chance}


def separation(paths: Sequence[str | Path], scores: NDArray[np.float64]) -> Separation | None:
    """How well scores (n,) tell defects from normal images, by the folders that the images lie in.

    Images in a folder ``good``, ``ok`` or ``normal`` are normal; then those of all other folders are defects. None
    where there is no such folder, or no other one.
    """
    folders = [Path(path).absolute().parent.name for path in paths]
    folder = next((name for name in _NORMAL if name in folders), None)
    normal = np.array([name == folder for name in folders])
    if folder is None or normal.all():
        return None
    n_normal = int(normal.sum())
    n_defect = len(normal) - n_normal
    test = mannwhitneyu(scores[~normal], scores[normal], alternative="greater")
    auroc = float(test.statistic) / (n_normal * n_defect)  # the statistic counts pairs
    low, high = auroc_interval(auroc, n_defect, n_normal)
    return Separation(auroc, low, high, float(test.pvalue), n_normal, n_defect, folder)
