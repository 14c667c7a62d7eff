"""Loading by name and by path, with files made here in place of downloads."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from chinspect.encoders import as_encoder, libraries, load, load_encoder, read_card
from chinspect.encoders.cards import models_folder, zoo_names
from chinspect.encoders.edits import Prune, edited
from chinspect.encoders.libraries import build, card_of
from chinspect.encoders.tiny import TinyResNet
from chinspect.errors import InputError
from chinspect.mitigate import save_encoder

BUNDLED = [name for name in zoo_names() if read_card(name).source == "bundled"]


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test puts the file that a download would give."""
    path = tmp_path / "weights.bin"
    monkeypatch.setattr(load, "fetch", lambda _card: path)
    return path


def save(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(state, path)


def test_a_checkpoint_in_the_architecture_of_a_model(tmp_path: Path) -> None:
    module = build("torchvision:resnet50", 224).module
    path = tmp_path / "mine.pth"
    torch.save({"model_state_dict": {f"module.{key}": value for key, value in module.state_dict().items()}}, path)
    encoder = load_encoder(str(path), arch="simclr-rn50")
    assert (encoder.name, encoder.card.source, encoder.card.dimension) == ("mine.pth", "file", 2048)
    assert encoder.card.architecture == "torchvision:resnet50"
    assert not encoder.module.training
    assert not any(parameter.requires_grad for parameter in encoder.module.parameters())
    torch.testing.assert_close(encoder.module.state_dict(), dict(module.state_dict()))


@pytest.mark.parametrize(
    ("arch", "dimension", "resize_size"),
    [("timm:resnet10t", 512, 201), ("torchvision:mobilenet_v3_small", 1024, 256), ("open_clip:RN50", 1024, None)],
)
def test_a_checkpoint_in_the_architecture_of_a_library(
    tmp_path: Path, arch: str, dimension: int, resize_size: int | None
) -> None:
    card = card_of(arch)
    save(build(arch, card.preprocessing.size).module.state_dict(), tmp_path / "a.pth")
    encoder = load_encoder(str(tmp_path / "a.pth"), arch=arch)
    assert (encoder.card.dimension, encoder.preprocessing.resize_size) == (dimension, resize_size)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_models_load_without_a_network(name: str) -> None:
    encoder = load_encoder(name)
    assert {value.dtype for value in encoder.module.state_dict().values()} <= {torch.float32, torch.int64}
    assert encoder.embed([Image.new("RGB", (150, 130), "red")]).shape == (1, encoder.card.dimension)


def test_clip_from_the_hubs_file(fetched: Path) -> None:
    tower = build("clip-rn50-gap", 224).module.state_dict()
    beyond = {"visual.attnpool.positional_embedding": torch.zeros(50, 2048), "logit_scale": torch.zeros(1)}
    save({f"visual.{key}": value for key, value in tower.items()} | beyond, fetched)
    encoder = load_encoder("clip-rn50-gap")
    torch.testing.assert_close(encoder.module.state_dict(), dict(tower))


def test_timm_reads_its_own_file_and_resamples_positions(fetched: Path) -> None:
    import timm

    published: Any = timm.create_model("vit_small_patch14_dinov2.lvd142m", pretrained=False)
    assert published.pos_embed.shape == (1, 1 + 37 * 37, 384)
    state = published.state_dict()
    save(state, fetched)
    encoder = load_encoder("dinov2-s")
    assert (encoder.card.dimension, encoder.module.get_parameter("pos_embed").shape) == (384, (1, 1 + 16 * 16, 384))
    loaded = encoder.module.state_dict()["blocks.11.mlp.fc2.weight"]
    torch.testing.assert_close(loaded, state["blocks.11.mlp.fc2.weight"])


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_timm_loads_nothing_in_part(fetched: Path, change: str) -> None:
    import timm

    state = timm.create_model("resnet10t", pretrained=False).state_dict()
    if change == "missing":
        del state["layer1.0.conv1.weight"]
    save(state | ({"nonsense": torch.zeros(1)} if change == "unexpected" else {}), fetched)
    with pytest.raises(InputError, match=r"nonsense|layer1\.0\.conv1\.weight"):
        load_encoder("timm:resnet10t")


def test_timm_ends_before_its_classifier(fetched: Path) -> None:
    import timm

    save(timm.create_model("resnet10t", pretrained=False).state_dict(), fetched)
    assert load_encoder("timm:resnet10t").card.dimension == 512


def test_cards_of_libraries_say_where_weights_come_from() -> None:
    names = ("timm:resnet18", "torchvision:resnet50", "open_clip:ViT-B-32/openai")
    timm, torchvision, open_clip = [card_of(name) for name in names]
    assert timm.file == "timm/resnet18.a1_in1k/model.safetensors"
    assert (torchvision.url, torchvision.sha256) == (
        "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
        "11ad3fa6",
    )
    assert torchvision.preprocessing.resize_size == 232
    assert open_clip.file == "timm/vit_base_patch32_clip_224.openai/open_clip_model.safetensors"
    assert open_clip.architecture == "open_clip:ViT-B-32-quickgelu"
    assert card_of("clip-rn50") == read_card("clip-rn50")


def test_a_network_that_gives_no_vector_is_refused(fetched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chinspect.encoders.libraries import Architecture

    maps = Architecture(torch.nn.Conv2d(3, 4, 1))
    save(maps.module.state_dict(), fetched)
    monkeypatch.setattr(libraries.Torchvision, "build", lambda *_: maps)
    monkeypatch.setattr(libraries.OpenClip, "build", lambda *_: maps)
    with pytest.raises(InputError, match=r"maps 2 images to \(2, 4, 224, 224\)"):
        load_encoder("torchvision:resnet18")


@pytest.mark.parametrize(
    ("name", "arch", "words"),
    [
        ("clip-rn51", None, "did you mean 'clip-rn50'"),
        ("nonsense", None, "There is no model 'nonsense'"),
        ("timm:nonsense", None, "timm has no model"),
        ("timm:resnet50.nonsense", None, "timm has no model"),
        ("torchvision:nonsense", None, "torchvision has no classifier"),
        ("open_clip:nonsense/openai", None, "open_clip has no model"),
        ("open_clip:RN50/nonsense", None, "its tags are: openai"),
        ("open_clip:RN50", None, "needs a tag"),
        ("mine.pth", None, "needs its architecture: call it ARCH@PATH"),
        (__file__, None, "needs its architecture: call it ARCH@PATH"),
        ("mine.pth", "simclr-rn50", "does not exist"),
        ("mine.pth", "nonsense", "There is no model 'nonsense'"),
        ("clip-rn50", "simclr-rn50", "has an architecture of its own"),
    ],
)
def test_names_that_cannot_be_loaded(name: str, arch: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_encoder(name, arch=arch)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_devices_that_are_not_there(device: str) -> None:
    with pytest.raises(InputError, match=f"The device '{device}' is not available"):
        load_encoder("clip-rn50", device=device)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of one's own in the layout of the zoo: other weights, for 64 pixels, under a name that the zoo has."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        state = TinyResNet().state_dict()
    path = tmp_path / "mine"
    path.mkdir()
    save_file(state, path / "weights.safetensors")
    sha256 = hashlib.sha256((path / "weights.safetensors").read_bytes()).hexdigest()
    card = (models_folder() / "tiny-clip" / "card.toml").read_text().replace("size = 128", "size = 64")
    (path / "card.toml").write_text(card.replace(read_card("tiny-clip").sha256, sha256))
    return path


def rewrite(folder: Path, before: str, after: str) -> None:
    text = (folder / "card.toml").read_text()
    assert before in text
    (folder / "card.toml").write_text(text.replace(before, after))


def test_a_folder_in_the_layout_of_the_zoo(folder: Path) -> None:
    encoder = load_encoder(str(folder))
    assert (encoder.name, encoder.card.name, encoder.card.source) == (str(folder), "tiny-clip", "file")
    assert (encoder.preprocessing.size, encoder.card.dimension) == (64, 256)
    assert not encoder.module.training
    state = load_file(folder / "weights.safetensors")
    torch.testing.assert_close(encoder.module.state_dict(), state, rtol=0, atol=0)
    assert encoder.fingerprint != load_encoder("tiny-clip").fingerprint


def test_a_bundled_model_is_the_same_by_name_and_by_folder() -> None:
    by_folder = load_encoder(str(models_folder() / "tiny-simclr"))
    assert by_folder.fingerprint == load_encoder("tiny-simclr").fingerprint


@pytest.mark.parametrize("name", ["tiny-clip", "mine", "nothing", "timm:nothing"])
def test_a_mitigated_folder_is_saved_with_its_weights_whatever_its_card_is_called(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)  # where "mine" is a path that can be loaded
    rewrite(folder, 'name = "tiny-clip"', f'name = "{name}"')
    pruned = edited(load_encoder(str(folder)), Prune("stem.2", (1, 4)))
    saved = save_encoder(pruned, folder.parent / "pruned")
    shutil.rmtree(folder)
    again = load_encoder(str(saved))
    picture = [Image.effect_noise((70, 64), 60).convert("RGB")]
    assert torch.equal(again.embed(picture), pruned.embed(picture))
    assert again.fingerprint == pruned.fingerprint
    further = save_encoder(edited(again, Prune("stem.2", (7,))), folder.parent / f"{name.split(':')[-1]}-mitigated")
    assert load_encoder(str(further)).fingerprint not in (again.fingerprint, again.base.fingerprint)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (
            lambda path: (path / "card.toml").unlink(),
            r"no mitigated encoder .* and no model .* no card\.toml",
        ),
        (
            lambda path: (path / "weights.safetensors").unlink(),
            r"weights\.safetensors' .* cannot be read",
        ),
        (lambda path: (path / "weights.safetensors").write_bytes(b"other"), "have the sha256"),
        (lambda path: rewrite(path, 'source = "bundled"', 'source = "timm"'), "its card says source = 'timm'"),
        (lambda path: rewrite(path, 'source = "bundled"', 'source = "mitigated"'), r"holds no mitigation\.json: copy"),
        (lambda path: rewrite(path, '"weights.safetensors"', '"../mine/weights.safetensors"'), "beside it, not '../"),
        (lambda path: rewrite(path, '"weights.safetensors"', '"/etc/passwd"'), "beside it, not '/etc/passwd'"),
        (lambda path: rewrite(path, '"weights.safetensors"', '""'), "beside it, not ''"),
        (lambda path: rewrite(path, '"weights.safetensors"', "3"), "not complete"),
        (lambda path: rewrite(path, '"tiny-resnet"', '"torchvision:resnet18"'), "do not fit the architecture"),
        (lambda path: rewrite(path, '"tiny-resnet"', '"nonsense"'), "no architecture 'nonsense'"),
        (lambda path: rewrite(path, '"tiny-resnet"', '"timm:nonsense"'), "timm has no model 'nonsense'"),
        (lambda path: (path / "card.toml").write_bytes(b"\xff\xfe"), "not valid TOML"),
    ],
)
def test_folders_that_are_no_encoder(folder: Path, harm: Callable[[Path], object], words: str) -> None:
    harm(folder)
    with pytest.raises(InputError, match=words) as caught:
        load_encoder(str(folder))
    assert "\n" not in str(caught.value)


def test_damaged_weights_of_a_folder_without_a_hash(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    card = [line for line in (folder / "card.toml").read_text().splitlines() if not line.startswith("sha256")]
    (folder / "card.toml").write_text("\n".join(card))
    with pytest.raises(InputError, match="cannot be read"):
        load_encoder(str(folder))


def test_a_checkpoint_by_one_name_with_its_architecture(tmp_path: Path) -> None:
    path = tmp_path / "weights@1.pth"
    save(build("tiny-resnet", 128).module.state_dict(), path)
    named = load_encoder(f"tiny-clip@{path}")
    assert named.name == f"tiny-clip@{path}"
    assert named.fingerprint == load_encoder(str(path), arch="tiny-clip").fingerprint
    with pytest.raises(InputError, match=r"no model 'tiny-clp' \(did you mean 'tiny-clip'\?\)"):
        load_encoder("tiny-clp@mine.pth")
    with pytest.raises(InputError, match=r"weights@1.pth' needs its architecture: call it ARCH@PATH"):
        load_encoder(str(path))


def test_an_encoder_is_asked_for_by_itself_or_by_name() -> None:
    encoder = as_encoder("tiny-clip")
    assert as_encoder(encoder) is encoder
    with pytest.raises(InputError, match=r"not TinyResNet: make it one with Encoder\.wrap"):
        as_encoder(encoder.module)  # type: ignore[arg-type]
