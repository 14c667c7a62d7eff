"""Groups without labels, as studies: the scripts measure what they say, on few images."""

import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.exmap import watermark
from experiments.exmap.__main__ import main


def test_coloured_digits(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    images = np.zeros((60_100, 28, 28), np.uint8)
    digits = generator.integers(0, 10, len(images)).astype(np.uint8)
    images[digits > 4, 4:12, 12:16] = 255
    images[digits < 5, 16:24, 12:16] = 255
    path = tmp_path / "mnist.npz"
    names = ("train_images", "train_labels", "test_images", "test_labels")
    np.savez(
        path, **dict(zip(names, (images[:60_000], digits[:60_000], images[60_000:], digits[60_000:]), strict=True))
    )
    options = ["--mnist", str(path), "--images", "100", "--seeds", "1", "--epochs", "1", "--variants", "exmap"]
    monkeypatch.setattr(sys, "argv", ["exmap", *options, "--out", str(tmp_path / "out")])
    main()
    rows = pd.read_csv(tmp_path / "out" / "seeds.csv")
    assert set(rows["groups"].dropna()) >= {"exmap", "rescale", "grad-cam", "random", "classes", "true"}
    assert rows.query("groups == 'true'")["worst_recall"].eq(1).all()
    assert rows["worst"].between(0, 1).all()
    main()  # what is measured is not measured again
    assert len(pd.read_csv(tmp_path / "out" / "seeds.csv")) == len(rows)
    assert (tmp_path / "out" / "accuracy_exmap.csv").is_file()


def test_watermarked_photographs_are_drawn_in_four_groups(tmp_path):
    for split, name in (("train", "a"), ("train", "b"), ("val", "a"), ("val", "b")):
        (tmp_path / "data" / split / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (64, 64), (90, 120, 30)).save(tmp_path / "data" / split / name / f"{number}.png")
    watermark.draw(tmp_path / "data", tmp_path / "out", ["a", "b"], 3, 0)
    table = pd.read_csv(tmp_path / "out" / "groups.csv")
    test = table[table["path"].str.startswith("val/")]
    assert test.groupby([test["path"].str.split("/").str[1], "group"]).size().tolist() == [3] * 4
    marked = np.asarray(Image.open(tmp_path / "out" / test[test["group"] == "marked"]["path"].iloc[0]))
    assert np.ptp(marked) > 50


@pytest.mark.parametrize("script", ["main", "watermark"])
def test_data_are_asked_for(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script])
    with pytest.raises(SystemExit) as error:
        (main if script == "main" else watermark.main)()
    assert error.value.code == 2
    assert "give the d" in capsys.readouterr().err
