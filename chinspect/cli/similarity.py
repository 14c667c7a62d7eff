"""``chinspect explain-similarity``: why does an encoder call two images similar?"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from chinspect.cli._common import DEBUG, ENCODER_HELP, JSON, OUT, resolve_device

if TYPE_CHECKING:
    from rich.table import Table

    from chinspect.similarity import SimilarityExplanation


def explain_similarity(
    image_a: str = typer.Argument(metavar="IMG1", help="An image file."),
    image_b: str = typer.Argument(metavar="IMG2", help="Another image file."),
    model: str = typer.Option("tiny-clip", help=ENCODER_HELP + " A checkpoint's path takes --arch."),
    arch: str = typer.Option(None, help="Architecture of a checkpoint."),
    patch_size: int = typer.Option(16, min=1, help="Side of a patch in pixels of the encoder's input."),
    composite: str = typer.Option("epsilon_plus_flat", help="The rules of LRP, by name."),
    metric: str = typer.Option("dot", help="What is explained: dot or cosine."),
    bands: int = typer.Option(None, min=1, max=64, help="Also share the dot product among this many frequency bands."),
    top: int = typer.Option(20, min=1, help="How many of the strongest patch pairs are listed."),
    out: str = OUT,
    as_json: bool = JSON,
    verify: int = typer.Option(None, min=1, help="Recompute this many neurons with Zennit and report the difference."),
    device: str = typer.Option("auto", help="Where to compute: auto, cpu, cuda, ..."),
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Explain why an encoder calls two images similar, by pairs of patches (BiLRP)."""
    from chinspect.encoders import load_encoder
    from chinspect.files import check_output_folder, output_folder
    from chinspect.relevance import RelevanceWarning
    from chinspect.similarity import explain_similarity
    from chinspect.similarity.verify import verify as verify_by_zennit

    check_output_folder(out)
    encoder = load_encoder(model, arch=arch, device=resolve_device(device))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RelevanceWarning)
        explanation = explain_similarity(
            encoder,
            image_a,
            image_b,
            patch_size=patch_size,
            composite=composite,
            metric=metric,  # type: ignore[arg-type]
        )
        extras: dict[str, Any] = {}
        if bands is not None:
            by_band = explanation.by_frequency(bands)
            extras["bands"] = {"orders": by_band.orders, "relevance": by_band.relevance.tolist()}
        if verify is not None:
            extras["verify"] = asdict(verify_by_zennit(explanation, composite, verify))
    extras["warnings"] = _messages(caught)
    files = [explanation.plot(output_folder(out) / "similarity.png"), *explanation.save(out, top=top, extras=extras)]
    document = {**explanation.document(top), **extras, "files": [str(path) for path in files]}
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        _print(explanation, document)


def _messages(caught: list[warnings.WarningMessage]) -> list[str]:
    """What was warned of relevance, which the document and the summary carry; other warnings go their way."""
    from chinspect.relevance import RelevanceWarning

    for warning in caught:
        if not issubclass(warning.category, RelevanceWarning):
            warnings.warn(warning.message, stacklevel=2)
    return list(dict.fromkeys(str(one.message) for one in caught if issubclass(one.category, RelevanceWarning)))


def _print(explanation: SimilarityExplanation, document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from chinspect.similarity.describe import describe

    console = Console(highlight=False)
    console.print(
        f"[bold]{escape(explanation.model)}[/bold]  {explanation.metric} similarity "
        f"[bold]{explanation.similarity:.4g}[/bold], of which {explanation.conservation:.1%} is explained "
        f"({escape(explanation.composite)}, {explanation.seconds:.1f} s)"
    )
    table = Table("share", "in IMG1 (x0, y0, x1, y1)", "in IMG2", box=None, header_style="dim", pad_edge=False)
    for pair in document["top_pairs"][:5]:
        table.add_row(f"{pair['share']:+.2%}", _corners(pair["box_a"]), _corners(pair["box_b"]))
    console.print(table)
    console.print(describe(explanation))
    if "bands" in document:
        console.print(_band_table(document["bands"]))
    if "verify" in document:
        found = document["verify"]
        difference = f"{found['max_relative_difference']:.1e}"
        console.print(f"Zennit agrees on {len(found['neurons'])} neurons up to a relative difference of {difference}.")
    for warning in document["warnings"]:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    console.print("wrote " + ", ".join(escape(path) for path in document["files"]))


def _band_table(bands: dict[str, Any]) -> Table:
    """Shares of the similarity by pairs of frequency bands."""
    from rich.table import Table

    labels = [f"{first}-{last}" for first, last in bands["orders"]]
    table = Table("frequency (DCT order)", *labels, box=None, header_style="dim", pad_edge=False)
    total = sum(map(sum, bands["relevance"]))
    for label, row in zip(labels, bands["relevance"], strict=True):
        table.add_row(f"IMG1 {label}", *(f"{value / total:+.1%}" for value in row))
    return table


def _corners(box: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.0f}" for value in box)
