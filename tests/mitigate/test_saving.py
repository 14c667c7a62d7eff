"""A mitigated encoder comes back from its folder bit by bit, or not at all."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from chinspect.encoders import Encoder, load_encoder
from chinspect.encoders.edits import Edit, EditedEncoder, Project, Prune, edited
from chinspect.encoders.libraries import ready
from chinspect.encoders.tiny import TinyResNet
from chinspect.errors import InputError
from chinspect.mitigate import save_encoder
from tests.mitigate._planted import pictures, planted

EDITS: tuple[Edit, ...] = (Prune("stem.2", (3, 5), (56, 64)), Project("stages.2", torch.arange(1.0, 129.0), 0.25))


@pytest.fixture(scope="module")
def encoder() -> EditedEncoder:
    return edited(load_encoder("tiny-clip"), *EDITS)


@pytest.fixture
def saved(encoder: EditedEncoder, tmp_path: Path) -> Path:
    return save_encoder(encoder, tmp_path / "pruned", evidence={"k": 2})


def test_a_folder_gives_the_same_embeddings(encoder: EditedEncoder, saved: Path) -> None:
    loaded = load_encoder(str(saved))
    assert isinstance(loaded, EditedEncoder)
    assert loaded.fingerprint == encoder.fingerprint != loaded.base.fingerprint
    assert torch.equal(loaded.embed(pictures(3)), encoder.embed(pictures(3)))
    assert loaded.name == str(saved)
    assert loaded.card.dimension == 256
    assert "mitigated at stem.2, stages.2" in loaded.card.title
    assert json.loads((saved / "mitigation.json").read_text())["evidence"] == {"k": 2}
    assert (saved / "mitigation.safetensors").stat().st_size < 2000


def test_a_loaded_encoder_is_edited_and_saved_again(encoder: EditedEncoder, saved: Path) -> None:
    further = edited(load_encoder(str(saved)), Prune("stages.3", (0,)))
    assert isinstance(further, EditedEncoder)
    again = load_encoder(str(save_encoder(further, saved)))
    assert torch.equal(again.embed(pictures(2)), edited(encoder, Prune("stages.3", (0,))).embed(pictures(2)))


def test_weights_without_a_name_lie_in_the_folder(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        module = ready(TinyResNet(), "cpu")
    bundled = load_encoder("tiny-clip")
    own = Encoder("mine", module, bundled.preprocessing, replace(bundled.card, name="mine.pth", source="file"))
    changed = edited(own, EDITS[0])
    loaded = load_encoder(str(save_encoder(changed, tmp_path / "own")))
    assert loaded.fingerprint == changed.fingerprint
    assert torch.equal(loaded.embed(pictures(2)), changed.embed(pictures(2)))


def test_what_cannot_be_rebuilt_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be rebuilt"):
        save_encoder(edited(planted(), Prune("1", (0,))), tmp_path / "planted")
    assert not list((tmp_path / "planted").iterdir())
    with pytest.raises(InputError, match="is not edited"):
        save_encoder(load_encoder("tiny-clip"), tmp_path / "plain")  # type: ignore[arg-type]


def test_other_folders_are_left_alone(encoder: EditedEncoder, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(InputError, match="holds something else"):
        save_encoder(encoder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def rewrite(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        document = json.loads((folder / "mitigation.json").read_text())
        (folder / "mitigation.json").write_text(json.dumps(document | changes))

    return change


def entry(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        document = json.loads((folder / "mitigation.json").read_text())
        document["edits"][0] |= changes
        (folder / "mitigation.json").write_text(json.dumps(document))

    return change


def base(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        document = json.loads((folder / "mitigation.json").read_text())
        document["base"] |= changes
        (folder / "mitigation.json").write_text(json.dumps(document))

    return change


def tensors(**changes: torch.Tensor) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "mitigation.safetensors"
        save_file(load_file(path) | {f"edit.{key.replace('_', '.')}": value for key, value in changes.items()}, path)

    return change


def text(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "mitigation.json").unlink(), "holds no mitigation.json"),
        (lambda folder: (folder / "mitigation.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "card.toml").unlink(), "cannot be read"),
        (text("mitigation.json", "{"), "cannot be read"),
        (text("mitigation.json", "[" * 100_000), "cannot be read"),
        (text("mitigation.json", "[]"), "no JSON object"),
        (text("mitigation.safetensors", "cos\nsystem\n(S'true'\ntR."), "cannot be read"),
        (text("card.toml", "name = "), "not valid TOML"),
        (text("card.toml", "name = 'x'"), "not complete"),
        (text("card.toml", "preprocessing = 3"), "not complete|cannot be read"),
        (rewrite(schema=2), "no record"),
        (rewrite(edits=[]), "at least one"),
        (rewrite(edits="abc"), "no record"),
        (rewrite(edits=[3]), "no record"),
        (rewrite(base=None), "no record"),
        (rewrite(fingerprint="0" * 16), "was changed after it was saved"),
        (base(fingerprint="0" * 16), "other weights"),
        (base(name="tiny-simclr"), "other weights"),
        (base(name="nonsense"), "There is no model 'nonsense'"),
        (base(name="/etc"), "starts from the path '/etc'"),
        (base(name=["tiny-clip"]), "no record"),
        (base(name=None), "do not fit the architecture"),
        (entry(kind="run"), "no kind of edit 'run'"),
        (entry(layer=["stem"]), "is no text"),
        (entry(layer="stem.7"), "no layer 'stem.7'"),
        (entry(layer="stem.__class__"), "no layer"),
        (entry(rows=[0]), "two whole numbers"),
        (entry(rows="ab"), "two whole numbers"),
        (entry(rows=[0, 10**9]), "no rows"),
        (entry(rows=None), "was changed after it was saved"),
        (entry(layer="stem.1"), "was changed after it was saved"),
        (tensors(**{"0_channels": torch.tensor([3, 6])}), "was changed after it was saved"),
        (tensors(**{"0_channels": torch.tensor([3.0])}), "whole numbers"),
        (tensors(**{"0_channels": torch.tensor([-1])}), "no -1"),
        (tensors(**{"1_direction": torch.zeros(128)}), "other than zero"),
        (tensors(**{"1_direction": torch.ones(128)}), "was changed after it was saved"),
    ],
)
def test_hostile_folders_are_refused_in_one_sentence(saved: Path, harm: Callable[[Path], None], words: str) -> None:
    harm(saved)
    with pytest.raises(InputError, match=words) as caught:
        load_encoder(str(saved))
    assert "\n" not in str(caught.value).strip()


def test_a_folder_that_is_no_encoder_and_a_model_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny-clip").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_encoder("tiny-clip").card.source == "bundled"
    with pytest.raises(InputError, match="no mitigated encoder"):
        load_encoder(str(tmp_path / "tiny-clip"))
