"""Does the level of an audit hold where artefacts are tested that the model does not go by?

    python experiments/audit/level.py [--seeds 40] [--nulls 4] [--out DIR] [--smoke]

A set of images that share nothing has nothing to cut out, so that clean data sets seldom put the level of an audit to
the test. Here each of several sets of generated scenes has a patch of another scene in one place, opaque or
translucent: content like that of the placebos, so that a proof that confirms it is wrong. In every other data set one
more set of images has the logo that the bundled encoder was trained with, which should be confirmed beside them.

From there on all is as in an audit: the artefact is isolated from members by their maps (here where the patch is, as if
maps were right), other images that carry it are set aside, and all are proven in one family at 5 %. ``families.csv``
has a row a data set; ``level.csv`` the fraction of data sets in which any null is confirmed, and in which the logo is,
with Wilson's intervals, and how many nulls were tested.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
from PIL import Image

from chinspect.artefacts import ARTEFACTS, Artefact, Pixels
from chinspect.audit.finding import LEVEL
from chinspect.encoders import Encoder, load_encoder
from chinspect.intervals import wilson
from chinspect.proof import Case, prove_all
from chinspect.proof.candidates import member_case
from chinspect.world import scenes
from experiments.study import Run, option, read_options, write_table

OPTIONS = (
    option("nulls", 4, "sets of images with a patch that means nothing, of a data set"),
    option("members", 20, "images of a set"),
    option("scenes", 240, "of a data set"),
)
SMOKE = {"nulls": 1, "seeds": 2, "scenes": 120}
_SIDES = (0.25, 0.5)  # of an image: placebos of smaller patches would do nothing, of larger ones cover what is seen


def main() -> None:
    """Proves all families, and writes the rates."""
    options = read_options(__doc__, OPTIONS, out="results/audit-level", smoke=SMOKE, seeds=40)
    encoder = load_encoder("tiny-clip")
    with Run(options) as run:
        rows: list[dict[str, Any]] = []
        for seed in range(options.seeds):
            rows.append(family(encoder, seed, options))
            write_table(pd.DataFrame(rows), run.out, "families", decimals=3)
        table = pd.DataFrame(rows)
        told = [rate("any null confirmed", table["nulls_confirmed"] > 0)]
        told.append(rate("logo confirmed", table.loc[table["logo"], "logo_confirmed"]))
        run.write(pd.DataFrame(told).assign(nulls_tested=table["nulls_tested"].sum()), "level", decimals=3)


def family(encoder: Encoder, seed: int, options: Any) -> dict[str, Any]:
    """One data set, and what is confirmed in it."""
    rng = np.random.default_rng([17, seed])
    drawn = scenes(options.scenes + options.nulls, seed=1000 + seed, logo=None)
    pictures = encoder.see([scene.image for scene in drawn])
    artefacts = [patch(picture, rng) for picture in pictures[options.scenes :]]
    if seed % 2:
        artefacts.append(ARTEFACTS["logo"]())
    order = rng.permutation(options.scenes)
    cases = []
    for number, artefact in enumerate(artefacts):
        members = order[number * options.members : (number + 1) * options.members]
        cases.append(case_of(artefact, pictures[: options.scenes], members, [seed, number]))
    verdicts = [proof.verdict for proof in prove_all(encoder, cases, level=LEVEL, seed=seed)]
    nulls = verdicts[: options.nulls]
    return {
        "seed": seed,
        "logo": bool(seed % 2),
        "nulls_tested": sum(verdict != "untested" for verdict in nulls),
        "nulls_confirmed": nulls.count("confirmed"),
        "nulls_undecided": nulls.count("undecided"),
        "logo_confirmed": verdicts[-1] == "confirmed" if seed % 2 else False,
    }


def patch(picture: Pixels, rng: np.random.Generator) -> Artefact:
    """A rectangle of a picture in its place, translucent or opaque."""
    height, width = picture.shape[:2]
    alpha = np.zeros((height, width), np.float32)
    side = int(rng.uniform(*_SIDES) * min(height, width))
    top, left = (int(rng.integers(0, length - side + 1)) for length in (height, width))
    alpha[top : top + side, left : left + side] = rng.uniform(0.5, 1)
    return Artefact("null", (picture / 255).astype(np.float32), alpha)


def case_of(artefact: Artefact, pictures: list[Pixels], members: np.ndarray, seed: list[int]) -> Case:
    """The artefact as it is isolated from images that carry it, and images to test it on."""

    def picture(index: int) -> Image.Image:
        pixels = pictures[index]
        return Image.fromarray(artefact.add(pixels) if index in members else pixels)

    alpha = artefact.layer(pictures[0].shape[:2])[1]
    maps = np.zeros((len(pictures), *alpha.shape), np.float32)
    maps[members] = alpha
    rest = np.setdiff1d(np.arange(len(pictures)), members)
    return member_case(picture, members, rest, maps, name="planted", seed=seed, common=False)


def rate(name: str, hits: pd.Series) -> dict[str, Any]:
    """How often, with its interval."""
    low, high = wilson(int(hits.sum()), len(hits))
    return {"what": name, "data sets": len(hits), "rate": float(hits.mean()), "rate_low": low, "rate_high": high}


if __name__ == "__main__":
    main()
