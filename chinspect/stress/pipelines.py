"""Do two pipelines that should be the same give the same scores? Resizers, runtimes, exported programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from chinspect.anomaly import Detector
from chinspect.errors import InputError
from chinspect.images import load_inputs

Stage = Callable[[Any], Any]
Pipeline = Stage | Sequence[Stage]


@dataclass(frozen=True, eq=False)
class Parity:
    """How far two pipelines agree.

    Attributes:
        scores_a, scores_b: (N,).
        largest_difference: of the two scores of an image.
        worst: the index of that image.
        label_flips: number of images that only one of the pipelines calls anomalous; None without a threshold.
        first_stage: index of the first stage whose outputs differ by more than the tolerance, though its inputs come
            from the stages before in each pipeline; None if none does, or if the pipelines have no equal number of
            stages.
        stage_differences: largest absolute difference after each stage; nan where shapes differ; empty as above.
    """

    scores_a: NDArray[np.float64] = field(repr=False)
    scores_b: NDArray[np.float64] = field(repr=False)
    largest_difference: float
    worst: int
    label_flips: int | None
    first_stage: int | None
    stage_differences: tuple[float, ...]


def parity(a: Pipeline, b: Pipeline, images: Any, *, threshold: float | None = None, tolerance: float = 1e-5) -> Parity:
    """Runs two pipelines on the same images and compares.

    Args:
        a, b: a callable, or a list of stages that are applied one after the other; the last gives scores (N,).
        images: what the first stages read.
        threshold: above which an image is called anomalous.
        tolerance: largest difference that counts as none, relative to the larger magnitude of the stage's output, or
            absolute below 1.

    Raises `InputError` for a pipeline without stages, and for outputs that are not two lists of finite scores of one
    length.
    """
    outputs_a = _run(a, images)
    outputs_b = _run(b, images)
    scores_a = _scores(outputs_a[-1])
    scores_b = _scores(outputs_b[-1])
    if len(scores_a) != len(scores_b):
        raise InputError(f"The pipelines give {len(scores_a)} and {len(scores_b)} scores for the same images.")
    gaps = np.abs(scores_a - scores_b)
    stages = list(zip(outputs_a, outputs_b, strict=True)) if len(outputs_a) == len(outputs_b) else []
    differences = [_difference(*outputs) for outputs in stages]
    scales = [max(float(np.abs(output).max(initial=0)), 1.0) for output, _ in stages]
    # a difference that is not defined exceeds every tolerance
    beyond = [not gap <= tolerance * scale for gap, scale in zip(differences, scales, strict=True)]
    return Parity(
        scores_a=scores_a,
        scores_b=scores_b,
        largest_difference=float(gaps.max()),
        worst=int(gaps.argmax()),
        label_flips=None if threshold is None else int(((scores_a > threshold) != (scores_b > threshold)).sum()),
        first_stage=beyond.index(True) if any(beyond) else None,
        stage_differences=tuple(differences),
    )


def resized(detector: Detector, resizer: str) -> list[Stage]:
    """The pipeline from paths of images to scores, with this resizer: two stages, reading and scoring."""
    return [partial(load_inputs, resizer=resizer, size=detector.size), detector.decision_function]


def onnx_session(path: str | Path) -> Stage:
    """An ONNX model as a stage: from its one input, as float32, to its first output.

    Raises `InputError` if ONNX Runtime is not installed or cannot read the file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("ONNX Runtime is not installed: run 'pip install chinspect[onnx]'.") from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has no common base class for its errors
        raise InputError(f"ONNX Runtime cannot read {str(path)!r} ({error}).") from error
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: np.asarray(x, dtype=np.float32)})[0]


def _run(pipeline: Pipeline, images: Any) -> list[NDArray[Any]]:
    """The output of each stage."""
    stages = pipeline if isinstance(pipeline, Sequence) else [pipeline]
    if not stages:
        raise InputError("A pipeline needs at least one stage.")
    outputs = []
    value = images
    for stage in stages:
        value = stage(value)
        outputs.append(np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value))
    return outputs


def _scores(output: NDArray[Any]) -> NDArray[np.float64]:
    scores = np.asarray(output, dtype=np.float64).squeeze()
    scores = scores[None] if scores.ndim == 0 else scores
    if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
        raise InputError(f"A pipeline must end in finite scores (N,), not in an output of shape {output.shape}.")
    return scores


def _difference(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The largest; nan for outputs of different shapes."""
    if a.shape != b.shape:
        return float("nan")
    return float(np.abs(a.astype(np.float64) - b).max(initial=0))  # float64: 8-bit pixels would wrap around
