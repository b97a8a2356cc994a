"""A formula as a graph of operations, and its derivatives as more of the same graph.

A tree (:mod:`.grammar`) is made a graph for so many coordinates and such parameters: sums are written out, indices
become coordinates, constants are folded, and what is computed twice stands there once. The gradient is the graph's
reverse mode, the Hessian times a vector the forward mode of that: each a constant times as many operations as the
formula has, whatever it looks like. (SymPy's own derivatives grow with the square of the coordinates and faster with
the nesting, its canonical forms change what is computed at 0 and beyond the reals, and loading it takes as long as
training a preset; the tests hold ours to SymPy's instead.)

Derivatives where a function has none, so that who has found a minimum there stays: abs has slope 0 at 0, and so has
sqrt, whose curvature at 0 is 0 too; a power n + 1/2 is u**n·sqrt(u). u**0 is 1, at 0 as well. Other powers that are no
whole numbers are of bases above 0: below it they are NaN, and their derivatives are infinite at 0.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, NoReturn, TypeAlias

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
MOST_OPERATIONS = 3000
"""Of loss and gradient, and of the Hessian times a vector, together: some ten seconds of compiling."""
MOST_EXPONENT = 100
"""Of a constant exponent's magnitude: a whole one becomes products."""
_MOST_INDEX = 1_000_000  # of what an index is computed with
_DIGITS = 7  # of a whole number in an index

_VALUES = {"pi": math.pi, "e": math.e}

Place: TypeAlias = int
"""Where an operation stands in a graph. Operands stand before what is made of them."""


class Operation(NamedTuple):
    """One operation of a graph, or what it starts from.

    ``name`` is "number" (of value ``detail``), "coordinate", "direction" or "parameter" (number ``detail``), a function
    of :data:`~l2o_engine.tasks.formula.grammar.FUNCTIONS`, "sign", "inverse" (1/u, and 0 at 0), "add", "subtract",
    "multiply", "divide", "negate", "power" (to the whole number ``detail`` ≥ 2) or "real_power".
    """

    name: str
    operands: tuple[Place, ...] = ()
    detail: float = 0


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
        return sum(_cost(self.operations[place]) for place in needed_for(self.operations, places))


@lru_cache(maxsize=256)
def program_of(source: Source) -> Program:
    """Return a formula's program.

    Raises
    ------
    FormulaError
        If the formula cannot be used; the message marks the place.
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
        raise FormulaError(
            f"its derivatives take {needed:,} operations, and {MOST_OPERATIONS:,} are the most", source.text, 0
        )
    return program


def needed_for(operations: Sequence[Operation], places: Sequence[Place]) -> list[Place]:
    """Return what must be computed for some places of a graph, themselves among it, in order."""
    wanted = set(places)
    for place in range(max(wanted), -1, -1):
        if place in wanted:
            wanted.update(operations[place].operands)
    return sorted(wanted)


def _cost(operation: Operation) -> int:
    if operation.name == "power":
        exponent = int(operation.detail)
        return exponent.bit_length() - 1 + exponent.bit_count() - 1
    return 1 if operation.operands else 0


class Graph:
    """Operations, each once; the obvious ones are simplified, by rules that are exact.

    Attributes
    ----------
    operations
        In order.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._places: dict[Operation, Place] = {}
        self._moving: list[bool] = []

    def add(self, operation: Operation) -> Place:
        """Return where an operation stands, which is added if it is not there yet."""
        place = self._places.get(operation)
        if place is None:
            place = self._places[operation] = len(self.operations)
            self.operations.append(operation)
            self._moving.append(operation.name == "coordinate" or any(map(self.moves, operation.operands)))
        return place

    def moves(self, place: Place) -> bool:
        """Return whether what stands at a place depends on a coordinate."""
        return self._moving[place]

    def number(self, value: float) -> Place:
        """Return where a constant stands."""
        return self.add(Operation("number", detail=value + 0.0))  # never -0.0, which equals 0.0

    def value(self, place: Place) -> float | None:
        """Return the value of a constant; None of anything else."""
        operation = self.operations[place]
        return operation.detail if operation.name == "number" else None

    def apply(self, name: str, *operands: Place) -> Place:
        """Return where a function of other places stands.

        What is computed of constants alone is a constant, unless it is no finite float64.
        """
        values = [self.value(place) for place in operands]
        folded = _folded(name, [value for value in values if value is not None], len(operands))
        return self._simplified(name, operands, values) if folded is None else self.number(folded)

    def power(self, base: Place, exponent: int) -> Place:
        """Return where a whole power stands."""
        if exponent < 0:
            return self.apply("divide", self.number(1.0), self.power(base, -exponent))
        if exponent < 2:
            return base if exponent else self.number(1.0)
        value = self.value(base)
        folded = None if value is None else _folded("real_power", [value, float(exponent)], 2)
        return self.add(Operation("power", (base,), exponent)) if folded is None else self.number(folded)

    def _simplified(self, name: str, operands: tuple[Place, ...], values: Sequence[float | None]) -> Place:
        left, right = operands[0], operands[-1]
        place = self._with_constant(name, left, right, values)
        if place is None:
            place = self._with_sign(name, left, right)
        if place is not None:
            return place
        if left == right and name == "add":
            return self.apply("multiply", self.number(2.0), left)
        if left == right and name == "multiply":
            return self.power(left, 2)
        if name in ("add", "multiply"):  # the same number in either order
            operands = (min(left, right), max(left, right))
        return self.add(Operation(name, operands))

    def _with_constant(self, name: str, left: Place, right: Place, values: Sequence[float | None]) -> Place | None:
        """Return where something simpler of the same value stands, if one operand is 0, 1, … ."""
        place = None
        match name, values[0], values[-1]:
            case ("add", 0.0, _) | ("multiply", 1.0, _):
                place = right
            case ("add" | "subtract", _, 0.0) | ("multiply" | "divide" | "real_power", _, 1.0):
                place = left
            case ("subtract", 0.0, _) | ("multiply", -1.0, _):
                place = self.apply("negate", right)
            case ("multiply" | "divide", _, -1.0):
                place = self.apply("negate", left)
            case "real_power", _, float(exponent) if exponent.is_integer():
                place = self.power(left, int(exponent))
            case "real_power", _, float(exponent) if (2 * exponent).is_integer():  # whose derivatives at 0 are sqrt's
                place = self.apply("multiply", self.power(left, math.floor(exponent)), self.apply("sqrt", left))
        return place

    def _with_sign(self, name: str, left: Place, right: Place) -> Place | None:
        """Return where something simpler of the same value stands, if an operand is negated."""
        first, last = self._negated(left), self._negated(right)
        place = None
        if name == "negate":
            place = first
        elif name in ("add", "subtract") and last is not None:
            place = self.apply("subtract" if name == "add" else "add", left, last)
        elif name == "add" and first is not None:
            place = self.apply("subtract", right, first)
        elif name in ("multiply", "divide") and last is not None:
            place = self.apply("negate", self.apply(name, left, last))
        elif name in ("multiply", "divide") and first is not None:
            place = self.apply("negate", self.apply(name, first, right))
        return place

    def _negated(self, place: Place) -> Place | None:
        operation = self.operations[place]
        return operation.operands[0] if operation.name == "negate" else None

    # Derivatives.

    def gradient(self, output: Place, inputs: Sequence[Place]) -> list[Place]:
        """Return where an output's derivative by each input stands: reverse mode."""
        adjoints = {output: self.number(1.0)}
        for place in range(output, -1, -1):
            if place in adjoints:
                for which, operand in enumerate(self.operations[place].operands):
                    if self.moves(operand):
                        self._accumulate(adjoints, operand, self._along(place, which, adjoints[place]))
        zero = self.number(0.0)
        return [adjoints.get(place, zero) for place in inputs]

    def tangents(self, outputs: Sequence[Place], directions: Mapping[Place, Place]) -> list[Place]:
        """Return where each output's derivative along directions, input → direction, stands: forward mode."""
        tangents = dict(directions)
        for place in needed_for(self.operations, outputs):
            for which, operand in enumerate(self.operations[place].operands):
                if operand in tangents:
                    self._accumulate(tangents, place, self._along(place, which, tangents[operand]))
        zero = self.number(0.0)
        return [tangents.get(place, zero) for place in outputs]

    def _accumulate(self, sums: dict[Place, Place], place: Place, share: Place | None) -> None:
        if share is not None:
            sums[place] = self.apply("add", sums[place], share) if place in sums else share

    def _along(self, place: Place, which: int, factor: Place) -> Place | None:
        """Return where a factor times the derivative of an operation by one of its operands stands.

        None where that derivative is 0 everywhere. An exponent depends on no coordinate, so nobody asks for its.
        """
        name, operands, _ = self.operations[place]
        if name == "sign":
            return None
        if name in ("multiply", "divide"):
            share = self.apply(name, factor, operands[1 - which] if name == "multiply" else operands[1])
            return (
                self.apply("negate", self.apply("multiply", share, place)) if (name, which) == ("divide", 1) else share
            )
        if name in ("add", "subtract", "negate"):
            return self.apply("negate", factor) if name == "negate" or (name, which) == ("subtract", 1) else factor
        return self.apply("multiply", factor, _DERIVATIVES[name](self, place, operands))


def _of_power(graph: Graph, place: Place, operands: Sequence[Place]) -> Place:
    exponent = graph.operations[place].detail
    return graph.apply("multiply", graph.number(exponent), graph.power(operands[0], int(exponent) - 1))


def _of_real_power(graph: Graph, place: Place, operands: Sequence[Place]) -> Place:
    base, exponent = operands
    less = graph.apply("subtract", exponent, graph.number(1.0))
    return graph.apply("multiply", exponent, graph.apply("real_power", base, less))


_Derivative: TypeAlias = Callable[[Graph, Place, Sequence[Place]], Place]
# By the name of the operation: of the graph, where it stands, and its operands.
_DERIVATIVES: dict[str, _Derivative] = {
    "power": _of_power,
    "real_power": _of_real_power,
    "abs": lambda graph, _, u: graph.apply("sign", *u),
    "sqrt": lambda graph, place, _: graph.apply("multiply", graph.number(0.5), graph.apply("inverse", place)),
    "inverse": lambda graph, place, _: graph.apply("negate", graph.power(place, 2)),
    "exp": lambda _graph, place, _: place,
    "expm1": lambda graph, _, u: graph.apply("exp", *u),
    "log": lambda graph, _, u: graph.apply("divide", graph.number(1.0), *u),
    "log1p": lambda graph, _, u: graph.apply("divide", graph.number(1.0), graph.apply("add", graph.number(1.0), *u)),
    "sin": lambda graph, _, u: graph.apply("cos", *u),
    "cos": lambda graph, _, u: graph.apply("negate", graph.apply("sin", *u)),
    "tan": lambda graph, place, _: graph.apply("add", graph.number(1.0), graph.power(place, 2)),
    "tanh": lambda graph, place, _: graph.apply("subtract", graph.number(1.0), graph.power(place, 2)),
}


def _sign(value: float) -> float:
    return math.copysign(1.0, value) if value else 0.0


def _inverse(value: float) -> float:
    return 1.0 / value if value else 0.0


_OF_NUMBERS: dict[str, Callable[..., float]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "negate": operator.neg,
    "real_power": math.pow,
    "sign": _sign,
    "inverse": _inverse,
    "abs": math.fabs,
    **{name: getattr(math, name) for name in FUNCTIONS if name != "abs"},
}


def _folded(name: str, constants: Sequence[float], operands: int) -> float | None:
    """Return what an operation gives of constants; None unless all its operands are, and it is finite."""
    if len(constants) < operands:
        return None
    try:
        value = float(_OF_NUMBERS[name](*constants))
    except (ArithmeticError, ValueError):  # 1/0, exp(1e9); log(-1)
        return None
    return value if math.isfinite(value) else None


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
            self._fail("the loss does not depend on x", tree)
        if self._unused:
            unused = next(iter(self._unused))
            self._fail(f"{unused} is nowhere in the loss, and dims is {self._source.dims}", tree)
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
                    place = self._applied(_SIGNS[sign], node, place, self._write(operand))
            case Power():
                place = self._power(node)
            case Call():
                place = self._applied(node.function, node, self._write(node.argument))
            case Sum():
                place = self._sum(node)
        return place

    def _applied(self, name: str, node: Node, *operands: Place) -> Place:
        """Return where an operation stands; constants must give a number, and nothing is divided by one that is 0."""
        if name == "divide" and self._graph.value(operands[1]) == 0:
            self._fail("this divides by 0", node)
        place = self._graph.apply(name, *operands)
        if self._graph.value(place) is None and all(self._graph.value(operand) is not None for operand in operands):
            self._fail("this is no finite number", node)
        return place

    def _constant(self, value: float, node: Node) -> Place:
        if not math.isfinite(value):
            self._fail("this number is beyond float64", node)
        return self._graph.number(value)

    def _name(self, node: Name) -> Place:
        name = node.name
        if name in _VALUES:
            return self._graph.number(_VALUES[name])
        if name == DIMS or name in self._indices:
            return self._graph.number(self._indices.get(name, self._source.dims))
        if name == POINT:
            self._fail(f"{POINT} is a list of coordinates: write one of them, such as {POINT}[0]", node)
        if name not in self._lengths:
            self._unknown(node)
        if self._lengths[name]:
            self._fail(f"{name} has {self._lengths[name]} numbers: write one of them, such as {name}[0]", node)
        return self._parameter(name, 0)

    def _element(self, node: Element) -> Place:
        name = node.name
        length = self._source.dims if name == POINT else self._lengths.get(name)
        if length == 0 or name in self._indices or name in (*_VALUES, DIMS):
            self._fail(f"{name} is one number, without an index", node)
        if length is None:
            self._unknown(node)
        index = self._whole(node.index)
        if not 0 <= index < length:
            self._fail(f"{name}[{index}] is outside: there are {name}[0] to {name}[{length - 1}]", node)
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
            self._fail(f"an exponent is between -{MOST_EXPONENT} and {MOST_EXPONENT}, not {value:g}", node)
        if self._graph.moves(exponent):
            self._fail("an exponent does not depend on x: write exp(exponent*log(base))", node)
        return self._applied("real_power", node, base, exponent)

    def _sum(self, node: Sum) -> Place:
        name = node.index
        if name in RESERVED or name in self._lengths or name in self._indices:
            self._fail(f"{name} is taken: a sum's index has a name of its own", node)
        first = 0 if node.first is None else self._whole(node.first)
        last = self._source.dims - 1 if node.last is None else self._whole(node.last)
        total = self._graph.number(0.0)
        for index in range(first, last + 1):
            self._indices[name] = index
            total = self._applied("add", node, total, self._write(node.body))
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
            case Chain() if "/" not in node.signs:
                value = self._whole(node.operands[0])
                for sign, operand in zip(node.signs, node.operands[1:], strict=True):
                    value = _WHOLE[sign](value, self._whole(operand))
                    if abs(value) > _MOST_INDEX:
                        self._fail("this index is too large", node)
                return value
        if isinstance(node, Name) and node.name not in self._lengths and node.name not in RESERVED:
            self._unknown(node)
        return self._fail(f"an index is made of whole numbers, sums' indices, {DIMS}, + - and *", node)

    def _count(self, node: Node) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            self._fail(f"with its sums written out, it has more than {MOST_STEPS:,} numbers and operations", node)

    def _unknown(self, node: Name | Element) -> NoReturn:
        ours = sorted(RESERVED) if len(node.name) > 2 else []  # a letter is like any of them
        hint = nearest(node.name, [*self._lengths, *self._indices, *ours])
        coordinate = re.fullmatch(rf"{POINT}_?([0-9]+)", node.name)
        if coordinate:
            hint = f"; a coordinate is {POINT}[{coordinate[1]}]"
        elif not hint and self._lengths:
            hint = f"; the parameters are {some_of([*self._lengths])}"
        self._fail(f"there is nothing called {quote(node.name)}{hint}", node)

    def _fail(self, said: str, node: Node) -> NoReturn:
        raise FormulaError(said, self._source.text, node.at)


_SIGNS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
_WHOLE: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
