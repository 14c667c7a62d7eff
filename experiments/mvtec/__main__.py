"""Table 2 and Figure 4 of Kauffmann et al. 2025: anomaly detectors before and after a switch of the resizer.

    python experiments/mvtec.py --root MVTEC_AD [--categories bottle capsule ...] [--out DIR]
    python experiments/mvtec.py [--smoke] [--out DIR]

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
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from mvtec_figure import draw_figure
from sklearn.base import clone

from chinspect import __version__
from chinspect.anomaly import D2Neighbors, Detector, PatchCore
from chinspect.datasets import MVTecCategory, categories, load_mvtec
from chinspect.execute import Samples
from chinspect.files import output_folder, replacing
from chinspect.images.resizers import load_inputs
from chinspect.mitigate import Blur
from chinspect.stress import Mitigation, stress
from chinspect.world.industrial import Variant, industrial

PAPER = ("bottle", "capsule", "pill", "toothbrush", "wood")
DETECTORS = ("l1", "l2", "l4", "patchcore")
TRAINED = {"kauffmann2025-text": "opencv-nearest", "kauffmann2025-code": "opencv-cubic", "deploy": "opencv-nearest"}
DEPLOYED = "pillow-bilinear"
FPR = 0.05
COLUMNS = ["f1", "f1_balanced", "f1_all_positive", "f1_retuned", "fpr", "fnr", "auroc", "shift_normal", "shift_defect"]


def main() -> None:
    """Runs everything and writes tables and the figure."""
    options = read_options()
    out = output_folder(options.out)
    start, tables = time.time(), []
    names = options.categories or default_categories(options.root)
    for name in names:
        data = load_mvtec(options.root or generated(out, name, options.smoke), name)
        for protocol in TRAINED:
            tables += list(rows(data, protocol, options))
            pd.concat(tables, ignore_index=True).to_csv(out / "rows.csv", index=False)
        draw_figure(out / f"figure4-{name}.png", data, TRAINED["kauffmann2025-text"], DEPLOYED, options.size)
    table = pd.concat(tables, ignore_index=True)
    table.to_parquet(out / "rows.parquet", index=False)
    summary = table.groupby(["protocol", "detector", "state"], sort=False)[COLUMNS].mean()
    summary.to_csv(out / "table2.csv")
    run = {key: str(value) for key, value in vars(options).items()}
    run |= {"version": __version__, "seconds": round(time.time() - start), "categories": names}
    (out / "run.json").write_text(json.dumps(run, indent=2) + "\n")
    print(summary.round(3).to_string())


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a data set in the layout of MVTec AD")
    parser.add_argument("--categories", nargs="+", help="those of the paper by default, where the data set has them")
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=DETECTORS)
    parser.add_argument("--backbone", help="of PatchCore: an encoder's name")
    parser.add_argument("--out", type=Path, default=Path("results/mvtec"))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    options.size = 64 if options.smoke else 224
    options.backbone = options.backbone or ("wide_resnet50_2" if options.root else "tiny-supervised")
    return options


def default_categories(root: Path | None) -> list[str]:
    """The paper's five classes if they are there, else all."""
    if root is None:
        return list(get_args(Variant))
    found = categories(root)
    return [name for name in PAPER if name in found] or found


def generated(out: Path, variant: Any, smoke: bool) -> Path:
    """The generated data set, drawn once."""
    root = out / ("data-smoke" if smoke else "data")
    if not (root / variant).exists():
        n_train, n_test, size = (20, 12, 256) if smoke else (125, 120, 1000)
        industrial(root, variant=variant, n_train=n_train, n_test=n_test, seed=0, size=size)
    return root


def rows(data: MVTecCategory, protocol: Any, options: argparse.Namespace) -> Iterator[pd.DataFrame]:
    """One table a detector: original, deployed, and each mitigation in both states."""
    images = Samples(Path(), tuple(map(str, (*data.train, *data.test, *filter(None, data.masks))))).digest
    for name in options.detectors:
        folder = output_folder(options.out / data.name / f"{protocol}-{name}")
        asked = {"version": __version__, "images": images, "size": options.size, "fpr": FPR, "deployed": DEPLOYED}
        asked |= {"backbone": options.backbone} if name == "patchcore" else {}
        table = finished(folder / "rows.parquet", asked)
        if table is None:
            start = time.time()
            table = measured(data, protocol, name, options, folder)
            table.attrs = asked
            with replacing(folder / "rows.parquet") as path:
                table.to_parquet(path, index=False)
            shutil.rmtree(folder / ".resume", ignore_errors=True)
            print(f"{data.name} {protocol} {name}: {time.time() - start:.0f} s", flush=True)
        else:
            print(f"{data.name} {protocol} {name}: done before", flush=True)
        print(table.set_index("state")[COLUMNS].round(3).to_string(), flush=True)
        table.attrs = {}
        yield table


def finished(path: Path, asked: dict[str, Any]) -> pd.DataFrame | None:
    """The table that an earlier run left, if it was made of the same."""
    table = pd.read_parquet(path) if path.exists() else None
    return table if table is not None and table.attrs == asked else None


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
        fpr = max(FPR, 1 / (len(held_out) + 1))
        remedies += [
            Mitigation("recalibrated", None, held_out, fpr),
            Mitigation("blur, recalibrated", blurred, held_out, fpr),
        ]
    chosen: dict[str, Any] = {"deploy": [DEPLOYED], "protocol": protocol, "changes": [], "mitigate": remedies}
    report = stress(plain, data, resume=folder / ".resume", **chosen)
    report.save(folder)
    report.plot(folder / "stress.png")
    table = report.to_frame()
    after = table.resizer == DEPLOYED
    table["state"] = [
        {"none": "deployed" if late else "original"}.get(remedy, f"{remedy}, {'deployed' if late else 'original'}")
        for remedy, late in zip(table.mitigation, after, strict=True)
    ]
    table.insert(0, "category", data.name)
    table.insert(1, "protocol", protocol)
    table.insert(2, "detector", name)
    return table


def pair(name: str, protocol: str, options: argparse.Namespace) -> tuple[Detector, Any]:
    """A detector as it is, and behind the paper's blur, both not fitted."""
    shared: dict[str, Any] = {"resizer": TRAINED[protocol], "size": options.size}
    code = protocol == "kauffmann2025-code"
    if name == "patchcore":
        plain = PatchCore(backbone=options.backbone, embedding="kauffmann2025" if code else "roth", **shared)
        return plain, clone(plain).set_params(layer=Blur())
    norm = int(name[1:])
    blurred = D2Neighbors(p=norm, layer=Blur(), calibrate_on="original" if code else "blurred", **shared)
    return D2Neighbors(p=norm, **shared), blurred


if __name__ == "__main__":
    main()
