"""Where weights come from: offline sentences, downloads once, hashes."""

import hashlib
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import huggingface_hub
import pytest
import torch.hub
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from chinspect.encoders import load_encoder, read_card
from chinspect.encoders.cards import Card, zoo_names
from chinspect.encoders.weights import fetch
from chinspect.errors import InputError

DOWNLOADED = [name for name in zoo_names() if read_card(name).source not in ("bundled", "package")]


class Answer:
    """Stands in for a server's answer."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_args, **_options: Answer())


@pytest.mark.parametrize("name", DOWNLOADED)
def test_offline_one_sentence_says_what_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_args: Any, **_options: Any) -> NoReturn:
        pytest.fail("a download was tried without a connection: the hub would retry it for most of a minute")

    monkeypatch.setattr(torch.hub, "download_url_to_file", never)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", never)
    with pytest.raises(InputError) as caught:
        load_encoder(name)
    card, message = read_card(name), str(caught.value)
    assert Path(card.file or card.url).name in message
    assert "https://" in message
    assert "no network in tests" in message
    assert "use 'efficientnet-lite0'" in message
    assert "\n" not in message


def writing(content: bytes) -> Any:
    """A download that gives this content."""

    def download(_url: str, path: str, *_hash: Any, **_options: Any) -> None:
        Path(path).write_bytes(content)

    return download


def url_card(content: bytes = b"weights", sha256: str | None = None) -> Card:
    card = read_card("supervised-rn50")
    return replace(card, sha256=hashlib.sha256(content).hexdigest()[:8] if sha256 is None else sha256)


@pytest.mark.usefixtures("online")
def test_a_url_is_downloaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def download(url: str, path: str, hash_prefix: str | None, **_options: Any) -> None:
        calls.append((url, hash_prefix))
        Path(path).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert fetch(url_card()) == fetch(url_card())
    assert calls == [(url_card().url, url_card().sha256)]


@pytest.mark.usefixtures("online")
def test_a_file_with_another_hash_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", writing(b"other"))
    with pytest.raises(InputError, match="delete it and fetch it again"):
        fetch(url_card())


@pytest.mark.usefixtures("online")
def test_a_failed_download_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_options: Any) -> NoReturn:
        raise RuntimeError('invalid hash value (expected "0", got "1")')

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(InputError, match="invalid hash value"):
        fetch(url_card())


def test_a_server_that_refuses_head_requests_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_options: Any) -> NoReturn:
        raise urllib.error.HTTPError("https://x", 405, "Method Not Allowed", None, None)  # type: ignore[arg-type]

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", writing(b"weights"))
    assert fetch(url_card()).read_bytes() == b"weights"


def hub(files: dict[str, Path], asked: list[str]) -> Any:
    def download(_repository: str, name: str) -> str:
        asked.append(name)
        if name not in files:
            raise EntryNotFoundError(f"404: {name}")
        return str(files[name])

    return download


@pytest.mark.usefixtures("online")
def test_the_hub_gives_safetensors_before_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    safe, pickled, asked = tmp_path / "safe", tmp_path / "pickled", list[str]()
    safe.write_bytes(b"s")
    pickled.write_bytes(b"p")
    both = {"model.safetensors": safe, "pytorch_model.bin": pickled}
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub(both, asked))
    assert fetch(read_card("dinov2-s")) == safe
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub({"pytorch_model.bin": pickled}, asked))
    assert fetch(read_card("dinov2-s")) == pickled
    assert asked == ["model.safetensors", "model.safetensors", "pytorch_model.bin"]
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub({}, asked))
    with pytest.raises(InputError, match=r"holds none of model\.safetensors, pytorch_model\.bin"):
        fetch(read_card("dinov2-s"))


@pytest.mark.usefixtures("online")
def test_a_connection_that_is_lost_on_the_way_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    transport_error = huggingface_hub.errors.HfHubHTTPError.__bases__[0]
    for error in (transport_error("read timed out"), LocalEntryNotFoundError("not in the cache")):

        def fail(*_names: str, error: Exception = error) -> NoReturn:
            raise error

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
        with pytest.raises(InputError, match=str(error)):
            fetch(read_card("dinov2-s"))


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("content", [b"right", b"wrong"])
def test_files_of_the_hub_are_checked_by_the_hash_in_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    blob = tmp_path / hashlib.sha256(b"right").hexdigest()
    blob.write_bytes(content)
    link = tmp_path / "model.safetensors"
    link.symlink_to(blob)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_names: str(link))
    if content == b"right":
        assert fetch(read_card("dinov2-s")) == link
    else:
        with pytest.raises(InputError, match="is damaged"):
            fetch(read_card("dinov2-s"))


def test_missing_bundled_weights_are_named() -> None:
    card = replace(read_card("dinov2-s"), source="bundled", file="weights.safetensors", name="gone")
    with pytest.raises(InputError, match=r"gone.*cannot be read"):
        fetch(card)
