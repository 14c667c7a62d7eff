"""``chinspect models``: the encoders that can be named."""

from __future__ import annotations

from dataclasses import asdict

import typer

from chinspect.cli.frame import Answer, verb


@verb("models")
def list_encoders() -> Answer:
    """List the encoders: name, embedding, licence, and whether they are bundled, cached or downloadable."""
    from chinspect.encoders import list_models

    rows = [asdict(model) for model in list_models()]

    def show() -> None:
        import pandas as pd

        from chinspect.report import print_table

        columns = {"name": "name", "embedding": "embedding", "dimension": "dimension"}
        columns |= {"license": "licence", "status": "weights"}
        print_table(pd.DataFrame(rows)[list(columns)].rename(columns=columns))
        typer.echo(
            "\nAlso: timm:NAME, torchvision:NAME, open_clip:NAME/TAG, transformers:NAME, ARCH@PATH for a checkpoint.\n"
            "The tiny models were trained on drawn scenes, for tests and first steps: they have seen no photograph."
        )

    return Answer(rows, show)
