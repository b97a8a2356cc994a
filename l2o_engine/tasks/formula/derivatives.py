"""What SymPy makes of a formula: its gradient, its Hessian times a vector, and what is computed once for several.

An expression (:mod:`.expression`) is made SymPy's operation by operation; no text is ever given to it. The chain, sum
and product rules are applied to that, and SymPy finds common subexpressions. It would also rewrite what it knows, and
some of that means something else at 0, beyond the reals or in float32: u/u is not 1 where u is 0, and a²·b² may
underflow where (a·b)² does not. So what is written in a formula becomes operations of which SymPy knows the derivatives
alone, and numbers become symbols, named by their values. The loss is computed as it is written, from left to right; the
terms and factors of its derivatives are SymPy's to put into an order.

Where a function has no derivative it has one here, so that who has found a minimum there stays: abs has slope 0 at 0,
and so has sqrt, whose curvature at 0 is 0 too.

SymPy takes half a second to load, so this module is imported where a formula is first computed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import sympy

from l2o_engine.tasks.formula.expression import Operation, Source, expression_of

Expression: TypeAlias = Any
"""One of SymPy's, which has no types: of symbols, whole numbers, its sums, products and powers, and our operations."""


class Program(NamedTuple):
    """A formula with its derivatives.

    Attributes
    ----------
    loss, gradient, product
        f, each entry of ∇f, and each entry of ∇²f·v.
    shared
        What several of these have in common: symbol → what it stands for, in which others may stand.
    """

    loss: Expression
    gradient: tuple[Expression, ...]
    product: tuple[Expression, ...]
    shared: Mapping[Expression, Expression]


def symbol(letter: str, number: int) -> Expression:
    """Return a coordinate "x", a direction's "v", or a parameter "p", by its number."""
    return sympy.Symbol(f"{letter}{number}")


def constant(value: float) -> Expression:
    """Return a number."""
    return sympy.Symbol(repr(value))


@lru_cache(maxsize=256)
def program_of(source: Source) -> Program:
    """Return a formula's program.

    The gradient is differentiated by each coordinate, and so is the derivative along v for the Hessian times v: a
    coordinate moves with a time there, at the speed v.

    Raises
    ------
    SettingError
        If the formula cannot be used.
    """
    moving = _written(expression_of(source))
    coordinates = [symbol("x", i) for i in range(source.dims)]
    still = {_of("along", _TIME, symbol("v", i), x): x for i, x in enumerate(coordinates)}
    loss, slope = moving.xreplace(still), _derivative(moving, _TIME, {}).xreplace(still)
    along_each: list[dict[Expression, Expression]] = [{} for _ in coordinates]
    gradient, product = (
        [_derivative(one, x, known) for x, known in zip(coordinates, along_each, strict=True)] for one in (loss, slope)
    )
    first, (loss, *gradient) = sympy.cse([loss, *gradient], sympy.numbered_symbols("s"))
    second, product = sympy.cse(product, sympy.numbered_symbols("t"))
    return Program(loss, tuple(gradient), tuple(product), dict([*first, *second]))


def _written(operation: Operation) -> Expression:
    """Return an expression of ours as SymPy's, with coordinates that move."""
    name, number = operation.name, int(operation.detail)
    if name == "number":
        return constant(operation.detail)
    if name == "parameter":
        return symbol("p", number)
    if name == "coordinate":
        return _of("along", _TIME, symbol("v", number), symbol("x", number))
    operands = [_written(operand) for operand in operation.operands]
    if name == "negate":
        return -operands[0]
    if name == "power":
        operands.append(sympy.Integer(number))
    return _of(name, *operands)


def _derivative(expression: Expression, by: Expression, known: dict[Expression, Expression]) -> Expression:
    """Return an expression's derivative: as SymPy's ``diff``, which would go through all of it at every step.

    Parameters
    ----------
    expression
        Sums, products and whole powers of SymPy's, and our operations.
    by
        A symbol.
    known
        What is known by it already: expression → derivative.
    """
    if not expression.args:
        return sympy.S.One if expression == by else sympy.S.Zero
    if expression in known:
        return known[expression]
    inner = [_derivative(operand, by, known) for operand in expression.args]
    moving = [place for place, slope in enumerate(inner) if slope != 0]
    terms: list[Expression] = []
    if expression.is_Add:
        terms = inner
    elif expression.is_Mul:
        factors = expression.args
        terms = [sympy.Mul(*factors[:place], inner[place], *factors[place + 1 :]) for place in moving]
    elif expression.is_Pow and moving:
        base, exponent = expression.args
        terms = [expression * (inner[0] * exponent / base)]
    else:
        terms = [expression.fdiff(place + 1) * inner[place] for place in moving]
    known[expression] = sympy.Add(*terms)
    return known[expression]


# The operations, and their derivatives.


def _of(name: str, *operands: Expression) -> Expression:
    return _OPERATIONS[name](*operands)


def _one(*_: Expression) -> Expression:
    return sympy.S.One


def _of_power(_: Expression, u: Expression, n: Any) -> Expression:
    return _of("multiply", constant(float(n)), u if n == 2 else _of("power", u, n - 1))


def _square(u: Expression) -> Expression:
    return _of("power", u, sympy.Integer(2))


_TIME = sympy.Symbol("time")
_Slope: TypeAlias = Callable[..., Expression]
# By each operand, of the operation itself and its operands; an exponent's is never asked for.
_SLOPES: dict[str, tuple[_Slope, ...]] = {
    "along": (lambda _, time, v, x: v,),  # the coordinate x, which moves
    "add": (_one,),  # of any number
    "multiply": (lambda _, u, w: w, lambda _, u, w: u),
    "divide": (lambda _, u, w: _of("divide", sympy.S.One, w), lambda this, u, w: -_of("divide", this, w)),
    "power": (_of_power,),
    "real_power": (lambda _, u, p: _of("multiply", p, _of("real_power", u, p - 1)),),
    "abs": (lambda _, u: _of("sign", u),),
    "sign": (lambda *_: sympy.S.Zero,),
    "sqrt": (lambda this, _: _of("multiply", constant(0.5), _of("inverse", this)),),
    "inverse": (lambda this, _: -_square(this),),  # 1/u, and 0 at 0
    "exp": (lambda this, _: this,),
    "expm1": (lambda _, u: _of("exp", u),),
    "log": (lambda _, u: _of("divide", sympy.S.One, u),),
    "log1p": (lambda _, u: _of("divide", sympy.S.One, 1 + u),),
    "sin": (lambda _, u: _of("cos", u),),
    "cos": (lambda _, u: -_of("sin", u),),
    "tan": (lambda this, _: 1 + _square(this),),
    "tanh": (lambda this, _: 1 - _square(this),),
}


def _operation(name: str, slopes: Sequence[_Slope]) -> Any:
    """Return an operation for SymPy, which knows its derivatives alone."""

    def fdiff(self: Any, argindex: int = 1) -> Expression:
        return slopes[min(argindex, len(slopes)) - 1](self, *self.args)

    return type(sympy.Function)(name, (sympy.Function,), {"fdiff": fdiff, "is_commutative": True})


_OPERATIONS = {name: _operation(name, slopes) for name, slopes in _SLOPES.items()}
