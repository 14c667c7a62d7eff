"""Where the files of weights lie, and how they come to this machine: once, by the library that owns them, checked."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from chinspect.encoders.cards import Card, models_folder
from chinspect.errors import InputError

_SECONDS_TO_ANSWER = 10.0
_UNSAFE_NAMES = {"open_clip_model.safetensors": "open_clip_pytorch_model.bin", "model.safetensors": "pytorch_model.bin"}


class Weights(Protocol):
    """A file of weights, on this machine or not yet."""

    @property
    def origin(self) -> str:
        """Where the file comes from, for messages."""

    def cached(self) -> Path | None:
        """The file, if it is on this machine. Touches no network."""

    def download(self) -> Path:
        """Bring the file to this machine. Raises `OSError` or `RuntimeError`."""


@dataclass(frozen=True)
class LocalFile:
    """A file of the package or of the user."""

    path: Path

    @property
    def origin(self) -> str:
        """The path."""
        return str(self.path)

    def cached(self) -> Path | None:
        """The file, if it is there."""
        return self.path if self.path.is_file() else None

    def download(self) -> Path:
        """There is nowhere to get it from."""
        raise FileNotFoundError("the file does not exist")


@dataclass(frozen=True)
class UrlFile:
    """A file behind an address, kept in torch.hub's folder."""

    url: str
    path: Path
    sha256: str

    @property
    def origin(self) -> str:
        """The address."""
        return self.url

    def cached(self) -> Path | None:
        """The file, if it was downloaded before."""
        return self.path if self.path.is_file() else None

    def download(self) -> Path:
        """Download with torch.hub: to a temporary name, checked, then moved into place."""
        from torch.hub import download_url_to_file

        _check_reachable(self.url)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(self.url, str(self.path), self.sha256 or None, progress=sys.stderr.isatty())
        return self.path


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face hub, kept in the hub's own cache; safetensors first, pickled tensors otherwise."""

    repository: str
    name: str

    @property
    def origin(self) -> str:
        """The address of the repository."""
        return f"https://huggingface.co/{self.repository}"

    @property
    def _names(self) -> list[str]:
        return [self.name, *([_UNSAFE_NAMES[self.name]] if self.name in _UNSAFE_NAMES else [])]

    def cached(self) -> Path | None:
        """The file, if it is in the hub's cache."""
        from huggingface_hub import try_to_load_from_cache

        found = (try_to_load_from_cache(self.repository, name) for name in self._names)
        return next((Path(path) for path in found if isinstance(path, str)), None)

    def download(self) -> Path:
        """Download with huggingface_hub."""
        from huggingface_hub import hf_hub_download, hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

        _check_reachable(hf_hub_url(self.repository, self.name))
        transport_error: Any = HfHubHTTPError.__bases__[0]  # of whichever HTTP client the hub uses
        for name in self._names:
            try:
                return Path(hf_hub_download(self.repository, name))
            except EntryNotFoundError as error:
                if isinstance(error, LocalEntryNotFoundError):
                    raise
            except transport_error as error:
                raise OSError(str(error)) from error
        raise FileNotFoundError(f"the repository holds none of {', '.join(self._names)}")


def locate(card: Card) -> Weights:
    """Where the weights of a card lie. Raises `InputError` if the card names none."""
    if card.source in ("bundled", "file"):
        return LocalFile(models_folder() / card.name / card.file if card.source == "bundled" else Path(card.file))
    if card.file:
        owner, repository, name = card.file.split("/", 2)
        return HubFile(f"{owner}/{repository}", name)
    if card.url:
        # torchvision's names carry a hash; others ("resnet50.pth") do not, and get a folder of their own
        own = () if card.source == "torchvision" else ("chinspect", re.sub(r"\W+", "-", card.name))
        return UrlFile(card.url, Path(_torch_hub(), "checkpoints", *own, Path(card.url).name), card.sha256)
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


def _not_here(card: Card, weights: Weights, error: Exception) -> str:
    reason = (str(getattr(error, "reason", error)).strip().splitlines() or [type(error).__name__])[0]
    if card.source in ("bundled", "file"):
        return f"The weights {weights.origin!r} of {card.name!r} cannot be read: {reason}."
    name = Path(card.file or card.url).name
    return (
        f"The weights of {card.name!r} ({name} from {weights.origin}) are not on this machine and cannot be downloaded "
        f"({reason}); fetch them once while online, or use --model tiny-clip, which needs no download."
    )


def _check_hash(path: Path, sha256: str) -> None:
    """Compare with the hash that is known; the hub's cache names its files by theirs."""
    stored = path.resolve().name
    expected = sha256 or (stored if re.fullmatch("[0-9a-f]{64}", stored) else "")
    if not expected:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected):
        raise InputError(
            f"The weights {str(path)!r} have the sha256 {found[:12]}..., not {expected[:12]}...: "
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
