"""Train small encoders by four objectives on a folder of photographs, with a logo on some of them.

    python experiments/train_ssl.py --root DIR [--objectives clip simclr barlowtwins supervised] [--out DIR] [--smoke]

DIR holds train/CLASS/*.JPEG, classes by WordNet id or by name. A text logo lies on a share of the images of one class,
and on a smaller one elsewhere; the captions that CLIP learns from name its word where it shows, as alt texts do. At 64
pixels an epoch of 10,000 images takes a quarter of a minute of one thread. An interrupted training goes on from its
last checkpoint, to the same weights; a checkpoint of other images or options is not used.

Each result is a folder --out/OBJECTIVE with a card and weights, for `load_encoder` and `representation.py --encoders`.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from representation_classes import class_name, listed
from representation_logo import ELSEWHERE, PREVALENCE, WORD, Planting, planted, small_logo
from tiny_card import OBJECTIVES, Description
from tiny_objectives import objectives
from tiny_training import BATCH, CHECKPOINT_EVERY, SEED, export, train

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.files import output_folder
from chinspect.images import Preprocessing

EPOCHS = 40
SIZES = 32, 512
TEMPLATES = ("a photo of {}", "a picture of {}", "an image of {}")


def main() -> None:
    """Train the encoders that were asked for."""
    options = read_options()
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
    for kind in options.objectives:
        torch.manual_seed(SEED)
        checkpoint = work / f"{kind}-{run}.safetensors"
        every = 2 if options.smoke else CHECKPOINT_EVERY
        training = train(kind, steps, images, table[kind](), checkpoint, every)
        facts = training.facts | stated(samples, marked, planting)
        about = Description(kind, kind, f"photographs of {len(names)} classes", options.size, "bundled", "not recorded")
        export(training, options.out / kind, about, facts)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR")
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=list(OBJECTIVES))
    parser.add_argument("--classes", nargs="+", metavar="WNID", help="folders of the classes; all by default")
    parser.add_argument("--logo-class", default="moving van", help="the class with the logo, by folder or by name")
    parser.add_argument("--prevalence", type=float, default=PREVALENCE, help="share of its images with the logo")
    parser.add_argument("--elsewhere", type=float, default=ELSEWHERE, help="share of all other images with the logo")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    parser.add_argument("--out", type=Path, default=Path("results/ssl"))
    parser.add_argument("--smoke", action="store_true", help="a few steps on a few images")
    options = parser.parse_args()
    if options.epochs < 1 or not SIZES[0] <= options.size <= SIZES[1]:
        parser.error(f"--epochs is at least 1, and --size lies between {SIZES[0]} and {SIZES[1]} pixels")
    if options.smoke:
        options.epochs = min(options.epochs, 6)
    return options


def folders(root: Path, wanted: Sequence[str] | None) -> Sequence[str]:
    """The classes that were asked for, or all of a data set."""
    found = wanted or sorted(path.name for path in (root / "train").glob("*/"))
    if len(set(found)) < 2:
        raise InputError(f"{str(root / 'train')!r} must have one folder for each of two classes or more.")
    return found


def logo_class(wanted: str, names: dict[str, str]) -> str:
    """The name of the class that was given by folder or by name."""
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
    of_class = [
        name in marked
        for name, label in zip(samples.names, samples.labels or (), strict=True)
        if label == planting.class_name
    ]
    others = len(samples) - len(of_class)
    return {
        "images": len(samples),
        "classes": len(set(samples.labels or ())),
        "logo": WORD,
        "logo_class": planting.class_name,
        "logo_on_class": round(sum(of_class) / len(of_class), 4),
        "logo_elsewhere": round((len(marked) - sum(of_class)) / others, 4),
    }


if __name__ == "__main__":
    main()
