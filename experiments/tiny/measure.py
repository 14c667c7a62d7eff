"""Measure the bundled encoders on unseen scenes, and write the [measured] table of their cards.

    python experiments/measure_tiny.py [--encoders tiny-clip ...] [--pairs 200] [--smoke]

Relevance: pairs of garbage trucks that share a logo, pairs of fish that are both shown with a person. The share of
the relevance of the dot product (Kauffmann et al. 2025; marginal map of one image, a single pull of `y_a * y_b`) that
lies inside the mask of the artefact, against two controls: the same mask placed at random elsewhere, and the same
place in the same pair drawn without the artefact.

Accuracy: logistic regression on the embeddings (C = 1, no intercept, balanced classes), trained on scenes with the
artefacts as frequent as in the training of the encoders, tested without the artefact and with it on every image.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from tiny_card import write_measurements
from tiny_world import EVERYWHERE_LOGO, EVERYWHERE_PERSON, LOGO, PERSON
from torch import Tensor

from chinspect.encoders.tiny import TinyResNet
from chinspect.relevance import relevance_map
from chinspect.world import FISH, VEHICLES, Scene, scenes

ENCODERS = ("tiny-clip", "tiny-simclr", "tiny-barlowtwins", "tiny-supervised")
PROBES: dict[str, tuple[str, tuple[str, ...], Any, Any]] = {
    "logo": ("vehicles", tuple(VEHICLES), LOGO, EVERYWHERE_LOGO),
    "person": ("fish", tuple(FISH), PERSON, EVERYWHERE_PERSON),
}
PAIR_SEED, PROBE_SEED, TEST_SEED = 101, 102, 103


def load(folder: Path) -> TinyResNet:
    """A bundled encoder, ready to embed."""
    model = TinyResNet()
    state = load_file(folder / "weights.safetensors")
    model.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in state.items()})
    return model.eval()


def batch(pictures: list[Scene]) -> Tensor:
    """The encoders' preprocessing: [-1, 1]."""
    return torch.from_numpy(np.stack([scene.image for scene in pictures])).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.inference_mode()
def embed(model: TinyResNet, pictures: list[Scene]) -> NDArray[np.float32]:
    """Embeddings of any number of scenes: (N, 256)."""
    parts = [model(batch(pictures[start : start + 128])) for start in range(0, len(pictures), 128)]
    return torch.cat(parts).numpy()


def probe(model: TinyResNet, kind: str, n: int) -> dict[str, float]:
    """Accuracy of a linear probe, and for vehicles how many others it takes for garbage trucks."""
    group, classes, usual, everywhere = PROBES[kind]
    training = scenes(2 * n, seed=PROBE_SEED, classes=classes, **{kind: usual})
    readout = LogisticRegression(C=1, fit_intercept=False, class_weight="balanced", max_iter=1000)
    readout.fit(embed(model, training), [scene.label for scene in training])
    result = {}
    conditions: tuple[tuple[str, Any], ...] = ((f"no_{kind}", None), ("natural", usual), (f"{kind}_on_all", everywhere))
    for condition, artefact in conditions:
        test = scenes(n, seed=TEST_SEED, classes=classes, **{kind: artefact})
        labels, predicted = np.array([scene.label for scene in test]), readout.predict(embed(model, test))
        result[f"{group}_accuracy_{condition}"] = round(float((labels == predicted).mean()), 3)
        if kind == "logo":
            truck = classes.index("garbage truck")
            false_alarms = float((predicted[labels != truck] == truck).mean())
            result[f"false_garbage_trucks_{condition}"] = round(false_alarms, 3)
    return result


def marginal(model: TinyResNet, a: list[Scene], b: list[Scene]) -> NDArray[np.float32]:
    """Relevance of every pixel of the images a for their similarity to the images b: (N, H, W)."""
    relevance = relevance_map(model, batch(a), composite="epsilon_plus_flat")
    with torch.inference_mode():
        other = model(batch(b))
    return relevance.pull(relevance.output * other).sum(1).detach().numpy()


def share(heat: NDArray[np.float32], masks: NDArray[np.bool_]) -> float:
    """Mean over the images of the share of the relevance inside the masks."""
    shares = (heat * masks).sum((1, 2)) / heat.sum((1, 2))
    return round(float(shares.mean()), 4)


def moved(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same shape at a random other place, inside the image and clear of the mask where that is possible."""
    rows, columns = np.nonzero(mask)
    best = mask
    for _ in range(50):
        y = rng.integers(-rows.min(), mask.shape[0] - rows.max())
        x = rng.integers(-columns.min(), mask.shape[1] - columns.max())
        candidate = np.roll(mask, (y, x), (0, 1))
        if (candidate & mask).sum() < (best & mask).sum():
            best = candidate
    return best


def relevance_shares(model: TinyResNet, kind: str, pairs: int) -> dict[str, float]:
    """Shares for pairs that share the artefact `kind`, "logo" or "person"."""
    classes = ("garbage truck",) if kind == "logo" else tuple(FISH)
    marked = scenes(2 * pairs, seed=PAIR_SEED, classes=classes, **{kind: PROBES[kind][3]})
    plain = scenes(2 * pairs, seed=PAIR_SEED, classes=classes)
    visible = [
        i for i in range(0, 2 * pairs, 2) if getattr(marked[i], kind).any() and getattr(marked[i + 1], kind).any()
    ]
    marked, plain = ([made[i + side] for side in (0, 1) for i in visible] for made in (marked, plain))
    first, second = slice(len(visible)), slice(len(visible), None)
    masks, objects = (np.stack([getattr(scene, name) for scene in marked[first]]) for name in (kind, "object"))
    rng = np.random.default_rng(PAIR_SEED)
    heat = marginal(model, marked[first], marked[second])
    return {
        f"{kind}_share": share(heat, masks),
        f"{kind}_share_random_place": share(heat, np.stack([moved(rng, mask) for mask in masks])),
        f"{kind}_share_without_{kind}": share(marginal(model, plain[first], plain[second]), masks),
        f"{kind}_area": round(float(masks.mean()), 4),
        f"{kind}_pairs_object_share": share(heat, objects),
        f"{kind}_pairs_object_area": round(float(objects.mean()), 4),
    }


def measure(model: TinyResNet, pairs: int, n: int) -> dict[str, Any]:
    """Everything that the card reports."""
    result: dict[str, Any] = {"pairs": pairs, "probe_test_scenes": n}
    for kind in ("logo", "person"):
        result |= relevance_shares(model, kind, pairs) | probe(model, kind, n)
    return result


def main() -> None:
    """Measure the encoders that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=ENCODERS)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--smoke", action="store_true", help="few pairs and scenes, cards left as they are")
    arguments = parser.parse_args()
    for name in arguments.encoders:
        folder = arguments.models / name
        measured = measure(load(folder), 4 if arguments.smoke else arguments.pairs, 80 if arguments.smoke else 1600)
        print(name, measured, flush=True)
        if not arguments.smoke:
            write_measurements(folder / "card.toml", measured)


if __name__ == "__main__":
    main()
