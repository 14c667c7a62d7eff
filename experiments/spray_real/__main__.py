"""SpRAy on photographs: are artefacts found that a real network looks at, and is anything else flagged?

    python experiments/spray_real --data DIR [--seeds 20] [--out DIR]
    python experiments/spray_real --smoke [--out DIR]

--data holds ``imagenet_sample`` (photographs of 251 classes) and ``tiny_imagenet20`` (of which one class is taken).
ImageNet-W's watermark, a text logo in the lower left corner and a border are planted into 2, 5, 10 and 20 % of a set,
and the network explains each image: its embedding's norm, or the logit of the class that it predicts.

``relevance.csv``: how far the mean map of the same images moves when they get an artefact, as a fraction of the
relevance, beside what two halves of the plain images differ by: an artefact without more is not looked at, and nothing
is there to find. ``found.csv``, a row for each artefact and prevalence, over all seeds: how often something is flagged
that is mostly carriers (``flagged``, with its 95 % interval), the recall, precision and F1 of the best such candidate
where there is one, and how many candidates are false alarms; beside it the best cluster of CoRelAy's and ShortKit-ML's
steps (F1), an oracle's choice, since neither says which clusters mean something. ``plain.csv``: what is flagged in the
photographs as they are.

All seeds are compared with the same surrogates, those of the plain photographs, which makes seeds cheap.
--smoke takes generated scenes, a small encoder and a seed: it tests the script, its numbers mean nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.files import output_folder
from chinspect.intervals import wilson
from chinspect.spray.candidates import ALPHA
from chinspect.spray.maps import prepare
from chinspect.spray.overlap import common_fractions
from chinspect.spray.proposals import Settings, embed, kmeans, propose, united
from chinspect.spray.significance import Chance, null
from chinspect.spray.views import views_of
from chinspect.world import scenes
from experiments.benchmarks._maps import f1
from experiments.benchmarks.spray import shortkit
from experiments.benchmarks.spray_power import agreement
from experiments.spray_real.maps import PLAIN, PLANTED, Maps, maps_of, one_class, photographs
from experiments.study import Run, option, read_options, refuse

Indices = NDArray[np.int64]
PREVALENCES = (0.02, 0.05, 0.1, 0.2)
POOL = 20
SETTINGS = Settings(10, 32)
OPTIONS = (
    option("data", type=Path),
    option("model", "efficientnet-lite0"),
    option("questions", ["embedding"], "embedding, predicted or label"),
    option("images", 150, "of the one class"),
    option("surrogates", 99),
    option("jobs", 1),
)
SMOKE = {"model": "tiny-clip", "images": 40, "surrogates": 5, "seeds": 1}


def main() -> None:
    """Makes what maps are missing, and writes the three tables."""
    options = read_options(__doc__, OPTIONS, out="results/spray_real", smoke=SMOKE, generated=["data"], seeds=20)
    if options.data is None and not options.smoke:
        refuse("give --data DIR, or --smoke")
    with Run(options) as run:
        looked_at, found, plain = [], [], []
        for name, files, classes in image_sets(options, run.out):
            for question in options.questions:
                folder = run.out / "maps" / f"{name}-{question}"
                maps = {
                    artefact: normalised(
                        maps_of(files, classes, question, artefact, folder / f"{artefact}.npy", model=options.model)
                    )
                    for artefact in (PLAIN, *PLANTED)
                }
                chance = null(maps[PLAIN], options.surrogates, SETTINGS, options.jobs)
                key = {"images": name, "question": question}
                plain.append(key | {"flagged": len(flagged(maps[PLAIN], chance))})
                looked_at += [key | relevance(maps, artefact) for artefact in PLANTED]
                run.write(pd.DataFrame(plain), "plain")
                run.write(pd.DataFrame(looked_at), "relevance", decimals=3)
                for artefact in PLANTED:
                    found += [key | row for row in power(maps[PLAIN], maps[artefact], artefact, chance, options.seeds)]
                    run.write(pd.DataFrame(found), "found")


def image_sets(options, out: Path) -> Iterator[tuple[str, list[Path], Indices]]:
    """Names, files and classes of the sets of images."""
    if options.smoke:
        yield "scenes", drawn(output_folder(out / "scenes"), options.images), np.zeros(options.images, np.int64)
    else:
        yield "imagenet_sample", *photographs(options.data)
        yield "one_class", *one_class(options.data, options.images)


def drawn(folder: Path, count: int) -> list[Path]:
    """Generated scenes."""
    files = [folder / f"{i:03d}.png" for i in range(count)]
    for scene, file in zip(scenes(count, seed=0), files, strict=True):
        Image.fromarray(scene.image).save(file)
    return files


def normalised(maps: Maps) -> Maps:
    """As they are compared; maps without relevance would change the order, and no photograph has one."""
    return prepare(maps, pool=POOL, normalise=True).maps


def relevance(maps: dict[str, Maps], artefact: str, resamples: int = 20) -> dict[str, float | str]:
    """Half of the absolute difference of mean maps with an artefact and without, and of random halves without."""
    plain = maps[PLAIN]
    rng = np.random.default_rng(0)
    halves = []
    for _ in range(resamples):
        order = rng.permutation(len(plain))
        one, other = plain[order[: len(order) // 2]], plain[order[len(order) // 2 :]]
        halves.append(0.5 * np.abs(one.mean(0) - other.mean(0)).sum())
    moved = 0.5 * np.abs(maps[artefact].mean(0) - plain.mean(0)).sum()
    return {"artefact": artefact, "moved": float(moved), "halves": float(np.mean(halves))}


def power(plain: Maps, marked: Maps, artefact: str, chance: Chance, seeds: int) -> list[dict[str, float | str]]:
    """One row a prevalence, over all seeds."""
    rows: list[dict[str, float | str]] = []
    for prevalence in PREVALENCES:
        cases = []
        for seed in range(seeds):
            rng = np.random.default_rng([seed, round(1000 * prevalence)])
            carriers = np.sort(rng.choice(len(plain), round(prevalence * len(plain)), replace=False))
            maps = plain.copy()
            maps[carriers] = marked[carriers]
            case = agreement(flagged(maps, chance), carriers)
            cases.append(case | {"hit": case["precision"] > 0.5 and case["recall"] > 0, **peers(maps, carriers)})
        table = pd.DataFrame(cases)
        hits = table[table.hit]
        low, high = wilson(len(hits), seeds)
        row = {"artefact": artefact, "prevalence": prevalence, "carriers": len(carriers)}
        row |= {"flagged": len(hits) / seeds, "flagged_low": low, "flagged_high": high}
        row |= {name: hits[name].mean() for name in ("recall", "precision", "f1")}
        rows.append(row | {name: table[name].mean() for name in ("false", "corelay", "shortkit")})
    return rows


def flagged(maps: Maps, chance: Chance) -> list[Indices]:
    """The members of the candidates that SpRAy flags in maps of one group, by the steps of `chinspect.spray.SpRAy`."""
    proposals = propose(maps, SETTINGS, views_of(maps))
    p = chance.p_values(proposals, len(maps))
    best = [proposals[i] for i in np.argsort(p, kind="stable")[: int((p <= ALPHA).sum())]]
    templates = common_fractions(maps.reshape(len(maps), -1), [proposal.template.members for proposal in best])
    return [proposal.template.members for proposal in united(best, templates, maps).values()]


def peers(maps: Maps, carriers: Indices) -> dict[str, float]:
    """F1 of the best cluster of CoRelAy's steps (its default of 2 clusters, and 8) and of ShortKit-ML's."""
    rows = maps.reshape(len(maps), -1)
    vectors = embed(rows, SETTINGS).vectors
    corelay = max(best_cluster(kmeans(vectors, size, 0), carriers) for size in (2, 8))
    return {"corelay": corelay, "shortkit": best_cluster(shortkit(rows), carriers)}


def best_cluster(labels: Indices, carriers: Indices) -> float:
    """The largest F1 of a cluster with the carriers."""
    return max(f1(np.flatnonzero(labels == label), carriers) for label in np.unique(labels))


if __name__ == "__main__":
    main()
