"""Acquisition traces: is what an image went through before anyone saw it readable from its embedding?

Every image goes through all variants of each family of processing (`chinspect.stress.TRACES`: JPEG quality and chroma,
sharpening, rescaling, interpolation). Measured are

* readable: the balanced accuracy of a linear readout of the variant, cross-validated over images, beside variants
  permuted within images, and the majority;
* neighbours alike: where each image went through one variant, drawn at random with equal frequencies, the fraction of
  its nearest neighbours that went through the same, beside the same fraction where no image went through anything;
* where images lie in folders of classes, the robustness index: do neighbours share the class or the processing?

Source: Processing and acquisition traces in visual encoders, ICCV 2025.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.execute import Samples, Source, load_samples, map_images
from chinspect.known.effect import Findings, Options
from chinspect.known.models import Models
from chinspect.known.rows import Row, mean_row
from chinspect.known.together import nearest, unit
from chinspect.readouts import cross_validated, index_over_k, measured_row
from chinspect.stress import TRACES, Change, unchanged

Codes = NDArray[np.intp]
Values = NDArray[np.float64]
OWN = "embedding"
PERMUTED = "permuted"
MAJORITY = "majority"
UNPROCESSED = "unprocessed"
CHANCE = "random neighbours"
_SHARD = 32
_FEWEST = 30  # images: six in each of five folds
_NEIGHBOURS = 10


def measure_traces(models: Models, data: Source, options: Options) -> Findings:
    """The protocol; see the module. Raises `InputError` for a folder of fewer than 30 images."""
    samples = load_images(data)
    order = np.sort(np.random.default_rng(options.seed).permutation(len(samples))[: options.images])
    used = Samples(samples.root, tuple(samples.names[i] for i in order))
    labels = _labels(used)
    rng = np.random.default_rng(options.seed)
    plans = {family: rng.permutation(np.arange(len(used)) % len(TRACES[family])) for family in TRACES}
    function = _Embeddings(models.encoder)
    results = map_images(function, used, None, shard_size=_SHARD, strict=True, progress=options.progress)
    plain = results.arrays(UNPROCESSED).astype(float)
    rows: list[Row] = []
    for family, codes in plans.items():
        values = np.stack([results.arrays(name) for name in TRACES[family]], 1).astype(float)
        rows += readable_rows(family, values, options.seed)
        rows += neighbour_rows(family, values[np.arange(len(used)), codes], plain, codes, labels, options.seed)
    notes = () if labels is not None else ("No robustness index: the images lie in no folders of classes.",)
    return Findings(pd.DataFrame(rows), len(used), notes, _shown(used))


def load_images(data: Source) -> Samples:
    """The images of a folder or a list. Raises `InputError` for fewer than 30."""
    samples = load_samples(data)
    if len(samples) < _FEWEST:
        raise InputError(
            f"Traces are read out of {_FEWEST} images or more, and {str(samples.root)!r} has {len(samples)}."
        )
    return samples


def readable_rows(family: str, values: Values, seed: int = 0) -> list[Row]:
    """Rows of embeddings (n, m, D) of images after each of m variants."""
    count, variants, _ = values.shape
    measure = f"{family}: readable"
    codes = np.tile(np.arange(variants), (count, 1))
    permuted = np.random.default_rng(seed).permuted(codes, axis=1)
    images = np.repeat(np.arange(count), variants)
    rows = []
    for condition, target in ((OWN, codes), (PERMUTED, permuted)):
        flat = target.reshape(-1)
        right = cross_validated(values.reshape(count * variants, -1), flat, np.zeros_like(flat), seed, images)
        # images have all variants, so that the mean over them is balanced; they are drawn again with all of theirs
        rows.append(mean_row(measure, condition, right.reshape(count, variants).mean(1), seed))
    majority = 1 / variants
    return [*rows, measured_row(measure, MAJORITY, (majority, majority, majority), count)]


def neighbour_rows(
    family: str, values: Values, plain: Values, codes: Codes, labels: Codes | None, seed: int = 0
) -> list[Row]:
    """Rows of embeddings (n, D) of images that went through variants (n,), and of the same images as they were."""
    rows = []
    for condition, embedded in ((OWN, values), (UNPROCESSED, plain)):
        rows.append(mean_row(f"{family}: neighbours alike", condition, neighbours_alike(embedded, codes), seed))
    if labels is not None:
        curve = index_over_k(values, labels, codes, [min(_NEIGHBOURS, len(codes) - 1)], seed).iloc[0]
        index = f"{family}: robustness index"
        rows.append(measured_row(index, OWN, (curve["estimate"], curve["low"], curve["high"]), len(codes)))
        chance = (curve["chance"], curve["chance_low"], curve["chance_high"])
        rows.append(measured_row(index, CHANCE, chance, len(codes)))
    return rows


def neighbours_alike(values: Values, codes: Codes) -> Values:
    """Of each image (n,) the fraction of its nearest neighbours that went through the same."""
    units = unit(values - values.mean(0))
    alike: Values = (codes[nearest(units @ units.T)] == codes[:, None]).mean(1)
    return alike


@dataclass(frozen=True)
class _Embeddings:
    """Embeddings of pictures as they are, and after each variant of each family."""

    encoder: Encoder
    device = "cpu"

    @property
    def description(self) -> dict[str, Any]:
        return {"kind": "traces", "model": self.encoder.fingerprint}

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, NDArray[Any]]:  # noqa: ARG002
        arrays = {UNPROCESSED: self.encoder.embed(pictures).cpu().numpy()}
        for name, trace in {name: trace for family in TRACES.values() for name, trace in family.items()}.items():
            arrays[name] = arrays[UNPROCESSED]
            if trace is not unchanged:
                arrays[name] = self.encoder.embed([_through(trace, picture) for picture in pictures]).cpu().numpy()
        return arrays


def _through(trace: Change, picture: Image.Image) -> Image.Image:
    return Image.fromarray(trace(np.asarray(picture.convert("RGB")), np.random.default_rng(0)))


def _labels(samples: Samples) -> Codes | None:
    """The folder of each image as a class; None unless there are two or more, of two images each in the mean."""
    folders = [Path(name).parent.as_posix() for name in samples.names]
    names, codes = np.unique(folders, return_inverse=True)
    return codes if 2 <= len(names) <= len(folders) // 2 else None


def _shown(samples: Samples) -> dict[str, NDArray[np.uint8]]:
    """The first image after the strongest variants."""
    strongest: dict[str, Callable[..., NDArray[np.uint8]]] = {
        name: TRACES[family][name]
        for family, name in (
            ("sharpening", "unchanged"),
            ("jpeg", "jpeg-75-4:2:0"),
            ("sharpening", "sharpen-4"),
            ("rescaling", "rescale-0.5"),
        )
    }
    pixels = np.asarray(samples[0].convert("RGB"))
    return {name: trace(pixels, np.random.default_rng(0)) for name, trace in strongest.items()}
