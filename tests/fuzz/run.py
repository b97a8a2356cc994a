"""``python -m tests.fuzz.run TARGET --inputs N --seed S``: feed a target, in a process of its own.

What fails is written to a file beside the message, for `corpus/`. An input may take ten seconds; memory may grow by
what a dozen of them take.
"""

import argparse
import itertools
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from time import monotonic
from types import FrameType

from tests.fuzz.mutation import inputs
from tests.fuzz.targets import TARGETS, Target, kept

_PATIENCE = 10  # seconds
_WARM = 2_000  # inputs after which everything has been imported, compiled and cached
_GROWTH = 60_000_000  # bytes


class HangError(Exception):
    """An input took too long."""


def feed(target: Target, content: bytes) -> None:
    """Feed a target, and say with which input it failed.

    Raises
    ------
    AssertionError
        If it raised anything, or hung.
    """
    try:
        with _patience():
            target.feed(content)
    except Exception as error:
        shown = content if len(content) < 400 else content[:300] + b" ... " + content[-90:]
        raise AssertionError(f"{type(error).__name__}: {error}\nfor {len(content)} bytes: {shown!r}") from error


@contextmanager
def _patience() -> Iterator[None]:
    def give_up(number: int, frame: FrameType | None) -> None:
        raise HangError(f"it took more than {_PATIENCE} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(name: str, number: int, seed: int, seconds: float) -> int:
    """Feed a target with so many inputs, or for so long; return how many it was."""
    warnings.simplefilter("error")  # nor may NumPy complain
    target, began, grown_from = TARGETS[name], monotonic(), 0
    source = itertools.chain(kept(name), inputs(target, Random(seed)))  # noqa: S311 (repeatable is what it has to be)
    for done, content in enumerate(itertools.islice(source, number)):
        if done == _WARM:
            grown_from = _most_memory()
        if monotonic() - began > seconds:
            return done
        try:
            feed(target, content)
        except AssertionError:
            Path(f"{name}-failed-{seed}-{done}").write_bytes(content)
            raise
    growth = _most_memory() - grown_from if grown_from else 0
    assert growth < _GROWTH, f"{name}: {growth:,} bytes more after {number:,} inputs"
    return number


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600)
    given = parser.parse_args()
    print(run(given.target, given.inputs, given.seed, given.seconds))  # noqa: T201 (data)
