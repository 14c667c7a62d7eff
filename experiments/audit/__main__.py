"""The audit of encoders on sets of which it is known what is in them: what is confirmed, is it right, is it all?

    python experiments/audit --data DIR [--sets photographs tiny world] [--seeds 20] [--out DIR]
    python experiments/audit --smoke [--out DIR]

``photographs`` are the 251 of ``imagenet_sample`` and ``tiny`` 240 of ``tiny_imagenet20``, both with --model; ``world``
are generated scenes with a small encoder. A draw takes 120 images of a set; ImageNet-W's watermark, a text logo, a
border, and in ``world`` a person, are on 2, 5, 10 or 20 % of them, or on none (``plain``, the null). Each draw is
audited: sets of alike maps, places of suspicious pairs, places where edges agree, and proofs of all of these in one
family at 5 %. A finding is right where more than half of its images carry what was planted; in ``plain`` none is.

``draws.csv`` has a row a draw, and is written after each: the same command goes on behind its last row. ``found.csv``,
a row for each artefact and prevalence: the fraction of draws with a right finding (recall) among those confirmed and
candidates of any verdict and among those cut out, and the fraction of all findings that are right (precision), with
Wilson's intervals. ``plain.csv``: the fraction of clean sets with any confirmed finding, and with any that a gate on
candidates fails for. How many artefacts of clean sets were cut out at all stands beside it (``cut_out``): where a set's
images share no pixels, there is nothing to test, and such a set says nothing about the level of tests;
``experiments/audit/level.py`` does that.

Recall has a bound that is no fault of an audit: an artefact that the network does not go by cannot be confirmed.
``relied.csv`` says how much each artefact moves the network where it is known exactly: what it adds to the cosine of
two images that both carry it, and the verdict of its own proof.

All draws of a set are compared with the same surrogates, those of its first plain draw. A draw costs seconds where
nothing is flagged, and a proof of 90 to 1,000 passes of 10 to 32 images for each artefact that is tested.
--smoke takes generated scenes and a seed: it tests the script, its numbers mean nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.artefacts import ARTEFACTS
from chinspect.audit.evidence import Evidence, Suspect
from chinspect.audit.judging import site_status
from chinspect.audit.selecting import suspects
from chinspect.audit.sites import edge_sites
from chinspect.encoders import Encoder, load_encoder
from chinspect.execute import Samples
from chinspect.explain.images import neighbour_targets
from chinspect.images import list_images, open_image
from chinspect.intervals import wilson
from chinspect.proof import prove, prove_all
from chinspect.similarity import suspicious_pairs
from chinspect.spray import SpRAy, SprayRun
from chinspect.spray.proposals import Settings
from chinspect.spray.significance import Chance, null
from chinspect.world import Person, scenes
from experiments.audit.tables import Explained, Mixed, Pixels, explained
from experiments.spray_real.maps import photographs
from experiments.study import Run, option, read_options, refuse, write_table

PLAIN = "plain"
PERSON = "person"
PLANTED = ("imagenet-w", "logo", "border")
NEIGHBOURS = 10
OPTIONS = (
    option("data", type=Path),
    option("model", "efficientnet-lite0"),
    option("sets", ["photographs", "tiny", "world"]),
    option("artefacts", [*PLANTED, PERSON]),
    option("prevalences", [0.02, 0.05, 0.1, 0.2], "fractions of the images that carry an artefact", type=float),
    option("images", 120, "of a draw"),
    option("scenes", 300, "that the draws of generated scenes are from"),
    option("surrogates", 99),
    option("jobs", 1),
    option("unproven", False, "select sets and cut out what they share, and prove nothing: seconds a draw"),
)
SMOKE = {
    "sets": ["world"],
    "artefacts": ["logo"],
    "prevalences": [0.4],
    "images": 40,
    "scenes": 60,
    "surrogates": 5,
    "seeds": 1,
}
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images as the encoder sees them, plain and with artefacts."""

    name: str
    encoder: Encoder
    pictures: dict[str, Pixels]


class Shared(SpRAy):
    """SpRAy whose surrogates are those of another data set of this kind and size."""

    shared: Chance

    def _surrogates(self, count: int, progress: Any) -> Chance:  # noqa: ARG002
        return self.shared


def main() -> None:
    """Audits all draws that are missing, and writes the tables after each."""
    options = read_options(__doc__, OPTIONS, out="results/audit", smoke=SMOKE, generated=["data"], seeds=20)
    if options.data is None and not options.smoke and options.sets != ["world"]:
        refuse("give --data DIR, --sets world, or --smoke")
    with Run(options) as run:
        path = run.out / "draws.csv"
        rows = pd.read_csv(path).to_dict("records") if path.exists() else []
        relied: list[Row] = []
        for images in image_sets(options):
            sources = {
                artefact: explained(images.encoder, pictures, run.out / "tables" / images.name / f"{artefact}.npz")
                for artefact, pictures in images.pictures.items()
            }
            if not options.unproven:
                relied += [reliance(images, artefact) for artefact in sources if artefact in ARTEFACTS]
                run.write(pd.DataFrame(relied), "relied", decimals=3)
            chance = chance_of(sources[PLAIN], options)
            done = {(row["images"], row["artefact"], row["prevalence"], row["seed"]) for row in rows}
            for key in plan(images.name, list(sources), options):
                if key not in done:
                    rows.append(draw(images, sources, chance, key, options))
                    write_table(pd.DataFrame(rows), run.out, "draws", decimals=3)
                    summarise(run, pd.DataFrame(rows))


def image_sets(options: Any) -> Iterator[ImageSet]:
    """The sets that are asked for."""
    for name in options.sets:
        if name == "world":
            encoder = load_encoder("tiny-clip")
            plain = np.stack(encoder.see([scene.image for scene in scenes(options.scenes, seed=0)]))
            pictures = planted(plain, options)
            if PERSON in options.artefacts:
                everywhere = Person({}, elsewhere=1.0)
                people = scenes(options.scenes, seed=0, person=everywhere)
                pictures[PERSON] = np.stack(encoder.see([scene.image for scene in people]))
        else:
            encoder = load_encoder(options.model)
            files = photographs(options.data)[0] if name == "photographs" else tiny(options.data)
            plain = np.concatenate([np.stack(encoder.see([np.asarray(open_image(file))])) for file in files])
            pictures = planted(plain, options)
        yield ImageSet(name, encoder, pictures)


def tiny(root: Path, each: int = 12) -> list[Path]:
    """The first validation images of each class of ``tiny_imagenet20``."""
    folders = sorted(path for path in (root / "tiny_imagenet20" / "val").iterdir() if path.is_dir())
    return [file for folder in folders for file in list_images(folder)[:each]]


def planted(plain: Pixels, options: Any) -> dict[str, Pixels]:
    """Plain images, and all of them with each artefact on what the network sees."""
    pictures = {PLAIN: plain}
    for artefact in PLANTED:
        if artefact in options.artefacts:
            pictures[artefact] = np.stack([ARTEFACTS[artefact]().add(picture) for picture in plain])
    return pictures


def plan(name: str, artefacts: list[str], options: Any) -> Iterator[tuple[str, str, float, int]]:
    """Draws, those of a seed together, so that any number of seeds is a table."""
    for seed in range(options.seeds):
        for artefact in artefacts:
            for prevalence in [0.0] if artefact == PLAIN else options.prevalences:
                yield name, artefact, prevalence, seed


def chance_of(plain: Explained, options: Any) -> Chance:
    """Surrogates of the first plain draw."""
    maps = maps_of(mixed(plain, plain, 0, 0.0, options)[0])
    settings = Settings(NEIGHBOURS, 32)
    return null(SpRAy(n_surrogates=0).fit(maps).maps_, options.surrogates, settings, options.jobs)


def mixed(
    plain: Explained, marked: Explained, seed: int, prevalence: float, options: Any
) -> tuple[Mixed, NDArray[np.bool_]]:
    """The images of a draw, and which of them carry the artefact."""
    count = min(options.images, len(plain.pictures))
    rng = np.random.default_rng([seed, round(1000 * prevalence)])
    rows = np.sort(rng.permutation(len(plain.pictures))[:count])
    carries = np.zeros(count, dtype=bool)
    carries[rng.permutation(count)[: round(prevalence * count)]] = True
    return Mixed(plain, marked, rows, carries), carries


def maps_of(images: Mixed) -> NDArray[np.float32]:
    """Why is each image nearer to its neighbours than to others?"""
    weights = neighbour_targets(images.embeddings, NEIGHBOURS)
    return np.stack([images.map(i, weights[i]) for i in range(len(images))])


def draw(
    images: ImageSet, sources: dict[str, Explained], chance: Chance, key: tuple[str, str, float, int], options: Any
) -> Row:
    """The audit of one draw."""
    name, artefact, prevalence, seed = key
    start = time.time()
    index, carries = mixed(sources[PLAIN], sources[artefact], seed, prevalence, options)
    selected = audited(images.encoder, index, chance, seed, options)
    right = [bool(carries[list(suspect.members)].mean() > 0.5) for suspect in selected]
    statuses = [status_of(suspect) for suspect in selected]
    row: Row = {"images": name, "artefact": artefact, "prevalence": prevalence, "seed": seed}
    row |= {"carriers": int(carries.sum()), "suspects": len(selected), "suspects_right": sum(right)}
    found = [suspect.cut_out for suspect in selected]
    row |= {"cut_out": sum(found), "cut_out_right": sum(r and cut for r, cut in zip(right, found, strict=True))}
    for status in ("confirmed", "candidate", "undecided", "not_causal"):
        row[status] = statuses.count(status)
        row[f"{status}_right"] = sum(r and s == status for r, s in zip(right, statuses, strict=True))
    return row | {"seconds": round(time.time() - start)}


def status_of(suspect: Suspect) -> str:
    """As the audit's finding has it."""
    if suspect.site is not None:
        # as with a proof of an artefact that is empty, also where nothing is proven
        return "undecided" if suspect.case is not None and not suspect.cut_out else site_status(suspect)[0]
    verdict = "untested" if suspect.proof is None else suspect.proof.verdict
    return "candidate" if verdict == "untested" else verdict


def audited(encoder: Encoder, index: Mixed, chance: Chance, seed: int, options: Any) -> list[Suspect]:
    """As `chinspect.audit.encoders` does, from tables; without proofs where ``unproven`` asks for that."""
    maps = maps_of(index)
    spray = Shared(n_surrogates=options.surrogates)
    spray.shared = chance
    run = SprayRun(spray.fit(maps), maps, index.names, picture=index.picture)
    evidence = Evidence(encoder, Samples(Path(), tuple(index.names)), run=run)
    evidence.edges = edge_sites(run)
    evidence.index = index  # type: ignore[assignment]
    evidence.pairs = suspicious_pairs(index, random_state=seed)  # type: ignore[arg-type]
    _, selected = suspects(evidence, seed=seed)
    if options.unproven:
        return selected
    tested = [suspect for suspect in selected if suspect.case is not None]
    proofs = prove_all(encoder, [suspect.case for suspect in tested if suspect.case is not None], seed=seed)
    verdicts = dict(zip((suspect.name for suspect in tested), proofs, strict=True))
    return [replace(suspect, proof=verdicts.get(suspect.name)) for suspect in selected]


def reliance(images: ImageSet, artefact: str) -> Row:
    """What an artefact that is known exactly does to the network."""
    plain = images.pictures[PLAIN]
    proof = prove(images.encoder, ARTEFACTS[artefact](), list(plain[::5][:32]), pool=list(plain[1::2][:100]))
    trial = proof.trials[0]
    low, high = trial.bounds
    row: Row = {"images": images.name, "artefact": artefact, "gain": trial.effect, "gain_low": low, "gain_high": high}
    return row | {"verdict": proof.verdict}


def summarise(run: Run, rows: pd.DataFrame) -> None:
    """Writes the two tables of rates."""
    planted_rows, plain_rows = [], []
    for (name, artefact, prevalence), own in rows.groupby(["images", "artefact", "prevalence"], sort=False):
        key = {"images": name, "artefact": artefact, "prevalence": prevalence, "draws": len(own)}
        if artefact == PLAIN:
            flagged = rate("flagged", own["confirmed"] + own["candidate"] > 0)
            plain_rows.append(
                key | rate("confirmed", own["confirmed"] > 0) | flagged | {"cut_out": own["cut_out"].sum()}
            )
        else:
            recalls = rate("recall", own["confirmed_right"] > 0) | rate("candidate_recall", own["suspects_right"] > 0)
            recalls |= rate("cut_out_recall", own["cut_out_right"] > 0)
            precision = fraction("precision", own["confirmed_right"].sum(), own["confirmed"].sum())
            candidates = fraction("candidate_precision", own["suspects_right"].sum(), own["suspects"].sum())
            planted_rows.append(key | recalls | precision | candidates | {"seconds": own["seconds"].mean()})
    for name, table in {"found": planted_rows, "plain": plain_rows}.items():
        if table:
            run.write(pd.DataFrame(table), name, decimals=3)


def rate(name: str, hits: pd.Series) -> Row:
    """How often, with its interval."""
    return fraction(name, int(hits.sum()), len(hits))


def fraction(name: str, count: int, total: int) -> Row:
    """A fraction with Wilson's interval; NaN of nothing."""
    if not total:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    low, high = wilson(int(count), int(total))
    return {name: count / total, f"{name}_low": low, f"{name}_high": high}


if __name__ == "__main__":
    main()
