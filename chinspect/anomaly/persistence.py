"""Detectors on disk: one safetensors file, its header a JSON document. Nothing is unpickled.

The header says which version wrote the file, the detector's class and parameters, where its threshold comes from, and a
fingerprint of its preprocessing: what two fixed pictures become. A library that resizes otherwise would feed other
pixels to the detector under the same threshold, so a file with another fingerprint is refused. An encoder is written as
its name and the fingerprint of its weights.
"""

from __future__ import annotations

import importlib
import inspect
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from chinspect import __version__
from chinspect.anomaly.detector import Detector
from chinspect.anomaly.threshold import guaranteed_rate
from chinspect.digests import digest
from chinspect.encoders import Encoder, load_encoder
from chinspect.errors import InputError
from chinspect.files import check_output_file, replacing
from chinspect.images import resize

SCHEMA = 1
_LIBRARIES = ("torch", "numpy", "opencv-python-headless", "pillow", "scikit-learn", "safetensors")
_SCORES = "held_out_scores"
_MODULES = {
    "D2Neighbors": "chinspect.anomaly.d2neighbors",
    "PatchCore": "chinspect.anomaly.patchcore",
    "Blur": "chinspect.anomaly.filters",
}  # by name, so that reading a header imports only what it names
_REGISTERED: dict[str, type] = {}


def register(cls: type) -> type:
    """Class decorator: files may name this `Detector`, or this layer in front of one.

    A layer's constructor parameters are attributes of the same names and JSON-ready.
    """
    _REGISTERED[cls.__name__] = cls
    return cls


def save_detector(detector: Detector, path: str | Path) -> Path:
    """Writes a fitted detector to ``path``, whole or not at all.

    Raises scikit-learn's `NotFittedError`, and `InputError` for a parameter that cannot be written or a path that
    cannot be written to.
    """
    check_is_fitted(detector, "threshold_")
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in detector._state().items()}
    tensors[_SCORES] = torch.from_numpy(detector.held_out_scores_)
    header = {"chinspect": json.dumps(_header(detector))}
    check_output_file(path)
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata=header)
    except (OSError, SafetensorError) as error:
        raise InputError(f"the detector cannot be written to {str(path)!r} ({error}): choose another path.") from error
    return path


def load_detector(path: str | Path) -> Detector:
    """Reads a detector that `save_detector` wrote.

    Raises `InputError` for a file that is missing, truncated or no detector, of a newer schema, of an unknown class, or
    whose preprocessing gives other pixels here than where it was fitted.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no detector {str(path)!r}: fit one with `chinspect fit`.")
    try:
        header, tensors = _read(path)
        if header["schema"] != SCHEMA:
            raise InputError(f"{str(path)!r} has schema {header['schema']!r} and this version reads {SCHEMA}: update.")
        detector = _restored(header, tensors)
    except InputError as error:
        raise InputError(f"{str(path)!r} cannot be loaded: {error}") from error
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(f"{str(path)!r} is truncated or no detector of chinspect ({error}).") from error
    return detector


def preprocessing_fingerprint(resizer: str, size: int) -> str:
    """The hash (sha256) of what two fixed pictures become under a resizer: gratings and noise, neither square."""
    seen: list[str | NDArray[np.uint8]] = [f"{resizer} {size} [-1, 1]"]
    for seed, (height, width) in enumerate([(331, 457), (97, 71)]):
        rows, columns = np.mgrid[:height, :width]
        noise = np.random.Generator(np.random.PCG64(seed)).integers(0, 128, (height, width, 3))
        grating = ((rows * (5 + seed) + columns * 3) % 128)[..., None]
        seen.append(resize((grating + noise).astype(np.uint8), size, resizer))
    return digest(*seen)


def _header(detector: Detector) -> dict[str, Any]:
    scores = detector.held_out_scores_
    layer = detector._layer_key
    parameters = detector.stored_parameters().items()
    return {
        "schema": SCHEMA,
        "chinspect": __version__,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "class": type(detector).__name__,
        "parameters": {name: _plain("layer" if name == layer else name, value) for name, value in parameters},
        "fingerprint": preprocessing_fingerprint(detector.resizer, detector.size),
        "image_shape": list(detector.image_shape_),
        "images": detector.n_images_,
        "image_names": detector.image_names_,
        "threshold": {
            "value": detector.threshold_,
            "source": detector.threshold_source_,
            "false_positive_rate": guaranteed_rate(len(scores), detector.threshold_fpr),
        },
    }


def _plain(name: str, value: Any) -> Any:
    """A parameter as JSON; a layer as its class and its own parameters, an encoder as its name and fingerprint."""
    if isinstance(value, Encoder):
        return {"encoder": named_encoder(value.name, value.fingerprint).name, "fingerprint": value.fingerprint}
    if isinstance(value, nn.Module):
        layer = type(value)
        parameters = inspect.signature(layer.__init__).parameters
        named = [key for key in parameters if key != "self"]
        if layer.__name__ in _MODULES | _REGISTERED and all(hasattr(value, key) for key in named):
            return {"layer": layer.__name__, "parameters": {key: _plain(key, getattr(value, key)) for key in named}}
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        written = type(value).__name__ if isinstance(value, nn.Module) else repr(value)
        raise InputError(f"a detector with {name}={written} cannot be saved: only plain values can.") from error
    return value


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if "chinspect" not in metadata:
            raise ValueError("its header names none: 'chinspect fit' writes detectors")
        header = json.loads(metadata["chinspect"])
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping


def _restored(header: dict[str, Any], tensors: dict[str, Tensor]) -> Detector:
    kind = _class(header["class"], Detector)
    parameters = {name: _value(value) for name, value in header["parameters"].items()}
    if kind._layer_key in parameters:
        parameters["layer"] = parameters.pop(kind._layer_key)
    detector = kind(**parameters)
    if preprocessing_fingerprint(detector.resizer, detector.size) != header["fingerprint"]:
        raise InputError(
            f"its preprocessing ({detector.resizer!r} to {detector.size} px) gives other pixels here than where it was "
            f"fitted (with {header['libraries']}): fit it again."
        )
    detector.held_out_scores_ = tensors.pop(_SCORES).numpy()
    detector.image_shape_ = tuple(header["image_shape"])
    detector.n_images_ = header["images"]
    detector.image_names_ = list(header.get("image_names", ()))  # earlier versions wrote none
    detector._restore(tensors)
    detector.threshold_ = float(header["threshold"]["value"])
    detector.threshold_source_ = str(header["threshold"]["source"])
    return detector


def named_encoder(name: str, fingerprint: str) -> Encoder:
    """What `load_encoder` gives for a name; `InputError` unless it has this fingerprint."""
    encoder = load_encoder(name)
    if encoder.fingerprint != fingerprint:
        raise InputError(
            f"the encoder {name!r} has other weights than the one that the detector was fitted with: fit it again with "
            "the one that load_encoder gives for this name."
        )
    return encoder


def _value(stored: Any) -> Any:
    if isinstance(stored, dict) and "encoder" in stored:
        return named_encoder(stored["encoder"], stored["fingerprint"])
    if isinstance(stored, dict) and "layer" in stored:
        return _class(stored["layer"], nn.Module)(**{k: _value(v) for k, v in stored["parameters"].items()})
    return tuple(_value(item) for item in stored) if isinstance(stored, list) else stored


def _class(name: str, kind: type) -> Any:
    if name not in _REGISTERED and name in _MODULES:
        _REGISTERED[name] = getattr(importlib.import_module(_MODULES[name]), name)
    cls = _REGISTERED.get(name)
    if cls is None or not issubclass(cls, kind):
        raise InputError(f"its class {name!r} is not known: import the package that registers it first.")
    return cls
