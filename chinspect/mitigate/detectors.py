"""Remedies for detectors, by the names that the command line knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.base import clone

from chinspect.anomaly import Blur, Detector, save_detector
from chinspect.errors import InputError
from chinspect.stress import Mitigation

_LAYERS = {"blur": Blur}


def detector_remedy(name: str, detector: Detector, normals: Any) -> Mitigation:
    """A remedy to test beside a detector: one like it, fitted behind a filter.

    Args:
        name: ``blur``.
        detector: it stays as it is.
        normals: images that it was fitted on, as `Detector.fit` reads them.

    Raises `InputError` for another name.
    """
    if name not in _LAYERS:
        raise InputError(f"unknown remedy {name!r}: choose {', '.join(_LAYERS)}.")
    return Mitigation(name, clone(detector).set_params(layer=_LAYERS[name]()).fit(normals))


def save_remedied(remedies: Sequence[Mitigation], folder: str | Path) -> list[Path]:
    """Writes the detectors of remedies, to be deployed in place of the one before, as ``NAME.safetensors``."""
    fitted = {remedy.name: remedy.detector for remedy in remedies if remedy.detector is not None}
    return [save_detector(detector, Path(folder) / f"{name}.safetensors") for name, detector in fitted.items()]
