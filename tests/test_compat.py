"""The documented examples of the peer run with another import line, and say what was tested."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from chinspect import compat
from chinspect.compat import SpRAyDetector
from chinspect.errors import InputError
from chinspect.spray import SpRAy

SIDE = 24


@pytest.fixture(scope="module", autouse=True)
def few_surrogates():
    """A fifth of the usual number, to be fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compat, "SpRAy", partial(SpRAy, n_surrogates=19))
        yield


def noise(n, seed):
    return np.random.default_rng(seed).random((n, SIDE, SIDE)).astype(np.float32) ** 8


@pytest.fixture(scope="module")
def planted():
    maps = noise(90, 0)
    maps[:12, 19:23, 1:5] += 2
    return maps, np.arange(90) % 3


@pytest.fixture(scope="module")
def detector(planted):
    maps, labels = planted
    return SpRAyDetector(downsample_size=16).fit(heatmaps=maps, labels=labels, group_labels=np.arange(90) < 12)


class Classifier(nn.Module):
    """Feature maps under a name with a dot, and several outputs."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.layer4 = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        features = self.backbone.layer4(x).mean((2, 3))
        return {"logits": self.fc(features), "features": features}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Classifier()


def test_the_first_example(planted, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "heatmaps.npy", planted[0])
    np.save(tmp_path / "labels.npy", planted[1])
    monkeypatch.chdir(tmp_path)

    heatmaps = np.load("heatmaps.npy")
    labels = np.load("labels.npy")

    detector = SpRAyDetector(
        affinity="cosine",
        cluster_selection="auto",
        downsample_size=32,
    )
    detector.fit(heatmaps=heatmaps, labels=labels)
    report = detector.get_report()

    print(report["report"]["clever_hans"])  # noqa: T201

    assert "'risk_level': 'candidate'" in capsys.readouterr().out


def test_the_second_example(model, tmp_path, monkeypatch, capsys):
    torch.save(model, tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)

    model = torch.load("model.pt", map_location="cpu", weights_only=False)
    inputs = torch.rand(40, 3, SIDE, SIDE)

    detector = SpRAyDetector(
        affinity="rbf",
        cluster_selection="eigengap",
        max_clusters=8,
    )
    detector.fit(
        inputs=inputs,
        model=model,
        target_layer="backbone.layer4",
        head="logits",
    )
    print(detector.summary())  # noqa: T201

    said = capsys.readouterr().out
    assert said.startswith("SpRAy: ")
    assert 2 <= said.count("cluster ") <= 8
    assert model.training


def test_the_flag_is_the_tested_one(detector):
    found = detector.get_report()["report"]["clever_hans"]
    assert found["shortcut_detected"] is True
    assert found["risk_level"] == "candidate"
    assert found["candidates"][0]["indices"] == list(range(12))
    assert found["flags"][0].startswith("12 maps share ")


@pytest.mark.parametrize("labelled", [False, True])
def test_nothing_is_flagged_or_called_low_where_there_is_nothing(labelled):
    labels = np.random.default_rng(1).integers(0, 2, 80) if labelled else None
    found = SpRAyDetector(downsample_size=16).fit(noise(80, 2), labels=labels).get_report()
    assert found["shortcut_detected"] is False
    assert found["risk_level"].startswith("undetected_above(")
    assert found["report"]["clever_hans"]["flags"] == []


def test_records_of_clusters_by_their_definitions(detector, planted):
    labels = planted[1]
    report = detector.get_report()
    records, clusters = report["report"]["clusters"], detector.cluster_labels_
    assert sum(record["size"] for record in records) == 90
    for record in records:
        members = np.flatnonzero(clusters == record["cluster_id"])
        assert record["size"] == len(members)
        assert record["fraction"] == pytest.approx(len(members) / 90)
        assert record["label_purity"] == pytest.approx(np.bincount(labels[members]).max() / len(members))
        carriers = np.mean(members < 12)
        assert record["group_purity"] == pytest.approx(max(carriers, 1 - carriers))
        pooled = detector.spray_.maps_[members].reshape(len(members), -1).astype(float)
        focus = 1 - np.abs(pooled).sum(1) ** 2 / (pooled.shape[1] * (pooled**2).sum(1))
        assert record["focus_mean"] == pytest.approx(focus.mean(), rel=1e-5)
        assert record["focus_std"] == pytest.approx(focus.std(), rel=1e-4)
        mean = detector.representative_heatmaps_[record["cluster_id"]]
        np.testing.assert_allclose(mean.ravel(), pooled.mean(0), atol=1e-6)
    assert len(set(clusters[:12])) == 1
    assert report["metrics"]["n_clusters"] == len(records) == len(detector.representative_heatmaps_)
    assert -1 <= report["metrics"]["silhouette"] <= 1
    json.dumps(report["report"], allow_nan=True)


def test_a_wanted_number_of_clusters_is_kept(planted):
    detector = SpRAyDetector(n_clusters=3, cluster_selection="fixed", downsample_size=(12, 8)).fit(planted[0])
    assert detector.get_report()["metrics"]["n_clusters"] == 3
    assert {mean.shape for mean in detector.representative_heatmaps_.values()} == {(12, 8)}


def test_maps_that_cannot_be_compared_are_in_no_cluster(planted):
    maps = np.concatenate([planted[0], np.zeros((1, SIDE, SIDE)), np.full((1, SIDE, SIDE), np.nan), planted[0][20:21]])
    clusters = SpRAyDetector(downsample_size=16).fit(maps[..., None]).cluster_labels_
    assert clusters[90:92].tolist() == [-1, -1]
    assert clusters[92] == clusters[20] >= 0


def test_a_generator_makes_the_maps(planted):
    detector = SpRAyDetector(downsample_size=16, heatmap_generator=lambda inputs: planted[0][inputs])
    assert detector.fit(inputs=np.arange(90)).shortcut_detected_


def test_layers_heads_and_batches_are_those_asked_for(model):
    x = torch.rand(20, 3, SIDE, SIDE)
    model.backbone.layer4[1].eval()

    def maps(**asked):
        return SpRAyDetector(downsample_size=None).fit(inputs=asked.pop("inputs", x), model=model, **asked).spray_.maps_

    layer = model.backbone.layer4
    one = maps(target_layer="backbone.layer4", head="features", target_index=2)
    np.testing.assert_allclose(one, maps(target_layer=layer, head="features", target_index=2, batch_size=3), atol=1e-6)
    np.testing.assert_allclose(
        one, maps(target_layer=layer, head="features", target_index=2, inputs=list(x)), atol=1e-6
    )
    other = maps(target_layer=layer, head="features", target_index=5)
    assert one.shape != other.shape or not np.allclose(one, other)
    assert model.training
    assert not model.backbone.layer4[1].training
    with pytest.raises(InputError, match="the model has no output 'scores'"):
        maps(target_layer=layer, head="scores")
    with pytest.raises(InputError, match="no module of the model"):
        maps(target_layer=nn.Linear(1, 1))


def test_fewer_maps_than_the_most_clusters_are_divided_too():
    few = SpRAyDetector(downsample_size=None).fit(noise(7, 4))
    assert 2 <= few.get_report()["metrics"]["n_clusters"] <= 7
    assert set(few.cluster_labels_) == set(range(few.get_report()["metrics"]["n_clusters"]))
    with pytest.raises(InputError, match="not 8 to 10"):
        SpRAyDetector(downsample_size=None, min_clusters=8).fit(noise(7, 4))


def test_a_flag_tells_a_share(detector):
    share = int(detector.get_report()["report"]["clever_hans"]["flags"][0].split(" share ")[1].split("%")[0])
    assert 0 < share <= 100


def test_thresholds_that_decide_nothing_say_so():
    with pytest.warns(UserWarning, match="purity_threshold: not used, flags are tested against chance"):
        SpRAyDetector(purity_threshold=0.9)
    with pytest.raises(TypeError, match="no parameter purity_treshold"):
        SpRAyDetector(purity_treshold=0.9)


@pytest.mark.parametrize(
    ("parameters", "given", "message"),
    [
        ({"affinity": "euclidean"}, {}, "affinity 'euclidean' is not known: use one of cosine, rbf"),
        ({"cluster_selection": "elbow"}, {}, "selection 'elbow' is not known"),
        ({"cluster_selection": "fixed"}, {}, "needs n_clusters"),
        ({"n_clusters": 31}, {"heatmaps": noise(30, 3)}, "between 1 and the 30 maps compared, not 31 to 31"),
        ({}, {}, "give heatmaps, or inputs"),
        ({}, {"inputs": noise(5, 0)}, "give heatmaps, or inputs"),
        ({}, {"heatmaps": noise(30, 3), "group_labels": [1]}, "group_labels are one for each of 30 maps"),
        ({}, {"heatmaps": noise(30, 3), "labels": [1]}, "labels are one for each of 30 maps"),
    ],
)
def test_what_does_not_fit_is_refused(parameters, given, message):
    with pytest.raises(InputError, match=message):
        SpRAyDetector(**parameters).fit(**given)


def test_there_is_no_report_before_fit():
    with pytest.raises(InputError, match="no report before fit"):
        SpRAyDetector().get_report()
