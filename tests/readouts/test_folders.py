"""Class folders, their splits and groups; embeddings of them, cached."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chinspect.artefacts import text_logo
from chinspect.encoders import Encoder
from chinspect.encoders.edits import Prune, edited
from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.readouts import (
    Pictures,
    embeddings,
    folder_task,
    interleaved,
    load_classes,
    painted,
    pasted,
    read_groups,
    seen,
    split,
)
from tests.mitigate._planted import MARK, pictures, planted


def draw(root: Path, count: int, *, seed: int = 0) -> Path:
    for number, picture in enumerate(pictures(count, seed=seed)):
        folder = root / ("warm" if number % 2 else "cold")
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{number:02}.png")
    return root


def test_a_split_on_disk(tmp_path: Path) -> None:
    draw(tmp_path / "train", 6)
    draw(tmp_path / "val", 4)
    result = load_classes(tmp_path)
    assert result.train.labels == ("cold", "warm") * 3
    assert sorted(result.test.names) == ["val/cold/00.png", "val/cold/02.png", "val/warm/01.png", "val/warm/03.png"]
    draw(tmp_path / "test", 2)
    assert load_classes(tmp_path).test.names == ("test/cold/00.png", "test/warm/01.png")


def test_any_first_part_holds_the_classes_in_their_shares() -> None:
    drawn = "a" * 60 + "b" * 30 + "c" * 10
    samples = Samples(Path(), tuple(f"{label}/{i}" for i, label in enumerate(drawn)), tuple(drawn))
    result = interleaved(samples)
    assert sorted(result.names) == sorted(samples.names)
    assert all(name[0] == label for name, label in zip(result.names, result.labels or (), strict=True))
    for n in (10, 20, 50, 100):
        counts = [(result.labels or ())[:n].count(label) for label in "abc"]
        np.testing.assert_allclose(counts, [0.6 * n, 0.3 * n, 0.1 * n], atol=1)
    assert result.names != tuple(sorted(samples.names, key=lambda name: int(name[2:])))
    assert interleaved(samples) == result


@pytest.mark.parametrize(("first", "second"), [("Train", "Test"), ("training", "validation")])
def test_parts_of_a_data_set_are_no_classes(tmp_path: Path, first: str, second: str) -> None:
    for name in (first, second):
        draw(tmp_path / name, 6)
    with pytest.raises(InputError, match=r"looks like a part of a data set, not like a class: name the parts 'train'"):
        load_classes(tmp_path)


def test_a_seeded_split_keeps_the_shares_of_the_classes(tmp_path: Path) -> None:
    draw(tmp_path, 40)
    first, again, other = (load_classes(tmp_path, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.test.names != other.test.names
    assert sorted(first.train.names + first.test.names) == sorted(
        load_classes(tmp_path).train.names + load_classes(tmp_path).test.names
    )
    assert not set(first.train.names) & set(first.test.names)
    assert (first.test.labels or ()).count("cold") == (first.test.labels or ()).count("warm") == 6
    assert all(name.startswith(label) for name, label in zip(first.test.names, first.test.labels or (), strict=True))
    inner = split(first.train, 0.01, seed=0)
    assert (len(inner.test), len(inner.train)) == (2, 26)


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_classes(tmp_path / "nowhere")
    draw(tmp_path / "train", 6)
    with pytest.raises(InputError, match="neither 'test' nor 'val'"):
        load_classes(tmp_path)
    with pytest.raises(InputError, match="two classes or more"):
        load_classes(tmp_path / "train" / "cold")
    draw(tmp_path / "val", 4)
    (tmp_path / "train" / "warm").rename(tmp_path / "train" / "hot")
    with pytest.raises(InputError, match="class 'warm' of the test has no images"):
        load_classes(tmp_path)
    draw(tmp_path / "few", 3)
    with pytest.raises(InputError, match="class 'warm' has one image"):
        load_classes(tmp_path / "few")


def test_groups_of_test_images(tmp_path: Path) -> None:
    samples = load_classes(draw(tmp_path, 10)).test
    table = tmp_path / "groups.csv"
    table.write_text("path,group\n" + "".join(f"{name},g{i % 2}\n" for i, name in enumerate(reversed(samples.names))))
    assert read_groups(table, samples) == [f"g{i % 2}" for i in reversed(range(len(samples)))]
    table.write_text("path,group\nother.png,a\n")
    with pytest.raises(InputError, match=f"leave out {len(samples)} images"):
        read_groups(table, samples)
    table.write_text("path\na.png\n")
    with pytest.raises(InputError, match="need the columns path and group"):
        read_groups(table, samples)
    with pytest.raises(InputError, match=r"there is no file of groups '.*nowhere\.csv': give"):
        read_groups(tmp_path / "nowhere.csv", samples)


def test_pictures_carry_the_artefact(tmp_path: Path) -> None:
    plain = Pictures(load_classes(draw(tmp_path, 10)).test)
    marked = plain.marked(MARK)
    first = np.asarray(Image.open(plain.samples.paths[0]))
    assert np.array_equal(np.asarray(plain[0]), first)
    assert np.array_equal(np.asarray(marked[:1][0]), MARK.add(first))
    assert len({plain.digest, marked.digest, plain.marked(text_logo()).digest}) == 3
    assert marked.digest == plain.marked(MARK).digest


@pytest.mark.parametrize("size", [(60, 80), (80, 60), (97, 41), (33, 200), (40, 40), (31, 31)])
@pytest.mark.parametrize("resize_size", [32, 40])
def test_an_artefact_lies_on_what_is_seen(size: tuple[int, int], resize_size: int) -> None:
    view = replace(planted().preprocessing, size=32, resize_size=resize_size)
    picture = Image.fromarray(np.random.default_rng(0).integers(90, 120, (size[1], size[0], 3), dtype=np.uint8))
    result = view(pasted(picture, MARK, view)) - view(picture)
    shape = torch.from_numpy(MARK.layer((32, 32))[1] > 0)
    changed = (result.abs() > 0.2).any(0)
    assert (changed & shape).sum() > 0.85 * shape.sum()  # all of it but edges
    assert (changed & ~shape).sum() < 0.25 * shape.sum()  # no more than a rim of one pixel
    marked, free = (np.asarray(edit(picture, MARK, view)) for edit in (pasted, painted))
    left, top, right, bottom = view.box(picture.size)
    for other in (marked, free):
        outside = (other != np.asarray(picture)).any(2)
        outside[top:bottom, left:right] = False
        assert not outside.any()
    assert np.array_equal(free[top:bottom, left:right], MARK.remove(seen(picture, view)))
    assert seen(picture, view).shape == (bottom - top, right - left, 3)


def test_a_task_is_judged_by_what_its_encoder_sees(tmp_path: Path) -> None:
    for number, picture in enumerate(pictures(24)):
        folder = tmp_path / ("warm" if number % 2 else "cold")
        folder.mkdir(exist_ok=True)
        picture.resize((32, 90)).save(folder / f"{number:02}.png")
    encoder, task = planted(), folder_task(load_classes(tmp_path), MARK)
    plain, marked = (task.seen_by(encoder.preprocessing).test[state] for state in ("original", "shifted"))
    assert all(bool((encoder.prepare(a) != encoder.prepare(b)).any()) for a, b in zip(plain, marked, strict=True))
    blind = task.test["shifted"]  # in the corner of the file, which is cropped away
    assert torch.equal(encoder.embed(blind[:]), encoder.embed(plain[:]))
    table = task.predict(encoder).set_index("state")
    listed = replace(task, test={"original": list(plain), "shifted": list(marked)}).predict(encoder).set_index("state")
    assert table.equals(listed)
    assert isinstance(blind, Pictures)
    assert isinstance(marked, Pictures)
    assert blind.digest != marked.digest


def test_embeddings_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some, cache = Pictures(load_classes(draw(tmp_path / "data", 20)).train), tmp_path / "cache"
    encoder = planted()
    expected = encoder.embed(some[:]).numpy()
    other = edited(encoder, Prune("1", (0,)))
    different = embeddings(other, some, cache)
    np.testing.assert_array_equal(embeddings(encoder, some, cache), expected)
    assert not np.array_equal(different, expected)
    picture = some.samples.paths[0]

    def refuse(*_: object) -> torch.Tensor:
        raise AssertionError("embedded again")

    with monkeypatch.context() as context:
        context.setattr(Encoder, "embed", refuse)
        np.testing.assert_array_equal(embeddings(encoder, some, cache), expected)
        with pytest.raises(AssertionError, match="embedded again"):
            embeddings(encoder, some.marked(MARK), cache)
    Image.new("RGB", (32, 32), "blue").save(picture)
    edited_image = Pictures(load_classes(tmp_path / "data").train)
    assert not np.array_equal(embeddings(encoder, edited_image, cache), expected)


def test_a_task_of_a_folder(tmp_path: Path) -> None:
    classes = load_classes(draw(tmp_path / "data", 80))
    task = folder_task(classes, MARK, ["a"] * 12 + ["b"] * 12)
    table = task.score(planted(), cache=tmp_path / "cache")
    assert table.groupby(["readout", "state"], sort=False)["group"].apply(list).to_dict() == {
        (readout, state): ["all", "a", "b"] for readout in ("logistic", "svm") for state in ("original", "shifted")
    }
    assert {"fpr", "fnr"} <= set(table.columns)
    assert table["state"].unique().tolist() == ["original", "shifted"]
    assert folder_task(classes).score(planted())["group"].unique().tolist() == ["all", "cold", "warm"]
