"""What all verbs share: --json, --debug, --out, progress, and how an answer is printed.

A verb is a function that parses, calls one function of the library and returns an `Answer`:

    @verb("models")
    def list_encoders() -> Answer:
        '''List the encoders.'''
        from chinspect.encoders import list_models  # verbs import late, so that --help answers at once
        ...
        return Answer(document, show)

It gets the options --json and --debug here, and prints nothing itself.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from chinspect.encoders import DEFAULT
from chinspect.errors import InputError

if TYPE_CHECKING:
    from chinspect.report import Result

# a terminal's own width up to 120 letters, and 120 in a pipe, where nothing is known of it
_HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
if not sys.stdout.isatty():
    _HELP["terminal_width"] = 120
app = typer.Typer(
    name="chinspect",
    no_args_is_help=True,
    context_settings=_HELP,
    rich_markup_mode=None,  # plain lines, which pipes and screen readers take as they are
    pretty_exceptions_enable=False,
)
MODEL = DEFAULT
ENCODER_HELP = "A name (see 'chinspect models'), ARCH@PATH for a checkpoint, or your own or a mitigated one's folder."
METHOD_HELP = (
    "How contributions are found: rescale (against a reference, exact), shapley (masked images, any model), lrp "
    "(rules), or the choice.json of 'chinspect choose-method'. By default what the model's card says, else rescale."
)
AUTO_HELP = (
    " auto tries references and rules on the images first; the usual one stays unless another is clearly more faithful."
)
TARGET_HELP = (
    "What is explained: a class by its number or name, or another image, whose similarity to each is explained; the "
    "predicted class by default."
)
MAP_METHOD_HELP = (
    "rescale (against a reference, exact), shapley (masked images, any model), lrp (rules), or a class activation map: "
    "gradcam, gradcam++, hirescam, layercam, scorecam, ablationcam, shapcam, cluscam, eigencam, rise, and rollout or "
    "legrad for transformers."
)
REFERENCE_HELP = "What rescale and shapley compare with: blur, mean, grey, or an image file."
COMPOSITE_HELP = (
    "The rules of the method lrp: epsilon_plus_flat, epsilon_plus, epsilon_gamma_box, epsilon_alpha2_beta1_flat, "
    "epsilon, kauffmann2025, attn_lrp; "
)
Out = Annotated[str, typer.Option("--out", metavar="DIR", help="Folder for the figures, the numbers and the arrays.")]
OUT = "chinspect-out"
INTERRUPTED = 130
"""Exit status of what was stopped by Ctrl-C, 128 + SIGINT, as shells count."""
Fitting = Annotated[
    str | None,
    typer.Option(
        "--fit",
        metavar="crop|pad|squash",
        help="How a picture that is no square becomes one: cut, put on a border, or distorted; as is usual for the "
        "encoder by default.",
    ),
]
Arch = Annotated[str, typer.Option("--arch", help="Architecture, where the model is a checkpoint's path.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what an earlier run wrote there; never an input.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at an image that cannot be read, and leave none out.")]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, ...")]
_MODELS = ("model", "backbone")
"""Options that name a model: verbs with one of them get --arch as well, and their function the name of both."""
_SHARED_OPTIONS: dict[str, Any] = {
    "context": typer.Context,
    "as_json": Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],  # main reads it
}


@dataclass(frozen=True)
class Answer:
    """What a verb has to say.

    Attributes:
        document: JSON values, printed with --json.
        show: prints the answer for people.
        failed: whether a gate failed: then the exit status is 1.
        interrupted: whether it is of what was done until Ctrl-C: then the exit status is 130.
    """

    document: Any
    show: Callable[[], None]
    failed: bool = False
    interrupted: bool = False

    @classmethod
    def of(
        cls,
        result: Result,
        files: Sequence[Path] = (),
        *,
        notes: Sequence[str] = (),
        failed: bool = False,
        interrupted: bool = False,
    ) -> Self:
        """A result, sentences that go with it, and the files that it was written to."""

        def show() -> None:
            result.show()
            for line in notes:
                typer.echo(line)
            if files:
                typer.echo("wrote " + ", ".join(map(str, files)))

        return cls(result.document() | {"files": [str(file) for file in files]}, show, failed, interrupted)


def verb(
    name: str, *, of: typer.Typer = app, default: bool = False
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Makes a function a verb of the command line, with --json and --debug; what it returns is printed.

    Args:
        of: the application, or a group of verbs.
        default: whether it is what a group does without a verb; its name is that of the group then.
    """

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        @wraps(function)
        def run(*, context: typer.Context, as_json: bool, debug: bool, **arguments: Any) -> None:  # noqa: ARG001
            named = [name for name in context.params if _on_command_line(context, name)]
            if context.invoked_subcommand is not None:  # of a group: the verb that is named answers instead
                if named:
                    raise InputError(
                        f"{_flag(named[0])} belongs behind {context.invoked_subcommand!r}, where it is of that command."
                    )
                return
            _named.set(frozenset(named))
            if model in arguments and "arch" not in own.parameters:
                arguments[model] = named_model(arguments[model], arguments.pop("arch"))
            answer = function(**arguments)
            if as_json:
                from chinspect.report.documents import json_text

                typer.echo(json_text(answer.document))
            else:
                answer.show()
            if answer.interrupted:
                raise typer.Exit(INTERRUPTED)
            if answer.failed:
                raise typer.Exit(1)

        own = inspect.signature(function, eval_str=True)  # typer would not find the help of annotated types
        model = next((name for name in _MODELS if name in own.parameters), "")
        shared = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for option, kind in _SHARED_OPTIONS.items()
        ]
        if model and "arch" not in own.parameters:
            shared.insert(0, inspect.Parameter("arch", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Arch))
        run.__signature__ = own.replace(parameters=[*own.parameters.values(), *shared])  # type: ignore[attr-defined]
        run.__annotations__ = function.__annotations__ | {option.name: option.annotation for option in shared}
        (of.callback(invoke_without_command=True) if default else of.command(name))(run)
        return function

    return register


def named_model(model: str, arch: str | None) -> str:
    """A model by one name, also a checkpoint with its architecture, see `chinspect.encoders.load_encoder`."""
    return model if arch is None else f"{arch}@{model}"


_named: ContextVar[frozenset[str]] = ContextVar("named", default=frozenset())
"""The parameters of the running verb that stand on its command line."""


def named(option: str) -> bool:
    """Whether an option of the running verb stands on its command line, be it with its default value."""
    return option in _named.get()


def without_effect(reason: str, *options: str) -> None:
    """`InputError` for the first of some options that stands on the command line, where it would change nothing.

    >>> without_effect("with d2neighbors, which has no network", "backbone", "layers")
    """
    for option in options:
        if named(option):
            raise InputError(f"{_flag(option)} has no effect {reason}: leave it out.")


def _on_command_line(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _flag(option: str) -> str:
    return "--" + {"as_json": "json", "pictures": "images"}.get(option, option).replace("_", "-")


def check_detector(path: str) -> None:
    """`InputError` for a detector that is not there, before torch is loaded."""
    if not Path(path).is_file():
        raise InputError(f"there is no detector {path!r}: fit one with `chinspect fit`.")


def resolve_device(name: str) -> str:
    """``auto`` is the first of cuda, mps and cpu that is there; other names stay as they are."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def image_paths(arguments: Sequence[str]) -> list[Path]:
    """Files as they are named, and all images of folders."""
    from chinspect.images import list_images

    paths: list[Path] = []
    for argument in arguments:
        paths += list_images(argument) if Path(argument).is_dir() else [Path(argument)]
    return paths


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Takes how many are done and how many there are: a bar on a terminal, and not a word in a pipe.

    The bar tells the count and the time left. A total that changes is that of the next step, whose time starts anew.
    """
    with staged() as report:
        yield partial(report, what)


@contextmanager
def staged() -> Iterator[Callable[[str, int, int], None]]:
    """As `progress`, for work of several steps: takes what is done first."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(what: str, done: int, total: int) -> None:
            before = bar.tasks[0]
            if before.total is not None and (before.total, before.description) != (total, what):
                bar.reset(task, total=total)
            bar.update(task, completed=done, total=total, description=what)

        yield report


@contextmanager
def resuming(folder: Path) -> Iterator[Path]:
    """A folder for what is done already, which an interrupted run leaves to the next one and a finished one removes."""
    from shutil import rmtree

    yield folder
    rmtree(folder, ignore_errors=True)


@contextmanager
def status(what: str) -> Iterator[None]:
    """Says on a terminal what takes long and has no count: how long it has been at it."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"{what} ..."):
        yield


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Says at once, on a terminal, that libraries and ``what`` are loaded, which takes seconds."""
    with status(f"loading {what}"):
        import torch  # noqa: F401, nearly all of these seconds

        yield
