"""PatchCore of anomalib and of its authors on the features of ours, so that nothing but the method differs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.anomaly import PatchCore


@dataclass(frozen=True, eq=False)
class Peer:
    """What another implementation made of the same images.

    Attributes:
        scores: (n,) of the test images, with a coreset of its own.
        on_our_bank: (n,), with the bank of ours.
        fit_seconds: for the features and the coreset.
        score_seconds: an image.
    """

    scores: NDArray[Any]
    on_our_bank: NDArray[Any]
    fit_seconds: float
    score_seconds: float


class _Features(nn.Module):
    """The layers of a fitted detector as anomalib's extractor gives them: images in [-1, 1] to a dict of maps."""

    def __init__(self, detector: PatchCore) -> None:
        super().__init__()
        self.backbone = detector._backbone

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.backbone.features(self.backbone.normalise(x))
        return dict(zip(self.backbone.features.layers, maps, strict=True))


def measure_anomalib(detector: PatchCore, train: Tensor, test: Tensor, coreset: float, batch: int = 16) -> Peer | None:
    """Fits and scores; None where anomalib is not installed."""
    try:
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    except ImportError:
        return None
    model = PatchcoreModel(layers=["layer2", "layer3"], backbone="resnet18", pre_trained=False)
    model.layers = list(detector._backbone.features.layers)
    model.feature_extractor = _Features(detector)
    start = time.perf_counter()
    model.train()
    for images in train.split(batch):
        model(images)
    torch.manual_seed(0)
    model.subsample_embedding(coreset)
    fit_seconds = time.perf_counter() - start
    model.eval()
    start = time.perf_counter()
    scores = _scored(model, test, batch)
    score_seconds = (time.perf_counter() - start) / len(test)
    model.memory_bank = detector.bank_
    return Peer(scores, _scored(model, test, batch), fit_seconds, score_seconds)


@torch.no_grad()
def _scored(model: Any, test: Tensor, batch: int) -> NDArray[Any]:
    return torch.cat([model(images).pred_score.flatten() for images in test.split(batch)]).numpy()


def measure_authors(detector: PatchCore, train: Tensor, test: Tensor, coreset: float) -> Peer | None:
    """The approximate greedy coreset and the search by faiss of patchcore-inspection; None where it is not installed.

    Scores are plain distances: its re-weighting by neighbours is none of equation 7.
    """
    try:
        from patchcore.common import FaissNN
        from patchcore.sampler import ApproximateGreedyCoresetSampler
    except ImportError:
        return None
    start = time.perf_counter()
    descriptors = detector._all_flat(train).numpy()
    torch.manual_seed(0)
    bank = ApproximateGreedyCoresetSampler(coreset, torch.device("cpu")).run(descriptors)
    search = FaissNN(False, 4)
    search.fit(bank)
    fit_seconds = time.perf_counter() - start
    start = time.perf_counter()
    scores = _searched(search, detector, test)
    score_seconds = (time.perf_counter() - start) / len(test)
    search.fit(detector.bank_.numpy())
    return Peer(scores, _searched(search, detector, test), fit_seconds, score_seconds)


def _searched(search: Any, detector: PatchCore, test: Tensor) -> NDArray[Any]:
    queries = detector._all_flat(test).numpy()
    distances, _ = search.run(1, queries)
    # faiss gives squared distances
    return np.sqrt(distances.clip(min=0)).reshape(len(test), -1).max(1)
