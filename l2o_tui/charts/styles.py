"""What a series is told from the others by. An optimizer keeps its colour and its marker wherever it is drawn."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from zlib import crc32

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED

COLOURS = 8
TINTS = 6
MARKERS = "●▲■◆▼○△□"
PLAIN_MARKERS = "*+#xoa%@"
POINT, PLAIN_POINT = "×", "X"
_DIGITS = "0123456789"

# Places of optimizers by name. Those of any other name follow from the name, so that every preset has the same; the
# colour of the learned one, which is in nearly every picture, is its own.
_KNOWN = {LEARNED: 0, "SGD": 1, "RMSProp": 2, "Momentum": 3, "Adam": 4}
_PLACES = COLOURS * len(MARKERS)
_OTHERS = [place for place in range(len(_KNOWN), _PLACES) if place % COLOURS != _KNOWN[LEARNED]]


@dataclass(frozen=True)
class Style:
    """The colour and the marker of a series.

    Attributes
    ----------
    place
        Which of the styles it is; the first 64 all differ, by colour or by marker.
    seed
        Of which replicate of that series, by number; None for the series itself. Replicates have tints of its colour.
    """

    place: int
    seed: int | None = None

    @property
    def colour(self) -> int:
        """Which of the colours of a palette it has."""
        return self.place % COLOURS

    @property
    def tint(self) -> int | None:
        """Which tint of the colour a replicate has."""
        return None if self.seed is None else self.seed % TINTS

    def marker(self, *, plain: bool = False) -> str:
        """Return what is drawn along the line, and before its name; a plain one is of ASCII."""
        if self.seed is not None:
            return _DIGITS[self.seed % len(_DIGITS)]
        markers = PLAIN_MARKERS if plain else MARKERS
        return markers[(self.place + self.place // len(markers)) % len(markers)]


def optimizer_styles(names: Iterable[str]) -> dict[str, Style]:
    """Return the style of each optimizer: the same in every picture, but where two unknown names would share one."""
    names = list(dict.fromkeys(names))
    places = {name: _KNOWN[name] for name in names if name in _KNOWN}
    for name in names:
        if name not in places:
            first = crc32(name.encode()) % len(_OTHERS)
            taken = set(places.values())
            wanted = chain(_OTHERS[first:], _OTHERS[:first], count(_PLACES))
            places[name] = next(place for place in wanted if place not in taken)
    return {name: Style(places[name]) for name in names}


def run_styles(number: int, taken: Collection[Style]) -> Sequence[Style]:
    """Return styles for so many runs of one optimizer: those of colours that no other series of the picture has first.

    Where there are more runs than such colours, they differ from all others by their markers.
    """
    used, colours = {style.place for style in taken}, {style.colour for style in taken}
    fresh = [place for place in range(COLOURS) if place not in colours]
    wanted = chain(fresh, (place for place in count() if place not in used and place not in fresh))
    return [Style(place) for place in islice(wanted, number)]
