"""``chinspect fit``, ``score`` and ``explain-anomaly``: detectors that say how anomalous an image is, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chinspect.cli._common import DEBUG, JSON, OUT, image_paths, progress, resuming, status

if TYPE_CHECKING:
    from chinspect.anomaly import AnomalyExplanation, Detector

DETECTOR = typer.Argument(metavar="DETECTOR", help="A file that 'chinspect fit' wrote.")
IMAGES = typer.Argument(metavar="IMAGES...", help="Image files or folders.")


def fit(
    kind: str = typer.Argument(metavar="d2neighbors|patchcore", help="Which detector."),
    train: str = typer.Argument(metavar="TRAIN_DIR", help="Folder of normal images."),
    out: str = typer.Option(..., "--out", help="File to write the detector to."),
    resizer: str = typer.Option("opencv-nearest", help="How images are resized; see 'chinspect stress --help'."),
    size: int = typer.Option(224, min=1, help="Side of the detector's input in pixels."),
    fpr: float = typer.Option(
        0.05, min=0, max=1, help="False positive rate of the threshold, on held-out scores; N images allow 1/(N+1)."
    ),
    p: int = typer.Option(2, help="d2neighbors: norm of the distance, 1, 2 or 4."),
    perplexity: float = typer.Option(
        0.25, min=0, max=1, help="d2neighbors: effective number of neighbours, as a share of all."
    ),
    blur: float = typer.Option(
        None, min=0, metavar="SIGMA", help="d2neighbors: blur images by this many pixels first."
    ),
    backbone: str = typer.Option("wide_resnet50_2", help="patchcore: an encoder (see 'chinspect models')."),
    embedding: str = typer.Option("roth", help="patchcore: protocol, roth, anomalib or kauffmann2025."),
    coreset: float = typer.Option(None, min=0, max=1, help="patchcore: share of the patches that is kept."),
    as_json: bool = JSON,
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Fit an anomaly detector on normal images and write it to one file."""
    from chinspect.anomaly import D2Neighbors, PatchCore, save_detector
    from chinspect.anomaly.threshold import guaranteed_rate, images_needed
    from chinspect.errors import InputError
    from chinspect.files import check_output_file, shown
    from chinspect.mitigate import Blur

    check_output_file(out)
    common: dict[str, Any] = {"resizer": resizer, "size": size, "threshold_fpr": fpr}
    detector: Detector
    if kind == "d2neighbors":
        layer = None if blur is None else Blur(2 * max(1, round(2.5 * blur)) + 1, blur)
        detector = D2Neighbors(p=p, perplexity=perplexity, blur=layer, **common)
    elif kind == "patchcore":
        detector = PatchCore(backbone=backbone, embedding=embedding, coreset=coreset, **common)  # type: ignore[arg-type]
    else:
        raise InputError(f"unknown detector {kind!r}: choose d2neighbors or patchcore.")
    with status(f"fitting {kind} on {train}"):
        path = save_detector(detector.fit(train), out)
    rate = guaranteed_rate(len(detector.held_out_scores_), fpr)
    document = {
        "detector": type(detector).__name__,
        "images": detector.n_images_,
        "threshold": detector.threshold_,
        "threshold_fpr": rate,
        "resizer": resizer,
        "size": size,
        "file": str(path),
    }
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    needed = f"; {100 * fpr:.3g}% needs {images_needed(fpr)} images" if rate > fpr else ""
    typer.echo(
        f"fitted {kind} on {detector.n_images_} images; held-out normal images exceed its threshold "
        f"{detector.threshold_:.4g} with probability {100 * rate:.3g}% at most{needed}\nwrote {shown(path)}"
    )


def score(
    detector: str = DETECTOR,
    images: list[str] = IMAGES,
    csv: str = typer.Option(None, help="Also write the table to this file."),
    as_json: bool = JSON,
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Score images: the higher, the more anomalous."""
    from chinspect.anomaly import load_detector
    from chinspect.files import check_output_file

    if csv is not None:
        check_output_file(csv)
    fitted, paths = load_detector(detector), image_paths(images)
    rows = _scored(fitted, paths, None if csv is None else Path(csv))
    if as_json:
        typer.echo(json.dumps({"threshold": fitted.threshold_, "images": rows}, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    for row in rows:
        verdict = "[red]anomalous[/red]" if row["anomalous"] else "normal   "
        console.print(f"{row['score']:12.5g}  {verdict}  {escape(str(row['image']))}")
    found = sum(bool(row["anomalous"]) for row in rows)
    console.print(f"{found} of {len(rows)} images exceed the threshold {fitted.threshold_:.5g}")


def _scored(detector: Detector, paths: list[Path], csv: Path | None) -> list[dict[str, Any]]:
    """One row an image. With a file to write, an interrupted run goes on from the folder that it left beside it."""
    from contextlib import nullcontext

    import pandas as pd

    from chinspect.files import replacing, shown
    from chinspect.stress import Condition, score_conditions

    with nullcontext() if csv is None else resuming(csv.with_name(f".{csv.name}.resume")) as kept:
        with progress("scoring") as count:
            conditions = [Condition(detector.resizer)]
            scores = score_conditions([detector], paths, conditions, resume=kept, progress=count)[0, 0]
        rows = [
            {"image": shown(path), "score": float(value), "anomalous": bool(value > detector.threshold_)}
            for path, value in zip(paths, scores, strict=True)
        ]
        if csv is not None:
            with replacing(csv) as path:
                pd.DataFrame(rows).to_csv(path, index=False)
    return rows


def explain_anomaly(
    detector: str = DETECTOR,
    images: list[str] = IMAGES,
    bands: str = typer.Option("3", help="Number of frequency bands, or kauffmann2025 for the paper's 20 bins."),
    out: str = OUT,
    as_json: bool = JSON,
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Explain anomaly scores: which pixels, which frequencies, which training images."""
    from chinspect.anomaly import explain_anomaly, load_detector
    from chinspect.files import check_output_folder, output_folder, shown

    check_output_folder(out)
    fitted, paths = load_detector(detector), image_paths(images)
    with status("explaining"):
        inputs = fitted.read(paths)
        asked: Any = int(bands) if bands.isdecimal() else bands
        explanation = explain_anomaly(fitted, inputs, bands=asked)
    folder = output_folder(out)
    saved, drawn = explanation.save(folder), explanation.highest()
    files = [explanation.take(drawn).plot(folder / "anomaly.png", inputs.numpy()[drawn]), *saved]
    records = [
        {"image": shown(path), "anomalous": bool(row["score"] > fitted.threshold_), **{str(k): row[k] for k in row}}
        for path, row in zip(paths, explanation.to_frame().to_dict("records"), strict=True)
    ]
    if as_json:
        document = {"threshold": fitted.threshold_, "images": records, "drawn": [shown(paths[i]) for i in drawn]}
        document |= {"files": [str(file) for file in files]}
        typer.echo(json.dumps(document, indent=2))
        return
    _print_explanation(explanation, records, fitted.threshold_, files)


def _print_explanation(
    explanation: AnomalyExplanation, records: list[dict[str, Any]], threshold: float, files: list[Path]
) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    bands = [f"{explanation.band_index} {name}" for name in explanation.band_names]
    for column in ("image", "score", "", *bands, "conserved"):
        table.add_column(column, overflow="fold")
    for record in records:
        score, parts = record["score"], [record[f"band_{name}"] for name in explanation.band_names]
        verdict = "anomalous" if record["anomalous"] else "normal"
        cells = [f"{part / score:.1%}" if score else "-" for part in parts]
        name = "/".join(Path(record["image"]).parts[-2:])
        table.add_row(escape(name), f"{score:.4g}", verdict, *cells, f"{record['conservation']:.3f}")
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"Shares of the score by frequency (half periods across the image); threshold {threshold:.4g}. A score that "
        "rests on the highest frequencies will change with the way images are resized: see 'chinspect stress'."
    )
    if (drawn := len(explanation.highest())) < len(records):
        console.print(f"{files[0].name} shows the {drawn} images of the highest scores; the other files hold all")
    console.print("wrote " + ", ".join(map(str, files)), markup=False)
