"""Of images that are led to, those count that carry what was cut out of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _world import SIZE, mark
from PIL import Image

from chinspect.artefacts import Artefact
from chinspect.audit.evidence import Suspect
from chinspect.audit.selecting import carrying
from chinspect.proof import member_case
from chinspect.world import scenes

COUNT, CARRIERS, STRAYS = 60, 8, 5
EMPTY = Artefact("empty", np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, SIZE), np.float32))


@pytest.fixture(scope="module")
def picture():
    """Of scenes, the first of which carry the mark."""
    images = [scene.image for scene in scenes(COUNT, seed=2, size=SIZE)]
    shown = [mark().add(image) if i < CARRIERS else image for i, image in enumerate(images)]
    return lambda index: Image.fromarray(shown[index])


def led_to(picture, members, artefact=None):
    """What pairs led to, with a case; of the artefact that is cut out, or of another one."""
    maps = np.broadcast_to(mark().alpha, (COUNT, SIZE, SIZE))
    rest = np.setdiff1d(np.arange(CARRIERS, COUNT), members)
    case = member_case(picture, members, rest, maps, name="mark", seed=[0], common=False)
    case = case if artefact is None else replace(case, artefact=artefact)
    return Suspect("site 1", members.tolist(), case=case)


def test_images_count_that_carry_it_and_it_is_taken_away_from_these(picture):
    """Five of thirteen do not."""
    suspect = led_to(picture, np.arange(CARRIERS + STRAYS))
    assert not suspect.case.artefact.empty
    found = carrying(suspect, picture)
    assert found.members == list(range(CARRIERS))
    assert len(suspect.case.affected) == CARRIERS + STRAYS
    assert len(found.case.affected) == CARRIERS
    assert found.case.clean is suspect.case.clean


def test_all_stay_where_nothing_was_cut_out(picture):
    suspect = led_to(picture, np.arange(CARRIERS + STRAYS), EMPTY)
    assert carrying(suspect, picture) is suspect
