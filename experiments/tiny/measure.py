"""Measure the bundled encoders on unseen scenes, and write the [measured] table of their cards.

    python experiments/tiny/measure.py [--encoders tiny-clip ...] [--pairs 200] [--smoke]

Relevance: pairs of garbage trucks with the same logo, pairs of fish that are both shown with a person. The fraction of
the relevance of the dot product (Kauffmann et al. 2025; marginal map of one image, a single pull of `y_a * y_b`) that
lies inside the mask of the artefact, against two controls: the same mask placed at random elsewhere, and the same box
in the same pair drawn without the artefact.

Accuracy: logistic regression on the embeddings (C = 1, no intercept, balanced classes), trained on scenes with the
artefacts as frequent as in the training of the encoders, tested without the artefact and with it on every image.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from chinspect.encoders import Encoder, load_encoder
from chinspect.readouts import linear_readout
from chinspect.relevance import relevance_map
from chinspect.world import FISH, VEHICLES, Scene, scenes
from experiments.study import option, read_options
from experiments.tiny.training import write_measurements
from experiments.tiny.world import EVERYWHERE_LOGO, EVERYWHERE_PERSON, LOGO, PERSON

ENCODERS = ["tiny-clip", "tiny-simclr", "tiny-barlowtwins", "tiny-supervised"]
PROBES: dict[str, tuple[str, tuple[str, ...], Any, Any]] = {
    "logo": ("vehicles", tuple(VEHICLES), LOGO, EVERYWHERE_LOGO),
    "person": ("fish", tuple(FISH), PERSON, EVERYWHERE_PERSON),
}
PAIR_SEED = 101
PROBE_SEED = 102
TEST_SEED = 103
OPTIONS = (
    option("encoders", ENCODERS, choices=ENCODERS),
    option("models", Path("models")),
    option("pairs", 200),
)


def main() -> None:
    """Measure the encoders that were asked for; --smoke leaves their cards as they are."""
    options = read_options(__doc__, OPTIONS, smoke={"pairs": 4})
    for name in options.encoders:
        folder = options.models / name
        measurements = measured(load_encoder(str(folder)), options.pairs, 80 if options.smoke else 1600)
        print(name, measurements, flush=True)
        if not options.smoke:
            write_measurements(folder / "card.toml", measurements)


def embed(encoder: Encoder, pictures: list[Scene]) -> NDArray[np.float32]:
    """Embeddings of any number of scenes: (N, 256)."""
    return encoder.embed([Image.fromarray(scene.image) for scene in pictures]).numpy()


def probe(encoder: Encoder, kind: str, n: int) -> dict[str, float]:
    """Accuracy of a linear probe, and for vehicles how many others it takes for garbage trucks."""
    group, classes, usual, everywhere = PROBES[kind]
    training = scenes(2 * n, seed=PROBE_SEED, classes=classes, **{kind: usual})
    readout = linear_readout().fit(embed(encoder, training), [scene.label for scene in training])
    result = {}
    conditions: tuple[tuple[str, Any], ...] = ((f"no_{kind}", None), ("natural", usual), (f"{kind}_on_all", everywhere))
    for condition, artefact in conditions:
        test = scenes(n, seed=TEST_SEED, classes=classes, **{kind: artefact})
        labels = np.array([scene.label for scene in test])
        predicted = readout.predict(embed(encoder, test))
        result[f"{group}_accuracy_{condition}"] = round(float((labels == predicted).mean()), 3)
        if kind == "logo":
            truck = classes.index("garbage truck")
            false_alarms = float((predicted[labels != truck] == truck).mean())
            result[f"false_garbage_trucks_{condition}"] = round(false_alarms, 3)
    return result


def marginal(encoder: Encoder, a: list[Scene], b: list[Scene]) -> NDArray[np.float32]:
    """Relevance of every pixel of the images a for their similarity to the images b: (N, H, W)."""
    images = torch.cat([encoder.prepare(Image.fromarray(scene.image)) for scene in a])
    relevance = relevance_map(encoder.module, images, composite="epsilon_plus_flat")
    other = torch.from_numpy(embed(encoder, b))
    return relevance.pull(relevance.output * other).sum(1).detach().numpy()


def fraction(heat: NDArray[np.float32], masks: NDArray[np.bool_]) -> float:
    """Mean over the images of the fraction of the relevance inside the masks."""
    return round(float(((heat * masks).sum((1, 2)) / heat.sum((1, 2))).mean()), 4)


def moved(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same shape at a random other position, inside the image and clear of the mask where that is possible."""
    rows, columns = np.nonzero(mask)
    best = mask
    for _ in range(50):
        y = rng.integers(-rows.min(), mask.shape[0] - rows.max())
        x = rng.integers(-columns.min(), mask.shape[1] - columns.max())
        candidate = np.roll(mask, (y, x), (0, 1))
        if (candidate & mask).sum() < (best & mask).sum():
            best = candidate
    return best


def relevance_fractions(encoder: Encoder, kind: str, pairs: int) -> dict[str, float]:
    """Where the relevance lies, for pairs that have the artefact `kind` in common, "logo" or "person"."""
    classes = ("garbage truck",) if kind == "logo" else tuple(FISH)
    marked = scenes(2 * pairs, seed=PAIR_SEED, classes=classes, **{kind: PROBES[kind][3]})
    plain = scenes(2 * pairs, seed=PAIR_SEED, classes=classes)
    visible = [
        i for i in range(0, 2 * pairs, 2) if getattr(marked[i], kind).any() and getattr(marked[i + 1], kind).any()
    ]
    first = [marked[i] for i in visible]
    masks, objects = (np.stack([getattr(scene, name) for scene in first]) for name in (kind, "object"))
    rng = np.random.default_rng(PAIR_SEED)
    heat = marginal(encoder, first, [marked[i + 1] for i in visible])
    without = marginal(encoder, [plain[i] for i in visible], [plain[i + 1] for i in visible])
    return {
        f"{kind}_share": fraction(heat, masks),
        f"{kind}_share_random_place": fraction(heat, np.stack([moved(rng, mask) for mask in masks])),
        f"{kind}_share_without_{kind}": fraction(without, masks),
        f"{kind}_area": round(float(masks.mean()), 4),
        f"{kind}_pairs_object_share": fraction(heat, objects),
        f"{kind}_pairs_object_area": round(float(objects.mean()), 4),
    }


def measured(encoder: Encoder, pairs: int, n: int) -> dict[str, Any]:
    """Everything that the card reports."""
    result: dict[str, Any] = {"pairs": pairs, "probe_test_scenes": n}
    for kind in ("logo", "person"):
        result |= relevance_fractions(encoder, kind, pairs) | probe(encoder, kind, n)
    return result


if __name__ == "__main__":
    main()
