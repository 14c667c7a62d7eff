"""How much of the similarity of two images lies on their annotations.

The marginal of BiLRP for images a and b is LRP of ``<y_a, y_b>`` in a. Its fraction inside the text of a is compared
with the area of the text: their ratio, the *density*, is 1 where relevance is spread evenly. Two controls are the same
mask in another place: mirrored, and at the *sharpest* place of the image, which shows what edges attract on their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from chinspect.datasets import GITHUB, XrayImages
from chinspect.encoders import Encoder
from chinspect.encoders.methods import bounded
from chinspect.images import open_image
from chinspect.relevance import relevance_map, trace
from experiments.xray.data import Embedded, patient_interval
from experiments.xray.text import Mask

CONTROLS = ("mirrored", "sharpest")
_COMPOSITE = "epsilon_plus_flat"


def relevance_on_text(
    encoder: Encoder, vectors: Embedded, images: XrayImages, masks: Mapping[Path, Mask], most: int, seed: int = 0
) -> pd.DataFrame:
    """One row a group (source and label): mean densities and fractions, with bootstrap intervals over patients.

    Of each group with two annotated images or more, at most ``most`` are drawn; each is compared with the next one of
    the draw, the last with the first.
    """
    rows = []
    for (source, label), members in groups_with_text(images, masks).items():
        some = images.take(np.random.default_rng(seed).permutation(members)[:most])
        table = _measured(encoder, vectors.of(some.paths), some, masks)
        if len(table) > 1:
            rows.append({"source": source, "covid": label} | _summary(table))
    return pd.DataFrame(rows)


def groups_with_text(images: XrayImages, masks: Mapping[Path, Mask]) -> dict[tuple[str, int], list[int]]:
    """The indices of the annotated images by source and label, GitHub first, where there are two or more."""
    groups: dict[tuple[str, int], list[int]] = {}
    for i, (path, source, label) in enumerate(zip(images.paths, images.sources, images.labels, strict=True)):
        if masks[path].any():
            groups.setdefault((source, label), []).append(i)
    order = sorted(groups, key=lambda key: (key[0] != GITHUB, key[0], -key[1]))
    return {key: groups[key] for key in order if len(groups[key]) > 1}


def seen_mask(encoder: Encoder, mask: Mask) -> Mask:
    """A mask of an image as the encoder sees it, (size, size)."""
    visible = encoder.preprocessing.visible(Image.fromarray(mask))
    return np.asarray(visible.convert("L")) >= 64  # thin letters must not vanish


def sharpest(picture: Image.Image, mask: Mask) -> Mask:
    """The mask where the picture has the steepest edges, beside the mask itself, by a shift that may wrap around."""
    grey = np.asarray(picture.convert("L"))
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(float) * ~mask
    spectrum = np.conj(np.fft.rfft2(mask.astype(float)))
    gains, overlaps = (
        np.fft.irfft2(np.fft.rfft2(values) * spectrum, s=mask.shape) for values in (edges, mask.astype(float))
    )
    best = np.where(overlaps < 0.5, gains, -1.0)  # overlaps are whole numbers up to the rounding of the transform
    return np.roll(mask, np.unravel_index(int(best.argmax()), best.shape), (0, 1))


def _measured(encoder: Encoder, vectors: NDArray[Any], images: XrayImages, masks: Mapping[Path, Mask]) -> pd.DataFrame:
    """One row an image whose text the encoder sees."""
    outputs = torch.from_numpy(vectors).to(encoder.device)
    graph = trace(encoder.module, encoder.prepare(images.paths[0]))
    composite = bounded(_COMPOSITE, encoder)
    rows = []
    for i, (path, patient) in enumerate(zip(images.paths, images.patients, strict=True)):
        text = seen_mask(encoder, masks[path])
        if not text.any():
            continue
        mapped = relevance_map(graph, encoder.prepare(path), composite)
        heat = mapped.pull(mapped.output * outputs[(i + 1) % len(images)]).sum(1)[0].cpu().numpy()
        picture = encoder.preprocessing.visible(open_image(path))
        regions = {"text": text, "mirrored": text[:, ::-1] & ~text, "sharpest": sharpest(picture, text)}
        row = {"patient": patient, "area": float(text.mean()), "share": float(heat[text].sum() / heat.sum())}
        rows.append(row | {name: _density(heat, region) for name, region in regions.items()})
    return pd.DataFrame(rows)


def _density(heat: NDArray[Any], region: Mask) -> float:
    return float(heat[region].sum() / heat.sum() / region.mean()) if region.any() else np.nan


def _summary(table: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {"n": len(table), "patients": table["patient"].nunique()}
    row |= {"area": 100 * table["area"].mean(), "share": 100 * table["share"].mean()}
    columns = {f"density_{name}": table[name] for name in ("text", *CONTROLS)}
    columns |= {f"text_less_{name}": table["text"] - table[name] for name in CONTROLS}
    for name, values in columns.items():
        valid = values.dropna()
        low, high = patient_interval(valid.to_numpy(), table.loc[valid.index, "patient"].tolist())
        row |= {name: valid.mean(), f"{name}_low": low, f"{name}_high": high}
    return row
