"""What a user is meant to read, in one sentence: what was wrong, with which value, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from difflib import get_close_matches

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system calls a disk that holds no more."""


class InputError(ValueError):
    """Bad input or usage. Its message is one sentence for the user; the command line prints it and exits with 2."""


class MissingImageError(InputError):
    """A path of an image at which there is no file: not now, or not on this machine. Later it may be there."""


class MachineError(RuntimeError):
    """What the machine did not allow: a full disk, too little memory. The command line prints it and exits with 3."""


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


def failure(error: BaseException) -> str:
    """What ended a command that is not the user's fault: a sentence with what to do."""
    if isinstance(error, MachineError):
        return str(error)
    detail = one_line(error)
    named = type(error).__name__
    if isinstance(error, OSError) and error.errno in FULL:
        return f"the disk is full ({detail}): make room and run again."
    if isinstance(error, PermissionError):
        return f"the system does not permit it ({detail}): change the permission, or choose another folder."
    if isinstance(error, MemoryError) or named == "OutOfMemoryError":
        return f"there is too little memory ({detail}): use fewer or smaller images, or another machine."
    if named in _KILLED:
        return f"a worker was killed, perhaps for want of memory ({named}): run again with fewer workers."
    if isinstance(error, OSError):
        return f"the system refused ({detail}): mend it and run again."
    return f"it crashed ({named}: {detail}): this is a bug; run again with --debug for the traceback to report."


# of joblib, of concurrent.futures, and of Ray, none of which is imported here
_KILLED = frozenset({"TerminatedWorkerError", "BrokenProcessPool", "WorkerCrashedError", "ActorDiedError"})
