"""D2Neighbors: how far an image is from the training images, pixel by pixel (Kauffmann et al. 2025).

    o(x) = -1/gamma * log mean_j exp(-gamma ||B x - B u_j||_p^p)

the soft minimum over the training images ``u_j``, with an optional linear layer ``B`` in front: a blur, which is how
the paper removes the detector's reliance on frequencies that a resizer changes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import Tensor, nn

from chinspect.anomaly._detector import Detector
from chinspect.anomaly._distance_shares import Metric, Shares, share
from chinspect.anomaly._distances import Bank, as_levels, from_levels, powered_distances
from chinspect.anomaly._layer import LinearLayer
from chinspect.anomaly._pictures import pictures
from chinspect.anomaly.explanation import AnomalyExplanation
from chinspect.anomaly.softmin import fit_gamma, soft_minimum, soft_minimum_weights
from chinspect.errors import InputError
from chinspect.relevance import BandEdges

ANCHORS = 1000
"""Training images on which gamma and the threshold are found, drawn by ``random_state`` where there are more."""
_BATCH = 64
_NEAREST = 4


class D2Neighbors(Detector):
    """Soft-minimal distance to the training images.

    Args:
        p: norm of the distance ``||.||_p^p``, 1, 2 or 4.
        perplexity: how many training images an image effectively looks at, as a share of all, in (0, 1); see
            `fit_gamma`.
        blur: a linear module from batches to batches in front of the distance, or None.
        calibrate_on: ``blurred``: gamma is found on what the blur gives; ``original``: on what it gets, as in the code
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
    _layer: LinearLayer
    _features: Bank
    _left_out: Tensor

    def __init__(
        self,
        *,
        p: int = 2,
        perplexity: float = 0.25,
        blur: nn.Module | None = None,
        calibrate_on: Literal["blurred", "original"] = "blurred",
        resizer: str = "opencv-nearest",
        size: int = 224,
        threshold_fpr: float = 0.05,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.p = p
        self.perplexity = perplexity
        self.blur = blur
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
            raise InputError(f"the perplexity is a share between 0 and 1 of the images, not {self.perplexity!r}.")
        if self.calibrate_on not in ("blurred", "original"):
            raise InputError(f"gamma is calibrated on blurred or original images, not {self.calibrate_on!r}.")

    def _fit(self, x: Tensor) -> None:
        shape = tuple(x.shape[1:])
        LinearLayer(self.blur, shape).check(x)
        self._store(Bank.of(x), shape)
        anchors = self._draw_anchors(len(x))
        distances = _to_others(anchors, self._features, self.p)
        original = self.blur is not None and self.calibrate_on == "original"
        calibration = _to_others(anchors, self.bank_, self.p) if original else distances
        self.gamma_ = fit_gamma(calibration, self.perplexity)
        self._left_out = soft_minimum(distances, self.gamma_)

    def _store(self, bank: Bank, shape: tuple[int, ...]) -> None:
        self.bank_ = bank
        self._layer = LinearLayer(self.blur, shape)
        self._features = bank
        if self.blur is not None:
            mapped = [self._layer(block.view(-1, *shape)) for _, block in bank.blocks()]
            self._features = Bank.of(torch.cat(mapped))

    def _draw_anchors(self, count: int) -> Tensor:
        if count <= ANCHORS:
            return torch.arange(count)
        drawn = check_random_state(self.random_state).choice(count, ANCHORS, replace=False)
        return torch.from_numpy(np.sort(drawn))

    def _held_out_scores(self) -> Tensor:
        return self._left_out

    def _score(self, x: Tensor) -> Tensor:
        return soft_minimum(self._distances(x), self.gamma_)

    def _distances(self, x: Tensor) -> Tensor:
        """(n, N), behind the layer."""
        parts = (self._layer(part).flatten(1) for part in x.split(_BATCH))
        return torch.cat([powered_distances(part, self._features, self.p) for part in parts])

    def _as_bank(self, x: Tensor) -> Tensor:
        """8-bit images rounded as those of the bank are, so that equal ones differ by zero."""
        levels = as_levels(x.flatten(1)) if self.bank_.rows.dtype == torch.int8 else None
        return x if levels is None else from_levels(levels).view_as(x)

    def _explain(self, x: Tensor, edges: BandEdges, components: str) -> AnomalyExplanation:
        x = self._as_bank(x)
        distances = self._distances(x)
        score = soft_minimum(distances, self.gamma_)
        relevance = soft_minimum_weights(distances, self.gamma_) * score[:, None]
        metric, whole = Metric(self.p, self._layer), Shares.empty(x, edges, components)
        if components != "neighbours":
            for rows in torch.arange(len(x)).split(_BATCH):
                part = whole.rows(slice(int(rows[0]), int(rows[-1]) + 1))
                share(x[rows], relevance[rows], distances[rows], self.bank_, metric, part)
        nearest = relevance.topk(min(_NEAREST, len(self.bank_)), 1).indices
        shown = self.bank_.take(nearest.flatten()).view(*nearest.shape, *self.image_shape_)
        return _explanation(score, relevance, whole, nearest.numpy(), pictures(shown))

    def _state(self) -> dict[str, Tensor]:
        bank = self.bank_.rows.view(-1, *self.image_shape_)
        return {"bank": bank, "gamma": torch.tensor(self.gamma_, dtype=torch.float64)}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        bank = tensors["bank"]
        self.gamma_ = float(tensors["gamma"])
        self._store(Bank(bank.flatten(1)), tuple(bank.shape[1:]))


def _to_others(anchors: Tensor, bank: Bank, p: int) -> Tensor:
    """Distances (A, N) of some rows of a bank to all; infinite to themselves."""
    parts = (powered_distances(bank.rows[part], bank, p) for part in anchors.split(_BATCH))
    distances = torch.cat(list(parts))
    distances[torch.arange(len(anchors)), anchors] = torch.inf
    return distances


def _explanation(
    score: Tensor, relevance: Tensor, shares: Shares, nearest: NDArray[np.int64], shown: NDArray[np.uint8] | None
) -> AnomalyExplanation:
    pixels, maps, bands = shares.pixels, shares.pixel_bands(), shares.bands
    if maps is not None:
        bands = maps.sum((2, 3), dtype=torch.float64)
    if bands is not None:
        total = bands.sum(1) + shares.reference
    elif pixels is not None:
        total = pixels.sum((1, 2), dtype=torch.float64) + shares.reference
    else:
        total = relevance.sum(1)
    return AnomalyExplanation(
        score=score.numpy(),
        reference=shares.reference.numpy(),
        conservation=torch.where(score > 0, total / score, 1.0).numpy(),
        band_edges=shares.edges.edges,
        band_index=shares.edges.index,
        neighbours=relevance.numpy(),
        pixels=None if pixels is None else pixels.numpy(),
        bands=None if bands is None else bands.numpy(),
        pixel_bands=None if maps is None else maps.numpy(),
        nearest=nearest,
        nearest_images=shown,
    )
