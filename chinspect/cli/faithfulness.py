"""``chinspect faithfulness``: do maps say what a score depends on, and which metric can tell?"""

from __future__ import annotations

import typer

from chinspect.cli.frame import (
    MAP_METHOD_HELP,
    MODEL,
    OUT,
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
from chinspect.files import claim_folder

_MODEL_HELP = "A name (see 'chinspect models'): with a classifier, unless --target is an image."


@verb("faithfulness")
def judge_maps(
    images: list[str] = typer.Argument(metavar="IMAGE...", help="Image files, or folders of images."),
    model: str = typer.Option(MODEL, help=_MODEL_HELP),
    method: list[str] = typer.Option(["rescale", "lrp", "gradcam"], help=MAP_METHOD_HELP + " May be given again."),
    target: str = typer.Option(None, help=TARGET_HELP),
    metric: list[str] = typer.Option(
        None, help="A metric, such as ROAD or insertion; may be given again. By default all but Shapley."
    ),
    masks: str = typer.Option(None, metavar="DIR", help="Masks of the cause, under the names of the images."),
    reference: str = typer.Option("blur", help="What removed pixels show: blur, mean, grey or black."),
    count: int = typer.Option(8, min=1, help="How many images at most, spread evenly over all."),
    seed: int = typer.Option(0, min=0, help="Of noise, random orders and the random mask."),
    out: Out = OUT,
    force: Force = False,
    device: Device = "auto",
) -> Answer:
    """Judge maps by many metrics, beside a mask of ones, a random mask and a centred blob.

    A metric that one of these wins measures nothing, and is named.
    """
    sources = [*images, model, masks, target]
    claim_folder(out, ["faithfulness", "metrics", "verdicts"], inputs=sources, force=force)
    with loading(model):
        from chinspect.explain import judge_methods

        paths = image_paths(images)
    with progress("judging maps") as tally:
        judgement = judge_methods(
            model,
            paths,
            method,
            target=target,
            count=count,
            metrics=metric or None,
            masks=masks,
            reference=reference,
            device=resolve_device(device),
            random_state=seed,
            progress=tally,
        )
    return Answer.of(judgement, judgement.save(out))
