"""Models beside each other: who reads a mark is told from who does not, on a folder without labels."""

import numpy as np
import pandas as pd
import pytest
import torch

from chinspect.artefacts import imagenet_w
from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.execute import load_samples
from chinspect.known import compare
from chinspect.known.comparing import FLAGGED, RELIANCE, STRATEGIES
from chinspect.known.together import GAIN
from tests.known._photographs import SIZE, Reader, save_photographs


def reader(name: str, gain: float) -> Encoder:
    """A network that looks for the watermark, as strongly as the gain says."""
    mark = torch.from_numpy(imagenet_w().layer((SIZE, SIZE))[1])
    module = Reader(mark - mark.mean(), gain)
    return Encoder.wrap(module, name=name, size=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_photographs(tmp_path_factory.mktemp("compared") / "images", 5, classes=("a", "b"))


def test_who_reads_the_mark_is_told_from_who_does_not(folder):
    comparison = compare([reader("blind", 0.0), reader("reads", 30.0)], folder, artefact=imagenet_w(), images=8)
    rows = comparison.measured.set_index(["subject", "measure", "condition", "model"])["estimate"].sort_index()
    gain = rows[RELIANCE, GAIN]
    assert gain["imagenet-w", "reads"] > gain["imagenet-w", "blind"] + 0.2
    assert gain["imagenet-w", "reads"] > gain["random patch", "reads"] + 0.2
    assert rows[STRATEGIES, FLAGGED].notna().all()
    assert comparison.leads[RELIANCE] == (GAIN, "imagenet-w")
    table = comparison.overview()[f"{RELIANCE}: {GAIN}"]
    assert list(table["model"]) == ["blind", "reads"]
    assert f"{RELIANCE}, {GAIN}: blind " in comparison.sentence
    axes = comparison.figure().axes
    assert [axis.get_title(loc="left").split("\n")[0] for axis in axes] == [RELIANCE, STRATEGIES]


def test_images_are_drawn_once_for_all_models(folder):
    first, second = (
        compare([reader("reads", 30.0)], folder, artefact=imagenet_w(), images=6, seed=3).measured for _ in range(2)
    )
    pd.testing.assert_frame_equal(first, second)
    assert set(first["n"]) == {6}
    assert np.isfinite(first.loc[first["measure"] == GAIN, "estimate"]).all()


def test_what_cannot_be_compared_is_refused(folder):
    with pytest.raises(InputError, match="name one model or more"):
        compare([], folder)
    with pytest.raises(InputError, match="on 3 images or more, not on 2"):
        compare([reader("reads", 1.0)], folder, images=2)
    assert len(load_samples(folder)) == 10
