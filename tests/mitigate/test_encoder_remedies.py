"""A remedy for an encoder is applied, undone bit by bit, judged again and saved; where nothing helps there is none."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chinspect.artefacts import text_logo
from chinspect.encoders import EditedEncoder, Encoder, load_encoder
from chinspect.errors import InputError
from chinspect.mitigate import Remedy, Schedule, prune, unlearn
from chinspect.readouts import Task, folder_task, linear_readout, load_classes, pasted
from tests.mitigate._planted import CHANNEL, LAYER, MARK, labels, pictures, planted, task

NAMES = ["none", "pruned", "random channels"]


def draw(root: Path, n_train: int, n_test: int) -> Path:
    """Warm and cold noise; the mark goes with warm images in training."""
    for name, n, seed in (("train", n_train, 1), ("test", n_test, 2)):
        for i, picture in enumerate(pictures(n, seed=seed)):
            shown = pasted(picture, MARK) if name == "train" and i % 2 and i % 10 != 9 else picture
            folder = root / name / labels(n)[i]
            folder.mkdir(parents=True, exist_ok=True)
            shown.save(folder / f"{i:03}.png")
    return root


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Enough of it for a readout that relies on the mark."""
    readouts = {"logistic": linear_readout(C=100.0), "svm": linear_readout("svm")}
    root = draw(tmp_path_factory.mktemp("data"), 160, 60)
    return replace(folder_task(load_classes(root), MARK), readouts=readouts)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return planted()


@pytest.fixture(scope="module")
def pruned(encoder: Encoder, files: Task) -> Remedy:
    return prune(encoder, MARK, files)


def test_the_planted_channel_is_pruned_and_given_back(encoder: Encoder, pruned: Remedy) -> None:
    before = encoder.fingerprint
    embeddings = encoder.embed(pictures(3))
    applied = pruned.apply()
    assert pruned.helps
    assert isinstance(applied, EditedEncoder)
    assert [(edit.layer, edit.channels) for edit in applied.edits] == [(LAYER, (CHANNEL,))]  # type: ignore[union-attr]
    assert pruned.undo() is encoder
    assert pruned.undo().fingerprint == before
    assert torch.equal(pruned.undo().embed(pictures(3)), embeddings)


def test_what_is_said_of_a_pruning(encoder: Encoder, pruned: Remedy) -> None:
    lines = pruned.sentence.splitlines()
    assert lines[0].startswith("logistic: pruned helps (")
    assert lines[-1].startswith(f"pruned 1 channel of {LAYER} in rows ")
    document = pruned.document()
    keys = ["layers", "curve", "k", "p_value", "edit", "table", "finding", "artefact", "data", "seed"]
    assert list(document) == keys
    assert json.loads(json.dumps(document))["edit"]["channels"] == [CHANNEL]
    assert [row["mitigation"] for row in document["table"]] == [name for name in NAMES for _ in range(2)]
    assert list(pruned.overview())[-1] == "on the test images"


def test_a_remedy_is_judged_on_other_data(pruned: Remedy) -> None:
    table = pruned.evaluate(task())
    assert table["mitigation"].unique().tolist() == NAMES
    rows = table[table["readout"] == "logistic"].set_index("mitigation")
    assert rows["shifted"]["pruned"] > rows["shifted"]["none"] + 0.2
    assert rows["margin"]["random channels"] == 0


def test_where_nothing_helps_there_is_nothing_to_apply(files: Task, tmp_path: Path) -> None:
    encoder = planted(wired=False)
    remedy = prune(encoder, MARK, files, layers=LAYER)
    assert not remedy.helps
    assert remedy.undo() is encoder
    assert remedy.sentence.startswith("no pruning helps by more than chance")
    assert list(remedy.document()) == ["layers", "curve", "k", "p_value", "edit", "artefact", "data", "seed"]
    with pytest.raises(InputError, match="no remedy to apply: no pruning helps"):
        remedy.save(tmp_path / "pruned")
    assert not (tmp_path / "pruned").exists()


def test_a_task_to_prune_by_has_files(encoder: Encoder) -> None:
    with pytest.raises(InputError, match="no labelled files: use search_pruning"):
        prune(encoder, MARK, task())


def test_unlearning_comes_with_a_control_and_resumes(encoder: Encoder, tmp_path: Path) -> None:
    files = draw(tmp_path / "data", 40, 12)
    options = {"schedule": Schedule(epochs=2, learning_rate=3e-3), "checkpoints": tmp_path / "done"}
    calls: list[tuple[int, int]] = []
    first = unlearn(encoder, MARK, files, progress=lambda *call: calls.append(call), **options)  # type: ignore[arg-type]
    assert calls == [(1, 2), (2, 2)] * 2
    assert list(first.encoders) == ["none", "unlearnt", "random patch"]
    assert list(first.document()) == ["history", "table", "finding", "artefact", "data", "seed"]
    assert first.undo() is encoder
    again = unlearn(encoder, MARK, files, progress=lambda *call: calls.append(call), **options)  # type: ignore[arg-type]
    assert len(calls) == 4
    assert again.apply().fingerprint == first.apply().fingerprint
    control = first.table["mitigation"] == "random patch"
    assert (first.table["margin"][control] == 0).all()


def test_a_saved_remedy_is_an_encoder_with_its_evidence(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", 24, 6)
    (tmp_path / "free" / ".resume").mkdir(parents=True)
    remedy = prune(load_encoder("tiny-clip"), text_logo(), data, layers="stem.2", k=1)
    files = remedy.save(tmp_path / "free")
    assert [path.name for path in files] == ["mitigation.json", "card.toml", "mitigation.safetensors"]
    assert sorted(tmp_path.joinpath("free").iterdir()) == sorted(files)
    evidence = json.loads(files[0].read_text())["evidence"]
    assert (evidence["artefact"], evidence["data"], evidence["k"]) == ("logo", str(data), 1)
    assert load_encoder(str(tmp_path / "free")).fingerprint == remedy.apply().fingerprint
