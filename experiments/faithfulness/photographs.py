"""The network and the photographs of the study, the same in all of its scripts."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chinspect.encoders import Encoder
from chinspect.relevance import Respond, patches
from experiments.study import refuse

PATCHES = patches(32)
"""49 of an image of 224 pixels."""


@dataclass(frozen=True)
class Photographs:
    """Photographs of many classes, drawn by a seed.

    Attributes:
        ring: sorted by class, so that neighbours are often of a kind; each is compared with the next one.
        held_out: others, for tests of what was chosen on the ring.
    """

    ring: list[Path]
    held_out: list[Path]


def draw_photographs(folder: Path | None, count: int, seed: int) -> Photographs:
    """Some photographs of a folder with ``labels.csv`` (columns file and class_index)."""
    if folder is None or not (folder / "labels.csv").is_file():
        refuse("--photographs needs a folder of images with labels.csv (file, class_index).")
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["class_index"]))
    order = np.random.default_rng(seed).permutation(len(rows))
    files = [folder / row["file"] for row in rows]
    return Photographs([files[i] for i in np.sort(order[:count])], [files[i] for i in order[count:]])


def onnx_session(encoder: Encoder) -> Respond:
    """The encoder as a black box that ONNX Runtime runs on one core, two to three times as fast as PyTorch."""
    import onnxruntime

    size = encoder.preprocessing.size
    buffer = io.BytesIO()
    torch.onnx.export(
        encoder.module,
        (torch.zeros(2, 3, size, size),),
        buffer,
        input_names=["x"],
        dynamic_axes={"x": {0: "n"}},
        dynamo=False,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])

    def respond(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"x": images.contiguous().numpy()})[0])

    return respond
