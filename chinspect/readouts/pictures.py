"""Images of a data set as they are, or with an artefact pasted onto each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from PIL import Image

from chinspect.execute import Samples
from chinspect.images import open_image
from chinspect.stress import Artefact


@dataclass(frozen=True, eq=False)
class Pictures(Sequence[Image.Image]):
    """Images that are read when they are asked for; a slice is a list of them."""

    samples: Samples
    artefact: Artefact | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image.Image]: ...
    def __getitem__(self, index: int | slice) -> Any:
        names = self.samples.names[index]  # not the paths, which are made anew for all images
        return [self._read(name) for name in names] if isinstance(names, tuple) else self._read(names)

    def _read(self, name: str) -> Image.Image:
        picture = open_image(self.samples.root / name)
        return picture if self.artefact is None else pasted(picture, self.artefact)

    def marked(self, artefact: Artefact) -> Pictures:
        """The same images with the artefact on each."""
        return replace(self, artefact=artefact)

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits over the images' names and contents and the artefact."""
        if self.artefact is None:
            return self.samples.digest
        digest = hashlib.sha256(f"{self.samples.digest} {self.artefact.anchor}".encode())
        for values in (self.artefact.rgb, self.artefact.alpha):
            digest.update(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def pasted(picture: Image.Image, artefact: Artefact) -> Image.Image:
    """A picture with the artefact over it."""
    return Image.fromarray(artefact.add(np.asarray(picture.convert("RGB"))))
