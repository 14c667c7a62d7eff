"""What of a network's answer is explained: one of its outputs, by number or by name, or the similarity to an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from chinspect.encoders import Encoder, load_classifier, load_encoder
from chinspect.errors import InputError, did_you_mean
from chinspect.images import AnyImage, is_image
from chinspect.relevance import Reference, reference_images

Explained = int | str | AnyImage | None
"""An output by its number or its name; an image, whose similarity is explained; None is the largest output."""
_CLASSES = 1000  # of ImageNet, which classifiers of the zoo, timm and torchvision were trained on
_LISTED = 6  # classes of the same name


@dataclass(frozen=True, eq=False)
class Answer:
    """What is explained of one image: ``<weights, output>``.

    Attributes:
        noun: what it is, as the middle of a sentence.
        value: how large it is, as a user knows it: a logit, or a cosine.
        weights: of the outputs (D,).
    """

    noun: str
    value: float
    weights: Tensor


def open_model(name: str, target: Explained = None, *, device: str = "cpu") -> tuple[Encoder, tuple[str, ...]]:
    """The network that answers what is asked, and the names of its outputs where they are known.

    An encoder answers how similar an image is to another one; everything else a classifier does, or a function of the
    user's own, whose outputs are taken as they are. An output of an embedding is explained where it is named by number.

    Raises `InputError` as `load_encoder` and `load_classifier` do, and for an encoder without a classifier.
    """
    if is_path(target):
        return load_encoder(name, device=device), ()
    try:
        classifier = load_classifier(name, device=device)
    except InputError as error:
        return _without_classifier(name, target, device, error), ()
    outputs = _outputs(classifier)
    return classifier, imagenet_names() if outputs == _CLASSES else ()


def is_path(target: Explained) -> bool:
    """Whether a target is an image: a picture, or text that is the path of a file."""
    if isinstance(target, str):
        return Path(target).is_file()
    return is_image(target)


def imagenet_names() -> tuple[str, ...]:
    """The names of the thousand classes of ImageNet, each with its synonyms; none where timm does not hold them.

    They are read from timm's tables as text, as importing it takes seconds.
    """
    spec = find_spec("timm")
    folder = Path(spec.origin).parent / "data" / "_info" if spec and spec.origin else Path()
    identifiers = folder / "imagenet_synsets.txt"
    names = folder / "imagenet_synset_to_lemma.txt"
    if not identifiers.is_file() or not names.is_file():
        return ()
    table = dict(line.split("\t", 1) for line in names.read_text(encoding="utf-8").splitlines() if "\t" in line)
    return tuple(table.get(identifier, identifier) for identifier in identifiers.read_text(encoding="utf-8").split())


def class_index(target: int | str, names: Sequence[str], outputs: int) -> int:
    """The number of an output by its number or name, which may be one of several synonyms.

    Raises `InputError` for what is none, and for a name that several classes have.
    """
    if isinstance(target, int) or target.strip().lstrip("-").isdecimal():
        index = int(target)
        if not 0 <= index < outputs:
            raise InputError(f"the output {index} does not exist: the network has {outputs}, counted from 0.")
        return index
    wanted = target.strip().lower()
    synonyms = [[name.strip().lower() for name in entry.split(",")] for entry in names]
    indices = [index for index, entry in enumerate(synonyms) if wanted in entry or wanted == names[index].lower()]
    if len(indices) == 1:
        return indices[0]
    if indices:
        listed = ", ".join(map(str, indices[:_LISTED]))
        raise InputError(f"{len(indices)} classes are called {target!r}: name one by its number ({listed}).")
    if not names:
        raise InputError(
            f"there is no image {target!r}, and the outputs of this network have no names: give a number or an image."
        )
    hint = did_you_mean(wanted, [name for entry in synonyms for name in entry])
    raise InputError(f"there is no image and no class {target!r}{hint}: give a class's number or name, or an image.")


def label(index: int, names: Sequence[str]) -> str:
    """An output in words: ``class 281 (tabby)``, or where it has no name ``output 17``."""
    return f"class {index} ({names[index].split(',')[0]})" if names else f"output {index}"


def answers(
    encoder: Encoder, x: Tensor, target: Explained, names: Sequence[str], reference: Reference | str
) -> list[Answer]:
    """What is explained of each of the images ``x`` (N, C, H, W), as the encoder reads them.

    The similarity of a to b is explained as far as it lies beyond the reference b0 of b,

        <y_a, y_b - y_b0> / |y_a| |y_b|,

    since the cosine itself is mostly what the embeddings of all images have in common.

    Raises `InputError` for a target that does not fit, and embeddings of zeros.
    """
    with torch.no_grad():
        outputs = torch.cat([encoder.module(one) for one in x.split(1)]).float()
    if is_path(target):
        return _similarities(encoder, outputs, target, reference)  # type: ignore[arg-type]
    if names and len(names) != outputs.shape[1]:
        raise InputError(f"{len(names)} names do not fit {outputs.shape[1]} outputs: give one a name each.")
    if target is None:
        indices = outputs.argmax(1).tolist()
    elif isinstance(target, int | str):
        indices = [class_index(target, names, outputs.shape[1])] * len(x)
    else:
        raise InputError(f"what is explained is a number, a name or an image, not {type(target).__name__}.")
    unit = torch.eye(outputs.shape[1]).to(outputs)
    noun = "the logit of " if names else ""
    return [
        Answer(noun + label(index, names), float(row[index]), unit[index])
        for row, index in zip(outputs, indices, strict=True)
    ]


def _similarities(encoder: Encoder, outputs: Tensor, other: AnyImage, reference: Reference | str) -> list[Answer]:
    b = encoder.prepare(other)
    with torch.no_grad():
        y = encoder.module(b)[0].float()
        origin = encoder.module(reference_images(reference, b).flatten(0, 1)).float().mean(0)
    norms = outputs.norm(dim=1) * y.norm()
    if not bool((norms > 0).all()):
        raise InputError("the similarity of an embedding of zeros does not exist: choose other images.")
    name = Path(other).name if isinstance(other, str | Path) else "the other image"
    cosines = outputs @ y / norms
    return [
        Answer(f"the similarity to {name}", float(cosine), (y - origin) / norm)
        for cosine, norm in zip(cosines, norms, strict=True)
    ]


def _without_classifier(name: str, target: Explained, device: str, error: InputError) -> Encoder:
    """The encoder of that name, if what is asked can be asked of it; else the error."""
    try:
        encoder = load_encoder(name, device=device)
    except InputError:
        raise error from None
    own = encoder.card is None  # a function of the user's own, whose outputs mean what he knows
    if own or (target is not None and not isinstance(target, str)) or str(target).isdecimal():
        return encoder
    raise InputError(
        f"{name!r} is an encoder without a classifier: name an image with --target, to explain the similarity to it, "
        "or one of its outputs by its number."
    ) from error


def _outputs(encoder: Encoder) -> int:
    size = encoder.preprocessing.size
    with torch.no_grad():
        return int(encoder.module(torch.zeros(1, 3, size, size, device=encoder.device, dtype=encoder.dtype)).shape[1])
