"""Classifiers as subjects, with the class that an artefact is suspected to stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.digests import digest, tensor_bytes
from chinspect.encoders import check_finite
from chinspect.encoders.explaining import explain_outputs
from chinspect.errors import InputError
from chinspect.images import AnyImage, as_pixels
from chinspect.relevance import Method, evaluation_mode
from chinspect.subjects.subject import Kind, Pixels

_BATCH = 16  # images a pass: of 32 EfficientNet-Lite0 takes a third longer on a processor, an image


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier, and the class that an artefact is suspected to stand for.

    Attributes:
        logits: from inputs (n, ...) to logits (n, classes); a module answers in evaluation mode and is left as it was.
        target: index of the class.
        prepare: from uint8 images (H, W, 3) to these inputs; by default they are stacked and scaled to [0, 1],
            (n, 3, H, W), which needs images of one size.
        device: where the inputs have to lie; ``prepare`` sees to that.
    """

    logits: Callable[[Tensor], Tensor]
    target: int
    prepare: Callable[[Sequence[Pixels]], Tensor] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    kind: ClassVar[Kind] = "classifier"

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits over the weights, or the name of a function without weights, and the target."""
        if not isinstance(self.logits, nn.Module):
            return digest(repr((self.logits, self.target)))
        tensors = sorted(self.logits.state_dict().items())
        return digest(repr((self.logits, self.target)), *(tensor_bytes(tensor) for _, tensor in tensors))

    def see(self, images: Sequence[AnyImage]) -> list[Pixels]:
        """The images as pixels: what is done to them before the network is up to ``prepare``."""
        return [as_pixels(image) for image in images]

    def respond(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        """Logits (n, classes).

        Raises `InputError` for other shapes, one class only, an unknown target, or logits that are not finite.
        """
        with evaluation_mode(self.logits), torch.no_grad():
            logits = [self.logits(self._inputs(images[i : i + _BATCH])) for i in range(0, len(images), _BATCH)]
        values = torch.cat(logits).double().cpu().numpy()
        if values.ndim != 2 or values.shape[1] < 2 or not 0 <= self.target < values.shape[1]:
            raise InputError(
                f"A classifier gives logits (n, classes) of 2 classes or more, class {self.target} among them, and "
                f"these have the shape {values.shape}."
            )
        check_finite(values, "the logits of the classifier", self.logits)
        return values

    def explain(
        self,
        images: Sequence[Pixels],
        weights: NDArray[np.floating[Any]],
        *,
        bands: int = 0,
        method: Method | None = None,
    ) -> NDArray[np.float32]:
        """Relevance of ``sum_c weights[i, c] * logit[i, c]``: maps (n, H, W) or spectra (n, 1, bands).

        Raises `InputError` for logits that are no module, since relevance follows the operations of one.
        """
        if not isinstance(self.logits, nn.Module):
            raise InputError(
                f"A classifier is explained by the operations of its torch.nn.Module, and its logits are a "
                f"{type(self.logits).__name__}: give the module itself."
            )
        return explain_outputs(self.logits, self._inputs(images), weights, self.fingerprint, bands=bands, method=method)

    def _inputs(self, images: Sequence[Pixels]) -> Tensor:
        return (self.prepare or _unit_range)(images)


def _unit_range(images: Sequence[Pixels]) -> Tensor:
    if len({image.shape for image in images}) > 1:
        raise InputError("Images of several sizes need a classifier with `prepare`, which makes one batch of them.")
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
