"""A graph of operations, each of which stands there once, and derivatives as more of the same graph.

The gradient is a graph's reverse mode, the Hessian times a vector the forward mode of that: each takes a constant times
as many operations as the function has, whatever it looks like. (SymPy, which torch brings, takes half a minute for
Ackley's function in 32 dimensions, and four times the operations; its canonical forms mean something else at 0 and
beyond the reals; and it takes most of a second to load. The tests hold ours to what it finds.)

Where a function has no derivative it has one here, so that who has found a minimum there stays: abs has slope 0 at 0,
and so has sqrt, whose curvature at 0 is 0 too; a power n + 1/2 is u**n·sqrt(u). u**0 is 1, at 0 as well. Other powers
that are no whole numbers are of bases above 0: below it they are NaN, and their derivatives are infinite at 0.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from l2o_engine.tasks.formula.grammar import FUNCTIONS

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


def needed_for(operations: Sequence[Operation], places: Sequence[Place]) -> list[Place]:
    """Return what must be computed for some places of a graph, themselves among it, in order."""
    wanted = set(places)
    for place in range(max(wanted), -1, -1):
        if place in wanted:
            wanted.update(operations[place].operands)
    return sorted(wanted)


def cost(operation: Operation) -> int:
    """Return how many operations a computer does for one of a graph's: a power's are products."""
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
