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
