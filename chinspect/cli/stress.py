"""``chinspect stress`` and ``parity``: do a detector's decisions survive deployment?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from chinspect.cli.frame import (
    OUT,
    Answer,
    Force,
    Out,
    check_detector,
    image_paths,
    loading,
    named,
    progress,
    resuming,
    status,
    verb,
)
from chinspect.errors import InputError
from chinspect.files import claim_folder

_DETECTOR = typer.Argument(metavar="DETECTOR", help="A file that 'chinspect fit' wrote.")
_TABLES = ["stress", "scores", "steps", "predictions", "shares"]


@verb("stress")
def stress_test(
    detector: str = _DETECTOR,
    dataset: str = typer.Argument(metavar="DATASET_DIR", help="A category of MVTec AD, or train and test/{good,bad}."),
    deploy: list[str] = typer.Option(["pillow-bilinear"], help="A resizer to switch to; may be given again."),
    mitigate: list[str] = typer.Option(
        [], help="A remedy to test beside the detector: blur (the blurred detector is also saved)."
    ),
    protocol: str = typer.Option("deploy", help="deploy, kauffmann2025-text or kauffmann2025-code."),
    fail_on: str = typer.Option(
        None,
        metavar="GATE",
        help="Exit with 1 if it holds in a deployed row of DETECTOR itself, as in 'fnr>0.1' or 'fnr>10%'.",
    ),
    out: Out = OUT,
    force: Force = False,
) -> Answer:
    """Score a test set under other resizers and innocuous changes, and judge the decisions.

    Resizers: opencv-nearest, opencv-linear, opencv-cubic, opencv-area, opencv-nearest-exact, pillow-nearest,
    pillow-bilinear, pillow-bicubic, pillow-lanczos, torch-bilinear, torch-bilinear-aa, torch-bicubic-aa.
    """
    _check_once("--deploy", deploy)
    _check_once("--mitigate", mitigate)
    saved = [f"{name}.safetensors" for name in mitigate]
    claim_folder(out, [*_TABLES, *saved], inputs=[detector, dataset], force=force)
    check_detector(detector)
    with loading(detector):
        from chinspect.anomaly import load_detector
        from chinspect.datasets import load_category
        from chinspect.mitigate import detector_remedy, save_remedied
        from chinspect.stress import Gate, stress

        gate = None if fail_on is None else Gate.parse(fail_on)
        fitted = load_detector(detector)
        data = load_category(dataset)
        if named("deploy") and fitted.resizer in deploy:
            raise InputError(
                f"--deploy {fitted.resizer} has no effect, as the detector was fitted with it: leave it out."
            )
        if gate is not None:
            gate.check(fitted, deploy)
    with resuming(Path(out) / ".resume") as folder:
        with progress("scoring under every condition") as count:
            remedies = [detector_remedy(name, fitted, data.train) for name in mitigate]
            options: dict[str, Any] = {"deploy": deploy, "protocol": protocol, "mitigate": remedies}
            report = stress(fitted, data, resume=folder, progress=count, **options)
        files = [*report.save(out), *save_remedied(remedies, out)]
    failures = [] if gate is None else gate.failures(report)
    notes = [*report.remarks(), *(gate.sentence(failure) for failure in failures if gate is not None)]
    answer = Answer.of(report, files, notes=notes, failed=bool(failures))
    return replace(answer, document=answer.document | {"failed": failures})


@verb("parity")
def compare_resizers(
    detector: str = _DETECTOR,
    images: list[str] = typer.Argument(metavar="IMAGES...", help="Image files or folders."),
    resizer_a: str = typer.Option(..., help="A resizer; see 'chinspect stress --help'."),
    resizer_b: str = typer.Option(..., help="Another resizer."),
) -> Answer:
    """Compare a detector's scores of the same images through two resizers."""
    check_detector(detector)
    if resizer_a == resizer_b:
        raise InputError(f"--resizer-a and --resizer-b are both {resizer_a!r}, which cannot differ: name two.")
    with loading(detector):
        from chinspect.anomaly import load_detector
        from chinspect.files import shown
        from chinspect.stress import parity, resized

        fitted = load_detector(detector)
        paths = image_paths(images)
    with status(f"scoring {len(paths)} images twice"):
        a = resized(fitted, resizer_a)
        b = resized(fitted, resizer_b)
        result = parity(a, b, paths, threshold=fitted.threshold_)
    document = {
        "images": len(paths),
        "largest_difference": result.largest_difference,
        "worst_image": shown(paths[result.worst]),
        "label_flips": result.label_flips,
        "threshold": fitted.threshold_,
        "pixel_difference": result.stage_differences[0],
    }
    sentence = (
        f"{resizer_a} against {resizer_b}: {result.label_flips} of {len(paths)} decisions flip at the threshold "
        f"{fitted.threshold_:.4g}\nscores differ by {result.largest_difference:.4g} at most "
        f"({document['worst_image']}), pixels by {result.stage_differences[0]:.3g} in [-1, 1]"
    )
    return Answer(document, lambda: typer.echo(sentence))


def _check_once(option: str, values: list[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise InputError(f"{option} names {repeated[0]!r} twice, which has no effect: name it once.")
