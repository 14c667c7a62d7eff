"""What any detector must pass: the contract of scikit-learn and PyOD, and hostile input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from chinspect.anomaly import D2Neighbors, Detector, explain_anomaly, threshold_at
from chinspect.errors import ImageWarning, InputError
from chinspect.images import load_inputs


def images(count: int, seed: int = 0, size: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (0.2 * torch.randn(count, 3, size, size, generator=generator)).clamp(-1, 1)


@pytest.fixture
def detector() -> Detector:
    return D2Neighbors(size=12).fit(images(20))


def test_parameters_are_only_stored_and_clones_are_unfitted() -> None:
    blur = torch.nn.Identity()
    detector = D2Neighbors(p=4, perplexity=0.5, layer=blur, size=64)
    assert detector.get_params()["layer"] is blur
    assert D2Neighbors(p=7).p == 7  # judged by fit
    copy = clone(detector.set_params(layer=None))
    assert copy.get_params() == detector.get_params()
    with pytest.raises(TypeError):
        D2Neighbors(2)  # type: ignore[misc]


@pytest.mark.parametrize("call", ["decision_function", "predict"])
def test_unfitted(call: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(D2Neighbors(), call)(images(2))
    with pytest.raises(NotFittedError):
        explain_anomaly(D2Neighbors(), images(2))


def test_fit_returns_the_detector_and_leaves_the_images() -> None:
    x = images(20)
    before, detector = x.clone(), D2Neighbors()
    assert detector.fit(x, np.ones(20)) is detector
    assert torch.equal(x, before)
    assert (detector.n_images_, detector.image_shape_) == (20, (3, 12, 12))


def test_anomalies_score_higher(detector: Detector) -> None:
    normal, odd = images(50, seed=1), images(50, seed=1)
    odd[:, :, 3:6, 3:6] = 0.9
    scores = detector.decision_function(normal)
    assert (scores.shape, scores.dtype) == ((50,), np.float64)
    assert (detector.decision_function(odd) > scores).all()
    assert detector.predict(odd).tolist() == [1] * 50
    assert detector.predict(normal).mean() < 0.3


def test_same_scores_alone_in_any_order_as_array_and_refitted(detector: Detector) -> None:
    x = images(9, seed=2)
    scores = detector.decision_function(x)
    alone = np.concatenate([detector.decision_function(x[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(alone, scores, rtol=1e-6)
    np.testing.assert_allclose(detector.decision_function(x.flip(0)), scores[::-1], rtol=1e-6)
    np.testing.assert_array_equal(detector.decision_function(x.double().numpy()), scores)
    np.testing.assert_array_equal(clone(detector).fit(images(20)).decision_function(x), scores)


def test_refitted_on_another_shape(detector: Detector) -> None:
    assert detector.fit(images(5, size=9)).image_shape_ == (3, 9, 9)


def test_the_threshold_holds_its_rate_on_unseen_normals() -> None:
    rates = [
        D2Neighbors(threshold_fpr=0.1).fit(images(60, seed=s)).predict(images(200, seed=s + 100)).mean()
        for s in range(5)
    ]
    assert np.mean(rates) < 0.13


@pytest.mark.parametrize(("count", "fpr", "rank"), [(99, 0.05, 95), (19, 0.05, 19), (5, 0.05, 5), (9, 0.5, 5)])
def test_the_threshold_is_the_conformal_quantile(count: int, fpr: float, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    assert threshold_at(scores, fpr) == rank


def test_folders_lists_and_paths_are_read_as_the_parameters_say(tmp_path: Path, detector: Detector) -> None:
    generator = np.random.default_rng(0)
    for i in range(70):  # more than one batch
        Image.fromarray(generator.integers(0, 255, (30, 20, 3), dtype=np.uint8)).save(tmp_path / f"{i:02}.png")
    paths = sorted(tmp_path.iterdir())
    scores = detector.decision_function(load_inputs(paths, "opencv-nearest", 12))
    np.testing.assert_array_equal(detector.decision_function(tmp_path), scores)
    np.testing.assert_array_equal(detector.decision_function([str(path) for path in paths]), scores)
    np.testing.assert_allclose(detector.decision_function(paths[3]), scores[3:4], rtol=1e-6)
    assert detector.fit(str(tmp_path)).n_images_ == 70


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (images(1)[0], r"\(3, 12, 12\)"),
        (images(2)[:0], r"\(0, 3, 12, 12\)"),
        (images(2)[:, :2], r"\(3, 12, 12\) and these are \(2, 12, 12\)"),
        (images(2) * float("nan"), "image 0 holds NaN"),
        (images(2) + 2, "from 1"),
        ((images(2) * 100).byte(), "to_input"),
        (np.array([["a"]]), "is none of them"),
        ([], "shape"),
        ("nowhere", "does not exist"),
        (["nowhere.png"], "does not exist"),
        (None, "none of them"),
    ],
)
def test_bad_images_are_refused_with_the_bad_value(detector: Detector, X: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        detector.decision_function(X)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"p": 3}, "not 3"),
        ({"perplexity": 1.0}, "not 1.0"),
        ({"threshold_fpr": 0}, "not 0"),
        ({"resizer": "nearest"}, "'nearest'"),
        ({"size": 0}, "0 pixels"),
        ({"calibrate_on": "test"}, "'test'"),
        ({"layer": torch.nn.ReLU()}, "not linear"),
        ({"layer": torch.nn.Conv2d(4, 4, 1)}, r"cannot read images \(3, 12, 12\)"),
    ],
)
def test_bad_parameters_are_refused_with_the_bad_value(parameters: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        D2Neighbors(**parameters).fit(images(5))


def test_one_image_is_no_training_set() -> None:
    with pytest.raises(InputError, match="not on 1"):
        D2Neighbors().fit(images(1))


@pytest.mark.parametrize(("train", "given"), [("train/good", "train/good"), ("train", "train"), ("test", "alone")])
def test_a_whole_data_set_is_not_learned_as_normal(tmp_path: Path, train: str, given: str) -> None:
    """Its defects and masks lie below it too."""
    for place in (train, "test/spot", "ground_truth/spot"):
        (tmp_path / place).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (12, 12), (40 * i,) * 3).save(tmp_path / place / f"{i}.png")
    with pytest.raises(InputError, match=rf"data set, .*{given}"):
        D2Neighbors(size=12).fit(tmp_path)
    with pytest.raises(InputError, match="data set"):
        D2Neighbors(size=12).fit(str(tmp_path))


def test_copies_among_training_images_are_told(tmp_path: Path) -> None:
    """They find each other where one is held out: unseen normal images then exceed the threshold far too often."""
    x = images(30)
    with pytest.warns(ImageWarning, match="image 30 has the same pixels as image 0, and 30 of 60 training images"):
        misled = D2Neighbors(size=12).fit(torch.cat([x, x]))
    assert misled.predict(images(60, seed=1)).mean() > 0.5 > D2Neighbors(size=12).fit(x).predict(images(60, 1)).mean()
    for name, grey in (("a", 0), ("b", 50), ("c", 0)):
        Image.new("RGB", (12, 12), (grey,) * 3).save(tmp_path / f"{name}.png")
    with pytest.warns(ImageWarning, match=r"c\.png' has the same pixels as .*a\.png', and 1 of 3"):
        D2Neighbors(size=12).fit(tmp_path)


def test_samples_are_scored_the_other_way_round_as_scikit_learn_has_it(detector: Detector) -> None:
    np.testing.assert_array_equal(detector.score_samples(images(3)), -detector.decision_function(images(3)))
