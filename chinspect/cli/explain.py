"""``chinspect explain``: what in an image does an output of a network depend on?"""

from __future__ import annotations

import warnings

import typer

from chinspect.cli.frame import (
    COMPOSITE_HELP,
    ENCODER_HELP,
    MAP_METHOD_HELP,
    MODEL,
    OUT,
    REFERENCE_HELP,
    TARGET_HELP,
    Answer,
    Device,
    Force,
    Out,
    image_paths,
    loading,
    progress,
    resolve_device,
    verb,
)
from chinspect.errors import InputError
from chinspect.files import claim_folder


@verb("explain")
def explain_pictures(
    images: list[str] = typer.Argument(metavar="IMAGE...", help="Image files, or folders of them."),
    model: str = typer.Option(MODEL, help=ENCODER_HELP),
    target: str = typer.Option(None, metavar="CLASS|IMAGE", help=TARGET_HELP),
    method: str = typer.Option(
        None, help=MAP_METHOD_HELP + " Or a choice.json; by default what the card says, else rescale."
    ),
    layer: str = typer.Option("auto", help="Of a class activation map: the layer, by default the last with a grid."),
    composite: str = typer.Option(None, help=COMPOSITE_HELP + "epsilon_plus_flat by default."),
    reference: str = typer.Option("blur", help=REFERENCE_HELP),
    evaluations: int = typer.Option(None, min=1, help="Masked images an image, of the method shapley."),
    check: bool = typer.Option(True, help="Replace the most relevant patches and say what is lost."),
    out: Out = OUT,
    force: Force = False,
    device: Device = "auto",
) -> Answer:
    """Explain a class of an image, or its similarity to another: a heatmap, how much it explains, is it right."""
    from chinspect.images import check_image_file

    paths = image_paths(images)
    if not paths:
        raise InputError(f"there are no images in {', '.join(images)}.")
    claim_folder(out, ["explanation", "explained", "maps.npy"], inputs=[*paths, model, target, reference], force=force)
    for path in paths:  # before a model is loaded
        check_image_file(path)
    with loading(model):
        from chinspect.explain import explain_output, open_model
        from chinspect.relevance import RelevanceWarning

        network, names = open_model(model, target, device=resolve_device(device))
    with warnings.catch_warnings(), progress("explaining") as count:
        warnings.simplefilter("ignore", RelevanceWarning)  # what it warns of, the sentence tells in numbers
        explanation = explain_output(
            network,
            paths,
            target=target,
            names=names,
            method=method,
            composite=composite,
            reference=reference,
            evaluations=evaluations,
            layer=layer,
            check=check,
            progress=count,
        )
    return Answer.of(explanation, explanation.save(out))
