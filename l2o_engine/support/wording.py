"""How values and near misses are put into words, the same in every message."""

from collections.abc import Iterable
from difflib import get_close_matches


def quote(value: object) -> str:
    """Return a value as TOML would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Return a hint at the candidate that is most like a word; nothing where none is."""
    close = get_close_matches(word, list(candidates), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""
