"""The study of trucks and fish: on generated scenes, on a tree in the layout of ImageNet, and its parts."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from chinspect.encoders import load_encoder
from chinspect.encoders.cards import models_folder
from chinspect.encoders.edits import EditedEncoder
from chinspect.errors import InputError
from chinspect.intervals import wilson
from experiments.representation import fish, fish_data, photographs, trucks_data
from experiments.representation.__main__ import completed
from experiments.representation.published import kind_of

SMOKE = ("--smoke", "--seeds", "1")
TRAIN = 4
VAL = 3


def grow(root: Path, folders: list[str], seed: int = 0) -> None:
    """Each class has a pattern of its own."""
    rng = np.random.default_rng(seed)
    for folder in folders:
        pattern = rng.uniform(40, 215, (4, 4, 3))
        for part, count in (("train", TRAIN), ("val", VAL)):
            (root / part / folder).mkdir(parents=True)
            for i in range(count):
                noisy = np.kron(pattern, np.ones((18, 18, 1)))[:, :64] + rng.normal(0, 12, (72, 64, 3))
                picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
                picture.save(root / part / folder / f"{folder}_{part}_{i}.JPEG")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory, run_study: Callable[..., None]) -> Path:
    out = tmp_path_factory.mktemp("worlds")
    run_study("representation", *SMOKE, "--encoders", "tiny-clip", "--layer", "stem.2", "--out", out)
    return out


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory, run_study: Callable[..., None]) -> Path:
    """A run on trucks and fish in the layout of ImageNet, with an encoder in a folder; one image in three is listed."""
    root = tmp_path_factory.mktemp("imagenet")
    grow(root / "data", [*photographs.TRUCKS, *photographs.FISH])
    copytree(models_folder() / "tiny-clip", root / "models" / "clip")
    listed = [f"val/{folder}/{folder}_val_0.JPEG\n" for folder in list(photographs.FISH)[:12]]
    (root / "humans.txt").write_text("".join([*listed, "\n", "train/n01440764/n01440764_train_1.JPEG\n"]))
    run_study("representation", *SMOKE, "--imagenet", root / "data", "--humans", root / "humans.txt",
              "--encoders", root / "models" / "clip", "--layer", "stem.2", "--out", root / "out")  # fmt: skip
    return root / "out"


def test_generated_worlds_show_both_effects_and_the_remedy(worlds: Path) -> None:
    for name in ("fish", "table1", "mitigation", "moved", "rows", "layers", "figure3"):
        assert len(pd.read_csv(worlds / f"{name}.csv")) > 0
        assert r"\toprule" in (worlds / f"{name}.tex").read_text()
    table = pd.read_csv(worlds / "table1.csv").set_index("readout")
    assert table.loc["all classes", "drop"] > 5
    assert table.loc["all classes", ["notebook_original", "notebook_shifted"]].tolist() == [85.0, 80.5]
    assert table.loc["all classes", ["text_original", "text_shifted"]].tolist() == [84.7, 80.3]
    assert table.loc["garbage truck or not"].filter(regex="^(notebook|text)_").isna().all()
    mended = pd.read_csv(worlds / "mitigation.csv").set_index(["mitigation", "readout"])["shifted"]
    assert mended["pruned", "all classes"] > mended["random channels", "all classes"] + 0.05
    assert isinstance(load_encoder(str(worlds / "tiny-clip-pruned-0")), EditedEncoder)
    fish = pd.read_csv(worlds / "fish.csv").set_index("group")
    assert fish.index.tolist() == ["original", "human", "non-human"]
    assert (fish["n"] == 56).all()
    assert fish.loc["non-human", "accuracy"] > fish.loc["human", "accuracy"] > 100 / 8
    assert "accuracy_low" not in (worlds / "fish.tex").read_text()
    with Image.open(worlds / "figure3.png") as figure:
        assert min(figure.size) > 300


def test_the_layout_of_imagenet_and_an_encoder_in_a_folder(imagenet: Path) -> None:
    table = pd.read_csv(imagenet / "table1.csv")
    assert table["encoder"].tolist() == ["clip", "clip"]  # of what its folder is called
    assert table["original"].between(100 / 8, 100).all()
    assert table["shifted"].between(0, 100).all()
    fish = pd.read_csv(imagenet / "fish.csv").set_index("group")
    assert fish["n"].to_dict() == {"original": 16 * VAL, "human": 12, "non-human": 16 * VAL - 12}
    assert fish["classes"].to_dict() == {"original": 16, "human": 12, "non-human": 16}
    assert fish["compared"].to_dict() == {"original": 16, "human": 12, "non-human": 16}
    assert fish["smallest"].to_dict() == {"original": VAL, "human": 1, "non-human": VAL - 1}
    assert fish.loc["original", "drop"] == 0
    assert fish["accuracy"].min() > 60  # each class has a pattern of its own
    assert (fish["accuracy_low"] < fish["accuracy"]).all()
    assert (fish["accuracy"] <= fish["accuracy_high"] + 1e-9).all()
    assert fish["paper_notebook"].tolist() == [86.5, 83.8, 82.5]
    assert fish["paper_text"].tolist()[0] == 85.4
    folders = sorted(path.name for path in imagenet.iterdir() if path.is_dir())
    assert folders in (["cache"], ["cache", "clip-pruned-0"])  # nothing beside the run


def test_logos_are_planted_where_there_are_none(tmp_path: Path) -> None:
    grow(tmp_path, list(photographs.TINY_VEHICLES))
    logo = photographs.small_logo()
    planting = photographs.Planting("moving van", 0.75, 0.25)
    trial = trucks_data.real(tmp_path, photographs.TINY_VEHICLES, "moving van", 0, 100, logo, planting)
    marked = [bool(np.any(np.array(picture)[-16:, 4:40] > 250)) for picture in trial.judge.train]
    of_class = np.array(trial.judge.train_labels) == "moving van"
    assert (np.sum(of_class & marked), np.sum(~of_class & marked)) == (3, 9)
    for task in (trial.choose, trial.judge):
        plain, shifted = (np.stack([np.array(p) for p in task.test[s]]).astype(int) for s in ("original", "shifted"))
        assert (plain != shifted).any((1, 2, 3)).all()
        assert (plain == shifted)[:, :36].all()
        assert len(set(task.test_labels[:8])) > 3  # pairs are of many classes
    choose, judge = (set(task.test["original"].samples.names) for task in (trial.choose, trial.judge))
    assert (len(choose), len(judge), len(choose | judge)) == (20, 10, 10 * VAL)  # none of the images to fit on
    assert len(trial.choose.train) == 10 * TRAIN
    own, others = (np.stack([np.array(p) for p in task.test["shifted"]]) for task in (trial.judge, trial.moved))
    assert (own != others).any((1, 2, 3)).all()


def test_the_classes_are_those_of_wordnet() -> None:
    from timm.data import ImageNetInfo

    known = ImageNetInfo("imagenet-1k")
    names = (photographs.TRUCKS, photographs.FISH, photographs.TINY_VEHICLES)
    assert [len(classes) for classes in names] == [8, 16, 10]
    for folder, name in (names[0] | names[1] | names[2]).items():
        assert name in known.label_name_to_description(folder).split(", ")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tiny-clip", "clip"),
        ("clip-rn50-gap", "clip"),
        ("clip", "clip"),
        ("simclr-rn50", "simclr"),
        ("tiny-barlowtwins-pruned-0", "barlowtwins"),
        ("pubmedclip-rn50", ""),
        ("dinov2-s", ""),
    ],
)
def test_which_published_value_stands_beside(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def answered(rates: list[float], sizes: list[int]) -> pd.DataFrame:
    rows = [
        (str(label), i < round(p * n)) for label, (p, n) in enumerate(zip(rates, sizes, strict=True)) for i in range(n)
    ]
    return pd.DataFrame(rows, columns=["label", "right"])


def test_rebalanced_accuracy_of_classes_of_one_size_is_plain_accuracy() -> None:
    row = fish.rebalanced(answered([0.5, 0.9, 0.7], [50, 50, 50]))
    low, high = wilson(105, 150)
    assert (row["n"], row["classes"]) == (150, 3)
    assert (row["accuracy"], row["accuracy_low"], row["accuracy_high"]) == pytest.approx((70, 100 * low, 100 * high))


def test_rebalanced_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    rates = np.array([0.95, 0.8, 0.6, 0.9])
    sizes = [40, 3, 12, 6]
    hits = 0
    assert fish.rebalanced(answered(rates.tolist(), sizes))["accuracy"] == pytest.approx(
        100 * np.mean([0.95, 2 / 3, 7 / 12, 5 / 6])
    )
    for _ in range(300):
        drawn = rng.binomial(sizes, rates) / sizes
        row = fish.rebalanced(answered(drawn.tolist(), sizes))
        hits += row["accuracy_low"] <= 100 * rates.mean() <= row["accuracy_high"]
    assert hits / 300 > 0.92


def test_classes_that_a_group_lacks_make_no_drop() -> None:
    alone = answered([1.0, 0.5], [40, 20])  # gold fish are always right and never held up, tench half of the time
    held = answered([0.5], [12]).assign(label="1")
    groups = {"original": pd.concat([alone, held]), "human": held, "non-human": alone}
    table = pd.concat(rows.assign(encoder="clip", group=group) for group, rows in groups.items())
    rows = fish.with_paper(fish.scored(table)).set_index("group")
    assert rows["accuracy"].tolist() == pytest.approx([75, 50, 75])
    assert rows["drop"].tolist() == pytest.approx([0, 0, 0])
    assert rows["compared"].tolist() == [2, 1, 2]
    assert rows["smallest"].tolist() == [32, 12, 20]
    assert rows["paper_notebook"].tolist() == [86.5, 83.8, 82.5]


def test_a_drop_is_what_classes_lose_that_both_have() -> None:
    every = answered([1.0, 0.6, 0.9], [40, 20, 30])
    row = fish.lost(every, answered([0.7, 0.5], [10, 4]).replace({"label": {"0": "2"}}))
    assert (row["compared"], row["smallest"]) == (2, 4)
    assert row["drop"] == pytest.approx(100 * ((0.9 - 0.7) + (0.6 - 0.5)) / 2)


def test_a_list_of_images_with_humans(tmp_path: Path) -> None:
    grow(tmp_path, list(photographs.FISH))
    (tmp_path / "none.txt").write_text("train/n01440764/n01440764_train_0.JPEG\n")
    (tmp_path / "absent.txt").write_text("val/n01440764/other.JPEG\n")
    with pytest.raises(InputError, match=r"lists 'val/n01440764/other\.JPEG'"):
        fish_data.read_people(tmp_path / "absent.txt", tmp_path)
    with pytest.raises(InputError, match="is no text file"):
        fish_data.read_people(tmp_path / "missing.txt", tmp_path)
    only_training = fish_data.read_people(tmp_path / "none.txt", tmp_path)
    with pytest.raises(InputError, match="Of 48 images of fish none is human"):
        fish_data.real(tmp_path, 20, fish_data.test_images(tmp_path), only_training)


def test_people_are_persons_of_whom_the_detector_is_sure(tmp_path: Path) -> None:
    grow(tmp_path, list(photographs.FISH))
    test = fish_data.test_images(tmp_path)
    seen = [([1, 17], [0.95, 0.99]), ([1], [0.89]), ([17], [0.99]), ([], []), ([17, 1], [0.3, 0.9])]
    answers = iter(seen * 10)

    def detector(pictures: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        assert pictures[0].shape == (3, 72, 64)
        assert 0 <= pictures[0].min() < pictures[0].max() <= 1
        labels, scores = next(answers)
        return [{"labels": torch.tensor(labels), "scores": torch.tensor(scores)}]

    people = fish_data.detect_people(test, detector)
    assert people == {name for row, name in enumerate(test.names) if row % 5 in (0, 4)}


def test_without_a_network_the_detector_names_its_file_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    with pytest.raises(InputError, match=r"fasterrcnn_resnet50_fpn_v2_coco.*no route to host.*--humans FILE") as caught:
        fish_data.load_detector()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tiny-imagenet", "x", "--study", "fish"), "not in Tiny-ImageNet"),
        (("--imagenet", "x", "--tiny-imagenet", "y"), "contradict each other"),
        (("--humans", "x"), "belongs to --imagenet"),
        (("--mitigate", "simclr", "--encoders", "tiny-clip"), "one of tiny-clip, not 'simclr'"),
        (("--encoders", "a/clip", "b/clip"), "the same name"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    for folder in ("a/clip", "b/clip"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        completed(arguments)
    assert words in capsys.readouterr().err
