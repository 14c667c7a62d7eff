"""Text towers of open_clip: what images are compared with by their names, without any training (zero-shot)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chinspect.encoders.checkpoints import load_weights, read_checkpoint
from chinspect.encoders.libraries import LIBRARIES, card_of, resolve
from chinspect.encoders.weights import fetch
from chinspect.errors import InputError

_BATCH = 256  # texts at a time: 80 templates of 1000 classes would fill the memory


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """The text tower of a model.

    Attributes:
        name: of the model.
        module: from tokens (n, context) to embeddings (n, D), in the space of the image tower.
        tokenizer: from texts to tokens.
        scale: what cosines of images and texts are multiplied by, to be logits.
    """

    name: str
    module: nn.Module
    tokenizer: Callable[[Sequence[str]], Tensor]
    scale: float = 100.0

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts: (n, D), of length 1."""
        batches = [self.tokenizer(list(texts[start : start + _BATCH])) for start in range(0, len(texts), _BATCH)]
        embeddings = torch.cat([self.module(tokens).float() for tokens in batches])
        return nn.functional.normalize(embeddings, dim=1)

    def classes(self, names: Sequence[str], templates: Sequence[str]) -> Tensor:
        """One embedding a class (n, D) of length 1: the mean over templates such as ``a photo of a {}.``."""
        texts = [template.format(name) for name in names for template in templates]
        means = self.embed(texts).reshape(len(names), len(templates), -1).mean(1)
        return nn.functional.normalize(means, dim=1)


class _Tower(nn.Module):
    """The text tower of a model of open_clip."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        embeddings: Tensor = self.model.encode_text(tokens)  # type: ignore[operator]
        return embeddings


def load_text_encoder(name: str) -> TextEncoder:
    """The text tower of a model of the zoo that is one of open_clip's, or of `open_clip:NAME/TAG`.

    Raises `InputError` for models without one, and for weights that cannot be had or do not fit.
    """
    card = card_of(name)
    library, inner = resolve(card.architecture)
    if library is not LIBRARIES["open_clip"]:
        raise InputError(f"{name!r} has no text tower: models of open_clip have one, such as clip-vit-b-32.")
    path = fetch(card)
    return text_encoder(name, inner, read_checkpoint(path), str(path))


def text_encoder(name: str, architecture: str, state: dict[str, Tensor], source: str) -> TextEncoder:
    """The text tower of an architecture of open_clip with the weights of all of the model."""
    import open_clip

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # open_clip warns of random weights, which are replaced in the next line
    try:
        with torch.random.fork_rng(devices=[]):
            model = open_clip.create_model(architecture, load_weights=False)
    finally:
        logging.disable(level)
    load_weights(model, state, (), source)
    model.eval().requires_grad_(False)
    return TextEncoder(name, _Tower(model), open_clip.get_tokenizer(architecture), float(model.logit_scale.exp()))
