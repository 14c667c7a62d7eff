"""What an encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from chinspect.digests import digest, tensor_bytes
from chinspect.encoders.cards import Card
from chinspect.encoders.explaining import explain_outputs
from chinspect.errors import InputError
from chinspect.images import Preprocessing, as_picture, to_rgb

Pixels = NDArray[np.uint8]
AnyImage = str | Path | Image.Image | Pixels
"""A path, a picture, or uint8 pixels (H, W, 3)."""

_BATCH = 32  # images a pass: small enough for a large transformer on a laptop, and larger ones are hardly faster there


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network from images to embeddings, with the preprocessing that belongs to it."""

    name: str
    module: nn.Module
    """(N, 3, size, size) -> (N, D), in evaluation mode; its parameters ask for no gradient."""
    preprocessing: Preprocessing
    card: Card

    kind = "encoder"  # of models under test; no annotation, so that it is no field

    @property
    def device(self) -> torch.device:
        """Where the module lies, and where its inputs have to."""
        return next(self.module.parameters(), torch.empty(0)).device

    @property
    def input_range(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest value of each channel after normalisation, (3,) each: black and white, for z-box rules."""
        mean, std = (torch.tensor(v, device=self.device) for v in (self.preprocessing.mean, self.preprocessing.std))
        return (0.0 - mean) / std, (1.0 - mean) / std

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a sha256 over architecture, preprocessing, and every name, type, shape and value.

        Computed from the module as it is now, so that a changed module has another one.
        """
        parts: list[str | Pixels] = [repr((self.card.architecture, astuple(self.preprocessing)))]
        for key, value in sorted(self.module.state_dict().items()):
            parts += [f"{key} {value.dtype} {tuple(value.shape)}", tensor_bytes(value)]
        return digest(*parts)[:16]

    def prepare(self, image: AnyImage) -> Tensor:
        """The module's input for one image: (1, 3, size, size) on the module's device."""
        return self.preprocessing(_picture(image)).unsqueeze(0).to(self.device)

    def embed(self, images: Sequence[AnyImage]) -> Tensor:
        """Embeddings of images: (N, D), float32, not normalised, on the module's device.

        Raises `InputError` if there are none, or if one cannot be read.
        """
        if isinstance(images, (str, Path, Image.Image)):
            raise InputError(f"A list of images is needed, not one {type(images).__name__}.")
        if len(images) == 0:
            raise InputError("There are no images to embed.")
        with torch.no_grad():
            batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
            inputs = (torch.cat([self.prepare(image) for image in batch]) for batch in batches)
            return torch.cat([self.module(x).float() for x in inputs])

    def see(self, images: Sequence[AnyImage]) -> list[Pixels]:
        """What the encoder sees of each image after its resize and crop: uint8 pixels (size, size, 3).

        An image of just the input size is taken for what it sees, and left as it is.
        """
        size = self.preprocessing.size
        pictures = (_picture(image) for image in images)
        return [
            np.array(to_rgb(picture) if picture.size == (size, size) else self.preprocessing.visible(picture))
            for picture in pictures
        ]

    def respond(self, images: Sequence[AnyImage]) -> NDArray[np.float64]:
        """Embeddings (n, D), in double precision, of images that it `see`s: they are not cropped a second time."""
        embeddings: NDArray[np.float64] = self._uncropped.embed(images).double().cpu().numpy()
        return embeddings

    def inputs(self, images: Sequence[AnyImage]) -> Tensor:
        """The module's input (n, 3, size, size) for images that it `see`s."""
        return torch.cat([self._uncropped.prepare(image) for image in images])

    def explain(
        self, images: Sequence[AnyImage], weights: NDArray[np.floating[Any]], *, bands: int = 0
    ) -> NDArray[np.float32]:
        """Relevance of ``sum_d weights[i, d] * embedding[i, d]`` for images that it `see`s and weights (n, D).

        Maps (n, size, size), or with ``bands`` spectra (n, 1, bands); see `chinspect.encoders.explaining`.
        """
        return explain_outputs(self.module, self.inputs(images), weights, self.fingerprint, bands=bands)

    @property
    def _uncropped(self) -> Encoder:
        """The same for images that are cropped already."""
        return replace(self, preprocessing=replace(self.preprocessing, resize="squash", resize_size=None))


def _picture(image: AnyImage) -> Image.Image:
    """One image through the one door, upright; `InputError` for pixels that are no uint8 (H, W, 3)."""
    if not isinstance(image, np.ndarray):
        return as_picture(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"Pixels are uint8 (H, W, 3), not {image.dtype} {image.shape}.")
    return as_picture(Image.fromarray(image))
