"""``chinspect serve``: a run in the browser."""

from __future__ import annotations

import os
import sys
import webbrowser

import typer

from chinspect.cli.frame import Answer, verb


@verb("serve")
def serve_run(
    run: str = typer.Argument(metavar="RUN_DIR", help="A folder that 'chinspect spray' or 'chinspect audit' wrote."),
    port: int = typer.Option(8765, min=0, max=65535, help="Of 127.0.0.1, which only this machine reaches; 0: any."),
    browser: bool = typer.Option(True, "--browser/--no-browser", help="Open the first page."),
) -> Answer:
    """Show a run in the browser, page by page from disk, however many images it has; Ctrl-C ends it."""
    from chinspect.serve import serve

    addresses: list[str] = []

    def announce(address: str) -> None:
        addresses.append(address)
        typer.echo(f"{run} is shown at {address}, to this machine only; Ctrl-C ends it.", err=True)
        if browser and _has_screen():
            webbrowser.open(address)

    serve(run, port=port, announce=announce)
    return Answer({"run": run, "address": addresses[0]}, lambda: None)


def _has_screen() -> bool:
    """Whether a browser would have a window: in a terminal alone, it would take the terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
