"""``chinspect explain-similarity``: why does an encoder call two images similar?"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import typer

from chinspect.cli.frame import (
    COMPOSITE_HELP,
    ENCODER_HELP,
    METHOD_HELP,
    MODEL,
    OUT,
    REFERENCE_HELP,
    Answer,
    Device,
    Force,
    Out,
    loading,
    resolve_device,
    verb,
    without_effect,
)
from chinspect.files import claim_folder


@verb("explain-similarity")
def explain_pair(
    image_a: str = typer.Argument(metavar="IMG1", help="An image file."),
    image_b: str = typer.Argument(metavar="IMG2", help="Another image file."),
    model: str = typer.Option(MODEL, help=ENCODER_HELP + " A checkpoint's path takes --arch."),
    arch: str = typer.Option(None, help="Architecture of a checkpoint."),
    patch_size: str = typer.Option("16", help="Side of a patch in pixels of the encoder's input, or auto."),
    method: str = typer.Option("auto", help=METHOD_HELP),
    composite: str = typer.Option(None, help=COMPOSITE_HELP + "epsilon_plus_flat by default."),
    reference: str = typer.Option("blur", help=REFERENCE_HELP),
    evaluations: int = typer.Option(
        None, min=1, help="Masked images an image, of the method shapley; 8 a patch by default."
    ),
    metric: str = typer.Option("dot", help="What is explained: dot or cosine."),
    check: bool = typer.Option(True, help="Delete the most relevant patches and say how the similarity falls."),
    faithfulness: int = typer.Option(None, min=1, help="Correlate with Shapley values from this many masked images."),
    bands: int = typer.Option(None, min=1, max=64, help="Also explain the dot product by this many frequency bands."),
    top: int = typer.Option(20, min=1, help="How many of the strongest patch pairs are listed."),
    out: Out = OUT,
    force: Force = False,
    verify: int = typer.Option(None, min=1, help="Recompute this many neurons with Zennit and report the difference."),
    device: Device = "auto",
) -> Answer:
    """Explain why an encoder calls two images similar, by pairs of patches (BiLRP)."""
    from chinspect.images import check_image_file

    if not check and (method == "lrp" or composite is not None):
        without_effect("on the method lrp without the check", "reference")
    claim_folder(out, ["similarity"], inputs=[image_a, image_b, model, reference], force=force)
    for path in (image_a, image_b):  # before a model is loaded
        check_image_file(path)
    side: Any = int(patch_size) if patch_size.isdecimal() else patch_size
    with loading(model):
        from chinspect.encoders import load_encoder
        from chinspect.relevance import RelevanceWarning
        from chinspect.similarity import explain_similarity
        from chinspect.similarity.verification import verify as verify_by_zennit

        encoder = load_encoder(model, arch=arch, device=resolve_device(device))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RelevanceWarning)  # they stand in the explanation
        explanation = explain_similarity(
            encoder,
            image_a,
            image_b,
            method=method,  # type: ignore[arg-type]
            composite=composite,
            reference=reference,
            evaluations=evaluations,
            patch_size=side,
            metric=metric,  # type: ignore[arg-type]
            bands=bands,
            check=check,
        )
    if faithfulness is not None:
        explanation = replace(explanation, agreement=explanation.faithfulness(faithfulness))
    if verify is not None:
        explanation = replace(explanation, verification=verify_by_zennit(explanation, verify))
    explanation = replace(explanation, listed=top)
    return Answer.of(explanation, explanation.save(out))
