"""Image models of the library transformers: `transformers:NAME`, a repository on the Hugging Face hub or a folder.

A repository holds `config.json`, `preprocessor_config.json` and `model.safetensors`; no code of it is run and nothing
is unpickled. The embedding is, of CLIP and its like, the projection into the space of images and texts; of `vit`
and `deit` the class token behind the last layer norm, for most of their checkpoints hold no pooler; of all others what
the library calls the pooled output.

Images are resized by Pillow, as the library's slow image processors do. Its fast ones resize with torchvision, which
differs by a few levels of 255 (transformers, pull request 39591): a card says which one a repository asks for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chinspect.encoders.cards import Card
from chinspect.encoders.library import Architecture, Library, Weights, library_card
from chinspect.encoders.weights import fetch_from_hub
from chinspect.errors import InputError, one_line
from chinspect.images import Preprocessing

_WEIGHTS = "model.safetensors"
_CLASS_TOKEN = ("vit", "deit")
_INTERPOLATION = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_WITHOUT_CROP = 384  # pixels from which on ConvNeXt's processor squashes instead of cropping


class Embedding(nn.Module):
    """A model of transformers as a module from images (N, 3, H, W) to embeddings (N, D)."""

    def __init__(self, model: nn.Module, *, class_token: bool) -> None:
        super().__init__()
        self.model = model
        self.class_token = class_token

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, D)."""
        output = self.model(pixel_values=images)
        if self.class_token:
            token: Tensor = output.last_hidden_state[:, 0]
            return token
        projected = output.get("image_embeds")
        pooled: Tensor = output.pooler_output if projected is None else projected
        return pooled.flatten(1)  # convolutional networks leave axes of length 1


class Transformers(Library):
    """transformers: `OWNER/REPOSITORY` on the hub, or the path of a folder that `save_pretrained` wrote."""

    prefix = "transformers"

    def card(self, name: str) -> Card:
        """The card of a repository, by its two documents."""
        config = _document(name, "config.json")
        processor = _document(name, "preprocessor_config.json")
        kind = str(processor.get("image_processor_type", "an unnamed one"))
        backend = "torchvision" if kind.endswith("Fast") else "Pillow"
        local = Path(name).is_dir()
        return library_card(
            name=f"transformers:{name}",
            title=f"{config.get('model_type', 'a model')} of transformers",
            architecture=f"transformers:{name}",
            source="file" if local else "transformers",
            file=str(Path(name) / _WEIGHTS) if local else f"{name}/{_WEIGHTS}",
            embedding="class token" if config.get("model_type") in _CLASS_TOKEN else "projection or pooled output",
            preprocessing=preprocessing(processor, name),
            note=f"Its image processor is {kind}, which resizes with {backend}; here Pillow resizes.",
        )

    def build(self, name: str, size: int) -> Architecture:  # noqa: ARG002
        """The image model alone."""
        kind, config, options = _image_model(name)
        return Architecture(Embedding(kind(config, **options), class_token=bool(options)))

    def load(self, card: Card, weights: Weights, source: str) -> nn.Module:
        """Let the library load its own file: its names are not those of the tensors in memory."""
        if not isinstance(weights, Path):
            return super().load(card, weights, source)
        kind, config, options = _image_model(card.architecture.removeprefix("transformers:"))
        safely = {"use_safetensors": True, "local_files_only": True, "dtype": torch.float32}
        try:
            with torch.random.fork_rng(devices=[]), _quiet():
                model, info = kind.from_pretrained(
                    weights.parent, config=config, output_loading_info=True, **safely, **options
                )
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"transformers cannot load {str(weights)!r} ({one_line(error)}).") from error
        missing = sorted(info["missing_keys"])
        if missing:
            raise InputError(
                f"The weights {str(weights)!r} do not fit the architecture, nothing is loaded; {len(missing)} tensors "
                f"are missing, such as {missing[0]}."
            )
        return Embedding(model, class_token=bool(options))


def preprocessing(processor: Mapping[str, Any], name: str) -> Preprocessing:
    """What an image processor's settings say.

    Raises `InputError` for steps that are not known here: other interpolations, rectangles, padding, other scales.
    """
    size = processor.get("size")
    target = _side(size, name)
    squashes = isinstance(size, dict) and "height" in size
    cropped = _side(processor.get("crop_size", size), name) if processor.get("do_center_crop") else target
    crop_pct = processor.get("crop_pct")
    if crop_pct and not squashes:  # ConvNeXt: the size is that of the crop
        squashes = target >= _WITHOUT_CROP
        cropped = target
        target = target if squashes else math.floor(target / crop_pct)
    elif not squashes and not processor.get("do_center_crop"):
        raise InputError(f"The image processor of {name!r} does not crop to a square, which is not supported.")
    scale = processor.get("rescale_factor", 1 / 255)
    resample = processor.get("resample", 2)
    if not processor.get("do_resize", True) or not math.isclose(scale, 1 / 255) or resample not in _INTERPOLATION:
        raise InputError(
            f"The image processor of {name!r} prepares images in a way that is not known here: do_resize "
            f"{processor.get('do_resize', True)}, rescale_factor {scale}, resample {resample}."
        )
    normalises = processor.get("do_normalize", True)
    mean = processor.get("image_mean") if normalises else None
    std = processor.get("image_std") if normalises else None
    return Preprocessing(
        cropped,
        "squash" if squashes else "shortest",
        _INTERPOLATION[resample],
        tuple(mean or (0.0, 0.0, 0.0)),
        tuple(std or (1.0, 1.0, 1.0)),
        target,
    )


def _side(size: Any, name: str) -> int:
    """A side in pixels, which processors write as a number or as a dictionary of one side or of two equal ones."""
    sides = {size} if isinstance(size, int) else set(size.values()) if isinstance(size, dict) else set()
    if len(sides) != 1:
        raise InputError(f"The image processor of {name!r} makes images of the size {size!r}; only squares are read.")
    return int(sides.pop())


def _image_model(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """The class of the image model of a repository, its configuration, and options of both ways to make it."""
    library = _library()
    config = library.AutoConfig.from_pretrained(_document_path(name, "config.json").parent)
    vision = getattr(config, "vision_config", config)
    if config.model_type == "clip":
        vision.projection_dim = config.projection_dim  # the image model's own value is not always that of its weights
        return library.CLIPVisionModelWithProjection, vision, {}
    try:
        kind = library.MODEL_MAPPING[type(vision)]
    except KeyError as error:
        raise InputError(f"transformers has no image model for {name!r}, a {config.model_type!r}.") from error
    return kind, vision, {"add_pooling_layer": False} if config.model_type in _CLASS_TOKEN else {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bars and its report of tensors that belong to other parts of a repository."""
    logging = _library().utils.logging
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _library() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise InputError("models of transformers need that library: pip install 'chinspect[transformers]'.") from error
    return transformers


def _document_path(name: str, file: str) -> Path:
    return Path(name) / file if Path(name).is_dir() else fetch_from_hub(name, file)


def _document(name: str, file: str) -> dict[str, Any]:
    """One of the JSON documents of a repository."""
    path = _document_path(name, file)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no document of transformers ({one_line(error)}).") from error
    if not isinstance(document, dict):
        raise InputError(f"{str(path)!r} is no document of transformers: it holds no names.")
    return document
