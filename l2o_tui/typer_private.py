"""What is used of typer that typer does not promise to keep: what it tells bash, which takes TABLE.KEY=VALUE apart.

bash's words end at "=" and ":", and typer takes them as they come: of ``--set meta.gradient=cl`` it would be asked
about "cl" alone. Here they are put together again, and of what is offered bash is told what stands behind its own word.
"""

import os
import re
import shlex
from collections.abc import Sequence

from typer import _completion_classes, _completion_shared
from typer._click.shell_completion import split_arg_string

_BREAKS = re.compile(r"[=:]+")  # of COMP_WORDBREAKS those that stand in what we are given
_PLAIN = re.compile(r"[\w.,:=/@%+~\[\]-]*")  # what a shell takes as it is, or a word of other letters

SCRIPT = _completion_shared.COMPLETION_SCRIPT_BASH.replace(
    "    return 0\n",
    # What is to be gone on with is followed by no space.
    "    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=/] ]] && compopt -o nospace\n    return 0\n",
)
"""What bash is told once, by ``--install-completion``."""


class BashWords(_completion_classes.BashComplete):
    """Completion for bash, word by word as we have them."""

    source_template = SCRIPT

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is typed, without the command's name; and that one."""
        words, begun, _ = self._asked()
        return words[1:], begun

    def complete(self) -> str:
        """Return what is offered, a line each: without what bash does not take for a part of the word."""
        words, begun, passed = self._asked()
        offered = [item.value for item in self.get_completions(words[1:], begun)]
        return "\n".join(_quoted(value[len(passed) :]) for value in offered if value.startswith(passed))

    def _asked(self) -> tuple[list[str], str, str]:
        return asked(split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"]))


def asked(words: Sequence[str], place: int) -> tuple[list[str], str, str]:
    """Put a command's words together where bash has parted them.

    Parameters
    ----------
    words
        bash's words; an empty one at the end may be missing.
    place
        Which of them is typed.

    Returns
    -------
    tuple
        The words before the one that is typed, that one, and what of it bash takes for words before.
    """
    joined: list[str] = []
    goes_on = False
    for word in [*words, ""][: place + 1]:
        is_break = bool(_BREAKS.fullmatch(word))
        if joined and (is_break or goes_on):
            passed, joined[-1] = joined[-1], joined[-1] + word
        else:
            joined.append(word)
            passed = ""
        passed = joined[-1] if is_break else passed
        goes_on = is_break
    return joined[:-1], joined[-1], passed


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else shlex.quote(value)


def prepare() -> None:
    """Let typer know bash so."""
    _completion_classes.BashComplete = BashWords  # type: ignore[misc]  # which it registers when it is asked
    _completion_shared._completion_scripts["bash"] = SCRIPT
