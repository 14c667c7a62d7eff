"""Whoever waits for a fit is told how far it is."""

import numpy as np
import pytest
from PIL import Image

from chinspect.anomaly import fit
from chinspect.errors import ImageWarning, InputError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_images_read_and_parts_scored_are_counted(folder):
    told = []
    fit(
        "patchcore",
        folder,
        backbone="tiny-clip",
        size=32,
        coreset=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[0] == (5, 5)  # read
    assert (5, 5) in told[1:]  # seen by the network
    assert told[-1] == (5, 6)  # held out, one after the other; the sixth is the bank of all
    fit("d2neighbors", folder, size=16)
    assert len(told) == 7


def test_what_cannot_be_read_is_left_out_unless_one_is_strict(folder):
    (folder / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.png"):
        fit("d2neighbors", folder, size=16)
    with pytest.warns(ImageWarning, match=r"1 of 6 images cannot be read and is left out: '.*bad\.png'"):
        detector = fit("d2neighbors", folder, size=16, strict=False)
    assert detector.n_images_ == 5
    with pytest.raises(InputError, match="missing"):  # not one that cannot be read: it may be there later
        fit("d2neighbors", [folder / "0.png", folder / "missing.png", folder / "1.png"], size=16, strict=False)
    (folder / "bad.png").unlink()
    with pytest.raises(InputError, match="threshold_fpr"):
        fit("d2neighbors", folder, size=16, strict=False, threshold_fpr=2)
