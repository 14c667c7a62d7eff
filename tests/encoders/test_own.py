"""Encoders of one's own by name: a function of a module."""

import sys
from pathlib import Path

import pytest
import torch

from chinspect.encoders import Encoder, load_encoder
from chinspect.errors import ImageWarning, InputError

CODE = """
import torch
from torch import nn
import chinspect

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def encoder():
    return chinspect.Encoder.wrap(network(), size=32, mean=(0.5,) * 3, std=(0.25,) * 3)

def number():
    return 3

def fails():
    raise RuntimeError("no weights today")

constant = 4
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "chinspect_test_own.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "chinspect_test_own", raising=False)
    return tmp_path


def test_an_encoder_is_taken_as_it_is(folder: Path) -> None:
    before = list(sys.path)
    encoder = load_encoder("chinspect_test_own:encoder")
    assert sys.path == before
    own = sys.modules["chinspect_test_own"].encoder()
    image = torch.rand(40, 50, 3).mul(255).byte().numpy()
    assert torch.equal(encoder.embed([image]), own.embed([image]))
    assert encoder.name == "chinspect_test_own:encoder"
    assert encoder.preprocessing == own.preprocessing


def test_of_a_module_it_is_said_how_images_are_prepared(folder: Path) -> None:
    with pytest.warns(ImageWarning, match=r"prepared as usual for ImageNet .* let it give an Encoder"):
        encoder = load_encoder("chinspect_test_own:network")
    network = sys.modules["chinspect_test_own"].network()
    expected = Encoder.wrap(
        network,
        size=224,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        interpolation="bilinear",
        resize_size=256,
    )
    assert encoder.preprocessing == expected.preprocessing
    image = torch.rand(300, 400, 3).mul(255).byte().numpy()
    assert torch.equal(encoder.embed([image]), expected.embed([image]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("chinspect_test_none:encoder", r"module 'chinspect_test_none' .* cannot be imported .* install it"),
        ("chinspect_test_own:missing", "has no function 'missing'"),
        ("chinspect_test_own:constant", "has no function 'constant'"),
        ("chinspect_test_own:number", "gives int: an Encoder or a torch module is needed"),
        ("chinspect_test_own:fails", r"fails \(no weights today\)"),
        ("chinspect_test_own:", "There is no model 'chinspect_test_own:'"),
    ],
)
def test_what_is_no_encoder_is_refused(folder: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_encoder(name)
