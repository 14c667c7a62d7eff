import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chinspect.errors import InputError
from chinspect.explain import area_sum
from chinspect.spray.maps import prepare


def slow_area_sum(map_, h, w):
    """Each cell of the map is divided among the bins that it overlaps, by the area of the overlap."""
    height, width = map_.shape
    out = np.zeros((h, w))
    for u in range(h):
        for v in range(w):
            top, bottom, left, right = u * height / h, (u + 1) * height / h, v * width / w, (v + 1) * width / w
            for y in range(height):
                for x in range(width):
                    tall = max(0.0, min(bottom, y + 1) - max(top, y))
                    wide = max(0.0, min(right, x + 1) - max(left, x))
                    out[u, v] += map_[y, x] * tall * wide
    return out


@pytest.mark.parametrize(("size", "pool"), [((7, 5), (3, 2)), ((9, 9), (4, 4)), ((8, 6), (4, 3)), ((5, 11), (5, 7))])
def test_bins_with_fractions_agree_with_the_slow_loop(size, pool):
    maps = np.random.default_rng(0).normal(size=(2, *size))
    expected = np.stack([slow_area_sum(map_, *pool) for map_ in maps])
    np.testing.assert_allclose(area_sum(maps, pool), expected, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**16))
def test_sums_are_kept_at_every_size(height, width, h, w, seed):
    maps = np.random.default_rng(seed).normal(size=(3, height, width))
    pooled = area_sum(maps, (h, w))
    assert pooled.shape == (3, min(h, height), min(w, width))
    np.testing.assert_allclose(pooled.sum((1, 2)), maps.sum((1, 2)), atol=1e-4)


def test_a_mark_of_8_by_8_keeps_its_mass_and_its_place_at_every_offset():
    for top in range(0, 57, 3):
        for left in range(57):
            map_ = np.zeros((64, 64))
            map_[top : top + 8, left : left + 8] = 1
            pooled = area_sum(map_, 20)
            assert pooled.sum() == pytest.approx(64, rel=1e-5)
            rows, columns = np.nonzero(pooled > 1e-5)
            assert rows.min() == top * 20 // 64
            assert columns.min() == left * 20 // 64
            assert np.ptp(rows) <= 3
            assert np.ptp(columns) <= 3


def test_the_sign_is_kept_and_channels_are_summed():
    maps = np.random.default_rng(1).normal(size=(4, 3, 12, 12))
    prepared = prepare(maps, pool=6, normalise=False)
    np.testing.assert_allclose(prepared.maps, area_sum(maps.sum(1), 6), atol=1e-5)
    assert (prepared.maps < 0).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16, np.float64])
def test_numbers_of_every_kind_are_maps(dtype):
    maps = np.random.default_rng(2).integers(1, 200, (5, 9, 9)).astype(dtype)
    prepared = prepare(maps, pool=4, normalise=True)
    np.testing.assert_allclose(np.abs(prepared.maps).sum((1, 2)), 1, atol=1e-5)


def test_a_pool_that_numpy_counted_is_a_number_too():
    maps = np.random.default_rng(3).random((4, 9, 9))
    np.testing.assert_array_equal(area_sum(maps, np.int64(4)), area_sum(maps, 4))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_empty_and_broken_maps_are_left_out_by_their_places(bad):
    maps = np.random.default_rng(4).random((7, 10, 10)).astype(np.float32)
    maps[2], maps[5, 3, 3] = 0, bad
    prepared = prepare(maps, pool=5, normalise=True)
    assert prepared.valid.tolist() == [0, 1, 3, 4, 6]
    assert prepared.zero.tolist() == [2]
    assert prepared.invalid.tolist() == [5]
    assert np.isfinite(prepared.maps).all()


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.ones((5, 4)), r"maps are numbers \(N, H, W\)"),
        (np.ones((0, 4, 4)), r"maps are numbers \(N, H, W\)"),
        (np.ones((3, 4, 4), complex), "complex"),
        (np.full((3, 4, 4), "a"), "maps are numbers"),
        (np.ones((5, 9, 8, 3)), r"shape \(5, 9, 8, 3\) have their channels last: put them second"),
        ([[[1.0, 2.0]], [[1.0]]], "one size"),
        (np.zeros((9, 4, 4)), "only 0 of 9 maps"),
        (np.full((9, 4, 4), np.nan), "only 0 of 9 maps"),
    ],
)
def test_what_is_no_map_is_refused_by_name(maps, message):
    with pytest.raises(InputError, match=message):
        prepare(maps, pool=2, normalise=True)


def test_nothing_is_pooled_to_no_cell():
    with pytest.raises(InputError, match="at least 1 x 1"):
        area_sum(np.ones((4, 4)), 0)
