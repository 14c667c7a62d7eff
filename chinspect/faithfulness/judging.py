"""Maps of several methods, judged by several metrics on several images, beside control maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from chinspect.errors import InputError, did_you_mean
from chinspect.faithfulness.changed import Score
from chinspect.faithfulness.controls import CONTROLS, control_maps
from chinspect.faithfulness.judgement import Judgement
from chinspect.faithfulness.metrics import METRICS, JudgedImage, JudgedMap, Remap
from chinspect.relevance import Reference

Progress = Callable[[int, int], None]


def judge(
    scores: Score | Sequence[Score],
    images: Tensor,
    maps: Mapping[str, ArrayLike | Tensor],
    *,
    metrics: Sequence[str] | None = None,
    masks: ArrayLike | None = None,
    remaps: Mapping[str, Sequence[Remap]] | None = None,
    reference: Reference | str = "blur",
    names: Sequence[str] | None = None,
    score: str = "the score",
    random_state: int = 0,
    progress: Progress | None = None,
) -> Judgement:
    """Metrics of maps of any methods, beside a mask of ones, a random mask and a centred blob.

    With the defaults the score is asked of about 105 images for each image and map.

    Args:
        scores: what the maps explain: a function from images (n, C, H, W) to numbers (n,), or one for each image.
        images: (N, C, H, W), preprocessed.
        maps: by the names of their methods, (N, h, w) at any resolution.
        metrics: names from `METRICS`; by default all whose needs are met but the slow ones.
        masks: where the cause of each score lies, (N, H, W) booleans, for the pointing game and the relevance mass.
        remaps: by method, for each image the function from an image (1, C, H, W) to its map, for coherency.
        reference: what removed pixels show; masked ones show zero, as published.
        names: of the images.
        score: what the maps explain, in words.
        random_state: decides noise, random orders and the random mask.
        progress: called with the number of maps judged and in all.

    Raises:
        InputError: shapes do not fit, a metric is not known or lacks what it needs, or numbers are not finite.
    """
    count = len(images)
    if images.ndim != 4 or not count:
        raise InputError(f"maps are judged on images (N, C, H, W), not {tuple(images.shape)}.")
    functions = [scores] * count if callable(scores) else list(scores)
    tables = {name: _checked(name, map_, count) for name, map_ in maps.items()}
    marks = None if masks is None else _masks(masks, images)
    labels = tuple(names) if names is not None else tuple(f"image {index}" for index in range(count))
    if len(functions) != count or len(labels) != count:
        raise InputError(f"{count} images need as many scores and names, not {len(functions)} and {len(labels)}.")
    if not tables or set(tables) & set(CONTROLS):
        raise InputError(f"maps of at least one method are needed, by other names than {', '.join(CONTROLS)}.")
    asked = _metrics(metrics, masks=marks is not None, remaps=set(remaps or ()) >= set(tables))
    values = np.empty((len(asked), len(tables) + len(CONTROLS), count))
    total = values[0].size
    for index in range(count):
        mask = None if marks is None else marks[index]
        image = JudgedImage(functions[index], images[index : index + 1], reference, mask, random_state + index)
        judged = [
            JudgedMap(image, table[index], None if remaps is None else remaps[name][index])
            for name, table in tables.items()
        ]
        controls = control_maps((images.shape[2], images.shape[3]), random_state + index)
        # a map that does not depend on the image is its own map behind any mask
        judged += [JudgedMap(image, control, partial(_same, control)) for control in controls.values()]
        for column, map_ in enumerate(judged):
            values[:, column, index] = [METRICS[name].measure(map_) for name in asked]
            if progress is not None:
                progress(index * len(judged) + column + 1, total)
    return Judgement(tuple(tables), CONTROLS, asked, labels, values, score)


def _same(control: NDArray[np.float64], _x: Tensor) -> NDArray[np.float64]:
    return control


def _checked(name: str, table: ArrayLike | Tensor, count: int) -> Tensor:
    values = torch.as_tensor(table if isinstance(table, Tensor) else np.asarray(table)).detach().float().cpu()
    if values.ndim != 3 or len(values) != count or not bool(values.isfinite().all()):
        raise InputError(f"the maps {name!r} have to be finite numbers ({count}, h, w), not {tuple(values.shape)}.")
    return values


def _masks(masks: ArrayLike, images: Tensor) -> NDArray[np.bool_]:
    values = np.asarray(masks)
    if values.dtype != bool or values.shape != (len(images), *images.shape[2:]):
        raise InputError(
            f"masks of images {tuple(images.shape)} are booleans (N, H, W), not {values.dtype} {values.shape}."
        )
    if not values.any((1, 2)).all():
        raise InputError("a mask marks nothing: leave its image out.")
    return values


def _metrics(names: Sequence[str] | None, *, masks: bool, remaps: bool) -> tuple[str, ...]:
    have = {"": True, "mask": masks, "remap": remaps}
    if names is None:
        return tuple(name for name, metric in METRICS.items() if have[metric.needs] and not metric.slow)
    if not names or len(set(names)) < len(names):
        raise InputError(f"metrics are named once each, and at least one, not {list(names)}.")
    for name in names:
        if name not in METRICS:
            raise InputError(
                f"there is no metric {name!r}{did_you_mean(name, METRICS)}: choose from {', '.join(METRICS)}."
            )
        if not have[METRICS[name].needs]:
            what = {"mask": "masks of the cause", "remap": "the functions that made the maps"}[METRICS[name].needs]
            raise InputError(f"the metric {name!r} needs {what}: give them, or leave it out.")
    return tuple(names)
