"""Graphs on disk: the same map as without, and never that of another model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from _networks import image
from torch import Tensor, nn

from chinspect.relevance import _tracing, patches, relevance_map, trace
from chinspect.relevance._stored import VARIABLE


class Scaled(nn.Module):
    """With an attribute, a literal and a buffer that is no part of the weights."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.first, self.norm = factor, nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4)
        self.mix, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 40)
        self.register_buffer("shift", torch.randn(4, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = (self.norm(self.first(x)) + self.shift).relu() * torch.tensor([1.0, 2.0, 0.5, 1.0]).view(4, 1, 1)
        tokens = x.flatten(2).mT
        tokens = self.mix(tokens, tokens, tokens)[0] * self.factor
        return self.head(tokens.to(torch.float32).mean(1))


X = image(1, 3, 16, 16)


def network(factor: float = 2.0, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return Scaled(factor).eval()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "graphs"))
    return tmp_path / "graphs"


def forbid_export(monkeypatch: pytest.MonkeyPatch) -> None:
    def export(*_: object) -> None:
        raise AssertionError("read anew")

    monkeypatch.setattr(_tracing, "_exported", export)


def test_a_stored_graph_is_read_and_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = relevance_map(network(), X).push(patches(4))
    assert len(list(folder.iterdir())) == 1
    forbid_export(monkeypatch)
    assert torch.equal(relevance_map(network(), X).push(patches(4)), expected)


def test_weights_are_those_of_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace(network(), X)
    forbid_export(monkeypatch)
    other = network(seed=1)
    torch.testing.assert_close(relevance_map(other, X).output, other(X))
    assert len(list(folder.iterdir())) == 1


def test_another_attribute_or_shape_is_another_graph(folder: Path) -> None:
    models = [network(), network(3.0)]
    for model in models:
        torch.testing.assert_close(relevance_map(model, X).output, model(X))
    trace(models[0], image(1, 3, 16, 20))
    assert len(list(folder.iterdir())) == 3


def test_a_graph_of_another_function_is_not_taken(folder: Path) -> None:
    """Were two models of one digest: the outputs are compared."""
    trace(network(), X)
    trace(network(3.0), X)
    one, two = folder.iterdir()
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    for model in (network(), network(3.0)):
        torch.testing.assert_close(relevance_map(model, X).output, model(X))


@pytest.mark.parametrize("content", [b"", b"no graph", "cut"])
def test_a_damaged_file_is_read_anew(folder: Path, content: bytes | str) -> None:
    trace(network(), X)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:300] if content == "cut" else content)  # type: ignore[arg-type]
    torch.testing.assert_close(relevance_map(network(), X).output, network()(X))


def test_nothing_is_written_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    trace(network(), X)
    monkeypatch.setenv(VARIABLE, "/proc/nowhere")
    trace(network(), X)
    assert list(tmp_path.iterdir()) == []
