"""Train the four bundled encoders by four objectives on the same generated scenes.

    python experiments/train_tiny.py [--encoders tiny-clip ...] [--smoke]

About 40 minutes of one thread in all; run it twice, with two encoders and one thread (OMP_NUM_THREADS=1) each. An
interrupted training goes on from its last checkpoint, to the same weights: every step has a random seed of its own.
Writes models/<name>/weights.safetensors and models/<name>/card.toml.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from tiny_card import Description
from tiny_objectives import objectives
from tiny_training import SEED, export, train
from tiny_world import LOGO, TRAINING_SCENES, TRAINING_SEED, training_scenes

SIZE = 128
STEPS = {"tiny-clip": 450, "tiny-supervised": 300, "tiny-simclr": 450, "tiny-barlowtwins": 450}


def main() -> None:
    """Train the encoders that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--work", type=Path, default=Path("build/tiny"), help="where the checkpoints go")
    parser.add_argument("--smoke", action="store_true", help="a few steps on a few scenes")
    arguments = parser.parse_args()
    world = training_scenes(256 if arguments.smoke else TRAINING_SCENES)
    pixels, captions, labels = zip(*((scene.image, scene.caption, scene.label) for scene in world), strict=True)
    images, table = torch.from_numpy(np.stack(pixels)), objectives(captions, labels, SIZE)
    arguments.work.mkdir(parents=True, exist_ok=True)
    for name in arguments.encoders:
        kind = name.removeprefix("tiny-")
        torch.manual_seed(SEED)
        steps = 3 if arguments.smoke else STEPS[name]
        training = train(name, steps, images, table[kind](), arguments.work / f"{name}.safetensors")
        facts = {"data_seed": TRAINING_SEED, "scenes": len(images)} | training.facts
        facts |= {"logo_on_garbage_trucks": LOGO.classes["garbage truck"], "logo_elsewhere": LOGO.elsewhere}
        description = Description(name, kind, "generated scenes", SIZE, "bundled", "MIT")
        export(training, arguments.models / name, description, facts)


if __name__ == "__main__":
    main()
