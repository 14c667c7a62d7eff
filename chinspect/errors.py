"""The one error that a user is meant to read: what was wrong, with which value, and what to do."""


class InputError(ValueError):
    """Bad input or usage. Its message is one sentence for the user; the command line prints it and exits with 2."""
