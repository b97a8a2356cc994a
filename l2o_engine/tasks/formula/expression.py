"""A formula as a graph of operations: names looked up, sums written out, and its derivatives beside it.

A tree (:mod:`.grammar`) is made a graph (:mod:`.graph`) for so many coordinates and such parameters. Each number, name
and operation is counted as it is written, those of an index too, so what is too large is refused before it is made.
"""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, NoReturn

from l2o_engine.support.settings import SettingError
from l2o_engine.support.wording import nearest, quote, some_of
from l2o_engine.tasks.formula.grammar import (
    DIMS,
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
from l2o_engine.tasks.formula.graph import Graph, Operation, Place, cost, needed_for

MOST_DIMS = 32
"""Coordinates of a formula: each is written out in the code that is generated."""
MOST_STEPS = 2000
"""Numbers, names and operations of a formula whose sums are written out."""
MOST_OPERATIONS = 3000
"""Of loss and gradient, and of the Hessian times a vector, together: some ten seconds of compiling."""
MOST_EXPONENT = 100
"""Of a constant exponent's magnitude: a whole one becomes products."""
_MOST_INDEX = 1_000_000  # of what an index is computed with
_DIGITS = 7  # of a whole number in an index

_VALUES = {"pi": math.pi, "e": math.e}


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


class Program(NamedTuple):
    """A formula with its derivatives, in one graph.

    Attributes
    ----------
    operations
        The graph.
    loss, gradient, product
        Where f, each entry of ∇f, and each entry of ∇²f·v stand.
    """

    operations: tuple[Operation, ...]
    loss: Place
    gradient: tuple[Place, ...]
    product: tuple[Place, ...]

    def cost_of(self, places: Sequence[Place]) -> int:
        """Return how many operations a computer does for what stands at some places; a power's are products."""
        return sum(cost(self.operations[place]) for place in needed_for(self.operations, places))


@lru_cache(maxsize=256)
def program_of(source: Source) -> Program:
    """Return a formula's program.

    Raises
    ------
    SettingError
        If the formula cannot be used; a :class:`~l2o_engine.tasks.formula.grammar.FormulaError` marks the place.
    """
    graph = Graph()
    loss = _Writer(graph, source).written(parse(source.text))
    coordinates = [graph.add(Operation("coordinate", detail=i)) for i in range(source.dims)]
    directions = [graph.add(Operation("direction", detail=i)) for i in range(source.dims)]
    gradient = graph.gradient(loss, coordinates)
    product = graph.tangents(gradient, dict(zip(coordinates, directions, strict=True)))
    program = Program(tuple(graph.operations), loss, tuple(gradient), tuple(product))
    needed = sum(program.cost_of(places) for places in ([loss, *gradient], product))
    if needed > MOST_OPERATIONS:
        said = f"loss and derivatives take {needed:,} operations, and {MOST_OPERATIONS:,} are the most"
        raise SettingError("loss", said)
    return program


class _Writer:
    """Writes a tree into a graph: everything is looked up, and sums are written out."""

    def __init__(self, graph: Graph, source: Source) -> None:
        self._graph = graph
        self._source = source
        self._steps = 0
        self._indices: dict[str, int] = {}  # of the sums that we are in
        self._lengths = dict(source.parameters)
        starts = accumulate((length or 1 for _, length in source.parameters), initial=0)
        self._starts = dict(zip(self._lengths, starts, strict=False))
        self._unused = {f"{POINT}[{i}]": i for i in range(source.dims)}
        self._unused_parameters = dict(self._lengths)

    def written(self, tree: Node) -> Place:
        """Return where a whole formula's value stands."""
        loss = self._write(tree)
        if self._unused_parameters:
            raise SettingError("parameters", f"{next(iter(self._unused_parameters))} is nowhere in the loss")
        if not self._graph.moves(loss):
            raise SettingError("loss", "does not depend on x")
        if self._unused:
            unused = next(iter(self._unused))
            raise SettingError("loss", f"{unused} is nowhere in it, and dims is {self._source.dims}")
        return loss

    def _write(self, node: Node) -> Place:
        self._count(node)
        match node:
            case Number():
                place = self._constant(float(node.text), node)
            case Name():
                place = self._name(node)
            case Element():
                place = self._element(node)
            case Negative():
                place = self._graph.apply("negate", self._write(node.operand))
            case Chain():
                place = self._write(node.operands[0])
                for sign, operand in zip(node.signs, node.operands[1:], strict=True):
                    place = self._applied(_SIGNS[sign.text], sign.at, place, self._write(operand))
            case Power():
                place = self._power(node)
            case Call():
                place = self._applied(node.function, node.at, self._write(node.argument))
            case Sum():
                place = self._sum(node)
        return place

    def _applied(self, name: str, at: int, *operands: Place) -> Place:
        """Return where an operation stands; constants must give a number, and nothing is divided by one that is 0."""
        if name == "divide" and self._graph.value(operands[1]) == 0:
            self._fail("this divides by 0", at)
        place = self._graph.apply(name, *operands)
        if self._graph.value(place) is None and all(self._graph.value(operand) is not None for operand in operands):
            self._fail("this is no finite number", at)
        return place

    def _constant(self, value: float, node: Node) -> Place:
        if not math.isfinite(value):
            self._fail("this number is beyond float64", node.at)
        return self._graph.number(value)

    def _name(self, node: Name) -> Place:
        name = node.name
        if name in _VALUES:
            return self._graph.number(_VALUES[name])
        if name == DIMS or name in self._indices:
            return self._graph.number(self._indices.get(name, self._source.dims))
        if name == POINT:
            self._fail(f"{POINT} is a list of coordinates: write one of them, such as {POINT}[0]", node.at)
        if name not in self._lengths:
            self._unknown(node)
        if self._lengths[name]:
            self._fail(f"{name} has {self._lengths[name]} numbers: write one of them, such as {name}[0]", node.at)
        return self._parameter(name, 0)

    def _element(self, node: Element) -> Place:
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
        return self._graph.add(Operation("coordinate", detail=index))

    def _parameter(self, name: str, index: int) -> Place:
        self._unused_parameters.pop(name, None)
        return self._graph.add(Operation("parameter", detail=self._starts[name] + index))

    def _power(self, node: Power) -> Place:
        base, exponent = self._write(node.base), self._write(node.exponent)
        value = self._graph.value(exponent)
        if value is not None and abs(value) > MOST_EXPONENT:
            self._fail(f"an exponent is between -{MOST_EXPONENT} and {MOST_EXPONENT}, not {value:g}", node.at)
        if self._graph.moves(exponent):
            self._fail("an exponent does not depend on x: write exp(exponent*log(base))", node.at)
        return self._applied("real_power", node.at, base, exponent)

    def _sum(self, node: Sum) -> Place:
        name = node.index
        if name in RESERVED or name in self._lengths or name in self._indices:
            self._fail(f"{name} is taken: a sum's index has a name of its own", node.at)
        first = 0 if node.first is None else self._whole(node.first)
        last = self._source.dims - 1 if node.last is None else self._whole(node.last)
        total = self._graph.number(0.0)
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


_SIGNS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
_WHOLE: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
