"""Detectors on disk: the same scores after loading, and one sentence for every file that is not one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.exceptions import NotFittedError

from chinspect.anomaly import D2Neighbors, explain_anomaly, load_detector, persistence, save_detector
from chinspect.errors import InputError
from chinspect.mitigate import Blur, recalibrate


def images(count: int, seed: int = 0, *, eight_bit: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = (0.25 * torch.randn(count, 3, 12, 12, generator=generator)).clamp(-1, 1)
    return ((x + 1) * 127.5).round().div(127.5).sub(1) if eight_bit else x


def header(path: Path) -> dict:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["chinspect"])


def rewritten(path: Path, **changes: object) -> Path:
    """The file with some fields of its header changed."""
    metadata = {"chinspect": json.dumps(header(path) | changes)}
    save_file(load_file(path), path, metadata=metadata)
    return path


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return save_detector(D2Neighbors(size=12).fit(images(9)), tmp_path / "detector.safetensors")


@pytest.mark.parametrize("eight_bit", [True, False])
@pytest.mark.parametrize("parameters", [{}, {"p": 1}, {"p": 4}, {"layer": Blur(5, 1.5), "calibrate_on": "original"}])
def test_a_loaded_detector_is_the_same(tmp_path: Path, parameters: dict, eight_bit: bool) -> None:
    detector = D2Neighbors(size=12, threshold_fpr=0.2, **parameters).fit(images(9, eight_bit=eight_bit))
    loaded = load_detector(save_detector(detector, tmp_path / "a.safetensors"))
    assert isinstance(loaded, D2Neighbors)
    x = images(4, 1)
    np.testing.assert_array_equal(loaded.decision_function(x), detector.decision_function(x))
    np.testing.assert_array_equal(explain_anomaly(loaded, x).pixels, explain_anomaly(detector, x).pixels)
    np.testing.assert_array_equal(loaded.held_out_scores_, detector.held_out_scores_)
    kept = ("gamma_", "threshold_", "image_shape_", "n_images_")
    assert [getattr(loaded, name) for name in kept] == [getattr(detector, name) for name in kept]
    assert repr(loaded) == repr(detector)


def test_a_recalibrated_detector_says_so_on_disk(tmp_path: Path) -> None:
    detector = D2Neighbors(size=12).fit(images(9))
    again = recalibrate(detector, images(4, seed=5), fpr=0.25, resizer="pillow-bilinear")
    loaded = load_detector(save_detector(again, tmp_path / "again"))
    assert (loaded.resizer, loaded.threshold_fpr, detector.resizer) == ("pillow-bilinear", 0.25, "opencv-nearest")
    np.testing.assert_array_equal(loaded.held_out_scores_, detector.decision_function(images(4, seed=5)))
    assert loaded.threshold_ == loaded.held_out_scores_.max()
    assert loaded.threshold_source_ == again.threshold_source_ == "scores of 4 normal images that it was not fitted on"
    assert detector.threshold_source_ == "held-out scores of 9 normal training images"


def test_the_header_says_what_is_in_the_file(stored: Path) -> None:
    found = header(stored)
    assert (found["class"], found["schema"], found["images"]) == ("D2Neighbors", 1, 9)
    assert found["threshold"]["source"] == "held-out scores of 9 normal training images"
    assert found["parameters"]["resizer"] == "opencv-nearest"
    assert {"torch", "numpy", "pillow"} <= set(found["libraries"])
    assert load_file(stored)["bank"].dtype == torch.int8


def test_saving_again_gives_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    assert save_detector(load_detector(stored), tmp_path / "b").read_bytes() == stored.read_bytes()


def test_another_preprocessing_is_refused(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(image: np.ndarray, size: int, resizer: str) -> np.ndarray:
        return image[:size, :size]

    monkeypatch.setattr(persistence, "resize", other)
    with pytest.raises(InputError, match=r"'opencv-nearest' to 12 px\) gives other pixels here"):
        load_detector(stored)


def test_fingerprints_tell_resizers_apart() -> None:
    names = ("opencv-nearest", "opencv-nearest-exact", "pillow-bilinear", "torch-bilinear-aa")
    assert len({persistence.preprocessing_fingerprint(name, size) for name in names for size in (64, 224)}) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "has schema 2 and this version reads 1"),
        ({"class": "Oracle"}, "'Oracle' is not known"),
        ({"class": "Blur"}, "'Blur' is not known"),
        ({"parameters": {"q": 1}}, "no detector"),
        ({"parameters": {"blur": {"layer": "ReLU", "parameters": {}}}}, "'ReLU' is not known"),
        ({"threshold": None}, "no detector"),
    ],
)
def test_changed_headers_are_refused(stored: Path, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_detector(rewritten(stored, **changes))


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated_files_are_refused(stored: Path, kept: int) -> None:
    stored.write_bytes(stored.read_bytes()[:kept])
    with pytest.raises(InputError, match="truncated or no detector"):
        load_detector(stored)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    with pytest.raises(InputError, match="there is no detector"):
        load_detector(path)
    for write in (
        lambda: path.write_text("hello"),
        lambda: torch.save({"bank": images(2)}, path),
        lambda: save_file({"bank": images(2)}, path),
        lambda: save_file({"bank": images(2)}, path, metadata={"format": "pt"}),
        lambda: save_file({"bank": images(2)}, path, metadata={"chinspect": "[]"}),
    ):
        write()
        with pytest.raises(InputError, match=r"'.*foreign' is truncated or no detector of chinspect"):
            load_detector(path)


@pytest.mark.parametrize("lost", ["bank", "gamma", "held_out_scores"])
def test_a_file_that_lacks_a_tensor_is_refused(stored: Path, lost: str) -> None:
    tensors, metadata = load_file(stored), {"chinspect": json.dumps(header(stored))}
    del tensors[lost]
    save_file(tensors, stored, metadata=metadata)
    with pytest.raises(InputError, match=lost):
        load_detector(stored)


def test_what_cannot_be_saved_leaves_no_file(stored: Path, tmp_path: Path) -> None:
    before = stored.read_bytes()
    with pytest.raises(NotFittedError):
        save_detector(D2Neighbors(), stored)
    with pytest.raises(InputError, match="layer=AvgPool2d"):
        save_detector(D2Neighbors(layer=torch.nn.AvgPool2d(3, 1, 1)).fit(images(3)), stored)
    with pytest.raises(InputError, match="does not exist: make it"):
        save_detector(D2Neighbors().fit(images(3)), tmp_path / "no" / "folder")
    assert stored.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["detector.safetensors"]


def test_other_classes_can_register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(D2Neighbors):
        pass

    path = save_detector(Own().fit(images(3)), tmp_path / "own")
    with pytest.raises(InputError, match="'Own' is not known"):
        load_detector(path)
    monkeypatch.setattr(persistence, "_REGISTERED", {})
    assert persistence.register(Own) is Own
    assert type(load_detector(path)) is Own
