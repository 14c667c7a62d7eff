"""Of images that are led to, those count that carry what was cut out of them."""

from __future__ import annotations

import numpy as np
import pytest
from _world import SIZE, mark
from PIL import Image

from chinspect.artefacts import Artefact
from chinspect.audit.selecting import _carrying
from chinspect.proof import Case, member_case
from chinspect.world import scenes

COUNT, CARRIERS, STRAYS = 60, 8, 5
EMPTY = Artefact("empty", np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, SIZE), np.float32))


@pytest.fixture(scope="module")
def picture():
    """Of scenes, the first of which carry the mark."""
    images = [scene.image for scene in scenes(COUNT, seed=2, size=SIZE)]
    shown = [mark().add(image) if i < CARRIERS else image for i, image in enumerate(images)]
    return lambda index: Image.fromarray(shown[index])


@pytest.fixture(scope="module")
def case(picture):
    """Five of thirteen members do not carry it."""
    maps = np.broadcast_to(mark().alpha, (COUNT, SIZE, SIZE))
    members = np.arange(CARRIERS + STRAYS)
    rest = np.arange(CARRIERS + STRAYS, COUNT)
    return member_case(picture, members, rest, maps, name="mark", seed=[0], common=False)


def test_it_is_taken_away_from_images_that_carry_it(case):
    assert not case.artefact.empty
    assert len(case.affected) == CARRIERS


def test_members_are_those_that_carry_it(picture, case):
    members = np.arange(CARRIERS + STRAYS)
    assert _carrying(picture, members, case) == list(range(CARRIERS))


def test_all_stay_where_nothing_was_cut_out(picture):
    members = np.arange(4, 9)
    assert _carrying(picture, members, Case(EMPTY, [])) == members.tolist()
