"""PatchCore: how far the oddest patch of an image is from all patches of normal images (Roth et al. 2022).

A patch is a cell of a feature map of a pretrained network, described by its neighbourhood in some layers
(`chinspect.anomaly._aggregate`). A greedy coreset of the descriptors of normal images is the memory bank. The score of
an image is the largest of its patches' Euclidean distances to the bank,

    s(x) = max_p min_j ||e_p(x) - m_j||,

times, in the protocol ``anomalib``, ``1 - softmax`` of the distances to the 9 bank entries around the nearest one
(arXiv:2106.08265, equation 7).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from chinspect.anomaly._aggregate import EMBEDDINGS, Aggregate
from chinspect.anomaly._backbone import WIDE_RESNET, Backbone, open_backbone, read_anomalib
from chinspect.anomaly._coreset import DIMENSIONS, greedy_coreset, integer_grid
from chinspect.anomaly._effort import FOLDS, bounded, tell
from chinspect.anomaly._memory import check_memory, gathered, table
from chinspect.anomaly._neighbours import Matches, NearestNeighbours, match
from chinspect.anomaly._patch_relevance import Compared, patch_derivative, reference_derivative
from chinspect.anomaly._progress import counted
from chinspect.anomaly._training_images import squares, training_picture
from chinspect.anomaly.detector import Detector
from chinspect.anomaly.explanation import Resolution
from chinspect.anomaly.images import Images, check_training_folder, few_images, from_few_images, thumbnails
from chinspect.anomaly.methods import references
from chinspect.encoders import DEFAULT, Encoder
from chinspect.errors import InputError, did_you_mean
from chinspect.relevance import Method

_BATCH = 16  # images of 224 pixels at a time: bounds the memory of a backbone's features
_PIXELS = _BATCH * 224**2
_GRID_BYTES = 12  # a number of the grid in float32, once for all patches, once for those of a fold, and on the way
_SMOOTHING = 4.0  # pixels, in Roth et al. 2022 and since
_USUAL = {"roth": (2, 0.1), "anomalib": (2, 0.1), "kauffmann2025": (1, 1.0)}  # number of layers, coreset


class PatchCore(Detector):
    """The largest distance of a patch to a memory bank of normal patches.

    Images in [-1, 1] are brought to the mean and standard deviation that the backbone was trained with, except in the
    protocol ``kauffmann2025``, which leaves them as they are. Distances are not squared.

    Args:
        backbone: any name that `chinspect.encoders.load_encoder` knows (by default ``efficientnet-lite0``, which needs
            no download), ``wide_resnet50_2`` (torchvision's ImageNet weights of the paper, downloaded once), an
            `Encoder`, or a module that takes images in [-1, 1]. A detector with an encoder is saved by the encoder's
            name, if `load_encoder` gives the same weights for it; one with a module cannot be saved.
        layers: names of the modules whose features are compared, the one of the largest maps first: maps of any
            network, or tokens of a vision transformer. By default the last at 1/8 and at 1/16 of the image's size (of a
            ResNet ``layer2`` and ``layer3``), the first only in the protocol ``kauffmann2025``.
        embedding: the protocol. ``anomalib``, with equation 7, which takes any layers; ``roth``, the authors'
            implementation, for two layers of which the second has twice as many channels; ``kauffmann2025``, one layer
            and no coreset.
        coreset: fraction of the normal patches that the bank keeps, in (0, 1]; by default 0.1, or less where fitting
            would take more than some five minutes of one core (beyond the size of MVTec AD), in the protocol
            ``kauffmann2025`` 1. Descriptors that do not fit into memory lie in a temporary file.
        layer: a shape-preserving module that filters images first, see `Detector`; to be explained it has to be linear.
        random_state: seeds the coreset and the folds.
        resizer, size: how images on disk are read, see `chinspect.images.RESIZERS`.
        threshold_fpr: false positive rate at which ``threshold_`` is set.

    Attributes:
        bank_: (m, D), the memory bank.
        origins_: (m, 3), where each entry of the bank comes from: training image, row and column of the patch; -1 where
            it is not known.
        map_shape_: rows and columns of patches.
        normal_: (k, C, H, W), some of the normal images as 8-bit levels, which others are compared with.
        thumbnails_: ``(n_images_, C, h, w)``, small pictures of all of them, by which their files are known again.

    The held-out scores are those of cross-validation: the images are split at random into 5 folds, and each fold is
    scored by a bank made of the other folds.

    Example:
        >>> import torch
        >>> from chinspect.anomaly import PatchCore
        >>> normal = torch.rand(6, 3, 64, 64) / 4
        >>> PatchCore(backbone="tiny-supervised").fit(normal).anomaly_map(normal).shape
        (6, 64, 64)
    """

    bank_: Tensor
    origins_: Tensor
    map_shape_: tuple[int, int]
    normal_: Tensor
    thumbnails_: Tensor
    _backbone: Backbone
    _aggregate: Aggregate
    _neighbours: NearestNeighbours

    def __init__(
        self,
        *,
        backbone: str | Encoder | nn.Module = DEFAULT,
        layers: Sequence[str] | None = None,
        embedding: Literal["anomalib", "roth", "kauffmann2025"] = "anomalib",
        coreset: float | None = None,
        layer: nn.Module | None = None,
        random_state: int = 0,
        resizer: str = "opencv-nearest",
        size: int = 224,
        threshold_fpr: float = 0.05,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.embedding = embedding
        self.coreset = coreset
        self.layer = layer
        self.random_state = random_state
        self.resizer = resizer
        self.size = size
        self.threshold_fpr = threshold_fpr

    @classmethod
    def from_anomalib(
        cls,
        path: str | Path,
        normal: Images,
        *,
        architecture: str = WIDE_RESNET,
        layers: Sequence[str] = ("layer2", "layer3"),
        resizer: str = "torch-bilinear-aa",
        size: int = 256,
        threshold_fpr: float = 0.05,
    ) -> Self:
        """A detector with the backbone and the memory bank of a PatchCore that anomalib trained.

        Args:
            path: a checkpoint of anomalib (1 or 2); see `chinspect.anomaly._backbone` for what is read.
            normal: normal images that the bank was not made of; the threshold comes from their scores.
            architecture: torchvision's name of the backbone.
            layers: as anomalib was told.
            resizer, size: as anomalib was told; by default those of anomalib 2 without a centre crop. anomalib 1 crops
                the 224 pixels in the middle of 256: give images that are cropped to those, and 224.
            threshold_fpr: see `PatchCore`.

        Raises `InputError` for a file that is none, and for a bank that does not fit the layers.
        """
        encoder, bank = read_anomalib(Path(path), architecture, layers)
        detector = cls(
            backbone=encoder,
            layers=layers,
            embedding="anomalib",
            resizer=resizer,
            size=size,
            threshold_fpr=threshold_fpr,
        )
        detector._check_parameters()
        check_training_folder(normal)
        x = torch.cat(list(detector._batches(normal)))
        detector._open(tuple(x.shape[1:]))
        detector._remember(bank, torch.full((len(bank), 3), -1))
        detector.image_shape_ = tuple(x.shape[1:])
        detector.n_images_ = 0
        detector.image_names_ = []
        detector.thumbnails_ = torch.empty(0, *x.shape[1:], dtype=torch.uint8)
        detector.normal_ = few_images(x)
        return detector.set_threshold(detector._score(x), "scores of {} normal images that the bank was not made of")

    @property
    def device(self) -> torch.device:
        """Where the backbone lies, once the detector is fitted."""
        return self._backbone.device if hasattr(self, "_backbone") else super().device

    def anomaly_map(self, X: Images) -> NDArray[np.float32]:
        """The distance of each patch to the bank, as a map (N, H, W) of the image's size: higher is more anomalous.

        Upsampled bilinearly and smoothed by a Gaussian of 4 pixels (Roth et al. 2022, section 3.3).
        """
        distances = self._matches(self.read(X)).distances
        maps = distances.view(-1, 1, *self.map_shape_)
        full = F.interpolate(maps, self.image_shape_[1:], mode="bilinear", align_corners=False)[:, 0]
        smooth: NDArray[np.float32] = gaussian_filter(full.numpy(), (0, _SMOOTHING, _SMOOTHING))
        return smooth

    def nearest_patches(self, X: Images) -> pd.DataFrame:
        """Which patch gives each image its score, and which normal patch it was compared with: one row an image.

        Columns: ``score``, ``distance``; ``row`` and ``column`` of the patch (counted in patches, see ``map_shape_``);
        ``prototype``, the entry of the bank; ``train_image``, ``train_row``, ``train_column``, where that comes from.
        """
        matches = self._matches(self.read(X))
        columns = {
            "score": matches.score,
            "distance": matches.distance,
            "row": matches.patch // self.map_shape_[1],
            "column": matches.patch % self.map_shape_[1],
            "prototype": matches.prototype,
        }
        origins = zip(("train_image", "train_row", "train_column"), self.origins_[matches.prototype].T, strict=True)
        return pd.DataFrame({name: values.numpy() for name, values in (columns | dict(origins)).items()})

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.embedding not in EMBEDDINGS:
            raise InputError(
                f"the embedding {self.embedding!r} is not known{did_you_mean(self.embedding, EMBEDDINGS)}: "
                f"use one of {', '.join(EMBEDDINGS)}."
            )
        if not 0 < self._fraction <= 1:
            raise InputError(f"the coreset is a fraction of the patches in (0, 1], not {self.coreset!r}.")

    @property
    def _fraction(self) -> float:
        return _USUAL[self.embedding][1] if self.coreset is None else self.coreset

    def _open(self, shape: tuple[int, ...]) -> None:
        """Loads the backbone for images of ``shape`` (C, H, W)."""
        if shape[0] != 3:
            raise InputError(f"PatchCore reads images of 3 channels, not {shape[0]}.")
        layers, _ = _USUAL[self.embedding]
        neutral = self.embedding == "kauffmann2025"
        self._backbone = open_backbone(self.backbone, self.layers, layers, shape, neutral=neutral)
        self._aggregate = EMBEDDINGS[self.embedding](self._backbone.channels(shape))
        rows, columns = self._describe(torch.zeros(1, *shape)).shape[2:]
        self.map_shape_ = rows, columns

    def _remember(self, bank: Tensor, origins: Tensor) -> None:
        if bank.shape[1] != self._aggregate.channels:
            raise InputError(
                f"the bank has descriptors of {bank.shape[1]} numbers, and the layers {self._backbone.features.layers} "
                f"give {self._aggregate.channels}: name the layers that it was made of."
            )
        self.bank_ = bank
        self.origins_ = origins
        self._neighbours = NearestNeighbours(self._backbone.as_features(bank))

    @torch.no_grad()
    def _describe(self, x: Tensor) -> Tensor:
        """Descriptors (N, D, h, w) of a batch behind the layer, where the backbone lies."""
        descriptors: Tensor = self._aggregate(self._backbone.features(self._backbone.normalise(self._filtered(x))))
        return descriptors

    def _flat(self, x: Tensor) -> Tensor:
        """Descriptors of all patches, (N, h * w, D); `InputError` unless all are finite."""
        descriptors = self._describe(x)
        if not descriptors.isfinite().all():
            precision = str(next(self._backbone.features.parameters()).dtype).removeprefix("torch.")
            raise InputError(
                f"the backbone gives features that are not finite numbers, computing in {precision}: use one whose "
                "features are, in float32."
            )
        return descriptors.flatten(2).mT.contiguous()

    def _all_flat(self, x: Tensor) -> Tensor:
        """As `_flat`, batch by batch into one table, which may be larger than the memory: (N * h * w, D)."""
        per_image = self.map_shape_[0] * self.map_shape_[1]
        count = len(x) * per_image
        channels = self._aggregate.channels
        check_memory(count * DIMENSIONS * _GRID_BYTES if self._fraction < 1 else 0)
        flat = table(count, channels, self._backbone.as_features(torch.empty(0)))
        start = time.perf_counter()
        batches = _batches(x)
        waiting = counted(batches, len(x), len)
        for i, (rows, batch) in enumerate(zip(flat.split(len(batches[0]) * per_image), waiting, strict=True)):
            rows.copy_(self._flat(batch).flatten(0, 1))
            if i == 0:
                seconds = (time.perf_counter() - start) * len(x) / len(batch)
                tell(self._bounded(count), count, channels, seconds)
        return flat

    def _bounded(self, patches: int) -> float:
        """The fraction that is asked for, or by default what the time allows of it."""
        if self.coreset is not None or self._fraction == 1:
            return self._fraction
        return bounded(self._fraction, patches, self._aggregate.channels)

    def _fit(self, x: Tensor) -> NDArray[np.float64]:
        self._open(tuple(x.shape[1:]))
        generator = np.random.default_rng(self.random_state)
        flat = self._all_flat(x)
        patches = flat.unflatten(0, (len(x), -1))
        per_image = patches.shape[1]
        # one grid for all folds: what a held-out image can lend to its bank is the grid's scale
        grid = integer_grid(flat, generator) if self._fraction < 1 else None
        scores = np.empty(len(x))
        folds = np.array_split(generator.permutation(len(x)), min(FOLDS, len(x)))
        for fold in counted(folds, len(folds) + 1):  # and the bank of all images, below
            others = np.setdiff1d(np.arange(len(x)), fold)
            bank = NearestNeighbours(gathered(flat, self._select(others, grid, per_image, generator)))
            batches = torch.from_numpy(fold).split(_BATCH)
            matches = [match(patches[images], bank, weighted=self._weighted) for images in batches]
            scores[fold] = torch.cat([batch.score for batch in matches]).cpu().numpy()
        rows = self._select(np.arange(len(x)), grid, per_image, generator)
        origins = np.unravel_index(rows.cpu().numpy(), (len(x), *self.map_shape_))
        self._remember(gathered(flat, rows), torch.from_numpy(np.stack(origins, 1)))
        self.normal_ = few_images(x)
        self.thumbnails_ = thumbnails(x)
        return scores

    def _select(
        self, images: NDArray[np.int64], grid: Tensor | None, per_image: int, generator: np.random.Generator
    ) -> Tensor:
        """Rows of the patches of ``images`` that a bank keeps."""
        rows = torch.from_numpy((images[:, None] * per_image + np.arange(per_image)).ravel())
        if grid is None:
            return rows
        rows = rows.to(grid.device)
        count = max(1, round(self._bounded(len(grid)) * len(rows)))
        return rows[greedy_coreset(grid[rows], count, first=int(generator.integers(len(rows))))]

    @property
    def _weighted(self) -> bool:
        return self.embedding == "anomalib"

    def _matches(self, x: Tensor) -> Matches:
        """Where the images of ``x`` are nearest to the bank, on the CPU."""
        batches = [match(self._flat(batch), self._neighbours, weighted=self._weighted) for batch in _batches(x)]
        return Matches.concatenated(batches)

    def _score(self, x: Tensor) -> NDArray[np.float64]:
        return self._matches(x).score.double().numpy()

    def _explain(self, x: Tensor, resolution: Resolution | None) -> dict[str, ArrayLike]:
        matches = self._matches(x)
        known: dict[str, ArrayLike] = {"score": matches.score.double(), **self._compared(matches)}
        if resolution is not None:
            known |= self._relevance(x, matches, resolution, self.usual_method)
        return known

    def _explain_by(self, x: Tensor, resolution: Resolution, method: Method) -> dict[str, ArrayLike]:
        return dict(self._relevance(x, self._matches(x), resolution, method))

    def _relevance(
        self, x: Tensor, matches: Matches, resolution: Resolution, method: Method
    ) -> dict[str, NDArray[Any]]:
        """Relevance and reference of images by a relevance map."""
        prototypes = self._neighbours.bank[matches.prototype]
        compared = [Compared(*image) for image in zip(matches.patch, prototypes, matches.score, strict=True)]
        z = self._normalised(x).split(1)
        network = (self._backbone.features, self._aggregate)
        if method.name == "lrp":
            results = [patch_derivative(*network, *image, method.composite) for image in zip(z, compared, strict=True)]
            # values count from the pixel that is normalised to zero, as the network reads them: so relevance is
            # conserved behind a layer that leaves that pixel as it is, as a blur does
            zero = 2 * torch.tensor(self._backbone.mean).view(3, 1, 1) - 1
            return self._resolved(x, x - zero, results, resolution)
        terms = []
        for x0 in references(self, method, x):
            images = zip(z, self._normalised(x0).split(1), compared, strict=True)
            results = [reference_derivative(*network, one, origin, how) for one, origin, how in images]
            terms.append(self._resolved(x, x - x0, results, resolution))
        return {name: np.mean([term[name] for term in terms], 0) for name in terms[0]}

    def _normalised(self, x: Tensor) -> Tensor:
        """Images behind the layer, as the backbone reads them."""
        return self._backbone.normalise(self._filtered(x))

    def _resolved(
        self, x: Tensor, values: Tensor, results: Sequence[tuple[Tensor, float]], resolution: Resolution
    ) -> dict[str, NDArray[Any]]:
        """Relevance and reference of images from ``values`` like them and, of each image, derivative and reference.

        Derivatives are by normalised, filtered images.
        """
        derivative = torch.cat([derivative for derivative, _ in results]).cpu()
        derivative = derivative.to(torch.promote_types(derivative.dtype, torch.float32))
        scale = 2 * derivative.new_tensor(self._backbone.std).view(3, 1, 1)
        products = resolution.products(values.to(derivative), self._before_layer(x, derivative / scale))
        reference = np.array([reference for _, reference in results])
        return {"relevance": resolution.completed(products).numpy(), "reference": reference}

    @property
    def usual_method(self) -> Method:
        return Method("rescale")

    @property
    def normal_images(self) -> Tensor | None:
        return from_few_images(self.normal_)

    def _compared(self, matches: Matches) -> dict[str, NDArray[Any]]:
        """All of a score goes to the training image of its prototype: nothing where that is not known."""
        images = self.origins_[matches.prototype, 0].numpy()
        if (images < 0).any():
            return {}
        neighbours = np.zeros((len(images), self.n_images_))
        neighbours[np.arange(len(images)), images] = matches.score.numpy()
        known = {"neighbours": neighbours, "nearest": images[:, None]}
        if len(self.thumbnails_):
            shown = [training_picture(self, self.image_names_, self.thumbnails_, index) for index in images]
            known["nearest_images"] = np.stack(shown)[:, None]
        patches = np.stack(np.divmod(matches.patch.numpy(), self.map_shape_[1]), 1)
        known["squares"] = squares(patches, self.map_shape_, self.image_shape_)
        origins = self.origins_[matches.prototype, 1:].numpy()
        known["nearest_squares"] = squares(origins, self.map_shape_, self.image_shape_)
        return known

    def _state(self) -> dict[str, Tensor]:
        fingerprint = torch.tensor(list(self._backbone.fingerprint.encode()), dtype=torch.uint8)
        state = {"bank": self.bank_, "places": self.origins_, "backbone": fingerprint}
        pictured = {"normal": self.normal_, "thumbnails": self.thumbnails_}
        return state | {name: levels for name, levels in pictured.items() if len(levels)}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self._open(self.image_shape_)
        if bytes(tensors["backbone"].tolist()).decode() != self._backbone.fingerprint:
            raise InputError(f"the weights of its backbone {self.backbone!r} have changed since: fit it again.")
        self._remember(tensors["bank"], tensors["places"])
        none = torch.empty(0, *self.image_shape_, dtype=torch.uint8)  # earlier versions kept neither
        self.normal_ = tensors.get("normal", none)
        self.thumbnails_ = tensors.get("thumbnails", none)


def _batches(x: Tensor) -> tuple[Tensor, ...]:
    """Images (N, C, H, W), as many at a time as have the pixels of `_BATCH` usual ones, and at least one."""
    return x.split(max(1, min(_BATCH, _PIXELS // (x.shape[2] * x.shape[3]))))
