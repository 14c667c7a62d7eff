"""``chinspect spray``: which strategies does a model use over a data set, and are some of them Clever Hans?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chinspect.cli._common import DEBUG, ENCODER_HELP, JSON, OUT, progress, resolve_device, status

if TYPE_CHECKING:
    from chinspect.anomaly import Detector
    from chinspect.encoders import Encoder
    from chinspect.execute import Samples
    from chinspect.spray.run import SprayRun

_LISTED = 8


def spray(
    images: str = typer.Argument(None, metavar="[IMAGES_DIR]", help="Folder of images, or a list or table of paths."),
    model: str = typer.Option(None, help=ENCODER_HELP + " tiny-clip for images alone."),
    arch: str = typer.Option(None, help="Architecture, where the model is a checkpoint."),
    detector: str = typer.Option(None, metavar="FILE", help="A detector that 'chinspect fit' wrote, as the model."),
    explain: str = typer.Option(None, help="neighbours, output, anomaly or frequency; by default as fits the model."),
    maps: str = typer.Option(None, metavar="FILE.npy", help="Maps (N, H, W) to analyse, instead of IMAGES_DIR."),
    pictures: str = typer.Option(None, "--images", metavar="DIR", help="The images of the maps, in their order."),
    labels: str = typer.Option(None, metavar="folder|FILE", help="Classes: folder, a table path,label, or an .npy."),
    test: bool = typer.Option(False, "--test", help="Test flagged candidates on the model: add, remove, placebos."),
    surrogates: int = typer.Option(99, min=0, help="Data sets of moved maps that p-values come from."),
    workers: int = typer.Option(0, min=0, help="Explain with this many workers on Ray."),
    fail_on: str = typer.Option(
        None,
        metavar="confirmed|candidate",
        help="Exit with 1 if the verdict is this; each candidate is confirmed at its own level of 5 %.",
    ),
    out: str = OUT,
    as_json: bool = JSON,
    device: str = typer.Option("auto", help="Where to compute: auto, cpu, cuda, ..."),
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Cluster the explanations of a data set and flag strategies that few images share (SpRAy)."""
    from chinspect.proof.candidates import prove_candidates
    from chinspect.spray.run import check_output

    _check(images, maps, pictures, model, detector)
    _check_options(maps, explain, test, pictures is not None and (model or detector) is not None, fail_on)
    asked = maps is None or model is not None or detector is not None
    check_output(Path(out))
    wanted = _model(model, arch, detector, device) if asked else None
    if maps is None:
        run = _explained(wanted, images, explain, labels, workers, surrogates, Path(out))
    else:
        run = _given(maps, pictures, labels, surrogates, wanted)
    if test:
        with progress("testing candidates") as count:
            run = prove_candidates(wanted, run, progress=count)
    with progress("drawing sheets") as count:
        files = run.save(out, progress=count)
    if as_json:
        typer.echo(json.dumps(run.document() | {"files": [str(file) for file in files]}, indent=2))
    else:
        _print(run, files, out)
    if fail_on is not None and _fails(run, fail_on):
        raise typer.Exit(1)


def _check(images: str | None, maps: str | None, pictures: str | None, model: str | None, detector: str | None) -> None:
    from chinspect.errors import InputError

    if images is None and maps is None:
        raise InputError("there is nothing to analyse: give a folder of images, or maps with --maps.")
    if images is not None and (maps is not None or pictures is not None):
        raise InputError(f"{images!r} would be explained anew: with --maps, give the pictures as --images, alone.")
    if model is not None and detector is not None:
        raise InputError("give --model or --detector, not both: maps explain one model.")


def _check_options(maps: str | None, explain: str | None, test: bool, testable: bool, fail_on: str | None) -> None:
    from chinspect.errors import InputError

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


def _model(model: str | None, arch: str | None, detector: str | None, device: str) -> Encoder | Detector:
    from chinspect.anomaly import load_detector
    from chinspect.encoders import load_encoder

    if detector is not None:
        return load_detector(detector)
    return load_encoder(model or "tiny-clip", arch=arch, device=resolve_device(device))


def _explained(
    model: Any, images: str, explain: str | None, labels: str | None, workers: int, surrogates: int, out: Path
) -> SprayRun:
    from chinspect.anomaly import Detector
    from chinspect.execute import load_samples
    from chinspect.explain.images import check_question, explain_images
    from chinspect.spray.run import SprayRun
    from chinspect.spray.run_inputs import load_labels

    asked: Any = explain or ("anomaly" if isinstance(model, Detector) else "neighbours")
    check_question(model, asked)
    samples = load_samples(images)
    listed = None if labels is None else load_labels(labels, samples.names, samples.paths)
    store = out / "explanations" / f"{asked}-{_digest(samples)}"  # which another data set never meets
    with progress("explaining") as count:
        found = explain_images(model, images, explain=asked, path=store, workers=workers, progress=count)
    classes = None
    if listed is not None:
        labelled = dict(zip(samples.names, listed, strict=True))
        classes = [labelled[name] for name in found.names]
    return SprayRun(
        _fitted(found.maps, classes, list(found.paths), surrogates),
        found.maps,
        found.names,
        paths=found.paths,
        labels=classes,
        picture=found.picture,
        made=found.description | {"unreadable": list(found.unreadable)},
        scores={"value": found.values, "conservation": found.conservation},
    )


def _digest(samples: Samples) -> str:
    """Eight digits of the names, contents and folder of images."""
    return hashlib.sha256(json.dumps(samples.description, sort_keys=True).encode()).hexdigest()[:8]


def _given(maps: str, images: str | None, labels: str | None, surrogates: int, model: Any) -> SprayRun:
    from chinspect.errors import InputError
    from chinspect.execute import load_samples
    from chinspect.explain.images import view
    from chinspect.images import open_image
    from chinspect.spray.run import SprayRun
    from chinspect.spray.run_inputs import load_labels, load_maps

    values = load_maps(maps)
    samples = None if images is None else load_samples(images)
    if samples is not None and len(samples) != len(values):
        raise InputError(f"there are {len(values)} maps and {len(samples)} images: give one image for each map.")
    names = samples.names if samples else tuple(f"map {i}" for i in range(len(values)))
    paths = samples.paths if samples else None
    classes = None if labels is None else load_labels(labels, names, paths)
    seen = (lambda picture: picture) if model is None else view(model)
    return SprayRun(
        _fitted(values, classes, paths, surrogates),
        values,
        names,
        paths=paths,
        labels=classes,
        picture=None if paths is None else lambda i: seen(open_image(paths[i])),
        made={"method": "given", "maps": maps, "images": images},
    )


def _fitted(maps: Any, labels: Any, paths: Any, surrogates: int) -> Any:
    from chinspect.spray import SpRAy

    with status("clustering, and comparing with chance"):
        return SpRAy(n_surrogates=surrogates).fit(maps, labels, images=paths)


def _fails(run: SprayRun, gate: str) -> bool:
    return run.verdict == "confirmed" or (gate == "candidate" and run.verdict == "candidate")


def _print(run: SprayRun, files: list[Path], out: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from chinspect.spray.run_words import NOT_TESTED, merged_sentence, place_of, verdict_of

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("candidate", "images", "shared", "where", "class", "corrected p", "verdict"):
        table.add_column(column, overflow="fold")
    for number, finding in enumerate(run.findings[:_LISTED], 1):
        c, verdict = finding.candidate, verdict_of(finding.candidate)
        label = f"within {c.group}" if c.group is not None else str(c.label or "")
        cells = [str(number), str(c.size), f"{c.shared:.0%}", place_of(c), escape(label)]
        cells.append(f"{c.q_value:.2g}" if c.compared else NOT_TESTED)
        table.add_row(*cells, f"[red]{verdict}[/red]" if verdict == "confirmed" else verdict)
    console = Console(highlight=False)
    console.print(table)
    if len(run.findings) > _LISTED:
        console.print(f"{_LISTED} of {len(run.findings)} shown; all in candidates.csv")
    for sentence in filter(None, (run.sentence, merged_sentence(run))):
        console.print(sentence, markup=False)
    for number, finding in enumerate(run.findings, 1):
        if finding.note:
            console.print(f"candidate {number}: {finding.note}", markup=False)
    unreadable = run.made.get("unreadable", [])
    if unreadable:
        console.print(
            f"{len(unreadable)} images cannot be read and are left out, such as {unreadable[0]}", markup=False
        )
    sheets = sum(file.name == "sheet.png" for file in files)
    written = f"wrote {len(files)} files to {out}, with the sheets of {sheets} candidates; begin with embedding.png"
    console.print(written, markup=False)
