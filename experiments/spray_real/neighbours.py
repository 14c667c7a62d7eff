"""The usual question of `chinspect spray` on photographs, of which some carry ImageNet-W's watermark: is it found?

    python experiments/spray_real/neighbours.py --data IMAGENET_SAMPLE [--seeds 3] [--prevalences 0.05 ...] [--out DIR]

The question ``neighbours`` compares each image with all others, so that every draw is explained anew (a minute for
251 photographs). ``neighbours.csv``, a row a draw, the first of each seed without a watermark: how many candidates are
flagged, how many of these are not mostly carriers, recall and precision of the best of the others, its p-value, and
what it lies on; and what images lose without the most relevant patches of their maps.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps

from chinspect.artefacts import imagenet_w
from chinspect.encoders import DEFAULT, Encoder, load_encoder
from chinspect.images import list_images
from chinspect.spray import SprayRun, analyse
from experiments.study import Run, option, read_options

SIDE = 256
MARGIN = SIDE // 16  # EfficientNet-Lite0 sees the inner 7/8 of an image, for which the watermark is made
OPTIONS = (
    option("data", None, "a folder of photographs", type=Path, required=True),
    option("model", DEFAULT, "an encoder's name"),
    option("prevalences", [0.05, 0.1, 0.2], "fractions of the photographs that carry the watermark", type=float),
    option("limit", 0, "photographs at most; 0 for all"),
)


def main() -> None:
    """Draws, analyses, and writes the table."""
    smoke = {"limit": 40, "seeds": 1, "prevalences": [0.3]}
    options = read_options(__doc__, OPTIONS, out="results/spray_real", seeds=3, smoke=smoke)
    encoder = load_encoder(options.model)
    files = list_images(options.data)[: options.limit or None]
    rows = []
    with Run(options) as run:
        for seed in range(options.seeds):
            for prevalence in (0.0, *options.prevalences):
                order = np.random.default_rng(seed).permutation(len(files))
                carries = np.isin(np.arange(len(files)), order[: round(prevalence * len(files))])
                rows.append({"seed": seed, "prevalence": prevalence, **found(encoder, files, carries)})
                run.write(pd.DataFrame(rows), "neighbours", decimals=3)


def found(encoder: Encoder, files: list[Path], carries: NDArray[np.bool_]) -> dict[str, Any]:
    """What the analysis says of one draw."""
    with TemporaryDirectory() as folder:
        for index, (file, carrier) in enumerate(zip(files, carries, strict=True)):
            marked(file, carrier).save(Path(folder) / f"{index:05}.png")
        result = analyse(encoder, folder, n_surrogates=39)
        return {
            **best(result, carries),
            "sentence": "" if result.faithfulness is None else result.faithfulness.sentence,
        }


def marked(file: Path, carrier: bool) -> Image.Image:
    """The middle of a photograph, with the watermark or without."""
    image = ImageOps.fit(Image.open(file).convert("RGB"), (SIDE, SIDE))
    if not carrier:
        return image
    pixels = np.array(image)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    pixels[inner] = imagenet_w().add(pixels[inner])
    return Image.fromarray(pixels)


def best(result: SprayRun, carries: NDArray[np.bool_]) -> dict[str, Any]:
    """The flagged candidate that holds most carriers, and how many are flagged without being mostly carriers."""
    flagged = list(result.flagged.values())
    hits = [finding for finding in flagged if carries[finding.candidate.indices].mean() > 0.5]
    row: dict[str, Any] = {"carriers": int(carries.sum()), "flagged": len(flagged), "false": len(flagged) - len(hits)}
    if hits:
        finding = max(hits, key=lambda hit: carries[hit.candidate.indices].sum())
        members = carries[finding.candidate.indices]
        row |= {
            "recall": members.sum() / carries.sum(),
            "precision": members.mean(),
            "p_value": finding.candidate.p_value,
            "lies on": "; ".join(f"{name} {text}".strip() for name, text in finding.ground.items()),
        }
    return row


if __name__ == "__main__":
    main()
