r"""How values and near misses are put into words, and strings that others wrote made safe to show.

A preset, a run folder or a file's name may come from anybody. What of it is shown (a key, a title, a path) goes through
:func:`shown`: a terminal obeys control characters, text runs backwards behind a direction mark, and two names that look
alike differ by a character without width. Such characters are shown as escapes, ``\x1b``, ``\u202e``, and nothing is
left out. A text that is shown already stays as it is, so to be careful twice does no harm.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MOST = 1000
"""Characters of a string that are shown; the middle of a longer one is cut out."""
MOST_LINES = 50
"""Lines of a text that are shown."""

_CUT = " … "
_SPACES = "Zs"  # all are seen for what they are
# Seen by nobody, though Unicode calls them letters and marks: fillers, and what only holds apart or joins.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_MOST_NAMED = 3
_MOST_DIGITS = 40  # of a whole number; Python refuses to write one of thousands


def shown(text: str, *, most: int = MOST) -> str:
    r"""Return a string as it is shown in one line: what cannot be seen, or is obeyed, as an escape like ``\x1b``.

    Parameters
    ----------
    text
        What somebody else wrote, or a message that quotes it.
    most
        How many characters it may have; the middle of a longer one is cut out.
    """
    if len(text) <= most and text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text)):
        return text
    if len(text) > most:  # before it is looked at: it may have millions
        text = _without_middle(text, most)
    return _without_middle("".join(map(_seen, text)), most)


def shown_lines(text: str, *, most: int = MOST, most_lines: int = MOST_LINES) -> str:
    """Return a text of several lines as it is shown, each line as :func:`shown` has it.

    Parameters
    ----------
    text
        The text.
    most
        How many characters a line may have.
    most_lines
        How many lines; of more, the number of those that are left out is said.
    """
    lines = text.split("\n", most_lines)
    if len(lines) > most_lines:
        lines[-1] = f"… and {lines[-1].count(chr(10)) + 1:,} lines more"
    return "\n".join(shown(line, most=most) for line in lines)


def is_seen(character: str) -> bool:
    """Return whether a character is shown as it is: not one that is invisible or that a terminal obeys."""
    if character in _INVISIBLE:
        return False
    return character.isprintable() or unicodedata.category(character) == _SPACES


def some_of(names: Sequence[str]) -> str:
    """Return the first few of names that strangers chose, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(quote, names[:_MOST_NAMED])) + more


def quote(value: object) -> str:
    """Return a value as TOML would write it, fit to be shown."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
        return f"a whole number of more than {_MOST_DIGITS} digits"
    return f'"{shown(value)}"' if isinstance(value, str) else shown(_written(value))


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Return a hint at the candidate that is most like a word; nothing where none is."""
    close = get_close_matches(shown(word), list(candidates), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""


def size(amount: float) -> str:
    """Return an amount of bytes in words, with two digits: "7.3 GB"."""
    units = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
    place = 0
    while amount >= 999.5 and place < len(units) - 1:
        amount /= 1000
        place += 1
    return f"{amount:.1f} {units[place]}" if amount < 9.95 and place else f"{amount:,.0f} {units[place]}"


def duration_in_words(seconds: float) -> str:
    """Return a time in words, roughly: "about 4 minutes"."""
    for unit, length in (("year", 3.15e7), ("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 1.5 * length:
            return f"about {seconds / length:,.0f} {unit}s"
    return f"about {seconds:.0f} seconds"


def _written(value: object) -> str:
    try:
        return str(value)
    except (ValueError, RecursionError):  # a whole number in it is too long, or it is nested too deeply
        return f"a {type(value).__name__} that is too large to be shown"


def _without_middle(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = (most - len(_CUT)) // 2
    return text[:head] + _CUT + text[len(text) - (most - len(_CUT) - head) :]


def _seen(character: str) -> str:
    if is_seen(character):
        return character
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
