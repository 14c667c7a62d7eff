from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chinspect.errors import InputError
from chinspect.execute import Samples, Store, load_samples, map_images

N = 7
SHARD = 3


@dataclass(frozen=True)
class Mean:
    """The mean colour of each picture, and where it stands among all."""

    offset: float = 1.0
    calls: list = field(default_factory=list, compare=False)
    device: str = "cpu"

    @property
    def description(self):
        return {"kind": "mean colours", "offset": self.offset}

    def __call__(self, pictures, indices):
        self.calls.append(indices)
        colours = np.stack([np.asarray(picture).mean((0, 1)) for picture in pictures])
        return {"colours": colours + self.offset, "indices": np.array(indices)}


@pytest.fixture
def samples(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(N):
        Image.new("RGB", (16, 16), (i, 2 * i, 0)).save(folder / f"{i}.png")
    return load_samples(folder)


@pytest.fixture(params=["stored", "in memory"])
def path(request, tmp_path):
    return tmp_path / "store" if request.param == "stored" else None


def test_every_image_has_its_row(samples, path):
    results = map_images(Mean(), samples, path, shard_size=SHARD)
    np.testing.assert_array_equal(results.arrays("indices"), range(N))
    np.testing.assert_array_equal(results.arrays("colours"), [[i + 1, 2 * i + 1, 1] for i in range(N)])
    assert results.arrays("readable").all()


def test_an_unreadable_image_keeps_its_row_which_is_zero(samples, path):
    samples.paths[4].write_bytes(b"no image")
    results = map_images(Mean(), samples, path, shard_size=SHARD)
    np.testing.assert_array_equal(results.arrays("readable"), [i != 4 for i in range(N)])
    np.testing.assert_array_equal(results.arrays("colours")[4], 0)
    np.testing.assert_array_equal(results.arrays("colours")[5], [6, 11, 1])


def test_where_no_image_can_be_read_there_are_rows_of_zeros(samples, path):
    for file in samples.paths:
        file.write_bytes(b"no image")
    results = map_images(Mean(), samples, path, shard_size=SHARD)
    assert not results.arrays("readable").any()
    assert results.arrays("colours").shape == (N, 3)


@pytest.mark.parametrize("strict", [False, True])
def test_a_file_that_is_not_there_is_an_error(samples, strict):
    samples.digest  # noqa: B018, of files that are still there
    samples.paths[4].unlink()
    with pytest.raises(InputError, match=r"4\.png.* does not exist"):
        map_images(Mean(), samples, None, shard_size=SHARD, strict=strict)


def test_strict_raises_and_records_nothing_of_its_own(samples, path):
    results = map_images(Mean(), samples, path, shard_size=SHARD, strict=True)
    with pytest.raises((InputError, KeyError), match="readable"):
        results.arrays("readable")
    samples.paths[4].write_bytes(b"no image")
    with pytest.raises(InputError, match=r"4\.png"):
        map_images(Mean(), load_samples(samples.root), None, shard_size=SHARD, strict=True)


def test_goes_on_with_what_is_missing_and_counts_images(samples, tmp_path):
    map_images(Mean(), samples, tmp_path / "store", shard_size=SHARD)
    (tmp_path / "store" / "shards" / "00001.safetensors").unlink()
    again = Mean()
    seen = []
    map_images(again, samples, tmp_path / "store", shard_size=SHARD, progress=lambda *counts: seen.append(counts))
    assert again.calls == [range(3, 6)]
    assert seen == [(6, 7), (7, 7)]
    seen.clear()
    map_images(again, samples, None, shard_size=SHARD, progress=lambda *counts: seen.append(counts))
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_a_store_tells_functions_and_images_apart(samples, tmp_path):
    map_images(Mean(), samples, tmp_path / "store", shard_size=SHARD)
    assert Store.open(tmp_path / "store").description == {**Mean().description, **samples.description}
    with pytest.raises(InputError, match="another offset"):
        map_images(Mean(2.0), samples, tmp_path / "store", shard_size=SHARD)
    Image.new("RGB", (16, 16)).save(samples.paths[1])
    with pytest.raises(InputError, match="another contents"):
        map_images(Mean(), load_samples(samples.root), tmp_path / "store", shard_size=SHARD)


def test_nothing_in_memory_asks_for_a_description(samples):
    class Nameless(Mean):
        @property
        def description(self):
            raise NotImplementedError

    assert len(map_images(Nameless(), samples, None, shard_size=SHARD).arrays("colours")) == N


def test_pictures_need_no_files():
    pictures = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in range(N)]
    results = map_images(Mean(), pictures, None, shard_size=SHARD)
    np.testing.assert_array_equal(results.arrays("colours")[:, 0], 1 + np.arange(N))


def test_refuses_no_images_and_workers_without_a_folder(samples):
    with pytest.raises(InputError, match="there are no images"):
        map_images(Mean(), Samples(Path(), ()), None, shard_size=SHARD)
    with pytest.raises(InputError, match="give a path"):
        map_images(Mean(), samples, None, shard_size=SHARD, workers=2)
