"""``chinspect choose-method``: which method explains an encoder most faithfully?"""

from __future__ import annotations

import typer

from chinspect.cli.frame import (
    ENCODER_HELP,
    MODEL,
    OUT,
    Answer,
    Device,
    Force,
    Out,
    loading,
    progress,
    resolve_device,
    verb,
)
from chinspect.files import claim_folder


@verb("choose-method")
def choose(
    images: str = typer.Argument(metavar="IMAGES_DIR", help="Folder of images, or a list or table of paths."),
    model: str = typer.Option(MODEL, help=ENCODER_HELP),
    pairs: int = typer.Option(4, min=1, help="How many pairs of images the methods are tried on."),
    out: Out = OUT,
    force: Force = False,
    device: Device = "auto",
) -> Answer:
    """Try references and rules on a few pairs of images, and say which explains the model most faithfully."""
    claim_folder(out, ["choice", "table"], inputs=[images, model], force=force)
    with loading(model):
        from chinspect.encoders import load_encoder
        from chinspect.execute import load_samples
        from chinspect.similarity import choose_method

        encoder = load_encoder(model, device=resolve_device(device))
    with progress("trying methods") as count:
        choice = choose_method(encoder, load_samples(images), pairs=pairs, progress=count)
    written = choice.save(out)
    return Answer.of(choice, written, notes=[f"--method {written[0]} explains this model by it"])
