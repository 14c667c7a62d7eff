"""The X-ray-like study: two hospitals, a faint opacity, and masks of both."""

import numpy as np
import pytest

from chinspect.digests import digest
from chinspect.errors import InputError
from chinspect.world import xray


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert all((a.image == b.image).all() for a, b in zip(xray(6, seed=1), xray(6, seed=1), strict=True))
    assert any((a.image != b.image).any() for a, b in zip(xray(6, seed=1), xray(6, seed=2), strict=True))


def test_earlier_versions_drew_the_same_pixels() -> None:
    chests = xray(24, seed=11, size=96)
    masks = [part for chest in chests for part in (chest.image, chest.object, chest.annotation, chest.pathology)]
    assert digest(*masks)[:16] == "0ce71228a867571e"


@pytest.mark.parametrize("size", [32, 128, 224])
def test_images_are_grey_and_carry_their_masks(size: int) -> None:
    for chest in xray(8, seed=2, size=size):
        assert chest.image.shape == (size, size, 3)
        assert (chest.image == chest.image[..., :1]).all()
        assert chest.object.any()
        assert chest.annotation.any()
        assert chest.pathology.any() == (chest.label == 1)
        assert not chest.logo.any()
        assert not chest.person.any()


def test_prevalence_and_agreement_are_kept() -> None:
    chests = xray(800, seed=3, size=32, prevalence=0.3, agreement=0.8)
    sick = np.array([chest.label == 1 for chest in chests])
    north = np.array([chest.source == "north" for chest in chests])
    assert abs(sick.mean() - 0.3) < 0.06
    assert abs((sick == north).mean() - 0.8) < 0.06


def test_the_disease_changes_pixels_in_the_lungs_only() -> None:
    healthy = xray(10, seed=4, prevalence=0.0, agreement=0.0)
    sick = xray(10, seed=4, prevalence=1.0, agreement=1.0)
    assert {chest.source for chest in healthy + sick} == {"north"}
    for one, other in zip(healthy, sick, strict=True):
        assert (one.object == other.object).all()
        brighter = other.image[..., 0].astype(int) - one.image[..., 0]
        assert brighter[other.pathology].mean() > 10
        assert (brighter[~other.pathology] <= 7).all()


def test_hospitals_differ_in_their_annotation() -> None:
    chests = xray(30, seed=5, agreement=0.5)
    assert {(chest.source, chest.text) for chest in chests} == {("north", "PORTABLE"), ("south", "R")}
    for chest in chests:
        assert chest.annotation[0, 0] == (chest.source == "north")
        assert chest.image[chest.annotation].max() > 200


@pytest.mark.parametrize("arguments", [{"prevalence": 1.2}, {"agreement": -1}, {"size": 3}, {"n": -2}, {"seed": -1}])
def test_hostile_parameters_give_one_sentence(arguments: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must") as error:
        xray(**{"n": 1, "seed": 0, **arguments})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
