"""How values and near misses are put into words, the same in every message."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_MOST_NAMED = 3


def some_of(names: Sequence[str]) -> str:
    """Return the first few of names that strangers chose, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(ascii, names[:_MOST_NAMED])) + more


def quote(value: object) -> str:
    """Return a value as TOML would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Return a hint at the candidate that is most like a word; nothing where none is."""
    close = get_close_matches(word, list(candidates), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""
