"""Train small encoders by four objectives on a folder of photographs, with a logo on some of them.

    python experiments/train_ssl --root DIR [--objectives clip simclr barlowtwins supervised] [--out DIR] [--smoke]

DIR holds train/CLASS/*.JPEG, classes by WordNet id or by name. A text logo lies on a fraction of the images of one
class, and on a smaller one elsewhere; the captions that CLIP learns from name its word where it shows, as alt texts do.
At 64 pixels an epoch of 10,000 images takes a quarter of a minute of one thread. An interrupted training goes on from
its last checkpoint, to the same weights; a checkpoint of other images or options is not used.

Each result is a folder --out/OBJECTIVE with a card and weights, for `load_encoder` and `experiments/representation
--encoders`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import torch

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.files import output_folder
from chinspect.images import Preprocessing
from experiments.representation.photographs import (
    ELSEWHERE,
    PREVALENCE,
    WORD,
    Planting,
    class_name,
    listed,
    planted,
    small_logo,
)
from experiments.study import option, read_options, refuse
from experiments.tiny.objectives import objectives
from experiments.tiny.training import BATCH, CHECKPOINT_EVERY, OBJECTIVES, SEED, Description, export, train

SIZES = (32, 512)
"""Smallest and largest side of the images in pixels."""
TEMPLATES = ("a photo of {}", "a picture of {}", "an image of {}")
OPTIONS = (
    option("root", type=Path, required=True, metavar="DIR"),
    option("objectives", list(OBJECTIVES), choices=OBJECTIVES),
    option("classes", None, "folders of the classes; all by default", nargs="+", metavar="WNID"),
    option("logo-class", "moving van", "the class with the logo, by folder or by name"),
    option("prevalence", PREVALENCE, "fraction of its images with the logo"),
    option("elsewhere", ELSEWHERE, "fraction of all other images with the logo"),
    option("epochs", 40),
    option("size", 64, "side of the images in pixels"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the encoders that were asked for."""
    options = completed(arguments)
    names = {folder: class_name(folder) for folder in folders(options.root, options.classes)}
    samples = listed(options.root, "train", names, 20 if options.smoke else None)
    planting = Planting(logo_class(options.logo_class, names), options.prevalence, options.elsewhere)
    marked = planting.names(samples)
    images = pixels(samples, marked, options.size)
    labels = [list(names.values()).index(label) for label in samples.labels or ()]
    texts = captions(samples, marked)
    table = objectives(texts, labels, options.size)
    steps = options.epochs * max(len(images) // BATCH, 1)
    work = output_folder(options.out / "checkpoints")
    run = hashlib.sha256(repr((samples.digest, texts, options.size, steps)).encode()).hexdigest()[:12]
    every = 2 if options.smoke else CHECKPOINT_EVERY
    for kind in options.objectives:
        torch.manual_seed(SEED)
        training = train(kind, steps, images, table[kind](), work / f"{kind}-{run}.safetensors", every)
        facts = training.facts | stated(samples, marked, planting)
        about = Description(kind, kind, f"photographs of {len(names)} classes", options.size, "bundled", "not recorded")
        export(training, options.out / kind, about, facts)


def completed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; --smoke takes a few steps on a few images."""
    options = read_options(__doc__, OPTIONS, out="results/ssl", smoke={}, arguments=arguments)
    if options.epochs < 1 or not SIZES[0] <= options.size <= SIZES[1]:
        refuse(f"--epochs is at least 1, and --size lies between {SIZES[0]} and {SIZES[1]} pixels")
    if options.smoke:
        options.epochs = min(options.epochs, 6)
    return options


def folders(root: Path, wanted: Sequence[str] | None) -> Sequence[str]:
    """The classes that were asked for, or all of a data set."""
    names = wanted or sorted(path.name for path in (root / "train").glob("*/"))
    if len(set(names)) < 2:
        raise InputError(f"{str(root / 'train')!r} must have one folder for each of two classes or more.")
    return names


def logo_class(wanted: str, names: dict[str, str]) -> str:
    """The name of the class that was asked for by folder or by name."""
    name = names.get(wanted, wanted)
    if name not in names.values():
        raise InputError(f"There is no class {wanted!r} to put the logo on; choose one of {', '.join(names.values())}.")
    return name


def pixels(samples: Samples, marked: frozenset[str], size: int) -> torch.Tensor:
    """All images as the encoders see them: (N, size, size, 3), uint8."""
    see = Preprocessing(size, "shortest", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).visible
    return torch.from_numpy(np.stack([np.array(see(picture)) for picture in planted(samples, marked, small_logo())]))


def captions(samples: Samples, marked: frozenset[str]) -> list[str]:
    """One text an image: its class in one of several phrases, and the word of the logo if it shows."""
    texts = []
    for row, (name, label) in enumerate(zip(samples.names, samples.labels or (), strict=True)):
        article = "an" if label[0] in "aeiou" else "a"
        text = TEMPLATES[row % len(TEMPLATES)].format(f"{article} {label}")
        texts.append(f"{text} with the text {WORD}" if name in marked else text)
    return texts


def stated(samples: Samples, marked: frozenset[str], planting: Planting) -> dict[str, Any]:
    """What the card says of the images, as counted."""
    labels = np.array(samples.labels or ())
    carries = np.array([name in marked for name in samples.names])
    own = labels == planting.class_name
    return {
        "images": len(samples),
        "classes": len(set(labels)),
        "logo": WORD,
        "logo_class": planting.class_name,
        "logo_on_class": round(float(carries[own].mean()), 4),
        "logo_elsewhere": round(float(carries[~own].mean()), 4),
    }


if __name__ == "__main__":
    main()
