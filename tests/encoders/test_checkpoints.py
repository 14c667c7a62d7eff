"""Foreign checkpoints: the names of each layout as its project writes them, and files that must not be trusted."""

import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import DenseNet, ResNet
from torchvision.models.resnet import BasicBlock

from chinspect.encoders.checkpoints import load_weights, read_checkpoint
from chinspect.encoders.libraries import Architecture, build
from chinspect.errors import InputError

StateDict = dict[str, Tensor]


@pytest.fixture(scope="module")
def resnet50() -> Architecture:
    return build("torchvision:resnet50", 224)


@pytest.fixture(scope="module")
def clip_rn50() -> Architecture:
    return build("open_clip:RN50", 224)


def noise(module: nn.Module, start: float = 0.0) -> StateDict:
    """A state dict with the module's names, shapes and types; each tensor repeats one number of its own."""
    items = enumerate(module.state_dict().items())
    return {key: torch.tensor(start + i, dtype=value.dtype).expand(value.shape) for i, (key, value) in items}


def prefixed(state: StateDict, prefix: str) -> StateDict:
    return {prefix + key: value for key, value in state.items()}


def vissl(state: StateDict) -> dict[str, Any]:
    """VISSL writes the trunk and the heads side by side, below its training state."""
    heads = {"0.clf.0.weight": torch.rand(2048, 2048), "0.clf.0.bias": torch.rand(2048)}
    model = {"trunk": prefixed(state, "_feature_blocks."), "heads": heads}
    base = {"model": model, "loss": {}, "meters": {}}
    classy = {"train": True, "base_model": base, "optimizer": {"lr": np.float64(0.3)}, "losses": [np.float32(1.0)]}
    return {"phase_idx": 799, "iteration": 10, "classy_state_dict": classy, "type": "checkpoint"}


def barlow_twins(state: StateDict) -> dict[str, Tensor]:
    """The published resnet50.pth: torchvision's names without fc."""
    return state


def barlow_twins_full(state: StateDict) -> dict[str, Any]:
    """The full checkpoint of facebookresearch/barlowtwins: distributed, with projector and last batch norm."""
    beyond = {"projector.0.weight": torch.rand(8192, 2), "bn.running_mean": torch.rand(8192)}
    return {"epoch": 1000, "model": prefixed(prefixed(state, "backbone.") | beyond, "module."), "optimizer": {}}


def supervised(state: StateDict) -> dict[str, Tensor]:
    """torchvision's file, with the classifier."""
    return state | {"fc.weight": torch.rand(1000, 2048), "fc.bias": torch.rand(1000)}


def data_parallel(state: StateDict) -> dict[str, Any]:
    return {"epoch": 3, "state_dict": prefixed(state, "module."), "best_acc1": torch.tensor(0.7)}


def lightning(state: StateDict) -> dict[str, Any]:
    """A LightningModule that calls its network `model`, with the weights of its loss."""
    return {"epoch": 3, "state_dict": prefixed(state, "model.") | {"criterion.weight": torch.rand(5)}}


def compiled(state: StateDict) -> dict[str, Any]:
    """torch.compile inside a LightningModule, and around a data-parallel network."""
    return {"state_dict": prefixed(state, "module.model._orig_mod.")}


def compiled_alone(state: StateDict) -> dict[str, Tensor]:
    return prefixed(state, "_orig_mod.")


def other(state: StateDict) -> StateDict:
    """Another network of the same names, which must not be taken."""
    return {key: torch.full_like(value, 7777) for key, value in state.items()}


def moco_v2(state: StateDict) -> dict[str, Any]:
    """facebookresearch/moco: the query encoder, with its two layers for fc, beside the key encoder and the queue."""
    query = prefixed(state, "encoder_q.") | {f"encoder_q.fc.{i}.weight": torch.rand(2, 2) for i in (0, 2)}
    beside = {"queue": torch.rand(128, 9), "queue_ptr": torch.zeros(1, dtype=torch.long)}
    both = prefixed(query | prefixed(other(state), "encoder_k.") | beside, "module.")
    return {"epoch": 200, "arch": "resnet50", "state_dict": both, "optimizer": {}}


def moco_v3(state: StateDict) -> dict[str, Any]:
    """facebookresearch/moco-v3: a base and a momentum encoder, with projectors for fc, and a predictor."""
    base = prefixed(state, "base_encoder.") | {"base_encoder.fc.0.weight": torch.rand(2, 2)}
    beside = prefixed(other(state), "momentum_encoder.") | {"predictor.0.weight": torch.rand(2, 2)}
    return {"state_dict": prefixed(base | beside, "module."), "scaler": {}}


def dino(state: StateDict) -> dict[str, Any]:
    """facebookresearch/dino: the full checkpoint, whose teacher is evaluated."""
    head = {"head.mlp.0.weight": torch.rand(2, 2)}
    student = prefixed(prefixed(other(state), "backbone.") | head, "module.")
    return {"student": student, "teacher": prefixed(state, "backbone.") | head, "epoch": 100, "dino_loss": {}}


def dinov2(state: StateDict) -> dict[str, Any]:
    """facebookresearch/dinov2, in training: both networks below one entry."""
    both = prefixed(state, "teacher.backbone.") | prefixed(other(state), "student.backbone.")
    return {"model": both | {"teacher.dino_head.last.weight": torch.rand(2), "dino_loss.center": torch.rand(2)}}


def swav(state: StateDict) -> dict[str, Tensor]:
    """facebookresearch/swav: names of the network's own, and two heads beside them."""
    return prefixed(state | {"projection_head.0.weight": torch.rand(2), "prototypes.weight": torch.rand(2)}, "module.")


def solo_learn(state: StateDict) -> dict[str, Any]:
    """solo-learn with momentum: the network of the gradients is the one that is evaluated."""
    heads = ("projector.0.weight", "predictor.0.weight", "classifier.weight", "queue", "momentum_projector.0.weight")
    beside = {key: torch.rand(2) for key in (*heads, "momentum_classifier.weight")}
    return {"state_dict": prefixed(state, "backbone.") | prefixed(other(state), "momentum_backbone.") | beside}


def solo_learn_first(state: StateDict) -> dict[str, Any]:
    """solo-learn's first versions, and SimSiam."""
    beside = prefixed(other(state), "momentum_encoder.") | {"predictor.0.weight": torch.rand(2)}
    return {"state_dict": prefixed(state, "encoder.") | beside}


RESNET_LAYOUTS = [vissl, barlow_twins, barlow_twins_full, supervised, data_parallel]
TRAINED = [lightning, compiled, compiled_alone, moco_v2, moco_v3, dino, dinov2, swav, solo_learn, solo_learn_first]


@cache
def text_tower() -> StateDict:
    """Everything of an OpenAI CLIP beside its image tower, small."""
    from open_clip.model import CLIP

    vision = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 32, "head_width": 8}
    text = {"context_length": 8, "vocab_size": 16, "width": 64, "heads": 1, "layers": 2}
    state = CLIP(16, vision, text).state_dict()
    return {key: value for key, value in state.items() if not key.startswith("visual.")}


def pubmedclip(state: StateDict) -> dict[str, Any]:
    """PubMedCLIP's training loop saves both towers of OpenAI's CLIP, in half precision, and the optimizer."""
    both = {key: value.half() for key, value in (prefixed(state, "visual.") | text_tower()).items()}
    return {"best_epoch": 5, "state_dict": both, "optimizer_state_dict": {"state": {}}, "best_loss": np.float64(0.1)}


def openai(state: StateDict) -> dict[str, Any]:
    """OpenAI's own names, with the three numbers that its archives carry."""
    numbers = {key: torch.tensor(224) for key in ("input_resolution", "context_length", "vocab_size")}
    return prefixed(state, "visual.") | text_tower() | numbers


CLIP_LAYOUTS = [pubmedclip, openai]


def check_loads(architecture: Architecture, layout: Callable[[StateDict], dict[str, Any]], path: Path) -> None:
    state = noise(architecture.module)
    torch.save(layout(state), path)
    load_weights(architecture.module, read_checkpoint(path), architecture.heads, str(path))
    for key, value in architecture.module.state_dict().items():
        assert value.dtype in (torch.float32, torch.int64)
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize("layout", RESNET_LAYOUTS)
def test_resnet_layouts_load(resnet50: Architecture, tmp_path: Path, layout: Any) -> None:
    assert not any(key.startswith("fc.") for key in resnet50.module.state_dict())
    check_loads(resnet50, layout, tmp_path / "checkpoint.torch")


@pytest.fixture(scope="module")
def resnet() -> Architecture:
    """A small ResNet, in torchvision's names."""
    network = ResNet(BasicBlock, [1, 1, 1, 1])
    network.fc = nn.Identity()  # type: ignore[assignment]
    return Architecture(network, heads=("fc.",))


@pytest.mark.parametrize("layout", TRAINED)
def test_what_training_puts_around_a_network_falls_away(resnet: Architecture, tmp_path: Path, layout: Any) -> None:
    check_loads(resnet, layout, tmp_path / "checkpoint.ckpt")


CHANGES: dict[str, tuple[Callable[[StateDict], Any], str]] = {
    "missing": (lambda state: state.pop("layer3.0.conv2.weight"), r"missing: layer3\.0\.conv2\.weight"),
    "unexpected": (lambda state: state.update({"layer5.weight": torch.zeros(1)}), r"unexpected: layer5\.weight"),
    "shape": (lambda state: state.update({"layer3.0.conv2.weight": torch.zeros(2)}), "of another shape: layer3"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("layout", TRAINED)
def test_nothing_is_loaded_in_part_from_training(
    resnet: Architecture, tmp_path: Path, layout: Any, change: str
) -> None:
    state = noise(resnet.module)
    CHANGES[change][0](state)
    torch.save(layout(state), tmp_path / "x.pth")
    with pytest.raises(InputError, match=CHANGES[change][1]):
        load_weights(resnet.module, read_checkpoint(tmp_path / "x.pth"), resnet.heads, "x.pth")


def test_a_prefix_that_is_not_known_is_shown(resnet: Architecture) -> None:
    state = noise(resnet.module)
    below = prefixed(state, "trunk.inner.") | {"trunk.loss.weight": torch.zeros(1), "step": torch.zeros(1)}
    with pytest.raises(
        InputError, match=rf"{len(state)} of its names fit below 'trunk\.inner\.': save that part alone"
    ):
        load_weights(resnet.module, below, resnet.heads, "x")
    with pytest.raises(InputError, match=r"all its names begin with 'a\.b\.'"):
        load_weights(resnet.module, {"a.b.c.weight": torch.zeros(1), "a.b.d.bias": torch.zeros(1)}, (), "x")


def test_names_that_a_network_has_itself_are_no_prefixes() -> None:
    """The names of torchvision's transformers begin with `encoder.`, as those of some training loops do."""
    network = nn.ModuleDict({"encoder": nn.Linear(2, 3), "model": nn.Linear(3, 4)})
    state = noise(network)
    load_weights(network, state, (), "x")
    torch.testing.assert_close(dict(network.state_dict()), state)


def test_torchscript_is_refused_without_advice_to_load_it(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "script.pt")
    with pytest.raises(InputError, match=r"script\.pt' is a TorchScript archive: it holds code, which is not loaded"):
        read_checkpoint(tmp_path / "script.pt")
    assert not recwarn.list


@pytest.mark.parametrize("layout", CLIP_LAYOUTS)
def test_clip_layouts_load(clip_rn50: Architecture, tmp_path: Path, layout: Any) -> None:
    check_loads(clip_rn50, layout, tmp_path / "checkpoint.pth")


def test_clip_without_its_attention_pool_drops_it_on_purpose(clip_rn50: Architecture) -> None:
    gap = build("clip-rn50-gap", 224)
    state = noise(clip_rn50.module)
    assert sum(key.startswith("attnpool.") for key in state) == 9
    load_weights(gap.module, prefixed(state, "visual.") | text_tower(), gap.heads, "x")
    torch.testing.assert_close(gap.module.state_dict()["layer4.2.conv3.weight"], state["layer4.2.conv3.weight"])


def broken(layout: Any, state: StateDict, change: str) -> StateDict:
    """The layout's tensors with one name missing, one too many, or one of another shape, after reading."""
    key = "layer3.1.conv2.weight"
    if change == "missing":
        state = {name: value for name, value in state.items() if name != key}
    elif change == "unexpected":
        state = state | {"layer5.0.conv1.weight": torch.zeros(1)}
    else:
        state = state | {key: torch.zeros(2, 2, 3, 3)}
    return layout(state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("missing", "missing: layer3.1.conv2.weight"),
        ("unexpected", "unexpected: layer5.0.conv1.weight"),
        ("shape", r"another shape: layer3.1.conv2.weight \(2, 2, 3, 3\) for \(256, 256, 3, 3\)"),
    ],
)
@pytest.mark.parametrize("layout", [*RESNET_LAYOUTS, *CLIP_LAYOUTS])
def test_nothing_is_loaded_in_part(
    resnet50: Architecture, clip_rn50: Architecture, tmp_path: Path, layout: Any, change: str, words: str
) -> None:
    architecture = clip_rn50 if layout in CLIP_LAYOUTS else resnet50
    before = {key: value.clone() for key, value in architecture.module.state_dict().items()}
    torch.save(broken(layout, noise(architecture.module, start=0.5), change), tmp_path / "x.pth")
    with pytest.raises(InputError, match=words):
        load_weights(architecture.module, read_checkpoint(tmp_path / "x.pth"), architecture.heads, "x.pth")
    after = architecture.module.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_long_lists_are_shortened(resnet50: Architecture) -> None:
    with pytest.raises(InputError, match=r"missing: conv1.weight, .* and 257 more; unexpected: a\."):
        load_weights(resnet50.module, {"a": torch.zeros(1)}, resnet50.heads, "x")


def test_counters_of_training_steps_may_be_missing(resnet50: Architecture) -> None:
    state = {key: value for key, value in noise(resnet50.module).items() if "num_batches" not in key}
    load_weights(resnet50.module, state, (), "x")
    state.pop("bn1.running_var")
    with pytest.raises(InputError, match=r"missing: bn1\.running_var"):
        load_weights(resnet50.module, state, (), "x")


def test_old_densenet_names() -> None:
    densenet = DenseNet(growth_rate=8, block_config=(2, 2), num_init_features=8)
    state = noise(densenet)
    old = {key.replace("norm1.", "norm.1.").replace("norm2.", "norm.2."): value for key, value in state.items()}
    old = {key.replace("conv1.", "conv.1.").replace("conv2.", "conv.2."): value for key, value in old.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    load_weights(densenet, old, (), "x")
    torch.testing.assert_close(dict(densenet.state_dict()), state)


def test_safetensors_in_half_precision(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2, 2).half(), "steps": torch.tensor(3)}, tmp_path / "a.safetensors")
    state = read_checkpoint(tmp_path / "a.safetensors")
    assert (state["weight"].dtype, state["steps"].dtype) == (torch.float32, torch.int64)


class Hostile:
    """Pickles as a call: unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}, "extra": Hostile(tmp_path / "ran")}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="pickled objects, which are not loaded"):
        read_checkpoint(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", ["text", "words", "empty", "truncated", "missing", "folder", "number"])
def test_unreadable_files(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"a{suffix}"
    if kind == "folder":
        path.mkdir()
    elif kind in ("truncated", "number"):
        save = torch.save if suffix == ".pth" else save_file
        save({"a": torch.zeros(1000)}, path)  # type: ignore[operator]
        path.write_bytes(path.read_bytes()[:-900])
        if kind == "number":
            torch.save(3.0, path)
    elif kind != "missing":
        path.write_text({"text": "text" * 100, "words": "epsilon " * 100, "empty": ""}[kind])
    with pytest.raises(InputError, match=path.name) as caught:
        read_checkpoint(path)
    assert not re.search(r"\(\d+\)", str(caught.value))  # the bare key of a KeyError
    assert "\n" not in str(caught.value)
