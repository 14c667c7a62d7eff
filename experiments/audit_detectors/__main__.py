"""The audit of detectors on data whose cause is known: does it find what was planted, and nothing else?

    python experiments/audit_detectors [--seeds 20] [--out DIR]
    python experiments/audit_detectors --root MAGNETIC_TILE --detector patchcore [--seeds 3] [--out DIR]
    python experiments/audit_detectors --smoke [--out DIR]

Surfaces are generated (`chinspect.world.industrial`), or those of --root, one category in the layout of MVTec AD, of
which each seed draws other images. A cause is planted in each data set:

* ``none``: fitted and deployed with resizers that filter alike (pillow-bilinear, torch-bilinear-aa). A null.
* ``same-size`` (generated only): images have the size that the detector reads, so that no resizer changes a pixel, and
  deployed is one that would. A null.
* ``resizer``: fitted with opencv-nearest, deployed with pillow-bilinear.
* ``watermark``, ``border``, ``patch``: laid over 10 or 20 % of all test images, whether defective or not; resizers as
  for ``none``.

A finding is right where it names the cause: the deployed resizer as ``stress``, or a set of maps, confirmed or a
``stress``, at least half of whose members carry the mark. ``cases.csv`` has a row a data set, ``audits.csv`` a row a
cause: how many were found (recall), how many data sets have any confirmed or stress finding that is not right (false
alarms), and how many of all such findings are right (precision), each with Wilson's 95 % interval. ``candidate``: how
many were at least told as a candidate. Acquisition changes are left out: what a detector owes to a brighter lamp nobody
planted.

Spectra are left out, too: without a position, nothing of them is cut out, and so none is confirmed.

Tables are written after each seed, and a seed that ``cases.csv`` of --out has is not run again.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
from PIL import Image

from chinspect.anomaly import D2Neighbors, Detector, PatchCore
from chinspect.artefacts import ARTEFACTS
from chinspect.audit import Audit, audit_detector, detectors
from chinspect.audit.detector_strategies import maps_of
from chinspect.datasets import MVTecCategory, load_mvtec
from chinspect.errors import InputError
from chinspect.images import open_image
from chinspect.intervals import wilson
from chinspect.spray import SprayRun, ground
from chinspect.world import industrial
from experiments.study import Run, option, read_options, write_table

PLAIN = "pillow-bilinear"
ALIKE = "torch-bilinear-aa"
MARKS = ("watermark", "border", "patch")
KEYS = ("surface", "cause", "prevalence", "seed")
OPTIONS = (
    option("root", None, "a category in the layout of MVTec AD, instead of generated surfaces", type=Path),
    option("surfaces", ["image-grain"], "variants of chinspect.world.industrial"),
    option("causes", ["none", "same-size", "resizer", *MARKS]),
    option("prevalences", [0.1, 0.2], "of marks", type=float),
    option("detector", "d2neighbors", "or patchcore"),
    option("train", 60, "normal images"),
    option("test", 160, "images, of generated ones a quarter normal"),
    option("size", 128, "of generated images, in pixels"),
    option("side", 64, "what the detector reads, in pixels"),
    option("surrogates", 99),
    option("first", 0, "the first seed"),
)
SMOKE = {"train": 12, "test": 24, "size": 64, "side": 32, "surrogates": 3, "seeds": 1, "causes": ["none", "resizer"]}


def main() -> None:
    """Runs what is missing, and writes both tables after each seed."""
    options = read_options(__doc__, OPTIONS, out="results/audit_detectors", smoke=SMOKE, generated=["root"], seeds=20)
    detectors.maps_of = only_maps
    ground.can_read = lambda: False  # what a candidate's text says is not asked here, and takes most of the time
    with Run(options) as run:
        file = run.out / "cases.csv"
        cases = pd.read_csv(file).to_dict("records") if file.exists() else []
        done = {tuple(case[key] for key in KEYS) for case in cases}
        for seed in range(options.first, options.first + options.seeds):
            for surface in ["photographs"] if options.root else options.surfaces:
                for cause, prevalence in planned(options):
                    if (surface, cause, prevalence, seed) not in done:
                        cases.append(audited(options, surface, cause, prevalence, seed))
                        print({key: cases[-1][key] for key in (*KEYS, "found", "false", "seconds")}, flush=True)
            write_table(pd.DataFrame(cases), run.out, "cases")
            run.write(summary(pd.DataFrame(cases)), "audits")


def only_maps(*args: Any, spectra: bool, **options: Any) -> SprayRun:
    """The step of an audit, without spectra, which take a third of its time."""
    if spectra:
        raise InputError("spectra are not asked here.")
    return maps_of(*args, spectra=False, **options)


def planned(options) -> Iterator[tuple[str, float]]:
    """Causes and prevalences."""
    for cause in options.causes:
        if not (options.root and cause == "same-size"):
            for prevalence in options.prevalences if cause in MARKS else [0.0]:
                yield cause, prevalence


def audited(options, surface: str, cause: str, prevalence: float, seed: int) -> dict[str, object]:
    """A row: one data set with one cause."""
    start = time.time()
    folder = Path(tempfile.mkdtemp(prefix="audit-"))
    try:
        data = drawn(options, surface, seed, folder, options.side if cause == "same-size" else options.size)
        carriers = marked(data, cause, prevalence, seed, folder / "marked") if cause in MARKS else set()
        trained = "opencv-nearest" if cause in ("resizer", "same-size") else PLAIN
        deployed = PLAIN if cause in ("resizer", "same-size") else ALIKE
        detector = detector_of(options, trained).fit(list(data.train))
        audit = audit_detector(
            detector, data, deploy=[deployed], changes=(), n_surrogates=options.surrogates, random_state=seed
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    row = {"surface": surface, "cause": cause, "prevalence": prevalence, "seed": seed}
    return row | judged(audit, cause, deployed, carriers) | {"seconds": round(time.time() - start, 1)}


def drawn(options, surface: str, seed: int, folder: Path, size: int) -> MVTecCategory:
    """A data set of this seed."""
    if options.root is None:
        root = industrial(
            folder, variant=surface, n_train=options.train, n_test=options.test, seed=1000 + seed, size=size
        )
        return load_mvtec(root)
    data = load_mvtec(options.root)
    rng = np.random.default_rng(seed)
    test = np.sort(rng.choice(len(data.test), min(options.test, len(data.test)), replace=False))
    train = rng.choice(len(data.train), min(options.train, len(data.train)), replace=False)
    return MVTecCategory(
        data.name,
        tuple(data.train[i] for i in train),
        *(tuple(row[i] for i in test) for row in (data.test, data.types, data.masks)),  # type: ignore[arg-type]
    )


def marked(data: MVTecCategory, cause: str, prevalence: float, seed: int, folder: Path) -> set[str]:
    """Writes all test images anew, some with the mark, and puts them in place of the others; the names of those."""
    artefact = ARTEFACTS[cause]()
    rng = np.random.default_rng([seed, round(1000 * prevalence)])
    carriers = set(rng.choice(len(data.test), round(prevalence * len(data.test)), replace=False).tolist())
    paths = []
    for i, path in enumerate(data.test):
        pixels = np.asarray(open_image(path))
        target = folder / path.parent.name / f"{path.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(artefact.add(pixels) if i in carriers else pixels).save(target)
        paths.append(target)
    object.__setattr__(data, "test", tuple(paths))
    return {f"{paths[i].parent.name}/{paths[i].name}" for i in carriers}


def detector_of(options, resizer: str) -> Detector:
    """Not fitted."""
    if options.detector == "patchcore":
        return PatchCore(coreset=0.01, resizer=resizer, size=options.side)
    return D2Neighbors(resizer=resizer, size=options.side)


def judged(audit: Audit, cause: str, deployed: str, carriers: set[str]) -> dict[str, object]:
    """Which findings are right, and which are not."""
    right = wrong = 0
    candidate = False
    verdicts = []
    for finding in audit.findings:
        names = carriers.intersection(finding.members)
        told = 2 * len(names) >= max(len(finding.members), 1) if cause in MARKS else finding.key == f"stress/{deployed}"
        told = told and cause not in ("none", "same-size") and finding.key.startswith(("strategies", "stress"))
        told = told and (cause not in MARKS or finding.key.startswith("strategies/maps"))
        if finding.status in ("confirmed", "stress"):
            right += told
            wrong += not told
            verdicts.append(f"{finding.key}: {finding.status}")
        candidate |= told and finding.status in ("confirmed", "stress", "candidate", "undecided")
    untested = [finding.sentence for finding in audit.findings if finding.key.startswith("step/")]
    return {
        "found": right > 0,
        "false": wrong > 0,
        "right": right,
        "wrong": wrong,
        "candidate": candidate,
        "findings": "; ".join(verdicts),
        "failed": "; ".join(untested),
    }


def summary(cases: pd.DataFrame) -> pd.DataFrame:
    """A row a cause and prevalence, and one of all nulls and one of all causes."""
    planted = cases[~cases.cause.isin(["none", "same-size"])]
    rows = [_rates(group, *key) for key, group in cases.groupby(["surface", "cause", "prevalence"], sort=False)]
    rows.append(_rates(cases.drop(planted.index), "all", "nulls", 0.0))
    rows.append(_rates(planted, "all", "planted", np.nan))
    return pd.DataFrame([row for row in rows if row["sets"]])


def _rates(group: pd.DataFrame, surface: str, cause: str, prevalence: float) -> dict[str, object]:
    row: dict[str, object] = {"surface": surface, "cause": cause, "prevalence": prevalence, "sets": len(group)}
    counts = {
        "found": (group.found.sum(), len(group)),
        "false": (group.false.sum(), len(group)),
        "precision": (group.right.sum(), (group.right + group.wrong).sum()),
        "candidate": (group.candidate.sum(), len(group)),
    }
    for name, (count, n) in counts.items():
        low, high = wilson(int(count), int(n)) if n else (np.nan, np.nan)
        row |= {name: count / n if n else np.nan, f"{name}_low": low, f"{name}_high": high}
    return row


if __name__ == "__main__":
    main()
