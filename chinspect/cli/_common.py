"""What several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

JSON = typer.Option(False, "--json", help="Print one JSON document and nothing else.")
ENCODER_HELP = "An encoder: a name (see 'chinspect models'), or the folder of one, mitigated or your own."
DEBUG = typer.Option(False, "--debug", help="Show the traceback of an error.")
OUT = typer.Option("chinspect-out", "--out", help="Folder for the figures, the numbers and the arrays.")


def resolve_device(name: str) -> str:
    """``auto`` is the first of cuda, mps and cpu that is there; other names stay as they are."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def image_paths(arguments: Sequence[str]) -> list[Path]:
    """Files as they are given, folders by what they hold."""
    from chinspect.images import list_images

    return [path for given in arguments for path in (list_images(given) if Path(given).is_dir() else [Path(given)])]


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Takes how many are done and how many there are: a bar on a terminal, and not a word in a pipe."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def resuming(folder: Path) -> Iterator[Path]:
    """A folder of our own for what is done, which an interrupted run leaves and a finished one removes."""
    from shutil import rmtree

    yield folder
    rmtree(folder, ignore_errors=True)


@contextmanager
def status(what: str) -> Iterator[None]:
    """Says on a terminal what takes long."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
