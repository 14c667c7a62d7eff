"""``chinspect fit``, ``score`` and ``explain-anomaly``: detectors that say how anomalous an image is, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from chinspect.cli.frame import (
    COMPOSITE_HELP,
    MODEL,
    OUT,
    Answer,
    Force,
    Out,
    Strict,
    check_detector,
    image_paths,
    loading,
    progress,
    status,
    verb,
    without_effect,
)
from chinspect.files import claim_file, claim_folder

DetectorFile = Annotated[str, typer.Argument(metavar="DETECTOR", help="A file that 'chinspect fit' wrote.")]
ImagePaths = Annotated[list[str], typer.Argument(metavar="IMAGES...", help="Image files or folders.")]
_OWN = {"d2neighbors": ("p", "perplexity"), "patchcore": ("backbone", "arch", "layers", "embedding", "coreset")}
"""Options of `fit` that one kind of detector has and the other has not."""
_METHOD_HELP = (
    "How relevance is found: shapley (masked images, any detector), lrp (rules) or rescale (against a reference) "
    "through the network of a patchcore; auto is rescale of a patchcore, else what the detector knows of itself."
)
_REFERENCE_HELP = (
    "What rescale, shapley and the check compare with: normal (an image that the detector was fitted on), blur, mean, "
    "grey, or an image file; by default normal where the detector holds some, and blur for rescale."
)


@verb("fit")
def fit_detector(
    kind: str = typer.Argument(metavar="d2neighbors|patchcore", help="Which detector."),
    train: str = typer.Argument(metavar="TRAIN_DIR", help="Folder of normal images."),
    out: str = typer.Option(..., "--out", help="File to write the detector to."),
    resizer: str = typer.Option("opencv-nearest", help="How images are resized; see 'chinspect stress --help'."),
    size: int = typer.Option(224, min=1, help="Side of the detector's input in pixels."),
    fpr: float = typer.Option(
        0.05, min=0, max=1, help="False positive rate of the threshold, on held-out scores; N images allow 1/(N+1)."
    ),
    blur: float = typer.Option(
        None, min=0, metavar="SIGMA", help="Blur images by this many pixels first; not at all by default."
    ),
    p: int = typer.Option(2, help="d2neighbors: norm of the distance, 1, 2 or 4."),
    perplexity: float = typer.Option(
        0.25, min=0, max=1, help="d2neighbors: effective number of neighbours, as a fraction of all."
    ),
    backbone: str = typer.Option(MODEL, help="patchcore: an encoder, or wide_resnet50_2 as in its paper."),
    layers: str = typer.Option(
        None,
        metavar="LAYER,LAYER",
        help="patchcore: names of the layers to compare, the largest maps first; by default the last ones at 1/8 and "
        "1/16 of the size.",
    ),
    embedding: str = typer.Option("anomalib", help="patchcore: protocol, anomalib, roth or kauffmann2025."),
    coreset: float = typer.Option(
        None,
        min=0,
        max=1,
        help="patchcore: fraction of the patches that the bank holds; 0.1 by default, or what memory and time allow.",
    ),
    strict: Strict = False,
    force: Force = False,
) -> Answer:
    """Fit an anomaly detector on normal images and write it to one file."""
    for other, options in _OWN.items():
        if other != kind:
            without_effect(f"on {kind}: it is of {other}", *options)
    claim_file(out, inputs=[train, backbone], force=force)
    with loading(backbone if kind == "patchcore" else kind):
        from chinspect.anomaly import fit, guaranteed_rate, images_needed

    names = None if layers is None else tuple(layers.split(","))
    common = {"resizer": resizer, "size": size, "threshold_fpr": fpr}
    own: dict[str, dict[str, Any]] = {
        "d2neighbors": {"p": p, "perplexity": perplexity},
        "patchcore": {"backbone": backbone, "layers": names, "embedding": embedding, "coreset": coreset},
    }
    with progress(f"fitting {kind} on {train}") as count:
        detector = fit(kind, train, path=out, blur=blur, strict=strict, progress=count, **common, **own.get(kind, {}))
    rate = guaranteed_rate(len(detector.held_out_scores_), fpr)
    document = {
        "detector": type(detector).__name__,
        "images": detector.n_images_,
        "threshold": detector.threshold_,
        "threshold_fpr": rate,
        "resizer": resizer,
        "size": size,
        "file": out,
    }
    needed = f"; {100 * fpr:.3g}% needs {images_needed(fpr)} images" if rate > fpr else ""
    sentence = (
        f"fitted {kind} on {detector.n_images_} images; held-out normal images exceed its threshold "
        f"{detector.threshold_:.4g} with probability {100 * rate:.3g}% at most{needed}\nwrote {out}"
    )
    return Answer(document, lambda: typer.echo(sentence))


@verb("score")
def score_images(
    detector: DetectorFile,
    images: ImagePaths,
    csv: str = typer.Option(None, metavar="FILE", help="Also write the table to this file."),
    strict: Strict = False,
    force: Force = False,
) -> Answer:
    """Score images: the higher, the more anomalous."""
    if csv is None:
        without_effect("without --csv", "force")
    else:
        claim_file(csv, inputs=[detector, *images], force=force)
    check_detector(detector)
    with loading(detector):
        from chinspect.anomaly import load_detector, score

        fitted = load_detector(detector)
    with progress("scoring") as count:
        scores = score(fitted, image_paths(images), csv=csv, strict=strict, progress=count)
    return Answer(scores.document(), scores.show)


@verb("explain-anomaly")
def explain_scores(
    detector: DetectorFile,
    images: ImagePaths,
    bands: str = typer.Option(
        None, help="Number of frequency bands, 3 by default, or kauffmann2025 for the paper's 20 bins."
    ),
    method: str = typer.Option("auto", help=_METHOD_HELP),
    composite: str = typer.Option(None, help=COMPOSITE_HELP + "epsilon_plus by default."),
    reference: str = typer.Option(None, help=_REFERENCE_HELP),
    evaluations: int = typer.Option(
        None, min=1, help="Masked images an image, of the method shapley; 8 a patch by default."
    ),
    check: bool = typer.Option(True, help="Delete the most relevant patches of 4 images and say how scores fall."),
    out: Out = OUT,
    force: Force = False,
) -> Answer:
    """Explain anomaly scores: which pixels, which frequencies, which training images."""
    claim_folder(out, ["anomaly"], inputs=[detector, *images, reference], force=force)
    check_detector(detector)
    with loading(detector):
        from chinspect.anomaly import explain_anomaly, load_detector

        fitted = load_detector(detector)
    own = method == "auto" and fitted.usual_method is None and evaluations is None
    if not check and (own or method == "lrp" or composite is not None):
        without_effect("without the check: relevance by rules is not compared with anything", "reference")
    asked: Any = int(bands) if bands is not None and bands.isdecimal() else bands
    with status("explaining"):
        explanation = explain_anomaly(
            fitted,
            image_paths(images),
            bands=asked,
            method=method,  # type: ignore[arg-type]
            composite=composite,
            reference=reference,
            evaluations=evaluations,
            check=check,
        )
        files = explanation.save(out)
    drawn = len(explanation.highest())
    note = f"anomaly.png shows the {drawn} images of the highest scores; the other files hold all"
    return Answer.of(explanation, files, notes=[note] if drawn < len(explanation) else [])
