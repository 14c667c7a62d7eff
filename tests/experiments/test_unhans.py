"""The study of un-Hans'ing: its data are what it says, and its script runs."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from chinspect.intervals import wilson
from chinspect.mitigate import output_relevance
from chinspect.readouts import Pairs
from experiments.unhans import __main__ as study
from experiments.unhans import data
from tests.mitigate._planted import as_encoder


def test_classes_carry_their_artefacts() -> None:
    drawn = data.drawn(480, seed=1)
    for name, bias in data.biases().items():
        own = [i for i, label in enumerate(drawn.labels) if label == bias.target]
        carriers = drawn.affected(name)
        share = sum(i in carriers for i in own) / len(own)
        assert abs(share - data.PREVALENCE) < 4 * np.sqrt(0.24 / len(own)), name
        assert len(set(carriers) - set(own)) < 0.06 * (480 - len(own)), name
    for i, carried in enumerate(drawn.carried):
        same = np.array_equal(np.asarray(drawn.shown[i]), np.asarray(drawn.plain[i]))
        assert same == (carried is None)


def test_the_copy_shows_the_artefact_on_every_image() -> None:
    plain = data.drawn(12, seed=2).plain
    changed = {}
    for name in ("watermark", "object"):
        copies = data.everywhere(plain, data.biases()[name], seed=0)
        changed[name] = [(np.asarray(a) != np.asarray(b)).any(2) for a, b in zip(copies, plain, strict=True)]
        assert all(mask.any() for mask in changed[name])
    tops = {name: {int(np.flatnonzero(mask.any(1))[0]) for mask in masks} for name, masks in changed.items()}
    assert max(tops["watermark"]) - min(tops["watermark"]) <= 2
    assert len(tops["object"]) > 4


def test_no_image_of_the_copy_carries_the_artefact_twice() -> None:
    drawn = data.drawn(96, seed=4)
    for name, bias in data.biases().items():
        carriers = drawn.affected(name)
        copies = data.everywhere(drawn.shown, bias, seed=1, carriers=carriers)
        changed = [
            i for i, copy in enumerate(copies) if not np.array_equal(np.asarray(copy), np.asarray(drawn.shown[i]))
        ]
        assert carriers
        assert changed == sorted({*range(96)} - {*carriers}), name


@pytest.mark.parametrize("name", ["watermark", "object"])
def test_training_set_b_is_a_with_the_artefact_where_it_was_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    seen: dict[str, list[np.ndarray]] = {}

    def recorded(_: Any, artefact: Any, task: Any, *, method: str, **__: Any) -> None:
        seen.setdefault(method, []).append(np.stack([np.asarray(picture) for picture in task.train]))
        assert (artefact is None) == (method == "unhans")

    monkeypatch.setattr(study, "train_unlearning", recorded)
    drawn = data.drawn(64, seed=5)
    bias = data.biases()[name]
    task = study.task_of(drawn, drawn, bias, 48)
    options = Namespace(tuning_epochs=1, seed=0)
    study.unlearnt("resnet", None, bias, task, drawn.affected(name), options)
    a, b = seen["unhans"]
    own = np.isin(np.arange(48), drawn.affected(name))
    assert 0 < own.sum() < 48
    assert ((a != b).any((1, 2, 3)) == ~own).all()
    assert (a == seen["clarc"][0]).all()


def test_the_narrow_vgg_can_be_explained() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = as_encoder(data.network("vgg"), size=128)
    picture = data.drawn(1, seed=3).plain[0]
    marked = data.everywhere([picture] * 2, data.biases()["border"], seed=0)
    assert sum(isinstance(module, torch.nn.Conv2d) for module in classifier.module.modules()) == 13
    assert -1 < output_relevance(classifier, 0, Pairs(marked, [picture] * 2)) < 1


def test_the_script_runs(tmp_path: Path, run_study: Callable[..., None]) -> None:
    run_study("unhans", "--smoke", "--out", tmp_path)
    tables = {name: pd.read_csv(tmp_path / f"{name}.csv") for name in ("table2", "table3", "table4")}
    assert tables["table2"]["training"].tolist() == ["none", "A", "B", "ClArC"]
    for name in ("validation_A", "validation_B"):
        rows = tables["table2"]
        counts = rows[name] / 100 * 32
        assert counts.to_numpy() == pytest.approx(counts.round(), abs=1e-3)
        low, high = wilson(round(counts[1]), 32)
        assert rows.loc[1, [f"{name}_low", f"{name}_high"]].tolist() == pytest.approx([100 * low, 100 * high])
        assert f"{name}_low".replace("_", r"\_") not in (tmp_path / "table2.tex").read_text()
    conditions = ["artefact", "area elsewhere", "artefact elsewhere"]
    assert tables["table3"]["condition"].tolist()[: len(conditions)] == conditions
    for table in (tables["table3"], tables["table4"]):
        assert (
            (table["probability_low"] <= table["probability"]) & (table["probability"] <= table["probability_high"])
        ).all()
    assert tables["table3"]["paper_rank"][0] == 106.10
    with Image.open(tmp_path / "figure9-resnet-object.png") as figure:
        assert np.asarray(figure.convert("L")).std() > 5  # it is not blank
    assert (tmp_path / "table2.tex").read_text().startswith(r"\begin{tabular}")
