"""How much of a remedy is enough: the least that is as good as the best, within what chance explains."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chinspect.errors import InputError


def plateau(values: Sequence[float], n: int, admissible: Sequence[bool] | None = None) -> int:
    """The first of some accuracies that lies within one standard error of the best.

    They belong to remedies of growing strength, the first one to none. The standard error is the best one's,
    ``sqrt(p (1 - p) / n)`` with ``p = (best n + 1) / (n + 2)``, so that a perfect score has one, too.

    Args:
        values: accuracies in [0, 1].
        n: of how many images.
        admissible: which of them may be chosen; all by default.

    Returns:
        an index; 0, no remedy at all, where nothing is better by more than that.

    Raises `InputError` if there is nothing to choose from.

    Source: the one-standard-error rule of Breiman et al. 1984, Classification and Regression Trees, section 3.4.3.
    """
    allowed = [index for index in range(len(values)) if admissible is None or admissible[index]]
    if not allowed or n < 1:
        raise InputError("There is no admissible strength to choose from.")
    best = max(values[index] for index in allowed)
    share = (best * n + 1) / (n + 2)
    error = math.sqrt(share * (1 - share) / n)
    return next(index for index in allowed if values[index] >= best - error)
