"""Inputs made of good ones: cut, repeated, flipped, put together anew, and words of the format put in."""

from collections.abc import Callable, Iterator, Sequence
from random import Random

from tests.fuzz.targets import Target

_MOST_BYTES = 60_000  # of an input; what is larger is no other case

Mutation = Callable[[Random, bytearray, Target, Sequence[bytes]], None]


def inputs(target: Target, random: Random) -> Iterator[bytes]:
    """Yield inputs without end, as a generator of random numbers decides; the good ones come first."""
    good = target.good()
    yield from good
    yield b""
    while True:
        data = bytearray(random.choice(good))
        for _ in range(min(random.getrandbits(3), random.getrandbits(3)) + 1):
            random.choice(_MUTATIONS)(random, data, target, good)
        yield bytes(data[:_MOST_BYTES])


def _span(random: Random, data: bytearray) -> slice:
    """Return a part of the data, mostly a short one."""
    first = random.randint(0, len(data))
    return slice(first, first + random.choice((1, 1, 4, 30, 1000)))


def _flip(random: Random, data: bytearray, target: Target, good: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _replace(random: Random, data: bytearray, target: Target, good: Sequence[bytes]) -> None:
    data[_span(random, data)] = random.randbytes(random.randrange(6))


def _delete(random: Random, data: bytearray, target: Target, good: Sequence[bytes]) -> None:
    del data[_span(random, data)]


def _repeat(random: Random, data: bytearray, target: Target, good: Sequence[bytes]) -> None:
    span = _span(random, data)
    data[span] = data[span] * random.choice((2, 3, 50))


def _put_word(random: Random, data: bytearray, target: Target, good: Sequence[bytes]) -> None:
    place = random.randint(0, len(data))
    data[place:place] = random.choice(target.words)


def _put_number(random: Random, data: bytearray, target: Target, good: Sequence[bytes]) -> None:
    """Put a word in the place of a number, or of what stands between two signs."""
    places = [place for place, byte in enumerate(data) if byte in b"=:,"]
    if places:
        first = random.choice(places) + 1
        last = next((place for place in range(first, len(data)) if data[place] in b",\n}"), len(data))
        data[first:last] = random.choice(target.words)


def _move_line(random: Random, data: bytearray, target: Target, good: Sequence[bytes]) -> None:
    lines = bytes(data).split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    if random.getrandbits(1):
        lines.insert(random.randint(0, len(lines)), line)
    data[:] = b"\n".join(lines)


def _join(random: Random, data: bytearray, target: Target, good: Sequence[bytes]) -> None:
    other = random.choice(good)
    data[random.randint(0, len(data)) :] = other[random.randint(0, len(other)) :]


def _cut(random: Random, data: bytearray, target: Target, good: Sequence[bytes]) -> None:
    del data[random.randint(0, len(data)) :]


_MUTATIONS: Sequence[Mutation] = (
    _flip,
    _replace,
    _delete,
    _repeat,
    _put_word,
    _put_word,
    _put_number,
    _put_number,
    _move_line,
    _join,
    _cut,
)
