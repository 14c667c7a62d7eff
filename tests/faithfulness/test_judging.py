"""Maps beside controls: what knows the cause is ahead, what knows nothing is not, and what ones win is named."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.faithfulness import CONTROLS, METRICS, Judgement, control_maps, drop, judge, masked_score, road

SIDE = 14
COUNT = 8
RNG = np.random.default_rng(0)
CAUSES = np.zeros((COUNT, SIDE, SIDE), dtype=bool)
for index in range(COUNT):  # 4 x 4 pixels, away from the middle
    row, column = RNG.integers(0, 2, 2) * (SIDE - 5)
    CAUSES[index, row : row + 4, column : column + 4] = True


def score_of(cause: np.ndarray):
    """Rises to 1 with the brightness of the cause."""
    return lambda images: images.mean(1)[:, torch.from_numpy(cause)].mean(1).clamp(0, 1)


@pytest.fixture(scope="module")
def images() -> Tensor:
    images = 0.1 * torch.rand(COUNT, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return images + 0.8 * torch.from_numpy(CAUSES)[:, None]


@pytest.fixture(scope="module")
def judgement(images: Tensor) -> Judgement:
    maps = {"cause": CAUSES.astype(float), "noise": np.random.default_rng(1).random((COUNT, 7, 7))}
    scores = [score_of(cause) for cause in CAUSES]
    remaps = {name: [lambda _, map_=map_: map_ for map_ in table] for name, table in maps.items()}
    return judge(scores, images, maps, masks=CAUSES, remaps=remaps, reference="grey")


def test_the_map_of_the_cause_is_ahead_of_every_control(judgement: Judgement):
    verdicts = judgement.verdicts.set_index("metric")
    ahead = ["insertion", "deletion", "removal", "ROAD", "ADCC", "ARCC", "pointing game", "relevance mass"]
    assert set(verdicts.loc[ahead, "verdict"]) == {"tells maps from controls"}
    assert set(verdicts.loc[ahead, "method"]) == {"cause"}
    assert "cause is the best map, and ahead of the controls, by insertion, deletion" in judgement.sentence


def test_a_metric_that_a_control_wins_is_named(images: Tensor):
    noise = {"noise": np.random.default_rng(1).random((COUNT, 7, 7))}
    judged = judge([score_of(cause) for cause in CAUSES], images, noise, metrics=["drop", "complexity"])
    assert judged.verdicts["verdict"].tolist() == ["won by a control"]
    assert "Won by a map that knows nothing of the image: drop (by the all-ones mask)" in judged.sentence
    assert "measures nothing" in judged.sentence


def test_a_control_that_no_map_beats_on_any_image_wins():
    """However often they are level: a drop is at least 0, which a map of nearly ones has as well."""
    values = np.zeros((1, 4, 7))
    values[0, 0, :2] = 0.3
    values[0, 2:] = 0.5
    judged = Judgement(("a",), CONTROLS, ("drop",), tuple("abcdefg"), values, "the score")
    assert judged.verdicts["verdict"].tolist() == ["won by a control"]
    level = Judgement(("a",), CONTROLS, ("drop",), tuple("abcdefg"), 0 * values, "the score")
    assert level.verdicts["verdict"].tolist() == ["undecided"]


def test_a_map_without_knowledge_is_not_told_from_controls(images: Tensor):
    # one more random mask: in ten draws a level of 5 % alarms four times or more with probability .001
    alarms = 0
    for seed in range(10):
        maps = {"noise": np.random.default_rng(seed + 50).random((COUNT, 7, 7))}
        scores = [score_of(cause) for cause in CAUSES]
        judged = judge(scores, images, maps, metrics=["removal"], random_state=1000 * seed)
        alarms += (judged.verdicts["verdict"] == "tells maps from controls").sum()
    assert alarms < 4


def test_values_are_those_of_the_functions(judgement: Judgement, images: Tensor):
    row = judgement.metrics.index("ROAD")
    for index in range(COUNT):
        score, x = score_of(CAUSES[index]), images[index : index + 1]
        expected = road(score, x, CAUSES[index].astype(float), random_state=index).combined
        assert judgement.values[row, 0, index] == pytest.approx(expected)
        expected = drop(*masked_score(score, x, CAUSES[index].astype(float)))[0]
        assert judgement.values[judgement.metrics.index("drop"), 0, index] == pytest.approx(expected, abs=1e-6)


def test_what_is_no_metric_of_quality_has_no_verdict(images: Tensor, tmp_path):
    judged = judge(score_of(CAUSES[0]), images, {"a": CAUSES.astype(float)}, metrics=["complexity"])
    assert not len(judged.verdicts)
    assert judged.sentence == ""
    assert {path.name for path in judged.save(tmp_path)} >= {"metrics.csv", "faithfulness.png"}
    judged.show()


def test_few_images_decide_nothing(images: Tensor):
    maps = {"cause": CAUSES[:5].astype(float)}
    judged = judge([score_of(cause) for cause in CAUSES[:5]], images[:5], maps, metrics=["deletion"])
    assert judged.verdicts["verdict"].tolist() == ["too few images"]
    assert "Fewer than 6 images, which decide nothing: deletion." in judged.sentence


def test_shapley_values_are_shared_and_agree_with_the_cause(images: Tensor):
    asked = []

    def score(batch: Tensor) -> Tensor:
        asked.append(len(batch))
        return score_of(CAUSES[0])(batch)

    maps = {"cause": CAUSES[:1].astype(float), "inverse": 1 - CAUSES[:1].astype(float)}
    judged = judge(score, images[:1], maps, metrics=["Shapley"], reference="grey")
    assert sum(asked) < 900  # two estimates of 49 patches, for all maps together
    assert judged.values[0, 0, 0] > 0.8
    assert judged.values[0, 1, 0] == pytest.approx(-judged.values[0, 0, 0], abs=1e-5)
    assert judged.values[0, judged.maps.index("all-ones mask"), 0] == 0


def test_controls_know_nothing_of_an_image():
    maps = control_maps((28, 42), 3)
    assert tuple(maps) == CONTROLS
    assert np.ptp(maps["all-ones mask"]) == 0
    blob = maps["centred blob"]
    np.testing.assert_allclose(blob, blob[::-1, ::-1])
    assert blob.max() == blob[13:15, 20:22].max()
    np.testing.assert_array_equal(maps["random mask"], control_maps((28, 42), 3)["random mask"])


def test_it_is_saved_shown_and_drawn(judgement: Judgement, tmp_path, capsys):
    judgement = replace(judgement, metrics=judgement.metrics[:3], values=judgement.values[:3])
    names = {path.name for path in judgement.save(tmp_path)}
    assert names >= {"faithfulness.json", "faithfulness.png", "faithfulness.npz", "metrics.csv", "verdicts.csv"}
    document = json.loads((tmp_path / "faithfulness.json").read_text())
    assert document["controls"] == list(CONTROLS)
    assert len(document["metrics"]) == len(judgement.metrics) * 5
    assert document["metric_names"] == list(judgement.metrics)
    assert len(document["images"]) == COUNT
    judgement.show()
    out = capsys.readouterr().out
    assert "Does a metric tell maps from controls?" in out
    assert "centred blob" in out


def test_by_default_all_metrics_but_slow_ones_whose_needs_are_met(judgement: Judgement, images: Tensor):
    assert set(METRICS) - set(judgement.metrics) == {"Shapley"}
    plain = judge(score_of(CAUSES[0]), images[:1], {"a": CAUSES[:1].astype(float)})
    assert set(judgement.metrics) - set(plain.metrics) == {
        *("ADCC", "ARCC", "coherency"),
        *("pointing game", "relevance mass"),
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"maps": {}}, "at least one method"),
        ({"maps": {"centred blob": np.ones((2, 3, 3))}}, "by other names than"),
        ({"maps": {"a": np.ones((3, 3, 3))}}, r"finite numbers \(2, h, w\)"),
        ({"maps": {"a": np.full((2, 3, 3), np.nan)}}, "finite numbers"),
        ({"images": torch.ones(3, 8, 8)}, "images"),
        ({"scores": [lambda images: images.mean((1, 2, 3))]}, "as many scores"),
        ({"names": ["one"]}, "as many scores and names"),
        ({"metrics": ["RAOD"]}, "did you mean 'ROAD'"),
        ({"metrics": []}, "at least one"),
        ({"metrics": ["ROAD", "ROAD"]}, "once each"),
        ({"metrics": ["ADCC"]}, "needs the functions"),
        ({"metrics": ["pointing game"]}, "needs masks"),
        ({"masks": np.ones((2, 8, 8))}, "are booleans"),
        ({"masks": np.zeros((2, 8, 8), bool)}, "marks nothing"),
        ({"scores": lambda images: images.mean((1, 2, 3)) / 0}, "finite number"),
        ({"reference": "blurr"}, "unknown reference"),
    ],
)
def test_refusals_of_judge(changes, reason):
    settings = {
        "scores": lambda images: images.mean((1, 2, 3)),
        "images": torch.ones(2, 3, 8, 8),
        "maps": {"a": np.ones((2, 3, 3))},
    } | changes
    with pytest.raises(InputError, match=reason):
        judge(settings.pop("scores"), settings.pop("images"), settings.pop("maps"), **settings)


def test_patches_of_equal_relevance_are_removed_at_random(images: Tensor):
    """Row by row the last ones would come first, and a cause at the bottom would be hit by a map of ones."""
    bottom = np.zeros((SIDE, SIDE), dtype=bool)
    bottom[-4:] = True
    maps = {"cause": np.repeat(bottom[None].astype(float), 6, 0)}
    bright = (0 * images + torch.from_numpy(bottom))[:6]
    judged = judge(score_of(bottom), bright, maps, metrics=["removal"], reference="grey")
    values = dict(zip(judged.maps, judged.values[0].mean(1), strict=True))
    assert values["cause"] > 0.3
    assert abs(values["all-ones mask"]) < 0.15
