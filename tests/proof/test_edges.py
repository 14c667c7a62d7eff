"""A translucent mark on few photographs is isolated by its edges, and photographs without one share none."""

from __future__ import annotations

import numpy as np
import pytest

from chinspect.artefacts import ARTEFACTS, resample
from chinspect.images import list_images, open_image
from chinspect.proof.edges import inside_edges, pieces_with
from chinspect.proof.isolation import isolate

SIDE, FEW = 224, 10


@pytest.fixture(scope="module")
def pictures(real_data):
    paths = list_images(real_data("imagenet_sample"))[:120]
    return [np.asarray(open_image(path).resize((SIDE, SIDE))) for path in paths]


def drawn(pictures, seed):
    order = np.random.default_rng(seed).permutation(len(pictures))
    return [pictures[i] for i in order[:FEW]], [pictures[i] for i in order[FEW : FEW + 40]]


@pytest.mark.parametrize("seed", range(3))
def test_ten_photographs_with_the_watermark_of_imagenet_show_it(pictures, seed):
    members, rest = drawn(pictures, seed)
    mark = ARTEFACTS["imagenet-w"]()
    strokes = mark.layer((SIDE, SIDE))[1] > 0.1
    maps = [resample(resample(strokes.astype(np.float32), (14, 14)), (SIDE, SIDE))] * FEW  # as coarse as patches
    found = isolate([mark.add(image) for image in members], maps, rest=rest).alpha > 0
    assert found[strokes].mean() > 0.5
    assert strokes[found].mean() > 3 * strokes.mean()


def test_ten_photographs_without_a_mark_share_no_edges(pictures):
    """One of 100,000 places begins a piece by chance, of 3,000 that are independent 3 %: 3 sets of 10 have p = .003."""
    everywhere = np.ones((SIDE, SIDE), dtype=bool)
    shared = 0
    for seed in range(10):
        members, rest = (np.stack(images).astype(np.float32) / 255 for images in drawn(pictures, seed))
        shared += inside_edges(members, rest, everywhere).any()
    assert shared <= 2


def test_an_outline_holds_what_is_inside_it_and_the_core_decides():
    images = np.random.default_rng(0).random((12, 60, 60, 3)).astype(np.float32) * 0.2
    images[:, 10:22, 10:22] += 0.5  # a plain square
    images[:, 40:52, 40:52] += 0.5  # and another, where relevance is not
    core = np.zeros((60, 60), dtype=bool)
    core[8:24, 8:24] = True
    inside = inside_edges(images, None, core)
    assert inside[10:22, 10:22].all()
    assert not inside[30:, 30:].any()
    assert not inside_edges(images, images, core).any(), "what others show too is no mark"


def test_pieces_a_hair_apart_count_as_one():
    region = np.zeros((100, 100), dtype=bool)
    region[10:20, 10:20] = region[10:20, 21:30] = region[60:70, 60:70] = True
    certain = np.zeros_like(region)
    certain[12, 12] = True
    found = pieces_with(region, certain)
    assert found[10:20, 21:30].all()
    assert not found[60:70, 60:70].any()
