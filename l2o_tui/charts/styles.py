"""What a series is told from the others by. An optimizer keeps its colour and its marker wherever it is drawn."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from zlib import crc32

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED

COLOURS = 8
TINTS = 6
MARKERS = "●▲■◆▼○△□"
PLAIN_MARKERS = "*+#xoa%@"
POINT, PLAIN_POINT = "×", "X"
HELD_OUT, PLAIN_HELD_OUT = "+", "t"
_DIGITS = "0123456789"

# Places of optimizers by name. Those of any other name follow from the name, so that every preset has the same.
_KNOWN = {LEARNED: 0, "SGD": 1, "RMSProp": 2, "Momentum": 3, "Adam": 4}
_USUAL = [_KNOWN[name] for name in (LEARNED, "SGD", "RMSProp")]  # nearly every picture has them
_PLACES = COLOURS * len(MARKERS)


@dataclass(frozen=True)
class Style:
    """The colour and the marker of a series.

    Attributes
    ----------
    place
        Which of the styles it is; the first 64 all differ, by colour or by marker.
    seed
        Of which replicate of that series, by number; None for the series itself. Replicates have tints of its colour.
    is_held_out
        Whether it is that series over held-out data: of the same colour.
    """

    place: int
    seed: int | None = None
    is_held_out: bool = False

    @property
    def colour(self) -> int:
        """Which of the colours of a palette it has."""
        return self.place % COLOURS

    @property
    def shape(self) -> int:
        """Which of the markers it has."""
        return (self.place + self.place // len(MARKERS)) % len(MARKERS)

    @property
    def tint(self) -> int | None:
        """Which tint of the colour a replicate has."""
        return None if self.seed is None else self.seed % TINTS

    def marker(self, *, plain: bool = False) -> str:
        """Return what is drawn along the line, and before its name; a plain one is of ASCII."""
        if self.is_held_out:
            return PLAIN_HELD_OUT if plain else HELD_OUT
        if self.seed is not None:
            return _DIGITS[self.seed % len(_DIGITS)]
        return (PLAIN_MARKERS if plain else MARKERS)[self.shape]


def optimizer_styles(names: Iterable[str]) -> dict[str, Style]:
    """Return the style of each optimizer: the same in every picture, but where unknown names would look alike."""
    names = list(dict.fromkeys(names))
    places = {name: _KNOWN[name] for name in names if name in _KNOWN}
    for name in names:
        if name not in places:
            others = [place for place in _apart(range(_PLACES), _USUAL) if place not in _KNOWN.values()]
            first = crc32(name.encode()) % len(others)
            places[name] = _first_apart([*others[first:], *others[:first]], places.values())
    return {name: Style(places[name]) for name in names}


def run_styles(number: int, taken: Iterable[Style]) -> Sequence[Style]:
    """Return styles for so many runs of one optimizer: none that another series of the picture has.

    While there are such, they have colours and markers that no other series has either.
    """
    places = [style.place for style in taken]
    others = len(places)
    for _ in range(number):
        places.append(_first_apart(range(_PLACES), places))
    return [Style(place) for place in places[others:]]


def _first_apart(wanted: Sequence[int], taken: Collection[int]) -> int:
    """Return the first place with a colour and a marker that none of those taken has, else the first that is free."""
    places = chain(_apart(wanted, taken), wanted, count(_PLACES))
    return next(place for place in places if place not in taken)


def _apart(wanted: Iterable[int], taken: Iterable[int]) -> list[int]:
    """Return the places that have neither the colour nor the marker of any of those taken."""
    styles = [Style(place) for place in taken]
    colours, shapes = {style.colour for style in styles}, {style.shape for style in styles}
    there = [(place, Style(place)) for place in wanted]
    return [place for place, style in there if style.colour not in colours and style.shape not in shapes]
