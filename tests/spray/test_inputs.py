from pathlib import Path

import numpy as np
import pytest

from chinspect.errors import InputError
from chinspect.spray.maps import load_labels, load_maps


def test_a_link_has_the_label_of_the_folder_that_it_lies_in(tmp_path, monkeypatch):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "1.png").touch()
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").symlink_to(tmp_path / "store" / "1.png")
    monkeypatch.chdir(tmp_path / "cat")
    found = [".", tmp_path / "dog", tmp_path / "dog" / ".." / "cat", tmp_path / "store" / "x" / ".."]
    paths = [Path(folder) / "1.png" for folder in found]
    assert load_labels("folder", ["1"] * 4, paths) == ["cat", "dog", "cat", "store"]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_that_come_last_are_not_summed_by_rows(tmp_path, channels):
    np.save(tmp_path / "maps.npy", np.ones((3, 8, 9, channels)))
    with pytest.raises(InputError, match=rf"shape \(3, 8, 9, {channels}\) have their channels last: put them second"):
        load_maps(tmp_path / "maps.npy")
    np.save(tmp_path / "maps.npy", np.ones((3, channels, 8, 9)))
    assert load_maps(tmp_path / "maps.npy").shape == (3, 8, 9)
