"""A fitted linear head on an encoder's embeddings, as a file: what `evaluate` judges without fitting it again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.files import replacing

_KEY = "chinspect"  # of the metadata that tell classes and encoder
_TENSORS = ("coefficients", "intercepts", "mean", "scale")
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Classes of embeddings by ``z = W (x - mean) / scale + b``: the largest wins, of one row the sign decides.

    Attributes:
        name: of the head.
        classes: (c,).
        coefficients: (c, d), or (1, d) of two classes, positive for the second.
        intercepts: (c,) or (1,).
        mean, scale: (d,).
        encoder: fingerprint of the encoder whose embeddings it reads.
    """

    name: str
    classes: Sequence[str]
    coefficients: Floats
    intercepts: Floats
    mean: Floats
    scale: Floats
    encoder: str

    def predict(self, embeddings: NDArray[Any]) -> NDArray[Any]:
        """Classes (N,). Raises `InputError` for embeddings of another length."""
        if embeddings.shape[1] != len(self.mean):
            raise InputError(f"the head {self.name!r} reads {len(self.mean)} numbers, not {embeddings.shape[1]}.")
        values = ((embeddings - self.mean) / self.scale) @ self.coefficients.T + self.intercepts
        indices = (values[:, 0] > 0).astype(int) if values.shape[1] == 1 else values.argmax(1)
        return np.array(self.classes)[indices]

    def layer(self) -> nn.Linear:
        """From embeddings to a logit for each class; of two classes the logits are half the value, of either sign."""
        coefficients = self.coefficients / self.scale
        intercepts = self.intercepts - coefficients @ self.mean
        if len(coefficients) == 1:
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        layer = nn.Linear(coefficients.shape[1], len(coefficients))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(coefficients))
            layer.bias.copy_(torch.from_numpy(intercepts))
        return layer.requires_grad_(False)

    def classifier(self, encoder: Encoder) -> Encoder:
        """The encoder with this head behind it: its embeddings are logits (N, c), in the order of the classes.

        Raises `InputError` for an encoder whose embeddings the head does not read.
        """
        if encoder.fingerprint != self.encoder:
            raise InputError(f"the head {self.name!r} was fitted on another encoder than {encoder.name!r}.")
        module = nn.Sequential(encoder.module, self.layer().to(encoder.device, encoder.dtype)).eval()
        return Encoder(f"{encoder.name} with {self.name}", module, encoder.preprocessing)

    def save(self, path: str | Path) -> Path:
        """Writes a safetensors file with what it needs; returns its path."""
        target = Path(path)
        about = json.dumps({"name": self.name, "classes": list(self.classes), "encoder": self.encoder})
        with replacing(target) as temporary:
            save_file({name: np.ascontiguousarray(getattr(self, name)) for name in _TENSORS}, temporary, {_KEY: about})
        return target

    @staticmethod
    def load(path: str | Path) -> LinearHead:
        """Reads what `save` wrote. Raises `InputError` for another file."""
        try:
            with safe_open(str(path), "numpy") as file:
                about = json.loads((file.metadata() or {})[_KEY])
                tensors = {name: file.get_tensor(name).astype(np.float64) for name in _TENSORS}
            head = LinearHead(str(about["name"]), list(map(str, about["classes"])), encoder=about["encoder"], **tensors)
        except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"{str(path)!r} is no head that 'chinspect groups' wrote ({error}).") from error
        rows, length = head.coefficients.shape if head.coefficients.ndim == 2 else (0, 0)
        fits = head.intercepts.shape == (rows,) and head.mean.shape == head.scale.shape == (length,)
        if not fits or rows != (1 if len(head.classes) == 2 else len(head.classes)):
            raise InputError(f"{str(path)!r} holds a head whose parts do not fit each other: write it again.")
        return head
