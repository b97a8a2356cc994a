"""What a formula says, for so many coordinates and such parameters: an expression, a tree of operations.

All that a tree of the grammar (:mod:`.grammar`) names is looked up: sums are written out, indices become coordinates,
and what is computed of constants alone is a constant, in float64. Each number, name and operation is counted as it is
written, those of an index too, so what is too large is refused before it is made: SymPy (:mod:`.derivatives`) gets
expressions that it can differentiate, without a whole number above the exponents'.

A power to a whole number becomes products, u**0 is 1, at 0 as well, and a power n + 1/2 is u**n·sqrt(u). Other powers
are of bases above 0: below it they are NaN, and their derivatives are infinite at 0.
"""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from itertools import accumulate
from typing import NoReturn

from l2o_engine.support.settings import SettingError
from l2o_engine.support.wording import nearest, quote, some_of
from l2o_engine.tasks.formula.grammar import (
    DIMS,
    FUNCTIONS,
    POINT,
    RESERVED,
    Call,
    Chain,
    Element,
    FormulaError,
    Name,
    Negative,
    Node,
    Number,
    Power,
    Sum,
    parse,
)

MOST_DIMS = 32
"""Coordinates of a formula: each is written out in the code that is generated."""
MOST_STEPS = 2000
"""Numbers, names and operations of a formula whose sums are written out."""
MOST_WORK = 300_000
"""Of :attr:`Operation.work`: what takes about a second to differentiate (2.2 at the worst that we found)."""
MOST_LEVELS = 40
"""Of operations within one another: SymPy, and who differentiates, call themselves several times for each."""
MOST_EXPONENT = 100
"""Of a constant exponent's magnitude: a whole one becomes products."""
_MOST_INDEX = 1_000_000  # of what an index is computed with
_DIGITS = 7  # of a whole number in an index

_VALUES = {"pi": math.pi, "e": math.e}


@dataclass(frozen=True)
class Operation:
    """An operation, or what it starts from.

    Attributes
    ----------
    name
        "number" (of value ``detail``), "coordinate" or "parameter" (number ``detail``), a function of
        :data:`~l2o_engine.tasks.formula.grammar.FUNCTIONS`, "add" (two or more), "negate", "multiply", "divide",
        "power" (to the whole number ``detail`` ≥ 2) or "real_power".
    operands
        What it is of.
    detail
        See the names.
    """

    name: str
    operands: "tuple[Operation, ...]" = ()
    detail: float = 0.0

    @property
    def value(self) -> float | None:
        """The value of a constant; None of anything else."""
        return self.detail if self.name == "number" else None

    @property
    def moves(self) -> bool:
        """Whether it depends on a coordinate."""
        return self.coordinates != 0

    # What there will be to do with it. These are kept: each is made of the operands' own.

    @cached_property
    def coordinates(self) -> int:
        """Which ones it depends on: a bit each."""
        if self.name == "coordinate":
            return 1 << int(self.detail)
        return reduce(operator.or_, (operand.coordinates for operand in self.operands), 0)

    @cached_property
    def levels(self) -> int:
        """How many operations stand within one another."""
        return 1 + max(operand.levels for operand in self.operands) if self.operands else 0

    @cached_property
    def size(self) -> int:
        """How many operations, numbers and names it is written with."""
        return 1 + sum(operand.size for operand in self.operands)

    @cached_property
    def slope_size(self) -> int:
        """About how many its derivative along a direction is written with."""
        factor = 1 if self.name in ("add", "negate") else self.size
        return 1 + sum(operand.slope_size + factor for operand in self.operands if operand.moves)

    @cached_property
    def work(self) -> int:
        """About how much it is to differentiate twice: a slope is gone through for each of its coordinates."""
        if not self.operands:
            return 0
        gone_through = len(self.operands) if self.name == "add" else self.slope_size
        own = 400 + self.coordinates.bit_count() * gone_through
        return own + sum(operand.work for operand in self.operands)


@dataclass(frozen=True)
class Source:
    """What a formula's code is made of, and known by.

    Attributes
    ----------
    text
        The formula.
    dims
        Coordinates.
    parameters
        Name → how many numbers, 0 for one that is a number itself; in order.
    """

    text: str
    dims: int
    parameters: tuple[tuple[str, int], ...] = ()

    @property
    def numbers(self) -> int:
        """How many numbers the parameters have together."""
        return sum(length or 1 for _, length in self.parameters)

    @property
    def settings(self) -> tuple[str | int | float, ...]:
        """All of it, flat, as a kernel is known by."""
        return (self.text, self.dims, *(part for parameter in self.parameters for part in parameter))

    @classmethod
    def of(cls, settings: Sequence[str | int | float]) -> "Source":
        """Return the source of such :attr:`settings`."""
        text, dims, *parameters = settings
        pairs = zip(parameters[::2], parameters[1::2], strict=True)
        return cls(str(text), int(dims), tuple((str(name), int(length)) for name, length in pairs))


@lru_cache(maxsize=256)
def expression_of(source: Source) -> Operation:
    """Return what a formula says.

    Raises
    ------
    SettingError
        If the formula cannot be used; a :class:`~l2o_engine.tasks.formula.grammar.FormulaError` marks the place.
    """
    return _Writer(source).written(parse(source.text))


class _Writer:
    """Makes an expression of a tree of the grammar."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._steps = 0
        self._indices: dict[str, int] = {}  # of the sums that we are in
        self._lengths = dict(source.parameters)
        starts = accumulate((length or 1 for _, length in source.parameters), initial=0)
        self._starts = dict(zip(self._lengths, starts, strict=False))
        self._unused = {f"{POINT}[{i}]": i for i in range(source.dims)}
        self._unused_parameters = dict(self._lengths)

    def written(self, tree: Node) -> Operation:
        """Return a whole formula's expression."""
        loss = self._write(tree)
        if self._unused_parameters:
            raise SettingError("parameters", f"{next(iter(self._unused_parameters))} is nowhere in the loss")
        if not loss.moves:
            raise SettingError("loss", "does not depend on x")
        if self._unused:
            unused = next(iter(self._unused))
            raise SettingError("loss", f"{unused} is nowhere in it, and dims is {self._source.dims}")
        if loss.work > MOST_WORK:
            said = f"its derivatives take too long to find: {loss.work:,} steps or so, and {MOST_WORK:,} are the most"
            raise SettingError("loss", said)
        return loss

    def _write(self, node: Node) -> Operation:
        self._count(node)
        match node:
            case Number():
                found = self._constant(float(node.text), node)
            case Name():
                found = self._name(node)
            case Element():
                found = self._element(node)
            case Negative():
                found = self._applied("negate", node.at, self._write(node.operand))
            case Chain():
                found = self._write(node.operands[0])
                for sign, operand in zip(node.signs, node.operands[1:], strict=True):
                    right = self._write(operand)
                    if sign.text == "-":
                        right = self._applied("negate", sign.at, right)
                    found = self._applied(_SIGNS[sign.text], sign.at, found, right)
            case Power():
                found = self._power(node)
            case Call():
                found = self._applied(node.function, node.at, self._write(node.argument))
            case Sum():
                found = self._sum(node)
        return found

    def _applied(self, name: str, at: int, *operands: Operation, detail: float = 0.0) -> Operation:
        """Return an operation; constants must give a number, and nothing is divided by one that is 0."""
        values = [operand.value for operand in operands]
        if name == "divide" and values[1] == 0:
            self._fail("this divides by 0", at)
        if None not in values:
            return self._folded(name, at, values)
        if name in _NEUTRAL and _NEUTRAL[name] in values:
            return operands[1 - values.index(_NEUTRAL[name])]
        if name == "add" and operands[0].name == "add":  # a sum of many is one, so that it is not deep
            operands = (*operands[0].operands, *operands[1:])
        operation = Operation(name, operands, detail)
        if operation.levels > MOST_LEVELS:
            self._fail(f"more than {MOST_LEVELS} operations are within one another here", at)
        return operation

    def _folded(self, name: str, at: int, values: Sequence[float | None]) -> Operation:
        """Return the constant that an operation gives of constants."""
        try:
            value = float(_OF_NUMBERS[name](*values))
        except (ArithmeticError, ValueError):  # exp(1e9); log(-1)
            value = math.nan
        if not math.isfinite(value):
            self._fail("this is no finite number", at)
        return _number(value)

    def _constant(self, value: float, node: Node) -> Operation:
        if not math.isfinite(value):
            self._fail("this number is beyond float64", node.at)
        return _number(value)

    def _name(self, node: Name) -> Operation:
        name = node.name
        if name in _VALUES:
            return _number(_VALUES[name])
        if name == DIMS or name in self._indices:
            return _number(self._indices.get(name, self._source.dims))
        if name == POINT:
            self._fail(f"{POINT} is a list of coordinates: write one of them, such as {POINT}[0]", node.at)
        if name not in self._lengths:
            self._unknown(node)
        if self._lengths[name]:
            self._fail(f"{name} has {self._lengths[name]} numbers: write one of them, such as {name}[0]", node.at)
        return self._parameter(name, 0)

    def _element(self, node: Element) -> Operation:
        name = node.name
        length = self._source.dims if name == POINT else self._lengths.get(name)
        if length == 0 or name in self._indices or name in (*_VALUES, DIMS):
            self._fail(f"{name} is one number, without an index", node.at)
        if length is None:
            self._unknown(node)
        index = self._whole(node.index)
        if not 0 <= index < length:
            self._fail(f"{name}[{index}] is outside: there are {name}[0] to {name}[{length - 1}]", node.at)
        if name != POINT:
            return self._parameter(name, index)
        self._unused.pop(f"{POINT}[{index}]", None)
        return Operation("coordinate", detail=index)

    def _parameter(self, name: str, index: int) -> Operation:
        self._unused_parameters.pop(name, None)
        return Operation("parameter", detail=self._starts[name] + index)

    def _power(self, node: Power) -> Operation:
        base, exponent = self._write(node.base), self._write(node.exponent)
        value = exponent.value
        if value is not None and abs(value) > MOST_EXPONENT:
            self._fail(f"an exponent is between -{MOST_EXPONENT} and {MOST_EXPONENT}, not {value:g}", node.at)
        if exponent.moves:
            self._fail("an exponent must not depend on x: write exp(exponent*log(base))", node.at)
        if value is None or base.value is not None or not (2 * value).is_integer():
            return self._applied("real_power", node.at, base, exponent)
        whole = self._whole_power(base, math.floor(value), node.at)
        if value.is_integer():
            return whole
        return self._applied("multiply", node.at, whole, self._applied("sqrt", node.at, base))

    def _whole_power(self, base: Operation, exponent: int, at: int) -> Operation:
        if exponent < 0:
            return self._applied("divide", at, _number(1.0), self._whole_power(base, -exponent, at))
        if exponent < 2:
            return base if exponent else _number(1.0)
        return self._applied("power", at, base, detail=exponent)

    def _sum(self, node: Sum) -> Operation:
        name = node.index
        if name in RESERVED or name in self._lengths or name in self._indices:
            self._fail(f"{name} is taken: a sum's index has a name of its own", node.at)
        first = 0 if node.first is None else self._whole(node.first)
        last = self._source.dims - 1 if node.last is None else self._whole(node.last)
        total = _number(0.0)
        for index in range(first, last + 1):
            self._indices[name] = index
            total = self._applied("add", node.at, total, self._write(node.body))
        self._indices.pop(name, None)
        return total

    def _whole(self, node: Node) -> int:
        """Return the value of an index."""
        self._count(node)
        match node:
            case Number() if node.text.isdigit() and len(node.text) <= _DIGITS:
                return int(node.text)
            case Name() if node.name == DIMS or node.name in self._indices:
                return self._indices.get(node.name, self._source.dims)
            case Negative():
                return -self._whole(node.operand)
            case Chain() if all(sign.text in _WHOLE for sign in node.signs):
                value = self._whole(node.operands[0])
                for sign, operand in zip(node.signs, node.operands[1:], strict=True):
                    value = _WHOLE[sign.text](value, self._whole(operand))
                    if abs(value) > _MOST_INDEX:
                        self._fail("this index is too large", sign.at)
                return value
        if isinstance(node, Name) and node.name not in self._lengths and node.name not in RESERVED:
            self._unknown(node)
        return self._fail(f"an index is made of whole numbers, sums' indices, {DIMS}, + - and *", node.at)

    def _count(self, node: Node) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            self._fail(f"with its sums written out, it has more than {MOST_STEPS:,} numbers and operations", node.at)

    def _unknown(self, node: Name | Element) -> NoReturn:
        ours = sorted(RESERVED) if len(node.name) > 2 else []  # a letter is like any of them
        hint = nearest(node.name, [*self._lengths, *self._indices, *ours])
        coordinate = re.fullmatch(rf"{POINT}_?([0-9]+)", node.name)
        if coordinate:
            hint = f"; a coordinate is {POINT}[{coordinate[1]}]"
        elif not hint and self._lengths:
            hint = f"; the parameters are {some_of([*self._lengths])}"
        self._fail(f"there is nothing called {quote(node.name)}{hint}", node.at)

    def _fail(self, said: str, at: int) -> NoReturn:
        raise FormulaError(said, self._source.text, at)


_SIGNS = {"+": "add", "-": "add", "*": "multiply", "/": "divide"}
_NEUTRAL = {"add": 0.0, "multiply": 1.0}
_WHOLE: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_OF_NUMBERS: dict[str, Callable[..., float]] = {
    "add": operator.add,
    "negate": operator.neg,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "real_power": math.pow,
    "abs": math.fabs,
    **{name: getattr(math, name) for name in FUNCTIONS if name != "abs"},
}


def _number(value: float) -> Operation:
    return Operation("number", detail=value + 0.0)  # never -0.0, which equals 0.0
