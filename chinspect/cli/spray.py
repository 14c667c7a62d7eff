"""``chinspect spray``: which strategies does a model use over a data set, and are some of them Clever Hans?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from chinspect.cli.frame import (
    AUTO_HELP,
    COMPOSITE_HELP,
    ENCODER_HELP,
    METHOD_HELP,
    MODEL,
    OUT,
    REFERENCE_HELP,
    Answer,
    Device,
    Fitting,
    Force,
    Out,
    check_detector,
    loading,
    progress,
    resolve_device,
    verb,
    without_effect,
)
from chinspect.errors import InputError
from chinspect.files import claim_folder
from chinspect.spray.contents import FILES

if TYPE_CHECKING:
    from chinspect.subjects import Subject


_EXPLAINING = ("method", "composite", "reference", "check", "workers")
"""Options that say how maps are made."""
_QUESTION_HELP = (
    "What is explained of each image: neighbours (its similarity to those nearest to it; the default of an encoder), "
    "output (its own output), anomaly_map (where it is anomalous; the default of PatchCore), anomaly (its score; the "
    "default of other detectors) or frequency (similarity or score by bands)."
)


@verb("spray")
def analyse_images(
    images: str = typer.Argument(None, metavar="[IMAGES_DIR]", help="Folder of images, or a list or table of paths."),
    model: str = typer.Option(None, help=ENCODER_HELP + f" {MODEL} for images alone."),
    arch: str = typer.Option(None, help="Architecture, where the model is a checkpoint."),
    detector: str = typer.Option(None, metavar="FILE", help="A detector that 'chinspect fit' wrote, as the model."),
    explain: str = typer.Option(None, metavar="QUESTION", help=_QUESTION_HELP),
    method: str = typer.Option(None, help=METHOD_HELP + AUTO_HELP),
    composite: str = typer.Option(None, help=COMPOSITE_HELP + "epsilon_plus_flat by default."),
    reference: str = typer.Option("blur", help=f"{REFERENCE_HELP} Or dataset: the mean over some of the images."),
    fit: Fitting = None,
    maps: str = typer.Option(None, metavar="FILE.npy", help="Maps (N, H, W) to analyse, instead of IMAGES_DIR."),
    pictures: str = typer.Option(None, "--images", metavar="DIR", help="The images of the maps, in their order."),
    labels: str = typer.Option(None, metavar="folder|FILE", help="Classes: folder, a table path,label, or an .npy."),
    check: bool = typer.Option(True, help="Replace the most relevant patches of 8 images and say what they lose."),
    test: bool = typer.Option(False, "--test", help="Test flagged candidates on the model: add, remove, placebos."),
    surrogates: int = typer.Option(99, min=0, help="Data sets of moved maps that p-values come from."),
    workers: int = typer.Option(0, min=0, help="Explain with this many workers on Ray."),
    fail_on: str = typer.Option(
        None,
        metavar="confirmed|candidate",
        help="Exit with 1 if the verdict is this; all candidates are confirmed at one level of 5 %.",
    ),
    out: Out = OUT,
    force: Force = False,
    device: Device = "auto",
) -> Answer:
    """Cluster the explanations of a data set and flag strategies that few images share (SpRAy)."""
    with_model = model is not None or detector is not None
    _check_sources(images, maps, pictures, both=model is not None and detector is not None)
    _check_options(maps, explain, test=test, testable=pictures is not None and with_model, fail_on=fail_on)
    _check_effects(maps, pictures, detector, explain, test=test, with_model=with_model, surrogates=surrogates)
    sources = [images, model, detector, maps, pictures, None if labels == "folder" else labels, reference]
    claim_folder(out, FILES, inputs=sources, force=force)
    if detector is not None:
        check_detector(detector)
    with loading(detector or model or MODEL if maps is None or with_model else "maps"):
        from chinspect.proof import prove_candidates
        from chinspect.spray import analyse, analyse_maps

        subject = _subject(model, arch, detector, device, fit) if maps is None or with_model else None
    with progress("explaining, then comparing with chance") as count:
        options: dict[str, Any] = {"labels": labels, "n_surrogates": surrogates}
        if maps is None:
            options |= {"method": method, "composite": composite, "reference": reference}
            run = analyse(
                subject, images, explain=explain, path=out, workers=workers, check=check, progress=count, **options
            )
        else:
            run = analyse_maps(maps, images=pictures, subject=subject, progress=count, **options)
    if test and subject is not None:
        with progress("testing candidates") as count:
            run = prove_candidates(subject, run, progress=count)
    with progress("drawing sheets") as count:
        files = run.save(out, progress=count)
    sheets = sum(file.name == "sheet.png" for file in files)
    written = f"wrote {len(files)} files to {out}, with the sheets of {sheets} sets; begin with embedding.png"
    if test and not run.flagged:
        written += "; nothing is flagged, so that --test had nothing to test"
    failed = fail_on is not None and run.verdict in ("confirmed", fail_on)
    answer = Answer.of(run, notes=[*run.notes, written], failed=failed)
    return replace(answer, document=answer.document | {"files": [str(file) for file in files]})


def _check_sources(images: str | None, maps: str | None, pictures: str | None, *, both: bool) -> None:
    if images is None and maps is None:
        raise InputError("there is nothing to analyse: give a folder of images, or maps with --maps.")
    if images is not None and (maps is not None or pictures is not None):
        raise InputError(f"{images!r} would be explained anew: with --maps, give the pictures as --images, alone.")
    if both:
        raise InputError("give --model or --detector, not both: maps explain one model.")


def _check_options(maps: str | None, explain: str | None, *, test: bool, testable: bool, fail_on: str | None) -> None:
    if maps is not None and explain is not None:
        raise InputError("--maps are explanations already: leave --explain out.")
    if maps is not None and test and not testable:
        raise InputError(
            "--test changes images and asks the model: with --maps, give --images and --model or --detector."
        )
    if fail_on not in (None, "confirmed", "candidate"):
        raise InputError(f"--fail-on knows the verdicts confirmed and candidate, not {fail_on!r}.")
    if fail_on == "confirmed" and not test:
        raise InputError("nothing is confirmed without an intervention: add --test to --fail-on confirmed.")


def _check_effects(
    maps: str | None,
    pictures: str | None,
    detector: str | None,
    explain: str | None,
    *,
    test: bool,
    with_model: bool,
    surrogates: int,
) -> None:
    """`InputError` for what would change nothing."""
    if maps is not None:
        without_effect("on --maps, which are explanations already", *_EXPLAINING)
        if pictures is None:
            without_effect("on --maps without --images: nothing is explained or tested", "model", "detector")
    if not with_model and maps is not None:
        without_effect("without --model", "arch", "device", "fit")
    if detector is not None:
        without_effect("with --detector, which is scored on the CPU", "device")
        without_effect("with --detector, which is a file of its own", "arch")
    if explain == "frequency":
        without_effect("with --explain frequency, whose spectra have no patches", "check")
    if surrogates < 2:
        reason = f"with --surrogates {surrogates}: nothing is compared with chance, so that nothing is flagged"
        without_effect(reason, *(["test"] if test else []), "fail_on")


def _subject(model: str | None, arch: str | None, detector: str | None, device: str, fit: Any) -> Subject:
    if detector is not None:
        if fit is not None:
            raise InputError("--fit is of encoders: a detector squashes images, as it did when it was fitted.")
        from chinspect.anomaly import load_detector

        return load_detector(detector)
    from chinspect.encoders import load_encoder

    return load_encoder(model or MODEL, arch=arch, device=resolve_device(device)).fitted(fit)
