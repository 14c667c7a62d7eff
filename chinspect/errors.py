"""What a user is meant to read, in one sentence: what was wrong, with which value, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Bad input or usage. Its message is one sentence for the user; the command line prints it and exits with 2."""


class MissingImageError(InputError):
    """A path of an image at which there is no file: not now, or not on this machine. Later it may be there."""


class ImageWarning(UserWarning):
    """An image that was read, and that is probably not what the user thinks; the command line prints it as one line."""


class SlowWarning(UserWarning):
    """How long something takes that takes long; the command line prints it as one line."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Which of the known names is meant, for the middle of one's own sentence; empty where none is close.

    >>> did_you_mean("pillow-biliner", ["pillow-bilinear", "opencv-area"])
    " (did you mean 'pillow-bilinear'?)"
    """
    names = list(known)
    close = get_close_matches(str(name), names, n=1) or [one for one in names if one.lower() == str(name).lower()]
    return f" (did you mean {close[0]!r}?)" if close else ""


def one_line(error: object) -> str:
    """What an error of somebody else says, for the brackets of one's own sentence: one line, 300 letters at most."""
    return " ".join(str(error).split())[:300] or type(error).__name__
