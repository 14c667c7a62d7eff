"""The data of the study of fish and humans, generated or real; which images show humans is listed or detected.

Detected as in Kauffmann et al. 2025: by Faster R-CNN, a person of a score of 0.9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import open_image
from chinspect.readouts import Pictures
from chinspect.world import ANIMALS, scenes
from experiments.representation.photographs import FISH, listed
from experiments.representation.published import GROUPS
from experiments.representation.trucks_data import pictures
from experiments.tiny.world import EVERYWHERE_PERSON, PERSON

SCORE = 0.9
PERSON_LABEL = 1
"""Of a person in COCO."""
Detector = Callable[[list[Tensor]], Sequence[Mapping[str, Tensor]]]
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
    people = zip(GROUPS, (PERSON, EVERYWHERE_PERSON, None), strict=True)
    return Shoal(_drawn(6000 + seed, n, PERSON), {group: _drawn(5000 + seed, n, who) for group, who in people})


def real(root: Path, most: int, test: Samples, people: frozenset[str]) -> Shoal:
    """The sixteen fish of ImageNet.

    Args:
        most: images of each class that are fitted on at most.
        test: what `test_images` lists.
        people: names of the images with humans.
    """
    train = listed(root, "train", FISH, most)
    human = np.array([name in people for name in test.names])
    rows = zip(GROUPS, (np.full(len(test), True), human, ~human), strict=True)
    groups = {group: _take(test, np.flatnonzero(selected)) for group, selected in rows}
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


def _take(samples: Samples, rows: Iterable[int]) -> Samples:
    labels = samples.labels or ()
    return Samples(samples.root, tuple(samples.names[row] for row in rows), tuple(labels[row] for row in rows))


def read_people(path: Path, root: Path) -> frozenset[str]:
    """The images that a file lists, relative to the root, one each line. `InputError` if one is not there."""
    try:
        names = frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no text file with one image a line ({error}).") from error
    missing = sorted(name for name in names if not (root / name).is_file())
    if missing:
        raise InputError(f"{str(path)!r} lists {missing[0]!r}, and {str(root)!r} holds no such file.")
    return names


def detect_people(samples: Samples, detector: Detector) -> frozenset[str]:
    """The names of the images on which a detector of COCO's classes is sure of a person."""
    from torchvision.transforms.functional import pil_to_tensor

    people = set()
    for name, path in zip(samples.names, samples.paths, strict=True):
        with torch.inference_mode():
            (seen,) = detector([pil_to_tensor(open_image(path).convert("RGB")).float() / 255])
        if bool(((seen["labels"] == PERSON_LABEL) & (seen["scores"] >= SCORE)).any()):
            people.add(name)
    return frozenset(people)


def load_detector() -> Detector:
    """Faster R-CNN with a ResNet-50-FPN (v2), trained on COCO, by torchvision."""
    from torch.hub import load_state_dict_from_url
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_V2_Weights, fasterrcnn_resnet50_fpn_v2

    url = FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1.url
    try:
        state = load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"The weights {Path(url).name} of the detector of humans cannot be downloaded from {url} ({error}); name "
            "the images that show humans in a file instead: --humans FILE."
        ) from error
    model = fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None)
    model.load_state_dict(state)
    return model.eval()
