r"""The two kinds of error that end a command with a message instead of a traceback.

Messages quote what users and strangers wrote: names, paths, keys. So a message is safe to show by its being one:
``str(error)`` has no control character, direction mark or anything else that is obeyed or unseen, but as an escape
(:mod:`~l2o_engine.support.wording`). A message is one line; who has several gives each of them.
"""

from l2o_engine.support.wording import MOST_LINES, shown

_MOST = 2000  # characters of a line: lists of names may be long


class _Told(Exception):  # noqa: N818 (what both kinds are)
    """Tells what is wrong, in a line or in several.

    Parameters
    ----------
    lines
        The message's lines. A line break within one is shown as an escape.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = tuple(shown(line, most=_MOST) for line in lines)

    def __str__(self) -> str:
        left_out = len(self.lines) - MOST_LINES
        more = [f"… and {left_out:,} lines more"] if left_out > 0 else []
        return "\n".join([*self.lines[:MOST_LINES], *more])


class UserError(_Told):
    """The input is wrong: nothing was started and nothing lost."""


class Failure(_Told):
    """Something failed on the way; the message says what, and where the last checkpoint is."""
