"""The data of the representation study: trucks and a logo, generated or real, as one task for each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tiny_world import EVERYWHERE_LOGO, LOGO

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import list_images
from chinspect.readouts import ORIGINAL, SHIFTED, LinearReadout, Pictures, Split, Task, pasted, split
from chinspect.stress import Artefact, text_logo
from chinspect.world import VEHICLES, Scene, scenes

TRUCKS = {
    "n03770679": "minivan",
    "n03796401": "moving van",
    "n03977966": "police van",
    "n03345487": "fire engine",
    "n03417042": "garbage truck",
    "n03930630": "pickup",
    "n04461696": "tow truck",
    "n04467665": "trailer truck",
}
"""The eight trucks of the paper by WordNet id."""
TINY_VEHICLES = {
    "n03796401": "moving van",
    "n03977966": "police van",
    "n04146614": "school bus",
    "n04487081": "trolleybus",
    "n04285008": "sports car",
    "n02814533": "beach wagon",
    "n03100240": "convertible",
    "n03670208": "limousine",
    "n04465501": "tractor",
    "n03444034": "go-kart",
}
"""The vehicles among twenty classes of Tiny-ImageNet."""
_HELD_OUT = 0.25
_PAIRS = 64


@dataclass(frozen=True, eq=False)
class Trial:
    """What one seed gives: a task to choose a remedy on, one to judge it on, and pairs of images of each."""

    choose: Task
    judge: Task

    def pairs(self, task: Task) -> tuple[Sequence[Image.Image], Sequence[Image.Image]]:
        """Some images with the artefact and without."""
        return task.test[SHIFTED][:_PAIRS], task.test[ORIGINAL][:_PAIRS]


def generated(seed: int, n: int) -> Trial:
    """Scenes with the logo as frequent as in the training of the encoders; ``n`` to fit on, half of them to choose on.

    The remedy is chosen with a white logo pasted onto validation scenes, and judged on ``n`` test scenes that are drawn
    with the logo of the world, in its several colours.
    """
    classes, logo = tuple(VEHICLES), text_logo()
    train = scenes(n, seed=7000 + seed, classes=classes, logo=LOGO)
    validation = scenes(n // 2, seed=8000 + seed, classes=classes)
    test, marked = (scenes(n, seed=9000 + seed, classes=classes, logo=shown) for shown in (None, EVERYWHERE_LOGO))
    plain = _pictures(validation)
    states = (
        (validation, {ORIGINAL: plain, SHIFTED: [pasted(picture, logo) for picture in plain]}),
        (test, {ORIGINAL: _pictures(test), SHIFTED: _pictures(marked)}),
    )
    fitted, labels = _pictures(train), [scene.class_name for scene in train]
    tasks = (
        _task(fitted, labels, pictures, [s.class_name for s in drawn], "garbage truck") for drawn, pictures in states
    )
    return Trial(*tasks)


def real(root: Path, names: Mapping[str, str], of_interest: str, seed: int, most: int, logo: Artefact) -> Trial:
    """Classes of a folder with ``train`` and ``val``; a quarter of the training images is held out to choose on.

    Args:
        names: folders of the classes and what they show.
        of_interest: the class of the second readout.
        most: images of each class that are fitted on at most.
        logo: pasted onto every image of the shifted state.
    """
    train, test = (_listed(root, part, names, limit) for part, limit in (("train", most), ("val", None)))
    inner = split(train, _HELD_OUT, seed=seed)
    return Trial(*(_folders(part, of_interest, logo) for part in (inner, Split(train, test))))


def paper_logo(path: Path | None) -> Artefact:
    """A logo file, or a text, placed as in the paper: lower left, 0.4 of the width, 10 of 224 pixels off the edges."""
    if path is None:
        return text_logo(width=0.4)
    return Artefact.from_file(path, width=0.4, anchor=(0, 1))


def _folders(chosen: Split, of_interest: str, logo: Artefact) -> Task:
    test = Pictures(chosen.test)
    states: dict[str, Sequence[Image.Image]] = {ORIGINAL: test, SHIFTED: test.marked(logo)}
    return _task(Pictures(chosen.train), chosen.train.labels or (), states, chosen.test.labels or (), of_interest)


def _task(train: Any, train_labels: Any, states: Any, test_labels: Any, of_interest: str) -> Task:
    """Two downstream tasks of the same images: all classes, and one class against the others."""
    names = {label: of_interest if label == of_interest else "other" for label in {*train_labels, *test_labels}}
    readouts = {"all classes": LinearReadout(), f"{of_interest} or not": LinearReadout(kind="svm")}
    relabel = {f"{of_interest} or not": names}
    return Task(train, train_labels, states, test_labels, readouts, relabel)


def _listed(root: Path, part: str, names: Mapping[str, str], limit: int | None) -> Samples:
    found: list[tuple[str, str]] = []
    for folder, name in names.items():
        if not (root / part / folder).is_dir():
            raise InputError(f"{str(root)!r} has no folder {part}/{folder} ({name}).")
        paths = list_images(root / part / folder)[:limit]
        found += [(path.relative_to(root).as_posix(), name) for path in paths]
    return Samples(root, tuple(path for path, _ in found), tuple(name for _, name in found))


def _pictures(drawn: Sequence[Scene]) -> list[Image.Image]:
    return [Image.fromarray(scene.image) for scene in drawn]
