"""Images of a data set as they are, or with an artefact pasted onto each.

A network crops what it is given, and an artefact in a corner may be cut away with it. So an artefact is laid over what
is seen: the ``view`` says what that is. Without one it is laid over the whole image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, overload

import numpy as np
from PIL import Image

from chinspect.artefacts import Artefact
from chinspect.artefacts.artefact import Pixels
from chinspect.execute import Samples
from chinspect.images import Preprocessing, open_image


@dataclass(frozen=True, eq=False)
class Pictures(Sequence[Image.Image]):
    """Images that are read when they are asked for; a slice is a list of them."""

    samples: Samples
    artefact: Artefact | None = None
    view: Preprocessing | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image.Image]: ...
    def __getitem__(self, index: int | slice) -> Any:
        names = self.samples.names[index]  # not the paths, which are made anew for all images
        return [self._read(name) for name in names] if isinstance(names, tuple) else self._read(names)

    def shown(self, name: str) -> Artefact | None:  # noqa: ARG002, subclasses read it
        """The artefact as the image of a name shows it."""
        return self.artefact

    def _read(self, name: str) -> Image.Image:
        picture, artefact = open_image(self.samples.root / name), self.shown(name)
        return picture if artefact is None else pasted(picture, artefact, self.view)

    def marked(self, artefact: Artefact) -> Self:
        """The same images with the artefact on each."""
        return replace(self, artefact=artefact)

    def seen_by(self, view: Preprocessing) -> Self:
        """The same images with the artefact on what a network sees of each."""
        return replace(self, view=view)

    @property
    def description(self) -> dict[str, Any]:
        """What tells these pictures from others, for a store."""
        return {"images": self.digest}

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits over the images' names and contents, and the artefact and how it is laid on."""
        if self.artefact is None:
            return self.samples.digest
        how = f"{self.samples.digest} {self.artefact.anchor} {self.view} {type(self).__name__}"
        digest = hashlib.sha256(how.encode())
        for values in (self.artefact.rgb, self.artefact.alpha):
            digest.update(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def pasted(picture: Image.Image, artefact: Artefact, view: Preprocessing | None = None) -> Image.Image:
    """A picture with the artefact over it, or over what a network sees of it."""
    return _edited(picture, artefact.add, view)


def painted(picture: Image.Image, artefact: Artefact, view: Preprocessing | None = None) -> Image.Image:
    """A picture with the artefact's place painted from its surroundings; see `Artefact.remove`."""
    return _edited(picture, artefact.remove, view)


def seen(picture: Image.Image, view: Preprocessing) -> Pixels:
    """What a network sees of a picture, before it is resized: (H, W, 3)."""
    return np.asarray(picture.convert("RGB").crop(view.box(picture.size)))


def _edited(picture: Image.Image, edit: Callable[[Pixels], Pixels], view: Preprocessing | None) -> Image.Image:
    if view is None:
        return Image.fromarray(edit(np.asarray(picture.convert("RGB"))))
    whole = picture.convert("RGB")  # a copy
    left, top, _, _ = view.box(picture.size)
    whole.paste(Image.fromarray(edit(seen(picture, view))), (left, top))
    return whole
