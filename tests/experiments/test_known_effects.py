"""The study of known effects: two halves without common photographs, and remedies that reach the classifier."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from chinspect.encoders import Encoder, Prune, Retrain, edited
from chinspect.execute import Samples
from chinspect.known import Models, Photographs, load_models
from experiments.known_effects.__main__ import MEASURES, halves, wide

PREPARED = {"size": 8, "mean": (0.0,) * 3, "std": (1.0,) * 3}


def models() -> Models:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = nn.Sequential(*body, nn.Linear(4, 1000))
    return Models(Encoder.wrap(body, name="body", **PREPARED), Encoder.wrap(head, name="head", **PREPARED))


def test_halves_share_nothing() -> None:
    names = tuple(f"{index}.png" for index in range(9))
    photographs = Photographs(Samples(".", names), np.arange(9))  # type: ignore[arg-type]
    first, second = halves(photographs, 0)
    assert {*first.samples.names} | {*second.samples.names} == {*names}
    assert len(first) + len(second) == 9
    assert [f"{index}.png" for index in first.classes] == list(first.samples.names)


@pytest.mark.parametrize("kind", ["prune", "retrain"])
def test_an_edit_of_the_encoder_is_one_of_the_classifier(kind: str) -> None:
    before = models()
    edit = Prune("1", (2,))
    if kind == "retrain":
        edit = Retrain({name: 2 * value for name, value in before.encoder.module.state_dict().items()})
    after = before.edited(edit)
    images = [np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)]
    last = before.classifier.module[-1]
    embedded = torch.from_numpy(after.encoder.respond(images)).float()
    np.testing.assert_allclose(after.logits(images), last(embedded), atol=1e-5)
    assert not np.allclose(after.logits(images), before.logits(images))


def test_a_mitigated_encoder_gets_the_classifier_of_its_base(monkeypatch: pytest.MonkeyPatch) -> None:
    base = models()
    edit = Prune("1", (2,))
    encoders = {"body": base.encoder, "folder": edited(base.encoder, edit)}
    monkeypatch.setattr("chinspect.known.models.as_encoder", encoders.__getitem__)
    monkeypatch.setattr("chinspect.known.models.load_classifier", {"body": base.classifier}.__getitem__)
    images = [np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)]
    mitigated = load_models("folder")
    assert mitigated.encoder is encoders["folder"]
    np.testing.assert_allclose(mitigated.logits(images), base.edited(edit).logits(images))


def test_the_table_has_a_row_a_remedy_beside_the_published_ones() -> None:
    columns = {"remedy": "none", "low": -1.0, "high": 1.0, "n": 5}
    rows = [
        columns | {"measure": measure, "condition": condition, "estimate": value}
        for measure in MEASURES
        for condition, value in (("plain", 0.9), ("watermark", 0.4))
    ]
    table = wide(pd.DataFrame(rows))
    assert table["remedy"].tolist()[:2] == ["none", "published: ResNet-50"]
    assert table.loc[0, "accuracy"] == 0.9
    assert table.loc[0, "similarity gain"] == 0.4
    assert table.loc[1, "accuracy change"] == -0.254
