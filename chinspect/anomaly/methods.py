"""How anomaly scores are explained: by what the detector knows of itself, by relevance maps, or by Shapley values.

**References.** Shapley values, and deletion, ask for the score of an image whose components are replaced. A blurred
image is no normal one: to a PatchCore of magnetic tiles it is half as anomalous again as the defects are. So what is
replaced becomes what the most similar of the detector's normal images has there (``normal``), as far as it holds
some. A relevance map asks for no score, and takes the blurred image, whose colours and shapes are its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from chinspect.anomaly.images import Images
from chinspect.errors import InputError, did_you_mean
from chinspect.faithfulness import Deletion, deletion
from chinspect.relevance import Composite, Method, MethodName, Partition, ReferenceName, patches, shapley_map

NORMAL = "normal"
AnomalyMethod = MethodName | Literal["auto"]
_CELLS = 7  # of the shorter side: Shapley values of more patches take more images than a score is worth waiting for
CHECKED = 4
"""Images of an explanation that are checked by deletion, at most: each takes 22 scores."""
_DELETED = 14  # patches along the shorter side that are deleted, so that 5 % of them are ten
_COMPOSITE = "epsilon_plus"  # its rules read the values of pixels, which frequency bands share


class Scoring(Protocol):
    """What methods ask of a detector."""

    @property
    def usual_method(self) -> Method | None:
        """What ``auto`` stands for; None for what it knows of itself."""

    @property
    def normal_images(self) -> Tensor | None:
        """Some normal images (k, C, H, W); None where it keeps none."""

    def read(self, X: Images) -> Tensor:
        """Images as it reads them."""

    def decision_function(self, X: Images) -> NDArray[np.float64]:
        """Scores (N,)."""


def method_for(
    detector: Scoring,
    name: AnomalyMethod,
    *,
    composite: str | Composite | None = None,
    reference: Images | None = None,
    evaluations: int | None = None,
) -> Method | None:
    """A method with what depends on the detector filled in; None for what the detector knows of itself.

    Args:
        name: the family; ``auto`` is the one that a composite or a number of evaluations belongs to, else the
            detector's usual one.
        composite: the rules of ``lrp``; ``epsilon_plus`` by default.
        reference: ``normal``, ``blur``, ``mean`` or ``grey``, or images as detectors take them. By default ``blur`` of
            relevance maps, and else ``normal``.
        evaluations: masked images an image, of ``shapley``.

    Raises `InputError` for what is not known, and what does not belong together.
    """
    family = _family(detector, name, composite, evaluations)
    if family is None:
        return None
    if composite is not None and family != "lrp":
        raise InputError(f"a composite belongs to the method lrp, not to {family}: leave out one of both.")
    usual = NORMAL if family == "shapley" and detector.normal_images is not None else "blur"
    images = usual if reference is None else checked_reference(detector, reference)
    return Method(family, composite or _COMPOSITE, images, evaluations)


def _family(detector: Scoring, name: AnomalyMethod, composite: object, evaluations: object) -> MethodName | None:
    if name != "auto":
        return name
    if composite is not None or evaluations is not None:
        return "lrp" if composite is not None else "shapley"
    return None if detector.usual_method is None else detector.usual_method.name


def checked_reference(detector: Scoring, reference: Images) -> Tensor | str:
    """Images as the detector reads them; a name as it is. `InputError` for a name that is none."""
    if isinstance(reference, str) and not Path(reference).exists():
        names = (NORMAL, *get_args(ReferenceName))
        if reference not in names:
            raise InputError(
                f"unknown reference {reference!r}{did_you_mean(reference, names)}: "
                f"choose one of {', '.join(names)}, or an image file."
            )
        if reference == NORMAL and detector.normal_images is None:
            raise InputError("this detector holds no normal images: fit it again, or choose another reference.")
        return reference
    return detector.read(reference)


def replacement(detector: Scoring, reference: Images | None) -> Method:
    """By what deletion replaces: the reference that was asked for, else normal images as far as there are some."""
    usual = "blur" if detector.normal_images is None else NORMAL
    return Method("shapley", reference=usual if reference is None else checked_reference(detector, reference))


def references(detector: Scoring, method: Method, x: Tensor) -> Tensor:
    """The references (R, n, C, H, W) of images ``x`` (n, C, H, W): of ``normal`` the nearest pixel by pixel."""
    normal = detector.normal_images
    if method.reference != NORMAL or normal is None:
        return method.references(x)
    distances = torch.cdist(x.flatten(1).to(normal), normal.flatten(1))
    return normal[distances.argmin(1)][None].to(x)


def shapley_relevance(detector: Scoring, x: Tensor, method: Method) -> dict[str, ArrayLike]:
    """Shapley values of patches for the scores of images: relevance (n, 1, H, W), each patch's spread over its pixels.

    With the ``reference`` (n,), the score of the reference, it sums to the score.
    """
    partition = patches(-(-min(x.shape[2:]) // _CELLS))
    cells = partition.on(x.shape)
    assert isinstance(cells, Partition)
    origins = references(detector, method, x)

    def respond(images: Tensor) -> Tensor:
        return torch.from_numpy(detector.decision_function(images))[:, None]

    areas = cells.labels.flatten().bincount()
    relevance = []
    baseline = []
    for i in range(len(x)):
        estimate = shapley_map(respond, x[i : i + 1], partition, origins[:, i], evaluations=method.evaluations)
        relevance.append((estimate.values[:, 0] / areas)[cells.labels][None])
        baseline.append(float(estimate.baseline[0]))
    return {"relevance": torch.stack(relevance).numpy(), "reference": np.array(baseline)}


def deletions(
    detector: Scoring,
    x: Tensor,
    scores: NDArray[np.floating[Any]],
    pixels: NDArray[np.floating[Any]],
    reference: Images | None,
) -> tuple[Deletion | None, ...]:
    """Of the images of the highest scores how these fall without their most relevant patches; None of the others.

    Args:
        x: images (n, C, H, W).
        scores: theirs (n,). One that scores hardly more than a normal image has little to lose.
        pixels: their relevance (n, H, W).
        reference: what was asked for, see `method_for`.
    """
    cells = patches(-(-min(x.shape[2:]) // _DELETED))
    partition = cells.on(x.shape)
    assert isinstance(partition, Partition)
    highest = np.sort(np.argsort(-scores, kind="stable")[:CHECKED])
    checked = x[torch.from_numpy(highest)]
    origins = references(detector, replacement(detector, reference), checked)
    relevance = partition.sums(torch.from_numpy(pixels[highest, None]))

    def score(images: Tensor) -> Tensor:
        return torch.from_numpy(detector.decision_function(images))

    made: list[Deletion | None] = [None] * len(x)
    for i, index in enumerate(highest):
        made[index] = deletion(score, checked[i : i + 1], relevance[i], cells, origins[:, i])
    return tuple(made)
