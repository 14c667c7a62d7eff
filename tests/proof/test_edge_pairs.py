"""Images that carry a mark in one place have edges in common there, and others do not."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from chinspect.artefacts import ARTEFACTS
from chinspect.images import list_images, open_image
from chinspect.proof.edge_pairs import compare_edges

SIDE, COUNT, CARRIERS = 224, 60, 4


@pytest.fixture(scope="module")
def pictures(real_data):
    paths = list_images(real_data("imagenet_sample"))[:COUNT]
    return [np.asarray(open_image(path).resize((SIDE, SIDE))) for path in paths]


def noise(seed, count=12, size=112):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def found(images):
    return {(int(a), int(b)) for a, b in compare_edges(images).pairs}


@pytest.mark.parametrize("artefact", ["imagenet-w", "logo"])
def test_carriers_of_a_mark_are_told_among_photographs_and_where_it_is(pictures, artefact):
    mark = ARTEFACTS[artefact]()
    result = compare_edges([mark.add(image) if i < CARRIERS else image for i, image in enumerate(pictures)])
    pairs = {(int(a), int(b)) for a, b in result.pairs}
    own = set(combinations(range(CARRIERS), 2))
    assert len(own & pairs) >= len(own) - 1
    assert len(pairs - own) <= 2
    strokes = mark.layer((SIDE, SIDE))[1] > 0.1
    rows, columns = np.nonzero(strokes)
    inside = np.zeros((13, 13), bool)
    for row, column in zip(rows * 112 // SIDE, columns * 112 // SIDE, strict=True):
        inside[max(row - 15, 0) // 8 : row // 8 + 1, max(column - 15, 0) // 8 : column // 8 + 1] = True
    where = np.mean(
        [m for m, pair in zip(result.maps, result.pairs, strict=True) if tuple(pair.tolist()) in own], axis=0
    )
    assert where[inside].sum() > 0.9 * where.sum()


def test_photographs_without_a_mark_do_not_agree(pictures):
    assert len(found(pictures)) <= 2


def test_a_mark_that_lies_elsewhere_each_time_is_not_in_one_place(pictures):
    mark = ARTEFACTS["logo"]()
    shifts = [(0, 0), (50, 0), (0, 50), (50, 50)]
    shifted = [np.roll(mark.add(image), shift, (0, 1)) for image, shift in zip(pictures, shifts, strict=False)]
    assert not found([*shifted, *pictures[CARRIERS:]]) & set(combinations(range(CARRIERS), 2))


def test_noise_agrees_as_often_as_the_level_says():
    """One set in 25 by chance: 7 of 40 have p = .0015."""
    assert sum(bool(found(noise(seed, size=40))) for seed in range(40)) < 7


def test_a_patch_of_noise_that_two_images_share_is_seen_and_only_these_are():
    images = noise(0)
    images[3, 40:64, 40:64] = images[7, 40:64, 40:64]
    result = compare_edges(images)
    assert result.pairs.tolist() == [[3, 7]]
    assert np.unravel_index(result.maps[0].argmax(), (13, 13)) in {(5, 5), (5, 6), (6, 5), (6, 6)}
    # 3 x 3 cells lie inside, with a cosine of 1 each less .2
    assert np.sort(result.maps[0].ravel())[-4:] == pytest.approx(0.8, abs=0.02)
    assert (result.scores == result.scores.T).all()
    assert result.scores.max() == result.scores[3, 7] > result.chance


def test_stripes_agree_at_other_shifts_too():
    rows = np.arange(112)[:, None, None]
    stripes = np.broadcast_to(127 + 100 * np.sin(2 * np.pi * rows / 2.24), (112, 112, 3))  # as at a shift of .02
    images = noise(1).astype(float) * 0.3
    images[:4] += 0.6 * stripes
    assert not found(images.clip(0, 255).astype(np.uint8)) & set(combinations(range(4), 2))


def test_one_image_twice_is_no_pair():
    images = noise(2)
    images[5] = images[1]
    images[6] = (images[2].astype(int) + 3).clip(0, 255)
    assert not found(images)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_images_without_edges_have_none_in_common(count):
    result = compare_edges([np.full((30, 40, 3), 40 * i, np.uint8) for i in range(count)])
    assert result.pairs.shape == (0, 2)
    assert result.maps.shape == (0, 13, 13)
    assert result.scores.shape == (count, count)


def test_sizes_may_differ_and_order_does_not_matter():
    images = noise(0)
    images[3, 40:64, 40:64] = images[7, 40:64, 40:64]
    larger = [image.repeat(2, 0).repeat(2, 1) if i % 2 else image for i, image in enumerate(images)]
    assert found(larger) == {(3, 7)}
    assert compare_edges(images[::-1]).scores[4, 8] == pytest.approx(
        compare_edges(images).scores[7, 3], rel=0.02
    )  # at borders
