"""Cards: what a model is, where its weights come from and what its embedding means, one `card.toml` a model."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from chinspect.errors import InputError, did_you_mean
from chinspect.images import Preprocessing

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Card:
    """What is known about a model. Tables of the file beyond these fields are in `extra`."""

    name: str
    title: str
    architecture: str
    """What is built: `tiny-resnet`, `clip-rn50-gap`, or `timm:`, `open_clip:` or `torchvision:` and a name there."""
    source: str
    """Who gives the weights: `bundled`, `package` (another one that is installed), `open_clip`, `torchvision`, `timm`,
    `url`, or `file` for a checkpoint."""
    license: str
    embedding: str
    """Which layer is the embedding."""
    dimension: int
    """Length of the embedding; 0 in the card of a library's model until it is built."""
    preprocessing: Preprocessing
    paper: str = ""
    note: str = ""
    file: str = ""
    """A file of the model's folder (`bundled`), `MODULE/FILE` in an installed `package`, `OWNER/REPOSITORY/FILE` on the
    Hugging Face hub, or a local path."""
    url: str = ""
    tag: str = ""
    sha256: str = ""
    """Hash of the weights' file, or its first digits, as far as they are known."""
    extra: Mapping[str, Any] = field(default_factory=dict)


def models_folder() -> Path:
    """The folder with one folder a model: inside an installed package, or beside the package in a checkout."""
    for folder in (_ROOT / "chinspect" / "models", _ROOT / "models"):
        if folder.is_dir():
            return folder
    raise InputError(f"The folder of model cards is missing in {str(_ROOT)!r}; install chinspect again.")


def zoo_names() -> list[str]:
    """Names of all models that have a card, sorted."""
    return sorted(path.parent.name for path in models_folder().glob("*/card.toml"))


def read_card(name: str) -> Card:
    """The card of a model of the zoo. Raises `InputError` if there is none, or if it is not complete."""
    try:
        return read_card_file(models_folder() / name / "card.toml")
    except FileNotFoundError as error:
        raise InputError(
            f"There is no model {name!r}{did_you_mean(name, zoo_names())}; the models are {', '.join(zoo_names())}."
        ) from error


def read_card_file(path: Path) -> Card:
    """A card by its path. Raises `InputError` if it is not complete, and `FileNotFoundError` if it is not there."""
    try:
        return _card(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The card {str(path)!r} is not valid TOML ({error}).") from error
    except (TypeError, KeyError) as error:
        raise InputError(f"The card {str(path)!r} is not complete ({error}).") from error


def _card(table: dict[str, Any]) -> Card:
    extra = dict(table)
    preprocessing = dict(extra.pop("preprocessing"))
    for key in ("mean", "std"):
        preprocessing[key] = tuple(preprocessing[key])
    known = {entry.name for entry in fields(Card)} & extra.keys() - {"extra"}
    values = {key: extra.pop(key) for key in known}
    for key, value in values.items():
        if not isinstance(value, int if key == "dimension" else str):
            raise TypeError(f"{key} = {value!r}")
    return Card(**values, preprocessing=Preprocessing(**preprocessing), extra=extra)
