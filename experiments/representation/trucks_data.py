"""The data of the study of trucks and a logo, generated or real, as one task for each seed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chinspect.artefacts import Artefact, text_logo
from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.proof.placebos import elsewhere, moved
from chinspect.readouts import (
    ORIGINAL,
    SHIFTED,
    Pairs,
    Pictures,
    Split,
    Task,
    interleaved,
    linear_readout,
    pasted,
    split,
)
from chinspect.world import VEHICLES, Scene, scenes
from experiments.representation.photographs import Planting, listed, planted
from experiments.tiny.world import EVERYWHERE_LOGO, LOGO

_HELD_OUT = 0.25
"""The fraction of the training images that is held out to choose on."""
_PAIRS = 64
"""Images with and without the artefact by which edits are ranked, at most."""


@dataclass(frozen=True, eq=False)
class Trial:
    """What one seed gives.

    Attributes:
        choose: the task to choose a remedy on.
        judge: to judge it on.
        moved: the same with the logo in other places, drawn at random, where it may hide what is shown.
        logo: to choose by.
    """

    choose: Task
    judge: Task
    moved: Task
    logo: Artefact

    def seen_by(self, encoder: Encoder) -> Trial:
        """The same with the logo on what an encoder sees of images."""
        view = encoder.preprocessing
        return Trial(self.choose.seen_by(view), self.judge.seen_by(view), self.moved.seen_by(view), self.logo)

    def pairs(self, task: Task) -> Pairs:
        """Some images with the artefact and without: a quarter of them, if these are not too many."""
        some = min(_PAIRS, max(len(task.test_labels) // 4, 2))
        return task.pairs(some)


def generated(seed: int, n: int) -> Trial:
    """Scenes with the logo as frequent as in the training of the encoders; ``n`` to fit on, half of them to choose on.

    The remedy is chosen with a white logo pasted onto validation scenes, and judged on ``n`` test scenes that are drawn
    with the logo of the world, in its several colours, in its own place and in others.
    """
    classes = tuple(VEHICLES)
    logo = text_logo()
    train = scenes(n, seed=7000 + seed, classes=classes, logo=LOGO)
    validation = scenes(n // 2, seed=8000 + seed, classes=classes)
    logos = (None, EVERYWHERE_LOGO, replace(EVERYWHERE_LOGO, place="random"))
    test, marked, roamed = (scenes(n, seed=9000 + seed, classes=classes, logo=shown) for shown in logos)
    fitted = pictures(train)
    labels = [scene.class_name for scene in train]

    def task(drawn: Sequence[Scene], shifted: Sequence[Image.Image]) -> Task:
        states = {ORIGINAL: pictures(drawn), SHIFTED: shifted}
        return _task(fitted, labels, states, [scene.class_name for scene in drawn], "garbage truck")

    choose = task(validation, [pasted(picture, logo) for picture in pictures(validation)])
    return Trial(choose, task(test, pictures(marked)), task(test, pictures(roamed)), logo)


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
        logo: pasted onto every image of the shifted state, by `Trial.seen_by` in what an encoder sees of it.
        planting: which of the images that are fitted on carry it as well; none by default.
    """
    listing = listed(root, "train", names, most)
    train = interleaved(listing)
    test = interleaved(listed(root, "val", names))
    if planting is None:
        splits = [split(train, _HELD_OUT, seed=seed), Split(train, test)]
        fitted: list[Sequence[Image.Image]] = [Pictures(each.train) for each in splits]
    else:
        halves = split(test, 0.5, seed=seed)
        splits = [Split(train, half) for half in (halves.test, halves.train)]
        fitted = [planted(train, planting.names(listing), logo)] * 2
    choose, judge = (_folders(*pair, of_interest, logo) for pair in zip(fitted, splits, strict=True))
    roaming = Roaming(splits[1].test, logo)
    return Trial(choose, judge, replace(judge, test=judge.test | {SHIFTED: roaming}), logo)


class Roaming(Pictures):
    """Images with the artefact somewhere outside its own place, always the same one."""

    def shown(self, name: str) -> Artefact | None:
        """The artefact as the image of a name shows it."""
        if self.artefact is None:
            return None
        offsets = elsewhere(self.artefact, 1, np.random.default_rng(zlib.crc32(name.encode())))
        if not offsets:
            raise InputError(f"The logo {self.artefact.name!r} leaves no room on the image to move it to.")
        return moved(self.artefact, offsets[0])


def _folders(train: Sequence[Image.Image], data: Split, of_interest: str, logo: Artefact) -> Task:
    test = Pictures(data.test)
    states: dict[str, Sequence[Image.Image]] = {ORIGINAL: test, SHIFTED: test.marked(logo)}
    return _task(train, data.train.labels or (), states, data.test.labels or (), of_interest)


def _task(train: Any, train_labels: Any, states: Any, test_labels: Any, of_interest: str) -> Task:
    """Two downstream tasks of the same images: all classes, and one class against the others."""
    names = {label: of_interest if label == of_interest else "other" for label in {*train_labels, *test_labels}}
    second = f"{of_interest} or not"
    readouts = {"all classes": linear_readout(), second: linear_readout("svm")}
    return Task(train, train_labels, states, test_labels, readouts, {second: names})


def pictures(drawn: Sequence[Scene]) -> list[Image.Image]:
    """What scenes show."""
    return [Image.fromarray(scene.image) for scene in drawn]
