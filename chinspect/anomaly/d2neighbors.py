"""D2Neighbors: how far an image is from the training images, pixel by pixel (Kauffmann et al. 2025).

    o(x) = -1/gamma * log mean_j exp(-gamma ||B x - B u_j||_p^p)

the soft minimum over the training images ``u_j``, with an optional linear layer ``B`` in front: a blur, which is how
the paper removes the detector's reliance on frequencies that a resizer changes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from torch import Tensor, nn

from chinspect.anomaly._distance_relevance import Metric, distance_relevance
from chinspect.anomaly._distances import Bank, as_levels, from_levels, powered_distances
from chinspect.anomaly.detector import Detector
from chinspect.anomaly.explanation import Resolution
from chinspect.anomaly.filters import Layer
from chinspect.anomaly.images import NORMAL_IMAGES, pictures
from chinspect.anomaly.softmin import fit_gamma, soft_minimum, soft_minimum_weights
from chinspect.errors import InputError

ANCHORS = 1000
"""Training images on which gamma and the threshold are found, drawn by ``random_state`` where there are more."""
_BATCH = 64  # images compared at once: bounds memory, and larger batches are no faster
_NEAREST = 4  # training images that an explanation names


class D2Neighbors(Detector):
    """Soft-minimal distance to the training images.

    Args:
        p: norm of the distance ``||.||_p^p``, 1, 2 or 4.
        perplexity: how many training images an image effectively looks at, as a fraction of all, in (0, 1); see
            `fit_gamma`.
        layer: a linear module from batches to batches in front of the distance, or None.
        calibrate_on: ``blurred``: gamma is found on what the layer gives; ``original``: on what it gets, as in the code
            of Kauffmann et al. 2025.
        resizer, size: how images on disk are read, see `chinspect.images.RESIZERS`.
        threshold_fpr: false positive rate at which ``threshold_`` is set.
        random_state: draws the `ANCHORS`; of no effect on fewer training images.

    Attributes:
        gamma_: the stiffness of the soft minimum, in units of one over the distance.
        bank_: the training images, kept as 8-bit levels where they are such.

    The held-out score of a training image leaves itself out: the mean runs over the N - 1 others.

    Example:
        >>> import torch
        >>> from chinspect.anomaly import D2Neighbors
        >>> normal = torch.rand(20, 3, 16, 16) - 0.5
        >>> D2Neighbors().fit(normal).predict(normal[:2] + 0.5).tolist()
        [1, 1]
    """

    bank_: Bank
    gamma_: float
    _layer_key: ClassVar[str] = "blur"  # the only layers that earlier versions had
    _layer: Layer
    _features: Bank

    def __init__(
        self,
        *,
        p: int = 2,
        perplexity: float = 0.25,
        layer: nn.Module | None = None,
        calibrate_on: Literal["blurred", "original"] = "blurred",
        resizer: str = "opencv-nearest",
        size: int = 224,
        threshold_fpr: float = 0.05,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.p = p
        self.perplexity = perplexity
        self.layer = layer
        self.calibrate_on = calibrate_on
        self.resizer = resizer
        self.size = size
        self.threshold_fpr = threshold_fpr
        self.random_state = random_state

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.p not in (1, 2, 4):
            raise InputError(f"the norm p is 1, 2 or 4, not {self.p!r}.")
        if not 0 < self.perplexity < 1:
            raise InputError(f"the perplexity is a fraction between 0 and 1 of the images, not {self.perplexity!r}.")
        if self.calibrate_on not in ("blurred", "original"):
            raise InputError(f"gamma is calibrated on blurred or original images, not {self.calibrate_on!r}.")

    def _fit(self, x: Tensor) -> Tensor:
        shape = tuple(x.shape[1:])
        Layer(self.layer, shape).check(x)
        self._store(Bank.of(x), shape)
        anchors = self._draw_anchors(len(x))
        distances = _to_others(anchors, self._features, self.p)
        original = self.layer is not None and self.calibrate_on == "original"
        calibration = _to_others(anchors, self.bank_, self.p) if original else distances
        self.gamma_ = fit_gamma(calibration, self.perplexity)
        return soft_minimum(distances, self.gamma_)

    def _store(self, bank: Bank, shape: tuple[int, ...]) -> None:
        self.bank_ = bank
        self._layer = Layer(self.layer, shape)
        self._features = bank
        if self.layer is not None:
            mapped = [self._layer(block.view(-1, *shape)) for _, block in bank.blocks()]
            self._features = Bank.of(torch.cat(mapped))

    def _draw_anchors(self, count: int) -> Tensor:
        if count <= ANCHORS:
            return torch.arange(count)
        drawn = check_random_state(self.random_state).choice(count, ANCHORS, replace=False)
        return torch.from_numpy(np.sort(drawn))

    @property
    def normal_images(self) -> Tensor:
        count = len(self.bank_)
        rows = torch.arange(0, count, -(-count // NORMAL_IMAGES))
        return self.bank_.take(rows).view(-1, *self.image_shape_)

    def _score(self, x: Tensor) -> Tensor:
        return soft_minimum(self._distances(x), self.gamma_)

    def _distances(self, x: Tensor) -> Tensor:
        """(n, N), behind the layer."""
        batches = (self._layer(batch).flatten(1) for batch in x.split(_BATCH))
        return torch.cat([powered_distances(batch, self._features, self.p) for batch in batches])

    def _as_bank(self, x: Tensor) -> Tensor:
        """8-bit images rounded as those of the bank are, so that equal ones differ by zero."""
        levels = as_levels(x.flatten(1)) if self.bank_.rows.dtype == torch.int8 else None
        return x if levels is None else from_levels(levels).view_as(x)

    def _explain(self, x: Tensor, resolution: Resolution | None) -> dict[str, ArrayLike]:
        x = self._as_bank(x)
        distances = self._distances(x)
        score = soft_minimum(distances, self.gamma_)
        neighbours = soft_minimum_weights(distances, self.gamma_) * score[:, None]
        nearest = neighbours.topk(min(_NEAREST, len(self.bank_)), 1).indices
        shown = self.bank_.take(nearest.flatten()).view(*nearest.shape, *self.image_shape_)
        known: dict[str, Any] = {
            "score": score,
            "neighbours": neighbours,
            "nearest": nearest,
            "nearest_images": pictures(shown),
        }
        if resolution is not None:
            metric = Metric(self.p, self._layer)
            batches = zip(x.split(_BATCH), neighbours.split(_BATCH), distances.split(_BATCH), strict=True)
            results = [distance_relevance(*batch, self.bank_, metric, resolution) for batch in batches]
            known["relevance"] = torch.cat([relevance for relevance, _ in results])
            known["reference"] = torch.cat([reference for _, reference in results])
        return known

    def _state(self) -> dict[str, Tensor]:
        bank = self.bank_.rows.view(-1, *self.image_shape_)
        return {"bank": bank, "gamma": torch.tensor(self.gamma_, dtype=torch.float64)}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        bank = tensors["bank"]
        self.gamma_ = float(tensors["gamma"])
        self._store(Bank(bank.flatten(1)), tuple(bank.shape[1:]))


def _to_others(anchors: Tensor, bank: Bank, p: int) -> Tensor:
    """Distances (A, N) of some rows of a bank to all; infinite to themselves."""
    distances = torch.cat([powered_distances(bank.rows[rows], bank, p) for rows in anchors.split(_BATCH)])
    distances[torch.arange(len(anchors)), anchors] = torch.inf
    return distances
