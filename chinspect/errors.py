"""What a user is meant to read, in one sentence: what was wrong, with which value, and what to do."""


class InputError(ValueError):
    """Bad input or usage. Its message is one sentence for the user; the command line prints it and exits with 2."""


class MissingImageError(InputError):
    """A path of an image at which there is no file: not now, or not on this machine. Later it may be there."""


class ImageWarning(UserWarning):
    """An image that was read, and that is probably not what the user thinks; the command line prints it as one line."""


class SlowWarning(UserWarning):
    """How long something takes that takes long; the command line prints it as one line."""


def one_line(error: object) -> str:
    """What an error of somebody else says, for the brackets of one's own sentence: one line, 300 letters at most."""
    return " ".join(str(error).split())[:300] or type(error).__name__
