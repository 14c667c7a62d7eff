"""Images of a data set as they are, or with an artefact pasted onto each; and their embeddings.

A network crops what it is given, and an artefact in a corner may be cut away with it. So an artefact is laid over what
is seen: the ``view`` says what that is. Without one it is laid over the full image.

An encoder is frozen, so embeddings are computed once for any number of readouts, and may be kept on disk: a cache is a
folder with one `chinspect.execute.Store` for each encoder (by its fingerprint) and set of images (by names, contents
and artefact). A pruned encoder, another artefact or an image that was edited finds nothing stale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chinspect.artefacts import Artefact, Pixels
from chinspect.digests import digest
from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.execute import Samples, map_images
from chinspect.images import Preprocessing, open_image

_SHARD = 128  # images: a run that was stopped loses seconds, and a store has few files
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Pictures(Sequence[Image.Image]):
    """Images that are read when they are asked for; a slice is a list of them."""

    samples: Samples
    artefact: Artefact | None = None
    view: Preprocessing | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Any:
        names = self.samples.names[index]  # not the paths, which are made anew for all images
        return [self._read(name) for name in names] if isinstance(names, tuple) else self._read(names)

    def shown(self, name: str) -> Artefact | None:  # noqa: ARG002, subclasses read it
        """The artefact as the image of a name shows it."""
        return self.artefact

    def _read(self, name: str) -> Image.Image:
        picture = open_image(self.samples.root / name)
        artefact = self.shown(name)
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
        rgb = self.artefact.rgb
        alpha = self.artefact.alpha
        return digest(how, repr(rgb.shape), rgb, repr(alpha.shape), alpha)


@dataclass(frozen=True, eq=False)
class Pairs:
    """The same images, in the same order, with an artefact and without it.

    Raises `InputError` for fewer than two pairs, and for numbers of images that differ.
    """

    with_artefact: Sequence[Image.Image]
    without: Sequence[Image.Image]

    def __post_init__(self) -> None:
        numbers = len(self.with_artefact), len(self.without)
        if numbers[0] != numbers[1] or numbers[0] < 2:
            raise InputError(f"Pairs of images are needed, two at least, not {numbers[0]} and {numbers[1]}.")

    def inputs(self, encoder: Encoder) -> tuple[Tensor, Tensor]:
        """The encoder's inputs with the artefact (N, 3, S, S), and where the artefact changes them (N, S, S).

        Raises `InputError` if no input is changed.
        """
        marked = encoder.prepare(*self.with_artefact)
        masks = (marked != encoder.prepare(*self.without)).any(1)
        if not masks.any():
            raise InputError("The images with the artefact are the same as those without it.")
        return marked, masks


def embeddings(encoder: Encoder, pictures: Sequence[Image.Image], cache: str | Path | None = None) -> Array:
    """Embeddings (N, D), float32.

    Args:
        pictures: any pictures; those of files (`Pictures`) can be cached.
        cache: a folder, made if need be, or None.

    Raises `InputError` if there are none, one cannot be read, or the cache cannot be written to.
    """
    if cache is None or not isinstance(pictures, Pictures):
        values: Array = encoder.embed(pictures).cpu().numpy()
        return values
    function = _Embed(encoder)
    folder = Path(cache) / f"{function.description['fingerprint']}-{pictures.digest[:16]}"
    return map_images(function, pictures, folder, shard_size=_SHARD, strict=True).arrays("embeddings")


def pasted(picture: Image.Image, artefact: Artefact, view: Preprocessing | None = None) -> Image.Image:
    """A picture with the artefact over it, or over what a network sees of it."""
    return _edited(picture, artefact.add, view)


def painted(picture: Image.Image, artefact: Artefact, view: Preprocessing | None = None) -> Image.Image:
    """A picture with the artefact's region painted from its surroundings; see `Artefact.remove`."""
    return _edited(picture, artefact.remove, view)


def seen(picture: Image.Image, view: Preprocessing | None) -> Pixels:
    """What a network sees of a picture before it is resized, or all of it: (H, W, 3), uint8."""
    pixels = picture.convert("RGB")
    return np.asarray(pixels if view is None else pixels.crop(view.box(picture.size)))


def _edited(picture: Image.Image, edit: Callable[[Pixels], Pixels], view: Preprocessing | None) -> Image.Image:
    result = picture.convert("RGB")  # a copy
    corner = (0, 0) if view is None else view.box(picture.size)[:2]
    result.paste(Image.fromarray(edit(seen(picture, view))), corner)
    return result


@dataclass(frozen=True)
class _Embed:
    """Embeddings of pictures, see `chinspect.execute.map_images`."""

    encoder: Encoder
    device = "cpu"

    @cached_property
    def description(self) -> dict[str, Any]:
        return {"kind": "embeddings", "fingerprint": self.encoder.fingerprint}

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, Array]:  # noqa: ARG002
        return {"embeddings": self.encoder.embed(pictures).cpu().numpy()}
