"""Table 2 and Figure 4 of Kauffmann et al. 2025: anomaly detectors before and after a switch of the resizer.

    python experiments/mvtec --root MVTEC_AD [--categories bottle capsule ...] [--out DIR]
    python experiments/mvtec [--smoke] [--out DIR]

The rows are categories x {D2Neighbors l1, l2, l4, PatchCore} x {original, deployed, mitigated by blur}, under the
published protocols (``kauffmann2025-text`` and ``-code``: the threshold makes F1 on the original test scores largest
and is kept; the mitigated detector gets its own) and under ``deploy`` (the threshold comes from normal images; a fifth
of the training images is held out, with which the deployed detector is also calibrated again). Without --root the
generated inspection tasks of `chinspect.world` are used, and a bundled encoder instead of WideResNet50-2 as PatchCore's
backbone, so that nothing is downloaded. --smoke makes everything small: it tests the script, its numbers mean nothing.

Each row is kept in --out as soon as it is done. An interrupted run that is started again goes on where it stopped;
rows of other images or parameters are computed again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import pandas as pd
from sklearn.base import clone

from chinspect import __version__
from chinspect.anomaly import D2Neighbors, Detector, PatchCore
from chinspect.datasets import MVTecCategory, categories, load_mvtec
from chinspect.execute import Samples
from chinspect.files import output_folder, replacing
from chinspect.images.resizers import load_inputs
from chinspect.mitigate import Blur
from chinspect.stress import Mitigation, stress
from chinspect.world import Variant, industrial
from experiments.mvtec.figure import draw_figure
from experiments.study import Run, option, read_options, save_figure

PAPER = ("bottle", "capsule", "pill", "toothbrush", "wood")
DETECTORS = ("l1", "l2", "l4", "patchcore")
TRAINED = {"kauffmann2025-text": "opencv-nearest", "kauffmann2025-code": "opencv-cubic", "deploy": "opencv-nearest"}
DEPLOYED = "pillow-bilinear"
FPR = 0.05
COLUMNS = ["f1", "f1_balanced", "f1_all_positive", "f1_retuned", "fpr", "fnr", "auroc", "shift_normal", "shift_defect"]
OPTIONS = (
    option("root", None, "a data set in the layout of MVTec AD", type=Path),
    option("categories", None, "those of the paper by default, where the data set has them", nargs="+"),
    option("detectors", list(DETECTORS), choices=DETECTORS),
    option("backbone", None, "of PatchCore: an encoder's name"),
    option("embedding", "roth", "protocol of PatchCore; anomalib takes any backbone"),
    option(
        "coreset", None, "of PatchCore, where its protocol leaves it open; that of the protocol by default", type=float
    ),
)


def main() -> None:
    """Runs everything and writes tables and the figure."""
    options = read_options(__doc__, OPTIONS, out="results/mvtec", smoke={})
    options.size = 64 if options.smoke else 224
    options.backbone = options.backbone or ("wide_resnet50_2" if options.root else "tiny-supervised")
    with Run(options) as run:
        run.facts["categories"] = names = options.categories or default_categories(options.root)
        tables: list[pd.DataFrame] = []
        for name in names:
            data = load_mvtec(options.root or generated(run.out, name, options.smoke), name)
            for protocol in TRAINED:
                tables += rows(data, protocol, options)
                table = pd.concat(tables, ignore_index=True)
                table.to_csv(run.out / "rows.csv", index=False)
            figure = draw_figure(data, TRAINED["kauffmann2025-text"], DEPLOYED, options.size)
            save_figure(figure, run.out / f"figure4-{name}.png")
        table.to_parquet(run.out / "rows.parquet", index=False)
        summary = table.groupby(["protocol", "detector", "state"], sort=False)[COLUMNS].mean()
        summary.to_csv(run.out / "table2.csv")
        print(summary.round(3).to_string())


def default_categories(root: Path | None) -> list[str]:
    """The paper's five classes if they are there, else all."""
    if root is None:
        return list(get_args(Variant))
    present = categories(root)
    return [name for name in PAPER if name in present] or present


def generated(out: Path, variant: Any, smoke: bool) -> Path:
    """The generated data set, drawn once."""
    root = out / ("data-smoke" if smoke else "data")
    if not (root / variant).exists():
        n_train, n_test, size = (20, 12, 256) if smoke else (125, 120, 1000)
        industrial(root, variant=variant, n_train=n_train, n_test=n_test, seed=0, size=size)
    return root


def rows(data: MVTecCategory, protocol: Any, options: argparse.Namespace) -> Iterator[pd.DataFrame]:
    """One table a detector: original, deployed, and each mitigation in both states."""
    images = Samples(Path(), tuple(map(str, (*data.train, *data.test, *data.mask_files)))).digest
    for name in options.detectors:
        folder = output_folder(options.out / data.name / f"{protocol}-{name}")
        origin = {"version": __version__, "images": images, "size": options.size, "fpr": FPR, "deployed": DEPLOYED}
        origin |= {"backbone": options.backbone, "embedding": options.embedding} if name == "patchcore" else {}
        start = time.time()
        table = finished(folder / "rows.parquet", origin)
        if table is None:
            table = measured(data, protocol, name, options, folder)
            table.attrs = origin
            with replacing(folder / "rows.parquet") as path:
                table.to_parquet(path, index=False)
            shutil.rmtree(folder / ".resume", ignore_errors=True)
            print(f"{data.name} {protocol} {name}: {time.time() - start:.0f} s", flush=True)
        else:
            print(f"{data.name} {protocol} {name}: done before", flush=True)
        print(table.set_index("state")[COLUMNS].round(3).to_string(), flush=True)
        table.attrs = {}
        yield table


def finished(path: Path, origin: dict[str, Any]) -> pd.DataFrame | None:
    """The table that an earlier run left, if it was made of the same images and parameters."""
    table = pd.read_parquet(path) if path.exists() else None
    return table if table is not None and table.attrs == origin else None


def measured(data: MVTecCategory, protocol: Any, name: str, options: argparse.Namespace, folder: Path) -> pd.DataFrame:
    """Fits a detector and its blurred twin and puts them to the test."""
    held_out = data.train[::5] if protocol == "deploy" else ()
    data = replace(data, train=tuple(path for path in data.train if path not in held_out))
    inputs = load_inputs(data.train, TRAINED[protocol], options.size)
    plain, blurred = pair(name, protocol, options)
    plain.fit(inputs)
    blurred.fit(inputs)
    remedies = [Mitigation("blur", blurred)]
    if held_out:
        fpr = max(FPR, 1 / (len(held_out) + 1))  # fewer images cannot tell a lower rate
        remedies += [
            Mitigation("recalibrated", None, held_out, fpr),
            Mitigation("blur, recalibrated", blurred, held_out, fpr),
        ]
    report = stress(
        plain, data, deploy=[DEPLOYED], protocol=protocol, changes=[], mitigate=remedies, resume=folder / ".resume"
    )
    report.save(folder)
    table = report.to_frame()
    state = table["resizer"].eq(DEPLOYED).map({True: "deployed", False: "original"})
    table["state"] = state.where(table["mitigation"] == "none", table["mitigation"] + ", " + state)
    for column, value in {"detector": name, "protocol": protocol, "category": data.name}.items():
        table.insert(0, column, value)
    return table


def pair(name: str, protocol: str, options: argparse.Namespace) -> tuple[Detector, Any]:
    """A detector as it is, and behind the paper's blur, both not fitted."""
    common: dict[str, Any] = {"resizer": TRAINED[protocol], "size": options.size}
    code = protocol == "kauffmann2025-code"
    if name == "patchcore":
        bank = {} if code else {"coreset": options.coreset}
        embedding = "kauffmann2025" if code else options.embedding
        plain = PatchCore(backbone=options.backbone, embedding=embedding, **bank, **common)
        return plain, clone(plain).set_params(layer=Blur())
    norm = int(name[1:])
    blurred = D2Neighbors(p=norm, layer=Blur(), calibrate_on="original" if code else "blurred", **common)
    return D2Neighbors(p=norm, **common), blurred


if __name__ == "__main__":
    main()
