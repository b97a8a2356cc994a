"""Numbers as people read them: the notebook's notations, durations, ages."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite, isnan
from pathlib import Path

_WHOLE = re.compile(
    r"(?P<digits>-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9](?:_?[0-9]){0,22})(?:\.[0-9]{1,5})?)"
    r"(?:e\+?(?P<exponent>[0-9]{1,2})|(?P<suffix>[kMG]))?",
    re.IGNORECASE,
)
_POWERS = {"": 0, "k": 3, "m": 6, "g": 9}


def fixed(value: float | None, decimals: int = 2) -> str:
    """Return a number with so many decimals, as the notebook prints averages; nothing for None."""
    return "" if value is None else f"{value:.{decimals}f}"


def scientific(value: float | None) -> str:
    """Return a number like 2.59E-01, as the notebook prints losses; nothing for None."""
    if value is None:
        return ""
    return f"{value:.2E}" if isfinite(value) else f"{value}"


def count(value: int) -> str:
    """Return a whole number with thousands set apart."""
    return f"{value:,}"


def counted_as(number: int, what: str) -> str:
    """Return how many there are of what, in the plural where it is not one: "1 run", "1,000 runs"."""
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def whole_number(text: str) -> int:
    """Return a whole number as people write it: 1000000, 1,000,000, 1_000_000, 1e6, 1M, 100k.

    Raises
    ------
    ValueError
        If it is none. The message is meant for the user.
    """
    found = _WHOLE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'"{text.strip()}" is not a whole number')
    digits, exponent, suffix = found["digits"].replace(",", "").replace("_", ""), found["exponent"], found["suffix"]
    value = Decimal(digits).scaleb(int(exponent or 0) + _POWERS[(suffix or "").lower()])
    if value != value.to_integral_value():
        raise ValueError(f'"{text.strip()}" is not a whole number')
    return int(value)


def rate(per_second: float) -> str:
    """Return a rate of meta-iterations."""
    if not isfinite(per_second):
        return "– it/s"
    return f"{per_second:,.0f} it/s" if per_second >= 10 else f"{per_second:.1f} it/s"


def duration(seconds: float) -> str:
    """Return a duration in its two greatest units; "–" where it is not known."""
    if isnan(seconds) or seconds < 0 or seconds > 1e9:
        return "–"
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours:02}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    if minutes:
        return f"{minutes}m {whole % 60:02}s"
    return f"{seconds:.1f}s" if seconds < 10 else f"{whole}s"


def loss_sum(value: float) -> str:
    """Return a summed loss, in three digits or more until it has exploded; "–" where there is none."""
    if isnan(value) or abs(value) < 1000:
        return "–" if isnan(value) else fixed(value)
    return f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.1e}"


def age(moment: str) -> str:
    """Return how long ago a moment in ISO format was."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    return f"{duration(max(seconds, 0))} ago" if seconds >= 1 else "now"


def compact(value: float) -> str:
    """Return a number in as few characters as say it: 100k, 1.5M."""
    rounded = float(f"{value:.3g}")  # first, so that 999,999 is 1M
    if abs(rounded) >= 1e12:
        return f"{rounded:.0e}".replace("e+", "e")
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(rounded) >= limit:
            return f"{rounded / limit:g}{suffix}"
    return f"{rounded:g}"


def relative(path: str) -> str:
    """Return a path as one would type it from here: relative if it lies below."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (OSError, ValueError):  # there is no "here" any more, or it does not lie below
        return path
