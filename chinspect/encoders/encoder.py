"""What an encoder is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from chinspect.encoders.cards import Card
from chinspect.errors import InputError
from chinspect.images import Preprocessing, as_picture

_BATCH = 32


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network from images to embeddings, with the preprocessing that belongs to it."""

    name: str
    module: nn.Module
    """(N, 3, size, size) -> (N, D), in evaluation mode; its parameters ask for no gradient."""
    preprocessing: Preprocessing
    card: Card

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
        digest = hashlib.sha256(repr((self.card.architecture, astuple(self.preprocessing))).encode())
        for key, value in sorted(self.module.state_dict().items()):
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    def prepare(self, image: str | Path | Image.Image) -> Tensor:
        """The module's input for one image, a path or a picture: (1, 3, size, size) on the module's device."""
        return self.preprocessing(as_picture(image)).unsqueeze(0).to(self.device)

    def embed(self, images: Sequence[str | Path | Image.Image]) -> Tensor:
        """Embeddings of images, paths or pictures: (N, D), float32, not normalised, on the module's device.

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
