"""What an encoder is: a network from images to embeddings, and how an image becomes its input.

Any module is one in a line:

encoder = Encoder.wrap(torchvision.models.resnet18(), size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.digests import digest, tensor_bytes
from chinspect.encoders.cards import Card
from chinspect.encoders.explaining import explain_outputs
from chinspect.encoders.finite import check_finite
from chinspect.errors import InputError, one_line
from chinspect.images import AnyImage, Fit, Preprocessing, as_picture, is_image, to_rgb
from chinspect.relevance import Method

Pixels = NDArray[np.uint8]

_BATCH = 16  # images a pass: of 32 EfficientNet-Lite0 takes a third longer on a processor, an image


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network from images to embeddings, with the preprocessing that belongs to it."""

    name: str
    module: nn.Module
    """(N, 3, size, size) -> (N, D), in evaluation mode; its parameters ask for no gradient."""
    preprocessing: Preprocessing
    card: Card | None = None
    """What is known about it; None of a module that is no model of the zoo, of a library, or of a checkpoint."""

    kind: ClassVar[Literal["encoder"]] = "encoder"

    def __post_init__(self) -> None:
        """`InputError` for a module in training mode."""
        self._check_evaluating()

    @staticmethod
    def wrap(
        module: nn.Module,
        *,
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
        resize: str = "shortest",
        interpolation: str = "bicubic",
        resize_size: int | None = None,
        name: str | None = None,
        device: str | torch.device | None = None,
    ) -> Encoder:
        """An encoder of any module that maps a batch (N, 3, size, size) to vectors (N, D): embeddings, or logits.

        The module itself is never changed. If it is in evaluation mode, asks for no gradient and lies where it should,
        it is the encoder's module as it is; otherwise a copy is, so that later training does not reach the encoder.

        Args:
            module: what images go through.
            size: side of its square input, in pixels.
            mean: of each channel, of pixels in [0, 1], which are normalised by it.
            std: standard deviation of each channel, likewise.
            resize: ``shortest`` keeps the aspect of an image and crops its centre, ``pad`` keeps it and puts the image
                on a square, ``squash`` does not keep it.
            interpolation: of the resize, ``bilinear`` or ``bicubic``.
            resize_size: length that the resize aims at, before the crop; the size itself by default.
            name: stands in messages and reports; the name of the module's class by default.
            device: where the encoder shall compute; by default where the module lies.

        Raises `InputError` for what is no module, cannot be copied, or does not give one finite vector an image, and
        for a preprocessing that is not known.
        """
        if not isinstance(module, nn.Module):
            raise InputError(f"An encoder wraps a torch.nn.Module, not {type(module).__name__}.")
        name = name or type(module).__name__
        means = tuple(map(float, mean))
        deviations = tuple(map(float, std))
        preprocessing = Preprocessing(size, resize, interpolation, means, deviations, resize_size)  # type: ignore[arg-type]
        encoder = Encoder(name, _frozen(module, name, device), preprocessing)
        embedding_length(encoder)
        return encoder

    @property
    def device(self) -> torch.device:
        """Where the module lies, and where its inputs have to."""
        return next(self.module.parameters(), torch.empty(0)).device

    @property
    def dtype(self) -> torch.dtype:
        """What its inputs have to be: single precision, or the lower one that all its parameters have."""
        types = {parameter.dtype for parameter in self.module.parameters() if parameter.is_floating_point()}
        return types.pop() if len(types) == 1 else torch.float32

    @property
    def input_range(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest value of each channel after normalisation, (3,) each: black and white, for z-box rules."""
        mean = torch.tensor(self.preprocessing.mean, device=self.device)
        std = torch.tensor(self.preprocessing.std, device=self.device)
        return (0.0 - mean) / std, (1.0 - mean) / std

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a sha256 over architecture, preprocessing, and every name, type, shape and value.

        Computed from the module as it is now, so that a changed module has another one. The architecture is what the
        card calls it, and without a card what the ``repr`` of the module tells, and the numbers, words and switches
        among the attributes of its parts.
        """
        own = _told(self.module) if self.card is None else self.card.architecture
        content: list[str | Pixels] = [repr((own, astuple(self.preprocessing)))]
        for key, value in sorted(self.module.state_dict().items()):
            content += [f"{key} {value.dtype} {tuple(value.shape)}", tensor_bytes(value)]
        return digest(*content)[:16]

    def prepare(self, *images: AnyImage) -> Tensor:
        """The module's input for one image or more: (n, 3, size, size) on the module's device.

        Raises `InputError` for an image that cannot be read, and if the module was put into training mode since.
        """
        self._check_evaluating()
        return torch.stack([self.preprocessing(as_picture(image)) for image in images]).to(self.device, self.dtype)

    def embed(self, images: Sequence[AnyImage]) -> Tensor:
        """Embeddings of images: (N, D), float32, not normalised, on the module's device.

        Raises `InputError` if there are none, if one cannot be read, or if an embedding is not finite.
        """
        if is_image(images):
            raise InputError(f"A list of images is needed, not one {type(images).__name__}.")
        if len(images) == 0:
            raise InputError("There are no images to embed.")
        with torch.no_grad():
            batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
            embeddings = torch.cat([self.module(self.prepare(*batch)).float() for batch in batches])
        check_finite(embeddings, f"the embedding by {self.name!r}", self.module)
        return embeddings

    def see(self, images: Sequence[AnyImage]) -> list[Pixels]:
        """What the encoder sees of each image after its resize and crop: uint8 pixels (size, size, 3).

        An image of just the input size is taken for what it sees, and left as it is.
        """
        size = self.preprocessing.size
        pictures = (as_picture(image) for image in images)
        return [
            np.array(to_rgb(picture) if picture.size == (size, size) else self.preprocessing.visible(picture))
            for picture in pictures
        ]

    def respond(self, images: Sequence[AnyImage]) -> NDArray[np.float64]:
        """Embeddings (n, D), in double precision, of images that it sees (`see`): none is cropped again."""
        embeddings: NDArray[np.float64] = self._uncropped.embed(images).double().cpu().numpy()
        return embeddings

    def inputs(self, images: Sequence[AnyImage]) -> Tensor:
        """The module's input (n, 3, size, size) for images that it sees (`see`)."""
        return self._uncropped.prepare(*images)

    def explain(
        self,
        images: Sequence[AnyImage],
        weights: NDArray[np.floating[Any]],
        *,
        bands: int = 0,
        method: Method | None = None,
    ) -> NDArray[np.float32]:
        """Relevance of ``sum_d weights[i, d] * embedding[i, d]`` for images that it sees (`see`) and weights (n, D).

        Maps (n, size, size), or with ``bands`` spectra (n, 1, bands); see `chinspect.encoders.explaining`.
        """
        return explain_outputs(self.module, self.inputs(images), weights, self.fingerprint, bands=bands, method=method)

    def fitted(self, fit: Fit | None) -> Self:
        """The same encoder with another way to make a square of an image, see `Preprocessing.fitted`."""
        return replace(self, preprocessing=self.preprocessing.fitted(fit))

    def _check_evaluating(self) -> None:
        """`InputError` for a module in training mode, which answers by its batch and learns from what it is shown."""
        path = next((path for path, module in self.module.named_modules() if module.training), None)
        if path is not None:
            what = f"The module {path!r} of {self.name!r}" if path else f"The module of {self.name!r}"
            raise InputError(
                f"{what} is in training mode, where it answers by the batch and learns from it: call .eval() on it, or "
                "make the encoder with Encoder.wrap, which takes a copy."
            )

    @property
    def _uncropped(self) -> Encoder:
        """The same for images that are cropped already."""
        return replace(self, preprocessing=replace(self.preprocessing, resize="squash", resize_size=None))


def embedding_length(encoder: Encoder) -> int:
    """Length D of an embedding, by a pass of two images that are zero after normalisation.

    Raises `InputError` for what cannot be run, and for what gives no finite vector an image.
    """
    size = encoder.preprocessing.size
    # Two images: of one alone it would not be seen that a module mixes the images of a batch into one vector.
    images = torch.zeros(2, 3, size, size, device=encoder.device, dtype=encoder.dtype)
    try:
        with torch.no_grad():
            output = encoder.module(images)
    except Exception as error:  # the module may be the user's own, which raises what it wants
        raise InputError(f"{encoder.name!r} cannot embed images {tuple(images.shape)} ({one_line(error)}).") from error
    if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[0] != 2 or output.shape[1] == 0:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(f"{encoder.name!r} is no encoder: it maps 2 images to {shape}, not to one vector each.")
    check_finite(output, f"the embedding of zeros by {encoder.name!r}", encoder.module)
    return int(output.shape[1])


def _frozen(module: nn.Module, name: str, device: str | torch.device | None) -> nn.Module:
    """The module in evaluation mode, without gradients and on the device: itself if it is all that, or a copy."""
    tensors = [*module.parameters(), *module.buffers()]
    active = any(inner.training for inner in module.modules()) or any(tensor.requires_grad for tensor in tensors)
    target = None if device is None else find_device(device)
    if not active and (target is None or all(tensor.device == target for tensor in tensors)):
        return module
    try:
        copied = copy.deepcopy(module)
    except Exception as error:  # what a module of the user holds beside its tensors is not known
        advice = "call .eval() and .requires_grad_(False) on it first, and move it to its device"
        raise InputError(f"{name!r} cannot be copied ({one_line(error)}): {advice}.") from error
    copied = copied.to(device=target).requires_grad_(False)
    for inner in copied.modules():
        inner.training = False  # what eval does, which exported modules forbid
    return copied


def find_device(device: str | torch.device) -> torch.device:
    """A device by its name, as tensors on it name it. Raises `InputError` if it is not there."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"The device {str(device)!r} is not available here; use 'cpu'.") from error


def _told(module: nn.Module) -> str:
    """What a module says of itself, and its plain attributes, which change what it computes as weights do."""
    attributes = [
        (path, name, value)
        for path, part in module.named_modules()
        for name, value in sorted(vars(part).items())
        if not name.startswith("_") and name != "training" and _plain(value)
    ]
    # the address of a function that a module shows is another one in each run
    return re.sub(r" at 0x[0-9a-f]+", "", repr(module)) + repr(attributes)


def _plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_plain(entry) for entry in value)
    return isinstance(value, bool | int | float | str)
