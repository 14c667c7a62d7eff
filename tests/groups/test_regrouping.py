"""From a folder to a head that is right for groups that nobody has labelled."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from chinspect.cli.app import app
from chinspect.encoders import load_encoder
from chinspect.errors import InputError
from chinspect.groups import HEADS, class_groups, class_maps, compare_heads, find_groups, fit_head, regroup
from chinspect.readouts import LinearHead, evaluate


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-supervised")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes by brightness; a mark in a corner agrees with the class on most training images."""
    generator = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("marked")
    rows = [("path", "group")]
    for split, count, agreement in (("train", 24, 0.85), ("test", 12, 0.5)):
        for name in ("dark", "light"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.normal(110 if name == "dark" else 140, 25, (64, 64, 3)).clip(0, 255).astype(np.uint8)
                marked = (generator.random() < agreement) == (name == "light")
                if marked:
                    pixels[40:60, 36:60] = [250, 20, 20]
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
                rows.append((f"{split}/{name}/{number}.png", "marked" if marked else "plain"))
    with (root / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


@pytest.fixture(scope="module")
def found(encoder, folder, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return regroup(encoder, folder, groups=folder / "groups.csv", cache=cache)


def test_heads_are_judged_beside_an_average_one_and_random_groups(found):
    assert found.accuracy["head"].tolist() == ["average", "dfr, exmap", "dfr, random groups"]
    assert found.accuracy["worst"].between(0, 1).all()
    assert len(found.each) == 3 * 5  # all, and two classes with and without the mark
    assert set(found.quality) >= {"adjusted_rand_index", "worst_recall"}
    assert found.selected["by"] == "worst group"
    assert "with groups at random" in found.sentence


def test_accuracies_are_weighted_by_the_groups_of_the_training_images(encoder, folder):
    grouping = find_groups(encoder, folder, method="class", groups=folder / "groups.csv")
    sizes = dict(zip(grouping.judged.names, grouping.train_sizes, strict=True))
    assert sum(sizes.values()) == len(grouping.train)
    found = fit_head(grouping, "jtt")
    own = found.each[found.each["head"] == "average"].set_index("group")["accuracy"]
    expected = sum(size * own[name] for name, size in sizes.items()) / len(grouping.train)
    assert found.accuracy["adjusted"][0] == pytest.approx(expected)
    assert grouping.quality["n_groups"] == 2
    assert "nothing was found within one" in grouping.groups.sentence
    assert "nothing was found within one" not in grouping.truth.sentence


def test_a_head_is_saved_and_judged_by_evaluate(found, encoder, folder, tmp_path):
    files = found.save(tmp_path)
    assert {file.name for file in files} >= {"regrouping.json", "head.safetensors", "accuracy.csv"}
    assert json.loads((tmp_path / "regrouping.json").read_text())["accuracy"][1]["head"] == "dfr, exmap"
    head = LinearHead.load(tmp_path / "head.safetensors")
    np.testing.assert_array_equal(head.coefficients, found.head.coefficients)
    scores = evaluate(encoder, folder, head=tmp_path / "head.safetensors", groups=folder / "groups.csv")
    assert "dfr, exmap" in set(scores.rows["readout"])
    mean = scores.rows.query("readout == 'dfr, exmap' and group == 'all'")["accuracy"].item()
    assert mean == pytest.approx(found.accuracy["mean"][1])


def test_heads_of_another_encoder_and_other_files_are_refused(found, folder, tmp_path):
    path = found.head.save(tmp_path / "head.safetensors")
    with pytest.raises(InputError, match="was fitted on another encoder"):
        evaluate(load_encoder("tiny-clip"), folder, head=path)
    with pytest.raises(InputError, match="reads 256 numbers, not 3"):
        found.head.predict(np.zeros((1, 3)))
    (tmp_path / "text.safetensors").write_text("no")
    with pytest.raises(InputError, match="is no head"):
        LinearHead.load(tmp_path / "text.safetensors")


def test_groups_are_made_once_for_all_heads(found, encoder, folder, monkeypatch):
    grouping = find_groups(encoder, folder, groups=folder / "groups.csv")
    np.testing.assert_array_equal(grouping.groups.ids, found.groups.ids)
    assert len(grouping.train) == len(grouping.embeddings) == len(grouping.groups.ids) == 24
    assert len(grouping.test) == len(grouping.test_embeddings) == len(grouping.judged.ids) == 24
    monkeypatch.setattr(type(encoder), "embed", None)  # nothing is embedded or explained anew
    again = fit_head(grouping, "dfr")
    np.testing.assert_array_equal(again.head.coefficients, found.head.coefficients)
    assert again.accuracy.equals(found.accuracy)
    assert {fit_head(grouping, head).accuracy["head"][1] for head in ("jtt", "groupdro", "afr")} == {
        f"{head}, exmap" for head in set(HEADS) - {"dfr"}
    }
    with pytest.raises(InputError, match="not 'tree'"):
        fit_head(grouping, "tree")


def test_groups_without_any_head(encoder, folder):
    grouping = find_groups("tiny-supervised", folder, method="neighbours", groups=folder / "groups.csv", seed=3)
    assert "explanations" in grouping.groups.method
    assert grouping.quality["n_groups"] == len(grouping.groups.names) > 2
    result = fit_head(grouping)
    assert result.accuracy["head"][1] == "dfr, neighbours"
    assert result.head.encoder == encoder.fingerprint


def test_gain_and_margin_are_on_the_group_that_was_worst_before():
    labels = np.array(["a"] * 8 + ["b"] * 4)
    before = np.array(["a"] * 8 + ["b", "a", "a", "a"])
    after = np.array(["a"] * 6 + ["b"] * 5 + ["a"])
    table, each = compare_heads(labels, {"x": before, "y": after, "z": before}, class_groups(labels))
    assert table["worst_group"].tolist() == ["b", "a", "b"]
    assert table["worst"].tolist() == [0.25, 0.75, 0.25]
    assert table["gain"].tolist() == table["margin"].tolist() == [0, 0.5, 0]
    assert (table["gain_low"] < table["gain"]).all()
    assert len(each) == 9


def test_a_head_behind_its_encoder_is_a_classifier(found, encoder, folder):
    pictures = [Image.open(path) for path in sorted((folder / "test" / "dark").iterdir())[:3]]
    classifier = found.head.classifier(encoder)
    logits = classifier.embed(pictures).cpu().numpy()
    names = np.array(found.head.classes)[logits.argmax(1)]
    np.testing.assert_array_equal(names, found.head.predict(encoder.embed(pictures).cpu().numpy()))
    with pytest.raises(InputError, match="another encoder"):
        found.head.classifier(load_encoder("tiny-clip"))


@pytest.mark.parametrize("method", ["george", "loss", "class"])
def test_each_control(encoder, folder, method):
    other = regroup(encoder, folder, method=method, head="jtt")
    assert other.accuracy["head"][1] == f"jtt, {method}"
    assert other.quality == {}


def test_names_that_are_not_known(encoder, folder):
    with pytest.raises(InputError, match="not 'magic' and 'dfr'"):
        regroup(encoder, folder, method="magic")


def test_maps_are_of_the_predicted_class_and_batches_change_nothing():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, bias=False),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 3, bias=False),
    ).eval()
    images = torch.rand(70, 3, 8, 8)
    maps, predicted = class_maps(network, images)
    with torch.no_grad():
        logits = network(images)
    np.testing.assert_array_equal(predicted, logits.argmax(1))
    # without biases all of the logit is explained
    np.testing.assert_allclose(maps.sum((1, 2, 3)), logits.max(1).values, rtol=1e-3)
    single, _ = class_maps(network, images[:1], targets=np.array([2]))
    assert single.sum() == pytest.approx(float(logits[0, 2]), rel=1e-3)
    with pytest.raises(InputError, match="one target an image"):
        class_maps(network, images, targets=np.array([2]))


def test_the_verb(folder, tmp_path):
    options = ["groups", str(folder), "--model", "tiny-supervised", "--method", "george", "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    assert "worst group" in result.output
    assert (tmp_path / "o" / "head.safetensors").is_file()
