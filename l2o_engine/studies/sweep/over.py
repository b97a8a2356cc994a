"""What a study varies: values of settings in every combination, or points drawn between bounds."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import exp, floor, isfinite, log, prod

import numpy as np

from l2o_engine.presets.files import setting_of
from l2o_engine.support.arrays import Doubles
from l2o_engine.support.errors import UserError
from l2o_engine.support.wording import shown

MOST_JOBS = 100_000
"""Runs of a study."""
_DIGITS = 4  # of a number that is drawn, so that what is shown of it is all of it
_RANGE = re.compile(r"([^:\[\]{}\"']+):([^:\[\]{}\"']+)(:log)?")
_OPENING, _CLOSING = "[{(", "]})"


class SweepError(UserError):
    """A study that cannot be run. The message is meant for the user."""


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds, both of them included.

    Attributes
    ----------
    low, high
        The bounds.
    is_log
        Whether every order of magnitude counts alike.
    is_whole
        Whether they are whole numbers.
    """

    low: float
    high: float
    is_log: bool
    is_whole: bool

    def at(self, share: float) -> float | int:
        """Return the number that lies at a share, 0 ≤ share < 1, of the way; four digits of one that is not whole."""
        if self.is_whole:
            low, high = self.low, self.high + 1  # each whole number has as much room
            value = exp(log(low) + share * (log(high) - log(low))) if self.is_log else low + share * (high - low)
            return int(min(floor(value), self.high))
        if self.is_log:
            value = exp(log(self.low) + share * (log(self.high) - log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        return float(min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high))


@dataclass(frozen=True)
class Over:
    """A setting and what it is given.

    Attributes
    ----------
    key
        "table.key".
    values
        As TOML has them, or plain strings: what may stand behind ``--set table.key=``.
    range
        In place of values, the numbers between which points are drawn.
    """

    key: str
    values: tuple[str, ...] = ()
    range: Range | None = None

    @property
    def said(self) -> str:
        """What it is given, as it is typed."""
        if self.range is None:
            return ",".join(self.values)
        ends = [_typed(end, is_whole=self.range.is_whole) for end in (self.range.low, self.range.high)]
        return ":".join([*ends, *(["log"] if self.range.is_log else [])])

    def at(self, share: float) -> str:
        """Return the value at a share, 0 ≤ share < 1, of what there is."""
        if self.range is None:
            return self.values[floor(share * len(self.values))]
        return setting_of(self.key, self.range.at(share)).partition("=")[2]


def _typed(value: float, *, is_whole: bool) -> str:
    return str(int(value)) if is_whole else repr(value)


def parse_over(text: str) -> Over:
    """Return what ``--over table.key=a,b,c``, or ``--over table.key=low:high:log``, asks for.

    Raises
    ------
    SweepError
        If it is neither.
    """
    key, equals, said = text.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise SweepError(
            f"--over {text}: write it as table.key=a,b,c, for example --over meta.learning_rate=1e-4,3e-4; "
            "or, for --random and --latin, as table.key=low:high or table.key=low:high:log"
        )
    return over_of(key.strip(), said, f"--over {text}")


def over_of(key: str, said: str, source: str) -> Over:
    """Return what a text behind a setting's name asks for; see :func:`parse_over`.

    Parameters
    ----------
    key
        "table.key".
    said
        The values, with commas between them, or the range.
    source
        What messages name.

    Raises
    ------
    SweepError
        If it is neither.
    """
    found = _range(said.strip(), source)
    if found is not None:
        return Over(key, range=found)
    values = tuple(dict.fromkeys(part.strip() for part in _parts(said)))
    if not all(values):
        raise SweepError(f"{source}: a value is missing")
    return Over(key, values)


def _range(said: str, source: str) -> Range | None:
    match = _RANGE.fullmatch(said)
    if match is None:
        return None
    low, high = (_number(part) for part in match.groups()[:2])
    if low is None or high is None:  # a string with a colon, like "cuda:1"
        return None
    is_log = match[3] is not None
    is_whole = isinstance(low, int) and isinstance(high, int)
    if not (isfinite(low) and isfinite(high) and low < high):
        raise SweepError(f"{source}: the bounds must be numbers, the first below the second")
    if is_log and low <= 0:
        raise SweepError(f"{source}: with :log the bounds must be above 0")
    return Range(float(low), float(high), is_log, is_whole)


def _number(text: str) -> float | int | None:
    for kind in (int, float):
        try:
            value = kind(text.strip().replace("_", ""))
            _ = float(value)  # a whole number may be too large to be reckoned with
            return value
        except (ValueError, OverflowError):
            continue
    return None


def _parts(said: str) -> Iterator[str]:
    """Yield what stands between commas: not those in brackets or quotes."""
    part, depth, quoted = "", 0, ""
    for character in said:
        if quoted:
            quoted = "" if character == quoted else quoted
        elif character in "\"'":
            quoted = character
        else:
            depth += (character in _OPENING) - (character in _CLOSING)
        if character == "," and not depth and not quoted:
            yield part
            part = ""
        else:
            part += character
    yield part


def check_overs(overs: Sequence[Over], *, draws: bool) -> None:
    """Make sure that settings can be varied together.

    Parameters
    ----------
    overs
        What is varied.
    draws
        Whether points are drawn.

    Raises
    ------
    SweepError
        If one is named twice, or is a range where no points are drawn.
    """
    keys = [over.key for over in overs]
    for key in keys:
        if keys.count(key) > 1:
            raise SweepError(f"{shown(key)} is varied twice; give all its values at once: {shown(key)}=a,b,c")
    ranges = [over for over in overs if over.range is not None]
    if ranges and not draws:
        raise SweepError(
            f"{ranges[0].key}={ranges[0].said} is a range: say how many points, --random N or --latin N, or list values"
        )


def combinations(overs: Sequence[Over]) -> list[tuple[str, ...]]:
    """Return every combination of values, as settings "table.key=value"; the last key changes first.

    Raises
    ------
    SweepError
        If there are more than :data:`MOST_JOBS`.
    """
    check_overs(overs, draws=False)
    check_number(prod(len(over.values) for over in overs))
    each = ([f"{over.key}={value}" for value in over.values] for over in overs)
    return list(product(*each))


def check_number(number: int) -> None:
    """Refuse more runs than a study may have, before any of them is made.

    Raises
    ------
    SweepError
        If there are more than :data:`MOST_JOBS`.
    """
    if number > MOST_JOBS:
        raise SweepError(f"that would be {number:,} runs; a study has {MOST_JOBS:,} at most")


def drawn(overs: Sequence[Over], number: int, *, seed: int, is_latin: bool) -> list[tuple[str, ...]]:
    """Return so many drawn points, as settings "table.key=value", each once.

    Parameters
    ----------
    overs
        What is varied: ranges, and lists of which one value is drawn.
    number
        How many points; of random ones the first are the same whatever the number.
    seed
        Decides the draws.
    is_latin
        Whether they are a Latin hypercube, else independent and uniform.

    Raises
    ------
    SweepError
        If there are more than :data:`MOST_JOBS`.
    """
    check_overs(overs, draws=True)
    check_number(number)
    generator = np.random.default_rng(seed)
    shares = latin_hypercube(generator, number, len(overs)) if is_latin else generator.random((number, len(overs)))
    points = (
        tuple(f"{over.key}={over.at(share)}" for over, share in zip(overs, row, strict=True)) for row in shares.tolist()
    )
    return list(dict.fromkeys(points))


def latin_hypercube(generator: np.random.Generator, number: int, dims: int) -> Doubles:
    """Return points [number, dims] in [0, 1): of each dimension's ``number`` equal parts every one has one point.

    McKay, Beckman and Conover, "A Comparison of Three Methods for Selecting Values of Input Variables in the Analysis
    of Output from a Computer Code", Technometrics 21 (1979): a random permutation of the parts for each dimension,
    and in its part each point where chance will have it.
    """
    parts = np.stack([generator.permutation(number) for _ in range(dims)], axis=1) if dims else np.zeros((number, 0))
    points: Doubles = (parts + generator.random((number, dims))) / max(number, 1)
    return np.minimum(points, np.nextafter(1.0, 0.0))  # a sum just below a part's end may be rounded up to 1
