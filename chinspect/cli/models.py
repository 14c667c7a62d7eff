"""``chinspect models``: the encoders that can be named."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from chinspect.cli._common import DEBUG, JSON


def models(as_json: bool = JSON, debug: bool = DEBUG) -> None:  # noqa: ARG001, debug is read by main
    """List the encoders: name, embedding, licence, and whether they are bundled, cached or downloadable."""
    from chinspect.encoders import list_models

    known = list_models()
    if as_json:
        typer.echo(json.dumps([asdict(model) for model in known], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "embedding", "dimension", "licence", "weights"):
        table.add_column(column, overflow="fold")
    for model in known:
        dimension = str(model.dimension or "")
        table.add_row(model.name, model.embedding, dimension, model.license, model.status)
    console = Console()
    console.print(table)
    console.print("\nAlso: timm:NAME, torchvision:NAME, open_clip:NAME/TAG, or a checkpoint's path with --arch.")
