"""Whitened maps: what they are by definition, and what they are for."""

import numpy as np
import pytest
from _maps import blobs, marked
from scipy.fft import dct

from chinspect.spray import SpRAy
from chinspect.spray.proposals import Settings, nested, propose, united
from chinspect.spray.views import View, views_of

CORNER = slice(12, 15), slice(1, 4)


def slow_transform(maps):
    """The orthonormal DCT-II of maps (n, h, w), as products with its matrices."""
    rows, columns = (dct(np.eye(size), axis=0, norm="ortho") for size in maps.shape[1:])
    return np.einsum("uh,nhw,vw->nuv", rows, maps, columns), rows, columns


def test_whitened_maps_are_those_of_the_definition():
    maps = blobs(20, 0, side=8)[:, :, :7].astype(float) - 0.1
    plain, whitened = views_of(maps)
    np.testing.assert_array_equal(plain.rows(maps), maps.reshape(20, -1))
    coefficients, rows, columns = slow_transform(maps / np.abs(maps).sum((1, 2), keepdims=True))
    power = (coefficients**2).mean(0)
    white = np.einsum("uh,nuv,vw->nhw", rows, coefficients / np.sqrt(power + 0.05 * power.mean()), columns)
    white /= np.abs(white).sum((1, 2), keepdims=True)
    np.testing.assert_allclose(whitened.rows(maps), white.reshape(20, -1), atol=1e-6)


def test_whitened_maps_have_an_even_spectrum():
    maps = blobs(400, 1, side=8) + 0.05 * np.random.default_rng(0).random((400, 8, 8))
    _, whitened = views_of(maps)
    power = (slow_transform(whitened.rows(maps).reshape(maps.shape))[0] ** 2).mean(0)
    assert power.max() / power.mean() < 2
    before = (slow_transform(maps)[0] ** 2).mean(0)
    assert before.max() / before.mean() > 10


def test_rows_of_unit_length_and_of_any_scale():
    maps = blobs(20, 2, side=8)
    scaled = maps * np.random.default_rng(0).uniform(0.01, 100, (20, 1, 1)).astype(np.float32)
    for view, other in zip(views_of(maps, unit=True), views_of(scaled, unit=True), strict=True):
        np.testing.assert_allclose(np.linalg.norm(view.rows(maps), axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(other.rows(scaled), view.rows(maps), atol=1e-5)


def test_spectra_and_maps_of_few_cells_are_whitened_too():
    for shape in ((12, 1, 16), (12, 2, 2), (12, 5, 1)):
        maps = np.random.default_rng(0).random(shape).astype(np.float32)
        for view in views_of(maps):
            assert np.isfinite(view.rows(maps)).all()
    even = np.ones((12, 4, 4), np.float32)
    assert np.isfinite(views_of(even)[1].rows(even)).all()


@pytest.mark.parametrize("size", [10, 12])
def test_a_mark_of_a_quarter_of_the_relevance_among_smooth_objects_is_found(size):
    """In 8 % and 10 % of the maps; the benchmark has 250 of them and more seeds."""
    members = np.sort(np.random.default_rng(size).choice(120, size, replace=False))
    spray = SpRAy(n_surrogates=19).fit(marked(blobs(120, size), members, CORNER, 0.23))
    best = spray.flagged_[0]
    assert best.view.name == "whitened"
    assert len(np.intersect1d(best.indices, members)) >= 0.9 * size
    assert len(best.indices) <= 1.2 * size


def test_carriers_of_other_maps_are_told_in_the_view_that_shows_them():
    members = np.arange(12)
    spray = SpRAy(n_surrogates=9).fit(marked(blobs(100, 3), members, CORNER, 0.25))
    others = marked(blobs(60, 4), np.arange(20), CORNER, 0.25)
    carriers = spray.carriers(spray.flagged_[0], others)
    assert carriers[:20].mean() >= 0.9
    assert carriers[20:].mean() <= 0.1


def test_carriers_of_one_mark_in_two_strengths_are_one_candidate():
    """Half of the carriers hold three quarters of their relevance on the mark, the others a third."""
    maps = marked(blobs(100, 5), np.arange(10), CORNER, 0.75)
    maps = marked(maps, np.arange(10, 20), CORNER, 0.33)
    flagged = SpRAy(n_surrogates=19).fit(maps).flagged_
    at_the_corner = [c for c in flagged if c.template[CORNER].sum() > 0.5 * c.template.sum()]
    assert len(at_the_corner) == 1
    assert len(np.intersect1d(at_the_corner[0].indices, np.arange(20))) >= 18


def test_sets_in_one_position_are_united_and_others_are_not():
    maps = blobs(60, 6)
    proposals = propose(maps, Settings(8, 8), [View("maps")])[:3]
    same = np.array([1, 1, 0, 0], np.float32)
    other = np.array([0, 0, 1, 1], np.float32)
    first, second, third = (set(p.template.members.tolist()) for p in proposals)
    apart = united(proposals, [same, other, other * 0], maps)
    assert [apart[i] is proposals[i] for i in range(3)] == [True] * 3
    joined = united(proposals, [same, other, same + 0.1 * other], maps)
    assert list(joined) == [0, 1]
    assert joined[1] is proposals[1]
    assert set(joined[1].template.members.tolist()) == second
    assert first <= set(joined[0].template.members.tolist()) <= first | third


def test_sets_within_each_other_are_nested_where_their_templates_lie_on_each_other():
    small = np.arange(13)
    large = np.arange(44)
    narrow = np.array([1, 1, 0, 0, 0, 0], np.float32)
    broad = np.array([1, 1, 1, 1, 0, 0], np.float32)
    elsewhere = np.array([0, 0, 0, 0, 1, 1], np.float32)
    assert nested(small, narrow, large, broad)
    assert nested(large, broad, small, narrow)
    assert not nested(small, narrow, large, elsewhere)  # a logo on some of the images that have a border
    assert not nested(small + 40, narrow, large, broad)
    assert not nested(small, narrow * 0, large, broad * 0)


def test_the_surrogates_are_counted():
    told = []
    SpRAy(n_surrogates=3).fit(blobs(20, 3), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
