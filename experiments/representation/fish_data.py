"""The data of the study of fish and humans, generated or real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from representation_classes import FISH, listed
from representation_data import pictures
from tiny_world import EVERYWHERE_PERSON, PERSON

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.readouts import Pictures
from chinspect.world import ANIMALS, scenes

ORIGINAL, HUMAN, NON_HUMAN = "original", "human", "non-human"
Labelled = tuple[Sequence[Image.Image], Sequence[str]]


@dataclass(frozen=True, eq=False)
class Shoal:
    """Images and labels to fit a readout on, and to judge it on: all, those with a human, those without."""

    train: Labelled
    test: Mapping[str, Labelled]


def generated(seed: int, n: int) -> Shoal:
    """``n`` animals to fit on, with persons as frequent as in the training of the encoders, and ``n`` to judge on.

    Of the latter each is drawn three times: with a person as often, always, and never.
    """
    people: tuple[tuple[str, Any], ...] = ((ORIGINAL, PERSON), (HUMAN, EVERYWHERE_PERSON), (NON_HUMAN, None))
    return Shoal(_drawn(6000 + seed, n, PERSON), {group: _drawn(5000 + seed, n, who) for group, who in people})


def real(root: Path, most: int, test: Samples, people: frozenset[str]) -> Shoal:
    """The sixteen fish of ImageNet.

    Args:
        most: images of each class that are fitted on at most.
        test: what `test_images` lists.
        people: names of the images with humans.
    """
    train = listed(root, "train", FISH, most)
    groups = {ORIGINAL: test, HUMAN: _those(test, people, True), NON_HUMAN: _those(test, people, False)}
    for group, samples in groups.items():
        if not len(samples):
            raise InputError(f"Of {len(test)} images of fish none is {group}: {len(people)} are said to show humans.")
    return Shoal(_labelled(train), {group: _labelled(samples) for group, samples in groups.items()})


def test_images(root: Path) -> Samples:
    """The test images of the sixteen fish."""
    return listed(root, "val", FISH)


def _drawn(seed: int, n: int, who: Any) -> Labelled:
    drawn = scenes(n, seed=seed, classes=tuple(ANIMALS), person=who)
    return pictures(drawn), [scene.class_name for scene in drawn]


def _labelled(samples: Samples) -> Labelled:
    return Pictures(samples), samples.labels or ()


def _those(samples: Samples, people: frozenset[str], shown: bool) -> Samples:
    kept = [row for row, name in enumerate(samples.names) if (name in people) == shown]
    labels = samples.labels or ()
    return Samples(samples.root, tuple(samples.names[row] for row in kept), tuple(labels[row] for row in kept))
