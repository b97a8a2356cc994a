"""What a series is told from the others by. An optimizer keeps its colour and its marker wherever it is drawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, islice
from zlib import crc32

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED

COLOURS = 8
TINTS = 6
MARKERS = "●▲■◆▼○△□"
PLAIN_MARKERS = "*+#xoa%@"
POINT, PLAIN_POINT = "×", "X"
_DIGITS = "0123456789"

# Places of optimizers by name. Those of any other name follow from the name, so that every preset has the same.
_KNOWN = {LEARNED: 0, "SGD": 1, "RMSProp": 2, "Momentum": 3, "Adam": 4}
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
            first = len(_KNOWN) + crc32(name.encode()) % (_PLACES - len(_KNOWN))
            taken = set(places.values())
            places[name] = next(place for place in count(first) if place not in taken)
    return {name: Style(places[name]) for name in names}


def run_styles(number: int, taken: Iterable[Style]) -> Sequence[Style]:
    """Return styles for so many runs of one optimizer: the first ones that no other series of the picture has."""
    used = {style.place for style in taken}
    return list(islice((Style(place) for place in count() if place not in used), number))
