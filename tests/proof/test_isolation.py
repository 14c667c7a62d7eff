"""Isolation: planted artefacts come back from a cluster in which one in ten does not carry them."""

from itertools import pairwise

import numpy as np
import pytest

from chinspect.artefacts import Artefact, border, colour_patch, resample, rounded_corners, text_logo
from chinspect.errors import InputError
from chinspect.proof import isolate
from chinspect.world import scenes

SIDE, MEMBERS = 96, 30
PICTURES = [scene.image for scene in scenes(80, seed=3, size=SIDE)]
REST = PICTURES[MEMBERS:]
VEIL = colour_patch(0.3)
PLANTED = {
    "logo": text_logo(),
    "watermark": text_logo("SAMPLE", width=0.6, opacity=0.5, anchor=(0.5, 0.5)),
    "veil": Artefact("veil", VEIL.rgb, VEIL.alpha * 0.5, VEIL.anchor),
    "border": border(),
    "corners": rounded_corners(),
}


def cluster(artefact: Artefact | None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Members, every tenth without the artefact, and coarse noisy maps that see it."""
    rng = np.random.default_rng(0)
    images, maps = [], []
    for i, picture in enumerate(PICTURES[:MEMBERS]):
        noise = 0.5 * rng.gamma(0.5, 1, (12, 12))
        carries = artefact is not None and i % 10 != 0
        images.append(artefact.add(picture) if carries and artefact else picture)
        seen = artefact.mask((SIDE, SIDE)) if carries and artefact else np.zeros((SIDE, SIDE))
        maps.append(noise + 3 * resample(seen.astype(np.float32), (12, 12)))
    return images, maps


def overlap(found: Artefact, planted: Artefact) -> float:
    """Intersection over union of the pixels that are visibly covered."""
    got, true = (layer > 0.25 for layer in (found.alpha, planted.layer((SIDE, SIDE))[1]))
    return float((got & true).sum() / (got | true).sum())


@pytest.mark.parametrize(
    ("name", "least"), [("logo", 0.9), ("watermark", 0.85), ("veil", 0.95), ("border", 0.95), ("corners", 0.9)]
)
def test_planted_artefacts_come_back(name: str, least: float) -> None:
    planted = PLANTED[name]
    found = isolate(*cluster(planted), rest=REST)
    assert overlap(found, planted) > least
    inside = found.alpha > 0
    truth = planted.layer((SIDE, SIDE))
    assert np.abs(found.alpha - truth[1])[inside].mean() < 0.13
    for picture in REST[:3]:  # pasted, it looks the same
        error = np.abs(found.add(picture).astype(int) - planted.add(picture))[inside].mean()
        untouched = np.abs(picture.astype(int) - planted.add(picture))[inside].mean()
        assert error < 0.25 * untouched


@pytest.mark.parametrize(("name", "least"), [("logo", 0.55), ("veil", 0.9), ("border", 0.9), ("corners", 0.8)])
def test_other_pictures_help_but_are_not_needed(name: str, least: float) -> None:
    assert overlap(isolate(*cluster(PLANTED[name])), PLANTED[name]) > least


def test_the_opacity_is_estimated() -> None:
    half, full = (isolate(*cluster(PLANTED[name]), rest=REST) for name in ("veil", "border"))
    assert abs(float(np.median(half.alpha[half.alpha > 0])) - 0.5) < 0.08
    assert float(np.median(full.alpha[full.alpha > 0])) == 1


@pytest.mark.parametrize("rest", [(), REST])
def test_nothing_shared_gives_an_empty_artefact(rest: list[np.ndarray]) -> None:
    assert isolate(*cluster(None), rest=rest).alpha.mean() < 0.002


def test_relevance_decides_among_what_members_share() -> None:
    both = [PLANTED["veil"].add(image) for image in cluster(PLANTED["logo"])[0]]
    maps = cluster(PLANTED["logo"])[1]
    found = isolate(both, maps, rest=REST)
    assert overlap(found, PLANTED["logo"]) > 0.8


def test_relevance_that_the_rest_has_too_does_not_count() -> None:
    images, maps = cluster(PLANTED["logo"])
    both = [PLANTED["veil"].add(image) for image in images]
    veil = resample(PLANTED["veil"].mask((SIDE, SIDE)).astype(np.float32), (12, 12))
    seen = [map_ + 3 * veil for map_ in maps]
    others = [veil + 0.01 for _ in REST]
    assert overlap(isolate(both, seen, rest=REST), PLANTED["logo"]) < 0.5
    assert overlap(isolate(both, seen, rest=REST, rest_maps=others), PLANTED["logo"]) > 0.8


def test_sizes_may_differ() -> None:
    images, maps = cluster(PLANTED["border"])
    sized = [resample(image, (96 + i % 3, 96 - i % 4)) for i, image in enumerate(images)]
    found = isolate(sized, [resample(m, (7 + i % 5, 11)) for i, m in enumerate(maps)], rest=REST)
    assert found.alpha.shape == (97, 95) or abs(found.alpha.shape[0] - 96) <= 2
    assert float((found.mask((SIDE, SIDE)) & PLANTED["border"].mask((SIDE, SIDE))).mean()) > 0.15


def test_hostile_input_is_refused() -> None:
    images, maps = cluster(PLANTED["logo"])
    with pytest.raises(InputError, match="30 images and 29 maps"):
        isolate(images, maps[:-1])
    with pytest.raises(InputError, match="at least 8"):
        isolate(images[:7], maps[:7])
    with pytest.raises(InputError, match="Map 3 holds NaN"):
        isolate(images, [*maps[:3], maps[3] * np.nan, *maps[4:]])
    with pytest.raises(InputError, match="positive"):
        isolate(images, [-np.ones((4, 4)) for _ in images])
    with pytest.raises(InputError, match="shape"):
        isolate(images, [np.zeros((4, 4, 3)) for _ in images])
    with pytest.raises(InputError, match="uint8"):
        isolate([image / 255 for image in images], maps)


def test_more_members_give_a_truer_opacity() -> None:
    images, maps = cluster(PLANTED["veil"])
    truth = PLANTED["veil"].layer((SIDE, SIDE))[1]
    errors = [np.abs(isolate(images[:n], maps[:n], rest=REST).alpha - truth).mean() for n in (12, 30)]
    assert all(few > many for few, many in pairwise(errors))
