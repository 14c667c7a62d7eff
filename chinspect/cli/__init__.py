"""The command line: verbs that parse, call and print."""

from chinspect.cli.app import main

__all__ = ["main"]
