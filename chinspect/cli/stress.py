"""``chinspect stress`` and ``parity``: do a detector's decisions survive deployment?"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chinspect.cli._common import DEBUG, JSON, OUT, image_paths, resuming, status

if TYPE_CHECKING:
    import pandas as pd

    from chinspect.anomaly import Detector
    from chinspect.datasets import MVTecCategory
    from chinspect.stress import Mitigation, StressReport

_SHOWN = ("f1", "f1_balanced", "fpr", "fnr", "auroc")
_WHERE = {"high_frequency": "lies in high frequencies", "outside": "lies outside the defect"}
_GATE = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*([-+.\deE]+)\s*")


def stress(
    detector: str = typer.Argument(metavar="DETECTOR", help="A file that 'chinspect fit' wrote."),
    dataset: str = typer.Argument(metavar="DATASET_DIR", help="A category of MVTec AD, or train and test/{good,bad}."),
    deploy: list[str] = typer.Option(["pillow-bilinear"], help="A resizer to switch to; may be given again."),
    mitigate: list[str] = typer.Option(
        [], help="A remedy to test beside the detector: blur (a d2neighbors is also saved with it)."
    ),
    protocol: str = typer.Option("deploy", help="deploy, kauffmann2025-text or kauffmann2025-code."),
    fail_on: str = typer.Option(
        None, metavar="GATE", help="Exit with 1 if it holds in a deployed row of DETECTOR itself, as in 'fnr>0.1'."
    ),
    out: str = OUT,
    as_json: bool = JSON,
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Score a test set under other resizers and innocuous changes, and judge the decisions.

    Resizers: opencv-nearest, opencv-linear, opencv-cubic, opencv-area, opencv-nearest-exact, pillow-nearest,
    pillow-bilinear, pillow-bicubic, pillow-lanczos, torch-bilinear, torch-bilinear-aa, torch-bicubic-aa.
    """
    from chinspect.anomaly import load_detector
    from chinspect.files import check_output_folder, output_folder
    from chinspect.stress import stress

    gate = None if fail_on is None else _parse_gate(fail_on)
    check_output_folder(out)
    fitted, data = load_detector(detector), _load(dataset)
    if gate is not None:
        _check_judged(fitted, deploy)
    with resuming(Path(out) / ".resume") as kept:
        with status("scoring under every condition"):
            remedies = [_remedy(name, fitted, data) for name in mitigate]
            options: dict[str, Any] = {"deploy": deploy, "protocol": protocol, "mitigate": remedies}
            report = stress(fitted, data, resume=kept, **options)
        folder = output_folder(out)
        files = [report.plot(folder / "stress.png"), *report.save(folder), *_saved(remedies, folder)]
    failed = [] if gate is None else _failed(report, gate)
    if as_json:
        document = report.document() | {"failed": failed, "files": [str(file) for file in files]}
        typer.echo(json.dumps(document, indent=2))
    else:
        _print(report, failed, fail_on, files)
    if failed:
        raise typer.Exit(1)


def parity(
    detector: str = typer.Argument(metavar="DETECTOR", help="A file that 'chinspect fit' wrote."),
    images: list[str] = typer.Argument(metavar="IMAGES...", help="Image files or folders."),
    resizer_a: str = typer.Option(..., help="A resizer."),
    resizer_b: str = typer.Option(..., help="Another resizer."),
    as_json: bool = JSON,
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Compare a detector's scores of the same images through two resizers."""
    from chinspect.anomaly import load_detector
    from chinspect.files import shown
    from chinspect.stress import parity, resized

    fitted, paths = load_detector(detector), image_paths(images)
    found = parity(resized(fitted, resizer_a), resized(fitted, resizer_b), paths, threshold=fitted.threshold_)
    document = {
        "images": len(paths),
        "largest_difference": found.largest_difference,
        "worst_image": shown(paths[found.worst]),
        "label_flips": found.label_flips,
        "threshold": fitted.threshold_,
        "pixel_difference": found.stage_differences[0],
    }
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(
        f"{resizer_a} against {resizer_b}: {found.label_flips} of {len(paths)} decisions flip at the threshold "
        f"{fitted.threshold_:.4g}\nscores differ by {found.largest_difference:.4g} at most "
        f"({document['worst_image']}), pixels by {found.stage_differences[0]:.3g} in [-1, 1]"
    )


def _load(folder: str) -> MVTecCategory:
    from chinspect.datasets import load_folder, load_mvtec

    plain = (Path(folder) / "test" / "bad").is_dir() and not (Path(folder) / "ground_truth").exists()
    return load_folder(folder) if plain else load_mvtec(folder)


def _remedy(name: str, detector: Detector, data: MVTecCategory) -> Mitigation:
    from sklearn.base import clone

    from chinspect.anomaly import Blur
    from chinspect.errors import InputError
    from chinspect.stress import Mitigation

    if name != "blur":
        raise InputError(f"unknown remedy {name!r}: choose blur.")
    return Mitigation(name, clone(detector).set_params(layer=Blur()).fit(data.train))


def _saved(remedies: list[Mitigation], folder: Path) -> list[Path]:
    """The files of remedied detectors, to be deployed in place of the given one; a filter in front has no file."""
    from chinspect.anomaly import Detector, save_detector

    fitted = [(remedy.name, remedy.detector) for remedy in remedies if isinstance(remedy.detector, Detector)]
    return [save_detector(detector, folder / f"{name}.safetensors") for name, detector in fitted]


def _check_judged(detector: Detector, deploy: list[str]) -> None:
    from chinspect.errors import InputError

    if all(resizer == detector.resizer for resizer in deploy):
        raise InputError(
            f"--fail-on judges the switch to another resizer, and --deploy names only {detector.resizer!r}, which the "
            "detector was fitted with: name the deployed one."
        )


def _parse_gate(text: str) -> tuple[str, str, float]:
    from dataclasses import fields

    from chinspect.errors import InputError
    from chinspect.stress import Evaluation

    match = _GATE.fullmatch(text)
    try:
        assert match is not None
        column, comparison, limit = match[1], match[2], float(match[3])
    except (AssertionError, ValueError) as error:
        raise InputError(
            f"the gate {text!r} cannot be read: write a column, a comparison and a number, as in 'fnr>0.1'."
        ) from error
    numeric = [field.name for field in fields(Evaluation)]
    if column not in numeric:
        raise InputError(f"the gate's column {column!r} does not exist: choose one of {', '.join(numeric)}.")
    return column, comparison, limit


def _failed(report: StressReport, gate: tuple[str, str, float]) -> list[dict[str, Any]]:
    """The deployed rows of the given detector in which the gate holds, or its number is not defined (None)."""
    from chinspect.stress.scoring import NONE

    column, comparison, limit = gate
    table = report.table
    rows = table[(table.mitigation == NONE) & (table.resizer != report.train_resizer)]
    compare = {">": rows[column].gt, ">=": rows[column].ge, "<": rows[column].lt, "<=": rows[column].le}[comparison]
    held = rows[compare(limit) | rows[column].isna()]
    values = [None if math.isnan(value) else float(value) for value in held[column]]
    return [{"resizer": resizer, column: value} for resizer, value in zip(held.resizer, values, strict=True)]


def _print(report: StressReport, failed: list[dict[str, Any]], gate: str | None, files: list[Path]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("remedy", "resizer", "change"):
        table.add_column(column, overflow="fold")
    for column in _SHOWN:
        table.add_column(column.replace("_", " "), no_wrap=True)
    for _, row in report.table.iterrows():
        table.add_row(escape(row.mitigation), row.resizer, row.change, *(_number(row, column) for column in _SHOWN))
    console = Console(highlight=False)
    console.print(f"{report.detector} on {escape(report.dataset)}, threshold by the protocol {report.protocol}")
    console.print(table, _reading(report), sep="\n")
    for share in report.shares.itertuples():
        console.print(
            f"{share.group}, {share.images} images: {share.mean:.0%} of the score {_WHERE[str(share.share)]} (95 % "
            f"interval {share.low:.0%} to {share.high:.0%}); {share.uniform:.0%} if it were spread evenly"
        )
    for held in failed:
        resizer, (column, value) = held["resizer"], list(held.items())[-1]
        found = "not defined" if value is None else f"{value:.3f}"
        console.print(
            f"[red]gate failed:[/red] with {resizer}, {column} of the given detector is {found}, and --fail-on is "
            f"{gate}; exit status 1"
        )
    console.print("wrote " + ", ".join(map(str, files)), markup=False)


def _reading(report: StressReport) -> str:
    """What to know before one believes the table."""
    row, shares = report.table.iloc[0], report.shares
    said = f"Read F1 beside {row.f1_all_positive:.3f}, which calling every image anomalous gives on these images."
    images = row.n_normal + row.n_defect
    if not len(shares) or (explained := shares[shares.share == "high_frequency"].images.sum()) == images:
        return said
    return f"{said} The shares below are of {explained} of the {images} test images, spread evenly over them."


def _number(row: pd.Series[Any], column: str) -> str:
    return f"{row[column]:.3f}"
