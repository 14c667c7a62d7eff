"""Generated photographs: reproducible, balanced, and with masks that say what was drawn."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from chinspect.digests import digest
from chinspect.errors import InputError
from chinspect.world import ANIMALS, CLASSES, FISH, VEHICLES, Logo, Person, Scene, scenes

ALWAYS = Logo(words=("WASTECO",), classes={}, elsewhere=1.0)
SOMEONE = Person(classes={}, elsewhere=1.0)


def changed(before: Scene, after: Scene) -> NDArray[np.bool_]:
    difference: NDArray[np.bool_] = (before.image != after.image).any(2)
    return difference


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (scenes(20, seed=3, logo=Logo(), person=Person()) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.image.tobytes() == other.image.tobytes()
        assert (one.caption, one.label, one.source) == (other.caption, other.label, other.source)
    assert any(changed(a, b).any() for a, b in zip(first, scenes(20, seed=4), strict=True))


def test_earlier_versions_drew_the_same_pixels() -> None:
    """Bundled encoders were trained on these scenes, and published numbers measured on them."""
    logo = Logo(words=("WASTECO", "AQUAFIX"), classes={"garbage truck": 0.7}, elsewhere=0.5, place="random")
    people = Person(classes={}, elsewhere=0.8)
    drawn = [
        part
        for size, options in ((64, {}), (128, {"logo": Logo()}), (96, {"logo": logo, "person": people}))
        for scene in scenes(56, seed=11, size=size, **options)
        for part in (scene.image, scene.object, scene.logo, scene.person, scene.caption, scene.source)
    ]
    assert digest(*drawn)[:16] == "7f737f1e8bd4395e"


def test_more_scenes_leave_the_first_ones_as_they_are() -> None:
    few, many = scenes(5, seed=7), scenes(40, seed=7)
    assert all((a.image == b.image).all() for a, b in zip(few, many, strict=False))


def test_there_are_eight_vehicles_six_fish_and_other_animals() -> None:
    assert len(VEHICLES) == 8
    assert len(FISH) == 6
    assert set(FISH) < set(ANIMALS)
    assert tuple(VEHICLES) + tuple(ANIMALS) == CLASSES


@pytest.mark.parametrize("n", [0, 1, 16, 50])
def test_classes_are_balanced(n: int) -> None:
    made = scenes(n, seed=0, size=32)
    counts = Counter(scene.class_name for scene in made)
    assert sum(counts.values()) == n
    assert not counts or max(counts.values()) - min(counts.get(name, 0) for name in CLASSES) <= 1
    assert all(CLASSES[scene.label] == scene.class_name for scene in made)


def test_labels_index_the_classes_asked_for() -> None:
    chosen = ("eel", "pickup")
    assert all(chosen[scene.label] == scene.class_name for scene in scenes(9, seed=1, size=32, classes=chosen))


@pytest.mark.parametrize("size", [32, 128, 200, 512])
def test_sizes_and_types(size: int) -> None:
    for scene in scenes(3, seed=1, size=size, logo=ALWAYS, person=SOMEONE):
        assert scene.image.shape == (size, size, 3)
        assert scene.image.dtype == np.uint8
        for mask in (scene.object, scene.logo, scene.person, scene.annotation, scene.pathology):
            assert mask.shape == (size, size)
            assert mask.dtype == np.bool_
        assert scene.object.any()
        assert scene.logo.any()
        assert not scene.annotation.any()
        assert not scene.pathology.any()


@pytest.mark.parametrize("place", ["bottom-left", "random"])
def test_a_logo_changes_pixels_in_its_mask_and_nowhere_else(place: str) -> None:
    logo = Logo(words=("WASTECO", "AQUAFIX"), classes={}, elsewhere=1.0, place=place)
    for plain, marked in zip(scenes(48, seed=2), scenes(48, seed=2, logo=logo), strict=True):
        difference = changed(plain, marked)
        assert not (difference & ~marked.logo).any()
        assert difference.sum() > 0.25 * marked.logo.sum()
        rows, columns = np.nonzero(marked.logo)
        drawn_rows, drawn_columns = np.nonzero(difference)
        for box, drawn in ((rows, drawn_rows), (columns, drawn_columns)):
            assert drawn.min() - box.min() <= 2
            assert box.max() - drawn.max() <= 2
        assert not plain.logo.any()
        assert (plain.object == marked.object).all()


def test_a_logo_lies_bottom_left_at_the_width_asked_for() -> None:
    for scene in scenes(16, seed=5, size=224, logo=ALWAYS):
        rows, columns = np.nonzero(scene.logo)
        assert columns.min() == 10
        assert rows.max() == 224 - 10 - 1
        assert abs((columns.max() - columns.min() + 1) - 0.45 * 224) <= 4


def test_a_random_place_varies() -> None:
    logo = Logo(classes={}, elsewhere=1.0, place="random")
    corners = {tuple(np.argwhere(scene.logo)[0]) for scene in scenes(30, seed=5, logo=logo)}
    assert len(corners) > 20


def test_a_person_stands_behind_the_object_and_changes_nothing_else() -> None:
    for plain, populated in zip(scenes(48, seed=6), scenes(48, seed=6, person=SOMEONE), strict=True):
        difference = changed(plain, populated)
        assert not (difference & ~populated.person).any()
        assert difference.sum() > 0.5 * populated.person.sum()
        assert (plain.object == populated.object).all()


def test_most_people_can_be_seen() -> None:
    visible = [scene.person.mean() for scene in scenes(60, seed=8, person=SOMEONE)]
    assert np.median(visible) > 0.08


def test_prevalences_are_kept() -> None:
    logo = Logo(classes={"garbage truck": 0.7}, elsewhere=0.1)
    person = Person(classes=dict.fromkeys(FISH, 0.5), elsewhere=0.0)
    made = scenes(1600, seed=9, size=32, logo=logo, person=person)
    trucks = np.array([scene.class_name == "garbage truck" for scene in made])
    fish = np.array([scene.class_name in FISH for scene in made])
    marked = np.array([bool(scene.text) for scene in made])
    peopled = np.array([bool(scene.person.any()) for scene in made])
    assert abs(marked[trucks].mean() - 0.7) < 0.15
    assert abs(marked[~trucks].mean() - 0.1) < 0.03
    assert abs(peopled[fish].mean() - 0.5) < 0.08
    assert not peopled[~fish].any()


def test_captions_name_the_class_and_the_text_of_the_logo() -> None:
    captions = {scene.caption for scene in scenes(64, seed=0, size=32, logo=ALWAYS)}
    assert "a photo of a garbage truck with the text WASTECO" in captions
    assert "a photo of an eel with the text WASTECO" in captions
    assert "a photo of an eel" in {scene.caption for scene in scenes(64, seed=0, size=32)}


def test_backgrounds_do_not_depend_on_the_class() -> None:
    made = scenes(1600, seed=10, size=32)
    for place in {scene.source for scene in made}:
        share = np.mean([scene.source == place for scene in made])
        assert abs(share - 1 / 16) < 0.03
    trucks = Counter(scene.source for scene in made if scene.class_name == "garbage truck")
    assert len(trucks) == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1}, "not -1"),
        ({"seed": -5}, "not 2 and -5"),
        ({"size": 8}, "not 8"),
        ({"size": 100_000}, "not 100000"),
        ({"classes": ("garbage truck", "unicorn")}, "no class 'unicorn'"),
        ({"classes": ()}, "at least one"),
        ({"classes": ("eel", "eel")}, "once"),
    ],
)
def test_scenes_refuse_what_they_cannot_draw(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        scenes(**{"n": 2, "seed": 0, **arguments})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": {"eel": 1.5}}, "'eel' must lie between 0 and 1, not 1.5"),
        ({"elsewhere": float("nan")}, "not nan"),
        ({"classes": {"unicorn": 0.5}}, "no class 'unicorn'"),
        ({"words": ()}, "at least one word"),
        ({"words": ("A", " ")}, "blank"),
        ({"place": "top"}, "not 'top'"),
        ({"width": 0}, "not 0"),
        ({"width": 2.0}, "not 2.0"),
    ],
)
def test_logos_refuse_what_makes_no_sense(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        scenes(1, seed=0, logo=Logo(**arguments))  # type: ignore[arg-type]


def test_persons_refuse_a_prevalence_outside_0_to_1() -> None:
    with pytest.raises(InputError, match=r"not -0\.1"):
        Person(elsewhere=-0.1)
