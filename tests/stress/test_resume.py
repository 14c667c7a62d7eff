"""Interrupted scoring goes on where it stopped, and nothing of another making is ever read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _nearest import Nearest
from sklearn.base import clone

from chinspect.anomaly import CallableDetector, D2Neighbors
from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.images.resizers import load_inputs
from chinspect.mitigate import Blur
from chinspect.stress import Condition, Mitigation, score_conditions, stress

CONDITIONS = [Condition("opencv-nearest"), Condition("opencv-nearest", "shift-1px")]


class Interrupted(Exception):
    """What stops a run."""


class Counting(D2Neighbors):
    """Counts the batches that it scores, and stops at one of them."""

    batches, stop = 0, 10**6

    def _score(self, x):
        type(self).batches += 1
        if type(self).batches == type(self).stop:
            raise Interrupted
        return super()._score(x)


@pytest.fixture
def counting(dataset: MVTecCategory, monkeypatch: pytest.MonkeyPatch) -> Counting:
    """A detector that scores 4 batches of 4 images."""
    monkeypatch.setattr("chinspect.stress.scoring._BATCH", 4)
    detector = Counting(size=32).fit(dataset.train)
    monkeypatch.setattr(Counting, "batches", 0)
    monkeypatch.setattr(Counting, "stop", 10**6)
    return detector


def scored(detector: D2Neighbors, dataset: MVTecCategory, folder: Path | None, **changed) -> np.ndarray:
    options = {"conditions": CONDITIONS, "resume": folder} | changed
    return score_conditions([detector], options.pop("paths", dataset.test), **options)


def test_an_interrupted_run_goes_on(counting: Counting, dataset: MVTecCategory, tmp_path: Path) -> None:
    Counting.stop = 2 * len(CONDITIONS) + 2  # within the third batch
    with pytest.raises(Interrupted):
        scored(counting, dataset, tmp_path)
    Counting.batches, Counting.stop = 0, 10**6
    calls: list[tuple[int, int]] = []
    again = scored(counting, dataset, tmp_path, progress=lambda *numbers: calls.append(numbers))
    assert Counting.batches == 2 * len(CONDITIONS)
    assert calls == [(8, 16), (12, 16), (16, 16)]
    np.testing.assert_array_equal(again, scored(counting, dataset, None))
    Counting.batches = 0
    np.testing.assert_array_equal(scored(counting, dataset, tmp_path), again)
    assert Counting.batches == 0


def test_whatever_decides_a_score_is_told_apart(counting: Counting, dataset: MVTecCategory, tmp_path: Path) -> None:
    scored(counting, dataset, tmp_path)
    altered = clone(counting).fit(dataset.train[1:])
    for options in (
        {"detector": altered},
        {"detector": clone(counting).set_params(p=4).fit(dataset.train)},
        {"conditions": [CONDITIONS[0], Condition("opencv-nearest", "bgr")]},
        {"conditions": CONDITIONS[::-1]},
        {"seed": 1},
        {"paths": dataset.test[::-1]},
    ):
        Counting.batches = 0
        detector = options.pop("detector", counting)
        found = scored(detector, dataset, tmp_path, **options)
        np.testing.assert_array_equal(found, scored(detector, dataset, None, **options))
        assert Counting.batches == 2 * 4 * len(CONDITIONS)


def test_an_edited_image_is_scored_again(counting: Counting, dataset: MVTecCategory, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.jpg" for i in range(4)]
    for path, original in zip(paths, dataset.test, strict=False):
        path.write_bytes(original.read_bytes())
    before = scored(counting, dataset, tmp_path / "kept", paths=paths)
    times = os.stat(paths[0])
    paths[0].write_bytes(dataset.test[-1].read_bytes())
    os.utime(paths[0], ns=(times.st_atime_ns, times.st_mtime_ns))
    after = scored(counting, dataset, tmp_path / "kept", paths=paths)
    assert (after[:, :, 0] != before[:, :, 0]).all()
    np.testing.assert_array_equal(after[:, :, 1:], before[:, :, 1:])


SCRIPT = """
import os, signal, sys
from pathlib import Path
from chinspect.anomaly import D2Neighbors, load_detector
from chinspect.stress import Condition, score_conditions, scoring

scoring._BATCH = 2
left, original = [3], D2Neighbors._score

def killed(self, x):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return original(self, x)

D2Neighbors._score = killed
detector, folder, *paths = sys.argv[1:]
images = [Path(path) for path in paths]
score_conditions([load_detector(detector)], images, [Condition("opencv-nearest")], resume=folder)
"""


def test_a_killed_process_leaves_what_it_had_done(
    dataset: MVTecCategory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chinspect.anomaly import load_detector, save_detector

    file = save_detector(D2Neighbors(size=32).fit(dataset.train), tmp_path / "detector.safetensors")
    arguments = [str(file), str(tmp_path / "kept"), *map(str, dataset.test)]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len(list((tmp_path / "kept").glob("*/shards/*.safetensors"))) == 3
    monkeypatch.setattr("chinspect.stress.scoring._BATCH", 2)
    scored_batches: list[int] = []
    original = D2Neighbors._score
    monkeypatch.setattr(D2Neighbors, "_score", lambda self, x: scored_batches.append(len(x)) or original(self, x))
    detector = load_detector(file)
    conditions = [Condition("opencv-nearest")]
    scores = score_conditions([detector], dataset.test, conditions, resume=tmp_path / "kept")
    assert scored_batches == [2] * 5
    np.testing.assert_array_equal(scores, score_conditions([detector], dataset.test, conditions))


def test_a_whole_stress_test_goes_on(counting: Counting, dataset: MVTecCategory, tmp_path: Path) -> None:
    held_out = dataset.train[:4]
    remedies = [
        Mitigation("blur", clone(counting).set_params(layer=Blur()).fit(dataset.train)),
        Mitigation("new", None, held_out, 0.2),
    ]
    data = replace(dataset, train=dataset.train[4:])
    Counting.batches = 0
    expected = stress(counting, data, changes=["jpeg-90"], mitigate=remedies)
    whole = Counting.batches
    Counting.batches, Counting.stop = 0, whole // 2
    with pytest.raises(Interrupted):
        stress(counting, data, changes=["jpeg-90"], mitigate=remedies, resume=tmp_path)
    Counting.batches, Counting.stop = 0, 10**6
    found = stress(counting, data, changes=["jpeg-90"], mitigate=remedies, resume=tmp_path)
    assert Counting.batches < whole * 0.8
    pd.testing.assert_frame_equal(found.table, expected.table)
    pd.testing.assert_frame_equal(found.scores, expected.scores)


def test_fingerprints_tell_detectors_and_filters_apart(dataset: MVTecCategory) -> None:
    inputs = load_inputs(dataset.train, "opencv-nearest", 32)
    fitted = [
        D2Neighbors(size=32).fit(inputs),
        D2Neighbors(size=32).fit(inputs[1:]),
        D2Neighbors(size=32, p=4).fit(inputs),
        D2Neighbors(size=32, perplexity=0.5).fit(inputs),
        D2Neighbors(size=32, layer=Blur(5, 1.0)).fit(inputs),
        D2Neighbors(size=32, layer=Blur(5, 2.0)).fit(inputs),
        D2Neighbors(size=32, layer=Blur(7, 2.0)).fit(inputs),
    ]
    assert len({detector.fingerprint for detector in fitted}) == len(fitted)
    assert D2Neighbors(size=32).fit(inputs).fingerprint == fitted[0].fingerprint
    assert D2Neighbors(size=32, layer=Blur(5, 1.0)).fit(inputs).fingerprint == fitted[4].fingerprint


def test_without_a_fingerprint_nothing_is_kept(dataset: MVTecCategory, nearest: Nearest, tmp_path: Path) -> None:
    function = CallableDetector(lambda x: x.mean((1, 2, 3)), size=32).fit(dataset.train)
    for detector in (nearest, function):
        with pytest.raises(InputError, match="no fingerprint"):
            score_conditions([detector], dataset.test, CONDITIONS, resume=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    with pytest.raises(InputError, match="no images"):
        score_conditions([nearest], [], CONDITIONS)
