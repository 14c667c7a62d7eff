"""The study of un-Hans'ing: its data are what it says, and its script runs."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from chinspect.mitigate import output_share
from tests.mitigate._planted import as_encoder

SCRIPTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return import_module("unhans_data")


def test_classes_carry_their_artefacts(data: Any) -> None:
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


def test_the_copy_shows_the_artefact_on_every_image(data: Any) -> None:
    plain = data.drawn(12, seed=2).plain
    changed = {}
    for name in ("watermark", "object"):
        copies = data.everywhere(plain, data.biases()[name], seed=0)
        changed[name] = [(np.asarray(a) != np.asarray(b)).any(2) for a, b in zip(copies, plain, strict=True)]
        assert all(mask.any() for mask in changed[name])
    tops = {name: {int(np.flatnonzero(mask.any(1))[0]) for mask in masks} for name, masks in changed.items()}
    assert max(tops["watermark"]) - min(tops["watermark"]) <= 2
    assert len(tops["object"]) > 4


def test_the_narrow_vgg_can_be_explained(data: Any) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = as_encoder(data.network("vgg"), size=128)
    picture = data.drawn(1, seed=3).plain[0]
    marked = data.everywhere([picture] * 2, data.biases()["border"], seed=0)
    assert sum(isinstance(module, torch.nn.Conv2d) for module in classifier.module.modules()) == 13
    assert -1 < output_share(classifier, 0, marked, [picture] * 2) < 1


def test_the_script_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "unhans.py"), "--smoke", "--out", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    tables = {name: pd.read_csv(tmp_path / f"{name}.csv") for name in ("table2", "table3", "table4")}
    assert tables["table2"]["training"].tolist() == ["none", "A", "B", "ClArC"]
    assert tables["table2"][["validation_A", "validation_B"]].stack().between(0, 100).all()
    conditions = ["artefact", "area elsewhere", "artefact elsewhere", "random patches"]
    assert tables["table3"]["condition"].tolist() == conditions
    for table in (tables["table3"], tables["table4"]):
        assert (
            (table["probability_low"] <= table["probability"]) & (table["probability"] <= table["probability_high"])
        ).all()
    assert tables["table3"]["paper_rank"][0] == 106.10
    assert (tmp_path / "figure9-resnet-object.png").stat().st_size > 10_000
    assert (tmp_path / "table2.tex").read_text().startswith(r"\begin{tabular}")
