"""Which effects are known, whether they can be measured here, and measuring one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from chinspect.encoders import Encoder, list_models, read_card
from chinspect.errors import InputError, did_you_mean
from chinspect.known.effect import Effect, Needs, Options
from chinspect.known.measurement import Measurement
from chinspect.known.models import Models, load_models
from chinspect.known.registry import EFFECTS
from chinspect.report import Result


@dataclass(frozen=True, eq=False, repr=False)
class EffectList(Result):
    """The known effects: name, what it is, source, what it needs, and whether it can be measured here."""

    stem = "known-effects"

    effects: pd.DataFrame

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """The table without the sources, which the document has, so that it fits a screen."""
        return {"": self.effects.drop(columns="source")}


def list_effects(data: str | Path | None = None) -> EffectList:
    """All known effects, and whether a folder holds the data of each, or what they need where no folder is given."""
    rows = [
        {
            "name": effect.name,
            "what": effect.title,
            "source": effect.source,
            "needs": f"{effect.data}; {_NEEDED[effect.needs]}",
            "here": " ".join(_missing(effect, data)) or "can be measured",
        }
        for effect in EFFECTS.values()
    ]
    return EffectList(pd.DataFrame(rows))


def measure(
    name: str,
    model: str | Encoder | Models,
    data: str | Path,
    *,
    images: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Measurement:
    """Measures a known effect on a model.

    Args:
        name: of the effect, see `EFFECTS`.
        model: by its name (see `load_encoder`), or an encoder, or an encoder with its classifier.
        data: the folder of the images.
        images: how many at most, drawn at random.
        seed: of whatever chance decides.
        progress: called with the number of images done and in all.

    Raises `InputError` for an effect that is not known, data or a model that it cannot use.
    """
    if name not in EFFECTS:
        raise InputError(
            f"The effect {name!r} is not known{did_you_mean(name, EFFECTS)}; use one of {', '.join(EFFECTS)}."
        )
    if images < 2:
        raise InputError(f"An effect is measured on 2 images or more, not on {images}.")
    effect = EFFECTS[name]
    effect.check(Path(data))  # before a model is loaded
    models = load_models(model)
    findings = effect.measure(models, Path(data), Options(images, seed, progress))
    return Measurement(
        effect, models.name, str(data), findings.images, findings.rows, tuple(findings.notes), findings.pictures
    )


_NEEDED: dict[Needs, str] = {
    "encoder": "any encoder",
    "classes or encoder": "a classifier of ImageNet or an open_clip model; an encoder for what needs no labels",
    "classes": "a classifier of ImageNet, or an open_clip model",
    "zero-shot": "an open_clip model",
}


def _missing(effect: Effect, data: str | Path | None) -> list[str]:
    """Sentences on what is missing to measure an effect on this machine."""
    sentences = []
    if effect.needs == "zero-shot" and not _at_hand("open_clip:"):
        sentences.append("No weights of open_clip are on this machine; naming a model downloads them.")
    if data is None:
        return [*sentences, "Give its images with --data."]
    try:
        effect.check(Path(data))
    except InputError as error:
        sentences.append(str(error))
    return sentences


def _at_hand(library: str) -> bool:
    """Whether weights of a library's models of the zoo are on this machine."""
    return any(
        model.status != "downloadable" and read_card(model.name).architecture.startswith(library)
        for model in list_models()
    )
