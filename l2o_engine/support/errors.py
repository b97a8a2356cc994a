"""The two kinds of error that end a command with a message instead of a traceback."""


class UserError(Exception):
    """The input is wrong: nothing was started and nothing lost."""


class Failure(Exception):  # noqa: N818 (the word for it)
    """Something failed on the way; the message says what, and where the last checkpoint is."""
