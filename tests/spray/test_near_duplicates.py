import io
from itertools import combinations

import numpy as np
import pytest
from _maps import blobs
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

from chinspect.errors import InputError
from chinspect.spray import SpRAy, duplicates, near_duplicates
from chinspect.spray.duplicates import BITS_APART, difference_hash, joined, same_maps


def picture(seed, side=240):
    values = np.random.default_rng(seed).normal(size=(side, side, 3))
    smooth = sum(gaussian_filter(values, (width, width, 0)) * width for width in (2, 5, 12))
    return Image.fromarray(np.uint8(np.clip(110 + 90 * smooth / np.abs(smooth).max(), 0, 255)))


def as_jpeg(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60)
    return Image.open(io.BytesIO(stream.getvalue()))


COPIES = {
    "jpeg": as_jpeg,
    "smaller": lambda image: image.resize((67, 67)),
    "larger": lambda image: image.resize((300, 300)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "PNG with alpha": lambda image: image.convert("RGBA"),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_changed_copy_is_the_same_picture(name):
    images = [picture(seed) for seed in range(4)]
    assert near_duplicates([*images, COPIES[name](images[2])]).tolist() == [0, 1, 2, 3, 2]


def test_unrelated_pictures_are_far_apart():
    hashes = np.stack([difference_hash(picture(seed)) for seed in range(30)])
    apart = (hashes[:, None] != hashes[None]).sum(2)[np.triu_indices(30, 1)]
    assert apart.min() > 10 * BITS_APART
    assert near_duplicates([picture(seed) for seed in range(30)]).tolist() == list(range(30))


def test_files_are_opened_and_broken_ones_named(tmp_path):
    picture(0).save(tmp_path / "a.png")
    as_jpeg(picture(0)).save(tmp_path / "b.jpg")
    (tmp_path / "c.png").write_bytes(b"no picture")
    assert near_duplicates([tmp_path / "a.png", str(tmp_path / "b.jpg")]).tolist() == [0, 0]
    with pytest.raises(InputError, match=r"c\.png"):
        near_duplicates([tmp_path / "a.png", tmp_path / "c.png"])


def test_maps_are_the_same_to_six_digits_of_their_largest_value():
    maps = blobs(4, 0)
    maps = np.concatenate([maps, maps[1:2] * (1 + 1e-8), maps[2:3] + 1e-3, -maps[3:4]])
    assert same_maps(maps).tolist() == [0, 1, 2, 3, 1, 5, 6]


def test_duplicates_count_once_and_have_the_labels_of_their_first():
    maps = blobs(40, 1)
    maps[30:36] = maps[3]
    spray = SpRAy(n_surrogates=0).fit(maps)
    assert spray.duplicates_[30:36].tolist() == [3] * 6
    assert len(spray.maps_) == 34
    assert spray.kept_.tolist() == [*range(30), *range(36, 40)]
    for labels in spray.clusterings_.values():
        assert set(labels[30:36]) == {labels[3]}
    for candidate in spray.candidates_:
        members = set(candidate.indices.tolist())
        assert (3 in members) == ({*range(30, 36)} <= members)


def test_duplicates_among_the_images_count_once_too():
    maps, images = blobs(30, 2), [picture(seed) for seed in range(30)]
    images[20], maps[20] = images[4].resize((80, 80)), maps[4] + 0.01 * maps[20]
    spray = SpRAy(n_surrogates=0).fit(maps, images=images)
    assert spray.duplicates_[20] == 4
    assert 20 not in spray.kept_


def test_a_set_of_copies_is_no_candidate():
    maps = blobs(60, 3)
    maps[:20] = maps[0]
    spray = SpRAy(n_surrogates=0).fit(maps)
    assert len(spray.maps_) == 41
    assert not [c for c in spray.candidates_ if set(c.indices.tolist()) == set(range(20))]


def aligned(count, seed=0, side=256):
    """One part in one light, each picture with grain of its own."""
    rng, ramp = np.random.default_rng(seed), np.linspace(30, 220, side)
    part = np.stack([ramp, ramp[::-1]]).repeat(side // 2, axis=0)[..., None].repeat(3, axis=2)
    grains = [gaussian_filter(rng.normal(size=(side, side, 1)), (1.5, 1.5, 0)) for _ in range(count)]
    return [Image.fromarray(np.uint8(np.clip(part + 6 * g / g.std(), 0, 255))) for g in grains]


def test_aligned_pictures_of_different_parts_are_no_copies_and_their_copies_are():
    images = aligned(12)
    hashes = np.stack([difference_hash(image) for image in images])
    assert ((hashes[:, None] != hashes).sum(2) <= BITS_APART).mean() > 0.5  # one scene for the coarse hash
    assert near_duplicates(images).tolist() == list(range(12))
    copies = [as_jpeg(images[3]), images[4].resize((282, 282)), ImageEnhance.Brightness(images[5]).enhance(1.05)]
    assert near_duplicates([*images, *copies]).tolist() == [*range(12), 3, 4, 5]


@pytest.mark.parametrize("with_maps", [False, True])
def test_blocks_find_what_a_loop_over_all_pairs_finds(monkeypatch, with_maps):
    monkeypatch.setattr(duplicates, "_BLOCK", 5)
    images = [*aligned(9, side=96), *map(picture, range(6))]
    images += [as_jpeg(images[i]) for i in (2, 5, 11)] + [images[2].resize((120, 120)), as_jpeg(images[11])]
    maps = blobs(len(images), 5)
    maps[[15, 18]] = maps[2] + 0.01 * maps[[15, 18]]  # those of the other copies differ
    fine = [difference_hash(image, 64) for image in images]
    coarse = [difference_hash(image) for image in images]
    expected = np.arange(len(images))
    for i, j in combinations(range(len(images)), 2):
        scene = (coarse[i] != coarse[j]).sum() <= BITS_APART
        same = (fine[i] != fine[j]).sum() <= 0.4 * (fine[i] | fine[j]).sum()
        alike = (maps[i] * maps[j]).sum() >= 0.9 * np.linalg.norm(maps[i]) * np.linalg.norm(maps[j])
        if scene and same and (alike or not with_maps):
            low, high = sorted((expected[i], expected[j]))
            expected[expected == high] = low
    found = near_duplicates(images, maps if with_maps else None)
    np.testing.assert_array_equal(found, expected)
    assert (found != np.arange(len(images))).sum() == (2 if with_maps else 5)


def test_copies_whose_maps_differ_stay_apart():
    images, maps = [picture(0), as_jpeg(picture(0)), picture(1)], blobs(3, 0)
    assert near_duplicates(images, maps).tolist() == [0, 1, 2]
    assert near_duplicates(images, maps[[0, 0, 1]] + 0.01 * maps[[1, 2, 2]]).tolist() == [0, 0, 2]


def test_what_repeats_a_copy_repeats_its_first():
    assert joined(np.array([0, 1, 1, 3]), np.array([0, 0, 2, 3])).tolist() == [0, 0, 0, 3]


def test_images_without_relevance_take_no_copy_with_them():
    maps, images = blobs(20, 4), [picture(seed) for seed in range(20)]
    maps[0], images[7] = 0, as_jpeg(images[0])
    assert 7 in SpRAy(n_surrogates=0).fit(maps, images=images).kept_


def test_too_few_maps_are_told_by_what_they_repeat(tmp_path):
    for i in range(4):
        picture(0).save(tmp_path / f"{i}.png")
    paths = sorted(tmp_path.iterdir())
    maps = np.repeat(blobs(1, 0), 4, axis=0) * (1 + 1e-3 * blobs(4, 1))
    with pytest.raises(InputError, match=r"only 1 of 4 maps .*3 repeat another, as '.*1\.png' repeats '.*0\.png'"):
        SpRAy(n_surrogates=0).fit(maps, images=paths)
