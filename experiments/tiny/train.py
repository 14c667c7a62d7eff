"""Train the four bundled encoders by four objectives on the same generated scenes.

    python experiments/tiny/train.py [--encoders tiny-clip ...] [--smoke]

About 40 minutes of one thread in all; run it twice, with two encoders and one thread (OMP_NUM_THREADS=1) each. An
interrupted training goes on from its last checkpoint, to the same weights: every step has a random seed of its own.
Writes models/<name>/weights.safetensors and models/<name>/card.toml.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import torch

from chinspect.files import output_folder
from experiments.study import option, read_options
from experiments.tiny.objectives import objectives
from experiments.tiny.training import SEED, Description, export, train
from experiments.tiny.world import LOGO, TRAINING_SCENES, TRAINING_SEED, training_scenes

SIZE = 128
STEPS = {"tiny-clip": 450, "tiny-supervised": 300, "tiny-simclr": 450, "tiny-barlowtwins": 450}
OPTIONS = (
    option("encoders", list(STEPS), choices=STEPS),
    option("models", Path("models")),
    option("work", Path("build/tiny"), "where the checkpoints go"),
)


def main() -> None:
    """Train the encoders that were asked for."""
    options = read_options(__doc__, OPTIONS, smoke={})
    world = list(training_scenes(256 if options.smoke else TRAINING_SCENES))
    images = torch.from_numpy(np.stack([scene.image for scene in world]))
    table = objectives([scene.caption for scene in world], [scene.label for scene in world], SIZE)
    work = output_folder(options.work)
    for name in options.encoders:
        kind = name.removeprefix("tiny-")
        torch.manual_seed(SEED)
        steps = 3 if options.smoke else STEPS[name]
        training = train(name, steps, images, table[kind](), work / f"{name}.safetensors")
        facts = {"data_seed": TRAINING_SEED, "scenes": len(images)} | training.facts
        facts |= {"logo_on_garbage_trucks": LOGO.classes["garbage truck"], "logo_elsewhere": LOGO.elsewhere}
        export(
            training, options.models / name, Description(name, kind, "generated scenes", SIZE, "bundled", "MIT"), facts
        )


if __name__ == "__main__":
    main()
