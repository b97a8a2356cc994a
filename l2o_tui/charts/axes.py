"""What of the axes is in view, and where their ticks are: decades, round numbers, whole numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10, nan

import numpy as np

from l2o_engine.support.arrays import Doubles, Integers
from l2o_tui.text.numbers import compact

_FEW_DECADES = 0.9  # below which 1, 2 and 5 times powers of ten are too few ticks
_PLAIN = 4  # decades from 1 on, either way, within which a number is written without an exponent


@dataclass(frozen=True)
class Span:
    """A part of the x axis."""

    left: float
    right: float

    @property
    def width(self) -> float:
        """How much it covers."""
        return self.right - self.left

    def holds(self, x: float) -> bool:
        """Return whether x is in it."""
        return self.left <= x <= self.right

    def zoomed(self, factor: float, about: float, whole: "Span", least: float) -> "Span":
        """Return the span with its width divided by a factor, ``about`` staying where it is on the screen.

        It stays within ``whole``; what would be narrower than ``least`` stays as it is.
        """
        width = self.width / factor
        if width >= whole.width:
            return whole
        if width < least:
            return self
        share = (about - self.left) / self.width
        left = about - share * width
        return Span(left, left + width).within(whole)

    def moved(self, by: float, whole: "Span") -> "Span":
        """Return the span moved, but not beyond ``whole``."""
        return Span(self.left + by, self.right + by).within(whole)

    def within(self, whole: "Span") -> "Span":
        """Return the span, as wide as it is, moved into ``whole``; all of that if it is wider."""
        if self.width >= whole.width:
            return whole
        left = min(max(self.left, whole.left), whole.right - self.width)
        return Span(left, left + self.width)


@dataclass(frozen=True)
class Ticks:
    """Where an axis has ticks, and what is written beside each."""

    places: tuple[float, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class XAxis:
    """Meta-iterations or base steps: whole numbers.

    Attributes
    ----------
    name
        Written below.
    counted
        What the cursor says before the number that it is at.
    whole, view
        What there is, and what is drawn.
    newest
        Where the data ends.
    """

    name: str
    counted: str
    whole: Span
    view: Span
    newest: float

    def ticks(self, most: int) -> Ticks:
        """Return ticks at whole, round numbers, so many at most."""
        return even_ticks(self.view.left, self.view.right, most, least=1)

    def edges(self, columns: int) -> Doubles:
        """Return the ends [columns + 1] of so many columns."""
        return np.linspace(self.view.left, self.view.right, columns + 1)

    def columns_of(self, x: Doubles | Integers | Sequence[float], columns: int) -> Integers:
        """Return which of so many columns each x lies in, the nearest one if it is not in view."""
        # Of the same numbers as the edges, so that what lies on one lies in the column that it ends.
        found: Integers = np.clip(np.searchsorted(self.edges(columns), x) - 1, 0, columns - 1)
        return found

    def column_of(self, x: float, columns: int) -> int:
        """Return which of so many columns x lies in, the nearest one if it is not in view."""
        return int(self.columns_of([x], columns)[0])


@dataclass(frozen=True)
class YAxis:
    """Losses, by their logarithm or as they are.

    Attributes
    ----------
    logarithmic
        Whether heights are log10 of losses.
    low, high
        The heights that it holds.
    """

    logarithmic: bool
    low: float
    high: float

    @classmethod
    def holding(cls, logs: Doubles, *, logarithmic: bool) -> "YAxis":
        """Return an axis that holds what is finite of some log10 losses; from 0.1 to 1 if there is nothing.

        It ends at decades, or else at round numbers, so that it seldom changes while a run goes on.
        """
        axis = cls(logarithmic, nan, nan)
        heights = axis.heights(logs)
        held = heights[np.isfinite(heights)]
        if not held.size:
            held = axis.heights(np.array([-1.0, 0.0]))
        low, high = float(held.min()), float(held.max())
        if not logarithmic:
            return cls(False, 0.0, _round_end(high))
        if high - low >= 2:
            return cls(True, float(floor(low)), float(ceil(high)))
        step = round_up(max(high - low, 0.01) / 4)
        first, last = floor(low / step) * step, ceil(high / step) * step
        return cls(True, first, last) if first < last else cls(True, low - step, high + step)

    def heights(self, logs: Doubles) -> Doubles:
        """Return where log10 losses lie; what cannot be drawn is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            return logs if self.logarithmic else 10**logs

    def height(self, log: float) -> float:
        """Return where a log10 loss lies."""
        return float(self.heights(np.array([log]))[0])

    def ticks(self, most: int) -> Ticks:
        """Return ticks, so many at most: at decades, or, where these would be too few, at round numbers."""
        if not self.logarithmic:
            return even_ticks(self.low, self.high, most)
        if self.high - self.low >= 2:
            return decade_ticks(round(self.low), round(self.high), most)
        return number_ticks(self.low, self.high, most)


def decade_ticks(low: int, high: int, most: int) -> Ticks:
    """Return ticks at powers of ten, as exponents: at most so many, at even distances."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if (high - low) / step < most)
    places = tuple(float(tick) for tick in range(ceil(low / step) * step, high + 1, step))
    return Ticks(places, tuple(map(_power, places)))


def number_ticks(low: float, high: float, most: int) -> Ticks:
    """Return ticks of a logarithmic axis of less than two decades, at the logarithms of round numbers."""
    exponent = floor(low)
    least, greatest = 10 ** (low - exponent), 10 ** (high - exponent)  # low and high themselves may be no numbers
    if high - low < _FEW_DECADES:
        numbers: Sequence[float] = even_ticks(least, greatest, max(2 * most // 3, 3)).places
    else:
        numbers = [factor * power for power in (1.0, 10.0, 100.0) for factor in (1, 2, 5)]
        numbers = [number for number in numbers if least <= number <= greatest][:: -(-len(numbers) // most) or 1]
    return Ticks(
        tuple(exponent + log10(number) for number in numbers),
        tuple(_label_of(number, exponent) for number in numbers),
    )


def even_ticks(low: float, high: float, most: int, *, least: float = 0.0) -> Ticks:
    """Return ticks at round numbers at even distances, at most so many, and no nearer to one another than ``least``."""
    step = max(round_up((high - low) / most), least)
    places = tuple(float(f"{tick * step:.10g}") for tick in range(ceil(low / step), floor(high / step) + 1))
    labels = tuple(map(compact, places))
    if len(set(labels)) < len(labels):  # near to one another, far from 0
        labels = tuple(f"{tick:,.10g}" for tick in places)
    return Ticks(places, labels)


def round_up(value: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    magnitude = 10.0 ** floor(log10(value))
    return next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= value)


def _round_end(high: float) -> float:
    """Return a round number above a greatest height; above 10^307 there may be none."""
    if high <= 0:
        return 1.0
    rounded = round_up(high)
    return rounded if np.isfinite(rounded) else high


def _label_of(number: float, exponent: int) -> str:
    """Return how a number times a power of ten is written."""
    own = floor(log10(number))
    if -_PLAIN <= own + exponent <= _PLAIN:
        return f"{number * 10.0**exponent:.6g}"
    return f"{number / 10**own:.6g}e{own + exponent:+d}"


def _power(exponent: float) -> str:
    return f"1e{exponent:+g}" if exponent else "1"
