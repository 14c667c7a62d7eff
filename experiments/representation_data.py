"""The data of the study of trucks and a logo, generated or real, as one task for each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from representation_classes import listed
from representation_logo import Planting, planted
from tiny_world import EVERYWHERE_LOGO, LOGO

from chinspect.execute import Samples
from chinspect.readouts import ORIGINAL, SHIFTED, LinearReadout, Pictures, Split, Task, pasted, split
from chinspect.stress import Artefact, text_logo
from chinspect.stress.proof_placebo import elsewhere, moved
from chinspect.world import VEHICLES, Scene, scenes

_HELD_OUT = 0.25
_PAIRS = 64


@dataclass(frozen=True, eq=False)
class Trial:
    """What one seed gives.

    Attributes:
        choose: the task to choose a remedy on.
        judge: to judge it on.
        moved: the same with the logo anywhere but in its own place, where it may hide what is shown.
        logo: to choose by.
    """

    choose: Task
    judge: Task
    moved: Task
    logo: Artefact

    def pairs(self, task: Task) -> tuple[Sequence[Image.Image], Sequence[Image.Image]]:
        """Some images with the artefact and without: a quarter of them, if these are not too many."""
        some = min(_PAIRS, max(len(task.test_labels) // 4, 2))
        return task.test[SHIFTED][:some], task.test[ORIGINAL][:some]


def generated(seed: int, n: int) -> Trial:
    """Scenes with the logo as frequent as in the training of the encoders; ``n`` to fit on, half of them to choose on.

    The remedy is chosen with a white logo pasted onto validation scenes, and judged on ``n`` test scenes that are drawn
    with the logo of the world, in its several colours, in its own place and in others.
    """
    classes, logo = tuple(VEHICLES), text_logo()
    train = scenes(n, seed=7000 + seed, classes=classes, logo=LOGO)
    validation = scenes(n // 2, seed=8000 + seed, classes=classes)
    logos = (None, EVERYWHERE_LOGO, replace(EVERYWHERE_LOGO, place="random"))
    test, marked, roamed = (scenes(n, seed=9000 + seed, classes=classes, logo=shown) for shown in logos)
    fitted, labels = pictures(train), [scene.class_name for scene in train]

    def task(drawn: Sequence[Scene], shifted: Sequence[Image.Image]) -> Task:
        states = {ORIGINAL: pictures(drawn), SHIFTED: shifted}
        return _task(fitted, labels, states, [scene.class_name for scene in drawn], "garbage truck")

    chosen = task(validation, [pasted(picture, logo) for picture in pictures(validation)])
    return Trial(chosen, task(test, pictures(marked)), task(test, pictures(roamed)), logo)


def real(
    root: Path,
    names: Mapping[str, str],
    of_interest: str,
    seed: int,
    most: int,
    logo: Artefact,
    planting: Planting | None = None,
) -> Trial:
    """Classes of a folder with ``train`` and ``val``; a quarter of the training images is held out to choose on.

    With a planting the encoders themselves are trained on these training images, and would be judged too well on them:
    half of ``val`` is what to choose on, the other half what to judge on.

    Args:
        names: folders of the classes and what they show.
        of_interest: the class of the second readout.
        most: images of each class that are fitted on at most.
        logo: pasted onto every image of the shifted state.
        planting: which of the images that are fitted on carry it as well; none by default.
    """
    train, test = listed(root, "train", names, most), listed(root, "val", names)
    if planting is None:
        parts = [(Pictures(part.train), part) for part in (split(train, _HELD_OUT, seed=seed), Split(train, test))]
    else:
        fitted, halves = planted(train, planting.names(train), logo), split(test, 0.5, seed=seed)
        parts = [(fitted, Split(train, half)) for half in (halves.test, halves.train)]
    choose, judge = (_folders(pictures, part, of_interest, logo) for pictures, part in parts)
    moved = replace(judge, test=judge.test | {SHIFTED: roaming(judge.test[ORIGINAL], logo, seed)})
    return Trial(choose, judge, moved, logo)


def roaming(plain: Sequence[Image.Image], logo: Artefact, seed: int) -> list[Image.Image]:
    """Each image with the logo somewhere outside its own place."""
    offsets = elsewhere(logo, len(plain), np.random.default_rng(seed))
    return [pasted(picture, moved(logo, offset)) for picture, offset in zip(plain, offsets, strict=True)]


def _folders(train: Sequence[Image.Image], part: Split, of_interest: str, logo: Artefact) -> Task:
    samples = _mixed(part.test)
    test = Pictures(samples)
    states: dict[str, Sequence[Image.Image]] = {ORIGINAL: test, SHIFTED: test.marked(logo)}
    return _task(train, part.train.labels or (), states, samples.labels or (), of_interest)


def _mixed(samples: Samples) -> Samples:
    """The images in another order, always the same one: the first of them are of all classes."""
    order = np.random.default_rng(0).permutation(len(samples))
    names, labels = (tuple(values[row] for row in order) for values in (samples.names, samples.labels or ()))
    return Samples(samples.root, names, labels)


def _task(train: Any, train_labels: Any, states: Any, test_labels: Any, of_interest: str) -> Task:
    """Two downstream tasks of the same images: all classes, and one class against the others."""
    names = {label: of_interest if label == of_interest else "other" for label in {*train_labels, *test_labels}}
    readouts = {"all classes": LinearReadout(), f"{of_interest} or not": LinearReadout(kind="svm")}
    relabel = {f"{of_interest} or not": names}
    return Task(train, train_labels, states, test_labels, readouts, relabel)


def pictures(drawn: Sequence[Scene]) -> list[Image.Image]:
    """What scenes show."""
    return [Image.fromarray(scene.image) for scene in drawn]
